//! Where nodes live. One trait, a house per kind; the runner above it is the same for all.
//!
//! Comes in: a [`Plan`](crate::scenario::Plan). Goes out: a running [`Cluster`] whose every link passes a
//! tap, and the faults that it can do *for real*. A fault that a substrate cannot do is refused with the
//! reason, never imitated.

#[cfg(test)]
pub(crate) mod conformance;
pub(crate) mod endpoint;
mod node_config;

pub(crate) use endpoint::Endpoint;
pub use node_config::{NodePlace, node_config, settings_config};

use std::{io, sync::Arc, time::Duration};

use reference_node::env::{BoxFuture, BoxStream, Listener};

use crate::{
    history::{Fault, MailboxMessage, NodeView},
    scenario::{Database, ResumedClock},
};

/// Why something could not be done to a cluster.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    /// This substrate cannot do it at all.
    #[error("{fault} is not possible on {substrate}: {reason}")]
    NotApplicable {
        /// What was wanted.
        fault: String,
        /// Where.
        substrate: &'static str,
        /// Why not.
        reason: String,
    },
    /// What the run needs is missing on this machine (exit code 69).
    #[error("{0}")]
    Missing(String),
    /// No node, sink, client or link of that name.
    #[error("there is no {0} in this cluster")]
    Unknown(String),
    /// The node is in a state in which this makes no sense (a running node cannot be started).
    #[error("{0}")]
    State(String),
    /// The world said no.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What was said.
        error: String,
    },
}

/// The running cluster, as the runner drives it.
///
/// `inject` and the link faults act at once and never wait: triggers call them between two octets.
pub trait Cluster: Send + Sync {
    /// Opens a connection on the link `from>to`, through its tap.
    fn dial(&self, from: &str, to: &str) -> BoxFuture<'static, io::Result<BoxStream>>;
    /// Binds a sink's address. The cluster's nodes reach it through taps.
    fn listen(&self, sink: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;
    /// Starts a stopped node and waits until it accepts mail.
    fn start(&self, node: &str, database: Database)
    -> BoxFuture<'static, Result<(), ClusterError>>;
    /// Does a fault, now.
    fn inject(&self, fault: &Fault) -> Result<(), ClusterError>;
    /// Takes a fault back: heals a partition, delay or black hole, thaws a node. Crashes are healed by `start`.
    fn heal(&self, fault: &Fault) -> Result<(), ClusterError>;
    /// Waits until a fault that [ends by itself](Fault::ends_by_itself) is over: the guest runs on the other host, or is
    /// off. At once where `inject` has done it all. It must not wait for ever: a migration that comes to nothing is an
    /// error.
    fn finished(&self, _fault: &Fault) -> BoxFuture<'static, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }
    /// How a node's wall clock goes on: set right, or from where it stood when the node was saved. Not an error where
    /// nothing was saved.
    fn set_clock(&self, _node: &str, _clock: ResumedClock) -> Result<(), ClusterError> {
        Ok(())
    }
    /// Keeps a copy of the node's disk, as a [`Fault::Revert`] will need it.
    fn snapshot(&self, node: &str) -> Result<(), ClusterError>;
    /// What the node says of its queues; `None` when it does not answer.
    fn view(&self, node: &str) -> BoxFuture<'static, Option<NodeView>>;
    /// What a node's mailboxes show, by address; `None` when it does not answer.
    fn mailboxes(&self, node: &str) -> BoxFuture<'static, Option<Mailboxes>>;
    /// Asks the node, as a peer, to resubmit what its Safety Net took in between two moments of the run
    /// (microseconds of the history's clock). Answers with how many messages it resubmitted.
    fn resubmit(&self, node: &str, from_us: i64, to_us: i64) -> BoxFuture<'static, Option<u64>>;
    /// Offers a configuration (documented names) to the node's own check: accepted or not, and what it said.
    fn check_config(
        &self,
        settings: &[(String, String)],
    ) -> BoxFuture<'static, Result<(bool, String), ClusterError>>;
    /// A documented duration as it is on this substrate: divided by the time scale.
    fn scaled(&self, documented: Duration) -> Duration;
    /// Ends every node and connection, and leaves nothing behind. Idempotent.
    fn shutdown(&self) -> BoxFuture<'static, ()>;
}

/// Mailboxes by address, and what each shows.
pub type Mailboxes = Vec<(String, Vec<MailboxMessage>)>;

/// A shared cluster.
pub type SharedCluster = Arc<dyn Cluster>;
