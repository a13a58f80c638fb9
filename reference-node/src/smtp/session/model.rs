//! A receiving session's vocabulary: what it is configured with, what it asks its driver.

use super::super::command::PeerCommand;
use super::super::data::BareLineEnds;
use super::super::parameter::{MailFrom, RcptTo};
use crate::sabotage::Sabotage;
use crate::shadow::mark::Mark;

/// A session's limits and names.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The server's name in greeting and EHLO reply.
    pub hostname: String,
    /// The largest content in octets (RFC 1870); 0 for no limit.
    pub max_message_size: u64,
    /// The most recipients of one transaction (at least 100: RFC 5321 §4.5.3.1.8).
    pub max_recipients: usize,
    /// The longest command line in octets, CRLF counted (at least 512: RFC 5321 §4.5.3.1.4).
    pub max_line: usize,
    /// So many bad commands are answered; the next one ends the session with 421.
    pub max_errors: u32,
    /// So many messages are taken; the next MAIL ends the session with 421.
    pub max_messages: Option<u32>,
    /// What to do with a CR or LF of its own in content.
    pub bare_line_ends: BareLineEnds,
    /// The nonce in the EHLO reply's `XPEER` line, new in each session; empty: no XPEER here.
    pub peer_nonce: String,
    /// XSHADOW stands in the EHLO reply, and peers may name their shadow in MAIL: a 2010-style hub.
    pub xshadow: bool,
    /// A deliberately broken behaviour.
    pub sabotage: Option<Sabotage>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            max_message_size: 35 * 1024 * 1024,
            max_recipients: 1000,
            max_line: 2048,
            max_errors: 20,
            max_messages: None,
            bare_line_ends: BareLineEnds::Accept,
            peer_nonce: String::new(),
            xshadow: false,
            sabotage: None,
        }
    }
}

/// Who the client is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Peer {
    /// Nobody that proved a name.
    #[default]
    Outside,
    /// The node of that name.
    Server(String),
    /// A tool: may only use XRESUBMIT.
    Operator,
}

impl Peer {
    /// Whether the verb is open to this client (`PROTOCOL.md`).
    pub(super) fn may(&self, command: &str) -> bool {
        match self {
            Self::Server(_) => true,
            Self::Operator => matches!(command, "XPEER" | "XRESUBMIT"),
            Self::Outside => command == "XPEER",
        }
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kind {
    /// A submission: this node becomes primary server.
    #[default]
    Mail,
    /// A shadow copy (XSHADOW).
    Copy {
        /// The message's name.
        transport_id: String,
        /// Milliseconds since the Unix epoch.
        submit_time: u64,
        /// Where the message stands in the log of the primary server that sends it.
        mark: Option<Mark>,
    },
    /// A delivery to this node's mailboxes (XDELIVER).
    Deliver {
        /// The message's name.
        transport_id: String,
        /// Milliseconds since the Unix epoch.
        submit_time: u64,
    },
    /// Mail from another boundary (XHANDOVER): this node becomes primary server.
    Handover {
        /// Milliseconds since the Unix epoch.
        submit_time: u64,
    },
}

/// A complete mail transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// What it is for.
    pub kind: Kind,
    /// The return path.
    pub from: MailFrom,
    /// The accepted recipients, at least one.
    pub recipients: Vec<RcptTo>,
    /// The content, dots unstuffed.
    pub content: Vec<u8>,
    /// The name that the client gave in HELO or EHLO.
    pub helo: String,
    /// It said EHLO.
    pub esmtp: bool,
}

/// What the driver has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Write the output, then read.
    NeedInput,
    /// Is this recipient acceptable? [`Session::answer_rcpt`](super::Session::answer_rcpt) is owed.
    Rcpt(RcptTo),
    /// The message is complete. [`Session::answer_message`](super::Session::answer_message) is owed.
    Message(Box<Transaction>),
    /// A peer's verb. [`Session::answer_peer`](super::Session::answer_peer) is owed.
    Peer(PeerCommand),
    /// Write the output, then close.
    Closed,
}
