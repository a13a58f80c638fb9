//! Roles of a cluster's nodes: which of them are front ends or 2010-style hubs, and what that rules out.
//!
//! Comes in: the cluster of a scenario. Goes out: problems with places. Called by [`super::validate`].

use std::ops::Range;

use super::{Cluster, places::Place, spelling, validate::Check};

/// Mail for this domain goes through the 2010-style hubs of a cluster.
pub const LEGACY_DOMAIN: &str = "legacy.example";

impl Cluster {
    /// It is a stateless front end.
    pub fn is_front_end(&self, node: &str) -> bool {
        self.front_ends.iter().any(|f| f == node)
    }

    /// It is a 2010-style hub.
    pub fn is_hub_2010(&self, node: &str) -> bool {
        self.hubs_2010.iter().any(|h| h == node)
    }

    /// The nodes that make copies for one another.
    pub fn nodes_2013(&self) -> impl Iterator<Item = &String> {
        let others = |n: &&String| !self.is_front_end(n) && !self.is_hub_2010(n);
        self.nodes.iter().filter(others)
    }

    /// The hub that a node sends the mail for hubs to: the first one, of a hub the one after it.
    pub fn next_hub(&self, node: &str) -> Option<&str> {
        let place = self.hubs_2010.iter().position(|h| h == node);
        let next = place.map_or(0, |place| place + 1);
        self.hubs_2010.get(next).map(String::as_str)
    }
}

/// `front-ends` and `hubs-2010`: nodes, each once, none with mailboxes, none in a DAG; and what they need beside them.
pub(super) fn roles(check: &mut Check<'_>, place: &Place<'_>) {
    let cluster = &check.scenario.cluster;
    for (key, names) in [
        ("front-ends", &cluster.front_ends),
        ("hubs-2010", &cluster.hubs_2010),
    ] {
        let list = place.key(key);
        members(check, names, &list, key);
        for (i, name) in names.iter().enumerate() {
            special(check, name, &list.index(i).span, key);
        }
    }
    if !cluster.front_ends.is_empty() && cluster.nodes_2013().next().is_none() {
        let help = "leave at least one of `nodes` out of `front-ends` and `hubs-2010`".to_owned();
        check.problem(
            &place.key("front-ends").span,
            "a cluster of front ends without a transport server behind them",
            "nobody holds mail",
            Some(help),
        );
    }
    let domain = LEGACY_DOMAIN.trim_end_matches(".example");
    let clash = cluster.sinks.iter().position(|sink| sink == domain);
    if let Some(i) = clash.filter(|_| !cluster.hubs_2010.is_empty()) {
        let help = format!("`@{LEGACY_DOMAIN}` goes through the hubs: call the sink otherwise");
        check.problem(
            &place.key("sinks").index(i).span,
            format!("a sink is called `{domain}` in a cluster with 2010-style hubs"),
            "cannot be reached",
            Some(help),
        );
    }
}

/// What a node of a special role cannot be besides.
fn special(check: &mut Check<'_>, name: &str, span: &Range<usize>, key: &str) {
    let cluster = &check.scenario.cluster;
    if name == cluster.mailboxes {
        let help = "set `mailboxes` to another node".to_owned();
        check.problem(
            span,
            format!("`{name}` has the mailboxes, and those of `{key}` have none"),
            "cannot be both",
            Some(help),
        );
    }
    if cluster.dags.values().flatten().any(|n| n == name) {
        let help = "a DAG's members are mailbox servers: take it out of `dags`".to_owned();
        check.problem(
            span,
            format!("`{name}` of `{key}` is in a DAG"),
            "cannot be both",
            Some(help),
        );
    }
    if key == "hubs-2010" && cluster.is_front_end(name) {
        let help = "a front end has no queues: take it out of one of the two".to_owned();
        check.problem(
            span,
            format!("`{name}` is a front end and a 2010-style hub"),
            "cannot be both",
            Some(help),
        );
    }
}

/// A list of nodes, each of which is one and stands in it once.
fn members(check: &mut Check<'_>, names: &[String], list: &Place<'_>, key: &str) {
    let nodes = &check.scenario.cluster.nodes;
    for (i, name) in names.iter().enumerate() {
        let span = list.index(i).span;
        if !nodes.contains(name) {
            let help = spelling::help(name, nodes.iter().map(String::as_str));
            check.problem(
                &span,
                format!("`{key}` names `{name}`, which is no node"),
                "add it to `nodes`, too",
                help,
            );
        } else if names[..i].contains(name) {
            check.problem(
                &span,
                format!("`{name}` stands twice in `{key}`"),
                "again",
                None,
            );
        }
    }
}
