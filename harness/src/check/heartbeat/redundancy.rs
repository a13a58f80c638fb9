//! HB-12: a promoted message that is still in transit has a shadow again.

use std::collections::BTreeSet;

use gauntlet_reports::Verdict;

use super::{
    holding::{Hold, holds, us},
    processing::{ATTEMPT, host_of},
};
use crate::{
    check::{
        Case, Exchange, Ledger, Moment, address,
        conditions::conclude,
        evidence::{Tally, clock, piece},
        positive,
    },
    history::Transaction,
};

/// HB-12 (BEYOND). A shadow server that promoted a message, and has not delivered it a heartbeat and two attempts later:
/// by then another node of its boundary has confirmed a copy. Where a node of the boundary, or the way to it, was struck
/// meanwhile, a copy may come later, and nothing is said; so it is where the promotion's own time is not known.
pub(super) fn made_again_after_promotion(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some(promoted) = hold.promoted.as_ref().filter(|p| p.exact) else {
            continue;
        };
        let server = hold.server;
        let heartbeat = case.config.span(server, "ShadowHeartbeatFrequency");
        let allowed = heartbeat + case.config.scaled(ATTEMPT) * 2;
        let due = promoted
            .at
            .t_us
            .saturating_add(us(allowed + case.config.tolerance(allowed)));
        if due > case.last_us
            || due >= hold.expires_us
            || !can_copy(case, server, promoted.at.t_us, due)
        {
            continue;
        }
        let copied = case.exchanges_named(hold.transport_id).find(|(c, e)| {
            e.kind == Transaction::Copy
                && c.from == server
                && e.sent > promoted.at
                && e.acked().is_some_and(|at| at.t_us <= due)
        });
        if copied.is_some() {
            tally.kept();
        } else if in_transit(case, ledger, hold, promoted.at, due) {
            let text = format!(
                "{server} promoted {} at {} and had not delivered it by {}; no other node had confirmed a copy by then",
                hold.name(),
                clock(promoted.at.t_us),
                clock(due),
            );
            tally.broken(piece(text, [hold.since.seq, promoted.at.seq]));
        }
    }
    conclude(
        case,
        "HB-12",
        tally,
        "promoted messages had a shadow again",
        "no promoted message was in transit for long while a copy of it could be made",
    )
}

/// A node of the boundary may hold copies, and nothing was wrong with it or the way to it, from `from` to `to`.
fn can_copy(case: &Case<'_>, server: &str, from: u64, to: u64) -> bool {
    let peers = case.boundary(server);
    let tries = [
        "MaxRetriesForRemoteSiteShadow",
        "MaxRetriesForLocalSiteShadow",
    ];
    let any = case
        .config
        .setting(server, "ShadowMessagePreferenceSetting")
        .is_none()
        && tries
            .iter()
            .all(|name| case.config.number(server, name) >= peers.len() as u64);
    // With as many tries as a site has, one of them comes to a node that is well.
    let well = |peer: &str| {
        case.config.switch(peer, "ShadowRedundancyEnabled")
            && !case.faults_on(server, peer).any(|f| f.overlaps(from, to))
            && !case.faults_on(peer, server).any(|f| f.overlaps(from, to))
    };
    any && case.config.switch(server, "ShadowRedundancyEnabled")
        && case.well_between(server, from, to)
        && peers.iter().any(|peer| well(peer))
        && peers.len() <= 2
}

/// Some recipient to whom the message is owed had not got it by `due` (microseconds), nobody had said why, and no next hop
/// had answered its new owner for good. Of what a node does for its own mailboxes nothing passes a wire, and a duplicate
/// shows nowhere: nothing is said of those.
fn in_transit(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    hold: &Hold<'_>,
    promoted: Moment,
    due: u64,
) -> bool {
    let Some(entry) = hold.message.and_then(|m| ledger.entries.get(&m)) else {
        return false;
    };
    // What another node handed over (SC-13) is for some of the client's recipients only.
    let meant: BTreeSet<&str> = (case.exchanges().into_iter())
        .filter(|(c, e)| c.to == hold.server && e.acked() == Some(hold.since))
        .flat_map(|(_, e)| &e.recipients)
        .flat_map(|to| case.plan.scenario.cluster.members(to))
        .collect();
    let told = |dsns: &[(u64, i64, &str)]| !dsns.is_empty();
    entry.mailbox_dsns.is_empty()
        && entry.accounts.iter().any(|(to, account)| {
            meant.contains(to)
                && account.owed.is_some()
                && !told(&account.dsns)
                && host_of(case, to) != hold.server
                && !answered_for_good(case, hold, to, promoted, due)
                && account
                    .arrivals
                    .iter()
                    .chain(&account.vanished)
                    .all(|a| u64::try_from(a.t_us).is_ok_and(|t| t > due))
        })
}

/// A next hop took the message for this recipient from the server that promoted it (a duplicate, too), or refused it with
/// 5yz (552 at RCPT is tried again, RFC 5321 §4.5.3.1.10): then it is not in transit any more, and a DSN may be on its way,
/// or have nowhere to go.
fn answered_for_good(
    case: &Case<'_>,
    hold: &Hold<'_>,
    to: &str,
    promoted: Moment,
    due: u64,
) -> bool {
    let in_time = |at: Moment| at > promoted && at.t_us <= due;
    (case.connections().filter(|c| c.from == hold.server)).any(|c| {
        let at_rcpt = c.refused_recipients();
        let named = |before: Moment| {
            c.commands("RCPT")
                .any(|(at, line)| at < before && address(line) == to)
        };
        let at_end = |e: &Exchange<'_>| {
            let same = match e.transport_id {
                Some(id) => id == hold.transport_id,
                None => e.message.is_some() && e.message == hold.message,
            };
            let answer = e.reply.filter(|(at, _)| in_time(*at));
            same && e.kind != Transaction::Copy
                && named(e.sent)
                && answer.is_some_and(|(_, r)| positive(r) || r.code >= 500)
        };
        at_rcpt
            .iter()
            .any(|(who, at, reply)| *who == to && reply.code != 552 && in_time(*at))
            || c.exchanges.iter().any(at_end)
    })
}
