//! A place in a database's log, as servers tell it to one another (PROTOCOL.md, HB-13).
//!
//! A position counts the requests that a database has made durable, except those that only note what another server has
//! shown. Every start of a node begins an epoch with a random
//! number, and the database remembers where each began: so a server that knows a place can be told whether the database
//! ever came there, however far it has gone since.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The database's ID.
    pub database: String,
    /// The epoch: drawn at random when the node started.
    pub epoch: u64,
    /// The position.
    pub position: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}/{}", self.database, self.epoch, self.position)
    }
}

impl FromStr for Mark {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a place in a log is database/epoch/position";
        let mut parts = text.split('/');
        let (Some(database), Some(epoch), Some(position), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong);
        };
        if database.len() != 32 || !database.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        Ok(Self {
            database: database.into(),
            epoch: epoch_from(epoch).ok_or(wrong)?,
            position: position.parse().map_err(|_| wrong)?,
        })
    }
}

/// Most epochs that one XPEER asks about: bounds the line.
pub const MOST_EPOCHS: usize = 16;

fn epoch_from(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Epochs as XPEER asks about them: hex, with commas; `-` for none.
pub fn epochs_text(epochs: &[u64]) -> String {
    if epochs.is_empty() {
        return "-".into();
    }
    let all: Vec<String> = epochs.iter().map(|e| format!("{e:x}")).collect();
    all.join(",")
}

/// Reads [`epochs_text`].
pub fn read_epochs(text: &str) -> Option<Vec<u64>> {
    if text == "-" {
        return Some(Vec::new());
    }
    let all: Option<Vec<u64>> = text.split(',').map(epoch_from).collect();
    all.filter(|all| all.len() <= MOST_EPOCHS)
}

/// How far a database came in an epoch that another server asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochEnd {
    /// It runs still.
    Runs,
    /// It ended at this position.
    At(u64),
    /// The database has no such epoch.
    Unknown,
}

/// The answers, as XPEER's reply has them: `epoch:end`, `epoch:-` for one that runs, `epoch:?` for an unknown one.
pub fn ends_text(ends: &[(u64, EpochEnd)]) -> String {
    if ends.is_empty() {
        return "-".into();
    }
    let all: Vec<String> = ends
        .iter()
        .map(|(epoch, end)| match end {
            EpochEnd::Runs => format!("{epoch:x}:-"),
            EpochEnd::At(position) => format!("{epoch:x}:{position}"),
            EpochEnd::Unknown => format!("{epoch:x}:?"),
        })
        .collect();
    all.join(",")
}

/// Reads [`ends_text`].
pub fn read_ends(text: &str) -> Option<Vec<(u64, EpochEnd)>> {
    if text == "-" {
        return Some(Vec::new());
    }
    let one = |item: &str| {
        let (epoch, end) = item.split_once(':')?;
        let end = match end {
            "-" => EpochEnd::Runs,
            "?" => EpochEnd::Unknown,
            position => EpochEnd::At(position.parse().ok()?),
        };
        Some((epoch_from(epoch)?, end))
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mark = Mark {
            database: "a".repeat(32),
            epoch: 0xbeef,
            position: 7,
        };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for bad in ["", "aa/1/2", "x/1/2/3"] {
            assert!(bad.parse::<Mark>().is_err(), "{bad}");
        }
        assert_eq!(read_epochs(&epochs_text(&[])), Some(vec![]));
        assert_eq!(read_epochs(&epochs_text(&[1, 0xab])), Some(vec![1, 0xab]));
        assert_eq!(read_epochs("1,,2"), None);
        let ends = vec![
            (1, EpochEnd::Runs),
            (2, EpochEnd::At(9)),
            (3, EpochEnd::Unknown),
        ];
        assert_eq!(read_ends(&ends_text(&ends)), Some(ends));
        assert_eq!(read_ends("1"), None);
    }
}
