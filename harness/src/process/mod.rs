//! Substrate `process`: real nodes on loopback addresses, real sockets, SIGKILL and SIGSTOP.
//!
//! Comes in: a [`Plan`](crate::scenario::Plan), a [`Board`](crate::tap::Board) and [`ProcessOptions`]. Goes out:
//! [`ProcessCluster`], which the runner drives as a [`Cluster`](crate::substrate::Cluster).
//!
//! Each node has a directory, `nodes/<name>/` in the run directory: `node.toml`, `node.log` (what it wrote
//! to standard output and standard error), `data/` (its databases and its message tracking log), and
//! `snapshot/` once one was taken. It listens on ports of its own, which nobody uses but the taps.
//!
//! Where a scenario strikes the disk of a node, the node's disk is a file system of its own, in `disk.img` while the run
//! lasts; [`faults`] says what that and other faults need. What is made on the machine is written down ([`registry`](crate::host::registry))
//! before it is made, so that `gauntlet doctor --clean` finds it after a harness that was killed.
//!
//! No node outlives the harness: each has a pipe from the harness as standard input, and ends when that
//! ends. Each has a process group of its own, too, so that Ctrl-C in a terminal strikes the harness alone,
//! which then ends the nodes; and a stopped node is continued and hung up by the kernel when the harness dies.

mod clock;
mod cluster;
pub(crate) mod disk;
mod namespace;
pub(crate) mod needs;
mod node;
mod start;
pub(crate) mod tracking;

use crate::host::{cgroup, volume};

pub use cluster::{Network, ProcessCluster, ProcessOptions};
pub use node::NodeCommand;

/// Whether this substrate works on this machine; if not, what is missing.
pub fn available() -> Result<(), String> {
    if !cfg!(unix) {
        return Err("the substrate `process` needs a Unix system, for SIGKILL and SIGSTOP".into());
    }
    std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .map(drop)
        .map_err(|error| format!("no port of 127.0.0.1 can be bound: {error}"))
}

/// What single faults need of this machine: their names, and whether they work here; if not, what is missing. Each is
/// tried for real.
pub fn faults() -> Vec<(&'static str, Result<(), String>)> {
    vec![
        ("host crash, full disk, read-only disk", volume::available()),
        ("starved processor", cgroup::available()),
        (
            "partition by address (--network namespaces)",
            namespace::available(),
        ),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
