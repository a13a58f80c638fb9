//! The steps of a scenario: what is done, in order.
//!
//! Steps are externally tagged (`[[step]]` then `crash = { node = "n1" }`), so that an error points at its own line and
//! column.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Resend, Setting, Span, Submit, submit::client_1};
use crate::toxics::{Kind, Stream, Toxic};

/// One thing that is done. Steps are done in order; each ends before the next begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Step {
    /// A client submits mail, and waits for the outcome of each.
    Submit(Submit),
    /// A client sends messages of an earlier submit step again, byte for byte.
    Resend(Resend),
    /// Time passes.
    Wait {
        /// How long, a documented duration.
        #[serde(rename = "for")]
        duration: Span,
    },
    /// Until nothing is queued and no shadow is held anywhere, or a time has passed.
    WaitQuiet {
        /// At most this long.
        #[serde(rename = "at-most")]
        at_most: Span,
    },
    /// The node's process or host ends at once.
    Crash {
        /// The node.
        node: String,
        /// What ends.
        #[serde(default)]
        kind: CrashKind,
    },
    /// The node is started (again).
    Start {
        /// The node.
        node: String,
        /// With which transport database.
        #[serde(default)]
        database: Database,
    },
    /// The node and its disk are lost; `start` brings it back empty. Never healed by itself.
    Destroy {
        /// The node.
        node: String,
    },
    /// The node stops in the middle of whatever it does.
    Freeze {
        /// The node.
        node: String,
    },
    /// …and goes on.
    Thaw {
        /// The node.
        node: String,
    },
    /// The node's disk is copied as it is on the platter now.
    Snapshot {
        /// The node.
        node: String,
    },
    /// The node ends, its disk goes back to the snapshot, and it starts.
    Revert {
        /// The node.
        node: String,
    },
    /// The node's disk is full from now on: what is there stays, and can be overwritten, but nothing grows.
    FillDisk {
        /// The node.
        node: String,
    },
    /// …and has room again.
    FreeDisk {
        /// The node.
        node: String,
    },
    /// The node's disk begins to fail: nothing can be written to it any more, and what was not synced is lost.
    ReadOnlyDisk {
        /// The node.
        node: String,
    },
    /// …and is repaired: the node ends, its file system is checked and mounted anew, and the node starts.
    RepairDisk {
        /// The node.
        node: String,
    },
    /// The node's wall clock is wrong from now on. Its monotonic clock is not touched.
    JumpClock(JumpClock),
    /// …and is right again.
    CorrectClock {
        /// The node.
        node: String,
    },
    /// The node gets only a part of one processor from now on.
    StarveCpu {
        /// The node.
        node: String,
        /// How many hundredths of one processor: 1 to 99.
        percent: u32,
    },
    /// …and as much as it wants again.
    FeedCpu {
        /// The node.
        node: String,
    },
    /// The node's memory and disk are saved, and it stops: its connections are dead for the others.
    Save {
        /// The node.
        node: String,
    },
    /// A saved node goes on from exactly where it was saved.
    Resume {
        /// The node.
        node: String,
        /// Its wall clock.
        #[serde(default)]
        clock: ResumedClock,
    },
    /// The node moves to another host while it runs, with its memory and the state of its devices; its connections go on.
    Migrate {
        /// The node.
        node: String,
    },
    /// The node is shut down in an orderly way: its service is stopped, its file systems are unmounted; `start` boots it.
    Shutdown {
        /// The node.
        node: String,
    },
    /// So much memory is taken from the node while it works.
    Balloon {
        /// The node.
        node: String,
        /// How much: megabytes (1024 × 1024 octets).
        megabytes: u32,
    },
    /// …and is given back.
    Deflate {
        /// The node.
        node: String,
    },
    /// Nothing passes between two hosts.
    Partition(Partition),
    /// Octets on a link arrive later.
    Delay {
        /// `from>to`
        link: String,
        /// By how much; real time on every substrate, never scaled.
        latency: Span,
    },
    /// Octets on a link vanish for good.
    BlackHole {
        /// `from>to`
        link: String,
        /// Only in this direction; both when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
    },
    /// A link's open connections are reset.
    Reset {
        /// `from>to`
        link: String,
    },
    /// A toxic works on a link, as in Toxiproxy.
    Toxic(ToxicStep),
    /// A link refuses connections, and its open ones are reset.
    Down {
        /// `from>to`
        link: String,
    },
    /// The next reply on a link is garbled: its code becomes three letters.
    Garble {
        /// `from>to`
        link: String,
    },
    /// The next reply on a link is held up, and what follows it on its connection.
    DelayReply {
        /// `from>to`
        link: String,
        /// For how long; real time on every substrate, never scaled.
        latency: Span,
    },
    /// Takes back every fault of the network but resets (between two hosts, or all when left out).
    Heal {
        /// One host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<String>,
        /// The other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        b: Option<String>,
    },
    /// A sink behaves differently from now on.
    Sink {
        /// The sink.
        sink: String,
        /// How.
        behaviour: SinkBehaviour,
        /// Only for the next so many messages; for good when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u32>,
    },
    /// A client says hello and then nothing, until the server ends the session.
    Idle {
        /// The client.
        #[serde(default = "client_1")]
        client: String,
        /// The node.
        to: String,
        /// Gives up after this time.
        #[serde(rename = "at-most")]
        at_most: Span,
    },
    /// A client always has something to say, until the server ends the session.
    Busy(Busy),
    /// A client from outside gives peer commands.
    PeerVerbs {
        /// The client.
        #[serde(default = "client_1")]
        client: String,
        /// The node.
        to: String,
    },
    /// Views and mailboxes are read into the history now (they always are at the end).
    Observe {},
    /// The harness, as a peer, asks for a resubmission from a node's Safety Net.
    Resubmit {
        /// The node.
        node: String,
        /// From how long ago…
        from: Span,
        /// …to how long ago.
        to: Span,
    },
    /// A configuration is offered to the node's own check.
    CheckConfig {
        /// Documented parameters.
        config: BTreeMap<String, Setting>,
    },
}

/// A busy step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Busy {
    /// The client.
    #[serde(default = "client_1")]
    pub client: String,
    /// The node.
    pub to: String,
    /// What it says.
    #[serde(default)]
    pub with: BusyWith,
    /// Pause between two things that it says; a documented duration, well below ConnectionInactivityTimeout.
    #[serde(default = "ten_seconds")]
    pub every: Span,
    /// Gives up after this time.
    pub at_most: Span,
}

fn ten_seconds() -> Span {
    Span::from_secs(10)
}

/// What a busy client says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BusyWith {
    /// NOOP.
    #[default]
    Noop,
    /// One more line of a message that never ends.
    Data,
}

/// What a crash ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// The process: what it wrote stays, its peers get a reset.
    #[default]
    Process,
    /// The host: what was not synced is gone, its peers hear nothing.
    Host,
}

/// Which transport database a node starts with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Database {
    /// The one on its disk.
    #[default]
    Same,
    /// A new one; the mailboxes stay.
    New,
}

/// The wall clock of a node that goes on from a saved state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResumedClock {
    /// It is set right at once.
    #[default]
    Corrected,
    /// It goes on from the saved moment, until a `resume` with `corrected`, or the end of the steps.
    Stale,
}

/// A jump-clock step: `ahead` or `back`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JumpClock {
    /// The node.
    pub node: String,
    /// So far ahead of a clock that is right; a documented duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Span>,
    /// So far behind it; a documented duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Span>,
}

impl JumpClock {
    /// Documented milliseconds, negative when the clock goes back.
    pub fn offset_ms(&self) -> i64 {
        let ms = |span: Option<Span>| {
            span.map_or(0, |span| {
                i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX)
            })
        };
        ms(self.ahead).saturating_sub(ms(self.back))
    }
}

/// A partition step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Partition {
    /// One host: a node, a client, a sink.
    pub a: String,
    /// The other.
    pub b: String,
    /// Only what goes from `a` to `b` is held back.
    #[serde(default)]
    pub one_way: bool,
}

/// A toxic step: type, attributes and units are Toxiproxy's, and real time on every substrate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToxicStep {
    /// `from>to`
    pub link: String,
    /// `latency`, `bandwidth`, `slow_close`, `timeout`, `reset_peer`, `slicer`, `limit_data`
    #[serde(rename = "type")]
    pub type_name: String,
    /// The direction.
    #[serde(default)]
    pub stream: Stream,
    /// The share of connections that it works on, 0 to 1.
    #[serde(default = "every_connection")]
    pub toxicity: f32,
    /// `<type>_<stream>` when left out; a link has one toxic of a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Those of the type; 0 when left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, u64>,
}

fn every_connection() -> f32 {
    1.0
}

impl ToxicStep {
    /// The toxic.
    ///
    /// # Errors
    /// There is no such type, or it has no such attribute.
    pub fn toxic(&self) -> Result<Toxic, String> {
        let mut kind = Kind::of_type(&self.type_name)
            .ok_or_else(|| format!("there is no toxic `{}`", self.type_name))?;
        kind.set(&self.attributes)
            .map_err(|error| error.to_string())?;
        let toxic = Toxic::new(kind, self.stream);
        Ok(Toxic {
            name: self.name.clone().unwrap_or_else(|| toxic.name.clone()),
            toxicity: self.toxicity,
            ..toxic
        })
    }
}

/// How a sink answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum SinkBehaviour {
    /// 250.
    Accept,
    /// This code (4yz) after end-of-data.
    Defer(u16),
    /// This code (5yz) to every RCPT.
    Refuse(u16),
    /// 550 to RCPT of this address alone; every other recipient is taken.
    RefuseRecipient(String),
    /// Takes the message, and drops the connection without a reply.
    DropAfterDot,
    /// Answers every command after this time; real time, never scaled.
    Slow(Span),
    /// Does not listen.
    Down,
}
