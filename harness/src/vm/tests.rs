//! The substrate with guests, in which this test's own executable is the node. They need QEMU, and are skipped where it is
//! missing; on CI that is an error.

use std::sync::Arc;

use super::{node::State, *};
use crate::{
    history::{Event, Fault, Recorder},
    host::{cgroup, testing::have},
    scenario::{Database, Plan},
    substrate::{
        Cluster,
        conformance::{self, Subject, Within},
    },
    tap::Board,
};

const SCENARIO: &str = r#"
    title = "t"
    guarantees = []
    on = ["vm"]
    [config]
    ShadowHeartbeatFrequency = "24s"
    TransientFailureRetryInterval = "24s"
    ConnectionInactivityTimeout = "40m"
    ConnectionTimeout = "80m"
    [cluster]
    nodes = ["n1", "n2"]
    mailboxes = "n2"
"#;

/// What is written and never synced.
const UNSYNCED: &str = "unsynced";

/// The tests of the other real substrate have what a started copy of this executable does: it is a node.
fn node_command() -> NodeCommand {
    NodeCommand::of(std::env::current_exe().expect("it runs"))
}

fn machine() -> Option<Machine> {
    let prepared = Machine::prepare(&node_command(), KernelSource::Package, &mut |_| ());
    match prepared {
        Ok(machine) => Some(machine),
        Err(reason) => {
            have(Err(reason));
            None
        }
    }
}

fn cluster(machine: Machine, recorder: &Arc<Recorder>, directory: &tempfile::TempDir) -> VmCluster {
    let plan = Plan {
        id: "t".into(),
        suite: "t".into(),
        seed: 1,
        scenario: toml::from_str(SCENARIO).expect("a scenario"),
    };
    let board = Board::new(recorder.clone(), &[]).expect("no triggers");
    let node = (
        "GAUNTLET_TEST_NODE".to_owned(),
        "serve /config/node.toml".to_owned(),
    );
    let test = [
        "process::tests::serves_as_a_node",
        "--exact",
        "--ignored",
        "--nocapture",
    ];
    let options = VmOptions {
        nodes: directory.path().to_path_buf(),
        machine,
        command: node_command(),
        arguments: test.map(String::from).to_vec(),
        environment: vec![node],
        time_scale: 60,
        vcpus: 1,
        sabotage: None,
    };
    VmCluster::new(&plan, board, options).expect("directories can be made")
}

impl VmCluster {
    fn guest<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut gauntlet_machines::guest::Running) -> T,
    ) -> T {
        let done = self.inner.with_node(name, |node| match &mut node.state {
            State::Running(running) => Ok(act(running)),
            _ => panic!("{name} does not run"),
        });
        done.expect("a node")
    }
}

impl Within for VmCluster {
    fn write_unsynced(&self, node: &str) -> bool {
        self.guest(node, |guest| guest.write(UNSYNCED, "here"))
            .is_ok()
    }

    fn keeps_unsynced(&self, node: &str) -> bool {
        let kept = self.guest(node, |guest| guest.read(UNSYNCED));
        kept.expect("it answers") == "here"
    }

    fn throttled(&self, node: &str) -> Option<u64> {
        let throttled = self.inner.with_node(node, |node| {
            Ok(node
                .starved
                .as_ref()
                .map(|group| group.throttled().expect("cpu.stat")))
        });
        throttled.expect("a node")
    }

    fn host(&self, node: &str) -> Option<u64> {
        Some(self.guest(node, |guest| guest.process()).into())
    }

    fn memory(&self, node: &str) -> Option<u64> {
        let memory = self.guest(node, gauntlet_machines::guest::Running::memory);
        Some(memory.expect("it answers").total_kib >> 10)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_takes_effect_and_is_taken_back() {
    // The next test has migrations; `harness/tests/vm.rs` has one, and so have the tests of `gauntlet-machines`.
    prove(|fault| !matches!(fault, Fault::Migration { .. })).await;
}

/// After a saved state the second QEMU ends without a word about every second time, right after the guest has come to it.
/// Until it is known why, this is run by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "fails about every second time; see docs/virtualization.md"]
async fn a_guest_that_was_saved_can_be_migrated() {
    prove(|fault| matches!(fault, Fault::Save { .. } | Fault::Migration { .. })).await;
}

async fn prove(wanted: impl Fn(&Fault) -> bool) {
    let Some(machine) = machine() else { return };
    let has_group = have(cgroup::available());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let recorder = Arc::new(Recorder::in_memory());
    let cluster = cluster(machine, &recorder, &directory);
    let starts = ["n1", "n2"].map(|node| tokio::spawn(cluster.start(node, Database::Same)));
    for start in starts {
        start.await.expect("no panic").expect("it starts");
    }
    let subject = Subject {
        cluster: Arc::new(cluster.clone()),
        within: &cluster,
        now_us: &|| recorder.now_us(),
    };
    let mut faults = conformance::all();
    faults.retain(&wanted);
    for fault in &mut faults {
        // With a hundredth of a processor an emulated guest answers nobody within the time that is given.
        if let Fault::CpuStarved { percent, .. } = fault {
            *percent = 30;
        }
    }
    conformance::every_fault(&subject, &faults, |fault| match fault {
        Fault::DiskFull { .. } | Fault::DiskReadOnly { .. } => Some("a file of a fixed size"),
        Fault::CpuStarved { .. } if !has_group => Some("no control group"),
        _ => None,
    })
    .await;
    let process = cluster.guest("n1", |guest| guest.process());
    cluster.shutdown().await;
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
    let disk = cluster
        .inner
        .with_node("n2", |node| Ok(node.spec.disk.path().to_owned()));
    assert!(!disk.expect("a node").exists());
    let tracking = std::fs::read_to_string(directory.path().join("n2/tracking.jsonl"));
    assert!(tracking.expect("it was written").contains("DELIVER"));

    let measured = recorder.with_records(|records| {
        let of = |event: &Event| match event {
            Event::Measured {
                what,
                took_us,
                blackout_us,
                proof,
                ..
            } => {
                eprintln!("{what}: {took_us} µs, blackout {blackout_us:?}: {proof}");
                Some(what.clone())
            }
            _ => None,
        };
        records
            .iter()
            .filter_map(|record| of(&record.event))
            .collect::<Vec<_>>()
    });
    let named = |fault: &Fault| match fault {
        Fault::Migration { .. } => &["migration"][..],
        Fault::Save { .. } => &["save", "resume"],
        Fault::ClockJump { .. } => &["clock"],
        Fault::Shutdown { .. } => &["shutdown"],
        Fault::Ballooned { .. } => &["balloon"],
        _ => &["boot"],
    };
    for what in faults.iter().flat_map(named) {
        assert!(
            measured.iter().any(|one| one == what),
            "{what} was measured"
        );
    }
}
