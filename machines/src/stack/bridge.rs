//! One connection between the switch and loopback.
//!
//! Comes in: a socket of the stack and a loopback connection, or one of them and where the other is to go. What one side
//! sends the other gets; the end of one direction is the end of that direction on the other side; a reset on one side is
//! one on the other.

use std::{future::poll_fn, io, net::SocketAddrV4, sync::Arc, task::Poll};

use smoltcp::{iface::SocketHandle, socket::tcp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::timeout,
};

use super::{Route, Shared, UNREACHABLE};

/// The connection was reset, by whichever side.
struct Reset;

/// A socket of the stack that this task holds; dropped, it is retired, and reset when it was not closed.
struct Held {
    shared: Arc<Shared>,
    handle: SocketHandle,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.state().retire(self.handle);
        self.shared.changed.notify_one();
    }
}

/// A connection of a guest, as soon as its handshake has begun.
pub(super) async fn inward(shared: Arc<Shared>, handle: SocketHandle, route: Route) {
    let held = Held { shared, handle };
    if held.established().await.is_err() {
        return;
    }
    let peer = held.with(|socket| socket.remote_endpoint());
    let target = peer.and_then(|peer| match peer.addr {
        smoltcp::wire::IpAddress::Ipv4(address) => route(address),
    });
    let stream = match target {
        Some(target) => TcpStream::connect(target).await,
        None => Err(io::ErrorKind::ConnectionRefused.into()),
    };
    match stream {
        Ok(stream) => held.pass(stream).await,
        Err(_refused) => held.abort(),
    }
}

/// A connection of the harness's to a door.
pub(super) async fn outward(shared: Arc<Shared>, stream: TcpStream, to: SocketAddrV4) {
    let connecting = shared.state().connect(to);
    let Ok(handle) = connecting else {
        return reset(&stream);
    };
    let held = Held { shared, handle };
    held.shared.changed.notify_one();
    match timeout(UNREACHABLE, held.established()).await {
        Ok(Ok(())) => held.pass(stream).await,
        Ok(Err(Reset)) | Err(_) => {
            held.abort();
            reset(&stream);
        }
    }
}

/// What is dropped after that is reset.
fn reset(stream: &TcpStream) {
    // It fails when the other side has done so already.
    let _ = stream.set_zero_linger();
}

impl Held {
    fn with<T>(&self, act: impl FnOnce(&mut tcp::Socket<'static>) -> T) -> T {
        act(self.shared.state().sockets.get_mut(self.handle))
    }

    /// The other side hears that it is over.
    fn abort(&self) {
        self.with(tcp::Socket::abort);
        self.shared.changed.notify_one();
    }

    /// Until the handshake is done.
    async fn established(&self) -> Result<(), Reset> {
        poll_fn(|context| {
            self.with(|socket| match socket.state() {
                tcp::State::SynSent | tcp::State::SynReceived => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                tcp::State::Closed | tcp::State::Listen => Poll::Ready(Err(Reset)),
                _ => Poll::Ready(Ok(())),
            })
        })
        .await
    }

    /// Passes octets both ways until both directions have ended, or one side resets.
    async fn pass(&self, mut stream: TcpStream) {
        // What comes together goes together; waiting for more is not for a bridge.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.split();
        let passed = tokio::try_join!(self.to_switch(reader), self.to_loopback(writer));
        if passed.is_err() {
            self.abort();
            reset(&stream);
        }
    }

    async fn to_switch(&self, mut reader: ReadHalf<'_>) -> Result<(), Reset> {
        let mut octets = vec![0; 16 * 1024];
        loop {
            let length = reader.read(&mut octets).await.map_err(|_reset| Reset)?;
            if length == 0 {
                self.with(tcp::Socket::close);
                self.shared.changed.notify_one();
                return Ok(());
            }
            let mut left = &octets[..length];
            while !left.is_empty() {
                let sent = self.send(left).await?;
                left = &left[sent..];
            }
        }
    }

    async fn send(&self, octets: &[u8]) -> Result<usize, Reset> {
        let sent = poll_fn(|context| {
            self.with(|socket| match socket.send_slice(octets) {
                Ok(0) => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                Ok(sent) => Poll::Ready(Ok(sent)),
                Err(_closed) => Poll::Ready(Err(Reset)),
            })
        })
        .await?;
        self.shared.changed.notify_one();
        Ok(sent)
    }

    async fn to_loopback(&self, mut writer: WriteHalf<'_>) -> Result<(), Reset> {
        let mut octets = vec![0; 16 * 1024];
        loop {
            let length = self.receive(&mut octets).await?;
            if length == 0 {
                // The other side may have ended its half, too, and be gone.
                let _ = writer.shutdown().await;
                return Ok(());
            }
            let written = writer.write_all(&octets[..length]).await;
            written.map_err(|_reset| Reset)?;
        }
    }

    /// The next octets; none at the end of that direction.
    async fn receive(&self, octets: &mut [u8]) -> Result<usize, Reset> {
        let received = poll_fn(|context| {
            self.with(|socket| match socket.recv_slice(octets) {
                Ok(0) => {
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                }
                Ok(received) => Poll::Ready(Ok(received)),
                Err(tcp::RecvError::Finished) => Poll::Ready(Ok(0)),
                Err(tcp::RecvError::InvalidState) => Poll::Ready(Err(Reset)),
            })
        })
        .await?;
        // The window is wider now.
        self.shared.changed.notify_one();
        Ok(received)
    }
}
