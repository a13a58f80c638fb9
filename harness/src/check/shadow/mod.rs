//! SC: how shadow messages are created.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Called through the [`registry`](super::registry).

use super::registry::Family;

mod acceptance;
mod attempts;
mod boundaries;
mod coexistence;
mod creation;
mod front_end;
mod hub;
mod next_hops;
mod placement;
mod roles;

/// The family's checkers.
pub(super) const CHECKERS: Family = &[
    ("SC-01", creation::sc_01),
    ("SC-02", creation::sc_02),
    ("SC-03", creation::sc_03),
    ("SC-04", creation::sc_04),
    ("SC-05", placement::sc_05),
    ("SC-06", placement::sc_06),
    ("SC-07", placement::sc_07),
    ("SC-08", placement::sc_08),
    ("SC-09", acceptance::sc_09),
    ("SC-10", acceptance::sc_10),
    ("SC-11", acceptance::sc_11),
    ("SC-12", next_hops::sc_12),
    ("SC-13", boundaries::sc_13),
    ("SC-14", roles::sc_14),
    ("SC-15", front_end::sc_15),
    ("SC-16", roles::sc_16),
    ("SC-17", boundaries::sc_17),
    ("SC-18", coexistence::sc_18),
    ("SC-19", hub::sc_19),
];

#[cfg(test)]
mod acceptance_tests;
#[cfg(test)]
mod boundaries_tests;
#[cfg(test)]
mod creation_tests;
#[cfg(test)]
mod front_end_tests;
#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod next_hops_tests;
#[cfg(test)]
mod placement_tests;
#[cfg(test)]
mod roles_tests;
