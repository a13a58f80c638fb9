//! The transport database: queues, shadow queues, discard events, Safety Net; one file with an ID of its own.
//!
//! A message's content is written once and keeps its row through queue, shadow queue and Safety Net.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    backend::{DatabaseFile, OpenError},
    commit::{Committer, Receipt, Schema, StoreError},
};
use crate::{
    env::{Environment, Timestamp},
    message::{Envelope, TransportId},
    sabotage::Sabotage,
    shadow::mark::{EpochEnd, Mark},
};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const QUEUE: TableDefinition<u64, &[u8]> = TableDefinition::new("queue");
const SHADOW: TableDefinition<u64, &[u8]> = TableDefinition::new("shadow");
/// By expiry (milliseconds since the epoch), then row.
const SAFETY_NET: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("safety-net");
/// Empty: the content is long, and is in [`PARTS`].
const CONTENT: TableDefinition<u64, &[u8]> = TableDefinition::new("content");
/// Long contents, by row and place.
const PARTS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("content-parts");
const DISCARDS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("discards");
/// How far this node, as shadow server, has read a primary's discard events: by server and database ID.
const CURSORS: TableDefinition<(&str, &str), u64> = TableDefinition::new("cursors");

/// Where each epoch of this database began: by position. An epoch ends where the next one begins.
const EPOCHS: TableDefinition<u64, u64> = TableDefinition::new("epochs");
/// The furthest place in its log that each server has shown.
const SHOWN: TableDefinition<&str, &[u8]> = TableDefinition::new("shown");

const DATABASE_ID: &str = "database-id";
const POSITION: &str = "position";
const NEXT_ROW: &str = "next-row";

/// Octets of a content that one value has at most. The database keeps a value in memory as a whole until it is written, in
/// an allocation of the next power of two.
const LONGEST_VALUE: usize = 1 << 20;

/// How many numbers every start passes over at least. The last incarnation may have given numbers whose commit was cut
/// off by its end, and named messages by them to other servers: a second message of that name would be taken
/// for a copy that they hold already. A random number more are passed over, because a database that was put back to
/// an earlier state would else give the numbers again that it gave after that (HB-13).
const SET_ASIDE: u64 = 1 << 32;

/// A shadow message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowRecord {
    /// Its envelope, all recipients pending.
    pub envelope: Envelope,
    /// The primary server that sent it.
    pub primary: String,
    /// Where the message stands in that server's log. Epoch 0: it did not say.
    pub mark: Mark,
}

impl ShadowRecord {
    /// Both are copies of the same message; its name alone does not say so (HB-13).
    pub fn is_copy_of(&self, other: &Self) -> bool {
        let facts = |e: &Envelope| {
            (
                e.id.clone(),
                e.from.clone(),
                e.submit_time,
                e.message_id.clone(),
                e.size,
            )
        };
        self.primary == other.primary && facts(&self.envelope) == facts(&other.envelope)
    }
}

/// Which of the two Safety Nets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SafetyNetRole {
    /// SN-01
    Primary,
    /// SN-02
    Shadow,
}

/// A message in Safety Net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SafetyNetEntry {
    /// Its envelope.
    pub envelope: Envelope,
    /// Primary or shadow Safety Net.
    pub role: SafetyNetRole,
    /// For a shadow: its primary server.
    pub primary: Option<String>,
    /// When it came in.
    pub entered: Timestamp,
}

/// What a discard event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiscardKind {
    /// The message is fully processed.
    Delivered,
    /// The message was refused after the copy had been sent.
    Abandoned,
}

/// A discard event, kept for one shadow server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discard {
    /// The message.
    pub id: TransportId,
    /// What is to become of its shadow.
    pub kind: DiscardKind,
    /// Since when it is kept.
    pub created: Timestamp,
}

/// One change. A request is a list of them, which become durable together.
#[derive(Debug)]
pub enum TransportWrite {
    /// Writes a queue row.
    PutQueue(u64, Envelope),
    /// Removes it.
    DeleteQueue(u64),
    /// Writes a shadow row.
    PutShadow(u64, ShadowRecord),
    /// Removes it.
    DeleteShadow(u64),
    /// Writes a Safety Net row that expires at that time.
    PutSafetyNet(Timestamp, u64, SafetyNetEntry),
    /// Removes every Safety Net row that expires up to that time, with its content.
    ExpireSafetyNet(Timestamp),
    /// Writes a content.
    PutContent(u64, Bytes),
    /// Removes it.
    DeleteContent(u64),
    /// Keeps a discard event for a server.
    PutDiscard(String, u64, Discard),
    /// Forgets a discard event.
    DeleteDiscard(String, u64),
    /// Remembers the furthest place in its log that a server has shown (HB-13).
    SetShown(String, Mark),
    /// Remembers how far this node has read a primary's discard events, and forgets it of its earlier lives.
    SetCursor {
        /// The primary.
        server: String,
        /// Its database and epoch.
        life: String,
        /// How far.
        cursor: u64,
    },
}

/// Everything that a starting node keeps in memory of its transport database.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The queues.
    pub queue: BTreeMap<u64, Envelope>,
    /// The shadow queues.
    pub shadow: BTreeMap<u64, ShadowRecord>,
    /// Discard events by shadow server and number.
    pub discards: BTreeMap<String, BTreeMap<u64, Discard>>,
    /// What each server has shown.
    pub shown: BTreeMap<String, Mark>,
    /// Cursors by primary and its database and epoch.
    pub cursors: BTreeMap<(String, String), u64>,
    /// The next row that was never given.
    pub next_row: u64,
}

/// The transport database.
pub struct TransportStore {
    file: Arc<DatabaseFile>,
    id: String,
    /// Epochs and the positions at which they began, in order; the last one runs.
    epochs: Vec<(u64, u64)>,
    committer: Committer<Transport>,
}

impl TransportStore {
    /// Opens the database, or makes a new one with an ID of its own.
    ///
    /// # Errors
    /// It cannot be opened, read or made.
    pub fn open(
        env: &Arc<dyn Environment>,
        sabotage: Option<Sabotage>,
    ) -> Result<(Self, Loaded), OpenFailure> {
        let file = Arc::new(DatabaseFile::open(env, "transport.redb", sabotage)?);
        let database = file.opened()?;
        let new_id = format!("{:016x}{:016x}", env.random(), env.random());
        let (drawn, gap) = (env.random().max(1), env.random() >> 32);
        let (id, position) = first_commit(&database, &new_id, drawn, gap)?;
        let loaded = load(&database)?;
        let epochs = load_epochs(&database)?;
        let position = Arc::new(AtomicU64::new(position));
        let committer = Committer::start(
            env,
            file.clone(),
            Transport {
                position: position.clone(),
            },
            position,
        );
        Ok((
            Self {
                file,
                id,
                epochs,
                committer,
            },
            loaded,
        ))
    }

    /// The database's ID: 32 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Grows with every request that becomes durable and is not only about what other servers have shown (HB-13).
    pub fn position(&self) -> u64 {
        self.committer.position()
    }

    /// The epoch that runs.
    pub fn epoch(&self) -> u64 {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// How far this database came in an epoch.
    pub fn epoch_end(&self, epoch: u64) -> EpochEnd {
        match self.epochs.iter().rposition(|(known, _)| *known == epoch) {
            None => EpochEnd::Unknown,
            Some(place) => match self.epochs.get(place + 1) {
                Some((_, began)) => EpochEnd::At(*began),
                None => EpochEnd::Runs,
            },
        }
    }

    /// The place in this database's log that a request reached.
    pub fn mark(&self, position: u64) -> Mark {
        Mark {
            database: self.id.clone(),
            epoch: self.epoch(),
            position,
        }
    }

    /// Why the node refuses mail, if a commit failed.
    pub fn failure(&self) -> Option<&str> {
        self.committer.failure()
    }

    /// There is no room on the disk: what is submitted waits (TC-07).
    pub fn is_full(&self) -> bool {
        self.file.is_full()
    }

    /// Puts changes in line. They are durable together.
    pub fn submit(&self, writes: Vec<TransportWrite>) -> Receipt<()> {
        self.committer.submit(writes)
    }

    /// A message's content.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn content(&self, row: u64) -> Result<Option<Bytes>, StoreError> {
        let database = self.file.database()?;
        read_content(&database, row).map_err(|e| StoreError(e.to_string()))
    }

    /// Safety Net rows that expire after `now`, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn safety_net(&self, now: Timestamp) -> Result<Vec<(u64, SafetyNetEntry)>, StoreError> {
        let database = self.file.database()?;
        let read = || -> Result<_, redb::Error> {
            let table = database.begin_read()?.open_table(SAFETY_NET)?;
            let mut entries = Vec::new();
            for row in table.range((now.0.saturating_add(1), 0)..)? {
                let (key, value) = row?;
                entries.push((key.value().1, decode(value.value())?));
            }
            Ok(entries)
        };
        read().map_err(|e| StoreError(e.to_string()))
    }

    /// When the next Safety Net row expires.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        let database = self.file.database()?;
        let read = || -> Result<_, redb::Error> {
            let table = database.begin_read()?.open_table(SAFETY_NET)?;
            Ok(table.first()?.map(|(key, _)| Timestamp(key.value().0)))
        };
        read().map_err(|e| StoreError(e.to_string()))
    }
}

/// Why the transport database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    /// The file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in it.
    #[error("the database cannot be read: {0}")]
    Read(#[from] Box<redb::Error>),
}

impl From<redb::Error> for OpenFailure {
    fn from(error: redb::Error) -> Self {
        Self::Read(Box::new(error))
    }
}

/// Makes the tables and the ID of a new database; sets numbers aside in an old one, `gap` more than
/// [`SET_ASIDE`]; begins the epoch. Answers with the ID and the position.
fn first_commit(
    database: &Database,
    new_id: &str,
    epoch: u64,
    gap: u64,
) -> Result<(String, u64), redb::Error> {
    let transaction = database.begin_write()?;
    let (id, position);
    {
        let mut meta = transaction.open_table(META)?;
        let existing = meta
            .get(DATABASE_ID)?
            .map(|id| String::from_utf8_lossy(id.value()).into_owned());
        position = match &existing {
            None => {
                meta.insert(DATABASE_ID, new_id.as_bytes())?;
                1
            }
            Some(_) => {
                let next = meta
                    .get(NEXT_ROW)?
                    .map_or(1, |n| number(n.value()))
                    .saturating_add(SET_ASIDE)
                    .saturating_add(gap);
                meta.insert(NEXT_ROW, next.to_le_bytes().as_slice())?;
                meta.get(POSITION)?.map_or(0, |p| number(p.value())) + 1
            }
        };
        meta.insert(POSITION, position.to_le_bytes().as_slice())?;
        transaction
            .open_table(EPOCHS)?
            .insert(position - 1, epoch)?;
        transaction.open_table(SHOWN)?;
        id = existing.unwrap_or_else(|| new_id.to_owned());
        transaction.open_table(QUEUE)?;
        transaction.open_table(SHADOW)?;
        transaction.open_table(SAFETY_NET)?;
        transaction.open_table(CONTENT)?;
        transaction.open_table(DISCARDS)?;
        transaction.open_table(CURSORS)?;
    }
    transaction.commit()?;
    Ok((id, position))
}

fn load_epochs(database: &Database) -> Result<Vec<(u64, u64)>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut epochs = Vec::new();
    for row in transaction.open_table(EPOCHS)?.iter()? {
        let (began, epoch) = row?;
        epochs.push((epoch.value(), began.value()));
    }
    Ok(epochs)
}

fn load(database: &Database) -> Result<Loaded, redb::Error> {
    let transaction = database.begin_read()?;
    let mut loaded = Loaded::default();
    for row in transaction.open_table(QUEUE)?.iter()? {
        let (key, value) = row?;
        loaded.queue.insert(key.value(), decode(value.value())?);
    }
    for row in transaction.open_table(SHADOW)?.iter()? {
        let (key, value) = row?;
        loaded.shadow.insert(key.value(), decode(value.value())?);
    }
    for row in transaction.open_table(DISCARDS)?.iter()? {
        let (key, value) = row?;
        let (server, n) = key.value();
        loaded
            .discards
            .entry(server.to_owned())
            .or_default()
            .insert(n, decode(value.value())?);
    }
    for row in transaction.open_table(CURSORS)?.iter()? {
        let (key, value) = row?;
        let (server, id) = key.value();
        loaded
            .cursors
            .insert((server.to_owned(), id.to_owned()), value.value());
    }
    for row in transaction.open_table(SHOWN)?.iter()? {
        let (key, value) = row?;
        loaded
            .shown
            .insert(key.value().to_owned(), decode(value.value())?);
    }
    loaded.next_row = transaction
        .open_table(META)?
        .get(NEXT_ROW)?
        .map_or(1, |n| number(n.value()));
    Ok(loaded)
}

struct Transport {
    position: Arc<AtomicU64>,
}

impl Schema for Transport {
    type Request = Vec<TransportWrite>;
    type Answer = ();

    /// What other servers have shown is no news to them. If it were, each heartbeat would move the position that the next
    /// one shows, and an idle cluster would write for ever.
    fn advance(request: &Self::Request) -> u64 {
        let notes = |write: &TransportWrite| matches!(write, TransportWrite::SetShown(..));
        u64::from(request.is_empty() || !request.iter().all(notes))
    }

    fn apply(
        &self,
        transaction: &WriteTransaction,
        batch: &[Self::Request],
    ) -> Result<Vec<()>, redb::Error> {
        let mut meta = transaction.open_table(META)?;
        let mut queue = transaction.open_table(QUEUE)?;
        let mut shadow = transaction.open_table(SHADOW)?;
        let mut net = transaction.open_table(SAFETY_NET)?;
        let mut content = Contents {
            transaction,
            table: transaction.open_table(CONTENT)?,
        };
        let mut discards = transaction.open_table(DISCARDS)?;
        let mut cursors = transaction.open_table(CURSORS)?;
        let mut shown = transaction.open_table(SHOWN)?;
        let mut highest_row = None;
        for write in batch.iter().flatten() {
            match write {
                TransportWrite::PutQueue(row, envelope) => {
                    queue.insert(row, encode(envelope)?.as_slice())?;
                }
                TransportWrite::DeleteQueue(row) => {
                    queue.remove(row)?;
                }
                TransportWrite::PutShadow(row, record) => {
                    shadow.insert(row, encode(record)?.as_slice())?;
                }
                TransportWrite::DeleteShadow(row) => {
                    shadow.remove(row)?;
                }
                TransportWrite::PutSafetyNet(expiry, row, entry) => {
                    net.insert((expiry.0, *row), encode(entry)?.as_slice())?;
                }
                TransportWrite::ExpireSafetyNet(until) => {
                    for row in net.extract_from_if(..=(until.0, u64::MAX), |_, _| true)? {
                        content.remove(row?.0.value().1)?;
                    }
                }
                TransportWrite::PutContent(row, octets) => {
                    content.insert(*row, octets)?;
                    highest_row = highest_row.max(Some(*row));
                }
                TransportWrite::DeleteContent(row) => {
                    content.remove(*row)?;
                }
                TransportWrite::PutDiscard(server, n, event) => {
                    discards.insert((server.as_str(), *n), encode(event)?.as_slice())?;
                    highest_row = highest_row.max(Some(*n));
                }
                TransportWrite::DeleteDiscard(server, n) => {
                    discards.remove((server.as_str(), *n))?;
                }
                TransportWrite::SetShown(server, mark) => {
                    shown.insert(server.as_str(), encode(mark)?.as_slice())?;
                }
                TransportWrite::SetCursor {
                    server,
                    life,
                    cursor,
                } => {
                    let all = (server.as_str(), "")..=(server.as_str(), "\u{10ffff}");
                    cursors.retain_in(all, |(_, of), _| of == life)?;
                    cursors.insert((server.as_str(), life.as_str()), cursor)?;
                }
            }
        }
        // A row's number is never given twice, also not after the row is gone: transport IDs hang on it.
        if let Some(row) = highest_row {
            let next = meta
                .get(NEXT_ROW)?
                .map_or(1, |n| number(n.value()))
                .max(row + 1);
            meta.insert(NEXT_ROW, next.to_le_bytes().as_slice())?;
        }
        let advance = batch.iter().map(Self::advance).sum::<u64>();
        let position = self.position.load(std::sync::atomic::Ordering::SeqCst) + advance;
        meta.insert(POSITION, position.to_le_bytes().as_slice())?;
        Ok(vec![(); batch.len()])
    }
}

fn read_content(database: &Database, row: u64) -> Result<Option<Bytes>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(CONTENT)?;
    let Some(content) = table.get(row)? else {
        return Ok(None);
    };
    if !content.value().is_empty() {
        return Ok(Some(Bytes::copy_from_slice(content.value())));
    }
    let parts = transaction.open_table(PARTS)?;
    let mut size = 0;
    for part in parts.range(parts_of(row))? {
        size += part?.1.value().len();
    }
    let mut octets = Vec::with_capacity(size);
    for part in parts.range(parts_of(row))? {
        octets.extend_from_slice(part?.1.value());
    }
    Ok(Some(octets.into()))
}

/// The two tables of contents, within a transaction.
struct Contents<'t> {
    transaction: &'t WriteTransaction,
    table: Table<'t, u64, &'static [u8]>,
}

impl Contents<'_> {
    fn insert(&mut self, row: u64, octets: &[u8]) -> Result<(), redb::Error> {
        if octets.len() <= LONGEST_VALUE {
            self.table.insert(row, octets)?;
            return Ok(());
        }
        self.table.insert(row, &[][..])?;
        let mut parts = self.transaction.open_table(PARTS)?;
        for (place, part) in (0..).zip(octets.chunks(LONGEST_VALUE)) {
            parts.insert((row, place), part)?;
        }
        Ok(())
    }

    fn remove(&mut self, row: u64) -> Result<(), redb::Error> {
        let removed = self.table.remove(row)?;
        if removed.is_some_and(|octets| octets.value().is_empty()) {
            let mut parts = self.transaction.open_table(PARTS)?;
            parts.retain_in(parts_of(row), |_, _| false)?;
        }
        Ok(())
    }
}

fn parts_of(row: u64) -> std::ops::RangeInclusive<(u64, u64)> {
    (row, 0)..=(row, u64::MAX)
}

fn number(octets: &[u8]) -> u64 {
    octets.try_into().map_or(0, u64::from_le_bytes)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, redb::Error> {
    postcard::to_stdvec(value)
        .map_err(|e| redb::Error::Corrupted(format!("a row cannot be written: {e}")))
}

fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, redb::Error> {
    postcard::from_bytes(octets)
        .map_err(|e| redb::Error::Corrupted(format!("a row cannot be read: {e}")))
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
