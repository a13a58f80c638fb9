//! VZ-03: a live migration disturbs nobody.
//!
//! What must go on is told from outside: sessions that were open when it began, messages that were in transit, shadow
//! messages that were held for the guest. The blackout is the guest's longest silence around the migration.

use std::time::Duration;

use gauntlet_reports::{Status, Verdict};

use crate::{
    check::{
        Case, Connection, Fate, FaultSpan, Moment,
        conditions::conclude,
        evidence::{Tally, clock, count, inconclusive, lasting, piece},
        heartbeat::{holding::holds, takeover::needless},
        ledger::loss,
    },
    history::{Fault, Outcome, Wire},
};

/// VZ-03. See the module. What another fault may have done is not the migration's.
pub(super) fn disturbs_nobody(case: &Case<'_>) -> Verdict {
    let moves: Vec<Move<'_, '_>> = case.faults.iter().filter_map(Move::of).collect();
    if moves.is_empty() {
        return inconclusive("VZ-03", "no guest was moved to another host while it ran");
    }
    let mut tally = Tally::default();
    let (mut sessions, mut messages) = (0, 0);
    for one in &moves {
        sessions += one.sessions(case, &mut tally);
        messages += one.messages(case, &mut tally);
        one.promotions(case, &mut tally);
    }
    let mut verdict = conclude(
        case,
        "VZ-03",
        tally,
        "open sessions, and recipients of mail in transit, were not disturbed by a live migration",
        "no session was open and no message in transit when a guest was moved",
    );
    if verdict.status == Status::Holds {
        verdict.summary = format!(
            "{} and {} went through {}; {}",
            count(sessions, "open session"),
            count(messages, "recipient"),
            count(moves.len(), "live migration"),
            blackouts(case, &moves)
        );
    }
    verdict
}

/// A migration from its beginning to the guest's first step on the other host.
struct Move<'c, 'h> {
    span: &'c FaultSpan<'h>,
    node: &'h str,
    from: Moment,
    to: Moment,
}

impl<'c, 'h> Move<'c, 'h> {
    fn of(span: &'c FaultSpan<'h>) -> Option<Self> {
        let Fault::Migration { node } = span.what else {
            return None;
        };
        Some(Self {
            span,
            node,
            from: span.landed?,
            to: span.healed?,
        })
    }

    /// Another fault was in force on one of these hosts, or the link between them, from the migration on until then.
    fn struck_as_well(&self, case: &Case<'_>, a: &str, b: &str, until_us: u64) -> bool {
        case.faults_on(a, b)
            .chain(case.faults_on(b, a))
            .any(|f| f.number != self.span.number && f.overlaps(self.from.t_us, until_us))
    }

    /// Sessions of the guest that were open when it began: how many went on.
    fn sessions(&self, case: &Case<'_>, tally: &mut Tally) -> usize {
        let mut went_on = 0;
        let open = case.connections().filter(|c| {
            let ends = c.from == self.node || c.to == self.node;
            let greeted = c
                .events
                .iter()
                .any(|(at, w)| matches!(w, Wire::Greeting { .. }) && *at <= self.from);
            ends && greeted && c.closed.is_none_or(|(at, ..)| at > self.from)
        });
        for connection in open {
            let end = connection.closed.map_or(case.last_us, |(at, ..)| at.t_us);
            if self.struck_as_well(case, connection.from, connection.to, end) {
                continue;
            }
            match broken(case, connection, self) {
                Some((at, how)) => {
                    let text = format!(
                        "{} was moved from {} to {}; the session {} of {}, which was open, {how} at {}",
                        self.node,
                        clock(self.from.t_us),
                        clock(self.to.t_us),
                        connection.number,
                        connection.link,
                        clock(at.t_us)
                    );
                    tally.broken(piece(text, [self.from.seq, self.to.seq, at.seq]));
                }
                // What was never used again proves nothing.
                None if connection
                    .events
                    .iter()
                    .any(|(at, w)| *at > self.to && is_answer(w)) =>
                {
                    went_on += 1;
                    tally.kept();
                }
                None => {}
            }
        }
        went_on
    }

    /// Recipients of mail that was under way: how many have it, once.
    fn messages(&self, case: &Case<'_>, tally: &mut Tally) -> usize {
        let ledger = case.ledger();
        let mut served = 0;
        for entry in ledger.entries.values() {
            let mut submissions = entry.submitted(case);
            let (Some(s), None) = (submissions.next(), submissions.next()) else {
                continue;
            };
            if s.at > self.to {
                continue;
            }
            let quiet = case.quiet.iter().find(|q| **q > s.ended.unwrap_or(s.at));
            let quiet_us = quiet.map_or(case.last_us, |q| q.t_us);
            let other = |f: &FaultSpan<'_>| {
                !matches!(f.what, Fault::Migration { .. }) && f.overlaps(s.at.t_us, quiet_us)
            };
            if case.faults.iter().any(other) {
                continue;
            }
            for (to, account) in &entry.accounts {
                let after = |t_us: i64| t_us > self.from.signed_us();
                if account.arrivals.iter().any(|a| !after(a.t_us)) && account.arrivals.len() == 1 {
                    continue;
                }
                let story = || {
                    format!(
                        "{} was moved from {} to {}; message {}",
                        self.node,
                        clock(self.from.t_us),
                        clock(self.to.t_us),
                        entry.message
                    )
                };
                match ledger.fate(case, entry, to) {
                    fate @ (Fate::Lost | Fate::Overdue(_)) => {
                        tally.broken(loss(case, entry, to, fate.failure().unwrap_or_default()));
                    }
                    _ if account.arrivals.len() > 1 => {
                        let text =
                            format!("{} came to {to} {} times", story(), account.arrivals.len());
                        let seqs = account.arrivals.iter().map(|a| a.seq);
                        tally.broken(piece(text, seqs.chain([self.from.seq, self.to.seq])));
                    }
                    Fate::Delivered(_) => {
                        served += 1;
                        tally.kept();
                    }
                    _ => {}
                }
            }
            let gave_up = matches!(s.outcome, Outcome::Indeterminate | Outcome::Unsent);
            if let (true, Some(ended)) = (gave_up && s.error.is_some(), s.ended) {
                let open = s.at <= self.to && ended > self.from && s.server() == self.node;
                if open && !is_cut(case, s) {
                    let text = format!(
                        "{} was moved from {} to {}; {} lost its session for message {} at {}",
                        self.node,
                        clock(self.from.t_us),
                        clock(self.to.t_us),
                        s.what.client,
                        entry.message,
                        clock(ended.t_us)
                    );
                    tally.broken(piece(text, [self.from.seq, self.to.seq, ended.seq]));
                }
            }
        }
        served
    }

    /// Shadow messages that were held for the guest: nobody takes them over.
    fn promotions(&self, case: &Case<'_>, tally: &mut Tally) {
        for hold in holds(case) {
            if hold.primary != self.node || !hold.alive_at(self.from.t_us) {
                continue;
            }
            let Some(sign) = needless(case, hold).filter(|sign| sign.at > self.from) else {
                continue;
            };
            if self.struck_as_well(case, hold.server, hold.primary, sign.at.t_us) {
                continue;
            }
            let text = format!(
                "{} was moved from {} to {}; {} held {} for it, and {} at {}",
                self.node,
                clock(self.from.t_us),
                clock(self.to.t_us),
                hold.server,
                hold.name(),
                sign.text,
                clock(sign.at.t_us)
            );
            tally.broken(piece(text, [self.from, self.to, sign.at].map(|m| m.seq)));
        }
    }

    /// The longest time around the migration in which nothing came from the guest.
    fn blackout(&self, case: &Case<'_>) -> Option<Duration> {
        let mut said: Vec<u64> = case
            .connections()
            .flat_map(|c| {
                let (from, to) = (c.from == self.node, c.to == self.node);
                c.events
                    .iter()
                    .filter(move |(_, w)| (to && is_answer(w)) || (from && is_asking(w)))
                    .map(|(at, _)| at.t_us)
            })
            .collect();
        said.sort_unstable();
        let around = |pair: &&[u64]| pair[1] >= self.from.t_us && pair[0] <= self.to.t_us;
        let longest = said
            .windows(2)
            .filter(around)
            .map(|pair| pair[1] - pair[0])
            .max();
        longest.map(Duration::from_micros)
    }
}

/// How a session was broken off, if it was: by a reset, by a server that sends its client away or just leaves, by a client that
/// gives it up in the middle. A session that ran into one of its timeouts is none of these.
fn broken<'h>(
    case: &Case<'h>,
    connection: &Connection<'h>,
    one: &Move<'_, '_>,
) -> Option<(Moment, &'static str)> {
    if let Some(at) = tried_again(case, connection, one) {
        let how = "was given up for another one, on which the same was sent again";
        return Some((at, how));
    }
    let (at, by, reset) = connection.closed?;
    if reset {
        return Some((at, "was reset"));
    }
    if connection.commands("QUIT").next().is_some() {
        return None;
    }
    let sent_away = connection.events.iter().find(|(when, wire)| {
        let unasked = matches!(wire, Wire::Reply { verb, .. } if verb.is_empty());
        unasked && *when > one.from
    });
    let shortest = ["ConnectionInactivityTimeout", "ConnectionTimeout"]
        .map(|name| case.config.span(connection.to, name))
        .into_iter()
        .min()
        .unwrap_or_default();
    if let Some((when, _)) = sent_away {
        let waited = u128::from(when.t_us.saturating_sub(connection.opened.t_us));
        return (waited < shortest.as_micros())
            .then_some((*when, "was ended by a reply that nobody had asked for"));
    }
    let cut = case.submissions.iter().any(|s| {
        let of_it = case
            .exchange_of(s)
            .is_some_and(|(c, _)| c.link == connection.link && c.number == connection.number);
        is_cut(case, s) && (of_it || s.what.link == connection.link)
    });
    let said = connection.events.iter().rev().map(|(_, wire)| *wire);
    let last = said
        .into_iter()
        .find(|wire| !matches!(wire, Wire::Close { .. }));
    // A client that has all its answers may go when it likes.
    let waited = last.is_some_and(is_asking);
    match by {
        _ if cut => None,
        "client" if waited => Some((at, "was given up by a client that waited for an answer")),
        "client" => None,
        _ => Some((at, "was closed by a server that nobody had told to QUIT")),
    }
}

/// When the node that had opened the session sent the same message to another server, or anew, while the guest had not answered
/// for it: what it gives up itself is seen to end only when the guest ends it, too.
fn tried_again<'h>(
    case: &Case<'h>,
    connection: &Connection<'h>,
    one: &Move<'_, '_>,
) -> Option<Moment> {
    let unanswered = connection.exchanges.iter().filter(|e| {
        let open = e.sent <= one.to && e.reply.is_none_or(|(at, _)| at > one.from);
        open && e.transport_id.is_some()
    });
    unanswered
        .filter_map(|e| {
            let again = case.exchanges_named(e.transport_id?).find(|(c, other)| {
                c.from == connection.from
                    && (c.link, c.number) != (connection.link, connection.number)
                    && other.kind == e.kind
                    && other.sent > one.from.max(e.sent)
                    && e.reply.is_none_or(|(at, _)| other.sent < at)
            });
            again.map(|(_, other)| other.sent)
        })
        .min()
}

/// A step of the plan has this client break off.
fn is_cut(case: &Case<'_>, s: &crate::check::Submitted<'_>) -> bool {
    case.plan.scenario.step.iter().any(|step| {
        matches!(step, crate::scenario::Step::Submit(submit) if submit.client == s.what.client && submit.cut.is_some())
    })
}

/// A server says it.
fn is_answer(wire: &Wire) -> bool {
    matches!(
        wire,
        Wire::Greeting { .. } | Wire::Reply { .. } | Wire::FinalReply { .. }
    )
}

/// A client says it.
fn is_asking(wire: &Wire) -> bool {
    matches!(wire, Wire::Command { .. } | Wire::EndOfData { .. })
}

/// `a guest was silent for 312 ms at most`.
fn blackouts(case: &Case<'_>, moves: &[Move<'_, '_>]) -> String {
    let mut all: Vec<Duration> = moves.iter().filter_map(|one| one.blackout(case)).collect();
    all.sort();
    match all.as_slice() {
        [] => "the blackout could not be measured".into(),
        [only] => format!("the guest was silent for {}", lasting(*only)),
        [least, .., most] => format!(
            "the guest was silent for {} to {}",
            lasting(*least),
            lasting(*most)
        ),
    }
}
