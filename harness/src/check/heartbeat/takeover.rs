//! HB-08, HB-09 and HB-10: when a shadow server takes over, and when it must not.

use std::time::Duration;

use gauntlet_reports::Verdict;

use super::{
    asking::{answers, link},
    holding::{Hold, RenewalKind, holds, us, views},
    processing::{ATTEMPT, due_us, host_of},
};
use crate::{
    check::{
        Case, Ledger, Moment,
        conditions::conclude,
        evidence::{Tally, clock, lasting, piece},
    },
    history::{Transaction, Wire},
};

/// HB-08. A primary server out of reach for ShadowResubmitTimeSpan (and one heartbeat, and one attempt): by then the
/// shadow server owns the message, and in the end every recipient has it. Recipients whose next hop stays closed, and
/// messages that were delivered before the outage, are no proof.
pub(super) fn promoted_when_unreachable(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some((last, due)) = outage(case, hold) else {
            continue;
        };
        let missing = undelivered(case, ledger, hold, due);
        let records = || {
            [hold.since.seq]
                .into_iter()
                .chain(case.settled.map(|(at, ..)| at.seq))
        };
        let story = format!(
            "{} held {} for {}, and had the last sign of life from it at {} (ShadowResubmitTimeSpan is {})",
            hold.server,
            hold.name(),
            hold.primary,
            clock(last),
            lasting(case.config.span(hold.server, "ShadowResubmitTimeSpan")),
        );
        let in_queue = views(case, hold.server).find(|(at, view)| {
            at.t_us > due
                && view
                    .shadow
                    .iter()
                    .any(|h| h.transport_id == hold.transport_id)
        });
        match (&hold.promoted, missing.first(), in_queue) {
            (Some(sign), ..) if sign.exact && sign.at.t_us > due => {
                let text = format!("{story}; {} only at {}", sign.text, clock(sign.at.t_us));
                tally.broken(piece(text, [hold.since.seq, sign.at.seq]));
            }
            (Some(sign), Some(to), _) => {
                let text = format!(
                    "{story}; {} at {}, but {to} never got it",
                    sign.text,
                    clock(sign.at.t_us)
                );
                tally.broken(piece(text, records().chain([sign.at.seq])));
            }
            (Some(_), None, _) => tally.kept(),
            (None, _, Some((at, _))) => {
                let text = format!(
                    "{story}; at {} it is still a shadow message",
                    clock(at.t_us)
                );
                tally.broken(piece(text, [hold.since.seq, at.seq]));
            }
            (None, Some(to), None) => {
                let text = format!(
                    "{story}; by {} it was due to take over, and {to} never got it",
                    clock(due)
                );
                tally.broken(piece(text, records()));
            }
            (None, None, None) => {}
        }
    }
    conclude(
        case,
        "HB-08",
        tally,
        "shadow messages of an unreachable primary server were promoted and delivered",
        "no primary server was out of reach for ShadowResubmitTimeSpan while a shadow message was held for it",
    )
}

/// The last sign of life (microseconds) before an outage that lasted long enough for a promotion, and when that was
/// due. `None` when there was no such outage, or the shadow server was not there all the while.
fn outage(case: &Case<'_>, hold: &Hold<'_>) -> Option<(u64, u64)> {
    let span = case.config.span(hold.server, "ShadowResubmitTimeSpan");
    let heartbeat = case.config.span(hold.server, "ShadowHeartbeatFrequency");
    let allowed = us(span + heartbeat + case.config.scaled(ATTEMPT) + case.config.tolerance(span));
    // Everything by which the shadow server may have learned that its primary server is alive, whoever opened the session:
    // the most favourable reading of "a successful session".
    let lives = case.index.lives(hold.server, hold.primary);
    let first = lives.partition_point(|t| *t <= hold.since.t_us);
    let mut last = hold.since.t_us;
    for &life in lives[first..].iter().chain([&case.last_us]) {
        let due = last.saturating_add(allowed);
        if life > due {
            let ended = [
                hold.notified.map(|(at, _)| at),
                hold.lost,
                hold.renewed.map(|r| r.at),
            ];
            let held = ended.into_iter().flatten().all(|at| at.t_us > due) && hold.expires_us > due;
            return (held && case.well_between(hold.server, last, due)).then_some((last, due));
        }
        last = life;
    }
    None
}

/// Recipients that were promised the message, could have got it by the end of the run from the shadow server, and did
/// not get it, nor a DSN its sender.
fn undelivered<'h>(
    case: &Case<'_>,
    ledger: &Ledger<'h>,
    hold: &Hold<'_>,
    ready: u64,
) -> Vec<&'h str> {
    let Some(entry) = hold
        .message
        .and_then(|message| ledger.entries.get(&message))
    else {
        return Vec::new();
    };
    let missing = entry.accounts.iter().filter(|(to, account)| {
        let owed = account.owed.is_some() && account.arrivals.is_empty() && account.dsns.is_empty();
        let due = due_us(case, hold.server, host_of(case, to), hold.since.t_us, ready);
        // A next hop may have refused it for good, and the DSN be in a mailbox.
        let fate = || ledger.fate_in_spite_of_hazards(case, entry, to);
        owed && due.is_some_and(|due| due <= case.last_us)
            && fate().failure().is_some()
            && case.well_between(hold.server, ready, case.last_us)
    });
    missing.map(|(to, _)| *to).collect()
}

/// The promotion, where nothing gave a right to it: neither ShadowResubmitTimeSpan without an answered question, nor an
/// answer that showed another database or an earlier state.
pub(in crate::check) fn needless<'c>(
    case: &Case<'_>,
    hold: &'c Hold<'_>,
) -> Option<&'c super::ownership::Ownership> {
    hold.promoted
        .as_ref()
        .filter(|sign| is_judged(case, hold, sign) && sign.at.t_us < hold.overdue_us)
}

/// Whether ShadowResubmitTimeSpan is what the promotion is judged by: no answer gave a right to it.
fn is_judged(case: &Case<'_>, hold: &Hold<'_>, sign: &super::ownership::Ownership) -> bool {
    let renewed = hold.renewed.is_some_and(|r| r.at < sign.at);
    // Of two copies that it has of one message, from two primary servers, the wire does not tell which it promoted.
    let another = || {
        case.exchanges_named(hold.transport_id).any(|(c, e)| {
            c.to == hold.server
                && c.from != hold.primary
                && e.kind == Transaction::Copy
                && e.sent < sign.at
        })
    };
    !renewed && !another()
}

/// HB-09. Every promotion came after ShadowResubmitTimeSpan without an answered question, or after the primary server
/// showed another database. An outage of more than half the span, or outages that add up to more than the span, that
/// ended without a promotion are proofs as well.
pub(super) fn not_promoted_before(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for hold in holds(case) {
        let span = case.config.span(hold.server, "ShadowResubmitTimeSpan");
        if let Some(sign) = &hold.promoted {
            if !is_judged(case, hold, sign) {
                continue;
            }
            if sign.at.t_us >= hold.overdue_us {
                tally.kept();
                continue;
            }
            let last = answers(case, hold.server, hold.primary)
                .iter()
                .rfind(|at| **at > hold.since && **at < sign.at);
            let last = last.copied().unwrap_or(hold.since);
            let text = format!(
                "{} held {} for {}, and had last heard from it at {}; {} at {}, only {} later: ShadowResubmitTimeSpan is {}",
                hold.server,
                hold.name(),
                hold.primary,
                clock(last.t_us),
                sign.text,
                clock(sign.at.t_us),
                lasting(Duration::from_micros(
                    sign.at.t_us.saturating_sub(last.t_us)
                )),
                lasting(span),
            );
            tally.broken(piece(text, [hold.since.seq, last.seq, sign.at.seq]));
        } else if tempted(case, hold, span) {
            tally.kept();
        }
    }
    conclude(
        case,
        "HB-09",
        tally,
        "shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over",
        "no primary server was out of reach for half of ShadowResubmitTimeSpan",
    )
}

/// The outages while the message was held might have tempted a shadow server to promote too early.
fn tempted(case: &Case<'_>, hold: &Hold<'_>, span: Duration) -> bool {
    let end = hold.notified.map_or(case.last_us, |(at, _)| at.t_us);
    let heartbeat = us(case.config.span(hold.server, "ShadowHeartbeatFrequency"));
    let answers = answers(case, hold.server, hold.primary);
    let first = answers.partition_point(|at| *at <= hold.since);
    let met = answers[first..].iter().map(|at| at.t_us);
    let (mut last, mut sum) = (hold.since.t_us, 0);
    for at in met.take_while(|t| *t <= end).chain([end]) {
        let gap = at.saturating_sub(last);
        if gap > 2 * heartbeat {
            sum += gap;
        }
        if gap > us(span / 2).max(2 * heartbeat) || sum > us(span) {
            return true;
        }
        last = at;
    }
    false
}

/// HB-10. From the answer with another database ID to the promotion passes less than the time to the next heartbeat.
pub(super) fn promoted_for_another_database(case: &Case<'_>) -> Verdict {
    conclude(
        case,
        "HB-10",
        at_that_heartbeat(case, RenewalKind::AnotherDatabase),
        "shadow messages were promoted at the heartbeat that showed another database ID",
        "no primary server answered with another database ID while a shadow message was held for it",
    )
}

/// HB-13 (BEYOND). From the answer that shows that the primary server's database went backward to the promotion passes
/// less than the time to the next heartbeat, where detection is on.
pub(super) fn promoted_for_an_earlier_state(case: &Case<'_>) -> Verdict {
    conclude(
        case,
        "HB-13",
        at_that_heartbeat(case, RenewalKind::WentBack),
        "shadow messages were promoted at the heartbeat that showed an earlier state of the database",
        "no primary server showed an earlier state of its database while a shadow message was held for it, and detection \
         was on",
    )
}

/// The shadow server had an answer of its primary server: it gave another command in that session.
fn went_on(case: &Case<'_>, hold: &Hold<'_>, answer: Moment) -> bool {
    let mut sessions = link(case, hold.server, hold.primary).iter();
    let session = sessions.find(|c| c.events.iter().any(|(at, _)| *at == answer));
    session.is_some_and(|c| {
        let mut later = c.events.iter().filter(|(at, _)| *at > answer);
        later.any(|(_, wire)| matches!(wire, Wire::Command { .. }))
    })
}

/// From the answer that shows that the primary server is not the one that it was to the promotion passes less than the
/// time to the next heartbeat.
fn at_that_heartbeat(case: &Case<'_>, kind: RenewalKind) -> Tally {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for hold in holds(case) {
        let Some(renewal) = hold.renewed.filter(|r| r.kind == kind) else {
            continue;
        };
        let what = match kind {
            RenewalKind::AnotherDatabase => "with another database ID",
            RenewalKind::WentBack | RenewalKind::Missing => "with an earlier state of its database",
        };
        let detects = case.config.switch(hold.server, "StateRegressionDetection");
        if kind == RenewalKind::WentBack && !detects {
            continue;
        }
        let heartbeat = case.config.span(hold.server, "ShadowHeartbeatFrequency");
        let due = renewal
            .at
            .t_us
            .saturating_add(us(heartbeat + case.config.tolerance(heartbeat)));
        let before = hold
            .notified
            .map(|(at, _)| at)
            .into_iter()
            .chain(hold.lost)
            .any(|at| at.t_us <= due);
        let taken = hold.promoted.as_ref().is_some_and(|p| p.at < renewal.at);
        // What passed the tap and did not arrive told the shadow server nothing. Another database is known as soon as the
        // server goes on in that session; an earlier state of the same one only with what it had to tell.
        let known = kind == RenewalKind::AnotherDatabase && went_on(case, hold, renewal.at);
        let unheard = !known && case.may_be_lost(hold.server, hold.primary, renewal.at);
        if before
            || taken
            || unheard
            || due > case.last_us
            || !case.well_between(hold.server, renewal.at.t_us, due)
        {
            continue;
        }
        let story = format!(
            "{server} held {} for {}, which answered {server} {what} at {}",
            hold.name(),
            hold.primary,
            clock(renewal.at.t_us),
            server = hold.server,
        );
        let broken = |text: String, at: Option<Moment>| {
            piece(
                format!("{story}; {text}"),
                [hold.since.seq, renewal.at.seq]
                    .into_iter()
                    .chain(at.map(|at| at.seq)),
            )
        };
        let still = views(case, hold.server).find(|(at, view)| {
            at.t_us > due
                && view
                    .shadow
                    .iter()
                    .any(|h| h.transport_id == hold.transport_id)
        });
        match (&hold.promoted, still) {
            (Some(sign), _) if sign.at.t_us <= due => tally.kept(),
            (Some(sign), _) if sign.exact => {
                tally.broken(broken(
                    format!("{} only at {}", sign.text, clock(sign.at.t_us)),
                    Some(sign.at),
                ));
            }
            (_, Some((at, _))) => {
                tally.broken(broken(
                    format!("at {} it is still a shadow message", clock(at.t_us)),
                    Some(at),
                ));
            }
            (None, None) => {
                if let Some(to) = undelivered(case, ledger, hold, due).first() {
                    tally.broken(broken(
                        format!("{to} had not got it by {}", clock(case.last_us)),
                        None,
                    ));
                }
            }
            // A late sign that does not tell when the promotion was.
            (Some(_), None) => {}
        }
    }
    tally
}
