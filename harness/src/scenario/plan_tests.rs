//! Plans are reproducible, survive their file, and never exceed the fault budget.

use std::time::Duration;

use super::super::{Chaos, Database, Known, Span, Step, Trigger, parse_with};
use super::*;

fn scenario(nodes: &[&str], trigger_share_percent: u32) -> Scenario {
    let chaos = Chaos {
        rounds: [1, 4],
        messages: [1, 30],
        faults: [
            "process-crash",
            "host-crash",
            "new-database",
            "freeze",
            "partition",
            "reset",
        ]
        .map(String::from)
        .to_vec(),
        outage: [Span::from_secs(1), Span::from_secs(4 * 3600)],
        trigger_share_percent,
    };
    let text = format!(
        "title = 'chaos'\nguarantees = ['RO-06']\non = ['sim']\n[cluster]\nnodes = {nodes:?}\nmailboxes = {:?}\n\
         [[step]]\nsubmit = {{ to = 'n1' }}\n[chaos]\nrounds = [1, 1]\nmessages = [1, 1]\nfaults = ['reset']\noutage = ['1s', '2s']\n",
        nodes[nodes.len() - 1]
    );
    let known = Known {
        guarantee: &|_| true,
        message: &|_| true,
    };
    let scenario = parse_with("chaos.toml", &text, known).expect("a good scenario");
    Scenario {
        chaos: Some(chaos),
        ..scenario
    }
}

/// Which server a fault takes away, or troubles.
fn struck(step: &Step) -> Option<String> {
    match step {
        Step::Crash { node, .. } | Step::Freeze { node } => Some(node.clone()),
        Step::Partition(p) => Some(format!("{}|{}", p.a, p.b)),
        Step::Reset { link } => Some(link.clone()),
        _ => None,
    }
}

fn healed(step: &Step) -> Option<String> {
    match step {
        Step::Start { node, .. } | Step::Thaw { node } => Some(node.clone()),
        Step::Heal {
            a: Some(a),
            b: Some(b),
        } => Some(format!("{a}|{b}")),
        _ => None,
    }
}

/// A fault is out, or its wounds are not healed yet.
fn check_budget(plan: &Plan) -> Result<(), String> {
    let steps = &plan.scenario.step;
    let mut out: Option<String> = None;
    let mut recovering = false;
    for (i, step) in steps.iter().enumerate() {
        let hung: Vec<&Trigger> = plan
            .scenario
            .fault
            .iter()
            .filter(|t| t.during.is_some_and(|[first, _]| first as usize == i))
            .collect();
        let faults = struck(step)
            .into_iter()
            .chain(hung.iter().filter_map(|t| struck(&t.action)));
        for fault in faults {
            if out.is_some() || recovering {
                return Err(format!(
                    "step {i}: {fault} while {out:?} is out, recovering: {recovering}"
                ));
            }
            out = Some(fault);
            recovering = true;
        }
        if struck(step).is_some_and(|link| link.contains('>')) {
            out = None;
        }
        if let Some(node) = healed(step)
            && out.take() != Some(node)
        {
            return Err(format!("step {i}: heals what is well"));
        }
        // A trigger heals itself within the outage after its last step.
        for trigger in &plan.scenario.fault {
            let Some([first, last]) = trigger.during else {
                return Err("listens for ever".into());
            };
            if last as usize + 1 == i && first < last {
                let outage = trigger.after.map_or(Duration::ZERO, |span| span.0);
                let Step::Wait { duration } = step else {
                    return Err(format!("step {i}: no wait for the trigger"));
                };
                if duration.0 <= outage {
                    return Err(format!("step {i}: the trigger may still be out"));
                }
                let healing = trigger.then.as_ref().and_then(healed);
                if healing.is_some() && healing != out {
                    return Err(format!("step {i}: heals {healing:?} and not {out:?}"));
                }
                out = None;
            }
        }
        if matches!(step, Step::WaitQuiet { .. }) {
            if out.is_some() {
                return Err(format!("step {i}: waits for quiet while {out:?} is out"));
            }
            recovering = false;
        }
    }
    if out.is_some() || recovering {
        Err("the plan ends in the middle".into())
    } else {
        Ok(())
    }
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_one_another() {
    let scenario = scenario(&["n1", "n2", "n3"], 50);
    assert_eq!(
        plan("x", "chaos", &scenario, 7),
        plan("x", "chaos", &scenario, 7)
    );
    let distinct: std::collections::BTreeSet<String> = (0..100)
        .map(|seed| format!("{:?}", plan("x", "chaos", &scenario, seed).scenario))
        .collect();
    assert_eq!(distinct.len(), 100);
}

#[test]
fn no_plan_of_a_thousand_seeds_exceeds_the_budget() {
    for (nodes, share) in [
        (&["n1", "n2", "n3"][..], 50),
        (&["n1", "n2"], 0),
        (&["n1", "n2", "n3", "n4"], 100),
    ] {
        let scenario = scenario(nodes, share);
        for seed in 0..1000 {
            let plan = plan("x", "chaos", &scenario, seed);
            if let Err(why) = check_budget(&plan) {
                panic!("seed {seed}: {why}\n{}", plan.to_toml().expect("a plan"));
            }
        }
    }
}

#[test]
fn a_lone_node_never_gets_a_new_database() {
    let scenario = scenario(&["n1"], 0);
    for seed in 0..200 {
        let plan = plan("x", "chaos", &scenario, seed);
        check_budget(&plan).expect("within the budget");
        assert!(!plan.scenario.step.iter().any(|s| matches!(
            s,
            Step::Start {
                database: Database::New,
                ..
            }
        )));
    }
}

#[test]
fn every_kind_of_fault_is_drawn_and_every_plan_is_a_valid_scenario() {
    let scenario = scenario(&["n1", "n2", "n3"], 40);
    let (mut text, mut triggers) = (String::new(), 0);
    for seed in 0..100 {
        let plan = plan("x", "chaos", &scenario, seed);
        triggers += plan.scenario.fault.len();
        let known = Known {
            guarantee: &|_| true,
            message: &|name| gauntlet_suites::message(name).is_some(),
        };
        let file = toml::to_string(&plan.scenario).expect("a scenario");
        if let Err(e) = parse_with("plan.toml", &file, known) {
            panic!("seed {seed}: {e}\n{file}");
        }
        text.push_str(&file);
    }
    assert!(triggers > 20, "{triggers}");
    for word in [
        "kind = \"process\"",
        "kind = \"host\"",
        "database = \"new\"",
        "freeze",
        "partition",
        "reset",
        "HELO",
        "BDAT",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn kinds_of_fault_come_like_cards_from_a_deck() {
    let scenario = scenario(&["n1", "n2", "n3"], 0);
    for seed in 0..200 {
        let plan = plan("x", "chaos", &scenario, seed);
        let steps = &plan.scenario.step;
        let kinds: Vec<String> = steps
            .iter()
            .enumerate()
            .filter(|(_, step)| struck(step).is_some())
            .map(|(i, step)| match step {
                Step::Crash { kind, .. } => {
                    let new = steps[i..]
                        .iter()
                        .find(|s| matches!(s, Step::Start { .. }))
                        .is_some_and(|s| {
                            matches!(
                                s,
                                Step::Start {
                                    database: Database::New,
                                    ..
                                }
                            )
                        });
                    format!("{kind:?} {new}")
                }
                Step::Freeze { .. } => "freeze".into(),
                Step::Partition(_) => "partition".into(),
                _ => "reset".into(),
            })
            .collect();
        let distinct: std::collections::BTreeSet<&String> = kinds.iter().collect();
        assert_eq!(distinct.len(), kinds.len(), "seed {seed}: {kinds:?}");
    }
}

#[test]
fn plans_survive_their_file() {
    let scenario = scenario(&["n1", "n2", "n3"], 50);
    for seed in (0..50).chain([u64::MAX]) {
        let plan = plan("x", "chaos", &scenario, seed);
        let text = plan.to_toml().expect("a plan can be written");
        assert_eq!(Plan::from_toml(&text).expect("and read"), plan, "{text}");
        let json = serde_json::to_string(&plan).expect("the history's copy");
        assert_eq!(serde_json::from_str::<Plan>(&json).expect("is read"), plan);
    }
    assert!(Plan::from_toml("id = 'x'").is_err());
}

#[test]
fn streams_depend_on_seed_and_purpose() {
    use rand::Rng;
    let first = |seed, purpose| stream(seed, purpose).next_u64();
    assert_eq!(first(1, "chaos"), first(1, "chaos"));
    assert_ne!(first(1, "chaos"), first(2, "chaos"));
    assert_ne!(first(1, "chaos"), first(1, "content"));
}
