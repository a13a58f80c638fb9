//! `gauntlet replay`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use gauntlet_reports::RunReport;

use super::{
    Done, check, compare, interrupt, output,
    progress::Line,
    rendered,
    run::{LONGEST, On, conclude, execute_failure, processors, sabotage, settings},
    target::TargetArgs,
};
use crate::{
    campaign::{self, Campaign, Job, Keep, run_campaign},
    error::{ExitCode, Failure},
    history::{self, Event},
    run_directory::{self, RunDirectory},
    scenario::Plan,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet replay runs/latest
  gauntlet replay runs/20260102T030405Z-chaos-1/ch-01-one-at-a-time-7 --verbose")]
pub(super) struct ReplayArgs {
    /// A run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the new run directory is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs_dir: PathBuf,
    /// The program that is a node, for runs on `process`
    #[arg(long, value_name = "FILE")]
    node_bin: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// Print every finding with its evidence
    #[arg(long, short)]
    verbose: bool,
}

/// A recorded run, and the circumstances to repeat it under.
pub(super) struct Recorded {
    directory: PathBuf,
    pub(super) job: Job,
    pub(super) on: On,
    time_scale: u32,
}

pub(super) fn run(args: &ReplayArgs, command: &str) -> Done {
    let recorded = check::directories(&args.run, run_directory::PLAN)?
        .into_iter()
        .map(load)
        .collect::<Result<Vec<_>, _>>()?;
    // One call of `run` has one substrate and one scale.
    let Some(Recorded { on, time_scale, .. }) = recorded.first() else {
        return Err(Failure::text(ExitCode::Usage, "there is nothing to replay"));
    };
    let executor = campaign::open(
        on.name(),
        &settings(*on, Some(*time_scale), args.node_bin.clone(), &args.target)?,
    )
    .map_err(execute_failure)?;
    let jobs: Vec<Job> = recorded.iter().map(|r| r.job.clone()).collect();
    let seed = jobs.first().map_or(0, |job| job.plan.seed);
    // Two seeds of one scenario need a directory each.
    let seeds = if jobs.iter().all(|job| job.plan.seed == seed) {
        1
    } else {
        2
    };
    let name = match jobs.as_slice() {
        [one] => format!("replay-{}", one.plan.id),
        _ => "replay".into(),
    };
    let directory = RunDirectory::create(
        &args.runs_dir,
        jiff::Timestamp::now(),
        &name,
        seed,
        jobs.len(),
        seeds,
    )
    .map_err(|e| {
        Failure::with_help(
            ExitCode::Missing,
            e.to_string(),
            "choose another directory with `--runs-dir`",
        )
    })?;
    let cancel = interrupt::token()?;
    let line = Line::new(jobs.len(), false, args.verbose);
    let results = run_campaign(&Campaign {
        executor: executor.as_ref(),
        jobs: &jobs,
        parallel: processors(),
        keep: Keep::All(&directory),
        cancel: &cancel,
        longest: LONGEST,
        observer: &|progress| line.tell(progress),
    });
    line.finish();
    let mut report = RunReport::new(env!("CARGO_PKG_VERSION"), command);
    report.sabotage = jobs
        .first()
        .and_then(|job| job.sabotage)
        .map(|s| s.name().to_owned());
    report.scenarios = results.scenarios;
    rendered::write_directory(directory.path(), &report)?;
    rendered::print(&report, false, args.verbose)?;
    // What was interrupted has no whole history.
    if !results.interrupted && results.missing.is_none() {
        for one in &recorded {
            compare_with(one, &directory, executor.is_reproducible())?;
        }
    }
    output::note(&format!("run directory: {}", directory.path().display()));
    conclude(&report, results.missing, results.interrupted)
}

/// Says whether the history is the same again, byte for byte; where time is real, what differed.
fn compare_with(
    recorded: &Recorded,
    directory: &RunDirectory,
    reproducible: bool,
) -> Result<(), Failure> {
    let plan = &recorded.job.plan;
    let again = directory
        .scenario(&plan.id, plan.seed)
        .map_err(|e| Failure::text(ExitCode::Missing, e.to_string()))?;
    let file = |directory: &Path| directory.join(run_directory::HISTORY);
    let (before, now) = (file(&recorded.directory), file(&again));
    let said = if !before.is_file() {
        "there is no recorded history to compare with".to_owned()
    } else if reproducible {
        compare::octets(
            &fs::read(&before).unwrap_or_default(),
            &fs::read(&now).unwrap_or_default(),
        )
    } else {
        let read = |path: &Path| {
            history::read(path).map_err(|e| Failure::text(ExitCode::Usage, e.to_string()))
        };
        let found = compare::differences(&read(&before)?, &read(&now)?);
        if found.is_empty() {
            "the same outcomes, faults and verdicts again".to_owned()
        } else {
            format!(
                "the same schedule, with differences\n  {}",
                found.join("\n  ")
            )
        }
    };
    output::note(&format!("{}: {said}", plan.id));
    Ok(())
}

/// The plan from its file; substrate, scale and sabotage from the history's first record.
pub(super) fn load(directory: PathBuf) -> Result<Recorded, Failure> {
    let usage = |message: String| Failure::text(ExitCode::Usage, message);
    let path = directory.join(run_directory::PLAN);
    let text = run_directory::read(&path).map_err(|e| usage(e.to_string()))?;
    let plan = Plan::from_toml(&text).map_err(|e| usage(format!("{}: {e}", path.display())))?;
    let history = directory.join(run_directory::HISTORY);
    let mut recorded = Recorded {
        directory,
        job: Job {
            plan,
            sabotage: None,
        },
        on: On::Sim,
        time_scale: 1,
    };
    if history.is_file() {
        let history = history::read(&history).map_err(|e| usage(e.to_string()))?;
        if let Some(Event::Begin {
            substrate,
            time_scale,
            sabotage: broken,
            ..
        }) = history.records.first().map(|r| &r.event)
        {
            recorded.on = On::from_name(substrate)
                .ok_or_else(|| usage(format!("no substrate is called `{substrate}`")))?;
            recorded.time_scale = *time_scale;
            recorded.job.sabotage = broken.as_deref().map(sabotage).transpose()?;
        }
    }
    Ok(recorded)
}
