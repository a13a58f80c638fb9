//! Proof of arrival: what was *delivered*, not only what was answered.
//!
//! Comes in: a [`Source`]: a sink that the probe itself is, a maildir, or a mailbox endpoint over HTTP. Goes out:
//! [`Arrived`] messages, found by their [`Token`]. One task reads the source as long as the probe runs; cases wait for it.
//!
//! Whether something did *not* arrive can only be said after a while: a case sends an ordinary message behind it and waits for
//! that one; and when all cases are over every token that must not have arrived is looked for once more.

mod mailbox;
mod maildir;
mod sink;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

pub use super::message::{Arrived, Token};

/// How often a source that has to be asked is asked.
const POLL: Duration = Duration::from_millis(100);

/// Where delivered messages are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The probe listens here as the server's next hop (`HOST:PORT`).
    Sink(String),
    /// A directory with `new` and `cur`, or with mailboxes that have them.
    Maildir(PathBuf),
    /// An HTTP endpoint with `/mailboxes`, as the reference node has it: `http://127.0.0.1:8025`.
    Mailboxes(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sink(address) => write!(f, "sink {address}"),
            Self::Maildir(directory) => write!(f, "maildir {}", directory.display()),
            Self::Mailboxes(url) => write!(f, "mailboxes {url}"),
        }
    }
}

/// A source that is being read.
#[derive(Debug)]
pub struct Arrivals {
    source: Source,
    seen: Arc<Seen>,
    _reader: AbortOnDropHandle<()>,
}

/// What has arrived so far.
#[derive(Debug)]
struct Seen {
    messages: Mutex<Vec<Arc<Arrived>>>,
    /// Counts every message and every whole reading of the source.
    changed: watch::Sender<u64>,
    /// Why the source could not be read last time.
    trouble: Mutex<Option<String>>,
}

impl Seen {
    fn add(&self, message: Arrived) {
        self.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(message));
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn trouble(&self, what: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}

impl Arrivals {
    /// Begins to read the source. What a maildir or an endpoint has already is not read as new: tokens tell messages apart.
    ///
    /// # Errors
    /// The sink's address cannot be bound, the directory does not exist, the endpoint does not answer.
    pub async fn open(source: Source) -> io::Result<Self> {
        let seen = Arc::new(Seen {
            messages: Mutex::default(),
            changed: watch::Sender::new(0),
            trouble: Mutex::default(),
        });
        let reader = match &source {
            Source::Sink(address) => {
                let listener = TcpListener::bind(address).await?;
                tokio::spawn(sink::serve(listener, seen.clone()))
            }
            Source::Maildir(directory) => {
                let mut maildir = maildir::Maildir::open(directory)?;
                let seen = seen.clone();
                tokio::spawn(async move {
                    loop {
                        let read = maildir.read();
                        took(&seen, read.map_err(|e| e.to_string()));
                        tokio::time::sleep(POLL).await;
                    }
                })
            }
            Source::Mailboxes(url) => {
                let mut endpoint = mailbox::Mailboxes::new(url).map_err(io::Error::other)?;
                endpoint.read().await.map_err(io::Error::other)?;
                let seen = seen.clone();
                tokio::spawn(async move {
                    loop {
                        let read = endpoint.read().await;
                        took(&seen, read);
                        tokio::time::sleep(POLL).await;
                    }
                })
            }
        };
        Ok(Self {
            source,
            seen,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    /// Where it looks.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Every message that this holds for, so far.
    pub fn all(&self, wanted: impl Fn(&Arrived) -> bool) -> Vec<Arc<Arrived>> {
        let messages = self.seen.messages.lock();
        let messages = messages.unwrap_or_else(PoisonError::into_inner);
        messages.iter().filter(|m| wanted(m)).cloned().collect()
    }

    /// The first message that this holds for; `None` when none has come within the time.
    pub async fn first(
        &self,
        within: Duration,
        wanted: impl Fn(&Arrived) -> bool,
    ) -> Option<Arc<Arrived>> {
        let deadline = Instant::now() + within;
        let mut changed = self.seen.changed.subscribe();
        let mut from = 0;
        loop {
            changed.mark_unchanged();
            let found = {
                let messages = self.seen.messages.lock();
                let messages = messages.unwrap_or_else(PoisonError::into_inner);
                let found = messages[from..].iter().find(|m| wanted(m)).cloned();
                from = messages.len();
                found
            };
            if found.is_some() {
                return found;
            }
            // The sender lives in `self`, so only the deadline ends this.
            if timeout_at(deadline, changed.changed()).await.is_err() {
                return None;
            }
        }
    }

    /// Why the source could not be read last time, when it could not.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.seen.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn took(seen: &Seen, read: Result<Vec<Arrived>, String>) {
    match read {
        Ok(messages) => {
            seen.trouble(None);
            for message in messages {
                seen.add(message);
            }
        }
        Err(error) => seen.trouble(Some(error)),
    }
    seen.tell();
}

#[cfg(test)]
mod tests;
