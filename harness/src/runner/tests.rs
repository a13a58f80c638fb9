//! Runs on the fake cluster, from their first record to their last.

use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    history::Record,
    workload::testing::{FakeCluster, shared},
};

struct Ran {
    cluster: Arc<FakeCluster>,
    records: Vec<Record>,
    result: Result<(), RunError>,
}

fn plan(scenario: &str) -> Plan {
    let head = "title = \"a test\"\nguarantees = [\"TC-01\"]\non = [\"sim\"]\n";
    let scenario = toml::from_str(&format!("{head}{scenario}")).expect("a good scenario");
    Plan {
        id: "test".into(),
        suite: "tests".into(),
        seed: 7,
        scenario,
    }
}

fn options() -> Options {
    Options {
        cancel: CancellationToken::new(),
        sabotage: None,
        substrate: "sim".into(),
        time_scale: 1,
    }
}

/// Runs a scenario, while `meanwhile` does something with the cluster and its board.
async fn run_with<F: Future<Output = ()> + Send + 'static>(
    scenario: &str,
    options: Options,
    meanwhile: impl FnOnce(Arc<FakeCluster>, Arc<Board>) -> F,
) -> Ran {
    let plan = plan(scenario);
    let cluster = FakeCluster::new("sink-1");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &plan.scenario.fault).expect("good triggers");
    let other = tokio::spawn(meanwhile(cluster.clone(), board.clone()));
    let result = execute(&plan, shared(&cluster), board, recorder.clone(), &options).await;
    other.abort();
    Ran {
        cluster,
        records: recorder.records(),
        result,
    }
}

async fn run(scenario: &str) -> Ran {
    run_with(scenario, options(), |_, _| async {}).await
}

impl Ran {
    /// The history, a line per record, with its time in seconds.
    fn story(&self) -> String {
        let line = |record: &Record| {
            let text = match &record.event {
                Event::Begin {
                    substrate,
                    time_scale,
                    ..
                } => format!("begin on {substrate}, time {time_scale}"),
                Event::Submit(s) => {
                    format!(
                        "submission {}: message {}.{} {} via {}",
                        s.submission, s.message, s.attempt, s.link, s.via
                    )
                }
                Event::Outcome {
                    submission,
                    outcome,
                    error,
                    ..
                } => {
                    format!(
                        "outcome {submission}: {outcome:?} {}",
                        error.as_deref().unwrap_or("")
                    )
                }
                Event::Delivered(d) => format!(
                    "delivered {:?} by {} to {:?}",
                    d.message, d.link, d.recipients
                ),
                Event::View { node, view } => format!("view {node}: {} queued", view.queue.len()),
                Event::Mailbox { node, mailbox, .. } => format!("mailbox {mailbox} on {node}"),
                Event::NodeUp {
                    node,
                    incarnation,
                    database,
                } => {
                    format!(
                        "{node} is up: {incarnation}, {}",
                        database.as_deref().unwrap_or("no database known")
                    )
                }
                Event::Step { index, text } => format!("step {index}: {text}"),
                Event::End { reason } => format!("end: {reason}"),
                other => format!("{other:?}"),
            };
            #[expect(clippy::cast_precision_loss, reason = "a test's times are small")]
            let seconds = record.t_us as f64 / 1e6;
            format!("{seconds:>9.3} {}", text.trim_end())
        };
        self.records.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The lines that hold one of these words.
    fn lines(&self, words: &[&str]) -> String {
        let story = self.story();
        story
            .lines()
            .filter(|line| words.iter().any(|word| line.contains(word)))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_from_begin_to_end() {
    let ran = run(r#"
        cluster = { nodes = ["n1", "n2"], mailboxes = "n2", sinks = ["sink-1"] }
        step = [
            { submit = { to = "n1", count = 2, one-session = true, every = "1m", probe-session = true } },
            { submit = { to = "n2", background = true, via = "lettre" } },
            { wait = { for = "1h" } },
        ]
    "#)
    .await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    insta::assert_snapshot!(ran.story(), @r#"
       0.000 begin on sim, time 1
       0.005 n1 is up: 1, database-1
       0.010 n2 is up: 1, database-1
       0.010 Phase { phase: Load }
       0.010 step 0: client-1 submits 2 messages for mailbox and external to n1
       0.010 submission 1: message 1.1 client-1>n1 via raw
       0.010 DataSent { submission: 1 }
       0.010 outcome 1: Acked
       0.010 SessionUsable { submission: 1, usable: true }
       0.010 delivered Some(1) by n1>sink-1 to ["user-1@mailbox.example", "someone@external.example"]
      60.010 submission 2: message 2.1 client-1>n1 via raw
      60.010 DataSent { submission: 2 }
      60.010 outcome 2: Acked
      60.010 SessionUsable { submission: 2, usable: true }
      60.010 delivered Some(2) by n1>sink-1 to ["user-1@mailbox.example", "someone@external.example"]
      60.010 step 1: client-1 submits 1 message for mailbox and external to n2, with lettre, in the background
      60.010 step 2: wait 1h
      60.010 submission 3: message 3.1 client-1>n2 via lettre
      60.010 DataSent { submission: 3 }
      60.010 outcome 3: Acked
      60.010 delivered Some(3) by n2>sink-1 to ["user-1@mailbox.example", "someone@external.example"]
    3660.010 Phase { phase: Heal }
    3660.010 Phase { phase: Settle }
    3661.010 Settled { quiescent: true, pending: [] }
    3661.010 Phase { phase: Observe }
    3661.010 view n1: 0 queued
    3661.010 mailbox inbox@n1 on n1
    3661.010 view n2: 0 queued
    3661.010 mailbox inbox@n2 on n2
    3661.010 end: completed
    "#);
    assert_eq!(
        ran.cluster.log(),
        ["start n1 Same", "start n2 Same", "shutdown"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_plan_makes_the_same_history() {
    let scenario = r#"
        step = [
            { submit = { to = "n1", count = 20, sessions = 3, background = true } },
            { submit = { to = "n2", count = 20, sessions = 3, one-session = true, message = "all" } },
            { crash = { node = "n1", kind = "process" } },
            { wait = { for = "1s" } },
            { start = { node = "n1" } },
            { resend = { to = "n1", outcomes = ["indeterminate", "unsent"] } },
        ]
    "#;
    assert_eq!(run(scenario).await.records, run(scenario).await.records);
}

#[tokio::test(start_paused = true)]
async fn faults_are_numbered_and_healed() {
    let ran = run(r#"
        step = [
            { freeze = { node = "n1" } },
            { partition = { a = "n1", b = "n2" } },
            { partition = { a = "n2", b = "n3", one-way = true } },
            { delay = { link = "n1>n2", latency = "20ms" } },
            { reset = { link = "n1>n2" } },
            { heal = { a = "n2", b = "n1" } },
            { thaw = { node = "n1" } },
            { crash = { node = "n1" } },
            { crash = { node = "n1" } },
            { start = { node = "n1", database = "new" } },
            { snapshot = { node = "n2" } },
            { revert = { node = "n2" } },
        ]
    "#)
    .await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    insta::assert_snapshot!(ran.lines(&["Fault", "is up", "step", "Phase"]), @r#"
    0.005 n1 is up: 1, database-1
    0.010 n2 is up: 1, database-1
    0.015 n3 is up: 1, database-1
    0.015 Phase { phase: Load }
    0.015 step 0: freeze n1
    0.015 FaultPlanned { fault: 1, what: Freeze { node: "n1" }, trigger: None }
    0.015 FaultLanded { fault: 1 }
    0.015 step 1: part n1 from n2
    0.015 FaultPlanned { fault: 2, what: Partition { a: "n1", b: "n2", one_way: false }, trigger: None }
    0.015 FaultLanded { fault: 2 }
    0.015 step 2: hold back what goes from n2 to n3
    0.015 FaultPlanned { fault: 3, what: Partition { a: "n2", b: "n3", one_way: true }, trigger: None }
    0.015 FaultLanded { fault: 3 }
    0.015 step 3: delay n1>n2 by 20ms
    0.015 FaultPlanned { fault: 4, what: Delay { link: "n1>n2", latency_us: 20000 }, trigger: None }
    0.015 FaultLanded { fault: 4 }
    0.015 step 4: reset n1>n2
    0.015 FaultPlanned { fault: 5, what: Reset { link: "n1>n2" }, trigger: None }
    0.015 FaultLanded { fault: 5 }
    0.015 step 5: heal the network between n2 and n1
    0.015 FaultHealed { fault: 2 }
    0.015 FaultHealed { fault: 4 }
    0.015 step 6: thaw n1
    0.015 FaultHealed { fault: 1 }
    0.015 step 7: crash n1 (process)
    0.015 FaultPlanned { fault: 6, what: ProcessCrash { node: "n1" }, trigger: None }
    0.015 FaultLanded { fault: 6 }
    0.015 step 8: crash n1 (process)
    0.015 FaultPlanned { fault: 7, what: ProcessCrash { node: "n1" }, trigger: None }
    0.015 FaultFailed { fault: 7, reason: "n1 does not run" }
    0.015 step 9: start n1 with a new transport database
    0.020 FaultHealed { fault: 6 }
    0.020 n1 is up: 2, database-2
    0.020 step 10: take a snapshot of n2
    0.020 step 11: revert n2 to its snapshot
    0.020 FaultPlanned { fault: 8, what: Revert { node: "n2" }, trigger: None }
    0.020 FaultLanded { fault: 8 }
    0.025 FaultHealed { fault: 8 }
    0.025 n2 is up: 2, database-2
    0.025 Phase { phase: Heal }
    0.025 FaultHealed { fault: 3 }
    0.025 Phase { phase: Settle }
    1.025 Phase { phase: Observe }
    "#);
}

#[tokio::test(start_paused = true)]
async fn healing_brings_back_all_that_is_not_destroyed() {
    let ran = run(r#"
        step = [
            { freeze = { node = "n1" } },
            { crash = { node = "n2", kind = "host" } },
            { destroy = { node = "n3" } },
            { partition = { a = "n1", b = "n3" } },
            { sink = { sink = "sink-1", behaviour = "down" } },
        ]
    "#)
    .await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    insta::assert_snapshot!(ran.lines(&["Healed", "is up", "Phase", "Settled", "view", "end"]), @"
    0.005 n1 is up: 1, database-1
    0.010 n2 is up: 1, database-1
    0.015 n3 is up: 1, database-1
    0.015 Phase { phase: Load }
    0.015 Phase { phase: Heal }
    0.015 FaultHealed { fault: 4 }
    0.015 FaultHealed { fault: 1 }
    0.020 FaultHealed { fault: 2 }
    0.020 n2 is up: 2, database-1
    0.020 Phase { phase: Settle }
    1.020 Settled { quiescent: true, pending: [] }
    1.020 Phase { phase: Observe }
    1.020 view n1: 0 queued
    1.020 view n2: 0 queued
    1.020 end: completed
    ");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_healed_when_the_scenario_says_so() {
    let ran = run(r#"
        settle = { at-most = "1h", heal = false }
        step = [
            { freeze = { node = "n1" } },
            { crash = { node = "n2" } },
            { partition = { a = "n1", b = "n3" } },
        ]
    "#)
    .await;
    insta::assert_snapshot!(ran.lines(&["Healed", "Phase", "Settled", "view", "end"]), @"
    0.015 Phase { phase: Load }
    0.015 Phase { phase: Settle }
    1.015 Settled { quiescent: true, pending: [] }
    1.015 Phase { phase: Observe }
    1.015 view n3: 0 queued
    1.015 end: completed
    ");
    let log = ran.cluster.log();
    assert_eq!(
        log.iter().filter(|line| line.starts_with("heal")).count(),
        2,
        "at the very end: {log:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn settling_ends_with_what_is_pending() {
    let ran = run(r#"
        settle = { at-most = "3h", heal = false }
        step = [
            { sink = { sink = "sink-1", behaviour = { defer = 451 } } },
            { submit = { to = "n1", count = 2 } },
            { wait-quiet = { at-most = "1h" } },
            { crash = { node = "n3" } },
        ]
    "#)
    .await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    insta::assert_snapshot!(ran.lines(&["Settled", "Phase", "step"]), @r#"
        0.015 Phase { phase: Load }
        0.015 step 0: sink-1 defers with 451
        0.015 step 1: client-1 submits 2 messages for mailbox and external to n1
        0.015 step 2: wait until all is quiet, at most 1h
     3600.015 step 3: crash n3 (process)
     3600.015 Phase { phase: Settle }
    14400.015 Settled { quiescent: false, pending: ["n1 has 2 queued messages"] }
    14400.015 Phase { phase: Observe }
    "#);
}

/// Opens `a>b` once at that time, which fires the triggers on it.
fn at(
    time: Duration,
) -> impl FnOnce(Arc<FakeCluster>, Arc<Board>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
{
    move |_, board| {
        Box::pin(async move {
            sleep(time).await;
            board.link("a", "b").open().1.after();
        })
    }
}

#[tokio::test(start_paused = true)]
async fn triggers_strike_at_once_and_later() {
    let scenario = r#"
        step = [ { wait = { for = "1m" } } ]
        fault = [ { when = "a>b connect", do = { crash = { node = "n2" } }, after = "10m", then = { start = { node = "n2" } } } ]
    "#;
    let ran = run_with(scenario, options(), at(Duration::from_secs(30))).await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    insta::assert_snapshot!(ran.lines(&["Fault", "n2 is up", "Phase", "Wire"]), @r#"
      0.010 n2 is up: 1, database-1
      0.015 Phase { phase: Load }
     30.000 Wire { link: "a>b", connection: 1, wire: Connect }
     30.000 FaultPlanned { fault: 1, what: ProcessCrash { node: "n2" }, trigger: Some("a>b connect") }
     30.000 FaultLanded { fault: 1 }
    630.005 FaultHealed { fault: 1 }
    630.005 n2 is up: 2, database-2
    630.005 Phase { phase: Heal }
    630.005 Phase { phase: Settle }
    631.005 Phase { phase: Observe }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_lands_while_all_settles_is_healed_again() {
    let scenario = r#"
        step = [
            { submit = { to = "n1", count = 2, every = "5m" } },
            { sink = { sink = "sink-1", behaviour = { slow = "1m" } } },
            { submit = { to = "n1" } },
        ]
        fault = [ { when = "a>b connect", do = { crash = { node = "n1" } } } ]
    "#;
    let ran = run_with(scenario, options(), at(Duration::from_secs(330))).await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    insta::assert_snapshot!(ran.lines(&["Fault", "n1 is up", "Phase", "Settled"]), @r#"
      0.005 n1 is up: 1, database-1
      0.015 Phase { phase: Load }
    300.015 Phase { phase: Heal }
    300.015 Phase { phase: Settle }
    330.000 FaultPlanned { fault: 1, what: ProcessCrash { node: "n1" }, trigger: Some("a>b connect") }
    330.000 FaultLanded { fault: 1 }
    331.410 FaultHealed { fault: 1 }
    331.410 n1 is up: 2, database-2
    338.004 Settled { quiescent: true, pending: [] }
    338.004 Phase { phase: Observe }
    "#);
}

#[tokio::test(start_paused = true)]
async fn what_a_substrate_cannot_do_ends_the_run() {
    let ran =
        run(r#"step = [ { black-hole = { link = "n1>n2" } }, { wait = { for = "1h" } } ]"#).await;
    assert!(
        matches!(&ran.result, Err(RunError::NotApplicable { reason }) if reason.contains("it has no links"))
    );
    insta::assert_snapshot!(ran.lines(&["Fault", "step", "end"]), @r#"
    0.015 step 0: black hole on n1>n2
    0.015 FaultPlanned { fault: 1, what: BlackHole { link: "n1>n2", stream: None }, trigger: None }
    0.015 FaultFailed { fault: 1, reason: "a black hole is not possible on fake: it has no links" }
    0.015 end: not applicable: a black hole is not possible on fake: it has no links
    "#);

    let scenario = r#"
        step = [ { wait = { for = "1m" } }, { wait = { for = "1h" } } ]
        fault = [ { when = "a>b connect", do = { black-hole = { link = "n1>n2" } } } ]
    "#;
    let ran = run_with(scenario, options(), at(Duration::from_secs(30))).await;
    assert!(
        matches!(ran.result, Err(RunError::NotApplicable { .. })),
        "from a trigger, too: {:?}",
        ran.result
    );
    assert!(!ran.story().contains("step 1"), "{}", ran.story());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_leaves_nothing_behind() {
    let cancel = CancellationToken::new();
    let options = Options {
        cancel: cancel.clone(),
        ..options()
    };
    let scenario = r#"
        step = [
            { freeze = { node = "n2" } },
            { submit = { to = "n1", count = 100, every = "10m", background = true } },
            { wait = { for = "3h" } },
        ]
    "#;
    let began = Instant::now();
    let ran = run_with(scenario, options, move |_, _| async move {
        sleep(Duration::from_secs(3600)).await;
        cancel.cancel();
    })
    .await;
    assert!(matches!(ran.result, Err(RunError::Interrupted)));
    assert_eq!(began.elapsed().as_secs(), 3600);
    assert_eq!(
        ran.story().lines().last().map(str::trim_start),
        Some("3600.000 end: interrupted")
    );
    let log = ran.cluster.log();
    assert_eq!(log.last().map(String::as_str), Some("shutdown"));
    assert!(
        log.contains(&"heal Freeze { node: \"n2\" }".to_owned()),
        "{log:?}"
    );
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        Arc::strong_count(&ran.cluster),
        1,
        "no task holds the cluster"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_heals_its_faults() {
    let plan = plan(r#"step = [ { freeze = { node = "n2" } }, { wait = { for = "3h" } } ]"#);
    let cluster = FakeCluster::new("sink-1");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &[]).expect("no trigger is wrong");
    let options = options();
    let run = execute(&plan, shared(&cluster), board, recorder, &options);
    assert!(
        timeout(Duration::from_secs(60), run).await.is_err(),
        "it is dropped in the middle"
    );
    sleep(Duration::from_secs(1)).await;
    let log = cluster.log();
    assert_eq!(
        log.last().map(String::as_str),
        Some("heal Freeze { node: \"n2\" }"),
        "{log:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn messages_are_sent_again_octet_for_octet() {
    let ran = run(r#"
        step = [
            { submit = { to = "n1", recipients = ["external"] } },
            { crash = { node = "n1" } },
            { submit = { to = "n1", recipients = ["external"], message-id = "none" } },
            { resend = { to = "n2", outcomes = ["unsent"] } },
            { resend = { to = "n2", outcomes = ["refused", "indeterminate"] } },
            { resend = { to = "n2" } },
        ]
    "#)
    .await;
    insta::assert_snapshot!(ran.lines(&["submission", "outcome", "step"]), @"
    0.015 step 0: client-1 submits 1 message for external to n1
    0.015 submission 1: message 1.1 client-1>n1 via raw
    0.015 DataSent { submission: 1 }
    0.015 outcome 1: Acked
    0.015 step 1: crash n1 (process)
    0.015 step 2: client-1 submits 1 message for external to n1
    0.015 submission 2: message 2.1 client-1>n1 via raw
    0.015 outcome 2: Unsent connection refused
    0.015 step 3: client-1 sends to n2 again what was unsent
    0.015 submission 3: message 2.2 client-1>n2 via raw
    0.015 DataSent { submission: 3 }
    0.015 outcome 3: Acked
    0.015 step 4: client-1 sends to n2 again what was refused or indeterminate
    0.015 step 5: client-1 sends all messages to n2 again
    0.015 submission 4: message 1.2 client-1>n2 via raw
    0.015 DataSent { submission: 4 }
    0.015 outcome 4: Acked
    0.015 submission 5: message 2.3 client-1>n2 via raw
    0.015 DataSent { submission: 5 }
    0.015 outcome 5: Acked
    ");
    let submissions: Vec<_> = ran
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Submit(submission) => Some(submission),
            _ => None,
        })
        .collect();
    let of = |message| {
        submissions
            .iter()
            .filter(move |s| s.message == message)
            .collect::<Vec<_>>()
    };
    for message in [1, 2] {
        let all = of(message);
        let (first, rest) = all.split_first().expect("it was submitted");
        for again in rest {
            assert_eq!(
                (&again.digest, &again.date, &again.message_id),
                (&first.digest, &first.date, &first.message_id)
            );
            assert!(again.attempt > first.attempt);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_steps() {
    let ran = run(r#"
        step = [
            { idle = { to = "n1", at-most = "20m" } },
            { peer-verbs = { to = "n1" } },
            { wait-quiet = { at-most = "1h" } },
            { observe = {} },
            { resubmit = { node = "n1", from = "2h", to = "0s" } },
            { check-config = { config = { ConnectionTimeout = "5m", MaxRetriesForLocalSiteShadow = 2 } } },
        ]
    "#)
    .await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    let words = [
        "step", "Idle", "PeerVerb", "view", "mailbox", "Resubmit", "Config",
    ];
    insta::assert_snapshot!(ran.lines(&words), @r#"
       0.015 step 0: client-1 says hello to n1 and is idle, at most 20m
    1200.015 IdleClosed { link: "client-1>n1", connection: None, after_us: None, reply: None }
    1200.015 step 1: client-1 gives peer commands to n1
    1200.015 PeerVerb { link: "client-1>n1", command: "XPEER n2 00000000000000000000000000000000 0000000000000000000000000000000000000000000000000000000000000000", reply: Some(Reply { code: 500, text: "5.5.1 unknown command" }) }
    1200.015 PeerVerb { link: "client-1>n1", command: "XSHADOW n2/00000000000000000000000000000000/1 1767225600000", reply: Some(Reply { code: 500, text: "5.5.1 unknown command" }) }
    1200.015 PeerVerb { link: "client-1>n1", command: "XDELIVER n2/00000000000000000000000000000000/1 1767225600000", reply: Some(Reply { code: 500, text: "5.5.1 unknown command" }) }
    1200.015 PeerVerb { link: "client-1>n1", command: "XQDISCARD 0 100", reply: Some(Reply { code: 500, text: "5.5.1 unknown command" }) }
    1200.015 PeerVerb { link: "client-1>n1", command: "XRESUBMIT 0 4102444800000", reply: Some(Reply { code: 500, text: "5.5.1 unknown command" }) }
    1200.015 step 2: wait until all is quiet, at most 1h
    1201.015 step 3: read views and mailboxes
    1201.015 view n1: 0 queued
    1201.015 mailbox inbox@n1 on n1
    1201.015 view n2: 0 queued
    1201.015 mailbox inbox@n2 on n2
    1201.015 view n3: 0 queued
    1201.015 mailbox inbox@n3 on n3
    1201.015 step 4: ask n1 to resubmit from its Safety Net, from 2h ago to now
    1201.015 Resubmit { node: "n1", from_us: -5998985000, to_us: 1201015000, resubmitted: Some(3) }
    1201.015 step 5: check the configuration ConnectionTimeout = 5m, MaxRetriesForLocalSiteShadow = 2
    1201.015 ConfigChecked { config: {"ConnectionTimeout": "5m", "MaxRetriesForLocalSiteShadow": "2"}, accepted: false, message: "[(\"ConnectionTimeout\", \"5m\"), (\"MaxRetriesForLocalSiteShadow\", \"2\")]" }
    1202.015 view n1: 0 queued
    1202.015 mailbox inbox@n1 on n1
    1202.015 view n2: 0 queued
    1202.015 mailbox inbox@n2 on n2
    1202.015 view n3: 0 queued
    1202.015 mailbox inbox@n3 on n3
    "#);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_do_not_start() {
    let failing = |reason: &str| ClusterError::Io {
        what: "starting n2".into(),
        error: reason.into(),
    };
    let error = failing("no such program");
    let ran = run_with("", options(), move |cluster, _| async move {
        cluster
            .cannot_start
            .lock()
            .expect("no panic")
            .insert("n2".into(), error);
    });
    // The spawned task runs before the first node is up.
    let ran = ran.await;
    assert!(
        matches!(ran.result, Err(RunError::Cluster(ClusterError::Io { .. }))),
        "{:?}",
        ran.result
    );
    assert_eq!(
        ran.cluster.log().last().map(String::as_str),
        Some("shutdown")
    );

    let error = failing("its disk is full");
    let scenario = r#"
        settle = { at-most = "1h" }
        step = [ { crash = { node = "n2" } }, { wait = { for = "1m" } }, { start = { node = "n2" } } ]
    "#;
    let ran = run_with(scenario, options(), move |cluster, _| async move {
        sleep(Duration::from_secs(30)).await;
        cluster
            .cannot_start
            .lock()
            .expect("no panic")
            .insert("n2".into(), error);
    })
    .await;
    assert!(
        ran.result.is_ok(),
        "what a cluster does wrong is in the history: {:?}",
        ran.result
    );
    insta::assert_snapshot!(ran.lines(&["n2", "Settled"]), @r#"
       0.010 n2 is up: 1, database-1
       0.015 step 0: crash n2 (process)
       0.015 FaultPlanned { fault: 1, what: ProcessCrash { node: "n2" }, trigger: None }
      60.015 step 2: start n2
      60.020 NodeFailed { node: "n2", reason: "starting n2: its disk is full" }
      60.025 NodeFailed { node: "n2", reason: "starting n2: its disk is full" }
    3660.025 Settled { quiescent: false, pending: ["n2 is down"] }
    "#);
}

/// A lost disk was replaced, and the new one was full when the node was started.
#[tokio::test(start_paused = true)]
async fn a_destroyed_node_whose_start_failed_is_started_again() {
    let scenario = r#"
        step = [ { destroy = { node = "n2" } }, { wait = { for = "1m" } }, { start = { node = "n2" } }, { wait = { for = "1m" } } ]
    "#;
    let ran = run_with(scenario, options(), move |cluster, _| async move {
        sleep(Duration::from_secs(30)).await;
        let error = ClusterError::Io {
            what: "starting n2".into(),
            error: "its disk is full".into(),
        };
        let cannot = |error: Option<ClusterError>| {
            let mut nodes = cluster.cannot_start.lock().expect("no panic");
            nodes.clear();
            nodes.extend(error.map(|error| ("n2".to_owned(), error)));
        };
        cannot(Some(error));
        sleep(Duration::from_secs(60)).await;
        cannot(None);
    })
    .await;
    assert!(ran.result.is_ok(), "{:?}", ran.result);
    let said = ran.lines(&["n2", "Healed", "Settled"]);
    assert!(said.contains("NodeFailed"), "{said}");
    assert!(said.contains("n2 is up: 2"), "{said}");
    assert!(said.contains("quiescent: true"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_run_can_be_a_task() {
    let plan = plan("");
    let recorder = Arc::new(Recorder::in_memory());
    let board = Board::new(recorder.clone(), &[]).expect("no trigger is wrong");
    let cluster = shared(&FakeCluster::new("sink-1"));
    let run =
        tokio::spawn(async move { execute(&plan, cluster, board, recorder, &options()).await });
    assert!(run.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_missing_program_is_told_apart() {
    let missing = ClusterError::Missing("no QEMU here".into());
    let ran = run_with("", options(), move |cluster, _| async move {
        cluster
            .cannot_start
            .lock()
            .expect("no panic")
            .insert("n1".into(), missing);
    })
    .await;
    assert!(
        matches!(&ran.result, Err(RunError::Missing(what)) if what == "no QEMU here"),
        "{:?}",
        ran.result
    );
}
