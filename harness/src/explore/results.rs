//! The result file: a line for each schedule that has run, so that a later call goes on where an earlier one stopped.
//!
//! Comes in: how schedules ended. Goes out: JSON lines, after a first line that says what was explored; and from such a
//! file what is done already. Called by [`explore`](super::explore) and `gauntlet explore`.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use gauntlet_reports::Status;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::scenario::Plan;

/// The format that this harness writes and reads.
const VERSION: u32 = 1;

/// What was explored: results of anything else do not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Header {
    /// Version of the file's format.
    pub explore: u32,
    /// The harness's version.
    pub harness: String,
    /// The scenario's ID.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How the nodes were broken on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<String>,
    /// SHA-256 of the plan without faults.
    pub plan: String,
}

impl Header {
    /// Of an exploration of this plan.
    pub fn new(plan: &Plan, sabotage: Option<&str>) -> Self {
        // A plan is always written; one that is not would only make the file useless to continue.
        let text = plan.to_toml().unwrap_or_default();
        let digest = Sha256::digest(text.as_bytes());
        Self {
            explore: VERSION,
            harness: env!("CARGO_PKG_VERSION").into(),
            scenario: plan.id.clone(),
            seed: plan.seed,
            sabotage: sabotage.map(str::to_owned),
            plan: digest.iter().map(|octet| format!("{octet:02x}")).collect(),
        }
    }
}

/// How a schedule ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Line {
    /// Its faults, in words that tell it from every other schedule.
    pub schedule: String,
    /// Guarantees by verdict.
    pub verdicts: BTreeMap<String, Vec<String>>,
    /// Why the harness could not finish it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What was left to do when the cluster should have been at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrest: Option<String>,
    /// Its run directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

impl Line {
    /// The guarantees with that verdict.
    pub fn of(&self, status: Status) -> &[String] {
        self.verdicts.get(status.key()).map_or(&[], Vec::as_slice)
    }

    /// It is one that somebody will want to see.
    pub fn is_failing(&self) -> bool {
        self.failure.is_some() || self.unrest.is_some() || !self.of(Status::Violated).is_empty()
    }
}

/// Why a result file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{}: {reason}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A result file that is being written.
#[derive(Debug)]
pub struct ResultFile {
    path: PathBuf,
    file: File,
}

impl ResultFile {
    /// Begins a new file; one that is there already is not written over.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, header: &Header) -> Result<Self, ResultsError> {
        let io = |source| ResultsError::Io {
            path: path.into(),
            source,
        };
        let file = File::create_new(path).map_err(io)?;
        let mut results = Self {
            path: path.into(),
            file,
        };
        results.put(header)?;
        Ok(results)
    }

    /// Goes on with a file of an earlier call. What it holds of the same exploration is done; a last line that was cut off
    /// is taken away.
    ///
    /// # Errors
    /// It cannot be read, or is of another exploration.
    pub fn open(path: &Path, header: &Header) -> Result<(Self, Vec<Line>), ResultsError> {
        let io = |source| ResultsError::Io {
            path: path.into(),
            source,
        };
        let other = |reason: String| ResultsError::Other {
            path: path.into(),
            reason,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io)?;
        let mut reader = BufReader::new(&file);
        let (mut lines, mut whole, mut number) = (Vec::new(), 0_u64, 0_u32);
        let mut text = String::new();
        loop {
            text.clear();
            let octets = reader.read_line(&mut text).map_err(io)?;
            if octets == 0 || !text.ends_with('\n') {
                break;
            }
            number += 1;
            if number == 1 {
                let found: Header = serde_json::from_str(&text).map_err(|e| {
                    other(format!("this is no result file of `gauntlet explore`: {e}"))
                })?;
                if found != *header {
                    return Err(other(difference(&found, header)));
                }
            } else {
                let line = serde_json::from_str(&text)
                    .map_err(|e| other(format!("line {number} is no result: {e}")))?;
                lines.push(line);
            }
            whole += octets as u64;
        }
        if number == 0 {
            return Err(other("this is no result file: it is empty".into()));
        }
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok((
            Self {
                path: path.into(),
                file,
            },
            lines,
        ))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds lines.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn add(&mut self, lines: &[Line]) -> Result<(), ResultsError> {
        lines.iter().try_for_each(|line| self.put(line))
    }

    fn put(&mut self, line: &impl Serialize) -> Result<(), ResultsError> {
        let io = |source| ResultsError::Io {
            path: self.path.clone(),
            source,
        };
        let mut text = serde_json::to_vec(line).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(io)
    }
}

fn difference(found: &Header, wanted: &Header) -> String {
    let what = if found.explore != wanted.explore || found.harness != wanted.harness {
        "it was written by another version of gauntlet".to_owned()
    } else if found.scenario != wanted.scenario {
        format!("it is of the scenario `{}`", found.scenario)
    } else if found.seed != wanted.seed {
        format!("it is of seed {}", found.seed)
    } else if found.sabotage != wanted.sabotage {
        format!(
            "its nodes were {}",
            found.sabotage.as_deref().map_or_else(
                || "not broken".into(),
                |sabotage| format!("broken by `{sabotage}`")
            )
        )
    } else {
        "the scenario has changed since".to_owned()
    };
    format!("it cannot be continued: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn header(seed: u64) -> Header {
        let text =
            "title = 't'\nguarantees = ['SC-01']\non = ['sim']\n[[step]]\nsubmit = { to = 'n1' }\n";
        let scenario = scenario::parse("t.toml", text).expect("a scenario");
        Header::new(&scenario::plan("t", "s", &scenario, seed), None)
    }

    fn line(schedule: &str) -> Line {
        Line {
            schedule: schedule.into(),
            verdicts: BTreeMap::from([("violated".into(), vec!["RO-06".into()])]),
            failure: None,
            unrest: None,
            directory: None,
        }
    }

    #[test]
    fn a_file_is_continued_where_it_was_cut_off() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("explore.jsonl");
        let mut file = ResultFile::create(&path, &header(1)).expect("a new file");
        file.add(&[line("a"), line("b")]).expect("written");
        drop(file);
        let whole = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, format!("{whole}{{\"sched")).expect("written");

        let (mut file, done) = ResultFile::open(&path, &header(1)).expect("the same exploration");
        assert_eq!(done, [line("a"), line("b")]);
        assert!(done[0].is_failing());
        file.add(&[line("c")]).expect("written");
        let (_, done) = ResultFile::open(&path, &header(1)).expect("the same exploration");
        assert_eq!(done.len(), 3);
        assert!(
            ResultFile::create(&path, &header(1)).is_err(),
            "never written over"
        );
    }

    #[test]
    fn a_file_of_something_else_is_refused_with_the_reason() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("explore.jsonl");
        drop(ResultFile::create(&path, &header(1)).expect("a new file"));
        let error = ResultFile::open(&path, &header(2)).expect_err("another seed");
        assert!(
            error
                .to_string()
                .ends_with("it cannot be continued: it is of seed 1"),
            "{error}"
        );
        std::fs::write(&path, "title = 'x'\n").expect("written");
        let error = ResultFile::open(&path, &header(1)).expect_err("no result file");
        assert!(
            error
                .to_string()
                .contains("no result file of `gauntlet explore`"),
            "{error}"
        );
    }
}
