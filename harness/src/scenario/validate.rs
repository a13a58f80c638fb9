//! What only a reader of the whole file can know: names that exist, values of their parameter's kind, ranges in order.
//!
//! Comes in: the model, and the document it was read from. Goes out: problems with places. Called by the parser;
//! steps are in [`super::validate_steps`].

use std::{collections::BTreeMap, ops::Range};

use super::{
    Scenario, Setting, Span,
    parameters::{Kind, PARAMETERS, parameter},
    parse::{Known, Problem},
    places::Place,
    roles, spelling, validate_steps,
};

/// The substrates a scenario can be meant for.
pub const SUBSTRATES: &[&str] = &["sim", "process", "container", "vm"];

/// The kinds of fault that chaos draws from, with what each does.
pub const CHAOS_FAULTS: [(&str, &str); 6] = [
    (
        "process-crash",
        "a node's process ends, and is started again with the same database",
    ),
    (
        "host-crash",
        "a node's host loses power, and is started again from what was synced",
    ),
    (
        "new-database",
        "a node's host loses power, and it comes back with a new transport database",
    ),
    (
        "freeze",
        "a node stops in the middle of whatever it does, and goes on",
    ),
    (
        "partition",
        "nothing passes between two hosts, until it is healed",
    ),
    ("reset", "the open connections of a link are reset"),
];

/// Every problem of a scenario, in the order of its sections; empty when there is none.
pub(super) fn problems(scenario: &Scenario, root: &Place<'_>, known: Known<'_>) -> Vec<Problem> {
    let mut check = Check {
        scenario,
        known,
        problems: Vec::new(),
    };
    check.header(root);
    check.cluster(&root.key("cluster"));
    check.addresses(&root.key("cluster"));
    check.settings(&scenario.config, &root.key("config"), Strictness::Full);
    for (node, settings) in &scenario.node {
        let place = root.key("node").key(node);
        check.node(node, &place.key);
        check.settings(settings, &place, Strictness::Full);
    }
    if let Some(real_time) = &scenario.real_time {
        check.settings(
            &real_time.config,
            &root.key("real-time").key("config"),
            Strictness::Full,
        );
    }
    validate_steps::steps(&mut check, root);
    check.chaos(&root.key("chaos"));
    check.positive(
        scenario.settle.at_most,
        &root.key("settle").key("at-most").span,
    );
    check.problems
}

/// How closely parameters are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Names and values.
    Full,
    /// Names only: a `check-config` step offers bad values on purpose.
    Names,
}

/// The checks under way.
pub(super) struct Check<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) known: Known<'a>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    pub(super) fn problem(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        self.problems.push(Problem {
            span: span.clone(),
            message: message.into(),
            label: label.into(),
            help,
        });
    }

    fn header(&mut self, root: &Place<'_>) {
        let scenario = self.scenario;
        if scenario.title.trim().is_empty() {
            self.problem(
                &root.key("title").span,
                "the title is empty",
                "empty",
                Some("say in one line what happens".into()),
            );
        }
        if scenario.guarantees.is_empty() {
            let help = "name what it tests, as in `guarantees = [\"SC-01\"]`; `gauntlet list guarantees` has them all";
            self.problem(
                &root.key("guarantees").span,
                "a scenario that tests no guarantee",
                "empty",
                Some(help.into()),
            );
        }
        for (i, id) in scenario.guarantees.iter().enumerate() {
            let place = root.key("guarantees").index(i);
            if !(self.known.guarantee)(id) {
                let help = "`gauntlet list guarantees` has them all".to_owned();
                self.problem(
                    &place.span,
                    format!("no guarantee has the ID `{id}`"),
                    "not in the catalogue",
                    Some(help),
                );
            } else if scenario.guarantees[..i].contains(id) {
                self.problem(&place.span, format!("`{id}` is named twice"), "again", None);
            }
        }
        if scenario.on.is_empty() {
            let help = "as in `on = [\"sim\", \"process\"]`".to_owned();
            self.problem(
                &root.key("on").span,
                "a scenario that is meant for no substrate",
                "empty",
                Some(help),
            );
        }
        for (i, on) in scenario.on.iter().enumerate() {
            if !SUBSTRATES.contains(&on.as_str()) {
                let help = spelling::help(on, SUBSTRATES.iter().copied());
                self.problem(
                    &root.key("on").index(i).span,
                    format!("no substrate is called `{on}`"),
                    "not known",
                    help,
                );
            }
        }
        if scenario.step.is_empty() && scenario.chaos.is_none() {
            let help = "add a `[[step]]`, as in `submit = { to = \"n1\" }`, or a `[chaos]` table"
                .to_owned();
            self.problem(
                &root.span,
                "a scenario in which nothing is done",
                "no step, no chaos",
                Some(help),
            );
        }
    }

    fn cluster(&mut self, place: &Place<'_>) {
        let cluster = &self.scenario.cluster;
        if cluster.nodes.is_empty() {
            self.problem(
                &place.key("nodes").span,
                "a cluster without a node",
                "empty",
                None,
            );
        }
        let hosts = [("nodes", &cluster.nodes), ("sinks", &cluster.sinks)];
        let mut seen: Vec<&str> = Vec::new();
        for (key, names) in hosts {
            for (i, name) in names.iter().enumerate() {
                let span = place.key(key).index(i).span;
                if !is_name(name) || is_client(name) || name == "operator" {
                    let help = "small letters, digits and hyphens; `client-1`… are the clients, `operator` is the harness";
                    self.problem(
                        &span,
                        format!("`{name}` is no name for a host"),
                        "cannot be used",
                        Some(help.into()),
                    );
                } else if seen.contains(&name.as_str()) {
                    self.problem(
                        &span,
                        format!("two hosts are called `{name}`"),
                        "again",
                        None,
                    );
                }
                seen.push(name);
            }
        }
        if !cluster.nodes.contains(&cluster.mailboxes) {
            let place = place.key("mailboxes");
            let help = format!(
                "set `mailboxes` to one of the nodes: {}",
                quoted(&cluster.nodes)
            );
            self.problem(
                &place.span,
                format!(
                    "the mailboxes are on `{}`, which is no node",
                    cluster.mailboxes
                ),
                "no such node",
                Some(help),
            );
        }
        roles::roles(self, place);
        for (key, groups) in [("sites", &cluster.sites), ("dags", &cluster.dags)] {
            let mut members: Vec<&str> = Vec::new();
            for (group, nodes) in groups {
                for (i, node) in nodes.iter().enumerate() {
                    let span = place.key(key).key(group).index(i).span;
                    self.node(node, &span);
                    if members.contains(&node.as_str()) {
                        self.problem(
                            &span,
                            format!("`{node}` stands twice in `{key}`"),
                            "again",
                            None,
                        );
                    }
                    members.push(node);
                }
            }
            if key == "sites" && !groups.is_empty() {
                for node in cluster
                    .nodes
                    .iter()
                    .filter(|n| !members.contains(&n.as_str()))
                {
                    let help = "when there are sites, every node is in one of them".to_owned();
                    self.problem(
                        &place.key(key).key,
                        format!("`{node}` is in no site"),
                        "one is missing",
                        Some(help),
                    );
                }
            }
        }
    }

    /// Groups and the routes of single nodes.
    fn addresses(&mut self, place: &Place<'_>) {
        let cluster = &self.scenario.cluster;
        let routed = |address: &str| {
            let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
            let sink = domain.strip_suffix(".example");
            let of_sink = sink.is_some_and(|name| cluster.sinks.iter().any(|s| s == name));
            let external = domain == "external.example" && !cluster.sinks.is_empty();
            domain == "mailbox.example" || external || of_sink
        };
        for (group, members) in &cluster.groups {
            let at = place.key("groups").key(group);
            if !group.contains('@') {
                let help = Some("an address, as in `\"team@groups.example\"`".to_owned());
                let message = format!("`{group}` is no group's address");
                self.problem(&at.key, message, "no address", help);
            }
            if members.is_empty() {
                self.problem(&at.span, format!("`{group}` has no members"), "empty", None);
            }
            for (i, member) in members.iter().enumerate() {
                let is_group = cluster
                    .groups
                    .keys()
                    .any(|g| g.eq_ignore_ascii_case(member));
                if !is_group && !routed(member) {
                    let help = "a member is at `mailbox.example`, `external.example`, `<sink>.example`, or is a group";
                    let message = format!("no node has a route to `{member}`");
                    let span = at.index(i).span;
                    self.problem(&span, message, "cannot be reached", Some(help.into()));
                }
            }
            if !members.is_empty() && cluster.members(group).is_empty() {
                let message = format!("`{group}` has no member but groups");
                self.problem(&at.span, message, "nobody is in it", None);
            }
        }
        for (domain, hosts) in &cluster.routes {
            let at = place.key("routes").key(domain);
            if routed(&format!("x@{domain}")) {
                let message = format!("`{domain}` has a route already");
                let help = "choose a domain that no sink and no mailbox has".to_owned();
                self.problem(&at.key, message, "known to all nodes", Some(help));
            }
            for (node, host) in hosts {
                let place = at.key(node);
                self.node(node, &place.key);
                let known = cluster
                    .nodes
                    .iter()
                    .chain(&cluster.sinks)
                    .any(|h| h == host);
                if !known || host == node {
                    let help = "another node, or a sink".to_owned();
                    let message =
                        format!("`{node}` cannot send the mail for `{domain}` to `{host}`");
                    self.problem(&place.span, message, "no next hop", Some(help));
                }
            }
        }
    }

    /// Documented parameters.
    pub(super) fn settings(
        &mut self,
        settings: &BTreeMap<String, Setting>,
        place: &Place<'_>,
        strictness: Strictness,
    ) {
        for (name, value) in settings {
            let at = place.key(name);
            let Some(parameter) = parameter(name) else {
                let help = spelling::nearest(name, PARAMETERS.iter().map(|p| p.name))
                    .map(|n| format!("did you mean `{n}`?"));
                let help = help.unwrap_or_else(|| {
                    "the names are the documented ones; see `gauntlet schema`".into()
                });
                self.problem(
                    &at.key,
                    format!("no parameter is called `{name}`"),
                    "not known",
                    Some(help),
                );
                continue;
            };
            if strictness == Strictness::Names {
                continue;
            }
            match (parameter.kind, value) {
                (Kind::Switch, Setting::Switch(_)) | (Kind::Number, Setting::Number(_)) => {}
                (Kind::Duration, Setting::Text(text)) => match text.parse::<Span>() {
                    Ok(span) => self.positive(span, &at.span),
                    Err(e) => self.problem(&at.span, format!("{name}: {e}"), "no duration", None),
                },
                (Kind::Name(names), Setting::Text(text)) if names.contains(&text.as_str()) => {}
                (Kind::Name(names), Setting::Text(text)) => {
                    let help = spelling::help(text, names.iter().copied());
                    self.problem(
                        &at.span,
                        format!("{name} cannot be `{text}`"),
                        "not one of its values",
                        help,
                    );
                }
                (kind, _) => {
                    self.problem(
                        &at.span,
                        format!("{name} has the wrong kind of value"),
                        "of another kind",
                        Some(format!("it is {}", kind.description())),
                    );
                }
            }
        }
    }

    fn chaos(&mut self, place: &Place<'_>) {
        let Some(chaos) = &self.scenario.chaos else {
            return;
        };
        for (key, [least, most]) in [("rounds", chaos.rounds), ("messages", chaos.messages)] {
            let span = place.key(key).span;
            if least > most {
                self.problem(
                    &span,
                    format!("`{key}` goes from {least} down to {most}"),
                    "least, then most",
                    None,
                );
            } else if least == 0 {
                self.problem(&span, format!("`{key}` begins at 0"), "at least 1", None);
            }
        }
        if chaos.faults.is_empty() {
            self.problem(
                &place.key("faults").span,
                "chaos without a fault",
                "empty",
                None,
            );
        }
        for (i, fault) in chaos.faults.iter().enumerate() {
            if !CHAOS_FAULTS.iter().any(|(name, _)| name == fault) {
                let help = spelling::help(fault, CHAOS_FAULTS.iter().map(|(name, _)| *name));
                self.problem(
                    &place.key("faults").index(i).span,
                    format!("chaos knows no fault `{fault}`"),
                    "not known",
                    help,
                );
            }
        }
        let [shortest, longest] = chaos.outage;
        self.positive(shortest, &place.key("outage").index(0).span);
        if shortest > longest {
            let message = format!("`outage` goes from {shortest} down to {longest}");
            self.problem(
                &place.key("outage").span,
                message,
                "shortest, then longest",
                None,
            );
        }
        if chaos.trigger_share_percent > 100 {
            self.problem(
                &place.key("trigger-share-percent").span,
                "more than 100 percent",
                "0 to 100",
                None,
            );
        }
    }

    /// A node's name.
    pub(super) fn node(&mut self, name: &str, span: &Range<usize>) {
        let nodes = &self.scenario.cluster.nodes;
        if !nodes.iter().any(|n| n == name) {
            let help = spelling::help(name, nodes.iter().map(String::as_str));
            self.problem(
                span,
                format!("the cluster has no node `{name}`"),
                "no such node",
                help,
            );
        }
    }

    /// A duration that must last.
    pub(super) fn positive(&mut self, span: Span, at: &Range<usize>) {
        if span.0.is_zero() {
            self.problem(at, "a duration of zero", "must be longer", None);
        }
    }
}

/// A host's name: small letters, digits and hyphens, a letter first.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// `client-1`, `client-2`…
pub(super) fn is_client(name: &str) -> bool {
    name.strip_prefix("client-")
        .is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 0) && !n.starts_with(['0', '+']))
}

pub(super) fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
