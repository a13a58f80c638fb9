//! TO-01 and TO-03 to TO-05: a session breaks off around the copy.

use std::time::Duration;

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Account, Case, Exchange, Moment, Submitted,
        conditions::{conclude, conclude_shadow, copy_hindered},
        evidence::{Tally, between, clock, lasting, outcome, piece},
        ledger::loss,
    },
    history::Outcome,
};

/// TO-01: the session to the shadow server times out before the copy is confirmed: accepted without a copy, or with
/// RejectMessageOnShadowFailure refused with `451 4.4.0`. In any case the sender is told.
pub(super) fn to_01(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for s in case
        .submissions
        .iter()
        .filter(|s| s.data_sent.is_some() && case.copy_of(s).is_none())
        // SC-11: no session is for a copy then.
        .filter(|s| case.config.switch(s.node(), "ShadowRedundancyEnabled"))
    {
        let Some((link, begun)) = hung_session(case, s) else {
            continue;
        };
        let ended = s.ended.map_or(case.last_us, |m| m.t_us);
        if !case.well_between(s.node(), s.at.t_us, ended) {
            continue;
        }
        let reject = case.config.switch(s.node(), "RejectMessageOnShadowFailure");
        let number = s.what.message;
        let cause = format!(
            "the session on {link} (from {}) got no answer",
            clock(begun.t_us)
        );
        let records = [begun.seq].into_iter().chain(s.ended.map(|m| m.seq));
        match s.outcome {
            Outcome::Acked if reject => {
                tally.broken(piece(
                    format!(
                        "{cause}; {} for message {number}, which has no copy",
                        outcome(s)
                    ),
                    records,
                ));
            }
            Outcome::Acked => {
                let Some(entry) = ledger.entries.get(&number) else {
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
            Outcome::Refused
                if reject
                    && s.reply
                        .is_some_and(|r| r.code == 451 && r.text.contains("4.4.0")) =>
            {
                tally.kept();
            }
            Outcome::Refused if s.reply.is_none_or(|r| r.code != 421) => {
                tally.broken(piece(
                    format!("{cause}; {} for message {number}", outcome(s)),
                    records,
                ));
            }
            // With 421 the sender's own session was over (TO-02); that it waited too long for that is judged here.
            Outcome::Indeterminate | Outcome::Refused => {
                let Some(waited) = s.data_sent.zip(s.ended).map(|(from, to)| between(from, to))
                else {
                    continue;
                };
                let own_fault = case
                    .faults_on(&s.what.client, s.server())
                    .any(|f| f.overlaps(s.at.t_us, ended));
                if !own_fault && waited > patience(case, s.node()) {
                    let text = format!(
                        "{cause}; {} got no reply to message {number} for {}",
                        s.what.client,
                        lasting(waited)
                    );
                    tally.broken(piece(text, records));
                }
            }
            Outcome::Unsent => {}
        }
    }
    let what = "messages whose copy timed out were treated as RejectMessageOnShadowFailure says";
    conclude(
        case,
        "TO-01",
        tally,
        what,
        "no session to a shadow server timed out",
    )
}

/// A session in which the copy was tried, and that neither confirmed nor refused it.
fn hung_session<'c>(case: &'c Case<'_>, s: &Submitted<'_>) -> Option<(&'c str, Moment)> {
    let ended = s.ended.map_or(u64::MAX, |m| m.seq);
    let meanwhile = |at: Moment| at > s.at && at.seq < ended;
    let tries = case
        .connections()
        .filter(|c| c.from == s.node() && c.to != c.from && case.is_node(c.to));
    tries
        .filter(|c| c.failed.is_none() && !c.other_purpose())
        .find_map(|c| {
            let begun = c
                .commands("XSHADOW")
                .map(|(at, _)| at)
                .find(|at| meanwhile(*at));
            // A session that was opened for it and never got as far, or one in which it was begun.
            let unused =
                meanwhile(c.opened) && !c.commands("XSHADOW").any(|(at, _)| at.seq < ended);
            let began = begun.or(unused.then_some(c.opened))?;
            let refused = c
                .replies("XSHADOW")
                .any(|(at, r)| r.code >= 400 && meanwhile(at));
            let since = |e: &&Exchange<'_>| e.sent > s.at;
            let open = |e: &Exchange<'_>| {
                e.message == Some(s.what.message) && e.reply.is_none_or(|(at, _)| at.seq > ended)
            };
            (c.exchanges.iter().filter(since).all(open) && !refused).then_some((c.link, began))
        })
}

/// How long a sender may have to wait for its answer: all tries for a copy, each up to its timeout. Remote sites are
/// tried only from within a DAG (SC-08).
fn patience(case: &Case<'_>, node: &str) -> Duration {
    let in_dag = case
        .plan
        .scenario
        .cluster
        .dags
        .values()
        .flatten()
        .any(|n| n == node);
    let remote = if in_dag {
        case.config.number(node, "MaxRetriesForRemoteSiteShadow")
    } else {
        0
    };
    let tries = case.config.number(node, "MaxRetriesForLocalSiteShadow") + remote;
    let most = case.config.span(node, "ShadowCopyTimeout")
        * u32::try_from(tries).unwrap_or(u32::MAX).max(1);
    most + case.config.tolerance(most)
}

/// Submissions whose sender lost its session after the copy was confirmed and before the ack, and that kept the
/// primary server alive.
fn lost_after_copy<'c, 'h>(
    case: &'c Case<'h>,
) -> impl Iterator<Item = (&'c Submitted<'h>, Moment)> {
    case.submissions
        .iter()
        .filter(|s| s.outcome == Outcome::Indeterminate && s.data_sent.is_some())
        .filter_map(|s| {
            let (_, copy) = case.copy_of(s)?;
            let confirmed = copy.acked()?;
            let (own, exchange) = case.exchange_of(s)?;
            let lost = own.closed.map(|(at, ..)| at).or(s.ended)?;
            let alive = case.well_between(s.node(), s.at.t_us, lost.t_us);
            (confirmed < lost
                && confirmed.seq < own.closed_seq()
                && exchange.acked().is_none()
                && alive)
                .then_some((s, confirmed))
        })
}

/// TO-03: the copy is confirmed, and the sender's session is lost before the ack: accepted and processed all the same.
/// Only messages that nobody sent again tell.
pub(super) fn to_03(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for (s, confirmed) in lost_after_copy(case) {
        let Some(entry) = ledger
            .entries
            .get(&s.what.message)
            .filter(|e| e.submissions.len() == 1)
        else {
            continue;
        };
        let failed = entry
            .accounts
            .keys()
            .filter(|to| !s.refused.contains_key(**to))
            .find_map(|to| {
                let fate = ledger.fate_if_owed(case, entry, to, confirmed);
                fate.failure().map(|clause| loss(case, entry, to, clause))
            });
        match failed {
            Some(mut evidence) => {
                evidence.text = format!(
                    "copy confirmed at {}; {}",
                    clock(confirmed.t_us),
                    evidence.text
                );
                evidence.records.insert(0, confirmed.seq);
                evidence.records.sort_unstable();
                tally.broken(evidence);
            }
            None => tally.kept(),
        }
    }
    let what = "messages whose sender lost its session after the copy were processed all the same";
    let thin = "no sender lost its session between the copy's 250 and the ack (messages sent again do not count)";
    conclude_shadow(case, ledger, "TO-03", tally, what, thin)
}

/// TO-02: the sender's session is lost before the copy is confirmed: the rule of TO-01 decides whether the message is
/// kept. With RejectMessageOnShadowFailure off it is, once the primary server has it, which the copy's data shows; with
/// it on and no copy confirmed it is not.
pub(super) fn to_02(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for s in case.submissions.iter().filter(|s| session_lost(s)) {
        let Some((own, exchange)) = case.exchange_of(s) else {
            continue;
        };
        let Some(lost) = own.closed.map(|(at, ..)| at).or(s.ended) else {
            continue;
        };
        let Some(entry) = ledger
            .entries
            .get(&s.what.message)
            .filter(|e| e.submissions.len() == 1)
        else {
            continue;
        };
        let copies = case.copies(s.what.message);
        let confirmed = copies.iter().filter_map(|(_, e)| e.acked()).min();
        let before = confirmed.is_none_or(|at| at > lost);
        if exchange.acked().is_some()
            || !before
            || !case.well_between(s.node(), s.at.t_us, lost.t_us)
        {
            continue;
        }
        let accepted = entry
            .accounts
            .iter()
            .filter(|(to, _)| !s.refused.contains_key(**to));
        if !case.config.switch(s.node(), "RejectMessageOnShadowFailure") {
            let Some((_, copy)) = copies.first() else {
                continue;
            };
            let failed = accepted.map(|(to, _)| to).find_map(|to| {
                let fate = ledger.fate_if_owed(case, entry, to, copy.sent);
                fate.failure().map(|clause| loss(case, entry, to, clause))
            });
            match failed {
                Some(evidence) => tally.broken(evidence),
                None => tally.kept(),
            }
        } else if confirmed.is_none() && case.config.switch(s.node(), "ShadowRedundancyEnabled") {
            match accepted
                .flat_map(|(to, a)| a.arrivals.iter().map(move |x| (*to, x)))
                .next()
            {
                Some((to, arrival)) => {
                    let text = format!(
                        "{}; no copy of message {} was confirmed, and it came to {to}",
                        outcome(s),
                        s.what.message
                    );
                    tally.broken(piece(
                        text,
                        s.ended.map(|m| m.seq).into_iter().chain([arrival.seq]),
                    ));
                }
                None => tally.kept(),
            }
        }
    }
    let what = "messages whose sender was lost before the copy were treated as RejectMessageOnShadowFailure says";
    let thin =
        "no sender lost its session while a copy was being made (messages sent again do not count)";
    conclude(case, "TO-02", tally, what, thin)
}

/// The sender sent the end of data and does not know what became of the message: no reply, or a 421 for its session.
fn session_lost(s: &Submitted<'_>) -> bool {
    let timed_out = s.outcome == Outcome::Refused && s.reply.is_some_and(|r| r.code == 421);
    s.data_sent.is_some() && (s.outcome == Outcome::Indeterminate || timed_out)
}

/// TO-04: sent again after TO-03: the mailbox shows one copy.
pub(super) fn to_04(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for (s, _) in lost_after_copy(case) {
        let number = s.what.message;
        let Some(again) = case
            .acked()
            .find(|o| o.what.message == number && o.at > s.at)
        else {
            continue;
        };
        let Some(entry) = ledger
            .entries
            .get(&number)
            .filter(|e| e.has_message_id(case))
        else {
            continue;
        };
        let boxes = entry
            .accounts
            .iter()
            .filter(|(to, a)| case.is_mailbox(to) && a.owed.is_some());
        for (to, account) in boxes {
            if account.arrivals.len() == 1 {
                tally.kept();
            } else if account.arrivals.is_empty() {
                let fate = ledger.fate(case, entry, to);
                if let Some(clause) = fate.failure() {
                    tally.broken(loss(case, entry, to, clause));
                }
            } else {
                tally.broken(shown_twice(s, again, to, account));
            }
        }
    }
    let what = "mailboxes show one copy of a message that was sent again";
    let thin = "no message was sent again whose sender had lost its session after the copy";
    conclude(case, "TO-04", tally, what, thin)
}

fn shown_twice(
    first: &Submitted<'_>,
    again: &Submitted<'_>,
    to: &str,
    account: &Account<'_>,
) -> gauntlet_reports::Evidence {
    let text = format!(
        "{}; message {} sent again at {}; {to} shows it {} times",
        outcome(first),
        first.what.message,
        clock(again.at.t_us),
        account.arrivals.len()
    );
    piece(
        text,
        first
            .ended
            .map(|m| m.seq)
            .into_iter()
            .chain([again.at.seq])
            .chain(account.arrivals.iter().map(|a| a.seq)),
    )
}

/// TO-05: the second transmission gets a shadow of its own.
pub(super) fn to_05(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for s in case
        .acked()
        .filter(|s| case.config.switch(s.node(), "ShadowRedundancyEnabled"))
    {
        let number = s.what.message;
        let Some(first) = case
            .submissions
            .iter()
            .find(|o| o.what.message == number && o.at < s.at)
        else {
            continue;
        };
        let Some((_, earlier)) = case.copy_of(first) else {
            continue;
        };
        match case.copy_of(s) {
            Some((_, own))
                if own.transport_id.is_none() || own.transport_id != earlier.transport_id =>
            {
                tally.kept()
            }
            Some((c, own)) => {
                let text = format!(
                    "message {number} was sent again at {}; the copy on {} is {} once more",
                    clock(s.at.t_us),
                    c.link,
                    own.transport_id.unwrap_or_default()
                );
                tally.broken(piece(text, [s.at.seq, own.sent.seq]));
            }
            None if copy_hindered(case, s).is_some() => {}
            None => {
                let text = format!(
                    "message {number}, copied at {}, was sent again at {}; {}, and no copy of it was made",
                    clock(earlier.sent.t_us),
                    clock(s.at.t_us),
                    outcome(s)
                );
                tally.broken(piece(
                    text,
                    [earlier.sent.seq, s.at.seq]
                        .into_iter()
                        .chain(s.ended.map(|m| m.seq)),
                ));
            }
        }
    }
    let thin = "no message that had been copied was sent again and acked";
    conclude_shadow(
        case,
        case.ledger(),
        "TO-05",
        tally,
        "second transmissions got a copy of their own",
        thin,
    )
}
