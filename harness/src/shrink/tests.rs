use super::*;
use crate::scenario::Submit;

const TEXT: &str = r#"
title = "t"
guarantees = ["RO-06"]
on = ["sim"]
[cluster]
nodes = ["n1", "n2", "n3"]
mailboxes = "n3"
sinks = ["sink-1", "sink-2"]
[cluster.sites]
a = ["n1", "n2"]
b = ["n3"]
[config]
ShadowHeartbeatFrequency = "1m"
ShadowResubmitTimeSpan = "1h"
[[step]]
submit = { to = "n1", count = 7, hello = "HELO", recipients = ["mailbox", "external"] }
[[step]]
wait = { for = "5m" }
[[step]]
partition = { a = "n1", b = "n3" }
[[step]]
heal = { a = "n1", b = "n3" }
[[step]]
submit = { to = "n2", count = 2 }
[[step]]
crash = { node = "n2" }
[[step]]
wait = { for = "2h" }
[[step]]
start = { node = "n2" }
[[fault]]
when = "n2>* copy acked"
nth = 2
do = { crash = { node = "n2" } }
after = "7m"
then = { start = { node = "n2" } }
during = [4, 6]
"#;

fn parsed() -> Scenario {
    scenario::parse("t.toml", TEXT).expect("a good scenario")
}

fn crashes_n2(scenario: &Scenario) -> bool {
    scenario
        .step
        .iter()
        .any(|s| matches!(s, Step::Crash { node, .. } if node == "n2"))
}

fn submits_to_n2(scenario: &Scenario) -> bool {
    scenario
        .step
        .iter()
        .any(|s| matches!(s, Step::Submit(Submit { to, count, .. }) if to == "n2" && *count > 1))
}

#[test]
fn nothing_is_left_but_what_the_violation_needs() {
    let mut shown = |s: &Scenario| Some(crashes_n2(s) && submits_to_n2(s));
    let mut best = Vec::new();
    let shrunk = shrink(&parsed(), &mut shown, &mut |s| {
        best.push(Size::of(&s.scenario));
    });
    assert!(shrunk.minimal);
    let Scenario {
        cluster,
        config,
        step,
        fault,
        ..
    } = &shrunk.scenario;
    assert_eq!(
        (step.len(), fault.len(), config.len()),
        (2, 0, 0),
        "{step:?}"
    );
    assert_eq!(
        cluster.nodes,
        ["n2"],
        "n3 had the mailboxes, which n2 can have as well"
    );
    assert!(cluster.sinks.is_empty() && cluster.sites.is_empty());
    let kept = Submit {
        count: 2,
        recipients: vec!["external".into()],
        ..Submit::new("client-1", "n2")
    };
    assert_eq!(step[0], Step::Submit(kept));
    assert!(valid(&shrunk.scenario).is_some());
    assert!(best.windows(2).all(|w| w[1].steps <= w[0].steps));
    // A second time there is nothing to take.
    let again = shrink(&shrunk.scenario, &mut shown, &mut |_| {});
    assert_eq!(again.scenario, shrunk.scenario);
}

#[test]
fn a_hung_fault_keeps_listening_to_the_steps_that_are_left() {
    let smaller = reductions::without(&parsed(), &(0..4)).expect("three steps are left");
    assert_eq!(smaller.fault[0].during, Some([0, 2]));
    let smaller = reductions::without(&parsed(), &(5..6)).expect("two steps are left");
    assert_eq!(smaller.fault[0].during, Some([4, 5]));
    assert_eq!(reductions::without(&parsed(), &(4..7)), None);
}

#[test]
fn a_search_that_is_ended_has_the_best_so_far() {
    let mut left = 5;
    let mut shown = |_: &Scenario| {
        left -= 1;
        (left > 0).then_some(true)
    };
    let shrunk = shrink(&parsed(), &mut shown, &mut |_| {});
    assert!(!shrunk.minimal);
    assert_eq!(shrunk.runs, 4);
    assert!(Size::of(&shrunk.scenario).steps < Size::of(&parsed()).steps);
}
