//! `gauntlet check`

use std::path::{Path, PathBuf};

use clap::Args;
use gauntlet_reports::RunReport;

use super::{Done, rendered};
use crate::{
    campaign::{self, Job},
    check,
    error::{ExitCode, Failure},
    history::{self, Event, History},
    run_directory,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet check runs/latest
  gauntlet check history.jsonl --verbose")]
pub(super) struct CheckArgs {
    /// A run directory, or a history file
    #[arg(value_name = "RUN|HISTORY")]
    run: PathBuf,
    #[command(flatten)]
    files: rendered::Files,
    /// Print every finding with its evidence
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(args: &CheckArgs, command: &str) -> Done {
    let mut report = RunReport::new(env!("CARGO_PKG_VERSION"), command);
    for path in histories(&args.run)? {
        let history =
            history::read(&path).map_err(|e| Failure::text(ExitCode::Usage, e.to_string()))?;
        add(&mut report, &history, &path)?;
    }
    args.files.write(&report)?;
    rendered::print(&report, false, args.verbose)?;
    Ok(report.conclusion().into())
}

/// Judges one history into the report.
fn add(report: &mut RunReport, history: &History, path: &Path) -> Result<(), Failure> {
    let Some(Event::Begin {
        substrate,
        sabotage,
        plan,
        ..
    }) = history.records.first().map(|r| &r.event)
    else {
        // The reader takes nothing that begins otherwise.
        return Err(Failure::text(
            ExitCode::Usage,
            format!("{}: no `begin` record", path.display()),
        ));
    };
    if report.sabotage.is_none() {
        report.sabotage.clone_from(sabotage);
    }
    let job = Job {
        plan: (**plan).clone(),
        sabotage: None,
    };
    let mut scenario = campaign::empty_report(&job, substrate);
    scenario.directory = path.parent().map(|p| p.display().to_string());
    scenario.counts = campaign::counts(history);
    scenario.simulated_ms = campaign::simulated_ms(history);
    scenario.verdicts = check::judge(&history.records);
    scenario.failure = campaign::failure(history);
    report.scenarios.push(scenario);
    Ok(())
}

/// The history itself, or those of a run directory.
fn histories(run: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !run.is_dir() {
        return Ok(vec![run.to_path_buf()]);
    }
    let directories = directories(run, run_directory::HISTORY)?;
    Ok(directories
        .into_iter()
        .map(|d| d.join(run_directory::HISTORY))
        .collect())
}

/// The directories of a run that have this file; none is an error.
pub(super) fn directories(run: &Path, file: &str) -> Result<Vec<PathBuf>, Failure> {
    let found = run_directory::holding(run, file)
        .map_err(|e| Failure::text(ExitCode::Usage, e.to_string()))?;
    if found.is_empty() {
        let help =
            "a run directory is what `gauntlet run` makes; of mass runs only failing ones are kept";
        return Err(Failure::with_help(
            ExitCode::Usage,
            format!("{}: there is no {file} here", run.display()),
            help,
        ));
    }
    Ok(found)
}
