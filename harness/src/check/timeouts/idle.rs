//! TO-06 and TO-08: idle inbound sessions, and the order of the two timeouts.

use std::{collections::BTreeMap, time::Duration};

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Moment,
        conditions::{faults_missing, unfinished},
        evidence::{Tally, clock, inconclusive, lasting, piece},
    },
    history::Event,
    scenario::Span,
};

/// TO-06: an idle inbound session is closed with 421 at ConnectionInactivityTimeout, not before.
pub(super) fn to_06(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for record in case.records {
        let Event::IdleClosed {
            link,
            connection,
            after_us,
            reply,
        } = &record.event
        else {
            continue;
        };
        let Some((client, node)) = link.split_once('>') else {
            continue;
        };
        let due = case.config.span(node, "ConnectionInactivityTimeout");
        let slack = case.config.tolerance(due);
        let seen = case.links.get(link.as_str());
        let opened = connection
            .and_then(|n| seen.and_then(|all| all.iter().find(|c| c.number == n)))
            .map(|c| c.opened);
        let from = opened.map_or(0, |at| at.t_us);
        if case
            .faults_on(client, node)
            .any(|f| f.overlaps(from, record.t_us))
        {
            continue;
        }
        let now = Moment::of(record);
        match after_us.map(Duration::from_micros) {
            Some(after) if after + slack < due => {
                let text = format!(
                    "{node} closed {link} after {} of idleness, {} before its time",
                    lasting(after),
                    lasting(due - after)
                );
                tally.broken(piece(text, [record.seq]));
            }
            Some(after) if after > due + slack => {
                let text = format!(
                    "{node} closed {link} only after {} of idleness; {} is the limit",
                    lasting(after),
                    lasting(due)
                );
                tally.broken(piece(text, [record.seq]));
            }
            Some(after) if reply.as_ref().is_none_or(|r| r.code != 421) => {
                let text = format!(
                    "{node} closed {link} after {} without a 421",
                    lasting(after)
                );
                tally.broken(piece(text, [record.seq]));
            }
            Some(_) => tally.kept(),
            None => {
                // The session was still open when the step gave up. Only when it had waited long enough does that tell.
                let waited =
                    opened.map(|at| Duration::from_micros(now.t_us.saturating_sub(at.t_us)));
                if let Some(waited) = waited.filter(|w| *w > due + slack) {
                    let text = format!(
                        "{link} was idle from {} on and still open after {}; {} is the limit",
                        clock(from),
                        lasting(waited),
                        lasting(due)
                    );
                    tally.broken(piece(text, [record.seq]));
                }
            }
        }
    }
    if tally.against.is_empty()
        && let Some(reason) = case.truncated.clone().or_else(|| faults_missing(case))
    {
        return inconclusive("TO-06", reason);
    }
    tally.verdict(
        "TO-06",
        "idle sessions were closed with 421 at ConnectionInactivityTimeout",
        "no session was idle for long enough",
    )
}

/// TO-08: ConnectionInactivityTimeout ≥ ConnectionTimeout is refused with an error that names the parameter. A good
/// configuration must have been accepted beside it: a check that refuses everything proves nothing.
pub(super) fn to_08(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    let mut good = 0;
    for record in case.records {
        let Event::ConfigChecked {
            config,
            accepted,
            message,
        } = &record.event
        else {
            continue;
        };
        let Some((idle, whole)) = timeouts(case, config) else {
            continue;
        };
        let set = format!(
            "ConnectionInactivityTimeout {} with ConnectionTimeout {}",
            lasting(idle),
            lasting(whole)
        );
        if idle < whole {
            good += usize::from(*accepted);
        } else if *accepted {
            tally.broken(piece(format!("{set} was accepted"), [record.seq]));
        } else if !message.contains("ConnectionInactivityTimeout")
            && !message.contains("ConnectionTimeout")
        {
            tally.broken(piece(
                format!("{set} was refused with `{message}`, which names neither"),
                [record.seq],
            ));
        } else {
            tally.kept();
        }
    }
    if tally.against.is_empty()
        && let Some(reason) = unfinished(case)
    {
        return inconclusive("TO-08", reason);
    }
    if good == 0 && tally.against.is_empty() {
        return inconclusive(
            "TO-08",
            "no configuration with the timeouts in order was accepted to compare with",
        );
    }
    tally.verdict(
        "TO-08",
        "configurations with the timeouts in the wrong order were refused",
        "no such configuration was offered",
    )
}

/// The two timeouts of an offered configuration: what it sets, or the documented default.
fn timeouts(case: &Case<'_>, config: &BTreeMap<String, String>) -> Option<(Duration, Duration)> {
    let set = |name: &str| {
        config
            .get(name)
            .map(|text| text.trim_matches('"').parse::<Span>().map(|span| span.0))
    };
    let of = |name: &str| match set(name) {
        Some(value) => value.ok(),
        None => Some(case.config.span("", name)),
    };
    if set("ConnectionInactivityTimeout").is_none() && set("ConnectionTimeout").is_none() {
        return None;
    }
    Some((of("ConnectionInactivityTimeout")?, of("ConnectionTimeout")?))
}
