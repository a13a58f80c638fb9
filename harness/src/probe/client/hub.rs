//! Where the next hop's sessions and the cases meet: which message is whose, what was seen of it, and how the next session goes.
//!
//! A message is known by its envelope, before its content: a token stands in the recipients' local parts, another one in the
//! return path's. What comes to the latter with a null reverse-path is a notification about it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsAcceptor;

use super::{
    manners::{Manners, Script},
    seen::{Session, Transaction},
};

/// A message that a case has sent, or waits for.
#[derive(Debug)]
pub struct Mail {
    /// Whose.
    pub case: &'static str,
    /// It stands in the recipients' local parts.
    pub token: String,
    /// It stands in the return path's local part.
    pub back: String,
    /// How the first attempts are answered; the others as by an ordinary server.
    scripts: Vec<Script>,
    begun: AtomicUsize,
    attempts: Mutex<Vec<Arc<Transaction>>>,
    notices: Mutex<Vec<Arc<Transaction>>>,
}

impl Mail {
    /// A message of that case.
    pub fn new(case: &'static str, token: String, back: String, scripts: Vec<Script>) -> Self {
        Self {
            case,
            token,
            back,
            scripts,
            begun: AtomicUsize::new(0),
            attempts: Mutex::default(),
            notices: Mutex::default(),
        }
    }

    /// The script of the attempt that begins now.
    pub fn begin(&self) -> Script {
        let attempt = self.begun.fetch_add(1, Ordering::SeqCst);
        self.scripts.get(attempt).cloned().unwrap_or_default()
    }

    /// Attempts to send it that are over.
    pub fn attempts(&self) -> Vec<Arc<Transaction>> {
        locked(&self.attempts).clone()
    }

    /// Attempts that have begun.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Notifications about it.
    pub fn notices(&self) -> Vec<Arc<Transaction>> {
        locked(&self.notices).clone()
    }
}

/// Where a transaction belongs.
#[derive(Debug, Clone)]
pub enum Owner {
    /// It sends this message.
    Mail(Arc<Mail>),
    /// It sends a notification about this message.
    Notice(Arc<Mail>),
    /// Nobody knows it.
    Nobody,
}

/// See the module.
pub struct Hub {
    manners: Mutex<(Arc<Manners>, usize)>,
    mails: Mutex<Vec<Arc<Mail>>>,
    sessions: Mutex<Vec<Arc<Session>>>,
    strays: Mutex<Vec<Arc<Transaction>>>,
    changed: watch::Sender<u64>,
    /// Idle sessions of an earlier count end.
    generation: watch::Sender<u64>,
    /// For STARTTLS.
    pub tls: TlsAcceptor,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub whose sessions are ordinary ones.
    pub fn new(tls: TlsAcceptor) -> Self {
        Self {
            manners: Mutex::new((Arc::default(), 0)),
            mails: Mutex::default(),
            sessions: Mutex::default(),
            strays: Mutex::default(),
            changed: watch::Sender::new(0),
            generation: watch::Sender::new(0),
            tls,
        }
    }

    // For the next hop.

    /// A session begins.
    pub fn session(&self) -> Arc<Session> {
        let manners = {
            let mut manners = locked(&self.manners);
            manners.1 += 1;
            if manners.1 > manners.0.sessions {
                Arc::default()
            } else {
                manners.0.clone()
            }
        };
        let session = Arc::new(Session::new(manners));
        locked(&self.sessions).push(session.clone());
        session
    }

    /// Tells when idle sessions are to end.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Whose transaction it is, by the reverse-path.
    pub fn by_reverse_path(&self, line: &str) -> Option<Arc<Mail>> {
        let line = line.to_ascii_lowercase();
        let mails = locked(&self.mails);
        mails.iter().find(|mail| line.contains(&mail.back)).cloned()
    }

    /// Whose transaction it is, by a forward-path.
    pub fn by_forward_path(&self, line: &str) -> Owner {
        let line = line.to_ascii_lowercase();
        for mail in locked(&self.mails).iter() {
            if line.contains(&mail.token) {
                return Owner::Mail(mail.clone());
            }
            if line.contains(&mail.back) {
                return Owner::Notice(mail.clone());
            }
        }
        Owner::Nobody
    }

    /// A transaction is over.
    pub fn over(&self, owner: &Owner, transaction: Transaction) {
        let transaction = Arc::new(transaction);
        match owner {
            Owner::Mail(mail) => locked(&mail.attempts).push(transaction),
            Owner::Notice(mail) => locked(&mail.notices).push(transaction),
            Owner::Nobody => locked(&self.strays).push(transaction),
        }
        self.tell();
    }

    /// Something was seen.
    pub fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    // For the cases.

    /// From now on a message is known.
    pub fn expect(&self, mail: Arc<Mail>) {
        locked(&self.mails).push(mail);
    }

    /// Sessions that begin from now on go so.
    pub fn behave(&self, manners: Manners) {
        *locked(&self.manners) = (Arc::new(manners), 0);
    }

    /// Ends the sessions that there are, as soon as each is between two transactions; nothing waits longer than this.
    pub async fn clear(&self, within: Duration) {
        let before = self.sessions();
        self.generation.send_modify(|count| *count += 1);
        let ended = || {
            before
                .iter()
                .all(|session| session.has_ended())
                .then_some(())
        };
        self.until(Instant::now() + within, ended).await;
    }

    /// All sessions so far.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        locked(&self.sessions).clone()
    }

    /// Transactions that belong to no message of the probe.
    pub fn strays(&self) -> Vec<Arc<Transaction>> {
        locked(&self.strays).clone()
    }

    /// All messages so far.
    pub fn mails(&self) -> Vec<Arc<Mail>> {
        locked(&self.mails).clone()
    }

    /// Waits until `found` finds something; `None` when it has not by then.
    pub async fn until<T>(&self, deadline: Instant, found: impl Fn() -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = found() {
                return Some(found);
            }
            // The sender lives in `self`, so only the deadline ends this.
            if timeout_at(deadline, changed.changed()).await.is_err() {
                return found();
            }
        }
    }
}

/// Nothing under these locks can panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
