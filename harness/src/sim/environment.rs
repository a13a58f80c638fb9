//! What a node sees of the simulated world: clock, randomness, network, disk, tasks.
//!
//! Comes in: calls of the node's code. Goes out: the same to [`SimNetwork`], [`SimDisk`] and tokio's paused
//! time, as long as the incarnation lives. Of a dead one every call waits for ever or is an error, so that
//! code on which a trigger has pulled the plug cannot go on.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use redb::StorageBackend;
use reference_node::env::{BoxFuture, BoxStream, Environment, Listener, Timestamp};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    SimDisk, SimFile, SimListener, SimNetwork, SimStream,
    gate::{Gate, Phase},
    random,
};
use crate::{
    history::{Event, Local, Recorder},
    tap::{Board, Fired},
};

/// 2026-01-01T00:00:00Z, when every simulated run begins; milliseconds since the Unix epoch.
pub const RUN_BEGINS_MS: u64 = 1_767_225_600_000;

/// How long work on the disk takes, microseconds: least and most. Half of it passes before the work is
/// done and half after it, so that a crash can find it undone, or done and not yet told.
const DISK_LATENCY_US: std::ops::RangeInclusive<u64> = 100..=300;

/// What all nodes of a run share.
#[derive(Debug)]
pub struct World {
    /// The run's seed.
    pub seed: u64,
    /// The network.
    pub network: Arc<SimNetwork>,
    /// The run's history.
    pub recorder: Arc<Recorder>,
    /// When the run began.
    pub start: Instant,
}

impl World {
    /// Milliseconds since the Unix epoch by a clock that is right.
    pub fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        RUN_BEGINS_MS.saturating_add(elapsed)
    }
}

/// What outlives the incarnations of a node.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// The host's name, which is the node's.
    pub(crate) host: String,
    pub(crate) disk: SimDisk,
    /// The lines of the node's message tracking log.
    pub(crate) tracking: Arc<Mutex<Vec<String>>>,
    /// How far the wall clock is ahead, milliseconds.
    pub(crate) clock_offset_ms: Arc<AtomicI64>,
}

impl Machine {
    pub(crate) fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            disk: SimDisk::new(),
            tracking: Arc::default(),
            clock_offset_ms: Arc::default(),
        }
    }
}

/// The world of one incarnation of one node.
pub struct SimEnvironment {
    world: Arc<World>,
    machine: Machine,
    gate: Arc<Gate>,
    draw: Mutex<Draw>,
}

struct Draw {
    node: ChaCha8Rng,
    disk: ChaCha8Rng,
}

impl SimEnvironment {
    /// The world of the node on `machine`, in its `incarnation` (from 1).
    pub(crate) fn new(world: Arc<World>, machine: Machine, incarnation: u32) -> Self {
        let stream =
            |of: &str| random::stream(world.seed, &format!("{of} {} {incarnation}", machine.host));
        let draw = Draw {
            node: stream("node"),
            disk: stream("disk"),
        };
        Self {
            machine,
            gate: Arc::default(),
            draw: Mutex::new(draw),
            world,
        }
    }

    /// What stops and ends this incarnation.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    fn seen(&self) -> Seen {
        Seen {
            host: self.machine.host.clone(),
            board: self.world.network.board.clone(),
            gate: self.gate.clone(),
        }
    }

    fn is_dead(&self) -> bool {
        self.gate.phase() == Phase::Dead
    }

    fn draw<T>(&self, from: impl FnOnce(&mut Draw) -> T) -> T {
        from(&mut self.draw.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Environment for SimEnvironment {
    fn wall_clock(&self) -> Timestamp {
        let offset = self.machine.clock_offset_ms.load(Ordering::Relaxed);
        Timestamp(self.world.now_ms().saturating_add_signed(offset))
    }

    fn random(&self) -> u64 {
        self.draw(|draw| draw.node.next_u64())
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let network = self.world.network.clone();
        let (from, to) = (self.machine.host.clone(), host_of(address));
        let gate = self.gate.clone();
        Box::pin(async move {
            gate.pass().await;
            let inner = network.open(from, to).await?;
            gate.pass().await;
            Ok(Box::new(Gated { inner, gate }) as BoxStream)
        })
    }

    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let network = self.world.network.clone();
        let host = host_of(address);
        let own = self.machine.host.clone();
        let gate = self.gate.clone();
        Box::pin(async move {
            gate.pass().await;
            if host != own {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            }
            let inner = network.listen(&host)?;
            Ok(Box::new(Gated { inner, gate }) as Box<dyn Listener>)
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.gate.spawn(task);
    }

    fn storage(&self, file: &str) -> io::Result<Box<dyn StorageBackend>> {
        if self.is_dead() {
            return Err(io::Error::other("the node has crashed"));
        }
        Ok(Box::new(SeenFile {
            inner: self.machine.disk.open(file),
            name: file.to_owned(),
            seen: self.seen(),
        }))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let latency = self.draw(|draw| draw.disk.random_range(DISK_LATENCY_US));
        let half = Duration::from_micros(latency / 2);
        let gate = self.gate.clone();
        let seen = self.seen();
        Box::pin(async move {
            tokio::time::sleep(half).await;
            gate.pass().await;
            let mut fired = seen.happened(Local::Commit, None);
            fired.before();
            work();
            fired.after();
            tokio::time::sleep(half).await;
            gate.pass().await;
        })
    }

    fn track(&self, line: &str) {
        if self.is_dead() {
            return;
        }
        let mut log = self
            .machine
            .tracking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        log.push(line.to_owned());
        drop(log);
        let entry = serde_json::from_str(line).unwrap_or_else(|_| line.into());
        self.world.recorder.record(Event::Tracking {
            node: self.machine.host.clone(),
            entry,
        });
    }

    fn timer(&self, name: &'static str) {
        self.seen().happened(Local::Timer, Some(name)).after();
    }
}

/// Where what happens within an incarnation is told.
#[derive(Clone)]
struct Seen {
    host: String,
    board: Arc<Board>,
    gate: Arc<Gate>,
}

impl Seen {
    /// Of a dead incarnation nothing happens any more.
    fn happened(&self, what: Local, name: Option<&str>) -> Fired {
        if self.gate.phase() == Phase::Dead {
            return Fired::default();
        }
        self.board.local(&self.host, what, name)
    }
}

/// A file whose syncs are told. No lock of the disk is held while a trigger strikes: it may end the node here.
struct SeenFile {
    inner: SimFile,
    name: String,
    seen: Seen,
}

impl StorageBackend for SeenFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut fired = self.seen.happened(Local::Sync, Some(&self.name));
        fired.before();
        let synced = self.inner.sync_data();
        fired.after();
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.inner.write(offset, data)
    }
}

impl fmt::Debug for SeenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for SimEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimEnvironment")
            .field("host", &self.machine.host)
            .field("phase", &self.gate.phase())
            .finish_non_exhaustive()
    }
}

/// The host of `host` or `host:port`.
fn host_of(address: &str) -> String {
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => address,
    };
    host.to_owned()
}

/// A stream or listener that moves nothing while its node is frozen or dead.
struct Gated<T> {
    inner: T,
    gate: Arc<Gate>,
}

impl AsyncRead for Gated<SimStream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_pass(cx));
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gated<SimStream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.gate.poll_pass(cx));
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_pass(cx));
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_pass(cx));
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Listener for Gated<SimListener> {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async {
            self.gate.pass().await;
            let (inner, from) = std::future::poll_fn(|cx| self.inner.poll_accept(cx)).await;
            let gate = self.gate.clone();
            Ok((Box::new(Gated { inner, gate }) as BoxStream, from))
        })
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
