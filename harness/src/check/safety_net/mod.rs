//! SN: Safety Net.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Listed in [`registry`](super::registry). What is known of
//! shadow messages comes from [`heartbeat`](super::heartbeat).

mod contents;
mod hold_time;
mod limits;
#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod tests;
mod unacknowledged;

use super::registry::Family;

/// This family's checkers.
pub(super) const FAMILY: Family = &[
    ("SN-01", contents::primary_after_processing),
    ("SN-02", contents::shadow_after_notification),
    ("SN-03", hold_time::kept_for_the_hold_time),
    ("SN-04", unacknowledged::expired_after_both_times),
    ("SN-11", limits::no_shadow_when_disabled),
    ("SN-12", limits::no_size_limit),
];
