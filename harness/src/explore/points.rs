//! Fault points: the moments of a run at which a fault can be hung, each as a `when` and an `nth` that hit exactly it.
//!
//! Comes in: the history of a run that was observed, and the calls that brought its events. Goes out: [`Point`]s, in the
//! order of the history. Called by [`schedules`](super::schedules).

use std::collections::BTreeMap;

use crate::{
    history::{Event, Local, Phase, Record, Wire},
    tap::{Call, When},
};

/// Where an event happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On a link.
    Link {
        /// Who opened the connection.
        from: String,
        /// Who accepted it.
        to: String,
    },
    /// Within a node.
    Node(String),
}

/// What lies between "before" and "after" an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Octets go on their way.
    Octets,
    /// Nothing: a connection opens or ends, a timer fires.
    Instant,
    /// A commit's writes and syncs.
    Commit,
    /// What was written becomes durable.
    Sync,
}

/// Events that pass, or happen, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// `LINK EVENT` or `NODE EVENT`.
    pub when: String,
    /// …and which of these events, from 1.
    pub nth: u32,
    /// Where.
    pub place: Place,
    /// Who did it: the host that sent the octets, opened or closed the connection; the node. `None`: nobody of the cluster.
    pub actor: Option<String>,
    /// What lies between before and after.
    pub shape: Shape,
    /// The number of the first record.
    pub first: u64,
    /// …and of the last.
    pub last: u64,
    /// How many events it stands for, itself included.
    pub events: u64,
    /// When, in microseconds.
    pub t_us: u64,
    /// So many times octets without an event had passed before.
    pub silent: u32,
}

/// The span of records in which faults are tried: from the first step to the end of the settle phase.
pub(super) fn whole(records: &[Record]) -> (u64, u64) {
    let load = |r: &&Record| matches!(r.event, Event::Phase { phase: Phase::Load });
    let from = records.iter().find(load).map_or(0, |r| r.seq);
    let settled = records
        .iter()
        .rfind(|r| matches!(r.event, Event::Settled { .. }));
    (from, settled.map_or(u64::MAX, |r| r.seq))
}

/// The points whose records are between these two numbers.
pub(super) fn points(records: &[Record], calls: &[Call], (from, to): (u64, u64)) -> Vec<Point> {
    let mut numbers = Numbers::new(records);
    let record = |seq: u64| usize::try_from(seq).ok().and_then(|at| records.get(at));
    let inside = |call: &&Call| call.first > from && call.last < to;
    calls
        .iter()
        .filter(inside)
        .filter_map(|call| {
            let named = (call.first..=call.last)
                .filter_map(record)
                .find_map(|r| Some((r, name(&r.event)?)));
            let (record, (place, when)) = named?;
            Some(Point {
                nth: numbers.nth(&when, record.seq)?,
                when,
                place,
                actor: actor(&record.event),
                shape: shape(&record.event),
                first: call.first,
                last: call.last,
                events: call.last - call.first + 1,
                t_us: record.t_us,
                silent: call.silent,
            })
        })
        .collect()
}

/// The event's place and its `when`, when it can be told from others.
fn name(event: &Event) -> Option<(Place, String)> {
    let (place, when) = match event {
        Event::Wire { link, wire, .. } => {
            let (from, to) = link.split_once('>')?;
            let place = Place::Link {
                from: from.into(),
                to: to.into(),
            };
            (place, format!("{link} {}", on_the_wire(wire)?))
        }
        Event::Local { node, what, name } => {
            let of =
                |name: &Option<String>| name.as_deref().map_or(String::new(), |n| format!(" {n}"));
            let event = match what {
                Local::Commit => "disk commit".to_owned(),
                Local::Sync => format!("disk sync{}", of(name)),
                Local::Timer => format!("timer{}", of(name)),
            };
            (Place::Node(node.clone()), format!("{node} {event}"))
        }
        _ => return None,
    };
    When::parse(&when).ok().map(|_| (place, when))
}

fn on_the_wire(wire: &Wire) -> Option<String> {
    use crate::history::Transaction::{Copy, Deliver, Mail};
    let of = |kind, what: &str| match kind {
        Mail => what.to_owned(),
        Copy => format!("copy {what}"),
        Deliver => format!("delivery {what}"),
    };
    Some(match wire {
        Wire::Connect => "connect".into(),
        Wire::ConnectFailed { .. } => "connect failed".into(),
        Wire::Greeting { .. } => "greeting".into(),
        Wire::Close { .. } => "close".into(),
        Wire::Command { verb, .. } => match verb.as_str() {
            "EHLO" | "HELO" => "ehlo".into(),
            "MAIL" => "mail".into(),
            "RCPT" => "rcpt".into(),
            "XSHADOW" => "copy begun".into(),
            "XDELIVER" => "delivery begun".into(),
            "XQDISCARD" => "discard asked".into(),
            verb => format!("command {verb}"),
        },
        Wire::Reply { verb, reply } => match (verb.as_str(), reply.code) {
            ("", _) => "unasked reply".into(),
            ("DATA", 354) => "data".into(),
            ("XQDISCARD", _) => "discard answered".into(),
            (verb, _) => format!("reply {verb}"),
        },
        Wire::EndOfData { kind, .. } => of(*kind, "end-of-data"),
        Wire::FinalReply { kind, reply, .. } => match reply.code / 100 {
            2 => of(*kind, "acked"),
            4 | 5 => of(*kind, "refused"),
            _ => return None,
        },
    })
}

fn actor(event: &Event) -> Option<String> {
    match event {
        Event::Local { node, .. } => Some(node.clone()),
        Event::Wire { link, wire, .. } => {
            let (from, to) = link.split_once('>')?;
            Some(match wire {
                Wire::Connect
                | Wire::ConnectFailed { .. }
                | Wire::Command { .. }
                | Wire::EndOfData { .. } => from.into(),
                Wire::Greeting { .. } | Wire::Reply { .. } | Wire::FinalReply { .. } => to.into(),
                Wire::Close { by, .. } => match by.as_str() {
                    "client" => from.into(),
                    "server" => to.into(),
                    _ => return None,
                },
            })
        }
        _ => None,
    }
}

fn shape(event: &Event) -> Shape {
    match event {
        Event::Local { what, .. } => match what {
            Local::Commit => Shape::Commit,
            Local::Sync => Shape::Sync,
            Local::Timer => Shape::Instant,
        },
        Event::Wire {
            wire: Wire::Connect | Wire::ConnectFailed { .. } | Wire::Close { .. },
            ..
        } => Shape::Instant,
        _ => Shape::Octets,
    }
}

/// Counts events as triggers do.
struct Numbers<'h> {
    records: &'h [Record],
    /// For each `when`, the numbers of the records that it means.
    seen: BTreeMap<String, Vec<u64>>,
}

impl<'h> Numbers<'h> {
    fn new(records: &'h [Record]) -> Self {
        Self {
            records,
            seen: BTreeMap::new(),
        }
    }

    fn nth(&mut self, when: &str, seq: u64) -> Option<u32> {
        if !self.seen.contains_key(when) {
            let parsed = When::parse(when).ok()?;
            let meant = self.records.iter().filter(|r| means(&parsed, &r.event));
            let meant = meant.map(|r| r.seq).collect();
            self.seen.insert(when.to_owned(), meant);
        }
        let place = self.seen.get(when)?.binary_search(&seq).ok()?;
        u32::try_from(place + 1).ok()
    }
}

fn means(when: &When, event: &Event) -> bool {
    match event {
        Event::Wire { link, wire, .. } => link
            .split_once('>')
            .is_some_and(|(from, to)| when.is_link(from, to) && when.is_event(wire)),
        Event::Local { node, what, name } => when.is_local(node, *what, name.as_deref()),
        _ => false,
    }
}
