//! Reads a recorded history back.
//!
//! Comes in: `history.jsonl`. Goes out: [`History`], which checkers judge. A run that was killed leaves a history that
//! ends in the middle of a line, or without an `end` record: it is read as far as it goes, and says so. Anything else
//! that is wrong is an error: a history with a hole proves nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Event, HISTORY_VERSION, Record, wire_line};
use crate::scenario::Plan;

/// A part of a history that is worth a thread, in octets.
const LEAST_PART: usize = 1 << 20;

/// A run's records, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The records; the first is `begin` in every history that was read from a file.
    pub records: Vec<Record>,
    /// Why the history is not complete, when it is not.
    pub truncated: Option<String>,
}

impl History {
    /// The plan that was run; `None` when the first record is no `begin`.
    pub fn plan(&self) -> Option<&Plan> {
        self.records.iter().find_map(|record| match &record.event {
            Event::Begin { plan, .. } => Some(&**plan),
            _ => None,
        })
    }
}

/// Why a file is no history that can be judged.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not one whole record.
    #[error("{}: the file is empty, or its first record is cut off: the run ended before it began; run it again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The first line is something else.
    #[error("{}: this is not a history: its first line is no `begin` record; a run directory has it in `history.jsonl`", path.display())]
    NotAHistory {
        /// The file.
        path: PathBuf,
    },
    /// Another version's history.
    #[error(
        "{}: a history of version {found}, and this gauntlet reads version {HISTORY_VERSION}; use the gauntlet that wrote it{}",
        path.display(), harness.as_ref().map(|h| format!(" ({h})")).unwrap_or_default()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The harness that wrote it, when it says so.
        harness: Option<String>,
    },
    /// A line that is not the last one is no record, or not the one that comes next.
    #[error("{}, line {line}: {reason}; the file was changed or damaged after the run: restore it, or run `gauntlet replay`", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a history's file.
///
/// # Errors
/// The file is missing, empty, no history, of another version, or damaged in the middle.
pub fn read(path: impl AsRef<Path>) -> Result<History, HistoryError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|source| HistoryError::Io {
        path: path.into(),
        source,
    })?;
    parse(&bytes, path)
}

/// Reads a history from memory; `path` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<History, HistoryError> {
    let damaged = |line: usize, reason: String| HistoryError::Line {
        path: path.into(),
        line,
        reason,
    };
    let mut history = History::default();
    for part in parts(bytes) {
        for record in part.records {
            let index = history.records.len();
            check_order(&history, &record).map_err(|reason| damaged(index + 1, reason))?;
            let version = match record.event {
                Event::Begin { version, .. } => Some(version),
                _ => None,
            };
            if index == 0 && version != Some(HISTORY_VERSION) {
                let first = bytes.split_inclusive(|b| *b == b'\n').next();
                let first = first.unwrap_or_default();
                return Err(first_line(first, is_cut(bytes, first), path));
            }
            history.records.push(record);
        }
        // Whatever comes after a line that cannot be read, nobody can say what it is.
        let Some((line, error)) = part.unreadable else {
            continue;
        };
        let index = history.records.len();
        let cut = is_cut(bytes, line);
        if index == 0 {
            return Err(first_line(line, cut, path));
        }
        if cut {
            history.truncated = Some(format!(
                "line {} is cut off: the run was killed while it was written",
                index + 1
            ));
            break;
        }
        // serde counts lines of its own, of which there is one.
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let reason = format!("no record, at column {}: {said}", error.column());
        return Err(damaged(index + 1, reason));
    }
    match history.records.last().map(|record| &record.event) {
        None => return Err(HistoryError::Empty { path: path.into() }),
        Some(Event::End { .. }) => {}
        Some(_) if history.truncated.is_none() => {
            history.truncated = Some("there is no `end` record: the run was killed".into());
        }
        Some(_) => {}
    }
    Ok(history)
}

/// A line is the last one, and has no end.
fn is_cut(bytes: &[u8], line: &[u8]) -> bool {
    !line.ends_with(b"\n") && bytes.ends_with(line)
}

/// What one thread read.
#[derive(Default)]
struct Part<'b> {
    records: Vec<Record>,
    /// The line that ended it before its end.
    unreadable: Option<(&'b [u8], serde_json::Error)>,
}

/// Reads a history on as many threads as there are processors, each a part of it, in whole lines.
fn parts(bytes: &[u8]) -> Vec<Part<'_>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(bytes.len() / LEAST_PART).max(1);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for left in (1..=threads).rev() {
        let about = rest.len() / left;
        let end = memchr::memchr(b'\n', &rest[about..]).map_or(rest.len(), |at| about + at + 1);
        let (piece, after) = rest.split_at(if left == 1 { rest.len() } else { end });
        pieces.push(piece);
        rest = after;
    }
    if let [piece] = pieces.as_slice() {
        return vec![part(piece)];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = pieces
            .into_iter()
            .map(|piece| (piece, scope.spawn(|| part(piece))))
            .collect();
        threads
            .into_iter()
            // A thread that could not end is a bug; the piece is read again where it can be seen.
            .map(|(piece, thread)| thread.join().unwrap_or_else(|_| part(piece)))
            .collect()
    })
}

fn part(bytes: &[u8]) -> Part<'_> {
    let mut part = Part::default();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let read = match wire_line::read(line) {
            Some(record) => Ok(record),
            None => serde_json::from_slice(line),
        };
        match read {
            Ok(record) => part.records.push(record),
            Err(error) => {
                part.unreadable = Some((line, error));
                break;
            }
        }
    }
    part
}

/// Positions without gaps, and a clock that never goes backward.
fn check_order(history: &History, record: &Record) -> Result<(), String> {
    let next = history.records.len() as u64;
    if record.seq != next {
        return Err(format!("record {} where {next} is expected", record.seq));
    }
    match history.records.last() {
        Some(last) if record.t_us < last.t_us => Err(format!(
            "its time, {} µs, is before the one above it, {} µs",
            record.t_us, last.t_us
        )),
        _ => Ok(()),
    }
}

/// What the first line is, when it is no `begin` record of this version.
fn first_line(bytes: &[u8], cut: bool, path: &Path) -> HistoryError {
    let path = path.to_path_buf();
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) if value["event"] == "begin" => match value["version"].as_u64() {
            Some(found) if found != u64::from(HISTORY_VERSION) => HistoryError::Version {
                path,
                found,
                harness: value["harness"].as_str().map(String::from),
            },
            _ => {
                // Our version and still unreadable: say what serde says of it.
                let reason = serde_json::from_slice::<Record>(bytes)
                    .err()
                    .map_or_else(|| "no begin record".into(), |e| e.to_string());
                HistoryError::Line {
                    path,
                    line: 1,
                    reason,
                }
            }
        },
        Ok(_) => HistoryError::NotAHistory { path },
        Err(error) if cut && error.is_eof() && bytes.starts_with(b"{\"seq\"") => {
            HistoryError::Empty { path }
        }
        Err(_) if bytes.trim_ascii().is_empty() => HistoryError::Empty { path },
        Err(_) => HistoryError::NotAHistory { path },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::Phase,
        scenario::{self, Known},
    };

    fn history() -> Vec<Record> {
        let known = Known {
            guarantee: &|_| true,
            message: &|_| true,
        };
        let text = "title='t'\nguarantees=['SC-01']\non=['sim']\n[config]\nShadowHeartbeatFrequency='2m'\n[[step]]\nwait={for='1s'}\n";
        let scenario = scenario::parse_with("t.toml", text, known).expect("a good scenario");
        let plan = Box::new(scenario::plan("t", "s", &scenario, u64::MAX));
        let begin = Event::Begin {
            version: HISTORY_VERSION,
            harness: "0.1.0".into(),
            substrate: "sim".into(),
            time_scale: 1,
            sabotage: None,
            plan,
        };
        [
            begin,
            Event::Phase { phase: Phase::Load },
            Event::End {
                reason: "completed".into(),
            },
        ]
        .into_iter()
        .enumerate()
        .map(|(i, event)| Record {
            seq: i as u64,
            t_us: 10 * i as u64,
            event,
        })
        .collect()
    }

    fn lines(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            serde_json::to_writer(&mut bytes, record).expect("a record");
            bytes.push(b'\n');
        }
        bytes
    }

    fn parse_bytes(bytes: &[u8]) -> Result<History, HistoryError> {
        parse(bytes, Path::new("history.jsonl"))
    }

    fn error(bytes: &[u8]) -> String {
        parse_bytes(bytes).expect_err("a bad history").to_string()
    }

    #[test]
    fn what_was_written_is_read() {
        let records = history();
        let read = parse_bytes(&lines(&records)).expect("a good history");
        assert_eq!(read.records, records);
        assert_eq!(read.truncated, None);
        assert_eq!(read.plan().map(|p| p.id.as_str()), Some("t"));
    }

    #[test]
    fn a_run_killed_at_any_octet_leaves_a_readable_history() {
        let records = history();
        let bytes = lines(&records);
        let first = bytes.iter().position(|b| *b == b'\n').expect("a line");
        for cut in 0..=bytes.len() {
            match parse_bytes(&bytes[..cut]) {
                Ok(read) => {
                    assert!(cut >= first, "{cut}");
                    assert_eq!(read.records, records[..read.records.len()]);
                    assert_eq!(
                        read.truncated.is_none(),
                        read.records.len() == records.len(),
                        "{cut}"
                    );
                }
                Err(HistoryError::Empty { .. }) => assert!(cut < first, "{cut}"),
                // Too short to tell it from any other file.
                Err(HistoryError::NotAHistory { .. }) => assert!(cut < 6, "{cut}"),
                Err(other) => panic!("cut at {cut}: {other}"),
            }
        }
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        let records = history();
        insta::assert_snapshot!(error(b""), @"history.jsonl: the file is empty, or its first record is cut off: the run ended before it began; run it again");
        insta::assert_snapshot!(error(b"# Design\n\nText.\n"), @"history.jsonl: this is not a history: its first line is no `begin` record; a run directory has it in `history.jsonl`");
        insta::assert_snapshot!(error(b"{\"a\": 1}\n"), @"history.jsonl: this is not a history: its first line is no `begin` record; a run directory has it in `history.jsonl`");
        let mut bytes = lines(&records[..1]);
        bytes.extend(b"garbage\n");
        insta::assert_snapshot!(error(&bytes), @"history.jsonl, line 2: no record, at column 1: expected value; the file was changed or damaged after the run: restore it, or run `gauntlet replay`");
        insta::assert_snapshot!(error(&lines(&[records[0].clone(), records[2].clone()])), @"history.jsonl, line 2: record 2 where 1 is expected; the file was changed or damaged after the run: restore it, or run `gauntlet replay`");
        let mut late = records.clone();
        late[1].t_us = 99;
        insta::assert_snapshot!(error(&lines(&late)), @"history.jsonl, line 3: its time, 20 µs, is before the one above it, 99 µs; the file was changed or damaged after the run: restore it, or run `gauntlet replay`");
        let newer = String::from_utf8(lines(&records))
            .expect("text")
            .replace("\"version\":1", "\"version\":7");
        insta::assert_snapshot!(error(newer.as_bytes()), @"history.jsonl: a history of version 7, and this gauntlet reads version 1; use the gauntlet that wrote it (0.1.0)");
        insta::assert_snapshot!(read("/nowhere/history.jsonl").expect_err("no file").to_string(), @"/nowhere/history.jsonl: No such file or directory (os error 2)");
    }

    #[test]
    fn a_begin_record_of_our_version_that_cannot_be_read_is_told_apart() {
        let text = String::from_utf8(lines(&history()))
            .expect("text")
            .replace("\"substrate\":\"sim\",", "");
        assert!(matches!(
            parse_bytes(text.as_bytes()),
            Err(HistoryError::Line { line: 1, .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(bytes: Vec<u8>) {
            let _ = parse_bytes(&bytes);
        }

        #[test]
        fn no_damage_panics(at: proptest::sample::Index, by: u8) {
            let mut bytes = lines(&history());
            let at = at.index(bytes.len());
            bytes[at] = by;
            let _ = parse_bytes(&bytes);
        }
    }
}
