//! A certification: which scenarios are put to a target, and what is left out, with the reason.
//!
//! Comes in: a target and its claims, the embedded suites. Goes out: a [`Selection`]; and from the reports of its runs the
//! facts of a certificate. Called by `gauntlet certify` and `gauntlet merge`.
//!
//! Scenarios of the suite [`SUITE`] are for any server: one node, everything to one next hop. They are run several times, each
//! time with another seed, until every kind of fault has been put to a thousand messages. All others are the reference
//! cluster's.

pub mod standing;

use gauntlet_docker::target::{Capability, Target};
use gauntlet_reports::certificate::{Promise, Untested};

use crate::scenario::{SelectError, Selected, embedded};

/// The suite of scenarios for any server.
pub const SUITE: &str = "certification";

/// What a target is put to.
#[derive(Debug, Default)]
pub struct Selection {
    /// Scenarios for any server, run several times.
    pub any: Vec<Selected>,
    /// Those of the reference cluster, run once.
    pub cluster: Vec<Selected>,
    /// …that need more time than there is: run in the simulator, with the same node code.
    pub simulated: Vec<Selected>,
    /// What is left out.
    pub untested: Vec<Untested>,
}

/// Chooses what applies to a target's claims on that substrate. `only` narrows it to scenarios or guarantees of these IDs.
///
/// # Errors
/// An ID of `only` that names nothing.
pub fn selection(target: &Target, on: &str, only: &[String]) -> Result<Selection, SelectError> {
    let claims = claims(target);
    let mut selection = Selection {
        untested: unclaimed(target),
        ..Selection::default()
    };
    let mut all = embedded()?;
    for id in only {
        let named = |s: &Selected| s.id == *id || s.scenario.guarantees.contains(id);
        if !all.iter().any(named) {
            return Err(SelectError::Nothing {
                message: format!("`{id}` is no scenario or guarantee"),
                help: Some("see `gauntlet list scenarios`".into()),
            });
        }
    }
    if !only.is_empty() {
        all.retain(|s| {
            let named = |id: &String| s.id == *id || s.scenario.guarantees.contains(id);
            only.iter().any(named)
        });
        selection.untested.push(Untested {
            what: "everything else".into(),
            why: format!("--only {}", only.join(" --only ")),
        });
    }
    for one in all {
        let meant = |substrate: &str| one.scenario.on.iter().any(|on| on == substrate);
        let tests = |id: &String| {
            claims
                .iter()
                .any(|area| id.starts_with(&format!("{area}-")))
        };
        if !one.scenario.guarantees.iter().any(tests) {
            continue;
        }
        if one.suite == SUITE && meant(on) {
            selection.any.push(one);
        } else if !target.is_reference_node() {
            // A cluster's scenario: its guarantees are judged by those for any server.
        } else if meant(on) {
            selection.cluster.push(one);
        } else if meant("sim") {
            selection.simulated.push(one);
        }
    }
    Ok(selection)
}

/// The areas that a target claims and a level rests on.
pub fn claims(target: &Target) -> Vec<String> {
    let areas = target.capabilities.iter().flat_map(|c| c.areas());
    areas
        .filter(|area| **area != VIRTUALIZATION)
        .map(|area| (*area).to_owned())
        .collect()
}

/// Its guarantees need virtual machines, and no level rests on them.
const VIRTUALIZATION: &str = "VZ";

fn unclaimed(target: &Target) -> Vec<Untested> {
    let not_claimed = Capability::ALL.into_iter().filter(|c| !target.claims(*c));
    let mut untested: Vec<Untested> = not_claimed
        .map(|capability| Untested {
            what: capability.areas().join(", "),
            why: format!("{} does not claim {}", target.name, capability.name()),
        })
        .collect();
    if target.claims(Capability::ShadowRedundancy) {
        untested.push(Untested {
            what: VIRTUALIZATION.into(),
            why: "virtual machines are a suite of their own: `gauntlet run virtualization`".into(),
        });
    }
    untested
}

/// The catalogue's guarantees.
pub fn catalogue() -> Vec<Promise> {
    let all = gauntlet_suites::catalogue().iter();
    all.map(|g| Promise {
        id: g.id.clone(),
        must: g.level == gauntlet_suites::Level::Must,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(selected: &[Selected]) -> Vec<&str> {
        selected.iter().map(|s| s.id.as_str()).collect()
    }

    #[test]
    fn a_server_is_put_to_what_any_server_can_be_put_to() {
        let postfix = Target::load("postfix").expect("shipped");
        let selection = selection(&postfix, "process", &[]).expect("a selection");
        assert!(ids(&selection.any).contains(&"tc-02-power-lost-at-the-ack"));
        assert!(selection.cluster.is_empty() && selection.simulated.is_empty());
        let why: Vec<&str> = selection.untested.iter().map(|u| u.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "postfix does not claim shadow-redundancy",
                "postfix does not claim safety-net"
            ]
        );
    }

    #[test]
    fn scenarios_for_any_server_need_one_node_and_nothing_but_a_next_hop() {
        for one in embedded().expect("good scenarios") {
            if one.suite == SUITE {
                assert_eq!(one.scenario.cluster.nodes, ["n1"], "{}", one.id);
                assert!(one.scenario.config.is_empty(), "{}", one.id);
                assert_eq!(one.scenario.cluster.sinks, ["sink-1"], "{}", one.id);
            }
        }
    }

    #[test]
    fn the_reference_cluster_is_put_to_everything() {
        let reference = Target::load("reference").expect("shipped");
        let everything = selection(&reference, "process", &[]).expect("a selection");
        assert!(everything.cluster.len() > 50 && everything.simulated.len() > 5);
        // What no scenario tests would deny its level without a word.
        let tested = |id: &str| {
            let all = everything.any.iter().chain(&everything.cluster);
            let mut all = all.chain(&everything.simulated);
            all.any(|s| s.scenario.guarantees.iter().any(|g| g == id))
        };
        let untested: Vec<String> = catalogue()
            .into_iter()
            .filter(|promise| promise.must && !promise.id.starts_with("VZ") && !tested(&promise.id))
            .map(|promise| promise.id)
            .collect();
        assert_eq!(
            untested,
            ["SN-05", "SN-06", "SN-07", "SN-08", "SN-09", "SN-10"]
        );
    }

    #[test]
    fn only_narrows_and_says_so() {
        let postfix = Target::load("postfix").expect("shipped");
        let narrowed = selection(&postfix, "process", &["TC-09".into()]).expect("a selection");
        assert_eq!(ids(&narrowed.any), ["tc-09-looped-messages"]);
        assert!(narrowed.untested.iter().any(|u| u.why == "--only TC-09"));
        let error = selection(&postfix, "process", &["TC-99".into()]).expect_err("no such ID");
        assert_eq!(error.to_string(), "`TC-99` is no scenario or guarantee");
    }
}
