//! SN-11 and SN-12: what Safety Net has no shadow of, and no limit of.

use gauntlet_reports::Verdict;

use super::contents::{in_safety_net, stretch};
use crate::{
    check::{
        Account, Case, Entry, Ledger, Submitted,
        conditions::{conclude, strikes},
        evidence::{Tally, clock, lasting, piece},
        heartbeat::{
            holding::{Hold, holds, us, views},
            processing::{ATTEMPT, host_of, processed_us},
        },
    },
    history::{Fault, NodeView, Transaction},
};

/// SN-11. With ShadowRedundancyEnabled=false on every node no view shows a message in a shadow Safety Net, and each
/// shows in the primary one what the node has delivered, until SafetyNetHoldTime ends.
pub(super) fn no_shadow_when_disabled(case: &Case<'_>) -> Verdict {
    let nodes = &case.plan.scenario.cluster.nodes;
    let off = nodes
        .iter()
        .all(|node| !case.config.switch(node, "ShadowRedundancyEnabled"));
    let mut tally = Tally::default();
    if off {
        for node in nodes {
            for (at, view) in views(case, node) {
                if let Some(held) = view.safety_net.iter().find(|held| held.role == "shadow") {
                    let text = format!(
                        "at {} {node} shows {} in a shadow Safety Net while shadow redundancy is off",
                        clock(at.t_us),
                        held.transport_id
                    );
                    tally.broken(piece(text, [at.seq]));
                }
            }
        }
        let ledger = case.ledger();
        for entry in ledger.entries.values().filter(|e| e.submissions.len() == 1) {
            if let Some(submission) = entry.submitted(case).find(|s| s.acked()) {
                in_primary(case, &mut tally, entry, submission);
            }
        }
    }
    conclude(
        case,
        "SN-11",
        tally,
        "looks with shadow redundancy off found a delivered message in the primary Safety Net, and none in a shadow one",
        "no view was read after a delivery with shadow redundancy off on all nodes",
    )
}

fn in_primary(case: &Case<'_>, tally: &mut Tally, entry: &Entry<'_>, s: &Submitted<'_>) {
    let node = s.node();
    // A front end that did not pass it on holds nothing, and a 2010-style hub has no Safety Net.
    let Some(id) = s.what.message_id.as_deref().filter(|_| case.is_2013(node)) else {
        return;
    };
    let accepted = entry.accounts.iter().filter(|(_, a)| a.owed.is_some());
    let done = accepted.map(|(to, account)| delivered_us(case, node, entry.message, to, account));
    let Some(processed) = done
        .collect::<Option<Vec<u64>>>()
        .and_then(|all| all.into_iter().max())
    else {
        return;
    };
    let from = processed.saturating_add(us(case.config.scaled(ATTEMPT)));
    let time = case.config.span(node, "SafetyNetHoldTime");
    let until =
        s.at.t_us
            .saturating_add(us(time))
            .saturating_sub(us(case.config.tolerance(time)));
    for (at, view) in views(case, node).filter(|(at, _)| at.t_us > from && at.t_us < until) {
        let hit = case.faults.iter().any(|f| {
            let near = match f.what {
                Fault::Partition { a, b, .. } => a == node || b == node,
                other => match other.link() {
                    Some((from, to)) => from == node || to == node,
                    None => other.node() == Some(node),
                },
            };
            near && f.overlaps(s.at.t_us, at.t_us)
        });
        if hit {
            continue;
        }
        let found = view
            .safety_net
            .iter()
            .any(|held| held.role == "primary" && held.message_id.as_deref() == Some(id));
        if found {
            tally.kept();
            continue;
        }
        let text = format!(
            "{node} had delivered message {} by {}; at {} it is not in its primary Safety Net",
            entry.message,
            clock(processed),
            clock(at.t_us)
        );
        tally.broken(piece(text, [s.at.seq, at.seq]));
    }
}

/// When the node's delivery to a recipient was acknowledged; to its own mailboxes, when it arrived.
fn delivered_us(
    case: &Case<'_>,
    node: &str,
    message: u32,
    to: &str,
    account: &Account<'_>,
) -> Option<u64> {
    if host_of(case, to) == node {
        let times = account.arrivals.iter().map(|a| a.t_us);
        return times.min().and_then(|t| u64::try_from(t).ok());
    }
    let own = case.connections().filter(|c| c.from == node);
    own.flat_map(|c| &c.exchanges)
        .filter(|e| e.kind != Transaction::Copy && e.message == Some(message))
        .filter(|e| e.recipients.contains(&to))
        .filter_map(|e| e.acked())
        .map(|at| at.t_us)
        .min()
}

/// So many messages, or octets, in one Safety Net would have met a limit of size.
const MANY: usize = 200;
const LARGE: u64 = 64 * 1024 * 1024;

/// A message that must be in a node's Safety Net for a time.
struct Kept<'c, 'h> {
    hold: &'c Hold<'h>,
    node: &'h str,
    role: &'static str,
    /// It must be there after this time (microseconds), …
    from: u64,
    /// …and before this one.
    until: u64,
    octets: u64,
}

/// SN-12. However many messages came into Safety Net, each is there until its own SafetyNetHoldTime ends. Proven by a
/// look that finds many (200 messages, or 64 MiB), the oldest of them with a fifth of their hold time to go at most.
pub(super) fn no_size_limit(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let all = holds(case);
    let kept: Vec<Kept<'_, '_>> = all.iter().flat_map(|h| both(case, ledger, h)).collect();
    let mut tally = Tally::default();
    for node in &case.plan.scenario.cluster.nodes {
        let time = case.config.span(node, "SafetyNetHoldTime");
        for (at, view) in views(case, node) {
            let due: Vec<&Kept<'_, '_>> = kept
                .iter()
                .filter(|k| k.node == node && k.from < at.t_us && at.t_us < k.until)
                .filter(|k| is_same(k, view) && undisturbed(case, k, at.t_us))
                .collect();
            let octets: u64 = due.iter().map(|k| k.octets).sum();
            if due.len() < MANY && octets < LARGE {
                continue;
            }
            let missing: Vec<_> = due
                .iter()
                .filter(|k| !in_safety_net(view, k.hold, k.role))
                .collect();
            let late = |k: &&Kept<'_, '_>| at.t_us > k.until.saturating_sub(us(time / 5));
            if let Some(first) = missing.first() {
                let text = format!(
                    "at {} the Safety Net of {node} lacks {} of {} messages ({octets} octets) that came less than {} before, {} among them",
                    clock(at.t_us),
                    missing.len(),
                    due.len(),
                    lasting(time),
                    first.hold.name()
                );
                tally.broken(piece(text, [first.hold.since.seq, at.seq]));
            } else if due.iter().copied().any(|k| late(&k)) {
                tally.kept();
            }
        }
    }
    conclude(
        case,
        "SN-12",
        tally,
        "looks found every one of many messages in Safety Net near the end of SafetyNetHoldTime",
        "no Safety Net had 200 messages, or 64 MiB, when it was looked at near the end of SafetyNetHoldTime",
    )
}

/// A held message in the primary Safety Net of its primary server, and in the shadow one of its shadow server.
fn both<'c, 'h>(case: &Case<'h>, ledger: &Ledger<'_>, hold: &'c Hold<'h>) -> Vec<Kept<'c, 'h>> {
    let octets = hold
        .message
        .and_then(|n| case.submissions.iter().find(|s| s.what.message == n))
        .map_or(0, |s| s.what.digest.size);
    let mut kept = Vec::new();
    let mut keep = |node: &'h str, role, entered| {
        let (from, until) = stretch(case, node, hold, entered);
        kept.push(Kept {
            hold,
            node,
            role,
            from,
            until,
            octets,
        });
    };
    if let Some(processed) = processed_us(case, ledger, hold) {
        keep(hold.primary, "primary", processed);
    }
    let enabled = case.config.switch(hold.server, "ShadowRedundancyEnabled");
    if let Some((told, true)) = hold.notified
        && enabled
        && hold.promoted.is_none()
        && hold.renewed.is_none()
        && hold.overdue_us.min(hold.expires_us) > told.t_us
    {
        keep(hold.server, "shadow", told.t_us);
    }
    kept
}

/// The view is of the database that the message was in.
fn is_same(kept: &Kept<'_, '_>, view: &NodeView) -> bool {
    kept.role == "shadow"
        || view.database.is_empty()
        || kept.hold.database.is_none_or(|d| d == view.database)
}

/// The node was well from the moment at which the message came into Safety Net, and never lost its disk.
fn undisturbed(case: &Case<'_>, kept: &Kept<'_, '_>, at_us: u64) -> bool {
    let lost = strikes(case)
        .iter()
        .any(|s| s.node == kept.node && s.at > kept.hold.since && s.at.t_us < at_us);
    !lost && case.well_between(kept.node, kept.hold.since.t_us, at_us)
}
