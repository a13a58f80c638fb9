//! DD-01 to DD-03 on hand-written histories.

use crate::check::testing::Story;

/// Message 1 comes to n3, which has the mailboxes, once from its sender and once again.
fn twice(story: &mut Story) -> &mut Story {
    story
        .accepted(1, "n3", "n2")
        .delivered(1, "n3")
        .accepted(1, "n3", "n2")
        .sink(1, "n3")
}

#[test]
fn dd_01_shows_once_what_came_twice() {
    let mut story = Story::new();
    twice(&mut story).settle();
    insta::assert_snapshot!(story.told("DD-01"), @"holds: 1 of 1 messages that came more than once are shown once");

    let mut story = Story::new();
    twice(&mut story).mailbox(1).settle();
    insta::assert_snapshot!(story.told("DD-01"), @r"
        violated: only 0 of 1 messages that came more than once are shown once
        - user-1@mailbox.example shows message 1 2 times: of 0.048 s, 0.093 s
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("DD-01"), @"inconclusive: no message came to the mailboxes more than once");
}

#[test]
fn dd_01_says_nothing_of_messages_without_a_message_id() {
    let mut story = Story::new();
    story
        .submit_as(1, "n3", |s| s.message_id = None)
        .end_of_data(1)
        .copy(1, "n3>n2")
        .ack(1)
        .delivered(1, "n3");
    story.mailbox(1).settle();
    insta::assert_snapshot!(story.told("DD-01"), @"inconclusive: no message came to the mailboxes more than once");
}

/// Two messages with one Message-ID.
fn shared() -> Story {
    let mut story = Story::new();
    for n in [1, 2] {
        story.submit_as(n, "n1", |s| {
            s.message_id = Some("<same@gauntlet.example>".into())
        });
        story.end_of_data(n).copy(n, "n1>n2").ack(n).sink(n, "n1");
    }
    story
}

#[test]
fn dd_02_shows_both() {
    let mut story = shared();
    story.mailbox(1).mailbox(2).settle();
    insta::assert_snapshot!(story.told("DD-02"), @"holds: 2 of 2 messages with a shared Message-ID or none are shown");

    let mut story = shared();
    story.mailbox(1).settle();
    insta::assert_snapshot!(story.told("DD-02"), @r"
        violated: only 1 of 2 messages with a shared Message-ID or none are shown
        - message 2 (one of 2 with <same@gauntlet.example>): 250 to client-1 at 0.082 s for message 2; no delivery to user-1@mailbox.example by 4 h; therefore lost
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("DD-02"), @"inconclusive: no messages with the same Message-ID, or without one, were acked");
}

/// Message 1 is shown, n3 is killed and started, and the message comes again.
fn restarted() -> Story {
    let mut story = Story::new();
    story
        .accepted(1, "n3", "n2")
        .delivered(1, "n3")
        .after("1s")
        .kill("n3")
        .up("n3", "db-n3-1");
    story.accepted(1, "n3", "n2").sink(1, "n3");
    story
}

#[test]
fn dd_03_remembers_over_a_restart() {
    let mut story = restarted();
    story.settle();
    insta::assert_snapshot!(story.told("DD-03"), @"holds: 1 of 1 messages that came again after a restart are shown once");

    let mut story = restarted();
    story.mailbox(1).settle();
    insta::assert_snapshot!(story.told("DD-03"), @r"
        violated: only 0 of 1 messages that came again after a restart are shown once
        - user-1@mailbox.example showed message 1; n3 started again at 1.051 s; it came once more, and is shown 2 times
    ");

    let mut story = Story::new();
    twice(&mut story).settle();
    insta::assert_snapshot!(story.told("DD-03"), @"inconclusive: no message came again after its mailbox's node was started again");
}
