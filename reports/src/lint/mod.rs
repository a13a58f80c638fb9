//! The report of `gauntlet lint`: what the deployment rules (VZ-08) say of a deployment, and its renderings.
//!
//! Comes in: [`LintReport`], made by the harness. Goes out: text for a terminal, JSON, JUnit XML.

mod junit;
mod model;
mod terminal;

pub use junit::junit;
pub use model::{Answer, Finding, LINT_VERSION, Level, LintReport, Where};
pub use terminal::terminal;

use crate::ReportError;

/// The report as indented JSON with a line end after it.
///
/// # Errors
///
/// [`ReportError::Json`] when it cannot be written; no report is known for which that is so.
pub fn json(report: &LintReport) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}
