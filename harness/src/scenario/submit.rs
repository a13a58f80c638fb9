//! What clients hand in, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

pub(super) fn client_1() -> String {
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
    /// `generated`, or a file of `suites/messages/` without `.eml`, or `all`: each of these files in turn;
    /// or `looped`: generated, with the Received fields of a message that has gone round for long.
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
    /// A client that finds nobody listening tries again until somebody answers, for as long as its patience lasts; every 50 ms
    /// of real time, on `sim` every 5 s.
    #[serde(default)]
    pub redial: bool,
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
            redial: false,
            patience: None,
        }
    }
}

pub(super) fn one() -> u32 {
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
