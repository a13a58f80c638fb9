//! Random runs: cluster, configuration, mail and faults of an ordinary scenario, all drawn from one seed.
//!
//! Comes in: a seed. Goes out: a [`Plan`] like any other (it passes the validator, and each node's own check), so that its
//! run directory, replay, shrinking and reports are those of any run. Called by `gauntlet run --random`.
//!
//! Swarm style: each seed draws which kinds of fault it uses at all, and how its clients are, before it draws what happens
//! when. A run with few kinds reaches states that a run with all of them hardly ever does.
//!
//! The fault budget is that of SC-17 and RO-06: one server at a time, with recovery in between. A round is mail, trouble on
//! the way, recovery, quiet, and what a client does then that cannot know (it sends again). What touches no server's data (a
//! link, a next hop) may come on top. Every third run has an act besides ([`acts`]), for what rounds do not come to.

mod acts;
mod cluster;
mod dice;
mod faults;
mod mail;
mod rounds;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::{acts::Act, dice::Dice};
use crate::{
    check::registry,
    scenario::{Plan, Scenario, Settle, Span},
};

/// The ID that all random runs have.
pub const ID: &str = "random";

/// The plan of a seed. Every guarantee that has a checker and stands in the catalogue is judged in it.
pub fn plan(seed: u64) -> Plan {
    let mut dice = Dice::new(seed, "random cluster");
    let cluster = cluster::cluster(&mut dice);
    let config = cluster::config(&mut dice, &cluster);
    let node = cluster::own_config(&mut dice, &cluster);
    let mut scenario = Scenario {
        title: "Random cluster, configuration, mail and faults".into(),
        description: None,
        guarantees: guarantees(),
        on: vec!["sim".into()],
        cluster,
        config,
        node,
        real_time: None,
        step: Vec::new(),
        fault: Vec::new(),
        chaos: None,
        settle: Settle {
            at_most: Span::from_secs(12 * 3600),
            heal: true,
        },
    };
    let mut dice = Dice::new(seed, "random act");
    let act = Act::draw(&mut dice, &scenario);
    if let Some(act) = act {
        act.prepare(&mut dice, &mut scenario);
    }
    let mut drawn = if act.is_some_and(Act::alone) {
        rounds::Drawn::default()
    } else {
        rounds::draw(&scenario, seed)
    };
    if let Some(act) = act {
        act.perform(&mut dice, &scenario, &mut drawn);
        let with = format!("Drawn with {}", act.in_words());
        drawn.description = match drawn.description.strip_prefix("Drawn with ") {
            Some(faults) => format!("{with}; before it {faults}"),
            None => format!("{with}."),
        };
    }
    scenario.description = Some(drawn.description);
    scenario.step = drawn.steps;
    scenario.fault = drawn.faults;
    Plan {
        id: ID.into(),
        suite: ID.into(),
        seed,
        scenario,
    }
}

fn guarantees() -> Vec<String> {
    let known = |id: &&str| gauntlet_suites::guarantee(id).is_some();
    let mut ids: Vec<String> = registry::ids()
        .into_iter()
        .filter(known)
        .map(str::to_owned)
        .collect();
    ids.dedup();
    ids
}

/// Settings by name.
type Settings = BTreeMap<String, crate::scenario::Setting>;
