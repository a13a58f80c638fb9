//! VZ-07: a guest that gets less memory or less of a processor than it was promised. Nothing acked is lost; how much slower it
//! answers is measured.

use std::time::Duration;

use gauntlet_reports::{Evidence, Verdict};

use crate::{
    check::{
        Case, Fate, FaultSpan, conditions,
        evidence::{clock, count, fault, inconclusive, lasting, measured, piece, violated},
        ledger::loss,
    },
    history::Fault,
};

/// VZ-07 (HAZARD). Measured, unless a message is lost whose way nothing else crossed: then it is violated.
pub(super) fn of_a_starved_guest(case: &Case<'_>) -> Verdict {
    const ID: &str = "VZ-07";
    if let Some(reason) = conditions::unfinished(case) {
        return inconclusive(ID, reason);
    }
    let starved: Vec<_> = case.faults.iter().filter(|f| is_starved(f)).collect();
    if starved.is_empty() {
        let reason = conditions::faults_missing(case);
        return inconclusive(
            ID,
            reason.unwrap_or_else(|| {
                "no guest got less memory or processor time than it wanted".into()
            }),
        );
    }
    let ledger = case.ledger();
    let (mut acked, mut undelivered, mut lost) = (0, 0, Vec::new());
    for entry in ledger.entries.values() {
        let mut meant = entry.submitted(case).filter(|s| s.acked());
        let met = |s: &crate::check::Submitted<'_>| {
            let end = case.quiet.iter().find(|q| **q > s.at);
            let end = end.map_or(case.last_us, |q| q.t_us);
            let struck = |f: &FaultSpan<'_>| {
                f.what.node().is_some() && !is_starved(f) && f.overlaps(s.at.t_us, end)
            };
            starved.iter().any(|f| f.overlaps(s.at.t_us, end)) && !case.faults.iter().any(struck)
        };
        if !meant.any(met) {
            continue;
        }
        acked += 1;
        let before = lost.len();
        for to in entry.accounts.keys() {
            let fate = ledger.fate(case, entry, to);
            if let Some(clause) = fate
                .failure()
                .filter(|_| matches!(fate, Fate::Lost | Fate::Overdue(_)))
            {
                lost.push(loss(case, entry, to, clause));
            }
        }
        undelivered += usize::from(lost.len() > before);
    }
    if acked == 0 {
        return inconclusive(
            ID,
            "no message was acked by a guest that was starved, or on its way through one",
        );
    }
    if !lost.is_empty() {
        let proofs = acked;
        let acked = count(acked, "acked message");
        let summary = format!("{undelivered} of {acked} not delivered");
        return violated(ID, proofs, summary, lost);
    }
    let evidence: Vec<Evidence> = starved
        .iter()
        .filter_map(|f| Some((f, f.what.node()?, f.landed?)))
        .map(|(f, node, landed)| {
            let during = |at: u64| f.overlaps(at, at);
            let (slow, plain) = answers(case, node, during);
            let text = format!(
                "{} at {}: {}; without it {}",
                fault(f.what),
                clock(landed.t_us),
                pace(slow),
                pace(plain)
            );
            piece(
                text,
                [landed.seq].into_iter().chain(f.healed.map(|m| m.seq)),
            )
        })
        .collect();
    let pace = evidence
        .first()
        .map_or(String::new(), |e| format!("; {}", e.text));
    let summary = format!("0 of {} lost{pace}", count(acked, "acked message"));
    measured(ID, acked, summary, evidence, None)
}

fn is_starved(f: &FaultSpan<'_>) -> bool {
    f.landed.is_some() && matches!(f.what, Fault::CpuStarved { .. } | Fault::Ballooned { .. })
}

/// How long the node's clients waited for their acks, from the submission's beginning: those that began in that time, and the
/// others.
fn answers(case: &Case<'_>, node: &str, during: impl Fn(u64) -> bool) -> (Vec<u64>, Vec<u64>) {
    let mut waits = (Vec::new(), Vec::new());
    for s in case.acked().filter(|s| s.node() == node) {
        let Some(ended) = s.ended else { continue };
        let list = if during(s.at.t_us) {
            &mut waits.0
        } else {
            &mut waits.1
        };
        list.push(ended.t_us.saturating_sub(s.at.t_us));
    }
    waits.0.sort_unstable();
    waits.1.sort_unstable();
    waits
}

/// `24 acks within 84 ms (median) and 310 ms (longest)`.
fn pace(waits: Vec<u64>) -> String {
    let (Some(longest), Some(median)) = (waits.last(), waits.get(waits.len() / 2)) else {
        return "no ack".into();
    };
    let words = |us: u64| lasting(Duration::from_micros(us));
    format!(
        "{} within {} (median) and {} (longest)",
        count(waits.len(), "ack"),
        words(*median),
        words(*longest)
    )
}
