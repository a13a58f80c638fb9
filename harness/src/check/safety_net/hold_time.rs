//! SN-03: how long Safety Net keeps what it has.

use std::collections::{BTreeMap, BTreeSet};

use gauntlet_reports::{Evidence, Verdict};

use super::contents::in_safety_net;
use crate::{
    check::{
        Case, Ledger, Moment,
        conditions::conclude,
        evidence::{Tally, clock, count, lasting, piece},
        heartbeat::{
            asking::link,
            holding::{Hold, holds, us, views},
            processing::{open_since, processed_us, submission},
        },
    },
    history::{Event, Transaction},
};

/// A message in the primary Safety Net of the server that took it in.
struct Kept<'c, 'h> {
    hold: &'c Hold<'h>,
    /// When it came in and when it was processed (microseconds).
    taken: u64,
    processed: u64,
    /// It is certainly there until…
    until: u64,
    /// …and certainly gone from here on.
    gone: u64,
    /// It has a mailbox recipient: only those are resubmitted.
    mailbox: bool,
}

/// A resubmission that the harness asked for.
struct Request {
    /// When the answer was recorded.
    at: Moment,
    /// When the step began that asked for it.
    begun: Moment,
    from_us: i64,
    to_us: i64,
    resubmitted: u64,
}

/// SN-03. A resubmission before the hold time ends counts every message of its interval and sends it to its mailbox
/// again; one after it counts none. Views tell the same: what Safety Net showed once it shows until the hold time
/// ends, and no longer. Tolerance: the run's own before it ends, a twentieth of the hold time more after it.
pub(super) fn kept_for_the_hold_time(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let held = holds(case);
    let mut tally = Tally::default();
    let nodes: Vec<&str> = case
        .plan
        .scenario
        .cluster
        .nodes
        .iter()
        .map(String::as_str)
        .collect();
    for node in &nodes {
        // A message may have two shadow messages, where the first copy was confirmed too late.
        let mut names = BTreeSet::new();
        let kept: Vec<Kept<'_, '_>> = held
            .iter()
            .filter(|h| h.primary == *node && names.insert(h.transport_id))
            .filter_map(|h| kept(case, ledger, h))
            .collect();
        let requests = requests(case, node);
        for (i, request) in requests.iter().enumerate() {
            judge_request(
                case,
                &mut tally,
                node,
                &kept,
                request,
                unfollowed(case, held, &kept, node),
                i > 0,
            );
        }
        // What is resubmitted is processed once more, and may be kept anew.
        let first = requests.first().map_or(u64::MAX, |r| r.at.t_us);
        for k in &kept {
            let end = End {
                until: k.until,
                gone: k.gone,
                first,
            };
            judge_views(case, &mut tally, node, k.hold, "primary", &end);
        }
    }
    let asked: BTreeMap<&str, u64> = nodes
        .iter()
        .filter_map(|node| Some((*node, requests(case, node).first()?.begun.t_us)))
        .collect();
    for hold in held {
        let Some((told, true)) = hold.notified.filter(|_| hold.promoted.is_none()) else {
            continue;
        };
        if case.may_be_lost(hold.server, hold.primary, told) {
            continue;
        }
        let time = case.config.span(hold.server, "SafetyNetHoldTime");
        let tolerance = us(case.config.tolerance(time));
        let until = hold
            .since
            .t_us
            .saturating_add(us(time))
            .saturating_sub(tolerance);
        let gone = told
            .t_us
            .saturating_add(us(time + time / 20))
            .saturating_add(tolerance);
        // What its primary server submits again may get a new shadow message.
        let asked = |node| asked.get(node).copied().unwrap_or(u64::MAX);
        let first = asked(hold.server).min(asked(hold.primary));
        judge_views(
            case,
            &mut tally,
            hold.server,
            hold,
            "shadow",
            &End { until, gone, first },
        );
    }
    conclude(
        case,
        "SN-03",
        tally,
        "looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it",
        "nobody looked into Safety Net shortly before, or after, the end of SafetyNetHoldTime",
    )
}

fn kept<'c, 'h>(case: &Case<'h>, ledger: &Ledger<'h>, hold: &'c Hold<'h>) -> Option<Kept<'c, 'h>> {
    let processed = processed_us(case, ledger, hold)?;
    let submission = submission(case, hold)?;
    let time = case.config.span(hold.primary, "SafetyNetHoldTime");
    let tolerance = us(case.config.tolerance(time));
    let taken = submission.at.t_us;
    let home = case.plan.scenario.cluster.mailboxes.as_str();
    let mut accepted =
        (submission.recipients.iter()).filter(|to| !submission.refused.contains_key(**to));
    // What went into another boundary is never submitted again from here (SC-14).
    let inside = home == hold.primary || case.boundary(hold.primary).contains(home);
    Some(Kept {
        hold,
        taken,
        processed,
        until: taken.saturating_add(us(time)).saturating_sub(tolerance),
        gone: processed
            .saturating_add(us(time + time / 20))
            .saturating_add(tolerance),
        mailbox: inside && accepted.any(|to| case.is_mailbox(to)),
    })
}

fn requests(case: &Case<'_>, wanted: &str) -> Vec<Request> {
    let of = |record: &crate::history::Record| match &record.event {
        Event::Resubmit {
            node,
            from_us,
            to_us,
            resubmitted: Some(resubmitted),
        } if node == wanted => {
            let at = Moment::of(record);
            let begun = case
                .steps
                .iter()
                .map(|(step, _)| *step)
                .rfind(|step| *step < at)
                .unwrap_or(at);
            Some(Request {
                at,
                begun,
                from_us: *from_us,
                to_us: *to_us,
                resubmitted: *resubmitted,
            })
        }
        _ => None,
    };
    case.records.iter().filter_map(of).collect()
}

fn judge_request(
    case: &Case<'_>,
    tally: &mut Tally,
    node: &str,
    kept: &[Kept<'_, '_>],
    request: &Request,
    unfollowed: usize,
    refreshed: bool,
) {
    let margin = us(case
        .config
        .tolerance(case.config.span(node, "ShadowHeartbeatFrequency")));
    let signed = |t: u64| i64::try_from(t).unwrap_or(i64::MAX);
    let now = request.at.t_us;
    let inside = |k: &&Kept<'_, '_>| {
        signed(k.taken) >= request.from_us
            && signed(k.processed.saturating_add(margin)) <= request.to_us
    };
    // The interval may be applied to any time from the first command to the last delivery.
    let touched = |k: &&Kept<'_, '_>| {
        signed(k.processed.saturating_add(margin)) >= request.from_us
            && signed(k.taken) <= request.to_us.saturating_add(signed(margin))
    };
    let well = |k: &&Kept<'_, '_>| {
        k.hold
            .database
            .is_none_or(|d| database_at(case, node, request.at).is_none_or(|now| now == d))
    };
    let due: Vec<_> = kept
        .iter()
        .filter(|k| k.mailbox && now < k.until)
        .filter(inside)
        .filter(well)
        .collect();
    let gone: Vec<_> = kept
        .iter()
        .filter(|k| k.mailbox && now > k.gone)
        .filter(inside)
        .collect();
    let most = kept
        .iter()
        .filter(|k| refreshed || now <= k.gone)
        .filter(touched)
        .count()
        + unfollowed;
    let hold_time = lasting(case.config.span(node, "SafetyNetHoldTime"));
    if request.resubmitted < due.len() as u64 {
        let text = format!(
            "{}, before SafetyNetHoldTime ({hold_time}) was over",
            resubmission(node, &due, request)
        );
        tally.broken(piece(text, records(&due, request)));
    } else if request.resubmitted > most as u64 {
        let text = format!(
            "{}, although SafetyNetHoldTime ({hold_time}) was over",
            resubmission(node, &gone, request)
        );
        tally.broken(piece(text, records(&gone, request)));
    } else {
        for k in &due {
            if late(k, now) {
                match missing_delivery(case, node, k.hold, request.begun) {
                    Some(evidence) => tally.broken(evidence),
                    None => tally.kept(),
                }
            }
        }
        if !refreshed {
            tally.proofs += gone.len();
        }
    }
}

/// `n1 took in and delivered 3 messages for mailboxes, the first at 0.030 s; asked at 50 min to resubmit that, it
/// resubmitted 0`
fn resubmission(node: &str, of: &[&Kept<'_, '_>], request: &Request) -> String {
    let first = of.iter().map(|k| k.taken).min();
    format!(
        "{node} took in and delivered {} for mailboxes, the first at {}; asked at {} to resubmit that, it resubmitted {}",
        count(of.len(), "message"),
        clock(first.unwrap_or_default()),
        clock(request.at.t_us),
        request.resubmitted
    )
}

/// The records of the oldest of them, and of the request.
fn records(of: &[&Kept<'_, '_>], request: &Request) -> impl Iterator<Item = u64> {
    let oldest = of.iter().min_by_key(|k| k.taken).map(|k| k.hold.since.seq);
    oldest.into_iter().chain([request.at.seq])
}

/// Messages that the node may have in its primary Safety Net although nothing tells when: taken in by it (from whomever:
/// another boundary hands over, too) without a shadow message, or not seen to be delivered; taken over by it; or DSNs that
/// it made.
fn unfollowed(case: &Case<'_>, held: &[Hold<'_>], kept: &[Kept<'_, '_>], node: &str) -> usize {
    let mut taken: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    for (_, exchange) in
        (case.exchanges().into_iter()).filter(|(c, e)| c.to == node && e.kind == Transaction::Mail)
    {
        *taken.entry(exchange.message).or_default() += 1;
    }
    // A message that is sent again is the same octet for octet: of its transmissions so many are followed.
    for k in kept {
        if let Some(rest) = taken.get_mut(&k.hold.message) {
            *rest = rest.saturating_sub(1);
        }
    }
    let taken_over = held
        .iter()
        .filter(|h| h.server == node && (h.promoted.is_some() || h.notified.is_none()))
        .count();
    taken.values().sum::<usize>() + taken_over + reports_made(case, node)
}

/// The delivery status notifications that a node made, by its tracking log: they are messages of its own.
fn reports_made(case: &Case<'_>, node: &str) -> usize {
    let made = |event: &Event| match event {
        Event::Tracking { node: of, entry } => {
            of == node && entry.get("event").and_then(serde_json::Value::as_str) == Some("DSN")
        }
        _ => false,
    };
    case.records.iter().filter(|r| made(&r.event)).count()
}

/// Three quarters of the hold time are over: what is gone too early is gone by now.
fn late(kept: &Kept<'_, '_>, now: u64) -> bool {
    now > kept.taken.saturating_add((kept.until - kept.taken) / 4 * 3)
}

/// The database that the node had at that moment.
fn database_at<'h>(case: &Case<'h>, node: &str, at: Moment) -> Option<&'h str> {
    case.starts.get(node)?.iter().rfind(|s| s.at < at)?.database
}

/// Evidence that a resubmitted message was not sent to its mailbox again, although the way was open. Nothing of what a
/// node does for its own mailboxes passes a wire.
fn missing_delivery(
    case: &Case<'_>,
    node: &str,
    hold: &Hold<'_>,
    asked: Moment,
) -> Option<Evidence> {
    let home = case.plan.scenario.cluster.mailboxes.as_str();
    let open = open_since(case, node, home).is_some_and(|since| since <= asked.t_us);
    let sound = case.well_between(node, asked.t_us, case.last_us);
    let sent = link(case, node, home)
        .iter()
        .flat_map(|c| &c.exchanges)
        .any(|e| {
            let same = e.message.is_some() && e.message == hold.message;
            same && e.kind == Transaction::Deliver && e.acked().is_some_and(|at| at > asked)
        });
    (home != node && open && sound && !sent).then(|| {
        let text = format!(
            "{node} said that it resubmitted {} at {}, and had not sent it to {home} by {}",
            hold.name(),
            clock(asked.t_us),
            clock(case.last_us)
        );
        piece(text, [hold.since.seq, asked.seq])
    })
}

/// The end of one message's hold time (microseconds): there until, gone from, and when something may have renewed it.
struct End {
    until: u64,
    gone: u64,
    first: u64,
}

fn judge_views(
    case: &Case<'_>,
    tally: &mut Tally,
    node: &str,
    hold: &Hold<'_>,
    role: &str,
    end: &End,
) {
    let mut seen: Option<Moment> = None;
    let database = |view: &crate::history::NodeView| view.database.clone();
    let mut before = None;
    for (at, view) in views(case, node).filter(|(at, _)| at.t_us < end.first) {
        if before
            .replace(database(view))
            .is_some_and(|old| old != database(view))
        {
            return;
        }
        let there = in_safety_net(view, hold, role);
        if there && at.t_us > end.gone {
            let text = format!(
                "{} is still in the {role} Safety Net of {node} at {}; SafetyNetHoldTime was over by {}",
                hold.name(),
                clock(at.t_us),
                clock(end.gone)
            );
            tally.broken(piece(text, [hold.since.seq, at.seq]));
        } else if let Some(seen) = seen.filter(|_| !there && at.t_us < end.until) {
            let text = format!(
                "{} was in the {role} Safety Net of {node} at {}, and is not at {}; SafetyNetHoldTime lasts until {} at \
                 least",
                hold.name(),
                clock(seen.t_us),
                clock(at.t_us),
                clock(end.until)
            );
            tally.broken(piece(text, [seen.seq, at.seq]));
        } else if (there && at.t_us > end.until / 4 * 3 + hold.since.t_us / 4)
            || (seen.is_some() && at.t_us > end.gone)
        {
            tally.kept();
        }
        if there {
            seen = Some(at);
        }
    }
}
