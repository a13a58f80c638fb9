//! Exploration: one scenario, with every fault at every point of its run.
//!
//! Comes in: a plan, what may be spent. Goes out: every schedule's verdicts, counted, and the schedules that fail, each with
//! a run directory. Called by `gauntlet explore`; `docs/explore.md` is for readers.
//!
//! Reading order: [`points`] (the moments of a run) → [`faults`] (what is tried at each) → [`equal`] (which of them cannot
//! differ) → [`schedules`] (all of that, in order) → [`drive`] (runs them) → [`results`] (keeps what came of them).

mod budget;
mod drive;
mod equal;
mod faults;
mod points;
mod results;
mod schedules;
#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use drive::{Exploration, ExploreError, Found, Part, Tick, explore};
pub use equal::{Alike, Rule};
pub use faults::{Injection, Kind, Outages};
pub use points::{Place, Point, Shape};
pub use results::{Header, Line, ResultFile, ResultsError};
pub use schedules::{Enumerated, enumerate};
