//! The documented parameters that a scenario may set, with the kind of their value.
//!
//! Comes in: a name from a `[config]` table. Goes out: what may stand behind it. Called by the parser, the
//! planner (which builds outages around the documented durations) and the schema.

use std::time::Duration;

use super::{Scenario, Setting, Span};

/// A parameter that a scenario may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its documented name.
    pub name: &'static str,
    /// What may be set.
    pub kind: Kind,
    /// What it is when a scenario does not set it, as it is written in a file.
    pub default: &'static str,
    /// What it does, in one line.
    pub meaning: &'static str,
}

/// The kind of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Number,
    /// A duration with its unit.
    Duration,
    /// One of these names.
    Name(&'static [&'static str]),
}

impl Kind {
    /// In words, with an example.
    pub fn description(self) -> String {
        match self {
            Self::Switch => "`true` or `false`".into(),
            Self::Number => "a whole number, as in `4`".into(),
            Self::Duration => "a duration with its unit, as in `\"3h\"` or `\"2m 30s\"`".into(),
            Self::Name(names) => format!(
                "one of {}",
                names
                    .iter()
                    .map(|n| format!("`\"{n}\"`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }
}

const PREFERENCES: Kind = Kind::Name(&["PreferRemote", "RemoteOnly", "LocalOnly"]);

macro_rules! parameters {
    ($($name:ident: $kind:expr, $default:literal, $meaning:literal;)+) => {
        /// All of them: the documented ones first, then those of our reference node.
        pub const PARAMETERS: &[Parameter] = &[
            $(Parameter { name: stringify!($name), kind: $kind, default: $default, meaning: $meaning },)+
        ];
    };
}

parameters! {
    ShadowRedundancyEnabled: Kind::Switch, "true", "off: no copies are made, in the whole organization";
    RejectMessageOnShadowFailure: Kind::Switch, "false", "a message that cannot be made redundant is refused with 451 4.4.0";
    ShadowMessagePreferenceSetting: PREFERENCES, "PreferRemote", "which sites a DAG member looks for a shadow server in";
    MaxRetriesForRemoteSiteShadow: Kind::Number, "4", "attempts to make a copy in remote sites";
    MaxRetriesForLocalSiteShadow: Kind::Number, "2", "attempts to make a copy in the local site";
    ConnectionInactivityTimeout: Kind::Duration, "5m", "idle time after which an inbound session is closed";
    ConnectionTimeout: Kind::Duration, "10m", "an inbound session's whole life, even while data flows";
    ConnectionInactivityTimeOut: Kind::Duration, "10m", "idle time after which an outbound session is closed";
    ShadowHeartbeatFrequency: Kind::Duration, "2m", "longest time without a session before a shadow server opens one to ask";
    ShadowResubmitTimeSpan: Kind::Duration, "3h", "how long a primary server may be unreachable before promotion";
    ShadowMessageAutoDiscardInterval: Kind::Duration, "2d", "how long a primary server keeps discard events nobody asked for";
    SafetyNetHoldTime: Kind::Duration, "2d", "how long processed messages stay in Safety Net";
    MessageExpirationTimeout: Kind::Duration, "2d", "how long a message may wait in a queue";
    DelayNotificationTimeout: Kind::Duration, "4h", "how long a message waits before a sender who asked for it is told of the delay";
    MaxAcknowledgementDelay: Kind::Duration, "30s", "how long a 2010-style hub holds an ack back at most (Exchange 2010)";
    ShadowCopyTimeout: Kind::Duration, "1m", "how long a session to a shadow server may take (the reference node's own)";
    TransientFailureRetryInterval: Kind::Duration, "5m", "wait between the first delivery attempts after a 4yz (the reference node's own)";
    TransientFailureRetryCount: Kind::Number, "6", "how many attempts come at that interval (the reference node's own)";
    OutboundConnectionFailureRetryInterval: Kind::Duration, "10m", "wait between later delivery attempts (the reference node's own)";
    MaxMessageSize: Kind::Number, "104857600", "octets of a message that are accepted (the reference node's own)";
    MaxRecipientsPerMessage: Kind::Number, "1000", "recipients of a message that are accepted (the reference node's own)";
    MaxConnections: Kind::Number, "5000", "inbound sessions at once (the reference node's own)";
    SmtpMaxSessionsPerNextHop: Kind::Number, "8", "outbound sessions at once to one next hop (the reference node's own)";
    StateRegressionDetection: Kind::Switch, "true", "a server whose database went back to an earlier state is noticed (the reference node's own)";
    MaxHopCount: Kind::Number, "100", "Received fields with which a message counts as looping (the reference node's own)";
}

/// The parameter of that name, letter by letter: `ConnectionInactivityTimeout` and
/// `ConnectionInactivityTimeOut` are two.
pub fn parameter(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|p| p.name == name)
}

/// A duration parameter as the scenario sets it for every node, or its default; `None` when the parameter is
/// unknown or no duration.
pub fn duration(scenario: &Scenario, name: &str) -> Option<Duration> {
    let parameter = parameter(name).filter(|p| p.kind == Kind::Duration)?;
    let text = match scenario.config.get(name) {
        Some(Setting::Text(text)) => text.as_str(),
        _ => parameter.default,
    };
    text.parse::<Span>().ok().map(|span| span.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_of_its_own_kind() {
        for p in PARAMETERS {
            match p.kind {
                Kind::Switch => assert!(p.default.parse::<bool>().is_ok(), "{}", p.name),
                Kind::Number => assert!(p.default.parse::<u64>().is_ok(), "{}", p.name),
                Kind::Duration => assert!(
                    p.default.parse::<Span>().is_ok_and(|s| !s.0.is_zero()),
                    "{}",
                    p.name
                ),
                Kind::Name(names) => assert!(names.contains(&p.default), "{}", p.name),
            }
        }
    }

    #[test]
    fn the_defaults_are_the_reference_node_s() {
        let config = "name = 'n1'\nlisten = '127.0.0.1:0'\nsecret = 'x'\n";
        let node = reference_node::config::Config::parse(config).expect("a configuration");
        let (transport, receive, send) = (&node.transport, &node.receive, &node.send);
        let durations = [
            (
                "ShadowHeartbeatFrequency",
                transport.shadow_heartbeat_frequency,
            ),
            (
                "ShadowResubmitTimeSpan",
                transport.shadow_resubmit_time_span,
            ),
            (
                "ShadowMessageAutoDiscardInterval",
                transport.shadow_message_auto_discard_interval,
            ),
            ("SafetyNetHoldTime", transport.safety_net_hold_time),
            (
                "MessageExpirationTimeout",
                transport.message_expiration_timeout,
            ),
            (
                "DelayNotificationTimeout",
                transport.delay_notification_timeout,
            ),
            ("MaxAcknowledgementDelay", receive.max_acknowledgement_delay),
            ("ShadowCopyTimeout", transport.shadow_copy_timeout),
            (
                "TransientFailureRetryInterval",
                transport.transient_failure_retry_interval,
            ),
            (
                "OutboundConnectionFailureRetryInterval",
                transport.outbound_connection_failure_retry_interval,
            ),
            ("ConnectionInactivityTimeout", receive.inactivity_timeout),
            ("ConnectionTimeout", receive.connection_timeout),
            ("ConnectionInactivityTimeOut", send.inactivity_timeout),
        ];
        let default = |name: &str| parameter(name).map(|p| p.default).expect("a parameter");
        for (name, there) in durations {
            assert_eq!(default(name).parse(), Ok(Span(there)), "{name}");
        }
        let numbers = [
            (
                "MaxRetriesForRemoteSiteShadow",
                u64::from(transport.max_retries_for_remote_site_shadow),
            ),
            (
                "MaxRetriesForLocalSiteShadow",
                u64::from(transport.max_retries_for_local_site_shadow),
            ),
            (
                "TransientFailureRetryCount",
                u64::from(transport.transient_failure_retry_count),
            ),
            ("MaxHopCount", u64::from(transport.max_hop_count)),
            ("MaxMessageSize", receive.max_message_size),
            ("MaxRecipientsPerMessage", receive.max_recipients as u64),
            ("MaxConnections", receive.max_connections as u64),
            ("SmtpMaxSessionsPerNextHop", send.max_sessions as u64),
        ];
        for (name, there) in numbers {
            assert_eq!(default(name).parse(), Ok(there), "{name}");
        }
        assert_eq!(
            default("ShadowRedundancyEnabled").parse(),
            Ok(transport.shadow_redundancy_enabled)
        );
        assert_eq!(
            default("RejectMessageOnShadowFailure").parse(),
            Ok(transport.reject_message_on_shadow_failure)
        );
        assert_eq!(
            default("StateRegressionDetection").parse(),
            Ok(transport.state_regression_detection)
        );
        assert_eq!(
            default("ShadowMessagePreferenceSetting"),
            format!("{:?}", transport.shadow_message_preference_setting)
        );
        assert_eq!(durations.len() + numbers.len() + 4, PARAMETERS.len());
    }

    #[test]
    fn the_receive_and_the_send_connector_have_a_parameter_each() {
        assert_eq!(
            parameter("ConnectionInactivityTimeout").map(|p| p.default),
            Some("5m")
        );
        assert_eq!(
            parameter("ConnectionInactivityTimeOut").map(|p| p.default),
            Some("10m")
        );
        assert_eq!(parameter("connectioninactivitytimeout"), None);
    }
}
