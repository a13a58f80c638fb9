//! `gauntlet selftest`: each sabotage is caught, by a guarantee that it breaks, and nothing is caught without one.

use clap::Args;
use gauntlet_reports::{ScenarioReport, Status};
use reference_node::sabotage::Sabotage;
use serde_json::{Value, json};

use super::{
    Done, interrupt, output,
    progress::Line,
    run::{
        LONGEST, NO_TARGET, On, execute_failure, has_sabotages, processors, sabotage,
        selection_failure, settings,
    },
    table::table,
};
use crate::{
    campaign::{self, Campaign, Job, Keep, run_campaign},
    error::{ExitCode, Failure},
    scenario::{self, Selected, embedded},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet selftest
  gauntlet selftest --only never-promote --only no-fsync
  gauntlet selftest --json > matrix.json

Exit codes: 0 each sabotage is caught and sound nodes pass; 1 one is not caught, or a sound node is accused;
2 no scenario tests what a sabotage breaks.")]
pub(super) struct SelftestArgs {
    /// Only this sabotage; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The seed of every run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs at once; as many as there are processors when left out
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// `None`: sound nodes.
    sabotage: Option<Sabotage>,
    /// The scenarios that were run.
    scenarios: usize,
    /// The guarantees that it breaks and that were found violated.
    caught: Vec<String>,
    /// Other guarantees that were found violated.
    also: Vec<String>,
    /// Runs that the harness could not finish.
    failed: Vec<String>,
}

/// What a row says of the checkers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Good,
    Untested,
    Bad,
}

impl Row {
    fn new(sabotage: Option<Sabotage>, reports: &[&ScenarioReport]) -> Self {
        let mut row = Self {
            sabotage,
            scenarios: reports.len(),
            caught: Vec::new(),
            also: Vec::new(),
            failed: Vec::new(),
        };
        let breaks = sabotage.map_or(&[][..], Sabotage::breaks);
        for report in reports {
            if let Some(failure) = &report.failure {
                row.failed.push(format!("{}: {failure}", report.scenario));
            }
            for verdict in report
                .verdicts
                .iter()
                .filter(|v| v.status == Status::Violated)
            {
                let list = if breaks.contains(&verdict.guarantee.as_str()) {
                    &mut row.caught
                } else {
                    &mut row.also
                };
                list.push(verdict.guarantee.clone());
            }
        }
        for list in [&mut row.caught, &mut row.also] {
            list.sort();
            list.dedup();
        }
        row
    }

    fn answer(&self) -> Answer {
        match self.sabotage {
            None if self.also.is_empty() && self.failed.is_empty() => Answer::Good,
            None => Answer::Bad,
            Some(_) if !self.caught.is_empty() => Answer::Good,
            Some(_) if self.scenarios == 0 => Answer::Untested,
            Some(_) => Answer::Bad,
        }
    }

    fn word(&self) -> &'static str {
        match (self.answer(), self.sabotage) {
            (Answer::Good, None) => "passes",
            (Answer::Bad, None) => "ACCUSED",
            (Answer::Good, Some(_)) => "caught",
            (Answer::Untested, _) => "untested",
            (Answer::Bad, Some(_)) => "MISSED",
        }
    }

    fn name(&self) -> &'static str {
        self.sabotage.map_or("(sound nodes)", Sabotage::name)
    }

    fn breaks(&self) -> &'static [&'static str] {
        self.sabotage.map_or(&[], Sabotage::breaks)
    }
}

pub(super) fn run(args: &SelftestArgs) -> Done {
    has_sabotages()?;
    let only = args
        .only
        .iter()
        .map(|name| sabotage(name))
        .collect::<Result<Vec<_>, _>>()?;
    let sabotages: Vec<Sabotage> = Sabotage::ALL
        .iter()
        .copied()
        .filter(|s| only.is_empty() || only.contains(s))
        .collect();
    let mut scenarios = embedded().map_err(selection_failure)?;
    scenarios.retain(|s| s.scenario.on.iter().any(|on| on == On::Sim.name()));
    let jobs = jobs(&sabotages, &scenarios, args.seed);
    let executor = campaign::open(On::Sim.name(), &settings(On::Sim, None, None, &NO_TARGET)?)
        .map_err(execute_failure)?;
    let cancel = interrupt::token()?;
    let line = Line::new(jobs.len(), false, false);
    let results = run_campaign(&Campaign {
        executor: executor.as_ref(),
        jobs: &jobs,
        parallel: args.jobs.map_or_else(processors, |n| n as usize),
        keep: Keep::Nothing,
        cancel: &cancel,
        longest: LONGEST,
        observer: &|progress| line.tell(progress),
    });
    line.finish();
    if let Some(missing) = results.missing {
        return Err(Failure::text(ExitCode::Missing, missing));
    }
    if results.interrupted {
        return Ok(ExitCode::Interrupted);
    }
    let rows: Vec<Row> = std::iter::once(None)
        .chain(sabotages.iter().copied().map(Some))
        .map(|sabotage| {
            // The campaign was not interrupted, so there is a report for each job.
            let mine = jobs
                .iter()
                .zip(&results.scenarios)
                .filter(|(job, _)| job.sabotage == sabotage);
            Row::new(
                sabotage,
                &mine.map(|(_, report)| report).collect::<Vec<_>>(),
            )
        })
        .collect();
    output::print(&if args.json {
        format!("{:#}\n", matrix_json(&rows))
    } else {
        matrix(&rows)
    })?;
    Ok(conclude(&rows))
}

/// Each sabotage with every scenario that tests what it breaks, and each of these scenarios with sound nodes.
fn jobs(sabotages: &[Sabotage], scenarios: &[Selected], seed: u64) -> Vec<Job> {
    let tests = |s: &Selected, sabotage: Sabotage| {
        s.scenario
            .guarantees
            .iter()
            .any(|id| sabotage.breaks().contains(&id.as_str()))
    };
    let job = |s: &Selected, sabotage| Job {
        plan: scenario::plan(&s.id, &s.suite, &s.scenario, seed),
        sabotage,
    };
    let sound = scenarios
        .iter()
        .filter(|s| sabotages.iter().any(|sabotage| tests(s, *sabotage)))
        .map(|s| job(s, None));
    let broken = sabotages.iter().flat_map(|sabotage| {
        scenarios
            .iter()
            .filter(|s| tests(s, *sabotage))
            .map(|s| job(s, Some(*sabotage)))
    });
    sound.chain(broken).collect()
}

fn conclude(rows: &[Row]) -> ExitCode {
    let any = |answer| rows.iter().any(|row| row.answer() == answer);
    if any(Answer::Bad) {
        ExitCode::Violated
    } else if any(Answer::Untested) {
        ExitCode::Inconclusive
    } else {
        ExitCode::Holds
    }
}

fn matrix(rows: &[Row]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let also = row.also.iter().map(|id| format!("({id})"));
            let failed = row.failed.iter().map(|f| format!("[{f}]"));
            let by: Vec<String> = row
                .caught
                .iter()
                .cloned()
                .chain(also)
                .chain(failed)
                .collect();
            vec![
                row.name().into(),
                row.breaks().join(", "),
                row.scenarios.to_string(),
                row.word().into(),
                by.join(", "),
            ]
        })
        .collect();
    table(
        &["sabotage", "breaks", "scenarios", "result", "violated"],
        &cells,
        output::width(),
    )
}

fn matrix_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "sabotage": row.sabotage.map(Sabotage::name),
            "breaks": row.breaks(),
            "scenarios": row.scenarios,
            "result": row.word().to_lowercase(),
            "caught-by": row.caught,
            "also-violated": row.also,
            "failed": row.failed,
        })
    };
    Value::Array(rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use gauntlet_reports::Verdict;

    use super::*;

    fn report(scenario: &str, violated: &[&str]) -> ScenarioReport {
        let known = scenario::Known {
            guarantee: &|_| true,
            message: &|_| true,
        };
        let text = "title='t'\nguarantees=['HB-08']\non=['sim']\n[[step]]\nobserve={}\n";
        let parsed = scenario::parse_with("t", text, known).expect("a good scenario");
        let job = Job {
            plan: scenario::plan(scenario, "s", &parsed, 1),
            sabotage: None,
        };
        let mut report = campaign::empty_report(&job, "sim");
        report.verdicts = violated
            .iter()
            .map(|id| Verdict {
                guarantee: (*id).into(),
                status: Status::Violated,
                summary: String::new(),
                evidence: Vec::new(),
                proofs: 1,
                damage: None,
            })
            .collect();
        report
    }

    #[test]
    fn the_matrix_tells_caught_from_missed_untested_and_accused() {
        let (sound, other, both) = (
            report("a", &[]),
            report("a", &["SC-01"]),
            report("a", &["HB-08", "TC-01"]),
        );
        let rows = [
            Row::new(None, &[&sound]),
            Row::new(Some(Sabotage::NeverPromote), &[&sound, &both]),
            Row::new(Some(Sabotage::SlowHeartbeat), &[&other]),
            Row::new(Some(Sabotage::NoFsync), &[]),
            Row::new(None, &[&other]),
        ];
        insta::assert_snapshot!(matrix(&rows), @r"
        SABOTAGE        BREAKS        SCENARIOS  RESULT    VIOLATED
        (sound nodes)                 1          passes
        never-promote   HB-08, RO-04  2          caught    HB-08, (TC-01)
        slow-heartbeat  HB-02         1          MISSED    (SC-01)
        no-fsync        TC-02, VZ-01  0          untested
        (sound nodes)                 1          ACCUSED   (SC-01)
        ");
        assert_eq!(conclude(&rows[..2]), ExitCode::Holds);
        assert_eq!(conclude(&rows[..3]), ExitCode::Violated);
        assert_eq!(
            conclude(&[rows[0].clone(), rows[3].clone()]),
            ExitCode::Inconclusive
        );
        assert_eq!(conclude(&rows[4..]), ExitCode::Violated);
    }

    #[test]
    fn each_sabotage_runs_with_the_scenarios_that_test_what_it_breaks() {
        let scenarios = embedded().expect("good suites");
        let jobs = jobs(&[Sabotage::NeverPromote], &scenarios, 1);
        let (sound, broken): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.sabotage.is_none());
        assert_eq!(
            sound.iter().map(|j| &j.plan).collect::<Vec<_>>(),
            broken.iter().map(|j| &j.plan).collect::<Vec<_>>()
        );
        let breaks = Sabotage::NeverPromote.breaks();
        assert!(broken.iter().all(|j| {
            j.plan
                .scenario
                .guarantees
                .iter()
                .any(|id| breaks.contains(&id.as_str()))
        }));
    }
}
