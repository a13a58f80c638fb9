//! SC-09 to SC-11: what becomes of a message of which no copy can, or shall, be made.

use gauntlet_reports::Verdict;

use super::creation::copy_attempts;
use crate::{
    check::{
        Case, Submitted,
        conditions::{conclude, copy_hindered},
        evidence::{Tally, clock, outcome, piece},
        ledger::loss,
    },
    history::{Outcome, Reply},
};

/// Submissions that came to an answer after the end of data, to nodes that have RejectMessageOnShadowFailure so. No copies are
/// made by 2010-style hubs, which know neither parameter (SC-18, SC-19).
fn answered<'c, 'h>(case: &'c Case<'h>, reject: bool) -> impl Iterator<Item = &'c Submitted<'h>> {
    case.submissions.iter().filter(move |s| {
        case.config.switch(s.node(), "ShadowRedundancyEnabled")
            && case.config.switch(s.node(), "RejectMessageOnShadowFailure") == reject
            && s.data_sent.is_some()
            && !case.is_hub_2010(s.node())
            && matches!(s.outcome, Outcome::Acked | Outcome::Refused)
            // TO-02: with 421 the sender's own session was over.
            && s.reply.is_none_or(|r| r.code != 421)
            && answered_itself(case, s)
    })
}

/// The answer is the primary server's own, not that of a front end which could not ask it.
fn answered_itself(case: &Case<'_>, s: &Submitted<'_>) -> bool {
    let asked = case.passed_on(s).and_then(|(_, e)| e.reply);
    !case.is_front_end(s.server())
        || asked.is_some_and(|(_, own)| s.reply.is_some_and(|told| told.code == own.code))
}

/// A node that was struck itself while it took the message in may refuse it for that reason.
fn undisturbed(case: &Case<'_>, s: &Submitted<'_>) -> bool {
    case.well_between(
        s.node(),
        s.at.t_us,
        s.ended.map_or(case.last_us, |m| m.t_us),
    )
}

/// The reply of SC-10.
pub(super) fn failed_to_be_made_redundant(reply: &Reply) -> bool {
    reply.code == 451
        && reply.text.contains("4.4.0")
        && reply.text.contains("Message failed to be made redundant")
}

/// SC-09: RejectMessageOnShadowFailure is false and no copy can be made: accepted all the same, and processed.
pub(super) fn sc_09(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for s in answered(case, false).filter(|s| case.copy_of(s).is_none() && undisturbed(case, s)) {
        let refused_for_it =
            s.outcome == Outcome::Refused && s.reply.is_some_and(failed_to_be_made_redundant);
        let hindered = copy_hindered(case, s);
        if hindered.is_none() && !refused_for_it {
            continue;
        }
        if s.outcome == Outcome::Refused {
            let why = hindered.unwrap_or_else(|| "no try for a copy was seen".into());
            let text = format!(
                "{why}; {} for message {} although it may not be refused",
                outcome(s),
                s.what.message
            );
            tally.broken(piece(text, s.ended.map(|m| m.seq)));
            continue;
        }
        let Some(entry) = ledger.entries.get(&s.what.message) else {
            continue;
        };
        let failed = entry.accounts.keys().find_map(|to| {
            let fate = ledger.fate(case, entry, to);
            fate.failure().map(|clause| loss(case, entry, to, clause))
        });
        match failed {
            Some(evidence) => tally.broken(evidence),
            None => tally.kept(),
        }
    }
    let what = "messages without a copy were accepted and processed";
    conclude(case, "SC-09", tally, what, thin(case, false))
}

/// Why there was nothing to judge.
fn thin(case: &Case<'_>, reject: bool) -> &'static str {
    match (answered(case, reject).next(), reject) {
        (Some(_), _) => "a copy could be made of every message",
        (None, false) => "no node that accepts messages without a copy was sent one",
        (None, true) => "no node that refuses messages without a copy was sent one",
    }
}

/// SC-10: RejectMessageOnShadowFailure is true and no copy can be made: `451 4.4.0`, nothing is kept, and the sender can
/// send again, with success once a copy can be made.
pub(super) fn sc_10(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    let mut again = 0;
    for s in answered(case, true).filter(|s| undisturbed(case, s)) {
        let copied = case.copy_of(s).is_some();
        let hindered = copy_hindered(case, s);
        let number = s.what.message;
        if s.acked() {
            let before = case.submissions.iter().any(|o| {
                o.what.message == number
                    && o.at < s.at
                    && o.reply.is_some_and(failed_to_be_made_redundant)
            });
            if copied {
                again += usize::from(before);
            } else {
                let why = hindered.unwrap_or_else(|| "no copy was made".into());
                tally.broken(piece(
                    format!("{why}; {} for message {number}", outcome(s)),
                    s.ended.map(|m| m.seq),
                ));
            }
            continue;
        }
        let Some(reply) = s.reply else { continue };
        if copied || (hindered.is_none() && !failed_to_be_made_redundant(reply)) {
            continue;
        }
        if !failed_to_be_made_redundant(reply) && reply.code < 500 {
            let text = format!(
                "message {number} was refused with `{} {}`",
                reply.code, reply.text
            );
            tally.broken(piece(text, s.ended.map(|m| m.seq)));
            continue;
        }
        if failed_to_be_made_redundant(reply) && hindered.is_none() {
            let text =
                format!("message {number} was refused with 451 although nothing hindered a copy");
            tally.broken(piece(text, s.ended.map(|m| m.seq)));
            continue;
        }
        tally.kept();
    }
    tally.against.extend(ledger.phantoms(case));
    let resent = if again > 0 {
        format!("; {again} were sent again with success")
    } else {
        String::new()
    };
    let what = format!(
        "messages without a copy were refused with 451 4.4.0, and none of them delivered{resent}"
    );
    conclude(case, "SC-10", tally, &what, thin(case, true))
}

/// SC-11: ShadowRedundancyEnabled is false: no copy is attempted, and RejectMessageOnShadowFailure has no effect.
pub(super) fn sc_11(case: &Case<'_>) -> Verdict {
    let off = |node: &str| !case.config.switch(node, "ShadowRedundancyEnabled");
    let mut tally = Tally::default();
    let to_2013 = |s: &&Submitted<'_>| off(s.node()) && !case.is_hub_2010(s.node());
    for s in case.submissions.iter().filter(to_2013) {
        if s.acked() {
            tally.kept();
        } else if let Some(reply) = s.reply.filter(|r| failed_to_be_made_redundant(r)) {
            let text = format!(
                "message {} was refused with {} while shadow redundancy was off",
                s.what.message, reply.code
            );
            tally.broken(piece(text, s.ended.map(|m| m.seq)));
        }
    }
    // Clients may say what they like.
    let by_nodes = copy_attempts(case).filter(|(c, _)| case.is_node(c.from) && off(c.from));
    for (connection, at) in by_nodes {
        let text = format!(
            "{} began a copy to {} at {}",
            connection.from,
            connection.to,
            clock(at.t_us)
        );
        tally.broken(piece(text, [at.seq]));
    }
    conclude(
        case,
        "SC-11",
        tally,
        "messages were accepted without a try for a copy",
        "no message was acked with shadow redundancy off",
    )
}
