//! Runs on the simulator, with the reference node: what the fake cluster cannot show.

use super::*;
use crate::{
    history::{Outcome, Record},
    sim::{SimCluster, run_in_sim},
};

/// Longer than any run here, settling included.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

fn run(scenario: &str) -> Vec<Record> {
    let head = "title = \"a test\"\nguarantees = [\"TC-01\"]\non = [\"sim\"]\n";
    let scenario = toml::from_str(&format!("{head}{scenario}")).expect("a good scenario");
    run_plan(&Plan {
        id: "test".into(),
        suite: "tests".into(),
        seed: 11,
        scenario,
    })
}

fn run_plan(plan: &Plan) -> Vec<Record> {
    let options = Options {
        cancel: CancellationToken::new(),
        sabotage: None,
        substrate: "sim".into(),
        time_scale: 1,
    };
    run_in_sim(async {
        let recorder = Arc::new(Recorder::in_memory());
        let board = Board::new(recorder.clone(), &plan.scenario.fault).expect("good triggers");
        let cluster = SimCluster::new(plan, board.clone(), None);
        let run = execute(plan, cluster, board, recorder.clone(), &options);
        // Virtual time: a run that waits for ever fails at once.
        let result = timeout(LONGEST, run).await.expect("the run ends");
        assert!(result.is_ok(), "{result:?}");
        recorder.records()
    })
    .expect("a runtime")
}

/// Submissions by outcome, messages that sinks and mailboxes have, and whether all came to rest.
fn sum(records: &[Record]) -> String {
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    let (mut sinks, mut mailboxes, mut rest) = (Vec::new(), BTreeMap::new(), String::new());
    for record in records {
        match &record.event {
            Event::Outcome { outcome, error, .. } => {
                let error = error
                    .as_ref()
                    .map_or_else(String::new, |e| format!(" ({e})"));
                *outcomes.entry(format!("{outcome:?}{error}")).or_default() += 1;
            }
            Event::Delivered(d) => sinks.extend(d.message),
            Event::Mailbox {
                mailbox, messages, ..
            } => {
                mailboxes.insert(
                    mailbox.clone(),
                    messages
                        .iter()
                        .filter_map(|m| m.message)
                        .collect::<Vec<_>>(),
                );
            }
            Event::Settled { quiescent, pending } => {
                rest = format!("quiescent: {quiescent} {pending:?}")
            }
            _ => {}
        }
    }
    sinks.sort_unstable();
    mailboxes.retain(|_, shown| !shown.is_empty());
    format!("{outcomes:?}\nsinks {sinks:?}\nmailboxes {mailboxes:?}\n{rest}")
}

/// What sinks and mailboxes have is what was submitted, octet for octet.
fn arrived_as_sent(records: &[Record]) {
    let mut sent = BTreeMap::new();
    for record in records {
        match &record.event {
            Event::Submit(s) => drop(sent.insert(s.message, s.digest.clone())),
            Event::Delivered(d) => {
                assert_eq!(
                    Some(&d.digest),
                    d.message.and_then(|m| sent.get(&m)),
                    "{d:?}"
                );
                assert!(d.link.starts_with('n') && d.received > 0, "{d:?}");
            }
            Event::Mailbox { messages, .. } => {
                for shown in messages {
                    assert_eq!(
                        Some(&shown.digest),
                        shown.message.and_then(|m| sent.get(&m)),
                        "{shown:?}"
                    );
                }
            }
            _ => {}
        }
    }
}

#[test]
fn mail_arrives_as_it_was_sent() {
    let records = run(r#"
        step = [
            { submit = { to = "n1", message = "all", one-session = true, probe-session = true } },
            { submit = { to = "n2", message = "all", transfer = "BDAT" } },
            { submit = { to = "n1", via = "lettre", message = "all" } },
            { submit = { to = "n2", count = 3, hello = "HELO", message-id = "none" } },
        ]
    "#);
    insta::assert_snapshot!(sum(&records), @r#"
    {"Acked": 30}
    sinks [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]
    mailboxes {"user-1@mailbox.example": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]}
    quiescent: true []
    "#);
    arrived_as_sent(&records);
    let usable = records
        .iter()
        .filter(|r| matches!(r.event, Event::SessionUsable { usable: true, .. }))
        .count();
    assert!(usable >= 9, "{usable}");
}

#[test]
fn a_primary_that_is_destroyed_at_the_ack() {
    let scenario = r#"
        step = [
            { submit = { to = "n1", count = 3 } },
        ]
        fault = [ { when = "client-1>n1 acked", nth = 2, do = { destroy = { node = "n1" } } } ]
    "#;
    let records = run(scenario);
    insta::assert_snapshot!(sum(&records), @r#"
    {"Acked": 2, "Unsent (timed out)": 1}
    sinks [1, 1, 2]
    mailboxes {"user-1@mailbox.example": [1, 2]}
    quiescent: true []
    "#);
    assert_eq!(records, run(scenario), "the same plan, the same history");
}

#[test]
fn clients_that_break_off() {
    let records = run(r#"
        step = [
            { submit = { to = "n1", cut = "mid-data" } },
            { submit = { to = "n1", cut = "before-end-of-data" } },
            { submit = { to = "n1", cut = "after-end-of-data" } },
            { submit = { to = "n1", smuggle = "\n.\n" } },
            { submit = { to = "n1", smuggle = "\r\n.\n" } },
            { resend = { to = "n2", outcomes = ["indeterminate"] } },
        ]
    "#);
    insta::assert_snapshot!(sum(&records), @r#"
    {"Acked": 3, "Indeterminate (the client broke off after the end of data)": 1, "Unsent (the client broke off before the end of data)": 1, "Unsent (the client broke off in the middle of the content)": 1}
    sinks [3, 3, 4, 5]
    mailboxes {"user-1@mailbox.example": [3, 4, 5]}
    quiescent: true []
    "#);
    arrived_as_sent(&records);
    let first = records.iter().find_map(|r| match &r.event {
        Event::Outcome {
            submission: 1,
            outcome,
            ..
        } => Some(*outcome),
        _ => None,
    });
    assert_eq!(first, Some(Outcome::Unsent));
}

#[test]
fn sinks_misbehave_and_dsns_come_back() {
    let records = run(r#"
        cluster = { sinks = ["sink-1", "sink-2"] }
        step = [
            { sink = { sink = "sink-1", behaviour = { refuse = 550 }, count = 1 } },
            { submit = { to = "n1", recipients = ["external"], from = "sender@sink-2.example" } },
            { wait-quiet = { at-most = "1h" } },
            { sink = { sink = "sink-1", behaviour = "drop-after-dot", count = 1 } },
            { submit = { to = "n1", recipients = ["external"] } },
            { wait-quiet = { at-most = "1h" } },
            { sink = { sink = "sink-1", behaviour = "down" } },
            { submit = { to = "n1", recipients = ["external"] } },
            { wait = { for = "1h" } },
            { idle = { to = "n1", at-most = "20m" } },
            { peer-verbs = { to = "n1" } },
            { resubmit = { node = "n3", from = "3h", to = "0s" } },
            { check-config = { config = { ConnectionInactivityTimeout = "20m" } } },
        ]
    "#);
    insta::assert_snapshot!(sum(&records), @r#"
    {"Acked": 3}
    sinks [1, 2, 2, 3]
    mailboxes {}
    quiescent: true []
    "#);
    let others: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Delivered(d) => d
                .dsn
                .as_ref()
                .map(|dsn| format!("dsn about {:?}: {dsn:?}", d.message)),
            Event::IdleClosed {
                connection,
                after_us,
                reply,
                ..
            } => Some(format!(
                "idle {connection:?} {after_us:?} {:?}",
                reply.as_ref().map(|r| r.code)
            )),
            Event::PeerVerb { command, reply, .. } => Some(format!(
                "{:.9} {:?}",
                command,
                reply.as_ref().map(|r| r.code)
            )),
            Event::Resubmit { resubmitted, .. } => Some(format!("resubmitted {resubmitted:?}")),
            Event::ConfigChecked { accepted, .. } => Some(format!("accepted {accepted}")),
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(others.join("\n"), @r#"
    dsn about Some(1): {"someone@external.example": "failed"}
    idle Some(4) Some(300000000) Some(421)
    XPEER n2  Some(535)
    XSHADOW n Some(550)
    XDELIVER  Some(550)
    XQDISCARD Some(550)
    XRESUBMIT Some(550)
    resubmitted Some(0)
    accepted false
    "#);
}

/// Its start waits for the thaw, and the thaw must not wait for the end of the start.
#[test]
fn a_node_that_freezes_while_it_starts_is_thawed() {
    for (fault, recovery) in [("freeze", "thaw"), ("save", "resume")] {
        let records = run(&format!(
            r#"
            step = [
                {{ submit = {{ to = "n1", recipients = ["external"] }} }},
                {{ wait-quiet = {{ at-most = "1h" }} }},
                {{ crash = {{ node = "n1" }} }},
                {{ start = {{ node = "n1" }} }},
                {{ submit = {{ to = "n1", recipients = ["external"] }} }},
            ]
            fault = [ {{ when = "n1 disk sync", during = [3, 3], do = {{ {fault} = {{ node = "n1" }} }},
                         after = "10m", then = {{ {recovery} = {{ node = "n1" }} }} }} ]
            "#
        ));
        insta::allow_duplicates! {
            insta::assert_snapshot!(sum(&records), @r#"
            {"Acked": 2}
            sinks [1, 2]
            mailboxes {}
            quiescent: true []
            "#);
        }
        let ups: Vec<u64> = records
            .iter()
            .filter(|r| matches!(&r.event, Event::NodeUp { node, .. } if node == "n1"))
            .map(|r| r.t_us / 1_000_000)
            .collect();
        assert!(
            matches!(ups[..], [first, second] if second >= first + 600),
            "{fault}: {ups:?}"
        );
    }
}

/// A copy of a promoted message that was done by then stayed until it expired (SN-04).
#[test]
fn a_promotion_leaves_no_shadow_message_behind() {
    let scenarios = crate::scenario::embedded().expect("the embedded scenarios");
    for id in ["dd-01-two-owners", "hb-08-network-card"] {
        let of = scenarios.iter().find(|s| s.id == id).expect(id);
        let plan = crate::scenario::plan(id, &of.suite, &of.scenario, 1);
        let records = run_plan(&plan);
        let settled = records.iter().find_map(|r| match &r.event {
            Event::Settled { pending, .. } => Some(pending.clone()),
            _ => None,
        });
        assert_eq!(settled, Some(Vec::new()), "{id}");
    }
}

/// The heartbeat that shows another database breaks off before its question is answered: what it showed counts (HB-10).
#[test]
fn another_database_counts_although_the_answer_to_the_question_is_lost() {
    let records = run(r#"
        [cluster]
        nodes = ["n1", "n2"]
        mailboxes = "n2"
        sinks = ["sink-1"]

        [[fault]]
        when = "n2>n1 discard answered"
        before = true
        do = { partition = { a = "n1", b = "n2" } }
        after = "1h"
        then = { heal = { a = "n1", b = "n2" } }

        [[step]]
        sink = { sink = "sink-1", behaviour = "down" }
        [[step]]
        submit = { to = "n1", recipients = ["someone@external.example"] }
        [[step]]
        destroy = { node = "n1" }
        [[step]]
        start = { node = "n1", database = "new" }
        [[step]]
        wait = { for = "2h" }
        "#);
    assert_eq!(
        told(&records, "HB-10"),
        "Holds: 1 of 1 shadow messages were promoted at the heartbeat that showed another database ID"
    );
}

/// A promoted message is in transit while the members of its group are, and needs a shadow message so long (HB-12).
#[test]
fn a_promoted_message_for_a_group_is_made_redundant_again() {
    let records = run(r#"
        [cluster]
        nodes = ["n1", "n2"]
        mailboxes = "n2"
        sinks = ["sink-1"]

        [cluster.groups]
        "team@groups.example" = ["user-1@mailbox.example", "member@sink-1.example"]

        [[step]]
        sink = { sink = "sink-1", behaviour = "down" }
        [[step]]
        submit = { to = "n1", recipients = ["team@groups.example"] }
        [[step]]
        destroy = { node = "n1" }
        [[step]]
        start = { node = "n1", database = "new" }
        [[step]]
        wait = { for = "2h" }
        "#);
    assert_eq!(
        told(&records, "HB-12"),
        "Holds: 1 of 1 promoted messages had a shadow again"
    );
}

fn told(records: &[Record], id: &str) -> String {
    let verdicts = crate::check::judge_all(records);
    let verdict = verdicts.iter().find(|v| v.guarantee == id);
    verdict.map_or_else(String::new, |v| format!("{:?}: {}", v.status, v.summary))
}
