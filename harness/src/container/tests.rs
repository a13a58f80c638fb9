//! The substrate's own tests: the conformance body on three reference nodes, of which one has a disk of its own. They need a
//! container engine; a user's machine without one skips them, and says so.

use std::{fs, sync::Arc};

use gauntlet_docker::{
    engine::{Engine, ImageOptions, NodeProgram},
    target::Target,
};

use super::*;
use crate::{
    history::{Fault, Recorder},
    host::{mounts, testing::have, volume},
    scenario::{self, Database, Scenario},
    substrate::{
        Cluster,
        conformance::{self, Subject, Within},
    },
    tap::Board,
};

/// Written, and never synced.
const UNSYNCED: &[u8] = &[b'x'; 4096];

impl Within for ContainerCluster {
    fn write_unsynced(&self, node: &str) -> bool {
        let written = |disk: std::path::PathBuf| fs::write(disk.join("unsynced"), UNSYNCED).is_ok();
        self.disk_of(node).is_some_and(written)
    }

    fn keeps_unsynced(&self, node: &str) -> bool {
        let kept = |disk: std::path::PathBuf| fs::read(disk.join("unsynced")).ok();
        self.disk_of(node)
            .and_then(kept)
            .is_some_and(|kept| kept == UNSYNCED)
    }

    fn throttled(&self, node: &str) -> Option<u64> {
        let process = self.container_of(node).process()?;
        throttled(process)
    }
}

/// How often the kernel held back the group of a process, while it has a quota.
fn throttled(process: i32) -> Option<u64> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let directory = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some(format!("/sys/fs/cgroup{path}")),
            with if with.split(',').any(|one| one == "cpu") => {
                Some(format!("/sys/fs/cgroup/{with}{path}"))
            }
            _ => None,
        }
    })?;
    let read = |file: &str| fs::read_to_string(format!("{directory}/{file}")).ok();
    let limited = match (read("cpu.max"), read("cpu.cfs_quota_us")) {
        (Some(max), _) => !max.starts_with("max"),
        (None, Some(quota)) => !quota.starts_with('-'),
        (None, None) => false,
    };
    let stat = read("cpu.stat").filter(|_| limited)?;
    stat.lines()
        .find_map(|line| line.strip_prefix("nr_throttled "))?
        .trim()
        .parse()
        .ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_takes_effect_and_is_taken_back() {
    // Engine calls hold their thread: not one of this runtime's.
    let there = tokio::task::spawn_blocking(available).await.expect("asked");
    if !have(there.map(drop)) || !have(volume::available()) {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &[]).expect("no triggers");
    let target = Target::load("reference").expect("shipped");
    let engine = Engine::connect().expect("it was there");
    // The test program is no node: the one beside it is.
    let program = std::env::current_exe().expect("this program");
    let node = program
        .ancestors()
        .nth(2)
        .expect("target/debug")
        .join("gauntlet");
    if !have(
        node.is_file().then_some(()).ok_or_else(|| {
            "no gauntlet built beside this test: `cargo build -p gauntlet`".to_owned()
        }),
    ) {
        return;
    }
    let image = ImageOptions {
        base: None,
        node: Some(NodeProgram { path: node }),
    };
    let options = ContainerOptions {
        nodes: directory.path().to_path_buf(),
        image: engine.image(&target, &image).expect("an image"),
        engine,
        target,
        node_arguments: vec!["node".into()],
        time_scale: 60,
        sabotage: None,
    };
    let scenario: Scenario = toml::from_str(
        r#"
        title = "t"
        guarantees = []
        on = ["container"]
        [cluster]
        nodes = ["n1", "n2"]
        mailboxes = "n2"
        [[step]]
        crash = { node = "n2", kind = "host" }
        "#,
    )
    .expect("a scenario");
    let plan = scenario::plan("conformance", "tests", &scenario, 1);
    let made = ContainerCluster::new(&plan, board, options).await;
    let cluster = made.expect("it is made");
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
        Fault::ClockJump { .. } => Some("the machine's clock"),
        _ => None,
    })
    .await;
    let container = cluster.container_of("n2").name().to_owned();
    cluster.shutdown().await;
    let left = tokio::task::spawn_blocking(|| Engine::connect()?.labelled());
    let left = left.await.expect("asked").expect("answered");
    assert!(left.iter().all(|one| one.name != container), "{left:?}");
    assert!(!mounts::is_mounted(&directory.path().join("n2/disk")));
}
