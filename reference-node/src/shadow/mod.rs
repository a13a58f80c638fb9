//! Shadow redundancy: where copies are made, who has to be asked for discard notifications, when a
//! shadow message is promoted, and what peers say to each other about it.

pub mod candidates;
pub mod manager;
pub mod mark;
pub mod peer;
pub mod proof;
pub(crate) mod redundancy;
pub(crate) mod regression;
pub(crate) mod server;
