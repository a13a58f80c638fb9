//! RO-01 and RO-04: how late the messages of a lost primary server are.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Account, Case, Ledger, Moment,
        conditions::conclude_shadow,
        evidence::{Tally, clock, fault, piece},
        heartbeat::{
            holding::{Hold, holds, us},
            processing::{due_us, host_of, open_since},
        },
        ledger::refused_by_next_hop,
    },
    history::Fault,
};

/// RO-01. A primary server that comes back with a new database: what others hold for it is delivered within
/// ShadowHeartbeatFrequency (and one attempt; one retry interval after the next hop is open, if that is later).
pub(super) fn delivered_within_a_heartbeat(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some(back) = back_with_another_database(case, hold) else {
            continue;
        };
        if !hold.alive_at(back.t_us) {
            continue;
        }
        let heartbeat = case.config.span(hold.server, "ShadowHeartbeatFrequency");
        // A shadow server that cannot reach it cannot know.
        let Some(open) = open_since(case, hold.server, hold.primary) else {
            continue;
        };
        let ready = back
            .t_us
            .max(open)
            .saturating_add(us(heartbeat + case.config.tolerance(heartbeat)));
        let event = format!(
            "{} came back with another database at {}",
            hold.primary,
            clock(back.t_us)
        );
        judge(
            case,
            ledger,
            &mut tally,
            hold,
            &Due {
                from: back,
                ready,
                event,
            },
        );
    }
    conclude_shadow(
        case,
        ledger,
        "RO-01",
        tally,
        "recipients had the message within a heartbeat after its primary server came back with a new database",
        "no primary server came back with a new database while shadow messages were held for it",
    )
}

fn back_with_another_database(case: &Case<'_>, hold: &Hold<'_>) -> Option<Moment> {
    let database = hold.database?;
    let starts = case.starts.get(hold.primary)?;
    starts
        .iter()
        .find(|s| s.at > hold.since && s.database.is_some_and(|new| new != database))
        .map(|s| s.at)
}

/// RO-04. A primary server that never comes back: what others hold for it is delivered at most ShadowResubmitTimeSpan
/// (and one heartbeat, and one attempt) after it went.
pub(super) fn delivered_within_the_span(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let gone = case.faults.iter().find(|f| {
            let ends = matches!(
                f.what,
                Fault::ProcessCrash { .. } | Fault::HostCrash { .. } | Fault::Destroy { .. }
            );
            ends && f.what.node() == Some(hold.primary) && f.landed.is_some() && f.healed.is_none()
        });
        let Some((gone, from)) = gone.and_then(|f| f.landed.map(|at| (f, at))) else {
            continue;
        };
        if !hold.alive_at(from.t_us) {
            continue;
        }
        let span = case.config.span(hold.server, "ShadowResubmitTimeSpan");
        let heartbeat = case.config.span(hold.server, "ShadowHeartbeatFrequency");
        let ready = from
            .t_us
            .saturating_add(us(span + heartbeat + case.config.tolerance(span)));
        let event = format!("{} at {}, for good", fault(gone.what), clock(from.t_us));
        judge(case, ledger, &mut tally, hold, &Due { from, ready, event });
    }
    conclude_shadow(
        case,
        ledger,
        "RO-04",
        tally,
        "recipients had the message within ShadowResubmitTimeSpan after its primary server was lost",
        "no primary server was lost for good while shadow messages were held for it",
    )
}

/// From when on a shadow server must deliver.
struct Due {
    /// What began the delay.
    from: Moment,
    /// By then (microseconds) the shadow server owns the message.
    ready: u64,
    /// What began the delay, in words.
    event: String,
}

fn judge(case: &Case<'_>, ledger: &Ledger<'_>, tally: &mut Tally, hold: &Hold<'_>, due: &Due) {
    let Some(entry) = hold
        .message
        .and_then(|message| ledger.entries.get(&message))
    else {
        return;
    };
    for (to, account) in entry
        .accounts
        .iter()
        .filter(|(_, a)| a.owed.is_some() && a.dsns.is_empty())
    {
        let first = first_arrival(account);
        if first.is_some_and(|t| t <= due.from.t_us) {
            continue;
        }
        let Some(latest) = due_us(
            case,
            hold.server,
            host_of(case, to),
            due.from.t_us,
            due.ready,
        ) else {
            continue;
        };
        // A delivery whose connection was reset is tried again after a retry interval.
        let reset = case
            .faults_on(hold.server, host_of(case, to))
            .any(|f| matches!(f.what, Fault::Reset { .. }) && f.overlaps(due.from.t_us, latest));
        let sound = !reset && case.well_between(hold.server, due.from.t_us, latest);
        if !sound || hidden(case, to) || refused_by_next_hop(case, to, hold.since) {
            continue;
        }
        if first.is_some_and(|t| t <= latest) {
            tally.kept();
            continue;
        }
        // A DSN in a mailbox does not say which recipient it is about.
        if latest > case.last_us || (first.is_none() && !entry.mailbox_dsns.is_empty()) {
            continue;
        }
        let arrived = first.map_or("never came".into(), |t| {
            format!("came only at {}", clock(t))
        });
        let text = format!(
            "{} held {}; {}; the message was due at {to} by {}, and {arrived}",
            hold.server,
            hold.name(),
            due.event,
            clock(latest),
        );
        let records = account
            .arrivals
            .iter()
            .map(|a| a.seq)
            .chain([hold.since.seq, due.from.seq]);
        tally.broken(piece(text, records));
    }
}

fn first_arrival(account: &Account<'_>) -> Option<u64> {
    let shown = account.arrivals.iter().chain(&account.vanished);
    shown
        .map(|a| u64::try_from(a.t_us).unwrap_or_default())
        .min()
}

/// A mailbox whose node was never read says nothing about what did not arrive.
fn hidden(case: &Case<'_>, recipient: &str) -> bool {
    case.is_mailbox(recipient)
        && !case.records.iter().any(|r| matches!(&r.event, crate::history::Event::Mailbox { mailbox, .. } if mailbox == recipient))
}
