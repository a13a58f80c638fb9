//! TO-01 and TO-03 to TO-05 on hand-written histories.

use crate::{
    check::testing::{Story, reply},
    history::{Event, Outcome, Transaction, Wire},
    scenario::Setting,
};

/// Message `n` comes to n1; the session to n2 falls silent, and n1 gives it up.
fn hung(story: &mut Story, n: u32) -> &mut Story {
    story
        .submit(n, "n1")
        .end_of_data(n)
        .copy_begins(n, "n1>n2")
        .after("1m")
        .close("n1>n2", "client")
}

#[test]
fn to_01_accepts_without_a_copy() {
    let mut story = Story::new();
    hung(&mut story, 1).ack(1).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-01"), @"holds: 1 of 1 messages whose copy timed out were treated as RejectMessageOnShadowFailure says");

    let mut story = Story::new();
    hung(&mut story, 1)
        .refuse(1, 451, "4.4.0 Message failed to be made redundant")
        .settle();
    insta::assert_snapshot!(story.told("TO-01"), @r"
        violated: only 0 of 1 messages whose copy timed out were treated as RejectMessageOnShadowFailure says
        - the session on n1>n2 (from 0.023 s) got no answer; 451 to client-1 at 1 min 0.036 s for message 1
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-01"), @"inconclusive: no session to a shadow server timed out");
}

#[test]
fn to_01_refuses_when_it_shall() {
    let mut story = Story::new();
    story.set("RejectMessageOnShadowFailure", Setting::Switch(true));
    hung(&mut story, 1)
        .refuse(1, 451, "4.4.0 Message failed to be made redundant")
        .settle();
    insta::assert_snapshot!(story.told("TO-01"), @"holds: 1 of 1 messages whose copy timed out were treated as RejectMessageOnShadowFailure says");

    let mut story = Story::new();
    story.set("RejectMessageOnShadowFailure", Setting::Switch(true));
    hung(&mut story, 1).ack(1).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-01"), @r"
        violated: only 0 of 1 messages whose copy timed out were treated as RejectMessageOnShadowFailure says
        - the session on n1>n2 (from 0.023 s) got no answer; 250 to client-1 at 1 min 0.036 s for message 1, which has no copy
    ");
}

#[test]
fn to_01_is_violated_by_waiting_for_ever() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy_begins(1, "n1>n2")
        .after("10m")
        .ends(1, Outcome::Indeterminate, None);
    story.settle();
    insta::assert_snapshot!(story.told("TO-01"), @r"
        violated: only 0 of 1 messages whose copy timed out were treated as RejectMessageOnShadowFailure says
        - the session on n1>n2 (from 0.023 s) got no answer; client-1 got no reply to message 1 for 10 min
    ");

    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy_begins(1, "n1>n2")
        .after("30s")
        .ends(1, Outcome::Indeterminate, None);
    story.settle();
    insta::assert_snapshot!(story.told("TO-01"), @"inconclusive: no session to a shadow server timed out");
}

#[test]
fn to_01_is_not_put_to_the_test_where_shadow_redundancy_is_off() {
    let acked = |enabled: bool| {
        let mut story = Story::new();
        story.set("RejectMessageOnShadowFailure", Setting::Switch(true));
        story.set("ShadowRedundancyEnabled", Setting::Switch(enabled));
        hung(&mut story, 1).ack(1).delivered(1, "n1").settle();
        story.told("TO-01")
    };
    insta::assert_snapshot!(acked(false), @"inconclusive: no session to a shadow server timed out");
    insta::assert_snapshot!(acked(true), @r"
    violated: only 0 of 1 messages whose copy timed out were treated as RejectMessageOnShadowFailure says
    - the session on n1>n2 (from 0.023 s) got no answer; 250 to client-1 at 1 min 0.036 s for message 1, which has no copy
    ");
}

/// The copy of message 1 is confirmed, and its sender gone before the ack.
fn gone(story: &mut Story) -> &mut Story {
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy(1, "n1>n2")
        .close("client-1>n1", "tap");
    story.ends(1, Outcome::Indeterminate, None)
}

#[test]
fn to_03_processes_what_was_copied() {
    let mut story = Story::new();
    gone(&mut story).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-03"), @"holds: 1 of 1 messages whose sender lost its session after the copy were processed all the same");

    let mut story = Story::new();
    gone(&mut story).settle();
    insta::assert_snapshot!(story.told("TO-03"), @r"
        violated: only 0 of 1 messages whose sender lost its session after the copy were processed all the same
        - copy confirmed at 0.034 s; client-1 lost its session before the reply at 0.037 s for message 1; no delivery to user-1@external.example by 4 h; therefore lost
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-03"), @"inconclusive: no sender lost its session between the copy's 250 and the ack (messages sent again do not count)");
}

#[test]
fn to_03_does_not_count_a_session_that_was_lost_before_the_copy_was_confirmed() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .close("client-1>n1", "client")
        .ends(1, Outcome::Indeterminate, None);
    story.copy(1, "n1>n2").settle();
    insta::assert_snapshot!(story.told("TO-03"), @"inconclusive: no sender lost its session between the copy's 250 and the ack (messages sent again do not count)");
}

#[test]
fn to_04_shows_one_copy() {
    let mut story = Story::new();
    gone(&mut story)
        .delivered(1, "n1")
        .accepted(1, "n1", "n3")
        .sink(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TO-04"), @"holds: 1 of 1 mailboxes show one copy of a message that was sent again");

    let mut story = Story::new();
    gone(&mut story)
        .delivered(1, "n1")
        .accepted(1, "n1", "n3")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TO-04"), @r"
        violated: only 0 of 1 mailboxes show one copy of a message that was sent again
        - client-1 lost its session before the reply at 0.037 s; message 1 sent again at 0.049 s; user-1@mailbox.example shows it 2 times
    ");

    let mut story = Story::new();
    gone(&mut story).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-04"), @"inconclusive: no message was sent again whose sender had lost its session after the copy");
}

#[test]
fn to_05_gives_the_second_transmission_a_copy_of_its_own() {
    let mut story = Story::new();
    gone(&mut story)
        .delivered(1, "n1")
        .accepted(1, "n2", "n3")
        .sink(1, "n2")
        .settle();
    insta::assert_snapshot!(story.told("TO-05"), @"holds: 1 of 1 second transmissions got a copy of their own");

    let mut story = Story::new();
    gone(&mut story)
        .delivered(1, "n1")
        .submit(1, "n1")
        .end_of_data(1)
        .ack(1)
        .sink(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TO-05"), @r"
        violated: only 0 of 1 second transmissions got a copy of their own
        - message 1, copied at 0.033 s, was sent again at 0.049 s; 250 to client-1 at 0.065 s, and no copy of it was made
    ");

    let mut story = Story::new();
    gone(&mut story).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-05"), @"inconclusive: no message that had been copied was sent again and acked");
}

#[test]
fn to_05_counts_no_copy_of_the_second_transmission_for_the_first() {
    let again = |of_first: bool| {
        let mut story = Story::new();
        story.submit(1, "n1").end_of_data(1);
        if of_first {
            story.copy(1, "n1>n2");
        }
        story.ends(1, Outcome::Indeterminate, None);
        // The first session hangs on, and its 421 comes long after the second transmission, which is the same octet for
        // octet.
        story.submit_as(1, "n1", |s| s.attempt = 1);
        story.end_of_data(1);
        if !of_first {
            story.copy(1, "n1>n2");
        }
        story.ack(1).after("1m");
        story.push(Event::Wire {
            link: "client-1>n1".into(),
            connection: 1,
            wire: Wire::FinalReply {
                kind: Transaction::Mail,
                reply: reply(421, "4.4.2 idle for too long"),
                message: Some(1),
                attempt: Some(1),
                transport_id: None,
            },
        });
        story.delivered(1, "n1").settle();
        story.told("TO-05")
    };
    insta::assert_snapshot!(again(false), @"inconclusive: no message that had been copied was sent again and acked");
    insta::assert_snapshot!(again(true), @r"
    violated: only 0 of 1 second transmissions got a copy of their own
    - message 1, copied at 0.033 s, was sent again at 0.037 s; 250 to client-1 at 0.053 s, and no copy of it was made
    ");
}

/// The sender of message 1 is gone while the copy is under way.
fn gone_early(story: &mut Story) -> &mut Story {
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy_begins(1, "n1>n2")
        .close("client-1>n1", "tap");
    story.ends(1, Outcome::Indeterminate, None)
}

#[test]
fn to_02_keeps_the_message_unless_it_shall_be_refused() {
    let mut story = Story::new();
    gone_early(&mut story)
        .copy_answered(1, "n1>n2", 250)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TO-02"), @"holds: 1 of 1 messages whose sender was lost before the copy were treated as RejectMessageOnShadowFailure says");

    let mut story = Story::new();
    gone_early(&mut story)
        .copy_answered(1, "n1>n2", 250)
        .settle();
    insta::assert_snapshot!(story.told("TO-02"), @r"
        violated: only 0 of 1 messages whose sender was lost before the copy were treated as RejectMessageOnShadowFailure says
        - client-1 lost its session before the reply at 0.035 s for message 1; no delivery to user-1@external.example by 4 h; therefore lost
    ");

    let mut story = Story::new();
    gone(&mut story).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TO-02"), @"inconclusive: no sender lost its session while a copy was being made (messages sent again do not count)");
}

#[test]
fn to_02_keeps_nothing_without_a_copy_when_it_shall_be_refused() {
    let reject = |story: &mut Story| {
        story.set("RejectMessageOnShadowFailure", Setting::Switch(true));
    };
    let mut story = Story::new();
    reject(&mut story);
    gone_early(&mut story)
        .after("1m")
        .close("n1>n2", "client")
        .settle();
    insta::assert_snapshot!(story.told("TO-02"), @"holds: 1 of 1 messages whose sender was lost before the copy were treated as RejectMessageOnShadowFailure says");

    let mut story = Story::new();
    reject(&mut story);
    gone_early(&mut story)
        .after("1m")
        .close("n1>n2", "client")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TO-02"), @r"
        violated: only 0 of 1 messages whose sender was lost before the copy were treated as RejectMessageOnShadowFailure says
        - client-1 lost its session before the reply at 0.035 s; no copy of message 1 was confirmed, and it came to user-1@external.example
    ");
}
