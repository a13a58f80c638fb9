//! TC-08 and TC-10: the content arrives as it was sent, as one message.

use gauntlet_reports::Verdict;

use crate::check::{
    Case,
    conditions::conclude,
    evidence::{Tally, count, piece},
};

/// TC-08: bytes of the body, order and values of header fields; trace fields added on top only.
pub(super) fn tc_08(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let tally = Tally {
        proofs: ledger.arrivals().count(),
        against: ledger.alterations(case),
    };
    conclude(
        case,
        "TC-08",
        tally,
        "copies arrived as they were sent",
        "nothing arrived",
    )
}

/// TC-10: only `<CRLF>.<CRLF>` ends the data. A server may refuse a message with a bare LF or CR, or write it as CRLF;
/// it may not end the message there, and not make a second one of the rest.
pub(super) fn tc_10(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    if case.smuggles() {
        for s in case
            .submissions
            .iter()
            .filter(|s| s.ended.is_some() && s.data_sent.is_some())
        {
            let Some(entry) = ledger.entries.get(&s.what.message) else {
                continue;
            };
            let mut arrivals = entry.accounts.values().flat_map(|a| &a.arrivals);
            match arrivals.find(|a| a.digest.size < s.what.digest.size) {
                Some(a) => {
                    let text = format!(
                        "message {} was sent with {}; {} of them came to {}",
                        entry.message,
                        count(
                            usize::try_from(s.what.digest.size).unwrap_or(usize::MAX),
                            "octet"
                        ),
                        a.digest.size,
                        a.place
                    );
                    tally.broken(piece(text, [s.at.seq, a.seq]));
                }
                None => tally.kept(),
            }
        }
        for stranger in &ledger.strangers {
            tally.broken(piece(stranger.text.clone(), [stranger.seq]));
        }
    }
    let what = "messages with what looks like an end of data were taken as one, or refused";
    conclude(
        case,
        "TC-10",
        tally,
        what,
        "no message held what looks like an end of data",
    )
}
