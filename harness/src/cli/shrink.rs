//! `gauntlet shrink`: the smallest scenario that still breaks the same guarantee, and the story of it.

use std::path::{Path, PathBuf};

use clap::Args;
use gauntlet_reports::{Status, Verdict};
use indicatif::{ProgressBar, ProgressDrawTarget};
use tokio_util::sync::CancellationToken;

use super::{
    Done, check, interrupt, output, replay,
    run::{LONGEST, NO_TARGET, On, execute_failure, settings},
};
use crate::{
    campaign::{self, Campaign, Executor, Job, Keep, run_campaign},
    error::{ExitCode, Failure},
    history::History,
    run_directory,
    scenario::{self, Plan, Scenario},
    shrink::{Size, file, shrink, story},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet shrink runs/latest
  gauntlet shrink runs/latest/random-637 --out smallest.toml
  gauntlet shrink runs/latest --guarantee RO-06

Exit codes: 1 the guarantee is violated by the smallest scenario, which was printed; 2 the run shows no violation in
the simulator.")]
pub(super) struct ShrinkArgs {
    /// The directory of one run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The guarantee that has to stay violated; the first one that is when left out
    #[arg(long, value_name = "ID")]
    guarantee: Option<String>,
    /// Write the scenario to this file, too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &ShrinkArgs) -> Done {
    let recorded = one(&args.run)?;
    let executor = campaign::open(On::Sim.name(), &settings(On::Sim, None, None, &NO_TARGET)?)
        .map_err(execute_failure)?;
    let cancel = interrupt::token()?;
    let trial = Trial {
        executor: executor.as_ref(),
        job: &recorded.job,
        cancel: &cancel,
    };
    let mut begin = recorded.job.plan.scenario.clone();
    if !begin.on.iter().any(|on| on == On::Sim.name()) {
        begin.on.push(On::Sim.name().into());
    }
    let verdicts = match trial.verdicts(&begin) {
        Some(verdicts) => verdicts,
        None => return Ok(ExitCode::Interrupted),
    };
    let Some(id) = violated(&verdicts, args.guarantee.as_deref()) else {
        return Err(not_here(&recorded, args.guarantee.as_deref()));
    };
    begin.guarantees = vec![id.clone()];
    if recorded.on != On::Sim {
        output::note(&format!(
            "the run was on `{}`; {id} is violated in the simulator, too, where it is shrunk",
            recorded.on.name()
        ));
    }

    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let mut shows = |scenario: &Scenario| {
        let verdicts = trial.verdicts(scenario)?;
        bar.tick();
        Some(violated(&verdicts, Some(&id)).is_some())
    };
    let shrunk = shrink(&begin, &mut shows, &mut |best| {
        bar.set_message(format!("{} runs: {}", best.runs, Size::of(&best.scenario)));
    });
    bar.finish_and_clear();

    let name = format!("{}-shrunk", recorded.job.plan.id);
    let text = scenario_file(&recorded, &shrunk.scenario, &id)?;
    // What is printed is what is tried for the last time: the file, under a name of its own.
    let parsed = scenario::parse(&name, &text).map_err(|e| Failure::new(ExitCode::Harness, e))?;
    let again = scenario::plan(&name, "shrunk", &parsed, recorded.job.plan.seed);
    let (history, verdict) = trial.told(&again, &id)?;
    output::print(&text)?;
    if let Some(out) = &args.out {
        run_directory::write(out, &text)
            .map_err(|e| Failure::text(ExitCode::Missing, e.to_string()))?;
        output::note(&format!("written to {}", out.display()));
    }
    output::print(&format!("\n{}", story(&history.records, &verdict)))?;
    let end = if shrunk.minimal {
        "nothing more can be taken away"
    } else {
        "interrupted: this is the smallest so far"
    };
    output::print(&format!(
        "\nfrom {} to {} in {} runs; {end}\n",
        Size::of(&recorded.job.plan.scenario),
        Size::of(&shrunk.scenario),
        shrunk.runs
    ))?;
    Ok(if shrunk.minimal {
        ExitCode::Violated
    } else {
        ExitCode::Interrupted
    })
}

/// The one run of a directory.
fn one(run: &Path) -> Result<replay::Recorded, Failure> {
    let mut directories = check::directories(run, run_directory::PLAN)?;
    let Some(first) = directories.pop().filter(|_| directories.is_empty()) else {
        return Err(Failure::with_help(
            ExitCode::Usage,
            format!("{}: there are several runs here", run.display()),
            "name the directory of one of them",
        ));
    };
    replay::load(first)
}

/// Runs scenarios in the simulator as the recorded one was.
struct Trial<'a> {
    executor: &'a dyn Executor,
    job: &'a Job,
    cancel: &'a CancellationToken,
}

impl Trial<'_> {
    fn plan(&self, scenario: &Scenario) -> Plan {
        Plan {
            scenario: scenario.clone(),
            ..self.job.plan.clone()
        }
    }

    /// The verdicts of a scenario; none where it could not be finished. `None` after Ctrl-C.
    fn verdicts(&self, scenario: &Scenario) -> Option<Vec<Verdict>> {
        let jobs = [Job {
            plan: self.plan(scenario),
            sabotage: self.job.sabotage,
        }];
        let results = run_campaign(&Campaign {
            executor: self.executor,
            jobs: &jobs,
            parallel: 1,
            keep: Keep::Nothing,
            cancel: self.cancel,
            longest: LONGEST,
            observer: &|_| {},
        });
        if results.interrupted {
            return None;
        }
        let finished = results.scenarios.into_iter().find(|r| r.failure.is_none());
        Some(finished.map(|r| r.verdicts).unwrap_or_default())
    }

    /// The history of the smallest scenario, and its verdict.
    fn told(&self, plan: &Plan, id: &str) -> Result<(History, Verdict), Failure> {
        let job = Job {
            plan: plan.clone(),
            sabotage: self.job.sabotage,
        };
        // The search may have been interrupted; this run is short, and not.
        let history = self
            .executor
            .execute(&job, None, &CancellationToken::new())
            .map_err(execute_failure)?;
        let verdict = self
            .executor
            .judge(&history)
            .into_iter()
            .find(|v| v.guarantee == id && v.status == Status::Violated);
        let Some(verdict) = verdict else {
            let message =
                format!("the smallest scenario, run from its file, does not violate {id}");
            return Err(Failure::text(ExitCode::Harness, message));
        };
        Ok((history, verdict))
    }
}

/// The violated guarantee: the wanted one, or the first.
fn violated(verdicts: &[Verdict], wanted: Option<&str>) -> Option<String> {
    verdicts
        .iter()
        .filter(|v| v.status == Status::Violated)
        .find(|v| wanted.is_none_or(|id| v.guarantee == id))
        .map(|v| v.guarantee.clone())
}

fn not_here(recorded: &replay::Recorded, wanted: Option<&str>) -> Failure {
    let what = wanted.unwrap_or("no guarantee");
    let is = if wanted.is_some() { "is not" } else { "is" };
    let message = format!("{what} {is} violated when this run is done again in the simulator");
    let help = if recorded.on == On::Sim {
        "runs of another version of gauntlet may have other histories; `gauntlet check RUN` judges the recorded one"
    } else {
        "what depends on real time and sockets cannot be shrunk; `gauntlet replay RUN` does the same schedule again"
    };
    Failure::with_help(ExitCode::Inconclusive, message, help)
}

/// The scenario as a file, with how to run it on top.
fn scenario_file(
    recorded: &replay::Recorded,
    scenario: &Scenario,
    id: &str,
) -> Result<String, Failure> {
    let body = file(scenario)
        .ok_or_else(|| Failure::text(ExitCode::Harness, "TOML has no word for something in it"))?;
    let job = &recorded.job;
    let sabotage = job
        .sabotage
        .map_or(String::new(), |s| format!(" --sabotage {}", s.name()));
    Ok(format!(
        "# The smallest schedule that violates {id}, shrunk from {} (seed {}).\n# gauntlet run THIS-FILE --seed {}{sabotage}\n{body}",
        job.plan.id, job.plan.seed, job.plan.seed
    ))
}
