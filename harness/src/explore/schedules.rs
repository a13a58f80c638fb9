//! The schedules of an exploration: every fault at every moment that can differ, in an order that a cut budget can use.
//!
//! Comes in: a plan, and an observed run of it. Goes out: [`Injection`]s, how many the rules saved, and the plan of a
//! schedule. Called by [`explore`](super::explore).

use std::collections::{BTreeMap, VecDeque};

use rand::seq::SliceRandom;

use super::{
    equal::{Alike, Rule},
    faults::{self, Injection, Kind, Outages},
    points::{self, Place, Point, Shape},
};
use crate::{
    history::{Event, Fault, History, Record},
    scenario::{self, Plan, Step, Trigger},
    tap::Call,
};

/// What can be done to a run.
#[derive(Debug, Default)]
pub struct Enumerated {
    /// The faults, in the order of the history.
    pub injections: Vec<Injection>,
    /// How many fault points there are, before the rules: each event, before and after.
    pub points: u64,
    /// How many schedules each rule saved.
    pub saved: BTreeMap<Rule, u64>,
}

/// Every fault of these kinds at every moment of a run. With `first`, the run is one with that fault already: a second one
/// comes within its recovery, and strikes another server only when the first is back.
pub fn enumerate(
    plan: &Plan,
    history: &History,
    calls: &[Call],
    kinds: &[Kind],
    first: Option<&Injection>,
) -> Enumerated {
    let records = &history.records;
    let mut span = points::whole(records);
    if first.is_some() {
        let landed = records
            .iter()
            .find(|r| matches!(r.event, Event::FaultLanded { .. }));
        span.0 = landed.map_or(span.1, |r| r.seq.max(span.0));
    }
    let points = points::points(records, calls, span);
    let heartbeat = scenario::duration(&plan.scenario, "ShadowHeartbeatFrequency");
    let alike = Alike::new(&points, records, heartbeat.unwrap_or_default());
    let outages = Outages::of(plan);
    let mut lives = Lives::new(plan, records);
    let mut all = Enumerated::default();
    for (at, point) in points.iter().enumerate() {
        all.points += 2 * point.events;
        let mut up = lives.up_to(point.first);
        // What acts runs: it may be starting.
        if let Place::Node(node) = &point.place
            && !up.contains(node)
        {
            up.push(node.clone());
        }
        for before in [true, false] {
            for injection in faults::at(
                point,
                before,
                &up,
                &plan.scenario.cluster.mailboxes,
                &outages,
            ) {
                if !kinds.contains(&injection.kind) || !lives.allows(&injection) {
                    continue;
                }
                *all.saved.entry(Rule::OneCall).or_default() += point.events - 1;
                let rule = if repeats(&points, at, before, injection.kind) {
                    Some(Rule::OneMoment)
                } else {
                    let repeats = alike.is_idle_repeat(at, injection.lasts());
                    repeats.then_some(Rule::IdleHeartbeat)
                };
                match rule {
                    Some(rule) => *all.saved.entry(rule).or_default() += 1,
                    None => all.injections.push(injection),
                }
            }
        }
    }
    all.saved.retain(|_, count| *count > 0);
    all
}

/// This moment is the same as the other one of this point, or as one of its commit, which stands for it.
fn repeats(points: &[Point], at: usize, before: bool, kind: Kind) -> bool {
    let Some(point) = points.get(at) else {
        return false;
    };
    if !faults::is_one_moment(point, kind) {
        return false;
    }
    // A sync within a commit: the commit's moment stands for it.
    let within = point.shape == Shape::Sync
        && at
            .checked_sub(1)
            .and_then(|i| points.get(i))
            .is_some_and(|p| {
                p.place == point.place
                    && p.t_us == point.t_us
                    && matches!(p.shape, Shape::Commit | Shape::Sync)
            });
    !before || within
}

/// Which nodes run, as the history goes on.
struct Lives<'r> {
    rest: std::slice::Iter<'r, Record>,
    nodes: Vec<String>,
    /// By fault, the node that it holds down.
    down: BTreeMap<u32, String>,
    planned: BTreeMap<u32, &'r Fault>,
}

impl<'r> Lives<'r> {
    fn new(plan: &Plan, records: &'r [Record]) -> Self {
        Self {
            rest: records.iter(),
            nodes: plan.scenario.cluster.nodes.clone(),
            down: BTreeMap::new(),
            planned: BTreeMap::new(),
        }
    }

    /// The nodes that run before the record of this number.
    fn up_to(&mut self, seq: u64) -> Vec<String> {
        while let Some(record) = self.rest.as_slice().first().filter(|r| r.seq < seq) {
            self.rest.next();
            match &record.event {
                Event::FaultPlanned { fault, what, .. } => {
                    self.planned.insert(*fault, what);
                }
                Event::FaultLanded { fault } => {
                    if let Some(node) = self.planned.get(fault).and_then(|what| what.node()) {
                        self.down.insert(*fault, node.to_owned());
                    }
                }
                Event::FaultHealed { fault } => {
                    self.down.remove(fault);
                }
                Event::NodeUp { node, .. } => self.down.retain(|_, down| down != node),
                _ => {}
            }
        }
        let is_up = |node: &&String| !self.down.values().any(|down| down == *node);
        self.nodes.iter().filter(is_up).cloned().collect()
    }

    /// One server at a time: no other is down when one is struck.
    fn allows(&self, injection: &Injection) -> bool {
        injection
            .node
            .as_ref()
            .is_none_or(|node| self.down.values().all(|down| down == node))
    }
}

/// Puts faults into an order in which every beginning has every kind at every sort of event, as far as it can: the groups
/// take turns, and the order within each is drawn from the seed. `turn` says which kind begins.
pub(super) fn spread<T>(items: Vec<(Injection, T)>, seed: u64, turn: u64) -> Vec<(Injection, T)> {
    let mut groups: BTreeMap<(Kind, String, u64), Vec<_>> = BTreeMap::new();
    for item in items {
        let of = &item.0;
        let group = (of.kind, of.trigger.when.clone(), of.lasts().as_secs());
        groups.entry(group).or_default().push(item);
    }
    let mut random = scenario::stream(seed, &format!("explore {turn}"));
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.shuffle(&mut random);
    let mut by_kind: BTreeMap<Kind, VecDeque<Vec<_>>> = BTreeMap::new();
    for mut group in groups {
        group.shuffle(&mut random);
        if let Some((first, _)) = group.first() {
            by_kind.entry(first.kind).or_default().push_back(group);
        }
    }
    // The kinds take turns, and within a kind its groups.
    let mut kinds: Vec<VecDeque<Vec<_>>> = by_kind.into_values().collect();
    if let Some(begins) = usize::try_from(turn)
        .unwrap_or_default()
        .checked_rem(kinds.len())
    {
        kinds.rotate_left(begins);
    }
    let mut order = Vec::new();
    while !kinds.is_empty() {
        for groups in &mut kinds {
            if let Some(mut group) = groups.pop_front() {
                order.extend(group.pop());
                if !group.is_empty() {
                    groups.push_back(group);
                }
            }
        }
        kinds.retain(|groups| !groups.is_empty());
    }
    order
}

/// The plan of a schedule: the scenario with these faults.
pub(super) fn plan(base: &Plan, id: String, faults: &[Injection]) -> Plan {
    let mut plan = Plan { id, ..base.clone() };
    let mut snapshots: Vec<&String> = faults
        .iter()
        .filter(|f| f.kind == Kind::Revert)
        .filter_map(|f| f.node.as_ref())
        .collect();
    snapshots.sort();
    snapshots.dedup();
    let shift = u32::try_from(snapshots.len()).unwrap_or_default();
    for trigger in &mut plan.scenario.fault {
        trigger.during = trigger.during.map(|steps| steps.map(|step| step + shift));
    }
    for node in snapshots {
        plan.scenario
            .step
            .insert(0, Step::Snapshot { node: node.clone() });
    }
    let triggers = faults.iter().map(|fault| fault.trigger.clone());
    plan.scenario.fault.extend(triggers);
    plan.scenario.on = vec!["sim".into()];
    plan
}

/// Why a run did not have the faults of its schedule, if it did not: then the schedule was not what it says.
pub(super) fn missed(records: &[Record], faults: &[Trigger]) -> Option<String> {
    let mut planned: Vec<(u32, &str)> = Vec::new();
    let mut landed: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        match &record.event {
            Event::FaultPlanned {
                fault,
                trigger: Some(when),
                ..
            } => planned.push((*fault, when)),
            Event::FaultLanded { fault } => {
                if let Some((_, when)) = planned.iter().find(|(number, _)| number == fault) {
                    *landed.entry(when).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    faults.iter().find_map(|fault| {
        let count = landed.get_mut(fault.when.as_str()).filter(|n| **n > 0);
        match count {
            Some(count) => {
                *count -= 1;
                None
            }
            None => Some(format!(
                "the fault at `{}` (number {}) did not strike",
                fault.when, fault.nth
            )),
        }
    })
}
