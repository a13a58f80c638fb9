//! The substrate `sim`: reference nodes in one process, with a simulated network, disk and clock.
//!
//! Comes in: a [`Plan`](crate::scenario::Plan), a [`Board`](crate::tap::Board). Goes out: a
//! [`Cluster`](crate::substrate::Cluster) on tokio's paused time: days pass in milliseconds, and the same plan
//! and seed give the same history, byte for byte. Called by the runner, within [`run_in_sim`].

mod cluster;
mod connect;
mod connection;
mod disk;
mod environment;
mod gate;
mod network;
mod pipe;
mod random;
mod stream;

pub use cluster::SimCluster;
pub use disk::{SimDisk, SimFile, SimSnapshot};
pub use environment::{RUN_BEGINS_MS, SimEnvironment, World};
pub use network::SimNetwork;
pub use stream::{SimListener, SimStream};

/// Runs `run` on a runtime of its own whose time stands still while anything can be done, and jumps to the
/// next timer when nothing can. What is still running afterwards is dropped.
///
/// # Errors
/// The operating system refuses a runtime.
pub fn run_in_sim<T>(run: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(run))
}
