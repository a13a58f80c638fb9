//! The ledger: for every message and recipient, what was promised and what arrived.
//!
//! Comes in: a [`Case`]. Goes out: [`Ledger`], with the fate of each message for each recipient, mail that nobody
//! sent, and copies that nothing explains. Called by checkers; [`always`] by [`judge`](super::judge).

use std::collections::{BTreeMap, HashSet};

use gauntlet_reports::Verdict;

use super::{
    Case, Moment, Submitted,
    evidence::{self, clock, piece},
};
use crate::history::{Delivery, Digest, Event, Fault, MailboxMessage, Outcome};

mod account;
mod expiry;
mod fate;
mod surplus;
#[cfg(test)]
mod tests;
mod unavoidable;

pub use fate::Fate;
pub(super) use fate::{loss, refused_by_next_hop};
pub use surplus::Surplus;

/// One arrival of a message for one recipient.
#[derive(Debug, Clone)]
pub struct Arrival<'h> {
    /// The record that shows it.
    pub seq: u64,
    /// When it arrived, microseconds of the run.
    pub t_us: i64,
    /// The sink, or the node that has the mailbox.
    pub place: &'h str,
    /// The link that it came by, where that is known.
    pub link: Option<&'h str>,
    /// The attempt that it says it is of.
    pub attempt: Option<u32>,
    /// What it looks like.
    pub digest: &'h Digest,
}

/// What became of a message for one recipient.
#[derive(Debug, Default)]
pub struct Account<'h> {
    /// When the transport first answered for it: the ack of a submission in which this recipient was accepted.
    pub owed: Option<Moment>,
    /// Refused at RCPT in every submission that named it.
    pub refused: bool,
    /// Named in an envelope at all.
    pub named: bool,
    /// Arrivals: at sinks all of them, in mailboxes what the last view shows.
    pub arrivals: Vec<Arrival<'h>>,
    /// Arrivals in mailboxes that an earlier view showed and the last one does not.
    pub vanished: Vec<Arrival<'h>>,
    /// DSNs that report on this recipient: record, time, action.
    pub dsns: Vec<(u64, i64, &'h str)>,
}

/// A message.
#[derive(Debug)]
pub struct Entry<'h> {
    /// Its number.
    pub message: u32,
    /// Its submissions: indices into [`Case::submissions`].
    pub submissions: Vec<usize>,
    /// By recipient.
    pub accounts: BTreeMap<&'h str, Account<'h>>,
    /// The header that carries the attempt differs from submission to submission, so that it tells them apart.
    pub attempts_differ: bool,
    /// DSNs in mailboxes, which do not tell their recipients: record and time.
    pub mailbox_dsns: Vec<(u64, i64)>,
}

/// Mail that nobody sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The record that shows it.
    pub seq: u64,
    /// In words.
    pub text: String,
}

/// All messages of a run.
#[derive(Debug, Default)]
pub struct Ledger<'h> {
    /// By number.
    pub entries: BTreeMap<u32, Entry<'h>>,
    /// Mail without a known number that is no DSN.
    pub strangers: Vec<Stranger>,
    /// DSNs that arrived: record, message, return path they were sent to.
    pub dsns: Vec<(u64, Option<u32>, &'h [String])>,
}

impl<'h> Ledger<'h> {
    /// Reads the ledger off a history.
    pub fn new(case: &Case<'h>) -> Self {
        let mut ledger = Self::default();
        for (index, submitted) in case.submissions.iter().enumerate() {
            ledger.enter(case, index, submitted);
        }
        let mut boxes: BTreeMap<(&str, &str), (u64, &'h [MailboxMessage])> = BTreeMap::new();
        for record in case.records {
            match &record.event {
                Event::Delivered(delivery) => ledger.deliver(record.seq, record.t_us, delivery),
                Event::Mailbox {
                    node,
                    mailbox,
                    messages,
                } => {
                    let before = boxes.insert((node, mailbox), (record.seq, messages));
                    if let Some((seq, shown)) = before {
                        ledger.vanish(seq, node, mailbox, shown, messages);
                    }
                }
                _ => {}
            }
        }
        for ((node, mailbox), (seq, shown)) in boxes {
            for message in shown {
                ledger.show(seq, node, mailbox, message);
            }
        }
        ledger
    }

    fn enter(&mut self, case: &Case<'h>, index: usize, s: &Submitted<'h>) {
        let number = s.what.message;
        let entry = self.entries.entry(number).or_insert_with(|| Entry {
            message: number,
            submissions: Vec::new(),
            accounts: BTreeMap::new(),
            attempts_differ: false,
            mailbox_dsns: Vec::new(),
        });
        entry.submissions.push(index);
        if s.what.attempt > 1 {
            entry.attempts_differ |= case
                .exchange_of(s)
                .is_some_and(|(_, e)| e.attempt == Some(s.what.attempt));
        }
        for recipient in &s.recipients {
            let account = entry.accounts.entry(recipient).or_default();
            let refused = s.refused.contains_key(recipient);
            account.refused = refused && (account.refused || !account.named);
            account.named = true;
            if s.acked() && !refused {
                account.owed = account.owed.or(s.ended);
            }
        }
    }

    fn deliver(&mut self, seq: u64, t_us: u64, delivery: &'h Delivery) {
        let t_us = i64::try_from(t_us).unwrap_or(i64::MAX);
        if let Some(actions) = &delivery.dsn {
            self.dsns
                .push((seq, delivery.message, &delivery.recipients));
            let Some(entry) = delivery.message.and_then(|n| self.entries.get_mut(&n)) else {
                return;
            };
            for (recipient, action) in actions {
                entry
                    .accounts
                    .entry(recipient)
                    .or_default()
                    .dsns
                    .push((seq, t_us, action));
            }
            return;
        }
        let Some(entry) = delivery.message.and_then(|n| self.entries.get_mut(&n)) else {
            let text = format!(
                "{} took mail for {} at {} that no client sent",
                delivery.sink,
                delivery.recipients.join(", "),
                clock(t_us.unsigned_abs())
            );
            self.strangers.push(Stranger { seq, text });
            return;
        };
        for recipient in &delivery.recipients {
            entry
                .accounts
                .entry(recipient)
                .or_default()
                .arrivals
                .push(Arrival {
                    seq,
                    t_us,
                    place: &delivery.sink,
                    link: Some(&delivery.link),
                    attempt: delivery.attempt,
                    digest: &delivery.digest,
                });
        }
    }

    fn show(&mut self, seq: u64, node: &'h str, mailbox: &'h str, shown: &'h MailboxMessage) {
        if shown.dsn {
            if let Some(entry) = shown.message.and_then(|n| self.entries.get_mut(&n)) {
                entry.mailbox_dsns.push((seq, shown.t_us));
            }
            return;
        }
        let Some(entry) = shown.message.and_then(|n| self.entries.get_mut(&n)) else {
            let when = clock(u64::try_from(shown.t_us).unwrap_or_default());
            let text = format!("{mailbox} on {node} shows mail of {when} that no client sent");
            self.strangers.push(Stranger { seq, text });
            return;
        };
        entry
            .accounts
            .entry(mailbox)
            .or_default()
            .arrivals
            .push(arrival(seq, node, shown));
    }

    fn vanish(
        &mut self,
        seq: u64,
        node: &'h str,
        mailbox: &'h str,
        before: &'h [MailboxMessage],
        after: &[MailboxMessage],
    ) {
        let still: HashSet<Option<u32>> = after.iter().map(|new| new.message).collect();
        for old in before
            .iter()
            .filter(|old| !old.dsn && !still.contains(&old.message))
        {
            if let Some(entry) = old.message.and_then(|n| self.entries.get_mut(&n)) {
                entry
                    .accounts
                    .entry(mailbox)
                    .or_default()
                    .vanished
                    .push(arrival(seq, node, old));
            }
        }
    }
}

fn arrival<'h>(seq: u64, node: &'h str, shown: &'h MailboxMessage) -> Arrival<'h> {
    Arrival {
        seq,
        t_us: shown.t_us,
        place: node,
        link: None,
        attempt: shown.attempt,
        digest: &shown.digest,
    }
}

impl<'h> Entry<'h> {
    /// Its submissions.
    pub fn submitted<'c>(&self, case: &'c Case<'h>) -> impl Iterator<Item = &'c Submitted<'h>> {
        self.submissions
            .iter()
            .filter_map(|index| case.submissions.get(*index))
    }

    /// Why an arrival should not be, if it should not (TC-11, SC-10, TC-03): the recipient was refused or never named,
    /// or every submission that it can come from was refused, or broke off before the end of data. Not where a shadow
    /// server could not know of the refusal.
    pub fn phantom(
        &self,
        case: &Case<'h>,
        recipient: &str,
        arrival: &Arrival<'h>,
    ) -> Option<String> {
        let account = self.accounts.get(recipient)?;
        if !account.named {
            return Some(format!(
                "{recipient} was no recipient of message {}",
                self.message
            ));
        }
        let mut sources: Vec<_> = self
            .submitted(case)
            .filter(|s| s.recipients.contains(&recipient))
            .collect();
        if self.attempts_differ && arrival.attempt.is_some() {
            sources.retain(|s| Some(s.what.attempt) == arrival.attempt);
        }
        // TO-02: a sender whose session timed out after the end of data (421) does not know whether the message is kept.
        let timed_out =
            |s: &Submitted<'_>| s.data_sent.is_some() && s.reply.is_some_and(|r| r.code == 421);
        let innocent = |s: &&Submitted<'_>| {
            let unknown =
                matches!(s.outcome, Outcome::Acked | Outcome::Indeterminate) || timed_out(s);
            unknown && !s.refused.contains_key(recipient)
        };
        if sources.iter().any(innocent) {
            return None;
        }
        let source = sources.last()?;
        if let Some(reply) = source.refused.get(recipient) {
            return Some(format!(
                "{recipient} was refused with {} at RCPT",
                reply.code
            ));
        }
        (!unavoidable::is_unavoidable(case, self, arrival)).then(|| evidence::outcome(source))
    }

    /// The content is that of none of its submissions (TC-08).
    pub fn altered(&self, case: &Case<'h>, arrival: &Arrival<'h>) -> bool {
        !self
            .submitted(case)
            .any(|s| s.what.digest == *arrival.digest)
    }

    /// Messages that a mailbox takes for one: they have a Message-ID. Without it nothing is suppressed (DD-02).
    pub fn has_message_id(&self, case: &Case<'h>) -> bool {
        self.submitted(case).any(|s| s.what.message_id.is_some())
    }
}

impl<'h> Ledger<'h> {
    /// Every arrival, with its entry and recipient; vanished ones left out.
    pub fn arrivals(&self) -> impl Iterator<Item = (&Entry<'h>, &'h str, &Arrival<'h>)> {
        self.entries.values().flat_map(|e| {
            e.accounts
                .iter()
                .flat_map(move |(to, a)| a.arrivals.iter().map(move |x| (e, *to, x)))
        })
    }

    /// What should not have been delivered, in words.
    pub fn phantoms(&self, case: &Case<'h>) -> Vec<gauntlet_reports::Evidence> {
        let known = self.arrivals().filter_map(|(entry, to, arrival)| {
            let why = entry.phantom(case, to, arrival)?;
            let when = clock(u64::try_from(arrival.t_us).unwrap_or_default());
            let seqs = entry
                .submitted(case)
                .map(|s| s.ended.unwrap_or(s.at).seq)
                .chain([arrival.seq]);
            Some(piece(
                format!(
                    "{why}; message {} came to {to} at {} at {when} all the same",
                    entry.message, arrival.place
                ),
                seqs,
            ))
        });
        known
            .chain(
                self.strangers
                    .iter()
                    .map(|s| piece(s.text.clone(), [s.seq])),
            )
            .collect()
    }

    /// What arrived with another content than it was sent with, in words.
    pub fn alterations(&self, case: &Case<'h>) -> Vec<gauntlet_reports::Evidence> {
        let altered = self
            .arrivals()
            .filter(|(entry, _, arrival)| entry.altered(case, arrival));
        altered
            .map(|(entry, to, arrival)| {
                let sent = entry.submitted(case).find(|s| arrival.attempt.is_none_or(|a| a == s.what.attempt));
                let sent = sent.or_else(|| entry.submitted(case).next());
                let part = match sent.map(|s| &s.what.digest) {
                    Some(d) if d.body != arrival.digest.body && d.header == arrival.digest.header => "body",
                    Some(d) if d.body == arrival.digest.body => "header section",
                    _ => "content",
                };
                let octets = sent.map_or(0, |s| s.what.digest.size);
                let text = format!(
                    "message {} was sent with {octets} octets; to {to} came {} octets with another {part}",
                    entry.message, arrival.digest.size
                );
                piece(text, sent.map(|s| s.at.seq).into_iter().chain([arrival.seq]))
            })
            .collect()
    }

    /// What a mailbox shows more than once, in words (DD-01).
    pub fn doubles(&self, case: &Case<'h>) -> Vec<gauntlet_reports::Evidence> {
        let mut found = Vec::new();
        for entry in self.entries.values().filter(|e| e.has_message_id(case)) {
            for (to, account) in entry
                .accounts
                .iter()
                .filter(|(to, a)| case.is_mailbox(to) && a.arrivals.len() > 1)
            {
                let shown = account.arrivals.len();
                let times: Vec<_> = account
                    .arrivals
                    .iter()
                    .map(|a| clock(u64::try_from(a.t_us).unwrap_or_default()))
                    .collect();
                let text = format!(
                    "{to} shows message {} {shown} times: of {}",
                    entry.message,
                    times.join(", ")
                );
                found.push(piece(text, account.arrivals.iter().map(|a| a.seq)));
            }
        }
        found
    }

    /// Acked messages that are lost, or overdue, in words.
    pub fn losses(&self, case: &Case<'h>) -> Vec<gauntlet_reports::Evidence> {
        let mut found = Vec::new();
        for entry in self.entries.values() {
            for to in entry.accounts.keys() {
                if let Some(text) = self.fate(case, entry, to).failure() {
                    found.push(fate::loss(case, entry, to, text));
                }
            }
        }
        found
    }
}

/// Verdicts for what no run may show, whatever its plan is about: acked mail lost (RO-06; where a node is alone
/// TC-01, or TC-02 when its host lost power), a mailbox that shows a message twice (DD-01), altered content (TC-08), mail that was refused or never sent
/// (TC-11). Only violations.
pub(super) fn always(case: &Case<'_>) -> Vec<Verdict> {
    let ledger = case.ledger();
    let alone = case.plan.scenario.cluster.nodes_2013().count() < 2;
    let mut verdicts = Vec::new();
    let mut add = |id: &str, what: &str, evidence: Vec<gauntlet_reports::Evidence>| {
        if !evidence.is_empty() {
            verdicts.push(evidence::violated(
                id,
                evidence.len(),
                format!("{what}: {}", evidence.len()),
                evidence,
            ));
        }
    };
    add(
        "DD-01",
        "messages that a mailbox shows more than once",
        ledger.doubles(case),
    );
    let without_power =
        |f: &super::FaultSpan<'_>| f.landed.is_some() && matches!(f.what, Fault::HostCrash { .. });
    add(
        match alone {
            true if case.faults.iter().any(without_power) => "TC-02",
            true => "TC-01",
            false => "RO-06",
        },
        "acked messages not delivered",
        ledger.losses(case),
    );
    // Octets that look like an end of data may be rewritten (see TC-10).
    if !case.smuggles() {
        add(
            "TC-08",
            "deliveries with altered content",
            ledger.alterations(case),
        );
    }
    add(
        "TC-11",
        "deliveries of what was refused or never sent",
        ledger.phantoms(case),
    );
    verdicts
}
