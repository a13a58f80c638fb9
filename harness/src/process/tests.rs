//! The substrate with real reference nodes as processes: this test's own executable, started again.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use gauntlet_reports::Status;
use reference_node::{env::BoxStream, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    check,
    history::{Event, Fault, Recorder, Wire},
    runner,
    scenario::{Database, Plan},
    substrate::{Cluster, ClusterError},
    tap::Board,
};

/// What a started copy of this executable does: it is a node. `GAUNTLET_TEST_NODE` has the configuration, and what to do.
#[test]
#[ignore = "runs as a child of other tests"]
fn serves_as_a_node() {
    let arguments = std::env::var("GAUNTLET_TEST_NODE").expect("set by node_command");
    let mut arguments = arguments.split(' ');
    let mut next = || arguments.next().filter(|argument| !argument.is_empty());
    let (mode, config) = (next().expect("a mode"), next().expect("a path"));
    let arguments = service::Arguments {
        config: config.into(),
        check: mode == "--check",
        exit_with_parent: mode == "--exit-with-parent",
        clock_offset: next().map(Into::into),
    };
    if let Err(report) = service::run(&arguments) {
        eprintln!("{report:?}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn node_command() -> NodeCommand {
    let script = "GAUNTLET_TEST_NODE=\"$3 $2 $5\" exec \"$0\" process::tests::serves_as_a_node --exact --ignored --nocapture --test-threads=2";
    let own = std::env::current_exe().expect("it runs");
    NodeCommand::of("sh").with_arguments(["-c".into(), script.into(), own.into_os_string()])
}

pub(in crate::process) mod faults;

struct Run {
    cluster: ProcessCluster,
    recorder: Arc<Recorder>,
    directory: tempfile::TempDir,
}

const SCENARIO: &str = r#"
    title = "t"
    guarantees = []
    on = ["process"]
    [config]
    ShadowHeartbeatFrequency = "12s"
    TransientFailureRetryInterval = "12s"
    ConnectionInactivityTimeout = "20m"
    ConnectionTimeout = "40m"
    [cluster]
    nodes = ["n1", "n2"]
    mailboxes = "n2"
"#;

fn plan(scenario: &str) -> Plan {
    let scenario = toml::from_str(scenario).expect("a scenario");
    Plan {
        id: "t".into(),
        suite: "t".into(),
        seed: 1,
        scenario,
    }
}

fn options(directory: &tempfile::TempDir) -> ProcessOptions {
    ProcessOptions {
        nodes: directory.path().to_path_buf(),
        command: node_command(),
        time_scale: 60,
        network: Network::default(),
        sabotage: None,
    }
}

fn run() -> Run {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &[]).expect("no triggers");
    let cluster = ProcessCluster::new(&plan(SCENARIO), board, options(&directory))
        .expect("directories can be made");
    Run {
        cluster,
        recorder,
        directory,
    }
}

impl Run {
    async fn start(&self, node: &str) {
        self.cluster
            .start(node, Database::Same)
            .await
            .expect("it starts");
    }

    fn wires(&self, link: &str) -> Vec<Wire> {
        let of = |event: &Event| match event {
            Event::Wire { link: of, wire, .. } if of == link => Some(wire.clone()),
            _ => None,
        };
        self.recorder.with_records(|records| {
            records
                .iter()
                .filter_map(|record| of(&record.event))
                .collect()
        })
    }
}

async fn reply(stream: &mut BoxStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    loop {
        text.push(stream.read_u8().await?);
        let line = text.rsplit(|&o| o == b'\n').nth(1).unwrap_or_default();
        if text.ends_with(b"\n") && line.get(3) == Some(&b' ') {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

/// Sends a message of that number; returns the final reply.
async fn send(
    cluster: &ProcessCluster,
    to: &str,
    recipient: &str,
    number: u32,
) -> std::io::Result<String> {
    let mut stream = cluster.dial("client-1", to).await?;
    reply(&mut stream).await?;
    let content = format!(
        "Message-ID: <{number}@client.example>\r\nX-Gauntlet-Message: {number}.1\r\n\r\nbody\r\n.\r\n"
    );
    for command in [
        "EHLO client.example\r\n",
        "MAIL FROM:<a@b.example>\r\n",
        &format!("RCPT TO:<{recipient}>\r\n"),
        "DATA\r\n",
    ] {
        stream.write_all(command.as_bytes()).await?;
        let answer = reply(&mut stream).await?;
        assert!(answer.starts_with(['2', '3']), "{command}: {answer}");
    }
    stream.write_all(content.as_bytes()).await?;
    reply(&mut stream).await
}

/// Numbers of the messages in n2's mailbox, once there are so many.
async fn mailbox(cluster: &ProcessCluster, count: usize) -> Vec<Option<u32>> {
    loop {
        if let Some(mailboxes) = cluster.mailboxes("n2").await {
            let mail: Vec<_> = mailboxes.into_iter().flat_map(|(_, mail)| mail).collect();
            if mail.len() >= count {
                assert!(
                    mail.iter()
                        .all(|mail| mail.digest.size > 0 && mail.from == "a@b.example")
                );
                return mail.into_iter().map(|mail| mail.message).collect();
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("it comes to its end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_survives_sigkill_and_every_link_is_seen() {
    let run = run();
    let cluster = &run.cluster;
    let mut sink = cluster.listen("sink-1").await.expect("a free port");
    run.start("n1").await;
    run.start("n2").await;
    assert!(matches!(
        cluster.start("n1", Database::Same).await,
        Err(ClusterError::State(_))
    ));
    let answer = within(send(cluster, "n1", "user-1@mailbox.example", 1))
        .await
        .expect("a reply");
    assert!(answer.starts_with("250"), "{answer}");
    within(mailbox(cluster, 1)).await;
    let copied = run.wires("n1>n2").iter().any(|wire| {
        matches!(
            wire,
            Wire::FinalReply {
                message: Some(1),
                transport_id: Some(_),
                ..
            }
        )
    });
    assert!(copied, "the copy was seen on its link");

    // The sink knows who comes.
    let answer = within(send(cluster, "n1", "bob@external.example", 2))
        .await
        .expect("a reply");
    assert!(answer.starts_with("250"), "{answer}");
    let (stream, peer) = within(sink.accept()).await.expect("a connection");
    assert_eq!(peer, "n1");
    drop(stream);

    let before = within(cluster.view("n1")).await.expect("a view").database;
    cluster
        .inject(&Fault::ProcessCrash { node: "n1".into() })
        .expect("killed");
    assert!(matches!(
        cluster.inject(&Fault::ProcessCrash { node: "n1".into() }),
        Err(ClusterError::State(_))
    ));
    assert!(cluster.view("n1").await.is_none());
    let refused = async { cluster.dial("client-1", "n1").await?.read_u8().await };
    assert!(within(refused).await.is_err(), "nobody is there");
    run.start("n1").await;
    assert_eq!(
        within(cluster.view("n1")).await.expect("a view").database,
        before
    );
    cluster
        .inject(&Fault::ProcessCrash { node: "n1".into() })
        .expect("killed");
    within(cluster.start("n1", Database::New))
        .await
        .expect("it starts");
    assert_ne!(
        within(cluster.view("n1")).await.expect("a view").database,
        before
    );

    let tracked = run.recorder.with_records(|records| {
        let of = |event: &Event| matches!(event, Event::Tracking { node, entry } if node == "n2" && entry["event"] == "DELIVER");
        records.iter().filter(|record| of(&record.event)).count()
    });
    assert_eq!(tracked, 1);
    cluster.shutdown().await;
    cluster.shutdown().await;
    assert!(cluster.view("n2").await.is_none());
    let log = std::fs::read_to_string(run.directory.path().join("n1/node.log")).expect("a log");
    assert_eq!(log.matches("\"listening\"").count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freeze_snapshot_revert_and_destroy() {
    let run = run();
    let cluster = &run.cluster;
    run.start("n2").await;
    assert!(matches!(
        cluster.inject(&Fault::Revert { node: "n2".into() }),
        Err(ClusterError::State(_))
    ));
    within(send(cluster, "n2", "user-1@mailbox.example", 1))
        .await
        .expect("a reply");
    assert_eq!(within(mailbox(cluster, 1)).await, [Some(1)]);
    cluster.snapshot("n2").expect("copied");

    let freeze = Fault::Freeze { node: "n2".into() };
    cluster.inject(&freeze).expect("stopped");
    let mut answer = Box::pin(send(cluster, "n2", "user-1@mailbox.example", 2));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(early.is_err(), "a frozen node answers nothing");
    cluster.heal(&freeze).expect("continued");
    assert!(within(answer).await.expect("a reply").starts_with("250"));
    assert_eq!(within(mailbox(cluster, 2)).await, [Some(1), Some(2)]);

    cluster
        .inject(&Fault::Revert { node: "n2".into() })
        .expect("put back");
    run.start("n2").await;
    assert_eq!(within(mailbox(cluster, 1)).await, [Some(1)]);
    cluster
        .inject(&Fault::Destroy { node: "n2".into() })
        .expect("lost");
    assert!(matches!(cluster.heal(&freeze), Err(ClusterError::State(_))));
    run.start("n2").await;
    assert_eq!(within(mailbox(cluster, 0)).await, []);
    for fault in [
        Fault::HostCrash { node: "n2".into() },
        Fault::DiskFull { node: "n2".into() },
        Fault::ClockJump {
            node: "n2".into(),
            offset_ms: 1,
        },
    ] {
        let refused = cluster.inject(&fault).expect_err("no step means it");
        assert!(
            refused
                .to_string()
                .contains("of n2 is not possible on process: "),
            "{refused}"
        );
    }
    assert!(matches!(
        cluster.inject(&Fault::Freeze { node: "n9".into() }),
        Err(ClusterError::Unknown(_))
    ));
    assert!(matches!(
        cluster.inject(&Fault::Reset {
            link: "n1>n9".into()
        }),
        Err(ClusterError::Unknown(_))
    ));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_resubmission_and_time() {
    let run = run();
    let cluster = &run.cluster;
    let setting = |value: &str| [("ConnectionInactivityTimeout".to_string(), value.to_string())];
    let (accepted, said) = cluster
        .check_config(&setting("20m"))
        .await
        .expect("checked");
    assert!(
        !accepted && said.contains("must be less than ConnectionTimeout"),
        "{said}"
    );
    let (accepted, said) = cluster.check_config(&setting("1m")).await.expect("checked");
    assert!(accepted, "{said}");
    assert_eq!(
        cluster.scaled(Duration::from_secs(7200)),
        Duration::from_secs(120)
    );

    run.start("n2").await;
    let from_us = run.recorder.now_us() as i64;
    within(send(cluster, "n2", "user-1@mailbox.example", 7))
        .await
        .expect("a reply");
    let mail = within(cluster.mailboxes("n2")).await;
    assert_eq!(within(mailbox(cluster, 1)).await, [Some(7)], "{mail:?}");
    let kept = async {
        while cluster
            .view("n2")
            .await
            .is_none_or(|view| view.safety_net.is_empty())
        {}
    };
    within(kept).await;
    let to_us = run.recorder.now_us() as i64 + 1000;
    assert_eq!(
        within(cluster.resubmit("n2", from_us - 1000, to_us)).await,
        Some(1)
    );
    assert_eq!(
        within(cluster.resubmit("n2", from_us - 10_000_000, from_us - 5_000_000)).await,
        Some(0)
    );
    let mail: BTreeMap<_, _> = within(cluster.mailboxes("n2"))
        .await
        .expect("it answers")
        .into_iter()
        .collect();
    let arrived = mail["user-1@mailbox.example"][0].t_us;
    assert!(
        (from_us - 1000..to_us).contains(&arrived),
        "{from_us} <= {arrived} < {to_us}"
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_die_with_the_cluster_and_say_why_they_did_not_start() {
    let run = run();
    let board = || Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
    let made = |plan: &Plan, options| {
        ProcessCluster::new(plan, board(), options).expect("directories can be made")
    };
    let broken = made(
        &plan(&SCENARIO.replace("40m", "20m")),
        options(&run.directory),
    );
    let error = broken
        .start("n1", Database::Same)
        .await
        .expect_err("a bad configuration")
        .to_string();
    assert!(
        error.starts_with("start n1: it ended: ")
            && error.contains("must be less than ConnectionTimeout"),
        "{error}"
    );
    let missing = ProcessOptions {
        command: NodeCommand::of("/does/not/exist"),
        ..options(&run.directory)
    };
    let missing = made(&plan(SCENARIO), missing);
    let error = missing
        .start("n1", Database::Same)
        .await
        .expect_err("no program")
        .to_string();
    assert!(error.contains("/does/not/exist"), "{error}");

    run.start("n1").await;
    let process = children_with(run.directory.path());
    assert_eq!(process.len(), 1);
    drop(run.cluster);
    within(async {
        while !children_with(run.directory.path()).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Processes that have a configuration below this directory.
fn children_with(directory: &Path) -> Vec<String> {
    let needle = format!(
        "GAUNTLET_TEST_NODE=--exit-with-parent {}",
        directory.display()
    );
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&needle)
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Runs a scenario of the suites on processes, and judges it.
async fn judged(id: &str, time_scale: u32) -> Vec<(String, Status, String)> {
    let scenario = crate::scenario::embedded()
        .expect("the suites")
        .into_iter()
        .find(|s| s.id == id)
        .expect("it is there");
    let plan = crate::scenario::plan(id, &scenario.suite, &scenario.scenario, 1);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &plan.scenario.fault).expect("good triggers");
    let options = ProcessOptions {
        time_scale,
        ..options(&directory)
    };
    let cluster = Arc::new(
        ProcessCluster::new(&plan, board.clone(), options).expect("directories can be made"),
    );
    let options = runner::Options {
        cancel: CancellationToken::new(),
        sabotage: None,
        substrate: "process".into(),
        time_scale,
    };
    runner::execute(&plan, cluster, board, recorder.clone(), &options)
        .await
        .expect("it comes to its end");
    let verdicts = recorder.with_records(check::judge);
    verdicts
        .into_iter()
        .map(|verdict| (verdict.guarantee, verdict.status, verdict.summary))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scenario_runs_and_is_judged() {
    let verdicts = within(judged("ro-06-primary-crash-at-ack", 600)).await;
    let said = |id: &str| {
        verdicts
            .iter()
            .find(|(guarantee, ..)| guarantee == id)
            .map(|(_, status, _)| *status)
    };
    assert_eq!(said("RO-06"), Some(Status::Holds), "{verdicts:?}");
}
