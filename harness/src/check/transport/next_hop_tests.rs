//! TC-05 and TC-06 on hand-written histories.

use crate::{
    check::testing::{EXTERNAL, Story},
    history::Outcome,
};

#[test]
fn tc_05_keeps_and_retries() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .connect_fails("n1>sink-1")
        .after("10m")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-05"), @"holds: 1 of 1 deliveries that a next hop had put off came later");

    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .connect_fails("n1>sink-1")
        .mailbox(1)
        .settle();
    insta::assert_snapshot!(story.told("TC-05"), @r"
        violated: only 0 of 1 deliveries that a next hop had put off came later
        - 250 to client-1 at 0.037 s for message 1; no delivery to user-1@external.example by 4 h; therefore lost
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-05"), @"inconclusive: no next hop put off a delivery");
}

/// The sink refuses message 1's external recipient.
fn refused(from: &str) -> Story {
    let mut story = Story::new();
    story
        .submit_as(1, "n1", |s| s.from = from.into())
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .mailbox(1);
    story
        .connect("n1>sink-1")
        .command("n1>sink-1", "MAIL FROM:<s@x>", 250);
    story
        .command("n1>sink-1", &format!("RCPT TO:<{EXTERNAL}>"), 550)
        .close("n1>sink-1", "client");
    story
}

#[test]
fn tc_06_tells_the_return_path() {
    let mut story = refused("sender@external.example");
    story.dsn(1, EXTERNAL, "sender@external.example").settle();
    insta::assert_snapshot!(story.told("TC-06"), @"holds: 1 of 1 messages with a recipient that was refused for good were treated as they must be, 0 of them with a null return path");

    let mut story = refused("sender@external.example");
    story.settle();
    insta::assert_snapshot!(story.told("TC-06"), @r"
        violated: only 1 of 2 messages with a recipient that was refused for good were treated as they must be, 0 of them with a null return path
        - 550 for user-1@external.example at 0.043 s; no DSN about message 1 to sender@external.example by 4 h
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-06"), @"inconclusive: no next hop refused a recipient for good");
}

#[test]
fn tc_06_tells_nobody_when_the_return_path_is_null() {
    let mut story = refused("");
    story.settle();
    insta::assert_snapshot!(story.told("TC-06"), @"holds: 1 of 1 messages with a recipient that was refused for good were treated as they must be, 1 of them with a null return path");

    let mut story = refused("");
    story
        .dsn(1, EXTERNAL, "postmaster@external.example")
        .settle();
    insta::assert_snapshot!(story.told("TC-06"), @r"
        violated: only 1 of 2 messages with a recipient that was refused for good were treated as they must be, 1 of them with a null return path
        - message 1 has a null return path; a DSN about it came to postmaster@external.example
    ");
}

#[test]
fn tc_06_binds_nobody_to_a_message_that_was_not_acked() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .ends(1, Outcome::Indeterminate, None)
        .settle();
    insta::assert_snapshot!(story.told("TC-06"), @"inconclusive: no next hop refused a recipient for good");
}

/// The sender's mailbox is in a boundary that takes no mail, as no server may hold its copies there.
#[test]
fn tc_06_owes_no_dsn_to_a_boundary_that_takes_no_mail() {
    let told = |rejects: bool| {
        let mut story = refused("user-9@mailbox.example");
        let members = vec!["n1".into(), "n2".into()];
        story.scenario.cluster.dags = std::collections::BTreeMap::from([("dag-1".into(), members)]);
        let rejects = crate::scenario::Setting::Switch(rejects);
        story.set("RejectMessageOnShadowFailure", rejects);
        story.settle().told("TC-06")
    };
    assert!(!told(true).contains("no DSN"), "{}", told(true));
    assert!(told(false).contains("no DSN"), "{}", told(false));
}
