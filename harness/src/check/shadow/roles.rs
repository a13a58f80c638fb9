//! SC-14 and SC-16: what was sent out stays out of resubmissions; a node is primary and shadow at the same time.

use std::collections::BTreeMap;

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Connection, Exchange, Ledger, Moment,
        conditions::conclude,
        evidence::{Tally, clock, piece},
        heartbeat::asking::asks,
    },
    history::{Event, Transaction},
};

/// SC-14: a message that was sent out of the boundary and acknowledged there is never submitted again from Safety Net.
/// Put to the test by resubmissions that were asked for and answered.
pub(super) fn sc_14(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    sent_again(case, &mut tally, |from, to| is_outside(case, from, to));
    let thin = "no resubmission was asked for after mail had been acknowledged outside";
    conclude(
        case,
        "SC-14",
        tally,
        "messages that were acknowledged outside were not sent there again",
        thin,
    )
}

/// What was acknowledged by hosts of a kind before a resubmission was asked for, and whether it went there again.
pub(super) fn sent_again(case: &Case<'_>, tally: &mut Tally, kind: impl Fn(&str, &str) -> bool) {
    for record in case.records {
        let Event::Resubmit {
            node,
            resubmitted: Some(_),
            ..
        } = &record.event
        else {
            continue;
        };
        let asked = Moment::of(record);
        for (link, connections) in case.links.iter().filter(|(link, _)| {
            link.split_once('>')
                .is_some_and(|(from, to)| from == node && kind(from, to))
        }) {
            let mut sends: Vec<&Exchange<'_>> =
                connections.iter().flat_map(|c| &c.exchanges).collect();
            sends.sort_by_key(|e| e.sent);
            for (i, done) in sends.iter().enumerate() {
                let Some(acked) = done
                    .acked()
                    .filter(|at| *at < asked && done.message.is_some())
                else {
                    continue;
                };
                let again = sends[i + 1..].iter().find(|e| {
                    e.message == done.message
                        && e.sent > asked
                        && e.recipients.iter().any(|to| done.recipients.contains(to))
                        && !explained(case, node, e.message, acked, e)
                });
                match again {
                    Some(e) => {
                        let text = format!(
                            "message {} was acknowledged on {link} at {}; {node} was asked to resubmit at {}, and sent it there again at {}",
                            done.message.unwrap_or_default(),
                            clock(acked.t_us),
                            clock(asked.t_us),
                            clock(e.sent.t_us)
                        );
                        tally.broken(piece(text, [acked.seq, asked.seq, e.sent.seq]));
                    }
                    None => tally.kept(),
                }
            }
        }
    }
}

/// A next hop outside the boundary of `node`: a sink, or a server of another boundary (SC-13).
fn is_outside(case: &Case<'_>, node: &str, to: &str) -> bool {
    let other_boundary = case.is_2013(to) && to != node && !case.boundary(node).contains(to);
    case.is_sink(to) || other_boundary
}

/// Another reason to send it again: the node took it in once more, or was struck around the first ack.
fn explained(
    case: &Case<'_>,
    node: &str,
    message: Option<u32>,
    acked: Moment,
    again: &Exchange<'_>,
) -> bool {
    let came = message
        .into_iter()
        .flat_map(|message| case.exchanges_of(message));
    let more = came
        .filter(|(c, e)| c.to == node && e.kind != Transaction::Deliver)
        .filter(|(_, e)| e.sent < again.sent);
    more.count() > 1 || !case.well_between(node, acked.t_us, again.sent.t_us)
}

/// SC-16: a node is primary for some messages and shadow for others at the same time.
pub(super) fn sc_16(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let busy = all_busy(case, ledger);
    let mut tally = Tally::default();
    for connection in case
        .connections()
        .filter(|c| case.is_node(c.from) && c.from != c.to)
    {
        let Some((begun, _)) = connection.commands("XSHADOW").next() else {
            continue;
        };
        let node = connection.to;
        let Some(busy) = busy
            .get(node)
            .and_then(|of_node| primary_for(of_node, begun))
        else {
            continue;
        };
        let last = connection.events.last().map_or(begun, |(at, _)| *at);
        if !case.well_between(node, begun.t_us, last.t_us) {
            continue;
        }
        match refusal(case, connection) {
            Some((at, code)) => {
                let text = format!(
                    "{node} was primary server for message {busy} at {}; it answered {code} to {}'s copy at {}",
                    clock(begun.t_us),
                    connection.from,
                    clock(at.t_us)
                );
                tally.broken(piece(text, [begun.seq, at.seq]));
            }
            None if connection
                .exchanges
                .iter()
                .any(|e| e.kind == Transaction::Copy && e.acked().is_some()) =>
            {
                tally.kept()
            }
            None => {}
        }
    }
    let thin = "no node was asked to hold a copy while it was primary server for another message";
    conclude(
        case,
        "SC-16",
        tally,
        "copies were taken by a node that was primary server for other messages",
        thin,
    )
}

/// An acked message, and how long some of its recipients were without it (microseconds).
struct Busy {
    message: u32,
    from: Moment,
    until: i64,
    /// The latest of these of it and of those that were acked before it.
    latest: i64,
}

/// The messages that each node was primary server for, in the order of their acks.
fn all_busy<'h>(case: &Case<'h>, ledger: &Ledger<'_>) -> BTreeMap<&'h str, Vec<Busy>> {
    let mut all: BTreeMap<&str, Vec<Busy>> = BTreeMap::new();
    for s in case.acked() {
        let (Some(entry), Some(from)) = (ledger.entries.get(&s.what.message), s.ended) else {
            continue;
        };
        let owed = entry
            .accounts
            .values()
            .filter(|a| a.owed.is_some() && a.dsns.is_empty());
        let until = owed.map(|a| a.arrivals.iter().map(|x| x.t_us).min().unwrap_or(i64::MAX));
        if let Some(until) = until.max() {
            all.entry(s.node()).or_default().push(Busy {
                message: s.what.message,
                from,
                until,
                latest: until,
            });
        }
    }
    for of_node in all.values_mut() {
        of_node.sort_by_key(|busy| busy.from);
        let mut latest = i64::MIN;
        for busy in of_node {
            latest = latest.max(busy.until);
            busy.latest = latest;
        }
    }
    all
}

/// The latest message that a node was primary server for at that moment: acked by it before, and not yet with all
/// recipients.
fn primary_for(busy: &[Busy], at: Moment) -> Option<u32> {
    let before = &busy[..busy.partition_point(|b| b.from < at)];
    let open = before.iter().rev();
    open.take_while(|b| b.latest > at.signed_us())
        .find(|b| b.until > at.signed_us())
        .map(|b| b.message)
}

/// Where a copy was refused: at XSHADOW, or after its data. A server that has had the message's discard notification is
/// right to: the message is done, and nothing would ever end the shadow message. A session that is over (421) refuses
/// nothing.
fn refusal(case: &Case<'_>, connection: &Connection<'_>) -> Option<(Moment, u16)> {
    let named = connection
        .commands("XSHADOW")
        .map(|(_, line)| line.split_whitespace().nth(1));
    let at_verb = named.zip(connection.replies("XSHADOW"));
    let at_end = connection
        .exchanges
        .iter()
        .filter(|e| e.kind == Transaction::Copy)
        .filter_map(|e| Some((e.transport_id, e.reply?)));
    let done = |id: Option<&str>, refused: Moment| {
        let asks = asks(case, connection.to, connection.from);
        let answers = asks.iter().filter_map(|ask| ask.answered.as_ref());
        answers.filter(|(at, _)| *at < refused).any(|(_, told)| {
            let mut told = told.iter();
            told.any(|t| Some(t.transport_id) == id)
        })
    };
    at_verb
        .chain(at_end)
        .filter(|(_, (_, reply))| reply.code >= 400 && reply.code != 421)
        .find(|(id, (at, _))| !done(*id, *at))
        .map(|(_, (at, reply))| (at, reply.code))
}
