//! SC-18: 2013-style nodes and 2010-style hubs side by side.

use gauntlet_reports::Verdict;

use super::roles::sent_again;
use crate::{
    check::{
        Case, Connection, Moment, Submitted,
        conditions::{self, conclude},
        evidence::{Tally, clock, count, piece},
        heartbeat::holding::{Hold, holds, us, views},
        positive,
    },
    history::{Reply, Transaction, Wire},
    scenario::LEGACY_DOMAIN,
};

/// SC-18. XSHADOW is not advertised to a hub, and a hub makes no copy here. What goes to a hub keeps its shadow until
/// the hub has acknowledged it, is in Safety Net then, and is never resubmitted to a hub.
pub(super) fn sc_18(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    let mut thin = "no message went to a 2010-style hub, and none came from one";
    if case.plan.scenario.cluster.hubs_2010.is_empty() {
        thin = "there is no 2010-style hub in this cluster";
    }
    let from_hubs = case
        .connections()
        .filter(|c| case.is_hub_2010(c.from) && case.is_2013(c.to));
    for connection in from_hubs {
        advertised(connection, &mut tally);
    }
    let mut shadowed = 0;
    for hold in holds(case).iter().filter(|h| case.is_2013(h.primary)) {
        shadowed += usize::from(acknowledged_first(case, hold, &mut tally));
    }
    let mut kept = 0;
    for (node, message, acked) in handed_over(case) {
        kept += usize::from(in_safety_net(case, node, message, acked, &mut tally));
    }
    let kept_so_far = |tally: &Tally| tally.proofs - tally.against.len();
    let before = kept_so_far(&tally);
    sent_again(case, &mut tally, |_, to| case.is_hub_2010(to));
    let asked = kept_so_far(&tally) - before;
    let what = format!(
        "facts were as they must be beside a 2010-style hub: {} waited for its acknowledgement, {kept} in Safety Net, {asked} not resubmitted to it",
        count(shadowed, "shadow message"),
    );
    conclude(case, "SC-18", tally, &what, thin)
}

/// What a 2013-style node says to a hub's EHLO, and whether it takes copies from it.
fn advertised(connection: &Connection<'_>, tally: &mut Tally) {
    let offers = |reply: &Reply| {
        reply
            .text
            .lines()
            .any(|line| line.split_ascii_whitespace().next() == Some("XSHADOW"))
    };
    for (at, reply) in connection.replies("EHLO") {
        if !positive(reply) {
            continue;
        }
        if offers(reply) {
            let text = format!(
                "{} advertised XSHADOW to {} at {}",
                connection.to,
                connection.from,
                clock(at.t_us)
            );
            tally.broken(piece(text, [at.seq]));
        } else {
            tally.kept();
        }
    }
    let named = connection
        .events
        .iter()
        .filter_map(|(at, wire)| match wire {
            Wire::Command { verb, line } if verb == "MAIL" && line.contains(" XSHADOW=") => {
                Some(*at)
            }
            _ => None,
        });
    let copies = connection
        .exchanges
        .iter()
        .filter(|e| e.kind == Transaction::Copy)
        .filter_map(|e| e.acked());
    for at in named.chain(copies) {
        let text = format!(
            "{} kept a shadow for {}, or sent it one, at {}",
            connection.from,
            connection.to,
            clock(at.t_us)
        );
        tally.broken(piece(text, [at.seq]));
    }
}

/// A recipient of the message is reached through a hub.
fn for_hub(s: &Submitted<'_>) -> bool {
    let legacy = |to: &&String| to.rsplit_once('@').is_some_and(|(_, d)| d == LEGACY_DOMAIN);
    s.what
        .recipients
        .iter()
        .filter(legacy)
        .any(|to| !s.refused.contains_key(to.as_str()))
}

/// The shadow of a message that went to a hub was released after the hub's acknowledgement; `false`: nothing is told.
fn acknowledged_first(case: &Case<'_>, hold: &Hold<'_>, tally: &mut Tally) -> bool {
    let (Some(message), Some((told, true))) = (hold.message, hold.notified) else {
        return false;
    };
    // A message that its node took in twice has two shadows, which the wire does not tell apart.
    let mut taken = case
        .submissions
        .iter()
        .filter(|s| s.what.message == message && s.data_sent.is_some());
    let (Some(only), None) = (taken.next(), taken.next()) else {
        return false;
    };
    if only.node() != hold.primary || !for_hub(only) {
        return false;
    }
    let to_hubs: Vec<&Connection<'_>> = case
        .connections()
        .filter(|c| c.from == hold.primary && case.is_hub_2010(c.to))
        .collect();
    // Refused by the hub, or expired: then it is done without an acknowledgement, and a DSN says so.
    let refused = to_hubs.iter().any(|c| {
        !c.refused_recipients().is_empty()
            || (c.exchanges.iter()).any(|e| e.reply.is_some_and(|(_, r)| r.code >= 500))
    });
    let expiry = case.config.span(hold.primary, "MessageExpirationTimeout");
    let expired = told.t_us.saturating_sub(only.at.t_us)
        > us(expiry).saturating_sub(us(case.config.tolerance(expiry)));
    if refused || expired {
        return false;
    }
    let acked = to_hubs
        .iter()
        .flat_map(|c| &c.exchanges)
        .filter(|e| e.message == Some(message))
        .filter_map(|e| e.acked())
        .min();
    match acked {
        Some(at) if at < told => {
            tally.kept();
            true
        }
        _ => {
            let text = format!(
                "{} told {} at {} that {} is done, and {}",
                hold.primary,
                hold.server,
                clock(told.t_us),
                hold.name(),
                acked.map_or("no hub ever acknowledged it".into(), |at| format!(
                    "the hub acknowledged it only at {}",
                    clock(at.t_us)
                )),
            );
            tally.broken(piece(
                text,
                [told.seq].into_iter().chain(acked.map(|at| at.seq)),
            ));
            false
        }
    }
}

/// Messages that a 2013-style node handed to a hub: node, Message-ID, acknowledgement.
fn handed_over<'h>(case: &Case<'h>) -> Vec<(&'h str, &'h str, Moment)> {
    let mut all = Vec::new();
    for (connection, exchange) in case.exchanges() {
        if !case.is_2013(connection.from) || !case.is_hub_2010(connection.to) {
            continue;
        }
        let sent = case
            .submissions
            .iter()
            .find(|s| Some(s.what.message) == exchange.message);
        let id = sent.and_then(|s| s.what.message_id.as_deref());
        if let (Some(acked), Some(id)) = (exchange.acked(), id) {
            all.push((connection.from, id, acked));
        }
    }
    all
}

/// The node's last view within the hold time shows the message in Safety Net, unless it has more to do with it.
fn in_safety_net(case: &Case<'_>, node: &str, id: &str, acked: Moment, tally: &mut Tally) -> bool {
    let hold = case.config.span(node, "SafetyNetHoldTime");
    let until = acked
        .t_us
        .saturating_add(us(hold).saturating_sub(us(case.config.tolerance(hold))));
    let from = acked.t_us.saturating_add(us(case.config.tolerance(hold)));
    let last = views(case, node)
        .filter(|(at, _)| at.t_us >= from && at.t_us < until)
        .last();
    let Some((seen, view)) = last else {
        return false;
    };
    // The node lost data since it took the message in, or the message waits for other recipients.
    let struck = conditions::strikes(case).iter().any(|s| s.node == node);
    let busy = view
        .queue
        .iter()
        .any(|held| held.message_id.as_deref() == Some(id));
    if struck || busy {
        return false;
    }
    let there = view
        .safety_net
        .iter()
        .any(|held| held.message_id.as_deref() == Some(id) && held.role == "primary");
    if there {
        tally.kept();
        return true;
    }
    let text = format!(
        "a hub acknowledged {id} to {node} at {}; at {} it is not in {node}'s Safety Net",
        clock(acked.t_us),
        clock(seen.t_us)
    );
    tally.broken(piece(text, [acked.seq, seen.seq]));
    false
}
