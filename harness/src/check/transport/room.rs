//! TC-07: what happens while the queue's disk is full, and afterwards.

use std::time::Duration;

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Fate, FaultSpan, Moment, Submitted,
        conditions::conclude,
        evidence::{Tally, clock, inconclusive, outcome, piece},
        ledger::loss,
    },
    history::{Fault, Outcome},
};

/// Service resumes within this documented time after there is room.
const RESUMES: Duration = Duration::from_secs(60);

/// TC-07: the queue's disk is full: 452 4.3.1; nothing acked is lost; service resumes when there is room. Mail that is
/// under way at the moment when the room ends may wait for it until the session ends (421, or no reply). What still finds
/// room may be acked: then it counts like all mail that was acked.
pub(super) fn tc_07(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    let (mut refused, mut resumed) = (0_usize, 0_usize);
    let full: Vec<_> = case
        .faults
        .iter()
        .filter(|f| matches!(f.what, Fault::DiskFull { .. }))
        .filter_map(|f| Some((f, f.what.node()?, f.landed?)))
        .collect();
    for (span, node, landed) in &full {
        let healed = span.healed.map_or(u64::MAX, |at| at.t_us);
        for s in case.submissions.iter().filter(|s| s.node() == *node) {
            let Some(ended) = s.ended else { continue };
            if ended > *landed && s.at.t_us < healed && s.outcome == Outcome::Refused {
                match s.reply {
                    Some(reply) if no_room(reply.code, &reply.text) => refused += 1,
                    Some(reply) if reply.text.starts_with("5.3.1") => {
                        tally.broken(told(span, s, "refused for good, though there may be room"));
                    }
                    _ => {}
                }
            }
            if !after(case, &full, span, node, s.at) {
                continue;
            }
            match s.reply {
                Some(reply) if no_room(reply.code, &reply.text) => {
                    tally.broken(told(span, s, "there had been room for long"));
                }
                _ if s.acked() => resumed += 1,
                _ => {}
            }
        }
        for entry in ledger.entries.values() {
            let taken = entry
                .submitted(case)
                .any(|s| s.acked() && s.node() == *node && s.at.t_us < healed);
            if !taken {
                continue;
            }
            for (to, account) in entry.accounts.iter().filter(|(_, a)| a.owed.is_some()) {
                let waited = account.arrivals.iter().all(|a| a.t_us > landed.signed_us());
                match ledger.fate(case, entry, to) {
                    fate @ (Fate::Lost | Fate::Overdue(_)) => {
                        tally.broken(loss(case, entry, to, fate.failure().unwrap_or_default()));
                    }
                    Fate::Delivered(_) | Fate::Bounced if waited => tally.kept(),
                    _ => {}
                }
            }
        }
    }
    tally.against.dedup_by(|a, b| a.text == b.text);
    if tally.against.is_empty() {
        let thin = match (full.is_empty(), refused, resumed) {
            (true, ..) => Some("no disk was full"),
            (_, 0, _) => Some("no mail was refused for want of room"),
            (_, _, 0) => Some("no mail was taken after there was room again"),
            _ => None,
        };
        if let Some(thin) = thin {
            return inconclusive("TC-07", thin);
        }
    }
    let what = format!(
        "recipients of mail that was acked were served ({refused} refused with 452 4.3.1, {resumed} acked after there was \
         room)"
    );
    conclude(
        case,
        "TC-07",
        tally,
        &what,
        "nothing acked was in transit while the disk was full",
    )
}

fn no_room(code: u16, text: &str) -> bool {
    code == 452 && text.starts_with("4.3.1")
}

/// A submission that begins at `at` must find service resumed: there is room for long, and nothing else is wrong.
fn after(
    case: &Case<'_>,
    full: &[(&FaultSpan<'_>, &str, Moment)],
    span: &FaultSpan<'_>,
    node: &str,
    at: Moment,
) -> bool {
    let Some(healed) = span.healed else {
        return false;
    };
    let pause = case.config.scaled(RESUMES);
    let from =
        u128::from(healed.t_us) + pause.as_micros() + case.config.tolerance(pause).as_micros();
    let again = full
        .iter()
        .any(|(other, of, landed)| *of == node && other.number > span.number && *landed < at);
    u128::from(at.t_us) > from && !again && case.well_between(node, healed.t_us + 1, at.t_us)
}

fn told(span: &FaultSpan<'_>, s: &Submitted<'_>, why: &str) -> gauntlet_reports::Evidence {
    let node = s.node();
    let full = span.landed.map_or(0, |at| at.t_us);
    let room = span.healed.map_or_else(String::new, |at| {
        format!(", with room again at {}", clock(at.t_us))
    });
    let text = format!(
        "{node}'s disk full at {}{room}; {} for message {}; {why}",
        clock(full),
        outcome(s),
        s.what.message
    );
    let records = [span.landed, span.healed, s.ended];
    piece(text, records.into_iter().flatten().map(|at| at.seq))
}
