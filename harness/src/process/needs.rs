//! What a scenario needs of the machine for each of its nodes.
//!
//! Comes in: a scenario. Goes out: which nodes must be made ready for which faults before they first start. Called by
//! [`cluster`](super::cluster).

use crate::scenario::{CrashKind, Scenario, Step};

/// The first fault for which the node must have a file system of its own, in words.
pub(crate) fn own_disk(scenario: &Scenario, node: &str) -> Option<&'static str> {
    all_steps(scenario).find_map(|step| match step {
        Step::Crash {
            node: of,
            kind: CrashKind::Host,
        } if of == node => Some("a crash of the host"),
        Step::FillDisk { node: of } if of == node => Some("a full disk"),
        Step::ReadOnlyDisk { node: of } if of == node => Some("a read-only disk"),
        _ => None,
    })
}

/// The node takes its wall time from where the harness can set it.
pub(crate) fn own_clock(scenario: &Scenario, node: &str) -> bool {
    all_steps(scenario).any(|step| matches!(step, Step::JumpClock(jump) if jump.node == node))
}

/// The node is to be held to a part of a processor.
pub(crate) fn own_cgroup(scenario: &Scenario, node: &str) -> bool {
    all_steps(scenario).any(|step| matches!(step, Step::StarveCpu { node: of, .. } if of == node))
}

/// The steps, and what triggers do.
fn all_steps(scenario: &Scenario) -> impl Iterator<Item = &Step> {
    let hung = scenario
        .fault
        .iter()
        .flat_map(|trigger| std::iter::once(&trigger.action).chain(&trigger.then));
    scenario.step.iter().chain(hung)
}
