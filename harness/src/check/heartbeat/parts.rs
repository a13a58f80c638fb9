//! The parts of a message: what a primary server has to finish for each recipient before it may say that it is done.
//!
//! Comes in: a [`Hold`] and the submission that it stems from. Goes out: when each recipient was done, told from the
//! wire, and the questions that were answered meanwhile. Called by the checkers of SC-12 and HB-05.

use std::time::Duration;

use super::{
    asking::asks,
    holding::{Hold, us},
    processing::{delivered_us, host_of},
};
use crate::{
    check::{Case, Ledger, Moment, Submitted, address, conditions},
    history::{Transaction, Wire},
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

/// All accepted recipients of a held message that its shadow copy is for: a copy of what was promoted (HB-12) has those
/// only that were not done.
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
    let copied = copied(case, hold);
    accepted
        .filter(|to| copied.iter().any(|r| r.eq_ignore_ascii_case(to)))
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

/// Whom the shadow copy is for, groups replaced by their members.
fn copied<'h>(case: &Case<'h>, hold: &Hold<'_>) -> Vec<&'h str> {
    let cluster = &case.plan.scenario.cluster;
    case.exchanges_named(hold.transport_id)
        .filter(|(c, _)| c.from == hold.primary && c.to == hold.server)
        .find(|(_, e)| e.kind == Transaction::Copy && e.acked() == Some(hold.since))
        .into_iter()
        .flat_map(|(_, e)| e.recipients.iter().flat_map(|to| cluster.members(to)))
        .collect()
}

/// The recipient was not done yet when the primary server said that the message is: nothing that passed a wire by then,
/// in whichever transmission of the message, can have been its end. How far it came, in words. `None` where it may have
/// been done: what goes to a sink has no transport ID, an acknowledgement that goes by may be had, and a refusal may be
/// of this message.
pub(in crate::check) fn undone(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    hold: &Hold<'_>,
    recipient: &Recipient<'_>,
    told: Moment,
) -> Option<Part> {
    let entry = ledger.entries.get(&hold.message?)?;
    let account = entry.accounts.get(recipient.to)?;
    // A node that went back knows what only the lost time knew (VZ-04, VZ-05).
    let went_back = case.faults.iter().any(|f| {
        conditions::is_hazard(f.what)
            && f.what.node() == Some(hold.primary)
            && f.landed.is_some_and(|at| at < told)
    });
    let begun = entry.submitted(case).map(|s| s.at).min()?;
    let expiry = case.config.span(hold.primary, "MessageExpirationTimeout");
    let expires = begun
        .t_us
        .saturating_add(us(expiry))
        .saturating_sub(us(case.config.tolerance(expiry)));
    // What a next hop lacks an extension for fails without a word on the wire; a DSN in a mailbox does not say for whom.
    let failed = !account.dsns.is_empty() || !entry.mailbox_dsns.is_empty();
    if recipient.host.is_empty() || went_back || failed || told.t_us >= expires {
        return None;
    }
    if recipient.host == hold.primary {
        let seen: Vec<i64> = (account.arrivals.iter().chain(&account.vanished))
            .map(|a| a.t_us)
            .collect();
        let known = !seen.is_empty() && !lost_mail(case, hold.primary);
        return (known && seen.iter().all(|at| is_later(case, *at, told)))
            .then_some(recipient.part);
    }
    let open = !may_be_delivered(case, hold, recipient.to, told)
        && !may_be_refused(
            case,
            hold.primary,
            recipient.to,
            recipient.host,
            begun.t_us,
            told,
        );
    open.then_some(recipient.part)
}

/// A node's mailboxes may have lost what they had shown.
pub(super) fn lost_mail(case: &Case<'_>, node: &str) -> bool {
    let mut strikes = conditions::strikes(case).into_iter();
    strikes.any(|strike| strike.node == node)
}

/// A time (microseconds) that a node gave lies behind a moment by the harness's own clock.
pub(super) fn is_later(case: &Case<'_>, t_us: i64, than: Moment) -> bool {
    let least = than.t_us + us(case.config.tolerance(Duration::ZERO));
    u64::try_from(t_us).is_ok_and(|at| at > least)
}

/// An acknowledgement for the message and this recipient went by to the primary server.
pub(super) fn may_be_delivered(case: &Case<'_>, hold: &Hold<'_>, to: &str, told: Moment) -> bool {
    let cluster = &case.plan.scenario.cluster;
    let named = case.exchanges_named(hold.transport_id);
    let numbered = hold.message.into_iter();
    let numbered = numbered.flat_map(|message| case.exchanges_of(message));
    let nameless = numbered
        .chain(case.unnamed())
        .filter(|(_, e)| e.transport_id.is_none());
    named.chain(nameless).any(|(c, e)| {
        let named = || {
            let mut members = e.recipients.iter().flat_map(|r| cluster.members(r));
            members.any(|member| member.eq_ignore_ascii_case(to))
        };
        let acked = e.acked().is_some_and(|at| at < told);
        c.from == hold.primary && e.kind != Transaction::Copy && acked && named()
    })
}

/// A next hop said 5yz to `from`, from that time (microseconds) on, that may be for this recipient: at RCPT, in a transaction with it, or to all of
/// a session.
pub(super) fn may_be_refused(
    case: &Case<'_>,
    from: &str,
    to: &str,
    host: &str,
    since_us: u64,
    told: Moment,
) -> bool {
    let meanwhile = |at: Moment| at.t_us >= since_us && at < told;
    let at_end = case.bounced().any(|(c, e)| {
        let named = e.recipients.iter().any(|r| r.eq_ignore_ascii_case(to));
        let refused = e.reply.is_some_and(|(at, _)| meanwhile(at));
        c.from == from && e.kind != Transaction::Copy && named && refused
    });
    at_end
        || case.refusing().filter(|c| c.from == from).any(|c| {
            let at_rcpt = (c.refused_recipients().iter())
                .any(|(who, at, _)| who.eq_ignore_ascii_case(to) && meanwhile(*at));
            let of_session = c.events.iter().any(|(at, wire)| {
                let code = match wire {
                    Wire::Greeting { reply } => reply.code,
                    Wire::Reply { verb, reply } if !is_for_one(verb) => reply.code,
                    _ => 0,
                };
                c.to == host && code >= 500 && meanwhile(*at)
            });
            at_rcpt || of_session
        })
}

/// What is answered to this verb says nothing of a message's delivery, or of one recipient only.
fn is_for_one(verb: &str) -> bool {
    matches!(verb, "RCPT" | "XQDISCARD" | "XSHADOW")
}

/// When a next hop answered the primary server with 5yz for this recipient, or for the message. At RCPT 552 means no more
/// than 452 (RFC 5321 §4.5.3.1.10): it is tried again.
fn refused_us(case: &Case<'_>, hold: &Hold<'_>, to: &str, after: Moment) -> Option<u64> {
    let at_rcpt = (case.refusing().filter(|c| c.from == hold.primary))
        .flat_map(|c| c.refused_recipients())
        .filter(|(who, _, reply)| *who == to && reply.code != 552)
        .map(|(_, at, _)| *at);
    let at_end = case
        .bounced()
        .filter(|(c, e)| {
            let of_message = c.from == hold.primary && e.message == hold.message;
            of_message && e.kind != Transaction::Copy
        })
        .filter(|(c, e)| {
            c.commands("RCPT")
                .any(|(at, line)| at < e.sent && address(line) == to)
        })
        .filter_map(|(_, e)| e.reply.map(|(at, _)| at));
    at_rcpt
        .chain(at_end)
        .filter(|at| *at > after)
        .map(|at| at.t_us)
        .min()
}

/// The first question of the shadow server that was answered in between these times (microseconds) without naming the
/// message, which no earlier one had named: the primary server did not say then that it is done.
pub(in crate::check) fn not_told_between(
    case: &Case<'_>,
    hold: &Hold<'_>,
    from: u64,
    to: u64,
) -> Option<Moment> {
    let asks = asks(case, hold.server, hold.primary);
    let first = asks.partition_point(|ask| ask.asked.t_us <= from);
    asks[first..]
        .iter()
        .take_while(|ask| ask.asked.t_us < to)
        .filter_map(|ask| ask.answered.as_ref())
        .filter(|(at, _)| at.t_us < to && hold.notified.is_none_or(|(told, _)| *at < told))
        .find(|(_, told)| told.iter().all(|t| t.transport_id != hold.transport_id))
        .map(|(at, _)| *at)
}
