//! Gauntlet: a chaos and conformance test harness for SMTP transports.
//!
//! The reading order is the data's order: [`cli`] → [`scenario`] → [`campaign`] → [`runner`] on a [`substrate`] →
//! [`history`] → [`check`]. Beside it: [`probe`], [`load`], and [`lint`], which judge without a run.

pub mod campaign;
pub mod certify;
pub mod check;
pub mod cli;
pub mod container;
pub mod error;
pub mod explore;
pub mod history;
pub mod host;
mod links;
pub mod lint;
pub mod load;
pub mod probe;
pub mod process;
pub mod random;
pub mod run_directory;
pub mod runner;
pub mod scenario;
pub mod shrink;
pub mod sim;
pub mod substrate;
pub mod tap;
pub mod toxics;
pub mod vm;
pub mod workload;
