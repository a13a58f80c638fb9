//! The node's one door to the outside: wall clock, randomness, network, storage, tasks.
//!
//! Comes in: nothing. Goes out: [`Environment`], which `main` implements with sockets and files
//! ([`crate::production`]) and the harness with a simulated network, disk and clock. Monotonic time
//! is tokio's: a simulator pauses it. Nothing else in this crate may ask the operating system for
//! time, random numbers, files or sockets.

use std::{fmt, future::Future, io, pin::Pin, time::Duration};

use redb::StorageBackend;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future, as the object-safe traits below return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A byte stream to another host. A reset by the other side is an [`io::ErrorKind::ConnectionReset`].
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of whatever kind the environment has.
pub type BoxStream = Box<dyn Stream>;

/// A bound, listening address.
pub trait Listener: Send + 'static {
    /// Waits for the next connection: the stream, and the other side's address for the trace field.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>>;
    /// The address that was bound (a port 0 is resolved).
    fn address(&self) -> String;
}

/// Milliseconds since the Unix epoch, by the node's own wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This time plus `duration`, saturating.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` to this one, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        {
            Some(time) => write!(f, "{time:.3}"),
            None => write!(f, "@{}ms", self.0),
        }
    }
}

/// The node's timers, as [`Environment::timer`] names them, each with what it is for.
pub const TIMERS: &[(&str, &str)] = &[
    (
        "heartbeat",
        "ShadowHeartbeatFrequency is over: a primary server is asked",
    ),
    ("heartbeat-over", "a heartbeat is given up"),
    (
        "promotion",
        "ShadowResubmitTimeSpan is over: shadow messages are promoted",
    ),
    ("retry", "a delivery is tried again"),
    (
        "copy-over",
        "ShadowCopyTimeout: a session to a shadow server is given up",
    ),
    (
        "copies-idle",
        "an idle session to a shadow server is closed",
    ),
    (
        "inactivity",
        "ConnectionInactivityTimeout: an inbound session is closed",
    ),
    (
        "connection",
        "ConnectionTimeout: an inbound session is closed",
    ),
    ("upkeep", "something may have expired"),
];

/// Everything a node takes from the world. One value per node and incarnation.
pub trait Environment: Send + Sync + 'static {
    /// The node's wall clock.
    fn wall_clock(&self) -> Timestamp;
    /// 64 random bits: database IDs, nonces, the choice among equal shadow servers.
    fn random(&self) -> u64;
    /// Opens a stream to `address`. Waits as long as the network lets it: callers bound it.
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>>;
    /// Binds `address`.
    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;
    /// Runs a task until it ends or the node does. When the node crashes its tasks stop where they stand.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Opens (or makes) the node's file of that name, e.g. `transport.redb`.
    fn storage(&self, file: &str) -> io::Result<Box<dyn StorageBackend>>;
    /// Runs work that blocks on storage; resolves when it is done.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
    /// Takes one line (a JSON object, no newline) of the message tracking log.
    fn track(&self, line: &str);
    /// One of [`TIMERS`] has fired, and what it is for is about to be done. A simulator may end the node here.
    fn timer(&self, _name: &'static str) {}
}
