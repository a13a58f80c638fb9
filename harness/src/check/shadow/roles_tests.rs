//! SC-14 and SC-16 on hand-written histories.

use crate::{
    check::testing::{Story, reply},
    history::{Event, Wire},
};

fn resubmit(story: &mut Story) -> &mut Story {
    story.push(Event::Resubmit {
        node: "n1".into(),
        from_us: 0,
        to_us: 1_000_000,
        resubmitted: Some(1),
    })
}

#[test]
fn sc_14_keeps_what_was_acknowledged_outside_out_of_resubmissions() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1");
    resubmit(&mut story).settle();
    insta::assert_snapshot!(story.told("SC-14"), @"holds: 1 of 1 messages that were acknowledged outside were not sent there again");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1");
    resubmit(&mut story).sink(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-14"), @r"
        violated: only 0 of 1 messages that were acknowledged outside were not sent there again
        - message 1 was acknowledged on n1>sink-1 at 0.047 s; n1 was asked to resubmit at 0.049 s, and sent it there again at 0.058 s
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-14"), @"inconclusive: no resubmission was asked for after mail had been acknowledged outside");
}

#[test]
fn sc_14_leaves_a_second_submission_by_its_client_alone() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1");
    resubmit(&mut story)
        .accepted(1, "n1", "n2")
        .sink(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-14"), @"holds: 1 of 1 messages that were acknowledged outside were not sent there again");
}

#[test]
fn sc_16_needs_a_node_in_both_roles_at_once() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .accepted(2, "n2", "n1")
        .delivered(1, "n1")
        .delivered(2, "n2")
        .settle();
    insta::assert_snapshot!(story.told("SC-16"), @"holds: 1 of 1 copies were taken by a node that was primary server for other messages");

    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .submit(2, "n2")
        .end_of_data(2)
        .copy_begins(2, "n2>n1")
        .copy_answered(2, "n2>n1", 451);
    story
        .copy(2, "n2>n3")
        .ack(2)
        .delivered(1, "n1")
        .delivered(2, "n2")
        .settle();
    insta::assert_snapshot!(story.told("SC-16"), @r"
        violated: only 0 of 1 copies were taken by a node that was primary server for other messages
        - n1 was primary server for message 1 at 0.057 s; it answered 451 to n2's copy at 0.068 s
    ");

    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .after("1s")
        .accepted(2, "n2", "n1")
        .delivered(2, "n2")
        .settle();
    insta::assert_snapshot!(story.told("SC-16"), @"inconclusive: no node was asked to hold a copy while it was primary server for another message");
}

/// n1 has taken message 1 in, which waits, and refuses n2's copy of message 2, of whose end it was told (or not).
fn refused_copy(told: &[u32]) -> String {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n3")
        .submit(2, "n2")
        .end_of_data(2)
        .copy_begins(2, "n2>n1");
    story.greet("n1>n2", "db", 7);
    let lines: Vec<_> = told
        .iter()
        .map(|n| format!("2.0.0 n2/db/{n} delivered"))
        .chain(["2.0.0 cursor=9".to_owned()])
        .collect();
    story.wire(
        "n1>n2",
        Wire::Command {
            verb: "XQDISCARD".into(),
            line: "XQDISCARD 0 100".into(),
        },
    );
    story.wire(
        "n1>n2",
        Wire::Reply {
            verb: "XQDISCARD".into(),
            reply: reply(250, &lines.join("\n")),
        },
    );
    story
        .copy_answered(2, "n2>n1", 451)
        .after("1m")
        .delivered(1, "n1")
        .delivered(2, "n2")
        .settle();
    story.told("SC-16")
}

#[test]
fn sc_16_a_copy_of_what_is_done_may_be_refused() {
    insta::assert_snapshot!(refused_copy(&[2]), @"inconclusive: no node was asked to hold a copy while it was primary server for another message");
    insta::assert_snapshot!(refused_copy(&[3]), @r"
    violated: only 0 of 1 copies were taken by a node that was primary server for other messages
    - n1 was primary server for message 1 at 0.057 s; it answered 451 to n2's copy at 0.076 s
    ");
}

#[test]
fn sc_16_a_session_that_is_over_refuses_no_copy() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n3")
        .submit(2, "n2")
        .end_of_data(2)
        .copy_begins(2, "n2>n1")
        .after("5m")
        .copy_answered(2, "n2>n1", 421);
    story.delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-16"), @"inconclusive: no node was asked to hold a copy while it was primary server for another message");
}
