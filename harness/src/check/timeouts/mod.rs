//! TO: SMTP timeouts.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Called through the [`registry`](super::registry).

use super::registry::Family;

mod busy;
mod idle;
mod lost_reply;
mod outbound;

/// The family's checkers.
pub(super) const CHECKERS: Family = &[
    ("TO-01", lost_reply::to_01),
    ("TO-02", lost_reply::to_02),
    ("TO-03", lost_reply::to_03),
    ("TO-04", lost_reply::to_04),
    ("TO-05", lost_reply::to_05),
    ("TO-06", idle::to_06),
    ("TO-07", busy::to_07),
    ("TO-08", idle::to_08),
    ("TO-09", outbound::to_09),
];

#[cfg(test)]
mod busy_tests;
#[cfg(test)]
mod idle_tests;
#[cfg(test)]
mod lost_reply_tests;
#[cfg(test)]
mod outbound_tests;
