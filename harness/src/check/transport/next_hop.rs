//! TC-05 and TC-06: a next hop that cannot take the mail now, or will not take it ever.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Entry, Moment,
        conditions::{conclude, loss_excused, shut_boundary},
        evidence::{Tally, clock, piece},
        ledger::loss,
    },
    history::Transaction,
};

/// TC-05: 4yz or no next hop: kept, retried, delivered once the next hop is back.
pub(super) fn tc_05(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for entry in ledger.entries.values() {
        for (to, account) in entry.accounts.iter().filter(|(_, a)| a.owed.is_some()) {
            let arrived = account.arrivals.iter().map(|a| a.t_us).min();
            if let Some(clause) = ledger.fate(case, entry, to).failure() {
                if deferred(case, entry, to, None) {
                    tally.broken(loss(case, entry, to, clause));
                }
            } else if let Some(arrived) = arrived
                && deferred(case, entry, to, Some(arrived))
            {
                tally.kept();
            }
        }
    }
    let what = "deliveries that a next hop had put off came later";
    conclude(case, "TC-05", tally, what, "no next hop put off a delivery")
}

/// A next hop put off the delivery of this message to this recipient, before it arrived: with 4yz, or by not being there.
fn deferred(case: &Case<'_>, entry: &Entry<'_>, to: &str, arrived: Option<i64>) -> bool {
    let Some(begun) = entry.submitted(case).find(|s| s.acked()).map(|s| s.at) else {
        return false;
    };
    let in_time = |at: Moment| at > begun && arrived.is_none_or(|t| at.signed_us() < t);
    let cluster = &case.plan.scenario.cluster;
    let next_hops = if case.is_mailbox(to) {
        std::slice::from_ref(&cluster.mailboxes)
    } else {
        cluster.sinks.as_slice()
    };
    // A session that does not begin is for whatever was in the queue.
    let any_mail = next_hops.iter().any(|host| {
        let put_off = case.put_off(host);
        let first = put_off.partition_point(|at| *at <= begun);
        put_off.get(first).is_some_and(|at| in_time(*at))
    });
    any_mail
        || case
            .exchanges_of(entry.message)
            .filter(|(c, e)| {
                let here = case.is_node(c.from) && next_hops.iter().any(|host| host == c.to);
                here && e.kind != Transaction::Copy
            })
            .filter_map(|(_, e)| e.reply)
            .any(|(at, reply)| (400..500).contains(&reply.code) && in_time(at))
}

/// TC-06: 5yz for a recipient: a DSN to the return path, none to a null return path, and the other recipients are
/// served.
pub(super) fn tc_06(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    let mut null = 0;
    for entry in ledger.entries.values() {
        let Some(s) = entry.submitted(case).find(|s| s.acked()) else {
            continue;
        };
        let number = entry.message;
        let mut failed = false;
        for (to, account) in entry
            .accounts
            .iter()
            .filter(|(_, a)| a.owed.is_some() && a.arrivals.is_empty())
        {
            let Some((at, code)) = refused_for_good(case, to, s.at) else {
                continue;
            };
            failed = true;
            // Where the message itself is gone, as it may be, there is nothing to report (SC-17).
            if loss_excused(case, entry, to).is_some() {
                continue;
            }
            // A DSN that is refused itself is answered with nothing.
            let told = !account.dsns.is_empty() || !entry.mailbox_dsns.is_empty();
            if s.what.from.is_empty()
                || told
                || refused_for_good(case, &s.what.from, s.at).is_some()
                || shut_boundary(case, s.node(), &s.what.from).is_some()
            {
                continue;
            }
            let text = format!(
                "{code} for {to} at {}; no DSN about message {number} to {} by {}",
                clock(at.t_us),
                s.what.from,
                clock(case.last_us)
            );
            tally.broken(piece(
                text,
                [at.seq]
                    .into_iter()
                    .chain(case.settled.map(|(at, ..)| at.seq)),
            ));
        }
        if !failed {
            continue;
        }
        if s.what.from.is_empty() {
            null += 1;
            for (seq, _, sent_to) in ledger
                .dsns
                .iter()
                .filter(|(_, about, _)| *about == Some(number))
            {
                let text = format!(
                    "message {number} has a null return path; a DSN about it came to {}",
                    sent_to.join(", ")
                );
                tally.broken(piece(text, [s.at.seq, *seq]));
            }
            let shown = entry
                .mailbox_dsns
                .iter()
                .filter(|_| entry.submissions.len() == 1);
            for (seq, _) in shown {
                let text = format!(
                    "message {number} has a null return path; a mailbox shows a DSN about it"
                );
                tally.broken(piece(text, [s.at.seq, *seq]));
            }
        }
        let unserved = entry.accounts.keys().find_map(|to| {
            let fate = ledger.fate(case, entry, to);
            fate.failure()
                .filter(|_| refused_for_good(case, to, s.at).is_none())
                .map(|clause| loss(case, entry, to, clause))
        });
        match unserved {
            Some(evidence) => tally.broken(evidence),
            None => tally.kept(),
        }
    }
    let what = format!(
        "messages with a recipient that was refused for good were treated as they must be, {null} of them with a null return path"
    );
    conclude(
        case,
        "TC-06",
        tally,
        &what,
        "no next hop refused a recipient for good",
    )
}

/// When a next hop first answered 5yz to this recipient, and with what.
fn refused_for_good(case: &Case<'_>, to: &str, after: Moment) -> Option<(Moment, u16)> {
    let at_rcpt = (case.refusing().flat_map(|c| c.refused_recipients()))
        .filter(|(who, at, _)| *who == to && *at > after)
        .map(|(_, at, reply)| (*at, reply.code));
    let at_end = (case.bounced())
        .filter(|(_, e)| {
            e.kind != Transaction::Copy && e.recipients.contains(&to) && e.sent > after
        })
        .filter_map(|(_, e)| e.reply.map(|(at, reply)| (at, reply.code)));
    at_rcpt.chain(at_end).min()
}
