//! Checkers: a history in, verdicts out. They see records and nothing else, never a node.
//!
//! Comes in: the records of one run, as they stand on disk. Goes out: one [`Verdict`] for each guarantee that the
//! plan names, and one for each other guarantee that the ledger of messages shows broken. Called by the runner and by
//! `gauntlet check`.
//!
//! Reading order: [`Case`] (the history, indexed) → [`Ledger`] (what became of each message) → [`conditions`] (when a
//! guarantee does not apply, or too little happened) → the checkers by family, listed in [`registry`].

use std::collections::BTreeMap;

use gauntlet_reports::{MailLedger, Status, Verdict};

mod case;
pub mod conditions;
mod config;
mod duplicates;
pub mod evidence;
mod heartbeat;
mod index;
mod ledger;
mod recovery;
pub mod registry;
mod safety_net;
mod shadow;
#[cfg(test)]
mod testing;
mod timeouts;
mod transport;
mod unobserved;
mod virtualization;
mod wire;

pub use case::{Case, FaultSpan, Moment, Started, Submitted};
pub use config::Config;
pub use ledger::{Account, Arrival, Entry, Fate, Ledger, Stranger, Surplus};
pub use registry::Checker;
pub use wire::{Connection, Exchange, address, positive};

use crate::history::Record;

/// Judges a history: the guarantees that its plan names, in the order of their IDs. Guarantees that the ledger shows
/// broken are judged even where the plan does not name them. Empty when the records hold no plan.
pub fn judge(history: &[Record]) -> Vec<Verdict> {
    let Some(case) = Case::new(history) else {
        return Vec::new();
    };
    let named = case.plan.scenario.guarantees.iter().map(String::as_str);
    judged(&case, named)
}

/// Judges a history by every checker that there is, whatever its plan names, in the order of their IDs. A guarantee that
/// the run does not put to the test is `inconclusive` or `outside`. Empty when the records hold no plan.
pub fn judge_all(history: &[Record]) -> Vec<Verdict> {
    let Some(case) = Case::new(history) else {
        return Vec::new();
    };
    judged(&case, registry::ids().into_iter())
}

/// What became of the mail of a run, in numbers; `None` when the records hold no plan.
pub fn mail_ledger(history: &[Record]) -> Option<MailLedger> {
    let case = Case::new(history)?;
    Some(case.ledger().account(&case))
}

fn judged<'a>(case: &Case<'_>, ids: impl Iterator<Item = &'a str>) -> Vec<Verdict> {
    let mut verdicts: BTreeMap<String, Verdict> = BTreeMap::new();
    for id in ids {
        if let Some(reason) = unobserved::unknown(case, id) {
            verdicts.insert(id.to_owned(), evidence::inconclusive(id, reason));
            continue;
        }
        let verdict = match registry::checker(id) {
            Some(checker) => checker(case),
            None => evidence::inconclusive(id, "there is no checker for this guarantee"),
        };
        let verdict = match conditions::wrong_clock(case, id) {
            Some(reason) if verdict.status == Status::Violated => evidence::outside(id, reason),
            _ => verdict,
        };
        verdicts.insert(id.to_owned(), verdict);
    }
    for verdict in ledger::always(case) {
        if unobserved::unknown(case, &verdict.guarantee).is_some() {
            continue;
        }
        let judged = verdicts
            .entry(verdict.guarantee.clone())
            .or_insert_with(|| verdict.clone());
        if judged.status != Status::Violated {
            *judged = verdict;
        }
    }
    verdicts.into_values().collect()
}
