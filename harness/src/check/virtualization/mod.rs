//! VZ: virtualization. What hazards do to mail is measured (VZ-04, VZ-05); with the detection of regressions on nothing
//! acked may be lost by them (VZ-06).
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Listed in [`registry`](super::registry).

mod detection;
mod measure;
mod phases;
#[cfg(test)]
mod tests;

use super::registry::Family;

/// This family's checkers.
pub(super) const FAMILY: Family = &[
    ("VZ-04", measure::saved_state),
    ("VZ-05", measure::snapshot_revert),
    ("VZ-06", detection::loses_nothing),
];
