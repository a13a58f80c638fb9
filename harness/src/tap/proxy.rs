//! The tap as a TCP proxy: what stands on a link between real processes.
//!
//! Comes in: connections to its own loopback address, and the link's state. Goes out: connections to the
//! link's target, with everything on them observed. Half-closed connections stay half closed, and a reset
//! on one side is a reset on the other. Made by the substrate, one for each link.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Buf, Bytes};
use reference_node::env::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Direction, Fired, FlowState, Link, LinkState, TapConnection,
    link_state::{Born, Fate, Flow, Next, Parcel},
};

/// Octets read at once.
const CHUNK: usize = 16 * 1024;

/// A target that does not take a connection for so long does not take it.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);

/// The proxy of one link. Dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
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

#[derive(Debug)]
struct Shared {
    link: Arc<Link>,
    target: Mutex<Option<SocketAddr>>,
    dial: Option<Dial>,
    state: watch::Sender<LinkState>,
}

impl Proxy {
    /// Listens on a free loopback port for `link`, and passes what comes on to `target`; while that is
    /// `None`, every connection is reset. Must be called inside a tokio runtime.
    pub fn start(link: Arc<Link>, target: Option<SocketAddr>) -> io::Result<Self> {
        Self::on(bind_loopback()?, link, target, None)
    }

    /// As [`start`](Self::start), with a listener and a way to the target of one's own.
    pub fn on(
        listener: TcpListener,
        link: Arc<Link>,
        target: Option<SocketAddr>,
        dial: Option<Dial>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let state = watch::Sender::new(LinkState::default());
        let shared = Arc::new(Shared {
            link,
            target: Mutex::new(target),
            dial,
            state,
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where the link's `from` connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link.
    pub fn link(&self) -> &Arc<Link> {
        &self.shared.link
    }

    /// Where new connections go from now on (a node has another port after each start).
    pub fn set_target(&self, target: Option<SocketAddr>) {
        *lock(&self.shared.target) = target;
    }

    /// The state as it is.
    pub fn state(&self) -> LinkState {
        self.shared.state.borrow().clone()
    }

    /// Changes the state; open connections follow at once. Never waits.
    pub fn change(&self, change: impl FnOnce(&mut LinkState)) {
        self.shared.state.send_modify(change);
    }
}

/// Binds a free loopback port, at once.
pub(crate) fn bind_loopback() -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(connection(client, shared.clone()))),
                // Out of descriptors: the connection waits in the backlog until some are free.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    let born = state.borrow().born();
    // Without delay for small writes: what a tap sees together goes on together.
    let _ = client.set_nodelay(true);
    match dial(&client, born, &mut state, &shared).await {
        Dialled::Server(server) => serve(client, server, born, state, &shared.link).await,
        Dialled::Failed(error) => {
            let fired = shared.link.connect_failed(&error);
            let _ = client.set_zero_linger();
            drop(client);
            fired.after();
        }
        Dialled::BlackHole => {
            drain(client).await;
            shared
                .link
                .connect_failed("timed out in a black hole")
                .after();
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
    let target = *lock(&shared.target);
    let Some(target) = target else {
        return Dialled::Failed("refused".into());
    };
    let dialling = async {
        match &shared.dial {
            Some(Dial(dial)) => dial(target).await,
            None => TcpStream::connect(target).await,
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
async fn drain(mut stream: TcpStream) {
    let mut buffer = [0; CHUNK];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

async fn serve(
    mut client: TcpStream,
    mut server: TcpStream,
    born: Born,
    state: watch::Receiver<LinkState>,
    link: &Arc<Link>,
) {
    let (connection, fired) = link.open();
    fired.after();
    let tap = Tap {
        connection: Mutex::new(connection),
        waiting: Mutex::new(BTreeMap::new()),
    };
    let ended = pump(&mut client, &mut server, born, state, &tap).await;
    tap.fire_waiting();
    match ended {
        Ended::Closed => {}
        Ended::Reset { by } => {
            let _ = client.set_zero_linger();
            let _ = server.set_zero_linger();
            drop((client, server));
            tap.closed(by, true);
        }
        Ended::BlackHole => {
            // Each side keeps its half of a connection that leads nowhere.
            let ended = |by| tap.closed(by, false);
            let client = async {
                drain(client).await;
                ended("client");
            };
            let server = async {
                drain(server).await;
                ended("server");
            };
            tokio::join!(client, server);
        }
    }
}

/// The tap of one connection, for both directions.
struct Tap {
    connection: Mutex<TapConnection>,
    /// What strikes once the octets under way have gone on.
    waiting: Mutex<BTreeMap<Direction, Fired>>,
}

impl Tap {
    /// Observes octets, and does what strikes before they go on.
    fn before(&self, direction: Direction, octets: &[u8]) {
        let mut fired = lock(&self.connection).observe(direction, octets);
        fired.before();
        if !fired.is_empty() {
            lock(&self.waiting).insert(direction, fired);
        }
    }

    /// Does what strikes after they went on.
    fn after(&self, direction: Direction) {
        let fired = lock(&self.waiting).remove(&direction);
        if let Some(fired) = fired {
            fired.after();
        }
    }

    /// A fault has ended the connection: what was seen strikes all the same, for it is recorded.
    fn fire_waiting(&self) {
        self.after(Direction::ToServer);
        self.after(Direction::ToClient);
    }

    fn closed(&self, by: &str, reset: bool) {
        let fired = lock(&self.connection).closed(by, reset);
        fired.after();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a connection ended.
enum Ended {
    /// In order; it is recorded.
    Closed,
    Reset {
        by: &'static str,
    },
    BlackHole,
}

/// How one direction ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FlowEnded {
    /// Its end has been passed on.
    End,
    /// A reset is to be passed on.
    Reset,
    /// Nobody takes the octets any more. The other direction will tell how that side ended.
    Broken,
}

/// Moves octets both ways until both ways have ended, or a fault ends the connection.
async fn pump(
    client: &mut TcpStream,
    server: &mut TcpStream,
    born: Born,
    mut state: watch::Receiver<LinkState>,
    tap: &Tap,
) -> Ended {
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    let passage = |direction| Passage {
        direction,
        born,
        tap,
        state: state.clone(),
        flow: Flow::default(),
    };
    let mut to_server = pin!(passage(Direction::ToServer).run(client_reads, server_writes));
    let mut to_client = pin!(passage(Direction::ToClient).run(server_reads, client_writes));
    let (mut client_done, mut server_done) = (false, false);
    loop {
        match born.fate(&state.borrow_and_update()) {
            Fate::Goes => {}
            Fate::Reset => return Ended::Reset { by: "tap" },
            Fate::BlackHole => return Ended::BlackHole,
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return Ended::Reset { by: "tap" } },
            ended = &mut to_client, if !server_done => {
                if ended == FlowEnded::Reset {
                    return Ended::Reset { by: "server" };
                }
                server_done = true;
                // The server says nothing more, so the dialogue is over, whatever the client still sends.
                if ended == FlowEnded::End && !client_done {
                    tap.closed("server", false);
                }
            }
            ended = &mut to_server, if !client_done => {
                if ended == FlowEnded::Reset {
                    return Ended::Reset { by: "client" };
                }
                client_done = true;
            }
        }
        if client_done && server_done {
            tap.closed("client", false);
            return Ended::Closed;
        }
    }
}

/// One direction of one connection.
struct Passage<'a> {
    direction: Direction,
    born: Born,
    tap: &'a Tap,
    state: watch::Receiver<LinkState>,
    flow: Flow,
}

impl Passage<'_> {
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> FlowEnded {
        let mut buffer = vec![0; CHUNK];
        let mut reading = true;
        loop {
            let Some(next) = self.look(|flow, state| flow.next(state, Instant::now())) else {
                // Not one octet more passes; the pump ends the connection at its next turn.
                return std::future::pending().await;
            };
            let due = match next {
                Next::Ready => match self.flow.pop() {
                    Some(Parcel::Octets(octets)) => match self.pass(octets, &mut to).await {
                        Ok(()) => continue,
                        Err(_) => {
                            self.tap.after(self.direction);
                            return FlowEnded::Broken;
                        }
                    },
                    Some(Parcel::End) => {
                        // When it fails that side is gone, and the other direction says so.
                        let _ = to.shutdown().await;
                        return FlowEnded::End;
                    }
                    Some(Parcel::Reset) => return FlowEnded::Reset,
                    None => continue,
                },
                Next::At(due) => Some(due),
                Next::Wait => None,
            };
            tokio::select! {
                biased;
                changed = self.state.changed() => if changed.is_err() { return FlowEnded::Reset },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                read = from.read(&mut buffer), if reading && self.flow.has_room() => {
                    let parcel = match read {
                        Ok(0) => Parcel::End,
                        Ok(length) => Parcel::Octets(Bytes::copy_from_slice(&buffer[..length])),
                        Err(_) => Parcel::Reset,
                    };
                    reading = matches!(parcel, Parcel::Octets(_));
                    self.flow.push(parcel, self.state.borrow().flow(self.direction), Instant::now());
                }
            }
        }
    }

    /// Observes octets and passes them on, as far as what they trigger lets them.
    async fn pass(&mut self, mut octets: Bytes, to: &mut WriteHalf<'_>) -> io::Result<()> {
        self.tap.before(self.direction, &octets);
        while octets.has_remaining() {
            let Some(held) = self.look(|_, state| state.held) else {
                return std::future::pending().await;
            };
            tokio::select! {
                biased;
                changed = self.state.changed() => changed.map_err(io::Error::other)?,
                written = to.write(&octets), if !held => octets.advance(written?),
            }
        }
        self.tap.after(self.direction);
        Ok(())
    }

    /// Looks at the newest state of this direction; `None`: a fault has ended the connection.
    fn look<T>(&mut self, look: impl FnOnce(&Flow, &FlowState) -> T) -> Option<T> {
        let state = self.state.borrow_and_update();
        (self.born.fate(&state) == Fate::Goes).then(|| look(&self.flow, state.flow(self.direction)))
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
