//! Which tries for a shadow copy belong to which message, as far as the wire tells.
//!
//! Comes in: a [`Case`]. Goes out: [`Intake`]s, the messages that a node took in as primary server, and for each its
//! [`Try`]s in order. Called by the checkers of SC-05 to SC-08.
//!
//! A try is a session that was opened, or could not be, to another node of the boundary between a message's end of
//! data and the answer to it; or XSHADOW in a session that an earlier message of the same sender left open. XSHADOW names
//! the message, and so does the answer to one that was taken. A connection that comes to nothing does not say what it was
//! for: where the node may have had another reason for it (copies of DSNs, and of what it promoted, too: HB-12), a try is
//! not *certain*, and counts only where it speaks for the node.

use std::time::Duration;

use crate::{
    check::{Case, Connection, Exchange, Moment, positive},
    history::{Event, Reply, Transaction, Wire},
};

/// A message that a node took in as primary server, or refused, after its end of data.
#[derive(Debug)]
pub(super) struct Intake<'c, 'h> {
    /// The node.
    pub(super) node: &'h str,
    /// The sender's session.
    connection: &'c Connection<'h>,
    /// The transaction in it.
    pub(super) exchange: &'c Exchange<'h>,
    /// The answer; `None` when none went by, or 421: then the work may have gone on behind it (TO-02).
    pub(super) answer: Option<(Moment, &'h Reply)>,
    /// Earlier messages came in the same session: a session for copies may be open.
    pub(super) later_in_session: bool,
    /// The latest answer to what came before it.
    answered_before: Option<Moment>,
    /// Something that came before it was not answered.
    unanswered_before: bool,
}

/// One try for a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Try<'h> {
    /// The server that was asked.
    pub(super) server: &'h str,
    /// When it was first seen. With `vague` this is its end, and on real sockets a little later than that.
    pub(super) at: Moment,
    /// It was seen only when it was given up.
    pub(super) vague: bool,
    /// It can be nothing but a try for this message.
    pub(super) certain: bool,
    /// When the copy was confirmed, if it was.
    pub(super) confirmed: Option<Moment>,
}

/// Everything that `node` took in, in order.
pub(super) fn intakes<'c, 'h>(case: &'c Case<'h>, node: &str) -> Vec<Intake<'c, 'h>> {
    let mut all = Vec::new();
    for connection in case.connections().filter(|c| c.to == node) {
        let mails = connection
            .exchanges
            .iter()
            .filter(|e| e.kind == Transaction::Mail);
        for (place, exchange) in mails.enumerate() {
            all.push(Intake {
                node: connection.to,
                connection,
                exchange,
                answer: exchange.reply.filter(|(_, reply)| reply.code != 421),
                later_in_session: place > 0,
                answered_before: None,
                unanswered_before: false,
            });
        }
    }
    all.sort_by_key(|i| i.exchange.sent);
    let (mut answered, mut unanswered) = (None, false);
    for intake in &mut all {
        intake.answered_before = answered;
        intake.unanswered_before = unanswered;
        answered = answered.max(intake.answer.map(|(at, _)| at));
        unanswered |= intake.answer.is_none();
    }
    all
}

impl<'c, 'h> Intake<'c, 'h> {
    /// The tries for its copy, in order. `None` where they cannot be told from other work of the node: it took in
    /// another message at the same time, was struck meanwhile, or gave no answer.
    pub(super) fn tries(
        &self,
        case: &'c Case<'h>,
        all: &[Intake<'c, 'h>],
        longest: Duration,
    ) -> Option<Vec<Try<'h>>> {
        let (end, _) = self.answer?;
        let begin = self.exchange.sent;
        self.exchange.message?;
        // They stand in the order in which they came.
        let earlier = &all[..all.partition_point(|o| o.exchange.sent < begin)];
        let next = all.get(earlier.len() + 1);
        let mut unanswered = earlier.iter().filter(|o| o.answer.is_none());
        let clear = next.is_none_or(|o| o.exchange.sent > end)
            && self.answered_before.is_none_or(|at| at < begin)
            && (!self.unanswered_before || unanswered.all(|o| o.over_before(case, begin, longest)));
        if !clear || !case.well_between(self.node, begin.t_us, end.t_us) {
            return None;
        }
        // What is given up on real sockets is seen a little later.
        let slack = if case.substrate == "sim" {
            0
        } else {
            micros(case.config.tolerance(Duration::ZERO))
        };
        let span = Span {
            begin,
            end,
            slack,
            before: self.answered_before.map_or(0, |at| at.t_us + slack),
        };
        let peers = case.boundary(self.node);
        let mut tries: Vec<Try<'h>> = case
            .connections()
            .filter(|c| c.from == self.node && peers.contains(c.to))
            // What was over before, or opened after, is none of it.
            .filter(|c| c.closed_seq() > begin.seq && c.opened.t_us <= span.end.t_us + slack)
            .flat_map(|c| self.tries_on(case, c, &span))
            .collect();
        tries.sort_by_key(|t| t.at);
        self.join_reopened(case, &mut tries);
        Some(tries)
    }

    /// Its work, which was not answered, was over at that moment.
    fn over_before(&self, case: &Case<'_>, at: Moment, longest: Duration) -> bool {
        let sent = self.exchange.sent;
        let frozen = !case.well_between(self.node, sent.t_us, at.t_us);
        !frozen && sent.t_us + micros(longest + case.config.tolerance(longest)) < at.t_us
    }

    /// The transport's ID of the message, which the answer tells: `2.0.0 n1/7b1c…/42 queued`.
    fn transport_id(&self) -> Option<&'h str> {
        let (_, reply) = self.answer.filter(|(_, reply)| positive(reply))?;
        (reply.text.split_whitespace()).find(|word| word.matches('/').count() == 2)
    }

    fn tries_on(&self, case: &Case<'h>, c: &Connection<'h>, span: &Span) -> Vec<Try<'h>> {
        // It looks through the whole history: only for what happened at the time.
        let doubtful = || has_other_reasons(case, self.node, c.to, c.opened);
        let own = self.transport_id();
        let Some((first, _)) = c.commands("XSHADOW").next() else {
            let vague = c.failed.is_some_and(|why| why != "refused");
            let late = if vague { span.slack } else { 0 };
            let inside = c.opened > span.begin && c.opened.t_us <= span.end.t_us + late;
            let other = ["XDELIVER", "MAIL", "XRESUBMIT", "XHANDOVER"];
            if !inside
                || (!vague && c.opened > span.end)
                || other.iter().any(|verb| c.commands(verb).next().is_some())
            {
                return Vec::new();
            }
            let heartbeat = c.commands("XQDISCARD").next().is_some();
            let another = vague && (c.opened > span.end || c.opened.t_us < span.before);
            return vec![Try {
                server: c.to,
                at: c.opened,
                vague,
                certain: !heartbeat && !another && !doubtful(),
                confirmed: None,
            }];
        };
        let mut tries = Vec::new();
        let place = c.events.partition_point(|(at, _)| *at < span.begin);
        let mut asked = asked_in(&c.events[place..]).peekable();
        while let Some((at, named)) = asked.next().filter(|(at, _)| *at <= span.end) {
            // Its own name, where it is known; else one that the node gave: what it promoted keeps another's (HB-12).
            let other = match (own, named) {
                (Some(own), Some(named)) => own != named,
                (None, Some(named)) => !named.starts_with(&format!("{}/", self.node)),
                (_, None) => false,
            };
            if other {
                continue;
            }
            let next = asked.peek().map_or(u64::MAX, |(next, _)| next.seq);
            let later = &c.exchanges[c.exchanges.partition_point(|e| e.sent <= at)..];
            let copy = later
                .iter()
                .take_while(|e| e.sent.seq < next)
                .find(|e| e.kind == Transaction::Copy);
            let message = copy.and_then(|e| e.message);
            if message.is_some() && message != self.exchange.message {
                continue;
            }
            tries.push(Try {
                server: c.to,
                at: if c.opened > span.begin && at == first {
                    c.opened
                } else {
                    at
                },
                vague: false,
                certain: message.is_some() || (own.is_some() && own == named) || !doubtful(),
                confirmed: copy
                    .and_then(|e| e.reply)
                    .filter(|(_, r)| positive(r))
                    .map(|(at, _)| at),
            });
        }
        tries
    }

    /// A session that was left open may have ended meanwhile; then the same try goes on in a new one.
    fn join_reopened(&self, case: &Case<'_>, tries: &mut [Try<'_>]) {
        if !self.later_in_session {
            return;
        }
        let [first, second, ..] = tries else {
            return;
        };
        let old = case.connections().any(|c| {
            c.from == self.node
                && c.to == first.server
                && c.opened > self.connection.opened
                && c.opened < self.exchange.sent
                && c.commands("XSHADOW").any(|(at, _)| at == first.at)
        });
        if old && first.confirmed.is_none() && first.server == second.server {
            second.certain = false;
        }
    }
}

/// XSHADOW commands, and the messages that they name.
fn asked_in<'c, 'h>(
    events: &'c [(Moment, &'h Wire)],
) -> impl Iterator<Item = (Moment, Option<&'h str>)> + 'c {
    events.iter().filter_map(|(at, wire)| match wire {
        Wire::Command { verb, line } if verb == "XSHADOW" => {
            Some((*at, line.split_whitespace().nth(1)))
        }
        _ => None,
    })
}

/// The time of an intake.
struct Span {
    begin: Moment,
    end: Moment,
    /// How much later a connection that was given up may be seen, microseconds.
    slack: u64,
    /// Until then such a connection may belong to the message before, microseconds.
    before: u64,
}

/// Why `node` may open a session to `to` for something else than the copy of a message that it takes in: it may hold
/// shadow messages (heartbeats, and whatever follows a promotion), may deliver to mailboxes there, may make a DSN redundant
/// (HB-12), or was asked for a resubmission.
fn has_other_reasons(case: &Case<'_>, node: &str, to: &str, at: Moment) -> bool {
    let mut came = case
        .connections()
        .filter(|c| c.to == node)
        .flat_map(|c| &c.exchanges)
        .filter(|e| e.sent < at);
    let mailboxes = case.plan.scenario.cluster.mailboxes == to;
    // Where time is real the log may be read some time after it was written.
    let made_report = case.records.iter().any(|r| match &r.event {
        Event::Tracking { node: of, entry } => {
            let event = entry.get("event").and_then(serde_json::Value::as_str);
            of == node && event == Some("DSN") && (Moment::of(r) < at || case.substrate != "sim")
        }
        _ => false,
    });
    let reports = case
        .submissions
        .iter()
        .any(|s| case.is_mailbox(&s.what.from));
    made_report
        || came.any(|e| {
            e.kind == Transaction::Copy
                || (mailboxes && (reports || e.recipients.iter().any(|r| case.is_mailbox(r))))
        })
        || case
            .records
            .iter()
            .any(|r| matches!(&r.event, Event::Resubmit { node: n, .. } if n == node))
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
