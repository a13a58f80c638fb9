//! The short way to read a `wire` record, which nine of ten records are.
//!
//! Comes in: a line of a history. Goes out: its [`Record`], or nothing: then the line is read the long way, which takes whatever
//! serde takes and says what is wrong. The long way keeps every field of a record in a map three times over before it knows
//! what it is; this one has a place for each field that a `wire` record may have. Called by the [reader](super::reader).

use std::borrow::Cow;

use serde::Deserialize;

use super::{Event, Record, Reply, Transaction, Wire};

/// All fields that a `wire` record may have. Any other field, and any field twice, makes it the long way's; a field that its kind of
/// record has not is passed over, as the long way does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line<'a> {
    seq: u64,
    #[serde(rename = "t_us")]
    t_us: u64,
    #[serde(borrow)]
    event: Cow<'a, str>,
    link: String,
    connection: u32,
    #[serde(borrow)]
    wire: Cow<'a, str>,
    error: Option<String>,
    reply: Option<Reply>,
    verb: Option<String>,
    line: Option<String>,
    kind: Option<Transaction>,
    message: Option<u32>,
    attempt: Option<u32>,
    transport_id: Option<String>,
    by: Option<String>,
    reset: Option<bool>,
}

/// Reads the line, when it is a `wire` record as this harness writes them.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    // Where it stands in what this harness writes.
    let start = &line[..line.len().min(80)];
    memchr::memmem::find(start, br#""event":"wire""#)?;
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let wire = match &*line.wire {
        "connect" => Wire::Connect,
        "connect-failed" => Wire::ConnectFailed { error: line.error? },
        "greeting" => Wire::Greeting { reply: line.reply? },
        "command" => Wire::Command {
            verb: line.verb?,
            line: line.line?,
        },
        "reply" => Wire::Reply {
            verb: line.verb?,
            reply: line.reply?,
        },
        "end-of-data" => Wire::EndOfData {
            kind: line.kind?,
            message: line.message,
            attempt: line.attempt,
            transport_id: line.transport_id,
        },
        "final-reply" => Wire::FinalReply {
            kind: line.kind?,
            reply: line.reply?,
            message: line.message,
            attempt: line.attempt,
            transport_id: line.transport_id,
        },
        "close" => Wire::Close {
            by: line.by?,
            reset: line.reset?,
        },
        _ => return None,
    };
    (line.event == "wire").then_some(Record {
        seq: line.seq,
        t_us: line.t_us,
        event: Event::Wire {
            link: line.link,
            connection: line.connection,
            wire,
        },
    })
}

#[cfg(test)]
#[path = "wire_line_tests.rs"]
mod tests;
