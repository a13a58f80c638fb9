//! The node's configuration file: TOML, in the documented names and durations.
//!
//! Comes in: text. Goes out: a validated [`Config`], or a [`ConfigError`] that shows the place.
//! Called by `main` and by whoever embeds a node.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::{
    groups::{Group, Groups},
    sabotage::Sabotage,
};

mod boundary;
mod role;

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
    /// MaxHopCount (ours): Received fields above which a message loops, default 60.
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    name: Spanned<String>,
    #[serde(default = "here")]
    data: PathBuf,
    listen: String,
    http: Option<String>,
    secret: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    role: Role,
    #[serde(default)]
    compatibility: Compatibility,
    sabotage: Option<Spanned<String>>,
    #[serde(default)]
    transport: RawTransport,
    #[serde(default)]
    receive_connector: RawReceive,
    #[serde(default)]
    send_connector: RawSend,
    #[serde(default)]
    server: Vec<Spanned<Server>>,
    #[serde(default)]
    route: Vec<Spanned<RawRoute>>,
    #[serde(default)]
    group: Vec<Spanned<Group>>,
}

fn here() -> PathBuf {
    ".".into()
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawTransport {
    shadow_redundancy_enabled: Option<bool>,
    reject_message_on_shadow_failure: Option<bool>,
    shadow_message_preference_setting: Option<ShadowPreference>,
    max_retries_for_remote_site_shadow: Option<u32>,
    max_retries_for_local_site_shadow: Option<u32>,
    shadow_heartbeat_frequency: Option<Span>,
    shadow_resubmit_time_span: Option<Span>,
    shadow_message_auto_discard_interval: Option<Span>,
    safety_net_hold_time: Option<Span>,
    message_expiration_timeout: Option<Span>,
    shadow_copy_timeout: Option<Span>,
    transient_failure_retry_interval: Option<Span>,
    transient_failure_retry_count: Option<u32>,
    outbound_connection_failure_retry_interval: Option<Span>,
    state_regression_detection: Option<bool>,
    max_hop_count: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawReceive {
    connection_inactivity_timeout: Option<Spanned<Span>>,
    connection_timeout: Option<Spanned<Span>>,
    max_message_size: Option<u64>,
    max_recipients_per_message: Option<usize>,
    max_connections: Option<usize>,
    max_acknowledgement_delay: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSend {
    // The documented spelling has a capital O, unlike the receive connector's.
    #[serde(rename = "ConnectionInactivityTimeOut")]
    connection_inactivity_timeout: Option<Span>,
    #[serde(rename = "SmtpMaxSessionsPerNextHop")]
    max_sessions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRoute {
    domain: String,
    mailbox_server: Option<String>,
    smart_host: Option<String>,
    hub: Option<String>,
    mailboxes: Option<Vec<String>>,
}

/// A documented duration: a number with its unit, and more than nothing.
#[derive(Clone, Copy)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(Duration::ZERO) => Err(de::Error::custom(
                "a duration of zero; write one above it, as in \"2m\"",
            )),
            Ok(duration) if duration > 36_525 * DAY => {
                Err(de::Error::custom("a duration of more than a hundred years"))
            }
            Ok(duration) => Ok(Self(duration)),
            Err(e) => Err(de::Error::custom(format!(
                "{e}; write a duration with its unit, as in \"3h\" or \"500ms\""
            ))),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl Config {
    /// Reads a configuration. `name` is shown in errors (the file's name).
    ///
    /// # Errors
    /// Whatever is wrong with the text, with its place and a remedy.
    pub fn parse_named(name: &str, text: &str) -> Result<Self, ConfigError> {
        let refuse = |message: String, span: Option<std::ops::Range<usize>>, help: Option<&str>| {
            ConfigError {
                message,
                source_code: Arc::new(NamedSource::new(name, text.to_owned())),
                place: span.map(Into::into),
                help: help.map(str::to_owned),
            }
        };
        let raw: Raw = toml::from_str(text).map_err(|e| {
            refuse(
                e.message().to_owned(),
                e.span(),
                Some("every parameter is listed in reference-node/README.md"),
            )
        })?;

        let sabotage = match &raw.sabotage {
            None => None,
            Some(_) if !cfg!(feature = "sabotage") => {
                return Err(refuse(
                    "this binary has no sabotages compiled in".into(),
                    raw.sabotage.map(|s| s.span()),
                    Some("build with `--features sabotage`"),
                ));
            }
            Some(name) => Some(Sabotage::from_name(name.as_ref()).ok_or_else(|| {
                refuse(
                    format!("there is no sabotage `{}`", name.as_ref()),
                    Some(name.span()),
                    Some("`gauntlet list sabotages` has them all"),
                )
            })?),
        };

        let secret = match (&raw.secret, &raw.secret_file) {
            (Some(secret), None) if !secret.as_ref().is_empty() => secret.as_ref().clone(),
            (None, Some(file)) => std::fs::read_to_string(file.as_ref())
                .map_err(|e| {
                    refuse(
                        format!("secret-file cannot be read: {e}"),
                        Some(file.span()),
                        None,
                    )
                })?
                .trim_end()
                .to_owned(),
            (Some(secret), None) => {
                return Err(refuse(
                    "an empty secret".into(),
                    Some(secret.span()),
                    Some("peers know one another by it: make it long and random"),
                ));
            }
            (Some(secret), Some(_)) => {
                return Err(refuse(
                    "`secret` and `secret-file` exclude each other".into(),
                    Some(secret.span()),
                    None,
                ));
            }
            (None, None) if raw.role == Role::FrontEnd => String::new(),
            (None, None) => {
                return Err(refuse(
                    "neither `secret` nor `secret-file` is given".into(),
                    None,
                    Some("peers know one another by it"),
                ));
            }
        };

        let (inactivity_default, connection_default) = match raw.role {
            Role::Mailbox | Role::FrontEnd => (5 * MINUTE, 10 * MINUTE),
            Role::Edge => (MINUTE, 5 * MINUTE),
        };
        let given = |value: &Option<Spanned<Span>>| value.as_ref().map(|s| s.as_ref().0);
        let inactivity_timeout = given(&raw.receive_connector.connection_inactivity_timeout)
            .unwrap_or(inactivity_default);
        let connection_timeout =
            given(&raw.receive_connector.connection_timeout).unwrap_or(connection_default);
        // TO-08
        if inactivity_timeout >= connection_timeout && sabotage != Some(Sabotage::AcceptAnyTimeouts)
        {
            let place = raw
                .receive_connector
                .connection_inactivity_timeout
                .as_ref()
                .or(raw.receive_connector.connection_timeout.as_ref());
            return Err(refuse(
                format!(
                    "ConnectionInactivityTimeout ({}) must be less than ConnectionTimeout ({})",
                    humantime::format_duration(inactivity_timeout),
                    humantime::format_duration(connection_timeout)
                ),
                place.map(Spanned::span),
                Some("lower ConnectionInactivityTimeout or raise ConnectionTimeout (TO-08)"),
            ));
        }

        let mut servers = Vec::new();
        let mut names = BTreeMap::new();
        for server in raw.server {
            let span = server.span();
            let server = server.into_inner();
            if names.insert(server.name.clone(), ()).is_some() {
                return Err(refuse(
                    format!("two servers are named `{}`", server.name),
                    Some(span),
                    None,
                ));
            }
            servers.push(server);
        }
        let own = raw.name.as_ref().clone();
        if own.is_empty()
            || !own
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            || own == "operator"
        {
            return Err(refuse(
                format!("`{own}` is no name for a node"),
                Some(raw.name.span()),
                Some("letters, digits, `-` and `.`; `operator` is taken by tools"),
            ));
        }
        if !servers.is_empty() && !names.contains_key(&own) {
            return Err(refuse(
                format!("no [[server]] is named `{own}`"),
                Some(raw.name.span()),
                Some("the list holds every server of the organization, this node included"),
            ));
        }

        if let Some((message, remedy)) = role::misfit(&own, raw.role, raw.compatibility, &servers) {
            return Err(refuse(message, Some(raw.name.span()), Some(remedy)));
        }

        let mut routes = Vec::new();
        for route in raw.route {
            let span = route.span();
            let RawRoute {
                domain,
                mailbox_server,
                smart_host,
                hub,
                mailboxes,
            } = route.into_inner();
            let front_end = |name: &String| {
                let known = servers.iter().find(|s| s.name == *name);
                known.is_some_and(|s| !s.is_transport())
            };
            let to = match (mailbox_server, smart_host, hub) {
                (None, None, Some(hub)) => {
                    let known = servers.iter().find(|s| s.name == hub);
                    if hub == own || !known.is_some_and(Server::is_hub_2010) {
                        return Err(refuse(
                            format!("hub `{hub}` is no other server that is a 2010-style hub"),
                            Some(span),
                            Some("name a [[server]] with `compatibility = \"2010\"`"),
                        ));
                    }
                    NextHop::Hub(hub)
                }
                (Some(server), None, None) if front_end(&server) => {
                    return Err(refuse(
                        format!("mailbox-server `{server}` is a front end, which has no mailboxes"),
                        Some(span),
                        Some("name a transport server"),
                    ));
                }
                (Some(server), None, None) if server == own || names.contains_key(&server) => {
                    NextHop::MailboxServer(server)
                }
                (Some(server), None, None) => {
                    return Err(refuse(
                        format!("mailbox-server `{server}` is no server of the organization"),
                        Some(span),
                        Some("add a [[server]] for it"),
                    ));
                }
                (None, Some(host), None) => NextHop::SmartHost(host),
                _ => {
                    return Err(refuse(
                        format!(
                            "the route of `{domain}` needs exactly one of `mailbox-server`, `smart-host` and `hub`"
                        ),
                        Some(span),
                        None,
                    ));
                }
            };
            let mailboxes =
                mailboxes.map(|all| all.iter().map(|m| m.to_ascii_lowercase()).collect());
            routes.push(Route {
                domain: domain.to_ascii_lowercase(),
                to,
                mailboxes,
            });
        }

        let routed = |address: &str| route_of(&routes, address).is_some();
        let groups = Groups::new(raw.group, routed)
            .map_err(|(message, span, help)| refuse(message, Some(span), Some(help)))?;

        let t = raw.transport;
        let span = |value: Option<Span>, default: Duration| value.map_or(default, |s| s.0);
        Ok(Self {
            name: own,
            data: raw.data,
            listen: raw.listen,
            http: raw.http,
            role: raw.role,
            compatibility: raw.compatibility,
            secret,
            sabotage,
            transport: Transport {
                shadow_redundancy_enabled: t.shadow_redundancy_enabled.unwrap_or(true),
                reject_message_on_shadow_failure: t
                    .reject_message_on_shadow_failure
                    .unwrap_or(false),
                shadow_message_preference_setting: t
                    .shadow_message_preference_setting
                    .unwrap_or_default(),
                max_retries_for_remote_site_shadow: t
                    .max_retries_for_remote_site_shadow
                    .unwrap_or(4),
                max_retries_for_local_site_shadow: t.max_retries_for_local_site_shadow.unwrap_or(2),
                shadow_heartbeat_frequency: span(t.shadow_heartbeat_frequency, 2 * MINUTE),
                shadow_resubmit_time_span: span(t.shadow_resubmit_time_span, 3 * HOUR),
                shadow_message_auto_discard_interval: span(
                    t.shadow_message_auto_discard_interval,
                    2 * DAY,
                ),
                safety_net_hold_time: span(t.safety_net_hold_time, 2 * DAY),
                message_expiration_timeout: span(t.message_expiration_timeout, 2 * DAY),
                shadow_copy_timeout: span(t.shadow_copy_timeout, MINUTE),
                transient_failure_retry_interval: span(
                    t.transient_failure_retry_interval,
                    5 * MINUTE,
                ),
                transient_failure_retry_count: t.transient_failure_retry_count.unwrap_or(6),
                outbound_connection_failure_retry_interval: span(
                    t.outbound_connection_failure_retry_interval,
                    10 * MINUTE,
                ),
                state_regression_detection: t.state_regression_detection.unwrap_or(true),
                max_hop_count: t.max_hop_count.unwrap_or(60),
            },
            receive: ReceiveConnector {
                inactivity_timeout,
                connection_timeout,
                max_message_size: raw
                    .receive_connector
                    .max_message_size
                    .unwrap_or(100 * 1024 * 1024),
                max_recipients: raw
                    .receive_connector
                    .max_recipients_per_message
                    .unwrap_or(1000),
                max_connections: raw.receive_connector.max_connections.unwrap_or(5000),
                max_acknowledgement_delay: span(
                    raw.receive_connector.max_acknowledgement_delay,
                    MINUTE / 2,
                ),
            },
            send: SendConnector {
                inactivity_timeout: span(
                    raw.send_connector.connection_inactivity_timeout,
                    10 * MINUTE,
                ),
                max_sessions: raw.send_connector.max_sessions.unwrap_or(8),
            },
            servers,
            routes,
            groups,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = \"n1\"\nlisten = \"127.0.0.1:0\"\nsecret = \"s\"\n";

    fn refused(more: &str) -> String {
        Config::parse(&format!("{LEAST}{more}"))
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn the_documented_defaults() {
        let config = Config::parse(LEAST).expect("the least configuration");
        let t = &config.transport;
        assert!(t.shadow_redundancy_enabled && !t.reject_message_on_shadow_failure);
        assert_eq!(
            t.shadow_message_preference_setting,
            ShadowPreference::PreferRemote
        );
        assert_eq!(
            (
                t.max_retries_for_remote_site_shadow,
                t.max_retries_for_local_site_shadow
            ),
            (4, 2)
        );
        assert_eq!(
            (t.shadow_heartbeat_frequency, t.shadow_resubmit_time_span),
            (2 * MINUTE, 3 * HOUR)
        );
        assert_eq!(
            (t.safety_net_hold_time, t.message_expiration_timeout),
            (2 * DAY, 2 * DAY)
        );
        assert_eq!(t.shadow_message_auto_discard_interval, 2 * DAY);
        assert_eq!(
            (
                config.receive.inactivity_timeout,
                config.receive.connection_timeout
            ),
            (5 * MINUTE, 10 * MINUTE)
        );
        assert_eq!(config.send.inactivity_timeout, 10 * MINUTE);
    }

    #[test]
    fn an_edge_server_has_shorter_defaults() {
        let config = Config::parse(&format!("role = \"edge\"\n{LEAST}")).expect("an edge server");
        assert_eq!(
            (
                config.receive.inactivity_timeout,
                config.receive.connection_timeout
            ),
            (MINUTE, 5 * MINUTE)
        );
    }

    #[test]
    fn sc_15_a_front_end_needs_a_transport_server_and_no_secret() {
        let front = "name = \"f1\"\nlisten = \"x\"\nrole = \"front-end\"\n";
        let server = |name: &str, role: &str| {
            format!("[[server]]\nname = \"{name}\"\naddress = \"{name}\"\nsite = \"s\"\n{role}")
        };
        let role = "role = \"front-end\"\n";
        let parse = |text: String| Config::parse(&text).map_err(|e| e.to_string());
        let good = parse(format!("{front}{}{}", server("f1", role), server("n1", "")));
        assert!(good.is_ok_and(|c| c.role == Role::FrontEnd && c.secret.is_empty()));
        let refused = |text: String| parse(text).expect_err("refused");
        assert!(refused(front.to_owned()).contains("without a transport server"));
        assert!(refused(format!("{front}{}", server("f1", role))).contains("without a transport"));
        let unmarked = format!("{front}{}{}", server("f1", ""), server("n1", ""));
        assert!(refused(unmarked).contains("another role in its own [[server]]"));
        let servers = format!("{}{}", server("n1", ""), server("f1", role));
        let route = "[[route]]\ndomain = \"x\"\nmailbox-server = \"f1\"\n";
        assert!(refused(format!("{LEAST}{servers}{route}")).contains("has no mailboxes"));
    }

    #[test]
    fn sc_18_a_route_through_a_hub_names_one() {
        let server = |name: &str, more: &str| {
            format!("[[server]]\nname = \"{name}\"\naddress = \"{name}\"\nsite = \"s\"\n{more}")
        };
        let hub = server("h1", "compatibility = \"2010\"\n");
        let route = "[[route]]\ndomain = \"x\"\nhub = \"h1\"\n";
        let text = format!("{LEAST}{}{hub}{route}", server("n1", ""));
        let config = Config::parse(&text).expect("a hub");
        assert_eq!(config.routes[0].to, NextHop::Hub("h1".into()));
        assert!(
            refused(&format!("{}{}{route}", server("n1", ""), server("h1", "")))
                .contains("no other server")
        );
        let other = format!("compatibility = \"2010\"\n{LEAST}{}", server("n1", ""));
        let error = Config::parse(&other).expect_err("refused").to_string();
        assert!(error.contains("another compatibility"), "{error}");
    }

    #[test]
    fn to_08_inactivity_must_be_less_than_the_whole() {
        let message = refused("[receive-connector]\nConnectionInactivityTimeout = \"10m\"\n");
        insta::assert_snapshot!(message, @"ConnectionInactivityTimeout (10m) must be less than ConnectionTimeout (10m)");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(
            refused("[transport]\nShadowHeartbeatFrequency = 120\n").contains("expected a string")
        );
        assert!(
            refused("[transport]\nShadowHeartbeatFrequency = \"120\"\n")
                .contains("write a duration with its unit")
        );
        assert!(
            refused("[transport]\nSafetyNetHoldTime = \"0s\"\n").contains("a duration of zero")
        );
        assert!(
            refused("[transport]\nSafetyNetHoldTime = \"500000000000y\"\n")
                .contains("more than a hundred years")
        );
        assert!(
            refused("[transport]\nShadowHartbeat = \"2m\"\n")
                .contains("unknown field `ShadowHartbeat`")
        );
        assert!(refused("[[route]]\ndomain = \"x\"\n").contains("exactly one of"));
        assert!(
            refused("[[route]]\ndomain = \"x\"\nmailbox-server = \"n9\"\n")
                .contains("no server of the organization")
        );
        assert!(
            refused("[[server]]\nname = \"n2\"\naddress = \"a\"\nsite = \"s\"\n")
                .contains("no [[server]] is named `n1`")
        );
        assert!(
            Config::parse("name = \"n1\"\nlisten = \"x\"\n")
                .expect_err("no secret")
                .to_string()
                .contains("secret")
        );
    }
}
