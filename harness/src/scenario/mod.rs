//! Scenario files: what to do to which cluster, and which guarantees it tests.
//!
//! Comes in: TOML files, a seed. Goes out: [`Scenario`]s and [`Plan`]s. Called by the commands and the campaign.

mod chaos;
mod model;
mod parameters;
mod parse;
mod places;
mod plan;
mod roles;
mod schema;
mod selector;
mod span;
pub(crate) mod spelling;
mod step;
mod submit;
mod validate;
mod validate_steps;

pub use model::*;
pub use parameters::{Kind, PARAMETERS, Parameter, duration, parameter};
pub use parse::{Known, ScenarioError, parse, parse_with};
pub(crate) use parse::{Problem, file_error, grammar, shape};
pub(crate) use places::Place;
pub use plan::{PlanError, plan, stream};
pub use roles::LEGACY_DOMAIN;
pub use schema::schema;
pub use selector::{SelectError, Selected, embedded, select};
pub use span::Span;
pub use step::*;
pub use submit::*;
pub use validate::{CHAOS_FAULTS, SUBSTRATES};
