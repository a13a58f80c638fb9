//! A cluster in memory for tests: nodes that take mail and forward it, links without taps.
//!
//! A node keeps what it acked in a queue, and sends it to the first sink until that takes it. Its queue outlives
//! its crashes. It knows nothing of shadows.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use reference_node::env::{BoxFuture, BoxStream, Listener};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::mpsc,
    task::JoinHandle,
    time::sleep,
};

use super::{
    client::{Mail, Session},
    content::Content,
    sink::session::{Decision, Policy, SinkSession, Step, Taken},
};
use crate::{
    history::{Fault, Held, NodeView, Outcome},
    scenario::{Database, Hello, Transfer},
    substrate::{Cluster, ClusterError, Mailboxes, SharedCluster},
};

type Incoming = mpsc::UnboundedSender<(BoxStream, String)>;

/// The cluster.
pub(crate) struct FakeCluster {
    sink: String,
    hosts: Mutex<BTreeMap<String, Incoming>>,
    nodes: Mutex<BTreeMap<String, Node>>,
    log: Mutex<Vec<String>>,
    /// Nodes that cannot be started, and why.
    pub(crate) cannot_start: Mutex<BTreeMap<String, ClusterError>>,
    me: Weak<Self>,
}

#[derive(Default)]
struct Node {
    queue: Vec<Taken>,
    running: Option<JoinHandle<()>>,
    serial: u32,
}

impl FakeCluster {
    /// A cluster whose nodes send everything to `sink`.
    pub(crate) fn new(sink: &str) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            sink: sink.into(),
            hosts: Mutex::default(),
            nodes: Mutex::default(),
            log: Mutex::default(),
            cannot_start: Mutex::default(),
            me: me.clone(),
        })
    }

    /// What was done to it, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    fn noted(&self, what: String) {
        lock(&self.log).push(what);
    }

    fn bind(&self, host: &str) -> FakeListener {
        let (incoming, connections) = mpsc::unbounded_channel();
        lock(&self.hosts).insert(host.into(), incoming);
        FakeListener {
            host: host.into(),
            connections,
        }
    }

    fn stop(&self, node: &str) -> Result<(), ClusterError> {
        let running = lock(&self.nodes)
            .get_mut(node)
            .and_then(|n| n.running.take());
        let running = running.ok_or_else(|| ClusterError::State(format!("{node} does not run")))?;
        running.abort();
        lock(&self.hosts).remove(node);
        Ok(())
    }

    async fn run_node(self: Arc<Self>, node: String, mut listener: FakeListener) {
        let (work, mut queued) = mpsc::unbounded_channel::<()>();
        // A node that has a queue when it starts sends it.
        let _ = work.send(());
        let mut sessions = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Ok((stream, _)) = listener.accept() => {
                    sessions.spawn(self.clone().take_mail(node.clone(), stream, work.clone()));
                }
                Some(()) = queued.recv() => {
                    if !self.send_first(&node).await {
                        let (cluster, work) = (Arc::downgrade(&self), work.clone());
                        sessions.spawn(async move {
                            sleep(Duration::from_secs(60)).await;
                            if cluster.strong_count() > 0 {
                                let _ = work.send(());
                            }
                        });
                    } else if self.queued(&node) > 0 {
                        let _ = work.send(());
                    }
                }
            }
        }
    }

    async fn take_mail(
        self: Arc<Self>,
        node: String,
        mut stream: BoxStream,
        work: mpsc::UnboundedSender<()>,
    ) {
        struct Keep<'a>(&'a FakeCluster, &'a str);
        impl Policy for Keep<'_> {
            fn refuse(&mut self) -> Option<u16> {
                None
            }
            fn message(&mut self, taken: Taken) -> Decision {
                if let Some(node) = lock(&self.0.nodes).get_mut(self.1) {
                    node.queue.push(taken);
                }
                Decision::Accept
            }
        }
        let mut session = SinkSession::new(&node);
        let mut octets = vec![0; 4096];
        let mut said = session.greeting();
        loop {
            if stream.write_all(said.as_bytes()).await.is_err() {
                return;
            }
            said = match session.step(&mut Keep(&self, &node)) {
                Some(Step::Reply(reply)) => reply,
                Some(Step::Close(reply)) => {
                    let _ = stream.write_all(reply.as_bytes()).await;
                    return;
                }
                None => {
                    match stream.read(&mut octets).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => session.feed(&octets[..read]),
                    }
                    String::new()
                }
            };
            if self.queued(&node) > 0 {
                let _ = work.send(());
            }
        }
    }

    fn queued(&self, node: &str) -> usize {
        lock(&self.nodes).get(node).map_or(0, |n| n.queue.len())
    }

    /// Sends the queue's first message; `false`: it stays there.
    async fn send_first(&self, node: &str) -> bool {
        let Some(first) = lock(&self.nodes)
            .get(node)
            .and_then(|n| n.queue.first().cloned())
        else {
            return true;
        };
        let Ok(stream) = self.dial(node, &self.sink).await else {
            return false;
        };
        let patience = Duration::from_secs(60);
        let Ok(mut session) = Session::open(stream, node, Hello::Ehlo, patience).await else {
            return false;
        };
        let mut octets = b"Received: from somewhere\r\n".to_vec();
        octets.extend_from_slice(&first.content);
        let content = Content {
            octets,
            ..plain_content()
        };
        let mail = Mail {
            from: &first.from,
            recipients: &first.recipients,
            content: &content,
            transfer: Transfer::Data,
            cut: None,
        };
        let submitted = session.submit(mail, &mut || {}).await;
        session.quit(patience).await;
        let done = submitted.outcome == Outcome::Acked;
        if done && let Some(node) = lock(&self.nodes).get_mut(node) {
            node.queue.remove(0);
        }
        done
    }
}

/// A small message.
pub(crate) fn plain_content() -> Content {
    Content {
        octets: b"X-Gauntlet-Message: 1.1\r\nMessage-ID: <1@t>\r\n\r\n.dot\r\n".to_vec(),
        on_wire: None,
        message_id: Some("<1@t>".into()),
        date: String::new(),
        source: "plain".into(),
    }
}

impl Cluster for FakeCluster {
    fn dial(&self, from: &str, to: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (near, far) = duplex(8 * 1024);
        let host = lock(&self.hosts).get(to).cloned();
        let sent = host.is_some_and(|host| host.send((Box::new(far), from.to_owned())).is_ok());
        Box::pin(async move {
            if sent {
                Ok(Box::new(near) as BoxStream)
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        })
    }

    fn listen(&self, sink: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listener = self.bind(sink);
        Box::pin(async move { Ok(Box::new(listener) as Box<dyn Listener>) })
    }

    fn start(
        &self,
        node: &str,
        database: Database,
    ) -> BoxFuture<'static, Result<(), ClusterError>> {
        let me = self.me.upgrade().expect("whoever calls this holds it");
        let node = node.to_owned();
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            if let Some(error) = lock(&me.cannot_start).get(&node) {
                return Err(error.clone());
            }
            if lock(&me.nodes)
                .get(&node)
                .is_some_and(|n| n.running.is_some())
            {
                return Err(ClusterError::State(format!("{node} runs")));
            }
            me.noted(format!("start {node} {database:?}"));
            let listener = me.bind(&node);
            let running = tokio::spawn(me.clone().run_node(node.clone(), listener));
            let mut nodes = lock(&me.nodes);
            let started = nodes.entry(node).or_default();
            started.running = Some(running);
            started.serial += 1;
            Ok(())
        })
    }

    fn inject(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.noted(format!("inject {fault:?}"));
        match fault {
            Fault::ProcessCrash { node } | Fault::Revert { node } => self.stop(node),
            Fault::HostCrash { node } | Fault::Destroy { node } => {
                self.stop(node)?;
                lock(&self.nodes).remove(node);
                Ok(())
            }
            Fault::BlackHole { .. } => Err(ClusterError::NotApplicable {
                fault: "a black hole".into(),
                substrate: "fake",
                reason: "it has no links".into(),
            }),
            _ => Ok(()),
        }
    }

    fn heal(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.noted(format!("heal {fault:?}"));
        Ok(())
    }

    fn snapshot(&self, node: &str) -> Result<(), ClusterError> {
        self.noted(format!("snapshot {node}"));
        Ok(())
    }

    fn view(&self, node: &str) -> BoxFuture<'static, Option<NodeView>> {
        let view = lock(&self.nodes)
            .get(node)
            .filter(|n| n.running.is_some())
            .map(|node| NodeView {
                database: format!("database-{}", node.serial),
                queue: node
                    .queue
                    .iter()
                    .map(|taken| Held {
                        transport_id: "t".into(),
                        message_id: None,
                        role: "primary".into(),
                        other: String::new(),
                        recipients: taken.recipients.clone(),
                    })
                    .collect(),
                ..NodeView::default()
            });
        Box::pin(async move { view })
    }

    fn mailboxes(&self, node: &str) -> BoxFuture<'static, Option<Mailboxes>> {
        let shown = vec![(format!("inbox@{node}"), Vec::new())];
        Box::pin(async move { Some(shown) })
    }

    fn resubmit(&self, node: &str, from_us: i64, to_us: i64) -> BoxFuture<'static, Option<u64>> {
        self.noted(format!("resubmit {node} {from_us} {to_us}"));
        Box::pin(async { Some(3) })
    }

    fn check_config(
        &self,
        settings: &[(String, String)],
    ) -> BoxFuture<'static, Result<(bool, String), ClusterError>> {
        let said = format!("{settings:?}");
        Box::pin(async move { Ok((false, said)) })
    }

    fn scaled(&self, documented: Duration) -> Duration {
        documented
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let nodes: Vec<_> = lock(&self.nodes).keys().cloned().collect();
        for node in nodes {
            let _ = self.stop(&node);
        }
        self.noted("shutdown".into());
        Box::pin(async {})
    }
}

/// Its listener.
struct FakeListener {
    host: String,
    connections: mpsc::UnboundedReceiver<(BoxStream, String)>,
}

impl Listener for FakeListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async {
            self.connections
                .recv()
                .await
                .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
        })
    }

    fn address(&self) -> String {
        self.host.clone()
    }
}

/// The cluster as the runner gets it.
pub(crate) fn shared(cluster: &Arc<FakeCluster>) -> SharedCluster {
    cluster.clone()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
