//! The target file's shape. docs/targets.md describes it for its writers, `gauntlet schema target` for their editors.
//!
//! Comes in: TOML ([`parse`](super::parse())). Goes out: [`Target`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, words};

/// A target file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// What it is called: `postfix`.
    pub name: words::Name,
    /// What it is, in a line: "Postfix 3.7 of Debian 12".
    pub title: String,
    /// What a reader of a certificate should know of it: settings that differ from the usual ones, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is to the harness: a mail transfer agent with one smart host, when left out.
    #[serde(default)]
    pub node: NodeKind,
    /// What it claims. Guarantees of other groups are not tested on it.
    pub capabilities: Vec<Capability>,
    /// SMTP extensions that it claims, as EHLO keywords: `SMTPUTF8`, `CHUNKING`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Where its image comes from.
    pub image: Image,
    /// Where it takes mail.
    #[serde(default)]
    pub smtp: Smtp,
    /// How it is told where all mail goes.
    #[serde(default)]
    pub smart_host: SmartHost,
    /// Where it keeps mail.
    pub spool: Spool,
    /// Its queue.
    #[serde(default)]
    pub queue: Queue,
    /// How it says what version it is.
    #[serde(default)]
    pub version: Version,
    /// How mail that it hands over is seen.
    #[serde(default)]
    pub delivery: Delivery,
    /// Durations that it is configured with.
    #[serde(default)]
    pub durations: Configured,
    /// Limits that it is configured with.
    #[serde(default)]
    pub limits: Limits,
    /// Its time.
    #[serde(default)]
    pub time: TimeScale,
    /// What its container needs beyond the usual.
    #[serde(default)]
    pub container: Container,
    /// The files beside it.
    #[serde(skip, default = "nowhere")]
    #[schemars(skip)]
    pub(crate) context: Context,
}

fn nowhere() -> Context {
    Context::Directory(".".into())
}

impl Target {
    /// It claims this.
    pub fn claims(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// It is one of the reference cluster's nodes, which the harness configures and looks into.
    pub fn is_reference_node(&self) -> bool {
        self.node == NodeKind::ReferenceNode
    }

    /// The files beside the target file.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

/// What a target is to the harness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// A mail transfer agent that stands alone and sends everything to one smart host. All that the harness knows of it
    /// passes on its connections.
    #[default]
    MailTransferAgent,
    /// A node of the reference cluster: the harness writes its configuration file, with any number of peers and routes.
    ReferenceNode,
}

/// A group of guarantees that a target claims to keep.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// TC: what it acknowledged it delivers, whatever happens to it; no more copies than needed; nothing else.
    TransportCore,
    /// SC, TO, HB, RO, DD: a copy of each message on another server before the acknowledgement.
    ShadowRedundancy,
    /// SN: what was delivered is kept for a while, and delivered again on demand.
    SafetyNet,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TransportCore, Self::ShadowRedundancy, Self::SafetyNet];

    /// As the target file has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TransportCore => "transport-core",
            Self::ShadowRedundancy => "shadow-redundancy",
            Self::SafetyNet => "safety-net",
        }
    }

    /// The areas of its guarantees' IDs.
    pub const fn areas(self) -> &'static [&'static str] {
        match self {
            Self::TransportCore => &["TC"],
            Self::ShadowRedundancy => &["SC", "TO", "HB", "RO", "DD", "VZ"],
            Self::SafetyNet => &["SN"],
        }
    }
}

/// Where the image comes from: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// It is built from this file, in the directory of the target file, which is its context. `ARG BASE` in it is the
    /// image to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// It is there already, or can be pulled: `registry.example/mta:1.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Where it takes mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Smtp {
    /// The port in the container.
    pub port: u16,
    /// It greets with `220` within this time of its start. Nothing less counts as ready.
    pub ready_within: words::Duration,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            port: 25,
            ready_within: words::Duration(std::time::Duration::from_secs(60)),
        }
    }
}

/// How a target is told where all mail goes. `{smart-host}` and `{smart-port}` stand for an IPv4 address and a port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SmartHost {
    /// In environment variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, words::Template>,
    /// In arguments of the image's entry point, in place of those that the image has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<words::Template>,
}

/// Where a target keeps mail that it has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spool {
    /// The directory in the container. It begins with what the image has there, with owners and permissions.
    pub path: words::ContainerPath,
    /// The directory's owner, as a number, where the image has no such directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// …its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// …and its permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<words::Mode>,
}

/// A target's queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Queue {
    /// Prints how many messages are queued, as a number on the first line. Without it the harness knows only what has
    /// arrived, and waits longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<words::Program>,
    /// Lets it try all that is queued, now. With it the harness does so every `durations.retry`, as an operator without a
    /// retry setting would by cron.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<words::Program>,
}

/// How a target says what version it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Version {
    /// Prints it; the first line that is not empty counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<words::Program>,
}

/// How the mail that a target hands over is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Delivery {
    /// Where it goes.
    pub to: DeliveryTo,
}

/// Where a target's mail goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryTo {
    /// By SMTP to the smart host, which is the harness.
    #[default]
    SmartHost,
}

/// Durations that a target is configured with: real ones, not scaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Configured {
    /// What could not be delivered is tried again after at most this time.
    pub retry: words::Duration,
    /// What could not be delivered for this long goes back to its sender.
    pub bounce: words::Duration,
}

impl Default for Configured {
    fn default() -> Self {
        Self {
            retry: words::Duration(std::time::Duration::from_secs(2)),
            bounce: words::Duration(std::time::Duration::from_secs(3600)),
        }
    }
}

/// Limits that a target is configured with; those left out are not tested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// It takes a message with more `Received` fields than this for a loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop_count: Option<u32>,
    /// The largest message that it takes, in octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_size_octets: Option<u64>,
    /// So many sessions at once are served; more are never opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
}

/// How a target's time relates to the documented one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TimeScale {
    /// Documented durations of scenarios are divided by this, unless `--time-scale` says otherwise.
    pub scale: u32,
}

impl Default for TimeScale {
    fn default() -> Self {
        Self { scale: 600 }
    }
}

/// What a target's container needs beyond the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Container {
    /// Environment variables besides those of `smart-host`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Its hostname; the node's name when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}
