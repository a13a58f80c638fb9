//! The TCP proxy: what stands on a link between real processes, and what `gauntlet proxy` is made of.
//!
//! Comes in: connections to its own address, and the link's state. Goes out: connections to the link's target. With a
//! [`Link`], everything on them is observed. Half-closed connections stay half closed, and a reset on one side is a
//! reset on the other. How octets pass stands in [`pump`](super::pump).

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use reference_node::env::BoxFuture;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Direction, Link, LinkState,
    link_state::{Born, Fate},
    pump,
};

/// A target that does not take a connection for so long does not take it.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);

/// The proxy of one link. Dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

/// How a proxy connects to its target, where that is not from where it stands itself (another network namespace).
#[derive(Clone)]
pub struct Dial(Arc<Dialling>);

type Dialling = dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync;

impl Dial {
    /// By calling this for each connection.
    pub fn new(
        dial: impl Fn(SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(dial))
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Who is told what passes; `None`: nobody, and nothing is looked at.
    pub(super) link: Option<Arc<Link>>,
    pub(super) state: watch::Sender<LinkState>,
    pub(super) traffic: Arc<Traffic>,
    target: Mutex<Option<Target>>,
    dial: Option<Dial>,
    seed: u64,
    connections: AtomicU64,
}

/// Where a proxy's connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Address(SocketAddr),
    /// `host:port`, looked up for each connection.
    Name(String),
}

/// Octets that a proxy has taken and passed on, in each direction.
#[derive(Debug, Default)]
pub struct Traffic {
    to_server: Counters,
    to_client: Counters,
}

/// Of one direction.
#[derive(Debug, Default)]
pub struct Counters {
    /// Octets that came.
    pub received: AtomicU64,
    /// Octets that went on.
    pub sent: AtomicU64,
}

impl Traffic {
    /// One direction's.
    pub fn of(&self, direction: Direction) -> &Counters {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

impl Proxy {
    /// Listens on a free loopback port for `link`, and passes what comes on to `target`; while that is
    /// `None`, every connection is reset. What toxics leave to chance comes from `seed`. Must be called inside a tokio
    /// runtime.
    pub fn start(link: Arc<Link>, target: Option<SocketAddr>, seed: u64) -> io::Result<Self> {
        Self::on(bind_loopback()?, link, target, None, seed)
    }

    /// As [`start`](Self::start), with a listener and a way to the target of one's own.
    pub fn on(
        listener: TcpListener,
        link: Arc<Link>,
        target: Option<SocketAddr>,
        dial: Option<Dial>,
        seed: u64,
    ) -> io::Result<Self> {
        Self::with(
            listener,
            Shared {
                link: Some(link),
                state: watch::Sender::new(LinkState::default()),
                traffic: Arc::default(),
                target: Mutex::new(target.map(Target::Address)),
                dial,
                seed,
                connections: AtomicU64::new(0),
            },
        )
    }

    /// A proxy that looks at nothing: from this listener to that target.
    pub fn unobserved(
        listener: TcpListener,
        target: Target,
        state: LinkState,
        traffic: Arc<Traffic>,
        seed: u64,
    ) -> io::Result<Self> {
        Self::with(
            listener,
            Shared {
                link: None,
                state: watch::Sender::new(state),
                traffic,
                target: Mutex::new(Some(target)),
                dial: None,
                seed,
                connections: AtomicU64::new(0),
            },
        )
    }

    fn with(listener: TcpListener, shared: Shared) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (shared, stopping) = (Arc::new(shared), CancellationToken::new());
        let task = tokio::spawn(accept(listener, shared.clone(), stopping.clone()));
        Ok(Self {
            address,
            shared,
            stopping,
            task,
        })
    }

    /// Where the link's `from` connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go from now on (a node has another port after each start).
    pub fn set_target(&self, target: Option<SocketAddr>) {
        *lock(&self.shared.target) = target.map(Target::Address);
    }

    /// The state as it is.
    pub fn state(&self) -> LinkState {
        self.shared.state.borrow().clone()
    }

    /// Changes the state; open connections follow at once. Never waits.
    pub fn change(&self, change: impl FnOnce(&mut LinkState)) {
        self.shared.state.send_modify(change);
    }

    /// Ends it. When this returns nobody listens any more, and every connection is closed.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        // It ends by itself now; a panic in it is no reason for another one here.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Of the connection with that number, which begins at 0.
    pub(super) fn rng(&self, connection: u64, direction: Direction) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let way = match direction {
            Direction::ToServer => 0,
            Direction::ToClient => 1,
        };
        rng.set_stream(connection.wrapping_mul(2) + way);
        rng
    }
}

/// Binds a free loopback port, at once.
pub(crate) fn bind_loopback() -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stopping: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(connection(client, shared.clone()))),
                // Out of descriptors: the connection waits in the backlog until some are free.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    let born = state.borrow().born();
    // Without delay for small writes: what a tap sees together goes on together.
    let _ = client.set_nodelay(true);
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    match dial(&client, born, &mut state, &shared).await {
        Dialled::Server(server) => pump::serve(client, server, born, number, &shared).await,
        Dialled::Failed(error) => {
            let fired = shared.link.as_ref().map(|link| link.connect_failed(&error));
            // On an observed link the server seems to refuse. As in Toxiproxy, a proxy alone only closes.
            if fired.is_some() || shared.state.borrow().is_down() {
                let _ = client.set_zero_linger();
            }
            drop(client);
            if let Some(fired) = fired {
                fired.after();
            }
        }
        Dialled::BlackHole => {
            swallow(client).await;
            if let Some(link) = &shared.link {
                link.connect_failed("timed out in a black hole").after();
            }
        }
    }
}

enum Dialled {
    Server(TcpStream),
    Failed(String),
    BlackHole,
}

/// Waits until the link lets a handshake through, then dials.
async fn dial(
    client: &TcpStream,
    born: Born,
    state: &mut watch::Receiver<LinkState>,
    shared: &Shared,
) -> Dialled {
    let mut gone = pin!(client_gone(client));
    loop {
        let connects = {
            let state = state.borrow_and_update();
            match born.fate(&state) {
                Fate::Goes => state.connects(),
                Fate::Reset => return Dialled::Failed("refused".into()),
                Fate::BlackHole => return Dialled::BlackHole,
            }
        };
        if connects {
            break;
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return Dialled::Failed("the tap is gone".into()) },
            () = &mut gone => return Dialled::Failed("given up while the link was cut".into()),
        }
    }
    let target = lock(&shared.target).clone();
    let Some(target) = target else {
        return Dialled::Failed("refused".into());
    };
    let dialling = async {
        match (target, &shared.dial) {
            (Target::Address(address), Some(Dial(dial))) => dial(address).await,
            (Target::Address(address), None) => TcpStream::connect(address).await,
            (Target::Name(name), _) => TcpStream::connect(name).await,
        }
    };
    let dialled = tokio::select! {
        biased;
        dialled = timeout(DIAL_PATIENCE, dialling) => dialled,
        // Where the network itself is cut, the handshake takes as long as that lasts.
        () = &mut gone, if shared.dial.is_some() => {
            return Dialled::Failed("given up while the link was cut".into());
        }
    };
    match dialled {
        Ok(Ok(server)) => {
            let _ = server.set_nodelay(true);
            Dialled::Server(server)
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Dialled::Failed("refused".into())
        }
        Ok(Err(error)) => Dialled::Failed(error.to_string()),
        Err(_) => Dialled::Failed("timed out".into()),
    }
}

/// Resolves when the client has ended the connection before it sent anything.
async fn client_gone(client: &TcpStream) {
    if let Ok(1..) = client.peek(&mut [0]).await {
        std::future::pending::<()>().await;
    }
}

/// Swallows what comes, until the other side gives up.
pub(super) async fn swallow(mut from: impl AsyncReadExt + Unpin) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(1..) = from.read(&mut buffer).await {}
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
