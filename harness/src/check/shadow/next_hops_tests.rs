//! SC-12 on hand-written histories: message 1 is for a mailbox on n3 and for a recipient at sink-1.

use insta::assert_snapshot;

use crate::check::{heartbeat::tests::story, testing::Story};

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
