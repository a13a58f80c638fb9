use crate::{
    check::{
        mail_ledger,
        testing::{EXTERNAL, Story, reply},
    },
    history::{Fault, Transaction, Wire},
};

/// The ledger in a line, what is 0 left out.
fn told(story: &Story) -> String {
    let ledger = mail_ledger(&story.history()).expect("a plan");
    let value = serde_json::to_value(&ledger).expect("JSON");
    let numbers = value.as_object().expect("an object").iter();
    let numbers = numbers.filter(|(_, n)| n.as_u64().is_some_and(|n| n > 0));
    let numbers: Vec<String> = numbers.map(|(name, n)| format!("{name} {n}")).collect();
    let exposure = ledger
        .exposure
        .iter()
        .map(|e| format!("{} {} ({})", e.kind, e.happened, e.acked));
    numbers
        .into_iter()
        .chain(exposure)
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn every_promised_delivery_is_counted_once() {
    let mut story = Story::new();
    // Both recipients; the external one twice; the external one alone; refused, and delivered all the same.
    story.accepted(1, "n1", "n2").delivered(1, "n1").mailbox(1);
    story
        .accepted(2, "n1", "n2")
        .delivered(2, "n1")
        .sink(2, "n1");
    story.accepted(3, "n1", "n2").sink(3, "n1");
    story
        .submit(4, "n1")
        .end_of_data(4)
        .refuse(4, 451, "4.3.0 no")
        .sink(4, "n1");
    story.settle();
    insta::assert_snapshot!(told(&story), @"");
}

#[test]
fn a_delivery_is_late_when_no_retry_explains_it() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1");
    story
        .accepted(2, "n1", "n2")
        .after("9h")
        .delivered(2, "n1")
        .settle();
    insta::assert_snapshot!(told(&story), @"");
}

#[test]
fn what_happened_is_read_off_the_wire() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2");
    let n1 = || Fault::ProcessCrash { node: "n1".into() };
    story.fault(n1()).up("n1", "db-n1-1");
    let failed = Wire::ConnectFailed {
        error: "refused".into(),
    };
    story.wire("n1>sink-1", failed);
    let deferred = Wire::FinalReply {
        kind: Transaction::Mail,
        reply: reply(451, "4.3.0 later"),
        message: Some(1),
        attempt: Some(1),
        transport_id: None,
    };
    let end = Wire::EndOfData {
        kind: Transaction::Mail,
        message: Some(1),
        attempt: Some(1),
        transport_id: None,
    };
    story.wire("n1>sink-1", end).wire("n1>sink-1", deferred);
    story.delivered(1, "n1").settle();
    let told = told(&story);
    for kind in [
        "process killed 1 (1)",
        "next hop down 1 (1)",
        "next hop defers 1 (1)",
    ] {
        assert!(told.contains(kind), "{told}");
    }
    assert!(!told.contains("power lost"), "{told} for {EXTERNAL}");
}
