//! DD: duplicate detection in front of the mailboxes.
//!
//! Comes in: a [`Case`]. Goes out: verdicts. Called through the [`registry`](super::registry).

use std::collections::BTreeMap;

use gauntlet_reports::Verdict;

use super::{
    Case, Entry, Moment,
    conditions::{conclude, strikes},
    evidence::{Tally, clock, piece},
    ledger::loss,
    registry::Family,
};
use crate::history::Transaction;

/// The family's checkers.
pub(super) const CHECKERS: Family = &[("DD-01", dd_01), ("DD-02", dd_02), ("DD-03", dd_03)];

#[cfg(test)]
mod tests;

/// The moments at which a message came to the mailboxes' node: by a delivery from another node, or from its sender.
fn transmissions(case: &Case<'_>, message: u32) -> Vec<Moment> {
    let home = case.plan.scenario.cluster.mailboxes.as_str();
    case.exchanges_of(message)
        .filter(|(c, e)| c.to == home && e.kind != Transaction::Copy && e.acked().is_some())
        .map(|(_, e)| e.sent)
        .collect()
}

fn mailbox_accounts<'c, 'h>(
    case: &'c Case<'h>,
    entry: &'c Entry<'h>,
) -> impl Iterator<Item = (&'h str, &'c super::Account<'h>)> {
    entry
        .accounts
        .iter()
        .filter(|(to, a)| case.is_mailbox(to) && a.named)
        .map(|(to, a)| (*to, a))
}

/// DD-01: a mailbox shows one copy per (Message-ID, submit time), however often and by whomever it was delivered. Put
/// to the test by messages that came to the mailbox's node more than once.
fn dd_01(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally {
        proofs: 0,
        against: ledger.doubles(case),
    };
    tally.proofs += tally.against.len();
    for entry in ledger.entries.values().filter(|e| e.has_message_id(case)) {
        let twice = transmissions(case, entry.message).len() > 1;
        let once = mailbox_accounts(case, entry)
            .filter(|(_, a)| a.arrivals.len() == 1)
            .count();
        tally.proofs += if twice { once } else { 0 };
    }
    let what = "messages that came more than once are shown once";
    conclude(
        case,
        "DD-01",
        tally,
        what,
        "no message came to the mailboxes more than once",
    )
}

/// DD-02: different messages are never suppressed: the same Message-ID with another submit time, or none at all.
fn dd_02(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut shared: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for s in &case.submissions {
        let group = shared
            .entry(s.what.message_id.as_deref().unwrap_or_default())
            .or_default();
        if !group.contains(&s.what.message) {
            group.push(s.what.message);
        }
    }
    let mut tally = Tally::default();
    for (id, group) in shared
        .iter()
        .filter(|(id, group)| id.is_empty() || group.len() > 1)
    {
        for entry in group.iter().filter_map(|number| ledger.entries.get(number)) {
            for (to, account) in mailbox_accounts(case, entry).filter(|(_, a)| a.owed.is_some()) {
                let fate = ledger.fate(case, entry, to);
                if let Some(clause) = fate.failure() {
                    let what = if id.is_empty() {
                        "without a Message-ID".into()
                    } else {
                        format!("one of {} with {id}", group.len())
                    };
                    let mut evidence = loss(case, entry, to, clause);
                    evidence.text =
                        format!("message {} ({what}): {}", entry.message, evidence.text);
                    tally.broken(evidence);
                } else if !account.arrivals.is_empty() {
                    tally.kept();
                }
            }
        }
    }
    let thin = "no messages with the same Message-ID, or without one, were acked";
    conclude(
        case,
        "DD-02",
        tally,
        "messages with a shared Message-ID or none are shown",
        thin,
    )
}

/// DD-03: detection outlives restarts and failovers. Put to the test by messages that a mailbox showed before its node
/// was started again, and that came once more afterwards.
fn dd_03(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let home = case.plan.scenario.cluster.mailboxes.as_str();
    let restarts: Vec<Moment> = case
        .starts
        .get(home)
        .into_iter()
        .flatten()
        .filter(|s| s.incarnation > 1)
        .map(|s| s.at)
        .collect();
    let lost_disk = strikes(case).into_iter().any(|s| s.node == home && s.disk);
    let mut tally = Tally::default();
    for entry in ledger
        .entries
        .values()
        .filter(|e| e.has_message_id(case) && !lost_disk)
    {
        let came = transmissions(case, entry.message);
        for (to, account) in mailbox_accounts(case, entry) {
            let first = account.arrivals.iter().map(|a| a.t_us).min();
            let between = restarts
                .iter()
                .find(|r| first.is_some_and(|t| t < r.signed_us()) && came.iter().any(|c| c > *r));
            let Some(restart) = between else { continue };
            let shown = account.arrivals.len();
            if shown == 1 {
                tally.kept();
            } else {
                let text = format!(
                    "{to} showed message {}; {home} started again at {}; it came once more, and is shown {shown} times",
                    entry.message,
                    clock(restart.t_us)
                );
                tally.broken(piece(
                    text,
                    [restart.seq]
                        .into_iter()
                        .chain(account.arrivals.iter().map(|a| a.seq)),
                ));
            }
        }
    }
    let what = "messages that came again after a restart are shown once";
    conclude(
        case,
        "DD-03",
        tally,
        what,
        "no message came again after its mailbox's node was started again",
    )
}
