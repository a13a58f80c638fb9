//! A node's front: takes connections at an address that stays, passes octets on, and records lines.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What all fronts recorded.
pub(crate) type Record = Arc<Mutex<Vec<Heard>>>;

/// A line, recorded before it was passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The node behind the front.
    pub(crate) node: String,
    /// The connection's number.
    pub(crate) connection: usize,
    /// The node said it.
    pub(crate) from_node: bool,
    pub(crate) line: String,
}

pub(crate) struct Front {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    node: String,
    behind: Mutex<Option<String>>,
    held_back: Mutex<bool>,
    changed: Condvar,
    record: Record,
}

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

impl Front {
    pub(crate) fn new(node: &str, record: Record) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            node: node.to_owned(),
            behind: Mutex::new(None),
            held_back: Mutex::new(false),
            changed: Condvar::new(),
            record,
        });
        let serving = shared.clone();
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.clone().pass_on(stream);
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Where connections go from now on; `None`: nowhere, they end at once.
    pub(crate) fn lead_to(&self, address: Option<String>) {
        *self.shared.behind.lock().expect("no panic under the lock") = address;
    }

    /// Whether content for the node is held back from now on; what was held back goes on with `false`.
    pub(crate) fn hold_back(&self, held: bool) {
        *self
            .shared
            .held_back
            .lock()
            .expect("no panic under the lock") = held;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn pass_on(self: Arc<Self>, outside: TcpStream) {
        let behind = self.behind.lock().expect("no panic under the lock").clone();
        let Some(inside) = behind.and_then(|address| TcpStream::connect(address).ok()) else {
            return;
        };
        let connection = CONNECTIONS.fetch_add(1, Ordering::SeqCst);
        for (from_node, from, to) in [(false, &outside, &inside), (true, &inside, &outside)] {
            let (Ok(from), Ok(to), shared) = (from.try_clone(), to.try_clone(), self.clone())
            else {
                return;
            };
            thread::spawn(move || shared.pump(connection, from_node, from, to));
        }
    }

    fn pump(&self, connection: usize, from_node: bool, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        let mut rest = Vec::new();
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            rest.extend_from_slice(&buffer[..count]);
            if !from_node && self.in_content(connection) {
                let held = self.held_back.lock().expect("no panic under the lock");
                drop(
                    self.changed
                        .wait_while(held, |held| *held)
                        .expect("no panic under the lock"),
                );
            }
            while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                rest.drain(..end + 2);
                let heard = Heard {
                    node: self.node.clone(),
                    connection,
                    from_node,
                    line,
                };
                self.record
                    .lock()
                    .expect("no panic under the lock")
                    .push(heard);
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// The node's last word was 354.
    fn in_content(&self, connection: usize) -> bool {
        let record = self.record.lock().expect("no panic under the lock");
        record
            .iter()
            .rev()
            .find(|h| h.connection == connection && h.from_node)
            .is_some_and(|h| h.line.starts_with("354"))
    }
}
