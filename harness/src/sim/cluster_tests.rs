//! A cluster of real nodes under the faults of the simulator.

use std::future::Future;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::{sleep, timeout},
};

use super::*;
use crate::{
    history::{Event, Record, Recorder},
    scenario::{Step, Trigger},
    sim::run_in_sim,
    substrate::conformance,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

struct Run {
    cluster: Arc<SimCluster>,
    board: Arc<Board>,
    recorder: Arc<Recorder>,
}

impl Run {
    /// Three nodes, all started.
    async fn new(triggers: &[Trigger]) -> Self {
        let scenario =
            toml::from_str("title = \"t\"\nguarantees = []\non = [\"sim\"]\n").expect("a scenario");
        let plan = Plan {
            id: "t".into(),
            suite: "t".into(),
            seed: 3,
            scenario,
        };
        let recorder = Arc::new(Recorder::in_memory());
        let board = Board::new(recorder.clone(), triggers).expect("good triggers");
        let cluster = SimCluster::new(&plan, board.clone(), None);
        for node in ["n1", "n2", "n3"] {
            cluster
                .start(node, Database::Same)
                .await
                .expect("it starts");
        }
        Self {
            cluster,
            board,
            recorder,
        }
    }

    fn inject(&self, fault: Fault) {
        self.cluster.inject(&fault).expect("a fault");
    }

    async fn start(&self, node: &str, database: Database) {
        self.cluster.start(node, database).await.expect("it starts");
    }

    /// How many messages the mailbox of user 1 shows.
    async fn shown(&self) -> usize {
        let all = self.cluster.mailboxes("n3").await.expect("it answers");
        let own = all
            .iter()
            .filter(|(address, _)| address == "user-1@mailbox.example");
        own.map(|(_, mail)| mail.len()).sum()
    }

    async fn view(&self, node: &str) -> NodeView {
        self.cluster.view(node).await.expect("it answers")
    }
}

fn sim<T>(test: impl Future<Output = T>) -> T {
    run_in_sim(test).expect("a runtime")
}

/// Submits a message to n1, and returns the final reply; `None` when the session was lost.
async fn submit(cluster: &SimCluster, number: u32) -> Option<String> {
    let mut stream = BufReader::new(cluster.dial("client-1", "n1").await.ok()?);
    let content =
        format!("X-Gauntlet-Message: {number}.1\r\nMessage-ID: <{number}@x>\r\n\r\nhello\r\n.\r\n");
    let mut last = String::new();
    for command in [
        "",
        "EHLO client-1\r\n",
        "MAIL FROM:<a@external.example>\r\n",
        "RCPT TO:<user-1@mailbox.example>\r\n",
        "DATA\r\n",
        &content,
    ] {
        stream.write_all(command.as_bytes()).await.ok()?;
        loop {
            last.clear();
            if stream.read_line(&mut last).await.ok()? == 0 {
                return None;
            }
            if last.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
    }
    Some(last)
}

fn node(name: &str) -> String {
    name.to_owned()
}

#[test]
fn mail_is_copied_acked_and_delivered() {
    sim(async {
        let run = Run::new(&[]).await;
        let reply = submit(&run.cluster, 1).await.expect("a reply");
        assert!(reply.starts_with("250"), "{reply}");
        sleep(10 * SECOND).await;
        assert_eq!(run.shown().await, 1);
        assert!(run.view("n1").await.queue.is_empty());
        assert!(!run.cluster.tracking_log("n1").is_empty());
        assert!(run.recorder.with_records(|all| {
            all.iter()
                .any(|r| matches!(r.event, Event::Tracking { .. }))
        }));
        assert_eq!(run.cluster.resubmit("n1", 0, 60_000_000).await, Some(1));
    });
}

fn when(event: &str, before: bool) -> Trigger {
    Trigger {
        when: event.into(),
        nth: 1,
        before,
        action: Step::Destroy { node: node("n1") },
        after: None,
        then: None,
        every: None,
        during: None,
    }
}

/// What the client heard when n1 was destroyed at its ack, and the time until the message was in its mailbox.
async fn destroyed_at_ack(before: bool) -> (Option<String>, Duration, Vec<Record>) {
    let run = Run::new(&[when("client-1>n1 acked", before)]).await;
    let cluster = run.cluster.clone();
    run.board.set_injector(Arc::new(move |_| {
        let fault = Fault::Destroy { node: node("n1") };
        cluster.inject(&fault).expect("a fault");
    }));
    let reply = timeout(HOUR, submit(&run.cluster, 1)).await;
    let begun = Instant::now();
    while run.shown().await == 0 && begun.elapsed() < DAY {
        sleep(60 * SECOND).await;
    }
    run.board.set_injector(Arc::new(|_| ()));
    run.cluster.shutdown().await;
    (
        reply.ok().flatten(),
        begun.elapsed(),
        run.recorder.records(),
    )
}

#[test]
fn a_node_that_is_destroyed_at_the_ack_loses_nothing() {
    let (reply, delay, _) = sim(destroyed_at_ack(false));
    assert!(reply.is_some_and(|r| r.starts_with("250")));
    assert!((3 * HOUR..4 * HOUR).contains(&delay), "{delay:?}");
}

#[test]
fn octets_do_not_leave_a_node_that_a_trigger_destroyed_before_them() {
    let (reply, _, _) = sim(destroyed_at_ack(true));
    assert_eq!(reply, None);
}

#[test]
fn the_same_plan_and_seed_give_the_same_history() {
    let history = || {
        let (.., records) = sim(destroyed_at_ack(false));
        serde_json::to_string(&records).expect("records")
    };
    let first = history();
    assert!(first.len() > 10_000, "{}", first.len());
    assert!(first == history());
}

#[test]
fn a_frozen_node_does_nothing_and_goes_on() {
    sim(async {
        let run = Run::new(&[]).await;
        let freeze = Fault::Freeze { node: node("n1") };
        run.inject(freeze.clone());
        assert!(run.cluster.view("n1").await.is_none());
        let cluster = run.cluster.clone();
        let mail = tokio::spawn(async move { submit(&cluster, 1).await });
        sleep(60 * SECOND).await;
        assert!(!mail.is_finished());
        let tracked = run.cluster.tracking_log("n1").len();
        run.cluster.heal(&freeze).expect("it thaws");
        let reply = mail.await.expect("no panic").expect("a reply");
        assert!(reply.starts_with("250"), "{reply}");
        assert!(run.cluster.tracking_log("n1").len() > tracked);
    });
}

struct Nothing;

impl conformance::Within for Nothing {}

#[test]
fn every_fault_takes_effect_and_is_taken_back() {
    sim(async {
        let scenario = "title = \"t\"\nguarantees = []\non = [\"sim\"]\n[cluster]\nnodes = [\"n1\", \"n2\"]\nmailboxes = \"n2\"\n";
        let plan = Plan {
            id: "t".into(),
            suite: "t".into(),
            seed: 3,
            scenario: toml::from_str(scenario).expect("a scenario"),
        };
        let recorder = Arc::new(Recorder::in_memory());
        let board = Board::new(recorder.clone(), &[]).expect("no triggers");
        let cluster = SimCluster::new(&plan, board, None);
        for node in ["n1", "n2"] {
            let started = cluster.start(node, Database::Same).await;
            started.expect("it starts");
        }
        let subject = conformance::Subject {
            cluster,
            within: &Nothing,
            now_us: &|| recorder.now_us(),
        };
        conformance::every_fault(&subject, &conformance::all(), |fault| match fault {
            Fault::CpuStarved { .. } => Some("takes no time"),
            Fault::Ballooned { .. } => Some("no memory of its own"),
            _ => None,
        })
        .await;
    });
}

#[test]
fn crashes_keep_what_was_synced() {
    sim(async {
        let run = Run::new(&[]).await;
        let id = run.view("n1").await.database;
        for (number, fault) in [
            Fault::ProcessCrash { node: node("n1") },
            Fault::HostCrash { node: node("n1") },
        ]
        .into_iter()
        .enumerate()
        {
            assert!(submit(&run.cluster, number as u32).await.is_some());
            run.inject(fault.clone());
            assert!(matches!(
                run.cluster.inject(&fault),
                Err(ClusterError::State(_))
            ));
            assert!(run.cluster.view("n1").await.is_none());
            run.start("n1", Database::Same).await;
            assert_eq!(run.view("n1").await.database, id);
            sleep(HOUR).await;
            assert_eq!(run.shown().await, number + 1);
        }
        let twice = run.cluster.start("n1", Database::Same).await;
        assert!(matches!(twice, Err(ClusterError::State(_))));
    });
}

#[test]
fn a_new_database_has_a_new_id_and_the_mailboxes_stay() {
    sim(async {
        let run = Run::new(&[]).await;
        submit(&run.cluster, 1).await.expect("a reply");
        sleep(HOUR).await;
        let id = run.view("n3").await.database;
        run.inject(Fault::HostCrash { node: node("n3") });
        run.start("n3", Database::New).await;
        assert_ne!(run.view("n3").await.database, id);
        assert_eq!(run.shown().await, 1);
        run.inject(Fault::Destroy { node: node("n3") });
        run.start("n3", Database::Same).await;
        assert_eq!(run.shown().await, 0);
    });
}

#[test]
fn a_revert_goes_back_to_the_snapshot() {
    sim(async {
        let run = Run::new(&[]).await;
        let revert = Fault::Revert { node: node("n3") };
        assert!(run.cluster.inject(&revert).is_err(), "no snapshot yet");
        let id = run.view("n3").await.database;
        run.cluster.snapshot("n3").expect("a snapshot");
        submit(&run.cluster, 1).await.expect("a reply");
        sleep(HOUR).await;
        assert_eq!(run.shown().await, 1);
        run.inject(revert);
        run.start("n3", Database::Same).await;
        assert_eq!((run.shown().await, run.view("n3").await.database), (0, id));
    });
}

#[test]
fn what_does_not_exist_is_unknown() {
    sim(async {
        let run = Run::new(&[]).await;
        let fault = Fault::Freeze { node: node("n9") };
        assert!(matches!(
            run.cluster.inject(&fault),
            Err(ClusterError::Unknown(_))
        ));
        assert!(
            run.cluster.listen("n1").await.is_err(),
            "a node's address is no sink's"
        );
        assert!(run.cluster.start("n9", Database::Same).await.is_err());
        let checked = run
            .cluster
            .check_config(&[("ConnectionTimeout".into(), "1m".into())])
            .await;
        assert!(matches!(checked, Ok((false, _))), "{checked:?}");
    });
}

#[test]
fn five_idle_days_are_short() {
    let begun = std::time::Instant::now();
    let records = sim(async {
        let run = Run::new(&[]).await;
        submit(&run.cluster, 1).await.expect("a reply");
        sleep(5 * DAY).await;
        run.cluster.shutdown().await;
        run.recorder.records().len()
    });
    eprintln!(
        "five days of a cluster: {:?}, {records} records",
        begun.elapsed()
    );
}
