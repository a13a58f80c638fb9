//! RO: recovery after an outage.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Listed in [`registry`](super::registry). What is known of
//! shadow messages and promotions comes from [`heartbeat`](super::heartbeat).

mod copies;
mod delay;
mod loss;
mod original_owner;
#[cfg(test)]
mod original_owner_tests;
#[cfg(test)]
mod tests;

use super::registry::Family;

/// This family's checkers.
pub(super) const FAMILY: Family = &[
    ("RO-01", delay::delivered_within_a_heartbeat),
    ("RO-02", copies::one_in_the_mailbox),
    ("RO-03", copies::one_for_each_owner),
    ("RO-04", delay::delivered_within_the_span),
    ("RO-05", original_owner::delivers_once),
    ("RO-06", loss::nothing_lost),
];
