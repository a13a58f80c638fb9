//! HB-07.

use insta::assert_snapshot;

use super::{discards, shadows, story};
use crate::check::testing::Story;

/// n1 has delivered message 1, and n2 cannot ask.
fn cut_off() -> Story {
    let mut story = story();
    story.set_span("ShadowResubmitTimeSpan", "20d");
    story.external(1, "n1", "n2").sink(1, "n1").part("n1", "n2");
    story
}

#[test]
fn the_event_is_there_before_two_days_and_gone_after() {
    let mut story = cut_off();
    story
        .after("1d 23h")
        .view("n1", discards(&[1], "n2"))
        .after("4h")
        .view("n1", discards(&[], "n2"))
        .settle();
    assert_snapshot!(story.told("HB-07"), @"holds: 2 of 2 looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it");
}

#[test]
fn the_event_is_gone_after_one_day() {
    let mut story = cut_off();
    story
        .after("1d 1h")
        .view("n1", discards(&[], "n2"))
        .settle();
    assert_snapshot!(story.told("HB-07"), @r"
    violated: only 0 of 1 looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it
    - n1 had delivered message 1 (n1/db/1) by 0.044 s, and had not told n2 so; at 1 d 1 h n1 does not have its discard event any more: ShadowMessageAutoDiscardInterval is 2 d
    ");
}

#[test]
fn the_event_is_there_after_three_days() {
    let mut story = cut_off();
    story.after("3d").view("n1", discards(&[1], "n2")).settle();
    assert_snapshot!(story.told("HB-07"), @r"
    violated: only 0 of 1 looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it
    - n1 had delivered message 1 (n1/db/1) by 0.044 s, and had not told n2 so; at 3 d n1 still has its discard event: ShadowMessageAutoDiscardInterval is 2 d
    ");
}

#[test]
fn the_event_is_told_after_three_days() {
    let mut story = cut_off();
    story.after("3d").heal().ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("HB-07"), @r"
    violated: only 0 of 1 looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it
    - n1 had delivered message 1 (n1/db/1) by 0.044 s, and had not told n2 so; at 3 d n1 tells n2 so: ShadowMessageAutoDiscardInterval is 2 d
    ");
}

#[test]
fn the_event_is_told_just_in_time() {
    let mut story = cut_off();
    story.after("1d 23h").heal().ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("HB-07"), @"holds: 1 of 1 looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it");
}

#[test]
fn the_event_is_not_told_although_it_is_in_time() {
    let mut story = cut_off();
    story.after("1d 23h").heal().ask("n2>n1", &[]).settle();
    assert_snapshot!(story.told("HB-07"), @r"
    violated: only 0 of 1 looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it
    - n1 had delivered message 1 (n1/db/1) by 0.044 s, and had not told n2 so; at 1 d 23 h n1 answers that there is nothing (more) to tell: ShadowMessageAutoDiscardInterval is 2 d
    ");
}

#[test]
fn many_answers_that_nothing_is_left_to_tell_are_one_proof() {
    let mut story = cut_off();
    story.after("2d 5h").heal().asks("n2>n1", 20, "2m").settle();
    assert_snapshot!(story.told("HB-07"), @"holds: 1 of 1 looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it");
}

#[test]
fn drops_within_a_twentieth_of_the_interval_are_not_late() {
    let mut story = cut_off();
    story
        .after("2d 1h")
        .view("n1", discards(&[1], "n2"))
        .settle();
    assert_snapshot!(story.told("HB-07"), @"inconclusive: no discard event was looked at shortly before, or after, the end of ShadowMessageAutoDiscardInterval");
}

#[test]
fn what_was_asked_for_may_go() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .after("2m")
        .ask("n2>n1", &[1]);
    story.after("1d 23h").view("n1", shadows(&[])).settle();
    assert_snapshot!(story.told("HB-07"), @"inconclusive: no discard event was looked at shortly before, or after, the end of ShadowMessageAutoDiscardInterval");
}

/// n3 was frozen with n1's delivery, and answered a session that n1 had given up: n1 delivers again, later.
#[test]
fn a_delivery_that_was_acknowledged_too_late_is_not_done() {
    let answered = |quits: bool| {
        let mut story = story();
        story.external(1, "n1", "n2").sink(1, "n1");
        if quits {
            story.command("n1>sink-1", "QUIT", 221);
        }
        story.close("n1>sink-1", "client").after("1d");
        story.view("n1", discards(&[], "n2")).settle();
        story.told("HB-07")
    };
    let told = answered(false);
    assert!(told.starts_with("inconclusive"), "{told}");
    let told = answered(true);
    assert!(told.starts_with("violated"), "{told}");
}
