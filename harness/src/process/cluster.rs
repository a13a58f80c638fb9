//! The cluster of real processes, as the runner drives it.
//!
//! Comes in: [`Cluster`] calls. Goes out: signals to processes, states of taps, answers of nodes. How a node is
//! started stands in [`start`](super::start).

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reference_node::{
    env::{BoxFuture, BoxStream, Listener, Timestamp},
    shadow::peer::PeerSession,
};
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};

use super::{
    NodeCommand, clock,
    disk::NodeFiles,
    namespace::{self, Door, Namespaces},
    needs,
    node::{Running, Stopped},
    tracking::TrackingTail,
};
use crate::{
    check,
    history::{Fault, NodeView},
    host::{
        cgroup::{self, Cgroup},
        volume::{self, Volume},
    },
    links::{LinkError, Links, Loopback, SinkListener, Wiring},
    scenario::{Database, Plan, Scenario},
    substrate::{Cluster, ClusterError, Endpoint, Mailboxes, settings_config},
    tap::Board,
    toxics::remote::Remote,
};

pub(super) const SECRET: &str = "the secret of an organization on loopback";

/// How often tracking logs are read while nodes run.
const TRACKING_INTERVAL: Duration = Duration::from_millis(50);

/// How long a resubmission or a check of a configuration may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How partitions are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// By the taps, which hold back what they carry; needs nothing
    #[default]
    Taps,
    /// By address: each node in a network namespace of its own, in which the kernel drops packets; needs root
    Namespaces,
}

/// How a cluster of processes is made.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// `nodes/` of the run directory: each node gets a directory in it.
    pub nodes: PathBuf,
    /// What is started.
    pub command: NodeCommand,
    /// Every documented duration is divided by this; 0 counts as 1.
    pub time_scale: u32,
    /// How partitions are made.
    pub network: Network,
    /// Deliberately broken behaviour of all nodes.
    pub sabotage: Option<String>,
}

/// Nodes as processes on loopback, every link through a tap.
#[derive(Clone)]
pub struct ProcessCluster {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) scenario: Scenario,
    pub(super) options: ProcessOptions,
    board: Arc<Board>,
    pub(super) links: Arc<Links>,
    /// Where the nodes are, when each has a network of its own.
    pub(super) namespaces: Option<Arc<Namespaces>>,
    endpoint: Endpoint,
    nodes: Mutex<BTreeMap<String, Node>>,
    /// Unix time at which the history's clock began, microseconds.
    epoch_us: i64,
    tracking: AbortHandle,
}

/// A node of the cluster.
pub(super) struct Node {
    pub(super) running: Option<Running>,
    pub(super) files: NodeFiles,
    /// Counts starts.
    pub(super) incarnation: u32,
    /// Where its HTTP endpoint is, while it takes mail.
    pub(super) http: Option<SocketAddr>,
    /// The way to it, where that leads into another network.
    pub(super) door: Option<Door>,
    tail: TrackingTail,
    /// Its wall clock can be set.
    pub(super) own_clock: bool,
    /// What holds it to a part of a processor.
    starved: Option<Cgroup>,
}

impl ProcessCluster {
    /// The plan's cluster, with every node stopped and every disk empty. Must be called inside a tokio runtime
    /// with real time.
    ///
    /// # Errors
    /// A node's directory cannot be made.
    pub fn new(
        plan: &Plan,
        board: Arc<Board>,
        options: ProcessOptions,
    ) -> Result<Self, ClusterError> {
        let mut nodes = BTreeMap::new();
        for name in &plan.scenario.cluster.nodes {
            let own_disk = needs::own_disk(&plan.scenario, name);
            if let Some(fault) = own_disk {
                volume::available().map_err(|reason| not_applicable(fault, name, reason))?;
            }
            if needs::own_cgroup(&plan.scenario, name) {
                cgroup::available()
                    .map_err(|reason| not_applicable("a starved processor", name, reason))?;
            }
            let files = NodeFiles::create(&options.nodes, name, own_disk.is_some())
                .map_err(io_error(format!("make the disk of {name}")))?;
            let node = Node {
                running: None,
                incarnation: 0,
                http: None,
                door: None,
                tail: TrackingTail::new(name, files.tracking()),
                own_clock: needs::own_clock(&plan.scenario, name),
                starved: None,
                files,
            };
            nodes.insert(name.clone(), node);
        }
        let namespaces = match options.network {
            Network::Taps => None,
            Network::Namespaces => {
                let made = namespace::available()
                    .and_then(|()| Namespaces::new(&plan.scenario.cluster.nodes));
                let missing =
                    |reason| ClusterError::Missing(format!("`--network namespaces`: {reason}"));
                Some(Arc::new(made.map_err(missing)?))
            }
        };
        let wiring: Arc<dyn Wiring> = match &namespaces {
            Some(all) => Arc::new(all.clone()),
            None => Arc::new(Loopback),
        };
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros();
        let epoch_us = i64::try_from(epoch)
            .unwrap_or(i64::MAX)
            .saturating_sub_unsigned(board.recorder().now_us());
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| Inner {
            links: Arc::new(Links::new(board.clone(), plan.seed, wiring)),
            namespaces,
            endpoint: Endpoint::new(),
            scenario: plan.scenario.clone(),
            nodes: Mutex::new(nodes),
            epoch_us,
            tracking: tokio::spawn(follow_tracking(inner.clone())).abort_handle(),
            options,
            board,
        });
        Ok(Self { inner })
    }
}

#[cfg(test)]
impl ProcessCluster {
    pub(super) fn disk_of(&self, name: &str) -> PathBuf {
        self.inner.nodes()[name].files.data()
    }

    /// Files of the nodes' network namespaces.
    pub(super) fn names_of_namespaces(&self) -> Vec<PathBuf> {
        let nodes = &self.inner.scenario.cluster.nodes;
        let all = self.inner.namespaces.as_ref();
        let of = |node: &String| all?.of(node).map(namespace::Namespace::path);
        nodes.iter().filter_map(of).collect()
    }

    /// How often it was held back; `None` when nothing holds it.
    pub(super) fn throttled_of(&self, name: &str) -> Option<u64> {
        let nodes = self.inner.nodes();
        let group = nodes[name].starved.as_ref()?;
        Some(group.throttled().expect("cpu.stat"))
    }
}

impl ProcessCluster {
    /// Lets all links run through proxies of that Toxiproxy instead of taps of our own. Nothing is known of the SMTP on them
    /// then; the history says so. To be called before the first link is used.
    pub fn use_toxiproxy(&self, remote: Arc<Remote>) {
        self.inner.links.use_toxiproxy(remote);
    }
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

pub(super) fn not_applicable(fault: &str, node: &str, reason: String) -> ClusterError {
    ClusterError::NotApplicable {
        fault: format!("{fault} of {node}"),
        substrate: "process",
        reason,
    }
}

/// The node's own file system, which only those nodes have that the scenario means.
fn own_disk<'n>(node: &'n Node, name: &str, fault: &str) -> Result<&'n Volume, ClusterError> {
    node.files.volume().ok_or_else(|| {
        let reason = "the node shares a file system with everything else here: no step of the scenario strikes its own";
        not_applicable(fault, name, reason.into())
    })
}

fn cut_error(error: String) -> ClusterError {
    ClusterError::Io {
        what: "drop packets in the nodes' networks".into(),
        error,
    }
}

fn process_in(group: &Cgroup, process: Option<i32>) -> io::Result<()> {
    process.map_or(Ok(()), |process| group.add(process))
}

fn not_running(name: &str) -> ClusterError {
    ClusterError::State(format!("{name} does not run"))
}

impl Node {
    /// Kills it, when it runs; says whether it did. What is stopped shows its disk.
    fn stop(&mut self) -> (Stopped, bool) {
        self.http = None;
        self.door = None;
        match self.running.take() {
            Some(running) => (running.kill(), true),
            None => (Stopped::new(self.files.clone()), false),
        }
    }

    fn starve(&mut self, name: &str, percent: u32) -> Result<(), ClusterError> {
        cgroup::available()
            .map_err(|reason| not_applicable("a starved processor", name, reason))?;
        let starve = |group: &mut Option<Cgroup>, process| {
            // A second time it gets another share.
            if let Some(before) = group.take() {
                before.remove()?;
            }
            let made = group.insert(Cgroup::new(name, percent)?);
            process_in(made, process)
        };
        let process = self.running.as_ref().and_then(Running::process);
        starve(&mut self.starved, process).map_err(io_error(format!("starve {name}")))
    }

    /// A node that starts while it is starved is so from its beginning.
    pub(super) fn starve_new(&self) -> io::Result<()> {
        let process = self.running.as_ref().and_then(Running::process);
        match &self.starved {
            Some(group) => process_in(group, process),
            None => Ok(()),
        }
    }

    /// The disk was lost or put back, and the log with it where it is on that disk.
    fn skip_lost_tracking(&mut self) {
        if !self.files.keeps_tracking() {
            self.tail.skip_to_end();
        }
    }
}

impl Inner {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        // A panic under the lock leaves at worst a node that is taken for stopped, and was killed by its drop.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.nodes()
            .values_mut()
            .for_each(|node| node.tail.follow(self.board.recorder()));
    }

    /// Kills a node. Its port is free for another program then: no tap leads there any more.
    pub(super) fn stop(&self, name: &str, node: &mut Node) -> (Stopped, bool) {
        self.links.set_target(None, name, None);
        let stopped = node.stop();
        node.tail.follow(self.board.recorder());
        stopped
    }

    pub(super) fn scaled(&self, documented: Duration) -> Duration {
        documented / self.options.time_scale.max(1)
    }

    fn inject(&self, fault: &Fault) -> Result<(), ClusterError> {
        match fault {
            Fault::ProcessCrash { node: name } => self.with_node(name, |node| {
                let (_, ran) = self.stop(name, node);
                if ran { Ok(()) } else { Err(not_running(name)) }
            }),
            Fault::HostCrash { node: name } => self.host_crash(name),
            Fault::Destroy { node: name } => self.with_node(name, |node| {
                let (stopped, _) = self.stop(name, node);
                let destroyed = stopped.files().destroy();
                node.skip_lost_tracking();
                destroyed.map_err(io_error(format!("remove the disk of {name}")))
            }),
            Fault::Freeze { node: name } => self.with_node(name, |node| {
                let running = node.running.as_mut().ok_or_else(|| not_running(name))?;
                running.freeze().map_err(io_error(format!("stop {name}")))
            }),
            Fault::Revert { node: name } => self.with_node(name, |node| {
                if !node.files.has_snapshot() {
                    return Err(ClusterError::State(format!("there is no snapshot of {name}")));
                }
                let (stopped, _) = self.stop(name, node);
                let reverted = stopped.files().revert();
                node.skip_lost_tracking();
                reverted.map_err(io_error(format!("put the disk of {name} back")))
            }),
            Fault::DiskFull { node: name } => self.with_node(name, |node| {
                let full = own_disk(node, name, "a full disk")?.fill();
                full.map_err(io_error(format!("fill the disk of {name}")))
            }),
            Fault::DiskReadOnly { node: name } => self.with_node(name, |node| {
                let failing = own_disk(node, name, "a read-only disk")?.make_read_only();
                failing.map_err(io_error(format!("let the disk of {name} be read-only")))
            }),
            Fault::ClockJump {
                node: name,
                offset_ms,
            } => self.set_offset(name, *offset_ms),
            Fault::CpuStarved {
                node: name,
                percent,
            } => self.with_node(name, |node| node.starve(name, *percent)),
            Fault::Shutdown { node: name } => self.shut_down(name),
            Fault::Migration { node } => Err(ClusterError::NotApplicable {
                fault: format!("a live migration of {node}"),
                substrate: "process",
                reason: "a process has no memory and devices that could move to another host; it needs a virtual machine \
                         (substrate `vm`; `sim` has a model)"
                    .into(),
            }),
            Fault::Ballooned { node, .. } => Err(ClusterError::NotApplicable {
                fault: format!("memory taken from {node}"),
                substrate: "process",
                reason: "a process has no memory of its own that a host could take; it needs a virtual machine (substrate \
                         `vm`)"
                    .into(),
            }),
            Fault::Save { node } => Err(ClusterError::NotApplicable {
                fault: format!("a saved state of {node}"),
                substrate: "process",
                reason: "a process has no memory image that could be put back; it needs a virtual machine (substrate `sim` \
                         has a model)"
                    .into(),
            }),
            Fault::Partition { a, b, .. } => {
                self.check_host(a)?;
                self.check_host(b)?;
                match &self.namespaces {
                    Some(all) => all.begin(fault).map_err(cut_error),
                    None => self.begin(fault),
                }
            }
            Fault::BlackHole { link, .. }
            | Fault::Delay { link, .. }
            | Fault::Reset { link }
            | Fault::Toxic { link, .. }
            | Fault::Down { link }
            | Fault::Garble { link }
            | Fault::DelayReply { link, .. } => {
                let (from, to) = link.split_once('>').ok_or_else(|| ClusterError::Unknown(format!("link {link}")))?;
                self.check_host(from)?;
                self.check_host(to)?;
                self.begin(fault)
            }
        }
    }

    /// The power of the host goes first: what the process does in its last moments reaches neither disk nor network.
    fn host_crash(&self, name: &str) -> Result<(), ClusterError> {
        let fault = Fault::HostCrash { node: name.into() };
        self.with_node(name, |node| {
            if node.running.is_none() {
                return Err(not_running(name));
            }
            let disk = own_disk(node, name, "a crash of the host")?;
            self.begin(&fault)?;
            let dark = disk.cut_power();
            self.stop(name, node);
            if dark.is_err() {
                self.links.end(&fault);
            }
            dark.map_err(io_error(format!("take the power from the disk of {name}")))
        })
    }

    /// SIGTERM, and the end of the process. What it wrote is the kernel's, and stays.
    fn shut_down(&self, name: &str) -> Result<(), ClusterError> {
        self.with_node(name, |node| {
            let running = node.running.as_mut().ok_or_else(|| not_running(name))?;
            if running.is_frozen() {
                return Err(ClusterError::State(format!("{name} stands still")));
            }
            let ended = running.terminate();
            // One that does not end in an orderly way is ended all the same.
            self.stop(name, node);
            ended.map_err(io_error(format!("shut {name} down")))
        })
    }

    fn set_offset(&self, name: &str, documented_ms: i64) -> Result<(), ClusterError> {
        let scaled = documented_ms / i64::from(self.options.time_scale.max(1));
        self.with_node(name, |node| {
            if !node.own_clock {
                let reason = "the node goes by the system's clock, which nobody touches: no step of the scenario sets its own";
                return Err(not_applicable("a clock jump", name, reason.into()));
            }
            let set = clock::set(&node.files.clock_offset(), scaled);
            set.map_err(io_error(format!("set the clock of {name}")))
        })
    }

    fn begin(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.links.begin(fault).map_err(|error| match error {
            LinkError::ToxicExists => ClusterError::State(error.to_string()),
            LinkError::NotApplicable(reason) => ClusterError::NotApplicable {
                fault: format!("this fault ({})", check::evidence::fault(fault)),
                substrate: "process through a Toxiproxy",
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
        if let Fault::Freeze { node: name } = fault {
            return self.with_node(name, |node| match &mut node.running {
                Some(running) => running.thaw().map_err(io_error(format!("continue {name}"))),
                None => Err(not_running(name)),
            });
        }
        if let Fault::DiskFull { node: name } = fault {
            return self.with_node(name, |node| {
                let freed = own_disk(node, name, "a full disk")?.make_room();
                freed.map_err(io_error(format!("make room on the disk of {name}")))
            });
        }
        match fault {
            Fault::DiskReadOnly { node: name } => {
                return self.with_node(name, |node| {
                    // Its files are open as long as it runs.
                    self.stop(name, node);
                    let repaired = own_disk(node, name, "a read-only disk")?.repair();
                    repaired.map_err(|error| ClusterError::Io {
                        what: format!("repair the disk of {name}"),
                        error,
                    })
                });
            }
            Fault::Partition { .. } if self.namespaces.is_some() => {
                let ended = self
                    .namespaces
                    .as_ref()
                    .map_or(Ok(false), |all| all.end(fault));
                return match ended.map_err(cut_error)? {
                    true => Ok(()),
                    false => Err(ClusterError::State(
                        "nothing of this kind is in effect".into(),
                    )),
                };
            }
            Fault::ClockJump { node, .. } => return self.set_offset(node, 0),
            Fault::CpuStarved { node: name, .. } => {
                return self.with_node(name, |node| {
                    let fed = node.starved.take().map(Cgroup::remove).unwrap_or(Ok(()));
                    fed.map_err(io_error(format!("feed {name}")))
                });
            }
            _ => {}
        }
        if self.links.end(fault) {
            Ok(())
        } else {
            Err(ClusterError::State(
                "nothing of this kind is in effect".into(),
            ))
        }
    }

    fn http(&self, node: &str) -> Option<SocketAddr> {
        self.nodes().get(node)?.http
    }

    async fn dial(&self, from: &str, to: &str) -> io::Result<BoxStream> {
        let stream = TcpStream::connect(self.links.address(from, to)?).await?;
        // What is written together is to be sent at once. It fails when the tap has reset the connection; so will reading.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }

    fn listen(&self, sink: &str) -> io::Result<SinkListener> {
        SinkListener::bind(sink, &self.scenario.cluster.nodes, self.links.clone())
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

    async fn check_config(
        &self,
        settings: &[(String, String)],
    ) -> Result<(bool, String), ClusterError> {
        let failed = || io_error("let the node check a configuration".into());
        let file = self.options.nodes.join("checked.toml");
        std::fs::write(
            &file,
            settings_config(settings, self.options.sabotage.as_deref()),
        )
        .map_err(failed())?;
        let mut command = self.options.command.with_config(&file);
        let output = command.arg("--check").stdin(Stdio::null()).output();
        let output = timeout(PATIENCE, output)
            .await
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(failed())?;
        let said = if output.status.success() {
            output.stdout
        } else {
            output.stderr
        };
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&said).trim().to_string(),
        ))
    }

    fn shutdown(&self) {
        let mut nodes = self.nodes();
        for (name, node) in nodes.iter_mut() {
            self.stop(name, node);
            node.starved = None;
            node.files.retire();
        }
        drop(nodes);
        self.tracking.abort();
        self.links.shutdown();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tracking.abort();
    }
}

impl Cluster for ProcessCluster {
    fn dial(&self, from: &str, to: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (inner, from, to) = (self.inner.clone(), from.to_string(), to.to_string());
        Box::pin(async move { inner.dial(&from, &to).await })
    }

    fn listen(&self, sink: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listener = self.inner.listen(sink);
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

    fn snapshot(&self, node: &str) -> Result<(), ClusterError> {
        self.inner.with_node(node, |entry| {
            let copied = match &mut entry.running {
                Some(running) => running.snapshot(),
                None => entry.files.snapshot(),
            };
            copied.map_err(io_error(format!("copy the disk of {node}")))
        })
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
            inner
                .endpoint
                .mailboxes(inner.http(&node)?, inner.epoch_us)
                .await
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
