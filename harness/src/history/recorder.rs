//! The history's writer: gives every event its number and its time, and puts it into memory and on disk.
//!
//! Comes in: [`Event`]s from taps, clients, sinks, the runner. Goes out: [`Record`]s, and `history.jsonl`
//! with one record on each line. Time is tokio's, so it follows a simulator's paused clock.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::{Event, Record};

/// The file is written whenever this many records wait.
const RECORDS_PER_WRITE: usize = 256;

/// Takes events from any thread and keeps them in one order.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    last_us: u64,
    /// Where the lines go; `None` when the history is only in memory, or is finished, or could not be written.
    file: Option<File>,
    buffer: Vec<u8>,
    waiting: usize,
    error: Option<io::Error>,
}

impl Recorder {
    /// A recorder without a file, for mass runs.
    pub fn in_memory() -> Self {
        Self::with_file(None)
    }

    /// A recorder that writes to `path` too. The file must not exist yet: a history is never written over.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Ok(Self::with_file(Some(File::create_new(path)?)))
    }

    fn with_file(file: Option<File>) -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::new(State {
                file,
                ..State::default()
            }),
        }
    }

    /// Microseconds since the recorder was made.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Records that `event` happened now. Returns its number.
    ///
    /// Never fails: what the disk says is told by [`finish`](Self::finish).
    pub fn record(&self, event: Event) -> u64 {
        let mut state = self.lock();
        // The clock is read under the lock, so the order of numbers is the order of times.
        let t_us = self.now_us().max(state.last_us);
        state.last_us = t_us;
        let seq = state.records.len() as u64;
        let record = Record { seq, t_us, event };
        state.append_line(&record);
        state.records.push(record);
        seq
    }

    /// All records, out of the recorder: for its owner, when nothing is recorded any more.
    pub fn take_records(&self) -> Vec<Record> {
        std::mem::take(&mut self.lock().records)
    }

    /// A copy of all records so far.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// Lets `look` see all records so far without a copy. `look` must not record: it runs under the lock.
    pub fn with_records<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.lock().records)
    }

    /// Writes what waits to the file. The owner calls this from time to time, so that a killed run leaves
    /// a history that is nearly complete. An error is kept for [`finish`](Self::finish).
    pub fn flush(&self) {
        self.lock().write_out();
    }

    /// Writes what waits, syncs and closes the file; returns the first error of the whole run, if there was
    /// one. What is recorded later stays in memory only. A second call does nothing.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.write_out();
        if let Some(file) = state.file.take()
            && let Err(error) = file.sync_all()
        {
            state.error.get_or_insert(error);
        }
        state.error.take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of another thread leaves at worst half a line in the buffer's end; the records are whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append_line(&mut self, record: &Record) {
        if self.file.is_none() {
            return;
        }
        let before = self.buffer.len();
        if let Err(error) = serde_json::to_writer(&mut self.buffer, record) {
            self.buffer.truncate(before);
            self.error.get_or_insert(error.into());
            return;
        }
        self.buffer.push(b'\n');
        self.waiting += 1;
        if self.waiting >= RECORDS_PER_WRITE {
            self.write_out();
        }
    }

    fn write_out(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&self.buffer)
        {
            self.error.get_or_insert(error);
            // Later lines behind a hole would make a history that lies.
            self.file = None;
        }
        self.buffer.clear();
        self.waiting = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::{Phase, Reply, Transaction, Wire};

    fn wire(connection: u32, wire: Wire) -> Event {
        Event::Wire {
            link: "n1>n2".into(),
            connection,
            wire,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_and_times_follow_the_paused_clock() {
        let recorder = Recorder::in_memory();
        recorder.record(Event::Phase { phase: Phase::Load });
        tokio::time::advance(Duration::from_secs(3 * 3600)).await;
        assert_eq!(recorder.record(Event::Phase { phase: Phase::Heal }), 1);
        let times: Vec<_> =
            recorder.with_records(|all| all.iter().map(|r| (r.seq, r.t_us)).collect());
        assert_eq!(times, [(0, 0), (1, 10_800_000_000)]);
    }

    #[test]
    fn the_file_holds_what_memory_holds() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("history.jsonl");
        let recorder = Recorder::to_file(&path).expect("a new file");
        for n in 0..RECORDS_PER_WRITE as u32 + 10 {
            recorder.record(wire(n, Wire::Connect));
        }
        recorder.record(wire(
            1,
            Wire::FinalReply {
                kind: Transaction::Copy,
                reply: Reply {
                    code: 250,
                    text: "2.0.0 a\nb".into(),
                },
                message: Some(3),
                attempt: Some(1),
                transport_id: Some("n1/00/4".into()),
            },
        ));
        let so_far = std::fs::read_to_string(&path).expect("it can be read");
        assert_eq!(
            so_far.lines().count(),
            RECORDS_PER_WRITE,
            "a full buffer is written at once"
        );

        recorder.finish().expect("the disk took it");
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let read: Vec<Record> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is a record"))
            .collect();
        assert_eq!(read, recorder.records());
        insta::assert_snapshot!(
            text.lines().last().unwrap_or_default().replace(&format!("\"t_us\":{}", read[266].t_us), "\"t_us\":0"),
            @r#"{"seq":266,"t_us":0,"event":"wire","link":"n1>n2","connection":1,"wire":"final-reply","kind":"copy","reply":{"code":250,"text":"2.0.0 a\nb"},"message":3,"attempt":1,"transport-id":"n1/00/4"}"#
        );
        assert!(
            Recorder::to_file(&path).is_err(),
            "a history is never written over"
        );
    }

    #[test]
    fn a_disk_that_fails_is_told_at_the_end() {
        let Ok(file) = File::options().write(true).open("/dev/full") else {
            return;
        };
        let recorder = Recorder::with_file(Some(file));
        recorder.record(wire(1, Wire::Connect));
        recorder.flush();
        recorder.record(wire(2, Wire::Connect));
        assert!(recorder.finish().is_err());
        assert_eq!(recorder.records().len(), 2, "memory has them all");
        assert!(recorder.finish().is_ok(), "told once");
    }

    #[test]
    fn threads_share_one_order() {
        let recorder = Recorder::in_memory();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let recorder = &recorder;
                scope.spawn(move || {
                    for _ in 0..500 {
                        recorder.record(wire(n, Wire::Connect));
                    }
                });
            }
        });
        let records = recorder.records();
        assert_eq!(records.len(), 2000);
        assert!(records.iter().enumerate().all(|(n, r)| r.seq == n as u64));
        assert!(records.is_sorted_by_key(|r| r.t_us));
    }
}
