//! TC-09 on hand-written histories: n1 and n2 send the mail for loop.example to each other.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use crate::{
    check::testing::{Story, reply},
    history::{Transaction, Wire},
    scenario::Setting,
};

const ROUND: &str = "round@loop.example";
const SENDER: &str = "sender@external.example";

/// Message 1 is taken so many times from another node.
fn taken(times: u32, from: &str) -> Story {
    let mut story = Story::new();
    let hosts = [("n1", "n2"), ("n2", "n1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let routes = &mut story.scenario.cluster.routes;
    routes.insert("loop.example".into(), BTreeMap::from(hosts));
    story.set("MaxHopCount", Setting::Number(5));
    story
        .submit_as(1, "n1", |s| {
            s.recipients = vec![ROUND.into()];
            s.from = from.into();
        })
        .end_of_data(1)
        .ack(1);
    for n in 0..times {
        hop(&mut story, n, 250);
    }
    story
}

fn hop(story: &mut Story, n: u32, code: u16) {
    hop_for(story, n, code, None);
}

fn hop_for(story: &mut Story, n: u32, code: u16, recipient: Option<&str>) {
    let link = if n.is_multiple_of(2) {
        "n1>n2"
    } else {
        "n2>n1"
    };
    let (kind, message, attempt) = (Transaction::Mail, Some(1), Some(1));
    story.connect(link);
    if let Some(to) = recipient {
        story.command(link, "MAIL FROM:<s@x>", 250);
        story.command(link, &format!("RCPT TO:<{to}>"), 250);
    }
    story.wire(
        link,
        Wire::EndOfData {
            kind,
            message,
            attempt,
            transport_id: None,
        },
    );
    story.wire(
        link,
        Wire::FinalReply {
            kind,
            reply: reply(code, "5.4.6"),
            message,
            attempt,
            transport_id: None,
        },
    );
}

/// …and refused the next time.
fn refused(times: u32, from: &str) -> Story {
    let mut story = taken(times, from);
    hop(&mut story, times, 554);
    story
}

#[test]
fn tc_09_ends_a_loop_with_a_dsn() {
    let mut told = refused(5, SENDER);
    told.dsn(1, ROUND, SENDER).settle();
    assert_snapshot!(told.told("TC-09"), @"holds: 1 of 1 messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender");
    assert_snapshot!(refused(5, SENDER).settle().told("TC-09"), @r"
    violated: only 0 of 1 messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender
    - message 1 for round@loop.example went round until it was refused at 0.042 s; no DSN had come to sender@external.example when all was quiet at 4 h
    ");
    assert_snapshot!(refused(5, "").settle().told("TC-09"), @"holds: 1 of 1 messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender");
    assert_snapshot!(refused(5, "").dsn(1, ROUND, SENDER).settle().told("TC-09"), @r"
    violated: only 0 of 1 messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender
    - message 1 has a null return path, and a DSN about it was sent
    ");
}

#[test]
fn tc_09_is_violated_by_going_round_for_ever() {
    assert_snapshot!(taken(6, SENDER).settle().told("TC-09"), @r"
    violated: only 0 of 1 messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender
    - message 1 was taken 6 times from another node by 0.042 s; MaxHopCount is 5
    ");
}

/// Beside what goes round n1 hands n2 what is for a mailbox in another boundary.
#[test]
fn tc_09_counts_only_what_goes_round() {
    let beside = |recipient: &str| {
        let mut story = taken(5, SENDER);
        hop_for(&mut story, 0, 250, Some(recipient));
        hop(&mut story, 5, 554);
        story.dsn(1, ROUND, SENDER).settle().told("TC-09")
    };
    assert_snapshot!(beside("user-1@mailbox.example"), @"holds: 1 of 1 messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender");
    assert_snapshot!(beside(ROUND), @r"
    violated: only 0 of 1 messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender
    - message 1 was taken 6 times from another node by 0.046 s; MaxHopCount is 5
    ");
}

#[test]
fn tc_09_does_not_count_rounds_after_a_fault_or_judge_what_is_no_loop() {
    let thin = "inconclusive: no message went round";
    let mut cut = taken(6, SENDER);
    cut.part("n1", "n2").heal();
    assert_eq!(cut.settle().told("TC-09"), thin);
    assert_eq!(refused(2, SENDER).settle().told("TC-09"), thin);
}
