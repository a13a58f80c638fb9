//! SC-15: a front end holds the sender's session open, passes on the ack only once both primary and shadow exist, and
//! keeps nothing.

use gauntlet_reports::{Evidence, Verdict};

use crate::{
    check::{
        Case, Submitted,
        conditions::{conclude, copy_hindered},
        evidence::{Tally, clock, count, outcome, piece},
        ledger::loss,
    },
    history::{Event, Fault, NodeView},
};

/// SC-15. For every ack that a front end gave: the transport server's ack went by before, and before that the copy's,
/// where one was owed; the sender's session was open all the while. A front end that was lost took nothing with it
/// that was acked. It holds nothing, is never asked to hold a copy, and never asked for discard notifications.
pub(super) fn sc_15(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    let mut outlived = 0;
    let mut thin = "no message was acked through a front end";
    if case.plan.scenario.cluster.front_ends.is_empty() {
        thin = "there is no front end in this cluster";
    }
    for s in case.acked().filter(|s| case.is_front_end(s.server())) {
        match too_early(case, s).or_else(|| session_gone(case, s)) {
            Some(evidence) => {
                tally.broken(evidence);
                continue;
            }
            None => tally.kept(),
        }
        if !lost_later(case, s) {
            continue;
        }
        let Some(entry) = ledger.entries.get(&s.what.message) else {
            continue;
        };
        let failed = entry.accounts.keys().find_map(|to| {
            let fate = ledger.fate(case, entry, to);
            fate.failure().map(|clause| loss(case, entry, to, clause))
        });
        match failed {
            Some(evidence) => tally.broken(evidence),
            None => outlived += 1,
        }
    }
    for evidence in held(case).into_iter().chain(asked(case)) {
        tally.broken(evidence);
    }
    let outlived = if outlived > 0 {
        format!("; {} outlived the front end", count(outlived, "message"))
    } else {
        String::new()
    };
    let what = format!("acks of a front end came after the primary's and the copy's{outlived}");
    conclude(case, "SC-15", tally, &what, thin)
}

/// The ack came before the transport server's, or that before the copy's.
fn too_early(case: &Case<'_>, s: &Submitted<'_>) -> Option<Evidence> {
    let told = case
        .exchange_of(s)
        .and_then(|(_, e)| e.acked())
        .or(s.ended)?;
    let (front, number) = (s.server(), s.what.message);
    let story = format!("{} for message {number} by {front}", outcome(s));
    let Some((connection, passed)) = case.passed_on(s) else {
        let text = format!("{story}; it was passed on to no transport server");
        return Some(piece(text, [told.seq]));
    };
    let primary = connection.to;
    let Some(acked) = passed.acked().filter(|at| *at < told) else {
        let (text, at) = match passed.reply {
            Some((at, reply)) => (
                format!(
                    "{story}; {primary}'s {} only at {}",
                    reply.code,
                    clock(at.t_us)
                ),
                at,
            ),
            None => (format!("{story}; {primary} never answered"), passed.sent),
        };
        return Some(piece(text, [told.seq, at.seq]));
    };
    let owed =
        case.config.switch(primary, "ShadowRedundancyEnabled") && copy_hindered(case, s).is_none();
    let copied = case
        .copy_of(s)
        .and_then(|(_, copy)| copy.acked())
        .is_some_and(|at| at < acked);
    (owed && !copied).then(|| {
        let text = format!(
            "{story}; {primary} acked it at {} without a copy",
            clock(acked.t_us)
        );
        piece(text, [told.seq, acked.seq])
    })
}

/// The sender's session was over before its ack.
fn session_gone(case: &Case<'_>, s: &Submitted<'_>) -> Option<Evidence> {
    let (own, exchange) = case.exchange_of(s)?;
    let (closed, by, _) = own.closed?;
    let acked = exchange.acked()?;
    (closed < acked).then(|| {
        let text = format!(
            "message {}: {by} closed the sender's session at {}, before the ack at {}",
            s.what.message,
            clock(closed.t_us),
            clock(acked.t_us)
        );
        piece(text, [closed.seq, acked.seq])
    })
}

/// The front end that acked it crashed, or was destroyed, afterwards.
fn lost_later(case: &Case<'_>, s: &Submitted<'_>) -> bool {
    case.faults.iter().any(|f| {
        let ends = matches!(
            f.what,
            Fault::ProcessCrash { .. } | Fault::HostCrash { .. } | Fault::Destroy { .. }
        );
        ends && f.what.node() == Some(s.server()) && f.landed > s.ended
    })
}

/// What front ends say that they hold.
fn held(case: &Case<'_>) -> Vec<Evidence> {
    let holds = |v: &NodeView| {
        let lists = [&v.queue, &v.shadow, &v.safety_net];
        !v.database.is_empty()
            || lists.iter().any(|list| !list.is_empty())
            || !v.discard_events.is_empty()
    };
    let views = case.records.iter().filter_map(|r| match &r.event {
        Event::View { node, view } if case.is_front_end(node) && holds(view) => Some((r, node)),
        _ => None,
    });
    views
        .map(|(r, node)| {
            let text = format!(
                "the front end {node} holds mail, or a database, at {}",
                clock(r.t_us)
            );
            piece(text, [r.seq])
        })
        .collect()
}

/// Peers' commands to a front end, or from one.
fn asked(case: &Case<'_>) -> Vec<Evidence> {
    let mut found = Vec::new();
    let between = case.connections().filter(|c| {
        case.is_node(c.from)
            && case.is_node(c.to)
            && (case.is_front_end(c.from) || case.is_front_end(c.to))
    });
    for connection in between {
        for verb in ["XSHADOW", "XDELIVER", "XQDISCARD"] {
            let commands = connection.commands(verb).map(|(at, _)| {
                let text = format!("{verb} on {} at {}", connection.link, clock(at.t_us));
                piece(text, [at.seq])
            });
            found.extend(commands);
        }
    }
    found
}
