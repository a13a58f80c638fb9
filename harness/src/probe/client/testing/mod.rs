//! A small mail server for tests of the cases about clients: right by default, and wrong in exactly the ways that it is told.
//!
//! It takes mail, keeps it in memory, and sends it to its next hop, which is told later. It never uses the code that it tests.

mod flaw;
mod receiving;
mod sending;
mod session;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use flaw::Flaw;

/// How long it waits before it tries again.
const RETRY: Duration = Duration::from_millis(400);

/// A server that runs until it is dropped.
pub(crate) struct Client {
    /// Where it takes mail.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

/// What its tasks share.
struct Shared {
    flaws: Vec<Flaw>,
    next_hop: OnceLock<SocketAddr>,
}

impl Shared {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaws.contains(&flaw)
    }
}

/// A message in its queue.
#[derive(Debug, Clone)]
struct Mail {
    from: String,
    parameters: Vec<String>,
    to: Vec<(String, Vec<String>)>,
    content: Vec<u8>,
    /// It is a notification.
    own: bool,
}

impl Client {
    /// A server with these flaws.
    pub(crate) async fn start(flaws: &[Flaw]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            flaws: flaws.to_vec(),
            next_hop: OnceLock::new(),
        });
        let task = tokio::spawn(receiving::serve(listener, shared.clone()));
        Self {
            address,
            shared,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// From now on it has a next hop.
    pub(crate) fn sends_to(&self, next_hop: &str) {
        let address = next_hop.parse().expect("an address");
        self.shared.next_hop.set(address).expect("told once");
    }
}
