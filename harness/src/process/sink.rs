//! A sink's address: one port for each node, so that the sink knows who sends.
//!
//! Comes in: connections from the taps `node>sink`. Goes out: [`Listener`], whose second value is the name
//! of the node that the connection came from.

use std::{future::poll_fn, io, net::SocketAddr, task::Poll};

use reference_node::env::{BoxFuture, BoxStream, Listener};
use tokio::net::TcpListener;

use crate::tap::bind_loopback;

/// The bound ports of one sink.
#[derive(Debug)]
pub(super) struct SinkListener {
    ports: Vec<(String, TcpListener)>,
}

impl SinkListener {
    /// Binds a port for each of these nodes; returns where each is to be sent.
    pub(super) fn bind(nodes: &[String]) -> io::Result<(Self, Vec<(String, SocketAddr)>)> {
        let bind = |node: &String| Ok((node.clone(), bind_loopback()?));
        let ports: Vec<_> = nodes.iter().map(bind).collect::<io::Result<_>>()?;
        let address = |(node, port): &(String, TcpListener)| Ok((node.clone(), port.local_addr()?));
        let addresses = ports.iter().map(address).collect::<io::Result<_>>()?;
        Ok((Self { ports }, addresses))
    }
}

impl Listener for SinkListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(poll_fn(|context| {
            for (node, port) in &self.ports {
                if let Poll::Ready(accepted) = port.poll_accept(context) {
                    return Poll::Ready(accepted.map(|(stream, _)| {
                        // Replies are short and waited for.
                        let _ = stream.set_nodelay(true);
                        (Box::new(stream) as BoxStream, node.clone())
                    }));
                }
            }
            Poll::Pending
        }))
    }

    fn address(&self) -> String {
        let address = self
            .ports
            .first()
            .and_then(|(_, port)| port.local_addr().ok());
        address.map_or_else(String::new, |address| address.to_string())
    }
}
