//! The cluster of a simulated run: nodes that start, crash, freeze and go back in time.
//!
//! Comes in: a [`Plan`], and what the runner asks of a [`Cluster`]. Goes out: reference nodes in their
//! [`SimEnvironment`]s. No lock is held while the network or a node is called: a trigger may come back here
//! from the middle of a write.

mod planned;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use reference_node::{
    Member, StartError,
    config::Config,
    env::{BoxFuture, BoxStream, Listener, Timestamp},
    shadow::peer::PeerSession,
};
use tokio::{sync::oneshot, time::Instant};

use super::{
    RUN_BEGINS_MS, SimDisk, SimEnvironment, SimNetwork, SimSnapshot, World,
    environment::Machine,
    gate::{Gate, Phase},
};
use crate::{
    history::{Fault, MailboxMessage, NodeView},
    scenario::{Database, Plan, ResumedClock},
    substrate::{Cluster, ClusterError, Mailboxes, NodePlace, node_config, settings_config},
    tap::{Board, ReplyFault},
    workload::inspect,
};

/// Goes with `Database::New`; the mailboxes stay.
const TRANSPORT_DATABASE: &str = "transport.redb";

const SECRET: &str = "the secret of a simulated organization";

/// How long an operator's session to a node may stay silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A simulated cluster. Made and used within [`run_in_sim`](super::run_in_sim).
#[derive(Debug)]
pub struct SimCluster {
    world: Arc<World>,
    nodes: Arc<BTreeMap<String, Slot>>,
    sinks: Vec<String>,
    sabotage: Option<String>,
}

/// A node, whether it runs or not.
#[derive(Debug)]
struct Slot {
    config: String,
    machine: Machine,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    incarnations: u32,
    snapshot: Option<SimSnapshot>,
    /// When the node was saved, milliseconds since the Unix epoch by a clock that is right.
    saved_ms: Option<u64>,
    /// How often it has moved to another host.
    migrations: u32,
    /// When it goes on there.
    migration: Option<Instant>,
    running: Option<Running>,
}

#[derive(Clone)]
struct Running {
    gate: Arc<Gate>,
    /// `None` while it is starting.
    node: Option<Member>,
}

impl SimCluster {
    /// The plan's cluster, with every node stopped and every disk empty. The clock of the run starts now.
    /// `sabotage` is a deliberately broken behaviour of all nodes.
    pub fn new(plan: &Plan, board: Arc<Board>, sabotage: Option<&str>) -> Arc<Self> {
        let world = World {
            seed: plan.seed,
            network: SimNetwork::new(plan.seed, board.clone()),
            recorder: board.recorder().clone(),
            start: Instant::now(),
        };
        let slot = |name: &String| {
            let place = NodePlace {
                data: ".",
                listen: name,
                secret: SECRET,
                sabotage,
                ..NodePlace::default()
            };
            let config = node_config(&plan.scenario, name, &place, |_, to| to.to_owned(), |d| d);
            let slot = Slot {
                config,
                machine: Machine::new(name),
                state: Mutex::default(),
            };
            (name.clone(), slot)
        };
        let cluster = &plan.scenario.cluster;
        Arc::new(Self {
            world: Arc::new(world),
            nodes: Arc::new(cluster.nodes.iter().map(slot).collect()),
            sinks: cluster.sinks.clone(),
            sabotage: sabotage.map(str::to_owned),
        })
    }

    /// The lines of a node's message tracking log, over all its incarnations.
    pub fn tracking_log(&self, node: &str) -> Vec<String> {
        let slot = self.nodes.get(node);
        slot.map(|s| lock(&s.machine.tracking).clone())
            .unwrap_or_default()
    }

    /// The configuration file that a node starts with.
    pub fn config_text(&self, node: &str) -> Option<&str> {
        self.nodes.get(node).map(|slot| slot.config.as_str())
    }

    /// Sets a node's wall clock ahead (or behind) by so many milliseconds, from now on.
    ///
    /// # Errors
    /// There is no such node.
    pub fn set_clock_offset(&self, node: &str, offset_ms: i64) -> Result<(), ClusterError> {
        let clock = &self.slot(node)?.machine.clock_offset_ms;
        clock.store(offset_ms, Ordering::Relaxed);
        Ok(())
    }

    fn slot(&self, node: &str) -> Result<&Slot, ClusterError> {
        let unknown = || ClusterError::Unknown(format!("node {node}"));
        self.nodes.get(node).ok_or_else(unknown)
    }

    /// The node, when it can answer.
    fn answering(&self, node: &str) -> Option<Member> {
        let running = lock(&self.nodes.get(node)?.state).running.clone()?;
        running
            .node
            .filter(|_| running.gate.phase() == Phase::Running)
    }

    fn process_crash(&self, node: &str) -> Result<(), ClusterError> {
        let slot = self.slot(node)?;
        // Held until its connections are reset: what it holds must not end in an orderly way before.
        let _remains = slot.end()?;
        slot.machine.disk.process_crash();
        self.world.network.process_crash(node);
        Ok(())
    }

    fn host_crash(&self, node: &str) -> Result<(), ClusterError> {
        let slot = self.slot(node)?;
        let _remains = slot.end()?;
        slot.machine.disk.host_crash();
        self.world.network.host_crash(node);
        Ok(())
    }

    /// As [`Self::host_crash`], of a node that may be stopped already and whose disk changes anyway.
    fn cut_power(&self, node: &str) -> Result<&SimDisk, ClusterError> {
        let slot = self.slot(node)?;
        let _remains = slot.end();
        self.world.network.host_crash(node);
        Ok(&slot.machine.disk)
    }

    /// The node stops where it stands, and its host is gone for the others: nobody closes its connections.
    fn save(&self, node: &str) -> Result<(), ClusterError> {
        self.freeze(node)?;
        lock(&self.slot(node)?.state).saved_ms = Some(self.world.now_ms());
        self.world.network.host_saved(node);
        Ok(())
    }

    /// A link whose server is of this cluster. Clients need no leave to be.
    fn known<'a>(&self, link: &'a str) -> Result<&'a str, ClusterError> {
        let server = link.split_once('>').map_or("", |(_, to)| to);
        match self.is_server(server) {
            true => Ok(link),
            false => Err(ClusterError::Unknown(format!("link {link}"))),
        }
    }

    fn is_server(&self, host: &str) -> bool {
        self.nodes.contains_key(host) || self.sinks.iter().any(|s| s == host)
    }

    fn gate(&self, node: &str) -> Result<Arc<Gate>, ClusterError> {
        let slot = self.slot(node)?;
        let running = lock(&slot.state).running.as_ref().map(|r| r.gate.clone());
        running.ok_or_else(|| slot.is_not_running())
    }
}

impl Slot {
    /// Ends the incarnation: from here on nothing of it runs. Returns what is left of it.
    fn end(&self) -> Result<Running, ClusterError> {
        let mut state = lock(&self.state);
        state.migration = None;
        let running = state.running.take();
        drop(state);
        let running = running.ok_or_else(|| self.is_not_running())?;
        running.gate.kill();
        Ok(running)
    }

    fn is_not_running(&self) -> ClusterError {
        ClusterError::State(format!("{} is not running", self.machine.host))
    }

    /// Makes a new incarnation, and lets it start its node.
    async fn start(&self, world: &Arc<World>, database: Database) -> Result<(), ClusterError> {
        let config = Config::parse(&self.config)
            .map_err(|e| ClusterError::State(format!("{}: {e}", self.machine.host)))?;
        let env = self.incarnate(world, database)?;
        let gate = env.gate().clone();
        world.network.host_up(&self.machine.host);
        let (tell, told) = oneshot::channel();
        gate.spawn(Box::pin(async move {
            // When nobody waits any more, the node runs all the same.
            let _ = tell.send(Member::start(config, Arc::new(env)).await);
        }));
        let started = told.await;
        self.started(world, &gate, started.ok())
    }

    fn incarnate(
        &self,
        world: &Arc<World>,
        database: Database,
    ) -> Result<SimEnvironment, ClusterError> {
        let mut state = lock(&self.state);
        if state.running.is_some() {
            return Err(ClusterError::State(format!(
                "{} is running already",
                self.machine.host
            )));
        }
        if database == Database::New {
            self.machine.disk.remove(TRANSPORT_DATABASE);
        }
        state.incarnations += 1;
        let env = SimEnvironment::new(world.clone(), self.machine.clone(), state.incarnations);
        state.running = Some(Running {
            gate: env.gate().clone(),
            node: None,
        });
        Ok(env)
    }

    /// The incarnation of `gate` has started, or could not; `None`: it has crashed.
    fn started(
        &self,
        world: &World,
        gate: &Arc<Gate>,
        started: Option<Result<Member, StartError>>,
    ) -> Result<(), ClusterError> {
        let mut state = lock(&self.state);
        let running = state
            .running
            .as_mut()
            .filter(|r| Arc::ptr_eq(&r.gate, gate));
        let (Some(running), Some(started)) = (running, started) else {
            return Err(ClusterError::State(format!(
                "{} crashed while it started",
                self.machine.host
            )));
        };
        match started {
            Ok(node) => {
                running.node = Some(node);
                Ok(())
            }
            Err(error) => {
                state.running = None;
                drop(state);
                gate.kill();
                self.machine.disk.process_crash();
                world.network.process_crash(&self.machine.host);
                Err(ClusterError::Io {
                    what: format!("start {}", self.machine.host),
                    error: error.to_string(),
                })
            }
        }
    }
}

impl Cluster for SimCluster {
    fn dial(&self, from: &str, to: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        self.world.network.connect(from, to)
    }

    fn listen(&self, sink: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listener = match self.sinks.iter().any(|s| s == sink) {
            true => self.world.network.listen(sink),
            false => Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        Box::pin(async { Ok(Box::new(listener?) as Box<dyn Listener>) })
    }

    fn start(
        &self,
        node: &str,
        database: Database,
    ) -> BoxFuture<'static, Result<(), ClusterError>> {
        let (world, nodes, node) = (self.world.clone(), self.nodes.clone(), node.to_owned());
        Box::pin(async move {
            match nodes.get(&node) {
                Some(slot) => slot.start(&world, database).await,
                None => Err(ClusterError::Unknown(format!("node {node}"))),
            }
        })
    }

    /// A [`Fault::Revert`] leaves the node stopped, as a crash does; `start` lets it go on from the snapshot.
    fn inject(&self, fault: &Fault) -> Result<(), ClusterError> {
        let network = &self.world.network;
        match fault {
            Fault::ProcessCrash { node } => self.process_crash(node)?,
            Fault::HostCrash { node } => self.host_crash(node)?,
            Fault::Destroy { node } => self.cut_power(node)?.wipe(),
            Fault::Freeze { node } => self.freeze(node)?,
            Fault::Shutdown { node } => self.shut_down(node)?,
            Fault::Migration { node } => self.migrate(node)?,
            Fault::Ballooned { node, .. } => {
                return Err(ClusterError::NotApplicable {
                    fault: format!("memory taken from {node}"),
                    substrate: "sim",
                    reason: "a simulated node has no memory of its own that could be taken (substrate `vm`)".into(),
                });
            }
            Fault::DiskFull { node } => self.slot(node)?.machine.disk.set_full(true),
            Fault::DiskReadOnly { node } => self.slot(node)?.machine.disk.set_read_only(),
            Fault::ClockJump { node, offset_ms } => self.set_clock_offset(node, *offset_ms)?,
            Fault::CpuStarved { node, .. } => {
                return Err(ClusterError::NotApplicable {
                    fault: format!("a starved processor of {node}"),
                    substrate: "sim",
                    reason: "work takes no time in the simulator (substrate `process`)".into(),
                });
            }
            Fault::Save { node } => self.save(node)?,
            Fault::Revert { node } => {
                let kept = lock(&self.slot(node)?.state).snapshot.clone();
                let snapshot = kept.ok_or_else(|| {
                    ClusterError::State(format!("there is no snapshot of {node}"))
                })?;
                self.cut_power(node)?.revert(&snapshot);
            }
            Fault::Partition { a, b, .. } if !self.is_server(a) && !self.is_server(b) => {
                return Err(ClusterError::Unknown(format!("host {a} or {b}")));
            }
            Fault::Partition { a, b, one_way } => network.partition(a, b, *one_way),
            Fault::BlackHole { link, stream } => network.black_hole(self.known(link)?, *stream),
            Fault::Delay { link, latency_us } => {
                network.delay(self.known(link)?, Duration::from_micros(*latency_us))
            }
            Fault::Reset { link } => network.reset(self.known(link)?),
            Fault::Down { link } => network.take_down(self.known(link)?),
            Fault::Garble { link } => {
                network
                    .link(self.known(link)?)
                    .replies()
                    .add(ReplyFault::Garble);
            }
            Fault::DelayReply { link, latency_us } => {
                let time = Duration::from_micros(*latency_us);
                network
                    .link(self.known(link)?)
                    .replies()
                    .add(ReplyFault::Delay(time));
            }
            Fault::Toxic { link, toxic } => {
                return Err(ClusterError::NotApplicable {
                    fault: format!("the toxic `{}` on {link}", toxic.kind.type_name()),
                    substrate: "sim",
                    reason: "the simulated network has no proxy that octets wait in, and no closes that a proxy makes \
                             (substrate `process`)"
                        .into(),
                });
            }
        }
        Ok(())
    }

    fn heal(&self, fault: &Fault) -> Result<(), ClusterError> {
        let network = &self.world.network;
        match fault {
            Fault::Freeze { node } => self.gate(node)?.thaw(),
            Fault::DiskFull { node } => self.slot(node)?.machine.disk.set_full(false),
            Fault::DiskReadOnly { node } => {
                let slot = self.slot(node)?;
                if lock(&slot.state).running.is_some() {
                    return Err(ClusterError::State(format!(
                        "the disk of {node} cannot be repaired while it runs"
                    )));
                }
                slot.machine.disk.repair();
            }
            Fault::ClockJump { node, .. } => self.set_clock_offset(node, 0)?,
            Fault::Save { node } => {
                let gate = self.gate(node)?;
                network.host_up(node);
                gate.thaw();
            }
            Fault::Migration { node } => self.slot(node)?.arrive(None),
            Fault::Partition { a, b, one_way } => network.heal_partition(a, b, *one_way),
            Fault::BlackHole { link, stream } => network.heal_black_hole(link, *stream),
            Fault::Down { link } => network.bring_up(link),
            // A reply that was struck already stays as it was.
            Fault::Garble { link } => {
                network.link(link).replies().take_back(ReplyFault::Garble);
            }
            Fault::DelayReply { link, latency_us } => {
                let time = Duration::from_micros(*latency_us);
                network
                    .link(link)
                    .replies()
                    .take_back(ReplyFault::Delay(time));
            }
            Fault::Delay { link, .. } => network.delay(link, Duration::ZERO),
            Fault::ProcessCrash { .. }
            | Fault::HostCrash { .. }
            | Fault::Destroy { .. }
            | Fault::Revert { .. }
            | Fault::Shutdown { .. }
            | Fault::Ballooned { .. }
            | Fault::CpuStarved { .. }
            | Fault::Reset { .. }
            | Fault::Toxic { .. } => {
                return Err(ClusterError::State(
                    "a crash is healed by a start, a reset by nothing".into(),
                ));
            }
        }
        Ok(())
    }

    fn finished(&self, fault: &Fault) -> BoxFuture<'static, Result<(), ClusterError>> {
        match fault {
            Fault::Migration { node } => self.moved(node),
            _ => Box::pin(async { Ok(()) }),
        }
    }

    fn set_clock(&self, node: &str, clock: ResumedClock) -> Result<(), ClusterError> {
        let slot = self.slot(node)?;
        let saved = lock(&slot.state).saved_ms;
        let offset = match (clock, saved) {
            (ResumedClock::Stale, Some(saved)) => {
                i64::try_from(self.world.now_ms().saturating_sub(saved)).unwrap_or(i64::MAX)
            }
            _ => 0,
        };
        self.set_clock_offset(node, -offset)
    }

    fn snapshot(&self, node: &str) -> Result<(), ClusterError> {
        let slot = self.slot(node)?;
        let snapshot = slot.machine.disk.snapshot();
        lock(&slot.state).snapshot = Some(snapshot);
        Ok(())
    }

    fn view(&self, node: &str) -> BoxFuture<'static, Option<NodeView>> {
        let node = self.answering(node);
        Box::pin(async move {
            let view = serde_json::to_value(node?.view().ok()?).ok()?;
            serde_json::from_value(view).ok()
        })
    }

    fn mailboxes(&self, node: &str) -> BoxFuture<'static, Option<Mailboxes>> {
        let node = self.answering(node);
        Box::pin(async move {
            let all = node?.mailboxes().ok()?;
            let mailbox =
                |(address, mail): (String, Vec<_>)| (address, mail.iter().map(shown).collect());
            Some(all.into_iter().map(mailbox).collect())
        })
    }

    fn resubmit(&self, node: &str, from_us: i64, to_us: i64) -> BoxFuture<'static, Option<u64>> {
        let stream = self.dial("operator", node);
        // Nonces must differ, and nobody guesses in a simulation: the time of the run is one.
        let nonce = format!("{:032x}", self.world.now_ms());
        Box::pin(async move {
            let stream = tokio::time::timeout(PATIENCE, stream).await.ok()?.ok()?;
            let mut session = PeerSession::operator(stream, SECRET, nonce, PATIENCE)
                .await
                .ok()?;
            let resubmitted = session
                .resubmit(wall_clock(from_us), wall_clock(to_us))
                .await
                .ok();
            session.quit().await;
            resubmitted
        })
    }

    fn check_config(
        &self,
        settings: &[(String, String)],
    ) -> BoxFuture<'static, Result<(bool, String), ClusterError>> {
        let said = match Config::parse(&settings_config(settings, self.sabotage.as_deref())) {
            Ok(_) => (true, "accepted".to_owned()),
            Err(error) => (false, error.to_string()),
        };
        Box::pin(async { Ok(said) })
    }

    fn scaled(&self, documented: Duration) -> Duration {
        documented
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        // The network first: no tap is to see how everything ends.
        self.world.network.shutdown();
        for slot in self.nodes.values() {
            // A node that does not run has ended already.
            let _ = slot.end();
            slot.machine.disk.process_crash();
        }
        Box::pin(async {})
    }
}

/// A moment of the history's clock as the nodes' clocks have it.
fn wall_clock(t_us: i64) -> Timestamp {
    Timestamp(RUN_BEGINS_MS.saturating_add_signed(t_us.div_euclid(1000)))
}

fn shown(message: &reference_node::view::MailboxMessage) -> MailboxMessage {
    let inspected = inspect(&message.content);
    let since = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000);
    let (delivered, begun) = (message.delivered.0, RUN_BEGINS_MS);
    MailboxMessage {
        t_us: match delivered.checked_sub(begun) {
            Some(after) => since(after),
            None => -since(begun - delivered),
        },
        message: inspected.number(),
        attempt: inspected.attempt,
        dsn: inspected.dsn.is_some(),
        from: message.from.clone(),
        message_id: inspected.message_id,
        digest: inspected.digest,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics half way runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("incarnations", &self.incarnations)
            .field("phase", &self.running.as_ref().map(|r| r.gate.phase()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
