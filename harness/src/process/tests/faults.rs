//! The faults that the operating system does to real nodes, proven by the body that all substrates share.

use super::*;
use crate::host::{mounts, testing::have};
use crate::substrate::conformance::{self, Subject, Within};

/// Names every fault that a node must be made ready for before it first starts.
const STRIKING: &str = r#"
    [[step]]
    crash = { node = "n2", kind = "host" }
    [[step]]
    fill-disk = { node = "n2" }
    [[step]]
    read-only-disk = { node = "n2" }
    [[step]]
    jump-clock = { node = "n2", back = "2h" }
    [[step]]
    starve-cpu = { node = "n2", percent = 1 }
"#;

/// Written, and never synced.
const UNSYNCED: &[u8] = &[b'x'; 4096];

impl Within for ProcessCluster {
    fn write_unsynced(&self, node: &str) -> bool {
        let file = self.disk_of(node).join("unsynced");
        std::fs::write(file, UNSYNCED).is_ok()
    }

    fn keeps_unsynced(&self, node: &str) -> bool {
        // Its name may be there: the node's own sync writes the journal of the whole file system. What was written is not.
        let file = self.disk_of(node).join("unsynced");
        std::fs::read(file).is_ok_and(|kept| kept == UNSYNCED)
    }

    fn throttled(&self, node: &str) -> Option<u64> {
        self.throttled_of(node)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_takes_effect_and_is_taken_back() {
    let (disk, group) = (volume::available(), cgroup::available());
    let (has_disk, has_group) = (have(disk), have(group));
    let mut striking = STRIKING.to_owned();
    if !has_disk {
        striking = striking[striking.find("[[step]]\n    jump").expect("it is there")..].into();
    }
    if !has_group {
        striking.truncate(striking.find("[[step]]\n    starve").expect("it is there"));
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &[]).expect("no triggers");
    let plan = plan(&format!("{SCENARIO}{striking}"));
    let cluster = ProcessCluster::new(&plan, board, options(&directory)).expect("it is made");
    for node in ["n1", "n2"] {
        let started = cluster.start(node, Database::Same).await;
        started.expect("it starts");
    }
    let subject = Subject {
        cluster: Arc::new(cluster.clone()),
        within: &cluster,
        now_us: &|| recorder.now_us(),
    };
    conformance::every_fault(&subject, &conformance::all(), |fault| match fault {
        Fault::Save { .. } => Some("no memory image"),
        Fault::Migration { .. } => Some("no memory and devices"),
        Fault::Ballooned { .. } => Some("no memory of its own"),
        Fault::HostCrash { .. } | Fault::DiskFull { .. } | Fault::DiskReadOnly { .. }
            if !has_disk =>
        {
            Some("shares a file system")
        }
        Fault::CpuStarved { .. } if !has_group => Some("no control group"),
        _ => None,
    })
    .await;
    cluster.shutdown().await;
    drop(subject);
    drop(cluster);
    let data = directory.path().join("n2/data");
    assert!(
        data.join("transport.redb").is_file(),
        "it is kept for a reader"
    );
    assert!(data.join("tracking.jsonl").is_file());
    assert!(!directory.path().join("n2/disk.img").exists());
    assert!(!mounts::is_mounted(&directory.path().join("n2/disk")));
}

/// The same body, for the faults of the network, where the kernel drops packets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_by_address_take_effect_and_are_taken_back() {
    if !have(namespace::available()) {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &[]).expect("no triggers");
    let options = ProcessOptions {
        network: Network::Namespaces,
        ..options(&directory)
    };
    let cluster = ProcessCluster::new(&plan(SCENARIO), board, options).expect("it is made");
    for node in ["n1", "n2"] {
        let started = cluster.start(node, Database::Same).await;
        started.expect("it starts");
    }
    let subject = Subject {
        cluster: Arc::new(cluster.clone()),
        within: &cluster,
        now_us: &|| recorder.now_us(),
    };
    let mut faults = conformance::all();
    faults.retain(|fault| fault.node().is_none() || matches!(fault, Fault::ProcessCrash { .. }));
    conformance::every_fault(&subject, &faults, |_| None).await;

    // Between nodes, and one way: what n1 sends does not arrive, so no copy is made.
    let cut = Fault::Partition {
        a: "n1".into(),
        b: "n2".into(),
        one_way: true,
    };
    cluster.inject(&cut).expect("cut");
    let sent = tokio::time::timeout(
        Duration::from_millis(400),
        send(&cluster, "n1", "user-1@mailbox.example", 900_001),
    );
    assert!(sent.await.is_err(), "it waits for its copy");
    assert!(matches!(
        cluster.heal(&Fault::Reset {
            link: "n1>n2".into()
        }),
        Err(ClusterError::State(_))
    ));
    cluster.heal(&cut).expect("healed");
    assert!(matches!(cluster.heal(&cut), Err(ClusterError::State(_))));
    let answer = within(send(&cluster, "n1", "user-1@mailbox.example", 900_002)).await;
    assert!(answer.expect("a reply").starts_with("250"));
    let taps = cluster.names_of_namespaces();
    cluster.shutdown().await;
    drop(subject);
    drop(cluster);
    within(async {
        while taps.iter().any(|path| path.exists()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_scenario_that_this_machine_cannot_run_is_not_applicable() {
    // The reason comes before anything is started.
    let Err(reason) = volume::available() else {
        return;
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let board = Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
    let plan = plan(&format!("{SCENARIO}{STRIKING}"));
    let refused = ProcessCluster::new(&plan, board, options(&directory))
        .map(drop)
        .expect_err("no disk");
    assert!(refused.to_string().ends_with(&reason), "{refused}");
}
