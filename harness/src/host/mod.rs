//! What the machine itself gives to the substrates whose nodes are real: file systems that can lose power, control groups,
//! and the register of what must not stay.
//!
//! Comes in: directories and processes of a run. Goes out: guards, each written down ([`registry`]) before it is made, so that
//! `gauntlet doctor --clean` finds it after a harness that was killed.

pub(crate) mod cgroup;
pub(crate) mod mounts;
pub mod registry;
mod scratch;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tool;
pub(crate) mod volume;

pub use scratch::Scratch;
