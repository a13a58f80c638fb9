//! Which moments cannot differ for a fault, and are tried once. `docs/explore.md` has the rules for readers.
//!
//! Comes in: the points of a run, and its records. Goes out: whether another moment stands for a fault at a point. Called by [`schedules`](super::schedules).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::points::Point;
use crate::history::{Event, Local, Record, Wire};

/// Why a schedule need not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Several events passed at one moment: pipelined commands, and their replies.
    OneCall,
    /// Nothing lies between before and after: a connection that opens or ends, a timer; the work of a commit, for a fault
    /// that does not end the node's memory.
    OneMoment,
    /// Heartbeats that are all alike, with nothing else between them.
    IdleHeartbeat,
}

impl Rule {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::OneCall => "events that passed at one moment",
            Self::OneMoment => "nothing between before and after",
            Self::IdleHeartbeat => "idle heartbeats that are alike",
        }
    }
}

/// The moments of a run that are alike.
pub struct Alike<'r> {
    points: &'r [Point],
    idle: BTreeMap<usize, u64>,
    heartbeat_us: u64,
}

impl<'r> Alike<'r> {
    /// Of these points. `heartbeat`: ShadowHeartbeatFrequency.
    pub fn new(points: &'r [Point], records: &[Record], heartbeat: Duration) -> Self {
        Self {
            idle: idle_repeats(points, records),
            points,
            heartbeat_us: micros(heartbeat),
        }
    }

    /// The point's heartbeat is the repetition of an earlier one, and a fault that lasts so long is over well before anything
    /// else happens: the earlier one stands for it.
    pub fn is_idle_repeat(&self, at: usize, lasts: Duration) -> bool {
        let (Some(next), Some(point)) = (self.idle.get(&at), self.points.get(at)) else {
            return false;
        };
        next.saturating_sub(point.t_us) > micros(lasts) + 2 * self.heartbeat_us
    }
}

/// Points of heartbeats that repeat an earlier one, with the time (microseconds) at which something else happens next.
fn idle_repeats(points: &[Point], records: &[Record]) -> BTreeMap<usize, u64> {
    let idle = idle_sessions(records);
    let is_idle = |record: &Record| match &record.event {
        Event::Wire {
            link, connection, ..
        } => idle.contains(&(link.as_str(), *connection)),
        Event::Local {
            what: Local::Timer,
            name,
            ..
        } => name.as_deref() == Some("heartbeat"),
        _ => false,
    };
    // How many other things had happened before each record, and when the next one happens.
    let mut others = 0_u64;
    let epochs: Vec<u64> = records
        .iter()
        .map(|r| {
            others += u64::from(!is_idle(r));
            others
        })
        .collect();
    let mut next = u64::MAX;
    let mut nexts: Vec<u64> = records
        .iter()
        .rev()
        .map(|r| {
            let after = next;
            if !is_idle(r) {
                next = r.t_us;
            }
            after
        })
        .collect();
    nexts.reverse();
    let mut seen = BTreeSet::new();
    let mut repeats = BTreeMap::new();
    for (at, point) in points.iter().enumerate() {
        let record = usize::try_from(point.first)
            .ok()
            .and_then(|i| records.get(i));
        let Some((i, record)) = usize::try_from(point.first).ok().zip(record) else {
            continue;
        };
        if is_idle(record) && !seen.insert((epochs.get(i), point.when.as_str())) {
            repeats.insert(at, nexts.get(i).copied().unwrap_or_default());
        }
    }
    repeats
}

/// Connections in which a server asked another for discard notifications, and there were none.
fn idle_sessions(records: &[Record]) -> BTreeSet<(&str, u32)> {
    let mut asked = BTreeSet::new();
    let mut other = BTreeSet::new();
    for record in records {
        let Event::Wire {
            link,
            connection,
            wire,
        } = &record.event
        else {
            continue;
        };
        let session = (link.as_str(), *connection);
        let idle = match wire {
            Wire::Connect | Wire::Greeting { .. } => true,
            Wire::Command { verb, .. } => {
                matches!(verb.as_str(), "EHLO" | "XPEER" | "XQDISCARD" | "QUIT")
            }
            Wire::Reply { verb, reply } if verb == "XQDISCARD" => {
                asked.insert(session);
                reply.code == 250 && reply.text.starts_with("2.0.0 cursor=")
                    || reply.text.starts_with("cursor=")
            }
            Wire::Reply { verb, reply } => {
                matches!(verb.as_str(), "EHLO" | "XPEER" | "QUIT") && reply.code / 100 == 2
            }
            Wire::Close { reset, .. } => !reset,
            Wire::ConnectFailed { .. } | Wire::EndOfData { .. } | Wire::FinalReply { .. } => false,
        };
        if !idle {
            other.insert(session);
        }
    }
    asked.retain(|session| !other.contains(session));
    asked
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
