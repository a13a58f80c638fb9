//! The mail of a run: which messages there are, and how submit and resend steps send them.
//!
//! Comes in: submit and resend steps. Goes out: couriers' work, and the last outcome of each message. Called by
//! the runner's steps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{
    history::{Outcome, Recorder},
    scenario::{Hello, Resend, Submit, Transfer, Via},
    substrate::SharedCluster,
    workload::{
        Content, ContentError, Order,
        content::{recipients, sources},
        courier::{Courier, Letter, Manner},
    },
};

/// How long a client waits for a reply when the step does not say (documented time).
const PATIENCE: Duration = Duration::from_secs(600);

/// …and never shorter than this in real time: a busy machine is not a lost connection.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// Time between two attempts of a client that dials again (documented time)…
const REDIAL: Duration = Duration::from_secs(5);

/// …and never shorter than this in real time.
const LEAST_REDIAL: Duration = Duration::from_millis(50);

/// Every message of the run.
pub(crate) struct Mail {
    cluster: SharedCluster,
    recorder: Arc<Recorder>,
    seed: u64,
    submissions: Arc<AtomicU32>,
    book: Mutex<BTreeMap<u32, Entry>>,
}

struct Entry {
    letter: Letter,
    /// `None` while its first submission lasts.
    last: Option<Outcome>,
}

impl Mail {
    pub(crate) fn new(cluster: SharedCluster, recorder: Arc<Recorder>, seed: u64) -> Arc<Self> {
        let submissions = Arc::new(AtomicU32::new(0));
        Arc::new(Self {
            cluster,
            recorder,
            seed,
            submissions,
            book: Mutex::default(),
        })
    }

    /// The messages of a submit step, numbered after those that there are.
    pub(crate) fn write(&self, submit: &Submit) -> Result<Vec<Letter>, ContentError> {
        let recipients = recipients(&submit.recipients);
        let mut book = self.book();
        let first = book.last_key_value().map_or(1, |(number, _)| number + 1);
        let mut letters = Vec::new();
        for (number, source) in (first..).zip(sources(&submit.message, submit.count)) {
            let content = Content::build(&Order {
                seed: self.seed,
                number,
                source: &source,
                message_id: submit.message_id,
                first_of_step: first,
                from: &submit.from,
                recipients: &recipients,
                smuggle: submit.smuggle.as_deref(),
                transfer: submit.transfer,
            })?;
            letters.push(Letter {
                message: number,
                attempt: 1,
                from: submit.from.clone(),
                recipients: recipients.clone(),
                content: Arc::new(content),
            });
        }
        book.extend(letters.iter().map(|letter| {
            (
                letter.message,
                Entry {
                    letter: letter.clone(),
                    last: None,
                },
            )
        }));
        Ok(letters)
    }

    /// Sends the messages of a submit step, in as many sessions at once as it says.
    pub(crate) async fn submit(self: Arc<Self>, submit: Submit, letters: Vec<Letter>) {
        let manner = Manner {
            client: submit.client,
            to: submit.to,
            hello: submit.hello,
            via: submit.via,
            transfer: submit.transfer,
            cut: submit.cut,
            one_session: submit.one_session,
            every: submit.every.map(|every| self.cluster.scaled(every.0)),
            probe_session: submit.probe_session,
            redial: submit
                .redial
                .then(|| self.cluster.scaled(REDIAL).max(LEAST_REDIAL)),
            patience: submit.patience.map_or_else(
                || patience(&self.cluster),
                |wanted| self.cluster.scaled(wanted.0),
            ),
        };
        let sessions = (submit.sessions.max(1) as usize).min(letters.len().max(1));
        let mut dealt = vec![Vec::new(); sessions];
        for (at, letter) in letters.into_iter().enumerate() {
            dealt[at % sessions].push(letter);
        }
        let mut tasks = JoinSet::new();
        for letters in dealt {
            let (mail, manner) = (self.clone(), manner.clone());
            tasks.spawn(async move { mail.carry(manner, letters).await });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Sends again what a resend step wants, a session each, octet for octet.
    pub(crate) async fn resend(self: Arc<Self>, resend: &Resend) {
        let letters: Vec<_> = {
            let mut book = self.book();
            let wanted = book.values_mut().filter(|entry| {
                entry.last.is_some_and(|last| {
                    resend.outcomes.is_empty() || resend.outcomes.contains(&last)
                })
            });
            wanted
                .map(|entry| {
                    entry.letter.attempt += 1;
                    entry.letter.clone()
                })
                .collect()
        };
        let manner = Manner {
            client: resend.client.clone(),
            to: resend.to.clone(),
            hello: Hello::Ehlo,
            via: Via::Raw,
            transfer: Transfer::Data,
            cut: None,
            one_session: false,
            every: None,
            probe_session: false,
            redial: None,
            patience: patience(&self.cluster),
        };
        self.carry(manner, letters).await;
    }

    async fn carry(&self, manner: Manner, letters: Vec<Letter>) {
        let courier = Courier {
            cluster: self.cluster.clone(),
            recorder: self.recorder.clone(),
            submissions: self.submissions.clone(),
            manner,
        };
        let note = |message, outcome| {
            if let Some(entry) = self.book().get_mut(&message) {
                entry.last = Some(outcome);
            }
        };
        courier.carry(&letters, &note).await;
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<u32, Entry>> {
        // A panic while messages are built leaves the book as it was.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a client waits for a reply when nothing else is said, on this substrate.
pub(crate) fn patience(cluster: &SharedCluster) -> Duration {
    cluster.scaled(PATIENCE).max(LEAST_PATIENCE)
}
