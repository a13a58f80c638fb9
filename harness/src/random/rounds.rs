//! The rounds of a random run: mail, trouble, recovery, quiet, and mail that is sent again.
//!
//! Comes in: cluster and configuration, the seed. Goes out: steps and triggers. Called by [`super::plan`].

use std::time::Duration;

use super::{
    Dice,
    cluster::SHORT_EXPIRY,
    faults::{self, Strike, Swarm},
    mail::{self, Habits, Mail},
};
use crate::{
    history::Outcome,
    scenario::{
        Resend, Scenario, Setting, SinkBehaviour, Span, Step, Submit, Transfer, Trigger, duration,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// How long clients wait for a reply, at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// No outage of a server or a link is longer, whatever the configuration says.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// What was drawn.
#[derive(Default)]
pub(super) struct Drawn {
    pub(super) description: String,
    pub(super) steps: Vec<Step>,
    pub(super) faults: Vec<Trigger>,
}

pub(super) fn draw(scenario: &Scenario, seed: u64) -> Drawn {
    let mut dice = Dice::new(seed, "random swarm");
    let swarm = Swarm::draw(&mut dice, scenario);
    let habits = Habits::draw(
        &mut dice,
        swarm.has("client-breaks-off"),
        swarm.has("client-impatient"),
    );
    let mut rounds = Rounds {
        scenario,
        habits,
        triggers: dice.pick([20, 60, 90]),
        dice: Dice::new(seed, "random rounds"),
        drawn: Drawn {
            description: format!("Drawn with {}.", swarm.in_words()),
            ..Drawn::default()
        },
        swarm,
    };
    let count = rounds.dice.pick([1, 1, 2, 3]);
    // One of the rounds waits for the expiry of what has no way out.
    let expires = duration(scenario, "MessageExpirationTimeout").filter(|e| *e < SHORT_EXPIRY);
    let expiring = expires.map(|expiry| (rounds.dice.number(0, count - 1), expiry));
    for round in 0..count {
        let expiry = expiring.and_then(|(at, expiry)| (at == round).then_some(expiry));
        rounds.round(round, expiry);
    }
    rounds.drawn
}

struct Rounds<'a> {
    scenario: &'a Scenario,
    swarm: Swarm,
    habits: Habits,
    /// How many of 100 faults hang on an event of the wire.
    triggers: u32,
    dice: Dice,
    drawn: Drawn,
}

impl Rounds<'_> {
    /// With `expiry` a next hop is down until that is over, or nearly.
    fn round(&mut self, round: u32, expiry: Option<Duration>) {
        let begin = self.drawn.steps.len();
        let client = format!("client-{}", 1 + round % 3);
        let troubled = match expiry {
            Some(_) => self.sink_down(),
            None => self.sink_trouble(),
        };
        let background = self.dice.chance(50);
        let mail = self.submit(
            &client,
            background,
            troubled.first().filter(|_| expiry.is_some()),
        );
        // Something between hosts first, beside which one server may fail.
        let link = if self.dice.chance(45) {
            self.link_strike(&mail.submit)
        } else {
            None
        };
        let server = if self.dice.chance(80) {
            self.server_strike(&mail.submit)
        } else {
            None
        };
        let both = link.is_some() && server.is_some();
        if let Some(strike) = link {
            let outage = self.outage();
            if both {
                self.hang(strike, &mail, outage, begin);
            } else {
                self.strike(strike, &mail, outage, begin);
            }
        }
        if let Some(strike) = server {
            let outage = self.outage();
            self.strike(strike, &mail, outage, begin);
        }
        if self.dice.chance(30) {
            self.submit(&client, false, None);
        }
        self.wait(mail.lasts + PATIENCE);
        self.push(Step::Heal { a: None, b: None });
        if let Some(expiry) = expiry {
            let wait = expiry * self.dice.pick([90, 106, 115, 130]) / 100;
            self.wait(wait);
        } else if !troubled.is_empty() && self.dice.chance(40) {
            // Somebody asks while the next hop keeps what goes there waiting.
            let wait = self.heartbeat() * self.dice.number(1, 4);
            self.wait(wait);
        }
        for sink in troubled {
            self.push(Step::Sink {
                sink,
                behaviour: SinkBehaviour::Accept,
                count: None,
            });
        }
        self.quiet();
        self.extra();
        // As a client does that cannot know: again, and maybe to another node.
        let to = if self.dice.chance(70) {
            mail.submit.to
        } else {
            self.node()
        };
        let outcomes = vec![Outcome::Indeterminate, Outcome::Unsent];
        self.push(Step::Resend(Resend {
            client,
            to,
            outcomes,
        }));
        self.quiet();
    }

    /// Next hops that make difficulties during the round: one, or now and then all of them.
    fn sink_trouble(&mut self) -> Vec<String> {
        if !self.dice.chance(50) {
            return Vec::new();
        }
        let mut sinks = self.scenario.cluster.sinks.clone();
        self.dice.shuffle(&mut sinks);
        if self.dice.chance(60) {
            sinks.truncate(1);
        }
        for sink in &sinks {
            let Some(kind) = self.swarm.sink(&mut self.dice) else {
                return Vec::new();
            };
            let step = faults::on_sink(&mut self.dice, kind, sink);
            self.push(step);
        }
        sinks
    }

    /// A next hop that cannot be reached until it is told otherwise.
    fn sink_down(&mut self) -> Vec<String> {
        let sink = self.dice.one(&self.scenario.cluster.sinks);
        if let Some(sink) = &sink {
            let step = faults::on_sink(&mut self.dice, "sink-down", sink);
            self.push(step);
        }
        sink.into_iter().collect()
    }

    /// With mail for `sink`, when it is given.
    fn submit(&mut self, client: &str, background: bool, sink: Option<&String>) -> Mail {
        let mut mail = mail::draw(&mut self.dice, self.habits, &self.scenario.cluster, client);
        mail.submit.background = background;
        let address = sink.map(|sink| format!("someone@{sink}.example"));
        if let Some(address) = address.filter(|to| !mail.submit.recipients.contains(to)) {
            mail.submit.recipients.push(address);
        }
        self.push(Step::Submit(mail.submit.clone()));
        mail
    }

    fn server_strike(&mut self, mail: &Submit) -> Option<Strike> {
        let kind = self.swarm.server(&mut self.dice)?;
        let home = &self.scenario.cluster.mailboxes;
        // Half of the time the node that takes the mail in, otherwise any.
        let mut node = if self.dice.chance(50) {
            mail.to.clone()
        } else {
            self.node()
        };
        // Mailboxes that are lost show nothing any more.
        if kind == "destroy" && node == *home {
            let others: Vec<String> = (self.scenario.cluster.nodes.iter())
                .filter(|n| *n != home)
                .cloned()
                .collect();
            node = self.dice.one(&others)?;
        }
        Some(faults::on_server(kind, node))
    }

    fn link_strike(&mut self, mail: &Submit) -> Option<Strike> {
        let kind = self.swarm.link(&mut self.dice)?;
        let cluster = &self.scenario.cluster;
        let from = if self.dice.chance(60) {
            mail.to.clone()
        } else {
            self.node()
        };
        let (from, to) = if self.dice.chance(25) {
            (mail.client.clone(), mail.to.clone())
        } else {
            let others: Vec<String> = (cluster.nodes.iter())
                .chain(&cluster.sinks)
                .filter(|host| **host != from)
                .cloned()
                .collect();
            let to = self.dice.one(&others)?;
            (from, to)
        };
        Some(faults::on_link(&mut self.dice, kind, from, to))
    }

    /// At an event of the wire, or at a moment of the clock.
    fn strike(&mut self, strike: Strike, mail: &Mail, outage: Duration, begin: usize) {
        if strike.times == 1 && self.dice.chance(self.triggers) {
            self.hang(strike, mail, outage, begin);
        } else {
            self.strike_now(strike, mail, outage);
        }
    }

    fn strike_now(&mut self, strike: Strike, mail: &Mail, outage: Duration) {
        if !mail.lasts.is_zero() {
            let before = self.dice.span(SECOND / 1000, mail.lasts);
            self.wait(before);
        }
        for time in 0..strike.times {
            if time > 0 {
                let between = self.dice.span(SECOND, outage.max(2 * SECOND));
                self.wait(between);
            }
            self.push(strike.fault.clone());
            if let Some(recovery) = strike.recovery.clone() {
                self.wait(outage);
                self.push(recovery);
            }
        }
    }

    /// It listens only during this round, and takes itself back: an event that never comes leaves nothing to heal, and none
    /// can strike while another server is out.
    fn hang(&mut self, strike: Strike, mail: &Mail, outage: Duration, begin: usize) {
        let (when, nth) = self.event(&mail.submit);
        // Shadow servers ask at their next heartbeat.
        let asked = if when.contains(" discard ") {
            2 * self.heartbeat()
        } else {
            Duration::ZERO
        };
        self.wait(10 * SECOND + asked);
        let end = self.drawn.steps.len() - 1;
        self.wait(outage + SECOND);
        let index = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        let trigger = Trigger {
            when,
            nth,
            before: self.dice.chance(50),
            action: strike.fault,
            after: strike.recovery.is_some().then_some(Span(outage)),
            then: strike.recovery,
            every: None,
            during: Some([index(begin), index(end)]),
        };
        self.drawn.faults.push(trigger);
    }

    /// A moment in a message's life, as the wire shows it, and which of its kind.
    fn event(&mut self, mail: &Submit) -> (String, u32) {
        let Submit { client, to, .. } = mail;
        let cluster = &self.scenario.cluster;
        let mut each: Vec<String> = Vec::new();
        let mut add = |link: String, events: &[&str]| {
            each.extend(events.iter().map(|event| format!("{link} {event}")));
        };
        add(
            format!("{client}>{to}"),
            &["mail", "rcpt", "end-of-data", "acked"],
        );
        if mail.transfer == Transfer::Data {
            add(format!("{client}>{to}"), &["data"]);
        }
        let mut once = vec![format!("{client}>{to} greeting")];
        let reached: Vec<&str> = (mail.recipients.iter())
            .flat_map(|to| cluster.members(to))
            .collect();
        let inside = reached.iter().any(|to| to.ends_with("@mailbox.example"));
        let holds = !cluster.is_front_end(to);
        if inside && holds && *to != cluster.mailboxes {
            add(
                format!("{to}>{}", cluster.mailboxes),
                &["delivery begun", "delivery end-of-data", "delivery acked"],
            );
        }
        for (number, sink) in cluster.sinks.iter().enumerate() {
            let domain = format!("@{sink}.example");
            let outside = reached.iter().any(|to| {
                to.ends_with(&domain) || (number == 0 && to.ends_with("@external.example"))
            });
            if outside && holds {
                add(format!("{to}>{sink}"), &["end-of-data", "acked"]);
                once.push(format!("{to}>{sink} connect"));
            }
        }
        let copies = self.scenario.config.get("ShadowRedundancyEnabled")
            != Some(&Setting::Switch(false))
            && cluster.nodes_2013().count() > 1;
        if cluster.is_front_end(to) {
            // It passes on what comes, to whichever transport server it chooses, and asks for nothing.
            add(format!("{to}>*"), &["mail", "rcpt", "end-of-data", "acked"]);
            once.push(format!("{to}>* connect"));
        } else if copies {
            add(
                format!("{to}>*"),
                &["copy begun", "copy end-of-data", "copy acked"],
            );
            for event in ["discard asked", "discard answered"] {
                once.push(format!("*>{to} {event}"));
            }
        }
        // The same wire events come up anew when mail is sent again or promoted; `during` is for the first time.
        if !self.dice.chance(75) {
            each = once;
            let event = self.dice.one(&each).unwrap_or_default();
            return (event, 1);
        }
        let event = self.dice.one(&each).unwrap_or_default();
        let nth = self.dice.number(1, mail.count);
        (event, nth)
    }

    /// What is asked of the cluster beside mail, now and then.
    fn extra(&mut self) {
        let to = self.node();
        let client = "client-4".to_owned();
        match self.dice.number(0, 19) {
            0 => {
                let silence = duration(self.scenario, "ConnectionInactivityTimeout");
                let at_most = Span(silence.unwrap_or_default() * 2);
                self.push(Step::Idle {
                    client,
                    to,
                    at_most,
                });
            }
            1 => self.push(Step::PeerVerbs { client, to }),
            2 => self.push(Step::Observe {}),
            3 => {
                let from = self.dice.span(60 * SECOND, LONGEST);
                let transports: Vec<String> = self.scenario.cluster.nodes_2013().cloned().collect();
                let node = self.dice.one(&transports).unwrap_or_default();
                self.push(Step::Resubmit {
                    node,
                    from: Span(from),
                    to: Span(from / 10),
                });
                self.quiet();
            }
            _ => {}
        }
    }

    fn heartbeat(&self) -> Duration {
        duration(self.scenario, "ShadowHeartbeatFrequency").unwrap_or_default()
    }

    fn resubmit(&self) -> Duration {
        duration(self.scenario, "ShadowResubmitTimeSpan").unwrap_or_default()
    }

    /// How long a fault lasts: near one of the documented durations, or anything.
    fn outage(&mut self) -> Duration {
        let (heartbeat, resubmit) = (self.heartbeat(), self.resubmit());
        let copy = duration(self.scenario, "ShadowCopyTimeout").unwrap_or_default();
        let drawn = if self.dice.chance(60) {
            let anchor = self.dice.pick([
                copy,
                heartbeat,
                2 * heartbeat,
                resubmit,
                resubmit + heartbeat,
            ]);
            anchor * self.dice.pick([50, 90, 99, 101, 110, 150]) / 100
        } else {
            self.dice.span(SECOND / 10, (resubmit * 2).max(2 * SECOND))
        };
        let whole = Duration::from_millis(u64::try_from(drawn.as_millis()).unwrap_or(u64::MAX));
        whole.clamp(SECOND / 100, LONGEST)
    }

    /// Until nothing is queued and no shadow is held: recovery is over only then.
    fn quiet(&mut self) {
        let at_most = self.resubmit() + 4 * self.heartbeat() + 3600 * SECOND;
        self.push(Step::WaitQuiet {
            at_most: Span(at_most),
        });
    }

    fn wait(&mut self, time: Duration) {
        if !time.is_zero() {
            self.push(Step::Wait {
                duration: Span(time),
            });
        }
    }

    fn push(&mut self, step: Step) {
        self.drawn.steps.push(step);
    }

    fn node(&mut self) -> String {
        // There are two at least.
        let nodes = &self.scenario.cluster.nodes;
        self.dice.one(nodes).unwrap_or_default()
    }
}
