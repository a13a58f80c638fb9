//! How fast the Shadow Redundancy Manager decides: `cargo bench -p reference-node --bench shadow`.
//!
//! The core alone, without sockets, disk or clock, while it holds so many shadow messages of four primary servers.
//! Criterion's `thrpt` counts shadow messages or steps (elements).

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use reference_node::shadow::manager::{Due, Manager};

const MIN: Duration = Duration::from_secs(60);
const SERVERS: [&str; 4] = ["n1", "n2", "n3", "n4"];

/// One that holds `rows` shadow messages.
fn holding(rows: u64) -> Manager {
    let mut manager = Manager::new(2 * MIN, 180 * MIN, None);
    for row in 0..rows {
        let server = SERVERS[usize::try_from(row % 4).unwrap_or(0)];
        manager.hold(server, "7b1c05d2a9", row, Duration::ZERO);
    }
    manager
}

fn shadow(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shadow manager");
    for rows in [100, 100_000] {
        group.throughput(Throughput::Elements(1000));
        group.bench_function(format!("hold and release 1000 of {rows}"), |b| {
            let mut manager = holding(rows);
            b.iter(|| {
                for row in rows..rows + 1000 {
                    manager.hold("n1", "7b1c05d2a9", row, MIN);
                }
                for row in rows..rows + 1000 {
                    manager.release("n1", row);
                }
            });
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("a round of heartbeats, {rows} held"), |b| {
            let mut manager = holding(rows);
            let mut now = Duration::ZERO;
            b.iter(|| {
                now += 2 * MIN;
                let due = manager.due(now);
                assert_eq!(due.len(), 4);
                for due in due {
                    let Due::Heartbeat(server) = due else {
                        panic!("nobody is away");
                    };
                    black_box(manager.contact(&server, "7b1c05d2a9", false, now));
                    manager.heartbeat_ended(&server, None);
                }
                black_box(manager.next_due());
            });
        });
        group.throughput(Throughput::Elements(rows));
        group.bench_function(format!("promotion of all {rows}"), |b| {
            let away = || {
                let mut manager = holding(rows);
                for server in SERVERS {
                    manager.heartbeat_ended(server, Some(179 * MIN));
                }
                manager
            };
            b.iter_batched_ref(
                away,
                |manager| {
                    let due = manager.due(180 * MIN);
                    assert!(
                        due.iter().all(|due| matches!(due, Due::Promote(..))) && due.len() == 4
                    );
                    due
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, shadow);
criterion_main!(benches);
