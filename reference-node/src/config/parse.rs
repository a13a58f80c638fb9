//! The text of a configuration file, read strictly.
//!
//! Comes in: TOML. Goes out: a [`Config`] in which everything fits together, or the first thing that does not, with its
//! place and a remedy. Called by [`Config::parse_named`].

use std::{collections::BTreeSet, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use miette::NamedSource;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{
    Compatibility, Config, ConfigError, NextHop, ReceiveConnector, Role, Route, SendConnector,
    Server, ShadowPreference, Transport, role, route_of,
};
use crate::{
    groups::{Group, Groups},
    sabotage::Sabotage,
    smtp::path::mailbox_key,
};

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
    delay_notification_timeout: Option<Span>,
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

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// The text that is read, for errors to point into.
struct Text<'a> {
    name: &'a str,
    text: &'a str,
}

impl Text<'_> {
    fn refuse(
        &self,
        message: impl Into<String>,
        place: Option<Range<usize>>,
        help: Option<&str>,
    ) -> ConfigError {
        ConfigError {
            message: message.into(),
            source_code: Arc::new(NamedSource::new(self.name, self.text.to_owned())),
            place: place.map(Into::into),
            help: help.map(str::to_owned),
        }
    }

    fn at<T>(&self, place: &Spanned<T>, message: impl Into<String>, help: &str) -> ConfigError {
        self.refuse(message, Some(place.span()), Some(help))
    }
}

/// Reads a configuration. `name` is shown in errors.
pub(super) fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    let source = Text { name, text };
    let raw: Raw = toml::from_str(text).map_err(|e| {
        source.refuse(
            e.message(),
            e.span(),
            Some("every parameter is listed in reference-node/README.md"),
        )
    })?;
    let sabotage = raw
        .sabotage
        .as_ref()
        .map(|name| self::sabotage(&source, name))
        .transpose()?;
    let secret = secret(&source, &raw)?;
    let receive = receive(&source, raw.receive_connector, raw.role, sabotage)?;
    let servers = servers(&source, raw.server)?;
    let own = own_name(&source, &raw.name, &servers)?;
    if let Some((message, remedy)) = role::misfit(&own, raw.role, raw.compatibility, &servers) {
        return Err(source.at(&raw.name, message, remedy));
    }
    let routes = raw
        .route
        .into_iter()
        .map(|written| route(&source, written, &own, &servers))
        .collect::<Result<Vec<_>, _>>()?;
    let routed = |address: &str| route_of(&routes, address).is_some();
    let groups = Groups::new(raw.group, routed)
        .map_err(|(message, place, help)| source.refuse(message, Some(place), Some(help)))?;
    Ok(Config {
        name: own,
        data: raw.data,
        listen: raw.listen,
        http: raw.http,
        role: raw.role,
        compatibility: raw.compatibility,
        secret,
        sabotage,
        transport: transport(raw.transport),
        receive,
        send: SendConnector {
            inactivity_timeout: or(
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

fn or(given: Option<Span>, default: Duration) -> Duration {
    given.map_or(default, |span| span.0)
}

fn sabotage(source: &Text<'_>, name: &Spanned<String>) -> Result<Sabotage, ConfigError> {
    if !cfg!(feature = "sabotage") {
        return Err(source.at(
            name,
            "this binary has no sabotages compiled in",
            "build with `--features sabotage`",
        ));
    }
    Sabotage::from_name(name.as_ref()).ok_or_else(|| {
        source.at(
            name,
            format!("there is no sabotage `{}`", name.as_ref()),
            "`gauntlet list sabotages` has them all",
        )
    })
}

fn secret(source: &Text<'_>, raw: &Raw) -> Result<String, ConfigError> {
    match (&raw.secret, &raw.secret_file) {
        (Some(secret), Some(_)) => Err(source.refuse(
            "`secret` and `secret-file` exclude each other",
            Some(secret.span()),
            None,
        )),
        (Some(secret), None) if secret.as_ref().is_empty() => Err(source.at(
            secret,
            "an empty secret",
            "peers know one another by it: make it long and random",
        )),
        (Some(secret), None) => Ok(secret.as_ref().clone()),
        (None, Some(file)) => match std::fs::read_to_string(file.as_ref()) {
            Ok(secret) => Ok(secret.trim_end().to_owned()),
            Err(e) => Err(source.refuse(
                format!("secret-file cannot be read: {e}"),
                Some(file.span()),
                None,
            )),
        },
        (None, None) if raw.role == Role::FrontEnd => Ok(String::new()),
        (None, None) => Err(source.refuse(
            "neither `secret` nor `secret-file` is given",
            None,
            Some("peers know one another by it"),
        )),
    }
}

fn receive(
    source: &Text<'_>,
    raw: RawReceive,
    role: Role,
    sabotage: Option<Sabotage>,
) -> Result<ReceiveConnector, ConfigError> {
    let (inactivity_default, connection_default) = match role {
        Role::Mailbox | Role::FrontEnd => (5 * MINUTE, 10 * MINUTE),
        Role::Edge => (MINUTE, 5 * MINUTE),
    };
    let given = |value: &Option<Spanned<Span>>| value.as_ref().map(|s| s.as_ref().0);
    let inactivity_timeout =
        given(&raw.connection_inactivity_timeout).unwrap_or(inactivity_default);
    let connection_timeout = given(&raw.connection_timeout).unwrap_or(connection_default);
    // TO-08
    if inactivity_timeout >= connection_timeout && sabotage != Some(Sabotage::AcceptAnyTimeouts) {
        let place = raw
            .connection_inactivity_timeout
            .as_ref()
            .or(raw.connection_timeout.as_ref());
        return Err(source.refuse(
            format!(
                "ConnectionInactivityTimeout ({}) must be less than ConnectionTimeout ({})",
                humantime::format_duration(inactivity_timeout),
                humantime::format_duration(connection_timeout)
            ),
            place.map(Spanned::span),
            Some("lower ConnectionInactivityTimeout or raise ConnectionTimeout (TO-08)"),
        ));
    }
    Ok(ReceiveConnector {
        inactivity_timeout,
        connection_timeout,
        max_message_size: raw.max_message_size.unwrap_or(100 * 1024 * 1024),
        max_recipients: raw.max_recipients_per_message.unwrap_or(1000),
        max_connections: raw.max_connections.unwrap_or(5000),
        max_acknowledgement_delay: or(raw.max_acknowledgement_delay, MINUTE / 2),
    })
}

fn servers(source: &Text<'_>, written: Vec<Spanned<Server>>) -> Result<Vec<Server>, ConfigError> {
    let mut names = BTreeSet::new();
    for server in &written {
        let name = &server.as_ref().name;
        if !names.insert(name) {
            return Err(source.refuse(
                format!("two servers are named `{name}`"),
                Some(server.span()),
                None,
            ));
        }
    }
    Ok(written.into_iter().map(Spanned::into_inner).collect())
}

/// The node's own name, which is in the list of servers where there is one.
fn own_name(
    source: &Text<'_>,
    name: &Spanned<String>,
    servers: &[Server],
) -> Result<String, ConfigError> {
    let own = name.as_ref();
    let spelled = own
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if own.is_empty() || !spelled || own == "operator" {
        return Err(source.at(
            name,
            format!("`{own}` is no name for a node"),
            "letters, digits, `-` and `.`; `operator` is taken by tools",
        ));
    }
    if !servers.is_empty() && !servers.iter().any(|s| s.name == *own) {
        return Err(source.at(
            name,
            format!("no [[server]] is named `{own}`"),
            "the list holds every server of the organization, this node included",
        ));
    }
    Ok(own.clone())
}

fn route(
    source: &Text<'_>,
    written: Spanned<RawRoute>,
    own: &str,
    servers: &[Server],
) -> Result<Route, ConfigError> {
    let place = written.span();
    let raw = written.into_inner();
    let refuse = |message: String, help: Option<&str>| {
        Err(source.refuse(message, Some(place.clone()), help))
    };
    let known = |name: &str| servers.iter().find(|s| s.name == name);
    let to = match (raw.mailbox_server, raw.smart_host, raw.hub) {
        (None, None, Some(hub)) => {
            if hub == own || !known(&hub).is_some_and(Server::is_hub_2010) {
                return refuse(
                    format!("hub `{hub}` is no other server that is a 2010-style hub"),
                    Some("name a [[server]] with `compatibility = \"2010\"`"),
                );
            }
            NextHop::Hub(hub)
        }
        (Some(server), None, None) => match known(&server) {
            Some(front_end) if !front_end.is_transport() => {
                return refuse(
                    format!("mailbox-server `{server}` is a front end, which has no mailboxes"),
                    Some("name a transport server"),
                );
            }
            None if server != own => {
                return refuse(
                    format!("mailbox-server `{server}` is no server of the organization"),
                    Some("add a [[server]] for it"),
                );
            }
            _ => NextHop::MailboxServer(server),
        },
        (None, Some(host), None) => NextHop::SmartHost(host),
        _ => {
            return refuse(
                format!(
                    "the route of `{}` needs exactly one of `mailbox-server`, `smart-host` and `hub`",
                    raw.domain
                ),
                None,
            );
        }
    };
    let lower = |all: Vec<String>| all.iter().map(|m| mailbox_key(m)).collect();
    Ok(Route {
        domain: raw.domain.to_ascii_lowercase(),
        to,
        mailboxes: raw.mailboxes.map(lower),
    })
}

fn transport(t: RawTransport) -> Transport {
    Transport {
        shadow_redundancy_enabled: t.shadow_redundancy_enabled.unwrap_or(true),
        reject_message_on_shadow_failure: t.reject_message_on_shadow_failure.unwrap_or(false),
        shadow_message_preference_setting: t.shadow_message_preference_setting.unwrap_or_default(),
        max_retries_for_remote_site_shadow: t.max_retries_for_remote_site_shadow.unwrap_or(4),
        max_retries_for_local_site_shadow: t.max_retries_for_local_site_shadow.unwrap_or(2),
        shadow_heartbeat_frequency: or(t.shadow_heartbeat_frequency, 2 * MINUTE),
        shadow_resubmit_time_span: or(t.shadow_resubmit_time_span, 3 * HOUR),
        shadow_message_auto_discard_interval: or(t.shadow_message_auto_discard_interval, 2 * DAY),
        safety_net_hold_time: or(t.safety_net_hold_time, 2 * DAY),
        message_expiration_timeout: or(t.message_expiration_timeout, 2 * DAY),
        delay_notification_timeout: or(t.delay_notification_timeout, 4 * HOUR),
        shadow_copy_timeout: or(t.shadow_copy_timeout, MINUTE),
        transient_failure_retry_interval: or(t.transient_failure_retry_interval, 5 * MINUTE),
        transient_failure_retry_count: t.transient_failure_retry_count.unwrap_or(6),
        outbound_connection_failure_retry_interval: or(
            t.outbound_connection_failure_retry_interval,
            10 * MINUTE,
        ),
        state_regression_detection: t.state_regression_detection.unwrap_or(true),
        max_hop_count: t.max_hop_count.unwrap_or(100),
    }
}
