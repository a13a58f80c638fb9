//! A node's configuration file, as a scenario wants it on a substrate.
//!
//! Comes in: the scenario, a node's name, and how the substrate gives addresses and scales durations. Goes
//! out: TOML as `reference-node` reads it. Called by every substrate that runs reference nodes.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use toml::Value;

use crate::scenario::{Kind, LEGACY_DOMAIN, PARAMETERS, Scenario, Setting, Span, parameter};

/// What is not the scenario's but the substrate's.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodePlace<'a> {
    /// Directory of the databases and the tracking log.
    pub data: &'a str,
    /// Address that the node receives mail on.
    pub listen: &'a str,
    /// Address of its read-only HTTP endpoint.
    pub http: Option<&'a str>,
    /// The organization's secret.
    pub secret: &'a str,
    /// Deliberately broken behaviour.
    pub sabotage: Option<&'a str>,
    /// Whether the scenario's settings for substrates with real time hold.
    pub real_time: bool,
}

/// Composes the configuration of `node`.
///
/// `address(from, to)` is where `from` reaches `to` (a node or a sink). `duration` is what a documented
/// duration is on this substrate; where that is not the same, the defaults are written, too.
pub fn node_config(
    scenario: &Scenario,
    node: &str,
    place: &NodePlace<'_>,
    address: impl Fn(&str, &str) -> String,
    duration: impl Fn(Duration) -> Duration,
) -> String {
    let mut settings = scaled_defaults(&duration);
    let real_time = scenario.real_time.as_ref().filter(|_| place.real_time);
    let layers = [
        Some(&scenario.config),
        real_time.map(|r| &r.config),
        scenario.node.get(node),
    ];
    for (name, setting) in layers.into_iter().flatten().flatten() {
        settings.insert(name.clone(), value(name, setting, &duration));
    }

    let mut file = String::new();
    pair(&mut file, "name", node);
    pair(&mut file, "data", place.data);
    pair(&mut file, "listen", place.listen);
    if let Some(http) = place.http {
        pair(&mut file, "http", http);
    }
    let front_end = scenario.cluster.is_front_end(node);
    if front_end {
        pair(&mut file, "role", "front-end");
    } else {
        pair(&mut file, "secret", place.secret);
    }
    if scenario.cluster.is_hub_2010(node) {
        pair(&mut file, "compatibility", "2010");
    }
    if let Some(sabotage) = place.sabotage {
        pair(&mut file, "sabotage", sabotage);
    }
    sections(&mut file, &settings);
    servers(&mut file, scenario, node, &address);
    if !front_end {
        routes(&mut file, scenario, node, &address);
    }
    file
}

/// A configuration of one node alone with these settings, in documented names, for the node's own check; the node
/// may be deliberately broken.
/// A value that is no TOML is taken for a text: `5m` and `"5m"` are the same.
pub fn settings_config(settings: &[(String, String)], sabotage: Option<&str>) -> String {
    let read = |text: &String| {
        let document: Option<toml::Table> = toml::from_str(&format!("v = {text}")).ok();
        let value = document.and_then(|mut d| d.remove("v"));
        value.unwrap_or_else(|| Value::String(text.clone()))
    };
    let settings = settings
        .iter()
        .map(|(name, text)| (name.clone(), read(text)));
    let mut file = String::new();
    pair(&mut file, "name", "n1");
    pair(&mut file, "listen", "n1");
    pair(&mut file, "secret", "check");
    if let Some(sabotage) = sabotage {
        pair(&mut file, "sabotage", sabotage);
    }
    sections(&mut file, &settings.collect());
    file
}

/// The section that a parameter stands in.
fn section(parameter: &str) -> &'static str {
    match parameter {
        "ConnectionInactivityTimeout"
        | "ConnectionTimeout"
        | "MaxMessageSize"
        | "MaxRecipientsPerMessage"
        | "MaxConnections"
        | "MaxAcknowledgementDelay" => "receive-connector",
        "ConnectionInactivityTimeOut" | "SmtpMaxSessionsPerNextHop" => "send-connector",
        _ => "transport",
    }
}

fn scaled_defaults(duration: impl Fn(Duration) -> Duration) -> BTreeMap<String, Value> {
    let durations = PARAMETERS.iter().filter(|p| p.kind == Kind::Duration);
    let scaled = durations.filter_map(|p| {
        let documented = p.default.parse::<Span>().ok()?.0;
        let here = duration(documented);
        (here != documented).then(|| (p.name.to_owned(), span(here)))
    });
    scaled.collect()
}

fn value(name: &str, setting: &Setting, duration: impl Fn(Duration) -> Duration) -> Value {
    let is_duration = parameter(name).is_some_and(|p| p.kind == Kind::Duration);
    match setting {
        Setting::Switch(on) => Value::Boolean(*on),
        Setting::Number(n) => {
            i64::try_from(*n).map_or_else(|_| Value::String(n.to_string()), Value::Integer)
        }
        Setting::Text(text) => match text.parse::<Span>() {
            Ok(documented) if is_duration => span(duration(documented.0)),
            _ => Value::String(text.clone()),
        },
    }
}

fn span(duration: Duration) -> Value {
    Value::String(Span(duration).to_string())
}

fn sections(file: &mut String, settings: &BTreeMap<String, Value>) {
    for name in ["transport", "receive-connector", "send-connector"] {
        let mut own = settings
            .iter()
            .filter(|(parameter, _)| section(parameter) == name)
            .peekable();
        if own.peek().is_some() {
            line(file, format_args!("\n[{name}]"));
        }
        own.for_each(|(parameter, value)| line(file, format_args!("{parameter} = {value}")));
    }
}

fn servers(
    file: &mut String,
    scenario: &Scenario,
    node: &str,
    address: impl Fn(&str, &str) -> String,
) {
    let cluster = &scenario.cluster;
    let member_of = |groups: &BTreeMap<String, Vec<String>>, server: &String| {
        let group = groups.iter().find(|(_, members)| members.contains(server));
        group.map(|(name, _)| name.clone())
    };
    for server in &cluster.nodes {
        line(file, format_args!("\n[[server]]"));
        pair(file, "name", server);
        pair(file, "address", &address(node, server));
        pair(
            file,
            "site",
            &member_of(&cluster.sites, server).unwrap_or_else(|| "s1".into()),
        );
        if cluster.is_front_end(server) {
            pair(file, "role", "front-end");
        }
        if cluster.is_hub_2010(server) {
            pair(file, "compatibility", "2010");
        }
        if let Some(dag) = member_of(&cluster.dags, server) {
            pair(file, "dag", &dag);
        }
    }
}

fn routes(
    file: &mut String,
    scenario: &Scenario,
    node: &str,
    address: impl Fn(&str, &str) -> String,
) {
    let cluster = &scenario.cluster;
    // The first is the one that the workload means by `mailbox`.
    let mailboxes = (1..=9).map(|n| Value::String(format!("user-{n}@mailbox.example")));
    line(file, format_args!("\n[[route]]"));
    pair(file, "domain", "mailbox.example");
    pair(file, "mailbox-server", &cluster.mailboxes);
    line(
        file,
        format_args!("mailboxes = {}", Value::Array(mailboxes.collect())),
    );
    let external = cluster
        .sinks
        .first()
        .map(|sink| ("external.example".to_owned(), sink));
    let own = cluster
        .sinks
        .iter()
        .map(|sink| (format!("{sink}.example"), sink));
    // Mail for this domain goes through the hubs in their order, and then to the first sink.
    if let Some(next) = cluster.next_hub(node) {
        line(file, format_args!("\n[[route]]"));
        pair(file, "domain", LEGACY_DOMAIN);
        pair(file, "hub", next);
    }
    let last = (cluster.hubs_2010.last().is_some_and(|last| last == node))
        .then(|| cluster.sinks.first())
        .flatten()
        .map(|sink| (LEGACY_DOMAIN.to_owned(), sink));
    for (domain, sink) in external.into_iter().chain(last).chain(own) {
        line(file, format_args!("\n[[route]]"));
        pair(file, "domain", &domain);
        pair(file, "smart-host", &address(node, sink));
    }
    for (domain, hosts) in &cluster.routes {
        if let Some(host) = hosts.get(node) {
            line(file, format_args!("\n[[route]]"));
            pair(file, "domain", domain);
            pair(file, "smart-host", &address(node, host));
        }
    }
    for (group, members) in &cluster.groups {
        let members = members.iter().map(|m| Value::String(m.clone()));
        line(file, format_args!("\n[[group]]"));
        pair(file, "address", group);
        line(
            file,
            format_args!("members = {}", Value::Array(members.collect())),
        );
    }
}

fn pair(file: &mut String, key: &str, text: &str) {
    line(file, format_args!("{key} = {}", Value::from(text)));
}

fn line(file: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(file, "{text}");
}

#[cfg(test)]
mod tests {
    use reference_node::config::Config;

    use super::*;

    const PLACE: NodePlace<'static> = NodePlace {
        data: ".",
        listen: "n1",
        http: None,
        secret: "a \"secret\"",
        sabotage: None,
        real_time: false,
    };

    fn scenario(text: &str) -> Scenario {
        let head = "title = \"t\"\nguarantees = []\non = [\"sim\"]\n";
        toml::from_str(&format!("{head}{text}")).expect("a scenario")
    }

    const SETTINGS: &str = r#"
        [config]
        ShadowHeartbeatFrequency = "2m"
        RejectMessageOnShadowFailure = true
        MaxRetriesForRemoteSiteShadow = 4
        ShadowMessagePreferenceSetting = "RemoteOnly"
        ConnectionInactivityTimeout = "4m"
        ConnectionInactivityTimeOut = "8m"
        [node.n1]
        ShadowHeartbeatFrequency = "1m"
        [real-time.config]
        ConnectionInactivityTimeout = "1m"
        [cluster]
        nodes = ["n1", "n2"]
        mailboxes = "n2"
        sinks = ["sink-1", "sink-2"]
        [cluster.sites]
        east = ["n1"]
        west = ["n2"]
        [cluster.dags]
        d1 = ["n2"]
    "#;

    #[test]
    fn a_node_in_the_simulator() {
        let scenario = scenario(SETTINGS);
        let text = node_config(&scenario, "n1", &PLACE, |_, to| to.into(), |d| d);
        Config::parse(&text).expect("the node takes it");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_node_on_real_sockets_with_scaled_time() {
        let scenario = scenario(SETTINGS);
        let place = NodePlace {
            data: "/tmp/run/n1",
            listen: "127.0.1.1:2500",
            http: Some("127.0.1.1:8000"),
            real_time: true,
            ..PLACE
        };
        let text = node_config(
            &scenario,
            "n1",
            &place,
            |from, to| format!("{from}.{to}:25"),
            |d| d / 60,
        );
        Config::parse(&text).expect("the node takes it");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_defaults_that_scenarios_count_on_are_the_nodes() {
        let parse = |settings: &[(String, String)]| {
            let config = Config::parse(&settings_config(settings, None)).expect("defaults");
            format!("{config:?}")
        };
        let all = PARAMETERS.iter().map(|p| (p.name.into(), p.default.into()));
        assert_eq!(parse(&all.collect::<Vec<_>>()), parse(&[]));
    }

    #[test]
    fn settings_alone_go_to_the_check() {
        let settings = |pairs: &[(&str, &str)]| {
            let owned: Vec<_> = pairs
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect();
            Config::parse(&settings_config(&owned, None))
                .map(drop)
                .map_err(|e| e.to_string())
        };
        assert_eq!(
            settings(&[
                ("RejectMessageOnShadowFailure", "true"),
                ("SafetyNetHoldTime", "2d")
            ]),
            Ok(())
        );
        let refused = settings(&[
            ("ConnectionInactivityTimeout", "\"10m\""),
            ("ConnectionTimeout", "10m"),
        ]);
        insta::assert_snapshot!(refused.expect_err("TO-08"), @"ConnectionInactivityTimeout (10m) must be less than ConnectionTimeout (10m)");
    }
}
