//! VZ-04 and VZ-05: what a saved state that is resumed, and a snapshot that is gone back to, do to mail. Measured: it
//! neither holds nor fails.

use std::collections::BTreeMap;

use gauntlet_reports::{Evidence, Verdict};

use super::phases::{self, Phase};
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
    measure(case, "VZ-04", "no saved state was resumed", |f| {
        matches!(f, Fault::Save { .. })
    })
}

/// VZ-05: the snapshots of [`Fault::Revert`].
pub(super) fn snapshot_revert(case: &Case<'_>) -> Verdict {
    measure(case, "VZ-05", "no disk went back to a snapshot", |f| {
        matches!(f, Fault::Revert { .. })
    })
}

/// What became of messages.
#[derive(Debug, Default, Clone, Copy)]
struct Damage {
    acked: usize,
    lost: usize,
    late: usize,
    twice_outside: usize,
    twice_inside: usize,
}

impl Damage {
    fn add(&mut self, other: Self) {
        self.acked += other.acked;
        self.lost += other.lost;
        self.late += other.late;
        self.twice_outside += other.twice_outside;
        self.twice_inside += other.twice_inside;
    }

    fn words(self) -> String {
        format!(
            "{} of {} lost, {} late, {} delivered twice outside and {} inside",
            self.lost,
            count(self.acked, "acked message"),
            self.late,
            self.twice_outside,
            self.twice_inside
        )
    }
}

fn measure(case: &Case<'_>, id: &str, none: &str, hazard: fn(&Fault) -> bool) -> Verdict {
    if let Some(reason) = conditions::unfinished(case) {
        return inconclusive(id, reason);
    }
    let ledger = case.ledger();
    let struck: Vec<_> = case
        .faults
        .iter()
        .filter(|f| hazard(f.what))
        .filter_map(|f| Some((f, f.what.node()?, f.landed?)))
        .collect();
    // The last one: a message that several have struck is counted once, by where it was at the last.
    let Some((last, node, landed)) = struck.last() else {
        return inconclusive(id, none);
    };
    let held = holds(case);
    let at = phases::restored(
        case,
        node,
        *landed,
        matches!(last.what, Fault::Revert { .. }),
    );
    let mut by_phase: BTreeMap<Phase, (Damage, Vec<u64>)> = BTreeMap::new();
    let mut total = Damage::default();
    for entry in ledger.entries.values() {
        let begun = |s: &crate::check::Submitted<'_>| s.acked() && s.at < *landed;
        if !entry.submitted(case).any(begun) {
            continue;
        }
        let damage = damage(case, entry, last, node);
        let phase = phases::of(case, held, entry, node, at);
        let (sum, records) = by_phase.entry(phase).or_default();
        sum.add(damage);
        if damage.lost > 0 {
            records.extend(entry.submitted(case).filter_map(|s| s.ended).map(|m| m.seq));
        }
        total.add(damage);
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
    let summary = format!(
        "{}; {} at {}, detection {}",
        total.words(),
        fault(last.what),
        clock(landed.t_us),
        if detects { "on" } else { "off" }
    );
    let evidence: Vec<Evidence> = by_phase
        .into_iter()
        .map(|(phase, (damage, records))| {
            let text = format!("{}: {}", phase.words(), damage.words());
            piece(text, records.into_iter().chain([at.seq, landed.seq]))
        })
        .collect();
    measured(id, total.acked, summary, evidence)
}

/// What became of one message. What a mailbox showed and shows no more is lost.
fn damage(case: &Case<'_>, entry: &Entry<'_>, hazard: &FaultSpan<'_>, node: &str) -> Damage {
    let mut damage = Damage {
        acked: 1,
        ..Damage::default()
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
