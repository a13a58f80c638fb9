//! The guarantee catalogue, the scenario files and the test messages, embedded.
//!
//! Comes in: `guarantees.toml`, `<suite>/*.toml` and `messages/*.eml` of this directory, at compile time. Goes out:
//! [`catalogue()`] for reports and checkers, [`scenarios()`] for the scenario parser, [`messages()`] for the workload.
//! Nothing here knows what a scenario file means; that is the harness's subject.

mod catalogue;
mod files;
mod messages;
mod probe;

pub use catalogue::{
    Area, Guarantee, Level, Parameter, Source, areas, catalogue, guarantee, parameters, source,
    sources,
};
pub use files::{SUITES, SuiteFile, scenario, scenarios, suites};
pub use messages::{ATTACHMENT_BYTES, MessageFile, message, messages};
pub use probe::{UNTESTABLE, UNTESTABLE_CLIENT};
