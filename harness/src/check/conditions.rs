//! When a guarantee does not apply to a run, and when too little happened to say anything.
//!
//! Comes in: a [`Case`] and its [`Ledger`]. Goes out: reasons, in words. Called by checkers.

use gauntlet_reports::Verdict;

use super::{
    Case, Entry, Ledger, Moment, Submitted,
    evidence::{self, Tally, clock, fault},
};
use crate::{
    history::{Fault, Transaction},
    random,
    scenario::{Database, Step},
};

#[cfg(test)]
mod tests;

/// A node lost data, or may have: it was destroyed, its host crashed, its disk went back, or it came up with a new
/// transport database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike<'h> {
    /// The node.
    pub node: &'h str,
    /// When.
    pub at: Moment,
    /// In words: `n1 destroyed`.
    pub text: String,
    /// Its whole disk was lost or replaced, mailboxes included.
    pub disk: bool,
    /// Its transport database was lost or replaced; `false`: only what was not synced is gone.
    pub replaced: bool,
}

/// All of them, in order.
pub fn strikes<'h>(case: &Case<'h>) -> Vec<Strike<'h>> {
    let mut all: Vec<Strike<'h>> = Vec::new();
    for span in &case.faults {
        let (Some(at), Some(node)) = (span.landed, span.what.node()) else {
            continue;
        };
        let disk = matches!(span.what, Fault::Destroy { .. } | Fault::Revert { .. });
        if disk || matches!(span.what, Fault::HostCrash { .. }) {
            all.push(Strike {
                node,
                at,
                text: fault(span.what),
                disk,
                replaced: disk,
            });
        }
    }
    for (node, starts) in &case.starts {
        for pair in starts.windows(2) {
            // The data was gone from the moment at which the node went down.
            let down = case
                .faults
                .iter()
                .rfind(|f| f.what.node() == Some(node) && f.landed < Some(pair[1].at));
            let at = down.and_then(|f| f.landed).unwrap_or(pair[1].at);
            let told = all.iter().any(|s| s.node == *node && s.disk && s.at == at);
            if !told
                && new_database(
                    case,
                    node,
                    pair[0].database.zip(pair[1].database),
                    pair[1].at,
                )
            {
                all.retain(|s| !(s.node == *node && s.at == at));
                let text = format!("{node} brought back with a new database");
                all.push(Strike {
                    node,
                    at,
                    text,
                    disk: false,
                    replaced: true,
                });
            }
        }
    }
    // A front end has no data to lose (SC-15).
    all.retain(|s| !case.is_front_end(s.node));
    all.sort_by_key(|s| s.at);
    all
}

/// Whether the plan had a node start with a new database, and it did. A node that comes up with another database
/// unasked has lost its own: that is its fault, not the run's.
fn new_database(case: &Case<'_>, node: &str, ids: Option<(&str, &str)>, up: Moment) -> bool {
    let asked =
        |step: &Step| matches!(step, Step::Start { node: n, database: Database::New } if n == node);
    let by_step = case.steps.iter().rfind(|(at, _)| *at < up);
    let planned = by_step
        .and_then(|(_, index)| case.plan.scenario.step.get(*index))
        .is_some_and(asked)
        || case
            .plan
            .scenario
            .fault
            .iter()
            .any(|t| asked(&t.action) || t.then.as_ref().is_some_and(asked));
    planned && ids.is_none_or(|(before, after)| before != after)
}

/// Why the shadow redundancy guarantees do not bind this run, if they do not: both own servers of a message lost
/// data while it was in transit, with no moment of quiet in between (SC-17); or a node is alone.
pub fn outside(case: &Case<'_>, ledger: &Ledger<'_>) -> Option<String> {
    let mut nodes = case.plan.scenario.cluster.nodes_2013();
    if let (Some(only), None) = (nodes.next(), nodes.next()) {
        return Some(format!("{only} is alone: no other node can hold a copy"));
    }
    let strikes = strikes(case);
    for (i, first) in strikes.iter().enumerate() {
        for second in &strikes[i + 1..] {
            let quiet = case.quiet.iter().any(|q| *q > first.at && *q < second.at);
            if second.node == first.node || quiet {
                continue;
            }
            let hit = ledger
                .entries
                .values()
                .find(|e| in_transit(case, e, first, second));
            if let Some(entry) = hit {
                return Some(two_strikes(first, second, entry.message));
            }
        }
    }
    None
}

fn two_strikes(first: &Strike<'_>, second: &Strike<'_>, message: u32) -> String {
    format!(
        "{} at {} and {} at {}, and message {message} was in transit all the while: more than one server failed at once",
        first.text,
        clock(first.at.t_us),
        second.text,
        clock(second.at.t_us),
    )
}

/// The message was on its way all the time between two strikes, and they struck its own servers.
fn in_transit(case: &Case<'_>, entry: &Entry<'_>, first: &Strike<'_>, second: &Strike<'_>) -> bool {
    let own = |s: &Submitted<'_>| {
        homes(case, s).iter().any(|home| {
            let struck = [first.node, second.node];
            struck.contains(&home.primary) && home.shadow.is_some_and(|n| struck.contains(&n))
        })
    };
    let begun = entry
        .submitted(case)
        .any(|s| s.acked() && s.at < first.at && own(s));
    let late = |a: &super::Account<'_>| {
        a.owed.is_some() && a.arrivals.iter().all(|x| x.t_us > second.at.signed_us())
    };
    begun && entry.accounts.values().any(late)
}

impl Moment {
    /// The time as mailboxes give it.
    pub(super) fn signed_us(self) -> i64 {
        i64::try_from(self.t_us).unwrap_or(i64::MAX)
    }
}

/// Why the loss of one message for one recipient does not break the promise, if it does not (SC-17): both servers that
/// answered for it lost data between its submission and the next moment of quiet; or its only holder did, where no copy
/// could or should be made. A message that was acked several times is lost only when each of these is.
pub fn loss_excused(case: &Case<'_>, entry: &Entry<'_>, recipient: &str) -> Option<String> {
    let cluster = &case.plan.scenario.cluster;
    // A member of a group is named by it.
    let named = |s: &&Submitted<'_>| {
        let mut accepted =
            (s.what.recipients.iter()).filter(|r| !s.refused.contains_key(r.as_str()));
        accepted.any(|r| r == recipient || cluster.members(r).contains(&recipient))
    };
    let mut promises: Vec<_> = entry
        .submitted(case)
        .filter(|s| s.acked())
        .filter(named)
        .collect();
    if promises.is_empty() {
        promises = entry.submitted(case).filter(named).collect();
    }
    let mut reasons = Vec::new();
    for s in promises {
        let shut = || shut_boundary(case, s.node(), recipient);
        reasons.push(left(case, entry.message, s).or_else(shut)?);
    }
    reasons.into_iter().next()
}

/// A transport server in another boundary than `node` takes no mail at all: RejectMessageOnShadowFailure is on, and no
/// server may hold its copies. It refuses what is handed over to it (SC-13) as any other mail (SC-10, SC-17).
pub fn takes_no_mail(case: &Case<'_>, node: &str, server: &str) -> bool {
    let is_on = |switch: &str| case.config.switch(server, switch);
    case.is_2013(server)
        && node != server
        && !case.boundary(node).contains(server)
        && is_on("ShadowRedundancyEnabled")
        && is_on("RejectMessageOnShadowFailure")
        && case.shadow_servers(server).is_empty()
}

/// The same, where the recipient's mailbox is there, or the way of the recipient's mail leads there (`routes`); in words.
pub fn shut_boundary(case: &Case<'_>, node: &str, recipient: &str) -> Option<String> {
    let cluster = &case.plan.scenario.cluster;
    let domain = recipient.rsplit_once('@').map_or("", |(_, domain)| domain);
    let server = match cluster.routes.get(domain) {
        Some(route) => {
            // From node to node, until it comes round.
            let mut way = vec![node];
            while let Some(next) = way.last().and_then(|at| route.get(*at))
                && !way.contains(&next.as_str())
            {
                way.push(next);
            }
            let last = way.last().and_then(|at| route.get(*at));
            way.extend(last.map(String::as_str));
            let shut = way.windows(2).find(|w| takes_no_mail(case, w[0], w[1]))?;
            shut[1]
        }
        None => Some(cluster.mailboxes.as_str())
            .filter(|home| case.is_mailbox(recipient) && takes_no_mail(case, node, home))?,
    };
    Some(format!(
        "{server} refuses all mail from other boundaries: no server may hold its copies"
    ))
}

/// How a submission left the guarantee, if it did.
fn left(case: &Case<'_>, message: u32, s: &Submitted<'_>) -> Option<String> {
    let after = s.ended.unwrap_or(s.at);
    let quiet = case.quiet.iter().find(|q| **q > after);
    let quiet = quiet.map_or(u64::MAX, |q| q.seq);
    let mut hits = strikes(case);
    hits.retain(|x| x.at > s.at && x.at.seq < quiet);
    let homes = homes(case, s);
    homes.iter().find_map(|home| {
        let hit = |node: &str| hits.iter().find(|x| x.node == node);
        let primary = hit(home.primary);
        if let (Some(a), Some(b)) = (primary, home.shadow.and_then(hit)) {
            let (first, second) = if a.at < b.at { (a, b) } else { (b, a) };
            return Some(two_strikes(first, second, message));
        }
        // What was acked was synced: a host that lost power alone excuses nothing (TC-02).
        let own =
            primary.and_then(|_| hits.iter().find(|x| x.node == home.primary && x.replaced))?;
        if !case.config.switch(home.primary, "ShadowRedundancyEnabled") {
            return Some(format!("{} while shadow redundancy was off", own.text));
        }
        if case.shadow_servers(home.primary).is_empty() {
            return Some(format!(
                "{}, and no other node may hold its copies",
                own.text
            ));
        }
        let reject = case
            .config
            .switch(home.primary, "RejectMessageOnShadowFailure");
        let why = (!reject && home.shadow.is_none())
            .then(|| hindered_between(case, home.primary, message, home.begun, home.ended))
            .flatten()?;
        Some(format!(
            "{}, and no copy of message {message} could be made before: {why}",
            own.text
        ))
    })
}

/// A message's own servers in one boundary: its primary server, and the shadow server that had confirmed its copy when
/// the primary server answered for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home<'h> {
    pub(super) primary: &'h str,
    pub(super) shadow: Option<&'h str>,
    begun: Moment,
    ended: Option<Moment>,
}

/// The own servers of a submission: of the node that it went to, and of each node that another one passed it on to
/// (SC-13).
pub(super) fn homes<'h>(case: &Case<'h>, s: &Submitted<'h>) -> Vec<Home<'h>> {
    let first = Home {
        primary: s.node(),
        shadow: case.copy_of(s).map(|(c, _)| c.to),
        begun: s.at,
        ended: s.ended,
    };
    let passed_on = case
        .exchanges_of(s.what.message)
        .filter(|(c, e)| is_handed_over(case, c, e))
        .filter(|(_, e)| e.sent > s.at && e.acked().is_some());
    let further = passed_on.map(|(c, e)| Home {
        primary: c.to,
        shadow: copied_before_answer(case, c.to, e).map(|(copy, _)| copy.to),
        begun: e.sent,
        ended: e.acked(),
    });
    [first].into_iter().chain(further).collect()
}

/// Transactions in which one node gave another a message as an ordinary one, in order.
pub(super) fn handed_over<'c, 'h>(
    case: &'c Case<'h>,
) -> Vec<(&'c super::Connection<'h>, &'c super::Exchange<'h>)> {
    let mut all = case.exchanges();
    all.retain(|(c, e)| is_handed_over(case, c, e));
    all
}

fn is_handed_over(
    case: &Case<'_>,
    connection: &super::Connection<'_>,
    exchange: &super::Exchange<'_>,
) -> bool {
    exchange.kind == Transaction::Mail
        && case.is_node(connection.from)
        && case.is_node(connection.to)
}

/// The copy of what came to `node` in this transaction, confirmed before the answer to it.
pub(super) fn copied_before_answer<'c, 'h>(
    case: &'c Case<'h>,
    node: &str,
    came: &super::Exchange<'_>,
) -> Option<(&'c super::Connection<'h>, &'c super::Exchange<'h>)> {
    let copies = case.copies(came.message?);
    copies.into_iter().find(|(c, e)| {
        let in_time = e
            .acked()
            .is_some_and(|at| came.reply.is_none_or(|(end, _)| at < end));
        in_time && e.sent > came.sent && c.from == node && c.to != node && case.is_node(c.to)
    })
}

/// Guarantees of times that outlive a restart: a node can only measure them by its wall clock.
const BY_WALL_CLOCK: [&str; 5] = ["DD-03", "HB-07", "HB-11", "SN-03", "SN-04"];

/// A node's wall clock was wrong in this run, and the guarantee is one that is kept by wall clocks.
pub fn wrong_clock(case: &Case<'_>, guarantee: &str) -> Option<String> {
    if !BY_WALL_CLOCK.contains(&guarantee) {
        return None;
    }
    let jump = case
        .faults
        .iter()
        .find(|f| f.landed.is_some() && matches!(f.what, Fault::ClockJump { .. }))?;
    let at = jump.landed?;
    Some(format!("{} at {}", fault(jump.what), clock(at.t_us)))
}

/// A documented unsupported operation (VZ-04, VZ-05): what it does is measured, and no other guarantee covers it.
pub fn is_hazard(what: &Fault) -> bool {
    matches!(what, Fault::Revert { .. } | Fault::Save { .. })
}

/// The hazard that excuses the loss of a message, if there was one after its submission.
pub fn hazard(case: &Case<'_>, entry: &Entry<'_>) -> Option<String> {
    let begun = entry.submitted(case).map(|s| s.at).min()?;
    let (what, at) = case
        .faults
        .iter()
        .filter(|f| is_hazard(f.what))
        .filter_map(|f| Some((f.what, f.landed?)))
        .find(|(_, at)| *at > begun)?;
    let row = match what {
        Fault::Save { .. } => "VZ-04",
        _ => "VZ-05",
    };
    Some(format!(
        "{} at {}: a hazard that is measured as {row}",
        fault(what),
        clock(at.t_us)
    ))
}

/// Why no copy of a submission could be made while it was being accepted, if so: a try failed, or every other node of
/// the boundary was out of reach. It is what allows an ack without a copy (SC-09, TO-01), or demands a refusal (SC-10).
pub fn copy_hindered(case: &Case<'_>, s: &Submitted<'_>) -> Option<String> {
    hindered_between(case, s.node(), s.what.message, s.at, s.ended)
}

/// The same for a message that `node` took in between two moments, whoever sent it.
pub(super) fn hindered_between(
    case: &Case<'_>,
    node: &str,
    message: u32,
    begun: Moment,
    ended: Option<Moment>,
) -> Option<String> {
    if case.boundary(node).is_empty() {
        return Some(format!("{node} is alone in its boundary"));
    }
    if case.shadow_servers(node).is_empty() {
        return Some(format!(
            "ShadowMessagePreferenceSetting allows {node} no other node of its boundary"
        ));
    }
    if let Some((link, at)) = failed_try(case, node, message, begun, ended) {
        return Some(format!("the try on {link} at {} failed", clock(at.t_us)));
    }
    let (from, to) = (begun.t_us, ended.map_or(case.last_us, |m| m.t_us));
    let away = |peer: &str| {
        let covers = |f: &super::FaultSpan<'_>| {
            f.landed.is_some_and(|at| at.t_us <= from) && f.healed.is_none_or(|at| at.t_us >= to)
        };
        case.faults_on(node, peer)
            .any(|f| f.what.node() != Some(node) && covers(f))
    };
    let peers = case.shadow_servers(node);
    peers
        .into_iter()
        .all(away)
        .then(|| "no other node of the boundary could be reached".into())
}

/// Since when a try for a copy may have come to its ShadowCopyTimeout before the answer (TO-01), which the wire need not
/// show: on real sockets a reply that is under way when the node gives the session up goes by first, and on a busy
/// machine long before the session's end; what is held back on a link goes by when the link is healed. The tap sees the end
/// of data before the node and the answer after it, so no try took longer than what lies between.
fn may_have_timed_out(
    case: &Case<'_>,
    node: &str,
    message: u32,
    from: Moment,
    ended: Option<Moment>,
) -> Option<Moment> {
    let longest = case.config.span(node, "ShadowCopyTimeout").as_micros();
    let ended = ended?;
    let mut came = case
        .exchanges_of(message)
        .filter(|(c, e)| c.to == node && e.kind == Transaction::Mail)
        .map(|(_, e)| e)
        .filter(|e| e.sent >= from && e.sent < ended);
    came.find(|e| u128::from(ended.t_us - e.sent.t_us) >= longest)
        .map(|e| e.sent)
}

fn failed_try<'c>(
    case: &'c Case<'_>,
    node: &str,
    message: u32,
    from: Moment,
    ended: Option<Moment>,
) -> Option<(&'c str, Moment)> {
    let timed_out = may_have_timed_out(case, node, message, from, ended);
    let end_us = ended.map_or(u64::MAX, |m| m.t_us);
    let unseen = |peer: &str| {
        timed_out.is_some_and(|since| {
            let mut held_back = case.faults_on(node, peer);
            case.substrate != "sim" || held_back.any(|f| f.overlaps(since.t_us, end_us))
        })
    };
    let ended = ended.map_or(u64::MAX, |m| m.seq);
    let meanwhile = |at: Moment| at > from && at.seq < ended;
    let peers = case.shadow_servers(node);
    let tries = case
        .connections()
        .filter(|c| c.from == node && peers.contains(c.to) && !c.other_purpose());
    tries
        // A copy that was confirmed later shows that the node did not wait for it. Only a session that it had given up
        // by then is a failed try, or had every reason to have given up.
        .filter(|c| {
            let late = c
                .exchanges
                .iter()
                .any(|e| e.message == Some(message) && e.sent > from && e.acked().is_some());
            !late || unseen(c.to) || c.closed_seq() < ended
        })
        .find_map(|c| {
            // Copies of other messages that went well say nothing about this one.
            let begun: Vec<Moment> = c
                .commands("XSHADOW")
                .map(|(at, _)| at)
                .filter(|at| meanwhile(*at))
                .collect();
            let well = c
                .exchanges
                .iter()
                .filter(|e| e.sent > from)
                .filter_map(|e| Some((e, e.acked()?)))
                .filter(|(e, at)| e.message != Some(message) || at.seq < ended)
                .count();
            let unused =
                meanwhile(c.opened) && !c.commands("XSHADOW").any(|(at, _)| at.seq < ended);
            (unused || begun.len() > well)
                .then(|| (c.link, begun.first().copied().unwrap_or(c.opened)))
        })
}

/// The verdict of a tally: `violated` when something speaks against the guarantee; `inconclusive` when the run did not
/// come to its end, a fault of the scenario is missing, or nothing was put to the test (`thin` says what); otherwise
/// `holds`. `what` says what was counted, e.g. "acks came after the copy's 250".
pub fn conclude(case: &Case<'_>, id: &str, tally: Tally, what: &str, thin: &str) -> Verdict {
    if tally.against.is_empty()
        && let Some(reason) = unfinished(case).or_else(|| faults_missing(case))
    {
        return evidence::inconclusive(id, reason);
    }
    tally.verdict(id, what, thin)
}

/// The same for a guarantee of shadow redundancy, which says `outside` where the run left its conditions.
pub fn conclude_shadow(
    case: &Case<'_>,
    ledger: &Ledger<'_>,
    id: &str,
    tally: Tally,
    what: &str,
    thin: &str,
) -> Verdict {
    match outside(case, ledger) {
        Some(reason) if tally.against.is_empty() => evidence::outside(id, reason),
        _ => conclude(case, id, tally, what, thin),
    }
}

/// Why the history does not reach the end of the settle phase, if it does not.
pub fn unfinished(case: &Case<'_>) -> Option<String> {
    case.truncated.clone().or_else(|| {
        case.settled
            .is_none()
            .then(|| "the run did not settle".into())
    })
}

/// A fault of the scenario that did not come: its trigger never fired, or it could not be injected.
pub fn faults_missing(case: &Case<'_>) -> Option<String> {
    if let Some(failed) = case
        .faults
        .iter()
        .find_map(|f| f.failed.map(|why| (f, why)))
    {
        return Some(format!(
            "fault {} could not be injected: {}",
            failed.0.number, failed.1
        ));
    }
    if let Some(silent) = case.faults.iter().find(|f| f.landed.is_none()) {
        return Some(format!(
            "fault {} ({}) never landed",
            silent.number,
            fault(silent.what)
        ));
    }
    let mut hung: Vec<_> = case
        .plan
        .scenario
        .fault
        .iter()
        .filter(|t| is_fault(&t.action))
        .collect();
    // One that listens for some steps only may miss its event (as in chaos): any fault that landed is enough then. A
    // random run is whatever it came to be.
    if case.plan.suite == random::ID || case.faults.iter().any(|f| f.landed.is_some()) {
        hung.retain(|t| t.during.is_none());
    }
    let fired = case.faults.iter().filter(|f| f.trigger.is_some()).count();
    let unfired = hung.iter().find(|t| {
        !case
            .faults
            .iter()
            .any(|f| f.trigger.is_some_and(|n| n.contains(&t.when)))
    });
    match unfired {
        Some(trigger) if fired < hung.len() => {
            Some(format!("the trigger `{}` never fired", trigger.when))
        }
        _ => None,
    }
}

fn is_fault(step: &Step) -> bool {
    matches!(
        step,
        Step::Crash { .. }
            | Step::Destroy { .. }
            | Step::Freeze { .. }
            | Step::Revert { .. }
            | Step::FillDisk { .. }
            | Step::ReadOnlyDisk { .. }
            | Step::JumpClock(_)
            | Step::StarveCpu { .. }
            | Step::Save { .. }
            | Step::Migrate { .. }
            | Step::Shutdown { .. }
            | Step::Balloon { .. }
            | Step::Partition(_)
            | Step::Delay { .. }
            | Step::BlackHole { .. }
            | Step::Reset { .. }
            | Step::Toxic(_)
            | Step::Down { .. }
            | Step::Garble { .. }
            | Step::DelayReply { .. }
    )
}
