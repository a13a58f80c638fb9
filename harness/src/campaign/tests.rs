use gauntlet_reports::Conclusion;

use super::*;
use crate::{
    history::{Event, HISTORY_VERSION, Record},
    scenario::{self, Known},
};

/// An executor whose runs end as the seed says.
struct Scripted {
    verdict: fn(u64, attempt: u64) -> Result<Status, ExecuteError>,
    attempts: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Scripted {
    fn new(verdict: fn(u64, u64) -> Result<Status, ExecuteError>) -> Self {
        let zero = || AtomicUsize::new(0);
        Self {
            verdict,
            attempts: zero(),
            running: zero(),
            most: zero(),
        }
    }
}

impl Executor for Scripted {
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
        _: &CancellationToken,
    ) -> Result<History, ExecuteError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let outcome = (self.verdict)(job.plan.seed, u64::from(place.is_some()));
        self.running.fetch_sub(1, Ordering::SeqCst);
        let status = outcome?;
        let begin = Event::Begin {
            version: HISTORY_VERSION,
            harness: format!("{status:?}"),
            substrate: "sim".into(),
            time_scale: 1,
            sabotage: None,
            plan: Box::new(job.plan.clone()),
        };
        let events = [
            begin,
            Event::End {
                reason: "completed".into(),
            },
        ];
        let records = events.into_iter().enumerate().map(|(i, event)| Record {
            seq: i as u64,
            t_us: 5000 * i as u64,
            event,
        });
        Ok(History {
            records: records.collect(),
            truncated: None,
        })
    }

    fn judge(&self, history: &History) -> Vec<Verdict> {
        let Some(Event::Begin { harness, .. }) = history.records.first().map(|r| &r.event) else {
            return Vec::new();
        };
        let status = Status::ALL
            .into_iter()
            .find(|s| format!("{s:?}") == *harness)
            .expect("written above");
        vec![Verdict {
            guarantee: "SC-01".into(),
            status,
            summary: "1 of 1".into(),
            evidence: Vec::new(),
            proofs: 1,
            damage: None,
        }]
    }
}

fn jobs(seeds: std::ops::Range<u64>) -> Vec<Job> {
    let known = Known {
        guarantee: &|_| true,
        message: &|_| true,
    };
    let text = "title='t'\nguarantees=['SC-01']\non=['sim']\n[[step]]\nobserve={}\n";
    let scenario = scenario::parse_with("t", text, known).expect("a good scenario");
    seeds
        .map(|seed| Job {
            plan: scenario::plan("t", "s", &scenario, seed),
            sabotage: None,
        })
        .collect()
}

fn run(executor: &Scripted, jobs: &[Job], parallel: usize, keep: Keep<'_>) -> Results {
    let cancel = CancellationToken::new();
    run_campaign(&Campaign {
        executor,
        jobs,
        parallel,
        keep,
        cancel: &cancel,
        longest: Duration::from_secs(600),
        observer: &|_| {},
    })
}

fn conclusion(scenarios: Vec<ScenarioReport>) -> Conclusion {
    let mut run = RunReport::new("0", "x");
    run.scenarios = scenarios;
    run.conclusion()
}

#[test]
fn reports_come_in_the_jobs_order_whatever_the_threads_do() {
    let executor = Scripted::new(|_, _| Ok(Status::Holds));
    let jobs = jobs(0..50);
    let results = run(&executor, &jobs, 4, Keep::Nothing);
    assert_eq!(
        results.scenarios.iter().map(|s| s.seed).collect::<Vec<_>>(),
        (0..50).collect::<Vec<_>>()
    );
    assert!(executor.most.load(Ordering::SeqCst) <= 4);
    assert!(!results.interrupted && results.missing.is_none());
    assert_eq!(results.scenarios[0].simulated_ms, 5);
}

#[test]
fn only_failing_runs_are_run_again_and_leave_a_directory() {
    let root = tempfile::tempdir().expect("a directory");
    let directory =
        RunDirectory::create(root.path(), jiff::Timestamp::UNIX_EPOCH, "s", 0, 1, 5).expect("made");
    let executor = Scripted::new(|seed, _| {
        Ok(if seed == 3 {
            Status::Violated
        } else {
            Status::Holds
        })
    });
    let results = run(&executor, &jobs(0..5), 2, Keep::Failing(&directory));
    assert_eq!(executor.attempts.load(Ordering::SeqCst), 6);
    let kept: Vec<u64> = results
        .scenarios
        .iter()
        .filter(|s| s.directory.is_some())
        .map(|s| s.seed)
        .collect();
    assert_eq!(kept, [3]);
    let made = run_directory::holding(directory.path(), run_directory::PLAN).expect("read");
    assert_eq!(made, [directory.path().join("t-3")]);
    let verdicts = run_directory::read(&made[0].join(run_directory::VERDICTS)).expect("written");
    assert_eq!(
        gauntlet_reports::from_json(&verdicts)
            .expect("a report")
            .scenarios[0]
            .seed,
        3
    );
}

#[test]
fn a_second_run_that_goes_differently_is_the_harness_s_failure() {
    let root = tempfile::tempdir().expect("a directory");
    let directory =
        RunDirectory::create(root.path(), jiff::Timestamp::UNIX_EPOCH, "s", 0, 1, 2).expect("made");
    let executor = Scripted::new(|_, second| {
        Ok(if second == 0 {
            Status::Violated
        } else {
            Status::Holds
        })
    });
    let results = run(&executor, &jobs(0..1), 1, Keep::Failing(&directory));
    assert!(
        results.scenarios[0]
            .failure
            .as_deref()
            .is_some_and(|f| f.contains("not reproducible"))
    );
}

#[test]
fn one_run_s_panic_or_failure_is_not_the_others() {
    let executor = Scripted::new(|seed, _| match seed {
        1 => panic!("seed 1"),
        2 => Err(ExecuteError::Failed("n1 did not start".into())),
        3 => Err(ExecuteError::NotApplicable("no snapshots here".into())),
        _ => Ok(Status::Holds),
    });
    let results = run(&executor, &jobs(0..5), 2, Keep::Nothing);
    let failures: Vec<Option<&str>> = results
        .scenarios
        .iter()
        .map(|s| s.failure.as_deref())
        .collect();
    assert_eq!(
        failures,
        [
            None,
            Some("the harness panicked: seed 1"),
            Some("n1 did not start"),
            None,
            None
        ]
    );
    assert_eq!(
        results.scenarios[3].verdicts[0].status,
        Status::NotApplicable
    );
    assert_eq!(conclusion(results.scenarios), Conclusion::Failed);
}

#[test]
fn what_is_missing_ends_the_campaign_and_an_interruption_is_told() {
    let executor = Scripted::new(|_, _| Err(ExecuteError::Missing("no node program".into())));
    let results = run(&executor, &jobs(0..9), 1, Keep::Nothing);
    assert_eq!(
        (results.missing.as_deref(), results.interrupted),
        (Some("no node program"), false)
    );
    assert_eq!(executor.attempts.load(Ordering::SeqCst), 1);
    let executor = Scripted::new(|seed, _| {
        if seed == 2 {
            Err(ExecuteError::Interrupted)
        } else {
            Ok(Status::Holds)
        }
    });
    let results = run(&executor, &jobs(0..9), 1, Keep::Nothing);
    assert!(results.interrupted);
    assert_eq!(results.scenarios.len(), 2);
}

#[test]
fn seeds_that_went_well_are_one_report_and_thin_ones_do_not_spoil_it() {
    let executor = Scripted::new(|seed, _| {
        Ok(match seed {
            4 => Status::Violated,
            0 | 7 => Status::Inconclusive,
            _ => Status::Holds,
        })
    });
    let results = run(&executor, &jobs(0..10), 2, Keep::Nothing);
    let folded = fold(results.scenarios);
    assert_eq!(folded.len(), 2);
    assert_eq!(folded[0].title, "t (seeds 0 to 9)");
    assert_eq!(folded[0].simulated_ms, 45);
    let verdict = &folded[0].verdicts[0];
    assert_eq!((verdict.status, verdict.proofs), (Status::Holds, 7));
    insta::assert_snapshot!(verdict.summary, @"holds in 7 of 9 seeds (inconclusive in 2); in the first of them: 1 of 1");
    assert_eq!(
        (folded[1].seed, folded[1].verdicts[0].status),
        (4, Status::Violated)
    );
    assert_eq!(conclusion(vec![folded[0].clone()]), Conclusion::AllHold);
    assert_eq!(conclusion(folded), Conclusion::Violated);
}

/// An executor whose runs end only when they are told to.
struct Endless;

impl Executor for Endless {
    fn substrate(&self) -> &'static str {
        "sim"
    }

    fn is_reproducible(&self) -> bool {
        true
    }

    fn execute(
        &self,
        _: &Job,
        _: Option<&RunPlace>,
        cancel: &CancellationToken,
    ) -> Result<History, ExecuteError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(cancel.cancelled());
        Err(ExecuteError::Interrupted)
    }

    fn judge(&self, _: &History) -> Vec<Verdict> {
        Vec::new()
    }
}

#[test]
fn a_run_without_end_is_ended_and_told_from_an_interruption() {
    let jobs = jobs(0..2);
    let cancel = CancellationToken::new();
    let campaign = Campaign {
        executor: &Endless,
        jobs: &jobs,
        parallel: 2,
        keep: Keep::Nothing,
        cancel: &cancel,
        longest: Duration::from_millis(20),
        observer: &|_| {},
    };
    let results = run_campaign(&campaign);
    assert!(!results.interrupted);
    let failure = results.scenarios[1].failure.as_deref();
    assert_eq!(
        failure,
        Some("the run had not ended after 20ms of real time")
    );
    let begun = |_: Progress<'_>| cancel.cancel();
    let campaign = Campaign {
        longest: Duration::from_secs(600),
        observer: &begun,
        ..campaign
    };
    assert!(run_campaign(&campaign).interrupted);
}
