//! VZ-04 to VZ-06 on hand-written histories.

use insta::assert_snapshot;

use crate::{
    check::{judge, testing::Story},
    history::Fault,
    scenario::{Setting, Step},
};

/// Message 1 is in the snapshot, message 2 came after it.
fn reverted() -> Story {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2");
    story
        .step(Step::Snapshot { node: "n1".into() })
        .accepted(2, "n1", "n2")
        .after("5m")
        .fault(Fault::Revert { node: "n1".into() })
        .up("n1", "db-n1-1");
    story
}

fn saved() -> Story {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .fault(Fault::Save { node: "n1".into() })
        .after("1h")
        .heal();
    story
}

#[test]
fn a_loss_by_a_revert_is_measured_by_phase_and_is_outside_elsewhere() {
    let mut story = reverted();
    story.delivered(1, "n1").settle();
    assert_snapshot!(story.told("VZ-05"), @r"
    measured: 1 of 2 acked messages lost, 0 late, 0 delivered twice outside and 0 inside; n1 reverted at 5 min 0.074 s, detection on
    - not begun: 1 of 1 acked message lost, 0 late, 0 delivered twice outside and 0 inside
    - acked and queued: 0 of 1 acked message lost, 0 late, 0 delivered twice outside and 0 inside
    ");
    assert_snapshot!(story.told("RO-06"), @"outside: n1 reverted at 5 min 0.074 s: a hazard that is measured as VZ-05");
    assert_snapshot!(story.told("VZ-06"), @r"
    violated: only 2 of 4 recipients of mail in transit were served in spite of a state that was resumed or gone back to
    - 250 to client-1 at 0.072 s for message 2; n1 reverted at 5 min 0.074 s; no delivery to user-1@external.example by 4 h 5 min; therefore lost
    - 250 to client-1 at 0.072 s for message 2; n1 reverted at 5 min 0.074 s; no delivery to user-1@mailbox.example by 4 h 5 min; therefore lost
    ");
    story.scenario.guarantees = vec!["VZ-05".into()];
    let verdicts = judge(&story.history());
    assert_eq!(
        verdicts
            .iter()
            .map(|v| v.guarantee.as_str())
            .collect::<Vec<_>>(),
        ["VZ-05"],
        "what every run is judged by blames nobody for the hazard"
    );
}

#[test]
fn vz_06_is_for_detection_that_is_on() {
    let mut story = reverted();
    story.delivered(1, "n1").settle();
    story.set("StateRegressionDetection", Setting::Switch(false));
    assert_snapshot!(story.told("VZ-06"), @"outside: StateRegressionDetection is off on n1");
    assert_snapshot!(story.judge("VZ-05").summary, @"1 of 2 acked messages lost, 0 late, 0 delivered twice outside and 0 inside; n1 reverted at 5 min 0.074 s, detection off");

    let mut story = reverted();
    story.delivered(1, "n1").delivered(2, "n2").settle();
    assert_snapshot!(story.told("VZ-06"), @"holds: 4 of 4 recipients of mail in transit were served in spite of a state that was resumed or gone back to");
}

#[test]
fn doubles_and_delays_are_measured() {
    let mut story = reverted();
    story
        .delivered(1, "n1")
        .sink(1, "n2")
        .after("2h")
        .delivered(2, "n2")
        .settle();
    assert_snapshot!(story.told("VZ-05"), @r"
    measured: 0 of 2 acked messages lost, 1 late, 1 delivered twice outside and 0 inside; n1 reverted at 5 min 0.074 s, detection on
    - not begun: 0 of 1 acked message lost, 1 late, 0 delivered twice outside and 0 inside
    - acked and queued: 0 of 1 acked message lost, 0 late, 1 delivered twice outside and 0 inside
    ");
}

#[test]
fn a_saved_state_is_measured() {
    let mut story = saved();
    story.delivered(1, "n1").settle();
    assert_snapshot!(story.told("VZ-04"), @r"
    measured: 0 of 1 acked message lost, 0 late, 0 delivered twice outside and 0 inside; n1 saved and stopped at 0.039 s, detection on
    - acked and queued: 0 of 1 acked message lost, 0 late, 0 delivered twice outside and 0 inside
    ");
    assert_snapshot!(story.told("VZ-05"), @"inconclusive: no disk went back to a snapshot");
    assert_snapshot!(story.told("VZ-06"), @"holds: 2 of 2 recipients of mail in transit were served in spite of a state that was resumed or gone back to");

    let mut story = saved();
    story.settle();
    assert_snapshot!(story.told("VZ-04"), @r"
    measured: 1 of 1 acked message lost, 0 late, 0 delivered twice outside and 0 inside; n1 saved and stopped at 0.039 s, detection on
    - acked and queued: 1 of 1 acked message lost, 0 late, 0 delivered twice outside and 0 inside
    ");
    assert_snapshot!(story.told("VZ-06"), @r"
    violated: only 0 of 2 recipients of mail in transit were served in spite of a state that was resumed or gone back to
    - 250 to client-1 at 0.037 s for message 1; n1 saved and stopped at 0.039 s; no delivery to user-1@external.example by 5 h; therefore lost
    - 250 to client-1 at 0.037 s for message 1; n1 saved and stopped at 0.039 s; no delivery to user-1@mailbox.example by 5 h; therefore lost
    ");
}

#[test]
fn vz_06_does_not_blame_the_detection_for_another_server_s_failure() {
    let mut story = reverted();
    story
        .destroy("n2")
        .up("n2", "db-n2-2")
        .delivered(1, "n1")
        .settle();
    assert_snapshot!(story.told("VZ-06"), @"inconclusive: no acked message was in transit when a state was resumed or gone back to");
}

#[test]
fn nothing_is_measured_without_a_hazard_or_mail() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    assert_snapshot!(story.told("VZ-04"), @"inconclusive: no saved state was resumed");
    assert_snapshot!(story.told("VZ-06"), @"inconclusive: no saved state was resumed, and no disk went back to a snapshot");
    let mut story = Story::new();
    story
        .step(Step::Snapshot { node: "n1".into() })
        .fault(Fault::Revert { node: "n1".into() })
        .up("n1", "db-n1-1")
        .settle();
    assert_snapshot!(story.told("VZ-05"), @"inconclusive: no message was acked before");
}
