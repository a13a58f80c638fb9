//! VZ: virtualization. A cold boot, a planned shutdown and a live migration lose nothing, and the planned ones disturb
//! nobody (VZ-01 to VZ-03). What hazards do to mail is measured (VZ-04, VZ-05, VZ-07); with the detection of regressions on
//! nothing acked may be lost by a state that is gone back to (VZ-06). VZ-08 is [`lint`](crate::lint)'s.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Listed in [`registry`](super::registry).

mod boot;
mod detection;
mod measure;
mod migration;
mod phases;
#[cfg(test)]
mod planned_tests;
mod slowdown;
#[cfg(test)]
mod tests;

use super::registry::Family;

/// This family's checkers.
pub(super) const FAMILY: Family = &[
    ("VZ-01", boot::after_host_failure),
    ("VZ-02", boot::after_shutdown),
    ("VZ-03", migration::disturbs_nobody),
    ("VZ-04", measure::saved_state),
    ("VZ-05", measure::snapshot_revert),
    ("VZ-06", detection::loses_nothing),
    ("VZ-07", slowdown::of_a_starved_guest),
];
