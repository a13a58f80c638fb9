//! What a shadow server asked its primary server, and what it was told.
//!
//! Comes in: the connections of a link `shadow>primary`. Goes out: [`Ask`]s (XQDISCARD and its answer) and
//! [`Identity`]s (what XPEER's answer tells of the primary server's database). Called by the checkers of heartbeats,
//! recovery and Safety Net.

use crate::{
    check::{Case, Connection, Moment, positive},
    history::Reply,
};

/// One XQDISCARD.
#[derive(Debug)]
pub(in crate::check) struct Ask<'h> {
    /// When it went by.
    pub(in crate::check) asked: Moment,
    /// The 2xx that it was answered with: when, and the notifications in it.
    pub(in crate::check) answered: Option<(Moment, Vec<Told<'h>>)>,
    /// When whoever asked was done with the transaction that the question went along with: it may act on the answer then.
    pub(in crate::check) acted_on: Option<Moment>,
}

impl Ask<'_> {
    /// The answer had no notification: nothing was left to tell.
    pub(in crate::check) fn exhausted(&self) -> Option<Moment> {
        self.answered
            .as_ref()
            .filter(|(_, told)| told.is_empty())
            .map(|(at, _)| *at)
    }
}

/// One discard notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) struct Told<'h> {
    /// The message.
    pub(in crate::check) transport_id: &'h str,
    /// `delivered`; otherwise `abandoned`.
    pub(in crate::check) delivered: bool,
}

/// What a primary server showed of its database.
#[derive(Debug, Clone)]
pub(in crate::check) struct Identity<'h> {
    /// When.
    pub(in crate::check) at: Moment,
    /// The database's ID.
    pub(in crate::check) database: &'h str,
    /// Its log position.
    pub(in crate::check) log_position: u64,
    /// The epoch that runs, when it says so.
    pub(in crate::check) epoch: Option<&'h str>,
    /// Where epochs ended that it was asked about; 0 for one that it does not know.
    pub(in crate::check) ends: Vec<(&'h str, u64)>,
}

/// The connections from one host to another, in the order of their numbers.
pub(in crate::check) fn link<'c, 'h>(
    case: &'c Case<'h>,
    from: &str,
    to: &str,
) -> &'c [Connection<'h>] {
    case.links
        .get(format!("{from}>{to}").as_str())
        .map_or(&[], Vec::as_slice)
}

/// Every XQDISCARD that `server` gave to `primary`, in order.
pub(in crate::check) fn asks<'c, 'h>(
    case: &'c Case<'h>,
    server: &str,
    primary: &str,
) -> &'c [Ask<'h>] {
    case.index.asks(&format!("{server}>{primary}"))
}

/// Every XQDISCARD on the connections of a link, in order.
pub(in crate::check) fn asked_on<'h>(connections: &[Connection<'h>]) -> Vec<Ask<'h>> {
    let mut all = Vec::new();
    for connection in connections {
        let mut replies = connection.replies("XQDISCARD");
        for (asked, _) in connection.commands("XQDISCARD") {
            let answered = replies
                .next()
                .filter(|(_, reply)| positive(reply))
                .map(|(at, reply)| (at, told(reply)));
            let ends = connection.exchanges.iter().filter_map(|e| e.reply);
            let acted_on = answered
                .as_ref()
                .and_then(|(at, _)| ends.map(|(end, _)| end).find(|end| end > at));
            all.push(Ask {
                asked,
                answered,
                acted_on,
            });
        }
    }
    all.sort_by_key(|ask| ask.asked);
    all
}

/// Moments at which a question was answered, in order: each proves that the primary server was alive.
pub(in crate::check) fn answers<'c>(
    case: &'c Case<'_>,
    server: &str,
    primary: &str,
) -> &'c [Moment] {
    case.index.answers(&format!("{server}>{primary}"))
}

/// What `primary` told `server` of its database, in order.
pub(in crate::check) fn identities<'h>(
    case: &Case<'h>,
    server: &str,
    primary: &str,
) -> Vec<Identity<'h>> {
    let connections = link(case, server, primary);
    let mut all: Vec<_> = connections
        .iter()
        .flat_map(|c| c.replies("XPEER"))
        .filter_map(identity)
        .collect();
    all.sort_by_key(|i| i.at);
    all
}

fn told(reply: &Reply) -> Vec<Told<'_>> {
    let of_line = |line| {
        let mut words = str::split_whitespace(line);
        let transport_id = words.find(|word| word.matches('/').count() == 2)?;
        Some(Told {
            transport_id,
            delivered: words.next() != Some("abandoned"),
        })
    };
    reply.text.lines().filter_map(of_line).collect()
}

fn identity((at, reply): (Moment, &Reply)) -> Option<Identity<'_>> {
    let mut words = reply
        .text
        .split_whitespace()
        .skip_while(|word| is_enhanced_code(word));
    let (_name, database, log_position) = (words.next()?, words.next()?, words.next()?);
    positive(reply).then_some(Identity {
        at,
        database,
        log_position: log_position.parse().ok()?,
        epoch: words.next(),
        ends: words.next().map_or_else(Vec::new, ends),
    })
}

/// `epoch:end,epoch:-,epoch:?`: only those that are over.
fn ends(text: &str) -> Vec<(&str, u64)> {
    let one = |item| {
        let (epoch, end) = str::split_once(item, ':')?;
        match end {
            "?" => Some((epoch, 0)),
            end => Some((epoch, end.parse().ok()?)),
        }
    };
    text.split(',').filter_map(one).collect()
}

fn is_enhanced_code(word: &str) -> bool {
    word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply {
            code: 250,
            text: text.into(),
        }
    }

    #[test]
    fn notifications_are_read_line_by_line() {
        let reply = reply("2.0.0 n1/aa/1 delivered\n2.0.0 n1/aa/2 abandoned\n2.0.0 cursor=2");
        let read = told(&reply);
        assert_eq!(
            read,
            [
                Told {
                    transport_id: "n1/aa/1",
                    delivered: true
                },
                Told {
                    transport_id: "n1/aa/2",
                    delivered: false
                },
            ]
        );
    }

    #[test]
    fn an_answer_without_notifications_is_empty() {
        assert_eq!(told(&reply("2.0.0 cursor=7")), []);
    }

    #[test]
    fn identity_is_read_with_and_without_an_enhanced_code() {
        let at = Moment { seq: 0, t_us: 0 };
        for text in ["2.0.0 n1 aa 42 feed", "n1 aa 42 feed"] {
            let reply = reply(text);
            let read = identity((at, &reply)).map(|i| (i.database.to_owned(), i.log_position));
            assert_eq!(read, Some(("aa".to_owned(), 42)));
        }
        assert!(
            identity((
                at,
                &Reply {
                    code: 535,
                    text: "5.7.8 who are you".into()
                }
            ))
            .is_none()
        );
        assert!(identity((at, &reply("2.0.0 n1 aa"))).is_none());
    }
}
