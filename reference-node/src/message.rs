//! What a node keeps of a message: its transport ID, its envelope, and what its header section says.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    env::Timestamp,
    smtp::{MailFrom, RcptTo},
};

/// A message's name for its whole life: `node/database/serial` (PROTOCOL.md).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransportId(Arc<str>);

impl TransportId {
    /// The ID of the `serial`-th message of a database.
    pub fn new(node: &str, database: &str, serial: u64) -> Self {
        Self(format!("{node}/{database}/{serial}").into())
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The server that took the message in.
    pub fn node(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The ID of that server's database at that time.
    pub fn database(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }
}

impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TransportId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (Some(node), Some(database), Some(serial), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("a transport ID is node/database/serial");
        };
        let named = !node.is_empty()
            && node
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !named
            || database.len() != 32
            || !database.bytes().all(|b| b.is_ascii_hexdigit())
            || serial.parse::<u64>().is_err()
        {
            return Err("a transport ID is node/database/serial");
        }
        Ok(Self(text.into()))
    }
}

/// How far a recipient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Still to be delivered.
    Pending,
    /// In a mailbox, or taken over by the next hop.
    Delivered,
    /// Given up; the sender was told if it may be.
    Failed,
}

/// A recipient of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipient {
    /// Address and DSN parameters, as they came.
    pub to: RcptTo,
    /// How far it is.
    pub progress: Progress,
}

/// Where a message of the queue came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A client or another boundary.
    Received,
    /// A shadow message that this node promoted.
    Promoted,
    /// Safety Net; it causes no DSN (SN-09).
    Resubmitted,
    /// A DSN about the message in that row of the queue.
    Notification {
        /// The row.
        about: u64,
    },
    /// The members of the groups that the message in that row of the queue is for (HB-05). It has that message's
    /// name, and its content is in that row.
    Fork {
        /// The row.
        of: u64,
        /// It comes from a resubmission, and causes no DSN (SN-09).
        silent: bool,
    },
}

/// A message without its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Its name.
    pub id: TransportId,
    /// Return path and its parameters.
    pub from: MailFrom,
    /// Recipients.
    pub recipients: Vec<Recipient>,
    /// When this node took it.
    pub received: Timestamp,
    /// Its submit time: the Date field, or when the primary server took it.
    pub submit_time: Timestamp,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Octets of its content.
    pub size: u64,
    /// Its origin.
    pub origin: Origin,
    /// Servers that hold a shadow of it, or may.
    pub shadows: Vec<String>,
    /// DSNs about it and forked copies of it that are still in the queue (HB-05).
    pub side_effects: u32,
    /// This node has told the sender that it is late (RFC 3461 §5.2.5).
    pub delay_told: bool,
}

impl Envelope {
    /// Recipients that are still to be delivered, with their index.
    pub fn pending(&self) -> impl Iterator<Item = (usize, &RcptTo)> {
        self.recipients
            .iter()
            .enumerate()
            .filter(|(_, r)| r.progress == Progress::Pending)
            .map(|(i, r)| (i, &r.to))
    }

    /// The row in which its content is.
    pub fn content_row(&self, row: u64) -> u64 {
        match self.origin {
            Origin::Fork { of, .. } => of,
            _ => row,
        }
    }

    /// This node came to own it without a sender's session in which a copy could be made: one is made afterwards (HB-12).
    pub fn is_copied_afterwards(&self) -> bool {
        matches!(self.origin, Origin::Promoted | Origin::Notification { .. })
    }

    /// Every recipient is done, and so is every side effect.
    pub fn is_done(&self) -> bool {
        self.side_effects == 0
            && self
                .recipients
                .iter()
                .all(|r| r.progress != Progress::Pending)
    }
}

/// What a transport reads of a header section.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The Message-ID field's value.
    pub message_id: Option<String>,
    /// The Date field, when it can be read.
    pub date: Option<Timestamp>,
    /// How many Received fields there are (TC-09).
    pub hops: u32,
}

impl Header {
    /// Reads the header section of `content`. Never fails: what cannot be read is absent.
    pub fn read(content: &[u8]) -> Self {
        let mut header = Self::default();
        for (name, value) in fields(content) {
            if name.eq_ignore_ascii_case(b"message-id") && header.message_id.is_none() {
                let value = String::from_utf8_lossy(value).trim().to_owned();
                header.message_id = (!value.is_empty()).then_some(value);
            } else if name.eq_ignore_ascii_case(b"date") && header.date.is_none() {
                header.date = read_date(value);
            } else if name.eq_ignore_ascii_case(b"received") {
                header.hops += 1;
            }
        }
        header
    }
}

fn read_date(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(time.timestamp().as_millisecond())
        .ok()
        .map(Timestamp)
}

/// The fields of a header section: name and value, folding left in.
fn fields(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        loop {
            let mut end = line_end(rest, 0)?;
            if matches!(rest[..end].trim_ascii_end(), b"") {
                return None;
            }
            // RFC 5322 §2.2.3: a line that begins with white space belongs to the field before it.
            while rest.get(end).is_some_and(|b| *b == b' ' || *b == b'\t') {
                end = line_end(rest, end).unwrap_or(rest.len());
            }
            let field = &rest[..end];
            rest = &rest[end..];
            if let Some(colon) = field.iter().position(|b| *b == b':') {
                return Some((field[..colon].trim_ascii(), field[colon + 1..].trim_ascii()));
            }
        }
    })
}

/// Where the line that begins at `from` ends, its line feed included; `None` at the end of the octets.
fn line_end(octets: &[u8], from: usize) -> Option<usize> {
    let rest = octets.get(from..).filter(|r| !r.is_empty())?;
    Some(
        rest.iter()
            .position(|b| *b == b'\n')
            .map_or(octets.len(), |i| from + i + 1),
    )
}

/// The header section of `content`, up to and with the empty line.
pub fn header_section(content: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(end) = line_end(content, at) {
        let empty = content[at..end].trim_ascii_end().is_empty();
        at = end;
        if empty {
            break;
        }
    }
    &content[..at]
}

/// `content` without the Return-Path fields of its header section: final delivery adds the only one (RFC 5321 §4.4).
pub fn without_return_path(content: &[u8]) -> Vec<u8> {
    let header = header_section(content).len();
    let mut kept = Vec::with_capacity(content.len());
    let (mut at, mut dropping) = (0, false);
    while at < header {
        let end = line_end(content, at).unwrap_or(header);
        let line = &content[at..end];
        // RFC 5322 §2.2.3: a line that begins with white space belongs to the field before it.
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|octet| *octet == b':').next();
            dropping =
                name.is_some_and(|n| n.trim_ascii_end().eq_ignore_ascii_case(b"return-path"));
        }
        if !dropping {
            kept.extend_from_slice(line);
        }
        at = end;
    }
    kept.extend_from_slice(&content[header..]);
    kept
}

/// A time as header fields have it (RFC 5322 §3.3).
pub fn header_date(time: Timestamp) -> String {
    let time = i64::try_from(time.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default();
    jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_to_its_empty_line() {
        let content = b"Received: from a\r\n\tby b\r\nMessage-ID:\r\n <1@x>\r\nDate: Thu, 01 Jan 2026 00:00:01 +0000\r\n\r\nMessage-ID: <2@x>\r\n";
        let header = Header::read(content);
        assert_eq!(
            header,
            Header {
                message_id: Some("<1@x>".into()),
                date: Some(Timestamp(1_767_225_601_000)),
                hops: 1
            }
        );
        assert!(header_section(content).ends_with(b"+0000\r\n\r\n"));
    }

    #[test]
    fn a_return_path_of_its_own_goes() {
        let content = b"Received: a\r\nReturn-Path:\r\n <x@y>\r\nSubject: s\r\nreturn-path : <z>\r\n\r\nReturn-Path: body\r\n";
        let kept = b"Received: a\r\nSubject: s\r\n\r\nReturn-Path: body\r\n";
        assert_eq!(without_return_path(content), kept);
        for unchanged in [
            &b""[..],
            b"\r\nbody",
            b"no header",
            b"Subject: x",
            b" Return-Path: <x>\r\n",
        ] {
            assert_eq!(without_return_path(unchanged), unchanged);
        }
    }

    #[test]
    fn nonsense_has_no_fields() {
        assert_eq!(Header::read(b""), Header::default());
        assert_eq!(Header::read(b"\r\nDate: x"), Header::default());
        assert_eq!(
            Header::read(b"no colon\r\nDate: nonsense\r\n"),
            Header::default()
        );
    }

    #[test]
    fn transport_ids_are_strict() {
        let id = TransportId::new("n1", &"a".repeat(32), 7);
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!((id.node(), id.database().len()), ("n1", 32));
        for bad in [
            "",
            "n1",
            "n1/xx/1",
            "n1/aa/1/2",
            "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1",
        ] {
            assert!(bad.parse::<TransportId>().is_err(), "{bad}");
        }
    }
}
