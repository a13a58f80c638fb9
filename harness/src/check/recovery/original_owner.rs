//! RO-05: a primary server that is back in time delivers its queue itself, once.

use std::collections::BTreeSet;

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Account, Case, FaultSpan, Moment,
        conditions::conclude_shadow,
        evidence::{Tally, clock, piece},
        heartbeat::{
            holding::{Hold, holds, us},
            processing::{ATTEMPT, due_us, host_of},
        },
        ledger::refused_by_next_hop,
    },
    history::{Fault, Transaction},
};

/// RO-05. A primary server that crashed with messages in its queue, and was back with the same database before a
/// promotion was due: the recipients get them from it, external ones once (a copy more for a lost reply is TC-04's),
/// and from nobody else.
pub(super) fn delivers_once(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let held = holds(case);
    let mut tally = Tally::default();
    let mut done = BTreeSet::new();
    for crash in &case.faults {
        let (Fault::ProcessCrash { node } | Fault::HostCrash { node }) = crash.what else {
            continue;
        };
        let (Some(down), Some(up)) = (crash.landed, crash.healed) else {
            continue;
        };
        for hold in held
            .iter()
            .filter(|h| h.primary == node && h.since < down && asked_in_time(case, h, up))
        {
            let Some(entry) = hold
                .message
                .and_then(|message| ledger.entries.get(&message))
            else {
                continue;
            };
            for (to, account) in entry
                .accounts
                .iter()
                .filter(|(_, a)| a.owed.is_some_and(|owed| owed < down))
            {
                let before = account.arrivals.iter().any(|a| a.t_us <= down.signed_us());
                // What expired before, or was refused, is served by its DSN, be it in a mailbox.
                let served = account.arrivals.is_empty()
                    && ledger
                        .fate_in_spite_of_hazards(case, entry, to)
                        .failure()
                        .is_none();
                if !before
                    && !served
                    && account.dsns.is_empty()
                    && done.insert((entry.message, *to))
                {
                    judge(
                        case,
                        &mut tally,
                        hold,
                        to,
                        account,
                        &Outage { crash, down, up },
                    );
                }
            }
        }
    }
    conclude_shadow(
        case,
        ledger,
        "RO-05",
        tally,
        "recipients got the message once, from the primary server that was back before promotion",
        "no primary server crashed with acked mail in its queue and came back before promotion",
    )
}

struct Outage<'c, 'h> {
    crash: &'c FaultSpan<'h>,
    down: Moment,
    up: Moment,
}

/// The primary server came back with the same database, and nothing ever gave a right to a promotion.
fn asked_in_time(case: &Case<'_>, hold: &Hold<'_>, up: Moment) -> bool {
    // The crash is healed in the record before the one that says that the server is up.
    let start = case
        .starts
        .get(hold.primary)
        .and_then(|s| s.iter().find(|s| s.at >= up));
    let same = start
        .and_then(|s| s.database)
        .zip(hold.database)
        .is_none_or(|(now, then)| now == then);
    let heartbeat =
        case.config.span(hold.server, "ShadowHeartbeatFrequency") + case.config.scaled(ATTEMPT);
    let first_answer = up.t_us.saturating_add(us(heartbeat));
    // From then on it can be asked at any time, unless something else came in between.
    let again = case
        .faults_on(hold.server, hold.primary)
        .chain(case.faults_on(hold.primary, hold.server))
        .any(|f| {
            f.overlaps(up.t_us.saturating_add(1), case.last_us) && f.healed.is_none_or(|at| at > up)
        });
    let end = if again {
        let told = hold.notified.map(|(at, _)| at);
        told.filter(|at| !case.may_be_lost(hold.server, hold.primary, *at))
            .map_or(case.last_us, |at| at.t_us)
    } else {
        first_answer
    };
    same && hold.renewed.is_none() && hold.overdue_us > end.max(first_answer)
}

/// The sender held a copy of its own, from the same primary server, for which a promotion was due before it sent (HB-08,
/// HB-10). The 250 for such a copy may have been lost, and another one been made elsewhere: what that other shadow server
/// hears of the primary server does not tell the first one that it is alive.
fn took_over_rightly(case: &Case<'_>, hold: &Hold<'_>, sender: &str, sent: Moment) -> bool {
    holds(case).iter().any(|own| {
        own.server == sender
            && own.server != hold.server
            && (own.primary, own.transport_id) == (hold.primary, hold.transport_id)
            && (own.overdue_us <= sent.t_us || own.renewed.is_some_and(|r| r.at < sent))
            && own.notified.is_none_or(|(told, _)| told > sent)
    })
}

fn judge(
    case: &Case<'_>,
    tally: &mut Tally,
    hold: &Hold<'_>,
    to: &str,
    account: &Account<'_>,
    outage: &Outage<'_, '_>,
) {
    let host = host_of(case, to);
    let story = format!(
        "{} went down at {} with {} in its queue, and was back with the same database at {}",
        hold.primary,
        clock(outage.down.t_us),
        hold.name(),
        clock(outage.up.t_us)
    );
    let base = [hold.since.seq, outage.down.seq, outage.up.seq];
    let (rightful, others): (Vec<_>, Vec<_>) = case
        .connections()
        .filter(|c| c.from != hold.primary && c.to == host && case.is_node(c.from))
        .flat_map(|c| c.exchanges.iter().map(|e| (c.from, e)))
        .filter(|(_, e)| {
            e.kind != Transaction::Copy && e.message.is_some() && e.message == hold.message
        })
        .filter(|(from, _)| {
            !case
                .submissions
                .iter()
                .any(|s| s.node() == *from && Some(s.what.message) == hold.message)
        })
        .map(|(from, e)| (e.sent, from))
        .partition(|(at, from)| took_over_rightly(case, hold, from, *at));
    if let Some((at, other)) = others.first() {
        let text = format!(
            "{story}; {other} sent it to {host} at {} all the same",
            clock(at.t_us)
        );
        tally.broken(piece(text, base.into_iter().chain([at.seq])));
        return;
    }
    // Then it had two owners, and how often it came says nothing of either.
    if !rightful.is_empty() {
        return;
    }
    let excused = case
        .faults_on(hold.primary, host)
        .any(|f| f.number != outage.crash.number);
    let unanswered = case
        .connections()
        .filter(|c| c.from == hold.primary && c.to == host)
        .any(|c| {
            c.exchanges.iter().any(|e| {
                // A reply that went by when the server was down, or went down, did not reach it.
                let reached = |(at, _): (Moment, _)| {
                    let down = at > outage.down && at < outage.up;
                    !down && !case.may_be_lost(hold.primary, host, at)
                };
                e.message == hold.message
                    && e.kind != Transaction::Copy
                    && !e.reply.is_some_and(reached)
            })
        });
    match account.arrivals.len() {
        0 => {
            let due = due_us(case, hold.primary, host, outage.up.t_us, outage.up.t_us);
            let sound =
                case.well_between(hold.primary, outage.up.t_us.saturating_add(1), case.last_us);
            let refused = refused_by_next_hop(case, to, hold.since);
            if sound && !refused && due.is_some_and(|due| due <= case.last_us) {
                let text = format!("{story}; {to} had not got it by {}", clock(case.last_us));
                tally.broken(piece(
                    text,
                    base.into_iter().chain(case.settled.map(|(at, ..)| at.seq)),
                ));
            }
        }
        1 => tally.kept(),
        _ if excused
            || unanswered
            || case
                .submissions
                .iter()
                .filter(|s| Some(s.what.message) == hold.message)
                .count()
                > 1 => {}
        n => {
            let text = format!("{story}; {to} got it {n} times");
            tally.broken(piece(
                text,
                base.into_iter()
                    .chain(account.arrivals.iter().map(|a| a.seq)),
            ));
        }
    }
}
