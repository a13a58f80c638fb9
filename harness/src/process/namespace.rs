//! A network namespace for each node, in which every other host has an address of its own: so a partition can be made by
//! address, by the kernel, instead of by the taps.
//!
//! Comes in: nodes, and partitions. Goes out: sockets within the namespaces, for the taps; and packets that the kernel drops.
//! Needs root.
//!
//! A node in its namespace has 127.0.0.1. It finds each other host at an address of the loopback interface there, 127.1.…, at
//! which the tap listens, and what the tap passes on to it comes from another address of the sender, 127.2.… TCP has to get over
//! what is dropped: a handshake or what was sent is tried again, later and later, as on a real network that is cut.
//!
//! A link is cut where its server is: so the tap sees every attempt of the client, as it does when it cuts the link itself.
//! Only what goes to a sink, which is in the harness's own network, is cut where the client is.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::sched::{CloneFlags, setns};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::AbortHandle,
};

use crate::{
    history::Fault,
    host::{
        registry::{self, Entry, Resource},
        tool,
    },
    links::Wiring,
    tap::{Dial, bind_loopback},
};

/// Where `ip netns` keeps them.
const PLACE: &str = "/run/netns";

/// The rules of one namespace: what comes from or goes to a host of these sets is dropped.
const RULES: &str = "table ip gauntlet {
  set from { type ipv4_addr; }
  set to { type ipv4_addr; }
  chain passing {
    type filter hook input priority 0; policy accept;
    ip saddr @from drop
    ip daddr @to drop
  }
}
";

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// One namespace. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
    entry: Option<Entry>,
}

/// Those of all nodes of a cluster.
#[derive(Debug)]
pub(super) struct Namespaces {
    of: BTreeMap<String, Namespace>,
    /// All hosts that were ever named; the place gives the address.
    hosts: Mutex<Vec<String>>,
    /// Partitions that are in effect.
    cuts: Mutex<Vec<Fault>>,
}

/// A way from the harness's own loopback to a port within a namespace. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    task: AbortHandle,
}

impl Namespace {
    /// Makes one, with a loopback interface and no rule.
    ///
    /// # Errors
    /// In words: what is missing, or what the system said.
    fn new(node: &str) -> Result<Self, String> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("gauntlet-{}-{number}-{node}", std::process::id());
        let entry = Entry::new(&Resource::Namespace { name: name.clone() })
            .map_err(|e| format!("{}: {e}", registry::place().display()))?;
        ip(&["netns", "add", &name])?;
        let namespace = Self {
            name,
            entry: Some(entry),
        };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        namespace.nft(RULES)?;
        Ok(namespace)
    }

    /// Its file.
    pub(super) fn path(&self) -> PathBuf {
        Path::new(PLACE).join(&self.name)
    }

    /// A socket within it, bound to that address and any port.
    fn socket(&self, address: Ipv4Addr) -> io::Result<TcpSocket> {
        let file = File::open(self.path())?;
        // A thread of its own: it never leaves the namespace, and ends.
        let made = std::thread::Builder::new()
            .name("namespace".into())
            .spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                let socket = TcpSocket::new_v4()?;
                socket.bind((address, 0).into())?;
                io::Result::Ok(socket)
            })?
            .join();
        made.unwrap_or_else(|_| Err(io::Error::other("the thread of a namespace has panicked")))
    }

    /// Connects within it.
    pub(super) async fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        self.socket(Ipv4Addr::LOCALHOST)?.connect(target).await
    }

    /// Drops what comes from and goes to these hosts, and nothing else.
    fn drop_only(&self, from: &[Ipv4Addr], to: &[Ipv4Addr]) -> Result<(), String> {
        // One transaction: nothing passes in between that must not.
        let mut rules = String::new();
        for (set, hosts) in [("from", from), ("to", to)] {
            // Writing to a String does not fail.
            let _ = writeln!(rules, "flush set ip gauntlet {set}");
            for host in hosts {
                let _ = writeln!(rules, "add element ip gauntlet {set} {{ {host} }}");
            }
        }
        self.nft(&rules)
    }

    fn nft(&self, rules: &str) -> Result<(), String> {
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => "`nsenter` is not installed".to_owned(),
            _ => format!("nsenter: {e}"),
        };
        let mut nft = tool::command("nsenter")
            .arg(format!("--net={}", self.path().display()))
            .args(["nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = nft.stdin.take() {
            // When it takes nothing, it has said why.
            let _ = input.write_all(rules.as_bytes());
        }
        let output = nft.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("nft: {said} ({})", output.status))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let removed = ip(&["netns", "del", &self.name]);
        if let (Some(entry), Err(_)) = (self.entry.take(), removed) {
            // `gauntlet doctor --clean` finds it.
            entry.keep();
        }
    }
}

impl Namespaces {
    /// One for each of these nodes.
    ///
    /// # Errors
    /// In words.
    pub(super) fn new(nodes: &[String]) -> Result<Self, String> {
        let made = |node: &String| Ok((node.clone(), Namespace::new(node)?));
        Ok(Self {
            of: nodes.iter().map(made).collect::<Result<_, String>>()?,
            hosts: Mutex::default(),
            cuts: Mutex::default(),
        })
    }

    /// The node's.
    pub(super) fn of(&self, node: &str) -> Option<&Namespace> {
        self.of.get(node)
    }

    /// A way to a port of a node for what is no mail.
    pub(super) fn door(self: &Arc<Self>, node: &str, target: SocketAddr) -> io::Result<Door> {
        let listener = bind_loopback()?;
        let address = listener.local_addr()?;
        let (all, node) = (self.clone(), node.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                let (all, node) = (all.clone(), node.clone());
                tokio::spawn(async move {
                    let Some(namespace) = all.of(&node) else {
                        return;
                    };
                    if let Ok(mut inside) = namespace.connect(target).await {
                        // How it ends is seen on both sides.
                        let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                    }
                });
            }
        });
        Ok(Door {
            address,
            task: task.abort_handle(),
        })
    }

    /// A partition begins.
    ///
    /// # Errors
    /// The kernel does not take the rules, in words. Nothing is cut then.
    pub(super) fn begin(&self, partition: &Fault) -> Result<(), String> {
        let mut cuts = lock(&self.cuts);
        cuts.push(partition.clone());
        let done = self.apply(&cuts);
        if done.is_err() {
            cuts.pop();
            // What was cut before is cut still.
            let _ = self.apply(&cuts);
        }
        done
    }

    /// …and ends, if it is in effect.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) fn end(&self, partition: &Fault) -> Result<bool, String> {
        let mut cuts = lock(&self.cuts);
        let Some(at) = cuts.iter().position(|other| other == partition) else {
            return Ok(false);
        };
        cuts.remove(at);
        self.apply(&cuts).map(|()| true)
    }

    fn apply(&self, cuts: &[Fault]) -> Result<(), String> {
        for (node, namespace) in &self.of {
            let (from, to) = silent(cuts, node);
            let address = |host: &str| {
                let sink = !self.of.contains_key(host) && !host.starts_with("client-");
                let role = if sink { Role::Server } else { Role::Client };
                self.address(host, role)
            };
            let addresses =
                |hosts: Vec<&str>| -> Vec<Ipv4Addr> { hosts.into_iter().map(address).collect() };
            namespace.drop_only(&addresses(from), &addresses(to))?;
        }
        Ok(())
    }

    /// The address that a host has in every namespace but its own.
    fn address(&self, host: &str, role: Role) -> Ipv4Addr {
        let mut hosts = lock(&self.hosts);
        let place = match hosts.iter().position(|known| known == host) {
            Some(place) => place,
            None => {
                hosts.push(host.to_owned());
                hosts.len() - 1
            }
        };
        address_at(place, role)
    }
}

/// What a host is to the node whose namespace it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It connects to the node.
    Client,
    /// The node connects to it.
    Server,
}

/// 127.1.0.1 and so on for servers, 127.2.0.1 and so on for clients.
fn address_at(place: usize, role: Role) -> Ipv4Addr {
    // No cluster has so many hosts; addresses that are given twice would cut more than was meant, and nothing else.
    let number = u32::try_from(place).unwrap_or(u32::MAX) % 0xfffe;
    let first = match role {
        Role::Server => 0x7f01_0001,
        Role::Client => 0x7f02_0001,
    };
    Ipv4Addr::from(first + number)
}

/// From whom nothing comes to a node, and to whom nothing gets from it.
fn silent<'f>(cuts: &'f [Fault], node: &str) -> (Vec<&'f str>, Vec<&'f str>) {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for cut in cuts {
        let Fault::Partition { a, b, one_way } = cut else {
            continue;
        };
        if a == node {
            to.push(b.as_str());
        }
        if b == node {
            from.push(a.as_str());
        }
        if !one_way {
            if a == node {
                from.push(b);
            }
            if b == node {
                to.push(a);
            }
        }
    }
    for list in [&mut from, &mut to] {
        list.sort_unstable();
        list.dedup();
    }
    (from, to)
}

impl Wiring for Arc<Namespaces> {
    /// In the harness's own namespace when `from` is no node.
    fn listen(&self, from: &str, to: &str) -> io::Result<TcpListener> {
        match self.of(from) {
            Some(namespace) => {
                let address = self.address(to, Role::Server);
                namespace.socket(address)?.listen(BACKLOG)
            }
            None => bind_loopback(),
        }
    }

    /// From the harness's own namespace when `to` is no node.
    fn dial(&self, from: &str, to: &str) -> Option<Dial> {
        self.of(to)?;
        let (all, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        Some(Dial::new(move |target| {
            let socket = match all.of(&to) {
                Some(namespace) => namespace.socket(all.address(&from, Role::Client)),
                None => TcpSocket::new_v4(),
            };
            Box::pin(async move { socket?.connect(target).await })
        }))
    }
}

impl Door {
    /// Where it is, on the harness's side.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    tool::run("ip", arguments.iter().map(AsRef::as_ref))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics half way runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nodes can have namespaces of their own here; if not, what is missing. It is tried once in a process.
pub(super) fn available() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    let attempt = || {
        if !nix::unistd::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let namespace = Namespace::new("trial")?;
        namespace.drop_only(&[address_at(0, Role::Client)], &[])?;
        let socket = namespace.socket(Ipv4Addr::LOCALHOST);
        socket
            .map(drop)
            .map_err(|e| format!("no socket in a network namespace: {e}"))
    };
    TRIED.get_or_init(attempt).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_whom() {
        let partition = |a: &str, b: &str, one_way| Fault::Partition {
            a: a.into(),
            b: b.into(),
            one_way,
        };
        let cuts = [
            partition("n1", "n2", true),
            partition("client-1", "n1", false),
            partition("n1", "client-1", true),
        ];
        assert_eq!(
            silent(&cuts, "n1"),
            (vec!["client-1"], vec!["client-1", "n2"])
        );
        assert_eq!(silent(&cuts, "n2"), (vec!["n1"], vec![]));
        assert_eq!(silent(&cuts, "n3"), (vec![], vec![]));
        assert_eq!(address_at(0, Role::Server), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(address_at(255, Role::Client), Ipv4Addr::new(127, 2, 1, 0));
    }
}
