//! HB-01 and HB-02: the shadow server's sessions to its primary server.

use std::{collections::BTreeMap, time::Duration};

use gauntlet_reports::Verdict;

use super::{
    asking::link,
    holding::{Hold, holds, us},
};
use crate::{
    check::{
        Case, Connection,
        conditions::conclude,
        evidence::{Tally, clock, lasting, piece},
    },
    history::{Fault, Wire},
};

/// HB-01. A session that is over, in which the primary server proved who it is, and in which nothing went wrong, must
/// have had an XQDISCARD when the shadow server held a shadow message from its beginning to its end. Sessions that are
/// for nothing but XQDISCARD prove nothing here.
pub(super) fn discard_in_every_session(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for ((server, primary), held) in by_pair(holds(case)) {
        for connection in link(case, server, primary)
            .iter()
            .filter(|c| orderly(case, c))
        {
            let over = connection.closed.map_or(u64::MAX, |(at, ..)| at.t_us);
            let holding = |until: u64| {
                held.iter()
                    .find(|h| h.since < connection.opened && h.certain_until() > until)
            };
            let purpose = purpose(connection);
            if connection.commands("XQDISCARD").next().is_some() {
                if purpose.is_some() && holding(connection.opened.t_us).is_some() {
                    tally.kept();
                }
                continue;
            }
            let Some(hold) = holding(over) else { continue };
            let text = format!(
                "{server} held {} for {primary} since {}; it opened a session to {primary} at {} {}, and ended it at {} \
                 without XQDISCARD",
                hold.name(),
                clock(hold.since.t_us),
                clock(connection.opened.t_us),
                purpose.unwrap_or("for nothing else"),
                clock(over),
            );
            let closed = connection.closed.map(|(at, ..)| at.seq);
            tally.broken(piece(
                text,
                [hold.since.seq, connection.opened.seq]
                    .into_iter()
                    .chain(closed),
            ));
        }
    }
    conclude(
        case,
        "HB-01",
        tally,
        "sessions that a shadow server opened to its primary server for other mail had an XQDISCARD",
        "no shadow server opened a session for other mail to its primary server while it held a shadow message",
    )
}

/// The session came to its end as the shadow server wished.
fn orderly(case: &Case<'_>, connection: &Connection<'_>) -> bool {
    let Some((closed, _, reset)) = connection.closed else {
        return false;
    };
    let known = connection
        .replies("XPEER")
        .any(|(_, reply)| reply.code == 250);
    let quit = connection.commands("QUIT").next().is_some();
    let dismissed = connection.events.iter().any(|(_, wire)| match wire {
        Wire::Reply { reply, .. } | Wire::FinalReply { reply, .. } | Wire::Greeting { reply } => {
            reply.code == 421
        }
        _ => false,
    });
    let struck = case
        .faults_on(connection.from, connection.to)
        .chain(case.faults_on(connection.to, connection.from))
        .any(|f| f.overlaps(connection.opened.t_us, closed.t_us));
    known && quit && !reset && !dismissed && !struck
}

fn purpose(connection: &Connection<'_>) -> Option<&'static str> {
    let has = |verb| connection.commands(verb).next().is_some();
    if has("XSHADOW") {
        Some("for a shadow copy of its own")
    } else if has("XDELIVER") {
        Some("for a delivery of its own")
    } else if has("MAIL") {
        Some("for mail of its own")
    } else {
        None
    }
}

/// HB-02. While a shadow message is held and nothing is wrong with either server or the way between them, the time
/// from one question's session to the opening of the next is at most ShadowHeartbeatFrequency.
pub(super) fn heartbeat_while_held(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for ((server, primary), held) in by_pair(holds(case)) {
        let frequency = case.config.span(server, "ShadowHeartbeatFrequency");
        let longest = us(frequency + case.config.tolerance(frequency));
        // Opened or at least tried: when, until when, and the record.
        let mut visits: Vec<(u64, u64, u64)> = link(case, server, primary)
            .iter()
            .filter(|c| c.failed.is_some() || c.commands("XQDISCARD").next().is_some())
            .map(|c| {
                let last = c.events.last().map_or(c.opened.t_us, |(at, _)| at.t_us);
                (
                    c.opened.t_us,
                    c.closed.map_or(last, |(at, ..)| at.t_us),
                    c.opened.seq,
                )
            })
            .collect();
        visits.sort_unstable();
        for (from, until) in calm(case, server, primary, &held) {
            let mut last = (from, None);
            let mut gap = |since: (u64, Option<u64>), next: u64, record: Option<u64>| {
                if next.saturating_sub(since.0) > longest {
                    let text = format!(
                        "{server} held shadow messages for {primary}, both were up and could reach each other; {} {} to {} \
                         {server} asked nothing, for {}: ShadowHeartbeatFrequency is {}",
                        if since.1.is_some() {
                            "from its last question at"
                        } else {
                            "from"
                        },
                        clock(since.0),
                        clock(next),
                        lasting(Duration::from_micros(next - since.0)),
                        lasting(frequency),
                    );
                    tally.broken(piece(text, since.1.into_iter().chain(record)));
                } else if record.is_some() {
                    tally.kept();
                }
            };
            for (opened, ended, seq) in visits
                .iter()
                .filter(|(opened, ..)| *opened >= from && *opened <= until)
            {
                gap(last, *opened, Some(*seq));
                last = (last.0.max(*ended), Some(*seq));
            }
            if until > last.0 {
                gap(last, until, None);
            }
        }
    }
    conclude(
        case,
        "HB-02",
        tally,
        "pauses between questions were at most ShadowHeartbeatFrequency",
        "no shadow message was held long enough for a heartbeat",
    )
}

/// Stretches of time (microseconds) in which the server certainly held a shadow message, and it, its primary server
/// and the way between them were sound. After a fault ended a session may hang until the send connector gives it up:
/// that much later the time counts again.
fn calm(case: &Case<'_>, server: &str, primary: &str, held: &[&Hold<'_>]) -> Vec<(u64, u64)> {
    let mut stretches: Vec<(u64, u64)> = held
        .iter()
        .map(|h| (h.since.t_us, h.certain_until().min(case.last_us)))
        .filter(|(a, b)| a < b)
        .collect();
    stretches.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, until) in stretches {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => merged.push((from, until)),
        }
    }
    let grace = us(case.config.span(server, "ConnectionInactivityTimeOut"));
    for fault in case
        .faults_on(server, primary)
        .chain(case.faults_on(primary, server))
    {
        let Some(landed) = fault.landed else { continue };
        let ended = match fault.what {
            Fault::Reset { .. } => Some(landed),
            _ => fault.healed,
        };
        let back = ended.map_or(u64::MAX, |at| at.t_us.saturating_add(grace));
        merged = merged
            .into_iter()
            .flat_map(|(from, until)| [(from, until.min(landed.t_us)), (from.max(back), until)])
            .filter(|(from, until)| from < until)
            .collect();
    }
    merged
}

/// Holds by shadow server and primary server.
fn by_pair<'c, 'h>(held: &'c [Hold<'h>]) -> BTreeMap<(&'h str, &'h str), Vec<&'c Hold<'h>>> {
    let mut pairs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for hold in held {
        pairs
            .entry((hold.server, hold.primary))
            .or_default()
            .push(hold);
    }
    pairs
}
