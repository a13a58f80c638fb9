//! A cluster of real nodes in one process: each node on a runtime of its own, so that it can be stopped and
//! started, and behind a front that keeps its address, records what is said, and can hold it back.

mod disk;
mod front;
mod sink;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reference_node::{
    Node,
    config::Config,
    production::Production,
    view::{Held, NodeView},
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use self::disk::SmallDisk;
pub(crate) use self::{
    front::{Front, Heard, Record},
    sink::Sink,
};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until `condition` has an answer.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Nodes `n1`, `n2`, … of one site. Mail for `mailbox.example` goes to mailboxes of `n1`, other mail to the sink.
pub(crate) struct Cluster {
    directory: TempDir,
    transport: String,
    record: Record,
    fronts: BTreeMap<String, Front>,
    running: BTreeMap<String, Running>,
    pub(crate) sink: Sink,
}

struct Running {
    runtime: Runtime,
    node: Arc<Node>,
    disk_full: Arc<AtomicBool>,
}

impl Cluster {
    /// A cluster of `count` nodes, not started yet. `transport` has lines of the nodes' `[transport]` section.
    pub(crate) fn new(count: usize, transport: &str) -> Self {
        let record = Arc::new(Mutex::new(Vec::new()));
        let fronts = (1..=count)
            .map(|n| {
                (
                    format!("n{n}"),
                    Front::new(&format!("n{n}"), record.clone()),
                )
            })
            .collect();
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            transport: transport.to_owned(),
            record,
            fronts,
            running: BTreeMap::new(),
            sink: Sink::new(),
        }
    }

    /// …and all of them started.
    pub(crate) fn started(count: usize, transport: &str) -> Self {
        let mut cluster = Self::new(count, transport);
        for n in 1..=count {
            cluster.start(&format!("n{n}"));
        }
        cluster
    }

    pub(crate) fn start(&mut self, name: &str) {
        let config = Config::parse(&self.config(name)).expect("a good configuration");
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let disk_full = Arc::new(AtomicBool::new(false));
        let env = SmallDisk {
            inner: Production::new(&config.data).expect("a directory"),
            full: disk_full.clone(),
        };
        let node = runtime
            .block_on(Node::start(config, Arc::new(env)))
            .expect("a node");
        self.fronts[name].lead_to(Some(node.address().to_owned()));
        self.running.insert(
            name.to_owned(),
            Running {
                runtime,
                node,
                disk_full,
            },
        );
    }

    fn config(&self, name: &str) -> String {
        let data = self.directory.path().join(name);
        let mut text = format!(
            "name = \"{name}\"\ndata = {data:?}\nlisten = \"127.0.0.1:0\"\nsecret = \"s\"\n[transport]\n\
             ShadowHeartbeatFrequency = \"200ms\"\nTransientFailureRetryInterval = \"100ms\"\n\
             OutboundConnectionFailureRetryInterval = \"100ms\"\n{}\n[send-connector]\nSmtpMaxSessionsPerNextHop = 1\n",
            self.transport
        );
        text.push_str(&self.servers());
        text.push_str("[[route]]\ndomain = \"mailbox.example\"\nmailbox-server = \"n1\"\n");
        text.push_str(&format!(
            "[[route]]\ndomain = \"*\"\nsmart-host = \"{}\"\n",
            self.sink.address()
        ));
        text
    }

    /// Ends a node where it stands. Its databases stay.
    pub(crate) fn stop(&mut self, name: &str) {
        self.fronts[name].lead_to(None);
        if let Some(Running { runtime, node, .. }) = self.running.remove(name) {
            drop(node);
            runtime.shutdown_timeout(DEADLINE);
        }
    }

    /// Takes a stopped node's transport database away.
    pub(crate) fn lose_database(&self, name: &str) {
        fs::remove_file(self.directory.path().join(name).join("transport.redb"))
            .expect("a database");
    }

    /// A stopped node's transport database, as it is now.
    pub(crate) fn database(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(name).join("transport.redb")).expect("a database")
    }

    /// Puts an earlier one back.
    pub(crate) fn put_back(&self, name: &str, database: &[u8]) {
        fs::write(
            self.directory.path().join(name).join("transport.redb"),
            database,
        )
        .expect("written");
    }

    pub(crate) fn front(&self, name: &str) -> &Front {
        &self.fronts[name]
    }

    pub(crate) fn view(&self, name: &str) -> NodeView {
        self.running[name].node.view().expect("a readable database")
    }

    /// Whether the node's disk is full from now on.
    pub(crate) fn fill_disk(&self, name: &str, full: bool) {
        self.running[name].disk_full.store(full, Ordering::SeqCst);
    }

    /// Why the node refuses mail.
    pub(crate) fn failure(&self, name: &str) -> Option<String> {
        self.running[name].node.failure().map(str::to_owned)
    }

    /// What a mailbox shows, as text.
    pub(crate) fn mailbox(&self, address: &str) -> Vec<String> {
        let all = self.running["n1"]
            .node
            .mailboxes()
            .expect("a readable database");
        let found = all.into_iter().find(|(a, _)| a == address);
        found.map_or_else(Vec::new, |(_, mail)| {
            mail.iter()
                .map(|m| String::from_utf8_lossy(&m.content).into_owned())
                .collect()
        })
    }

    /// Everything that went through the fronts, in one order.
    pub(crate) fn record(&self) -> Vec<Heard> {
        self.record.lock().expect("no panic under the lock").clone()
    }

    /// A client's session with a node, after `hello`.
    pub(crate) fn client(&self, node: &str, hello: &str) -> Client {
        Client::greeted(self.fronts[node].address(), hello)
    }

    /// The `[[server]]` sections that every server of this cluster has.
    pub(crate) fn servers(&self) -> String {
        self.fronts
            .iter()
            .map(|(name, front)| {
                format!(
                    "[[server]]\nname = \"{name}\"\naddress = \"{}\"\nsite = \"s\"\n",
                    front.address()
                )
            })
            .collect()
    }
}

impl Client {
    /// A session with whoever listens at this address, after `hello`.
    pub(crate) fn greeted(address: &str, hello: &str) -> Self {
        let mut client = Self::connect(address);
        client.reply();
        client.say(hello);
        client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for name in self.fronts.keys().cloned().collect::<Vec<_>>() {
            self.stop(&name);
        }
    }
}

/// The messages' Message-IDs.
pub(crate) fn ids(held: &[Held]) -> Vec<String> {
    held.iter().filter_map(|h| h.message_id.clone()).collect()
}

/// Message `n`: the same octets whenever it is made.
pub(crate) fn message(n: u32) -> String {
    format!(
        "Message-ID: <{n}@x>\r\nDate: Thu, 01 Jan 2026 00:00:0{} +0000\r\n\r\nhello\r\n",
        n % 10
    )
}

/// An SMTP client that waits for every reply.
pub(crate) struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the front listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let reader = BufReader::new(stream.try_clone().expect("a clone"));
        Self { stream, reader }
    }

    fn reply(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let count = self.reader.read_line(&mut line).expect("a reply");
            all.push_str(&line);
            if count == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return all;
            }
        }
    }

    /// Says a line; its reply.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .expect("sent");
        self.reply()
    }

    /// Sends a message; the final reply.
    pub(crate) fn send(&mut self, from: &str, to: &str, content: &str) -> String {
        for line in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>")] {
            let reply = self.say(&line);
            assert!(reply.starts_with("250"), "{line}: {reply}");
        }
        self.content(content)
    }

    /// Ends an open transaction with this content; the final reply.
    pub(crate) fn content(&mut self, content: &str) -> String {
        assert!(self.say("DATA").starts_with("354"));
        self.stream.write_all(content.as_bytes()).expect("sent");
        self.say(".")
    }
}
