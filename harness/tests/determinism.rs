//! The same plan and seed give the same history in the simulator, byte for byte.

use gauntlet::{
    campaign::{Job, Settings, open},
    scenario::{Plan, parse, plan},
};
use tokio_util::sync::CancellationToken;

/// Every kind of fault, by step and by trigger, in few rounds.
const SCENARIO: &str = r#"
title = "Every kind of fault"
guarantees = ["RO-06"]
on = ["sim"]

[chaos]
rounds = [2, 3]
messages = [2, 6]
faults = ["process-crash", "host-crash", "new-database", "freeze", "partition", "reset"]
outage = ["30s", "20m"]
trigger-share-percent = 60
"#;

const SEEDS: u64 = 100;

fn history(plan: &Plan) -> Vec<String> {
    let job = Job {
        plan: plan.clone(),
        sabotage: None,
    };
    let sim = open("sim", &Settings::default()).expect("the simulator");
    let history = sim
        .execute(&job, None, &CancellationToken::new())
        .expect("a run");
    let line = |record| serde_json::to_string(record).expect("records are JSON");
    history.records.iter().map(line).collect()
}

#[test]
fn two_runs_of_a_seed_are_the_same_and_two_seeds_are_not() {
    let scenario = parse("chaos.toml", SCENARIO).expect("a good scenario");
    let mut before: Option<Vec<String>> = None;
    for seed in 1..=SEEDS {
        let plan = plan("chaos", "tests", &scenario, seed);
        let (first, second) = (history(&plan), history(&plan));
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}: the first record that differs");
        assert_eq!(first.len(), second.len(), "seed {seed}");
        // The first record names the seed; what follows must differ too.
        assert_ne!(
            before.as_ref().map(|b| &b[1..]),
            Some(&first[1..]),
            "seed {seed}"
        );
        before = Some(first);
    }
}
