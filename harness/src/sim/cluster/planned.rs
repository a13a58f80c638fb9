//! What is planned for a guest, modelled: an orderly shutdown, and a live migration.
//!
//! Comes in: [`Fault::Shutdown`](crate::history::Fault::Shutdown) and
//! [`Fault::Migration`](crate::history::Fault::Migration). Goes out: a node that has ended and whose disk has everything, or
//! one that stood still for a moment. A migration here is its blackout alone: the node runs before and after it as if nothing
//! had been, and the network keeps what comes meanwhile, as the senders' TCP would.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use rand::RngExt;
use reference_node::env::BoxFuture;
use tokio::time::{Instant, sleep, sleep_until};

use super::{SimCluster, Slot, lock};
use crate::{
    sim::{gate::Phase, random},
    substrate::ClusterError,
};

/// How long a guest stands still at the end of its migration: least and most, milliseconds. QEMU was seen to need 38 to 84,
/// and up to 560 until the network has found the guest's new place.
const BLACKOUT_MS: RangeInclusive<u64> = 40..=560;

impl SimCluster {
    /// The service ends (as the reference node does on SIGTERM: at once, between two commits), the file systems are
    /// unmounted, and the host answers no more.
    pub(super) fn shut_down(&self, node: &str) -> Result<(), ClusterError> {
        self.runs_freely(node)?;
        let slot = self.slot(node)?;
        let _remains = slot.end()?;
        slot.machine.disk.unmount();
        self.world.network.host_shutdown(node);
        Ok(())
    }

    /// The blackout begins.
    pub(super) fn migrate(&self, node: &str) -> Result<(), ClusterError> {
        self.runs_freely(node)?;
        let gate = self.gate(node)?;
        let mut state = lock(&self.slot(node)?.state);
        state.migrations += 1;
        let name = format!("migration {node} {}", state.migrations);
        let blackout = random::stream(self.world.seed, &name).random_range(BLACKOUT_MS);
        let until = Instant::now() + Duration::from_millis(blackout);
        state.migration = Some(until);
        drop(state);
        gate.freeze();
        let (nodes, node) = (self.nodes.clone(), node.to_owned());
        tokio::spawn(async move {
            sleep_until(until).await;
            if let Some(slot) = nodes.get(&node) {
                slot.arrive(Some(until));
            }
        });
        Ok(())
    }

    /// Returns when no migration of the node is under way.
    pub(super) fn moved(&self, node: &str) -> BoxFuture<'static, Result<(), ClusterError>> {
        let (nodes, node) = (Arc::clone(&self.nodes), node.to_owned());
        let until = move || lock(&nodes.get(&node)?.state).migration;
        Box::pin(async move {
            while let Some(until) = until() {
                sleep_until(until).await;
                // The task that ends it wakes at the same moment.
                sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        })
    }

    /// The node stands still until something lets it go on; a migration that is under way does not.
    pub(super) fn freeze(&self, node: &str) -> Result<(), ClusterError> {
        let gate = self.gate(node)?;
        lock(&self.slot(node)?.state).migration = None;
        gate.freeze();
        Ok(())
    }

    fn runs_freely(&self, node: &str) -> Result<(), ClusterError> {
        match self.gate(node)?.phase() {
            Phase::Running => Ok(()),
            _ => Err(ClusterError::State(format!("{node} stands still"))),
        }
    }
}

impl Slot {
    /// The guest runs on the other host: of the migration that ends at `until`, or of any.
    pub(super) fn arrive(&self, until: Option<Instant>) {
        let mut state = lock(&self.state);
        if state.migration.is_none() || until.is_some_and(|until| state.migration != Some(until)) {
            return;
        }
        state.migration = None;
        let gate = state.running.as_ref().map(|running| running.gate.clone());
        drop(state);
        if let Some(gate) = gate {
            gate.thaw();
        }
    }
}
