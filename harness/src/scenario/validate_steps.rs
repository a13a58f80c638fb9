//! The checks of `[[step]]` and `[[fault]]`: hosts and links that exist, steps that can be done.
//!
//! Comes in: the checks under way, from [`super::validate`]. Goes out: problems, into them.

use std::ops::Range;

use super::{
    SinkBehaviour, Step, Submit, ToxicStep, Trigger,
    places::Place,
    spelling,
    validate::{Check, Strictness, is_client, quoted},
};
use crate::{
    tap::When,
    toxics::{self, Kind},
};

/// Checks all steps and triggers.
pub(super) fn steps(check: &mut Check<'_>, root: &Place<'_>) {
    let scenario = check.scenario;
    let mut snapshots: Vec<&str> = Vec::new();
    for (i, step) in scenario.step.iter().enumerate() {
        let place = root.key("step").index(i);
        check.step(step, &place, &snapshots);
        if let Step::Snapshot { node } = step {
            snapshots.push(node);
        }
    }
    for trigger in &scenario.fault {
        if let Step::Snapshot { node } = &trigger.action {
            snapshots.push(node);
        }
    }
    for (i, trigger) in scenario.fault.iter().enumerate() {
        check.trigger(trigger, &root.key("fault").index(i), &snapshots);
    }
}

/// A step's key in the file, e.g. `wait-quiet`.
pub(crate) const fn key(step: &Step) -> &'static str {
    match step {
        Step::Submit(_) => "submit",
        Step::Resend(_) => "resend",
        Step::Wait { .. } => "wait",
        Step::WaitQuiet { .. } => "wait-quiet",
        Step::Crash { .. } => "crash",
        Step::Start { .. } => "start",
        Step::Destroy { .. } => "destroy",
        Step::Freeze { .. } => "freeze",
        Step::Thaw { .. } => "thaw",
        Step::Snapshot { .. } => "snapshot",
        Step::Revert { .. } => "revert",
        Step::FillDisk { .. } => "fill-disk",
        Step::FreeDisk { .. } => "free-disk",
        Step::ReadOnlyDisk { .. } => "read-only-disk",
        Step::RepairDisk { .. } => "repair-disk",
        Step::JumpClock(_) => "jump-clock",
        Step::CorrectClock { .. } => "correct-clock",
        Step::StarveCpu { .. } => "starve-cpu",
        Step::FeedCpu { .. } => "feed-cpu",
        Step::Save { .. } => "save",
        Step::Resume { .. } => "resume",
        Step::Migrate { .. } => "migrate",
        Step::Shutdown { .. } => "shutdown",
        Step::Balloon { .. } => "balloon",
        Step::Deflate { .. } => "deflate",
        Step::Partition(_) => "partition",
        Step::Delay { .. } => "delay",
        Step::BlackHole { .. } => "black-hole",
        Step::Reset { .. } => "reset",
        Step::Toxic(_) => "toxic",
        Step::Down { .. } => "down",
        Step::Garble { .. } => "garble",
        Step::DelayReply { .. } => "delay-reply",
        Step::Heal { .. } => "heal",
        Step::Sink { .. } => "sink",
        Step::Idle { .. } => "idle",
        Step::Busy(_) => "busy",
        Step::PeerVerbs { .. } => "peer-verbs",
        Step::Observe {} => "observe",
        Step::Resubmit { .. } => "resubmit",
        Step::CheckConfig { .. } => "check-config",
    }
}

/// Whether a trigger may do it: a fault, or what takes one back. It acts between two octets, so it never waits.
const fn may_be_triggered(step: &Step) -> bool {
    matches!(
        step,
        Step::Crash { .. }
            | Step::Start { .. }
            | Step::Destroy { .. }
            | Step::Freeze { .. }
            | Step::Thaw { .. }
            | Step::Snapshot { .. }
            | Step::Revert { .. }
            | Step::FillDisk { .. }
            | Step::FreeDisk { .. }
            | Step::ReadOnlyDisk { .. }
            | Step::RepairDisk { .. }
            | Step::JumpClock(_)
            | Step::CorrectClock { .. }
            | Step::StarveCpu { .. }
            | Step::FeedCpu { .. }
            | Step::Save { .. }
            | Step::Resume { .. }
            | Step::Migrate { .. }
            | Step::Shutdown { .. }
            | Step::Balloon { .. }
            | Step::Deflate { .. }
            | Step::Partition(_)
            | Step::Delay { .. }
            | Step::BlackHole { .. }
            | Step::Reset { .. }
            | Step::Toxic(_)
            | Step::Down { .. }
            | Step::Garble { .. }
            | Step::DelayReply { .. }
            | Step::Heal { .. }
    )
}

impl Check<'_> {
    fn step(&mut self, step: &Step, place: &Place<'_>, snapshots: &[&str]) {
        let at = place.key(key(step));
        match step {
            Step::Submit(submit) => self.submit(submit, &at),
            Step::Resend(resend) => {
                self.client(&resend.client, &at.key("client").span);
                self.node(&resend.to, &at.key("to").span);
            }
            Step::Wait { duration } => self.positive(*duration, &at.key("for").span),
            Step::WaitQuiet { at_most } => self.positive(*at_most, &at.key("at-most").span),
            Step::Crash { node, .. }
            | Step::Start { node, .. }
            | Step::Destroy { node }
            | Step::Freeze { node }
            | Step::Thaw { node }
            | Step::FillDisk { node }
            | Step::FreeDisk { node }
            | Step::ReadOnlyDisk { node }
            | Step::RepairDisk { node }
            | Step::CorrectClock { node }
            | Step::FeedCpu { node }
            | Step::Save { node }
            | Step::Resume { node, .. }
            | Step::Migrate { node }
            | Step::Shutdown { node }
            | Step::Deflate { node }
            | Step::Snapshot { node } => self.node(node, &at.key("node").span),
            Step::Revert { node } => {
                self.node(node, &at.key("node").span);
                if !snapshots.contains(&node.as_str()) {
                    let help = format!("put a step `snapshot = {{ node = \"{node}\" }}` before it");
                    self.problem(
                        &at.key("node").span,
                        format!("`{node}` has no snapshot to go back to"),
                        "no snapshot yet",
                        Some(help),
                    );
                }
            }
            Step::JumpClock(jump) => {
                self.node(&jump.node, &at.key("node").span);
                for (key, span) in [("ahead", jump.ahead), ("back", jump.back)] {
                    if let Some(span) = span {
                        self.positive(span, &at.key(key).span);
                    }
                }
                if jump.ahead.is_some() == jump.back.is_some() {
                    let help = "as in `ahead = \"2h\"`, or `back = \"2h\"`".to_owned();
                    self.problem(
                        &at.span,
                        "a clock jumps either ahead or back",
                        "one of the two",
                        Some(help),
                    );
                }
            }
            Step::StarveCpu { node, percent } => {
                self.node(node, &at.key("node").span);
                if !(1..100).contains(percent) {
                    self.problem(
                        &at.key("percent").span,
                        format!("{percent} hundredths of a processor"),
                        "1 to 99",
                        None,
                    );
                }
            }
            Step::Balloon { node, megabytes } => {
                self.node(node, &at.key("node").span);
                if *megabytes == 0 {
                    self.problem(
                        &at.key("megabytes").span,
                        "a balloon of 0 megabytes",
                        "at least 1",
                        None,
                    );
                }
            }
            Step::Partition(partition) => {
                self.host(&partition.a, &at.key("a").span);
                self.host(&partition.b, &at.key("b").span);
                if partition.a == partition.b {
                    self.problem(
                        &at.key("b").span,
                        format!("a partition between `{0}` and `{0}`", partition.a),
                        "the same host",
                        None,
                    );
                }
            }
            Step::Delay { link, latency } | Step::DelayReply { link, latency } => {
                self.link(link, &at.key("link").span, false);
                self.positive(*latency, &at.key("latency").span);
            }
            Step::BlackHole { link, .. }
            | Step::Reset { link }
            | Step::Down { link }
            | Step::Garble { link } => self.link(link, &at.key("link").span, false),
            Step::Toxic(toxic) => self.toxic(toxic, &at),
            Step::Heal { a, b } => {
                match (a, b) {
                    (None, None) => {}
                    (Some(a), Some(b)) => {
                        self.host(a, &at.key("a").span);
                        self.host(b, &at.key("b").span);
                    }
                    _ => {
                        let help = "name both hosts to heal what is between them, or none to heal everything".to_owned();
                        self.problem(
                            &at.span,
                            "`heal` with one host",
                            "the other is missing",
                            Some(help),
                        );
                    }
                }
            }
            Step::Sink {
                sink,
                behaviour,
                count,
            } => self.sink(sink, behaviour, *count, &at),
            Step::Idle {
                client,
                to,
                at_most,
            } => {
                self.client(client, &at.key("client").span);
                self.node(to, &at.key("to").span);
                self.positive(*at_most, &at.key("at-most").span);
            }
            Step::Busy(busy) => {
                self.client(&busy.client, &at.key("client").span);
                self.node(&busy.to, &at.key("to").span);
                self.positive(busy.every, &at.key("every").span);
                self.positive(busy.at_most, &at.key("at-most").span);
            }
            Step::PeerVerbs { client, to } => {
                self.client(client, &at.key("client").span);
                self.node(to, &at.key("to").span);
            }
            Step::Observe {} => {}
            Step::Resubmit { node, from, to } => {
                self.node(node, &at.key("node").span);
                if from <= to {
                    let help = "both say how long ago: `from` is the longer time, as in `from = \"3h\", to = \"1h\"`".to_owned();
                    self.problem(
                        &at.key("from").span,
                        format!("an interval from {from} ago to {to} ago"),
                        "ends before it begins",
                        Some(help),
                    );
                }
            }
            Step::CheckConfig { config } => {
                self.settings(config, &at.key("config"), Strictness::Names)
            }
        }
    }

    fn submit(&mut self, submit: &Submit, at: &Place<'_>) {
        self.client(&submit.client, &at.key("client").span);
        self.node(&submit.to, &at.key("to").span);
        for (key, number) in [("count", submit.count), ("sessions", submit.sessions)] {
            if number == 0 {
                self.problem(
                    &at.key(key).span,
                    format!("`{key}` is 0"),
                    "at least 1",
                    None,
                );
            }
        }
        let message = submit.message.as_str();
        if !["generated", "all", "looped"].contains(&message) && !(self.known.message)(message) {
            let help =
                "`generated`, `all`, `looped`, or the name of a file in suites/messages/ without `.eml`"
                    .to_owned();
            self.problem(
                &at.key("message").span,
                format!("there is no test message `{message}`"),
                "no such message",
                Some(help),
            );
        }
        if submit.recipients.is_empty() {
            self.problem(
                &at.key("recipients").span,
                "a message without a recipient",
                "empty",
                None,
            );
        }
        for (i, recipient) in submit.recipients.iter().enumerate() {
            let words = ["mailbox", "external"];
            let address = recipient
                .split_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
            if !address && !words.contains(&recipient.as_str()) {
                let help =
                    spelling::nearest(recipient, words).map(|n| format!("did you mean `{n}`?"));
                let help = help.unwrap_or_else(|| "an address, or `mailbox`, or `external`".into());
                self.problem(
                    &at.key("recipients").index(i).span,
                    format!("`{recipient}` is no recipient"),
                    "no address",
                    Some(help),
                );
            }
        }
        if submit.hello == super::Hello::Helo && submit.transfer == super::Transfer::Bdat {
            let help = "BDAT is an extension (RFC 3030): it needs EHLO".to_owned();
            self.problem(
                &at.key("transfer").span,
                "BDAT after HELO",
                "cannot be",
                Some(help),
            );
        }
        for (key, span) in [("every", submit.every), ("patience", submit.patience)] {
            if let Some(span) = span {
                self.positive(span, &at.key(key).span);
            }
        }
    }

    fn toxic(&mut self, toxic: &ToxicStep, at: &Place<'_>) {
        self.link(&toxic.link, &at.key("link").span, false);
        let Some(mut kind) = Kind::of_type(&toxic.type_name) else {
            let types = toxics::toxic_types().iter().map(|(name, _)| *name);
            let help = spelling::help(&toxic.type_name, types);
            let message = format!("there is no toxic `{}`", toxic.type_name);
            return self.problem(&at.key("type").span, message, "no such type", help);
        };
        for (name, value) in &toxic.attributes {
            if let Err(error) = kind.set(&[(name.clone(), *value)].into()) {
                let help = spelling::help(name, error.known.iter().copied());
                let place = at.key("attributes").key(name);
                self.problem(
                    &place.key,
                    format!("`{}` has no attribute `{name}`", toxic.type_name),
                    "no such attribute",
                    help,
                );
            }
        }
        if !(0.0..=1.0).contains(&toxic.toxicity) {
            let help = "the share of connections that it works on: 0 none, 1 all".to_owned();
            self.problem(
                &at.key("toxicity").span,
                format!("a toxicity of {}", toxic.toxicity),
                "0 to 1",
                Some(help),
            );
        }
        if self.scenario.on.iter().any(|on| on == "sim") {
            let help = "write `on = [\"process\"]`".to_owned();
            let message = "toxics work on `process` only: the simulated network has no sockets";
            self.problem(&at.key, message, "not on `sim`", Some(help));
        }
    }

    fn sink(&mut self, sink: &str, behaviour: &SinkBehaviour, count: Option<u32>, at: &Place<'_>) {
        let sinks = &self.scenario.cluster.sinks;
        if !sinks.iter().any(|s| s == sink) {
            let help = spelling::help(sink, sinks.iter().map(String::as_str));
            self.problem(
                &at.key("sink").span,
                format!("the cluster has no sink `{sink}`"),
                "no such sink",
                help,
            );
        }
        let place = at.key("behaviour");
        match behaviour {
            SinkBehaviour::Defer(code) if !(400..500).contains(code) => {
                self.problem(
                    &place.span,
                    format!("a sink that defers with {code}"),
                    "400 to 499",
                    None,
                );
            }
            SinkBehaviour::Refuse(code) if !(500..600).contains(code) => {
                self.problem(
                    &place.span,
                    format!("a sink that refuses with {code}"),
                    "500 to 599",
                    None,
                );
            }
            SinkBehaviour::RefuseRecipient(to) if !to.contains('@') => {
                let help = "an address that mail is sent to, as in `gone@external.example`";
                self.problem(
                    &place.span,
                    format!("`{to}` is no address"),
                    "no address",
                    Some(help.to_owned()),
                );
            }
            SinkBehaviour::Slow(span) => self.positive(*span, &place.span),
            _ => {}
        }
        if count == Some(0) {
            self.problem(&at.key("count").span, "`count` is 0", "at least 1", None);
        }
    }

    fn trigger(&mut self, trigger: &Trigger, place: &Place<'_>, snapshots: &[&str]) {
        let when = place.key("when");
        match When::parse(&trigger.when) {
            Err(error) => {
                let message = format!("`{}` is no event on a link or within a node", trigger.when);
                self.problem(&when.span, message, "not understood", Some(error.reason));
            }
            Ok(parsed) => match parsed.node() {
                Some(node) => self.local_trigger(node, &when.span),
                None => {
                    if let Some((link, _)) = trigger.when.trim().split_once(char::is_whitespace) {
                        self.link(link, &when.span, true);
                    }
                }
            },
        }
        if trigger.nth == 0 {
            self.problem(&place.key("nth").span, "`nth` is 0", "the first is 1", None);
        }
        if trigger.every == Some(0) {
            let help = "to strike once, leave it out".to_owned();
            self.problem(
                &place.key("every").span,
                "`every` is 0",
                "at least 1",
                Some(help),
            );
        }
        for (name, step) in [
            ("do", Some(&trigger.action)),
            ("then", trigger.then.as_ref()),
        ] {
            let Some(step) = step else { continue };
            let at = place.key(name);
            if may_be_triggered(step) {
                self.step(step, &at, snapshots);
            } else {
                let help =
                    "a trigger does a fault, takes one back, or takes a snapshot; it never waits"
                        .to_owned();
                self.problem(
                    &at.key(key(step)).key,
                    format!("a trigger cannot do `{}`", key(step)),
                    "cannot be triggered",
                    Some(help),
                );
            }
        }
        if trigger.after.is_some() && trigger.then.is_none() {
            let help =
                "say what is done after that time, as in `then = { start = { node = \"n1\" } }`"
                    .to_owned();
            self.problem(
                &place.key("after").key,
                "`after` without `then`",
                "nothing comes after",
                Some(help),
            );
        }
        if let Some([first, last]) = trigger.during
            && (first > last || last as usize >= self.scenario.step.len())
        {
            let help = format!(
                "the steps are 0 to {}",
                self.scenario.step.len().saturating_sub(1)
            );
            let message = format!("no steps {first} to {last}");
            self.problem(&place.key("during").span, message, "not there", Some(help));
        }
    }

    /// A trigger on what happens within a node, which only the simulator sees.
    fn local_trigger(&mut self, node: &str, span: &Range<usize>) {
        if !node.ends_with('*') && !self.is_node(node) {
            let nodes = self.scenario.cluster.nodes.iter().map(String::as_str);
            let help = spelling::help(node, nodes);
            let message = format!("the cluster has no node `{node}`");
            self.problem(span, message, "no such node", help);
        }
        if self.scenario.on.iter().any(|on| on != "sim") {
            let help = "write `on = [\"sim\"]`, or hang the fault on an event of a link".to_owned();
            let message = "disks and timers of nodes are seen on `sim` only";
            self.problem(span, message, "not seen elsewhere", Some(help));
        }
    }

    fn client(&mut self, name: &str, span: &Range<usize>) {
        if !is_client(name) {
            let help = "clients are called `client-1`, `client-2`…".to_owned();
            self.problem(
                span,
                format!("no client is called `{name}`"),
                "no such client",
                Some(help),
            );
        }
    }

    fn is_node(&self, name: &str) -> bool {
        self.scenario.cluster.nodes.iter().any(|n| n == name)
    }

    fn is_sink(&self, name: &str) -> bool {
        self.scenario.cluster.sinks.iter().any(|s| s == name)
    }

    /// A node, a sink or a client.
    fn host(&mut self, name: &str, span: &Range<usize>) {
        if !self.is_node(name) && !self.is_sink(name) && !is_client(name) {
            let cluster = &self.scenario.cluster;
            let help = spelling::nearest(
                name,
                cluster
                    .nodes
                    .iter()
                    .chain(&cluster.sinks)
                    .map(String::as_str),
            )
            .map_or_else(
                || {
                    format!(
                        "there are {}, {}, and clients `client-1`…",
                        quoted(&cluster.nodes),
                        quoted(&cluster.sinks)
                    )
                },
                |n| format!("did you mean `{n}`?"),
            );
            self.problem(
                span,
                format!("the cluster has no host `{name}`"),
                "no such host",
                Some(help),
            );
        }
    }

    /// `from>to`; in a trigger `*` stands for any host, `client-*` for any whose name begins so.
    fn link(&mut self, link: &str, span: &Range<usize>, wildcard: bool) {
        let Some((from, to)) = link.split_once('>') else {
            let help = "a link is written `from>to`, as in `n1>n2` or `client-1>n1`".to_owned();
            return self.problem(span, format!("`{link}` is no link"), "no link", Some(help));
        };
        for host in [from, to] {
            if !(wildcard && host.ends_with('*')) {
                self.host(host, span);
            }
        }
        let help = "mail goes from clients to nodes, from node to node, and from nodes to sinks"
            .to_owned();
        if from == to && !from.ends_with('*') {
            self.problem(
                span,
                format!("a link from `{from}` to itself"),
                "no such link",
                Some(help),
            );
        } else if self.is_sink(from) || is_client(to) || (is_client(from) && self.is_sink(to)) {
            self.problem(
                span,
                format!("nothing goes from `{from}` to `{to}`"),
                "no such link",
                Some(help),
            );
        }
    }
}
