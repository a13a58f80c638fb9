//! The faults that are tried at a point, each with its recovery.
//!
//! Comes in: a plan and a [`Point`]. Goes out: [`Injection`]s: a trigger of a scenario each. Called by
//! [`schedules`](super::schedules).
//!
//! A fault strikes where the event happened: a node that the event belongs to, or the link that it passes. What becomes of
//! another host at that moment is what becomes of it at its own last event.

use std::time::Duration;

use super::points::{Place, Point, Shape};
use crate::scenario::{self, CrashKind, Database, Partition, Plan, Span, Step, Trigger};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The node's process ends, and is started again with the same database.
    ProcessCrash,
    /// The node's host loses power, and is started again from what was synced.
    HostCrash,
    /// The node's host loses power, and comes back with a new transport database.
    NewDatabase,
    /// The node's disk is lost, and everything on it: the node never comes back; or, with the mailboxes, it comes back
    /// with an empty disk.
    Destroy,
    /// The node's disk goes back to what it was when the run began.
    Revert,
    /// The node's disk has no room, and gets some again.
    DiskFull,
    /// The node stops, and goes on past one of its timeouts.
    Freeze,
    /// Nothing passes between the two hosts, either way or one way.
    Partition,
    /// The link's connections are reset.
    Reset,
    /// The link's octets vanish.
    BlackHole,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ProcessCrash,
        Self::HostCrash,
        Self::NewDatabase,
        Self::Destroy,
        Self::Revert,
        Self::DiskFull,
        Self::Freeze,
        Self::Partition,
        Self::Reset,
        Self::BlackHole,
    ];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessCrash => "process-crash",
            Self::HostCrash => "host-crash",
            Self::NewDatabase => "new-database",
            Self::Destroy => "destroy",
            Self::Revert => "revert",
            Self::DiskFull => "disk-full",
            Self::Freeze => "freeze",
            Self::Partition => "partition",
            Self::Reset => "reset",
            Self::BlackHole => "black-hole",
        }
    }

    /// The node's memory ends with it.
    pub const fn ends_memory(self) -> bool {
        matches!(
            self,
            Self::ProcessCrash | Self::HostCrash | Self::NewDatabase | Self::Destroy | Self::Revert
        )
    }
}

/// A fault at a point, with its recovery.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// What kind it is.
    pub kind: Kind,
    /// The node that it strikes; `None`: a link.
    pub node: Option<String>,
    /// The trigger.
    pub trigger: Trigger,
}

impl Injection {
    /// How long it lasts.
    pub fn lasts(&self) -> Duration {
        match self.trigger.after {
            Some(after) => after.0,
            None if self.kind == Kind::Destroy => FOR_GOOD,
            None => Duration::ZERO,
        }
    }

    /// Everything that tells it from others, on one line.
    pub fn key(&self) -> String {
        let t = &self.trigger;
        let moment = if t.before { "before" } else { "after" };
        let what = crate::runner::text(&t.action);
        let then = match (&t.after, &t.then) {
            (Some(after), Some(then)) => format!("; {after} later {}", crate::runner::text(then)),
            _ => String::new(),
        };
        format!("{moment} {} #{}: {what}{then}", t.when, t.nth)
    }
}

/// Longer than any run.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The times after which a fault of this plan is taken back, from its documented timeouts.
pub struct Outages {
    /// Over before any server is given up.
    short: Span,
    /// A little longer than the time of a copy and of a heartbeat.
    past_session: Span,
    /// Longer than ShadowResubmitTimeSpan: promotion comes first.
    past_promotion: Span,
    /// A little longer than each timeout that a frozen node keeps others waiting for.
    freezes: Vec<Span>,
}

/// A fault that is taken back at a timeout's end is a race; this much later it is none.
const MARGIN: Duration = Duration::from_secs(5);

impl Outages {
    /// Those of a plan.
    pub fn of(plan: &Plan) -> Self {
        let documented = |name| scenario::duration(&plan.scenario, name).unwrap_or_default();
        let heartbeat = documented("ShadowHeartbeatFrequency");
        // Promotion needs a failed attempt after the span is over: two heartbeats at most.
        let promotion = documented("ShadowResubmitTimeSpan") + 2 * heartbeat + MARGIN;
        let copy = documented("ShadowCopyTimeout");
        let mut freezes: Vec<Duration> = [
            copy,
            heartbeat,
            documented("ConnectionInactivityTimeout"),
            documented("ConnectionTimeout"),
            documented("ConnectionInactivityTimeOut"),
        ]
        .map(|timeout| timeout + MARGIN)
        .to_vec();
        freezes.push(promotion);
        freezes.sort();
        freezes.dedup();
        Self {
            short: Span(copy.min(heartbeat) / 2),
            past_session: Span(copy.max(heartbeat) + MARGIN),
            past_promotion: Span(promotion),
            freezes: freezes.into_iter().map(Span).collect(),
        }
    }

    /// The longest of them.
    pub fn longest(&self) -> Duration {
        self.freezes
            .iter()
            .chain([&self.past_promotion])
            .map(|span| span.0)
            .max()
            .unwrap_or_default()
    }
}

/// What can be done at this point, before or after it. `nodes`: the nodes that run at that moment; `mailboxes`: the one
/// that has the mailboxes.
pub(super) fn at(
    point: &Point,
    before: bool,
    nodes: &[String],
    mailboxes: &str,
    outages: &Outages,
) -> Vec<Injection> {
    let mut all = Vec::new();
    let hosts: Vec<&String> = match &point.place {
        Place::Link { from, to } => vec![from, to],
        Place::Node(node) => vec![node],
    };
    let mut add = |kind, node: Option<&String>, action, after: Option<Span>, then| {
        all.push(Injection {
            kind,
            node: node.cloned(),
            trigger: Trigger {
                when: point.when.clone(),
                nth: point.nth,
                before,
                action,
                after,
                then,
                every: None,
                during: None,
            },
        });
    };
    for node in hosts.into_iter().filter(|host| nodes.contains(host)) {
        let crash = |kind| Step::Crash {
            node: node.clone(),
            kind,
        };
        let start = |database| {
            Some(Step::Start {
                node: node.clone(),
                database,
            })
        };
        for after in [outages.short, outages.past_promotion] {
            let same = start(Database::Same);
            add(
                Kind::ProcessCrash,
                Some(node),
                crash(CrashKind::Process),
                Some(after),
                same.clone(),
            );
            add(
                Kind::HostCrash,
                Some(node),
                crash(CrashKind::Host),
                Some(after),
                same,
            );
        }
        add(
            Kind::NewDatabase,
            Some(node),
            crash(CrashKind::Host),
            Some(outages.short),
            start(Database::New),
        );
        // Without mailboxes a disk that is lost, and comes back empty, is a new database. A node with mailboxes that never
        // came back would leave mail that can never be delivered.
        let (after, then) = if *node == mailboxes {
            (Some(outages.short), start(Database::Same))
        } else {
            (None, None)
        };
        let destroy = Step::Destroy { node: node.clone() };
        add(Kind::Destroy, Some(node), destroy, after, then);
        let revert = Step::Revert { node: node.clone() };
        add(Kind::Revert, Some(node), revert, None, None);
        for after in &outages.freezes {
            let freeze = Step::Freeze { node: node.clone() };
            let thaw = Some(Step::Thaw { node: node.clone() });
            add(Kind::Freeze, Some(node), freeze, Some(*after), thaw);
        }
        if writes_next(point, before) {
            for after in [outages.short, outages.past_promotion] {
                let fill = Step::FillDisk { node: node.clone() };
                let free = Some(Step::FreeDisk { node: node.clone() });
                add(Kind::DiskFull, Some(node), fill, Some(after), free);
            }
        }
    }
    if let Place::Link { from, to } = &point.place {
        let heal = || {
            Some(Step::Heal {
                a: Some(from.clone()),
                b: Some(to.clone()),
            })
        };
        for after in [outages.past_session, outages.past_promotion] {
            for (a, b, one_way) in [(from, to, false), (from, to, true), (to, from, true)] {
                let cut = Step::Partition(Partition {
                    a: a.clone(),
                    b: b.clone(),
                    one_way,
                });
                add(Kind::Partition, None, cut, Some(after), heal());
            }
            let link = format!("{from}>{to}");
            add(
                Kind::BlackHole,
                None,
                Step::BlackHole { link, stream: None },
                Some(after),
                heal(),
            );
        }
        let link = format!("{from}>{to}");
        add(Kind::Reset, None, Step::Reset { link }, None, None);
    }
    all
}

/// Whether the node of this point writes to its disk before anything else happens. At any other moment a full disk is
/// noticed at the next such one.
fn writes_next(point: &Point, before: bool) -> bool {
    match point.shape {
        Shape::Commit => before,
        // A commit writes again between its syncs.
        Shape::Sync => true,
        Shape::Octets | Shape::Instant => false,
    }
}

/// Whether before and after this point are one moment for this kind of fault.
pub(super) fn is_one_moment(point: &Point, kind: Kind) -> bool {
    match point.shape {
        Shape::Octets => false,
        Shape::Instant => true,
        // The work on the disk is one piece: a node that stops or is cut off in the middle of it has done it.
        Shape::Commit | Shape::Sync => !kind.ends_memory() && kind != Kind::DiskFull,
    }
}
