//! VZ-04 and VZ-05: what a saved state that is resumed, and a snapshot that is gone back to, do to mail. Measured: it
//! neither holds nor fails.

use std::collections::BTreeMap;

use gauntlet_reports::{Damage, Evidence, LifePhase, Operation, PhaseToll, Toll, Verdict};

use super::phases;
use crate::{
    check::{
        Account, Case, Entry, FaultSpan, Moment, conditions,
        evidence::{clock, count, fault, inconclusive, measured, piece},
        heartbeat::{
            holding::{holds, us},
            processing::{due_us, host_of},
        },
    },
    history::Fault,
};

/// VZ-04: the states of [`Fault::Save`].
pub(super) fn saved_state(case: &Case<'_>) -> Verdict {
    let operation = Operation::SavedState;
    measure(
        case,
        "VZ-04",
        "no saved state was resumed",
        operation,
        |f| matches!(f, Fault::Save { .. }),
    )
}

/// VZ-05: the snapshots of [`Fault::Revert`].
pub(super) fn snapshot_revert(case: &Case<'_>) -> Verdict {
    let operation = Operation::SnapshotRevert;
    measure(
        case,
        "VZ-05",
        "no disk went back to a snapshot",
        operation,
        |f| matches!(f, Fault::Revert { .. }),
    )
}

fn words(toll: Toll) -> String {
    format!(
        "{} of {} lost, {} late, {} delivered twice outside and {} inside",
        toll.lost,
        count(
            usize::try_from(toll.acked).unwrap_or(usize::MAX),
            "acked message"
        ),
        toll.late,
        toll.twice_outside,
        toll.twice_inside
    )
}

/// A hazard that struck, and the moment whose state the node went on from.
struct Struck<'c, 'h> {
    span: &'c FaultSpan<'h>,
    node: &'h str,
    landed: Moment,
    restored: Moment,
}

fn measure(
    case: &Case<'_>,
    id: &str,
    none: &str,
    operation: Operation,
    hazard: fn(&Fault) -> bool,
) -> Verdict {
    if let Some(reason) = conditions::unfinished(case) {
        return inconclusive(id, reason);
    }
    let ledger = case.ledger();
    let strike = |span| {
        let span: &FaultSpan<'_> = span;
        let (node, landed) = (span.what.node()?, span.landed?);
        let revert = matches!(span.what, Fault::Revert { .. });
        let restored = phases::restored(case, node, landed, revert);
        Some((span, node, landed, restored))
    };
    let struck: Vec<Struck<'_, '_>> = case
        .faults
        .iter()
        .filter(|f| hazard(f.what))
        .filter_map(strike)
        .map(|(span, node, landed, restored)| Struck {
            span,
            node,
            landed,
            restored,
        })
        .collect();
    if struck.is_empty() {
        return inconclusive(id, none);
    }
    let held = holds(case);
    let mut by_phase: BTreeMap<LifePhase, (Toll, Vec<u64>)> = BTreeMap::new();
    let mut total = Toll::default();
    for entry in ledger.entries.values() {
        // A message that several have struck is counted once, by where it was at the first.
        let begun = entry.submitted(case).filter(|s| s.acked()).map(|s| s.at);
        let Some(begun) = begun.min() else { continue };
        let Some(first) = struck.iter().find(|one| begun < one.landed) else {
            continue;
        };
        let toll = toll(case, entry, first.span, first.node);
        let phase = phases::of(case, held, entry, first.node, first.restored);
        let (sum, records) = by_phase.entry(phase).or_default();
        sum.add(toll);
        if toll.lost > 0 {
            records.extend(entry.submitted(case).filter_map(|s| s.ended).map(|m| m.seq));
        }
        records.extend([first.restored.seq, first.landed.seq]);
        total.add(toll);
    }
    if total.acked == 0 {
        return inconclusive(id, "no message was acked before");
    }
    let detects = case
        .plan
        .scenario
        .cluster
        .nodes
        .iter()
        .all(|n| case.config.switch(n, "StateRegressionDetection"));
    let strikes: Vec<String> = struck
        .iter()
        .map(|one| format!("{} at {}", fault(one.span.what), clock(one.landed.t_us)))
        .collect();
    let strikes = match strikes.as_slice() {
        [first, _, rest @ ..] => format!("{first}, and {} more", count(rest.len() + 1, "time")),
        all => all.concat(),
    };
    let summary = format!(
        "{}; {strikes}, detection {}",
        words(total),
        if detects { "on" } else { "off" }
    );
    let damage = Damage {
        operation,
        detection: detects,
        phases: by_phase
            .iter()
            .map(|(phase, (toll, _))| PhaseToll {
                phase: *phase,
                toll: *toll,
            })
            .collect(),
    };
    let evidence: Vec<Evidence> = by_phase
        .into_iter()
        .map(|(phase, (toll, records))| {
            piece(format!("{}: {}", phase.words(), words(toll)), records)
        })
        .collect();
    let acked = usize::try_from(total.acked).unwrap_or(usize::MAX);
    measured(id, acked, summary, evidence, Some(damage))
}

/// What became of one message. What a mailbox showed and shows no more is lost.
fn toll(case: &Case<'_>, entry: &Entry<'_>, hazard: &FaultSpan<'_>, node: &str) -> Toll {
    let mut damage = Toll {
        acked: 1,
        ..Toll::default()
    };
    for (to, account) in entry.accounts.iter().filter(|(_, a)| a.owed.is_some()) {
        let inside = case.is_mailbox(to);
        match account.arrivals.as_slice() {
            [] if account.dsns.is_empty() && entry.mailbox_dsns.is_empty() => damage.lost = 1,
            [] => {}
            arrivals => {
                if arrivals.len() > 1 && inside {
                    damage.twice_inside = 1;
                } else if arrivals.len() > 1 {
                    damage.twice_outside = 1;
                }
                if late(case, account, to, hazard, node) {
                    damage.late = 1;
                }
            }
        }
    }
    damage
}

/// It came later than a heartbeat (and an attempt, or a retry where the next hop was closed) after the node was up again,
/// or after the ack if that was later.
fn late(
    case: &Case<'_>,
    account: &Account<'_>,
    to: &str,
    hazard: &FaultSpan<'_>,
    node: &str,
) -> bool {
    let heartbeat = us(case.config.span(node, "ShadowHeartbeatFrequency"));
    let up: Moment = match (hazard.healed, hazard.landed) {
        (Some(at), _) | (None, Some(at)) => at,
        (None, None) => return false,
    };
    let since = account.owed.map_or(up.t_us, |owed| owed.t_us.max(up.t_us));
    let first = account.arrivals.iter().chain(&account.vanished);
    let first = first.filter_map(|a| u64::try_from(a.t_us).ok()).min();
    let due = due_us(case, node, host_of(case, to), since, since + heartbeat);
    let due = due.unwrap_or(u64::MAX);
    first.is_some_and(|first| first > due)
}
