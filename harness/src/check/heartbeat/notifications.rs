//! HB-04 and HB-06: what primary servers tell, and what shadow servers do with it.

use gauntlet_reports::Verdict;

use super::{
    asking::{Ask, asks},
    holding::{Hold, holds, us, views},
    processing::processed_us,
};
use crate::{
    check::{
        Case, Ledger, Moment,
        conditions::conclude,
        evidence::{Tally, clock, count, piece},
    },
    history::Fault,
};

/// HB-04. A view must show every shadow message for which no end of its hold has come: no notification, no right to a
/// promotion, no expiry. It proves something when the primary server had answered a question without naming it.
pub(super) fn held_until_notified(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for hold in holds(case) {
        let margin = us(case
            .config
            .tolerance(case.config.span(hold.server, "ShadowHeartbeatFrequency")));
        for (at, view) in views(case, hold.server) {
            if at.t_us < hold.since.t_us.saturating_add(margin) || at.t_us >= hold.certain_until() {
                continue;
            }
            let asked: Vec<Moment> = asks(case, hold.server, hold.primary)
                .iter()
                .filter_map(|ask| ask.answered.as_ref().map(|(at, _)| *at))
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
    let ledger = case.ledger();
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
            if !same || hold.renewed.is_some() || !processed_before(case, ledger, hold, down) {
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
