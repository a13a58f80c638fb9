//! What a load is made of, and the envelope and content that all its messages share.
//!
//! Comes in: what the command line asks for. Goes out: [`LoadPlan`], and a [`Template`] from which a session
//! writes message after message without building any of them anew. Called by [`run`](super::run).

use std::{
    io::Write as _,
    net::SocketAddr,
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    scenario::Hello,
    workload::{
        content::{MESSAGE_FIELD, date_value},
        dialogue::stuff,
    },
};

/// Most recipients of a message: their replies to a pipelined envelope must fit into what a socket holds
/// without a reader (RFC 5321 §4.5.3.1.8 asks servers for 100).
pub const MOST_RECIPIENTS: u32 = 1000;

/// Octets of a line of the body, CRLF counted.
const LINE: usize = 78;

/// Digits of a message's number in its header section: of the greatest `u32`.
const DIGITS: usize = 10;

/// When messages are begun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Closed loop: a session begins its next message as soon as the one before it is over.
    Closed,
    /// Open loop: message *n* is due *n*/`rate` seconds after the start, whatever became of those before it.
    Open {
        /// Messages per second, of all sessions together; positive and finite.
        rate: f64,
    },
}

/// A load, bounded by a count, a duration or both.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// Whom to send to.
    pub target: SocketAddr,
    /// Sessions at the same time, at least 1.
    pub sessions: u32,
    /// Threads that the sessions are dealt to, at least 1.
    pub threads: u32,
    /// When messages are begun.
    pub pace: Pace,
    /// No more messages than this.
    pub count: Option<u32>,
    /// No message is begun after this time.
    pub duration: Option<Duration>,
    /// Octets of a message, header section and CRLFs counted, dots for transparency not.
    pub size: RangeInclusive<usize>,
    /// Return path, without brackets; empty for `<>`.
    pub from: String,
    /// Envelope recipients of every message, at most [`MOST_RECIPIENTS`].
    pub recipients: Vec<String>,
    /// Messages on one connection; `None`: as many as there are.
    pub per_connection: Option<u32>,
    /// HELO or EHLO.
    pub hello: Hello,
    /// The name that the client gives itself.
    pub name: String,
    /// Envelope and DATA go in one write where the server offers PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// Content goes as one BDAT chunk where the server offers CHUNKING (RFC 3030).
    pub bdat: bool,
    /// How long to wait for a connection, and for a reply.
    pub patience: Duration,
    /// Tells this load's messages from those of any other: it is in every Message-ID, and draws the sizes.
    pub run: u64,
}

/// Why no message of this kind can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a message of {asked} octets has no room for its header section; the smallest one has {smallest}"
)]
pub struct TooSmall {
    /// Octets asked for.
    pub asked: usize,
    /// Octets of the header section with an empty body.
    pub smallest: usize,
}

impl LoadPlan {
    /// The Message-ID of a message.
    pub fn message_id(&self, number: u32) -> String {
        format!(
            "<{number:0DIGITS$}.{:016x}@load.gauntlet.example>",
            self.run
        )
    }

    /// Octets of a message, the same for the same run and number.
    pub fn size_of(&self, number: u32) -> usize {
        let (least, most) = (*self.size.start(), *self.size.end());
        if least == most {
            return least;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.run);
        rng.set_stream(u64::from(number));
        rng.random_range(least..=most)
    }
}

/// The octets that all messages of a load have in common.
#[derive(Debug, Clone)]
pub struct Template {
    header: Vec<u8>,
    /// Where the number stands in the header section.
    numbers: [usize; 2],
    /// A body as long as the longest message wants it; no line begins with a dot.
    body: Vec<u8>,
}

/// A body of some size: a piece of the template's, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body<'t> {
    /// All but its end.
    pub octets: &'t [u8],
    /// Its end: CRLF, perhaps behind one more octet.
    pub end: &'static [u8],
}

impl Template {
    /// For the messages of this plan; `now` is their Date.
    ///
    /// # Errors
    /// The plan's smallest message has no room for the header section.
    pub fn new(plan: &LoadPlan, now: SystemTime) -> Result<Self, TooSmall> {
        let mut header = format!("{MESSAGE_FIELD}: ").into_bytes();
        let first = header.len();
        let from = match plan.from.as_str() {
            "" => "postmaster@load.gauntlet.example",
            from => from,
        };
        let to = plan.recipients.first().map_or("", String::as_str);
        // Writing to a Vec does not fail.
        let _ = write!(
            header,
            "{:0DIGITS$}.1\r\nDate: {}\r\nFrom: <{from}>\r\nTo: <{to}>\r\nSubject: load\r\nMessage-ID: <",
            0,
            date_value(now)
        );
        let second = header.len();
        header.extend_from_slice(&plan.message_id(0).as_bytes()[1..]);
        header.extend_from_slice(b"\r\n\r\n");
        // The field's end and an empty body are the least; `stuff` leaves it alone, as no line begins with a dot.
        debug_assert_eq!(stuff(&header), header);
        let smallest = header.len() + 2;
        if *plan.size.start() < smallest {
            return Err(TooSmall {
                asked: *plan.size.start(),
                smallest,
            });
        }
        let line: Vec<u8> = (b'0'..=b'z')
            .filter(u8::is_ascii_alphanumeric)
            .cycle()
            .take(LINE - 2)
            .chain(*b"\r\n")
            .collect();
        let body = line
            .into_iter()
            .cycle()
            .take(plan.size.end().saturating_sub(header.len()))
            .collect();
        Ok(Self {
            header,
            numbers: [first, second],
            body,
        })
    }

    /// The header section, for a session's own copy, which [`number`](Self::number) changes.
    pub fn header(&self) -> Vec<u8> {
        self.header.clone()
    }

    /// The Message-ID in a copy of the header section.
    pub fn message_id<'h>(&self, header: &'h [u8]) -> &'h str {
        let from = self.numbers[1] - 1;
        let ids = header[from..]
            .split_inclusive(|octet| *octet == b'>')
            .next();
        // It is ASCII: `LoadPlan::message_id` made it.
        std::str::from_utf8(ids.unwrap_or_default()).unwrap_or_default()
    }

    /// Puts a message's number into a copy of the header section.
    pub fn number(&self, header: &mut [u8], number: u32) {
        for at in self.numbers {
            let mut rest = number;
            for digit in header[at..at + DIGITS].iter_mut().rev() {
                // A remainder of 10 fits.
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        }
    }

    /// The body of a message of so many octets.
    pub fn body(&self, size: usize) -> Body<'_> {
        let length = size.saturating_sub(self.header.len());
        let octets = &self.body[..length.saturating_sub(2).min(self.body.len())];
        // A line that would end here ends one octet later: CR CR LF is no end of a line (RFC 5321 §2.3.8).
        match octets.split_last() {
            Some((b'\r', before)) => Body {
                octets: before,
                end: b"x\r\n",
            },
            _ => Body {
                octets,
                end: b"\r\n",
            },
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
