//! Random clusters and configurations.
//!
//! Two to five nodes in one to three sites, with and without DAGs, distribution groups and front ends before them.
//! Documented parameters are drawn around their defaults, in ranges that an administrator could have chosen: the promotion
//! comes after several heartbeats, expiry after the promotion, and in most runs long after it.

use std::{collections::BTreeMap, time::Duration};

use super::{Dice, Settings};
use crate::scenario::{Cluster, Setting, Span};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The distribution group that mail is sent to, when there is one.
pub(super) const TEAM: &str = "team@groups.example";

const PARTNERS: &str = "partners@groups.example";

/// A run with a shorter MessageExpirationTimeout is about expiry, and waits for it.
pub(super) const SHORT_EXPIRY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn cluster(dice: &mut Dice) -> Cluster {
    let count = dice.pick([2, 2, 3, 3, 3, 4, 4, 5]);
    let nodes: Vec<String> = (1..=count).map(|n| format!("n{n}")).collect();
    let sites = dice.pick([1, 1, 1, 2, 2, 3]).min(count);
    let mailboxes = dice.one(&nodes).unwrap_or_default();
    let sinks: Vec<String> = (1..=dice.pick([1, 1, 2]))
        .map(|n| format!("sink-{n}"))
        .collect();
    let groups = if dice.chance(25) {
        groups(dice, &sinks)
    } else {
        BTreeMap::new()
    };
    let mut cluster = Cluster {
        sites: BTreeMap::new(),
        dags: BTreeMap::new(),
        mailboxes,
        sinks,
        nodes,
        groups,
        ..Cluster::default()
    };
    if sites > 1 {
        cluster.sites = parts(dice, &cluster.nodes, sites, "site");
    }
    if dice.chance(45) {
        cluster.dags = dags(dice, &cluster.nodes);
    }
    if dice.chance(25) {
        front_ends(dice, &mut cluster);
    }
    cluster
}

/// One or two front ends, each in one of the sites.
fn front_ends(dice: &mut Dice, cluster: &mut Cluster) {
    for number in 1..=dice.pick([1, 1, 2]) {
        let name = format!("f{number}");
        let sites: Vec<String> = cluster.sites.keys().cloned().collect();
        let site = dice.one(&sites);
        if let Some(members) = site.and_then(|site| cluster.sites.get_mut(&site)) {
            members.push(name.clone());
        }
        cluster.nodes.push(name.clone());
        cluster.front_ends.push(name);
    }
}

/// A distribution group with members of several next hops, and maybe another group among them.
fn groups(dice: &mut Dice, sinks: &[String]) -> BTreeMap<String, Vec<String>> {
    let some = |dice: &mut Dice, users: [u32; 2]| {
        let mailboxes = users.map(|n| format!("user-{n}@mailbox.example"));
        let outside = sinks.iter().map(|sink| format!("member@{sink}.example"));
        let mut members: Vec<String> = mailboxes.into_iter().chain(outside).collect();
        dice.shuffle(&mut members);
        members.truncate(dice.pick([1, 2, 2, 3]));
        members
    };
    let mut team = some(dice, [1, 4]);
    let mut groups = BTreeMap::new();
    if dice.chance(30) {
        team.push(PARTNERS.into());
        let mut partners = some(dice, [4, 5]);
        if dice.chance(30) {
            // Groups may name one another.
            partners.push(TEAM.into());
        }
        groups.insert(PARTNERS.to_owned(), partners);
    }
    groups.insert(TEAM.to_owned(), team);
    groups
}

/// The nodes in so many parts, none of which is empty.
fn parts(
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
        return parts(dice, nodes, 2, "dag");
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
        ("MessageExpirationTimeout", SHORT_EXPIRY, 72 * HOUR),
        ("ShadowMessageAutoDiscardInterval", 24 * HOUR, 72 * HOUR),
    ] {
        if dice.chance(40) {
            set(name, text(dice.span(least, most)));
        }
    }
    if dice.chance(15) {
        let promotion = resubmit + 4 * heartbeat;
        let expiry = dice.span(promotion + HOUR, 2 * promotion + 2 * HOUR);
        set(
            "MessageExpirationTimeout",
            text(expiry.min(SHORT_EXPIRY - MINUTE)),
        );
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
    let transports: Vec<String> = cluster.nodes_2013().cloned().collect();
    if dice.chance(15)
        && let Some(node) = dice.one(&transports)
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
