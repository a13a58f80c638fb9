//! TC-01 and TC-02 on hand-written histories.

use crate::{
    check::testing::Story,
    history::{Fault, Held, NodeView},
};

#[test]
fn tc_01_delivers_after_the_restart() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .kill("n1")
        .up("n1", "db-n1-1")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-01"), @"holds: 2 of 2 deliveries of acked mail came through 1 crash");

    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .kill("n1")
        .up("n1", "db-n1-1")
        .settle();
    insta::assert_snapshot!(story.told("TC-01"), @r"
        violated: only 0 of 2 deliveries of acked mail came through 1 crash
        - 250 to client-1 at 0.037 s for message 1; n1 killed at 0.039 s; no delivery to user-1@external.example by 4 h; therefore lost
        - 250 to client-1 at 0.037 s for message 1; n1 killed at 0.039 s; no delivery to user-1@mailbox.example by 4 h; therefore lost
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-01"), @"inconclusive: no acked message was in transit when a process was killed");
}

#[test]
fn tc_01_is_violated_by_a_message_that_waits_for_ever() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .kill("n1")
        .up("n1", "db-n1-1")
        .after("8h");
    let held = Held {
        transport_id: "n1/db/1".into(),
        message_id: Some("<1@gauntlet.example>".into()),
        role: "shadow".into(),
        other: "n1".into(),
        recipients: Vec::new(),
    };
    story
        .view_at_end(
            "n2",
            NodeView {
                shadow: vec![held],
                ..NodeView::default()
            },
        )
        .settle();
    insta::assert_snapshot!(story.told("TC-01"), @r"
        violated: only 0 of 2 deliveries of acked mail came through 1 crash
        - 250 to client-1 at 0.037 s for message 1; n1 killed at 0.039 s; no delivery to user-1@external.example by 12 h; n2 still holds it
        - 250 to client-1 at 0.037 s for message 1; n1 killed at 0.039 s; no delivery to user-1@mailbox.example by 12 h; n2 still holds it
    ");
}

#[test]
fn tc_02_is_about_the_host() {
    let crash = || Fault::HostCrash { node: "n1".into() };
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .fault(crash())
        .up("n1", "db-n1-1")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-02"), @"holds: 2 of 2 deliveries of acked mail came through 1 crash");

    // The node comes up with a new database that nobody asked for: it had synced nothing.
    let mut story = Story::new();
    story.scenario.cluster.nodes = vec!["n1".into()];
    story
        .submit(1, "n1")
        .end_of_data(1)
        .ack(1)
        .fault(crash())
        .up("n1", "db-n1-2")
        .settle();
    insta::assert_snapshot!(story.told("TC-02"), @r"
        violated: only 0 of 2 deliveries of acked mail came through 1 crash
        - 250 to client-1 at 0.020 s for message 1; n1's host crashed at 0.022 s; no delivery to user-1@external.example by 4 h; therefore lost
        - 250 to client-1 at 0.020 s for message 1; n1's host crashed at 0.022 s; no delivery to user-1@mailbox.example by 4 h; therefore lost
    ");

    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .kill("n1")
        .up("n1", "db-n1-1")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-02"), @"inconclusive: no acked message was in transit when a host lost power");
}

#[test]
fn a_mailbox_that_forgets_at_a_host_crash_has_lost_its_mail() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").observe();
    story
        .fault(Fault::HostCrash { node: "n3".into() })
        .mailboxes_lost()
        .up("n3", "db-n3-1")
        .settle();
    insta::assert_snapshot!(story.told("TC-02"), @r"
        violated: only 0 of 1 deliveries of acked mail came through 1 crash
        - 250 to client-1 at 0.037 s for message 1; n3's host crashed at 0.051 s; no delivery to user-1@mailbox.example by 4 h; therefore lost
    ");
}
