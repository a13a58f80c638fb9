//! How octets pass a proxy: both directions of one connection, until both have ended or a fault ends it.
//!
//! Comes in: two sockets, the link's state, and the tap that is to see what passes. Goes out: octets, ends and resets.
//! Where nothing is to be done to octets they go straight on from one socket to the other; where nobody looks at
//! them either, and there are many, they do not even enter this process ([`Pipe`]).

use std::{
    collections::BTreeMap,
    io,
    pin::pin,
    sync::{Mutex, atomic::Ordering},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Direction, Fired, LinkState, TapConnection,
    link_state::{Born, Fate, Flow},
    proxy::{Counters, Shared, lock, swallow},
    splice::Pipe,
};
use crate::toxics::{Next, Parcel};

/// Octets read at once.
const CHUNK: usize = 64 * 1024;

/// Moves octets between the two until the connection has ended.
pub(super) async fn serve(
    mut client: TcpStream,
    mut server: TcpStream,
    born: Born,
    number: u64,
    shared: &Shared,
) {
    let tap = shared.link.as_ref().map(|link| {
        let (connection, fired) = link.open();
        fired.after();
        Tap {
            connection: Mutex::new(connection),
            waiting: Mutex::new(BTreeMap::new()),
        }
    });
    let tap = tap.as_ref();
    let ended = pump(&mut client, &mut server, born, number, tap, shared).await;
    let closed = |by: &str, reset: bool| {
        if let Some(tap) = tap {
            tap.closed(by, reset);
        }
    };
    if let Some(tap) = tap {
        tap.fire_waiting();
    }
    match ended {
        Ended::Closed => {}
        Ended::Cut => {
            close(client).await;
            close(server).await;
            closed("tap", false);
        }
        Ended::Reset { by } => {
            let _ = client.set_zero_linger();
            let _ = server.set_zero_linger();
            drop((client, server));
            closed(by, true);
        }
        Ended::BlackHole => {
            // Each side keeps its half of a connection that leads nowhere.
            let client = async {
                swallow(client).await;
                closed("client", false);
            };
            let server = async {
                swallow(server).await;
                closed("server", false);
            };
            tokio::join!(client, server);
        }
    }
}

/// Closes a connection in order. Octets that nobody has read would make a reset of it, so they are read first.
async fn close(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.try_read(&mut buffer) {}
}

/// The tap of one connection, for both directions.
struct Tap {
    connection: Mutex<TapConnection>,
    /// What strikes once the octets under way have gone on.
    waiting: Mutex<BTreeMap<Direction, Fired>>,
}

impl Tap {
    /// Observes octets, and does what strikes before they go on. What they become by it, and how long they wait.
    fn before(&self, direction: Direction, octets: &[u8]) -> Option<(Bytes, std::time::Duration)> {
        let mut fired = lock(&self.connection).observe(direction, octets);
        fired.before();
        if !fired.is_empty() {
            lock(&self.waiting).insert(direction, fired);
        }
        lock(&self.connection).strike(direction, octets)
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

/// How a connection ended.
enum Ended {
    /// In order; it is recorded.
    Closed,
    /// A toxic has closed it.
    Cut,
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
    /// A toxic closes the connection.
    Cut { reset: bool },
    /// Nobody takes the octets any more. The other direction will tell how that side ended.
    Broken,
}

/// Moves octets both ways until both ways have ended, or a fault ends the connection.
async fn pump(
    client: &mut TcpStream,
    server: &mut TcpStream,
    born: Born,
    number: u64,
    tap: Option<&Tap>,
    shared: &Shared,
) -> Ended {
    let mut state = shared.state.subscribe();
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    let passage = |direction| Passage {
        direction,
        born,
        tap,
        counters: shared.traffic.of(direction),
        state: shared.state.subscribe(),
        flow: Flow::new(shared.rng(number, direction)),
        reading: true,
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
        let (by, ended) = tokio::select! {
            biased;
            changed = state.changed() => {
                if changed.is_err() {
                    return Ended::Reset { by: "tap" };
                }
                continue;
            }
            ended = &mut to_client, if !server_done => ("server", ended),
            ended = &mut to_server, if !client_done => ("client", ended),
        };
        match ended {
            FlowEnded::Reset => return Ended::Reset { by },
            FlowEnded::Cut { reset: true } => return Ended::Reset { by: "tap" },
            FlowEnded::Cut { reset: false } => return Ended::Cut,
            FlowEnded::End | FlowEnded::Broken => {}
        }
        if by == "client" {
            client_done = true;
        } else {
            server_done = true;
            // The server says nothing more, so the dialogue is over, whatever the client still sends.
            if ended == FlowEnded::End
                && !client_done
                && let Some(tap) = tap
            {
                tap.closed("server", false);
            }
        }
        if client_done && server_done {
            if let Some(tap) = tap {
                tap.closed("client", false);
            }
            return Ended::Closed;
        }
    }
}

/// One direction of one connection.
struct Passage<'a> {
    direction: Direction,
    born: Born,
    tap: Option<&'a Tap>,
    counters: &'a Counters,
    state: watch::Receiver<LinkState>,
    flow: Flow,
    reading: bool,
}

/// What is to be done with one direction now.
enum Turn {
    /// A fault has ended the connection. Not one octet more passes; the pump ends it at its next turn.
    Over,
    /// A black hole has swallowed this direction.
    Lost,
    /// Octets go straight on.
    Straight,
    Flow(Next),
}

impl Passage<'_> {
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> FlowEnded {
        let mut buffer = vec![0; CHUNK];
        loop {
            let due = match self.turn() {
                Turn::Over => return std::future::pending().await,
                Turn::Lost => {
                    swallow(from).await;
                    return FlowEnded::Broken;
                }
                Turn::Straight => match self.straight(&mut buffer, &mut from, &mut to).await {
                    Ok(()) => continue,
                    Err(_) => return self.broken(from).await,
                },
                Turn::Flow(Next::Ready) => match self.flow.pop() {
                    Some(Parcel::Octets(octets)) => match self.pass(&octets, &mut to).await {
                        Ok(()) => continue,
                        Err(_) => return self.broken(from).await,
                    },
                    Some(Parcel::End) => {
                        // When it fails that side is gone, and the other direction says so.
                        let _ = to.shutdown().await;
                        return FlowEnded::End;
                    }
                    Some(Parcel::Reset) => return FlowEnded::Reset,
                    Some(Parcel::Cut { reset }) => return FlowEnded::Cut { reset },
                    None => continue,
                },
                Turn::Flow(Next::At(due)) => Some(due),
                Turn::Flow(Next::Wait) => None,
            };
            let has_room = self.reading && {
                let state = self.state.borrow();
                self.flow.has_room(state.flow(self.direction))
            };
            tokio::select! {
                biased;
                changed = self.state.changed() => if changed.is_err() { return FlowEnded::Reset },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                read = from.read(&mut buffer), if has_room => self.came(read, &buffer),
            }
        }
    }

    fn turn(&mut self) -> Turn {
        let state = self.state.borrow_and_update();
        if self.born.fate(&state) != Fate::Goes {
            return Turn::Over;
        }
        if self.born.lost(&state, self.direction) {
            return Turn::Lost;
        }
        let (flow, toxics) = (
            state.flow(self.direction),
            state.toxics.of(self.direction.into()),
        );
        if self.reading && self.flow.is_clear(flow, toxics) {
            return Turn::Straight;
        }
        Turn::Flow(self.flow.next(flow, toxics, Instant::now()))
    }

    /// What was read goes into the flow.
    fn came(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        let parcel = match read {
            Ok(0) => Parcel::End,
            Ok(length) => {
                self.counters
                    .received
                    .fetch_add(length as u64, Ordering::Relaxed);
                Parcel::Octets(Bytes::copy_from_slice(&buffer[..length]))
            }
            Err(_) => Parcel::Reset,
        };
        self.reading = matches!(parcel, Parcel::Octets(_));
        let state = self.state.borrow();
        self.flow
            .push(parcel, state.flow(self.direction), Instant::now());
    }

    /// Nobody takes the octets any more.
    async fn broken(mut self, from: ReadHalf<'_>) -> FlowEnded {
        if let Some(tap) = self.tap {
            tap.after(self.direction);
        }
        let back = match self.direction {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        };
        let unheard = self.born.lost(&self.state.borrow_and_update(), back);
        if unheard {
            // A black hole swallows the news as well.
            swallow(from).await;
        }
        FlowEnded::Broken
    }

    /// Octets go straight on until the state changes or the other side has ended; the latter goes into the flow.
    async fn straight(
        &mut self,
        buffer: &mut [u8],
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> io::Result<()> {
        loop {
            let read = tokio::select! {
                biased;
                changed = self.state.changed() => return changed.map_err(io::Error::other),
                read = from.read(buffer) => read,
            };
            let Ok(length @ 1..) = read else {
                self.came(read, buffer);
                return Ok(());
            };
            self.counters
                .received
                .fetch_add(length as u64, Ordering::Relaxed);
            self.pass(&buffer[..length], to).await?;
            if length == buffer.len()
                && self.tap.is_none()
                && let Ok(pipe) = Pipe::new()
            {
                return self.in_bulk(pipe, from, to).await;
            }
        }
    }

    /// The same without reading them.
    async fn in_bulk(
        &mut self,
        mut pipe: Pipe,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> io::Result<()> {
        loop {
            tokio::select! {
                biased;
                changed = self.state.changed() => return changed.map_err(io::Error::other),
                ready = from.readable() => ready?,
            }
            match pipe.fill(from.as_ref()) {
                Ok(length @ 1..) => {
                    self.counters
                        .received
                        .fetch_add(length as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                ended => {
                    self.came(ended, &[]);
                    return Ok(());
                }
            }
            while !pipe.is_empty() {
                match pipe.drain(to.as_ref()) {
                    Ok(length) => {
                        self.counters
                            .sent
                            .fetch_add(length as u64, Ordering::Relaxed);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                tokio::select! {
                    biased;
                    changed = self.state.changed() => {
                        changed.map_err(io::Error::other)?;
                        // Whatever is to be done from now on is done to these, too.
                        let octets = Parcel::Octets(pipe.take()?);
                        let state = self.state.borrow();
                        self.flow.push(octets, state.flow(self.direction), Instant::now());
                        return Ok(());
                    }
                    ready = to.writable() => ready?,
                }
            }
        }
    }

    /// Observes octets and passes them on, as far as what they trigger lets them.
    async fn pass(&mut self, octets: &[u8], to: &mut WriteHalf<'_>) -> io::Result<()> {
        let struck = self.tap.and_then(|tap| tap.before(self.direction, octets));
        let mut left = octets;
        if let Some((struck, wait)) = &struck {
            left = struck;
            self.wait_until(Instant::now() + *wait).await?;
        }
        while !left.is_empty() {
            let held = self.held();
            if held == Some(false) {
                match to.try_write(left) {
                    Ok(length) => {
                        left = &left[length..];
                        self.counters
                            .sent
                            .fetch_add(length as u64, Ordering::Relaxed);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            tokio::select! {
                biased;
                changed = self.state.changed(), if held.is_some() => changed.map_err(io::Error::other)?,
                ready = to.writable(), if held == Some(false) => ready?,
                else => return std::future::pending().await,
            }
        }
        if let Some(tap) = self.tap {
            tap.after(self.direction);
        }
        Ok(())
    }

    async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        while Instant::now() < due {
            if self.held().is_none() {
                return std::future::pending().await;
            }
            tokio::select! {
                biased;
                changed = self.state.changed() => changed.map_err(io::Error::other)?,
                () = sleep_until(due) => {}
            }
        }
        Ok(())
    }

    /// Octets are held back now; `None`: a fault has ended this direction, and not one of them passes any more.
    fn held(&mut self) -> Option<bool> {
        let state = self.state.borrow_and_update();
        let goes = self.born.fate(&state) == Fate::Goes;
        let lost = self.born.lost(&state, self.direction);
        (goes && !lost).then(|| state.flow(self.direction).held)
    }
}
