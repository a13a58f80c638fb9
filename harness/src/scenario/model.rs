//! The scenario file's shape, and the plan's: a plan is a scenario in which every choice is made.
//!
//! Comes in: TOML ([`super::parse`]). Goes out: [`Scenario`], and from it and a seed a [`Plan`].
//! Steps are externally tagged (`[[step]]` then `crash = { node = "n1" }`), so that an error points
//! at its own line and column.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;
use crate::toxics::{Kind, Stream, Toxic};

/// A scenario file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// One line that says what happens, e.g. "The primary server is destroyed at the instant of the ack".
    pub title: String,
    /// Why the scenario is as it is; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// IDs of the guarantees that it tests.
    pub guarantees: Vec<String>,
    /// Substrates that it is meant for: `sim`, `process`.
    pub on: Vec<String>,
    /// The cluster; three nodes of one site when left out.
    #[serde(default)]
    pub cluster: Cluster,
    /// Documented parameters for every node, e.g. `ShadowHeartbeatFrequency = "2m"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Setting>,
    /// Documented parameters for one node, over those of `config`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node: BTreeMap<String, BTreeMap<String, Setting>>,
    /// Parameters and durations that differ on substrates whose time is real.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_time: Option<RealTime>,
    /// What is done, in order.
    #[serde(default)]
    pub step: Vec<Step>,
    /// Faults that are hung on events of the wire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Trigger>,
    /// Random faults and mail, drawn from the seed when the plan is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<Chaos>,
    /// How the run ends.
    #[serde(default)]
    pub settle: Settle,
}

/// What is set on substrates with real time, so that a run does not last for minutes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RealTime {
    /// Documented parameters over those of `config`, still in documented durations (before scaling).
    #[serde(default)]
    pub config: BTreeMap<String, Setting>,
}

/// A parameter's value: `true`, `4`, `"3h"`, `"PreferRemote"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Setting {
    /// A switch.
    Switch(bool),
    /// A number.
    Number(u64),
    /// A duration or a name.
    Text(String),
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cluster {
    /// Names of the nodes.
    #[serde(default = "three_nodes")]
    pub nodes: Vec<String>,
    /// The node whose mailboxes `@mailbox.example` are.
    #[serde(default = "third_node")]
    pub mailboxes: String,
    /// Those nodes that are stateless front ends: they pass mail on to the others, and hold none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub front_ends: Vec<String>,
    /// Those nodes that are 2010-style hubs. Mail for `@legacy.example` goes through them in this order, and then to the
    /// first sink.
    #[serde(default, rename = "hubs-2010", skip_serializing_if = "Vec::is_empty")]
    pub hubs_2010: Vec<String>,
    /// Sites and their nodes; one site `s1` with all of them when left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sites: BTreeMap<String, Vec<String>>,
    /// DAGs and their nodes; none when left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dags: BTreeMap<String, Vec<String>>,
    /// Sinks: next hops outside the boundary. The first one takes `@external.example`; `@<sink>.example` goes to each.
    #[serde(default = "one_sink")]
    pub sinks: Vec<String>,
    /// Distribution groups: an address, and who gets what is sent to it. All nodes know them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    /// Routes of single nodes: a domain, and for each node that knows it the host that it sends the domain's mail to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, BTreeMap<String, String>>,
}

impl Cluster {
    /// Who gets what is sent to an address: a group's members, or the address itself.
    pub fn members<'a>(&'a self, address: &'a str) -> Vec<&'a str> {
        let group = |name: &str| {
            self.groups
                .iter()
                .find(|(group, _)| group.eq_ignore_ascii_case(name))
                .map(|(_, members)| members)
        };
        let mut members: Vec<&str> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut open = vec![address];
        while let Some(name) = open.pop() {
            if seen.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                continue;
            }
            seen.push(name);
            match group(name) {
                Some(inside) => open.extend(inside.iter().map(String::as_str)),
                None => members.push(name),
            }
        }
        members
    }
}

fn three_nodes() -> Vec<String> {
    ["n1", "n2", "n3"].map(String::from).to_vec()
}

fn third_node() -> String {
    "n3".into()
}

fn one_sink() -> Vec<String> {
    vec!["sink-1".into()]
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            nodes: three_nodes(),
            mailboxes: third_node(),
            front_ends: Vec::new(),
            hubs_2010: Vec::new(),
            sites: BTreeMap::new(),
            dags: BTreeMap::new(),
            sinks: one_sink(),
            groups: BTreeMap::new(),
            routes: BTreeMap::new(),
        }
    }
}

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

fn client_1() -> String {
    "client-1".into()
}

/// A submit step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Submit {
    /// The client.
    #[serde(default = "client_1")]
    pub client: String,
    /// The node that it submits to.
    pub to: String,
    /// How many messages.
    #[serde(default = "one")]
    pub count: u32,
    /// `generated`, or a file of `suites/messages/` without `.eml`, or `all`: each of these files in turn.
    #[serde(default = "generated")]
    pub message: String,
    /// Envelope recipients: addresses, or `mailbox` (a mailbox of the cluster), `external` (beyond the boundary).
    #[serde(default = "both_recipients")]
    pub recipients: Vec<String>,
    /// The return path; empty for `<>`.
    #[serde(default = "sender")]
    pub from: String,
    /// `EHLO` or `HELO`.
    #[serde(default)]
    pub hello: Hello,
    /// Which client: our own, or lettre's. Where lettre cannot do what the step wants (HELO, BDAT, `cut`), our own takes its place, and the record says so.
    #[serde(default)]
    pub via: Via,
    /// How the content travels.
    #[serde(default)]
    pub transfer: Transfer,
    /// All messages in one session (`true`) or a session each.
    #[serde(default)]
    pub one_session: bool,
    /// How many sessions at once; with `one-session` the messages are dealt out to them.
    #[serde(default = "one")]
    pub sessions: u32,
    /// Where the client breaks off, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Octets put into the body that look like an end of data and are none, e.g. `"\n.\n"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smuggle: Option<String>,
    /// The Message-ID header field: one of its own, none, or the same for all messages of the step.
    #[serde(default)]
    pub message_id: MessageIdChoice,
    /// Goes on with the next step while these are submitted; the load phase ends after them.
    #[serde(default)]
    pub background: bool,
    /// Pause between two messages of a session; a documented duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// NOOP after each outcome, to see that the session is still usable.
    #[serde(default)]
    pub probe_session: bool,
    /// How long the client waits for a reply; its connection counts as lost after it. Default 10 min.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Span>,
}

impl Submit {
    /// One generated message from `client` to `to`, everything else as in a file that does not mention it.
    pub fn new(client: &str, to: &str) -> Self {
        Self {
            client: client.into(),
            to: to.into(),
            count: one(),
            message: generated(),
            recipients: both_recipients(),
            from: sender(),
            hello: Hello::default(),
            via: Via::default(),
            transfer: Transfer::default(),
            one_session: false,
            sessions: one(),
            cut: None,
            smuggle: None,
            message_id: MessageIdChoice::default(),
            background: false,
            every: None,
            probe_session: false,
            patience: None,
        }
    }
}

fn one() -> u32 {
    1
}

fn generated() -> String {
    "generated".into()
}

fn both_recipients() -> Vec<String> {
    vec!["mailbox".into(), "external".into()]
}

fn sender() -> String {
    "sender@external.example".into()
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

/// A resend step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resend {
    /// The client.
    #[serde(default = "client_1")]
    pub client: String,
    /// The node.
    pub to: String,
    /// Which messages: those whose last outcome is one of these. All when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<crate::history::Outcome>,
}

/// EHLO or HELO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Hello {
    /// ESMTP.
    #[default]
    #[serde(rename = "EHLO")]
    Ehlo,
    /// SMTP.
    #[serde(rename = "HELO")]
    Helo,
}

/// The client's make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Ours.
    #[default]
    Raw,
    /// lettre's.
    Lettre,
}

/// How the content travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Transfer {
    /// DATA.
    #[default]
    #[serde(rename = "DATA")]
    Data,
    /// BDAT, in chunks of 64 KiB.
    #[serde(rename = "BDAT")]
    Bdat,
}

/// Where a client breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// In the middle of the content.
    MidData,
    /// After the content, before the end of data.
    BeforeEndOfData,
    /// After the end of data, before the reply.
    AfterEndOfData,
}

/// The Message-ID field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageIdChoice {
    /// One per message.
    #[default]
    Own,
    /// The field is left out.
    None,
    /// One for all messages of the step, whose Dates differ by a second each.
    Shared,
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
    /// Takes the message, and drops the connection without a reply.
    DropAfterDot,
    /// Answers every command after this time; real time, never scaled.
    Slow(Span),
    /// Does not listen.
    Down,
}

/// A fault hung on an event of the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trigger {
    /// `LINK EVENT`, e.g. `n1>n2 copy acked`, or on `sim` `NODE EVENT`, e.g. `n1 disk sync`; see `gauntlet list faults` for
    /// the events. `*` stands for any host.
    pub when: String,
    /// The n-th such event, from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// Strikes before the octets of the event go on (`true`), or right after.
    #[serde(default)]
    pub before: bool,
    /// What is done: any fault step, `heal` or `start`.
    #[serde(rename = "do")]
    pub action: Step,
    /// Then, after this documented duration…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// …this as well (a heal, a start).
    #[serde(default, rename = "then", skip_serializing_if = "Option::is_none")]
    pub then: Option<Step>,
    /// Listens, and counts, only from the beginning of the first to the end of the second of these steps (indices from
    /// 0; background mail of them counts as long as they last). All the time when left out. It may miss its event, as in
    /// chaos and random runs, where whether and when an event comes depends on what was drawn; so as soon as any other
    /// fault of the run landed, one with `during` that never fired makes no verdict inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<[u32; 2]>,
}

/// Random mail and faults within the fault budget: one server at a time, with recovery in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chaos {
    /// Rounds of mail, fault, recovery: least and most.
    pub rounds: [u32; 2],
    /// Messages in a round: least and most.
    pub messages: [u32; 2],
    /// Kinds of fault to draw from: `process-crash`, `host-crash`, `new-database`, `freeze`, `partition`, `reset`.
    pub faults: Vec<String>,
    /// Fault and recovery are this far apart: shortest and longest.
    pub outage: [Span; 2],
    /// How many of 100 faults hang on an event of the wire; the others strike after a time.
    #[serde(default)]
    pub trigger_share_percent: u32,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settle {
    /// Longest time after healing until everything must be at rest.
    #[serde(default = "settle_default")]
    pub at_most: Span,
    /// Crashed nodes are started again, frozen ones thawed, the network healed. `false`: only what the steps say.
    #[serde(default = "yes")]
    pub heal: bool,
}

fn settle_default() -> Span {
    Span::from_secs(8 * 3600)
}

fn yes() -> bool {
    true
}

impl Default for Settle {
    fn default() -> Self {
        Self {
            at_most: settle_default(),
            heal: true,
        }
    }
}

/// A scenario in which every choice is made: what a run executes, and what `replay` repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// The scenario's ID: its file name without `.toml`.
    pub id: String,
    /// The suite it stands in.
    pub suite: String,
    /// The seed.
    pub seed: u64,
    /// The scenario; `chaos` is spelled out in its steps and faults.
    pub scenario: Scenario,
}
