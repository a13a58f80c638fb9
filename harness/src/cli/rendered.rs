//! A report in all its forms: on stdout, and in the files that were asked for.
//!
//! Called by every command that has verdicts.

use std::path::{Path, PathBuf};

use clap::Args;
use gauntlet_reports::{RunReport, Style, html, json, junit, markdown, terminal};

use super::output;
use crate::{
    error::{ExitCode, Failure},
    run_directory,
};

/// Files to write the report to.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Files {
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write the report as an HTML page
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as Markdown, as for a CI job's summary
    #[arg(long, value_name = "FILE")]
    pub(super) markdown: Option<PathBuf>,
}

impl Files {
    /// Fails now rather than after a long run, when a file cannot be written.
    pub(super) fn probe(&self) -> Result<(), Failure> {
        for path in [&self.junit, &self.html, &self.json, &self.markdown]
            .into_iter()
            .flatten()
        {
            std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|error| {
                    Failure::text(
                        ExitCode::Usage,
                        format!("cannot write {}: {error}", path.display()),
                    )
                })?;
        }
        Ok(())
    }

    /// Writes what was asked for.
    pub(super) fn write(&self, report: &RunReport) -> Result<(), Failure> {
        if let Some(path) = &self.junit {
            put(path, &junit(report).map_err(not_rendered)?)?;
        }
        if let Some(path) = &self.html {
            put(path, &html(report, &statement))?;
        }
        if let Some(path) = &self.json {
            put(path, &json(report).map_err(not_rendered)?)?;
        }
        if let Some(path) = &self.markdown {
            put(path, &markdown(report, &statement))?;
        }
        Ok(())
    }
}

/// The files of a run directory.
pub(super) fn write_directory(directory: &Path, report: &RunReport) -> Result<(), Failure> {
    put(
        &directory.join(run_directory::VERDICTS),
        &json(report).map_err(not_rendered)?,
    )?;
    put(
        &directory.join(run_directory::JUNIT),
        &junit(report).map_err(not_rendered)?,
    )?;
    put(
        &directory.join(run_directory::HTML),
        &html(report, &statement),
    )
}

/// The report on stdout: all of it, or with `quiet` the totals only.
pub(super) fn print(report: &RunReport, quiet: bool, verbose: bool) -> Result<(), Failure> {
    if quiet {
        return output::print(&format!("{}\n", report.summary()));
    }
    let style = Style {
        color: output::has_color(),
        width: output::width(),
        verbose,
    };
    output::print(&terminal(report, &style, &statement))
}

/// A guarantee's text, from the catalogue.
pub(super) fn statement(id: &str) -> Option<String> {
    gauntlet_suites::guarantee(id).map(|g| g.statement.clone())
}

fn put(path: &Path, text: &str) -> Result<(), Failure> {
    run_directory::write(path, text).map_err(|e| Failure::text(ExitCode::Missing, e.to_string()))
}

fn not_rendered(error: gauntlet_reports::ReportError) -> Failure {
    Failure::text(ExitCode::Harness, error.to_string())
}
