//! When the delivery of a refused message could not be helped (SC-10, TC-11).
//!
//! A copy's 250 can be lost on its way. The primary server then refuses the message, and keeps an `abandoned` event for
//! the server that may have it. Where that server cannot ask for it either, it holds a shadow message that may have been
//! accepted, of a primary server that is gone: it has to take it over (HB-08, HB-10). No protocol can tell the two apart.

use super::{Arrival, Entry};
use crate::check::{
    Case, Submitted,
    heartbeat::holding::{Hold, RenewalKind, holds},
};

/// The arrival is the work of a shadow server that could not know that its primary server had refused the message, and
/// promoted it when it was right to: after ShadowResubmitTimeSpan without an answered question, or at the answer of
/// another database.
pub(super) fn is_unavoidable<'h>(
    case: &Case<'h>,
    entry: &Entry<'h>,
    arrival: &Arrival<'h>,
) -> bool {
    holds(case)
        .iter()
        .filter(|hold| hold.message == Some(entry.message))
        .any(|hold| {
            // A notification that went by ended the hold; what came after it is no promotion.
            let Some(sign) = &hold.promoted else {
                return false;
            };
            let renewed = hold
                .renewed
                .is_some_and(|r| r.kind == RenewalKind::AnotherDatabase && r.at < sign.at);
            let right = renewed || sign.at.t_us >= hold.overdue_us;
            let after = arrival.t_us >= sign.at.signed_us();
            let by_primary = arrival
                .link
                .and_then(|link| link.split_once('>'))
                .is_some_and(|(from, _)| from == hold.primary);
            right && after && !by_primary && refused_without_knowing(case, entry, hold)
        })
}

/// The primary server answered 4yz or 5yz, and had not had the copy's 250 by then for certain.
fn refused_without_knowing(case: &Case<'_>, entry: &Entry<'_>, hold: &Hold<'_>) -> bool {
    let refused = |s: &Submitted<'_>| {
        let reply = case.exchange_of(s).and_then(|(_, e)| e.reply);
        reply.is_some_and(|(at, reply)| {
            let late = at < hold.since;
            let lost = case.may_be_lost(hold.primary, hold.server, hold.since);
            reply.code >= 400 && (late || lost)
        })
    };
    // The transmission of which this is the copy.
    let mut sent: Vec<_> = entry.submitted(case).collect();
    sent.retain(|s| s.node() == hold.primary && s.at < hold.since);
    sent.last().is_some_and(|s| refused(s))
}
