//! What a run does to a cluster from outside: it submits mail, takes mail, and sits idle.
//!
//! Comes in: what the steps of a plan want. Goes out: submissions with their outcomes, deliveries and
//! replies, recorded in the history. Called by the [runner](crate::runner).
//!
//! Reading order: [`content`] makes messages, [`inspect`] recognizes them again, [`courier`] carries them
//! with one of the two clients ([`client`], [`lettre_client`]), [`sink`] takes them.

pub mod busy;
pub mod client;
pub mod content;
pub mod courier;
pub mod dialogue;
pub mod idle;
pub mod inspect;
pub mod lettre_client;
pub mod peer_verbs;
pub mod sink;
#[cfg(test)]
pub(crate) mod testing;

pub use content::{Content, ContentError, Order};
pub use inspect::{Inspected, digest, inspect};
