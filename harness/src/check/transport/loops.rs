//! TC-09: mail loops.

use std::collections::BTreeMap;

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Entry, Exchange, Submitted,
        conditions::{conclude, strikes},
        evidence::{Tally, clock, piece},
        heartbeat::processing::host_of,
    },
    history::{Outcome, Transaction},
    scenario::{SinkBehaviour, Step},
    workload::content::{LOOPED, LOOPED_FIELDS},
};

/// TC-09: a message that goes round and round is refused once it has more Received fields than MaxHopCount, and its
/// sender gets a DSN. A message loops when a node took it from the same other node twice. How often it may go round is
/// counted where no fault made copies of it: a transmission whose reply was lost is one more message on its way.
pub(super) fn tc_09(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let most = case
        .plan
        .scenario
        .cluster
        .nodes
        .iter()
        .map(|node| case.config.number(node, "MaxHopCount"))
        .max()
        .unwrap_or_default();
    let mut tally = Tally::default();
    for entry in ledger.entries.values() {
        let hops = hops(case, entry.message);
        let mut by_link: BTreeMap<&str, usize> = BTreeMap::new();
        for (link, _) in hops.iter().filter(|(_, e)| e.acked().is_some()) {
            *by_link.entry(link).or_default() += 1;
        }
        if by_link.values().all(|times| *times < 2) {
            continue;
        }
        judge(case, &mut tally, entry, &hops, most);
    }
    for entry in ledger.entries.values() {
        if let Some(s) = entry.submitted(case).find(|s| s.what.content == LOOPED) {
            judge_looped(case, &mut tally, entry, s);
        }
    }
    conclude(
        case,
        "TC-09",
        tally,
        "messages that went round were refused after MaxHopCount Received fields, with a DSN to their sender",
        "no message went round",
    )
}

/// A message that came in with the Received fields of a loop: refused, or taken and not sent on, with a DSN to its sender.
fn judge_looped(case: &Case<'_>, tally: &mut Tally, entry: &Entry<'_>, s: &Submitted<'_>) {
    if s.outcome == Outcome::Refused && s.reply.is_some_and(|reply| reply.code >= 500) {
        return tally.kept();
    }
    if !s.acked() {
        return;
    }
    let number = entry.message;
    for (to, account) in entry.accounts.iter().filter(|(_, a)| a.owed.is_some()) {
        let came = s.ended.map(|at| at.seq);
        if let Some(arrival) = account.arrivals.first() {
            let text = format!(
                "message {number} was taken with {LOOPED_FIELDS} Received fields, and went on to {to} at {}",
                clock(u64::try_from(arrival.t_us).unwrap_or_default())
            );
            tally.broken(piece(text, came.into_iter().chain([arrival.seq])));
            continue;
        }
        let told = !account.dsns.is_empty() || !entry.mailbox_dsns.is_empty();
        if told || s.what.from.is_empty() {
            tally.kept();
        } else if let Some((settled, true, _)) = case.settled
            && reachable(case, &s.what.from)
            && strikes(case).is_empty()
        {
            let text = format!(
                "message {number} was taken with {LOOPED_FIELDS} Received fields; neither it nor a DSN had come by {}",
                clock(settled.t_us)
            );
            tally.broken(piece(text, came.into_iter().chain([settled.seq])));
        }
    }
}

/// Ends of data of a message on its way round from node to node, in order. What one node hands another for its mailboxes
/// goes nowhere from there.
fn hops<'c, 'h>(case: &'c Case<'h>, message: u32) -> Vec<(&'h str, &'c Exchange<'h>)> {
    case.exchanges_of(message)
        .filter(|(c, e)| {
            let between = case.is_node(c.from) && case.is_node(c.to);
            let round = e.recipients.is_empty() || e.recipients.iter().any(|to| looped(case, to));
            between && round && e.kind == Transaction::Mail
        })
        .map(|(c, e)| (c.link, e))
        .collect()
}

/// Which host takes its mail depends on who sends it.
fn looped(case: &Case<'_>, recipient: &str) -> bool {
    host_of(case, recipient).is_empty()
}

fn judge(
    case: &Case<'_>,
    tally: &mut Tally,
    entry: &Entry<'_>,
    hops: &[(&str, &Exchange<'_>)],
    most: u64,
) {
    let taken: Vec<_> = hops.iter().filter_map(|(_, e)| e.acked()).collect();
    let faults = case.faults.iter().any(|f| f.landed.is_some());
    let sent = u64::try_from(entry.submissions.len()).unwrap_or(u64::MAX);
    let looped = |to: &str| looped(case, to);
    let ways = entry.accounts.keys().filter(|to| looped(to)).count().max(1);
    // The client's own transmission gives the first field. Recipients in several domains may go several ways.
    let bound = most
        .saturating_mul(sent)
        .saturating_mul(u64::try_from(ways).unwrap_or(u64::MAX));
    let rounds = u64::try_from(taken.len()).unwrap_or(u64::MAX);
    if !faults
        && rounds > bound
        && let Some(last) = taken.last()
    {
        let text = format!(
            "message {} was taken {rounds} times from another node by {}; MaxHopCount is {most}",
            entry.message,
            clock(last.t_us)
        );
        let first = taken.first().map(|at| at.seq);
        tally.broken(piece(text, first.into_iter().chain([last.seq])));
        return;
    }
    let refused = hops
        .iter()
        .filter_map(|(_, e)| e.reply.filter(|(_, reply)| reply.code >= 500))
        .map(|(at, _)| at)
        .next_back();
    let Some(refused) = refused else {
        return;
    };
    // While something is under way still, a DSN may be.
    let settled = case.settled.filter(|(_, quiet, _)| *quiet).map(|s| s.0);
    let Some(submission) = entry.submitted(case).find(|s| s.acked()) else {
        return;
    };
    let sender = submission.what.from.as_str();
    for (to, account) in entry
        .accounts
        .iter()
        .filter(|(to, a)| a.owed.is_some() && looped(to))
    {
        let told = account.dsns.iter().any(|(.., action)| *action == "failed")
            || !entry.mailbox_dsns.is_empty();
        if sender.is_empty() && !told || told && !sender.is_empty() {
            tally.kept();
        } else if sender.is_empty() {
            let text = format!(
                "message {} has a null return path, and a DSN about it was sent",
                entry.message
            );
            tally.broken(piece(text, [submission.at.seq, refused.seq]));
        } else if let Some(settled) = settled
            && reachable(case, sender)
            && strikes(case).is_empty()
        {
            let text = format!(
                "message {} for {to} went round until it was refused at {}; no DSN had come to {sender} when all was quiet at {}",
                entry.message,
                clock(refused.t_us),
                clock(settled.t_us)
            );
            tally.broken(piece(text, [submission.at.seq, refused.seq, settled.seq]));
        }
    }
}

/// A sink or the mailboxes take the sender's mail, and no step had the sink refuse it.
fn reachable(case: &Case<'_>, sender: &str) -> bool {
    let host = host_of(case, sender);
    let refuses = |step: &Step| matches!(step, Step::Sink { sink, behaviour: SinkBehaviour::Refuse(_), .. } if sink == host);
    case.is_sink(host) && !case.plan.scenario.step.iter().any(refuses)
}
