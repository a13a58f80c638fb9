//! HB-05: DSNs and forked copies are finished before a message counts as done.

use gauntlet_reports::Verdict;

use super::{
    holding::{Hold, holds, us},
    parts::{
        Part, Recipient, is_later, lost_mail, may_be_delivered, may_be_refused, not_told_between,
        recipients, undone,
    },
    processing::{host_of, submission},
};
use crate::{
    check::{
        Case, Ledger, Moment, Submitted,
        conditions::conclude_shadow,
        evidence::{Tally, clock, piece},
    },
    history::Event,
};

/// HB-05. Before the primary server says that a message is done, its DSN has come to the sender (or a copy of the DSN
/// is confirmed by another node), and every member of a group that it was for is served. Proven where a question was
/// answered while nothing else was missing, and did not name the message. Of a DSN that nobody takes, or that has no
/// route, nothing can be demanded.
pub(super) fn finished_before_told(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some(submission) = submission(case, hold) else {
            continue;
        };
        let all = recipients(case, ledger, hold, submission);
        let own = |r: &&Recipient<'_>| submission.what.recipients.iter().any(|to| to == r.to);
        let (direct, members): (Vec<_>, Vec<_>) = all.iter().partition(own);
        forks(case, ledger, &mut tally, hold, &direct, &members);
        notification(case, ledger, &mut tally, hold, submission, &all);
    }
    conclude_shadow(
        case,
        ledger,
        "HB-05",
        tally,
        "DSNs and forked copies were finished before the discard notification was given",
        "no DSN or forked copy was under way while the shadow server asked",
    )
}

/// When all of them were done; `None` when one was not, or that is not known.
fn all_done(recipients: &[&Recipient<'_>]) -> Option<u64> {
    recipients.iter().try_fold(0, |last, r| match r.part {
        Part::At(at) => Some(last.max(at)),
        Part::Open | Part::Unknown => None,
    })
}

fn forks(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    tally: &mut Tally,
    hold: &Hold<'_>,
    direct: &[&Recipient<'_>],
    members: &[&Recipient<'_>],
) {
    if members.is_empty() {
        return;
    }
    if let Some((told, true)) = hold.notified {
        let early = members
            .iter()
            .find(|r| undone(case, ledger, hold, r, told).is_some());
        if let Some(member) = early {
            let text = format!(
                "{} told {} at {} that {} is done; its forked copy for {} was still under way",
                hold.primary,
                hold.server,
                clock(told.t_us),
                hold.name(),
                member.to,
            );
            tally.broken(piece(text, [hold.since.seq, told.seq]));
            return;
        }
    }
    if let (Some(direct), Some(forked)) = (all_done(direct), all_done(members)) {
        let from = direct.max(hold.since.t_us);
        if not_told_between(case, hold, from, forked).is_some() {
            tally.kept();
        }
    }
}

/// The DSN about recipients that were refused for good.
fn notification(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    tally: &mut Tally,
    hold: &Hold<'_>,
    submission: &Submitted<'_>,
    all: &[Recipient<'_>],
) {
    let sender = submission.what.from.as_str();
    if sender.is_empty() || !is_served(case, sender) {
        return;
    }
    for (failed, at) in all.iter().filter_map(|r| r.refused_us.map(|at| (r, at))) {
        // It was delivered in another try, or the refusal is another message's.
        if failed.part != Part::At(at) || refused(case, sender, at) {
            continue;
        }
        let expiry = case.config.span(hold.primary, "MessageExpirationTimeout");
        let given_up = at
            .saturating_add(us(expiry))
            .saturating_sub(us(case.config.tolerance(expiry)));
        if let Some((told, true)) = hold.notified
            && told.t_us > at
            && told.t_us < given_up
            && failed.host != hold.primary
            && !may_be_delivered(case, hold, failed.to, told)
            && !may_be_finished(case, ledger, hold, failed.to, sender, at, told)
        {
            let text = format!(
                "{} was refused at {}; {} told {} at {} that {} is done, and no DSN had come to {sender} by then",
                failed.to,
                clock(at),
                hold.primary,
                hold.server,
                clock(told.t_us),
                hold.name(),
            );
            tally.broken(piece(text, [hold.since.seq, told.seq]));
            continue;
        }
        let arrived = arrived_us(case, ledger, hold, failed.to);
        let recipients: Vec<&Recipient<'_>> = all.iter().collect();
        if let (Some(done), Some(arrived)) = (all_done(&recipients), arrived)
            && not_told_between(case, hold, done, arrived).is_some()
        {
            tally.kept();
        }
    }
}

/// A sink or a mailbox of the cluster takes this address.
fn is_served(case: &Case<'_>, address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let cluster = &case.plan.scenario.cluster;
    if case.is_mailbox(address) {
        return (1..=9).any(|n| local == format!("user-{n}"));
    }
    let sink = domain.strip_suffix(".example");
    let of_sink = sink.is_some_and(|name| cluster.sinks.iter().any(|s| s == name));
    of_sink || (domain == "external.example" && !cluster.sinks.is_empty())
}

/// A next hop refused the sender's address after that time: its DSN goes nowhere.
fn refused(case: &Case<'_>, sender: &str, after_us: u64) -> bool {
    case.refusing()
        .flat_map(|c| c.refused_recipients())
        .any(|(to, at, _)| *to == sender && at.t_us >= after_us)
}

/// When (microseconds) the first DSN about a recipient came to the sender.
fn arrived_us(case: &Case<'_>, ledger: &Ledger<'_>, hold: &Hold<'_>, failed: &str) -> Option<u64> {
    let entry = hold.message.and_then(|n| ledger.entries.get(&n))?;
    let at_sink = case.records.iter().filter_map(|r| match &r.event {
        Event::Delivered(d) if d.message == hold.message => {
            let about = d.dsn.as_ref().is_some_and(|dsn| dsn.contains_key(failed));
            about.then_some(r.t_us)
        }
        _ => None,
    });
    let in_mailbox = entry
        .mailbox_dsns
        .iter()
        .filter_map(|(_, t)| u64::try_from(*t).ok());
    at_sink.chain(in_mailbox).min()
}

/// The DSN about a recipient that was refused at `after_us` at the earliest may have been finished when the primary server
/// said that the message is done: with the sender, refused there, or where nothing can lose it, as a copy (HB-12; a node
/// may wait for the sender's own all the same).
fn may_be_finished(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    hold: &Hold<'_>,
    failed: &str,
    sender: &str,
    after_us: u64,
    told: Moment,
) -> bool {
    let host = host_of(case, sender);
    if host == hold.primary {
        // Its own mailbox: nothing passes a wire.
        let entry = hold.message.and_then(|n| ledger.entries.get(&n));
        let shown = entry.map_or(&[][..], |entry| &entry.mailbox_dsns);
        let late = shown.iter().all(|(_, t)| is_later(case, *t, told));
        return shown.is_empty() || !late || lost_mail(case, hold.primary);
    }
    let at_sink = case.records.iter().any(|r| match &r.event {
        Event::Delivered(d) if Moment::of(r) < told => {
            let same = d.message.is_none() || d.message == hold.message;
            let about = d.dsn.as_ref().is_some_and(|dsn| dsn.contains_key(failed));
            same && about
        }
        _ => false,
    });
    // On the wire a DSN does not say what it reports on; a sink's delivery does.
    let passed_on = case
        .exchanges()
        .into_iter()
        .filter(|(c, _)| c.from == hold.primary && !case.is_sink(c.to))
        .filter(|(_, e)| e.transport_id != Some(hold.transport_id))
        .filter(|(_, e)| e.recipients == [sender] && e.sent.t_us >= after_us)
        .any(|(_, e)| e.acked().is_some_and(|at| at < told));
    at_sink || passed_on || may_be_refused(case, hold.primary, sender, host, after_us, told)
}
