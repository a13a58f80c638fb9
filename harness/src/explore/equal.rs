//! Which moments cannot differ for a fault, and are tried once. `docs/explore.md` has the rules for readers.
//!
//! Comes in: the points of a run, and its records. Goes out: for a fault at a moment, the [`Rule`] by which another moment
//! stands for it. Called by [`schedules`](super::schedules).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    faults::{Injection, Kind},
    points::{Place, Point, Shape},
};
use crate::history::{Event, Local, Record, Wire};

/// Why a schedule need not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Several events passed at one moment: pipelined commands, and their replies.
    OneCall,
    /// Nothing lies between before and after: a connection that opens or ends, a timer; the work of a commit, for a fault
    /// that does not end the node's memory.
    OneMoment,
    /// Between one event of a node and its own next act, nothing happened that could tell them apart.
    NothingBetween,
    /// Heartbeats that are all alike, with nothing else between them.
    IdleHeartbeat,
}

impl Rule {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::OneCall => "events that passed at one moment",
            Self::OneMoment => "nothing between before and after",
            Self::NothingBetween => "nothing of the node's between an event and its next act",
            Self::IdleHeartbeat => "idle heartbeats that are alike",
        }
    }
}

/// The shortest way of octets and resets through the simulated network, in microseconds.
const SHORTEST_WAY_US: u64 = 500;

/// The longest way of octets and resets through the simulated network, with the timers' resolution, in microseconds.
const WAY_US: u64 = 3_000;

/// The moments of a run that are alike.
pub struct Alike<'r> {
    points: &'r [Point],
    records: &'r [Record],
    idle: BTreeMap<usize, u64>,
    heartbeat_us: u64,
}

impl<'r> Alike<'r> {
    /// Of these points. `heartbeat`: ShadowHeartbeatFrequency.
    pub fn new(points: &'r [Point], records: &'r [Record], heartbeat: Duration) -> Self {
        Self {
            idle: idle_repeats(points, records),
            points,
            records,
            heartbeat_us: micros(heartbeat),
        }
    }

    /// The rule by which another schedule stands for this fault at this point, if there is one.
    pub fn rule(&self, at: usize, injection: &Injection) -> Option<Rule> {
        if self.is_idle_repeat(at, injection.lasts()) {
            return Some(Rule::IdleHeartbeat);
        }
        let node = injection.node.as_deref()?;
        (!injection.trigger.before && self.nothing_between(at, node, injection.kind))
            .then_some(Rule::NothingBetween)
    }

    /// The point's heartbeat is the repetition of an earlier one, and the fault is over long before anything else happens.
    fn is_idle_repeat(&self, at: usize, lasts: Duration) -> bool {
        let (Some(next), Some(point)) = (self.idle.get(&at), self.points.get(at)) else {
            return false;
        };
        next.saturating_sub(point.t_us) > micros(lasts) + 2 * self.heartbeat_us
    }

    /// A fault that ends `node`'s memory right after this point finds what it finds right before this other one.
    fn nothing_between(&self, at: usize, node: &str, kind: Kind) -> bool {
        let (Some(this), Some(next)) = (self.points.get(at), self.next_of(at, node)) else {
            return false;
        };
        // What a commit writes stands in the page cache, synced or not.
        let disk_is_same = matches!(this.shape, Shape::Octets | Shape::Instant)
            && matches!(next.shape, Shape::Octets | Shape::Commit);
        let is_next_act = next.actor.as_deref() == Some(node) && next.silent == this.silent;
        if !kind.ends_memory() || !is_next_act || !disk_is_same {
            return false;
        }
        let from = usize::try_from(this.last + 1).unwrap_or(usize::MAX);
        let rest = self.records.get(from..).unwrap_or_default();
        let told = |r: &Record| matches!(&r.event, Event::Tracking { node: of, .. } if of == node);
        if rest.iter().take_while(|r| r.seq < next.first).any(told) {
            return false;
        }
        if kind != Kind::ProcessCrash {
            // A host without power says nothing to anybody, and does not acknowledge what is on its way to it.
            return self.nothing_on_its_way(at, node);
        }
        // Others hear of the end of a process so much later: none of their own events may come in between.
        let (since, until) = (
            this.t_us + SHORTEST_WAY_US,
            next.t_us + (next.t_us - this.t_us) + WAY_US,
        );
        let soon = rest
            .iter()
            .take_while(|r| r.t_us <= until)
            .filter(|r| r.t_us >= since);
        soon.into_iter().all(|r| self.is_act_of(node, r.seq))
    }

    /// The next event that the node has to do with.
    fn next_of(&self, at: usize, node: &str) -> Option<&Point> {
        let rest = self.points.get(at + 1..)?;
        rest.iter().find(|point| concerns(point, node))
    }

    fn is_act_of(&self, node: &str, seq: u64) -> bool {
        let place = self.points.partition_point(|p| p.last < seq);
        self.points
            .get(place)
            .is_some_and(|p| p.first <= seq && p.actor.as_deref() == Some(node))
    }

    fn nothing_on_its_way(&self, at: usize, node: &str) -> bool {
        let Some(this) = self.points.get(at) else {
            return false;
        };
        for point in self.points.get(..=at).unwrap_or_default().iter().rev() {
            if point.t_us + WAY_US <= this.t_us {
                return point.silent == this.silent;
            }
            if concerns(point, node) && point.actor.as_deref() != Some(node) {
                return false;
            }
        }
        false
    }
}

/// The event passes a link of the node, or is within it.
fn concerns(point: &Point, node: &str) -> bool {
    match &point.place {
        Place::Link { from, to } => from == node || to == node,
        Place::Node(of) => of == node,
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
