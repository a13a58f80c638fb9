//! What happens in each act.
//!
//! Comes in: cluster and configuration, as the act prepared them, and what was drawn before. Goes out: steps and triggers
//! behind that. Called by [`super::acts`].

use std::{collections::BTreeMap, time::Duration};

use super::{
    Dice,
    acts::{LOOP, beyond_hubs},
    rounds::Drawn,
};
use crate::scenario::{
    Busy, BusyWith, CrashKind, Database, Partition, Scenario, Setting, SinkBehaviour, Span, Step,
    Submit, Trigger, duration,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A next hop or a disk that was no good is tried again within this time.
const RETRY: Duration = Duration::from_secs(20 * 60);

/// The clients of acts are none of the rounds'.
const CLIENT: &str = "client-5";

/// Where an act takes place.
pub(super) struct Stage<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) dice: &'a mut Dice,
    pub(super) drawn: &'a mut Drawn,
}

impl Stage<'_> {
    /// TC-07: mail before, while and after the disk is full; to the node that has it, or to another one that sends it copies
    /// and mail for mailboxes.
    pub(super) fn full_disk(&mut self) {
        let node = self.transport();
        let down = self.dice.chance(50).then(|| self.sink_down());
        let before = self.dice.number(1, 4);
        self.submit(&node, before, |_| {});
        self.push(Step::FillDisk { node: node.clone() });
        let to = if self.dice.chance(75) {
            node.clone()
        } else {
            self.transport()
        };
        let (count, sessions) = (self.dice.number(60, 240), self.dice.number(2, 8));
        self.submit(&to, count, |submit| {
            submit.sessions = sessions;
            submit.patience = Some(Span(MINUTE));
        });
        let full = self.dice.span(SECOND, HOUR);
        self.wait(full);
        if let Some(sink) = down {
            self.accept(sink);
        }
        self.push(Step::FreeDisk { node: node.clone() });
        self.wait(RETRY);
        self.submit(&node, 3, |_| {});
        self.quiet();
    }

    /// RO-04: a primary server is lost with mail in its queue, at once or in the middle of an ack.
    pub(super) fn never_back(&mut self) {
        let Some(node) = self.without_mailboxes() else {
            return;
        };
        let down = self.sink_down();
        let count = self.dice.number(1, 6);
        let destroy = Step::Destroy { node: node.clone() };
        if self.dice.chance(50) {
            let event = self.dice.pick(["copy acked", "copy end-of-data"]);
            let acked = format!("{CLIENT}>{node} acked");
            let when = if self.dice.chance(60) {
                acked
            } else {
                format!("{node}>* {event}")
            };
            let nth = self.dice.number(1, count);
            self.hang(when, nth, destroy, |stage| {
                stage.submit(&node, count, patient);
            });
        } else {
            self.submit(&node, count, |_| {});
            let before = self.dice.span(SECOND / 10, self.heartbeat());
            self.wait(before);
            self.push(destroy);
        }
        if self.dice.chance(50) {
            let other = self.transport_but(&node);
            self.submit(&other, 2, |_| {});
        }
        self.accept(down);
        let gone = self.resubmit() + 4 * self.heartbeat() + RETRY;
        self.wait(gone);
        self.quiet();
    }

    /// HB-13: the messages behind the snapshot are in other servers' shadow queues only.
    pub(super) fn went_back(&mut self) {
        let Some(node) = self.without_mailboxes() else {
            return;
        };
        let down = self.sink_down();
        let counts = [self.dice.number(0, 3), self.dice.number(1, 5)];
        if counts[0] > 0 {
            self.submit(&node, counts[0], |_| {});
        }
        self.push(Step::Snapshot { node: node.clone() });
        self.submit(&node, counts[1], |_| {});
        let shown = self.heartbeat() * self.dice.number(0, 3);
        self.wait(shown);
        self.push(Step::Revert { node });
        let noticed = self.heartbeat() * 3;
        self.wait(noticed);
        self.accept(down);
        self.quiet();
    }

    /// TO-03: the way back from the shadow servers is slow, so that the sender's session ends in between.
    pub(super) fn lost_acks(&mut self) {
        let node = self.transport();
        let others: Vec<String> = (self.scenario.cluster.nodes_2013())
            .filter(|other| **other != node)
            .cloned()
            .collect();
        let latency = Span(self.dice.span(SECOND / 50, SECOND / 2));
        for other in others {
            let link = format!("{node}>{other}");
            self.push(Step::Delay { link, latency });
        }
        let count = self.dice.number(2, 5);
        let reset = Step::Reset {
            link: format!("{CLIENT}>{node}"),
        };
        let nth = self.dice.number(1, count);
        self.hang(format!("{node}>* copy acked"), nth, reset, |stage| {
            stage.submit(&node, count, patient);
        });
        self.push(Step::Heal { a: None, b: None });
        self.quiet();
    }

    /// TO-07 and TO-08.
    pub(super) fn timeouts(&mut self) {
        let silence = self.of("ConnectionInactivityTimeout", 5 * MINUTE);
        let whole = self.of("ConnectionTimeout", 10 * MINUTE);
        let every = self.dice.span(2 * SECOND, silence / 2);
        let busy = Busy {
            client: CLIENT.to_owned(),
            to: self.transport(),
            with: self.dice.pick([BusyWith::Noop, BusyWith::Data]),
            every: Span(every),
            at_most: Span(whole * 2),
        };
        self.push(Step::Busy(busy));
        let text = |span: Duration| Setting::Text(Span(span).to_string());
        for _ in 0..self.dice.number(1, 3) {
            let silence = self.dice.span(MINUTE, HOUR);
            let whole = silence * self.dice.pick([50, 99, 100, 101, 150]) / 100;
            let config = BTreeMap::from([
                ("ConnectionInactivityTimeout".to_owned(), text(silence)),
                ("ConnectionTimeout".to_owned(), text(whole)),
            ]);
            self.push(Step::CheckConfig { config });
        }
    }

    /// HB-07 and SN-04: the primary server delivers, and nobody can ask it; looks before and after the end of each time.
    pub(super) fn silence(&mut self) {
        let node = self.transport();
        let sink = self.sink();
        let count = self.dice.number(1, 4);
        self.submit(&node, count, |submit| {
            submit.recipients = vec![format!("someone@{sink}.example")];
        });
        let others: Vec<String> = (self.scenario.cluster.nodes_2013())
            .filter(|other| **other != node)
            .cloned()
            .collect();
        for b in others {
            let part = Partition {
                a: node.clone(),
                b,
                one_way: false,
            };
            self.push(Step::Partition(part));
        }
        let discard = self.of("ShadowMessageAutoDiscardInterval", HOUR);
        let both = self.of("SafetyNetHoldTime", HOUR) + self.of("MessageExpirationTimeout", HOUR);
        let mut looks: Vec<Duration> = [discard, both]
            .into_iter()
            .flat_map(|span| [80, 95, 108, 115].map(|percent| span * percent / 100))
            .collect();
        looks.sort_unstable();
        let mut now = Duration::ZERO;
        for look in looks {
            self.wait(look.saturating_sub(now));
            now = look;
            self.push(Step::Observe {});
        }
        self.push(Step::Heal { a: None, b: None });
        let asked = 4 * self.heartbeat();
        self.wait(asked);
    }

    /// TC-09.
    pub(super) fn round_and_round(&mut self) {
        let domain = self.scenario.cluster.routes.get(LOOP);
        let nodes: Vec<String> = domain
            .into_iter()
            .flatten()
            .map(|(n, _)| n.clone())
            .collect();
        for _ in 0..self.dice.number(1, 2) {
            let to = self.dice.one(&nodes).unwrap_or_default();
            let beside = self.dice.chance(30);
            let null = self.dice.chance(20);
            self.submit(&to, 1, |submit| {
                submit.recipients = vec![format!("round@{LOOP}")];
                if beside {
                    submit.recipients.push("user-1@mailbox.example".to_owned());
                }
                if null {
                    submit.from = String::new();
                }
            });
        }
        self.quiet();
    }

    /// SC-18 and SC-19: mail to the hubs, from them and through them, and one of them goes down or is lost.
    pub(super) fn beside_hubs(&mut self) {
        let hubs = self.scenario.cluster.hubs_2010.clone();
        let Some(last) = hubs.last().cloned() else {
            return;
        };
        let down = self.dice.chance(40).then(|| self.sink_down());
        for _ in 0..self.dice.number(2, 4) {
            let count = self.dice.number(1, 3);
            let inside = self.dice.chance(40);
            let to = if self.dice.chance(60) {
                self.transport()
            } else {
                self.dice.one(&hubs).unwrap_or_default()
            };
            self.submit(&to, count, |submit| {
                submit.recipients = vec![beyond_hubs()];
                if inside {
                    submit.recipients.push("user-1@mailbox.example".to_owned());
                }
            });
        }
        if self.dice.chance(50) {
            let kind = self.dice.pick([CrashKind::Process, CrashKind::Host]);
            // What a hub has of a sender that keeps no shadow is its own alone: only the second one may be lost.
            let lose = hubs.len() > 1 && self.dice.chance(40);
            let node = if lose {
                last
            } else {
                self.dice.one(&hubs).unwrap_or(last)
            };
            self.push(if lose {
                Step::Destroy { node: node.clone() }
            } else {
                Step::Crash {
                    node: node.clone(),
                    kind,
                }
            });
            let away = self.dice.span(SECOND, HOUR);
            self.wait(away);
            let database = Database::Same;
            self.push(Step::Start { node, database });
        }
        if let Some(sink) = down {
            self.accept(sink);
        }
        self.quiet();
        if self.dice.chance(40) {
            let node = self.transport();
            let (from, to) = (Span(12 * HOUR), Span(Duration::ZERO));
            self.push(Step::Resubmit { node, from, to });
            self.quiet();
        }
    }

    /// SN-12.
    pub(super) fn many(&mut self) {
        let node = self.transport();
        self.submit(&node, 210, |submit| {
            submit.sessions = 4;
            submit.one_session = true;
            submit.recipients = vec!["user-1@mailbox.example".to_owned()];
        });
        self.quiet();
        let hold = self.of("SafetyNetHoldTime", 48 * HOUR);
        let look = hold * 92 / 100;
        self.wait(look);
        self.push(Step::Observe {});
    }

    fn submit(&mut self, to: &str, count: u32, change: impl FnOnce(&mut Submit)) {
        let sink = self.sink();
        let mut recipients = vec![
            format!("someone@{sink}.example"),
            "user-1@mailbox.example".to_owned(),
        ];
        recipients.truncate(self.dice.pick([1, 1, 2]));
        let mut submit = Submit {
            count,
            recipients,
            ..Submit::new(CLIENT, to)
        };
        change(&mut submit);
        self.push(Step::Submit(submit));
    }

    /// A trigger that listens while `steps` and the wait behind them last.
    fn hang(&mut self, when: String, nth: u32, action: Step, steps: impl FnOnce(&mut Self)) {
        let index = |drawn: &Drawn| u32::try_from(drawn.steps.len()).unwrap_or(u32::MAX);
        let begin = index(self.drawn);
        steps(self);
        self.wait(10 * SECOND);
        let trigger = Trigger {
            when,
            nth,
            before: false,
            action,
            after: None,
            then: None,
            every: None,
            during: Some([begin, index(self.drawn) - 1]),
        };
        self.drawn.faults.push(trigger);
    }

    /// The next hop of `someone@…` is down, until it accepts again.
    fn sink_down(&mut self) -> String {
        let sink = self.sink();
        self.push(Step::Sink {
            sink: sink.clone(),
            behaviour: SinkBehaviour::Down,
            count: None,
        });
        sink
    }

    fn accept(&mut self, sink: String) {
        self.push(Step::Sink {
            sink,
            behaviour: SinkBehaviour::Accept,
            count: None,
        });
    }

    /// The first next hop: what has no sink of its own goes there, too.
    fn sink(&self) -> String {
        let sinks = &self.scenario.cluster.sinks;
        sinks.first().cloned().unwrap_or_default()
    }

    fn transport(&mut self) -> String {
        let nodes: Vec<String> = self.scenario.cluster.nodes_2013().cloned().collect();
        self.dice.one(&nodes).unwrap_or_default()
    }

    fn transport_but(&mut self, one: &str) -> String {
        let mut nodes: Vec<String> = self.scenario.cluster.nodes_2013().cloned().collect();
        nodes.retain(|node| node != one);
        self.dice.one(&nodes).unwrap_or_default()
    }

    /// A transport server whose loss takes no mailboxes with it.
    fn without_mailboxes(&mut self) -> Option<String> {
        let home = &self.scenario.cluster.mailboxes;
        let nodes: Vec<String> = (self.scenario.cluster.nodes_2013())
            .filter(|node| *node != home)
            .cloned()
            .collect();
        self.dice.one(&nodes)
    }

    fn of(&self, parameter: &str, otherwise: Duration) -> Duration {
        duration(self.scenario, parameter).unwrap_or(otherwise)
    }

    fn heartbeat(&self) -> Duration {
        self.of("ShadowHeartbeatFrequency", 2 * MINUTE)
    }

    fn resubmit(&self) -> Duration {
        self.of("ShadowResubmitTimeSpan", 3 * HOUR)
    }

    fn quiet(&mut self) {
        let at_most = self.resubmit() + 4 * self.heartbeat() + HOUR;
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
}

/// The sender gives up after a while, as senders do whose server is lost.
fn patient(submit: &mut Submit) {
    submit.patience = Some(Span(2 * MINUTE));
}
