//! The receiving session: no IO, no clock (RFC 5321 §3, §4).
//!
//! Comes in: a client's octets, and the driver's answers. Goes out: the octets to write, and events that
//! ask the driver: is this recipient acceptable, here is a message, here is a peer's verb.
//!
//! The driver's loop is: [`Session::next`]; on [`Event::NeedInput`] write the output, read, and call
//! [`Session::receive`] or [`Session::receive_end`]; on an event that asks, do the work and answer; on
//! [`Event::Closed`] write the output and close. Between an event that asks and its answer
//! [`Session::next`] must not be called (a debug assertion; a release build says `NeedInput`);
//! [`Session::receive`] and [`Session::receive_end`] may be. Replies to pipelined commands collect in
//! the output (RFC 2920 §3.2).

mod commands;
pub(crate) mod input;
mod model;
mod transfer;

use std::sync::Arc;

use self::input::Input;
use self::transfer::{Chunk, Mail};
use super::command::PeerCommand;
use super::data::Decoder;
use super::parameter::{MailFrom, RcptTo};
use super::reply::Reply;
use crate::sabotage::{self, Sabotage};

pub use self::model::{Event, Kind, Peer, SessionConfig, Transaction};

/// One receiving session.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    input: Input,
    /// The client sends nothing more.
    input_ended: bool,
    output: Vec<u8>,
    phase: Phase,
    owed: Option<Owed>,
    hello: Option<Hello>,
    peer: Peer,
    kind: Kind,
    /// XSHADOW or XDELIVER failed: what follows it in a pipeline is no submission.
    kind_refused: bool,
    mail: Option<Mail>,
    errors: u32,
    messages: u32,
}

/// What the next octets are.
#[derive(Debug)]
enum Phase {
    Commands,
    Data(Decoder),
    Chunk(Chunk),
    Ended,
}

/// The answer that the driver owes.
#[derive(Debug)]
enum Owed {
    Rcpt(RcptTo),
    Message { smtputf8: bool },
    Peer(PeerCommand),
}

#[derive(Debug)]
struct Hello {
    name: String,
    esmtp: bool,
}

impl Session {
    /// A new session; the greeting is in the output.
    pub fn new(config: Arc<SessionConfig>) -> Self {
        let mut output = Vec::new();
        // RFC 5321 §4.2: the greeting has the server's name, and no enhanced code (RFC 2034 §4).
        Reply::plain(220, format!("{} ESMTP", config.hostname)).write(&mut output);
        Self {
            config,
            input: Input::default(),
            input_ended: false,
            output,
            phase: Phase::Commands,
            owed: None,
            hello: None,
            peer: Peer::Outside,
            kind: Kind::Mail,
            kind_refused: false,
            mail: None,
            errors: 0,
            messages: 0,
        }
    }

    /// Takes octets from the client and keeps what it cannot use yet.
    pub fn receive(&mut self, octets: &[u8]) {
        if !matches!(self.phase, Phase::Ended) {
            self.input.push(octets);
        }
    }

    /// The client sends nothing more: it half-closed, or is gone. Complete commands, and a message whose
    /// end of data has arrived, are still handled.
    pub fn receive_end(&mut self) {
        self.input_ended = true;
    }

    /// Drives the machine until it needs its driver.
    #[expect(
        clippy::should_implement_trait,
        reason = "events have no end of their own"
    )]
    pub fn next(&mut self) -> Event {
        debug_assert!(self.owed.is_none(), "an answer is owed: {:?}", self.owed);
        if self.owed.is_some() {
            return Event::NeedInput;
        }
        loop {
            let step = match self.phase {
                Phase::Ended => return Event::Closed,
                Phase::Commands => self.read_command(),
                Phase::Data(_) => self.read_data(),
                Phase::Chunk(_) => self.read_chunk(),
            };
            match step {
                Step::Again => {}
                Step::Ask(event) => return event,
                Step::Starved if self.input_ended => self.end(),
                Step::Starved => return Event::NeedInput,
            }
        }
    }

    /// The octets to write; the driver removes what it wrote.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Takes the octets to write.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Answers [`Event::Rcpt`].
    pub fn answer_rcpt(&mut self, reply: Result<(), Reply>) {
        let Some(Owed::Rcpt(to)) = self.owed.take_if(|owed| matches!(owed, Owed::Rcpt(_))) else {
            return;
        };
        let keep =
            reply.is_ok() || sabotage::active(self.config.sabotage, Sabotage::DeliverRefused);
        // TC-11
        if let Some(mail) = self.mail.as_mut().filter(|_| keep) {
            mail.recipients.push(to);
        }
        self.say(
            &reply
                .err()
                .unwrap_or_else(|| Reply::new(250, (2, 1, 5), "recipient ok")),
        );
    }

    /// Answers [`Event::Message`]. The session goes on, whatever the answer is (SC-03).
    pub fn answer_message(&mut self, reply: Reply) {
        if self
            .owed
            .take_if(|owed| matches!(owed, Owed::Message { .. }))
            .is_some()
        {
            self.say(&reply);
        }
    }

    /// Answers [`Event::Peer`]. After a positive answer to XSHADOW, XDELIVER or XHANDOVER the next transaction is of
    /// that kind; after a negative one MAIL is refused until RSET or EHLO.
    pub fn answer_peer(&mut self, reply: Reply) {
        let Some(Owed::Peer(command)) = self.owed.take_if(|owed| matches!(owed, Owed::Peer(_)))
        else {
            return;
        };
        let kind = match command {
            PeerCommand::Xshadow {
                transport_id,
                submit_time,
                mark,
            } => Some(Kind::Copy {
                transport_id,
                submit_time,
                mark,
            }),
            PeerCommand::Xdeliver {
                transport_id,
                submit_time,
            } => Some(Kind::Deliver {
                transport_id,
                submit_time,
            }),
            PeerCommand::Xhandover { submit_time } => Some(Kind::Handover { submit_time }),
            _ => None,
        };
        if let Some(kind) = kind {
            self.kind_refused = !reply.is_positive();
            self.kind = if reply.is_positive() {
                kind
            } else {
                Kind::Mail
            };
        }
        self.say(&reply);
    }

    /// XPEER succeeded. Call before [`Session::answer_peer`].
    pub fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Who the client is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Ends the session with that 421: timeouts (TO-06, TO-07), shutdown. An answer that is owed is owed
    /// no more, and is ignored when it comes.
    pub fn shut_down(&mut self, reply_421: Reply) {
        if !matches!(self.phase, Phase::Ended) {
            reply_421.write(&mut self.output);
            self.end();
        }
    }

    /// Ends the session without a word: an answer that is owed cannot be given.
    pub fn break_off(&mut self) {
        self.end();
    }

    /// MAIL was accepted, and the transaction has not ended: up to the answer to its message.
    pub fn in_transaction(&self) -> bool {
        self.mail.is_some() || matches!(self.owed, Some(Owed::Message { .. }))
    }

    /// What the current or next transaction is for (tells [`Event::Rcpt`]s apart).
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The return path of the current transaction, up to its message.
    pub fn mail_from(&self) -> Option<&MailFrom> {
        self.mail.as_ref().map(|mail| &mail.from)
    }

    /// The name given in HELO or EHLO; empty before.
    pub fn client_name(&self) -> &str {
        self.hello.as_ref().map_or("", |hello| &hello.name)
    }

    /// For a trace field's `with`: `SMTP`, `ESMTP` (RFC 5321 §4.4), `UTF8SMTP` (RFC 6531 §4.3).
    pub fn protocol(&self) -> &'static str {
        let smtputf8 = match self.owed {
            Some(Owed::Message { smtputf8 }) => smtputf8,
            _ => self.mail.as_ref().is_some_and(|mail| mail.from.smtputf8),
        };
        match (self.esmtp(), smtputf8) {
            (false, _) => "SMTP",
            (true, false) => "ESMTP",
            (true, true) => "UTF8SMTP",
        }
    }

    fn esmtp(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.esmtp)
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.owed = None;
        self.mail = None;
        self.input.clear();
    }

    /// RFC 5321 §4.1.1.5: RSET's effect.
    fn reset(&mut self) {
        self.mail = None;
        self.kind = Kind::Mail;
        self.kind_refused = false;
    }

    /// RFC 5321 §3.8: a 421, whoever says it, ends the session.
    fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
        if reply.code == 421 {
            self.end();
        }
    }

    /// Answers a bad command; after too many of them the session ends.
    fn refuse(&mut self, reply: Reply) {
        self.errors = self.errors.saturating_add(1);
        if self.errors > self.config.max_errors {
            self.say(&Reply::new(
                421,
                (4, 7, 0),
                "too many bad commands, closing",
            ));
        } else {
            self.say(&reply);
        }
    }

    /// The largest content in octets; 0 for no limit.
    fn limit(&self) -> u64 {
        match (self.config.max_message_size, &self.peer) {
            (0, _) => 0,
            (most, Peer::Server(_)) => most.saturating_add(TRACE),
            (most, Peer::Outside | Peer::Operator) => most,
        }
    }

    fn too_big(&self, octets: u64) -> bool {
        self.limit() != 0 && octets > self.limit()
    }
}

/// Octets that a peer's message may have above the limit: its trace field was not there when it was taken.
const TRACE: u64 = 64 * 1024;

/// What a step of the machine came to.
#[derive(Debug)]
enum Step {
    /// Go on.
    Again,
    /// The driver is asked.
    Ask(Event),
    /// The input does not suffice.
    Starved,
}

/// RFC 1870 §6
pub(crate) fn too_big() -> Reply {
    Reply::new(
        552,
        (5, 3, 4),
        "the message is bigger than this server takes",
    )
}

#[cfg(test)]
mod tests;
