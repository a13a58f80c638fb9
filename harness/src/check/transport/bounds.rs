//! TC-03, TC-04 and TC-11: what must not be delivered, and how often the rest may be.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Submitted,
        conditions::conclude,
        evidence::{Tally, piece},
    },
    history::{Outcome, Wire},
};

/// TC-03: the connection ends before the end of data: never delivered.
pub(super) fn tc_03(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for entry in ledger.entries.values() {
        let cut = entry
            .submitted(case)
            .filter(|s| s.outcome == Outcome::Unsent && data_begun(case, s))
            .count();
        if cut == 0 {
            continue;
        }
        let mut clean = true;
        for (to, account) in &entry.accounts {
            for arrival in &account.arrivals {
                if let Some(why) = entry.phantom(case, to, arrival) {
                    clean = false;
                    let text =
                        format!("{why}; message {} came to {to} all the same", entry.message);
                    tally.broken(piece(
                        text,
                        entry
                            .submitted(case)
                            .map(|s| s.ended.unwrap_or(s.at).seq)
                            .chain([arrival.seq]),
                    ));
                }
            }
        }
        tally.proofs += if clean { cut } else { 0 };
    }
    // What was cut may have lost the field that tells its number.
    let strangers = ledger
        .strangers
        .iter()
        .filter(|_| tally.proofs > 0)
        .map(|s| piece(s.text.clone(), [s.seq]));
    for stranger in strangers.collect::<Vec<_>>() {
        tally.broken(stranger);
    }
    let what = "messages that broke off before the end of data were not delivered";
    conclude(
        case,
        "TC-03",
        tally,
        what,
        "no client broke off in the middle of its data",
    )
}

/// The client had come to the data when it broke off.
fn data_begun(case: &Case<'_>, s: &Submitted<'_>) -> bool {
    let end = s.ended.map_or(u64::MAX, |m| m.seq);
    case.links.get(s.what.link.as_str()).into_iter().flatten().any(|c| {
        c.events.iter().any(|(at, wire)| {
            let begun = matches!(wire, Wire::Reply { verb, reply } if verb == "DATA" && reply.code == 354)
                || matches!(wire, Wire::Command { verb, .. } if verb == "BDAT");
            begun && *at > s.at && at.seq < end
        })
    })
}

/// TC-04 (MAY, bounded): indeterminate and sent again: at most one copy per end of data that was transmitted, for each
/// owner. See [`Surplus`](crate::check::Surplus) for what explains a copy.
pub(super) fn tc_04(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let (_, surplus) = ledger.surplus(case);
    let mut tally = Tally::default();
    for s in surplus {
        let text = format!(
            "{} sent message {} to {} at {} {} times, of which {} can be explained",
            s.node, s.message, s.recipient, s.sink, s.sent, s.allowed
        );
        tally.broken(piece(text, s.records));
    }
    let again = ledger.entries.values().filter(|e| {
        let indeterminate = e
            .submitted(case)
            .any(|s| s.outcome == Outcome::Indeterminate && case.exchange_of(s).is_some());
        indeterminate && e.submissions.len() > 1
    });
    tally.proofs += again.count();
    let what = "messages that were sent again after a lost ack came at most once per end of data";
    conclude(
        case,
        "TC-04",
        tally,
        what,
        "no message was sent again after its sender had lost the reply",
    )
}

/// TC-11: a refused recipient or message is never delivered.
pub(super) fn tc_11(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally {
        proofs: 0,
        against: ledger.phantoms(case),
    };
    let refused = case.submissions.iter().map(|s| {
        let whole = usize::from(s.outcome == Outcome::Refused);
        whole.max(s.refused.len())
    });
    tally.proofs = refused.sum::<usize>().max(tally.against.len());
    let what = "refused messages and recipients were not delivered";
    conclude(case, "TC-11", tally, what, "nothing was refused")
}
