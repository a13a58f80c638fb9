//! Random mail and faults, within the fault budget.
//!
//! Comes in: a scenario's `[chaos]` table and a seed. Goes out: concrete steps and triggers. Called by
//! [`super::plan()`].
//!
//! The budget of shadow redundancy is one server at a time, with recovery in between (SC-17, RO-06). So a round is:
//! mail, one fault in the middle of it, an outage, recovery, and then quiet (everything delivered, no shadow held)
//! before the next round begins. A new transport database is within the budget, too: while one node alone fails, each
//! message that it acked has its shadow on another one.

use std::time::Duration;

use rand::{
    Rng, RngExt,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;

use super::{
    Chaos, CrashKind, Database, Hello, Partition, Resend, Scenario, Setting, Span, Step, Submit,
    Transfer, Trigger, parameters::duration, plan::stream,
};
use crate::history::Outcome;

/// How long clients wait for a reply.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was drawn.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) steps: Vec<Step>,
    pub(super) faults: Vec<Trigger>,
}

/// Draws all rounds.
pub(super) fn draw(scenario: &Scenario, chaos: &Chaos, seed: u64) -> Drawn {
    let mut draw = Draw {
        scenario,
        chaos,
        deck: Vec::new(),
        rng: stream(seed, "chaos"),
        drawn: Drawn::default(),
    };
    let [least, most] = chaos.rounds;
    let rounds = draw.rng.random_range(least..=most.max(least));
    for round in 0..rounds {
        draw.round(round);
    }
    draw.drawn
}

/// A fault, and what takes it back.
struct Strike {
    fault: Step,
    recovery: Option<Step>,
}

/// A round's mail.
struct Mail {
    client: String,
    to: String,
    count: u32,
    /// It travels by DATA.
    by_data: bool,
    /// From the first to the last message, when nothing is in the way.
    lasts: Duration,
}

struct Draw<'a> {
    scenario: &'a Scenario,
    chaos: &'a Chaos,
    /// Kinds of fault that have not struck since the last shuffle.
    deck: Vec<&'a str>,
    rng: ChaCha8Rng,
    drawn: Drawn,
}

impl<'a> Draw<'a> {
    fn round(&mut self, round: u32) {
        let triggered = self.rng.random_range(0..100) < self.chaos.trigger_share_percent;
        let begin = self.scenario.step.len() + self.drawn.steps.len();
        let mail = self.submit(round, !triggered);
        let strike = self.strike(&mail);
        let outage = self.outage();
        match strike {
            Some(strike) if triggered => self.hang(strike, &mail, outage, begin),
            Some(strike) => self.strike_now(strike, &mail, outage),
            // No fault of the list can strike this cluster within the budget.
            None => self.wait(mail.lasts),
        }
        self.quiet();
        // As a client does that cannot know: again, and maybe to another node.
        let to = if self.chance(70) {
            mail.to
        } else {
            self.node()
        };
        let outcomes = vec![Outcome::Indeterminate, Outcome::Unsent];
        self.drawn.steps.push(Step::Resend(Resend {
            client: mail.client,
            to,
            outcomes,
        }));
        self.quiet();
    }

    /// Mail to one node; returns what is needed to strike in the middle of it.
    fn submit(&mut self, round: u32, background: bool) -> Mail {
        let [least, most] = self.chaos.messages;
        let count = self.rng.random_range(least..=most.max(least));
        let sessions = self.rng.random_range(1..=4).min(count);
        let every = self.log_uniform(Duration::from_millis(10), Duration::from_secs(5));
        let (client, to) = (format!("client-{}", 1 + round % 3), self.node());
        let hello = if self.chance(20) {
            Hello::Helo
        } else {
            Hello::Ehlo
        };
        let bdat = hello == Hello::Ehlo && self.chance(25);
        let message = if hello == Hello::Ehlo && self.chance(40) {
            self.message(count)
        } else {
            "generated".into()
        };
        let submit = Submit {
            hello,
            transfer: if bdat { Transfer::Bdat } else { Transfer::Data },
            message,
            count,
            sessions,
            one_session: self.chance(50),
            background,
            every: Some(Span(every)),
            patience: Some(Span(PATIENCE)),
            ..Submit::new(&client, &to)
        };
        self.drawn.steps.push(Step::Submit(submit));
        Mail {
            client,
            to,
            count,
            by_data: !bdat,
            lasts: every * count.div_ceil(sessions),
        }
    }

    /// A test message, or all of them in turn. Without SMTPUTF8: whether a next hop has it is not what chaos is about.
    fn message(&mut self, count: u32) -> String {
        let most = if count > 5 { 64 << 10 } else { usize::MAX };
        let names: Vec<&str> = gauntlet_suites::messages()
            .into_iter()
            .filter(|m| !m.needs_smtputf8() && m.bytes.len() <= most)
            .map(|m| m.name)
            .collect();
        names
            .choose(&mut self.rng)
            .map_or_else(|| "generated".into(), |name| (*name).to_owned())
    }

    /// One of the kinds that can strike this cluster.
    fn strike(&mut self, mail: &Mail) -> Option<Strike> {
        let kind = self.kind()?;
        // Half of the time the node that takes the mail in, otherwise any.
        let node = if self.chance(50) {
            mail.to.clone()
        } else {
            self.node()
        };
        let strike = |fault, recovery| {
            Some(Strike {
                fault,
                recovery: Some(recovery),
            })
        };
        let start = |node, database| Step::Start { node, database };
        match kind {
            "process-crash" | "host-crash" => {
                let kind = if kind == "host-crash" {
                    CrashKind::Host
                } else {
                    CrashKind::Process
                };
                strike(
                    Step::Crash {
                        node: node.clone(),
                        kind,
                    },
                    start(node, Database::Same),
                )
            }
            "new-database" => {
                // Every substrate can end a process; whose host it takes along is drawn as `host-crash`.
                let fault = Step::Crash {
                    node: node.clone(),
                    kind: CrashKind::Process,
                };
                strike(fault, start(node, Database::New))
            }
            "freeze" => strike(Step::Freeze { node: node.clone() }, Step::Thaw { node }),
            "partition" => {
                let b = self.other_host(&node);
                let one_way = self.chance(30);
                let heal = Step::Heal {
                    a: Some(node.clone()),
                    b: Some(b.clone()),
                };
                strike(
                    Step::Partition(Partition {
                        a: node,
                        b,
                        one_way,
                    }),
                    heal,
                )
            }
            _ => Some(Strike {
                fault: Step::Reset {
                    link: self.link(mail),
                },
                recovery: None,
            }),
        }
    }

    /// Kinds of fault come like cards from a deck: none a second time before all others. So a few rounds are enough for
    /// most of them.
    fn kind(&mut self) -> Option<&'a str> {
        if self.deck.is_empty() {
            let cluster = &self.scenario.cluster;
            let hosts = cluster.nodes.len() + cluster.sinks.len();
            let possible = |kind: &&str| match *kind {
                // Without a shadow elsewhere a new database loses what the budget promises to keep.
                "new-database" => self.redundant(),
                "partition" => hosts > 1,
                _ => true,
            };
            self.deck = (self.chaos.faults.iter().map(String::as_str))
                .filter(possible)
                .collect();
            self.deck.shuffle(&mut self.rng);
        }
        self.deck.pop()
    }

    /// Messages get a shadow on another node.
    fn redundant(&self) -> bool {
        self.scenario.cluster.nodes_2013().count() > 1
            && self.scenario.config.get("ShadowRedundancyEnabled") != Some(&Setting::Switch(false))
    }

    /// The fault at a moment of the clock.
    fn strike_now(&mut self, strike: Strike, mail: &Mail, outage: Duration) {
        let before = self.between(Duration::ZERO, mail.lasts);
        self.wait(before);
        self.drawn.steps.push(strike.fault);
        if let Some(recovery) = strike.recovery {
            self.wait(outage);
            self.drawn.steps.push(recovery);
        }
        // The rest of the mail finds everything well again, and clients that lost their server have noticed.
        self.wait(mail.lasts + PATIENCE);
    }

    /// The fault at an event of the wire. It listens only during this round, and heals itself: an event that never
    /// comes leaves nothing to take back, and none can strike while another fault is out.
    fn hang(&mut self, strike: Strike, mail: &Mail, outage: Duration, begin: usize) {
        let (when, nth) = self.event(mail);
        // Shadow servers ask at their next heartbeat.
        let asked = if when.contains(" discard ") {
            2 * self.heartbeat()
        } else {
            Duration::ZERO
        };
        self.wait(Duration::from_secs(10) + asked);
        let end = self.scenario.step.len() + self.drawn.steps.len() - 1;
        self.wait(outage + Duration::from_secs(1));
        let index = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        let trigger = Trigger {
            when,
            nth,
            before: self.chance(50),
            action: strike.fault,
            after: strike.recovery.is_some().then_some(Span(outage)),
            then: strike.recovery,
            every: None,
            during: Some([index(begin), index(end)]),
        };
        self.drawn.faults.push(trigger);
    }

    /// A moment in a message's life, as the wire shows it, and which of its kind: one that comes for certain.
    fn event(&mut self, mail: &Mail) -> (String, u32) {
        let Mail { client, to, .. } = mail;
        let cluster = &self.scenario.cluster;
        let of = |link: String, events: &[&str]| -> Vec<String> {
            events.iter().map(|e| format!("{link} {e}")).collect()
        };
        // Once for each message.
        let mut each = of(format!("{client}>{to}"), &["rcpt", "end-of-data", "acked"]);
        if mail.by_data {
            each.extend(of(format!("{client}>{to}"), &["data"]));
        }
        if cluster.is_front_end(to) {
            each.extend(of(format!("{to}>*"), &["end-of-data", "acked"]));
            let drawn = self.rng.random_range(0..each.len());
            return (each[drawn].clone(), self.rng.random_range(1..=mail.count));
        }
        if *to != cluster.mailboxes {
            each.extend(of(
                format!("{to}>{}", cluster.mailboxes),
                &["delivery begun", "delivery end-of-data", "delivery acked"],
            ));
        }
        // Once at least: many messages share a session.
        let mut once = Vec::new();
        // The first sink takes the mail for outside.
        if let Some(sink) = cluster.sinks.first() {
            each.extend(of(format!("{to}>{sink}"), &["end-of-data", "acked"]));
            once.extend(of(format!("{to}>{sink}"), &["connect"]));
        }
        if self.redundant() {
            each.extend(of(
                format!("{to}>*"),
                &["copy begun", "copy end-of-data", "copy acked"],
            ));
            once.extend(of(
                format!("*>{to}"),
                &["discard asked", "discard answered"],
            ));
        }
        let drawn = self.rng.random_range(0..each.len() + once.len());
        match each.get(drawn) {
            Some(event) => (event.clone(), self.rng.random_range(1..=mail.count)),
            None => (once[drawn - each.len()].clone(), 1),
        }
    }

    fn heartbeat(&self) -> Duration {
        duration(self.scenario, "ShadowHeartbeatFrequency").unwrap_or_default()
    }

    /// How long a fault lasts: near one of the documented durations, or anything.
    fn outage(&mut self) -> Duration {
        let [shortest, longest] = self.chaos.outage.map(|span| span.0);
        let heartbeat = self.heartbeat();
        let resubmit = duration(self.scenario, "ShadowResubmitTimeSpan").unwrap_or_default();
        let drawn = if self.chance(60) {
            let anchors = [
                Duration::from_secs(1),
                heartbeat,
                2 * heartbeat,
                resubmit,
                resubmit + heartbeat,
            ];
            let percent = [50, 90, 99, 101, 110, 150];
            let anchor = anchors[self.rng.random_range(0..anchors.len())];
            anchor * percent[self.rng.random_range(0..percent.len())] / 100
        } else {
            self.log_uniform(shortest, longest)
        };
        whole_millis(drawn).clamp(shortest, longest.max(shortest))
    }

    /// Until nothing is queued and no shadow is held: recovery is over only then.
    fn quiet(&mut self) {
        let heartbeat = self.heartbeat();
        let resubmit = duration(self.scenario, "ShadowResubmitTimeSpan").unwrap_or_default();
        let at_most = Span(resubmit + 4 * heartbeat + Duration::from_secs(3600));
        self.drawn.steps.push(Step::WaitQuiet { at_most });
    }

    fn wait(&mut self, duration: Duration) {
        if !duration.is_zero() {
            self.drawn.steps.push(Step::Wait {
                duration: Span(duration),
            });
        }
    }

    fn node(&mut self) -> String {
        // A scenario without nodes does not pass the parser.
        self.scenario
            .cluster
            .nodes
            .choose(&mut self.rng)
            .cloned()
            .unwrap_or_default()
    }

    /// Mostly another node, now and then a sink.
    fn other_host(&mut self, node: &str) -> String {
        let cluster = &self.scenario.cluster;
        let others: Vec<&String> = cluster.nodes.iter().filter(|n| *n != node).collect();
        let to_sink = others.is_empty() || (!cluster.sinks.is_empty() && self.chance(25));
        let chosen = if to_sink {
            cluster.sinks.choose(&mut self.rng)
        } else {
            others.choose(&mut self.rng).copied()
        };
        chosen.cloned().unwrap_or_default()
    }

    fn link(&mut self, mail: &Mail) -> String {
        if self.chance(40) {
            return format!("{}>{}", mail.client, mail.to);
        }
        let from = self.node();
        let to = self.other_host(&from);
        if to.is_empty() {
            format!("{}>{}", mail.client, mail.to)
        } else {
            format!("{from}>{to}")
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (millis(least), millis(most));
        Duration::from_millis(self.rng.random_range(least..=most.max(least)))
    }

    /// Between two durations, every order of magnitude alike. Whole numbers only: the same on every machine.
    fn log_uniform(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (millis(least).max(1), millis(most).max(1));
        let magnitude = self
            .rng
            .random_range(least.ilog2()..=most.ilog2().max(least.ilog2()));
        let floor = 1_u64 << magnitude;
        let drawn = floor + self.rng.next_u64() % floor;
        Duration::from_millis(drawn.clamp(least, most.max(least)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(millis(duration))
}
