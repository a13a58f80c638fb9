//! What a process holds of the simulated network: streams and listeners.
//!
//! Comes in: reads, writes, accepts. Goes out: the same through [`super::network`], with the tap in between.
//! What the process of a crashed host still holds does nothing any more: every call waits for ever.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use reference_node::env::{BoxFuture, BoxStream, Listener};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    connection::{Connection, Ended, Side},
    network::{SharedTap, SimNetwork, tapped},
    pipe::Wakes,
};

/// One end of a simulated connection. Dropping it closes it.
pub struct SimStream {
    network: Arc<SimNetwork>,
    id: u64,
    side: Side,
    tap: SharedTap,
    /// Wakes a writer that waits for room when a reset arrives.
    reset_timer: Option<Pin<Box<Sleep>>>,
}

/// A simulated host's open port. Dropping it closes it.
pub struct SimListener {
    network: Arc<SimNetwork>,
    host: String,
    id: u64,
}

impl SimStream {
    pub(super) fn new(network: Arc<SimNetwork>, id: u64, side: Side, tap: SharedTap) -> Self {
        Self {
            network,
            id,
            side,
            tap,
            reset_timer: None,
        }
    }

    /// Does something with the connection, unless the process that holds this end is gone.
    fn with<T>(&self, act: impl FnOnce(&mut Connection, &mut Wakes) -> T) -> Option<T> {
        self.network.with(|state| {
            let connection = state.connections.get_mut(&self.id)?;
            let held = connection.is_held(self.side);
            held.then(|| act(connection, &mut state.wakes))
        })
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.with(|connection, wakes| connection.read(self.side, cx, buf, wakes));
        read.unwrap_or(Poll::Pending)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let side = self.side;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = self.with(|connection, _| {
            let room = connection.poll_room(side, cx);
            let reset = room.is_pending().then(|| connection.reset_arrival(side));
            (room, reset.flatten())
        });
        let room = match room {
            None => return Poll::Pending,
            Some((Poll::Ready(room), _)) => room?,
            Some((Poll::Pending, None)) => return Poll::Pending,
            Some((Poll::Pending, Some(arrival))) => {
                ready!(self.wait_until(arrival, cx));
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        };
        let octets = &buf[..buf.len().min(room)];
        let mut fired = tapped(&self.tap, |tap| tap.observe(side.direction(), octets));
        fired.before();
        let struck = self.strike(octets);
        let (sent, held_up) = struck
            .as_ref()
            .map_or((octets, Duration::ZERO), |(sent, time)| (&sent[..], *time));
        let written = self.with(|connection, wakes| connection.write(side, sent, held_up, wakes));
        let struck = !fired.is_empty();
        fired.after();
        // A trigger may have ended the process that writes: it must not go on.
        let lives = written.is_some() && (!struck || self.with(|_, _| ()).is_some());
        match lives {
            true => Poll::Ready(Ok(octets.len())),
            false => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(ended) = self.with(|connection, wakes| connection.finish(self.side, wakes)) else {
            return Poll::Pending;
        };
        ended.into_iter().for_each(Ended::tell);
        match self.with(|_, _| ()) {
            Some(()) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

impl SimStream {
    /// What becomes of octets that were observed and go on now.
    fn strike(&self, octets: &[u8]) -> Option<(Bytes, Duration)> {
        // The board does not panic; and if it did, the tap is still usable.
        let mut tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        tap.strike(self.side.direction(), octets)
    }

    fn wait_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .reset_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        timer.as_mut().reset(at);
        timer.as_mut().poll(cx)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let ended = self.network.with(|state| {
            let connection = state.connections.get_mut(&self.id)?;
            if !connection.is_held(self.side) {
                return None;
            }
            let ended = connection.close(self.side, &mut state.wakes);
            if connection.is_over() {
                state.connections.remove(&self.id);
            }
            ended
        });
        ended.into_iter().for_each(Ended::tell);
    }
}

impl SimListener {
    pub(super) fn new(network: Arc<SimNetwork>, host: String, id: u64) -> Self {
        Self { network, host, id }
    }

    /// Waits for the next connection: its stream, and the host that opened it.
    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(SimStream, String)> {
        let accepted = self
            .network
            .with(|s| s.accept(&self.host, self.id, cx.waker()));
        match accepted {
            None => Poll::Pending,
            Some((id, tap, from)) => {
                let stream = SimStream::new(self.network.clone(), id, Side::Server, tap);
                Poll::Ready((stream, from))
            }
        }
    }
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async {
            let (stream, from) = std::future::poll_fn(|cx| self.poll_accept(cx)).await;
            Ok((Box::new(stream) as BoxStream, from))
        })
    }

    fn address(&self) -> String {
        self.host.clone()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.network.with(|s| s.unlisten(&self.host, self.id));
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStream")
            .field("connection", &self.id)
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimListener")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
