//! SC-12: a message with several next hops.

use std::collections::{BTreeMap, BTreeSet};

use gauntlet_reports::Verdict;

use crate::check::{
    Case, Ledger,
    conditions::conclude_shadow,
    evidence::{Tally, clock, piece},
    heartbeat::{
        holding::{Hold, holds},
        parts::{Part, Recipient, not_told_between, recipients, undone},
        processing::submission,
    },
    ledger::loss,
};

/// SC-12: the primary server says that a message is done only after every next hop is. Proven where a question was
/// answered after the first next hop was done and before the last was, and did not name the message; or where the
/// shadow server took it over in between, and served the rest.
pub(super) fn sc_12(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some(submission) = submission(case, hold) else {
            continue;
        };
        let all = recipients(case, ledger, hold, submission);
        let hosts: BTreeSet<&str> = all.iter().map(|r| r.host).collect();
        if hosts.len() < 2 || hosts.contains("") {
            continue;
        }
        judge(case, ledger, &mut tally, hold, &all);
    }
    conclude_shadow(
        case,
        ledger,
        "SC-12",
        tally,
        "messages kept their shadow until the last of their next hops was done",
        "no next hop of a message was done long before another one",
    )
}

fn judge(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    tally: &mut Tally,
    hold: &Hold<'_>,
    all: &[Recipient<'_>],
) {
    let mut by_host: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for recipient in all {
        let done = match recipient.part {
            Part::At(at) => Some(at),
            Part::Open | Part::Unknown => None,
        };
        let host = by_host.entry(recipient.host).or_insert(Some(0));
        *host = host.zip(done).map(|(a, b)| a.max(b));
    }
    let Some(first) = by_host.values().filter_map(|at| *at).min() else {
        return;
    };
    if let Some((told, true)) = hold.notified {
        let early = all
            .iter()
            .find_map(|r| Some((r, undone(case, ledger, hold, r, told)?)));
        if let Some((late, part)) = early {
            let when = match part {
                Part::At(at) => format!("was done at {} only", clock(at)),
                Part::Open | Part::Unknown => "was not done by the end".to_owned(),
            };
            let text = format!(
                "{} told {} at {} that {} is done; {} at {} {when}",
                hold.primary,
                hold.server,
                clock(told.t_us),
                hold.name(),
                late.to,
                late.host,
            );
            tally.broken(piece(text, [hold.since.seq, told.seq]));
            return;
        }
    }
    let last = by_host
        .values()
        .copied()
        .collect::<Option<Vec<u64>>>()
        .and_then(|all| all.into_iter().max());
    let until = last.unwrap_or(u64::MAX);
    let taken_over = hold
        .promoted
        .as_ref()
        .filter(|p| p.at.t_us > first && p.at.t_us < until);
    if let Some(promotion) = taken_over {
        let entry = hold.message.and_then(|n| ledger.entries.get(&n));
        let lost = entry.and_then(|entry| {
            all.iter().find_map(|r| {
                let fate = ledger.fate(case, entry, r.to);
                fate.failure().map(|clause| loss(case, entry, r.to, clause))
            })
        });
        match lost {
            Some(mut evidence) => {
                evidence.text = format!("{}; {}", promotion.text, evidence.text);
                tally.broken(evidence);
            }
            None => tally.kept(),
        }
    } else if not_told_between(case, hold, first, until).is_some_and(|at| {
        all.iter()
            .any(|r| undone(case, ledger, hold, r, at).is_some())
    }) {
        tally.kept();
    }
}
