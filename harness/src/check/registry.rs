//! Which checker judges which guarantee.
//!
//! Comes in: a guarantee's ID. Goes out: its checker. Called by [`judge`](super::judge), and by whoever lists what
//! can be checked. A family of checkers adds itself with a line in [`FAMILIES`].

use gauntlet_reports::Verdict;

use super::Case;

/// Judges one guarantee. Pure: the same history gives the same verdict.
pub type Checker = fn(&Case<'_>) -> Verdict;

/// A family's checkers, by guarantee ID.
pub(super) type Family = &'static [(&'static str, Checker)];

const FAMILIES: &[Family] = &[
    super::shadow::CHECKERS,
    super::timeouts::CHECKERS,
    super::heartbeat::FAMILY,
    super::recovery::FAMILY,
    super::safety_net::FAMILY,
    super::duplicates::CHECKERS,
    super::transport::CHECKERS,
    super::virtualization::FAMILY,
];

/// The checker of a guarantee, if there is one.
pub fn checker(id: &str) -> Option<Checker> {
    FAMILIES
        .iter()
        .copied()
        .flatten()
        .find(|(known, _)| *known == id)
        .map(|(_, checker)| *checker)
}

/// The guarantees that can be checked, in the order of their IDs.
pub fn ids() -> Vec<&'static str> {
    let mut ids: Vec<_> = FAMILIES
        .iter()
        .copied()
        .flatten()
        .map(|(id, _)| *id)
        .collect();
    ids.sort_unstable();
    ids
}
