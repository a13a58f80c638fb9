//! Random clusters and configurations.
//!
//! Two to five nodes in one to three sites, with and without DAGs. Documented parameters are drawn around their defaults,
//! in ranges that an administrator could have chosen: the promotion comes after several heartbeats, expiry long after
//! the promotion.

use std::{collections::BTreeMap, time::Duration};

use super::{Dice, Settings};
use crate::scenario::{Cluster, Setting, Span};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn cluster(dice: &mut Dice) -> Cluster {
    let count = dice.pick([2, 2, 3, 3, 3, 4, 4, 5]);
    let nodes: Vec<String> = (1..=count).map(|n| format!("n{n}")).collect();
    let sites = dice.pick([1, 1, 1, 2, 2, 3]).min(count);
    let mailboxes = dice.one(&nodes).unwrap_or_default();
    let sinks = (1..=dice.pick([1, 1, 2]))
        .map(|n| format!("sink-{n}"))
        .collect();
    let mut cluster = Cluster {
        sites: BTreeMap::new(),
        dags: BTreeMap::new(),
        mailboxes,
        sinks,
        nodes,
        ..Cluster::default()
    };
    if sites > 1 {
        cluster.sites = groups(dice, &cluster.nodes, sites, "site");
    }
    if dice.chance(45) {
        cluster.dags = dags(dice, &cluster.nodes);
    }
    cluster
}

/// The nodes in so many groups, none of which is empty.
fn groups(
    dice: &mut Dice,
    nodes: &[String],
    count: u32,
    name: &str,
) -> BTreeMap<String, Vec<String>> {
    let mut shuffled = nodes.to_vec();
    dice.shuffle(&mut shuffled);
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, node) in (1..).zip(shuffled) {
        let group = if number <= count {
            number
        } else {
            dice.number(1, count)
        };
        groups
            .entry(format!("{name}-{group}"))
            .or_default()
            .push(node);
    }
    groups.values_mut().for_each(|nodes| nodes.sort());
    groups
}

/// One DAG with all nodes or some of them, or two.
fn dags(dice: &mut Dice, nodes: &[String]) -> BTreeMap<String, Vec<String>> {
    if nodes.len() >= 4 && dice.chance(30) {
        return groups(dice, nodes, 2, "dag");
    }
    let mut members = nodes.to_vec();
    if nodes.len() > 2 && dice.chance(40) {
        dice.shuffle(&mut members);
        members.truncate(nodes.len() - 1);
        members.sort();
    }
    BTreeMap::from([("dag-1".to_owned(), members)])
}

/// The parameters of all nodes. Each is left at its default in half of the runs.
pub(super) fn config(dice: &mut Dice, cluster: &Cluster) -> Settings {
    let mut config = Settings::new();
    let mut set = |name: &str, value: Setting| {
        config.insert(name.to_owned(), value);
    };
    let text = |span: Duration| Setting::Text(Span(span).to_string());
    if dice.chance(8) {
        set("ShadowRedundancyEnabled", Setting::Switch(false));
    }
    if dice.chance(35) {
        set("RejectMessageOnShadowFailure", Setting::Switch(true));
    }
    if !cluster.dags.is_empty() && dice.chance(60) {
        let preference = dice.pick(["PreferRemote", "RemoteOnly", "LocalOnly"]);
        set(
            "ShadowMessagePreferenceSetting",
            Setting::Text(preference.into()),
        );
    }
    for (name, most) in [
        ("MaxRetriesForRemoteSiteShadow", 5),
        ("MaxRetriesForLocalSiteShadow", 4),
        ("SmtpMaxSessionsPerNextHop", 8),
        ("TransientFailureRetryCount", 6),
    ] {
        if dice.chance(30) {
            set(name, Setting::Number(dice.number(1, most).into()));
        }
    }
    // The heartbeat, and what is built upon it.
    let heartbeat = if dice.chance(50) {
        dice.span(20 * SECOND, 10 * MINUTE)
    } else {
        2 * MINUTE
    };
    set("ShadowHeartbeatFrequency", text(heartbeat));
    let resubmit = if dice.chance(75) {
        dice.span(5 * heartbeat, (20 * heartbeat).max(HOUR))
    } else {
        3 * HOUR
    };
    set("ShadowResubmitTimeSpan", text(resubmit));
    for (name, least, most) in [
        ("ShadowCopyTimeout", 5 * SECOND, 2 * MINUTE),
        ("TransientFailureRetryInterval", 30 * SECOND, 10 * MINUTE),
        (
            "OutboundConnectionFailureRetryInterval",
            MINUTE,
            10 * MINUTE,
        ),
        ("ConnectionInactivityTimeOut", MINUTE, 10 * MINUTE),
        ("SafetyNetHoldTime", 24 * HOUR, 72 * HOUR),
        ("MessageExpirationTimeout", 24 * HOUR, 72 * HOUR),
        ("ShadowMessageAutoDiscardInterval", 24 * HOUR, 72 * HOUR),
    ] {
        if dice.chance(40) {
            set(name, text(dice.span(least, most)));
        }
    }
    // The whole of a session is longer than its silences may be (TO-08).
    if dice.chance(40) {
        let silence = dice.span(90 * SECOND, 5 * MINUTE);
        set("ConnectionInactivityTimeout", text(silence));
        set(
            "ConnectionTimeout",
            text(silence + dice.span(MINUTE, 10 * MINUTE)),
        );
    }
    config
}

/// Now and then one node is set up differently.
pub(super) fn own_config(dice: &mut Dice, cluster: &Cluster) -> BTreeMap<String, Settings> {
    let mut own = BTreeMap::new();
    if dice.chance(15)
        && let Some(node) = dice.one(&cluster.nodes)
    {
        let (name, value) = match dice.number(0, 2) {
            0 => (
                "ShadowHeartbeatFrequency",
                Setting::Text(Span(dice.span(20 * SECOND, 3 * MINUTE)).to_string()),
            ),
            1 => ("RejectMessageOnShadowFailure", Setting::Switch(true)),
            _ => (
                "ShadowCopyTimeout",
                Setting::Text(Span(dice.span(5 * SECOND, MINUTE)).to_string()),
            ),
        };
        own.insert(node, Settings::from([(name.to_owned(), value)]));
    }
    own
}
