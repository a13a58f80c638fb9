//! The report as JSON: `verdicts.json` of a run directory, written and read back.
//!
//! Comes in: a [`RunReport`], or the text of one. Goes out: the other. Called by the harness when a run ends, and by
//! `gauntlet report` and `gauntlet check`.

use serde::Deserialize;

use crate::{REPORT_VERSION, ReportError, RunReport};

/// The report as indented JSON with a line end after it.
///
/// # Errors
///
/// [`ReportError::Version`] when `report.version` is not [`REPORT_VERSION`]: nobody could read the file back.
pub fn json(report: &RunReport) -> Result<String, ReportError> {
    known(report.version)?;
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// Reads what [`json`] wrote.
///
/// # Errors
///
/// [`ReportError::Version`] for any version but [`REPORT_VERSION`], whatever else the text holds;
/// [`ReportError::Json`] when it is no report at all.
pub fn from_json(text: &str) -> Result<RunReport, ReportError> {
    // The version first: a report of another version need not have the shape of this one.
    let Versioned { version } = serde_json::from_str(text)?;
    known(version)?;
    Ok(serde_json::from_str(text)?)
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn known(version: u32) -> Result<(), ReportError> {
    if version == REPORT_VERSION {
        Ok(())
    } else {
        Err(ReportError::Version { found: version })
    }
}
