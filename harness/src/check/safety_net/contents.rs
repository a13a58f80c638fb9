//! SN-01 and SN-02: what has to be in Safety Net, and where.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Moment,
        conditions::conclude,
        evidence::{Tally, clock, piece},
        heartbeat::{
            holding::{Hold, holds, us, views},
            processing::{RETRY, processed_us},
        },
    },
    history::{Fault, NodeView},
};

/// SN-01. Once the primary server has delivered a message to all recipients, and until SafetyNetHoldTime ends, its
/// views of the same database show the message in Safety Net, as a primary one.
pub(super) fn primary_after_processing(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some(processed) = processed_us(case, ledger, hold) else {
            continue;
        };
        let (from, until) = stretch(case, hold.primary, hold, processed);
        let same = |view: &NodeView| {
            view.database.is_empty() || hold.database.is_none_or(|d| d == view.database)
        };
        for (at, view) in
            views(case, hold.primary).filter(|(at, v)| at.t_us > from && at.t_us < until && same(v))
        {
            if in_safety_net(view, hold, "primary") {
                tally.kept();
                continue;
            }
            // It may not have known that it was done, and have lost what it knew.
            if went_down_since(case, hold, at) {
                break;
            }
            let text = format!(
                "{} had delivered {} to all its recipients by {}; at {} it is not in its primary Safety Net",
                hold.primary,
                hold.name(),
                clock(processed),
                clock(at.t_us)
            );
            tally.broken(piece(text, [hold.since.seq, at.seq]));
        }
    }
    conclude(
        case,
        "SN-01",
        tally,
        "looks found a processed message in the primary Safety Net",
        "no view was read between a message's processing and the end of SafetyNetHoldTime",
    )
}

/// The primary server failed while it had the message, and delivers it again, or has not had the time to; or its disk went
/// back.
fn went_down_since(case: &Case<'_>, hold: &Hold<'_>, view: Moment) -> bool {
    let retry = us(case.config.scaled(RETRY));
    case.faults
        .iter()
        .filter(|f| f.what.node() == Some(hold.primary))
        // What strikes right after the view, at the same time of the simulated clock, excuses nothing.
        .filter(|f| f.landed.is_some_and(|landed| landed < view))
        .filter(|f| f.healed.is_none_or(|up| up >= hold.since))
        .any(|f| {
            let disk = matches!(f.what, Fault::Destroy { .. } | Fault::Revert { .. });
            disk || f
                .healed
                .is_none_or(|up| up.t_us.saturating_add(retry) > view.t_us)
        })
}

/// SN-02. Once a shadow server has been told that a message is delivered, and until SafetyNetHoldTime ends, its views
/// show the message in Safety Net, as a shadow one. Only where it was up since it was told, and kept its database.
pub(super) fn shadow_after_notification(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for hold in holds(case)
        .iter()
        .filter(|h| case.config.switch(h.server, "ShadowRedundancyEnabled"))
    {
        let Some((told, true)) = hold.notified else {
            continue;
        };
        if case.may_be_lost(hold.server, hold.primary, told) {
            continue;
        }
        // A shadow server that had taken the message over by then has no shadow message to move.
        let owner = hold.promoted.is_some()
            || hold.renewed.is_some_and(|r| r.at < told)
            || hold.overdue_us <= told.t_us;
        if owner || hold.expires_us <= told.t_us {
            continue;
        }
        let (from, until) = stretch(case, hold.server, hold, told.t_us);
        let until = until.min(hold.lost.map_or(u64::MAX, |at| at.t_us));
        for (at, view) in
            views(case, hold.server).filter(|(at, _)| at.t_us > from && at.t_us < until)
        {
            if !case.well_between(hold.server, told.t_us, at.t_us) {
                break;
            }
            if in_safety_net(view, hold, "shadow") {
                tally.kept();
                continue;
            }
            let text = format!(
                "{} told {} at {} that {} is delivered; at {} it is not in {}'s shadow Safety Net",
                hold.primary,
                hold.server,
                clock(told.t_us),
                hold.name(),
                clock(at.t_us),
                hold.server,
            );
            tally.broken(piece(text, [hold.since.seq, told.seq, at.seq]));
        }
    }
    conclude(
        case,
        "SN-02",
        tally,
        "looks found a discarded shadow message in the shadow Safety Net",
        "no view was read between a discard notification and the end of SafetyNetHoldTime",
    )
}

/// The stretch (microseconds) in which the message must be in Safety Net: a moment after `entered`, to the end of the
/// hold time counted from the earliest moment that it can be counted from, which is when the message came in.
pub(super) fn stretch(case: &Case<'_>, node: &str, hold: &Hold<'_>, entered: u64) -> (u64, u64) {
    let time = case.config.span(node, "SafetyNetHoldTime");
    let moment = case
        .config
        .tolerance(case.config.span(node, "ShadowHeartbeatFrequency"));
    let until = hold
        .since
        .t_us
        .saturating_add(us(time))
        .saturating_sub(us(case.config.tolerance(time)));
    (entered.saturating_add(us(moment)), until)
}

/// The view shows the message in the Safety Net of that role.
pub(super) fn in_safety_net(view: &NodeView, hold: &Hold<'_>, role: &str) -> bool {
    view.safety_net
        .iter()
        .any(|held| held.transport_id == hold.transport_id && held.role == role)
}
