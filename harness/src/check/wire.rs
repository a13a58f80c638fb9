//! Connections and mail transactions, put together from what the taps saw.
//!
//! Comes in: [`Wire`] events of one connection. Goes out: [`Connection`] and its [`Exchange`]s. Called by
//! [`Case`](super::Case).

use std::collections::VecDeque;

use super::Moment;
use crate::history::{Reply, Transaction, Wire};

/// One connection on a link.
#[derive(Debug)]
pub struct Connection<'h> {
    /// `from>to`
    pub link: &'h str,
    /// Who opened it.
    pub from: &'h str,
    /// Whom it was opened to.
    pub to: &'h str,
    /// Its number on the link.
    pub number: u32,
    /// When it was first seen.
    pub opened: Moment,
    /// Why it could not be opened, if it could not.
    pub failed: Option<&'h str>,
    /// Everything that was seen on it.
    pub events: Vec<(Moment, &'h Wire)>,
    /// Transactions that reached their end of data.
    pub exchanges: Vec<Exchange<'h>>,
    /// When it ended, who ended it, and whether by a reset.
    pub closed: Option<(Moment, &'h str, bool)>,
    /// Recipients that were answered with 5yz at RCPT, in order, with the replies.
    refused: Vec<(&'h str, Moment, &'h Reply)>,
    /// Recipients of RCPT commands that are not answered yet.
    unanswered: VecDeque<&'h str>,
    /// Of the events, the last MAIL command.
    mail: usize,
    /// Of the transactions, the first one without a final reply.
    unfinished: usize,
}

/// A mail transaction that reached its end of data.
#[derive(Debug)]
pub struct Exchange<'h> {
    /// What it was for.
    pub kind: Transaction,
    /// The message's number.
    pub message: Option<u32>,
    /// Its attempt.
    pub attempt: Option<u32>,
    /// The transport's own ID of it.
    pub transport_id: Option<&'h str>,
    /// Envelope recipients that the server accepted, as the commands named them.
    pub recipients: Vec<&'h str>,
    /// When the end of data went by.
    pub sent: Moment,
    /// The final reply, when one went by.
    pub reply: Option<(Moment, &'h Reply)>,
}

impl Exchange<'_> {
    /// When a 2xx went by.
    pub fn acked(&self) -> Option<Moment> {
        self.reply
            .filter(|(_, reply)| positive(reply))
            .map(|(at, _)| at)
    }
}

/// 2xx.
pub fn positive(reply: &Reply) -> bool {
    (200..300).contains(&reply.code)
}

impl<'h> Connection<'h> {
    pub(super) fn new(link: &'h str, number: u32, opened: Moment) -> Self {
        let (from, to) = link.split_once('>').unwrap_or((link, ""));
        Self {
            link,
            from,
            to,
            number,
            opened,
            failed: None,
            events: Vec::new(),
            exchanges: Vec::new(),
            closed: None,
            refused: Vec::new(),
            unanswered: VecDeque::new(),
            mail: 0,
            unfinished: 0,
        }
    }

    pub(super) fn take(&mut self, at: Moment, wire: &'h Wire) {
        self.events.push((at, wire));
        match wire {
            Wire::ConnectFailed { error } => self.failed = Some(error),
            Wire::Close { by, reset } => self.closed = self.closed.or(Some((at, by, *reset))),
            Wire::EndOfData {
                kind,
                message,
                attempt,
                transport_id,
            } => self.exchanges.push(Exchange {
                kind: *kind,
                message: *message,
                attempt: *attempt,
                transport_id: transport_id.as_deref(),
                recipients: self.envelope(),
                sent: at,
                reply: None,
            }),
            Wire::FinalReply { reply, .. } => {
                if let Some(exchange) = self.exchanges.get_mut(self.unfinished) {
                    exchange.reply = Some((at, reply));
                    self.unfinished += 1;
                }
            }
            Wire::Command { verb, line } => match verb.as_str() {
                "MAIL" => self.mail = self.events.len() - 1,
                "RCPT" => self.unanswered.push_back(address(line)),
                _ => {}
            },
            // RCPT commands are answered in their order.
            Wire::Reply { verb, reply } if verb == "RCPT" => {
                if let Some(to) = self.unanswered.pop_front().filter(|_| reply.code >= 500) {
                    self.refused.push((to, at, reply));
                }
            }
            Wire::Connect | Wire::Greeting { .. } | Wire::Reply { .. } => {}
        }
    }

    /// Recipients since the last MAIL command that were not refused.
    fn envelope(&self) -> Vec<&'h str> {
        let since = &self.events[self.mail..];
        let from = since.first().map_or(0, |(at, _)| at.seq);
        let refused = |to: &str| {
            let latest = self.refused.iter().rev();
            latest
                .take_while(|(_, at, _)| at.seq > from)
                .any(|(no, ..)| *no == to)
        };
        let named = since.iter().filter_map(|(_, wire)| match wire {
            Wire::Command { verb, line } if verb == "RCPT" => Some(address(line)),
            _ => None,
        });
        named.filter(|to| !refused(to)).collect()
    }

    /// Command lines of that verb.
    pub fn commands<'c>(&'c self, wanted: &'c str) -> impl Iterator<Item = (Moment, &'h str)> + 'c {
        self.events.iter().filter_map(move |(at, wire)| match wire {
            Wire::Command { verb, line } if verb == wanted => Some((*at, line.as_str())),
            _ => None,
        })
    }

    /// Replies to commands of that verb.
    pub fn replies<'c>(
        &'c self,
        wanted: &'c str,
    ) -> impl Iterator<Item = (Moment, &'h Reply)> + 'c {
        self.events.iter().filter_map(move |(at, wire)| match wire {
            Wire::Reply { verb, reply } if verb == wanted => Some((*at, reply)),
            _ => None,
        })
    }

    /// Recipients that were answered with 5yz at RCPT, in order, with the replies.
    pub fn refused_recipients(&self) -> &[(&'h str, Moment, &'h Reply)] {
        &self.refused
    }

    /// When it was over: its end, or never.
    pub fn closed_seq(&self) -> u64 {
        self.closed.map_or(u64::MAX, |(at, ..)| at.seq)
    }

    /// It was used, or tried, for something else than a shadow copy.
    pub fn other_purpose(&self) -> bool {
        let no_copy = self.commands("XSHADOW").next().is_none();
        let other = |verb| self.commands(verb).next().is_some();
        no_copy && (other("XDELIVER") || other("XQDISCARD") || other("XRESUBMIT") || other("MAIL"))
    }
}

/// The address between the brackets of a MAIL or RCPT command.
pub fn address(line: &str) -> &str {
    let inside = line.split_once('<').map_or("", |(_, rest)| rest);
    inside.split_once('>').map_or("", |(address, _)| address)
}
