//! The catalogue is whole: what it promises can be provoked, judged, and broken on purpose.

use std::collections::BTreeSet;

use gauntlet::{check::registry, scenario::embedded};
use gauntlet_suites::catalogue;
use reference_node::sabotage::Sabotage;

/// Guarantees that wait for their suites: Safety Net's resubmissions by themselves. VZ-08 is about files, and `gauntlet lint`
/// checks it.
fn is_open(id: &str) -> bool {
    matches!(
        id,
        "SN-05" | "SN-06" | "SN-07" | "SN-08" | "SN-09" | "SN-10" | "VZ-08"
    )
}

/// Hazards: what they do is measured. VZ-07 fails for a loss, but only real substrates have a guest that can be starved, and
/// the self-test is the simulator's.
fn is_measured(id: &str) -> bool {
    matches!(id, "VZ-04" | "VZ-05" | "VZ-07")
}

/// Guarantees of the catalogue that `known` lacks.
fn missing<'a>(known: impl IntoIterator<Item = &'a str>) -> Vec<&'static str> {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let ids = catalogue().iter().map(|guarantee| guarantee.id.as_str());
    ids.filter(|id| !is_open(id) && !known.contains(id))
        .collect()
}

#[test]
fn every_guarantee_has_a_scenario() {
    let scenarios = embedded().expect("the embedded scenarios");
    let tested = scenarios
        .iter()
        .flat_map(|s| s.scenario.guarantees.iter().map(String::as_str));
    assert_eq!(missing(tested), Vec::<&str>::new());
}

#[test]
fn every_guarantee_has_a_checker() {
    assert_eq!(missing(registry::ids()), Vec::<&str>::new());
}

#[test]
fn every_guarantee_has_a_sabotage_that_breaks_it() {
    let broken = Sabotage::ALL
        .iter()
        .flat_map(|s| s.breaks().iter().copied());
    let missing = missing(broken).into_iter().filter(|id| !is_measured(id));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
}
