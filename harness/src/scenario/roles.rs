//! Roles of a cluster's nodes: which of them are front ends, and what that rules out.
//!
//! Comes in: the cluster of a scenario. Goes out: problems with places. Called by [`super::validate`].

use super::{Cluster, places::Place, spelling, validate::Check};

impl Cluster {
    /// It is a stateless front end.
    pub fn is_front_end(&self, node: &str) -> bool {
        self.front_ends.iter().any(|f| f == node)
    }

    /// The nodes with queues.
    pub fn transport_nodes(&self) -> impl Iterator<Item = &String> {
        self.nodes.iter().filter(|n| !self.is_front_end(n))
    }
}

/// `front-ends`: nodes, each once, not all of them, none with mailboxes, none in a DAG.
pub(super) fn front_ends(check: &mut Check<'_>, place: &Place<'_>) {
    let cluster = &check.scenario.cluster;
    let list = place.key("front-ends");
    members(check, &cluster.front_ends, &list, "front-ends");
    if !cluster.nodes.is_empty() && cluster.transport_nodes().next().is_none() {
        let help = "leave at least one of `nodes` out of `front-ends`".to_owned();
        check.problem(
            &list.span,
            "a cluster of front ends only",
            "nobody holds mail",
            Some(help),
        );
    }
    for (i, name) in cluster.front_ends.iter().enumerate() {
        let span = list.index(i).span;
        if *name == cluster.mailboxes {
            let help = "set `mailboxes` to another node".to_owned();
            check.problem(
                &span,
                format!("`{name}` has the mailboxes, and a front end has none"),
                "cannot be both",
                Some(help),
            );
        }
        if cluster.dags.values().flatten().any(|n| n == name) {
            let help = "a DAG's members are mailbox servers: take it out of `dags`".to_owned();
            check.problem(
                &span,
                format!("the front end `{name}` is in a DAG"),
                "cannot be both",
                Some(help),
            );
        }
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
