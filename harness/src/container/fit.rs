//! Makes a plan a target's: what the target is configured with, what it claims, and whether it can be asked at all.
//!
//! Comes in: a plan as its scenario has it, and a target. Goes out: the plan that is run, or why the scenario is not
//! applicable. Called by the campaign before a run on containers; the history holds the plan that was run.
//!
//! A reference node is configured as the scenario says. Any other mail transfer agent
//!
//! * stands alone. A scenario with more nodes of which only one is ever named is run with that one;
//! * knows one smart host, to which all mail goes: the word `mailbox` becomes an address beyond the boundary, like
//!   `external`, and there can be one sink;
//! * is configured by its target file, not by the scenario: the durations and limits that the file states stand in the
//!   plan's `config`, multiplied by the time scale, so that checkers judge by them. A scenario that sets a documented
//!   parameter is not applicable.

use std::{collections::BTreeMap, time::Duration};

use gauntlet_docker::target::{Capability, Target};

use crate::scenario::{Database, Plan, Scenario, Setting, Span, Step, Submit, Transfer};

/// What `mailbox` becomes. Its domain is the first sink's.
const IN_PLACE_OF_MAILBOX: &str = "user-1@external.example";

/// Steps that only a reference node can be asked, and why.
const BEYOND: &[(&str, &str)] = &[
    (
        "jump-clock",
        "a container has the machine's clock, which nobody touches",
    ),
    (
        "save",
        "a container has no memory image that could be put back; that needs a virtual machine",
    ),
    ("resubmit", "it has no Safety Net that a peer could ask"),
    ("check-config", "it has no documented parameters"),
    ("peer-verbs", "it has no peers"),
    (
        "snapshot",
        "its spool is put back with a reference node only",
    ),
    ("revert", "its spool is put back with a reference node only"),
];

/// The plan that is run on this target.
///
/// # Errors
/// The scenario is not applicable, and why.
pub fn fit(plan: &Plan, target: &Target, time_scale: u32) -> Result<Plan, String> {
    let mut plan = plan.clone();
    if plan.scenario.guarantees.is_empty() {
        return reference_or_alone(plan, target, time_scale);
    }
    let areas: Vec<&str> = target
        .capabilities
        .iter()
        .flat_map(|of| of.areas())
        .copied()
        .collect();
    let area = |id: &str| id.split('-').next().unwrap_or_default().to_owned();
    let wanted = plan.scenario.guarantees.clone();
    plan.scenario
        .guarantees
        .retain(|id| areas.contains(&area(id).as_str()));
    if plan.scenario.guarantees.is_empty() {
        let missing = Capability::ALL
            .iter()
            .find(|of| {
                wanted
                    .iter()
                    .any(|id| of.areas().contains(&area(id).as_str()))
            })
            .map_or("them", |of| of.name());
        return Err(format!(
            "it tests {}, and {} does not claim `{missing}`",
            wanted.join(", "),
            target.name
        ));
    }
    reference_or_alone(plan, target, time_scale)
}

fn reference_or_alone(mut plan: Plan, target: &Target, time_scale: u32) -> Result<Plan, String> {
    if target.is_reference_node() {
        return Ok(plan);
    }
    let name = target.name.as_str();
    alone(&mut plan.scenario, name)?;
    for step in steps(&mut plan.scenario) {
        let word = keyword(step);
        if let Some((_, why)) = BEYOND.iter().find(|(known, _)| *known == word) {
            return Err(format!("`{word}` is not possible with {name}: {why}"));
        }
        match step {
            Step::Start {
                database: Database::New,
                ..
            } => {
                return Err(format!(
                    "{name} has no transport database that could be replaced"
                ));
            }
            Step::Submit(submit) => to_smart_host(submit, target)?,
            _ => {}
        }
    }
    configured(&mut plan.scenario, target, time_scale)?;
    Ok(plan)
}

/// One node, one sink, nothing that only a cluster has.
fn alone(scenario: &mut Scenario, name: &str) -> Result<(), String> {
    let named = |word: &str| {
        let texts = serde_json::to_string(&(&scenario.step, &scenario.fault));
        texts.is_ok_and(|text| mentions(&text, word))
    };
    let cluster = &scenario.cluster;
    let used: Vec<String> = cluster
        .nodes
        .iter()
        .filter(|node| named(node))
        .cloned()
        .collect();
    let [node] = used.as_slice() else {
        return Err(format!(
            "it has a part for {} nodes, and {name} stands alone",
            used.len().max(cluster.nodes.len())
        ));
    };
    let sinks: Vec<String> = cluster
        .sinks
        .iter()
        .filter(|sink| named(sink))
        .cloned()
        .collect();
    let first = cluster.sinks.first().cloned();
    if sinks.iter().any(|sink| Some(sink) != first.as_ref()) {
        return Err(format!(
            "it needs several next hops, and {name} has one smart host"
        ));
    }
    if !cluster.groups.is_empty() || !cluster.routes.is_empty() {
        return Err(format!(
            "it needs groups or routes, and {name} has one smart host"
        ));
    }
    let node = node.clone();
    let cluster = &mut scenario.cluster;
    cluster.mailboxes.clone_from(&node);
    cluster.nodes = vec![node];
    cluster.sinks = first.into_iter().collect();
    cluster.front_ends.clear();
    cluster.hubs_2010.clear();
    cluster.sites.clear();
    cluster.dags.clear();
    Ok(())
}

/// The word stands in the text by itself, not within a longer name.
fn mentions(text: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

/// All mail goes to the smart host; what the harness cannot know of the target is not asked of it.
fn to_smart_host(submit: &mut Submit, target: &Target) -> Result<(), String> {
    for recipient in &mut submit.recipients {
        if recipient == "mailbox" {
            IN_PLACE_OF_MAILBOX.clone_into(recipient);
        } else if recipient.ends_with("@mailbox.example") {
            return Err(format!(
                "it counts on {recipient} being known or refused, and {} takes mail for everybody",
                target.name
            ));
        }
    }
    // `mailbox` and `external` may be one address now.
    let mut seen: Vec<String> = Vec::new();
    submit.recipients.retain(|recipient| {
        let new = !seen.contains(recipient);
        seen.push(recipient.clone());
        new
    });
    let claims = |keyword: &str| {
        target
            .extensions
            .iter()
            .any(|of| of.eq_ignore_ascii_case(keyword))
    };
    if submit.transfer == Transfer::Bdat && !claims("CHUNKING") {
        return Err(format!(
            "it needs CHUNKING, which {} does not claim",
            target.name
        ));
    }
    Ok(())
}

/// What the target file states, in documented parameters and documented time.
fn configured(scenario: &mut Scenario, target: &Target, time_scale: u32) -> Result<(), String> {
    let real_time = scenario.real_time.as_ref().map(|of| &of.config);
    let set: Vec<&String> = scenario
        .config
        .keys()
        .chain(scenario.node.values().flat_map(BTreeMap::keys))
        .chain(real_time.into_iter().flat_map(BTreeMap::keys))
        // Which of the documented durations are shorter where time is real is not the target's business.
        .filter(|name| !name.starts_with("Shadow") && !name.starts_with("SafetyNet"))
        .collect();
    if let Some(name) = set.first() {
        return Err(format!(
            "it sets {name}, and {} is configured by its target file",
            target.name
        ));
    }
    scenario.node.clear();
    scenario.real_time = None;
    let documented = |real: Duration| Setting::Text(Span(real * time_scale).to_string());
    let mut config = BTreeMap::from([
        ("ShadowRedundancyEnabled".to_owned(), Setting::Switch(false)),
        (
            "MessageExpirationTimeout".to_owned(),
            documented(target.durations.bounce.0),
        ),
        (
            "TransientFailureRetryInterval".to_owned(),
            documented(target.durations.retry.0),
        ),
        (
            "OutboundConnectionFailureRetryInterval".to_owned(),
            documented(target.durations.retry.0),
        ),
    ]);
    if let Some(hops) = target.limits.hop_count {
        config.insert("MaxHopCount".into(), Setting::Number(hops.into()));
    }
    if let Some(octets) = target.limits.message_size_octets {
        config.insert("MaxMessageSize".into(), Setting::Number(octets));
    }
    scenario.config = config;
    Ok(())
}

/// The steps, and what triggers do.
fn steps(scenario: &mut Scenario) -> impl Iterator<Item = &mut Step> {
    let hung = scenario
        .fault
        .iter_mut()
        .flat_map(|trigger| std::iter::once(&mut trigger.action).chain(&mut trigger.then));
    scenario.step.iter_mut().chain(hung)
}

/// As the scenario file has it: `crash`.
fn keyword(step: &Step) -> String {
    match serde_json::to_value(step) {
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
