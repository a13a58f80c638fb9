//! How taps stand in a substrate's network.
//!
//! Comes in: a link. Goes out: the socket at which its client finds its server, and the way on to that server. Called by
//! [`Links`](super::Links).

use std::{fmt, io};

use tokio::net::TcpListener;

use crate::tap::{Dial, bind_loopback};

/// Where taps listen, and how they reach what they stand before.
pub(crate) trait Wiring: fmt::Debug + Send + Sync {
    /// A listener at which `from` finds `to`.
    fn listen(&self, from: &str, to: &str) -> io::Result<TcpListener>;
    /// How what comes from `from` is passed on to `to`; `None`: as the harness itself connects.
    fn dial(&self, from: &str, to: &str) -> Option<Dial>;
}

/// Everybody is on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Loopback;

impl Wiring for Loopback {
    fn listen(&self, _from: &str, _to: &str) -> io::Result<TcpListener> {
        bind_loopback()
    }

    fn dial(&self, _from: &str, _to: &str) -> Option<Dial> {
        None
    }
}
