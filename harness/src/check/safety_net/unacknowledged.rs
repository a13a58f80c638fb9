//! SN-04: shadow messages that nobody ever acknowledges.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case,
        conditions::conclude,
        evidence::{Tally, clock, piece},
        heartbeat::holding::{Hold, holds, us, views},
    },
    history::NodeView,
};

/// SN-04. A shadow message without a notification, and without a right to a promotion, is on its shadow server (in the
/// shadow queue, or in Safety Net as a shadow one) until SafetyNetHoldTime + MessageExpirationTimeout are over, and gone
/// a twentieth of that time later. Presence counts from three quarters of it on.
pub(super) fn expired_after_both_times(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for hold in holds(case) {
        let both = case.config.span(hold.server, "SafetyNetHoldTime")
            + case.config.span(hold.server, "MessageExpirationTimeout");
        let tolerance = us(case.config.tolerance(both));
        let until = hold
            .since
            .t_us
            .saturating_add(us(both))
            .saturating_sub(tolerance);
        let gone = hold
            .since
            .t_us
            .saturating_add(us(both + both / 20))
            .saturating_add(tolerance);
        let moment = us(case
            .config
            .tolerance(case.config.span(hold.server, "ShadowHeartbeatFrequency")));
        for (at, view) in views(case, hold.server) {
            if at.t_us < hold.since.t_us.saturating_add(moment) || ended(hold, at.t_us) {
                continue;
            }
            let there = present(view, hold);
            let story = |what: &str, then: u64| {
                format!(
                    "{} confirmed the copy of {} at {}, and nobody ever told it that the message is done; {what} at {}: \
                     SafetyNetHoldTime + MessageExpirationTimeout are over at {}",
                    hold.server,
                    hold.name(),
                    clock(hold.since.t_us),
                    clock(at.t_us),
                    clock(then)
                )
            };
            if !there && at.t_us < until {
                tally.broken(piece(
                    story("it is gone", until + tolerance),
                    [hold.since.seq, at.seq],
                ));
            } else if there && at.t_us > gone {
                tally.broken(piece(
                    story("it is still there", until + tolerance),
                    [hold.since.seq, at.seq],
                ));
            } else if at.t_us > gone
                || (there && at.t_us > hold.since.t_us.saturating_add(us(both / 4 * 3)))
            {
                tally.kept();
            }
        }
    }
    conclude(
        case,
        "SN-04",
        tally,
        "looks at unacknowledged shadow messages were right: there until SafetyNetHoldTime + MessageExpirationTimeout \
         are over, gone after that",
        "no view was read shortly before, or after, an unacknowledged shadow message had to expire",
    )
}

/// Something else than time had ended the hold by then.
fn ended(hold: &Hold<'_>, t_us: u64) -> bool {
    let ends = [
        hold.notified.map(|(at, _)| at),
        hold.promoted.as_ref().map(|p| p.at),
        hold.lost,
        hold.renewed.map(|r| r.at),
    ];
    ends.into_iter().flatten().any(|at| at.t_us <= t_us) || hold.overdue_us <= t_us
}

fn present(view: &NodeView, hold: &Hold<'_>) -> bool {
    let same = |id: &str| id == hold.transport_id;
    view.shadow.iter().any(|held| same(&held.transport_id))
        || view
            .safety_net
            .iter()
            .any(|held| same(&held.transport_id) && held.role == "shadow")
}
