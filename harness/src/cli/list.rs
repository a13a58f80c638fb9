//! `gauntlet list`

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use gauntlet_docker::target::Target;
use reference_node::sabotage::Sabotage;
use serde_json::{Value, json};

use super::{
    Done, output,
    run::selection_failure,
    table::{table, wrap},
};
use crate::{
    error::{ExitCode, Failure},
    scenario::{CHAOS_FAULTS, Selected, embedded},
    tap, toxics,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Groups of scenarios
    Suites,
    /// What is done to which cluster
    Scenarios,
    /// What transports promise, with the scenarios that test it and the sabotages that break it
    Guarantees,
    /// What can be broken, and the events on the wire that faults can be hung on
    Faults,
    /// Deliberately broken behaviours of the reference node
    Sabotages,
    /// Transports that can be tested
    Targets,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet list suites
  gauntlet list guarantees
  gauntlet list scenarios --json")]
pub(super) struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    what: What,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> Done {
    let scenarios = || embedded().map_err(selection_failure);
    let (rows, text) = match args.what {
        What::Suites => suites(&scenarios()?),
        What::Scenarios => listed(
            self::scenarios(&scenarios()?),
            &["id", "suite", "on", "guarantees", "title"],
        ),
        What::Guarantees => guarantees(&scenarios()?),
        What::Faults => faults(),
        What::Sabotages => listed(sabotages(), &["name", "breaks", "description"]),
        What::Targets => listed(targets()?, &["name", "on", "claims", "description"]),
    };
    if args.json {
        // A JSON value is always written.
        return output::print(&format!("{:#}\n", Value::Array(rows))).map(|()| ExitCode::Holds);
    }
    output::print(&text).map(|()| ExitCode::Holds)
}

type Listing = (Vec<Value>, String);

/// The rows, and a table of these of their fields.
fn listed(rows: Vec<Value>, fields: &[&str]) -> Listing {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| fields.iter().map(|field| cell(&row[*field])).collect())
        .collect();
    let text = table(fields, &cells, output::width());
    (rows, text)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn suites(scenarios: &[Selected]) -> Listing {
    let mut rows: Vec<Value> = Vec::new();
    for suite in gauntlet_suites::suites() {
        let members: Vec<&Selected> = scenarios.iter().filter(|s| s.suite == suite).collect();
        let mut guarantees: Vec<&String> = members
            .iter()
            .flat_map(|s| &s.scenario.guarantees)
            .collect();
        guarantees.sort();
        guarantees.dedup();
        rows.push(json!({ "suite": suite, "scenarios": members.len(), "guarantees": guarantees }));
    }
    listed(rows, &["suite", "scenarios", "guarantees"])
}

fn scenarios(scenarios: &[Selected]) -> Vec<Value> {
    let row = |s: &Selected| {
        json!({
            "id": s.id,
            "suite": s.suite,
            "title": s.scenario.title,
            "on": s.scenario.on,
            "guarantees": s.scenario.guarantees,
        })
    };
    scenarios.iter().map(row).collect()
}

fn guarantees(scenarios: &[Selected]) -> Listing {
    let mut tested: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for scenario in scenarios {
        for id in &scenario.scenario.guarantees {
            tested.entry(id).or_default().push(&scenario.id);
        }
    }
    let (mut rows, mut text) = (Vec::new(), String::new());
    let width = output::width();
    for guarantee in gauntlet_suites::catalogue() {
        let tested_by = tested.remove(guarantee.id.as_str()).unwrap_or_default();
        let broken_by: Vec<&str> = Sabotage::ALL
            .iter()
            .filter(|s| s.breaks().contains(&guarantee.id.as_str()))
            .map(|s| s.name())
            .collect();
        text.push_str(&format!(
            "{:<6} {:<7} {}\n",
            guarantee.id,
            guarantee.level,
            wrap(&guarantee.statement, width - 15, 15)
        ));
        for (name, list) in [
            (
                "source",
                guarantee
                    .sources
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            ),
            ("tested by", tested_by.clone()),
            ("broken by", broken_by.clone()),
        ] {
            let said = if list.is_empty() {
                "—".into()
            } else {
                list.join(", ")
            };
            text.push_str(&format!(
                "{:15}{name}: {}\n",
                "",
                wrap(&said, width - 17 - name.len(), 17 + name.len())
            ));
        }
        rows.push(json!({
            "id": guarantee.id,
            "level": guarantee.level.as_str(),
            "statement": guarantee.statement,
            "sources": guarantee.sources,
            "scenarios": tested_by,
            "sabotages": broken_by,
        }));
    }
    (rows, text)
}

/// Steps that are faults, or take one back.
const FAULT_STEPS: &[(&str, &str)] = &[
    (
        "crash",
        "a node's process ends at once, or with `kind = \"host\"` its host loses power and what was not synced is gone",
    ),
    ("destroy", "a node and its disk are lost"),
    (
        "start",
        "a node is started, with `database = \"new\"` with a new transport database",
    ),
    ("freeze", "a node stops in the middle of whatever it does"),
    ("thaw", "…and goes on"),
    ("snapshot", "a node's disk is copied as it is now"),
    ("revert", "a node's disk goes back to its snapshot"),
    ("fill-disk", "a node's disk is full: nothing grows"),
    ("free-disk", "…and has room again"),
    (
        "read-only-disk",
        "a node's disk begins to fail: nothing can be written, and what was not synced is lost",
    ),
    (
        "repair-disk",
        "…and is repaired: the node ends, its file system is checked and mounted anew, and it starts",
    ),
    (
        "jump-clock",
        "a node's wall clock is set ahead or back; its monotonic clock goes on",
    ),
    ("correct-clock", "…and is set right"),
    (
        "starve-cpu",
        "a node gets only so many hundredths of one processor",
    ),
    ("feed-cpu", "…and as much as it wants again"),
    (
        "save",
        "a node's memory and disk are saved, and it stops; its connections are dead for the others",
    ),
    (
        "resume",
        "…and it goes on from there, with `clock = \"stale\"` by the clock of the saved moment",
    ),
    (
        "migrate",
        "a node moves to another host while it runs; it stands still for a moment, and its connections go on",
    ),
    (
        "shutdown",
        "a node is shut down in an orderly way, and everything it wrote is on its disk; `start` boots it",
    ),
    ("balloon", "memory is taken from a node while it works"),
    ("deflate", "…and is given back"),
    (
        "partition",
        "nothing passes between two hosts; what was sent arrives after healing",
    ),
    ("delay", "octets on a link arrive later"),
    (
        "black-hole",
        "octets on a link vanish for good, with `stream` in one direction only",
    ),
    ("reset", "a link's open connections are reset"),
    ("toxic", "a toxic works on a link, as in Toxiproxy"),
    (
        "down",
        "a link refuses connections, and its open ones are reset",
    ),
    (
        "garble",
        "the next reply on a link is garbled; hung before an event, the reply that it is",
    ),
    (
        "delay-reply",
        "the next reply on a link is held up; hung before an event, the reply that it is",
    ),
    ("heal", "faults of the network are taken back"),
    (
        "sink",
        "a next hop defers, refuses, is slow, down, or drops the connection after the dot",
    ),
];

fn faults() -> Listing {
    let rows = |kind: &str, list: &[(&str, &str)]| -> Vec<Value> {
        list.iter()
            .map(|(name, meaning)| json!({ "kind": kind, "name": name, "description": meaning }))
            .collect()
    };
    let local = tap::local_event_names();
    let local: Vec<(&str, &str)> = local
        .iter()
        .map(|(name, meaning)| (name.as_str(), meaning.as_str()))
        .collect();
    let sections = [
        (
            "Faults of `[[step]]`; all but sink also of `[[fault]]`",
            rows("step", FAULT_STEPS),
        ),
        (
            "Types of `toxic`, with their attributes; on `process`",
            rows("toxic", toxics::toxic_types()),
        ),
        ("Kinds of `[chaos] faults`", rows("chaos", &CHAOS_FAULTS)),
        (
            "Events of `[[fault]] when = \"LINK EVENT\"`",
            rows("event", tap::event_names()),
        ),
        (
            "Events of `[[fault]] when = \"NODE EVENT\"`, on `sim`",
            rows("local-event", &local),
        ),
    ];
    let (mut all, mut text) = (Vec::new(), String::new());
    for (title, rows) in sections {
        let (rows, table) = listed(rows, &["name", "description"]);
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}{title}\n\n{table}"));
        all.extend(rows);
    }
    (all, text)
}

fn sabotages() -> Vec<Value> {
    let row = |s: &Sabotage| json!({ "name": s.name(), "breaks": s.breaks(), "description": s.description() });
    Sabotage::ALL.iter().map(row).collect()
}

fn targets() -> Result<Vec<Value>, Failure> {
    let all = gauntlet_docker::target::shipped().map_err(super::target::failure)?;
    let row = |target: Target| {
        let on: &[&str] = match target.is_reference_node() {
            true => &["sim", "process", "container"],
            false => &["container"],
        };
        json!({
            "name": target.name,
            "on": on,
            "claims": target.capabilities,
            "description": target.title,
        })
    };
    Ok(all.into_iter().map(row).collect())
}
