//! SC-15 on hand-written histories.

use crate::{
    check::testing::Story,
    history::{Held, NodeView, Outcome},
};

/// f1 is a front end before n1, n2 and n3.
fn story() -> Story {
    let mut story = Story::new();
    story.scenario.cluster.nodes.push("f1".into());
    story.scenario.cluster.front_ends = vec!["f1".into()];
    story
}

/// Message 1 through f1 to n1, with its copy on n2.
fn through(story: &mut Story) -> &mut Story {
    story
        .submit(1, "f1")
        .goes_on(1, "f1>n1")
        .end_of_data(1)
        .copy(1, "n1>n2")
        .answered_there(1, "f1>n1", 250)
}

#[test]
fn sc_15_an_ack_comes_after_the_primarys_which_comes_after_the_copys() {
    let mut story = story();
    through(&mut story).ack(1).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-15"), @"holds: 1 of 1 acks of a front end came after the primary's and the copy's");
    // The primary server is the transport server behind.
    insta::assert_snapshot!(story.told("SC-01"), @"holds: 1 of 1 acks came after the copy's 250");
}

#[test]
fn sc_15_is_violated_by_an_ack_before_the_primarys() {
    let mut story = story();
    story.submit(1, "f1").goes_on(1, "f1>n1").end_of_data(1);
    story
        .ack(1)
        .copy(1, "n1>n2")
        .answered_there(1, "f1>n1", 250)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-15"), @r"
        violated: only 0 of 1 acks of a front end came after the primary's and the copy's
        - 250 to client-1 at 0.025 s for message 1 by f1; n1's 250 only at 0.043 s
    ");
}

#[test]
fn sc_15_is_violated_by_an_ack_that_nobody_behind_gave() {
    let mut never = story();
    never.submit(1, "f1").end_of_data(1).ack(1).settle();
    insta::assert_snapshot!(never.told("SC-15"), @r"
        violated: only 0 of 1 acks of a front end came after the primary's and the copy's
        - 250 to client-1 at 0.020 s for message 1 by f1; it was passed on to no transport server
    ");
    let mut refused = story();
    refused.submit(1, "f1").goes_on(1, "f1>n1").end_of_data(1);
    refused.answered_there(1, "f1>n1", 451).ack(1).settle();
    insta::assert_snapshot!(refused.told("SC-15"), @r"
        violated: only 0 of 1 acks of a front end came after the primary's and the copy's
        - 250 to client-1 at 0.026 s for message 1 by f1; n1's 451 only at 0.024 s
    ");
}

#[test]
fn sc_15_is_violated_by_a_primary_without_a_copy() {
    let mut story = story();
    story.submit(1, "f1").goes_on(1, "f1>n1").end_of_data(1);
    story.answered_there(1, "f1>n1", 250).ack(1);
    story.delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-15"), @r"
        violated: only 0 of 1 acks of a front end came after the primary's and the copy's
        - 250 to client-1 at 0.026 s for message 1 by f1; n1 acked it at 0.024 s without a copy
    ");
}

#[test]
fn sc_15_a_lost_front_end_takes_nothing_with_it() {
    let mut good = story();
    through(&mut good).ack(1).kill("f1");
    good.delivered(1, "n1").settle();
    insta::assert_snapshot!(good.told("SC-15"), @"holds: 1 of 1 acks of a front end came after the primary's and the copy's; 1 message outlived the front end");
    let mut bad = story();
    through(&mut bad).ack(1).kill("f1").observe().settle();
    assert!(
        bad.told("SC-15").starts_with("violated"),
        "{}",
        bad.told("SC-15")
    );
}

#[test]
fn sc_15_a_front_end_holds_nothing_and_is_asked_for_nothing() {
    let mut holds = story();
    let held = Held {
        transport_id: "f1/db/1".into(),
        message_id: None,
        role: "primary".into(),
        other: String::new(),
        recipients: Vec::new(),
    };
    let view = NodeView {
        queue: vec![held],
        ..NodeView::default()
    };
    through(&mut holds).ack(1).view("f1", view);
    holds.delivered(1, "n1").settle();
    insta::assert_snapshot!(holds.told("SC-15"), @r"
        violated: only 1 of 2 acks of a front end came after the primary's and the copy's
        - the front end f1 holds mail, or a database, at 0.044 s
    ");
    let mut asked = story();
    through(&mut asked).ack(1).connect("n2>f1");
    asked.command("n2>f1", "XQDISCARD 0 100", 550);
    asked.delivered(1, "n1").settle();
    insta::assert_snapshot!(asked.told("SC-15"), @r"
        violated: only 1 of 2 acks of a front end came after the primary's and the copy's
        - XQDISCARD on n2>f1 at 0.046 s
    ");
}

#[test]
fn sc_15_says_nothing_without_an_ack_through_a_front_end() {
    let mut none = Story::new();
    none.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(none.told("SC-15"), @"inconclusive: there is no front end in this cluster");
    let mut past = story();
    past.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(past.told("SC-15"), @"inconclusive: no message was acked through a front end");
}

#[test]
fn a_refusal_by_the_front_end_itself_is_no_refusal_for_want_of_a_copy() {
    let mut story = story();
    story
        .submit(1, "f1")
        .end_of_data(1)
        .refuse(1, 451, "4.4.0 no transport server can be reached")
        .settle();
    insta::assert_snapshot!(story.told("SC-09"), @"inconclusive: no node that accepts messages without a copy was sent one");
}

#[test]
fn what_became_of_a_message_is_not_known_when_the_transport_server_was_lost() {
    let mut story = story();
    story.submit(1, "f1").goes_on(1, "f1>n1").end_of_data(1);
    story.copy(1, "n1>n2").kill("n1");
    story.ends(
        1,
        Outcome::Refused,
        Some(crate::check::testing::reply(421, "4.4.2 lost")),
    );
    story.delivered(1, "n2").settle();
    assert!(!story.told("SC-15").starts_with("violated"));
    assert!(
        !story.told("TC-11").starts_with("violated"),
        "{}",
        story.told("TC-11")
    );
}
