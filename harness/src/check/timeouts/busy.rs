//! TO-07: the whole life of an inbound session.

use std::time::Duration;

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Moment,
        conditions::faults_missing,
        evidence::{Tally, between, clock, inconclusive, lasting, piece},
        wire::positive,
    },
    history::{Event, Wire},
};

/// TO-07: an inbound session in which data flows all the time is closed with 421 at ConnectionTimeout, not before. Only
/// sessions that began, without a fault on their way, whose client never paused for as long as an idle one may.
pub(super) fn to_07(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for record in case.records {
        let Event::BusyClosed {
            link,
            connection: Some(number),
            after_us,
            longest_pause_us,
            ..
        } = &record.event
        else {
            continue;
        };
        let Some((client, node)) = link.split_once('>') else {
            continue;
        };
        let on_link = case.links.get(link.as_str()).into_iter().flatten();
        let Some(session) = on_link
            .filter(|c| c.number == *number)
            .find(|c| c.replies("EHLO").any(|(_, reply)| positive(reply)))
        else {
            continue;
        };
        let from = session.opened;
        let hit = case
            .faults_on(client, node)
            .any(|f| f.overlaps(from.t_us, record.t_us));
        let idle = case.config.span(node, "ConnectionInactivityTimeout");
        let paused = Duration::from_micros(*longest_pause_us);
        if hit || paused + case.config.tolerance(idle) >= idle {
            continue;
        }
        let due = case.config.span(node, "ConnectionTimeout");
        let slack = case.config.tolerance(due);
        let lasted = between(from, Moment::of(record));
        let said_421 = session
            .events
            .iter()
            .any(|(_, wire)| matches!(wire, Wire::Reply { reply, .. } if reply.code == 421));
        let story = match after_us {
            None if lasted <= due + slack => continue,
            None => format!(
                "{link} was busy from {} on and still open after {}; {} is the limit",
                clock(from.t_us),
                lasting(lasted),
                lasting(due)
            ),
            Some(_) if lasted + slack < due => format!(
                "{node} closed {link} after {}, {} before its time, although data was flowing",
                lasting(lasted),
                lasting(due - lasted)
            ),
            Some(_) if lasted > due + slack => format!(
                "{node} closed {link} only after {}; {} is the limit",
                lasting(lasted),
                lasting(due)
            ),
            Some(_) if !said_421 => {
                format!(
                    "{node} closed {link} after {} without a 421",
                    lasting(lasted)
                )
            }
            Some(_) => {
                tally.kept();
                continue;
            }
        };
        tally.broken(piece(story, [from.seq, record.seq]));
    }
    if tally.against.is_empty()
        && let Some(reason) = case.truncated.clone().or_else(|| faults_missing(case))
    {
        return inconclusive("TO-07", reason);
    }
    tally.verdict(
        "TO-07",
        "busy sessions were closed with 421 at ConnectionTimeout",
        "no client was busy for long enough",
    )
}
