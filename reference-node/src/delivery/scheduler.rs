//! Which message is tried at which next hop, and when. No IO, no clock.
//!
//! Comes in: rows to deliver, failures, the time (monotonic, since the node started). Goes out: sessions
//! to open, and for each the rows that it sends. Called by `node`'s delivery task and its workers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::config::{Config, NextHop, Transport};

/// How long to wait after a failure (RFC 5321 §4.5.4.1; names as documented).
#[derive(Debug, Clone, Copy)]
pub struct RetryIntervals {
    /// TransientFailureRetryInterval
    pub first: Duration,
    /// TransientFailureRetryCount
    pub first_count: u32,
    /// OutboundConnectionFailureRetryInterval
    pub later: Duration,
}

impl RetryIntervals {
    /// Those of a configuration.
    pub fn of(transport: &Transport) -> Self {
        Self {
            first: transport.transient_failure_retry_interval,
            first_count: transport.transient_failure_retry_count,
            later: transport.outbound_connection_failure_retry_interval,
        }
    }

    fn after(self, failures: u32) -> Duration {
        if failures <= self.first_count {
            self.first
        } else {
            self.later
        }
    }
}

/// The next hop of a recipient; `None` when there is no route, and for a group, which is expanded. RFC 5321 §4.5.1: `postmaster` without a domain
/// is this node's own.
pub fn destination(config: &Config, address: &str) -> Option<NextHop> {
    if !address.contains('@') {
        return Some(NextHop::MailboxServer(config.name.clone()));
    }
    if config.groups.is_group(address) {
        return None;
    }
    config.route(address).map(|route| route.to.clone())
}

#[derive(Debug, Default)]
struct Hop {
    ready: VecDeque<u64>,
    /// By time, then row.
    waiting: BTreeSet<(Duration, u64)>,
    /// How often each waiting or ready row has failed.
    failures: BTreeMap<u64, u32>,
    sessions: usize,
    /// The hop itself cannot be reached.
    hop_failures: u32,
    not_before: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Scheduler {
    hops: BTreeMap<NextHop, Hop>,
    intervals: RetryIntervals,
    most_sessions: usize,
}

impl Scheduler {
    /// A scheduler with at most `most_sessions` sessions to one next hop.
    pub fn new(intervals: RetryIntervals, most_sessions: usize) -> Self {
        Self {
            hops: BTreeMap::new(),
            intervals,
            most_sessions: most_sessions.max(1),
        }
    }

    /// A row is to be delivered to `hop`, as soon as it can be.
    pub fn add(&mut self, hop: NextHop, row: u64) {
        self.hops.entry(hop).or_default().ready.push_back(row);
    }

    /// Sessions to open `now`. Each must end with [`Self::session_ended`].
    pub fn sessions_to_open(&mut self, now: Duration) -> Vec<NextHop> {
        let mut open = Vec::new();
        for (name, hop) in &mut self.hops {
            hop.wake(now);
            if now < hop.not_before {
                continue;
            }
            // A hop that failed last time is tried with one session first.
            let most = if hop.hop_failures > 0 {
                1
            } else {
                self.most_sessions
            };
            while hop.sessions < most && hop.sessions < hop.ready.len() {
                hop.sessions += 1;
                open.push(name.clone());
            }
        }
        open
    }

    /// The next row for an open session to `hop`.
    pub fn take(&mut self, hop: &NextHop, now: Duration) -> Option<u64> {
        let hop = self.hops.get_mut(hop)?;
        hop.wake(now);
        hop.ready.pop_front()
    }

    /// The row is to be tried there again, later. Answers when.
    pub fn defer(&mut self, name: &NextHop, row: u64, now: Duration) -> Duration {
        let hop = self.hops.entry(name.clone()).or_default();
        let failures = hop.failures.entry(row).or_default();
        *failures += 1;
        let at = now + self.intervals.after(*failures);
        hop.waiting.insert((at, row));
        at
    }

    /// The row is done there.
    pub fn done(&mut self, name: &NextHop, row: u64) {
        if let Some(hop) = self.hops.get_mut(name) {
            hop.failures.remove(&row);
        }
    }

    /// The row is gone; it is not tried anywhere any more.
    pub fn forget(&mut self, row: u64) {
        for hop in self.hops.values_mut() {
            hop.ready.retain(|r| *r != row);
            hop.waiting.retain(|(_, r)| *r != row);
            hop.failures.remove(&row);
        }
    }

    /// The hop cannot be reached: everything for it waits. Sessions that were tried together are one failure.
    pub fn unreachable(&mut self, name: &NextHop, now: Duration) {
        if let Some(hop) = self.hops.get_mut(name).filter(|hop| now >= hop.not_before) {
            hop.hop_failures += 1;
            hop.not_before = now + self.intervals.after(hop.hop_failures);
        }
    }

    /// The hop answers.
    pub fn reachable(&mut self, name: &NextHop) {
        if let Some(hop) = self.hops.get_mut(name) {
            hop.hop_failures = 0;
            hop.not_before = Duration::ZERO;
        }
    }

    /// A session is over.
    pub fn session_ended(&mut self, name: &NextHop) {
        if let Some(hop) = self.hops.get_mut(name) {
            hop.sessions = hop.sessions.saturating_sub(1);
            if hop.sessions == 0
                && hop.ready.is_empty()
                && hop.waiting.is_empty()
                && hop.hop_failures == 0
            {
                self.hops.remove(name);
            }
        }
    }

    /// When to call [`Self::sessions_to_open`] again, at the latest.
    pub fn next_due(&self) -> Option<Duration> {
        self.hops
            .values()
            .filter_map(|hop| {
                let row = hop.waiting.first().map(|(at, _)| *at);
                let ready = (hop.sessions == 0 && !hop.ready.is_empty()).then_some(Duration::ZERO);
                Some(row.into_iter().chain(ready).min()?.max(hop.not_before))
            })
            .min()
    }
}

impl Hop {
    fn wake(&mut self, now: Duration) {
        while let Some((at, row)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, row));
            self.ready.push_back(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(60);

    fn scheduler() -> (Scheduler, NextHop) {
        let intervals = RetryIntervals {
            first: 5 * MIN,
            first_count: 2,
            later: 10 * MIN,
        };
        (
            Scheduler::new(intervals, 2),
            NextHop::SmartHost("sink".into()),
        )
    }

    #[test]
    fn as_many_sessions_as_rows_and_no_more_than_allowed() {
        let (mut s, hop) = scheduler();
        s.add(hop.clone(), 1);
        assert_eq!(s.sessions_to_open(MIN).len(), 1);
        assert_eq!(s.sessions_to_open(MIN).len(), 0);
        s.add(hop.clone(), 2);
        s.add(hop.clone(), 3);
        assert_eq!(s.sessions_to_open(MIN).len(), 1);
        assert_eq!(
            (
                s.take(&hop, MIN),
                s.take(&hop, MIN),
                s.take(&hop, MIN),
                s.take(&hop, MIN)
            ),
            (Some(1), Some(2), Some(3), None)
        );
    }

    #[test]
    fn tc_05_a_deferred_row_comes_back_after_the_documented_intervals() {
        let (mut s, hop) = scheduler();
        s.add(hop.clone(), 1);
        let mut now = MIN;
        for wait in [5, 5, 10, 10] {
            assert_eq!(s.sessions_to_open(now), vec![hop.clone()]);
            assert_eq!(s.take(&hop, now), Some(1));
            s.defer(&hop, 1, now);
            s.session_ended(&hop);
            assert_eq!(s.next_due(), Some(now + wait * MIN));
            now += wait * MIN;
        }
    }

    #[test]
    fn tc_05_an_unreachable_hop_is_left_alone_for_a_while() {
        let (mut s, hop) = scheduler();
        s.add(hop.clone(), 1);
        s.add(hop.clone(), 2);
        assert_eq!(s.sessions_to_open(MIN).len(), 2);
        s.unreachable(&hop, MIN);
        s.unreachable(&hop, MIN);
        s.unreachable(&hop, MIN);
        s.session_ended(&hop);
        s.session_ended(&hop);
        assert_eq!(
            (s.next_due(), s.sessions_to_open(2 * MIN).len()),
            (Some(6 * MIN), 0)
        );
        assert_eq!(
            s.sessions_to_open(6 * MIN).len(),
            1,
            "one session tries first"
        );
        s.reachable(&hop);
        assert_eq!(s.sessions_to_open(6 * MIN).len(), 1);
    }

    #[test]
    fn a_forgotten_row_is_tried_nowhere() {
        let (mut s, hop) = scheduler();
        s.add(hop.clone(), 1);
        s.forget(1);
        assert_eq!((s.take(&hop, MIN), s.next_due()), (None, None));
    }
}
