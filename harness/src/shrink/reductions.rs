//! Scenarios that are a little smaller than a given one. Each goes towards the defaults, so that none comes back.

use std::{ops::Range, time::Duration};

use crate::scenario::{
    Cluster, Partition, Scenario, Settle, SinkBehaviour, Span, Step, Submit, ToxicStep, Trigger,
};

/// Durations that are tried in the place of longer ones, in seconds.
const LADDER: [u64; 7] = [1, 10, 60, 600, 3600, 3 * 3600, 24 * 3600];

/// The scenario without these steps and hung faults (steps first, then faults). `None` where a hung fault would listen
/// during steps none of which is left.
pub(super) fn without(scenario: &Scenario, items: &Range<usize>) -> Option<Scenario> {
    let steps = scenario.step.len();
    let mut smaller = scenario.clone();
    let mut index = 0..;
    smaller
        .step
        .retain(|_| index.next().is_some_and(|i| !items.contains(&i)));
    smaller
        .fault
        .retain(|_| index.next().is_some_and(|i| !items.contains(&i)));
    for trigger in &mut smaller.fault {
        let Some([first, last]) = trigger.during else {
            continue;
        };
        let left: Vec<usize> = (first as usize..=last as usize)
            .filter(|i| *i < steps && !items.contains(i))
            .collect();
        let place = |i: usize| {
            let gone = (0..i).filter(|i| items.contains(i)).count();
            u32::try_from(i - gone).ok()
        };
        trigger.during = Some([place(*left.first()?)?, place(*left.last()?)?]);
    }
    Some(smaller)
}

/// Everything but steps and hung faults that can be smaller, each by itself.
pub(super) fn all(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    cluster(scenario, &mut all);
    settings(scenario, &mut all);
    for (index, step) in scenario.step.iter().enumerate() {
        let mut replace = |step: Step| all.push(with_step(scenario, index, step));
        match step {
            Step::Submit(submit) => submits(submit).into_iter().for_each(replace),
            Step::Sink {
                sink,
                behaviour: SinkBehaviour::Slow(span),
                count,
            } => shorter(*span).for_each(|span| {
                replace(Step::Sink {
                    sink: sink.clone(),
                    behaviour: SinkBehaviour::Slow(span),
                    count: *count,
                })
            }),
            step => durations(step).into_iter().for_each(replace),
        }
    }
    for (index, trigger) in scenario.fault.iter().enumerate() {
        for trigger in triggers(trigger) {
            let mut smaller = scenario.clone();
            smaller.fault[index] = trigger;
            all.push(smaller);
        }
    }
    // What is the default, and what ends sooner, stays.
    if scenario.settle != Settle::default() && scenario.settle.at_most >= Settle::default().at_most
    {
        all.push(Scenario {
            settle: Settle::default(),
            ..scenario.clone()
        });
    }
    if scenario.description.is_some() {
        all.push(Scenario {
            description: None,
            ..scenario.clone()
        });
    }
    all
}

fn with_step(scenario: &Scenario, index: usize, step: Step) -> Scenario {
    let mut smaller = scenario.clone();
    smaller.step[index] = step;
    smaller
}

fn cluster(scenario: &Scenario, all: &mut Vec<Scenario>) {
    let with = |cluster: Cluster| Scenario {
        cluster,
        ..scenario.clone()
    };
    let cluster = &scenario.cluster;
    if !cluster.dags.is_empty() {
        let mut smaller = cluster.clone();
        smaller.dags.clear();
        all.push(with(smaller));
    }
    if !cluster.sites.is_empty() {
        let mut smaller = cluster.clone();
        smaller.sites.clear();
        all.push(with(smaller));
    }
    for dag in cluster.dags.keys().filter(|_| cluster.dags.len() > 1) {
        let mut smaller = cluster.clone();
        smaller.dags.remove(dag);
        all.push(with(smaller));
    }
    // A host less: first without everything that names it, then with another in its place.
    for node in &cluster.nodes {
        let gone = without_host(scenario, node);
        all.extend(gone);
        for other in cluster.nodes.iter().filter(|other| *other != node) {
            all.extend(renamed(scenario, node, other).and_then(|s| without_host(&s, node)));
        }
    }
    for sink in &cluster.sinks {
        all.extend(without_host(scenario, sink));
    }
}

/// The scenario without a node or a sink, and without the steps and faults that name it. `None` where it has to be.
fn without_host(scenario: &Scenario, host: &str) -> Option<Scenario> {
    let cluster = &scenario.cluster;
    if cluster.mailboxes == host || cluster.nodes.len() + cluster.sinks.len() < 2 {
        return None;
    }
    let named = |trigger: &Trigger| {
        let link = trigger.when.split(' ').next().unwrap_or_default();
        link.split('>').any(|h| h == host)
            || names(&trigger.action, host)
            || trigger.then.as_ref().is_some_and(|then| names(then, host))
    };
    let mut smaller = scenario.clone();
    // From the end, so that the places of the others stay.
    for index in (0..scenario.step.len() + scenario.fault.len()).rev() {
        let gone = match scenario.step.get(index) {
            Some(step) => names(step, host),
            None => named(&scenario.fault[index - scenario.step.len()]),
        };
        if gone {
            smaller = without(&smaller, &(index..index + 1))?;
        }
    }
    let cluster = &mut smaller.cluster;
    cluster.nodes.retain(|n| n != host);
    cluster.sinks.retain(|n| n != host);
    for group in cluster.sites.values_mut().chain(cluster.dags.values_mut()) {
        group.retain(|n| n != host);
    }
    cluster.sites.retain(|_, nodes| !nodes.is_empty());
    cluster.dags.retain(|_, nodes| !nodes.is_empty());
    smaller.node.remove(host);
    Some(smaller)
}

/// A step names the host: as its place, or at the end of a link.
fn names(step: &Step, host: &str) -> bool {
    let mut found = false;
    let mut seen = step.clone();
    hosts(&mut seen, &mut |name| found |= name == host);
    found
}

/// The scenario with one host in the place of another; `None` where that makes no scenario.
fn renamed(scenario: &Scenario, from: &str, to: &str) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut swap = |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    for step in &mut smaller.step {
        hosts(step, &mut swap);
    }
    for trigger in &mut smaller.fault {
        hosts(&mut trigger.action, &mut swap);
        if let Some(then) = &mut trigger.then {
            hosts(then, &mut swap);
        }
        let (link, event) = trigger.when.split_once(' ')?;
        let (mut a, mut b) = link
            .split_once('>')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        swap(&mut a);
        swap(&mut b);
        if a == b {
            return None;
        }
        trigger.when = format!("{a}>{b} {event}");
    }
    swap(&mut smaller.cluster.mailboxes);
    Some(smaller)
}

/// Calls `each` with every host that a step names.
fn hosts(step: &mut Step, each: &mut dyn FnMut(&mut String)) {
    let ends = |link: &mut String, each: &mut dyn FnMut(&mut String)| {
        if let Some((a, b)) = link.split_once('>') {
            let (mut a, mut b) = (a.to_owned(), b.to_owned());
            each(&mut a);
            each(&mut b);
            *link = format!("{a}>{b}");
        }
    };
    match step {
        Step::Submit(submit) => each(&mut submit.to),
        Step::Resend(resend) => each(&mut resend.to),
        Step::Crash { node, .. }
        | Step::Start { node, .. }
        | Step::Destroy { node }
        | Step::Freeze { node }
        | Step::Thaw { node }
        | Step::Snapshot { node }
        | Step::Revert { node }
        | Step::Resubmit { node, .. } => each(node),
        Step::Partition(Partition { a, b, .. }) => {
            each(a);
            each(b);
        }
        Step::Delay { link, .. }
        | Step::BlackHole { link, .. }
        | Step::Reset { link }
        | Step::Toxic(ToxicStep { link, .. })
        | Step::Down { link }
        | Step::Garble { link }
        | Step::DelayReply { link, .. } => ends(link, each),
        Step::Heal { a, b } => a.iter_mut().chain(b).for_each(each),
        Step::Sink { sink, .. } => each(sink),
        Step::Idle { to, .. } | Step::PeerVerbs { to, .. } => each(to),
        _ => {}
    }
}

fn settings(scenario: &Scenario, all: &mut Vec<Scenario>) {
    for name in scenario.config.keys() {
        let mut smaller = scenario.clone();
        smaller.config.remove(name);
        all.push(smaller);
    }
    for (node, settings) in &scenario.node {
        for name in settings.keys() {
            let mut smaller = scenario.clone();
            if let Some(own) = smaller.node.get_mut(node) {
                own.remove(name);
            }
            smaller.node.retain(|_, own| !own.is_empty());
            all.push(smaller);
        }
    }
    if scenario.real_time.is_some() {
        all.push(Scenario {
            real_time: None,
            ..scenario.clone()
        });
    }
}

/// Fewer messages, fewer recipients, and each option at its default.
fn submits(submit: &Submit) -> Vec<Step> {
    let mut all = Vec::new();
    let mut put = |smaller: Submit| all.push(Step::Submit(smaller));
    for count in [1, submit.count / 2, submit.count.saturating_sub(1)] {
        if (1..submit.count).contains(&count) {
            put(Submit {
                count,
                sessions: submit.sessions.min(count),
                ..submit.clone()
            });
        }
    }
    for at in 0..submit.recipients.len() {
        let mut smaller = submit.clone();
        smaller.recipients.remove(at);
        put(smaller);
    }
    let plain = Submit::new(&submit.client, &submit.to);
    macro_rules! plain {
        ($($field:ident),+) => {
            $(put(Submit { $field: plain.$field.clone(), ..submit.clone() });)+
        };
    }
    plain!(
        sessions,
        one_session,
        every,
        redial,
        patience,
        via,
        transfer,
        hello,
        message,
        message_id,
        from,
        smuggle,
        cut,
        probe_session,
        background
    );
    all.retain(|smaller| *smaller != Step::Submit(submit.clone()));
    all
}

/// The step, faster.
fn durations(step: &Step) -> Vec<Step> {
    match step {
        Step::Wait { duration } => shorter(*duration)
            .map(|duration| Step::Wait { duration })
            .collect(),
        Step::WaitQuiet { at_most } => shorter(*at_most)
            .map(|at_most| Step::WaitQuiet { at_most })
            .collect(),
        Step::Delay { link, latency } => shorter(*latency)
            .map(|latency| Step::Delay {
                link: link.clone(),
                latency,
            })
            .collect(),
        Step::DelayReply { link, latency } => shorter(*latency)
            .map(|latency| Step::DelayReply {
                link: link.clone(),
                latency,
            })
            .collect(),
        Step::BlackHole {
            link,
            stream: Some(_),
        } => vec![Step::BlackHole {
            link: link.clone(),
            stream: None,
        }],
        Step::Partition(partition) if partition.one_way => vec![Step::Partition(Partition {
            one_way: false,
            ..partition.clone()
        })],
        Step::Heal { a: Some(_), b: _ } => vec![Step::Heal { a: None, b: None }],
        Step::Sink {
            sink,
            behaviour,
            count: Some(_),
        } => vec![Step::Sink {
            sink: sink.clone(),
            behaviour: behaviour.clone(),
            count: None,
        }],
        _ => Vec::new(),
    }
}

fn shorter(span: Span) -> impl Iterator<Item = Span> {
    LADDER
        .into_iter()
        .map(|secs| Span(Duration::from_secs(secs)))
        .filter(move |shorter| *shorter < span)
}

fn triggers(trigger: &Trigger) -> Vec<Trigger> {
    let mut all = Vec::new();
    if trigger.nth > 1 {
        for nth in [1, trigger.nth / 2, trigger.nth - 1] {
            all.push(Trigger {
                nth: nth.max(1),
                ..trigger.clone()
            });
        }
    }
    if trigger.then.is_some() {
        all.push(Trigger {
            after: None,
            then: None,
            ..trigger.clone()
        });
    }
    if trigger.every.is_some() {
        all.push(Trigger {
            every: None,
            ..trigger.clone()
        });
    }
    if trigger.during.is_some() {
        all.push(Trigger {
            during: None,
            ..trigger.clone()
        });
    }
    if trigger.before {
        all.push(Trigger {
            before: false,
            ..trigger.clone()
        });
    }
    if let Some(after) = trigger.after {
        all.extend(shorter(after).map(|after| Trigger {
            after: Some(after),
            ..trigger.clone()
        }));
    }
    all.extend(
        durations(&trigger.action)
            .into_iter()
            .map(|action| Trigger {
                action,
                ..trigger.clone()
            }),
    );
    all
}
