//! RO-06: nothing acked is lost, wherever a server crashes.

use gauntlet_reports::{Status, Verdict};

use crate::check::{
    Case, Fate, conditions,
    evidence::{Tally, count, inconclusive, outside},
};

/// RO-06. Every acked message reached every recipient, or its sender was told, although servers failed while mail was
/// in transit. Messages whose fate the run cannot tell count neither way.
pub(super) fn nothing_lost(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally {
        proofs: 0,
        against: ledger.losses(case),
    };
    tally.proofs = tally.against.len();
    let struck = case
        .faults
        .iter()
        .filter(|f| f.what.node().is_some() && !f.what.leaves_node_running())
        .filter(|f| f.landed.is_some())
        .count();
    let mut unknown = None;
    // A loss that a hazard explains is no proof of anything, and not passed over in silence.
    let mut hazard = None;
    for entry in ledger.entries.values() {
        for to in entry.accounts.keys() {
            match ledger.fate(case, entry, to) {
                Fate::Delivered(_) | Fate::Bounced => tally.kept(),
                Fate::Outside(reason) if conditions::hazard(case, entry).is_some() => {
                    hazard.get_or_insert(reason);
                }
                Fate::Unknown(reason) | Fate::Outside(reason) => unknown = Some(reason),
                Fate::NotOwed | Fate::Lost | Fate::Overdue(_) => {}
            }
        }
    }
    if tally.against.is_empty() {
        if let Some(reason) = hazard.or_else(|| conditions::outside(case, ledger)) {
            return outside("RO-06", reason);
        }
        if struck == 0 {
            return inconclusive("RO-06", "no server failed");
        }
        if tally.proofs == 0 {
            return inconclusive(
                "RO-06",
                unknown.unwrap_or_else(|| "no message was acked".into()),
            );
        }
    }
    let mut verdict = conditions::conclude(
        case,
        "RO-06",
        tally,
        "acked recipients were served",
        "no message was acked",
    );
    if verdict.status == Status::Holds {
        verdict.summary = format!(
            "{}, with {}",
            verdict.summary,
            count(struck, "server failure")
        );
    }
    verdict
}
