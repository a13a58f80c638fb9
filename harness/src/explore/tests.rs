use std::{collections::BTreeSet, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    equal::Alike,
    faults::{self, Injection, Kind, Outages},
    points,
    schedules::{self, enumerate},
};
use crate::{
    campaign::{Job, simulate},
    history::{Event, History, Record, Wire},
    scenario::{self, Plan},
    tap::Call,
};

const MAIL: &str = "title = 't'\nguarantees = ['SC-01']\non = ['sim']\n\
    config = { ShadowResubmitTimeSpan = '15m' }\n\
    [[step]]\nsubmit = { to = 'n1' }\n[[step]]\nwait-quiet = { at-most = '20m' }\n";

/// The next hop is down for two hours, and n1's shadow server asks every two minutes.
const IDLE: &str = "title = 't'\nguarantees = ['SC-01']\non = ['sim']\n\
    config = { OutboundConnectionFailureRetryInterval = '90m', TransientFailureRetryCount = 0 }\n\
    [[step]]\nsink = { sink = 'sink-1', behaviour = 'down' }\n\
    [[step]]\nsubmit = { to = 'n1', recipients = ['external'] }\n\
    [[step]]\nwait = { for = '2h' }\n";

fn plan(text: &str) -> Plan {
    let scenario = scenario::parse("t.toml", text).expect("a good scenario");
    scenario::plan("t", "tests", &scenario, 1)
}

fn run(plan: &Plan, observes: bool) -> (History, Vec<Call>) {
    let job = Job {
        plan: plan.clone(),
        sabotage: None,
    };
    simulate(&job, None, &CancellationToken::new(), observes).expect("a run")
}

fn with(plan: &Plan, fault: &Injection) -> History {
    let plan = schedules::plan(plan, "t-1".into(), std::slice::from_ref(fault));
    run(&plan, false).0
}

/// What a record says, without times and numbers.
fn said(record: &Record) -> Option<String> {
    Some(match &record.event {
        Event::Wire { link, wire, .. } => match wire {
            Wire::Command { verb, .. } => format!("{link} {verb}"),
            Wire::Reply { verb, reply } => format!("{link} {verb} {}", reply.code),
            Wire::FinalReply { kind, reply, .. } => format!("{link} {kind:?} {}", reply.code),
            Wire::EndOfData { kind, .. } => format!("{link} {kind:?} end"),
            Wire::Connect => format!("{link} connect"),
            Wire::ConnectFailed { error } => format!("{link} {error}"),
            Wire::Greeting { .. } => format!("{link} greeting"),
            Wire::Close { by, reset } => format!("{link} close {by} {reset}"),
        },
        Event::Outcome { outcome, .. } => format!("{outcome:?}"),
        Event::Delivered(delivery) => format!("delivered {:?}", delivery.recipients),
        Event::NodeUp { node, .. } => format!("{node} up"),
        Event::Settled { pending, .. } => format!("settled {pending:?}"),
        Event::View { node, view } => format!(
            "{node} {} {} {} {}",
            view.queue.len(),
            view.shadow.len(),
            view.safety_net.len(),
            view.discard_events.len()
        ),
        Event::Mailbox {
            mailbox, messages, ..
        } => format!("{mailbox} {}", messages.len()),
        _ => return None,
    })
}

/// What happened after the fault had struck.
fn afterwards(history: &History) -> Vec<String> {
    let landed = |r: &&Record| matches!(r.event, Event::FaultLanded { .. });
    let from = history.records.iter().find(landed).expect("it struck").seq;
    let rest = history.records.iter().filter(|r| r.seq > from);
    rest.filter_map(said).collect()
}

#[test]
fn a_fault_strikes_at_exactly_the_event_that_it_is_meant_for() {
    let plan = plan(MAIL);
    let (history, calls) = run(&plan, true);
    let all = enumerate(&plan, &history, &calls, &Kind::ALL, None);
    assert!(all.injections.len() > 1000, "{}", all.injections.len());
    let points = points::points(&history.records, &calls, points::whole(&history.records));
    let before_it: Vec<&Record> = history
        .records
        .iter()
        .filter(|r| is_of_both(&r.event))
        .collect();
    for fault in all.injections.iter().step_by(71) {
        let (when, nth) = (&fault.trigger.when, fault.trigger.nth);
        let point = points
            .iter()
            .find(|p| p.when == *when && p.nth == nth)
            .expect("its point");
        let struck = with(&plan, fault);
        let planned = |r: &&Record| matches!(r.event, Event::FaultPlanned { .. });
        let at = struck.records.iter().find(planned).expect("it struck");
        assert_eq!(at.t_us, point.t_us, "{}", fault.key());
        let same = struck.records.iter().take_while(|r| r.seq < at.seq);
        let same: Vec<&Event> = same
            .map(|r| &r.event)
            .filter(|event| is_of_both(event))
            .collect();
        let expected: Vec<&Event> = before_it
            .iter()
            .take_while(|r| r.seq <= point.last)
            .map(|r| &r.event)
            .collect();
        assert_eq!(same, expected, "{}", fault.key());
    }
}

/// It stands in a run and in the same one with a fault: a snapshot is taken only where a node is to go back.
fn is_of_both(event: &Event) -> bool {
    !matches!(
        event,
        Event::Local { .. } | Event::Begin { .. } | Event::Step { .. } | Event::Snapshot { .. }
    )
}

#[test]
fn idle_heartbeats_that_are_alike_are_tried_once() {
    let plan = plan(IDLE);
    let (history, calls) = run(&plan, true);
    let points = points::points(&history.records, &calls, points::whole(&history.records));
    let heartbeat = scenario::duration(&plan.scenario, "ShadowHeartbeatFrequency");
    let alike = Alike::new(&points, &history.records, heartbeat.expect("a duration"));
    let outages = Outages::of(&plan);
    let repeats = |at: usize| alike.is_idle_repeat(at, Duration::ZERO);
    let all: Vec<usize> = (0..points.len()).filter(|at| repeats(*at)).collect();
    assert!(all.len() > 100, "{} points", all.len());
    let mut compared = 0;
    for at in all.iter().step_by(all.len() / 6 + 1) {
        // The last one before it that does not repeat another stands for it.
        let stands = |i: &usize| points[*i].when == points[*at].when && !repeats(*i);
        let first = (0..*at).rfind(stands).expect("one that stands for it");
        for fault in faults::at(
            &points[*at],
            true,
            &plan.scenario.cluster.nodes,
            "n3",
            &outages,
        ) {
            if !alike.is_idle_repeat(*at, fault.lasts()) || compared % 3 != 0 {
                compared += 1;
                continue;
            }
            compared += 1;
            let mut other = fault.clone();
            other.trigger.nth = points[first].nth;
            let (one, same) = (
                afterwards(&with(&plan, &fault)),
                afterwards(&with(&plan, &other)),
            );
            // Alike for as long as the fault and its recovery last, and in what they leave.
            let begin = |all: &[String]| all.iter().take(12).cloned().collect::<Vec<_>>();
            assert_eq!(begin(&one), begin(&same), "{}", fault.key());
            assert_eq!(one.last(), same.last(), "{}", fault.key());
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn every_beginning_of_the_order_has_every_kind_and_the_seed_decides() {
    let plan = plan(MAIL);
    let (history, calls) = run(&plan, true);
    let all = enumerate(&plan, &history, &calls, &Kind::ALL, None).injections;
    let count = all.len();
    let order = |seed, turn| -> Vec<String> {
        let items = all.iter().cloned().map(|fault| (fault, ())).collect();
        let order = schedules::spread(items, seed, turn);
        order
            .into_iter()
            .map(|(fault, ())| format!("{:?} {}", fault.kind, fault.key()))
            .collect()
    };
    let one = order(1, 0);
    assert_eq!(
        one.iter().collect::<BTreeSet<_>>().len(),
        count,
        "each once"
    );
    assert_eq!(one, order(1, 0));
    assert_ne!(one, order(2, 0));
    let kinds = Kind::ALL.len();
    for turn in 0..kinds as u64 {
        let begins = order(1, turn);
        let seen: BTreeSet<&str> = begins[..kinds]
            .iter()
            .filter_map(|key| key.split(' ').next())
            .collect();
        assert_eq!(seen.len(), kinds, "{begins:?}");
    }
}

#[test]
fn a_schedule_whose_fault_did_not_strike_is_told() {
    let plan = plan(MAIL);
    let (history, calls) = run(&plan, true);
    let all = enumerate(&plan, &history, &calls, &[Kind::Reset], None);
    let mut fault = all.injections.first().expect("a reset").clone();
    let struck = with(&plan, &fault);
    let triggers = [fault.trigger.clone()];
    assert_eq!(schedules::missed(&struck.records, &triggers), None);
    fault.trigger.nth = 99;
    let idle = with(&plan, &fault);
    let said = schedules::missed(&idle.records, &[fault.trigger]).expect("it did not strike");
    assert!(said.ends_with("(number 99) did not strike"), "{said}");
}

#[test]
fn a_second_fault_comes_within_the_recovery_and_spares_other_servers_until_then() {
    let plan = plan(MAIL);
    let (history, calls) = run(&plan, true);
    let all = enumerate(&plan, &history, &calls, &[Kind::ProcessCrash], None);
    let on_n1 =
        |f: &&Injection| f.node.as_deref() == Some("n1") && f.trigger.when.ends_with(">n1 acked");
    let first = all
        .injections
        .iter()
        .find(on_n1)
        .expect("a crash of n1 at the ack");
    let job = schedules::plan(&plan, "t-1".into(), std::slice::from_ref(first));
    let (history, calls) = run(&job, true);
    let seconds = enumerate(&job, &history, &calls, &[Kind::ProcessCrash], Some(first));
    let landed = |r: &&Record| matches!(r.event, Event::FaultLanded { .. });
    let up = |r: &&Record| matches!(&r.event, Event::NodeUp { incarnation: 2, .. });
    let struck = history.records.iter().find(landed).expect("struck").seq;
    let back = history.records.iter().find(up).expect("back").seq;
    let points = points::points(&history.records, &calls, (struck, u64::MAX));
    assert!(
        seconds.injections.len() > 50,
        "{}",
        seconds.injections.len()
    );
    for second in &seconds.injections {
        let point = points
            .iter()
            .find(|p| p.when == second.trigger.when && p.nth == second.trigger.nth);
        let point = point.unwrap_or_else(|| panic!("{} is before the first fault", second.key()));
        let other = second.node.as_deref() != Some("n1");
        assert!(!other || point.first > back, "{}: n1 is down", second.key());
    }
}

#[test]
fn a_lost_disk_stays_lost_and_a_full_one_is_tried_where_a_node_writes() {
    let plan = plan(MAIL);
    let (history, calls) = run(&plan, true);
    let lost = enumerate(&plan, &history, &calls, &[Kind::Destroy], None).injections;
    for fault in &lost {
        // n3 has the mailboxes.
        let comes_back = fault.trigger.then.is_some();
        assert_eq!(
            fault.node.as_deref() == Some("n3"),
            comes_back,
            "{}",
            fault.key()
        );
    }
    assert!(lost.iter().any(|f| f.trigger.then.is_some()));
    let full = enumerate(&plan, &history, &calls, &[Kind::DiskFull], None).injections;
    assert!(full.len() > 20, "{}", full.len());
    for fault in &full {
        assert!(fault.trigger.when.contains(" disk "), "{}", fault.key());
    }
    let struck = with(&plan, &full[0]);
    let landed = |r: &Record| matches!(r.event, Event::FaultLanded { .. });
    assert!(struck.records.iter().any(landed));
}
