//! HB: how shadow messages are kept.
//!
//! Comes in: a [`Case`](super::Case). Goes out: verdicts. Listed in [`registry`](super::registry).
//!
//! Reading order: [`asking`] (XQDISCARD and its answers) → [`holding`] (who held which shadow message, and when) and
//! [`ownership`] (how a promotion shows) → the checkers.

mod addressees;
pub(super) mod asking;
mod expiry;
pub(super) mod holding;
mod notifications;
pub(super) mod ownership;
pub(super) mod parts;
pub(super) mod processing;
mod redundancy;
mod retention;
mod sessions;
mod side_effects;
pub(super) mod takeover;
#[cfg(test)]
pub(super) mod tests;

use super::registry::Family;

/// This family's checkers.
pub(super) const FAMILY: Family = &[
    ("HB-01", sessions::discard_in_every_session),
    ("HB-02", sessions::heartbeat_while_held),
    ("HB-03", addressees::only_ones_own),
    ("HB-04", notifications::held_until_notified),
    ("HB-05", side_effects::finished_before_told),
    ("HB-06", notifications::given_after_restart),
    ("HB-07", retention::dropped_after_the_interval),
    ("HB-08", takeover::promoted_when_unreachable),
    ("HB-09", takeover::not_promoted_before),
    ("HB-10", takeover::promoted_for_another_database),
    ("HB-11", expiry::expired_with_a_dsn),
    ("HB-12", redundancy::made_again_after_promotion),
    ("HB-13", takeover::promoted_for_an_earlier_state),
];
