//! TC-08 and TC-10 on hand-written histories.

use crate::{
    check::testing::{Story, digest},
    history::{Delivery, Digest, Event},
    scenario::Step,
};

#[test]
fn tc_08_compares_what_arrived_with_what_was_sent() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-08"), @"holds: 2 of 2 copies arrived as they were sent");

    let longer = Digest {
        body: "other".into(),
        size: 1020,
        ..digest(1)
    };
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .sink(1, "n1")
        .mailbox_as(1, 1, longer)
        .settle();
    insta::assert_snapshot!(story.told("TC-08"), @r"
        violated: only 1 of 2 copies arrived as they were sent
        - message 1 was sent with 1001 octets; to user-1@mailbox.example came 1020 octets with another body
    ");

    let mut story = Story::new();
    story.settle();
    insta::assert_snapshot!(story.told("TC-08"), @"inconclusive: nothing arrived");
}

/// A submit step with something that looks like the end of the data.
fn smuggling() -> Story {
    let mut story = Story::new();
    let step: Step = toml::from_str::<std::collections::BTreeMap<String, Step>>(
        "step = { submit = { to = \"n1\", smuggle = \"\\n.\\n\" } }",
    )
    .ok()
    .and_then(|mut table| table.remove("step"))
    .expect("a step");
    story.step(step).accepted(1, "n1", "n2");
    story
}

#[test]
fn tc_10_takes_one_message_for_one() {
    let mut story = smuggling();
    story.delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-10"), @"holds: 1 of 1 messages with what looks like an end of data were taken as one, or refused");

    let shorter = Digest {
        body: "half".into(),
        size: 600,
        ..digest(1)
    };
    let mut story = smuggling();
    story.sink(1, "n1").mailbox_as(1, 1, shorter).settle();
    insta::assert_snapshot!(story.told("TC-10"), @r"
        violated: only 0 of 1 messages with what looks like an end of data were taken as one, or refused
        - message 1 was sent with 1001 octets; 600 of them came to n3
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-10"), @"inconclusive: no message held what looks like an end of data");
}

#[test]
fn tc_10_allows_a_server_to_write_bare_line_feeds_as_crlf() {
    let rewritten = Digest {
        body: "crlf".into(),
        size: 1003,
        ..digest(1)
    };
    let mut story = smuggling();
    story.sink(1, "n1").mailbox_as(1, 1, rewritten).settle();
    insta::assert_snapshot!(story.told("TC-10"), @"holds: 1 of 1 messages with what looks like an end of data were taken as one, or refused");
}

#[test]
fn tc_10_is_violated_by_a_second_message() {
    let mut story = smuggling();
    story.delivered(1, "n1").push(Event::Delivered(Delivery {
        sink: "sink-1".into(),
        link: "n1>sink-1".into(),
        from: "sender@external.example".into(),
        recipients: vec!["user-1@external.example".into()],
        message: None,
        attempt: None,
        dsn: None,
        message_id: None,
        digest: digest(99),
        received: 1,
        answered: true,
    }));
    story.settle();
    insta::assert_snapshot!(story.told("TC-10"), @r"
        violated: only 1 of 2 messages with what looks like an end of data were taken as one, or refused
        - sink-1 took mail for user-1@external.example at 0.050 s that no client sent
    ");
}
