//! The mailbox database: what mailboxes show, and the delivered-to table by which duplicates are hidden.
//!
//! A message and its entry in the delivered-to table become durable in one commit (DD-01), and the
//! question whether it was delivered before is asked inside that commit.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{
    backend::DatabaseFile,
    commit::{Committer, Receipt, Schema, StoreError},
    transport::OpenFailure,
};
use crate::{
    env::{Environment, Timestamp},
    sabotage::Sabotage,
};

/// By mailbox and number.
const MAIL: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("mail");
const CONTENT: TableDefinition<u64, &[u8]> = TableDefinition::new("content");
/// The delivered-to table: by mailbox and what tells messages apart; the value is the time of delivery.
const DELIVERED: TableDefinition<(&str, &str), u64> = TableDefinition::new("delivered-to");
/// The same by time, so that it can be cleared.
const DELIVERED_BY_TIME: TableDefinition<(u64, &str, &str), ()> =
    TableDefinition::new("delivered-by-time");

/// A message to be put into mailboxes.
#[derive(Debug)]
pub struct MailboxWrite {
    /// The mailboxes' addresses, in lower case.
    pub mailboxes: Vec<String>,
    /// What tells this message from others; `None` switches duplicate detection off.
    pub identity: Option<String>,
    /// Return path.
    pub from: String,
    /// Now.
    pub delivered: Timestamp,
    /// The content.
    pub content: Bytes,
}

/// A message that a mailbox shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMail {
    /// When it arrived.
    pub delivered: Timestamp,
    /// Return path.
    pub from: String,
    /// The content.
    pub content: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Row {
    delivered: Timestamp,
    from: String,
    content: u64,
}

/// The mailbox database.
pub struct MailboxStore {
    file: Arc<DatabaseFile>,
    committer: Committer<Mailboxes>,
}

impl MailboxStore {
    /// Opens or makes the database. What was delivered is remembered for `retention` (DD-03).
    ///
    /// # Errors
    /// It cannot be opened, read or made.
    pub fn open(
        env: &Arc<dyn Environment>,
        retention: Duration,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, OpenFailure> {
        let file = Arc::new(DatabaseFile::open(env, "mailbox.redb", sabotage)?);
        prepare(&*file.opened()?, sabotage)?;
        let schema = Mailboxes { retention };
        let committer = Committer::start(env, file.clone(), schema, Arc::new(AtomicU64::new(0)));
        Ok(Self { file, committer })
    }

    /// Puts a delivery in line. The answer tells for each mailbox whether the message was new there.
    pub fn submit(&self, write: MailboxWrite) -> Receipt<Vec<bool>> {
        self.committer.submit(write)
    }

    /// Why nothing can be delivered, if a commit failed.
    pub fn failure(&self) -> Option<&str> {
        self.committer.failure()
    }

    /// There is no room on the disk: what is submitted waits (TC-07).
    pub fn is_full(&self) -> bool {
        self.file.is_full()
    }

    /// Everything that the mailboxes show, by address, in the order of arrival.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn all(&self) -> Result<BTreeMap<String, Vec<StoredMail>>, StoreError> {
        let database = self.file.database()?;
        let read = || -> Result<_, redb::Error> {
            let transaction = database.begin_read()?;
            let contents = transaction.open_table(CONTENT)?;
            let mut all: BTreeMap<String, Vec<StoredMail>> = BTreeMap::new();
            for row in transaction.open_table(MAIL)?.iter()? {
                let (key, value) = row?;
                let row: Row = postcard::from_bytes(value.value())
                    .map_err(|e| redb::Error::Corrupted(e.to_string()))?;
                let content = contents
                    .get(row.content)?
                    .map(|c| Bytes::copy_from_slice(c.value()))
                    .unwrap_or_default();
                all.entry(key.value().0.to_owned())
                    .or_default()
                    .push(StoredMail {
                        delivered: row.delivered,
                        from: row.from,
                        content,
                    });
            }
            Ok(all)
        };
        read().map_err(|e| StoreError(e.to_string()))
    }
}

fn prepare(database: &Database, sabotage: Option<Sabotage>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    if crate::sabotage::active(sabotage, Sabotage::ForgetDeliveredOnRestart) {
        transaction.delete_table(DELIVERED)?;
        transaction.delete_table(DELIVERED_BY_TIME)?;
    }
    transaction.open_table(MAIL)?;
    transaction.open_table(CONTENT)?;
    transaction.open_table(DELIVERED)?;
    transaction.open_table(DELIVERED_BY_TIME)?;
    transaction.commit()?;
    Ok(())
}

struct Mailboxes {
    retention: Duration,
}

impl Schema for Mailboxes {
    type Request = MailboxWrite;
    type Answer = Vec<bool>;

    fn apply(
        &self,
        transaction: &WriteTransaction,
        batch: &[MailboxWrite],
    ) -> Result<Vec<Vec<bool>>, redb::Error> {
        let mut mail = transaction.open_table(MAIL)?;
        let mut contents = transaction.open_table(CONTENT)?;
        let mut delivered = transaction.open_table(DELIVERED)?;
        let mut by_time = transaction.open_table(DELIVERED_BY_TIME)?;
        let mut answers = Vec::with_capacity(batch.len());
        for write in batch {
            let keep_from = write
                .delivered
                .0
                .saturating_sub(u64::try_from(self.retention.as_millis()).unwrap_or(u64::MAX));
            for old in by_time.extract_from_if(..(keep_from, "", ""), |_, ()| true)? {
                let (key, _) = old?;
                let (_, mailbox, identity) = key.value();
                delivered.remove((mailbox, identity))?;
            }
            let content_row = contents.last()?.map_or(1, |(key, _)| key.value() + 1);
            let mut news = Vec::with_capacity(write.mailboxes.len());
            for mailbox in &write.mailboxes {
                let new = match &write.identity {
                    None => true,
                    Some(identity) => {
                        let new = delivered
                            .get((mailbox.as_str(), identity.as_str()))?
                            .is_none();
                        if new {
                            delivered
                                .insert((mailbox.as_str(), identity.as_str()), write.delivered.0)?;
                            by_time.insert(
                                (write.delivered.0, mailbox.as_str(), identity.as_str()),
                                (),
                            )?;
                        }
                        new
                    }
                };
                if new {
                    let last = mail
                        .range((mailbox.as_str(), 0)..=(mailbox.as_str(), u64::MAX))?
                        .next_back()
                        .transpose()?;
                    let number = last.map_or(1, |(key, _)| key.value().1 + 1);
                    let row = Row {
                        delivered: write.delivered,
                        from: write.from.clone(),
                        content: content_row,
                    };
                    let row = postcard::to_stdvec(&row)
                        .map_err(|e| redb::Error::Corrupted(e.to_string()))?;
                    mail.insert((mailbox.as_str(), number), row.as_slice())?;
                }
                news.push(new);
            }
            if news.contains(&true) {
                contents.insert(content_row, &*write.content)?;
            }
            answers.push(news);
        }
        Ok(answers)
    }
}
