//! RO-02 and RO-03: how many copies are seen when a message had two owners.

use std::collections::{BTreeMap, BTreeSet};

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Entry, Moment,
        conditions::conclude,
        evidence::{Tally, clock, inconclusive, piece},
        heartbeat::{
            asking::link,
            holding::{Hold, holds},
        },
    },
    history::{Event, Transaction},
};

/// RO-02. A primary server that came back with its database after its messages had been taken over delivers its queue
/// again; each mailbox shows one copy all the same. A message that nobody but the shadow server delivered is no proof.
pub(super) fn one_in_the_mailbox(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    let mut done = BTreeSet::new();
    for hold in holds(case) {
        let Some(back) = back_after_promotion(case, hold) else {
            continue;
        };
        let Some(entry) = hold
            .message
            .and_then(|message| ledger.entries.get(&message))
        else {
            continue;
        };
        if !done.insert(entry.message) || !entry.has_message_id(case) {
            continue;
        }
        let again = delivered_again(case, entry, hold, back);
        for (to, account) in entry
            .accounts
            .iter()
            .filter(|(to, a)| case.is_mailbox(to) && a.owed.is_some())
        {
            let shown = account.arrivals.len();
            let failure = ledger.fate(case, entry, to);
            if shown == 1 && again {
                tally.kept();
            } else if shown > 1 || failure.failure().is_some() {
                let text = format!(
                    "{} took {} over by {}; {} came back with its database at {} and delivered its queue; {to} shows \
                     the message {shown} times",
                    hold.server,
                    hold.name(),
                    clock(hold.promoted.as_ref().map_or(0, |p| p.at.t_us)),
                    hold.primary,
                    clock(back.t_us),
                );
                let records = account.arrivals.iter().map(|a| a.seq);
                tally.broken(piece(text, records.chain([hold.since.seq, back.seq])));
            }
        }
    }
    conclude(
        case,
        "RO-02",
        tally,
        "mailboxes showed one copy of a message that both owners delivered",
        "no primary server came back with its database and delivered to a mailbox what had been taken over",
    )
}

/// When the primary server came back with the same database after the shadow server had taken the message over.
fn back_after_promotion(case: &Case<'_>, hold: &Hold<'_>) -> Option<Moment> {
    let promoted = hold.promoted.as_ref()?.at;
    if hold.renewed.is_some_and(|r| r.at < promoted) {
        return None;
    }
    let starts = case.starts.get(hold.primary).map_or(&[][..], Vec::as_slice);
    let restarted = starts
        .windows(2)
        .find(|pair| pair[1].at > promoted && pair[0].database == pair[1].database);
    // It may have been cut off only: then it is back when the last way to it is open again.
    let cuts = case
        .faults_on(hold.server, hold.primary)
        .filter(|f| f.what.node().is_none());
    let rejoined = cuts
        .filter_map(|f| f.healed)
        .filter(|at| *at > promoted)
        .max();
    restarted.map(|pair| pair[1].at).or(rejoined)
}

/// The returned primary server delivered it to the mailbox server once more, or says that it found a duplicate.
fn delivered_again(case: &Case<'_>, entry: &Entry<'_>, hold: &Hold<'_>, back: Moment) -> bool {
    let home = case.plan.scenario.cluster.mailboxes.as_str();
    let by_wire = link(case, hold.primary, home)
        .iter()
        .flat_map(|c| &c.exchanges)
        .any(|e| {
            e.kind != Transaction::Copy
                && e.message == Some(entry.message)
                && e.acked().is_some_and(|at| at > back)
        });
    let id = entry
        .submitted(case)
        .find_map(|s| s.what.message_id.as_deref());
    let by_log = case.records.iter().any(|record| match &record.event {
        Event::Tracking { node, entry }
            if node == hold.primary && hold.primary == home && record.seq > back.seq =>
        {
            let word = |key| entry.get(key).and_then(serde_json::Value::as_str);
            word("event") == Some("DUPLICATEDELIVER")
                && (word("transport-id") == Some(hold.transport_id)
                    || (id.is_some() && word("message-id") == id))
        }
        _ => false,
    });
    by_wire || by_log
}

/// RO-03 (MAY). External recipients may see a copy from each owner of a message; an owner that sends it once more
/// without a reason breaks the bound. Proof is a message that two owners sent.
pub(super) fn one_for_each_owner(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut owners: BTreeMap<(u32, &str), BTreeSet<&str>> = BTreeMap::new();
    for (connection, exchange) in case.exchanges() {
        let to_sink = case.is_node(connection.from) && case.is_sink(connection.to);
        if let (true, Transaction::Mail, Some(message), Some(_)) =
            (to_sink, exchange.kind, exchange.message, exchange.acked())
            && ledger.entries.contains_key(&message)
        {
            owners
                .entry((message, connection.to))
                .or_default()
                .insert(connection.from);
        }
    }
    let mut tally = Tally {
        proofs: owners.values().filter(|o| o.len() > 1).count(),
        against: Vec::new(),
    };
    let (_, surplus) = ledger.surplus(case);
    for extra in &surplus {
        let text = format!(
            "{} sent message {} to {} {} times, with a reason for {} (the copies that it owned, replies lost, faults)",
            extra.node, extra.message, extra.sink, extra.sent, extra.allowed
        );
        tally.broken(piece(text, extra.records.iter().copied()));
    }
    if tally.against.is_empty() && tally.proofs == 0 {
        return inconclusive(
            "RO-03",
            "no message was sent to an external recipient by two owners",
        );
    }
    conclude(
        case,
        "RO-03",
        tally,
        "messages that two owners sent to an external recipient came once from each",
        "no message was sent to an external recipient by two owners",
    )
}
