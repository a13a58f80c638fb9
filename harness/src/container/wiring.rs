//! How taps stand between containers.
//!
//! Comes in: a link. Goes out: a port of the network's gateway address where a container is the one that connects, else a
//! loopback port. The way on is the harness's own: it is on the containers' network. Called by
//! [`Links`](crate::links::Links).

use std::{io, net::Ipv4Addr};

use tokio::net::TcpListener;

use crate::{
    links::Wiring,
    tap::{Dial, bind_loopback},
};

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) address: Ipv4Addr,
    pub(super) nodes: Vec<String>,
}

impl Wiring for Gateway {
    fn listen(&self, from: &str, _to: &str) -> io::Result<TcpListener> {
        if !self.nodes.iter().any(|node| node == from) {
            return bind_loopback();
        }
        let listener = std::net::TcpListener::bind((self.address, 0)).map_err(|error| {
            let text = format!(
                "bind {}, the containers' gateway: {error}; the container engine must run on this machine itself",
                self.address
            );
            io::Error::new(error.kind(), text)
        })?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    fn dial(&self, _from: &str, _to: &str) -> Option<Dial> {
        None
    }
}
