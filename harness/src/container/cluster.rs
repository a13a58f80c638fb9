//! The cluster of containers, as the runner drives it.
//!
//! Comes in: [`Cluster`] calls. Goes out: what the container engine does to containers, states of taps, answers of nodes.
//! How a node is started stands in [`start`](super::start).
//!
//! Faults hold the caller until the engine has acted: triggers strike between two octets, and none passes meanwhile.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gauntlet_docker::{
    engine::{BuiltImage, Container, Engine, Labels, Network},
    target::Target,
};
use reference_node::{
    env::{BoxFuture, BoxStream, Listener, Timestamp},
    shadow::peer::PeerSession,
};
use tokio::{net::TcpStream, task::AbortHandle};

use super::{
    door::Door,
    spool::Spool,
    start::{io_error, refused},
    wiring::Gateway,
};
use crate::{
    check,
    history::{Event, Fault, Held, NodeView},
    host::{
        Scratch,
        registry::{Entry, ProcessId, Resource},
        volume::{self, Volume},
    },
    links::{LinkError, Links, SinkListener},
    process::{needs, tracking::TrackingTail},
    scenario::{Database, Plan, Scenario},
    substrate::{Cluster, ClusterError, Mailboxes, endpoint::Endpoint, settings_config},
    tap::Board,
};

pub(super) const SUBSTRATE: &str = "container";

pub(super) const SECRET: &str = "the secret of an organization in containers";

/// How often tracking logs are read while nodes run.
const TRACKING_INTERVAL: Duration = Duration::from_millis(50);

/// How long a resubmission may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a container that is shut down may take to end in an orderly way.
const ORDERLY_END: Duration = Duration::from_secs(30);

/// How a cluster of containers is made.
#[derive(Debug, Clone)]
pub struct ContainerOptions {
    /// `nodes/` of the run directory: each node gets a directory in it.
    pub nodes: PathBuf,
    /// The engine.
    pub engine: Engine,
    /// What is tested.
    pub target: Target,
    /// Its image.
    pub image: BuiltImage,
    /// What the program in a reference node's image gets before `--config`.
    pub node_arguments: Vec<String>,
    /// Every documented duration is divided by this; 0 counts as 1.
    pub time_scale: u32,
    /// Deliberately broken behaviour of reference nodes.
    pub sabotage: Option<String>,
}

/// Nodes as containers on a network of their own, every link through a tap.
#[derive(Clone)]
pub struct ContainerCluster {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) scenario: Scenario,
    pub(super) options: ContainerOptions,
    pub(super) labels: Labels,
    pub(super) network: Network,
    pub(super) nodes_directory: PathBuf,
    /// For sockets.
    pub(super) scratch: Scratch,
    board: Arc<Board>,
    pub(super) links: Arc<Links>,
    endpoint: Endpoint,
    nodes: Mutex<BTreeMap<String, Node>>,
    /// Unix time at which the history's clock began, microseconds.
    epoch_us: i64,
    tasks: Mutex<Vec<AbortHandle>>,
    /// What was made at the engine; crossed out when all of it is gone.
    entry: Mutex<Option<Entry>>,
}

/// A node of the cluster.
pub(super) struct Node {
    pub(super) container: Option<Arc<Container>>,
    /// It was started, and nothing has ended it.
    pub(super) running: bool,
    /// Counts starts.
    pub(super) incarnation: u32,
    pub(super) spool: Spool,
    /// The way to its endpoint, while it takes mail.
    pub(super) door: Option<Door>,
    /// The share of a processor that it is held to.
    pub(super) starved: Option<u32>,
    tail: Option<TrackingTail>,
}

impl ContainerCluster {
    /// The plan's cluster, with every node stopped and every disk empty, on a network of its own. The plan is one that
    /// [`fit`](super::fit::fit) has made for the target.
    ///
    /// # Errors
    /// A node's disk or the network cannot be made.
    pub async fn new(
        plan: &Plan,
        board: Arc<Board>,
        options: ContainerOptions,
    ) -> Result<Self, ClusterError> {
        let labels = labels().map_err(io_error("name this run".into()))?;
        // Written down before anything is made.
        let entry = Entry::new(&Resource::Containers {
            run: labels.run.clone(),
        });
        let entry = entry.map_err(io_error("write down what will be made".into()))?;
        let mut nodes = BTreeMap::new();
        for name in &plan.scenario.cluster.nodes {
            let own_disk = needs::own_disk(&plan.scenario, name);
            if let Some(fault) = own_disk {
                volume::available().map_err(|reason| not_applicable(fault, name, reason))?;
            }
            let spool = Spool::new(
                &options.nodes,
                name,
                own_disk.is_some(),
                &options.target,
                &labels,
            );
            let spool = spool.map_err(|error| ClusterError::Io {
                what: format!("make the disk of {name}"),
                error,
            })?;
            let tail = match &spool {
                Spool::Files(files) => Some(TrackingTail::new(name, files.tracking())),
                Spool::Volume { .. } => None,
            };
            let node = Node {
                container: None,
                running: false,
                incarnation: 0,
                spool,
                door: None,
                starved: None,
                tail,
            };
            nodes.insert(name.clone(), node);
        }
        let network = options.engine.network(&labels).await.map_err(refused)?;
        let nodes_directory = std::path::absolute(&options.nodes)
            .map_err(io_error("find the run directory".into()))?;
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let epoch_us = i64::try_from(epoch.as_micros())
            .unwrap_or(i64::MAX)
            .saturating_sub_unsigned(board.recorder().now_us());
        let wiring = Arc::new(Gateway {
            address: network.gateway(),
            nodes: plan.scenario.cluster.nodes.clone(),
        });
        let scratch = Scratch::new().map_err(io_error("make a temporary directory".into()))?;
        let inner = Arc::new(Inner {
            links: Arc::new(Links::new(board.clone(), plan.seed, wiring)),
            scenario: plan.scenario.clone(),
            labels,
            network,
            nodes_directory,
            scratch,
            endpoint: Endpoint::new(),
            nodes: Mutex::new(nodes),
            epoch_us,
            tasks: Mutex::default(),
            entry: Mutex::new(Some(entry)),
            options,
            board,
        });
        let weak = Arc::downgrade(&inner);
        let mut tasks = vec![tokio::spawn(follow_tracking(weak.clone())).abort_handle()];
        if inner.options.target.queue.run.is_some() {
            tasks.push(tokio::spawn(run_queues(weak)).abort_handle());
        }
        *lock(&inner.tasks) = tasks;
        Ok(Self { inner })
    }
}

#[cfg(test)]
impl ContainerCluster {
    pub(super) fn container_of(&self, name: &str) -> Arc<Container> {
        self.inner.nodes()[name]
            .container
            .clone()
            .expect("it was started")
    }

    pub(super) fn disk_of(&self, name: &str) -> Option<PathBuf> {
        Some(self.inner.nodes()[name].spool.disk()?.point().to_owned())
    }
}

/// What is written on all that this run makes.
fn labels() -> io::Result<Labels> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let harness = ProcessId::own()?.to_string();
    Ok(Labels {
        run: format!("{harness}-{number}"),
        harness,
    })
}

async fn follow_tracking(cluster: Weak<Inner>) {
    loop {
        tokio::time::sleep(TRACKING_INTERVAL).await;
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        cluster.follow_all();
    }
}

/// Does what an operator's cron job would where a target has no retry setting of its own.
async fn run_queues(cluster: Weak<Inner>) {
    loop {
        let Some(inner) = cluster.upgrade() else {
            return;
        };
        let target = inner.options.target.clone();
        let Some(command) = &target.queue.run else {
            return;
        };
        let running: Vec<Arc<Container>> = inner
            .nodes()
            .values()
            .filter(|node| node.running)
            .filter_map(|node| node.container.clone())
            .collect();
        drop(inner);
        for container in running {
            // One that is ending or frozen runs nothing; the next time it may.
            let _ = tokio::time::timeout(PATIENCE, container.execute(command.words())).await;
        }
        tokio::time::sleep(target.durations.retry.0).await;
    }
}

pub(super) fn not_applicable(fault: &str, node: &str, reason: String) -> ClusterError {
    ClusterError::NotApplicable {
        fault: format!("{fault} of {node}"),
        substrate: SUBSTRATE,
        reason,
    }
}

fn not_running(name: &str) -> ClusterError {
    ClusterError::State(format!("{name} does not run"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic half way runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// The node's own file system, which only those nodes have that the scenario means.
    fn own_disk(&self, name: &str, fault: &str) -> Result<&Volume, ClusterError> {
        self.spool.disk().ok_or_else(|| {
            let reason = "the node shares a file system with everything else here: no step of the scenario strikes its own";
            not_applicable(fault, name, reason.into())
        })
    }

    /// SIGKILL, when it runs; says whether it did.
    fn kill(&mut self) -> Result<bool, ClusterError> {
        self.door = None;
        let ran = std::mem::take(&mut self.running);
        if let (true, Some(container)) = (ran, &self.container) {
            container.kill().map_err(refused)?;
        }
        Ok(ran)
    }
}

impl Inner {
    pub(super) fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        lock(&self.nodes)
    }

    /// Does something with a node. `act` must not lock the nodes again.
    pub(super) fn with_node<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Node) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        act(self
            .nodes()
            .get_mut(name)
            .ok_or_else(|| ClusterError::Unknown(format!("node {name}")))?)
    }

    fn follow_all(&self) {
        let mut nodes = self.nodes();
        let tails = nodes.values_mut().filter_map(|node| node.tail.as_mut());
        tails.for_each(|tail| tail.follow(self.board.recorder()));
    }

    /// Kills a node. Its address may be another container's then: no tap leads there any more.
    fn kill(&self, name: &str, node: &mut Node) -> Result<bool, ClusterError> {
        self.links.set_target(None, name, None);
        let killed = node.kill();
        if let Some(tail) = &mut node.tail {
            tail.follow(self.board.recorder());
        }
        killed
    }

    pub(super) fn scaled(&self, documented: Duration) -> Duration {
        documented / self.options.time_scale.max(1)
    }

    fn inject(&self, fault: &Fault) -> Result<(), ClusterError> {
        match fault {
            Fault::ProcessCrash { node: name } => self.with_node(name, |node| {
                if self.kill(name, node)? { Ok(()) } else { Err(not_running(name)) }
            }),
            Fault::HostCrash { node: name } => self.host_crash(name),
            Fault::Destroy { node: name } => self.with_node(name, |node| {
                self.kill(name, node)?;
                if let Some(container) = node.container.take() {
                    container.remove_blocking().map_err(refused)?;
                }
                let destroyed = node.spool.destroy(&self.options.engine);
                node.skip_lost_tracking();
                destroyed
            }),
            Fault::Freeze { node: name } => self.with_node(name, |node| match &node.container {
                Some(container) if node.running => container.pause().map_err(refused),
                _ => Err(not_running(name)),
            }),
            Fault::Revert { node: name } => self.with_node(name, |node| {
                let Spool::Files(files) = node.spool.clone() else {
                    let reason = "its spool is put back with a reference node only";
                    return Err(not_applicable("an earlier disk", name, reason.into()));
                };
                if !files.has_snapshot() {
                    return Err(ClusterError::State(format!("there is no snapshot of {name}")));
                }
                self.kill(name, node)?;
                let reverted = files.revert();
                node.skip_lost_tracking();
                reverted.map_err(io_error(format!("put the disk of {name} back")))
            }),
            Fault::DiskFull { node: name } => self.with_node(name, |node| {
                let full = node.own_disk(name, "a full disk")?.fill();
                full.map_err(io_error(format!("fill the disk of {name}")))
            }),
            Fault::DiskReadOnly { node: name } => self.with_node(name, |node| {
                let failing = node.own_disk(name, "a read-only disk")?.make_read_only();
                failing.map_err(io_error(format!("let the disk of {name} be read-only")))
            }),
            Fault::ClockJump { node, .. } => Err(not_applicable(
                "a clock jump",
                node,
                "a container has the machine's clock, which nobody touches".into(),
            )),
            Fault::CpuStarved { node: name, percent } => self.with_node(name, |node| {
                node.starved = Some(*percent);
                match &node.container {
                    Some(container) if node.running => {
                        container.limit_processor(Some(*percent)).map_err(refused)
                    }
                    _ => Ok(()),
                }
            }),
            Fault::Shutdown { node: name } => self.shut_down(name),
            Fault::Migration { node } => Err(not_applicable(
                "a live migration",
                node,
                "a container has no memory and devices that could move to another host; it needs a virtual machine".into(),
            )),
            Fault::Ballooned { node, .. } => Err(not_applicable(
                "memory taken from it",
                node,
                "a container has no memory of its own that a host could take; it needs a virtual machine".into(),
            )),
            Fault::Save { node } => Err(not_applicable(
                "a saved state",
                node,
                "a container has no memory image that could be put back; it needs a virtual machine".into(),
            )),
            Fault::Partition { a, b, .. } => {
                self.check_host(a)?;
                self.check_host(b)?;
                self.begin(fault)
            }
            Fault::BlackHole { link, .. }
            | Fault::Delay { link, .. }
            | Fault::Reset { link }
            | Fault::Toxic { link, .. }
            | Fault::Down { link }
            | Fault::Garble { link }
            | Fault::DelayReply { link, .. } => {
                let hosts = link.split_once('>');
                let (from, to) = hosts.ok_or_else(|| ClusterError::Unknown(format!("link {link}")))?;
                self.check_host(from)?;
                self.check_host(to)?;
                self.begin(fault)
            }
        }
    }

    /// SIGTERM, and some time to end in an orderly way.
    fn shut_down(&self, name: &str) -> Result<(), ClusterError> {
        self.with_node(name, |node| {
            let Some(container) = node.container.clone().filter(|_| node.running) else {
                return Err(not_running(name));
            };
            let ended = container.stop(ORDERLY_END);
            // One that does not end in an orderly way is ended all the same.
            self.kill(name, node)?;
            ended.map_err(refused)
        })
    }

    /// The power of the host goes first: what the container does in its last moments reaches neither disk nor network.
    fn host_crash(&self, name: &str) -> Result<(), ClusterError> {
        let fault = Fault::HostCrash { node: name.into() };
        self.with_node(name, |node| {
            if !node.running {
                return Err(not_running(name));
            }
            let disk = node.own_disk(name, "a crash of the host")?;
            self.begin(&fault)?;
            let dark = disk.cut_power();
            let killed = self.kill(name, node);
            if dark.is_err() || killed.is_err() {
                self.links.end(&fault);
            }
            dark.map_err(io_error(format!("take the power from the disk of {name}")))?;
            killed.map(drop)
        })
    }

    fn begin(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.links.begin(fault).map_err(|error| match error {
            LinkError::ToxicExists => ClusterError::State(error.to_string()),
            LinkError::NotApplicable(reason) => ClusterError::NotApplicable {
                fault: format!("this fault ({})", check::evidence::fault(fault)),
                substrate: SUBSTRATE,
                reason: reason.into(),
            },
            LinkError::Remote(error) => ClusterError::Io {
                what: "change a link".into(),
                error: error.to_string(),
            },
        })
    }

    /// Clients have no list: a name that no node and no sink has is one of theirs.
    fn check_host(&self, host: &str) -> Result<(), ClusterError> {
        let known = host.starts_with("client-")
            || self.scenario.cluster.sinks.iter().any(|sink| sink == host)
            || self.nodes().contains_key(host);
        if known {
            Ok(())
        } else {
            Err(ClusterError::Unknown(format!("host {host}")))
        }
    }

    fn heal(&self, fault: &Fault) -> Result<(), ClusterError> {
        match fault {
            Fault::Freeze { node: name } => self.with_node(name, |node| match &node.container {
                Some(container) if node.running => container.unpause().map_err(refused),
                _ => Err(not_running(name)),
            }),
            Fault::DiskFull { node: name } => self.with_node(name, |node| {
                let freed = node.own_disk(name, "a full disk")?.make_room();
                freed.map_err(io_error(format!("make room on the disk of {name}")))
            }),
            Fault::DiskReadOnly { node: name } => self.with_node(name, |node| {
                // Its files are open as long as it runs.
                self.kill(name, node)?;
                let repaired = node.own_disk(name, "a read-only disk")?.repair();
                repaired.map_err(|error| ClusterError::Io {
                    what: format!("repair the disk of {name}"),
                    error,
                })
            }),
            Fault::CpuStarved { node: name, .. } => self.with_node(name, |node| {
                node.starved = None;
                match &node.container {
                    Some(container) => container.limit_processor(None).map_err(refused),
                    None => Ok(()),
                }
            }),
            _ if self.links.end(fault) => Ok(()),
            _ => Err(ClusterError::State(
                "nothing of this kind is in effect".into(),
            )),
        }
    }

    async fn dial(&self, from: &str, to: &str) -> io::Result<BoxStream> {
        let stream = TcpStream::connect(self.links.address(from, to)?).await?;
        // What is written together is to be sent at once. It fails when the tap has reset the connection; so will reading.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }

    /// What the node holds: a reference node says it itself; of any other the length of its queue is known.
    async fn view(&self, name: &str) -> Option<NodeView> {
        let (door, container) = {
            let nodes = self.nodes();
            let node = nodes.get(name)?;
            (
                node.door.as_ref().map(Door::address),
                node.container.clone()?,
            )
        };
        if self.options.target.is_reference_node() {
            let view = self.endpoint.view(door?).await;
            // Whoever sees the view has seen what led to it.
            self.follow_all();
            return view;
        }
        let queued = match &self.options.target.queue.length {
            Some(command) => {
                let output = container.execute(command.words()).await.ok()?;
                let first = output.stdout.lines().find(|line| !line.trim().is_empty());
                first?.trim().parse::<usize>().ok()?
            }
            // Nobody says. What has arrived, and that nothing more comes, is then all that is known.
            None => usize::from(!self.is_idle(name)),
        };
        let held = (0..queued).map(|number| Held {
            transport_id: format!("{name}/queue/{number}"),
            message_id: None,
            role: "primary".into(),
            other: String::new(),
            recipients: Vec::new(),
        });
        Some(NodeView {
            queue: held.collect(),
            ..NodeView::default()
        })
    }

    /// Nothing has passed between the node and its smart host for longer than it waits between two attempts.
    fn is_idle(&self, name: &str) -> bool {
        let quiet = self.options.target.durations.retry.0 * 3 + Duration::from_secs(1);
        let quiet = u64::try_from(quiet.as_micros()).unwrap_or(u64::MAX);
        let now = self.board.recorder().now_us();
        let outgoing = format!("{name}>");
        self.board.recorder().with_records(|records| {
            let last = records.iter().rev().find(|record| {
                matches!(&record.event, Event::Wire { link, .. }
                    if link.starts_with(&outgoing) || link.ends_with(&format!(">{name}")))
            });
            last.is_none_or(|record| now.saturating_sub(record.t_us) > quiet)
        })
    }

    async fn resubmit(&self, node: &str, from_us: i64, to_us: i64) -> Option<u64> {
        let unix_ms = |us: i64| {
            Timestamp(u64::try_from(self.epoch_us.saturating_add(us) / 1000).unwrap_or(0))
        };
        let stream = self.dial("operator", node).await.ok()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let nonce = format!("{:032x}", now.as_nanos());
        let mut session = PeerSession::operator(stream, SECRET, nonce, PATIENCE)
            .await
            .ok()?;
        let resubmitted = session
            .resubmit(unix_ms(from_us), unix_ms(to_us))
            .await
            .ok();
        session.quit().await;
        resubmitted
    }

    /// Lets a running node's program check a configuration, in its container.
    async fn check_config(
        &self,
        settings: &[(String, String)],
    ) -> Result<(bool, String), ClusterError> {
        let name = self
            .scenario
            .cluster
            .nodes
            .first()
            .cloned()
            .unwrap_or_default();
        if !self.options.target.is_reference_node() {
            return Err(not_applicable(
                "a configuration",
                &name,
                "it has no documented parameters".into(),
            ));
        }
        let container = self.with_node(&name, |node| {
            node.container
                .clone()
                .filter(|_| node.running)
                .ok_or_else(|| not_running(&name))
        })?;
        let file = self.node_directory(&name).join("checked.toml");
        std::fs::write(
            &file,
            settings_config(settings, self.options.sabotage.as_deref()),
        )
        .map_err(io_error(format!("write {}", file.display())))?;
        let mut words = vec!["/reference-node".to_owned()];
        words.extend(self.options.node_arguments.iter().cloned());
        words.extend([
            "--config".into(),
            file.to_string_lossy().into_owned(),
            "--check".into(),
        ]);
        let output = container.execute(&words).await.map_err(refused)?;
        let said = if output.code == 0 {
            output.stdout
        } else {
            output.stderr
        };
        Ok((output.code == 0, said.trim().to_owned()))
    }

    async fn shutdown(&self) {
        lock(&self.tasks).drain(..).for_each(|task| task.abort());
        let parts: Vec<(Option<Arc<Container>>, Spool)> = {
            let mut nodes = self.nodes();
            for (name, node) in nodes.iter_mut() {
                // One that cannot be killed is removed by force below.
                let _ = self.kill(name, node);
            }
            nodes
                .values_mut()
                .map(|node| (node.container.take(), node.spool.clone()))
                .collect()
        };
        self.links.shutdown();
        let mut gone = true;
        for (container, spool) in parts {
            if let Some(container) = container {
                gone &= container.remove().await.is_ok();
            }
            spool.retire(&self.options.engine);
        }
        gone &= self.network.remove().await.is_ok();
        if let Some(entry) = lock(&self.entry).take()
            && !gone
        {
            // `gauntlet doctor --clean` finds it.
            entry.keep();
        }
    }
}

impl Node {
    /// The disk was lost or put back, and the log with it where it is on that disk.
    fn skip_lost_tracking(&mut self) {
        if let (Spool::Files(files), Some(tail)) = (&self.spool, &mut self.tail)
            && !files.keeps_tracking()
        {
            tail.skip_to_end();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        lock(&self.tasks).drain(..).for_each(|task| task.abort());
        // A run that was broken off: whatever is still there is taken away, or stays written down.
        if let Some(entry) = lock(&self.entry).take() {
            let resource = Resource::Containers {
                run: self.labels.run.clone(),
            };
            if resource.remove().is_err() {
                entry.keep();
            }
        }
    }
}

impl Cluster for ContainerCluster {
    fn dial(&self, from: &str, to: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (inner, from, to) = (self.inner.clone(), from.to_string(), to.to_string());
        Box::pin(async move { inner.dial(&from, &to).await })
    }

    fn listen(&self, sink: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let nodes = &self.inner.scenario.cluster.nodes;
        let listener = SinkListener::bind(sink, nodes, self.inner.links.clone());
        Box::pin(async move { Ok(Box::new(listener?) as Box<dyn Listener>) })
    }

    fn start(
        &self,
        node: &str,
        database: Database,
    ) -> BoxFuture<'static, Result<(), ClusterError>> {
        let (inner, node) = (self.inner.clone(), node.to_string());
        Box::pin(async move { inner.start(&node, database).await })
    }

    fn inject(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.inner.inject(fault)
    }

    fn heal(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.inner.heal(fault)
    }

    fn snapshot(&self, name: &str) -> Result<(), ClusterError> {
        self.inner.with_node(name, |node| {
            let Spool::Files(files) = node.spool.clone() else {
                let reason = "its spool is put back with a reference node only";
                return Err(not_applicable("a snapshot", name, reason.into()));
            };
            // As of one moment: nothing writes meanwhile.
            let paused = match &node.container {
                Some(container) if node.running => container.pause().is_ok(),
                _ => false,
            };
            let copied = files.snapshot();
            if let (true, Some(container)) = (paused, &node.container) {
                container.unpause().map_err(refused)?;
            }
            copied.map_err(io_error(format!("copy the disk of {name}")))
        })
    }

    fn view(&self, node: &str) -> BoxFuture<'static, Option<NodeView>> {
        let (inner, node) = (self.inner.clone(), node.to_string());
        Box::pin(async move { inner.view(&node).await })
    }

    fn mailboxes(&self, node: &str) -> BoxFuture<'static, Option<Mailboxes>> {
        let (inner, node) = (self.inner.clone(), node.to_string());
        Box::pin(async move {
            let door = inner.nodes().get(&node)?.door.as_ref()?.address();
            inner.endpoint.mailboxes(door, inner.epoch_us).await
        })
    }

    fn resubmit(&self, node: &str, from_us: i64, to_us: i64) -> BoxFuture<'static, Option<u64>> {
        let (inner, node) = (self.inner.clone(), node.to_string());
        Box::pin(async move { inner.resubmit(&node, from_us, to_us).await })
    }

    fn check_config(
        &self,
        settings: &[(String, String)],
    ) -> BoxFuture<'static, Result<(bool, String), ClusterError>> {
        let (inner, settings) = (self.inner.clone(), settings.to_vec());
        Box::pin(async move { inner.check_config(&settings).await })
    }

    fn scaled(&self, documented: Duration) -> Duration {
        self.inner.scaled(documented)
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let inner = self.inner.clone();
        Box::pin(async move { inner.shutdown().await })
    }
}
