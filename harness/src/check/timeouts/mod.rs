//! TO: SMTP timeouts.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Called through the [`registry`](super::registry).

use super::registry::Family;

mod idle;
mod lost_reply;

/// The family's checkers.
pub(super) const CHECKERS: Family = &[
    ("TO-01", lost_reply::to_01),
    ("TO-02", lost_reply::to_02),
    ("TO-03", lost_reply::to_03),
    ("TO-04", lost_reply::to_04),
    ("TO-05", lost_reply::to_05),
    ("TO-06", idle::to_06),
    ("TO-08", idle::to_08),
];

#[cfg(test)]
mod idle_tests;
#[cfg(test)]
mod lost_reply_tests;
