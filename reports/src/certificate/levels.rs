//! When a level is reached, and what denies it.
//!
//! Comes in: a certificate without its levels, and the report it is made from. Goes out: the levels, each with everything
//! that speaks against it, or with what it rests on.

use super::{Certificate, Level, LevelLine};
use crate::{MailLedger, RunReport, Status};

/// Acked messages that a kind of fault must have been put to.
pub const MESSAGES: u64 = 1000;

/// Cases with MUST that must have passed: fewer were not the set.
const CASES: u64 = 40;

/// A kind of fault that a level rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    /// As in [`Exposure`](crate::Exposure).
    pub kind: &'static str,
    /// It must have happened so many times.
    pub times: u64,
}

const fn required(kind: &'static str, times: u64) -> Required {
    Required { kind, times }
}

const KILLED: Required = required("process killed", 50);
const POWER_LOST: Required = required("power lost", 100);

/// What the transport core must have been put to.
pub const TRANSPORT_CORE: [Required; 12] = [
    KILLED,
    POWER_LOST,
    required("disk full", 4),
    required("next hop down", 100),
    required("next hop defers", 100),
    required("next hop slow", 100),
    required("next hop loses its reply", 100),
    required("next hop refuses a recipient", 100),
    required("data cut off", 100),
    required("ack lost", 100),
    required("message that went round", 100),
    required("false end of data", 100),
];

/// Node failures that shadow redundancy must have been put to.
const FAILURES: u64 = 50;

pub(super) fn levels(certificate: &Certificate, run: &RunReport) -> Vec<LevelLine> {
    let level = |level, judged: Judged| {
        let mut against = judged.against;
        against.extend(whole(certificate));
        let reached = against.is_empty();
        LevelLine {
            level,
            reached,
            reasons: if reached { judged.rests_on } else { against },
        }
    };
    vec![
        level(Level::Protocol, protocol(certificate)),
        level(
            Level::CrashSafe,
            of(certificate, run, &["TC-01"], &[KILLED]),
        ),
        level(
            Level::PowerSafe,
            of(certificate, run, &["TC-02"], &[POWER_LOST]),
        ),
        level(
            Level::TransportCore,
            of(certificate, run, &["TC"], &TRANSPORT_CORE),
        ),
        level(
            Level::ShadowRedundant,
            redundant(certificate, run, &["SC", "TO", "HB", "RO", "DD"]),
        ),
        level(Level::SafetyNet, redundant(certificate, run, &["SN"])),
    ]
}

/// What speaks for a level, and what against it.
#[derive(Default)]
struct Judged {
    rests_on: Vec<String>,
    against: Vec<String>,
}

/// What denies every level.
fn whole(certificate: &Certificate) -> Vec<String> {
    let mut against = Vec::new();
    if let Some(part) = certificate.part {
        against.push(format!(
            "this is part {} of {}: `gauntlet merge` puts them together",
            part.index, part.of
        ));
    }
    if !certificate.complete {
        against.push("the certification was interrupted".into());
    }
    if let Some(sabotage) = &certificate.sabotage {
        against.push(format!("the nodes were broken on purpose ({sabotage})"));
    }
    against
}

fn protocol(certificate: &Certificate) -> Judged {
    let mut judged = Judged::default();
    let Some(probe) = &certificate.probe else {
        let why = certificate.untested.iter().find(|u| u.what == "protocol");
        let why = why.map_or("the probe was not run", |u| u.why.as_str());
        judged.against.push(format!("not tested: {why}"));
        return judged;
    };
    if let Some(why) = &probe.broken_off {
        judged
            .against
            .push(format!("the probe did not come to its end: {why}"));
    }
    for case in &probe.must_failed {
        judged
            .against
            .push(format!("{} fails: {}", case.id, case.clause));
    }
    for case in &probe.must_open {
        judged
            .against
            .push(format!("{} could not be told: {}", case.id, case.seen));
    }
    if probe.must_passed < CASES {
        judged.against.push(format!(
            "{} cases with MUST passed, and {CASES} are needed",
            probe.must_passed
        ));
    }
    judged.rests_on.push(format!(
        "{} cases with MUST passed, {} had nothing to test",
        probe.must_passed, probe.must_skipped
    ));
    judged
}

/// All guarantees of these areas, or with these IDs, hold, and the mail of their scenarios was put to enough.
fn of(certificate: &Certificate, run: &RunReport, areas: &[&str], kinds: &[Required]) -> Judged {
    let mut judged = Judged::default();
    // TC-04 is a MAY with a bound: the bound counts.
    if !hold(certificate, areas, |_| true, &mut judged) {
        return judged;
    }
    let (ledger, _) = in_scenarios_of(run, areas);
    for Required { kind, times } in kinds {
        let (happened, acked) = ledger.exposed_to(kind);
        if happened < *times {
            judged.against.push(format!(
                "thin: {kind} {happened} times, and {times} are needed"
            ));
        }
        if acked < MESSAGES {
            judged.against.push(format!(
                "thin: {kind} to {acked} acked messages, and {MESSAGES} are needed"
            ));
        }
        judged.rests_on.push(format!(
            "{kind} {happened} times, to {acked} acked messages"
        ));
    }
    promises(&ledger, &mut judged);
    judged
}

/// Every MUST of these areas holds, with enough mail and failures in the scenarios that test them.
fn redundant(certificate: &Certificate, run: &RunReport, areas: &[&str]) -> Judged {
    let mut judged = Judged::default();
    if !hold(certificate, areas, |must| must, &mut judged) {
        return judged;
    }
    let (ledger, faults) = in_scenarios_of(run, areas);
    if ledger.promised < MESSAGES {
        judged.against.push(format!(
            "thin: {} promised deliveries in its scenarios, and {MESSAGES} are needed",
            ledger.promised
        ));
    }
    if areas.contains(&"RO") && faults < FAILURES {
        judged.against.push(format!(
            "thin: {faults} faults landed in its scenarios, and {FAILURES} are needed"
        ));
    }
    judged.rests_on.push(format!(
        "{} promised deliveries and {faults} faults in its scenarios",
        ledger.promised
    ));
    promises(&ledger, &mut judged);
    judged
}

/// What became of the mail of the scenarios that judged a guarantee of these areas, and how many faults landed in them.
fn in_scenarios_of(run: &RunReport, areas: &[&str]) -> (MailLedger, u64) {
    let mut ledger = MailLedger::default();
    let mut faults = 0;
    let tests = |id: &str| areas.iter().any(|area| is_in(id, area));
    for scenario in &run.scenarios {
        if scenario.verdicts.iter().any(|v| tests(&v.guarantee)) {
            faults += scenario.counts.faults;
            if let Some(one) = &scenario.ledger {
                ledger.add(one);
            }
        }
    }
    (ledger, faults)
}

const NOT_CLAIMED: &str = "not claimed";

fn is_in(id: &str, area: &str) -> bool {
    id == area
        || id
            .strip_prefix(area)
            .is_some_and(|rest| rest.starts_with('-'))
}

/// The guarantees of these areas that count hold, all of them. `false`: they are not claimed.
fn hold(
    certificate: &Certificate,
    areas: &[&str],
    counts: fn(bool) -> bool,
    judged: &mut Judged,
) -> bool {
    let mut holding = 0;
    let mut all = 0;
    for line in &certificate.guarantees {
        if !areas.iter().any(|area| is_in(&line.id, area)) || !counts(line.must) {
            continue;
        }
        all += 1;
        match line.status {
            Some(Status::Holds) => holding += 1,
            Some(status) => judged
                .against
                .push(format!("{} is {}", line.id, status.word())),
            None => {
                let why = certificate.untested.iter().find(|u| u.what == line.id);
                let why = why.map_or("no reason is known", |u| u.why.as_str());
                judged
                    .against
                    .push(format!("{} was not tested: {why}", line.id));
            }
        }
    }
    if all == 0 {
        judged.against.push(NOT_CLAIMED.into());
    } else if holding == all {
        let what = if all == 1 { "holds" } else { "hold" };
        judged.rests_on.push(match areas {
            [one] if all == 1 => format!("{one} {what}"),
            _ => format!("all {all} guarantees {what}"),
        });
    }
    all > 0
}

/// Whatever a level is about, nothing acked may be lost, and nothing refused delivered.
fn promises(ledger: &MailLedger, judged: &mut Judged) {
    if ledger.lost > 0 {
        judged
            .against
            .push(format!("{} acked deliveries were lost", ledger.lost));
    }
    if ledger.phantoms > 0 {
        judged.against.push(format!(
            "{} deliveries of what was refused or never sent",
            ledger.phantoms
        ));
    }
}
