//! SC-01 to SC-04 on hand-written histories.

use crate::{
    check::testing::{Story, reply},
    history::{Event, Outcome},
    scenario::Setting,
};

/// Message 1 is acked by n1 with a copy on n2; n1 is destroyed; n2 delivers after the promotion.
fn destroyed_at_the_ack() -> Story {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").destroy("n1");
    story
}

#[test]
fn sc_01_holds_when_the_copy_is_first_and_the_message_outlives_its_primary() {
    let mut story = destroyed_at_the_ack();
    story.after("3h").delivered(1, "n2").settle();
    insta::assert_snapshot!(story.told("SC-01"), @"holds: 1 of 1 acks came after the copy's 250; 1 outlived their primary server");
}

#[test]
fn sc_01_is_violated_by_an_ack_before_the_copy() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .ack(1)
        .copy(1, "n1>n2")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-01"), @r"
        violated: only 0 of 1 acks came after the copy's 250
        - 250 to client-1 at 0.020 s for message 1; n2's 250 for the copy only at 0.036 s
    ");
}

#[test]
fn sc_01_is_violated_by_a_copy_that_was_under_way_at_the_ack() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy_begins(1, "n1>n2")
        .ack(1)
        .copy_answered(1, "n1>n2", 250);
    story.delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-01"), @r"
        violated: only 0 of 1 acks came after the copy's 250
        - 250 to client-1 at 0.035 s for message 1; n2's 250 for the copy only at 0.036 s
    ");
}

#[test]
fn sc_01_is_violated_by_a_loss_though_the_copy_was_first() {
    let mut story = destroyed_at_the_ack();
    story.settle();
    insta::assert_snapshot!(story.told("SC-01"), @r"
        violated: only 0 of 1 acked messages outlived their primary server
        - 250 to client-1 at 0.037 s for message 1; n1 destroyed at 0.039 s; no delivery to user-1@external.example by 4 h; therefore lost
    ");
}

#[test]
fn sc_01_allows_an_ack_without_a_copy_where_none_could_be_made() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .connect_fails("n1>n2")
        .connect_fails("n1>n2")
        .ack(1)
        .delivered(1, "n1");
    story.settle();
    insta::assert_snapshot!(story.told("SC-01"), @"inconclusive: no message was acked that had to have a copy");
}

#[test]
fn sc_01_is_outside_when_both_owners_are_lost() {
    let mut story = destroyed_at_the_ack();
    story.destroy("n2").settle();
    insta::assert_snapshot!(story.told("SC-01"), @"outside: n1 destroyed at 0.039 s and n2 destroyed at 0.041 s, and message 1 was in transit all the while: more than one server failed at once");
}

#[test]
fn sc_01_is_inconclusive_without_acks_or_without_an_end() {
    let mut story = Story::new();
    story.settle();
    insta::assert_snapshot!(story.told("SC-01"), @"inconclusive: no message was acked that had to have a copy");
    let mut story = destroyed_at_the_ack();
    story.after("1s");
    insta::assert_snapshot!(story.told("SC-01"), @"inconclusive: the history has no end");
}

fn helo(story: &mut Story, n: u32) -> &mut Story {
    story
        .submit_as(n, "n1", |s| s.hello = "HELO".into())
        .end_of_data(n)
}

#[test]
fn sc_02_needs_a_sender_that_says_helo() {
    let mut story = Story::new();
    helo(&mut story, 1)
        .copy(1, "n1>n2")
        .ack(1)
        .delivered(1, "n1")
        .accepted(2, "n1", "n2")
        .delivered(2, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-02"), @"holds: 2 of 2 acks came after the copy's 250, 1 of them to a sender that said HELO");

    let mut story = Story::new();
    helo(&mut story, 1).ack(1).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-02"), @r"
        violated: only 0 of 1 acks came after the copy's 250, 1 of them to a sender that said HELO
        - client-1 said HELO; 250 to client-1 at 0.020 s for message 1; no node confirmed a copy
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-02"), @"inconclusive: no message of a sender that said HELO was acked");
}

fn probed(usable: bool) -> Story {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").push(Event::SessionUsable {
        submission: 1,
        usable,
    });
    story.delivered(1, "n1").settle();
    story
}

#[test]
fn sc_03_needs_a_session_that_is_usable_after_the_ack() {
    insta::assert_snapshot!(probed(true).told("SC-03"), @"holds: 1 of 1 copies and acks went through sessions as they must; 1 session tried after the ack");
    insta::assert_snapshot!(probed(false).told("SC-03"), @r"
        violated: only 1 of 2 copies and acks went through sessions as they must; 1 session tried after the ack
        - 250 to client-1 at 0.037 s; the session was of no use any more at 0.038 s
    ");
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-03"), @"inconclusive: no copy was made, or no session was tried after the ack");
}

#[test]
fn sc_03_is_violated_by_a_session_that_was_open_before_the_sender_came() {
    let mut story = Story::new();
    story.connect("n1>n2").submit(1, "n1").end_of_data(1);
    story
        .command("n1>n2", "XSHADOW n1/db/1 0", 250)
        .copy_sent(1, "n1>n2")
        .copy_answered(1, "n1>n2", 250)
        .ack(1);
    story.delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-03"), @r"
        violated: only 0 of 1 copies and acks went through sessions as they must; 0 sessions tried after the ack
        - message 1: client-1's session opened at 0.007 s, the session to n2 at 0.004 s
    ");
}

#[test]
fn sc_04_needs_another_node_of_the_boundary() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-04"), @"holds: 1 of 1 copies went to another node of the boundary");

    let mut story = Story::new();
    story.accepted(1, "n1", "n1").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-04"), @r"
        violated: only 0 of 1 copies went to another node of the boundary
        - n1 sent a copy to n1 at 0.023 s: to itself
    ");

    let mut story = Story::new();
    story.scenario.cluster.sites = [
        ("s1".into(), vec!["n1".into(), "n3".into()]),
        ("s2".into(), vec!["n2".into()]),
    ]
    .into();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-04"), @r"
        violated: only 0 of 1 copies went to another node of the boundary
        - n1 sent a copy to n2 at 0.023 s: to a host outside its boundary
    ");

    let mut story = Story::new();
    story.settle();
    insta::assert_snapshot!(story.told("SC-04"), @"inconclusive: no copy was made");
}

#[test]
fn sc_04_finds_copies_that_no_tap_sees() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .ack(1)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-04"), @r"
        violated: only 0 of 1 copies went to another node of the boundary
        - 250 to client-1 at 0.020 s for message 1; no other node was ever sent a copy
    ");
}

#[test]
fn sc_04_is_violated_by_a_peer_verb_from_outside_that_is_obeyed() {
    let peer_verb = |code| Event::PeerVerb {
        link: "client-1>n1".into(),
        command: "XQDISCARD 0 100".into(),
        reply: Some(reply(code, "reply")),
    };
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .push(peer_verb(550))
        .settle();
    insta::assert_snapshot!(story.told("SC-04"), @"holds: 1 of 1 copies went to another node of the boundary; 1 peer commands from outside refused");
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .push(peer_verb(250))
        .settle();
    insta::assert_snapshot!(story.told("SC-04"), @r"
        violated: only 1 of 2 copies went to another node of the boundary; 1 peer commands from outside refused
        - 250 to `XQDISCARD 0 100` on client-1>n1, where no peer is
    ");
}

#[test]
fn shadow_redundancy_that_is_off_binds_nobody() {
    let mut story = Story::new();
    story.set("ShadowRedundancyEnabled", Setting::Switch(false));
    story
        .submit(1, "n1")
        .end_of_data(1)
        .ack(1)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-01"), @"inconclusive: no message was acked that had to have a copy");
}

#[test]
fn an_indeterminate_message_may_be_lost() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .submit(2, "n1")
        .end_of_data(2);
    story
        .ends(2, Outcome::Indeterminate, None)
        .destroy("n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-01"), @"holds: 1 of 1 acks came after the copy's 250; 1 outlived their primary server");
}
