//! The smallest schedule that still breaks a guarantee.
//!
//! Comes in: a scenario in which every choice is made, and whether a scenario still shows the violation (the caller runs
//! it). Goes out: a scenario from which nothing can be taken any more, and how many runs that took. Called by
//! `gauntlet shrink`.
//!
//! Delta debugging (Zeller's ddmin) over steps and hung faults together, in halves, quarters and so on down to single
//! ones; then everything smaller, one by one ([`reductions`]): messages, recipients, options, nodes, sites, parameters,
//! durations. All of it again until a whole pass takes nothing away: the result is 1-minimal. Only scenarios that the
//! validator accepts are tried, and none twice.

mod reductions;
mod story;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use story::story;

use crate::scenario::{self, Scenario, Step};

/// Tells whether a scenario still shows the violation; `None` ends the search (Ctrl-C).
pub type Shows<'a> = &'a mut dyn FnMut(&Scenario) -> Option<bool>;

/// What came of shrinking.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrunk {
    /// The smallest scenario found.
    pub scenario: Scenario,
    /// Runs that it took.
    pub runs: u32,
    /// Nothing more can be taken away; `false`: the search was ended early.
    pub minimal: bool,
}

/// What is left of a scenario, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Steps.
    pub steps: usize,
    /// Faults, in steps and hung on events.
    pub faults: usize,
    /// Messages that are submitted.
    pub messages: u32,
    /// Nodes.
    pub nodes: usize,
    /// Parameters.
    pub parameters: usize,
}

impl Size {
    /// Of this scenario.
    pub fn of(scenario: &Scenario) -> Self {
        let messages = scenario.step.iter().map(|step| match step {
            Step::Submit(submit) => submit.count,
            _ => 0,
        });
        Self {
            steps: scenario.step.len(),
            faults: scenario.step.iter().filter(|s| is_fault(s)).count()
                + scenario
                    .fault
                    .iter()
                    .filter(|t| is_fault(&t.action))
                    .count(),
            messages: messages.sum(),
            nodes: scenario.cluster.nodes.len(),
            parameters: scenario.config.len()
                + scenario.node.values().map(BTreeMap::len).sum::<usize>(),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.steps, "step"),
            (self.faults, "fault"),
            (self.messages as usize, "message"),
            (self.nodes, "node"),
            (self.parameters, "parameter"),
        ];
        let words: Vec<String> = parts
            .iter()
            .map(|(n, word)| format!("{n} {word}{}", if *n == 1 { "" } else { "s" }))
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// A step that breaks something.
fn is_fault(step: &Step) -> bool {
    matches!(
        step,
        Step::Crash { .. }
            | Step::Destroy { .. }
            | Step::Freeze { .. }
            | Step::Revert { .. }
            | Step::Partition(_)
            | Step::Delay { .. }
            | Step::BlackHole { .. }
            | Step::Reset { .. }
            | Step::Toxic(_)
            | Step::Down { .. }
            | Step::Garble { .. }
            | Step::DelayReply { .. }
    )
}

/// Shrinks a scenario that shows the violation. `told` hears of every smaller one.
pub fn shrink(scenario: &Scenario, shows: Shows<'_>, told: &mut dyn FnMut(&Shrunk)) -> Shrunk {
    let mut search = Search {
        best: scenario.clone(),
        runs: 0,
        tried: BTreeSet::new(),
        ended: false,
        shows,
        told,
    };
    loop {
        let before = search.best.clone();
        search.schedule();
        search.rest();
        if search.ended || search.best == before {
            break;
        }
    }
    Shrunk {
        scenario: search.best,
        runs: search.runs,
        minimal: !search.ended,
    }
}

struct Search<'a> {
    best: Scenario,
    runs: u32,
    /// What was tried, as its file.
    tried: BTreeSet<String>,
    ended: bool,
    shows: Shows<'a>,
    told: &'a mut dyn FnMut(&Shrunk),
}

impl Search<'_> {
    /// Whether a smaller scenario shows the violation, too; then it is the best.
    fn take(&mut self, candidate: Scenario) -> bool {
        if self.ended || candidate == self.best {
            return false;
        }
        let Some(file) = valid(&candidate) else {
            return false;
        };
        // What showed the violation was the best once, and everything is smaller now.
        if self.tried.contains(&file) {
            return false;
        }
        let Some(shown) = (self.shows)(&candidate) else {
            self.ended = true;
            return false;
        };
        self.runs += 1;
        self.tried.insert(file);
        if shown {
            self.best = candidate;
            (self.told)(&Shrunk {
                scenario: self.best.clone(),
                runs: self.runs,
                minimal: false,
            });
        }
        shown
    }

    /// ddmin over steps and hung faults.
    fn schedule(&mut self) {
        let mut size = items(&self.best).div_ceil(2);
        while size > 0 && !self.ended {
            let mut at = 0;
            let mut taken = false;
            while at < items(&self.best) && !self.ended {
                let without = at..(at + size).min(items(&self.best));
                let candidate = reductions::without(&self.best, &without);
                if candidate.is_some_and(|candidate| self.take(candidate)) {
                    taken = true;
                } else {
                    at += size;
                }
            }
            // Where something went, what stood in the way of something else may be gone.
            if !(taken && size == 1) {
                size /= 2;
            }
        }
    }

    /// Everything else, one by one.
    fn rest(&mut self) {
        let mut at = 0;
        while let Some(candidate) = reductions::all(&self.best).into_iter().nth(at) {
            if self.ended {
                return;
            }
            if !self.take(candidate) {
                at += 1;
            }
        }
    }
}

fn items(scenario: &Scenario) -> usize {
    scenario.step.len() + scenario.fault.len()
}

/// The scenario's file, when the validator accepts it.
fn valid(scenario: &Scenario) -> Option<String> {
    let file = file(scenario)?;
    scenario::parse("shrunk.toml", &file).ok().map(|_| file)
}

/// The scenario as a file that anybody can run; `None` when TOML has no word for something in it.
pub fn file(scenario: &Scenario) -> Option<String> {
    toml::to_string_pretty(scenario).ok()
}
