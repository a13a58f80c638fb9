//! How it shows that a shadow server has taken a message over.
//!
//! Comes in: a [`Case`]. Goes out: the first sign of a promotion: the tracking log's RESUBMIT, an attempt to deliver
//! or to copy the message, or a view that shows it in the queue. Called by [`super::holding`].

use super::holding::{Hold, views};
use crate::{
    check::{Case, Moment},
    history::{Event, Transaction},
};

/// The first sign that a shadow server owns a message.
#[derive(Debug, Clone)]
pub(in crate::check) struct Ownership {
    /// When it was seen.
    pub(in crate::check) at: Moment,
    /// It is the promotion's own time; otherwise the promotion happened at that time or earlier.
    pub(in crate::check) exact: bool,
    /// In words: `n2 resubmitted it`.
    pub(in crate::check) text: String,
}

/// What is looked up for every hold, collected once.
pub(in crate::check) struct Trail<'h> {
    /// RESUBMIT lines of tracking logs that name shadow redundancy: node, transport ID.
    resubmitted: Vec<(Moment, &'h str, &'h str)>,
    /// Requests to resubmit from Safety Net, by node: what follows may be their work.
    requested: Vec<(Moment, &'h str)>,
}

impl<'h> Trail<'h> {
    /// Collects it.
    pub(in crate::check) fn new(case: &Case<'h>) -> Self {
        let mut trail = Self {
            resubmitted: Vec::new(),
            requested: Vec::new(),
        };
        for record in case.records {
            let at = Moment::of(record);
            match &record.event {
                Event::Tracking { node, entry } => {
                    let word = |key| entry.get(key).and_then(serde_json::Value::as_str);
                    let by_redundancy =
                        word("source").is_some_and(|s| s.eq_ignore_ascii_case("SHADOWREDUNDANCY"));
                    if let (Some("RESUBMIT"), true, Some(id)) =
                        (word("event"), by_redundancy, word("transport-id"))
                    {
                        trail.resubmitted.push((at, node, id));
                    }
                }
                Event::Resubmit { node, .. } => trail.requested.push((at, node)),
                _ => {}
            }
        }
        let commands = case
            .connections()
            .flat_map(|c| c.commands("XRESUBMIT").map(|(at, _)| (at, c.to)));
        trail.requested.extend(commands);
        trail
    }

    /// The first sign that the holder of a shadow message owns it, before a discard notification ended the hold.
    pub(in crate::check) fn ownership(
        &self,
        case: &Case<'_>,
        hold: &Hold<'_>,
    ) -> Option<Ownership> {
        let mut signs: Vec<Ownership> = Vec::new();
        let server = hold.server;
        for (at, node, id) in &self.resubmitted {
            if *node == server && *id == hold.transport_id {
                // Where time is real the log may be read some time after it was written.
                let exact = case.substrate == "sim";
                signs.push(Ownership {
                    at: *at,
                    exact,
                    text: format!("{server} resubmitted it"),
                });
            }
        }
        let requested = self
            .requested
            .iter()
            .filter(|(_, node)| *node == server)
            .map(|(at, _)| *at)
            .min();
        let unasked = |at: Moment| requested.is_none_or(|asked| at < asked);
        // What it took in itself and another node promoted comes back to it as a copy (HB-12): it may own that anyway.
        let own_before = hold.transport_id.split('/').next() == Some(server);
        let unasked = |at: Moment| !own_before && unasked(at);
        signs.extend(
            sends(case, hold)
                .into_iter()
                .filter(|sign| unasked(sign.at)),
        );
        signs.extend(queued(case, hold).filter(|sign| unasked(sign.at)));
        signs.retain(|sign| {
            sign.at > hold.since && hold.notified.is_none_or(|(told, _)| sign.at < told)
        });
        signs.into_iter().min_by_key(|sign| sign.at)
    }
}

fn sends(case: &Case<'_>, hold: &Hold<'_>) -> Vec<Ownership> {
    let server = hold.server;
    // A client may have sent the same message to the shadow server as well: then it owns a copy anyway. So it may where
    // another transmission of the message came to it, as ordinary mail or as another shadow message.
    let own = hold
        .message
        .is_some_and(|message| case.submissions_of(message).any(|s| s.node() == server));
    let otherwise: Vec<Moment> = hold
        .message
        .into_iter()
        .flat_map(|message| case.exchanges_of(message))
        .filter(|(c, e)| match e.kind {
            _ if c.to != server => false,
            Transaction::Mail => true,
            Transaction::Copy => {
                (c.from, e.transport_id) != (hold.primary, Some(hold.transport_id))
            }
            Transaction::Deliver => false,
        })
        .map(|(_, e)| e.sent)
        .collect();
    let mut signs = Vec::new();
    for connection in case.connections().filter(|c| c.from == server) {
        let text = |what: &str| format!("{server} {what} to {}", connection.to);
        for verb in ["XDELIVER", "XSHADOW"] {
            let named = |line: &str| line.split_whitespace().nth(1) == Some(hold.transport_id);
            let commands = connection.commands(verb).filter(|(_, line)| named(line));
            signs.extend(commands.map(|(at, _)| Ownership {
                at,
                exact: false,
                text: text("sent it"),
            }));
        }
        for exchange in connection
            .exchanges
            .iter()
            .filter(|e| e.kind == Transaction::Mail && !own)
        {
            let another_came = otherwise.iter().any(|came| *came < exchange.sent);
            if exchange.message.is_some()
                && (exchange.message, exchange.attempt) == (hold.message, hold.attempt)
                && !another_came
            {
                signs.push(Ownership {
                    at: exchange.sent,
                    exact: false,
                    text: text("sent it"),
                });
            }
        }
    }
    signs
}

fn queued(case: &Case<'_>, hold: &Hold<'_>) -> impl Iterator<Item = Ownership> {
    let server = hold.server;
    views(case, server)
        .filter(|(_, view)| {
            view.queue
                .iter()
                .any(|held| held.transport_id == hold.transport_id)
        })
        .map(move |(at, _)| Ownership {
            at,
            exact: false,
            text: format!("{server} shows it in its queue"),
        })
}
