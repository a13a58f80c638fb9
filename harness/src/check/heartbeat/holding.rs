//! Which server held a shadow message for which primary server, from when until when.
//!
//! Comes in: a [`Case`]. Goes out: [`Hold`]s, each with everything that may have ended it, told from the wire and the
//! faults. Called by the checkers of heartbeats, recovery and Safety Net.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    asking::{Identity, answers, asks, identities},
    ownership::{Ownership, Trail},
};
use crate::{
    check::{Case, Connection, Moment},
    history::{Fault, NodeView, Transaction},
};

/// A shadow message on a shadow server: from the 250 that confirmed the copy.
#[derive(Debug)]
pub(in crate::check) struct Hold<'h> {
    /// The shadow server.
    pub(in crate::check) server: &'h str,
    /// The primary server.
    pub(in crate::check) primary: &'h str,
    /// The transport's ID of the message.
    pub(in crate::check) transport_id: &'h str,
    /// The message's number.
    pub(in crate::check) message: Option<u32>,
    /// Its attempt.
    pub(in crate::check) attempt: Option<u32>,
    /// The copy's 250.
    pub(in crate::check) since: Moment,
    /// The primary server's database at that time, when it is known.
    pub(in crate::check) database: Option<&'h str>,
    /// Where it stands in the primary server's log, when that is told: epoch and position.
    pub(in crate::check) mark: Option<(&'h str, u64)>,
    /// The first discard notification for it that went by, and whether it said `delivered`.
    pub(in crate::check) notified: Option<(Moment, bool)>,
    /// When the shadow server was seen to own the message itself.
    pub(in crate::check) promoted: Option<Ownership>,
    /// When the shadow server's own transport database was lost, replaced or set back.
    pub(in crate::check) lost: Option<Moment>,
    /// When the primary server told the shadow server of another database, or of an earlier state of the same.
    pub(in crate::check) renewed: Option<Renewal>,
    /// The earliest time (microseconds) at which the primary server had been out of reach for ShadowResubmitTimeSpan:
    /// from then on a promotion is right. Counted from the last *answered* question.
    pub(in crate::check) overdue_us: u64,
    /// The earliest time (microseconds) at which it may have waited for too long (MessageExpirationTimeout).
    pub(in crate::check) expires_us: u64,
}

/// A primary server is not the one that it was.
#[derive(Debug, Clone, Copy)]
pub(in crate::check) struct Renewal {
    /// When it said so.
    pub(in crate::check) at: Moment,
    /// What it is.
    pub(in crate::check) kind: RenewalKind,
}

/// What a primary server's answer tells of its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum RenewalKind {
    /// It is another one.
    AnotherDatabase,
    /// It is the same one in an earlier state than it was before (HB-13).
    WentBack,
    /// It came to its end, in the epoch in which it sent this copy, before the message was durable: nobody was answered
    /// for it, or the database went back.
    Missing,
}

impl<'h> Hold<'h> {
    /// All holds of a run, in the order of their beginning.
    pub(in crate::check) fn all(case: &Case<'h>) -> Vec<Self> {
        find_all(case)
    }
}

impl Hold<'_> {
    /// Until this time (microseconds) the shadow message cannot rightly have left the shadow queue.
    pub(in crate::check) fn certain_until(&self) -> u64 {
        let ends = [
            self.notified.map(|(at, _)| at),
            self.promoted.as_ref().map(|p| p.at),
            self.lost,
            self.renewed.map(|r| r.at),
        ];
        let ended = ends
            .into_iter()
            .flatten()
            .map(|at| at.t_us)
            .min()
            .unwrap_or(u64::MAX);
        ended.min(self.overdue_us).min(self.expires_us)
    }

    /// It was there, and nothing had ended it, at that time (microseconds).
    pub(in crate::check) fn alive_at(&self, t_us: u64) -> bool {
        let ended = [
            self.notified.map(|(at, _)| at),
            self.promoted.as_ref().map(|p| p.at),
            self.lost,
        ];
        self.since.t_us <= t_us && ended.into_iter().flatten().all(|at| at.t_us > t_us)
    }

    /// The message in words: `message 3 (n1/7b1c…/42)`.
    pub(in crate::check) fn name(&self) -> String {
        name(self.message, self.transport_id)
    }
}

/// A message in words: `message 3 (n1/7b1c…/42)`, or its transport ID alone. Of a database ID four digits are enough for
/// a reader to tell it from others.
pub(in crate::check) fn name(message: Option<u32>, transport_id: &str) -> String {
    let mut parts: Vec<String> = transport_id.split('/').map(str::to_owned).collect();
    if let [_, database, _] = parts.as_mut_slice()
        && let Some((end, _)) = database
            .char_indices()
            .nth(4)
            .filter(|_| database.len() > 8)
    {
        database.truncate(end);
        database.push('…');
    }
    let id = parts.join("/");
    match message {
        Some(number) => format!("message {number} ({id})"),
        None => id,
    }
}

/// All holds of a run, in the order of their beginning.
pub(in crate::check) fn holds<'c, 'h>(case: &'c Case<'h>) -> &'c [Hold<'h>] {
    case.holds()
}

/// What a shadow server and its primary server said to each other: looked up for every hold, read off the wire once.
struct Talk<'c, 'h> {
    /// Notifications of a message: when, whether it said `delivered`, and when the transaction was over that the question
    /// went along with. In the order of the questions.
    told: HashMap<&'h str, Vec<(Moment, bool, Moment)>>,
    answers: &'c [Moment],
    identities: Vec<Identity<'h>>,
}

impl<'c, 'h> Talk<'c, 'h> {
    fn new(case: &'c Case<'h>, server: &str, primary: &str) -> Self {
        let mut notified: HashMap<&str, Vec<(Moment, bool, Moment)>> = HashMap::new();
        for ask in asks(case, server, primary) {
            let Some((at, told)) = &ask.answered else {
                continue;
            };
            for told in told {
                let of_message = notified.entry(told.transport_id).or_default();
                // Of one answer the first line counts.
                if of_message.last().is_none_or(|(last, ..)| last != at) {
                    of_message.push((*at, told.delivered, ask.acted_on.unwrap_or(*at)));
                }
            }
        }
        Self {
            told: notified,
            answers: answers(case, server, primary),
            identities: identities(case, server, primary),
        }
    }
}

fn find_all<'h>(case: &Case<'h>) -> Vec<Hold<'h>> {
    let trail = Trail::new(case);
    let mut talks: HashMap<(&str, &str), Talk<'_, 'h>> = HashMap::new();
    let mut seen: BTreeMap<(&str, &str, &str), ()> = BTreeMap::new();
    let mut all = Vec::new();
    for (connection, exchange) in case.exchanges() {
        let (Some(since), Some(transport_id)) = (exchange.acked(), exchange.transport_id) else {
            continue;
        };
        let (server, primary) = (connection.to, connection.from);
        // A copy on the primary server itself is no shadow message (SC-04).
        if exchange.kind != Transaction::Copy
            || server == primary
            || seen.insert((server, primary, transport_id), ()).is_some()
        {
            continue;
        }
        let mut hold = Hold {
            server,
            primary,
            transport_id,
            message: exchange.message,
            attempt: exchange.attempt,
            since,
            database: database_of(case, connection, transport_id, since),
            mark: mark_of(connection, transport_id),
            notified: None,
            promoted: None,
            lost: lost(case, server, since),
            renewed: None,
            overdue_us: 0,
            expires_us: 0,
        };
        let talk = talks
            .entry((server, primary))
            .or_insert_with(|| Talk::new(case, server, primary));
        let offered = connection
            .commands("XSHADOW")
            .find(|(_, line)| line.split(' ').nth(1) == Some(transport_id));
        let offered = offered.map_or(exchange.sent, |(at, _)| at);
        hold.notified = notified(talk, &hold, offered);
        hold.promoted = trail.ownership(case, &hold);
        hold.renewed = renewed(talk, &hold);
        hold.overdue_us = overdue(case, talk, &hold, exchange.sent);
        let expiry = case.config.span(server, "MessageExpirationTimeout");
        hold.expires_us = since.t_us + us(expiry).saturating_sub(us(case.config.tolerance(expiry)));
        all.push(hold);
    }
    all.sort_by_key(|hold| hold.since);
    all
}

/// The views of a node, in order.
pub(in crate::check) fn views<'h>(
    case: &Case<'h>,
    node: &str,
) -> impl Iterator<Item = (Moment, &'h NodeView)> {
    case.every_view
        .iter()
        .filter(move |(_, of, view)| *of == node && view.poisoned.is_none())
        .map(|(at, _, view)| (*at, *view))
}

/// Microseconds of a duration.
pub(in crate::check) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}

fn database_of<'h>(
    case: &Case<'h>,
    connection: &Connection<'h>,
    transport_id: &'h str,
    since: Moment,
) -> Option<&'h str> {
    let primary = connection.from;
    // What the copy itself says comes first: a message that came back to its own node from a peer has the name that it got
    // in a database that is gone.
    if let Some(database) =
        place_of(connection, transport_id).and_then(|place| place.split('/').next())
    {
        return Some(database);
    }
    let mut parts = transport_id.split('/');
    if parts.next() == Some(primary) {
        return parts.next();
    }
    case.starts
        .get(primary)?
        .iter()
        .rfind(|start| start.at < since)?
        .database
}

fn lost(case: &Case<'_>, server: &str, since: Moment) -> Option<Moment> {
    let struck = case
        .faults
        .iter()
        .filter(|f| matches!(f.what, Fault::Destroy { .. } | Fault::Revert { .. }));
    let struck = struck
        .filter(|f| f.what.node() == Some(server))
        .filter_map(|f| f.landed);
    let starts = case.starts.get(server).map_or(&[][..], Vec::as_slice);
    let changed = starts
        .windows(2)
        .filter(|pair| pair[0].database != pair[1].database)
        .map(|pair| pair[1].at);
    struck.chain(changed).filter(|at| *at > since).min()
}

/// A message may be done while its copy is on the way (HB-12): then it is told before the copy is confirmed, and counts
/// from there.
fn notified(talk: &Talk<'_, '_>, hold: &Hold<'_>, offered: Moment) -> Option<(Moment, bool)> {
    let mut told = talk.told.get(hold.transport_id)?.iter();
    // The answer to a question that goes along with a transaction is acted on when that is over.
    let (at, delivered, _) = told.find(|(_, _, acted_on)| *acted_on > offered)?;
    Some(((*at).max(hold.since), *delivered))
}

fn renewed(talk: &Talk<'_, '_>, hold: &Hold<'_>) -> Option<Renewal> {
    // What was shown before this place: position by epoch, and the furthest of all.
    let mut shown: BTreeMap<&str, u64> = BTreeMap::new();
    let mut furthest = None;
    for identity in &talk.identities {
        let same = hold
            .database
            .is_none_or(|database| database == identity.database);
        let found = |kind| {
            Some(Renewal {
                at: identity.at,
                kind,
            })
        };
        if identity.at > hold.since {
            if !same {
                return found(RenewalKind::AnotherDatabase);
            }
            let short = identity
                .ends
                .iter()
                .any(|(epoch, end)| shown.get(epoch).is_some_and(|known| *known > *end));
            if short || furthest.is_some_and(|position| identity.log_position < position) {
                return found(RenewalKind::WentBack);
            }
            let missing = |(epoch, position): (&str, u64)| {
                let end = identity.ends.iter().find(|(of, _)| *of == epoch);
                end.is_some_and(|(_, end)| position > *end)
            };
            if hold.mark.is_some_and(missing) {
                return found(RenewalKind::Missing);
            }
        }
        if same {
            furthest = furthest.max(Some(identity.log_position));
            if let Some(epoch) = identity.epoch {
                let known = shown.entry(epoch).or_default();
                *known = identity.log_position.max(*known);
            }
        }
    }
    None
}

/// Where the message stands in the primary server's log, as its XSHADOW says: epoch and position.
fn mark_of<'h>(connection: &Connection<'h>, transport_id: &str) -> Option<(&'h str, u64)> {
    let mut parts = place_of(connection, transport_id)?.split('/').skip(1);
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

/// `database/epoch/position`, as its XSHADOW says.
fn place_of<'h>(connection: &Connection<'h>, transport_id: &str) -> Option<&'h str> {
    let (_, line) = connection
        .commands("XSHADOW")
        .find(|(_, line)| line.split_whitespace().nth(1) == Some(transport_id))?;
    line.split_whitespace().nth(3)
}

fn overdue(case: &Case<'_>, talk: &Talk<'_, '_>, hold: &Hold<'_>, sent: Moment) -> u64 {
    let span = case.config.span(hold.server, "ShadowResubmitTimeSpan");
    let patience = us(span).saturating_sub(us(case.config.tolerance(span)));
    // A shadow server that froze before it answered had heard no more than the copy's end of data.
    let mut last = sent.t_us;
    let from = talk.answers.partition_point(|at| *at <= hold.since);
    for answer in &talk.answers[from..] {
        if case.may_be_lost(hold.server, hold.primary, *answer) {
            continue;
        }
        if answer.t_us - last >= patience {
            break;
        }
        last = answer.t_us;
    }
    last + patience
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_database_id_is_cut_short() {
        let id = "n1/483c258a92363a579a5099fe04b38d9a/12";
        assert_eq!(name(Some(3), id), "message 3 (n1/483c…/12)");
        assert_eq!(name(None, "n1/db/12"), "n1/db/12");
        assert_eq!(name(None, "no transport ID"), "no transport ID");
    }
}
