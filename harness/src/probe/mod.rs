//! `gauntlet probe`: what the standards say of a server, put to anything that speaks SMTP.
//!
//! Comes in: a target, what to select, how arrival is proven ([`Probe`]). Goes out: a
//! [`ProbeReport`](gauntlet_reports::probe::ProbeReport) with an answer per case, each with its dialogue octet by octet.
//! Called by `gauntlet probe`. Nothing here knows the reference node.
//!
//! The reading order: [`case`] says what a case is, [`cases`] has them by standard, [`connection`] is the raw connection that
//! they talk over, [`context`] what they are given, [`arrival`] how they learn what was delivered, [`run`] drives them.

pub mod arrival;
pub mod case;
pub mod cases;
pub mod client;
pub mod connection;
pub mod context;
pub mod dialogue;
pub mod expected;
pub mod message;
pub mod outcome;
pub mod reply;
pub mod run;
pub mod select;
pub mod target;
pub mod tls;
pub mod untestable;

#[cfg(test)]
mod testing;

pub use run::{Probe, ProbeError, run};
