//! Runs an exploration: the run without faults, the single faults, the pairs, as far as the budget goes.
//!
//! Comes in: an [`Exploration`]. Goes out: [`Found`]. Called by `gauntlet explore`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gauntlet_reports::{ScenarioReport, Status, Verdict};
use reference_node::sabotage::Sabotage;
use tokio_util::sync::CancellationToken;

use super::{
    budget::{Budget, Purse},
    equal::Rule,
    faults::{Injection, Kind},
    results::{Line, ResultFile, ResultsError},
    schedules::{self, Enumerated},
};
use crate::{
    campaign::{
        Campaign, ExecuteError, Executor, Job, Keep, Progress, RunPlace, run_campaign, simulate,
    },
    check,
    history::{Event, History},
    run_directory::RunDirectory,
    scenario::Plan,
};

/// An exploration, before it runs.
pub struct Exploration<'a> {
    /// The scenario without the faults that are tried.
    pub plan: Plan,
    /// How the nodes are broken on purpose.
    pub sabotage: Option<Sabotage>,
    /// The kinds of fault that are tried.
    pub kinds: Vec<Kind>,
    /// Also two faults, the second within the recovery of the first.
    pub pairs: bool,
    /// How much may be done; all of it when left out.
    pub budget: Option<Budget>,
    /// How many runs at once.
    pub parallel: usize,
    /// A run that takes longer than this, in real time, is the harness's failure.
    pub longest: Duration,
    /// Where failing schedules leave their runs…
    pub directory: &'a RunDirectory,
    /// …and how many of them do.
    pub keep: usize,
    /// What earlier calls have done already.
    pub done: Vec<Line>,
    /// Ends the exploration early.
    pub cancel: &'a CancellationToken,
    /// Told of what happens, from several threads.
    pub observer: &'a (dyn Fn(Tick) + Sync),
}

/// What happens while an exploration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// So many more schedules will be run, if the budget allows.
    More(u64),
    /// A schedule has run.
    Ran,
}

/// One part of an exploration: single faults, or pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Fault points, before the rules.
    pub points: u64,
    /// Schedules that there are, by the rules.
    pub schedules: u64,
    /// Schedules that the rules saved.
    pub saved: BTreeMap<Rule, u64>,
    /// …that were run now.
    pub ran: u64,
    /// …that an earlier call had run.
    pub continued: u64,
    /// …that were left out, by kind of (the second) fault.
    pub left_out: BTreeMap<Kind, u64>,
    /// First faults whose second ones were not even counted.
    pub unseen: u64,
}

/// What an exploration found.
#[derive(Debug, Default)]
pub struct Found {
    /// Single faults.
    pub singles: Part,
    /// Pairs, when they were wanted.
    pub pairs: Option<Part>,
    /// For each guarantee, how many schedules gave each verdict; the run without faults is one of them.
    pub verdicts: BTreeMap<String, BTreeMap<Status, u64>>,
    /// Reports of failing schedules that left a run directory.
    pub failing: Vec<ScenarioReport>,
    /// How many schedules failed; earlier calls' included.
    pub failures: u64,
    /// How many of them did not come to rest after healing.
    pub unrest: u64,
    /// Real time of the schedules.
    pub elapsed: Duration,
    /// What came to its end is no more than a part: it was interrupted.
    pub interrupted: bool,
}

/// Why an exploration could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// A run.
    #[error(transparent)]
    Run(#[from] ExecuteError),
    /// The result file.
    #[error(transparent)]
    Results(#[from] ResultsError),
}

/// A schedule.
#[derive(Debug, Clone)]
struct Schedule {
    id: String,
    faults: Vec<Injection>,
}

impl Schedule {
    fn key(&self) -> String {
        if self.faults.is_empty() {
            return "no fault".into();
        }
        let keys: Vec<String> = self.faults.iter().map(Injection::key).collect();
        keys.join(" | ")
    }
}

/// Explores.
///
/// # Errors
/// The scenario cannot be run at all, or the result file cannot be written.
pub fn explore(
    exploration: &Exploration<'_>,
    results: &mut ResultFile,
) -> Result<Found, ExploreError> {
    let began = Instant::now();
    let mut drive = Drive {
        purse: Purse::new(exploration.budget),
        done: BTreeSet::new(),
        found: Found::default(),
        judge: Judge {
            faults: exploration.plan.scenario.fault.len(),
        },
        results,
        exploration,
    };
    for line in &exploration.done {
        drive.done.insert(line.schedule.clone());
        drive.found.count(line);
    }
    match drive.all() {
        Ok(()) => {}
        Err(ExploreError::Run(ExecuteError::Interrupted)) => drive.found.interrupted = true,
        Err(error) => return Err(error),
    }
    drive.found.elapsed = began.elapsed();
    Ok(drive.found)
}

struct Drive<'a> {
    exploration: &'a Exploration<'a>,
    results: &'a mut ResultFile,
    purse: Purse,
    /// Keys of the schedules that an earlier call has run.
    done: BTreeSet<String>,
    found: Found,
    judge: Judge,
}

impl Drive<'_> {
    fn all(&mut self) -> Result<(), ExploreError> {
        let baseline = Schedule {
            id: format!("{}-no-fault", self.exploration.plan.id),
            faults: Vec::new(),
        };
        let all = self.enumerate(&baseline)?;
        let id = &self.exploration.plan.id;
        let numbered = all.injections.into_iter().zip(1_u64..).collect();
        let singles: Vec<Schedule> = schedules::spread(numbered, self.exploration.plan.seed, 0)
            .into_iter()
            .map(|(fault, number)| Schedule {
                id: format!("{id}-{number}"),
                faults: vec![fault],
            })
            .collect();
        self.found.singles = Part {
            points: all.points,
            schedules: singles.len() as u64,
            saved: all.saved,
            left_out: kinds(&singles),
            ..Part::default()
        };
        let mut part = std::mem::take(&mut self.found.singles);
        (self.exploration.observer)(Tick::More(singles.len() as u64));
        // The run without faults is judged as any other.
        self.run(vec![baseline], &mut Part::default())?;
        let ran = self.run(singles.clone(), &mut part);
        self.found.singles = part;
        ran?;
        if self.exploration.pairs {
            let mut part = Part::default();
            let ran = self.pairs(&singles, &mut part);
            self.found.pairs = Some(part);
            ran?;
        }
        Ok(())
    }

    /// Every first fault gets some second ones, then every one some more: 1, 1, 2, 4, 8…
    fn pairs(&mut self, firsts: &[Schedule], part: &mut Part) -> Result<(), ExploreError> {
        let mut counted: BTreeSet<String> = BTreeSet::new();
        part.unseen = firsts.len() as u64;
        let (mut from, mut to) = (0, 1);
        loop {
            let mut more = false;
            for chunk in firsts.chunks(4 * self.exploration.parallel) {
                if self.purse.affords(1) == 0 {
                    return Ok(());
                }
                let seconds = self.seconds(chunk)?;
                let mut batch = Vec::new();
                for (first, (all, order)) in chunk.iter().zip(seconds) {
                    if counted.insert(first.id.clone()) {
                        part.unseen -= 1;
                        part.points += all.points;
                        part.schedules += order.len() as u64;
                        for (rule, count) in all.saved {
                            *part.saved.entry(rule).or_default() += count;
                        }
                        for (kind, count) in kinds(&order) {
                            *part.left_out.entry(kind).or_default() += count;
                        }
                        (self.exploration.observer)(Tick::More(order.len() as u64));
                    }
                    more |= order.len() > to;
                    batch.extend(order.into_iter().skip(from).take(to - from));
                }
                self.run(batch, part)?;
            }
            if !more {
                return Ok(());
            }
            (from, to) = (to, 2 * to);
        }
    }

    /// The second faults of each of these first ones, in order.
    fn seconds(
        &self,
        firsts: &[Schedule],
    ) -> Result<Vec<(Enumerated, Vec<Schedule>)>, ExploreError> {
        let one = |first: &Schedule| {
            let mut all = self.enumerate(first)?;
            let numbered = std::mem::take(&mut all.injections)
                .into_iter()
                .zip(1_u64..)
                .collect();
            let turn = first.id.rsplit('-').next().and_then(|n| n.parse().ok());
            let seed = self.exploration.plan.seed;
            let order = schedules::spread(numbered, seed, turn.unwrap_or_default())
                .into_iter()
                .map(|(second, number)| Schedule {
                    id: format!("{}-{number}", first.id),
                    faults: first.faults.iter().cloned().chain([second]).collect(),
                })
                .collect();
            Ok((all, order))
        };
        let slots: Vec<_> = firsts.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..self.exploration.parallel.max(1) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let (Some(first), Some(slot)) = (firsts.get(at), slots.get(at)) else {
                            break;
                        };
                        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(one(first));
                    }
                });
            }
        });
        slots
            .into_iter()
            .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect()
    }

    /// What can be done to a run of this schedule, by running it once and looking closely.
    fn enumerate(&self, schedule: &Schedule) -> Result<Enumerated, ExploreError> {
        let job = self.job(schedule, &[]);
        let (history, calls) = simulate(&job, None, self.exploration.cancel, true)?;
        Ok(schedules::enumerate(
            &job.plan,
            &history,
            &calls,
            &self.exploration.kinds,
            schedule.faults.first(),
        ))
    }

    /// Runs those schedules that are not done, as far as the budget goes.
    fn run(&mut self, all: Vec<Schedule>, part: &mut Part) -> Result<(), ExploreError> {
        let (done, open): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|s| self.done.contains(&s.key()));
        part.continued += done.len() as u64;
        for schedule in &done {
            part.is_done(schedule);
            (self.exploration.observer)(Tick::Ran);
        }
        for batch in open.chunks(64 * self.exploration.parallel.max(1)) {
            let afforded = self.purse.affords(batch.len());
            let batch = batch.get(..afforded).unwrap_or(batch);
            if batch.is_empty() {
                break;
            }
            self.purse.spend(batch.len());
            let ran = self.batch(batch, part);
            ran?;
        }
        Ok(())
    }

    fn batch(&mut self, batch: &[Schedule], part: &mut Part) -> Result<(), ExploreError> {
        let jobs: Vec<Job> = batch.iter().map(|s| self.job(s, &[])).collect();
        let results = self.campaign(&jobs, Keep::Nothing, &|progress| {
            if matches!(progress, Progress::Finished(_)) {
                (self.exploration.observer)(Tick::Ran);
            }
        });
        let mut lines = Vec::new();
        for mut report in results.scenarios {
            let Some(schedule) = batch.iter().find(|s| s.id == report.scenario) else {
                continue;
            };
            let unrest = take_unrest(&mut report);
            let mut line = line(schedule, &report, unrest);
            if line.is_failing() {
                let kept = self.keep(schedule, &report);
                line.directory = kept.as_ref().and_then(|report| report.directory.clone());
                self.found.failing.extend(kept);
            }
            part.ran += 1;
            part.is_done(schedule);
            self.found.count(&line);
            lines.push(line);
        }
        self.results.add(&lines)?;
        match (results.missing, results.interrupted) {
            (Some(missing), _) => Err(ExecuteError::Missing(missing).into()),
            (None, true) => Err(ExecuteError::Interrupted.into()),
            (None, false) => Ok(()),
        }
    }

    /// Runs a failing schedule again with a directory. Its plan names what it violates, so that whoever runs it sees it.
    fn keep(&self, schedule: &Schedule, report: &ScenarioReport) -> Option<ScenarioReport> {
        if self.found.failing.len() >= self.exploration.keep {
            return None;
        }
        let violated = with_status(&report.verdicts, Status::Violated);
        let jobs = [self.job(schedule, &violated)];
        let results = self.campaign(&jobs, Keep::All(self.exploration.directory), &|_| {});
        let mut again = results.scenarios.into_iter().next()?;
        let unrest = take_unrest(&mut again);
        if with_status(&again.verdicts, Status::Violated) != violated && again.failure.is_none() {
            again.failure =
                Some("the same schedule gave other verdicts the second time: the simulator is not reproducible".into());
        }
        again.failure = again.failure.or(unrest).or_else(|| report.failure.clone());
        // What holds in a failing schedule is counted, and is no news.
        again.verdicts.retain(|v| v.status == Status::Violated);
        again.title = schedule.key();
        Some(again)
    }

    fn campaign(
        &self,
        jobs: &[Job],
        keep: Keep<'_>,
        observer: &(dyn Fn(Progress<'_>) + Sync),
    ) -> crate::campaign::Results {
        run_campaign(&Campaign {
            executor: &self.judge,
            jobs,
            parallel: self.exploration.parallel,
            keep,
            cancel: self.exploration.cancel,
            longest: self.exploration.longest,
            observer,
        })
    }

    fn job(&self, schedule: &Schedule, violated: &[String]) -> Job {
        let base = &self.exploration.plan;
        let mut plan = schedules::plan(base, schedule.id.clone(), &schedule.faults);
        for id in violated {
            if !plan.scenario.guarantees.contains(id) {
                plan.scenario.guarantees.push(id.clone());
            }
        }
        if !schedule.faults.is_empty() {
            plan.scenario.title = format!("{}: {}", base.scenario.title, schedule.key());
        }
        Job {
            plan,
            sabotage: self.exploration.sabotage,
        }
    }
}

impl Part {
    fn is_done(&mut self, schedule: &Schedule) {
        if let Some(last) = schedule.faults.last()
            && let Some(left) = self.left_out.get_mut(&last.kind)
        {
            *left = left.saturating_sub(1);
        }
        self.left_out.retain(|_, left| *left > 0);
    }
}

impl Found {
    fn count(&mut self, line: &Line) {
        self.failures += u64::from(line.is_failing());
        self.unrest += u64::from(line.unrest.is_some());
        for status in STATUSES {
            for id in line.of(status) {
                let by_status = self.verdicts.entry(id.clone()).or_default();
                *by_status.entry(status).or_default() += 1;
            }
        }
    }
}

const STATUSES: [Status; 6] = [
    Status::Holds,
    Status::Violated,
    Status::Inconclusive,
    Status::Outside,
    Status::Measured,
    Status::NotApplicable,
];

fn line(schedule: &Schedule, report: &ScenarioReport, unrest: Option<String>) -> Line {
    let mut verdicts = BTreeMap::new();
    for status in STATUSES {
        let ids = with_status(&report.verdicts, status);
        if !ids.is_empty() {
            verdicts.insert(status.key().to_owned(), ids);
        }
    }
    Line {
        schedule: schedule.key(),
        verdicts,
        failure: report.failure.clone(),
        unrest,
        directory: None,
    }
}

fn with_status(verdicts: &[Verdict], status: Status) -> Vec<String> {
    verdicts
        .iter()
        .filter(|v| v.status == status)
        .map(|v| v.guarantee.clone())
        .collect()
}

/// How many there are by kind of their last fault.
fn kinds(schedules: &[Schedule]) -> BTreeMap<Kind, u64> {
    let mut kinds = BTreeMap::new();
    for fault in schedules.iter().filter_map(|s| s.faults.last()) {
        *kinds.entry(fault.kind).or_default() += 1;
    }
    kinds
}

/// Runs in the simulator, judged by every checker.
struct Judge {
    /// Triggers that the scenario has itself.
    faults: usize,
}

impl Executor for Judge {
    fn substrate(&self) -> &'static str {
        "sim"
    }

    fn is_reproducible(&self) -> bool {
        true
    }

    fn execute(
        &self,
        job: &Job,
        place: Option<&RunPlace>,
        cancel: &CancellationToken,
    ) -> Result<History, ExecuteError> {
        let (history, _) = simulate(job, place, cancel, false)?;
        let faults = job.plan.scenario.fault.get(self.faults..);
        match schedules::missed(&history.records, faults.unwrap_or_default()) {
            Some(reason) if place.is_none() => Err(ExecuteError::Failed(reason)),
            _ => Ok(history),
        }
    }

    fn judge(&self, history: &History) -> Vec<Verdict> {
        let mut verdicts = check::judge_all(&history.records);
        verdicts.extend(unrest(history).map(|summary| Verdict {
            guarantee: REST.into(),
            status: Status::Violated,
            summary,
            evidence: Vec::new(),
            proofs: 1,
            damage: None,
        }));
        verdicts
    }
}

/// No guarantee of the catalogue, and asked of every schedule: the cluster comes to rest after everything is healed.
const REST: &str = "rest";

/// Takes the verdict on [`REST`] out of a report: what was left to do.
fn take_unrest(report: &mut ScenarioReport) -> Option<String> {
    let at = report.verdicts.iter().position(|v| v.guarantee == REST)?;
    Some(report.verdicts.remove(at).summary)
}

/// What was left to do when the time to settle was over, after everything had been healed.
fn unrest(history: &History) -> Option<String> {
    history.records.iter().find_map(|r| match &r.event {
        Event::Settled {
            quiescent: false,
            pending,
        } => Some(format!("no rest after healing: {}", pending.join(", "))),
        _ => None,
    })
}
