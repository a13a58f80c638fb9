//! A sink's address: one port for each node, so that the sink knows who sends.
//!
//! Comes in: connections from the taps `node>sink`. Goes out: [`Listener`], whose second value is the name
//! of the node that the connection came from. When it is dropped, the sink is down: its taps have no target before
//! its ports are free for another program, which would take its mail.

use std::{future::poll_fn, io, sync::Arc, task::Poll};

use reference_node::env::{BoxFuture, BoxStream, Listener};
use tokio::net::TcpListener;

use super::Links;
use crate::tap::bind_loopback;

/// The bound ports of one sink.
#[derive(Debug)]
pub(crate) struct SinkListener {
    sink: String,
    ports: Vec<(String, TcpListener)>,
    links: Arc<Links>,
}

impl SinkListener {
    /// Binds a port for each of these nodes, and lets their taps lead there.
    pub(crate) fn bind(sink: &str, nodes: &[String], links: Arc<Links>) -> io::Result<Self> {
        let bind = |node: &String| Ok((node.clone(), bind_loopback()?));
        let ports: Vec<_> = nodes.iter().map(bind).collect::<io::Result<_>>()?;
        for (node, port) in &ports {
            links.set_target(Some(node), sink, Some(port.local_addr()?));
        }
        Ok(Self {
            sink: sink.to_owned(),
            ports,
            links,
        })
    }
}

impl Drop for SinkListener {
    fn drop(&mut self) {
        for (node, _) in &self.ports {
            self.links.set_target(Some(node), &self.sink, None);
        }
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

    use super::*;
    use crate::{history::Recorder, tap::Board};

    /// Ports are given again at once on a busy machine: a sink of another run took mail that way.
    #[tokio::test]
    async fn what_takes_the_port_of_a_sink_that_is_down_gets_no_mail() {
        let board = Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
        let links = Arc::new(Links::new(board, 1, Arc::new(super::super::Loopback)));
        let tap = links.address("n1", "sink-1").expect("a tap");
        let sink = SinkListener::bind("sink-1", &["n1".to_owned()], links).expect("a sink");
        let port = sink.ports[0].1.local_addr().expect("an address");
        drop(sink);
        let other = TcpListener::bind(port).await.expect("the port is free");

        // The reset may be faster than the connect.
        let octets = async { TcpStream::connect(tap).await?.read(&mut [0]).await };
        let read = timeout(Duration::from_secs(10), octets).await;
        assert!(
            matches!(read, Ok(Ok(0) | Err(_))),
            "the connection ends: {read:?}"
        );
        let taken = timeout(Duration::from_millis(50), other.accept()).await;
        assert!(taken.is_err(), "nothing reaches the other program");
    }
}
