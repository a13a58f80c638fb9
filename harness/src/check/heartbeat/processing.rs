//! When a primary server had done everything for a message, and when a next hop could be reached.
//!
//! Comes in: a [`Case`]. Goes out: times told from the wire and from mailboxes, never from what the primary server
//! says of itself. Called by the checkers of heartbeats, recovery and Safety Net.

use std::time::Duration;

use super::{
    asking::link,
    holding::{Hold, us},
};
use crate::{
    check::{Case, Connection, Exchange, Ledger, Moment, Submitted, address, conditions},
    history::{Fault, Transaction, Wire},
    scenario::{LEGACY_DOMAIN, SinkBehaviour, Step},
};

/// A next hop that came back is tried again within this documented time (the retry intervals are 5 and 10 min).
pub(in crate::check) const RETRY: Duration = Duration::from_secs(15 * 60);

/// One attempt to open a session, or to deliver, is over within this documented time.
pub(in crate::check) const ATTEMPT: Duration = Duration::from_secs(2 * 60);

/// The submission that a primary server took the held message in by: of its attempt, where the copy tells it. `None` for
/// what it refused, and for what another node handed over.
pub(in crate::check) fn submission<'c, 'h>(
    case: &'c Case<'h>,
    hold: &Hold<'_>,
) -> Option<&'c Submitted<'h>> {
    // What another node handed over (SC-13) has another envelope than the client's.
    let message = hold.message?;
    // A message that was promoted keeps the ID of the node that took it in. Where the same message was submitted to its
    // new primary server as well, that is another one, and its deliveries say nothing of this one.
    let origin = hold.transport_id.split('/').next().unwrap_or_default();
    if origin != hold.primary && case.is_node(origin) {
        return None;
    }
    let came = case
        .exchanges_of(message)
        .rfind(|(c, e)| c.to == hold.primary && e.kind == Transaction::Mail && e.sent < hold.since);
    // What was refused after its copy was made (SC-10) is not the primary server's: what becomes of the message when it is
    // sent again says nothing of this transmission.
    let refused = |e: &Exchange<'_>| e.reply.is_some_and(|(_, reply)| reply.code >= 400);
    if came.is_some_and(|(c, e)| refused(e) || (case.is_node(c.from) && !case.is_front_end(c.from)))
    {
        return None;
    }
    let of_message = || {
        case.submissions_of(message)
            .filter(|s| s.node() == hold.primary)
    };
    let by_attempt = of_message().find(|s| Some(s.what.attempt) == hold.attempt);
    by_attempt.or_else(|| of_message().next())
}

/// The sink or node that takes a recipient's mail; empty where that depends on who sends it (`routes`).
pub(in crate::check) fn host_of<'h>(case: &Case<'h>, recipient: &str) -> &'h str {
    let cluster = &case.plan.scenario.cluster;
    if case.is_mailbox(recipient) {
        return &cluster.mailboxes;
    }
    let domain = recipient.rsplit_once('@').map_or("", |(_, domain)| domain);
    if let Some(hub) = cluster
        .hubs_2010
        .first()
        .filter(|_| domain == LEGACY_DOMAIN)
    {
        return hub;
    }
    if cluster.routes.contains_key(domain) {
        return "";
    }
    let own = domain
        .strip_suffix(".example")
        .and_then(|name| cluster.sinks.iter().find(|sink| *sink == name));
    own.or_else(|| cluster.sinks.first())
        .map_or("", String::as_str)
}

/// When (microseconds) the primary server was seen to have delivered a held message to every accepted recipient.
/// `None` when it was not seen to, for whatever reason.
pub(in crate::check) fn processed_us(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    hold: &Hold<'_>,
) -> Option<u64> {
    let submission = submission(case, hold)?;
    let recipients = || {
        submission
            .recipients
            .iter()
            .filter(|r| !submission.refused.contains_key(**r))
    };
    recipients().next()?;
    let mut last = hold.since.t_us;
    for recipient in recipients() {
        last = last.max(delivered_us(case, ledger, hold, recipient)?);
    }
    Some(last)
}

/// The sender was there still when this reply came. A session that it has given up it closes without QUIT; the wire shows
/// that only when the other side has closed, too.
fn is_heard(c: &Connection<'_>, reply: Moment) -> bool {
    let speaks = |wire: &Wire| matches!(wire, Wire::Command { .. } | Wire::EndOfData { .. });
    let goes_on = c
        .events
        .iter()
        .any(|(at, wire)| *at > reply && speaks(wire));
    let left = c
        .closed
        .is_some_and(|(_, by, reset)| by == "client" && !reset);
    goes_on || !left
}

/// When the primary server's delivery of a held message to one recipient was acknowledged.
pub(in crate::check) fn delivered_us(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    hold: &Hold<'_>,
    recipient: &str,
) -> Option<u64> {
    let host = host_of(case, recipient);
    if host == hold.primary {
        // Its own mailboxes: nothing passes a wire.
        let account = ledger
            .entries
            .get(&hold.message?)?
            .accounts
            .get(recipient)?;
        return account
            .arrivals
            .iter()
            .filter_map(|a| u64::try_from(a.t_us).ok())
            .min();
    }
    let named = case.exchanges_named(hold.transport_id);
    let numbered = hold.message.into_iter();
    let numbered = numbered.flat_map(|message| case.exchanges_of(message));
    let acked: Vec<u64> = named
        .chain(numbered.filter(|(_, e)| e.transport_id.is_none()))
        .filter(|(c, _)| c.from == hold.primary && c.to == host)
        .filter(|(c, e)| {
            let same = match e.transport_id {
                Some(id) => id == hold.transport_id,
                None => {
                    e.message.is_some() && (e.message, e.attempt) == (hold.message, hold.attempt)
                }
            };
            let named = || {
                c.commands("RCPT")
                    .any(|(at, line)| at < e.sent && address(line) == recipient)
            };
            same && e.kind != Transaction::Copy && named()
        })
        .filter_map(|(c, e)| e.acked().filter(|at| is_heard(c, *at)))
        .filter(|at| !case.may_be_lost(hold.primary, host, *at))
        .map(|at| at.t_us)
        .collect();
    // What goes to a sink has no transport ID, and a message that is sent again is the same octet for octet: which of two
    // deliveries was of which transmission cannot be told, only when all of them were delivered.
    let of_message = hold.message.into_iter();
    let taken = of_message
        .flat_map(|message| case.submissions_of(message))
        .filter(|s| s.node() == hold.primary)
        .filter(|s| s.data_sent.is_some())
        .count();
    if case.is_sink(host) && taken > 1 {
        let refused = refused(case, hold, host, recipient);
        return (acked.len() >= taken && !refused)
            .then(|| acked.iter().max().copied())
            .flatten();
    }
    acked.iter().min().copied()
}

/// The next hop said 5yz to this recipient, or to this message.
fn refused(case: &Case<'_>, hold: &Hold<'_>, host: &str, recipient: &str) -> bool {
    link(case, hold.primary, host).iter().any(|c| {
        // 552 is tried again (RFC 5321 §4.5.3.1.10).
        let at_rcpt = (c.refused_recipients().iter())
            .any(|(to, _, reply)| *to == recipient && reply.code != 552);
        let at_end = (c.exchanges.iter()).any(|e| {
            e.message == hold.message && e.reply.is_some_and(|(_, reply)| reply.code >= 500)
        });
        at_rcpt || at_end
    })
}

/// Since when (microseconds) nothing has kept `from` from delivering to `host`, up to the end of the run: the sink
/// accepts, the host is up, no fault is on the way. `None`: something does to the end.
pub(in crate::check) fn open_since(case: &Case<'_>, from: &str, host: &str) -> Option<u64> {
    if host.is_empty() || conditions::takes_no_mail(case, from, host) {
        return None;
    }
    let mut since = 0;
    for (at, index) in &case.steps {
        let Some(Step::Sink {
            sink,
            behaviour,
            count,
        }) = case.plan.scenario.step.get(*index)
        else {
            continue;
        };
        if sink != host {
            continue;
        }
        let accepts = matches!(behaviour, SinkBehaviour::Accept | SinkBehaviour::Slow(_));
        since = if accepts && count.is_none() {
            at.t_us
        } else {
            u64::MAX
        };
    }
    if since == u64::MAX {
        return None;
    }
    for fault in case
        .faults_on(from, host)
        .filter(|f| f.what.node() != Some(from))
    {
        match fault.what {
            Fault::Reset { .. } => {}
            _ => since = since.max(fault.healed?.t_us),
        }
    }
    Some(since)
}

/// The time by which a delivery from `from` to `host` that could begin at `since_us` at the earliest, and at `ready_us`
/// at the latest, must have succeeded: one attempt later when nothing was in the way from the first of these times on, one
/// retry interval after the way was open otherwise. `None`: it never was.
pub(in crate::check) fn due_us(
    case: &Case<'_>,
    from: &str,
    host: &str,
    since_us: u64,
    ready_us: u64,
) -> Option<u64> {
    let open = open_since(case, from, host)?;
    let attempt = ready_us.saturating_add(us(case.config.scaled(ATTEMPT)));
    let due = if open <= since_us {
        attempt
    } else {
        attempt.max(open.saturating_add(us(case.config.scaled(RETRY))))
    };
    Some(due.saturating_add(us(case.config.tolerance(case.config.scaled(RETRY)))))
}
