//! The figures of a load: how many, how fast, how late.
//!
//! Comes in: outcomes and times. Goes out: [`Figures`], as JSON too. One thread fills its own and merges them at the end. Called by
//! [`session`](super::session) and [`run`](super::run).

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::history::Outcome;

/// The version of the JSON.
pub const FIGURES_VERSION: u32 = 1;

/// Times beyond this are counted as this: one hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// How exact a histogram is: three decimal digits, 0.1 %.
const DIGITS: u8 = 3;

/// Different errors that are told apart; the rest are counted together.
const ERRORS: usize = 20;

/// What became of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// 2xx after the end of data.
    pub acked: u64,
    /// 4yz or 5yz.
    pub refused: u64,
    /// Lost or timed out after the end of data.
    pub indeterminate: u64,
    /// Broke off before the end of data.
    pub unsent: u64,
    /// Due in an open loop, and never begun: no session was free in time.
    pub never_begun: u64,
}

impl Counts {
    /// One more.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Acked => &mut self.acked,
            Outcome::Refused => &mut self.refused,
            Outcome::Indeterminate => &mut self.indeterminate,
            Outcome::Unsent => &mut self.unsent,
        } += 1;
    }

    /// Messages that were begun.
    pub fn begun(&self) -> u64 {
        self.acked + self.refused + self.indeterminate + self.unsent
    }
}

/// Times, as an HdrHistogram of microseconds from 1 µs to one hour.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // The bounds are constants that the crate takes.
        Self(
            Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
                .expect("an hour with three digits is a good range"),
        )
    }
}

impl Latencies {
    /// Takes a time.
    pub fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(LONGEST_US);
        self.0.saturating_record(us.max(1));
    }

    /// The figures of it; `None` when nothing was recorded.
    pub fn summary(&self) -> Option<Latency> {
        (!self.0.is_empty()).then(|| Latency {
            count: self.0.len(),
            mean_us: self.0.mean(),
            min_us: self.0.min(),
            p50_us: self.0.value_at_quantile(0.5),
            p90_us: self.0.value_at_quantile(0.9),
            p99_us: self.0.value_at_quantile(0.99),
            p999_us: self.0.value_at_quantile(0.999),
            p9999_us: self.0.value_at_quantile(0.9999),
            max_us: self.0.max(),
            buckets: self
                .0
                .iter_log(1, 2.0)
                .map(|step| Bucket {
                    up_to_us: step.value_iterated_to(),
                    count: step.count_since_last_iteration(),
                })
                .filter(|bucket| bucket.count > 0)
                .collect(),
        })
    }

    fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }
}

/// Percentiles of times, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// How many times were recorded.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// The shortest.
    pub min_us: u64,
    /// The median.
    pub p50_us: u64,
    /// 90 % were not longer.
    pub p90_us: u64,
    /// 99 % were not longer.
    pub p99_us: u64,
    /// 99.9 % were not longer.
    pub p999_us: u64,
    /// 99.99 % were not longer.
    pub p9999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// How many lie in each doubling of time; empty ones are left out.
    pub buckets: Vec<Bucket>,
}

/// A step of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bucket {
    /// The longest time in it, microseconds.
    pub up_to_us: u64,
    /// How many were longer than the step before it and not longer than this.
    pub count: u64,
}

/// The figures.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// What became of messages.
    pub counts: Counts,
    /// Refused messages, by the code of the reply.
    pub refused: BTreeMap<u16, u64>,
    /// Recipients refused at RCPT, by the code; the message may have been acked for others.
    pub recipients_refused: BTreeMap<u16, u64>,
    /// What broke messages or connections off, and how often.
    pub errors: BTreeMap<String, u64>,
    /// From the start to the last outcome.
    pub elapsed: Duration,
    /// Connections opened.
    pub connections: u64,
    /// Octets of content acked.
    pub octets: u64,
    /// From the first SYN to the connection.
    pub connect: Latencies,
    /// From the first SYN to the reply to EHLO.
    pub opened: Latencies,
    /// Acked messages: from the time at which it was due to its beginning; for want of a free session, or of time of the load's own. Of
    /// a closed loop it says nothing.
    pub late: Latencies,
    /// Acked messages: from the last octet of the end of data to its reply.
    pub ack: Latencies,
    /// Acked messages: from the time at which it was due (open loop) or begun (closed loop) to its ack.
    pub message: Latencies,
}

impl Figures {
    /// Counts an error.
    pub fn error(&mut self, error: &str) {
        let known = self.errors.contains_key(error) || self.errors.len() < ERRORS;
        let name = if known { error } else { "other errors" };
        match self.errors.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(name.to_owned(), 1);
            }
        }
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: &Self) {
        let counts = &mut self.counts;
        counts.acked += other.counts.acked;
        counts.refused += other.counts.refused;
        counts.indeterminate += other.counts.indeterminate;
        counts.unsent += other.counts.unsent;
        counts.never_begun += other.counts.never_begun;
        add_all(&mut self.refused, &other.refused);
        add_all(&mut self.recipients_refused, &other.recipients_refused);
        add_all(&mut self.errors, &other.errors);
        self.elapsed = self.elapsed.max(other.elapsed);
        self.connections += other.connections;
        self.octets += other.octets;
        self.connect.merge(&other.connect);
        self.opened.merge(&other.opened);
        self.late.merge(&other.late);
        self.ack.merge(&other.ack);
        self.message.merge(&other.message);
    }
}

fn add_all<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key.clone()).or_default() += count;
    }
}
