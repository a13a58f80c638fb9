//! Group commit: one task per database takes what has been asked for, writes it in one transaction,
//! syncs once, and answers everybody.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot};

use super::backend::{DatabaseFile, may_pass};
use crate::env::Environment;

/// Most requests that one commit takes: bounds the time that the first of them waits.
const MOST_PER_COMMIT: usize = 512;

/// A database is broken: a commit failed. It is not used any more until the node is started again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database failed: {0}")]
pub struct StoreError(pub String);

/// How one database applies a batch of requests.
pub(super) trait Schema: Send + Sync + 'static {
    type Request: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// By how much the log position grows with this request: 0 for one that is no news to other servers.
    fn advance(_request: &Self::Request) -> u64 {
        1
    }

    /// Applies them in order, within one transaction; an answer each. A batch may be applied again when nobody
    /// knows whether its commit succeeded.
    fn apply(
        &self,
        transaction: &WriteTransaction,
        batch: &[Self::Request],
    ) -> Result<Vec<Self::Answer>, redb::Error>;
}

/// Resolves when what was submitted is durable.
#[derive(Debug)]
#[must_use = "nothing may be acked before it is durable"]
pub struct Receipt<A> {
    answer: oneshot::Receiver<Result<A, StoreError>>,
    position: u64,
}

impl<A> Receipt<A> {
    /// Waits until the request is durable.
    ///
    /// # Errors
    /// The database failed: nothing may be said of the request.
    pub async fn durable(self) -> Result<A, StoreError> {
        self.answer
            .await
            .unwrap_or_else(|_| Err(StoreError("the node is stopping".into())))
    }

    /// The log position that the database reaches with this request: it is durable exactly when the database came there.
    pub fn position(&self) -> u64 {
        self.position
    }
}

type Submitted<S> = (
    <S as Schema>::Request,
    oneshot::Sender<Result<<S as Schema>::Answer, StoreError>>,
);

/// The way into a database's commit task.
pub(super) struct Committer<S: Schema> {
    /// The position of the last request that was put in line.
    submitted: Mutex<u64>,
    sender: mpsc::UnboundedSender<Submitted<S>>,
    failed: Arc<OnceLock<String>>,
    position: Arc<AtomicU64>,
}

impl<S: Schema> Committer<S> {
    /// Starts the commit task. `position` grows with the requests that become durable.
    pub(super) fn start(
        env: &Arc<dyn Environment>,
        file: Arc<DatabaseFile>,
        schema: S,
        position: Arc<AtomicU64>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let failed = Arc::new(OnceLock::new());
        let submitted = Mutex::new(position.load(Ordering::SeqCst));
        let task = Task {
            env: env.clone(),
            file,
            schema: Arc::new(schema),
            failed: failed.clone(),
            position: position.clone(),
        };
        env.spawn(Box::pin(task.run(receiver)));
        Self {
            submitted,
            sender,
            failed,
            position,
        }
    }

    /// Puts a request in line; it takes effect after all that were submitted before it.
    pub(super) fn submit(&self, request: S::Request) -> Receipt<S::Answer> {
        let (answer, receipt) = oneshot::channel();
        // Held over both: numbers have the order of the line.
        let mut submitted = self
            .submitted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *submitted += S::advance(&request);
        if let Some(reason) = self.failed.get() {
            // The receiver is in our hand: it can't be gone.
            let _ = answer.send(Err(StoreError(reason.clone())));
        } else {
            // A closed channel drops `answer`, and the receipt says that the node is stopping.
            let _ = self.sender.send((request, answer));
        }
        Receipt {
            answer: receipt,
            position: *submitted,
        }
    }

    /// Why the database is not used any more, if it failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// How far this database has come: the sum of [`Schema::advance`] over what is durable.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::SeqCst)
    }
}

/// The commit task.
struct Task<S: Schema> {
    env: Arc<dyn Environment>,
    file: Arc<DatabaseFile>,
    schema: Arc<S>,
    failed: Arc<OnceLock<String>>,
    position: Arc<AtomicU64>,
}

impl<S: Schema> Task<S> {
    async fn run(self, mut receiver: mpsc::UnboundedReceiver<Submitted<S>>) {
        let mut batch = Vec::new();
        while receiver.recv_many(&mut batch, MOST_PER_COMMIT).await > 0 {
            let (requests, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            match self.commit(Arc::new(requests)).await {
                Ok(all) => {
                    for (answer, sender) in all.into_iter().zip(answers) {
                        // Whoever asked may be gone; the request is durable all the same.
                        let _ = sender.send(Ok(answer));
                    }
                }
                Err(error) => {
                    let reason = self.failed.get_or_init(|| error).clone();
                    for sender in answers {
                        let _ = sender.send(Err(StoreError(reason.clone())));
                    }
                    receiver.close();
                    while let Ok((_, sender)) = receiver.try_recv() {
                        let _ = sender.send(Err(StoreError(reason.clone())));
                    }
                    return;
                }
            }
        }
    }

    /// Commits a batch. While the disk is full it is tried again and again (TC-07): what is in memory and what
    /// is on disk must not part.
    async fn commit(&self, requests: Arc<Vec<S::Request>>) -> Result<Vec<S::Answer>, String> {
        loop {
            let result = Arc::new(Mutex::new(None));
            let work = {
                let (file, schema, requests, result, position) = (
                    self.file.clone(),
                    self.schema.clone(),
                    requests.clone(),
                    result.clone(),
                    self.position.clone(),
                );
                move || {
                    let outcome = commit(&file, &*schema, &requests);
                    if outcome.is_ok() {
                        let advance = requests.iter().map(S::advance).sum();
                        position.fetch_add(advance, Ordering::SeqCst);
                    }
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                }
            };
            self.env.blocking(Box::new(work)).await;
            let outcome = result.lock().unwrap_or_else(PoisonError::into_inner).take();
            match outcome {
                Some(Ok(all)) => {
                    self.file.written();
                    return Ok(all);
                }
                Some(Err(Failed::NoRoom)) => {
                    self.file.close();
                    tokio::time::sleep(ROOM_AGAIN).await;
                }
                Some(Err(Failed::ForGood(error))) => return Err(error),
                None => return Err("the commit did not come to its end".to_owned()),
            }
        }
    }
}

/// The pause between two looks for room on a full disk.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// Why a commit failed.
enum Failed {
    NoRoom,
    ForGood(String),
}

impl From<redb::Error> for Failed {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if may_pass(&error) => Self::NoRoom,
            error => Self::ForGood(error.to_string()),
        }
    }
}

fn commit<S: Schema>(
    file: &DatabaseFile,
    schema: &S,
    requests: &[S::Request],
) -> Result<Vec<S::Answer>, Failed> {
    let database = file.opened().map_err(|e| {
        if e.may_pass() {
            Failed::NoRoom
        } else {
            Failed::ForGood(e.to_string())
        }
    })?;
    let transaction = database.begin_write().map_err(redb::Error::from)?;
    let answers = schema.apply(&transaction, requests)?;
    transaction.commit().map_err(redb::Error::from)?;
    Ok(answers)
}
