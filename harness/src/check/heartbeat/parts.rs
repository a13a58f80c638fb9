//! The parts of a message: what a primary server has to finish for each recipient before it may say that it is done.
//!
//! Comes in: a [`Hold`] and the submission that it stems from. Goes out: when each recipient was done, told from the
//! wire, and the questions that were answered meanwhile. Called by the checkers of SC-12 and HB-05.

use super::{
    asking::asks,
    holding::{Hold, us},
    processing::{delivered_us, host_of},
};
use crate::{
    check::{Case, Ledger, Moment, Submitted, address},
    history::Transaction,
};

/// How far the primary server has come with one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum Part {
    /// Done at this time (microseconds): delivered, refused for good, or expired.
    At(u64),
    /// Not done by the end of the run.
    Open,
    /// The history does not tell.
    Unknown,
}

/// A recipient, groups replaced by their members, and how far it is.
#[derive(Debug)]
pub(in crate::check) struct Recipient<'h> {
    pub(in crate::check) to: &'h str,
    /// The host that takes its mail.
    pub(in crate::check) host: &'h str,
    pub(in crate::check) part: Part,
    /// When the host refused it for good, if it did.
    pub(in crate::check) refused_us: Option<u64>,
}

/// All accepted recipients of a held message.
pub(in crate::check) fn recipients<'h>(
    case: &Case<'h>,
    ledger: &Ledger<'_>,
    hold: &Hold<'_>,
    submission: &Submitted<'h>,
) -> Vec<Recipient<'h>> {
    let expiry = case.config.span(hold.primary, "MessageExpirationTimeout");
    let expires = submission
        .at
        .t_us
        .saturating_add(us(expiry))
        .saturating_sub(us(case.config.tolerance(expiry)));
    let accepted = submission
        .recipients
        .iter()
        .filter(|to| !submission.refused.contains_key(**to));
    accepted
        .map(|to| {
            let host = host_of(case, to);
            let delivered = delivered_us(case, ledger, hold, to);
            // A refusal at RCPT may be another message's: it counts where this one was not delivered.
            let refused_us = match delivered {
                Some(_) => None,
                None => refused_us(case, hold, to, submission.at),
            };
            // What the next hop cannot take (an extension that it lacks) fails without a word on the wire.
            let account = hold
                .message
                .and_then(|n| ledger.entries.get(&n)?.accounts.get(to));
            let failed = account.into_iter().flat_map(|a| &a.dsns);
            let failed = failed
                .filter(|(.., action)| *action == "failed")
                .filter_map(|(_, t, _)| u64::try_from(*t).ok())
                .min();
            let done = delivered.or(refused_us).or(failed);
            let part = match done {
                Some(at) => Part::At(at.min(expires)),
                // Nothing passes a wire to its own mailboxes, and a duplicate shows nowhere.
                None if host.is_empty() || host == hold.primary => Part::Unknown,
                None if expires <= case.last_us => Part::At(expires),
                None => Part::Open,
            };
            Recipient {
                to,
                host,
                part,
                refused_us,
            }
        })
        .collect()
}

/// When a next hop answered the primary server with 5yz for this recipient, or for the message.
fn refused_us(case: &Case<'_>, hold: &Hold<'_>, to: &str, after: Moment) -> Option<u64> {
    let sessions = case.connections().filter(|c| c.from == hold.primary);
    sessions
        .flat_map(|c| {
            let at_rcpt = c.refused_recipients().into_iter();
            let at_rcpt = at_rcpt.filter(|(who, ..)| *who == to).map(|(_, at, _)| at);
            let at_end = c
                .exchanges
                .iter()
                .filter(|e| e.kind != Transaction::Copy && e.message == hold.message)
                .filter(|e| {
                    c.commands("RCPT")
                        .any(|(at, line)| at < e.sent && address(line) == to)
                })
                .filter_map(|e| e.reply.filter(|(_, reply)| reply.code >= 500))
                .map(|(at, _)| at);
            at_rcpt.chain(at_end).collect::<Vec<_>>()
        })
        .filter(|at| *at > after)
        .map(|at| at.t_us)
        .min()
}

/// The first question of the shadow server that was answered in between these times (microseconds) without naming the
/// message: the primary server did not say then that it is done.
pub(in crate::check) fn not_told_between(
    case: &Case<'_>,
    hold: &Hold<'_>,
    from: u64,
    to: u64,
) -> Option<Moment> {
    asks(case, hold.server, hold.primary)
        .into_iter()
        .filter(|ask| ask.asked.t_us > from)
        .filter_map(|ask| ask.answered)
        .find(|(at, told)| at.t_us < to && told.iter().all(|t| t.transport_id != hold.transport_id))
        .map(|(at, _)| at)
}
