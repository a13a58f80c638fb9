//! Where a message was in its life at one moment.

use gauntlet_reports::LifePhase as Phase;

use crate::{
    check::{
        Case, Entry, Moment,
        heartbeat::{asking::asks, holding::Hold},
    },
    history::Event,
    scenario::Step,
};

/// The moment whose state a node goes on from: of a revert its last snapshot before, of a saved state the fault itself.
pub(super) fn restored(case: &Case<'_>, node: &str, landed: Moment, revert: bool) -> Moment {
    if !revert {
        return landed;
    }
    let taken = case.records.iter().filter(|r| match &r.event {
        Event::Snapshot { node: of } => of == node,
        // Histories of before there was a record for it.
        Event::Step { index, .. } => {
            let step = case.plan.scenario.step.get(*index);
            matches!(step, Some(Step::Snapshot { node: of }) if of == node)
        }
        _ => false,
    });
    taken
        .map(Moment::of)
        .rfind(|at| *at < landed)
        .unwrap_or(landed)
}

/// The phase of a message on `node` at `at`, by the first submission that the node acked.
pub(super) fn of(
    case: &Case<'_>,
    holds: &[Hold<'_>],
    entry: &Entry<'_>,
    node: &str,
    at: Moment,
) -> Phase {
    let Some(s) = entry
        .submitted(case)
        .find(|s| s.acked() && s.node() == node)
    else {
        return Phase::Elsewhere;
    };
    if s.at > at {
        return Phase::NotBegun;
    }
    let copied = case.copy_of(s).and_then(|(_, e)| e.acked());
    if s.ended.is_none_or(|ended| ended > at) {
        return match copied {
            Some(copied) if copied <= at => Phase::BetweenCopyAndAck,
            _ => Phase::BeforeTheCopy,
        };
    }
    let waits = entry.accounts.values().any(|account| {
        let seen = account.arrivals.iter().chain(&account.vanished);
        account.owed.is_some() && seen.map(|a| a.t_us).all(|t| t > at.signed_us())
    });
    if waits {
        return Phase::Queued;
    }
    let mut mine = holds
        .iter()
        .filter(|h| h.primary == node && h.message == Some(entry.message))
        .peekable();
    let told = |h: &Hold<'_>| {
        asks(case, h.server, h.primary)
            .iter()
            .filter_map(|ask| ask.answered.as_ref())
            .any(|(when, told)| {
                *when <= at && told.iter().any(|t| t.transport_id == h.transport_id)
            })
    };
    if mine.peek().is_some() && !mine.all(told) {
        return Phase::DeliveredNotDiscarded;
    }
    Phase::Discarded
}
