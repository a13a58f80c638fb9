//! How fast the simulator is: `cargo bench -p gauntlet --bench simulator`.
//!
//! `idle` is a three-node cluster whose next hop is down, so that every node holds shadow messages and asks
//! its primary servers every ShadowHeartbeatFrequency (2 min), for five simulated days. Criterion's `thrpt` is
//! simulated seconds per real second (it calls them elements). `one message` is a whole schedule: start, one
//! message, settle. `events` has mail and nothing else; there `thrpt` is recorded events per second.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gauntlet::{
    campaign::{Job, Settings, open},
    scenario::{Plan, parse, plan},
};
use tokio_util::sync::CancellationToken;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IDLE: &str = r#"
title = "Five days of heartbeats"
guarantees = ["HB-02"]
on = ["sim"]
config = { MessageExpirationTimeout = "30d", TransientFailureRetryInterval = "10d", ShadowResubmitTimeSpan = "20d" }
settle = { heal = false, at-most = "1s" }

[[step]]
sink = { sink = "sink-1", behaviour = "down" }

[[step]]
submit = { to = "n1", recipients = ["external"] }

[[step]]
submit = { to = "n2", recipients = ["external"] }

[[step]]
submit = { to = "n3", recipients = ["external"] }

[[step]]
wait = { for = "5d" }
"#;

const ONE_MESSAGE: &str = r#"
title = "One message"
guarantees = ["SC-01"]
on = ["sim"]

[[step]]
submit = { to = "n1" }
"#;

const MAIL: &str = r#"
title = "Two hundred messages"
guarantees = ["SC-01"]
on = ["sim"]

[[step]]
submit = { to = "n1", count = 200, sessions = 4 }
"#;

fn prepared(name: &str, text: &str) -> Plan {
    let scenario = parse(name, text).unwrap_or_else(|e| panic!("{name}: {e}"));
    plan(name, "bench", &scenario, 1)
}

/// Runs the plan in memory; how many records there are.
fn run(plan: &Plan) -> usize {
    let job = Job {
        plan: plan.clone(),
        sabotage: None,
    };
    let sim = open("sim", &Settings::default()).expect("the simulator");
    sim.execute(&job, None, &CancellationToken::new())
        .expect("a run")
        .records
        .len()
}

fn simulator(c: &mut Criterion) {
    let idle = prepared("idle", IDLE);
    let mut group = c.benchmark_group("simulator");
    group.sample_size(10);
    group.throughput(Throughput::Elements(5 * 86_400));
    group.bench_function("idle", |b| b.iter(|| black_box(run(&idle))));
    let one = prepared("one-message", ONE_MESSAGE);
    group.throughput(Throughput::Elements(1));
    group.bench_function("one message", |b| b.iter(|| black_box(run(&one))));
    let mail = prepared("mail", MAIL);
    // The same plan gives the same history, so the first run says how many events there are.
    group.throughput(Throughput::Elements(run(&mail) as u64));
    group.bench_function("events", |b| b.iter(|| black_box(run(&mail))));
    group.finish();
}

criterion_group!(benches, simulator);
criterion_main!(benches);
