//! The node's configuration file: TOML, in the documented names and durations.
//!
//! Comes in: text. Goes out: a validated [`Config`], or a [`ConfigError`] that shows the place.
//! Called by `main` and by whoever embeds a node.

use std::{path::PathBuf, sync::Arc, time::Duration};

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::Deserialize;

use crate::{groups::Groups, sabotage::Sabotage};

mod boundary;
mod parse;
mod role;
#[cfg(test)]
mod tests;

pub use role::{Compatibility, Role};

/// Why a configuration was refused. Shows file, line and column when rendered by miette.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct ConfigError {
    message: String,
    #[source_code]
    source_code: Arc<NamedSource<String>>,
    #[label("here")]
    place: Option<SourceSpan>,
    #[help]
    help: Option<String>,
}

/// A node's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name in its organization, e.g. `n1`.
    pub name: String,
    /// Directory of its databases and its tracking log.
    pub data: PathBuf,
    /// Address that it receives mail on.
    pub listen: String,
    /// Address of the read-only HTTP endpoint (loopback only); none when left out.
    pub http: Option<String>,
    /// What it is.
    pub role: Role,
    /// The documents that it behaves by.
    pub compatibility: Compatibility,
    /// The organization's secret, by which peers know one another. A front end is no peer: it may be empty there.
    pub secret: String,
    /// Deliberately broken behaviour (feature `sabotage` only).
    pub sabotage: Option<Sabotage>,
    /// Transport parameters.
    pub transport: Transport,
    /// The receiving side.
    pub receive: ReceiveConnector,
    /// The sending side.
    pub send: SendConnector,
    /// Every server of the organization, this node included.
    pub servers: Vec<Server>,
    /// Where mail goes, by domain.
    pub routes: Vec<Route>,
    /// Distribution groups.
    pub groups: Groups,
}

/// Where the copy of a message may be made (SC-05 to SC-07).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ShadowPreference {
    /// Remote sites first, then the local site.
    #[default]
    PreferRemote,
    /// Remote sites only.
    RemoteOnly,
    /// The local site only.
    LocalOnly,
}

/// Transport parameters: documented names in the file, documented defaults.
#[derive(Debug, Clone)]
pub struct Transport {
    /// ShadowRedundancyEnabled, default true.
    pub shadow_redundancy_enabled: bool,
    /// RejectMessageOnShadowFailure, default false.
    pub reject_message_on_shadow_failure: bool,
    /// ShadowMessagePreferenceSetting, default PreferRemote.
    pub shadow_message_preference_setting: ShadowPreference,
    /// MaxRetriesForRemoteSiteShadow: attempts in remote sites, default 4.
    pub max_retries_for_remote_site_shadow: u32,
    /// MaxRetriesForLocalSiteShadow: attempts in the local site, default 2.
    pub max_retries_for_local_site_shadow: u32,
    /// ShadowHeartbeatFrequency, default 2 min.
    pub shadow_heartbeat_frequency: Duration,
    /// ShadowResubmitTimeSpan, default 3 h.
    pub shadow_resubmit_time_span: Duration,
    /// ShadowMessageAutoDiscardInterval, default 2 d.
    pub shadow_message_auto_discard_interval: Duration,
    /// SafetyNetHoldTime, default 2 d.
    pub safety_net_hold_time: Duration,
    /// MessageExpirationTimeout, default 2 d.
    pub message_expiration_timeout: Duration,
    /// DelayNotificationTimeout, default 4 h.
    pub delay_notification_timeout: Duration,
    /// ShadowCopyTimeout (ours): the longest that one attempt to make a copy may take, default 1 min.
    pub shadow_copy_timeout: Duration,
    /// TransientFailureRetryInterval: pause after each of the first failures of a next hop, default 5 min.
    pub transient_failure_retry_interval: Duration,
    /// TransientFailureRetryCount: how many failures that holds for, default 6.
    pub transient_failure_retry_count: u32,
    /// OutboundConnectionFailureRetryInterval: pause after the further ones, default 10 min.
    pub outbound_connection_failure_retry_interval: Duration,
    /// StateRegressionDetection (ours): a server whose database went back to an earlier state is noticed (HB-13),
    /// default true.
    pub state_regression_detection: bool,
    /// MaxHopCount (ours): Received fields above which a message loops, default 100 (RFC 5321 §6.3).
    pub max_hop_count: u32,
}

/// The receive connector.
#[derive(Debug, Clone)]
pub struct ReceiveConnector {
    /// ConnectionInactivityTimeout: default 5 min (mailbox), 1 min (edge).
    pub inactivity_timeout: Duration,
    /// ConnectionTimeout: default 10 min (mailbox), 5 min (edge).
    pub connection_timeout: Duration,
    /// MaxMessageSize: octets, default 100 MiB.
    pub max_message_size: u64,
    /// MaxRecipientsPerMessage, default 1000.
    pub max_recipients: usize,
    /// MaxConnections: sessions at once, default 5000.
    pub max_connections: usize,
    /// MaxAcknowledgementDelay: how long a 2010-style hub holds an ack back (SC-19), default 30 s.
    pub max_acknowledgement_delay: Duration,
}

/// The send connector.
#[derive(Debug, Clone)]
pub struct SendConnector {
    /// ConnectionInactivityTimeOut, default 10 min.
    pub inactivity_timeout: Duration,
    /// SmtpMaxSessionsPerNextHop (ours): sessions at once to one next hop, default 8.
    pub max_sessions: usize,
}

/// A server of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it receives mail.
    pub address: String,
    /// Its site.
    pub site: String,
    /// Its DAG, if it is in one.
    pub dag: Option<String>,
    /// What it is.
    #[serde(default)]
    pub role: Role,
    /// The documents that it behaves by.
    #[serde(default)]
    pub compatibility: Compatibility,
}

/// Where the mail of a domain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The domain, in lower case; `*` for all others.
    pub domain: String,
    /// Its next hop.
    pub to: NextHop,
    /// The mailboxes that exist; `None`: every local part.
    pub mailboxes: Option<Vec<String>>,
}

/// A next hop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextHop {
    /// The mailboxes of a server of the organization.
    MailboxServer(String),
    /// A host outside the boundary.
    SmartHost(String),
    /// A 2010-style hub of the organization (SC-18).
    Hub(String),
}

impl Config {
    /// Reads a configuration. `name` is shown in errors (the file's name).
    ///
    /// # Errors
    /// Whatever is wrong with the text, with its place and a remedy.
    pub fn parse_named(name: &str, text: &str) -> Result<Self, ConfigError> {
        parse::parse(name, text)
    }

    /// [`Self::parse_named`] for text that is in no file.
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::parse_named("node.toml", text)
    }

    /// The server of that name.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|s| s.name == name)
    }

    /// The route of an address, by its domain.
    pub fn route(&self, address: &str) -> Option<&Route> {
        route_of(&self.routes, address)
    }
}

fn route_of<'a>(routes: &'a [Route], address: &str) -> Option<&'a Route> {
    let domain = address
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain)
        .to_ascii_lowercase();
    routes
        .iter()
        .find(|r| r.domain == domain)
        .or_else(|| routes.iter().find(|r| r.domain == "*"))
}
