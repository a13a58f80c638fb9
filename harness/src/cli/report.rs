//! `gauntlet report`

use std::path::PathBuf;

use clap::Args;

use super::{Done, rendered};
use crate::{
    error::{ExitCode, Failure},
    run_directory,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet report runs/latest
  gauntlet report runs/latest --markdown \"$GITHUB_STEP_SUMMARY\"
  gauntlet report runs/latest --junit junit.xml --html report.html")]
pub(super) struct ReportArgs {
    /// A run directory, or a verdicts file
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    files: rendered::Files,
    /// Print every finding with its evidence
    #[arg(long, short)]
    verbose: bool,
}

/// Renders what was judged before. The exit code is about the rendering, not about the verdicts.
pub(super) fn run(args: &ReportArgs) -> Done {
    let path = if args.run.is_dir() {
        args.run.join(run_directory::VERDICTS)
    } else {
        args.run.clone()
    };
    let help = "a run that was killed has no verdicts: `gauntlet check` judges its history";
    let text = run_directory::read(&path)
        .map_err(|e| Failure::with_help(ExitCode::Usage, e.to_string(), help))?;
    let report = gauntlet_reports::from_json(&text)
        .map_err(|e| Failure::text(ExitCode::Usage, format!("{}: {e}", path.display())))?;
    args.files.write(&report)?;
    rendered::print(&report, false, args.verbose)?;
    Ok(ExitCode::Holds)
}
