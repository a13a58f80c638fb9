//! Follows the nodes' message tracking logs, and records their lines.
//!
//! Comes in: files that grow while nodes write to them. Goes out:
//! [`Event::Tracking`] records. Called often while nodes run, before a disk is lost or put back, and
//! before views are read: so a line stands in the history soon after it was written. The line's own time
//! is the node's.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

use crate::history::{Event, Recorder};

/// A place in one node's log.
#[derive(Debug)]
pub(crate) struct TrackingTail {
    node: String,
    path: PathBuf,
    offset: u64,
}

impl TrackingTail {
    /// The beginning of `node`'s log.
    pub(crate) fn new(node: &str, path: PathBuf) -> Self {
        Self {
            node: node.into(),
            path,
            offset: 0,
        }
    }

    /// Records the lines that are complete and were not seen before. A log that cannot be read has none.
    pub(crate) fn follow(&mut self, recorder: &Recorder) {
        let Ok(new) = self.read_new() else { return };
        let complete = new
            .iter()
            .rposition(|&octet| octet == b'\n')
            .map_or(0, |at| at + 1);
        for line in new[..complete].split(|&octet| octet == b'\n') {
            // A node that was killed may leave half a line, to which its next incarnation appends.
            if let Ok(entry) = serde_json::from_slice(line) {
                recorder.record(Event::Tracking {
                    node: self.node.clone(),
                    entry,
                });
            }
        }
        self.offset += complete as u64;
    }

    /// The file was changed from outside (lost or put back): what is in it now was seen before.
    pub(crate) fn skip_to_end(&mut self) {
        self.offset = self.path.metadata().map_or(0, |metadata| metadata.len());
    }

    fn read_new(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new)?;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn complete_lines_are_recorded_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("tracking.jsonl");
        let recorder = Recorder::in_memory();
        let seen = || {
            recorder.with_records(|records| {
                let of = |event: &Event| match event {
                    Event::Tracking { node, entry } => format!("{node} {}", entry["event"]),
                    other => format!("{other:?}"),
                };
                records
                    .iter()
                    .map(|record| of(&record.event))
                    .collect::<Vec<_>>()
            })
        };
        let mut tail = TrackingTail::new("n1", path.clone());
        tail.follow(&recorder);
        let mut file = File::create(&path).expect("made");
        file.write_all(b"{\"event\":\"RECEIVE\"}\nnonsense\n{\"event\":")
            .expect("written");
        tail.follow(&recorder);
        assert_eq!(seen(), ["n1 \"RECEIVE\""]);
        file.write_all(b"\"SEND\"}\n").expect("written");
        tail.follow(&recorder);
        tail.follow(&recorder);
        assert_eq!(seen(), ["n1 \"RECEIVE\"", "n1 \"SEND\""]);
        fs::write(&path, b"{\"event\":\"RECEIVE\"}\n").expect("put back");
        tail.skip_to_end();
        tail.follow(&recorder);
        assert_eq!(seen().len(), 2);
        fs::remove_file(&path).expect("lost");
        tail.skip_to_end();
        fs::write(&path, b"{\"event\":\"DSN\"}\n").expect("a new disk");
        tail.follow(&recorder);
        assert_eq!(seen()[2..], ["n1 \"DSN\""]);
    }
}
