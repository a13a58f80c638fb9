//! HB-11: what waits for too long expires, and its sender is told.

use gauntlet_reports::Verdict;

use super::{
    holding::{Hold, holds, us},
    processing::{RETRY, host_of, open_since},
};
use crate::{
    check::{
        Account, Case, Entry, Submitted, address,
        conditions::conclude,
        evidence::{Tally, clock, lasting, outcome, piece},
    },
    history::Transaction,
};

/// HB-11. For every acked recipient that is not delivered by the time MessageExpirationTimeout ends: a failure DSN by
/// then (and a twentieth of it, and a retry interval, later: expiry is looked for at retries), and none before. Only
/// where the primary server was up all the while, nobody else took the message over, the next hop did not refuse it,
/// and the sender's own mail could be delivered.
pub(super) fn expired_with_a_dsn(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let held = holds(case);
    let mut tally = Tally::default();
    for entry in ledger.entries.values() {
        let Some(submission) = entry.submitted(case).find(|s| s.acked()) else {
            continue;
        };
        let taken_over = held
            .iter()
            .any(|h: &Hold<'_>| h.message == Some(entry.message) && h.promoted.is_some());
        if submission.what.from.is_empty() || taken_over || entry.submissions.len() > 1 {
            continue;
        }
        for (to, account) in entry.accounts.iter().filter(|(_, a)| a.owed.is_some()) {
            judge(case, &mut tally, submission, entry, to, account);
        }
    }
    conclude(
        case,
        "HB-11",
        tally,
        "recipients out of reach for MessageExpirationTimeout were reported to the sender then, and not before",
        "no message waited for MessageExpirationTimeout",
    )
}

fn judge(
    case: &Case<'_>,
    tally: &mut Tally,
    submission: &Submitted<'_>,
    entry: &Entry<'_>,
    to: &str,
    account: &Account<'_>,
) {
    let Some(acked) = submission.ended else {
        return;
    };
    let node = submission.node();
    let timeout = case.config.span(node, "MessageExpirationTimeout");
    let tolerance = us(case.config.tolerance(timeout));
    let earliest = submission
        .at
        .t_us
        .saturating_add(us(timeout))
        .saturating_sub(tolerance);
    let latest = acked
        .t_us
        .saturating_add(us(timeout + timeout / 20 + case.config.scaled(RETRY)))
        .saturating_add(tolerance);
    // A DSN in a mailbox does not say which recipient it is about; with one recipient there is no doubt.
    let boxed = entry
        .mailbox_dsns
        .iter()
        .filter(|_| entry.accounts.len() == 1)
        .copied();
    let failures = account
        .dsns
        .iter()
        .filter(|(.., action)| *action == "failed")
        .map(|(seq, t, _)| (*seq, *t));
    let first = failures
        .chain(boxed)
        .min_by_key(|(_, t)| *t)
        .map(|(seq, t)| (seq, u64::try_from(t).unwrap_or_default()));
    let story = format!("{} for message {}", outcome(submission), entry.message);
    if let Some((seq, t)) = first.filter(|(_, t)| *t < earliest) {
        if !refused(case, entry.message, to) {
            let text = format!(
                "{story}; {} got a DSN for {to} as early as {}: MessageExpirationTimeout is {}",
                submission.what.from,
                clock(t),
                lasting(timeout)
            );
            tally.broken(piece(text, [acked.seq, seq]));
        }
        return;
    }
    let delivered = account
        .arrivals
        .iter()
        .any(|a| u64::try_from(a.t_us).unwrap_or_default() <= latest);
    let told = open_since(case, node, host_of(case, &submission.what.from))
        .is_some_and(|since| since <= earliest);
    let up = case.well_between(node, submission.at.t_us, latest);
    if delivered || !told || !up || refused(case, entry.message, to) {
        return;
    }
    match first {
        Some((_, t)) if t <= latest => tally.kept(),
        _ if latest > case.last_us => {}
        // One of those in the mailbox may be about this recipient.
        _ if entry.mailbox_dsns.iter().any(|(_, t)| *t <= signed(latest)) => {}
        _ => {
            let text = format!(
                "{story}; {to} had not got it by {}, and no DSN had come to {}: MessageExpirationTimeout is {}",
                clock(latest),
                submission.what.from,
                lasting(timeout)
            );
            tally.broken(piece(
                text,
                [acked.seq].into_iter().chain(first.map(|(seq, _)| seq)),
            ));
        }
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// A next hop said 5yz to this recipient, or to the whole message.
fn refused(case: &Case<'_>, message: u32, to: &str) -> bool {
    let at_rcpt =
        (case.refusing().flat_map(|c| c.refused_recipients())).any(|(refused, ..)| *refused == to);
    at_rcpt
        || case.bounced().any(|(c, e)| {
            e.kind != Transaction::Copy
                && e.message == Some(message)
                && c.commands("RCPT").any(|(_, line)| address(line) == to)
        })
}
