//! How fast a history is read and checked: `cargo bench -p gauntlet --bench checkers [-- MESSAGES]`.
//!
//! The history is that of a simulated run with so many messages (12,500, which makes 1,000,000 events), a server that dies in the
//! middle, and every guarantee of the catalogue; the same octets each time. It is left in `target/tmp/checkers.jsonl`, where `gauntlet check`
//! can be measured with it from outside. Times are the best of three, in wall clock.

use std::{
    fs,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use gauntlet::{
    campaign::{Job, Settings, open},
    check::{Case, judge_all, registry},
    history::{self, Record},
    scenario::{parse, plan},
};
use tokio_util::sync::CancellationToken;

const MESSAGES: usize = 12_500;

fn scenario(messages: usize) -> String {
    format!(
        r#"
title = "Much mail, and a server that dies with the last of it"
guarantees = {ids:?}
on = ["sim"]

[[step]]
submit = {{ to = "n1", count = {messages}, sessions = 4 }}

[[step]]
crash = {{ node = "n1" }}

[[step]]
wait = {{ for = "10m" }}

[[step]]
start = {{ node = "n1" }}

[[step]]
wait-quiet = {{ at-most = "8h" }}
"#,
        ids = registry::ids()
    )
}

/// The records of a simulated run.
fn records(messages: usize) -> Vec<Record> {
    let text = scenario(messages);
    let scenario = parse("checkers.toml", &text).unwrap_or_else(|e| panic!("checkers: {e}"));
    let job = Job {
        plan: plan("checkers", "bench", &scenario, 1),
        sabotage: None,
    };
    let sim = open("sim", &Settings::default()).expect("the simulator");
    sim.execute(&job, None, &CancellationToken::new())
        .expect("a run")
        .records
}

/// The best of three.
fn best<T>(mut what: impl FnMut() -> T) -> Duration {
    let times = (0..3).map(|_| {
        let began = Instant::now();
        black_box(what());
        began.elapsed()
    });
    times.min().unwrap_or_default()
}

fn line(what: &str, time: Duration, events: usize) {
    let rate = events as f64 / time.as_secs_f64();
    println!(
        "{what:<24} {:>9.1} ms {rate:>13.0} events/s",
        time.as_secs_f64() * 1e3
    );
}

fn main() {
    // Cargo adds `--bench`.
    let messages = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(MESSAGES);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("checkers.jsonl");
    let began = Instant::now();
    let mut octets = Vec::new();
    let records = records(messages);
    for record in &records {
        serde_json::to_writer(&mut octets, record).expect("a record can be written");
        octets.push(b'\n');
    }
    fs::write(&path, &octets).expect("a file");
    let events = records.len();
    println!(
        "{messages} messages, {events} events, {} MB, made in {:.1} s: {}",
        octets.len() / 1_000_000,
        began.elapsed().as_secs_f64(),
        path.display()
    );
    drop(octets);

    line(
        "read",
        best(|| history::read(&path).expect("a history")),
        events,
    );
    line(
        "index and ledger",
        best(|| Case::new(&records).is_some()),
        events,
    );
    line("all checkers", best(|| judge_all(&records)), events);
    let both = || judge_all(&history::read(&path).expect("a history").records);
    line("read and check", best(both), events);

    let case = Case::new(&records).expect("a plan");
    let mut slow: Vec<_> = registry::ids()
        .into_iter()
        .filter_map(|id| {
            let checker = registry::checker(id)?;
            let began = Instant::now();
            black_box(checker(&case));
            Some((began.elapsed(), id))
        })
        .collect();
    slow.sort_unstable();
    println!("\nthe slowest:");
    for (time, id) in slow.iter().rev().take(12) {
        line(id, *time, events);
    }
}
