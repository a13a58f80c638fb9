//! The sender's side of a front end's session: no IO, no clock (RFC 5321 §3, §4).
//!
//! Comes in: a client's octets, and the transport server's replies. Goes out: the octets to write to the client,
//! and events: this line, this content is to be passed on. What needs no transport server is answered here.
//!
//! The driver's loop is that of [`crate::smtp::Session`]: [`Session::next`] until it says [`Event::NeedInput`];
//! after [`Event::Line`] and [`Event::End`] an answer is owed before the next call. Content is handed out as it
//! comes, never more than was received at once, and is not looked into but for its end.

use crate::{
    sabotage::{Sabotage, active},
    smtp::{
        Command, Reply,
        command::{Context, verb},
        data::Decoder,
        session::{
            input::{Input, Line},
            too_big,
        },
    },
};

/// RFC 5321 §4.5.3.1.4 says 512; parameters make lines longer.
const MAX_LINE: usize = 2048;

/// So many bad commands are answered; the next one ends the session.
const MAX_ERRORS: u32 = 20;

/// A command that the transport server is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Mail,
    Rcpt,
    Data,
}

/// What the driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Write the output, then read.
    NeedInput,
    /// Pass this line on, its CRLF included, and [`Session::answer`].
    Line(Verb, Vec<u8>),
    /// The client has ended its transaction (RSET, EHLO): so must the transport server.
    Reset,
    /// A chunk of so many octets begins (RFC 3030 §2): announce it. The content follows.
    Chunk {
        size: u64,
        last: bool,
        /// It is the message's first.
        first: bool,
    },
    /// Pass these octets on as they are. `last`: the message ends with them.
    Content { octets: Vec<u8>, last: bool },
    /// The message, or a chunk of it, is complete: [`Session::answer`] with the transport server's reply.
    End { last: bool },
    /// Write the output, then close.
    Closed,
}

#[derive(Debug)]
enum Phase {
    Commands,
    Data(Decoder),
    Chunk {
        left: u64,
        last: bool,
        /// The chunk goes nowhere, and gets this answer.
        refusal: Option<Reply>,
    },
    /// All content is handed out, the event that says so is not.
    Complete {
        last: bool,
    },
    Ended,
}

/// The answer that the driver owes.
#[derive(Debug, Clone, Copy)]
enum Owed {
    Line(Verb),
    End { last: bool },
}

/// A transaction that the transport server has accepted.
#[derive(Debug)]
struct Open {
    smtputf8: bool,
    /// BDAT has begun.
    chunked: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    hostname: String,
    max_message_size: u64,
    sabotage: Option<Sabotage>,
    input: Input,
    input_ended: bool,
    output: Vec<u8>,
    phase: Phase,
    owed: Option<Owed>,
    /// The client's name, and whether it said EHLO.
    hello: Option<(String, bool)>,
    /// What MAIL announced, until it is answered.
    mail_smtputf8: bool,
    open: Option<Open>,
    errors: u32,
}

impl Session {
    /// A new session; the greeting is in the output. `max_message_size`: the largest content in octets that senders
    /// are promised (RFC 1870); 0 for no limit.
    pub(super) fn new(hostname: &str, max_message_size: u64, sabotage: Option<Sabotage>) -> Self {
        let mut output = Vec::new();
        Reply::plain(220, format!("{hostname} ESMTP")).write(&mut output);
        Self {
            hostname: hostname.to_owned(),
            max_message_size,
            sabotage,
            input: Input::default(),
            input_ended: false,
            output,
            phase: Phase::Commands,
            owed: None,
            hello: None,
            mail_smtputf8: false,
            open: None,
            errors: 0,
        }
    }

    /// Takes octets from the client.
    pub(super) fn receive(&mut self, octets: &[u8]) {
        if !matches!(self.phase, Phase::Ended) {
            self.input.push(octets);
        }
    }

    /// The client sends nothing more.
    pub(super) fn receive_end(&mut self) {
        self.input_ended = true;
    }

    /// Takes the octets to write.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The client's name, for the trace field; empty before HELO and EHLO.
    pub(super) fn client_name(&self) -> &str {
        self.hello.as_ref().map_or("", |(name, _)| name)
    }

    /// For the trace field's `with` (RFC 5321 §4.4, RFC 6531 §4.3).
    pub(super) fn protocol(&self) -> &'static str {
        match (self.esmtp(), self.smtputf8()) {
            (false, _) => "SMTP",
            (true, false) => "ESMTP",
            (true, true) => "UTF8SMTP",
        }
    }

    /// Ends the session with that 421.
    pub(super) fn shut_down(&mut self, reply_421: &Reply) {
        if !matches!(self.phase, Phase::Ended) {
            reply_421.write(&mut self.output);
            self.end();
        }
    }

    /// Drives the machine until it needs its driver.
    pub(super) fn next(&mut self) -> Event {
        debug_assert!(self.owed.is_none(), "an answer is owed: {:?}", self.owed);
        loop {
            let event = match self.phase {
                Phase::Ended => return Event::Closed,
                Phase::Commands => self.read_command(),
                Phase::Data(_) => self.read_data(),
                Phase::Chunk { .. } => self.read_chunk(),
                Phase::Complete { last } => {
                    self.phase = Phase::Commands;
                    self.owed = Some(Owed::End { last });
                    return Event::End { last };
                }
            };
            match event {
                Some(Event::NeedInput) if self.input_ended => self.end(),
                Some(event) => return event,
                None => {}
            }
        }
    }

    /// The transport server's reply to [`Event::Line`] or [`Event::End`]; a 421 ends the session.
    pub(super) fn answer(&mut self, reply: &Reply) {
        match self.owed.take() {
            Some(Owed::Line(Verb::Mail)) if reply.is_positive() => {
                self.open = Some(Open {
                    smtputf8: self.mail_smtputf8,
                    chunked: false,
                });
            }
            Some(Owed::Line(Verb::Data)) if reply.is_intermediate() => {
                let bare_lf_ends = active(self.sabotage, Sabotage::BareLfEndsData);
                self.phase = Phase::Data(Decoder::new(bare_lf_ends));
            }
            // RFC 3030 §2: a chunk that is refused ends the transaction.
            Some(Owed::End { last }) if last || !reply.is_positive() => self.open = None,
            Some(_) => {}
            None => return,
        }
        self.say(reply);
    }

    fn esmtp(&self) -> bool {
        self.hello.as_ref().is_some_and(|(_, esmtp)| *esmtp)
    }

    fn smtputf8(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.smtputf8)
    }

    /// RFC 5321 §3.8: a 421 ends the session.
    fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
        if reply.code == 421 {
            self.end();
        }
    }

    fn refuse(&mut self, reply: &Reply) {
        self.errors += 1;
        if self.errors > MAX_ERRORS {
            let reply = Reply::new(421, (4, 7, 0), "too many bad commands, closing");
            self.say(&reply);
        } else {
            self.say(reply);
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.owed = None;
        self.open = None;
        self.input.clear();
    }

    fn read_command(&mut self) -> Option<Event> {
        let mut line = match self.input.line(MAX_LINE) {
            None => return Some(Event::NeedInput),
            Some(Line::Good(line)) => line,
            Some(Line::TooLong) => {
                self.refuse(&Reply::new(500, (5, 5, 2), "the command line is too long"));
                return None;
            }
            // RFC 5321 §2.3.8, §4.1.1
            Some(Line::BareLineFeed) => {
                self.refuse(&Reply::new(
                    500,
                    (5, 5, 2),
                    "a command line ends with CR LF",
                ));
                return None;
            }
        };
        let context = Context {
            esmtp: self.esmtp(),
            smtputf8: self.smtputf8(),
        };
        let command = match Command::parse(&line, context) {
            Ok(command) => command,
            Err(_) if is_for_peers(&verb(&line)) => {
                self.refuse(&for_peers_only(&verb(&line)));
                return None;
            }
            Err(reply) => {
                self.refuse(&reply);
                return None;
            }
        };
        let verb = match command {
            Command::Mail(from) => {
                if from.xshadow.is_some() {
                    let text = "XSHADOW is for hubs only";
                    self.refuse(&Reply::new(555, (5, 5, 4), text));
                    return None;
                }
                if let Some(reply) = self.no_mail_now() {
                    self.refuse(&reply);
                    return None;
                }
                // RFC 1870 §6.1: what was announced in EHLO holds, whatever the transport servers' own limit is.
                if self.max_message_size != 0 && from.size > Some(self.max_message_size) {
                    self.refuse(&too_big());
                    return None;
                }
                self.mail_smtputf8 = from.smtputf8;
                Verb::Mail
            }
            Command::Rcpt(_) | Command::Data => {
                if let Some(reply) = self.no_transaction() {
                    self.refuse(&reply);
                    return None;
                }
                match command {
                    Command::Rcpt(_) => Verb::Rcpt,
                    _ => Verb::Data,
                }
            }
            Command::Bdat { size, last } => return self.bdat(size, last),
            other => return self.local(other),
        };
        line.extend_from_slice(b"\r\n");
        self.owed = Some(Owed::Line(verb));
        Some(Event::Line(verb, line))
    }

    fn no_mail_now(&self) -> Option<Reply> {
        if self.hello.is_none() {
            Some(Reply::bad_sequence("EHLO or HELO comes first"))
        } else if self.open.is_some() {
            Some(Reply::bad_sequence("a transaction is open"))
        } else {
            None
        }
    }

    fn no_transaction(&self) -> Option<Reply> {
        match &self.open {
            None => Some(Reply::bad_sequence("MAIL comes first")),
            Some(open) if open.chunked => Some(Reply::bad_sequence("BDAT has begun")),
            Some(_) => None,
        }
    }

    fn bdat(&mut self, size: u64, last: bool) -> Option<Event> {
        let Some(open) = &mut self.open else {
            let refusal = Some(Reply::bad_sequence("MAIL comes first"));
            self.phase = Phase::Chunk {
                left: size,
                last,
                refusal,
            };
            return None;
        };
        let first = !std::mem::replace(&mut open.chunked, true);
        self.phase = Phase::Chunk {
            left: size,
            last,
            refusal: None,
        };
        Some(Event::Chunk { size, last, first })
    }

    /// What needs no transport server.
    fn local(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Ehlo(name) => return self.greet(name, true),
            Command::Helo(name) => return self.greet(name, false),
            // RFC 5321 §4.1.1.5
            Command::Rset => {
                self.say(&Reply::ok("reset"));
                return self.open.take().map(|_| Event::Reset);
            }
            Command::Noop => self.say(&Reply::ok("ok")),
            Command::Vrfy(_) => {
                let text = "not verified; send mail to find out";
                self.say(&Reply::new(252, (2, 5, 2), text));
            }
            Command::Help => {
                let text = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT; RFC 5321";
                self.say(&Reply::new(214, (2, 0, 0), text));
            }
            Command::Quit => {
                self.say(&Reply::new(221, (2, 0, 0), "closing"));
                self.end();
            }
            // A front end is no peer: it holds nothing that could be asked for.
            Command::Peer(command) => self.refuse(&for_peers_only(command.verb())),
            Command::Unknown(_) => self.refuse(&Reply::new(500, (5, 5, 2), "not a command here")),
            _ => self.refuse(&Reply::new(502, (5, 5, 1), "not implemented here")),
        }
        None
    }

    /// RFC 5321 §4.1.1.1: what the transport servers behind take, without the verbs of peers.
    fn greet(&mut self, name: String, esmtp: bool) -> Option<Event> {
        let host = &self.hostname;
        let reply = if esmtp {
            let text = vec![
                format!("{host} greets {name}"),
                "PIPELINING".into(),
                format!("SIZE {}", self.max_message_size),
                "8BITMIME".into(),
                "SMTPUTF8".into(),
                "ENHANCEDSTATUSCODES".into(),
                "CHUNKING".into(),
                "BINARYMIME".into(),
                "DSN".into(),
                "HELP".into(),
            ];
            Reply::lines(250, None, text)
        } else {
            Reply::plain(250, host.as_str())
        };
        self.hello = Some((name, esmtp));
        self.say(&reply);
        self.open.take().map(|_| Event::Reset)
    }

    fn read_data(&mut self) -> Option<Event> {
        let Phase::Data(decoder) = &mut self.phase else {
            return None;
        };
        if self.input.rest().is_empty() {
            return Some(Event::NeedInput);
        }
        // TC-10: the end is what the transport server takes for it; the dots stay as they are.
        let progress = decoder.decode(self.input.rest(), |_| {});
        let octets = self.input.rest()[..progress.used].to_vec();
        self.input.consume(progress.used);
        if progress.ended {
            self.phase = Phase::Complete { last: true };
        }
        Some(Event::Content {
            octets,
            last: progress.ended,
        })
    }

    fn read_chunk(&mut self) -> Option<Event> {
        let Phase::Chunk {
            left,
            last,
            refusal,
        } = &mut self.phase
        else {
            return None;
        };
        let (last, refused) = (*last, refusal.is_some());
        let rest = self.input.rest();
        let take = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
        let octets = rest[..take].to_vec();
        *left -= take as u64;
        let complete = *left == 0;
        let refusal = if complete { refusal.take() } else { None };
        self.input.consume(take);
        if let Some(reply) = refusal {
            self.phase = Phase::Commands;
            self.refuse(&reply);
            return None;
        }
        if complete {
            self.phase = Phase::Complete { last };
        } else if take == 0 {
            return Some(Event::NeedInput);
        }
        (take > 0 && !refused).then_some(Event::Content {
            octets,
            last: complete && last,
        })
    }
}

fn is_for_peers(verb: &str) -> bool {
    matches!(
        verb,
        "XPEER" | "XSHADOW" | "XDELIVER" | "XHANDOVER" | "XQDISCARD" | "XRESUBMIT"
    )
}

fn for_peers_only(verb: &str) -> Reply {
    Reply::not_allowed(format!("{verb} is for transport servers only"))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
