//! A way to a Unix socket for those who speak TCP: a reference node's HTTP endpoint is on loopback or on a socket, and its
//! container's loopback is not ours.
//!
//! Comes in: the socket's path. Goes out: a loopback address that leads there, as long as the door is kept.

use std::{io, net::SocketAddr, path::PathBuf};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    task::{AbortHandle, JoinSet},
};

use crate::tap::bind_loopback;

/// Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    task: AbortHandle,
}

impl Door {
    pub(super) fn open(socket: PathBuf) -> io::Result<Self> {
        let listener = bind_loopback()?;
        Ok(Self {
            address: listener.local_addr()?,
            task: tokio::spawn(pass(listener, socket)).abort_handle(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(listener: TcpListener, socket: PathBuf) {
    let mut connections = JoinSet::new();
    while let Ok((mut outside, _)) = listener.accept().await {
        let socket = socket.clone();
        connections.spawn(async move {
            if let Ok(mut inside) = UnixStream::connect(socket).await {
                // A node that dies in the middle ends the connection; its asker sees that.
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
