//! The cluster of virtual machines, as the runner drives it.
//!
//! Comes in: [`Cluster`] calls. Goes out: states of guests, of taps and of the switch, answers of nodes. How a node is started
//! stands in [`start`](super::start), how it is struck in [`operations`](super::operations).

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gauntlet_machines::{
    disk::Disk,
    guest::{Place, Register, Spec},
};
use reference_node::{
    env::{BoxFuture, BoxStream, Listener, Timestamp},
    shadow::peer::PeerSession,
};
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};

use super::{
    Machine,
    network::{Network, PREFIX, Wires},
    node::{Node, State, directory},
    start::HTTP,
};
use crate::{
    history::{Fault, NodeView},
    host::{
        Scratch,
        registry::{Entry, ProcessId, Resource},
    },
    links::{Links, SinkListener},
    process::{NodeCommand, tracking::TrackingTail},
    scenario::{Database, Plan, ResumedClock, Scenario},
    substrate::{Cluster, ClusterError, Endpoint, Mailboxes, settings_config},
    tap::Board,
};

pub(super) const SECRET: &str = "the secret of an organization of guests";

/// Memory of a guest, MiB.
pub(super) const MEMORY_MIB: u32 = 128;

/// A guest's disk, octets; it takes room as it is written to.
const DISK: u64 = 1 << 30;

/// The message tracking log.
const TRACKING: &str = "tracking.jsonl";

/// How often tracking logs are read while nodes run.
const TRACKING_INTERVAL: Duration = Duration::from_millis(50);

/// How long a resubmission or a check of a configuration may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a cluster of guests is made.
#[derive(Debug, Clone)]
pub struct VmOptions {
    /// `nodes/` of the run directory: each node gets a directory in it.
    pub nodes: PathBuf,
    /// What guests are made of.
    pub machine: Machine,
    /// What checks configurations on this machine; the image has its program.
    pub command: NodeCommand,
    /// What the program gets on its command line in a guest, where its configuration is `/config/node.toml`.
    pub arguments: Vec<String>,
    /// The program's environment.
    pub environment: Vec<(String, String)>,
    /// Every documented duration is divided by this; 0 counts as 1.
    pub time_scale: u32,
    /// Processors of each guest.
    pub vcpus: u32,
    /// Deliberately broken behaviour of all nodes.
    pub sabotage: Option<String>,
}

/// Nodes in virtual machines, every link through a tap.
#[derive(Clone)]
pub struct VmCluster {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) scenario: Scenario,
    pub(super) options: VmOptions,
    pub(super) board: Arc<Board>,
    pub(super) links: Arc<Links>,
    pub(super) network: Arc<Network>,
    endpoint: Endpoint,
    nodes: Mutex<BTreeMap<String, Arc<Mutex<Node>>>>,
    /// Unix time at which the history's clock began, microseconds.
    epoch_us: i64,
    tracking: AbortHandle,
    // Sockets, configurations and disks of guests; gone after them.
    _scratch: Scratch,
}

impl VmCluster {
    /// The plan's cluster, with every node stopped and every disk empty. Must be called inside a tokio runtime with real
    /// time and more than one thread: what is done to a guest blocks the thread that does it.
    ///
    /// # Errors
    /// A node's directory cannot be made.
    pub fn new(plan: &Plan, board: Arc<Board>, options: VmOptions) -> Result<Self, ClusterError> {
        let scratch = Scratch::new().map_err(io_error("make a directory for sockets".into()))?;
        let network = Arc::new(Network::new(plan.seed));
        let cluster = &plan.scenario.cluster;
        let mut nodes = BTreeMap::new();
        for name in &cluster.nodes {
            let made = node(name, &options, &scratch, &network);
            let made = made.map_err(io_error(format!("make the directory of {name}")))?;
            nodes.insert(name.clone(), Arc::new(Mutex::new(made)));
        }
        let wires = Arc::new(Wires(network.clone()));
        let links = Arc::new(Links::new(board.clone(), plan.seed, wires));
        network.expose(&cluster.nodes, &cluster.sinks, &links);
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros();
        let epoch_us = i64::try_from(epoch)
            .unwrap_or(i64::MAX)
            .saturating_sub_unsigned(board.recorder().now_us());
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| Inner {
            links,
            network,
            endpoint: Endpoint::new(),
            scenario: plan.scenario.clone(),
            nodes: Mutex::new(nodes),
            epoch_us,
            tracking: tokio::spawn(follow_tracking(inner.clone())).abort_handle(),
            options,
            board,
            _scratch: scratch,
        });
        Ok(Self { inner })
    }
}

fn node(name: &str, options: &VmOptions, scratch: &Scratch, network: &Network) -> io::Result<Node> {
    let directory = directory(&options.nodes, name)?;
    let registered = name.to_owned();
    let register = Register::new(move |process| register(process, &registered));
    let spec = Spec {
        name: name.to_owned(),
        image: options.machine.image.clone(),
        accelerator: options.machine.accelerator,
        memory_mib: MEMORY_MIB,
        vcpus: options.vcpus,
        disk: Disk::at(scratch.path().join(format!("{name}.img")), DISK),
        directory: scratch.path().to_owned(),
        console: directory.join("console.log"),
        output_name: TRACKING.into(),
        output: directory.join(TRACKING),
        address: *network.guest(name, 0).ip(),
        prefix: PREFIX,
        mac: network.mac(name),
        files: Vec::new(),
        arguments: options.arguments.clone(),
        environment: options.environment.clone(),
        autostart: false,
        forward: Some(HTTP),
        register: Some(register),
    };
    let place = Place {
        switch: network.switch().clone(),
        host: network.host(name),
    };
    Ok(Node {
        state: State::Taken,
        tail: TrackingTail::new(name, spec.output.clone()),
        spec,
        place,
        directory,
        scratch: scratch.path().to_owned(),
        serves: false,
        incarnation: 0,
        http: None,
        resumed_clock: ResumedClock::Corrected,
        is_stale: false,
        ahead_ms: 0,
        starved: None,
        ballooned: None,
    })
}

/// Writes a QEMU down, so that it is found after a harness that was killed. One that cannot be written down runs all the
/// same: the kernel kills it with the harness.
fn register(process: u32, name: &str) -> Box<dyn Any + Send> {
    let id = i32::try_from(process)
        .ok()
        .and_then(|id| ProcessId::of(id).ok());
    let entry = id.map(|process| {
        let name = name.to_owned();
        Entry::new(&Resource::Process { process, name })
    });
    Box::new(entry)
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

pub(super) fn io_error(what: String) -> impl FnOnce(io::Error) -> ClusterError {
    move |error| ClusterError::Io {
        what,
        error: error.to_string(),
    }
}

impl Inner {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mutex<Node>>>> {
        // Nothing that can panic runs under this lock.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a node. `act` must not lock the node again.
    pub(super) fn with_node<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Node) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let node = self.nodes().get(name).cloned();
        let node = node.ok_or_else(|| ClusterError::Unknown(format!("node {name}")))?;
        // A panic under the lock leaves at worst a node that is taken for stopped, and was killed by its drop.
        act(&mut node.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn follow_all(&self) {
        let nodes: Vec<_> = self.nodes().values().cloned().collect();
        for node in nodes {
            // One that is being worked on is looked at the next time.
            if let Ok(mut node) = node.try_lock() {
                node.tail.follow(self.board.recorder());
            }
        }
    }

    /// Kills a guest. No tap leads there any more; connections that are open hear nothing.
    pub(super) fn stop(&self, name: &str, node: &mut Node) -> bool {
        self.links.set_target(None, name, None);
        let ran = node.kill();
        node.tail.follow(self.board.recorder());
        ran
    }

    pub(super) fn scaled(&self, documented: Duration) -> Duration {
        documented / self.options.time_scale.max(1)
    }

    /// Clients have no list: a name that no node and no sink has is one of theirs.
    pub(super) fn check_host(&self, host: &str) -> Result<(), ClusterError> {
        let known = host.starts_with("client-")
            || self.scenario.cluster.sinks.iter().any(|sink| sink == host)
            || self.nodes().contains_key(host);
        if known {
            Ok(())
        } else {
            Err(ClusterError::Unknown(format!("host {host}")))
        }
    }

    fn http(&self, name: &str) -> Option<SocketAddr> {
        self.with_node(name, |node| Ok(node.http)).ok().flatten()
    }

    async fn dial(&self, from: &str, to: &str) -> io::Result<BoxStream> {
        let stream = TcpStream::connect(self.links.address(from, to)?).await?;
        // What is written together is to be sent at once. It fails when the tap has reset the connection; so will reading.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
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
        let session = PeerSession::operator(stream, SECRET, nonce, PATIENCE).await;
        let mut session = session.ok()?;
        let resubmitted = session.resubmit(unix_ms(from_us), unix_ms(to_us)).await;
        session.quit().await;
        resubmitted.ok()
    }

    /// The check needs no guest: the program is the same on this machine.
    async fn check_config(
        &self,
        settings: &[(String, String)],
    ) -> Result<(bool, String), ClusterError> {
        let failed = || io_error("let the node check a configuration".into());
        let file = self.options.nodes.join("checked.toml");
        let text = settings_config(settings, self.options.sabotage.as_deref());
        std::fs::write(&file, text).map_err(failed())?;
        let mut command = self.options.command.with_config(&file);
        let output = command.arg("--check").stdin(Stdio::null()).output();
        let output = timeout(PATIENCE, output).await;
        let output = output
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(failed())?;
        let said = if output.status.success() {
            output.stdout
        } else {
            output.stderr
        };
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Ok((output.status.success(), said))
    }

    fn shutdown(&self) {
        let names: Vec<String> = self.nodes().keys().cloned().collect();
        for name in names {
            let ended = self.with_node(&name, |node| {
                self.stop(&name, node);
                node.starved = None;
                node.retire();
                Ok(())
            });
            debug_assert!(ended.is_ok(), "the name is one of the nodes'");
        }
        self.tracking.abort();
        self.links.shutdown();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tracking.abort();
    }
}

impl Cluster for VmCluster {
    fn dial(&self, from: &str, to: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (inner, from, to) = (self.inner.clone(), from.to_string(), to.to_string());
        Box::pin(async move { inner.dial(&from, &to).await })
    }

    fn listen(&self, sink: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let inner = &self.inner;
        let nodes = &inner.scenario.cluster.nodes;
        let listener = SinkListener::bind(sink, nodes, inner.links.clone());
        Box::pin(async move { Ok(Box::new(listener?) as Box<dyn Listener>) })
    }

    fn start(
        &self,
        node: &str,
        database: Database,
    ) -> BoxFuture<'static, Result<(), ClusterError>> {
        let (inner, node) = (self.inner.clone(), node.to_string());
        Box::pin(async move { inner.start(node, database).await })
    }

    fn inject(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.inner.inject(fault)
    }

    fn heal(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.inner.heal(fault)
    }

    fn finished(&self, fault: &Fault) -> BoxFuture<'static, Result<(), ClusterError>> {
        let (inner, fault) = (self.inner.clone(), fault.clone());
        Box::pin(async move { inner.finished(fault).await })
    }

    fn set_clock(&self, node: &str, clock: ResumedClock) -> Result<(), ClusterError> {
        self.inner.set_clock(node, clock)
    }

    fn snapshot(&self, node: &str) -> Result<(), ClusterError> {
        self.inner.snapshot(node)
    }

    fn view(&self, node: &str) -> BoxFuture<'static, Option<NodeView>> {
        let (inner, node) = (self.inner.clone(), node.to_string());
        Box::pin(async move {
            let view = inner.endpoint.view(inner.http(&node)?).await;
            // Whoever sees the view has seen what led to it.
            inner.follow_all();
            view
        })
    }

    fn mailboxes(&self, node: &str) -> BoxFuture<'static, Option<Mailboxes>> {
        let (inner, node) = (self.inner.clone(), node.to_string());
        Box::pin(async move {
            let http = inner.http(&node)?;
            inner.endpoint.mailboxes(http, inner.epoch_us).await
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
        Box::pin(async move { inner.shutdown() })
    }
}
