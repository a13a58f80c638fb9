//! The faults of a run: numbered, recorded before and after they strike, and taken back in the end.
//!
//! Comes in: what steps and triggers want broken or healed. Goes out: calls of the cluster, `fault-*` records.
//! Called by the runner. What is left is healed on drop: no partition or frozen node outlives a run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    history::{Event, Fault, Recorder},
    substrate::{ClusterError, SharedCluster},
};

/// The faults that are in force.
pub(crate) struct ActiveFaults {
    cluster: SharedCluster,
    recorder: Arc<Recorder>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the last one.
    last: u32,
    active: BTreeMap<u32, Fault>,
}

impl ActiveFaults {
    pub(crate) fn new(cluster: SharedCluster, recorder: Arc<Recorder>) -> Self {
        Self {
            cluster,
            recorder,
            state: Mutex::default(),
        }
    }

    /// Injects a fault now, and keeps it until it is taken back. No lock is held while the cluster does it: a fault
    /// may fire triggers, and they inject others.
    pub(crate) fn inject(&self, what: Fault, trigger: Option<&str>) -> Result<(), ClusterError> {
        let fault = {
            let mut state = self.state();
            state.last += 1;
            state.last
        };
        let trigger = trigger.map(str::to_owned);
        self.recorder.record(Event::FaultPlanned {
            fault,
            what: what.clone(),
            trigger,
        });
        match self.cluster.inject(&what) {
            Ok(()) => {
                // A reset is over as soon as it has struck.
                if !matches!(what, Fault::Reset { .. }) {
                    self.state().active.insert(fault, what);
                }
                self.recorder.record(Event::FaultLanded { fault });
                Ok(())
            }
            Err(error) => {
                self.recorder.record(Event::FaultFailed {
                    fault,
                    reason: error.to_string(),
                });
                Err(error)
            }
        }
    }

    /// Takes back every fault of the network between these hosts, or with one of them, or all.
    pub(crate) fn heal_network(
        &self,
        a: Option<&str>,
        b: Option<&str>,
    ) -> Result<(), ClusterError> {
        let concerns = |fault: &Fault| {
            let hosts = match fault {
                Fault::Partition { a, b, .. } => Some((a.as_str(), b.as_str())),
                Fault::Reset { .. } => None,
                other => other.link(),
            };
            hosts.is_some_and(|(x, y)| {
                [a, b]
                    .into_iter()
                    .flatten()
                    .all(|host| host == x || host == y)
            })
        };
        self.heal_those(concerns)
    }

    /// Lets a frozen node go on. It may be starting, and its start waits for this; one that has crashed since it was
    /// frozen has nothing left to thaw.
    pub(crate) fn thaw(&self, node: &str) -> Result<(), ClusterError> {
        self.heal_those(|fault| matches!(fault, Fault::Freeze { node: frozen } if frozen == node))
    }

    /// Makes room on a node's disk.
    pub(crate) fn free_disk(&self, node: &str) -> Result<(), ClusterError> {
        self.heal_those(|fault| matches!(fault, Fault::DiskFull { node: full } if full == node))
    }

    /// Repairs a node's disk. The node does not run.
    pub(crate) fn repair_disk(&self, node: &str) -> Result<(), ClusterError> {
        self.heal_those(|fault| matches!(fault, Fault::DiskReadOnly { node: of } if of == node))
    }

    /// A node's disk is read-only.
    pub(crate) fn is_read_only(&self, node: &str) -> bool {
        let read_only =
            |fault: &Fault| matches!(fault, Fault::DiskReadOnly { node: of } if of == node);
        self.state().active.values().any(read_only)
    }

    /// Sets a node's clock right.
    pub(crate) fn correct_clock(&self, node: &str) -> Result<(), ClusterError> {
        self.heal_those(|fault| matches!(fault, Fault::ClockJump { node: of, .. } if of == node))
    }

    /// Lets a node have all the processor time that it wants.
    pub(crate) fn feed_cpu(&self, node: &str) -> Result<(), ClusterError> {
        self.heal_those(|fault| matches!(fault, Fault::CpuStarved { node: of, .. } if of == node))
    }

    /// Lets a saved node go on, as [`thaw`](Self::thaw) does a frozen one.
    pub(crate) fn resume(&self, node: &str) -> Result<(), ClusterError> {
        self.heal_those(|fault| matches!(fault, Fault::Save { node: saved } if saved == node))
    }

    /// Gives a node its memory back.
    pub(crate) fn deflate(&self, node: &str) -> Result<(), ClusterError> {
        self.heal_those(|fault| matches!(fault, Fault::Ballooned { node: of, .. } if of == node))
    }

    /// Waits until the migration or the shutdown of a node is over. That it came to nothing is in the history then.
    pub(crate) async fn finished(&self, node: &str) -> Result<(), ClusterError> {
        let under_way: Vec<_> = self
            .state()
            .active
            .iter()
            .filter(|(_, f)| f.ends_by_itself() && f.node() == Some(node))
            .map(|(n, f)| (*n, f.clone()))
            .collect();
        for (fault, what) in under_way {
            match self.cluster.finished(&what).await {
                // A shutdown is healed by the next start.
                Ok(()) if matches!(what, Fault::Shutdown { .. }) => {}
                Ok(()) => self.healed(fault),
                Err(error @ (ClusterError::State(_) | ClusterError::Io { .. })) => {
                    self.recorder.record(Event::FaultFailed {
                        fault,
                        reason: error.to_string(),
                    });
                    self.healed(fault);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn heal_those(&self, which: impl Fn(&Fault) -> bool) -> Result<(), ClusterError> {
        let those: Vec<_> = self
            .state()
            .active
            .iter()
            .filter(|(_, f)| which(f))
            .map(|(n, f)| (*n, f.clone()))
            .collect();
        for (number, fault) in those {
            match self.cluster.heal(&fault) {
                // `State`: it is gone already, as when two partitions were one to the substrate.
                Ok(()) | Err(ClusterError::State(_)) => self.healed(number),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The numbers of the faults that strike this node.
    pub(crate) fn on_node(&self, node: &str) -> Vec<u32> {
        self.state()
            .active
            .iter()
            .filter(|(_, f)| f.node() == Some(node) && !f.leaves_node_running())
            .map(|(n, _)| *n)
            .collect()
    }

    /// The fault was taken back by other means: its node was started.
    pub(crate) fn healed(&self, number: u32) {
        if self.state().active.remove(&number).is_some() {
            self.recorder.record(Event::FaultHealed { fault: number });
        }
    }

    /// Its process does not run, for all that was done to it.
    pub(crate) fn is_down(&self, node: &str) -> bool {
        self.strikes(node, |fault| {
            !matches!(fault, Fault::Freeze { .. } | Fault::Save { .. })
        })
    }

    /// Its disk is lost, and it was not started since.
    pub(crate) fn is_destroyed(&self, node: &str) -> bool {
        self.strikes(node, |fault| matches!(fault, Fault::Destroy { .. }))
    }

    /// It runs, and nothing holds it.
    pub(crate) fn is_live(&self, node: &str) -> bool {
        !self.strikes(node, |_| true)
    }

    fn strikes(&self, node: &str, which: impl Fn(&Fault) -> bool) -> bool {
        self.state()
            .active
            .values()
            .filter(|fault| fault.node() == Some(node) && !fault.leaves_node_running())
            .any(which)
    }

    /// How many faults there were so far, landed or not.
    pub(crate) fn count(&self) -> u32 {
        self.state().last
    }

    /// Takes back what the cluster can take back, and records nothing: the run is over.
    pub(crate) fn release(&self) {
        let active = std::mem::take(&mut self.state().active);
        for fault in active.into_values() {
            let held = match &fault {
                Fault::Freeze { .. }
                | Fault::DiskFull { .. }
                | Fault::ClockJump { .. }
                | Fault::CpuStarved { .. }
                | Fault::Save { .. }
                | Fault::Migration { .. }
                | Fault::Ballooned { .. }
                | Fault::Partition { .. }
                | Fault::BlackHole { .. }
                | Fault::Delay { .. }
                | Fault::Toxic { .. }
                | Fault::Down { .. }
                | Fault::Garble { .. }
                | Fault::DelayReply { .. } => true,
                Fault::ProcessCrash { .. }
                | Fault::HostCrash { .. }
                | Fault::Destroy { .. }
                | Fault::Shutdown { .. }
                | Fault::DiskReadOnly { .. }
                | Fault::Revert { .. }
                | Fault::Reset { .. } => false,
            };
            if held {
                // A node that crashed after it was frozen cannot be thawed; shutdown ends it either way.
                let _ = self.cluster.heal(&fault);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveFaults {
    fn drop(&mut self) {
        self.release();
    }
}
