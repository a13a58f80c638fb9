//! Many runs: the selected scenarios with their seeds, on worker threads, reported in the order they were given in.
//!
//! Comes in: [`Job`]s, and an [`Executor`] that can run one of them. Goes out: [`Results`]. Called by `gauntlet run`,
//! `replay` and `selftest`.
//!
//! A run is judged from its whole history, which stands on disk before the first checker runs. Mass runs are the exception:
//! [`Keep::Failing`] judges in memory, and runs what failed again with a directory; a substrate that is reproducible gives
//! the same history again, and when it does not that is reported as a failure of the harness.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use gauntlet_reports::{RunReport, ScenarioReport, Status, Verdict};
use reference_node::sabotage::Sabotage;
use tokio_util::sync::CancellationToken;

use crate::{
    history::History,
    run_directory::{self, DirectoryError, RunDirectory},
    scenario::Plan,
};

mod execute;
mod fold;
mod summary;
mod tally;

pub use execute::{Settings, open, simulate};
pub use fold::{Fold, fold};
pub use summary::{counts, failure, simulated_ms};
pub use tally::{Answers, Open, Tally, cause};

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What is executed.
    pub plan: Plan,
    /// How the nodes are broken on purpose, if they are.
    pub sabotage: Option<Sabotage>,
}

/// Runs one plan on one substrate.
pub trait Executor: Sync {
    /// `sim`, `process`
    fn substrate(&self) -> &'static str;
    /// The same plan gives the same history, byte for byte.
    fn is_reproducible(&self) -> bool;
    /// The digest of the image that nodes are made from, where there is one: `sha256:…`.
    fn image_digest(&self) -> Option<String> {
        None
    }
    /// Runs the job and gives its whole history; with a directory, `history.jsonl` and `nodes/` are written there as the
    /// run goes. Blocks the thread. Returns soon after `cancel`.
    ///
    /// # Errors
    /// The run could not be made, or not be finished.
    fn execute(
        &self,
        job: &Job,
        directory: Option<&RunPlace>,
        cancel: &CancellationToken,
    ) -> Result<History, ExecuteError>;
    /// Judges a history.
    fn judge(&self, history: &History) -> Vec<Verdict>;
}

/// Where one run writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPlace {
    /// `history.jsonl`
    pub history: PathBuf,
    /// `nodes/`
    pub nodes: PathBuf,
}

/// Why a run gave no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// What every run of this kind needs is missing on this machine.
    #[error("{0}")]
    Missing(String),
    /// The substrate cannot do what the scenario asks for.
    #[error("{0}")]
    NotApplicable(String),
    /// Cancelled.
    #[error("interrupted")]
    Interrupted,
    /// The harness failed.
    #[error("{0}")]
    Failed(String),
}

/// Which runs leave a directory.
#[derive(Debug, Clone, Copy)]
pub enum Keep<'a> {
    /// None.
    Nothing,
    /// Those that failed.
    Failing(&'a RunDirectory),
    /// All.
    All(&'a RunDirectory),
}

/// What happens while a campaign runs.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A run begins.
    Started(&'a Job),
    /// A run is over.
    Finished(&'a ScenarioReport),
}

/// A campaign, before it runs.
pub struct Campaign<'a> {
    /// Who runs the jobs.
    pub executor: &'a dyn Executor,
    /// The jobs, in the order of the report.
    pub jobs: &'a [Job],
    /// How many at once; 0 counts as 1.
    pub parallel: usize,
    /// Which of them leave a directory.
    pub keep: Keep<'a>,
    /// Ends the campaign early: no new run begins, and those under way end.
    pub cancel: &'a CancellationToken,
    /// A run that takes longer than this, in real time, is ended and counts as the harness's failure.
    pub longest: Duration,
    /// Told of every run, from several threads.
    pub observer: &'a (dyn Fn(Progress<'_>) + Sync),
}

/// What came of a campaign.
#[derive(Debug, Default)]
pub struct Results {
    /// The runs that ended, in the jobs' order.
    pub scenarios: Vec<ScenarioReport>,
    /// What is missing on this machine, when that kept runs from beginning.
    pub missing: Option<String>,
    /// It was cancelled before every run had ended.
    pub interrupted: bool,
}

/// Runs a campaign to its end.
pub fn run_campaign(campaign: &Campaign<'_>) -> Results {
    let next = AtomicUsize::new(0);
    let missing: Mutex<Option<String>> = Mutex::new(None);
    let slots: Vec<Mutex<Option<ScenarioReport>>> =
        campaign.jobs.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while !campaign.cancel.is_cancelled() && lock(&missing).is_none() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(job), Some(slot)) = (campaign.jobs.get(index), slots.get(index)) else {
                break;
            };
            (campaign.observer)(Progress::Started(job));
            match campaign.one(job) {
                Ok(report) => {
                    (campaign.observer)(Progress::Finished(&report));
                    *lock(slot) = Some(report);
                }
                Err(ExecuteError::Missing(what)) => *lock(&missing) = Some(what),
                Err(_) => break,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..campaign.parallel.clamp(1, campaign.jobs.len().max(1)) {
            scope.spawn(work);
        }
    });
    let scenarios: Vec<ScenarioReport> = slots
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();
    let missing = missing.into_inner().unwrap_or_else(PoisonError::into_inner);
    Results {
        interrupted: missing.is_none() && scenarios.len() < campaign.jobs.len(),
        scenarios,
        missing,
    }
}

impl Campaign<'_> {
    /// One job's report. Only [`ExecuteError::Missing`] and [`ExecuteError::Interrupted`] are errors here.
    fn one(&self, job: &Job) -> Result<ScenarioReport, ExecuteError> {
        match self.keep {
            Keep::Nothing => self.attempt(job, None),
            Keep::All(directory) => self.attempt(job, Some(directory)),
            Keep::Failing(directory) => {
                let first = self.attempt(job, None)?;
                if !is_failing(&first) {
                    return Ok(first);
                }
                let mut second = self.attempt(job, Some(directory))?;
                if self.executor.is_reproducible()
                    && second.verdicts != first.verdicts
                    && second.failure.is_none()
                {
                    second.failure = Some("the same seed gave other verdicts the second time: this substrate is not reproducible".into());
                }
                Ok(second)
            }
        }
    }

    fn attempt(
        &self,
        job: &Job,
        directory: Option<&RunDirectory>,
    ) -> Result<ScenarioReport, ExecuteError> {
        let begun = Instant::now();
        let mut report = empty_report(job, self.executor.substrate());
        let outcome = self.guarded(job, directory, &mut report);
        report.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match outcome {
            Ok(()) => {}
            Err(error @ (ExecuteError::Missing(_) | ExecuteError::Interrupted)) => {
                return Err(error);
            }
            Err(ExecuteError::NotApplicable(reason)) => {
                report.verdicts = not_applicable(job, &reason)
            }
            Err(ExecuteError::Failed(reason)) => report.failure = Some(reason),
        }
        if let Some(directory) = directory
            && let Err(error) = write_verdicts(directory, job, &report)
        {
            report.failure.get_or_insert(error.to_string());
        }
        Ok(report)
    }

    /// Runs and judges; a panic anywhere in it is this run's failure and nobody else's.
    fn guarded(
        &self,
        job: &Job,
        directory: Option<&RunDirectory>,
        report: &mut ScenarioReport,
    ) -> Result<(), ExecuteError> {
        let failed = |error: DirectoryError| ExecuteError::Failed(error.to_string());
        let place = match directory {
            None => None,
            Some(directory) => {
                let path = directory
                    .scenario(&job.plan.id, job.plan.seed)
                    .map_err(failed)?;
                let plan = job
                    .plan
                    .to_toml()
                    .map_err(|e| ExecuteError::Failed(e.to_string()))?;
                run_directory::write(&path.join(run_directory::PLAN), &plan).map_err(failed)?;
                report.directory = Some(path.display().to_string());
                Some(RunPlace {
                    history: path.join(run_directory::HISTORY),
                    nodes: path.join(run_directory::NODES),
                })
            }
        };
        let run = |cancel: &CancellationToken| {
            let history = self.executor.execute(job, place.as_ref(), cancel)?;
            let verdicts = self.executor.judge(&history);
            Ok((history, verdicts))
        };
        let caught = |cancel: &CancellationToken| {
            panic::catch_unwind(AssertUnwindSafe(|| run(cancel))).unwrap_or_else(|panic| {
                Err(ExecuteError::Failed(format!(
                    "the harness panicked: {}",
                    message_of(&*panic)
                )))
            })
        };
        let token = self.cancel.child_token();
        let outcome = watched(&token, self.longest, caught);
        // A checker judges a part of a run as the whole; a cancelled one proves nothing.
        if self.cancel.is_cancelled() {
            return Err(ExecuteError::Interrupted);
        }
        let (history, verdicts) = match outcome {
            Err(ExecuteError::Interrupted) if token.is_cancelled() => {
                let limit = humantime::format_duration(self.longest);
                return Err(ExecuteError::Failed(format!(
                    "the run had not ended after {limit} of real time"
                )));
            }
            other => other?,
        };
        report.counts = counts(&history);
        // Mass runs, which leave no directory, are not read a second time for it.
        report.ledger = place
            .as_ref()
            .and_then(|_| crate::check::mail_ledger(&history.records));
        report.simulated_ms = simulated_ms(&history);
        report.verdicts = verdicts;
        report.failure = failure(&history);
        Ok(())
    }
}

/// Calls `run` with the token, which is cancelled after `longest`.
fn watched<T>(
    token: &CancellationToken,
    longest: Duration,
    run: impl FnOnce(&CancellationToken) -> T,
) -> T {
    let (over, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let late = token.clone();
        scope.spawn(move || {
            if ended.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
                late.cancel();
            }
        });
        let outcome = run(token);
        drop(over);
        outcome
    })
}

/// A run whose history somebody will want to see.
pub fn is_failing(report: &ScenarioReport) -> bool {
    report.failure.is_some() || report.verdicts.iter().any(|v| v.status == Status::Violated)
}

/// The report of a run of which nothing is known yet.
pub fn empty_report(job: &Job, substrate: &str) -> ScenarioReport {
    ScenarioReport {
        scenario: job.plan.id.clone(),
        title: job.plan.scenario.title.clone(),
        suite: job.plan.suite.clone(),
        substrate: substrate.into(),
        seed: job.plan.seed,
        elapsed_ms: 0,
        simulated_ms: 0,
        counts: gauntlet_reports::Counts::default(),
        ledger: None,
        verdicts: Vec::new(),
        directory: None,
        failure: None,
    }
}

fn not_applicable(job: &Job, reason: &str) -> Vec<Verdict> {
    let mut ids = job.plan.scenario.guarantees.clone();
    ids.sort();
    let verdict = |guarantee| Verdict {
        guarantee,
        status: Status::NotApplicable,
        summary: reason.to_owned(),
        evidence: Vec::new(),
        proofs: 0,
        damage: None,
    };
    ids.into_iter().map(verdict).collect()
}

/// The verdicts of one scenario, in its own directory. The whole call's come over them when it is the only one.
fn write_verdicts(
    directory: &RunDirectory,
    job: &Job,
    report: &ScenarioReport,
) -> Result<(), DirectoryError> {
    let path = directory.scenario(&job.plan.id, job.plan.seed)?;
    let mut run = RunReport::new(
        env!("CARGO_PKG_VERSION"),
        format!("gauntlet replay {}", path.display()),
    );
    run.sabotage = job.sabotage.map(|s| s.name().to_owned());
    run.scenarios.push(report.clone());
    // The report's version is this crate's, which is all that can be wrong.
    match gauntlet_reports::json(&run) {
        Ok(text) => run_directory::write(&path.join(run_directory::VERDICTS), &text),
        Err(_) => Ok(()),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "campaign/tests.rs"]
mod tests;
