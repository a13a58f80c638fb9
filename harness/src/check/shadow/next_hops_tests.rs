//! SC-12 on hand-written histories: message 1 is for a mailbox on n3 and for a recipient at sink-1.

use insta::assert_snapshot;

use crate::check::{
    heartbeat::tests::story,
    testing::{MAILBOX, Story},
};

/// The mailbox has it, and an answer to n2 did not name it.
fn half_done() -> Story {
    let mut story = story();
    story
        .accepted(1, "n1", "n2")
        .mailbox(1)
        .handed(1, "n1")
        .asks("n2>n1", 2, "2m");
    story
}

#[test]
fn the_shadow_is_kept_until_the_last_next_hop_is_done() {
    let mut story = half_done();
    story.sink(1, "n1").after("2m").ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("SC-12"), @"holds: 1 of 1 messages kept their shadow until the last of their next hops was done");
}

#[test]
fn the_first_success_releases_it() {
    let mut story = half_done();
    story.ask("n2>n1", &[1]).after("1h").sink(1, "n1").settle();
    assert_snapshot!(story.told("SC-12"), @r"
    violated: only 0 of 1 messages kept their shadow until the last of their next hops was done
    - n1 told n2 at 4 min 0.087 s that message 1 (n1/db/1) is done; user-1@external.example at sink-1 was done at 1 h 4 min only
    ");

    let mut story = half_done();
    story.ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("SC-12"), @r"
    violated: only 0 of 1 messages kept their shadow until the last of their next hops was done
    - n1 told n2 at 4 min 0.087 s that message 1 (n1/db/1) is done; user-1@external.example at sink-1 was not done by the end
    ");
}

#[test]
fn nothing_is_known_when_all_were_done_before_the_first_question() {
    let mut story = story();
    story
        .accepted(1, "n1", "n2")
        .mailbox(1)
        .handed(1, "n1")
        .sink(1, "n1")
        .after("2m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("SC-12"), @"inconclusive: no next hop of a message was done long before another one");
}

#[test]
fn a_message_with_one_next_hop_says_nothing() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 2, "2m")
        .sink(1, "n1")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("SC-12"), @"inconclusive: no next hop of a message was done long before another one");
}

#[test]
fn two_servers_lost_at_once_are_outside() {
    let mut story = half_done();
    story.destroy("n1").destroy("n2").settle();
    assert_snapshot!(story.told("SC-12"), @"outside: n1 destroyed at 4 min 0.081 s and n2 destroyed at 4 min 0.083 s, and message 1 was in transit all the while: more than one server failed at once");
}

/// The same message is sent to n1 a second time.
fn sent_again() -> Story {
    let mut story = half_done();
    story.accepted(1, "n1", "n2");
    story
}

#[test]
fn a_second_transmission_that_is_delivered_later_is_no_part_of_the_first() {
    let mut story = half_done();
    story.sink(1, "n1").after("2m").accepted(1, "n1", "n2");
    story.ask("n2>n1", &[1]).after("1h").sink(1, "n1");
    story.ask("n2>n1", &[2]).settle();
    assert_snapshot!(story.told("SC-12"), @"holds: 1 of 1 messages kept their shadow until the last of their next hops was done");
}

#[test]
fn no_transmission_may_be_told_before_any_is_delivered() {
    let mut story = sent_again();
    story.ask("n2>n1", &[1]).after("1h").sink(1, "n1").settle();
    assert_snapshot!(story.told("SC-12"), @r"
    violated: only 0 of 1 messages kept their shadow until the last of their next hops was done
    - n1 told n2 at 4 min 0.121 s that message 1 (n1/db/1) is done; user-1@external.example at sink-1 was not done by the end
    ");
}

#[test]
fn an_acknowledgement_that_may_be_lost_may_also_have_come() {
    let mut story = story();
    story.accepted(1, "n1", "n2").sink(1, "n1");
    story
        .mailbox(1)
        .handed(1, "n1")
        .part("n1", "n3")
        .after("2m");
    story.ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("SC-12"), @"inconclusive: no next hop of a message was done long before another one");
}

#[test]
fn a_refusal_of_the_session_may_be_the_end_of_a_recipient() {
    let mut story = half_done();
    let link = "n1>sink-1";
    story.connect(link).command(link, "MAIL FROM:<s@x>", 552);
    story.ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("SC-12"), @"holds: 1 of 1 messages kept their shadow until the last of their next hops was done");
}

#[test]
fn a_copy_without_a_recipient_says_nothing_of_it() {
    let mut story = story();
    story.submit(1, "n1").end_of_data(1);
    let link = "n1>n2";
    story
        .connect(link)
        .command(link, "XSHADOW n1/db/1 0", 250)
        .command(link, "MAIL FROM:<s@x>", 250)
        .command(link, &format!("RCPT TO:<{MAILBOX}>"), 250)
        .command(link, "DATA", 354);
    story.copy_sent(1, link).copy_answered(1, link, 250).ack(1);
    story.mailbox(1).handed(1, "n1").ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("SC-12"), @"inconclusive: no next hop of a message was done long before another one");
}
