//! Random faults: which kinds a run uses, and one of them with what takes it back.

use std::time::Duration;

use super::Dice;
use crate::scenario::{CrashKind, Database, Partition, Setting, SinkBehaviour, Span, Step};

/// Kinds of fault that strike a server: one at a time.
const SERVER: [&str; 5] = [
    "process-crash",
    "host-crash",
    "new-database",
    "destroy",
    "freeze",
];

/// …that strike a link; a server's data is safe from them.
const LINK: [&str; 6] = [
    "partition",
    "one-way-partition",
    "black-hole",
    "reset",
    "delay",
    "flapping",
];

/// …of next hops.
const SINK: [&str; 5] = [
    "sink-defers",
    "sink-refuses",
    "sink-drops-replies",
    "sink-slow",
    "sink-down",
];

/// …of clients.
const CLIENT: [&str; 2] = ["client-breaks-off", "client-impatient"];

/// The kinds that a run uses.
pub(super) struct Swarm {
    kinds: Vec<&'static str>,
}

impl Swarm {
    /// Each kind is in or out by the toss of a coin.
    pub(super) fn draw(dice: &mut Dice, scenario: &crate::scenario::Scenario) -> Self {
        let redundant = scenario.cluster.nodes_2013().count() > 1
            && scenario.config.get("ShadowRedundancyEnabled") != Some(&Setting::Switch(false));
        let mut kinds = Vec::new();
        for kind in SERVER.into_iter().chain(LINK).chain(SINK).chain(CLIENT) {
            // Without a shadow elsewhere what a node loses is lost, as documented.
            let possible = redundant || !["new-database", "destroy"].contains(&kind);
            if dice.chance(50) && possible {
                kinds.push(kind);
            }
        }
        Self { kinds }
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }

    fn of(&self, group: &[&'static str]) -> Vec<&'static str> {
        (group.iter().copied())
            .filter(|kind| self.has(kind))
            .collect()
    }

    pub(super) fn server(&self, dice: &mut Dice) -> Option<&'static str> {
        dice.one(&self.of(&SERVER))
    }

    pub(super) fn link(&self, dice: &mut Dice) -> Option<&'static str> {
        dice.one(&self.of(&LINK))
    }

    pub(super) fn sink(&self, dice: &mut Dice) -> Option<&'static str> {
        dice.one(&self.of(&SINK))
    }

    pub(super) fn in_words(&self) -> String {
        if self.kinds.is_empty() {
            "no faults".into()
        } else {
            self.kinds.join(", ")
        }
    }
}

/// A fault, and what takes it back.
pub(super) struct Strike {
    pub(super) fault: Step,
    pub(super) recovery: Option<Step>,
    /// Comes and goes so many times.
    pub(super) times: u32,
}

/// A fault that strikes this server.
pub(super) fn on_server(kind: &str, node: String) -> Strike {
    let start = |node, database| Some(Step::Start { node, database });
    let crash = |node: &String, kind| Step::Crash {
        node: node.clone(),
        kind,
    };
    let (fault, recovery) = match kind {
        "process-crash" => (
            crash(&node, CrashKind::Process),
            start(node, Database::Same),
        ),
        "host-crash" => (crash(&node, CrashKind::Host), start(node, Database::Same)),
        "new-database" => (crash(&node, CrashKind::Host), start(node, Database::New)),
        "destroy" => (
            Step::Destroy { node: node.clone() },
            start(node, Database::Same),
        ),
        _ => (
            Step::Freeze { node: node.clone() },
            Some(Step::Thaw { node }),
        ),
    };
    Strike {
        fault,
        recovery,
        times: 1,
    }
}

/// A fault on what stands between `from` and `to`.
pub(super) fn on_link(dice: &mut Dice, kind: &str, from: String, to: String) -> Strike {
    let link = format!("{from}>{to}");
    let heal = Some(Step::Heal {
        a: Some(from.clone()),
        b: Some(to.clone()),
    });
    let part = |a: &String, b: &String, one_way| {
        Step::Partition(Partition {
            a: a.clone(),
            b: b.clone(),
            one_way,
        })
    };
    let (fault, recovery, times) = match kind {
        "partition" => (part(&from, &to, false), heal, 1),
        "flapping" => (part(&from, &to, false), heal, dice.number(2, 5)),
        "one-way-partition" => {
            let (a, b) = if dice.chance(50) {
                (&from, &to)
            } else {
                (&to, &from)
            };
            (part(a, b, true), heal, 1)
        }
        "black-hole" => (Step::BlackHole { link, stream: None }, heal, 1),
        "delay" => {
            let latency = Span(dice.span(Duration::from_millis(5), Duration::from_secs(3)));
            (Step::Delay { link, latency }, heal, 1)
        }
        _ => (Step::Reset { link }, None, 1),
    };
    Strike {
        fault,
        recovery,
        times,
    }
}

/// A next hop that is no good, for some messages or until it is told otherwise.
pub(super) fn on_sink(dice: &mut Dice, kind: &str, sink: &str) -> Step {
    let some = |dice: &mut Dice| dice.chance(60).then(|| dice.number(1, 4));
    let (behaviour, count) = match kind {
        "sink-defers" => {
            let code = dice.pick([421, 450, 451, 452]);
            (SinkBehaviour::Defer(code), some(dice))
        }
        "sink-refuses" => {
            let code = dice.pick([550, 552, 554]);
            (SinkBehaviour::Refuse(code), some(dice))
        }
        "sink-drops-replies" => (SinkBehaviour::DropAfterDot, Some(dice.number(1, 3))),
        "sink-slow" => {
            let span = dice.span(Duration::from_millis(20), Duration::from_secs(20));
            (SinkBehaviour::Slow(Span(span)), some(dice))
        }
        _ => (SinkBehaviour::Down, None),
    };
    Step::Sink {
        sink: sink.to_owned(),
        behaviour,
        count,
    }
}
