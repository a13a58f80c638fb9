//! TC: the transport core, as any MTA has it.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Called through the [`registry`](super::registry).

use super::registry::Family;

mod bounds;
mod content;
pub(super) mod crash;
mod loops;
mod next_hop;
mod room;

/// The family's checkers.
pub(super) const CHECKERS: Family = &[
    ("TC-01", crash::tc_01),
    ("TC-02", crash::tc_02),
    ("TC-03", bounds::tc_03),
    ("TC-04", bounds::tc_04),
    ("TC-05", next_hop::tc_05),
    ("TC-06", next_hop::tc_06),
    ("TC-07", room::tc_07),
    ("TC-08", content::tc_08),
    ("TC-09", loops::tc_09),
    ("TC-10", content::tc_10),
    ("TC-11", bounds::tc_11),
];

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod content_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod loops_tests;
#[cfg(test)]
mod next_hop_tests;
#[cfg(test)]
mod room_tests;
