//! Substrate `container`: any mail transfer agent for which there is an image.
//!
//! Comes in: a [`Plan`](crate::scenario::Plan) that [`fit`] has made the target's, a [`Board`](crate::tap::Board) and
//! [`ContainerOptions`]. Goes out: [`ContainerCluster`], which the runner drives as a
//! [`Cluster`](crate::substrate::Cluster).
//!
//! Each run has a network of its own, which leads nowhere but to the harness: containers reach one another and the sinks
//! only through taps, which listen on the network's gateway address. Each node has a directory, `nodes/<name>/` in the run
//! directory, with `node.log` (what the container wrote to standard output and standard error).
//!
//! Reading order: [`fit`] for what a target can be asked, [`cluster`] for what is done to it, [`start`] for how it is
//! started, [`spool`] for its disk, [`door`] for a way to a reference node's endpoint.

mod cluster;
mod door;
pub mod fit;
mod spool;
mod start;
#[cfg(test)]
mod tests;
mod wiring;

pub use cluster::{ContainerCluster, ContainerOptions};

use gauntlet_docker::engine::Engine;

/// Whether this substrate works on this machine: what engine there is; if there is none, what is missing.
///
/// # Errors
/// In words.
pub fn available() -> Result<String, String> {
    let engine = Engine::connect().map_err(|error| error.to_string())?;
    let about = engine.about().map_err(|error| error.to_string())?;
    if about.os != "linux" {
        return Err(format!(
            "the container engine runs {} containers, and mail transfer agents come in Linux's",
            about.os
        ));
    }
    if about.rootless {
        return Err(
            "the container engine runs rootless: its networks are not this machine's, so that taps cannot listen on them"
                .into(),
        );
    }
    Ok(format!(
        "Docker {} (API {}), control groups v{}",
        about.version, about.api, about.cgroup
    ))
}
