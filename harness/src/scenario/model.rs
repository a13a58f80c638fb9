//! The scenario file's shape, and the plan's: a plan is a scenario in which every choice is made.
//!
//! Comes in: TOML ([`super::parse`]). Goes out: [`Scenario`], and from it and a seed a [`Plan`].
//! Its steps are [`Step`]s.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, Step, submit::one};

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
    /// Substrates that it is meant for: `sim`, `process`, `container`. What is meant for `process` is for `container`, too.
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
    /// Strikes again at every so many further events: with `nth = 5` and `every = 20` at the 5th, 25th, 45th… Once when left
    /// out. What it strikes must be up again by then: a crash of a node that is down cannot be injected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
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
