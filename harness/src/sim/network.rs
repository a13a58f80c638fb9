//! The simulated network: hosts by name, links between them, and what TCP makes of their faults.
//!
//! Comes in: connects, listens, octets, faults. Goes out: streams that behave like TCP's, and all that a
//! tap has to see. Called by [`SimEnvironment`](super::SimEnvironment) for nodes and by
//! [`SimCluster`](super::SimCluster) for clients, sinks and faults.
//!
//! Every chunk passes its link's tap before it travels. A tap may fire a trigger that crashes hosts and
//! cuts links at once, so no lock is held while the board is called.
//!
//! Latencies are drawn between 0.5 and 2 ms; tokio's timers have a resolution of 1 ms, so that is what is seen.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
    time::Duration,
};

use rand::RngExt;
use reference_node::env::{BoxFuture, BoxStream};
use tokio::time::Instant;

use super::{
    connection::{Connection, Ended, Side},
    random,
    stream::SimListener,
};
use crate::{
    tap::{Board, Fired, Link, TapConnection},
    toxics::Stream,
};

/// The network of one run. Everything that is asked of it must be asked within the run's runtime.
pub struct SimNetwork {
    pub(super) seed: u64,
    pub(super) board: Arc<Board>,
    state: Mutex<State>,
}

/// What the tap of a connection is shared as: both ends write through it.
pub(super) type SharedTap = Arc<Mutex<TapConnection>>;

#[derive(Default)]
pub(super) struct State {
    hosts: BTreeMap<String, Host>,
    pub(super) connections: BTreeMap<u64, Connection>,
    serial: u64,
    partitions: Vec<Cut>,
    /// One for each fault: the link, and the direction when it is only one.
    black_holes: Vec<(String, Option<Stream>)>,
    down: BTreeSet<String>,
    pub(super) delays: BTreeMap<String, Duration>,
    latencies: BTreeMap<String, Duration>,
    /// Those who connect and hear nothing, until something changes for the better.
    pub(super) waiting: BTreeMap<u64, Waker>,
    pub(super) changes: u64,
    pub(super) over: bool,
    /// To be done when the lock is let go.
    pub(super) wakes: Vec<Waker>,
    pub(super) ended: Vec<Ended>,
}

#[derive(Default)]
pub(super) struct Host {
    down: bool,
    /// How many processes on it have ended.
    pub(super) crashes: u64,
    listener: Option<Bound>,
}

struct Bound {
    id: u64,
    backlog: VecDeque<u64>,
    waker: Option<Waker>,
}

#[derive(PartialEq)]
struct Cut {
    a: String,
    b: String,
    one_way: bool,
}

impl Cut {
    fn holds(&self, from: &str, to: &str) -> bool {
        (self.a == from && self.b == to) || (!self.one_way && self.a == to && self.b == from)
    }
}

/// What answers a SYN.
pub(super) enum Answer {
    Silence,
    Refusal,
    Welcome,
}

impl SimNetwork {
    /// A network without faults. `seed` gives the latencies of links.
    pub fn new(seed: u64, board: Arc<Board>) -> Arc<Self> {
        Arc::new(Self {
            seed,
            board,
            state: Mutex::default(),
        })
    }

    /// Opens a connection from one host to the other.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] when the host lives and nobody listens. A host that is down, or
    /// that cannot be reached, is tried for ever: the caller gives up by dropping the future.
    pub fn connect(
        self: &Arc<Self>,
        from: &str,
        to: &str,
    ) -> BoxFuture<'static, io::Result<BoxStream>> {
        let stream = self.clone().open(from.to_owned(), to.to_owned());
        Box::pin(async move { Ok(Box::new(stream.await?) as BoxStream) })
    }

    /// Listens on a host.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when the host listens already.
    pub fn listen(self: &Arc<Self>, host: &str) -> io::Result<SimListener> {
        self.with(|state| {
            let id = state.next_serial();
            let bound = &mut state.host(host).listener;
            if bound.is_some() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            *bound = Some(Bound {
                id,
                backlog: VecDeque::new(),
                waker: None,
            });
            Ok(SimListener::new(self.clone(), host.to_owned(), id))
        })
    }

    /// Holds back what goes between two hosts (or only from `a` to `b`) until [`heal_partition`](Self::heal_partition).
    pub fn partition(&self, a: &str, b: &str, one_way: bool) {
        let cut = Cut {
            a: a.to_owned(),
            b: b.to_owned(),
            one_way,
        };
        self.with(|state| {
            if !state.partitions.contains(&cut) {
                state.partitions.push(cut);
                state.apply_partitions();
            }
        });
    }

    /// Takes that partition back, and no other that holds back the same octets.
    pub fn heal_partition(&self, a: &str, b: &str, one_way: bool) {
        self.with(|state| {
            let healed =
                |c: &Cut| c.one_way == one_way && (c.holds(a, b) && (one_way || c.holds(b, a)));
            state.partitions.retain(|c| !healed(c));
            state.apply_partitions();
            state.change();
        });
    }

    /// Octets of the link's open connections vanish, now and for good, in one direction or in both; new connections hang.
    pub fn black_hole(&self, link: &str, stream: Option<Stream>) {
        self.with(|state| {
            let now = Instant::now();
            state.black_holes.push((link.to_owned(), stream));
            for connection in state.connections.values_mut() {
                if connection.link == link {
                    connection.vanish(stream, now);
                }
            }
        });
    }

    /// Takes one of them back: new connections can be opened again. The old ones never recover.
    pub fn heal_black_hole(&self, link: &str, stream: Option<Stream>) {
        self.with(|state| {
            let holes = &mut state.black_holes;
            let at = holes
                .iter()
                .position(|(on, way)| on == link && *way == stream);
            if let Some(at) = at {
                holes.remove(at);
            }
            state.change();
        });
    }

    /// Both ends of the link's open connections see a reset, and new ones are refused.
    pub fn take_down(&self, link: &str) {
        self.with(|state| state.down.insert(link.to_owned()));
        self.reset(link);
    }

    /// …and are taken again.
    pub fn bring_up(&self, link: &str) {
        self.with(|state| state.down.remove(link));
    }

    /// The link of that name, as the board has it.
    pub(super) fn link(&self, name: &str) -> Arc<Link> {
        let (from, to) = name.split_once('>').unwrap_or((name, ""));
        self.board.link(from, to)
    }

    /// Octets of the link that are sent from now on take so much longer, in each direction.
    /// [`Duration::ZERO`] takes it back.
    pub fn delay(&self, link: &str, latency: Duration) {
        self.with(|state| {
            state.delays.remove(link);
            if !latency.is_zero() {
                state.delays.insert(link.to_owned(), latency);
            }
            for connection in state.connections.values_mut() {
                if connection.link == link {
                    connection.delay = latency;
                }
            }
        });
    }

    /// Both ends of the link's open connections see a reset.
    pub fn reset(&self, link: &str) {
        self.with(|state| {
            let now = Instant::now();
            for connection in state.connections.values_mut() {
                if connection.link == link {
                    let ended = connection.reset_by_tap(now, &mut state.wakes);
                    state.ended.extend(ended);
                }
            }
        });
    }

    /// The host's process ends: peers see a reset, the kernel lives on.
    pub fn process_crash(&self, host: &str) {
        self.with(|state| state.crash(host, Connection::process_gone));
    }

    /// The host shuts down: its process closes its connections as it ends, and then nobody answers there.
    pub fn host_shutdown(&self, host: &str) {
        self.with(|state| {
            state.host(host).down = true;
            state.crash(host, |connection, side, _, wakes| {
                connection
                    .is_held(side)
                    .then(|| connection.close(side, wakes))
                    .flatten()
            });
        });
    }

    /// The host loses power: its connections fall silent.
    pub fn host_crash(&self, host: &str) {
        self.with(|state| {
            state.host(host).down = true;
            state.crash(host, |connection, side, now, _| {
                connection.host_gone(side, now);
                None
            });
        });
    }

    /// The host is saved and stopped: its connections are dead for the others, as after a power loss, and nobody tells
    /// them. It still has its ports when it is up again; its own ends of the connections stay silent.
    pub fn host_saved(&self, host: &str) {
        self.with(|state| {
            state.host(host).down = true;
            let now = Instant::now();
            for connection in state.connections.values_mut() {
                for side in [Side::Client, Side::Server] {
                    if connection.is_at(side, host) {
                        connection.host_gone(side, now);
                    }
                }
            }
        });
    }

    /// The host has power again: what peers have sent, or will send, on old connections is answered by a reset.
    pub fn host_up(&self, host: &str) {
        self.with(|state| {
            if !std::mem::take(&mut state.host(host).down) {
                return;
            }
            let now = Instant::now();
            for connection in state.connections.values_mut() {
                let ended = connection.host_back(host, now, &mut state.wakes);
                state.ended.extend(ended);
            }
            state.change();
        });
    }

    /// Forgets everything. Streams and listeners that are still held do nothing any more, and no tap sees them end.
    pub fn shutdown(&self) {
        let forgotten = self.with(|state| {
            state.over = true;
            state.hosts.values_mut().for_each(|h| h.listener = None);
            std::mem::take(&mut state.connections)
        });
        drop(forgotten);
    }

    /// Does something under the lock; then wakes whom it woke, and tells taps what ended.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // Nothing that panics half way runs under this lock.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let value = act(&mut state);
        if state.wakes.is_empty() && state.ended.is_empty() {
            return value;
        }
        let (wakes, ended) = (
            std::mem::take(&mut state.wakes),
            std::mem::take(&mut state.ended),
        );
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        ended.into_iter().for_each(Ended::tell);
        value
    }
}

impl State {
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.entry(name.to_owned()).or_default()
    }

    pub(super) fn latency(&mut self, seed: u64, link: &str) -> Duration {
        if let Some(latency) = self.latencies.get(link) {
            return *latency;
        }
        let micros = random::stream(seed, &format!("latency {link}")).random_range(500..=2000);
        let latency = Duration::from_micros(micros);
        self.latencies.insert(link.to_owned(), latency);
        latency
    }

    /// Octets of new connections of this link can go from one host to the other.
    pub(super) fn is_open(&self, link: &str, from: &str, to: &str) -> bool {
        !self.black_holes.iter().any(|(on, _)| on == link)
            && !self.partitions.iter().any(|c| c.holds(from, to))
    }

    pub(super) fn answer(&mut self, link: &str, from: &str, to: &str) -> Answer {
        if self.over || !self.is_open(link, from, to) {
            return Answer::Silence;
        }
        if self.down.contains(link) {
            return Answer::Refusal;
        }
        match self.host(to) {
            Host { down: true, .. } => Answer::Silence,
            Host { listener: None, .. } => Answer::Refusal,
            Host {
                listener: Some(_), ..
            } => Answer::Welcome,
        }
    }

    pub(super) fn establish(
        &mut self,
        link: &str,
        from: &str,
        to: &str,
        latency: Duration,
        tap: SharedTap,
    ) -> u64 {
        let id = self.next_serial();
        let now = Instant::now();
        let mut connection = Connection::new(link, from, to, latency, tap, now);
        connection.delay = self.delays.get(link).copied().unwrap_or_default();
        self.connections.insert(id, connection);
        if let Some(bound) = &mut self.host(to).listener {
            bound.backlog.push_back(id);
            let waker = bound.waker.take();
            self.wakes.extend(waker);
        }
        id
    }

    /// The next connection that waits at a listener; `None` and the waker kept when there is none.
    pub(super) fn accept(
        &mut self,
        host: &str,
        listener: u64,
        waker: &Waker,
    ) -> Option<(u64, SharedTap, String)> {
        let bound = self.hosts.get_mut(host)?.listener.as_mut();
        let bound = bound.filter(|b| b.id == listener)?;
        while let Some(id) = bound.backlog.pop_front() {
            if let Some(connection) = self.connections.get(&id) {
                return Some((id, connection.tap.clone(), connection.from().to_owned()));
            }
        }
        bound.waker = Some(waker.clone());
        None
    }

    /// The listener is gone; who has not been accepted sees a reset.
    pub(super) fn unlisten(&mut self, host: &str, listener: u64) {
        let bound = &mut self.host(host).listener;
        let Some(bound) = bound.take_if(|b| b.id == listener) else {
            return;
        };
        let now = Instant::now();
        for id in bound.backlog {
            if let Some(connection) = self.connections.get_mut(&id) {
                let ended = connection.process_gone(Side::Server, now, &mut self.wakes);
                self.ended.extend(ended);
            }
        }
        self.forget_ended();
    }

    fn crash(
        &mut self,
        host: &str,
        end: impl Fn(&mut Connection, Side, Instant, &mut Vec<Waker>) -> Option<Ended>,
    ) {
        let now = Instant::now();
        let gone = self.host(host);
        gone.crashes += 1;
        gone.listener = None;
        for connection in self.connections.values_mut() {
            for side in [Side::Client, Side::Server] {
                if connection.is_at(side, host) {
                    let ended = end(connection, side, now, &mut self.wakes);
                    self.ended.extend(ended);
                }
            }
        }
        self.forget_ended();
    }

    pub(super) fn forget_ended(&mut self) {
        self.connections.retain(|_, c| !c.is_over());
    }

    fn apply_partitions(&mut self) {
        let now = Instant::now();
        for connection in self.connections.values_mut() {
            let cuts = &self.partitions;
            connection.apply_cuts(
                |from, to| cuts.iter().any(|c| c.holds(from, to)),
                now,
                &mut self.wakes,
            );
        }
    }

    /// Something got better: those who wait for an answer try again.
    fn change(&mut self) {
        self.changes += 1;
        self.wakes
            .extend(std::mem::take(&mut self.waiting).into_values());
    }
}

/// Does something with a tap's connection without holding a lock while triggers strike.
pub(super) fn tapped(tap: &SharedTap, act: impl FnOnce(&mut TapConnection) -> Fired) -> Fired {
    // The board does not panic; and if it did, the observer is still usable.
    act(&mut tap.lock().unwrap_or_else(PoisonError::into_inner))
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.with(|s| s.connections.len());
        f.debug_struct("SimNetwork")
            .field("seed", &self.seed)
            .field("connections", &open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
