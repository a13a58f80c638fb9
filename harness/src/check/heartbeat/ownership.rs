//! How it shows that a shadow server has taken a message over.
//!
//! Comes in: a [`Case`]. Goes out: the first sign of a promotion: the tracking log's RESUBMIT, an attempt to deliver
//! or to copy the message, or a view that shows it in the queue. Called by [`super::holding`].

use std::collections::HashMap;

use super::holding::Hold;
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
    /// RESUBMIT lines of tracking logs that name shadow redundancy, by transport ID: and the node.
    resubmitted: HashMap<&'h str, Vec<(Moment, &'h str)>>,
    /// XDELIVER and XSHADOW, by the transport ID that they name: who gave them to whom.
    sent: HashMap<&'h str, Vec<(Moment, &'h str, &'h str)>>,
    /// Views that show a message in the queue, by transport ID: and the node.
    queued: HashMap<&'h str, Vec<(Moment, &'h str)>>,
    /// Requests to resubmit from Safety Net, by node: what follows may be their work.
    requested: Vec<(Moment, &'h str)>,
}

impl<'h> Trail<'h> {
    /// Collects it.
    pub(in crate::check) fn new(case: &Case<'h>) -> Self {
        let mut trail = Self {
            resubmitted: HashMap::new(),
            sent: HashMap::new(),
            queued: HashMap::new(),
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
                        let of_message = trail.resubmitted.entry(id);
                        of_message.or_default().push((at, node));
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
        for connection in case.connections() {
            for verb in ["XDELIVER", "XSHADOW"] {
                for (at, line) in connection.commands(verb) {
                    let Some(id) = line.split_whitespace().nth(1) else {
                        continue;
                    };
                    let of_message = trail.sent.entry(id).or_default();
                    of_message.push((at, connection.from, connection.to));
                }
            }
        }
        for (at, node, view) in &case.every_view {
            for held in view.queue.iter().filter(|_| view.poisoned.is_none()) {
                let of_message = trail.queued.entry(&held.transport_id);
                of_message.or_default().push((*at, node));
            }
        }
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
        for (at, node) in of(&self.resubmitted, hold) {
            if *node == server {
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
            self.sends(case, hold)
                .into_iter()
                .filter(|sign| unasked(sign.at)),
        );
        signs.extend(self.queued(hold).filter(|sign| unasked(sign.at)));
        signs.retain(|sign| {
            sign.at > hold.since && hold.notified.is_none_or(|(told, _)| sign.at < told)
        });
        signs.into_iter().min_by_key(|sign| sign.at)
    }

    fn sends(&self, case: &Case<'_>, hold: &Hold<'_>) -> Vec<Ownership> {
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
        let sign = |at, to: &str| Ownership {
            at,
            exact: false,
            text: format!("{server} sent it to {to}"),
        };
        let named = of(&self.sent, hold).iter();
        let mut signs: Vec<Ownership> = named
            .filter(|(_, from, _)| *from == server)
            .map(|(at, _, to)| sign(*at, to))
            .collect();
        let of_message = hold.message.into_iter();
        let as_mail = of_message
            .flat_map(|message| case.exchanges_of(message))
            .filter(|(c, e)| c.from == server && e.kind == Transaction::Mail && !own)
            .filter(|(_, e)| e.attempt == hold.attempt)
            .filter(|(_, e)| !otherwise.iter().any(|came| *came < e.sent));
        signs.extend(as_mail.map(|(c, e)| sign(e.sent, c.to)));
        signs
    }

    fn queued(&self, hold: &Hold<'_>) -> impl Iterator<Item = Ownership> {
        let server = hold.server;
        of(&self.queued, hold)
            .iter()
            .filter(move |(_, node)| *node == server)
            .map(move |(at, _)| Ownership {
                at: *at,
                exact: false,
                text: format!("{server} shows it in its queue"),
            })
    }
}

/// What is known of the held message.
fn of<'c, T>(by_id: &'c HashMap<&str, Vec<T>>, hold: &Hold<'_>) -> &'c [T] {
    by_id.get(hold.transport_id).map_or(&[], Vec::as_slice)
}
