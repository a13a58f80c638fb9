//! What `gauntlet probe` found, and its renderings.
//!
//! Comes in: a [`ProbeReport`], filled by the harness's probe. Goes out: what it comes to ([`ProbeReport::conclusion`]) and
//! its renderings: [`terminal`], [`junit`], [`html`], [`json`].

mod html;
mod junit;
mod model;
mod terminal;

pub use html::html;
pub use junit::junit;
pub use model::{
    DialogueLine, Level, Outcome, PROBE_VERSION, ProbeCase, ProbeReport, ProbeSummary, Speaker,
    Standing,
};
pub use terminal::terminal;

use crate::ReportError;

/// The report as indented JSON with a line end after it.
///
/// # Errors
///
/// [`ReportError::Json`] when the writer refuses; no report is known that makes it do so.
pub fn json(report: &ProbeReport) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}
