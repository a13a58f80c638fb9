//! SC-13 and SC-17: several boundaries in one cluster, and where the guarantee ends.

use gauntlet_reports::{Evidence, Verdict};

use super::{acceptance::failed_to_be_made_redundant, placement::nobody_may_hold};
use crate::check::{
    Case, Connection, Fate, Moment, Submitted,
    conditions::{self, conclude, copied_before_answer, handed_over, hindered_between},
    evidence::{Tally, clock, count, outcome, piece},
    ledger::loss,
};

/// SC-13: a message that enters a boundary from another one gets a new shadow message there, before it is acked; no
/// shadow message is tracked across the boundary, so nobody asks for discard notifications there, and nothing is put
/// into mailboxes of another boundary past its queues.
pub(super) fn sc_13(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for (connection, came) in handed_over(case) {
        let node = connection.to;
        let (Some(message), Some(acked)) = (came.message, came.acked()) else {
            continue;
        };
        if !crosses(case, connection) || !case.config.switch(node, "ShadowRedundancyEnabled") {
            continue;
        }
        if copied_before_answer(case, node, came).is_some() {
            tally.kept();
        } else if hindered_between(case, node, message, came.sent, Some(acked)).is_none() {
            let text = format!(
                "message {message} came to {node} from {}, in another boundary; 250 at {}, and no node of {node}'s boundary had confirmed a copy",
                connection.from,
                clock(acked.t_us)
            );
            tally.broken(piece(text, [came.sent.seq, acked.seq]));
        }
    }
    for (connection, at, verb) in trespasses(case) {
        let text = format!(
            "{} gave {verb} to {} at {}, which is in another boundary",
            connection.from,
            connection.to,
            clock(at.t_us)
        );
        tally.broken(piece(text, [at.seq]));
    }
    let what = "messages from another boundary had a new shadow message before their ack";
    conclude(
        case,
        "SC-13",
        tally,
        what,
        "no message went from one boundary to another one that could make a copy of it",
    )
}

/// The connection is between two nodes of different boundaries.
fn crosses(case: &Case<'_>, connection: &Connection<'_>) -> bool {
    case.is_2013(connection.from)
        && case.is_2013(connection.to)
        && connection.from != connection.to
        && !case.boundary(connection.from).contains(connection.to)
}

/// Verbs that are for peers of one boundary, given to a node of another one.
fn trespasses<'c, 'h>(
    case: &'c Case<'h>,
) -> impl Iterator<Item = (&'c Connection<'h>, Moment, &'static str)> {
    case.connections()
        .filter(|c| crosses(case, c))
        .flat_map(|c| {
            ["XSHADOW", "XDELIVER", "XQDISCARD"]
                .into_iter()
                .filter_map(move |verb| c.commands(verb).next().map(|(at, _)| (c, at, verb)))
        })
}

/// SC-17: documented limits are reported, not failed. Where no other server may hold a copy (a single node, too few
/// nodes), RejectMessageOnShadowFailure alone decides whether mail is taken. A message whose own servers all lost their
/// data is outside the guarantee, and the verdict says why; any other message of the same run is not.
pub(super) fn sc_17(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for s in case.submissions.iter().filter(|s| limited(case, s)) {
        match unlike_documented(case, s) {
            Some(evidence) => tally.broken(evidence),
            None => tally.kept(),
        }
    }
    let alone = tally.proofs;
    let mut left = Vec::new();
    let mut lost = Vec::new();
    for entry in ledger.entries.values() {
        for to in entry.accounts.keys() {
            match ledger.fate(case, entry, to) {
                Fate::Outside(reason) => left.push(reason),
                fate @ (Fate::Lost | Fate::Overdue(_)) => {
                    let clause = fate.failure().unwrap_or_default();
                    lost.push(loss(case, entry, to, clause));
                }
                _ => {}
            }
        }
    }
    left.iter().for_each(|_| tally.kept());
    // Losses count only in a run that comes near the limits: elsewhere RO-06 judges them.
    if tally.proofs > 0 || conditions::strikes(case).len() > 1 {
        lost.into_iter().for_each(|evidence| tally.broken(evidence));
    }
    let mut what = "cases of a documented limit were treated as documented".to_owned();
    if alone > 0 {
        what = format!(
            "{what}, {} without a server for a copy",
            count(alone, "message")
        );
    }
    if let Some(reason) = left.first() {
        what = format!(
            "{what}; outside the guarantee: {}: {reason}",
            count(left.len(), "recipient")
        );
    }
    conclude(
        case,
        "SC-17",
        tally,
        &what,
        "no message met a documented limit: enough servers for a copy, and not all of a message's own servers failed",
    )
}

/// Nobody may hold a copy of this message, and its node, undisturbed, gave an answer that depends on it.
fn limited(case: &Case<'_>, s: &Submitted<'_>) -> bool {
    let undisturbed = || {
        let end = s.ended.map_or(case.last_us, |m| m.t_us);
        case.well_between(s.node(), s.at.t_us, end)
    };
    case.is_2013(s.node())
        && case.config.switch(s.node(), "ShadowRedundancyEnabled")
        && nobody_may_hold(case, s.node())
        && (s.acked() || s.reply.is_some_and(failed_to_be_made_redundant))
        && undisturbed()
}

fn unlike_documented(case: &Case<'_>, s: &Submitted<'_>) -> Option<Evidence> {
    let reject = case.config.switch(s.node(), "RejectMessageOnShadowFailure");
    (s.acked() == reject).then(|| {
        let text = format!(
            "no other server may hold a copy for {}, and RejectMessageOnShadowFailure is {reject}; {} for message {}",
            s.node(),
            outcome(s),
            s.what.message
        );
        piece(text, s.ended.map(|m| m.seq))
    })
}
