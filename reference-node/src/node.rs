//! The node: its state, and the tasks that drive its cores.
//!
//! One lock guards the state in memory. A change is made under it and put in line for the commit under
//! it, so the order of changes in memory is the order on disk; whoever answers for the change waits for
//! the receipt after the lock is released.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    config::{Config, ConfigError},
    delivery::scheduler::{RetryIntervals, Scheduler, destination},
    env::{Environment, Timestamp},
    message::{Envelope, TransportId},
    receive,
    sabotage::{Sabotage, active},
    safety_net,
    shadow::{manager::Manager, mark::Mark, redundancy},
    store::{
        Discard, MailboxStore, OpenFailure, Receipt, ShadowRecord, TransportStore, TransportWrite,
    },
    tracking::Tracking,
};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its databases.
    #[error(transparent)]
    Store(#[from] OpenFailure),
    /// The address that it is to listen on.
    #[error(
        "cannot listen on {address}: {error}; is another server there? choose another `listen` address"
    )]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        error: std::io::Error,
    },
}

/// A message in a queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) envelope: Envelope,
    /// Its copy is still being made: it is not delivered yet.
    pub(crate) held: bool,
    /// Sessions that are delivering it now.
    pub(crate) busy: u32,
    /// Its content, until the first attempt to deliver it, while there is room in memory.
    pub(crate) content: Option<Kept>,
}

impl Queued {
    /// It waits for delivery, and nobody is delivering it at this moment: what becomes of it is not open.
    pub(crate) fn may_expire(&self) -> bool {
        !self.held && self.busy == 0 && self.envelope.pending().next().is_some()
    }
}

/// A content that is kept in memory.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) octets: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Room in memory for contents of queued messages, in KiB. What finds no room is read from the database.
const ROOM_KIB: usize = 64 * 1024;

/// What the node keeps in memory; the transport database has the same.
pub(crate) struct State {
    pub(crate) next_row: u64,
    pub(crate) queue: BTreeMap<u64, Queued>,
    pub(crate) shadow: BTreeMap<u64, ShadowRecord>,
    /// By primary server and name: a promoted message keeps its name under its new primary server (HB-12).
    pub(crate) shadow_rows: BTreeMap<(String, TransportId), u64>,
    /// By shadow server and number.
    pub(crate) discards: BTreeMap<String, BTreeMap<u64, Discard>>,
    /// By primary server, and its database and epoch. Never ahead of the disk: a primary server forgets what is up to it.
    pub(crate) cursors: BTreeMap<(String, String), u64>,
    /// Messages that were discarded here before their copy came, by primary server, and when.
    pub(crate) discarded: BTreeMap<(String, TransportId), Duration>,
    /// Rows of the queue of which a copy is to be made, and when to try (HB-12).
    pub(crate) bare: BTreeMap<u64, Duration>,
    /// By server, the furthest place in its log that it showed.
    pub(crate) shown: BTreeMap<String, Shown>,
    pub(crate) manager: Manager,
    pub(crate) scheduler: Scheduler,
    /// Rows whose groups the delivery task has to expand.
    pub(crate) to_expand: BTreeSet<u64>,
    /// Sabotage `one-shadow-per-message-id`.
    pub(crate) copied_ids: BTreeMap<String, String>,
}

/// A database as its server has shown it (HB-13).
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) mark: Mark,
    /// When the answer was read, if this incarnation did.
    pub(crate) at: Option<Instant>,
}

impl State {
    /// A number that was never given before.
    pub(crate) fn next_row(&mut self) -> u64 {
        let row = self.next_row;
        self.next_row += 1;
        row
    }
}

/// One running node.
pub struct Node {
    pub(crate) config: Config,
    pub(crate) env: Arc<dyn Environment>,
    pub(crate) store: TransportStore,
    pub(crate) mailboxes: MailboxStore,
    pub(crate) tracking: Tracking,
    state: Mutex<State>,
    started: Instant,
    /// Something can be delivered.
    pub(crate) wake_delivery: Notify,
    /// Something is held for a primary server.
    pub(crate) wake_heartbeat: Notify,
    /// Something may have ended.
    pub(crate) wake_upkeep: Notify,
    /// A message has left the queue.
    pub(crate) finished: Notify,
    /// Of something a copy is to be made.
    pub(crate) wake_redundancy: Notify,
    room: Arc<Semaphore>,
    address: String,
}

impl Node {
    /// Opens the databases, binds the address, and starts the node's tasks in `env`.
    ///
    /// # Errors
    /// A database or the address cannot be used.
    pub async fn start(config: Config, env: Arc<dyn Environment>) -> Result<Arc<Self>, StartError> {
        let sabotage = config.sabotage;
        let t = &config.transport;
        let (store, mut loaded) = TransportStore::open(&env, sabotage)?;
        // DD-03: at least the longest documented replay, and a day for clocks that differ.
        let retention =
            t.safety_net_hold_time + t.message_expiration_timeout + Duration::from_secs(86_400);
        let mailboxes = MailboxStore::open(&env, retention, sabotage)?;
        if active(sabotage, Sabotage::ForgetQueueOnRestart) {
            loaded.queue.clear();
        }
        if active(sabotage, Sabotage::ForgetDiscardsOnRestart) {
            loaded.discards.clear();
        }
        let listener = env
            .listen(&config.listen)
            .await
            .map_err(|error| StartError::Listen {
                address: config.listen.clone(),
                error,
            })?;

        let mut state = State {
            next_row: loaded.next_row,
            queue: BTreeMap::new(),
            shadow: BTreeMap::new(),
            shadow_rows: BTreeMap::new(),
            discards: loaded.discards,
            cursors: loaded.cursors,
            discarded: BTreeMap::new(),
            bare: BTreeMap::new(),
            shown: loaded
                .shown
                .into_iter()
                .map(|(server, mark)| (server, Shown { mark, at: None }))
                .collect(),
            manager: Manager::new(
                t.shadow_heartbeat_frequency,
                t.shadow_resubmit_time_span,
                sabotage,
            ),
            scheduler: Scheduler::new(RetryIntervals::of(t), config.send.max_sessions),
            to_expand: BTreeSet::new(),
            copied_ids: BTreeMap::new(),
        };
        for (row, record) in loaded.shadow {
            state
                .manager
                .hold(&record.primary, &record.mark.database, row, Duration::ZERO);
            let name = (record.primary.clone(), record.envelope.id.clone());
            state.shadow_rows.insert(name, row);
            state.shadow.insert(row, record);
        }
        let address = listener.address();
        let tracking = Tracking::new(env.clone());
        let node = Arc::new(Self {
            config,
            env,
            store,
            mailboxes,
            tracking,
            state: Mutex::new(state),
            started: Instant::now(),
            wake_delivery: Notify::new(),
            wake_heartbeat: Notify::new(),
            wake_upkeep: Notify::new(),
            finished: Notify::new(),
            wake_redundancy: Notify::new(),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            address,
        });
        for (row, envelope) in loaded.queue {
            if envelope.is_copied_afterwards() {
                // Whether an earlier incarnation's copy was confirmed is not known.
                node.make_redundant(&mut node.state(), row);
            }
            node.enqueue(&mut node.state(), row, envelope, None);
        }
        node.env
            .spawn(Box::pin(receive::serve(node.clone(), listener)));
        node.env.spawn(Box::pin(node.clone().deliver()));
        node.env.spawn(Box::pin(node.clone().heartbeat()));
        node.env.spawn(Box::pin(redundancy::restore(node.clone())));
        node.env.spawn(Box::pin(safety_net::upkeep(node.clone())));
        Ok(node)
    }

    /// The address that it receives mail on.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The ID of its transport database.
    pub fn database_id(&self) -> &str {
        self.store.id()
    }

    /// Why it refuses mail, if a database failed, or has no room.
    pub fn failure(&self) -> Option<&str> {
        let failed = self.store.failure().or_else(|| self.mailboxes.failure());
        failed.or_else(|| self.is_full().then_some("no room on the disk"))
    }

    /// There is no room on a database's disk. The node waits for it (TC-07).
    pub(crate) fn is_full(&self) -> bool {
        self.store.is_full() || self.mailboxes.is_full()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock cannot leave half a change: every change is prepared before it is made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sabotaged(&self, sabotage: Sabotage) -> bool {
        active(self.config.sabotage, sabotage)
    }

    /// Monotonic time since the node started.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.env.wall_clock()
    }

    /// Puts changes in line for the next commit.
    pub(crate) fn submit(&self, writes: Vec<TransportWrite>) -> Receipt<()> {
        self.store.submit(writes)
    }

    /// A row of the queue is ready for delivery.
    pub(crate) fn enqueue(
        &self,
        state: &mut State,
        row: u64,
        envelope: Envelope,
        content: Option<Bytes>,
    ) {
        let mut hops: Vec<_> = envelope
            .pending()
            .filter_map(|(_, to)| destination(&self.config, &to.path))
            .collect();
        hops.sort();
        hops.dedup();
        for hop in hops {
            state.scheduler.add(hop, row);
        }
        if self.has_group(&envelope) {
            state.to_expand.insert(row);
        }
        let content = content.and_then(|octets| self.keep(octets));
        state.queue.insert(
            row,
            Queued {
                envelope,
                held: false,
                busy: 0,
                content,
            },
        );
        self.wake_delivery.notify_one();
    }

    fn keep(&self, octets: Bytes) -> Option<Kept> {
        let kib = u32::try_from(octets.len() / 1024 + 1).ok()?;
        let room = self.room.clone().try_acquire_many_owned(kib).ok()?;
        Some(Kept {
            octets,
            _room: room,
        })
    }

    /// Sleeps until `due` (of [`Self::uptime`]), or for ever.
    pub(crate) async fn sleep_until(&self, due: Option<Duration>) {
        match due.and_then(|due| self.started.checked_add(due)) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
