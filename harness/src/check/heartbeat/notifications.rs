//! HB-03, HB-04 and HB-06: what primary servers tell, and what shadow servers do with it.

use std::collections::{BTreeMap, BTreeSet};

use gauntlet_reports::Verdict;

use super::{
    asking::{Ask, asks, link},
    holding::{Hold, holds, name, us, views},
    processing::processed_us,
};
use crate::{
    check::{
        Case, Ledger, Moment,
        conditions::conclude,
        evidence::{Tally, clock, count, inconclusive, piece},
    },
    history::{Fault, Transaction},
};

/// HB-03. A notification may only name a message whose copy the primary server sent (or began to send) to the server
/// that asks. It takes two shadow servers of one primary server to put that to the test.
pub(super) fn only_ones_own(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    let mut told_to: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let copies: BTreeMap<&str, (Option<u32>, &str)> = case
        .exchanges()
        .into_iter()
        .filter(|(_, e)| e.kind == Transaction::Copy)
        .filter_map(|(c, e)| Some((e.transport_id?, (e.message, c.to))))
        .collect();
    for (server, primary) in pairs(case) {
        let sent: Vec<(Moment, &str)> = link(case, primary, server)
            .iter()
            .flat_map(|c| c.commands("XSHADOW"))
            .filter_map(|(at, line)| Some((at, line.split_whitespace().nth(1)?)))
            .collect();
        let mut seen = BTreeSet::new();
        for (at, told) in asks(case, server, primary)
            .into_iter()
            .filter_map(|ask| ask.answered)
        {
            for told in told {
                // What is told again is the same notification.
                if !seen.insert(told.transport_id) {
                    continue;
                }
                told_to.entry(primary).or_default().insert(server);
                if sent
                    .iter()
                    .any(|(begun, id)| *id == told.transport_id && *begun < at)
                {
                    tally.kept();
                } else if !meant_to(case, primary, told.transport_id, at) {
                    let copy = copies.get(told.transport_id);
                    let text = format!(
                        "at {} {primary} told {server} that {} is done, of which {server} never got a copy{}",
                        clock(at.t_us),
                        name(copy.and_then(|(message, _)| *message), told.transport_id),
                        copy.map_or(String::new(), |(_, to)| format!(": it went to {to}")),
                    );
                    tally.broken(piece(text, [at.seq]));
                }
            }
        }
    }
    if tally.against.is_empty() && told_to.values().all(|servers| servers.len() < 2) {
        return inconclusive(
            "HB-03",
            "no primary server had notifications for two shadow servers",
        );
    }
    conclude(
        case,
        "HB-03",
        tally,
        "discard notifications were for the server that asked",
        "no discard notification was given",
    )
}

/// The primary server was started again between taking the message in and telling of it. It writes down whom it will send
/// the copy to before it does, so a node that never got one may be told rightly.
fn meant_to(case: &Case<'_>, primary: &str, transport_id: &str, told: Moment) -> bool {
    let copied = (case.exchanges().into_iter())
        .find(|(_, e)| e.kind == Transaction::Copy && e.transport_id == Some(transport_id))
        .map_or(0, |(_, e)| e.sent.t_us);
    let starts = case.starts.get(primary).map_or(&[][..], Vec::as_slice);
    (starts.iter().skip(1)).any(|start| start.at < told && start.at.t_us >= copied)
}

/// HB-04. A view must show every shadow message for which no end of its hold has come: no notification, no right to a
/// promotion, no expiry. It proves something when the primary server had answered a question without naming it.
pub(super) fn held_until_notified(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for hold in &holds(case) {
        let margin = us(case
            .config
            .tolerance(case.config.span(hold.server, "ShadowHeartbeatFrequency")));
        for (at, view) in views(case, hold.server) {
            if at.t_us < hold.since.t_us.saturating_add(margin) || at.t_us >= hold.certain_until() {
                continue;
            }
            let asked: Vec<Moment> = asks(case, hold.server, hold.primary)
                .into_iter()
                .filter_map(|ask| ask.answered.map(|(at, _)| at))
                .filter(|answer| *answer > hold.since && *answer < at)
                .collect();
            if view
                .shadow
                .iter()
                .any(|held| held.transport_id == hold.transport_id)
            {
                if !asked.is_empty() {
                    tally.kept();
                }
                continue;
            }
            let text = format!(
                "{server} confirmed the copy of {} at {}; {} answered {} of {server} since, and never said that the message \
                 is done; at {} it is not in {server}'s shadow queue any more",
                hold.name(),
                clock(hold.since.t_us),
                hold.primary,
                count(asked.len(), "question"),
                clock(at.t_us),
                server = hold.server,
            );
            tally.broken(piece(
                text,
                [hold.since.seq, at.seq]
                    .into_iter()
                    .chain(asked.last().map(|a| a.seq)),
            ));
        }
    }
    conclude(
        case,
        "HB-04",
        tally,
        "shadow messages that nobody had said were done were still in their shadow queue",
        "no view was read while a shadow message waited for its notification after an answered question",
    )
}

/// HB-06. What a primary server had processed before it crashed, and had not yet told, it tells after it is back with
/// the same database: at the latest when it says that nothing is left to tell.
pub(super) fn given_after_restart(case: &Case<'_>) -> Verdict {
    let ledger = Ledger::new(case);
    let held = holds(case);
    let mut tally = Tally::default();
    for crash in &case.faults {
        let (Fault::ProcessCrash { node: primary } | Fault::HostCrash { node: primary }) =
            crash.what
        else {
            continue;
        };
        let (Some(down), Some(up)) = (crash.landed, crash.healed) else {
            continue;
        };
        let database = case
            .starts
            .get(primary.as_str())
            .and_then(|s| s.iter().find(|s| s.at == up))
            .and_then(|s| s.database);
        for hold in held
            .iter()
            .filter(|h| h.primary == primary && h.alive_at(down.t_us))
        {
            let same = database.is_none() || hold.database.is_none() || database == hold.database;
            if !same || hold.renewed.is_some() || !processed_before(case, &ledger, hold, down) {
                continue;
            }
            if let Some((told, _)) = hold.notified {
                if told > up {
                    tally.kept();
                }
                continue;
            }
            let interval = us(case
                .config
                .span(primary, "ShadowMessageAutoDiscardInterval"));
            let end = hold
                .certain_until()
                .min(hold.since.t_us.saturating_add(interval));
            // A delivery that the crash undid is done again; only what comes a moment after it counts.
            let again = sent_again(case, hold, up);
            let moment = us(case
                .config
                .tolerance(case.config.span(primary, "ShadowHeartbeatFrequency")));
            let first = asks(case, hold.server, hold.primary)
                .iter()
                .filter_map(Ask::exhausted)
                .find(|at| {
                    at.t_us > again.t_us.saturating_add(moment)
                        && at.t_us < end
                        && case.well_between(primary, up.t_us.saturating_add(1), at.t_us)
                });
            if let Some(at) = first {
                let text = format!(
                    "{primary} had delivered {} before it went down at {}; it came back at {} with the same database, and \
                     answered at {} that it has nothing (more) to tell {}: the discard event is gone",
                    hold.name(),
                    clock(down.t_us),
                    clock(up.t_us),
                    clock(at.t_us),
                    hold.server,
                );
                tally.broken(piece(text, [hold.since.seq, down.seq, up.seq, at.seq]));
            }
        }
    }
    conclude(
        case,
        "HB-06",
        tally,
        "discard events from before a crash of the primary server were given after it",
        "no primary server crashed between a delivery and the question for it",
    )
}

/// Whether the primary server was done with the message before that moment: by the wire, or by its own words.
fn processed_before(case: &Case<'_>, ledger: &Ledger<'_>, hold: &Hold<'_>, down: Moment) -> bool {
    let margin = us(case
        .config
        .tolerance(case.config.span(hold.primary, "ShadowHeartbeatFrequency")));
    let by_wire =
        processed_us(case, ledger, hold).is_some_and(|at| at.saturating_add(margin) < down.t_us);
    by_wire
        || views(case, hold.primary)
            .filter(|(at, _)| *at < down)
            .any(|(_, view)| {
                view.discard_events
                    .iter()
                    .any(|e| e.server == hold.server && e.transport_id == hold.transport_id)
            })
}

/// The last time that the primary server sent the message on after `up`, or `up` itself.
fn sent_again(case: &Case<'_>, hold: &Hold<'_>, up: Moment) -> Moment {
    let sent = case
        .connections()
        .filter(|c| c.from == hold.primary)
        .flat_map(|c| &c.exchanges);
    let of_message = sent.filter(|e| e.message.is_some() && e.message == hold.message);
    of_message
        .map(|e| e.reply.map_or(e.sent, |(at, _)| at))
        .filter(|at| *at > up)
        .max()
        .unwrap_or(up)
}

/// Every two nodes, as shadow server and primary server. Hubs of 2010's kind have their own rules (SC-19).
fn pairs<'c>(case: &'c Case<'_>) -> impl Iterator<Item = (&'c str, &'c str)> {
    let cluster = &case.plan.scenario.cluster;
    cluster.nodes_2013().flat_map(|a| {
        cluster
            .nodes_2013()
            .filter(move |b| *b != a)
            .map(|b| (a.as_str(), b.as_str()))
    })
}
