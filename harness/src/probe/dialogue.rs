//! The record of a case: every octet with its direction and time, and how it is shown.
//!
//! Comes in: what a case's connections sent and read. Goes out: [`DialogueLine`]s, a line per line on the wire, control
//! characters as escapes (`\r\n`, `\0`, `\x1b`), long runs cut with a count.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gauntlet_reports::probe::{DialogueLine, Speaker};
use tokio::time::Instant;

/// Octets of a line that are shown; what is longer is cut in the middle.
const SHOWN_OCTETS: usize = 240;
/// Lines that are shown of one piece, and of a whole dialogue: the first ones and the last ones.
const SHOWN_LINES: usize = 24;
const SHOWN_DIALOGUE: usize = 400;

/// The record of a case, shared by its connections.
#[derive(Debug, Clone)]
pub struct Record {
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    connections: u32,
    lost: bool,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    connection: u32,
    speaker: Speaker,
    octets: Vec<u8>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            inner: Arc::default(),
        }
    }
}

impl Record {
    /// The number of a new connection, from 1.
    pub fn next_connection(&self) -> u32 {
        let mut inner = self.lock();
        inner.connections += 1;
        inner.connections
    }

    /// Octets went over the wire.
    pub fn octets(&self, connection: u32, speaker: Speaker, octets: &[u8]) {
        let at = self.began.elapsed();
        let mut inner = self.lock();
        // What comes in pieces is shown as one as long as nobody else spoke.
        if let Some(last) = inner.entries.last_mut()
            && (last.connection, last.speaker) == (connection, speaker)
            && !last.octets.ends_with(b"\n")
            && speaker != Speaker::Event
        {
            last.octets.extend_from_slice(octets);
            return;
        }
        inner.entries.push(Entry {
            at,
            connection,
            speaker,
            octets: octets.to_vec(),
        });
    }

    /// Something happened that is no octet.
    pub fn event(&self, connection: u32, what: &str) {
        self.octets(connection, Speaker::Event, what.as_bytes());
    }

    /// A connection was lost, or closed by the server: it may have died.
    pub fn lost(&self) {
        self.lock().lost = true;
    }

    /// Whether a connection was lost.
    pub fn has_lost(&self) -> bool {
        self.lock().lost
    }

    /// How long ago the case began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The dialogue, as it is shown.
    pub fn lines(&self) -> Vec<DialogueLine> {
        let inner = self.lock();
        let mut lines = Vec::new();
        for entry in &inner.entries {
            let mut push = |text: String| {
                lines.push(DialogueLine {
                    at_ms: u64::try_from(entry.at.as_millis()).unwrap_or(u64::MAX),
                    connection: entry.connection,
                    speaker: entry.speaker,
                    text,
                });
            };
            if entry.speaker == Speaker::Event {
                push(String::from_utf8_lossy(&entry.octets).into_owned());
                continue;
            }
            let pieces: Vec<&[u8]> = entry.octets.split_inclusive(|o| *o == b'\n').collect();
            for text in shown(&pieces) {
                push(text);
            }
        }
        if lines.len() > SHOWN_DIALOGUE {
            let cut = lines.len() - SHOWN_DIALOGUE;
            let at = SHOWN_DIALOGUE / 2;
            let place = lines[at].clone();
            lines.splice(
                at..at + cut,
                [DialogueLine {
                    speaker: Speaker::Event,
                    text: format!("… {cut} lines are not shown …"),
                    ..place
                }],
            );
        }
        lines
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing under this lock can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of one piece; of very many only the first and the last ones.
fn shown(pieces: &[&[u8]]) -> Vec<String> {
    if pieces.len() <= SHOWN_LINES {
        return pieces.iter().map(|piece| visible(piece)).collect();
    }
    let (head, tail) = (SHOWN_LINES - 8, 6);
    let middle = &pieces[head..pieces.len() - tail];
    let octets: usize = middle.iter().map(|piece| piece.len()).sum();
    let note = format!("… {} lines, {octets} octets …", middle.len());
    let of = |pieces: &[&[u8]]| pieces.iter().map(|p| visible(p)).collect::<Vec<_>>();
    [
        of(&pieces[..head]),
        vec![note],
        of(&pieces[pieces.len() - tail..]),
    ]
    .concat()
}

/// Octets as text: what is printable ASCII as it is, a backslash doubled, everything else escaped; UTF-8 stays.
/// A long run is cut in the middle with a count.
pub fn visible(octets: &[u8]) -> String {
    if octets.len() <= SHOWN_OCTETS {
        return escaped(octets);
    }
    let (head, tail) = (SHOWN_OCTETS / 2, SHOWN_OCTETS / 4);
    let cut = octets.len() - head - tail;
    format!(
        "{}…({cut} octets)…{}",
        escaped(&octets[..head]),
        escaped(&octets[octets.len() - tail..])
    )
}

fn escaped(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() + 8);
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\0' => text.push_str("\\0"),
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => text.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => text.push(c),
            }
        }
        for octet in chunk.invalid() {
            text.push_str(&format!("\\x{octet:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_visible() {
        assert_eq!(visible(b"a\\b\0\x1b[\t\xff\r\n"), r"a\\b\0\x1b[\t\xff\r\n");
        assert_eq!(visible("grün".as_bytes()), "grün");
        assert_eq!(visible("\u{9b}".as_bytes()), "\\x9b");
    }

    #[test]
    fn long_runs_are_cut_with_a_count() {
        let line = [vec![b'x'; 1000], b"\r\n".to_vec()].concat();
        let shown = visible(&line);
        assert!(shown.contains("…(822 octets)…"), "{shown}");
        assert!(shown.ends_with("xx\\r\\n"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dialogue_has_a_line_per_line() {
        let record = Record::default();
        let one = record.next_connection();
        record.event(one, "connected");
        record.octets(one, Speaker::Server, b"220 x");
        record.octets(one, Speaker::Server, b" y\r\n");
        tokio::time::advance(Duration::from_millis(1234)).await;
        record.octets(one, Speaker::Probe, b"NOOP\r\nQUIT\r\n");
        let lines: Vec<String> = record.lines().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "  0.000 1 -- connected",
                r"  0.000 1 S: 220 x y\r\n",
                r"  1.234 1 C: NOOP\r\n",
                r"  1.234 1 C: QUIT\r\n",
            ]
        );
    }

    #[test]
    fn a_thousand_lines_are_not_all_shown() {
        let record = Record::default();
        record.octets(1, Speaker::Probe, &b"RCPT\r\n".repeat(1000));
        let lines = record.lines();
        assert!(lines.len() <= SHOWN_LINES, "{}", lines.len());
        assert!(lines.iter().any(|l| l.text == "… 978 lines, 5868 octets …"));
        for _ in 0..2000 {
            record.octets(1, Speaker::Server, b"250 ok\r\n");
        }
        assert!(record.lines().len() <= SHOWN_DIALOGUE + 1);
    }
}
