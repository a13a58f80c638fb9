//! The history's vocabulary: one record per thing that happened, as seen from outside, in one order.
//!
//! Comes in: what taps, clients, sinks, faults and views saw. Goes out: `history.jsonl`, which the
//! checkers judge. A checker sees these records and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::scenario::Plan;

/// The version that this harness writes and reads.
pub const HISTORY_VERSION: u32 = 1;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position, from 0, without gaps.
    pub seq: u64,
    /// Microseconds since the run began, by the harness's one clock. Never decreases.
    pub t_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Event {
    /// The first record: everything that is needed to understand, judge and repeat the run.
    Begin {
        /// [`HISTORY_VERSION`].
        version: u32,
        /// The harness's version.
        harness: String,
        /// `sim`, `process`, …
        substrate: String,
        /// Every documented duration was divided by this (1 on `sim`).
        time_scale: u32,
        /// Deliberately broken behaviour of the nodes, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sabotage: Option<String>,
        /// The plan: the scenario with every random choice made.
        plan: Box<Plan>,
    },
    /// A step of the plan begins.
    Step {
        /// Its index in the plan.
        index: usize,
        /// In words, e.g. `crash n1 (host)`.
        text: String,
    },
    /// A phase begins.
    Phase {
        /// Which.
        phase: Phase,
    },

    /// A client begins a submission (one mail transaction).
    Submit(Submission),
    /// The client has sent the whole end-of-data: from here on the outcome can be indeterminate.
    DataSent {
        /// The submission.
        submission: u32,
    },
    /// How a submission ended, as its client saw it.
    Outcome {
        /// The submission.
        submission: u32,
        /// How.
        outcome: Outcome,
        /// The reply that decided it, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Reply>,
        /// Recipients refused at RCPT, with the reply.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        refused: BTreeMap<String, Reply>,
        /// What broke the session off, if something did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Whether the client's session could still be used after the outcome (a NOOP was answered 2xx).
    SessionUsable {
        /// The submission.
        submission: u32,
        /// It could.
        usable: bool,
    },
    /// An idle client's session ended (TO-06).
    IdleClosed {
        /// The client's link.
        link: String,
        /// The tap's number of the connection on that link, when known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<u32>,
        /// How long it had been idle when the server ended it; `None`: still open when the step gave up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_us: Option<u64>,
        /// The reply that came with it, e.g. 421.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Reply>,
    },
    /// A busy client's session ended (TO-07).
    BusyClosed {
        /// The client's link.
        link: String,
        /// The tap's number of the connection on that link, when known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<u32>,
        /// How long the session had lasted when the server ended it; `None`: still open when the step gave up, or never
        /// begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_us: Option<u64>,
        /// The longest time in which the client said nothing.
        longest_pause_us: u64,
        /// The reply that came with the end, e.g. 421.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Reply>,
    },
    /// A peer command that a client from outside gave, and its reply (peer verbs are only for peers).
    PeerVerb {
        /// The client's link.
        link: String,
        /// The command line.
        command: String,
        /// Its reply; `None`: the connection ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Reply>,
    },

    /// A tap saw something on a link's wire.
    Wire {
        /// `from>to`, e.g. `client-1>n1`, `n1>n2`, `n1>sink-1`.
        link: String,
        /// Which connection on that link, from 1.
        connection: u32,
        /// What.
        #[serde(flatten)]
        wire: Wire,
    },

    /// What an operation on a node took, as the substrate measured it.
    Measured {
        /// The node.
        node: String,
        /// What was done: `boot`, `migration`, `save`, `resume`, `shutdown`, `balloon`, `clock`.
        what: String,
        /// From its beginning until it had taken effect, microseconds.
        took_us: u64,
        /// The longest time in which the node sent nothing while it was asked to all the time, microseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blackout_us: Option<u64>,
        /// By what it is known that it took effect.
        proof: String,
    },

    /// Links run through proxies that tell nothing of what passes on them: there are no `wire` records in this run.
    Unobserved {
        /// Whose proxies they are.
        by: String,
    },

    /// Something happened within a node that no tap sees. Recorded only when a run is asked for it (`gauntlet explore`
    /// asks), or when a trigger means it.
    Local {
        /// The node.
        node: String,
        /// What.
        what: Local,
        /// The file that was synced, or the timer that fired.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },

    /// A sink took responsibility for a message (it answered 2xx, or dropped the connection after the dot).
    Delivered(Delivery),
    /// What a mailbox shows, read from the node that holds it. Records of one view replace the earlier ones.
    Mailbox {
        /// The node.
        node: String,
        /// The mailbox's address.
        mailbox: String,
        /// Every message that it shows, in the order of arrival.
        messages: Vec<MailboxMessage>,
    },
    /// What a node says of its queues, shadow queues, discard events and Safety Net.
    View {
        /// The node.
        node: String,
        /// Its view.
        view: NodeView,
    },
    /// A line of a node's message tracking log, as it was written.
    Tracking {
        /// The node.
        node: String,
        /// The line.
        entry: serde_json::Value,
    },
    /// A configuration was offered to the node's own check (TO-08).
    ConfigChecked {
        /// What was set, in documented names.
        config: BTreeMap<String, String>,
        /// It was accepted.
        accepted: bool,
        /// What the node said.
        message: String,
    },
    /// The harness, as a peer, asked a node to resubmit from its Safety Net.
    Resubmit {
        /// The node.
        node: String,
        /// The interval, microseconds of this history's clock (start, end).
        from_us: i64,
        /// End of the interval.
        to_us: i64,
        /// How many messages the node said it resubmitted; `None`: it did not answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resubmitted: Option<u64>,
    },

    /// A node's disk was copied, as it was at this moment: what a revert goes back to.
    Snapshot {
        /// The node.
        node: String,
    },
    /// A fault is about to be injected; recorded before it is.
    FaultPlanned {
        /// Number of the fault in this run, from 1.
        fault: u32,
        /// What it is.
        what: Fault,
        /// The trigger that fired it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trigger: Option<String>,
    },
    /// It took effect.
    FaultLanded {
        /// Its number.
        fault: u32,
    },
    /// It was taken back (a partition healed, a node thawed).
    FaultHealed {
        /// Its number.
        fault: u32,
    },
    /// It could not be injected.
    FaultFailed {
        /// Its number.
        fault: u32,
        /// Why.
        reason: String,
    },
    /// A node accepts mail.
    NodeUp {
        /// The node.
        node: String,
        /// How many times it has been started, from 1.
        incarnation: u32,
        /// The ID of its transport database, when it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        database: Option<String>,
    },
    /// A node could not be started.
    NodeFailed {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },

    /// The settle phase is over.
    Settled {
        /// Nothing was left to do: every queue empty, every node answering.
        quiescent: bool,
        /// What was still missing, in words.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pending: Vec<String>,
    },
    /// The last record of a run that came to its end.
    End {
        /// `completed`, `interrupted`, or what failed.
        reason: String,
    },
}

/// The phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Mail and faults, as the plan says.
    Load,
    /// Every fault is taken back; nodes that are not destroyed for good come up.
    Heal,
    /// Time runs past every retry, heartbeat and hold time.
    Settle,
    /// Views and mailboxes are read for the last time.
    Observe,
}

/// How a submission ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// 2xx after end-of-data. Only this binds the transport.
    Acked,
    /// 4xx or 5xx.
    Refused,
    /// Lost or timed out after end-of-data and before a reply.
    Indeterminate,
    /// Broke off before end-of-data.
    Unsent,
}

/// One mail transaction, as its client begins it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Submission {
    /// Number of the submission, from 1.
    pub submission: u32,
    /// Number of the message, from 1. A resend is a new submission of the same message.
    pub message: u32,
    /// 1 for the first submission of that message.
    pub attempt: u32,
    /// `client-1`…
    pub client: String,
    /// `client-1>n1`
    pub link: String,
    /// `raw` or `lettre`
    pub via: String,
    /// `EHLO` or `HELO`
    pub hello: String,
    /// Return path, without brackets; empty for `<>`.
    pub from: String,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// The Message-ID header field's value, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The Date header field's value, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Where the content came from: `generated`, or the name of an `.eml` file.
    pub content: String,
    /// The content's digest.
    pub digest: Digest,
}

/// SHA-256 of a message's two parts, in hex, and its size in octets. Trace fields on top are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Digest {
    /// Of the header section, from the first field that is no trace field, up to and with the empty line.
    pub header: String,
    /// Of the body.
    pub body: String,
    /// Octets of both.
    pub size: u64,
}

/// An SMTP reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// e.g. 250
    pub code: u16,
    /// All lines' texts, joined by a newline.
    pub text: String,
}

/// What a tap saw on one connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "wire",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Wire {
    /// A connection was opened by the link's `from`.
    Connect,
    /// …and could not be.
    ConnectFailed {
        /// e.g. `refused`, `timed out`
        error: String,
    },
    /// The server's greeting.
    Greeting {
        /// The reply.
        reply: Reply,
    },
    /// A command line went by.
    Command {
        /// In capitals: `EHLO`, `MAIL`, `XSHADOW`…
        verb: String,
        /// The whole line without CRLF, cut at 512 octets; what is not printable is escaped.
        line: String,
    },
    /// The reply to a command that is no end of data.
    Reply {
        /// The command's verb.
        verb: String,
        /// The reply.
        reply: Reply,
    },
    /// End of data: `<CRLF>.<CRLF>`, or the last octet of `BDAT … LAST`.
    EndOfData {
        /// What the transaction was for.
        kind: Transaction,
        /// The number in the message's `X-Gauntlet-Message` field, when it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<u32>,
        /// …and its attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// The transport's own ID of the message, from XSHADOW or XDELIVER, on a peer's link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport_id: Option<String>,
    },
    /// The final reply: the ack, when it is 2xx.
    FinalReply {
        /// What the transaction was for.
        kind: Transaction,
        /// The reply.
        reply: Reply,
        /// As in `end-of-data`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<u32>,
        /// As in `end-of-data`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// As in `end-of-data`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport_id: Option<String>,
    },
    /// The connection ended.
    Close {
        /// Who ended it: `client`, `server`, `tap`.
        by: String,
        /// It was a reset.
        reset: bool,
    },
}

/// What happens within a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Local {
    /// A commit of one of its databases begins.
    Commit,
    /// A file of its disk is synced.
    Sync,
    /// One of its timers has fired.
    Timer,
}

/// What a mail transaction on a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transaction {
    /// Ordinary mail.
    Mail,
    /// A shadow copy (after XSHADOW).
    Copy,
    /// Delivery to a mailbox server of the boundary (after XDELIVER).
    Deliver,
}

/// A message that a sink took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Delivery {
    /// `sink-1`
    pub sink: String,
    /// The link that it came by, `n1>sink-1`, when the sink knows it.
    pub link: String,
    /// Return path, empty for `<>`.
    pub from: String,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// The message's number, from its own header section; of a DSN, the message it reports on.
    pub message: Option<u32>,
    /// Its attempt.
    pub attempt: Option<u32>,
    /// It is a delivery status notification: for each recipient the action, e.g. `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsn: Option<BTreeMap<String, String>>,
    /// Its Message-ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The digest, trace fields on top left out.
    pub digest: Digest,
    /// Number of Received fields on top.
    pub received: u32,
    /// The sender was told (2xx); `false`: the sink dropped the connection after the dot.
    pub answered: bool,
}

/// A message that a mailbox shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MailboxMessage {
    /// When it arrived, microseconds of this history's clock.
    pub t_us: i64,
    /// Its number, from its own header section; of a DSN, the message it reports on.
    pub message: Option<u32>,
    /// Its attempt.
    pub attempt: Option<u32>,
    /// It is a DSN.
    pub dsn: bool,
    /// Return path.
    pub from: String,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Digest, trace fields on top left out.
    pub digest: Digest,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct NodeView {
    /// The transport database's ID.
    pub database: String,
    /// Why it refuses mail, when its store failed.
    pub poisoned: Option<String>,
    /// Messages in its queues.
    pub queue: Vec<Held>,
    /// Shadow messages.
    pub shadow: Vec<Held>,
    /// Primary and shadow Safety Net.
    pub safety_net: Vec<Held>,
    /// Discard events that are kept for shadow servers.
    pub discard_events: Vec<DiscardEvent>,
}

/// A message that a node holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Held {
    /// The transport's own ID: `node/database/serial`.
    pub transport_id: String,
    /// Message-ID header field.
    pub message_id: Option<String>,
    /// `primary` or `shadow` (for the Safety Net: which of the two it is).
    pub role: String,
    /// For a shadow message its primary server; for a queued one its shadow servers, joined by commas.
    pub other: String,
    /// Recipients that are not done.
    pub recipients: Vec<String>,
}

/// A discard event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiscardEvent {
    /// The shadow server it is for.
    pub server: String,
    /// The message.
    pub transport_id: String,
}
