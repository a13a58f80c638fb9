//! What a node's code can do while its node runs, is frozen, and has crashed.

use std::sync::atomic::AtomicUsize;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

use super::*;
use crate::{
    scenario::{Step, Trigger},
    sim::run_in_sim,
    tap::Board,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn world(triggers: &[Trigger]) -> (Arc<World>, Arc<Board>) {
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), triggers).expect("good triggers");
    let world = World {
        seed: 5,
        network: SimNetwork::new(5, board.clone()),
        recorder,
        start: Instant::now(),
    };
    (Arc::new(world), board)
}

fn env(world: &Arc<World>, incarnation: u32) -> Arc<SimEnvironment> {
    Arc::new(SimEnvironment::new(
        world.clone(),
        Machine::new("n1"),
        incarnation,
    ))
}

/// A task of the node that counts seconds.
fn count(env: &SimEnvironment) -> Arc<AtomicUsize> {
    let counter = Arc::new(AtomicUsize::new(0));
    let counts = counter.clone();
    env.spawn(Box::pin(async move {
        loop {
            sleep(SECOND).await;
            counts.fetch_add(1, Ordering::Relaxed);
        }
    }));
    counter
}

#[test]
fn frozen_tasks_stand_still_and_go_on() {
    let result = run_in_sim(async {
        let env = env(&world(&[]).0, 1);
        let counter = count(&env);
        sleep(10 * SECOND + SECOND / 2).await;
        let counted = || counter.load(Ordering::Relaxed);
        assert_eq!(counted(), 10);
        env.gate().freeze();
        sleep(DAY).await;
        assert_eq!(counted(), 10);
        env.gate().thaw();
        sleep(10 * SECOND).await;
        assert_eq!(counted(), 20);
        env.gate().kill();
        env.gate().thaw();
        sleep(DAY).await;
        assert_eq!(counted(), 20);
    });
    result.expect("a runtime");
}

#[test]
fn what_a_dead_node_still_holds_does_nothing() {
    let result = run_in_sim(async {
        let (world, _) = world(&[]);
        let env = env(&world, 1);
        let file = env.storage("f").expect("a file");
        env.track(r#"{"event":"RECEIVE"}"#);
        let done = Arc::new(AtomicUsize::new(0));
        let work = |done: &Arc<AtomicUsize>| {
            let done = done.clone();
            Box::new(move || {
                done.fetch_add(1, Ordering::Relaxed);
            })
        };
        env.blocking(work(&done)).await;
        let late = env.blocking(work(&done));
        env.gate().kill();
        env.machine.disk.process_crash();
        world.network.process_crash("n1");
        env.track("{}");
        env.spawn(Box::pin(env.blocking(work(&done))));
        assert!(env.storage("f").is_err() && file.len().is_err());
        for silent in [
            late,
            Box::pin(async { drop(env.connect("n2").await) }),
            Box::pin(async { drop(env.listen("n1").await) }),
        ] {
            assert!(tokio::time::timeout(DAY, silent).await.is_err());
        }
        assert_eq!(done.load(Ordering::Relaxed), 1);
        assert_eq!(env.machine.tracking.lock().expect("no panic").len(), 1);
        assert_eq!(world.recorder.records().len(), 1);
    });
    result.expect("a runtime");
}

/// How far a task gets that writes NOOP, which ends its own node.
async fn steps_of_a_task_that_ends_its_node(before: bool) -> usize {
    let (world, board) = world(&[Trigger {
        when: "n1>n2 command NOOP".into(),
        nth: 1,
        before,
        action: Step::Freeze { node: "n1".into() },
        after: None,
        then: None,
        every: None,
        during: None,
    }]);
    let env = env(&world, 1);
    let (gate, network) = (env.gate().clone(), world.network.clone());
    board.set_injector(Arc::new(move |_| {
        gate.kill();
        network.process_crash("n1");
    }));
    let mut listener = world.network.listen("n2").expect("a listener");
    let steps = Arc::new(AtomicUsize::new(0));
    let (counts, own) = (steps.clone(), env.clone());
    env.spawn(Box::pin(async move {
        let Ok(mut stream) = own.connect("n2:25").await else {
            return;
        };
        counts.fetch_add(1, Ordering::Relaxed);
        let _ = stream.write_all(b"NOOP\r\n").await;
        counts.fetch_add(1, Ordering::Relaxed);
    }));
    let (mut stream, from) = listener.accept().await.expect("a connection");
    assert_eq!(from, "n1");
    assert!(stream.read_to_end(&mut Vec::new()).await.is_err(), "reset");
    sleep(DAY).await;
    board.set_injector(Arc::new(|_| ()));
    steps.load(Ordering::Relaxed)
}

#[test]
fn a_task_that_ends_its_own_node_does_not_get_beyond_its_await() {
    let steps = run_in_sim(async {
        [
            steps_of_a_task_that_ends_its_node(true).await,
            steps_of_a_task_that_ends_its_node(false).await,
        ]
    });
    assert_eq!(steps.expect("a runtime"), [1, 1]);
}

#[test]
fn clocks_and_randomness_belong_to_the_node() {
    let result = run_in_sim(async {
        let (world, _) = world(&[]);
        let first = env(&world, 1);
        assert_eq!(first.wall_clock().to_string(), "2026-01-01T00:00:00.000Z");
        sleep(DAY).await;
        first
            .machine
            .clock_offset_ms
            .store(-1500, Ordering::Relaxed);
        assert_eq!(first.wall_clock().to_string(), "2026-01-01T23:59:58.500Z");
        let drawn = first.random();
        assert_eq!(drawn, env(&world, 1).random());
        assert_ne!(drawn, env(&world, 2).random());
        assert_ne!(drawn, first.random());
    });
    result.expect("a runtime");
}

#[test]
fn addresses_are_host_names() {
    assert_eq!(["n1", "n1:25", "n1:x"].map(host_of), ["n1", "n1", "n1:x"]);
}
