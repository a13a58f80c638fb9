//! SC-19: shadow redundancy among 2010-style hubs: the hub that sends keeps the shadow.

use gauntlet_reports::{Evidence, Verdict};

use crate::{
    check::{
        Case, Connection, Entry, Exchange, Moment,
        conditions::{self, conclude},
        evidence::{Tally, between, clock, count, lasting, piece},
        heartbeat::{
            asking::asks,
            holding::{us, views},
        },
        positive,
    },
    history::{Transaction, Wire},
};

/// SC-19. Hubs advertise XSHADOW to one another. A sender that keeps no shadow gets its ack when the message is with
/// its next hops, or after MaxAcknowledgementDelay. A hub that has handed a message on keeps it until the other one has
/// reported its delivery, so that the loss of that one loses nothing.
pub(super) fn sc_19(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    let mut thin = "no message went through a 2010-style hub";
    if case.plan.scenario.cluster.hubs_2010.is_empty() {
        thin = "there is no 2010-style hub in this cluster";
    }
    let mut delayed = 0;
    let mut kept = 0;
    for connection in case.connections().filter(|c| case.is_hub_2010(c.to)) {
        if case.is_hub_2010(connection.from) {
            advertised(connection, &mut tally);
        }
        for exchange in connection
            .exchanges
            .iter()
            .filter(|e| e.kind == Transaction::Mail)
        {
            match shadow_name(connection, exchange) {
                Some(_) => {
                    kept += usize::from(kept_until_reported(case, connection, exchange, &mut tally))
                }
                None => delayed += usize::from(ack_waited(case, connection, exchange, &mut tally)),
            }
        }
    }
    let ledger = case.ledger();
    let mut rescued = 0;
    for entry in ledger.entries.values() {
        rescued += usize::from(outlived(case, entry, &mut tally));
    }
    let what = format!(
        "facts were as they must be at a 2010-style hub: {} waited for the next hop or for MaxAcknowledgementDelay, {} stayed until the report, {rescued} outlived the next hub",
        count(delayed, "ack"),
        count(kept, "message"),
    );
    conclude(case, "SC-19", tally, &what, thin)
}

fn advertised(connection: &Connection<'_>, tally: &mut Tally) {
    for (at, reply) in connection.replies("EHLO").filter(|(_, r)| positive(r)) {
        if reply.text.lines().any(|line| line == "XSHADOW") {
            tally.kept();
        } else {
            let text = format!(
                "{} did not advertise XSHADOW to {} at {}",
                connection.to,
                connection.from,
                clock(at.t_us)
            );
            tally.broken(piece(text, [at.seq]));
        }
    }
}

/// The name in its MAIL command under which the sender keeps a shadow.
fn shadow_name<'h>(connection: &Connection<'h>, exchange: &Exchange<'_>) -> Option<&'h str> {
    let before = |(at, wire): &&(Moment, &'h Wire)| {
        *at < exchange.sent && matches!(wire, Wire::Command { verb, .. } if verb == "MAIL")
    };
    let (_, wire) = connection.events.iter().rfind(before)?;
    let Wire::Command { line, .. } = wire else {
        return None;
    };
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("XSHADOW="))
}

/// Delayed acknowledgement. `false`: nothing is told.
fn ack_waited(
    case: &Case<'_>,
    connection: &Connection<'_>,
    exchange: &Exchange<'_>,
    tally: &mut Tally,
) -> bool {
    let (Some(acked), Some(message)) = (exchange.acked(), exchange.message) else {
        return false;
    };
    let hub = connection.to;
    let longest = case.config.span(hub, "MaxAcknowledgementDelay");
    let tolerance = case.config.tolerance(longest);
    let waited = between(exchange.sent, acked);
    let undisturbed = !case
        .faults
        .iter()
        .any(|f| f.overlaps(exchange.sent.t_us, acked.t_us));
    if undisturbed && waited > longest + tolerance {
        let text = format!(
            "{hub} acked message {message} to {} only after {}, MaxAcknowledgementDelay is {}",
            connection.from,
            lasting(waited),
            lasting(longest)
        );
        tally.broken(piece(text, [exchange.sent.seq, acked.seq]));
        return false;
    }
    let handed = exchange
        .recipients
        .iter()
        .all(|to| handed_on(case, hub, message, to, exchange.sent, acked));
    if handed {
        tally.kept();
        return true;
    }
    // A delay that is no longer than what times may differ by proves nothing.
    if longest <= tolerance * 2 {
        return false;
    }
    if waited + tolerance >= longest {
        tally.kept();
        return true;
    }
    let text = format!(
        "{hub} acked message {message} to {} at {}, after {}, and its next hops did not have it yet",
        connection.from,
        clock(acked.t_us),
        lasting(waited)
    );
    tally.broken(piece(text, [exchange.sent.seq, acked.seq]));
    false
}

/// The hub's next hop had taken (or refused for good) the message for that recipient.
fn handed_on(
    case: &Case<'_>,
    hub: &str,
    message: u32,
    to: &str,
    from: Moment,
    until: Moment,
) -> bool {
    let within = |at: Moment| at > from && at < until;
    case.connections().filter(|c| c.from == hub).any(|c| {
        let refused = c
            .refused_recipients()
            .iter()
            .any(|(no, at, _)| *no == to && within(*at));
        refused
            || c.exchanges.iter().any(|e| {
                let done = e.reply.filter(|(_, r)| positive(r) || r.code >= 500);
                e.message == Some(message)
                    && e.recipients.contains(&to)
                    && done.is_some_and(|(at, _)| within(at))
            })
    })
}

/// Every view of the hub that sends shows a message that the next hub has taken, until that one has reported it.
/// `false`: nothing is told.
fn kept_until_reported(
    case: &Case<'_>,
    connection: &Connection<'_>,
    exchange: &Exchange<'_>,
    tally: &mut Tally,
) -> bool {
    let (hub, next) = (connection.from, connection.to);
    let (Some(taken), Some(name)) = (exchange.acked(), shadow_name(connection, exchange)) else {
        return false;
    };
    let id = case
        .submissions
        .iter()
        .find(|s| Some(s.what.message) == exchange.message)
        .and_then(|s| s.what.message_id.as_deref());
    let Some(id) = id else { return false };
    let reported = asks(case, hub, next)
        .iter()
        .filter_map(|ask| ask.answered.as_ref())
        .find(|(_, told)| told.iter().any(|t| t.transport_id == name))
        .map(|(at, _)| at.t_us);
    let lost = conditions::strikes(case)
        .iter()
        .filter(|s| s.node == hub && s.at > taken)
        .map(|s| s.at.t_us)
        .min();
    let expiry = case.config.span(hub, "MessageExpirationTimeout");
    let expires = taken
        .t_us
        .saturating_add(us(expiry).saturating_sub(us(case.config.tolerance(expiry))));
    // Handed on again, it has another name, and that one's report counts.
    let again = case
        .connections()
        .filter(|c| c.from == hub && case.is_hub_2010(c.to))
        .flat_map(|c| &c.exchanges)
        .filter(|e| e.message == exchange.message && e.sent > taken)
        .map(|e| e.sent.t_us)
        .min();
    let until = [reported, lost, again, Some(expires)]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(expires);
    let margin = us(case
        .config
        .tolerance(case.config.span(hub, "ShadowHeartbeatFrequency")));
    let mut told = false;
    for (at, view) in views(case, hub) {
        if at.t_us < taken.t_us.saturating_add(margin) || at.t_us >= until {
            continue;
        }
        let there = view
            .shadow
            .iter()
            .chain(&view.queue)
            .any(|held| held.message_id.as_deref() == Some(id));
        if there {
            told = true;
            continue;
        }
        let text = format!(
            "{next} took message {} from {hub} at {} and had not reported its delivery by {}, when {hub} held it no more",
            exchange.message.unwrap_or_default(),
            clock(taken.t_us),
            clock(at.t_us)
        );
        tally.broken(piece(text, [taken.seq, at.seq]));
        return false;
    }
    if told || reported.is_some() {
        tally.kept();
    }
    told || reported.is_some()
}

/// A message that a hub had from another hub, and that was lost with it, arrives all the same. `false`: nothing is
/// told.
fn outlived(case: &Case<'_>, entry: &Entry<'_>, tally: &mut Tally) -> bool {
    let strikes = conditions::strikes(case);
    let [strike] = strikes.as_slice() else {
        return false;
    };
    let mut handed = case
        .connections()
        .filter(|c| c.to == strike.node && case.is_hub_2010(c.to) && case.is_hub_2010(c.from))
        .flat_map(|c| c.exchanges.iter().map(move |e| (c, e)))
        .filter(|(c, e)| e.message == Some(entry.message) && shadow_name(c, e).is_some())
        .filter_map(|(_, e)| e.acked().filter(|at| *at < strike.at));
    let Some(taken) = handed.next().filter(|_| strike.replaced) else {
        return false;
    };
    // Everything that is to come has come, and nothing stands in the way any more.
    let settled = case.settled.is_some_and(|(_, quiescent, _)| quiescent);
    let open = case
        .faults
        .iter()
        .any(|f| f.landed.is_some() && f.healed.is_none());
    if !settled || open || conditions::unfinished(case).is_some() {
        return false;
    }
    let missing: Vec<Evidence> = entry
        .accounts
        .iter()
        .filter(|(to, a)| a.owed.is_some() && !case.is_mailbox(to))
        .filter(|(_, a)| a.arrivals.is_empty() && a.dsns.is_empty())
        .map(|(to, _)| {
            let text = format!(
                "{} took message {} from another hub at {}; {} at {}; it never came to {to}",
                strike.node,
                entry.message,
                clock(taken.t_us),
                strike.text,
                clock(strike.at.t_us)
            );
            piece(text, [taken.seq, strike.at.seq])
        })
        .collect();
    let kept = missing.is_empty() && entry.mailbox_dsns.is_empty();
    if kept {
        tally.kept();
    }
    for evidence in missing {
        tally.broken(evidence);
    }
    kept
}
