//! Follows the SMTP dialogue of one connection from the octets that pass, in either direction.
//!
//! Comes in: octets, in the order in which they passed. Goes out: [`Wire`] events. No IO, no clock; memory
//! is bounded, and no octets make it panic. Called by [`TapConnection`](super::TapConnection).
//!
//! Replies answer commands in order (RFC 5321 §4.1.1, RFC 2920), so a queue of what is outstanding tells
//! which command a reply belongs to.

use std::collections::VecDeque;

use super::{
    content::{DotStream, HeaderScan},
    line::{LineBuffer, ReplyBuffer, readable, verb},
};
use crate::history::{Reply, Transaction, Wire};

/// Commands that may wait for their replies; what a client sends beyond is not matched to replies.
const OUTSTANDING: usize = 4096;

/// Octets held after DATA until its reply tells what they are.
const HELD: usize = 64 * 1024;

/// Where octets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the one who opened the connection to the one who accepted it.
    ToServer,
    /// The other way.
    ToClient,
}

/// The observer of one connection.
#[derive(Debug)]
pub struct Observer {
    mode: Mode,
    line: LineBuffer,
    held: Vec<u8>,
    content: HeaderScan,
    /// The transaction as the client means it: XSHADOW counts as soon as it is sent.
    meant: Purpose,
    /// The transaction as the server has agreed to it, as far as its replies tell.
    agreed: Purpose,
    /// Numbers what the client has meant: an announcement that is refused must not undo a later one.
    generation: u64,
    outstanding: VecDeque<Outstanding>,
    reply_line: LineBuffer,
    reply: ReplyBuffer,
}

/// What the client's octets are at this point.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Command lines.
    Commands,
    /// Not known before the reply to DATA, STARTTLS or AUTH.
    Held,
    /// A line that answers an AUTH challenge.
    AuthAnswer,
    /// Content, up to `<CRLF>.<CRLF>`.
    Data(DotStream),
    /// So many octets of content (BDAT).
    Chunk { left: u64, last: bool },
    /// TLS.
    Opaque,
}

/// What a transaction is for.
#[derive(Debug, Clone)]
struct Purpose {
    kind: Transaction,
    transport_id: Option<String>,
}

impl Purpose {
    const MAIL: Self = Self {
        kind: Transaction::Mail,
        transport_id: None,
    };
}

/// What the server owes a reply to.
#[derive(Debug)]
enum Outstanding {
    Greeting,
    Command {
        verb: String,
    },
    /// XSHADOW, XDELIVER
    Announcement {
        verb: String,
        purpose: Purpose,
        generation: u64,
    },
    /// The end of data; the message as its content named it, as soon as the content has passed.
    EndOfData {
        message: Option<(u32, u32)>,
    },
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer {
    /// The observer of a connection that was just opened.
    pub fn new() -> Self {
        Self {
            mode: Mode::Commands,
            line: LineBuffer::default(),
            held: Vec::new(),
            content: HeaderScan::default(),
            meant: Purpose::MAIL,
            agreed: Purpose::MAIL,
            generation: 0,
            outstanding: VecDeque::from([Outstanding::Greeting]),
            reply_line: LineBuffer::default(),
            reply: ReplyBuffer::default(),
        }
    }

    /// Takes the next octets, cut anywhere, and returns what they brought to an end.
    ///
    /// A reply that answers no command (a 421 at a timeout) is a [`Wire::Reply`] with an empty verb.
    pub fn feed(&mut self, direction: Direction, octets: &[u8]) -> Vec<Wire> {
        let mut events = Vec::new();
        match direction {
            Direction::ToServer => self.client_octets(octets, &mut events),
            Direction::ToClient => self.server_octets(octets, &mut events),
        }
        events
    }

    fn client_octets(&mut self, mut octets: &[u8], events: &mut Vec<Wire>) {
        while !octets.is_empty() {
            octets = match self.mode {
                Mode::Commands | Mode::AuthAnswer => {
                    let (rest, complete) = self.line.take(octets);
                    if complete {
                        let line = self.line.finish();
                        self.command(&line, events);
                    }
                    rest
                }
                Mode::Held => {
                    let (now, rest) = octets.split_at(octets.len().min(HELD - self.held.len()));
                    self.held.extend_from_slice(now);
                    if self.held.len() == HELD {
                        // So much without waiting is content, whatever the server will say.
                        self.mode = match self.outstanding.back() {
                            Some(Outstanding::Command { verb }) if verb == "DATA" => {
                                Mode::Data(DotStream::default())
                            }
                            _ => Mode::Commands,
                        };
                        self.release(events);
                    }
                    rest
                }
                Mode::Data(mut dots) => {
                    let end = dots.end(octets);
                    let (content, rest) = octets.split_at(end.unwrap_or(octets.len()));
                    self.content.feed(content);
                    self.mode = Mode::Data(dots);
                    if end.is_some() {
                        self.mode = Mode::Commands;
                        let message = self.end_of_data(events);
                        self.expect(Outstanding::EndOfData { message });
                    }
                    rest
                }
                Mode::Chunk { left, last } => {
                    let now = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(octets.len());
                    let (content, rest) = octets.split_at(now);
                    self.content.feed(content);
                    self.chunk(left - now as u64, last, events);
                    rest
                }
                Mode::Opaque => return,
            }
        }
    }

    fn command(&mut self, line: &[u8], events: &mut Vec<Wire>) {
        if matches!(self.mode, Mode::AuthAnswer) {
            self.mode = Mode::Commands;
            events.push(Wire::Command {
                verb: "AUTH".into(),
                line: "(answer)".into(),
            });
            self.expect(Outstanding::Command {
                verb: "AUTH".into(),
            });
            return;
        }
        let verb = verb(line);
        events.push(Wire::Command {
            verb: verb.clone(),
            line: readable(line),
        });
        match verb.as_str() {
            "XSHADOW" | "XDELIVER" => {
                let kind = if verb == "XSHADOW" {
                    Transaction::Copy
                } else {
                    Transaction::Deliver
                };
                let transport_id = line
                    .split(|&o| o == b' ')
                    .filter(|word| !word.is_empty())
                    .nth(1)
                    .map(readable);
                self.meant = Purpose { kind, transport_id };
                self.generation += 1;
                let (purpose, generation) = (self.meant.clone(), self.generation);
                self.expect(Outstanding::Announcement {
                    verb,
                    purpose,
                    generation,
                });
            }
            "BDAT" => self.bdat(verb, line, events),
            _ => {
                match verb.as_str() {
                    "RSET" | "EHLO" | "HELO" => self.next_transaction(),
                    "DATA" | "STARTTLS" | "AUTH" => self.mode = Mode::Held,
                    _ => {}
                }
                self.expect(Outstanding::Command { verb });
            }
        }
    }

    /// RFC 3030 §2: `BDAT <size> [LAST]`, and the octets follow at once.
    fn bdat(&mut self, verb: String, line: &[u8], events: &mut Vec<Wire>) {
        let words = std::str::from_utf8(line).unwrap_or_default();
        let mut words = words.split_ascii_whitespace().skip(1);
        let size = words.next().and_then(|size| size.parse().ok());
        let last = words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        match size {
            Some(left) => {
                self.expect(if last {
                    Outstanding::EndOfData { message: None }
                } else {
                    Outstanding::Command { verb }
                });
                self.chunk(left, last, events);
            }
            None => self.expect(Outstanding::Command { verb }),
        }
    }

    fn chunk(&mut self, left: u64, last: bool, events: &mut Vec<Wire>) {
        self.mode = if left > 0 {
            Mode::Chunk { left, last }
        } else {
            Mode::Commands
        };
        if left == 0 && last {
            let named = self.end_of_data(events);
            // The reply is expected since the command; unless it came early, its entry is the newest.
            if let Some(Outstanding::EndOfData { message }) = self.outstanding.back_mut() {
                *message = named;
            }
        }
    }

    fn end_of_data(&mut self, events: &mut Vec<Wire>) -> Option<(u32, u32)> {
        let found = self.content.found();
        events.push(Wire::EndOfData {
            kind: self.meant.kind,
            message: found.map(|(message, _)| message),
            attempt: found.map(|(_, attempt)| attempt),
            transport_id: self.meant.transport_id.clone(),
        });
        self.next_transaction();
        found
    }

    fn next_transaction(&mut self) {
        self.meant = Purpose::MAIL;
        self.generation += 1;
        self.content = HeaderScan::default();
    }

    fn expect(&mut self, outstanding: Outstanding) {
        if self.outstanding.len() < OUTSTANDING {
            self.outstanding.push_back(outstanding);
        }
    }

    fn server_octets(&mut self, mut octets: &[u8], events: &mut Vec<Wire>) {
        while !octets.is_empty() && !matches!(self.mode, Mode::Opaque) {
            let (rest, complete) = self.reply_line.take(octets);
            octets = rest;
            if complete {
                let line = self.reply_line.finish();
                if let Some(reply) = self.reply.line(&line) {
                    self.replied(reply, events);
                }
            }
        }
    }

    fn replied(&mut self, reply: Reply, events: &mut Vec<Wire>) {
        let code = reply.code;
        let accepted = (200..300).contains(&code);
        match self.outstanding.pop_front() {
            None => events.push(Wire::Reply {
                verb: String::new(),
                reply,
            }),
            Some(Outstanding::Greeting) => events.push(Wire::Greeting { reply }),
            Some(Outstanding::EndOfData { message }) => {
                // The end of the transaction ends the effect of XSHADOW and XDELIVER.
                let Purpose { kind, transport_id } =
                    std::mem::replace(&mut self.agreed, Purpose::MAIL);
                let (message, attempt) = message.unzip();
                events.push(Wire::FinalReply {
                    kind,
                    reply,
                    message,
                    attempt,
                    transport_id,
                });
            }
            Some(Outstanding::Announcement {
                verb,
                purpose,
                generation,
            }) => {
                if accepted {
                    self.agreed = purpose;
                } else if generation == self.generation {
                    self.meant = Purpose::MAIL;
                }
                events.push(Wire::Reply { verb, reply });
            }
            Some(Outstanding::Command { verb }) => {
                if accepted && matches!(verb.as_str(), "RSET" | "EHLO" | "HELO") {
                    self.agreed = Purpose::MAIL;
                }
                let decided = match (verb.as_str(), code) {
                    ("DATA", 354) => Some(Mode::Data(DotStream::default())),
                    ("AUTH", 334) => Some(Mode::AuthAnswer),
                    ("STARTTLS", 200..300) => Some(Mode::Opaque),
                    ("DATA" | "AUTH" | "STARTTLS", _) => Some(Mode::Commands),
                    _ => None,
                };
                events.push(Wire::Reply { verb, reply });
                self.decide(decided, code, events);
            }
        }
    }

    /// The reply tells what the client's octets after the command are.
    fn decide(&mut self, decided: Option<Mode>, code: u16, events: &mut Vec<Wire>) {
        match (decided, self.mode) {
            (Some(mode), Mode::Held) => {
                self.mode = mode;
                self.release(events);
            }
            (Some(Mode::AuthAnswer), Mode::Commands) => self.mode = Mode::AuthAnswer,
            // Content that was sent unasked, and refused.
            (Some(_), Mode::Data(_)) if code != 354 => self.mode = Mode::Commands,
            _ => {}
        }
    }

    fn release(&mut self, events: &mut Vec<Wire>) {
        let held = std::mem::take(&mut self.held);
        self.client_octets(&held, events);
    }
}

#[cfg(test)]
#[path = "observer_tests.rs"]
mod tests;
