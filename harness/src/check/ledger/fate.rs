//! The fate of a message for one recipient, and the words for a bad one.

use std::time::Duration;

use gauntlet_reports::Evidence;

use super::{Entry, Ledger, expiry};
use crate::{
    check::{
        Case, Connection, Moment, address, conditions,
        evidence::{clock, fault, outcome, piece},
    },
    history::{Event, Fault, NodeView, Phase, Transaction},
};

/// What became of a message for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was promised.
    NotOwed,
    /// It arrived, first at this time (microseconds).
    Delivered(i64),
    /// A DSN went back.
    Bounced,
    /// Acked, nothing stands in the way any more, and neither a delivery nor a DSN.
    Lost,
    /// Still held by this node at the end, though it was due long before.
    Overdue(String),
    /// Not delivered, and the run left the conditions under which it had to be.
    Outside(String),
    /// The history does not tell.
    Unknown(String),
}

impl Fate {
    /// Why this breaks the promise, if it does: the last clause of the evidence.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Lost => Some("therefore lost"),
            Self::Overdue(holder) => Some(holder),
            _ => None,
        }
    }
}

/// Retries of a next hop are due within this documented time after it came back.
pub(super) const RETRY: Duration = Duration::from_secs(15 * 60);

impl Ledger<'_> {
    /// What became of a message for one recipient.
    pub fn fate(&self, case: &Case<'_>, entry: &Entry<'_>, recipient: &str) -> Fate {
        match entry
            .accounts
            .get(recipient)
            .and_then(|account| account.owed)
        {
            Some(owed) => self.fate_if_owed(case, entry, recipient, owed),
            None => Fate::NotOwed,
        }
    }

    /// What became of it, on the ground that the transport answered for it from `owed` on.
    pub fn fate_if_owed(
        &self,
        case: &Case<'_>,
        entry: &Entry<'_>,
        recipient: &str,
        owed: Moment,
    ) -> Fate {
        match self.fate_whatever(case, entry, recipient, owed) {
            fate @ (Fate::Lost | Fate::Overdue(_)) => match conditions::hazard(case, entry) {
                Some(reason) => Fate::Outside(reason),
                None => fate,
            },
            fate => fate,
        }
    }

    /// As [`Self::fate`], where a hazard (VZ-04, VZ-05) excuses nothing.
    pub fn fate_in_spite_of_hazards(
        &self,
        case: &Case<'_>,
        entry: &Entry<'_>,
        recipient: &str,
    ) -> Fate {
        let account = entry.accounts.get(recipient);
        match account.and_then(|account| account.owed) {
            Some(owed) => self.fate_whatever(case, entry, recipient, owed),
            None => Fate::NotOwed,
        }
    }

    fn fate_whatever(
        &self,
        case: &Case<'_>,
        entry: &Entry<'_>,
        recipient: &str,
        owed: Moment,
    ) -> Fate {
        let Some(account) = entry.accounts.get(recipient) else {
            return Fate::NotOwed;
        };
        if let Some(first) = account.arrivals.iter().map(|a| a.t_us).min() {
            return Fate::Delivered(first);
        }
        if !account.dsns.is_empty() || !entry.mailbox_dsns.is_empty() {
            return Fate::Bounced;
        }
        if let Some(reason) = hidden(case, entry, recipient, owed) {
            return Fate::Unknown(reason);
        }
        // On a slow link the sender knows of its ack later than the next hop of the message.
        let taken = entry.submitted(case).map(|s| s.at).min();
        if refused_by_next_hop(case, recipient, taken.unwrap_or(owed)) {
            let null = entry.submitted(case).all(|s| s.what.from.is_empty());
            return if null {
                Fate::NotOwed
            } else {
                Fate::Unknown(format!("the next hop refused {recipient}"))
            };
        }
        if let Some(reason) = conditions::loss_excused(case, entry, recipient) {
            return Fate::Outside(reason);
        }
        if let Some(holder) = holder(case, entry) {
            return if due(case, owed) {
                Fate::Overdue(format!("{holder} still holds it"))
            } else {
                Fate::Unknown(format!("{holder} still holds it, and it is not overdue"))
            };
        }
        match expiry::given_up(case, entry, recipient) {
            Some(reason) => Fate::Unknown(reason),
            None => Fate::Lost,
        }
    }
}

/// Why it cannot be known whether it arrived, or could not arrive yet.
fn hidden(case: &Case<'_>, entry: &Entry<'_>, recipient: &str, owed: Moment) -> Option<String> {
    if let Some(reason) = conditions::unfinished(case) {
        return Some(reason);
    }
    let open = |f: &&crate::check::FaultSpan<'_>| f.landed.is_some() && f.healed.is_none();
    if case.is_mailbox(recipient) {
        let home = case.plan.scenario.cluster.mailboxes.as_str();
        let gone = conditions::strikes(case)
            .into_iter()
            .find(|s| s.node == home && s.disk && s.at > owed);
        if let Some(strike) = gone {
            return Some(format!("{}, and its mailboxes with it", strike.text));
        }
        if let Some(down) = case
            .faults
            .iter()
            .filter(open)
            .find(|f| f.what.node() == Some(home))
        {
            return Some(format!("{} until the end", fault(down.what)));
        }
        let read = |at: Moment| {
            case.phases
                .iter()
                .any(|(from, phase)| *phase == Phase::Observe && *from < at)
        };
        let shown = case.records.iter().any(|r| {
            matches!(&r.event, Event::Mailbox { node, .. } | Event::View { node, .. } if node == home)
                && read(Moment::of(r))
        });
        if !shown {
            return Some(format!(
                "the mailboxes on {home} could not be read at the end"
            ));
        }
    }
    // A cut, a black hole or a closed sink that lasts to the end explains what did not arrive yet.
    let holder = entry
        .submitted(case)
        .find(|s| s.acked())
        .map(|s| s.node())
        .unwrap_or_default();
    let cut = case.faults.iter().filter(open).find(|f| match f.what {
        Fault::Partition { .. }
        | Fault::BlackHole { .. }
        | Fault::Delay { .. }
        | Fault::Toxic { .. }
        | Fault::Down { .. } => true,
        Fault::Freeze { node } => node == holder,
        _ => false,
    });
    cut.map(|f| format!("{} until the end", fault(f.what)))
}

/// A next hop said 5yz to this recipient after that moment: no delivery is to be expected.
pub(in crate::check) fn refused_by_next_hop(
    case: &Case<'_>,
    recipient: &str,
    since: Moment,
) -> bool {
    let at_rcpt = (case.refusing().flat_map(|c| c.refused_recipients()))
        .any(|(to, at, _)| *to == recipient && *at > since);
    let named = |c: &Connection<'_>, before: Moment| {
        c.commands("RCPT")
            .any(|(at, line)| at < before && address(line) == recipient)
    };
    at_rcpt
        || case.bounced().any(|(c, e)| {
            let late = e.reply.is_some_and(|(at, _)| at > since);
            e.kind != Transaction::Copy && late && named(c, e.sent)
        })
}

/// The node that holds the message at the end, in queue or shadow queue.
fn holder(case: &Case<'_>, entry: &Entry<'_>) -> Option<String> {
    let id = entry
        .submitted(case)
        .find_map(|s| s.what.message_id.as_deref())?;
    let holds = |view: &NodeView| {
        view.queue
            .iter()
            .chain(&view.shadow)
            .any(|h| h.message_id.as_deref() == Some(id))
    };
    // Only views of the end count; an earlier one may show what was delivered since.
    let since = case.settled.map_or(0, |(at, ..)| at.seq);
    let mut last = case
        .views
        .iter()
        .filter(|(_, (at, _))| at.seq > since || case.settled.is_none());
    last.find(|(_, (_, view))| holds(view))
        .map(|(node, _)| (*node).to_owned())
}

/// Every time that the documents allow for the delivery has passed since the last fault ended.
fn due(case: &Case<'_>, owed: Moment) -> bool {
    let ends = case
        .faults
        .iter()
        .flat_map(|f| [f.landed, f.healed])
        .flatten()
        .chain([owed])
        .map(|m| m.t_us);
    let last = ends.max().unwrap_or_default();
    let spans = case.plan.scenario.cluster.nodes.iter().map(|node| {
        let heartbeat = case.config.span(node, "ShadowHeartbeatFrequency");
        case.config.span(node, "ShadowResubmitTimeSpan") + heartbeat * 2 + case.config.scaled(RETRY)
    });
    let allowed = spans.max().unwrap_or_default();
    u128::from(case.last_us.saturating_sub(last)) > allowed.as_micros()
}

/// `250 to client-1 at 0.012 s; n1 destroyed at 0.012 s; no delivery to a@b by 3 h 4 min; therefore lost`.
pub(in crate::check) fn loss(
    case: &Case<'_>,
    entry: &Entry<'_>,
    recipient: &str,
    clause: &str,
) -> Evidence {
    let mut clauses = Vec::new();
    let mut records = Vec::new();
    let bound = entry
        .submitted(case)
        .find(|s| s.acked())
        .or_else(|| entry.submitted(case).last());
    if let Some(s) = bound {
        clauses.push(format!("{} for message {}", outcome(s), entry.message));
        records.extend(s.ended.map(|m| m.seq));
        // The first fault on the message's way that came after the client began.
        let hit = case
            .faults
            .iter()
            .find(|f| f.landed.is_some_and(|at| at > s.at));
        if let Some((f, at)) = hit.and_then(|f| f.landed.map(|at| (f, at))) {
            clauses.push(format!("{} at {}", fault(f.what), clock(at.t_us)));
            records.push(at.seq);
        }
    }
    clauses.push(format!(
        "no delivery to {recipient} by {}",
        clock(case.last_us)
    ));
    clauses.push(clause.to_owned());
    records.extend(case.settled.map(|(at, ..)| at.seq));
    piece(clauses.join("; "), records)
}
