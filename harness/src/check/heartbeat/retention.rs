//! HB-07: how long a primary server keeps discard events that nobody asks for.

use std::{collections::BTreeSet, time::Duration};

use gauntlet_reports::Verdict;

use super::{
    asking::{Ask, asks},
    holding::{Hold, holds, us, views},
    processing::processed_us,
};
use crate::check::{
    Case, Moment,
    conditions::conclude,
    evidence::{Tally, clock, lasting, piece},
};

/// The stretch of time in which one discard event has to end (microseconds).
struct Retention {
    /// It was certainly there from this time…
    there_from: u64,
    /// …to this one.
    there_until: u64,
    /// From this time on its presence proves something.
    late_enough: u64,
    /// It was certainly dropped from this time on.
    gone_from: u64,
}

impl Retention {
    /// Whether a look that found it, or did not, was right; `None`: it proves nothing.
    fn right(&self, at: Moment, found: bool) -> Option<bool> {
        if at.t_us > self.gone_from {
            Some(!found)
        } else if at.t_us > self.there_from && at.t_us < self.there_until {
            (!found || at.t_us >= self.late_enough).then_some(found)
        } else {
            None
        }
    }
}

/// HB-07. The primary server's views and answers, before and after ShadowMessageAutoDiscardInterval. Tolerance: the
/// run's own before it ends, a twentieth of the interval more after it (drops may be done at intervals). Events that
/// were asked for, and primary servers that went down or lost their database, prove nothing here. Presence counts from
/// three quarters of the interval on; of many answers that there is nothing to tell, the first one counts.
pub(super) fn dropped_after_the_interval(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some(processed) = processed_us(case, ledger, hold) else {
            continue;
        };
        let retention = retention(case, hold, processed);
        let mut wrong = false;
        let mut judge = |at: Moment, found: bool, what: String| match retention.right(at, found) {
            Some(true) => tally.kept(),
            // What is missing stays missing: one look that shows it is enough.
            Some(false) if !std::mem::replace(&mut wrong, true) => {
                let text = sentence(case, hold, processed, at, &what);
                tally.broken(piece(text, [hold.since.seq, at.seq]));
            }
            Some(false) | None => {}
        };
        let sound = |at: Moment| case.well_between(hold.primary, hold.since.t_us, at.t_us);
        for (at, view) in views(case, hold.primary).filter(|(at, _)| sound(*at)) {
            let told = hold.notified.is_some_and(|(told, _)| told < at);
            let same = hold
                .database
                .is_none_or(|database| database == view.database || view.database.is_empty());
            if told || !same {
                continue;
            }
            let found = view
                .discard_events
                .iter()
                .any(|e| e.server == hold.server && e.transport_id == hold.transport_id);
            let what = if found {
                "still has its discard event"
            } else {
                "does not have its discard event any more"
            };
            judge(at, found, what.into());
        }
        match hold.notified {
            Some((at, true)) if sound(at) => judge(at, true, format!("tells {} so", hold.server)),
            Some(_) => {}
            None => {
                let mut answered = BTreeSet::new();
                for at in asks(case, hold.server, hold.primary)
                    .iter()
                    .filter_map(Ask::exhausted)
                    .filter(|at| sound(*at))
                {
                    if answered.insert(retention.right(at, false)) {
                        judge(
                            at,
                            false,
                            "answers that there is nothing (more) to tell".into(),
                        );
                    }
                }
            }
        }
    }
    conclude(
        case,
        "HB-07",
        tally,
        "looks at discard events were right: there before ShadowMessageAutoDiscardInterval ends, gone after it",
        "no discard event was looked at shortly before, or after, the end of ShadowMessageAutoDiscardInterval",
    )
}

fn retention(case: &Case<'_>, hold: &Hold<'_>, processed: u64) -> Retention {
    let interval = interval(case, hold);
    let tolerance = us(case.config.tolerance(interval));
    Retention {
        there_from: processed.saturating_add(us(case.config.tolerance(interval / 50))),
        there_until: hold
            .since
            .t_us
            .saturating_add(us(interval))
            .saturating_sub(tolerance),
        late_enough: hold.since.t_us.saturating_add(us(interval / 4 * 3)),
        gone_from: processed
            .saturating_add(us(interval + interval / 20))
            .saturating_add(tolerance),
    }
}

fn interval(case: &Case<'_>, hold: &Hold<'_>) -> Duration {
    case.config
        .span(hold.primary, "ShadowMessageAutoDiscardInterval")
}

fn sentence(case: &Case<'_>, hold: &Hold<'_>, processed: u64, at: Moment, what: &str) -> String {
    format!(
        "{primary} had delivered {} by {}, and had not told {} so; at {} {primary} {what}: \
         ShadowMessageAutoDiscardInterval is {}",
        hold.name(),
        clock(processed),
        hold.server,
        clock(at.t_us),
        lasting(interval(case, hold)),
        primary = hold.primary,
    )
}
