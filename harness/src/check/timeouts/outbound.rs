//! TO-09: outbound sessions in which nothing happens any more.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Connection, Moment,
        conditions::conclude,
        evidence::{Tally, between, clock, lasting, piece},
    },
    history::Wire,
};

/// Time in which nothing passed on a connection, and no content was on its way.
struct Silence {
    from: Moment,
    to: Moment,
    /// The opener had said the last word, and waited for an answer.
    awaited: bool,
    /// The opener ended it: with QUIT, or by closing.
    given_up: bool,
    /// The opener said nothing any more, though the other side did, and was the first to close: the wire shows when both
    /// had, and not since when the opener was gone.
    unnoticed: bool,
}

/// TO-09: a node closes a session that it opened once nothing has happened in it for the send connector's
/// ConnectionInactivityTimeOut. To a next hop not before, either, while it waits for an answer. Sessions to other nodes
/// have bounds of their own that are shorter (a heartbeat, a delivery), or may be longer (ShadowCopyTimeout). A fault
/// on the way at any time of the session tells nothing.
pub(super) fn to_09(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    let sessions = case
        .connections()
        .filter(|c| c.failed.is_none() && case.is_node(c.from))
        .filter(|c| case.is_node(c.to) || case.is_sink(c.to));
    for c in sessions {
        let timeout = case.config.span(c.from, "ConnectionInactivityTimeOut");
        let slack = case.config.tolerance(timeout);
        let outside = case.is_sink(c.to);
        let most = if outside {
            timeout
        } else if case.is_front_end(c.from) {
            // An open transaction lasts as long as its sender's session may be silent (SC-15).
            timeout.max(case.config.span(c.from, "ConnectionInactivityTimeout"))
        } else {
            timeout.max(case.config.span(c.from, "ShadowCopyTimeout"))
        };
        // A message must be tried again before it expires: that may leave less time for an answer.
        let expiry = case.config.span(c.from, "MessageExpirationTimeout");
        for silence in silences(case, c) {
            let hit = case
                .faults_on(c.from, c.to)
                .any(|f| f.overlaps(c.opened.t_us, silence.to.t_us));
            if hit {
                continue;
            }
            let lasted = between(silence.from, silence.to);
            let records = [silence.from.seq, silence.to.seq];
            if lasted > most + slack && silence.unnoticed {
                continue;
            }
            if lasted > most + slack {
                let text = format!(
                    "nothing passed on {} from {} on, and {} had it open for {} more; {} is the limit",
                    c.link,
                    clock(silence.from.t_us),
                    c.from,
                    lasting(lasted),
                    lasting(most)
                );
                tally.broken(piece(text, records));
            } else if !silence.given_up {
                continue;
            } else if lasted + slack >= timeout {
                tally.kept();
            } else if outside && silence.awaited && expiry / 2 >= timeout {
                let text = format!(
                    "{} had waited for an answer on {} from {} on, and gave it up after {}, {} before its time",
                    c.from,
                    c.link,
                    clock(silence.from.t_us),
                    lasting(lasted),
                    lasting(timeout - lasted)
                );
                tally.broken(piece(text, records));
            }
        }
    }
    conclude(
        case,
        "TO-09",
        tally,
        "outbound sessions in which nothing happened were closed at ConnectionInactivityTimeOut",
        "no outbound session was silent for long enough",
    )
}

fn silences(case: &Case<'_>, c: &Connection<'_>) -> Vec<Silence> {
    let mut all = Vec::new();
    for (i, (from, last)) in c.events.iter().enumerate() {
        // After QUIT nothing is waited for; what flows as content is not seen before its end.
        let over = matches!(last, Wire::Close { .. } | Wire::ConnectFailed { .. })
            || matches!(last, Wire::Command { verb, .. } if verb == "QUIT" || verb == "BDAT")
            || matches!(last, Wire::Reply { verb, reply } if verb == "DATA" && reply.code == 354);
        if over {
            continue;
        }
        let next = c.events.get(i + 1);
        let end = Moment {
            seq: case.records.last().map_or(0, |r| r.seq),
            t_us: case.last_us,
        };
        all.push(Silence {
            from: *from,
            to: next.map_or(end, |(at, _)| *at),
            awaited: matches!(
                last,
                Wire::Connect | Wire::Command { .. } | Wire::EndOfData { .. }
            ),
            unnoticed: is_unnoticed(c.events.get(i + 1..).unwrap_or_default()),
            given_up: next.is_some_and(|(_, wire)| match wire {
                Wire::Close { by, .. } => by == "client",
                Wire::Command { verb, .. } => verb == "QUIT",
                _ => false,
            }),
        });
    }
    all
}

fn is_unnoticed(rest: &[(Moment, &Wire)]) -> bool {
    let speaks = |wire: &Wire| matches!(wire, Wire::Command { .. } | Wire::EndOfData { .. });
    let closed = |wire: &Wire| matches!(wire, Wire::Close { by, .. } if by == "client");
    rest.len() > 1
        && !rest.iter().any(|(_, wire)| speaks(wire))
        && rest.last().is_some_and(|(_, wire)| closed(wire))
}
