//! The ledger in numbers: what became of each promised delivery, and what the mail was put to.
//!
//! Comes in: a [`Case`]. Goes out: a [`MailLedger`]. Called by the campaign, for the report of a run.
//!
//! What the mail was put to is read off the wire and the outcomes, not off the plan: a next hop that was told to defer and never
//! asked has put nothing to the test.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gauntlet_reports::{Exposure, MailLedger};

use super::{Entry, Fate, Ledger, fate::RETRY};
use crate::{
    check::{Case, Connection, Exchange, Moment},
    history::{Fault, Outcome, Phase, Transaction},
    scenario::{Cut, SinkBehaviour, Step},
    workload::content::LOOPED,
};

/// Less than this, in real time, is nobody's delay: a machine may be busy.
const LEAST_DELAY: Duration = Duration::from_secs(10);

impl Ledger<'_> {
    /// The ledger in numbers.
    pub fn account(&self, case: &Case<'_>) -> MailLedger {
        let mut sum = MailLedger {
            phantoms: count(self.phantoms(case).len()),
            exposure: exposure(case),
            ..MailLedger::default()
        };
        let troubles = troubles(case);
        for entry in self.entries.values() {
            sum.messages += 1;
            sum.never_acked += u64::from(!is_acked(case, entry));
            for (to, account) in &entry.accounts {
                let Some(owed) = account.owed else { continue };
                sum.promised += 1;
                match self.fate(case, entry, to) {
                    Fate::Delivered(first) => {
                        sum.delivered += 1;
                        let first = u64::try_from(first).unwrap_or_default();
                        let before = troubles.iter().rfind(|at| **at <= first);
                        let since = owed.t_us.max(before.copied().unwrap_or_default());
                        let took = u128::from(first.saturating_sub(since));
                        sum.late += u64::from(took > allowed(case).as_micros());
                    }
                    Fate::Bounced => sum.bounced += 1,
                    Fate::Lost | Fate::Overdue(_) => sum.lost += 1,
                    Fate::NotOwed | Fate::Outside(_) | Fate::Unknown(_) => sum.undecided += 1,
                }
                let copies = count(account.arrivals.len());
                sum.most_copies = sum.most_copies.max(copies);
                if copies > 1 {
                    sum.duplicated += 1;
                    sum.copies_too_many += copies - 1;
                }
            }
        }
        sum
    }
}

fn is_acked(case: &Case<'_>, entry: &Entry<'_>) -> bool {
    entry.submitted(case).any(crate::check::Submitted::acked)
}

/// When something that may stand in the way of a delivery came or went, in order.
fn troubles(case: &Case<'_>) -> Vec<u64> {
    let faults = case.faults.iter().flat_map(|f| [f.landed, f.healed]);
    let is_sink = |index: &usize| {
        let step = case.plan.scenario.step.get(*index);
        matches!(step, Some(Step::Sink { .. }))
    };
    let sinks = case.steps.iter().filter(|(_, index)| is_sink(index));
    let healing = case
        .phases
        .iter()
        .filter(|(_, phase)| *phase == Phase::Heal);
    let moments = faults
        .flatten()
        .chain(sinks.map(|(at, _)| *at))
        .chain(healing.map(|(at, _)| *at));
    let mut all: Vec<u64> = moments.map(|at: Moment| at.t_us).collect();
    all.sort_unstable();
    all
}

/// How long a delivery may take after that: a retry; with shadow servers, until one of them takes over.
fn allowed(case: &Case<'_>) -> Duration {
    let nodes = &case.plan.scenario.cluster.nodes;
    let takeover = |node: &String| {
        let heartbeat = case.config.span(node, "ShadowHeartbeatFrequency");
        case.config.span(node, "ShadowResubmitTimeSpan") + heartbeat * 2
    };
    let longest = match nodes.as_slice() {
        [_] => Duration::ZERO,
        _ => nodes.iter().map(takeover).max().unwrap_or_default(),
    };
    let allowed = longest + case.config.scaled(RETRY);
    if case.substrate == "sim" {
        allowed
    } else {
        allowed.max(LEAST_DELAY)
    }
}

fn exposure(case: &Case<'_>) -> Vec<Exposure> {
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut add = |kind, times: usize| {
        if times > 0 {
            *kinds.entry(kind).or_default() += count(times);
        }
    };
    for fault in case.faults.iter().filter(|f| f.landed.is_some()) {
        add(kind(fault.what), 1);
    }
    let slow = slowest(case);
    for connection in case.connections() {
        if !case.is_node(connection.from) || !case.is_sink(connection.to) {
            continue;
        }
        add("next hop down", usize::from(connection.failed.is_some()));
        let refused = connection.refused_recipients();
        add(
            "next hop refuses a recipient",
            refused.iter().filter(|(_, _, r)| r.code >= 500).count(),
        );
        let mails = || {
            let of = |e: &&Exchange<'_>| e.kind == Transaction::Mail;
            connection.exchanges.iter().filter(of)
        };
        let deferred = |e: &&Exchange<'_>| {
            e.reply
                .is_some_and(|(_, reply)| (400..500).contains(&reply.code))
        };
        add("next hop defers", mails().filter(deferred).count());
        // With `drop-after-dot` the sink ends the connection; a node that died ends it itself.
        let lost = |e: &&Exchange<'_>| e.reply.is_none() && was_dropped(connection);
        add("next hop loses its reply", mails().filter(lost).count());
        let late = |e: &&Exchange<'_>| {
            let took = e.reply.map(|(at, _)| at.t_us.saturating_sub(e.sent.t_us));
            slow.zip(took)
                .is_some_and(|(slow, took)| u128::from(took) >= slow.as_micros())
        };
        add("next hop slow", mails().filter(late).count());
    }
    let cut = cuts(case);
    for s in &case.submissions {
        match s.outcome {
            Outcome::Indeterminate => add("ack lost", 1),
            // A client that was told to break off, and did.
            Outcome::Unsent if cut.contains(s.what.client.as_str()) && s.reply.is_none() => {
                let did = s
                    .error
                    .is_some_and(|e| e.starts_with("the client broke off"));
                add("data cut off", usize::from(did));
            }
            _ => {}
        }
        add(
            "message that went round",
            usize::from(s.what.content == LOOPED),
        );
    }
    let smuggled = |step: &&Step| matches!(step, Step::Submit(s) if s.smuggle.is_some());
    let steps = case.plan.scenario.step.iter().filter(smuggled);
    let smuggled = steps.map(|step| match step {
        Step::Submit(s) => s.count as usize,
        _ => 0,
    });
    add("false end of data", smuggled.sum());

    let acked: BTreeSet<u32> = case.acked().map(|s| s.what.message).collect();
    let exposed = |(kind, happened): (&str, u64)| Exposure {
        kind: kind.to_owned(),
        happened,
        acked: count(acked.len()),
    };
    kinds.into_iter().map(exposed).collect()
}

fn was_dropped(connection: &Connection<'_>) -> bool {
    connection
        .closed
        .is_some_and(|(_, by, reset)| by == "server" && !reset)
}

/// The pause that slow sinks made before every reply; real time.
fn slowest(case: &Case<'_>) -> Option<Duration> {
    let of = |step: &Step| match step {
        Step::Sink {
            behaviour: SinkBehaviour::Slow(span),
            ..
        } => Some(span.0),
        _ => None,
    };
    case.plan.scenario.step.iter().filter_map(of).min()
}

/// The clients that break off before the end of their data.
fn cuts<'h>(case: &Case<'h>) -> BTreeSet<&'h str> {
    let of = |step: &'h Step| match step {
        Step::Submit(submit) => {
            let early = matches!(submit.cut, Some(Cut::MidData | Cut::BeforeEndOfData));
            early.then_some(submit.client.as_str())
        }
        _ => None,
    };
    case.plan.scenario.step.iter().filter_map(of).collect()
}

/// A fault as reports name it.
fn kind(what: &Fault) -> &'static str {
    match what {
        Fault::ProcessCrash { .. } => "process killed",
        Fault::HostCrash { .. } => "power lost",
        Fault::Destroy { .. } => "server destroyed",
        Fault::Freeze { .. } => "process frozen",
        Fault::Revert { .. } => "disk reverted",
        Fault::DiskFull { .. } => "disk full",
        Fault::DiskReadOnly { .. } => "disk read-only",
        Fault::ClockJump { .. } => "clock wrong",
        Fault::CpuStarved { .. } => "processor starved",
        Fault::Save { .. } => "state saved",
        Fault::Migration { .. } => "guest migrated",
        Fault::Shutdown { .. } => "server shut down",
        Fault::Ballooned { .. } => "memory taken away",
        Fault::Partition { .. }
        | Fault::BlackHole { .. }
        | Fault::Delay { .. }
        | Fault::Reset { .. }
        | Fault::Toxic { .. }
        | Fault::Down { .. }
        | Fault::Garble { .. }
        | Fault::DelayReply { .. } => "network fault",
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
