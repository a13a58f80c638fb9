//! VZ-06: with the detection of regressions on, resumed states and reverted snapshots lose nothing acked.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Entry, Fate, Moment, conditions,
        conditions::conclude,
        evidence::{Tally, inconclusive, outside},
        ledger::loss,
    },
    history::Fault,
};

/// VZ-06 (BEYOND). Mail that was acked before a hazard struck, or while the state ran that is gone, reached its
/// recipients, where no other server failed on its way. What a mailbox showed whose own disk went back is the mailbox
/// database's matter.
pub(super) fn loses_nothing(case: &Case<'_>) -> Verdict {
    let nodes = &case.plan.scenario.cluster.nodes;
    let off = nodes
        .iter()
        .find(|n| !case.config.switch(n, "StateRegressionDetection"));
    if let Some(node) = off {
        return outside(
            "VZ-06",
            format!("StateRegressionDetection is off on {node}"),
        );
    }
    let hazards: Vec<_> = case
        .faults
        .iter()
        .filter(|f| conditions::is_hazard(f.what))
        .filter_map(|f| Some((f, f.what.node()?, f.landed?)))
        .collect();
    if hazards.is_empty() {
        return inconclusive(
            "VZ-06",
            "no saved state was resumed, and no disk went back to a snapshot",
        );
    }
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for entry in ledger.entries.values() {
        let Some(begun) = entry.submitted(case).find(|s| s.acked()).map(|s| s.at) else {
            continue;
        };
        let Some((_, node, _)) = hazards.iter().find(|(_, _, landed)| *landed > begun) else {
            continue;
        };
        if other_failures(case, entry, node, begun) {
            continue;
        }
        for (to, account) in entry.accounts.iter().filter(|(_, a)| a.owed.is_some()) {
            let home = case.plan.scenario.cluster.mailboxes.as_str();
            let reverted = hazards
                .iter()
                .any(|(f, n, _)| *n == home && matches!(f.what, Fault::Revert { .. }));
            if case.is_mailbox(to) && reverted {
                continue;
            }
            let waited = |at: Moment| account.arrivals.iter().all(|a| a.t_us > at.signed_us());
            match ledger.fate_in_spite_of_hazards(case, entry, to) {
                fate @ (Fate::Lost | Fate::Overdue(_)) => {
                    tally.broken(loss(case, entry, to, fate.failure().unwrap_or_default()));
                }
                Fate::Delivered(_) | Fate::Bounced
                    if hazards.iter().any(|(_, _, at)| *at > begun && waited(*at)) =>
                {
                    tally.kept();
                }
                _ => {}
            }
        }
    }
    conclude(
        case,
        "VZ-06",
        tally,
        "recipients of mail in transit were served in spite of a state that was resumed or gone back to",
        "no acked message was in transit when a state was resumed or gone back to",
    )
}

/// Something struck another node before the message's way was at its end.
fn other_failures(case: &Case<'_>, entry: &Entry<'_>, node: &str, begun: Moment) -> bool {
    let quiet = case
        .quiet
        .iter()
        .find(|q| **q > entry.submitted(case).find_map(|s| s.ended).unwrap_or(begun))
        .map_or(u64::MAX, |q| q.t_us);
    case.faults.iter().any(|f| {
        let other = f.what.node().is_some_and(|n| n != node);
        other && f.overlaps(begun.t_us, quiet)
    })
}
