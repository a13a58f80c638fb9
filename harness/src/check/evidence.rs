//! Verdicts and their evidence, in words.
//!
//! Comes in: moments and events. Goes out: sentences such as "250 to client-1 at 0.012 s", and [`Verdict`]s.
//! Called by every checker.

use std::time::Duration;

use gauntlet_reports::{Damage, Evidence, Status, Verdict};

use super::{Moment, Submitted};
use crate::history::{Fault, Outcome};

/// At most so many pieces of evidence stand in a verdict: the shortest set that convinces.
const PIECES: usize = 3;

/// A time of the run, e.g. `0.012 s`, `4 min 12.300 s`, `3 h 4 min`.
pub fn clock(t_us: u64) -> String {
    let secs = t_us / 1_000_000;
    if secs < 60 {
        return format!("{:.3} s", micros(t_us));
    }
    if secs < 3600 {
        return format!("{} min {:.3} s", secs / 60, micros(t_us % 60_000_000));
    }
    long(secs)
}

/// A duration, e.g. `12 ms`, `1.500 s`, `2 min`, `3 h 4 min`.
pub fn lasting(duration: Duration) -> String {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    match us {
        0..1_000_000 => format!("{} ms", us / 1000),
        1_000_000..60_000_000 if us.is_multiple_of(1_000_000) => format!("{} s", us / 1_000_000),
        1_000_000..60_000_000 => format!("{:.3} s", micros(us)),
        _ => long(us / 1_000_000),
    }
}

/// The time from one moment to a later one.
pub fn between(from: Moment, to: Moment) -> Duration {
    Duration::from_micros(to.t_us.saturating_sub(from.t_us))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "less than an hour of microseconds"
)]
fn micros(us: u64) -> f64 {
    us as f64 / 1e6
}

fn long(secs: u64) -> String {
    let parts = [
        (secs / 86_400, "d"),
        (secs / 3600 % 24, "h"),
        (secs / 60 % 60, "min"),
        (secs % 60, "s"),
    ];
    let shown: Vec<_> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .take(3)
        .map(|(n, unit)| format!("{n} {unit}"))
        .collect();
    if shown.is_empty() {
        "0 s".into()
    } else {
        shown.join(" ")
    }
}

/// `250 to client-1 at 0.012 s`, or what else the client saw.
pub fn outcome(s: &Submitted<'_>) -> String {
    let when = clock(s.ended.unwrap_or(s.at).t_us);
    let client = &s.what.client;
    match (s.outcome, s.reply) {
        (Outcome::Unsent, _) => format!("{client} broke off before the end of data at {when}"),
        (Outcome::Indeterminate, _) => {
            format!("{client} lost its session before the reply at {when}")
        }
        (_, Some(reply)) => format!("{} to {client} at {when}", reply.code),
        (Outcome::Acked, None) => format!("ack to {client} at {when}"),
        (Outcome::Refused, None) => format!("{client} was refused at {when}"),
    }
}

/// A fault in the past tense: `n1 destroyed`.
pub fn fault(what: &Fault) -> String {
    match what {
        Fault::ProcessCrash { node } => format!("{node} killed"),
        Fault::HostCrash { node } => format!("{node}'s host crashed"),
        Fault::Destroy { node } => format!("{node} destroyed"),
        Fault::Freeze { node } => format!("{node} frozen"),
        Fault::Revert { node } => format!("{node} reverted"),
        Fault::DiskFull { node } => format!("{node}'s disk full"),
        Fault::DiskReadOnly { node } => format!("{node}'s disk read-only"),
        Fault::ClockJump { node, offset_ms } => {
            let by = lasting(Duration::from_millis(offset_ms.unsigned_abs()));
            let way = if *offset_ms < 0 { "back" } else { "ahead" };
            format!("{node}'s clock set {by} {way}")
        }
        Fault::CpuStarved { node, percent } => {
            format!("{node} held to {percent} % of a processor")
        }
        Fault::Save { node } => format!("{node} saved and stopped"),
        Fault::Migration { node } => format!("{node} moved to another host"),
        Fault::Shutdown { node } => format!("{node} shut down"),
        Fault::Ballooned { node, megabytes } => {
            format!("{megabytes} MB of memory taken from {node}")
        }
        Fault::Partition {
            a,
            b,
            one_way: true,
        } => format!("{a} cut from {b} (one way)"),
        Fault::Partition { a, b, .. } => format!("{a} and {b} parted"),
        Fault::BlackHole { link, stream: None } => format!("{link} turned into a black hole"),
        Fault::BlackHole {
            link,
            stream: Some(stream),
        } => format!("{link} turned into a black hole ({stream} alone)"),
        Fault::Delay { link, latency_us } => {
            format!(
                "{link} delayed by {}",
                lasting(Duration::from_micros(*latency_us))
            )
        }
        Fault::Reset { link } => format!("{link} reset"),
        Fault::Toxic { link, toxic } => format!("{link} given the toxic {toxic}"),
        Fault::Down { link } => format!("{link} taken down"),
        Fault::Garble { link } => format!("a reply on {link} garbled"),
        Fault::DelayReply { link, latency_us } => {
            format!(
                "a reply on {link} held up for {}",
                lasting(Duration::from_micros(*latency_us))
            )
        }
    }
}

/// A piece of evidence; the records are put in order.
pub fn piece(text: impl Into<String>, records: impl IntoIterator<Item = u64>) -> Evidence {
    let mut records: Vec<u64> = records.into_iter().collect();
    records.sort_unstable();
    records.dedup();
    Evidence {
        text: text.into(),
        records,
    }
}

/// `1 message`, `3 messages`.
pub fn count(n: usize, word: &str) -> String {
    match n {
        1 => format!("1 {word}"),
        _ if word.ends_with('h') => format!("{n} {word}es"),
        _ => format!("{n} {word}s"),
    }
}

/// The guarantee was put to the test `proofs` times, and kept.
pub fn holds(id: &str, proofs: usize, summary: impl Into<String>) -> Verdict {
    verdict(id, Status::Holds, summary.into(), Vec::new(), proofs)
}

/// The guarantee was broken. Evidence beyond the first pieces is left out.
pub fn violated(
    id: &str,
    proofs: usize,
    summary: impl Into<String>,
    mut evidence: Vec<Evidence>,
) -> Verdict {
    evidence.truncate(PIECES);
    verdict(id, Status::Violated, summary.into(), evidence, proofs)
}

/// Too little happened.
pub fn inconclusive(id: &str, reason: impl Into<String>) -> Verdict {
    verdict(id, Status::Inconclusive, reason.into(), Vec::new(), 0)
}

/// The run left the guarantee's conditions.
pub fn outside(id: &str, reason: impl Into<String>) -> Verdict {
    verdict(id, Status::Outside, reason.into(), Vec::new(), 0)
}

/// What was done is unsupported; this is what it did, to mail in each phase where that is counted.
pub fn measured(
    id: &str,
    proofs: usize,
    summary: impl Into<String>,
    evidence: Vec<Evidence>,
    damage: Option<Damage>,
) -> Verdict {
    let verdict = verdict(id, Status::Measured, summary.into(), evidence, proofs);
    Verdict { damage, ..verdict }
}

fn verdict(
    id: &str,
    status: Status,
    summary: String,
    evidence: Vec<Evidence>,
    proofs: usize,
) -> Verdict {
    Verdict {
        guarantee: id.into(),
        status,
        summary,
        evidence,
        proofs: proofs as u64,
        damage: None,
    }
}

/// What a checker found over many cases of the same kind: how often the guarantee was put to the test, and
/// what spoke against it. [`Tally::verdict`] makes the answer of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Times the guarantee was put to the test.
    pub proofs: usize,
    /// What speaks against it.
    pub against: Vec<Evidence>,
}

impl Tally {
    /// One more test, kept.
    pub fn kept(&mut self) {
        self.proofs += 1;
    }

    /// One more test, broken.
    pub fn broken(&mut self, evidence: Evidence) {
        self.proofs += 1;
        self.against.push(evidence);
    }

    /// `violated` when something speaks against it; `inconclusive` with the reason `thin` when nothing was put to
    /// the test; otherwise `holds`. `what` says what was counted, e.g. "acks came after the copy's 250".
    pub fn verdict(self, id: &str, what: &str, thin: impl Into<String>) -> Verdict {
        let kept = self.proofs - self.against.len().min(self.proofs);
        if !self.against.is_empty() {
            violated(
                id,
                self.proofs,
                format!("only {kept} of {} {what}", self.proofs),
                self.against,
            )
        } else if self.proofs == 0 {
            inconclusive(id, thin)
        } else {
            holds(id, self.proofs, format!("{kept} of {} {what}", self.proofs))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_at_a_glance() {
        let clocks = [
            12_000,
            59_999_000,
            252_300_000,
            3 * 3_600_000_000 + 240_000_000,
            90_000_000_000,
        ];
        assert_eq!(
            clocks.map(clock),
            [
                "0.012 s",
                "59.999 s",
                "4 min 12.300 s",
                "3 h 4 min",
                "1 d 1 h"
            ]
        );
        let durations = [12, 1_500, 2_000, 120_000]
            .map(Duration::from_millis)
            .map(lasting);
        assert_eq!(durations, ["12 ms", "1.500 s", "2 s", "2 min"]);
    }

    #[test]
    fn a_tally_is_no_pass_without_a_test() {
        let verdict = |tally: Tally| {
            tally
                .verdict("SC-01", "acks were right", "nothing was acked")
                .status
        };
        assert_eq!(verdict(Tally::default()), Status::Inconclusive);
        assert_eq!(
            verdict(Tally {
                proofs: 2,
                against: Vec::new()
            }),
            Status::Holds
        );
        assert_eq!(
            verdict(Tally {
                proofs: 2,
                against: vec![piece("no", [1])]
            }),
            Status::Violated
        );
    }
}
