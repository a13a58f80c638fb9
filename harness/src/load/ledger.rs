//! What became of every message of a load: one line of JSON each.
//!
//! Comes in: a [`Entry`] for each message that is over. Goes out: a file whose first line says what was asked
//! for and whose last line has the sums; without a last line the load was killed. Whoever has the messages that arrived can
//! find with it those that were acked and lost. Called by [`session`](super::session).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use super::{
    figures::Counts,
    plan::{LoadPlan, Pace},
};
use crate::history::{Outcome, Reply};

/// The version of the format.
pub const LEDGER_VERSION: u32 = 1;

/// A session's lines are written when there are this many octets of them, or when some time has passed.
const OCTETS_PER_WRITE: usize = 64 * 1024;

/// A message that is over. Times are microseconds since the load began.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry<'a> {
    /// Its number, from 1; it is in its `X-Gauntlet-Message` field too.
    pub message: u32,
    /// Its Message-ID.
    pub message_id: &'a str,
    /// The session that carried it, from 1.
    pub session: u32,
    /// Its size in octets.
    pub size: usize,
    /// What the client saw.
    pub outcome: Outcome,
    /// The reply that decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<&'a Reply>,
    /// Recipients refused at RCPT.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: &'a BTreeMap<String, Reply>,
    /// What broke it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// When it was due; in a closed loop, when it was begun.
    pub due_us: u64,
    /// When it was begun.
    pub begun_us: u64,
    /// When the whole end of data had been written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_sent_us: Option<u64>,
    /// When the outcome was known.
    pub ended_us: u64,
}

#[derive(Serialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
enum Line<'a> {
    Begin {
        version: u32,
        harness: &'static str,
        target: String,
        run: String,
        started: String,
        from: &'a str,
        recipients: &'a [String],
        sessions: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
    },
    Message(&'a Entry<'a>),
    End {
        reason: &'a str,
        #[serde(flatten)]
        counts: Counts,
    },
}

/// The file, or nothing. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Ledger {
    file: Option<Arc<Mutex<State>>>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// The first error; nothing is written after it, so that no line stands behind a hole.
    error: Option<io::Error>,
}

impl Ledger {
    /// No file: outcomes are counted only.
    pub fn none() -> Self {
        Self { file: None }
    }

    /// A new file, with its first line. A file that is there is not written over.
    ///
    /// # Errors
    /// The file is there, or cannot be written.
    pub fn create(path: &Path, plan: &LoadPlan) -> io::Result<Self> {
        let mut file = File::create_new(path)?;
        let begin = Line::Begin {
            version: LEDGER_VERSION,
            harness: env!("CARGO_PKG_VERSION"),
            target: plan.target.to_string(),
            run: format!("{:016x}", plan.run),
            started: jiff::Timestamp::now().to_string(),
            from: &plan.from,
            recipients: &plan.recipients,
            sessions: plan.sessions,
            rate: match plan.pace {
                Pace::Closed => None,
                Pace::Open { rate } => Some(rate),
            },
        };
        file.write_all(&line(&begin))?;
        Ok(Self {
            file: Some(Arc::new(Mutex::new(State { file, error: None }))),
        })
    }

    /// Nothing more can be written, and nothing more ought to be sent.
    pub fn failed(&self) -> bool {
        self.state().is_some_and(|state| state.error.is_some())
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// This line or an earlier one could not be written.
    pub fn finish(&self, reason: &str, counts: Counts) -> io::Result<()> {
        let Some(mut state) = self.state() else {
            return Ok(());
        };
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        state.file.write_all(&line(&Line::End { reason, counts }))
    }

    fn append(&self, lines: &[u8]) {
        if let Some(mut state) = self.state()
            && state.error.is_none()
        {
            state.error = state.file.write_all(lines).err();
        }
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let file = self.file.as_ref()?;
        Some(file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One thread's lines, on their way to the file.
#[derive(Debug)]
pub(super) struct Pages {
    ledger: Ledger,
    lines: Vec<u8>,
}

impl Pages {
    /// Empty ones.
    pub(super) fn new(ledger: &Ledger) -> Self {
        Self {
            ledger: ledger.clone(),
            lines: Vec::new(),
        }
    }

    /// Someone keeps the entries.
    pub(super) fn kept(&self) -> bool {
        self.ledger.file.is_some()
    }

    /// Takes a message's line.
    pub(super) fn push(&mut self, entry: &Entry<'_>) {
        if !self.kept() {
            return;
        }
        // Numbers, text and maps with text as keys can be written, and a Vec takes them all.
        let _ = serde_json::to_writer(&mut self.lines, &Line::Message(entry));
        self.lines.push(b'\n');
        if self.lines.len() >= OCTETS_PER_WRITE {
            self.flush();
        }
    }

    /// Writes what waits. Errors are told by [`Ledger::failed`] and [`Ledger::finish`].
    pub(super) fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.ledger.append(&self.lines);
            self.lines.clear();
        }
    }
}

fn line(line: &Line<'_>) -> Vec<u8> {
    // As in `push`.
    let mut octets = serde_json::to_vec(line).unwrap_or_default();
    octets.push(b'\n');
    octets
}
