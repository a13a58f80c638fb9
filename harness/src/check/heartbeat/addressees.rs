//! HB-03: discard notifications go to those who may have the copy.
//!
//! Comes in: a [`Case`]. Goes out: a verdict. Called by [`super`].
//!
//! A primary server writes down whom it sends a copy to before it does, and notifies whoever it wrote down: a server that
//! got the copy, and one that may get it, because an attempt there was begun and came to nothing, or the primary server
//! crashed around it. What such a server is told changes nothing there (PROTOCOL.md, XQDISCARD).

use std::collections::{BTreeMap, BTreeSet};

use gauntlet_reports::Verdict;

use super::{
    asking::{asks, link},
    holding::{Hold, holds, name, us},
};
use crate::{
    check::{
        Case, Connection, FaultSpan, Moment,
        conditions::conclude,
        evidence::{Tally, clock, inconclusive, piece},
        positive,
    },
    history::{Fault, Transaction},
};

/// HB-03. A notification may only name a message whose copy the primary server sent, or began to send, to the server
/// that asks. It takes two shadow servers of one primary server to put that to the test.
pub(super) fn only_ones_own(case: &Case<'_>) -> Verdict {
    let held = holds(case);
    let mut tally = Tally::default();
    let mut told_to: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (server, primary) in pairs(case) {
        let sent: Vec<(Moment, &str)> = link(case, primary, server)
            .iter()
            .flat_map(|c| c.commands("XSHADOW"))
            .filter_map(|(at, line)| Some((at, line.split_whitespace().nth(1)?)))
            .collect();
        let mut seen = BTreeSet::new();
        for (at, told) in asks(case, server, primary)
            .iter()
            .filter_map(|ask| ask.answered.as_ref())
        {
            let at = *at;
            for told in told {
                // What is told again is the same notification.
                if !seen.insert(told.transport_id) {
                    continue;
                }
                told_to.entry(primary).or_default().insert(server);
                let id = told.transport_id;
                if sent.iter().any(|(begun, of)| *of == id && *begun < at) {
                    tally.kept();
                    continue;
                }
                let way = Way {
                    case,
                    primary,
                    server,
                    taken: taken_us(case, held, primary, id),
                    told: at,
                };
                let underway = sent
                    .iter()
                    .any(|(begun, of)| *of == id && begun.t_us <= way.over_us());
                if !underway && !way.may_have_been_tried() {
                    tally.broken(piece(
                        format!(
                            "at {} {primary} told {server} that {} is done, of which {server} never got a copy{}",
                            clock(at.t_us),
                            name(message_of(case, id), id),
                            went_to(case, primary, id),
                        ),
                        [at.seq],
                    ));
                }
            }
        }
    }
    if tally.against.is_empty() && told_to.values().all(|servers| servers.len() < 2) {
        return inconclusive(
            "HB-03",
            "no primary server had notifications for two shadow servers",
        );
    }
    conclude(
        case,
        "HB-03",
        tally,
        "discard notifications were for the server that asked",
        "no discard notification was given",
    )
}

/// The way on which a primary server may have tried to send a copy that nobody saw.
struct Way<'c, 'h> {
    case: &'c Case<'h>,
    primary: &'c str,
    server: &'c str,
    /// The primary server did not own the message before (microseconds).
    taken: u64,
    /// When it told the server that the message is done.
    told: Moment,
}

impl Way<'_, '_> {
    /// Nobody saw the copy's XSHADOW, yet the server is one that may be written down for the message, and an attempt to it
    /// may have been begun.
    fn may_have_been_tried(&self) -> bool {
        let may_hold = self.case.shadow_servers(self.primary).contains(self.server);
        may_hold
            && (self.crashed()
                || link(self.case, self.primary, self.server)
                    .iter()
                    .any(|c| self.came_to_nothing(c) || self.cut_while_open(c)))
    }

    /// The primary server went down between taking the message in and telling of it: it may have written the server down
    /// and not come to the attempt.
    fn crashed(&self) -> bool {
        let starts = (self.case.starts.get(self.primary)).map_or(&[][..], Vec::as_slice);
        let back = |f: &FaultSpan<'_>| {
            let earlier = matches!(f.what, Fault::Revert { .. } | Fault::Save { .. });
            earlier && f.what.node() == Some(self.primary) && f.overlaps(self.taken, self.told.t_us)
        };
        (starts.iter().skip(1)).any(|s| s.at < self.told && s.at.t_us >= self.taken)
            || self.case.faults.iter().any(back)
    }

    /// The connection could not be opened, or no mail and no answered question passed on it before the server was told. A
    /// connection that could not be opened is seen only when it is given up.
    fn came_to_nothing(&self, c: &Connection<'_>) -> bool {
        let before = |at: Moment| at < self.told;
        let mail = ["XSHADOW", "XDELIVER", "XHANDOVER", "XRESUBMIT", "MAIL"];
        let used = mail
            .iter()
            .any(|verb| c.commands(verb).any(|(at, _)| before(at)));
        let heartbeat = c
            .replies("XQDISCARD")
            .any(|(at, reply)| before(at) && positive(reply));
        let last = c.events.last().map_or(c.opened, |(at, _)| *at);
        let over = c.failed.is_some() || c.closed.is_some();
        (!over || last.t_us >= self.taken) && c.opened.t_us <= self.over_us() && !used && !heartbeat
    }

    /// A session that had carried copies was open still, and was struck: what is sent on it is not seen.
    fn cut_while_open(&self, c: &Connection<'_>) -> bool {
        let first = c.commands("XSHADOW").next().map(|(at, _)| at);
        let end = c.closed.map_or(u64::MAX, |(at, ..)| at.t_us);
        let struck = |from: u64, to: u64| {
            let there = self.case.faults_on(self.primary, self.server);
            let back = self.case.faults_on(self.server, self.primary);
            there
                .chain(back)
                .filter(|f| {
                    let delays = matches!(f.what, Fault::Delay { .. } | Fault::DelayReply { .. });
                    !delays && !f.what.leaves_node_running()
                })
                .any(|f| f.overlaps(from, to))
        };
        first.is_some_and(|at| at < self.told)
            && end >= self.taken
            && struck(self.taken, self.told.t_us.min(end))
    }

    /// An attempt that was under way when the server was told has shown itself by then (microseconds).
    fn over_us(&self) -> u64 {
        let limit = self.case.config.span(self.primary, "ShadowCopyTimeout");
        let limit = us(limit + self.case.config.tolerance(limit));
        let soon = self.told.t_us.saturating_add(limit);
        let frozen = (self.case.faults_on(self.primary, self.server))
            .chain(self.case.faults_on(self.server, self.primary))
            .filter(|f| f.overlaps(self.told.t_us, soon))
            .map(|f| {
                f.healed
                    .map_or(u64::MAX, |at| at.t_us.saturating_add(limit))
            });
        frozen.max().unwrap_or(soon).max(soon)
    }
}

/// The earliest time (microseconds) at which `primary` may have owned that message: its client's end of data, the copy that
/// it promoted, or the run's beginning where nothing tells.
fn taken_us(case: &Case<'_>, held: &[Hold<'_>], primary: &str, transport_id: &str) -> u64 {
    let own = transport_id.split('/').next() == Some(primary);
    if own {
        let message = message_of(case, transport_id);
        return message
            .into_iter()
            .flat_map(|message| case.exchanges_of(message))
            .find(|(c, e)| c.to == primary && e.kind == Transaction::Mail)
            .map_or(0, |(_, e)| e.sent.t_us);
    }
    let copies = held
        .iter()
        .filter(|h| h.server == primary && h.transport_id == transport_id);
    copies
        .map(|h| match &h.promoted {
            Some(promoted) if promoted.exact => promoted.at.t_us,
            _ => h.since.t_us,
        })
        .min()
        .unwrap_or(0)
}

/// The number of the message of that name, as far as a copy or a delivery of it was seen.
fn message_of(case: &Case<'_>, transport_id: &str) -> Option<u32> {
    case.exchanges_named(transport_id)
        .find_map(|(_, e)| e.message)
}

/// In words, where the primary server sent the message's copy: `: it went to n2`.
fn went_to(case: &Case<'_>, primary: &str, transport_id: &str) -> String {
    case.exchanges_named(transport_id)
        .rfind(|(c, e)| e.kind == Transaction::Copy && c.from == primary)
        .map_or(String::new(), |(c, _)| format!(": it went to {}", c.to))
}

/// Every two nodes, as shadow server and primary server. Hubs of 2010's kind have their own rules (SC-19).
fn pairs<'c>(case: &'c Case<'_>) -> impl Iterator<Item = (&'c str, &'c str)> {
    let cluster = &case.plan.scenario.cluster;
    cluster.nodes_2013().flat_map(|a| {
        cluster
            .nodes_2013()
            .filter(move |b| *b != a)
            .map(|b| (a.as_str(), b.as_str()))
    })
}
