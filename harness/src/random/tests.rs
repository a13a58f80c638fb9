use std::collections::BTreeSet;

use super::*;
use crate::{
    scenario::{self, Step},
    substrate::{NodePlace, node_config},
};

const SEEDS: u64 = 300;

/// The scenario's own file, as anybody could write it.
fn file(plan: &Plan) -> String {
    toml::to_string_pretty(&plan.scenario).expect("a scenario can be written")
}

#[test]
fn what_is_drawn_passes_the_validator_and_each_node_s_own_check() {
    for seed in 1..=SEEDS {
        let plan = plan(seed);
        let again = scenario::parse("random.toml", &file(&plan))
            .unwrap_or_else(|e| panic!("seed {seed}: {e} at {:?}", e.line_and_column()));
        assert_eq!(again, plan.scenario, "seed {seed}");
        for node in &plan.scenario.cluster.nodes {
            let place = NodePlace {
                data: "data",
                listen: "127.0.0.1:0",
                secret: "s",
                ..NodePlace::default()
            };
            let address = |_: &str, to: &str| format!("{to}:25");
            let text = node_config(&plan.scenario, node, &place, address, |d| d);
            reference_node::config::Config::parse(&text)
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_one_another() {
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7).scenario.step, plan(8).scenario.step);
}

#[test]
fn clusters_of_every_size_with_and_without_dags_and_every_kind_of_trouble_come_up() {
    let mut seen = BTreeSet::new();
    for seed in 1..=SEEDS {
        let scenario = plan(seed).scenario;
        let expiry = scenario::duration(&scenario, "MessageExpirationTimeout");
        if expiry < Some(cluster::SHORT_EXPIRY) {
            seen.insert("short expiry".into());
        }
        let Scenario {
            cluster,
            step,
            fault,
            description,
            ..
        } = scenario;
        seen.insert(format!("{} front ends", cluster.front_ends.len()));
        seen.insert(format!("{} groups", cluster.groups.len()));
        if !cluster.hubs_2010.is_empty() {
            seen.insert("hubs".into());
        }
        if !cluster.routes.is_empty() {
            seen.insert("a loop".into());
        }
        seen.insert(format!("{} nodes", cluster.nodes_2013().count()));
        seen.insert(format!("{} sites", cluster.sites.len().max(1)));
        seen.insert(format!("{} dags", cluster.dags.len()));
        let hung = fault
            .iter()
            .flat_map(|t| [Some(&t.action), t.then.as_ref()]);
        for step in step.iter().map(Some).chain(hung).flatten() {
            seen.insert(match step {
                Step::Submit(submit) if cluster.is_front_end(&submit.to) => {
                    "mail to a front end".into()
                }
                Step::Submit(submit) if submit.recipients.iter().any(|to| to == cluster::TEAM) => {
                    "mail to a group".into()
                }
                Step::Sink { behaviour, .. } => format!("{behaviour:?}")
                    .chars()
                    .take_while(|c| *c != '(')
                    .collect(),
                step => format!("{step:?}")
                    .chars()
                    .take_while(|c| c.is_alphanumeric())
                    .collect(),
            });
        }
        if description.as_deref() == Some("Drawn with no faults.") {
            seen.insert("no faults".into());
        }
    }
    for wanted in [
        "0 front ends",
        "1 front ends",
        "2 front ends",
        "0 groups",
        "1 groups",
        "2 groups",
        "mail to a front end",
        "mail to a group",
        "short expiry",
        "2 nodes",
        "3 nodes",
        "4 nodes",
        "5 nodes",
        "1 sites",
        "2 sites",
        "3 sites",
        "0 dags",
        "1 dags",
        "2 dags",
        "Crash",
        "Destroy",
        "Start",
        "Freeze",
        "Thaw",
        "Partition",
        "BlackHole",
        "Reset",
        "Delay",
        "Heal",
        "Accept",
        "Defer",
        "Refuse",
        "DropAfterDot",
        "Slow",
        "Down",
        "Submit",
        "Resend",
        "Resubmit",
        "FillDisk",
        "FreeDisk",
        "Snapshot",
        "Revert",
        "Busy",
        "CheckConfig",
        "hubs",
        "a loop",
        "Idle",
        "PeerVerbs",
        "WaitQuiet",
    ] {
        assert!(seen.contains(wanted), "{wanted} is missing in {seen:?}");
    }
}

/// SC-17, RO-06: a server fails, and is back, before the next one may fail.
#[test]
fn no_two_servers_fail_at_once() {
    let struck = |step: &Step| match step {
        Step::Crash { node, .. }
        | Step::Destroy { node }
        | Step::Freeze { node }
        | Step::FillDisk { node }
        | Step::Revert { node } => Some(node.clone()),
        _ => None,
    };
    for seed in 1..=SEEDS {
        let scenario = plan(seed).scenario;
        // What a trigger does to a server is over before its round is; its round ends with the first quiet behind it.
        let mut out: Option<(String, usize)> = None;
        let quiet_after = |from: usize| {
            scenario.step[from..]
                .iter()
                .position(|s| matches!(s, Step::WaitQuiet { .. }))
                .map(|at| from + at)
        };
        let by_trigger = scenario.fault.iter().filter_map(|t| {
            let [first, last] = t.during.expect("it listens for a while only");
            let to = quiet_after(last as usize).expect("quiet follows");
            Some((struck(&t.action)?, first as usize, to))
        });
        let mut spans: Vec<(String, usize, usize)> = by_trigger.collect();
        for (index, step) in scenario.step.iter().enumerate() {
            if let Some(node) = struck(step) {
                out = Some((node, index));
            }
            if let Step::WaitQuiet { .. } = step
                && let Some((node, from)) = out.take()
            {
                spans.push((node, from, index));
            }
        }
        for (i, a) in spans.iter().enumerate() {
            for b in &spans[i + 1..] {
                assert!(
                    a.0 == b.0 || a.2 < b.1 || b.2 < a.1,
                    "seed {seed}: {a:?} {b:?}"
                );
            }
        }
    }
}
