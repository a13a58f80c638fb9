//! `gauntlet run --random`: a cluster, a workload and a fault schedule for each seed, and what all of them prove.
//!
//! Seeds are run in lots, and what a lot proved is folded before the next one begins: a hundred thousand seeds need no
//! more memory than a thousand.

use std::time::Instant;

use gauntlet_reports::{RunReport, SeedTotals, Status};

use super::{
    Done, interrupt, output,
    progress::Line,
    rendered,
    run::{NO_TARGET, On, RunArgs, execute_failure, millis, processors, sabotage, settings},
    table::table,
};
use crate::{
    campaign::{self, Campaign, Fold, Job, Keep, Tally, is_failing, run_campaign},
    error::{ExitCode, Failure},
    random,
    run_directory::RunDirectory,
};

/// Seeds in a lot.
const LOT: usize = 256;

/// Failing seeds that leave a directory. Nodes that are broken for every seed fill no disk.
const KEPT: usize = 25;

/// Causes that the table shows of each guarantee, the most frequent first; `--verbose` shows all.
const SHOWN: usize = 3;

pub(super) fn run(args: &RunArgs, command: &str) -> Done {
    let begun = Instant::now();
    let sabotage = args.sabotage.as_deref().map(sabotage).transpose()?;
    let seeds = seeds(args)?;
    args.files.probe()?;
    let executor = campaign::open(On::Sim.name(), &settings(On::Sim, None, None, &NO_TARGET)?)
        .map_err(execute_failure)?;
    let directory = RunDirectory::create(
        &args.runs_dir,
        jiff::Timestamp::now(),
        random::ID,
        args.seed,
        1,
        args.seeds,
    )
    .map_err(|e| {
        let help = "choose another directory with `--runs-dir`";
        Failure::with_help(ExitCode::Missing, e.to_string(), help)
    })?;
    let cancel = interrupt::token()?;
    let line = Line::new(seeds.len(), args.quiet, args.verbose);
    let (mut fold, mut tally, mut totals) =
        (Fold::default(), Tally::default(), SeedTotals::default());
    let (mut failing, mut interrupted, mut missing) = (0, false, None);
    for lot in seeds.chunks(LOT) {
        let jobs: Vec<Job> = lot
            .iter()
            .map(|seed| Job {
                plan: random::plan(*seed),
                sabotage,
            })
            .collect();
        let keep = match args.seeds {
            1 => Keep::All(&directory),
            _ if failing < KEPT => Keep::Failing(&directory),
            _ => Keep::Nothing,
        };
        let results = run_campaign(&Campaign {
            executor: executor.as_ref(),
            jobs: &jobs,
            parallel: args.jobs.map_or_else(processors, |n| n as usize),
            keep,
            cancel: &cancel,
            longest: args.timeout.0,
            observer: &|progress| line.tell(progress),
        });
        for report in results.scenarios {
            failing += usize::from(is_failing(&report));
            tally.add(&report);
            totals.add(&report);
            fold.add(report);
        }
        interrupted = results.interrupted;
        missing = results.missing;
        if interrupted || missing.is_some() {
            break;
        }
    }
    line.finish();
    if let Some(missing) = missing {
        return Err(Failure::text(ExitCode::Missing, missing));
    }

    let mut report = RunReport::new(env!("CARGO_PKG_VERSION"), command);
    report.sabotage = sabotage.map(|s| s.name().to_owned());
    report.elapsed_ms = Some(millis(begun));
    report.seeds = Some(totals);
    report.scenarios = fold.finish();
    rendered::write_directory(directory.path(), &report)?;
    args.files.write(&report)?;
    print(args, &report, &tally)?;
    if !args.quiet {
        output::note(&format!("run directory: {}", directory.path().display()));
    }
    if interrupted {
        output::note(&format!(
            "interrupted: {} of {} seeds came to their end, and the table speaks of these",
            tally.seeds,
            seeds.len()
        ));
    }
    Ok(if interrupted {
        ExitCode::Interrupted
    } else {
        conclude(&report, &tally)
    })
}

/// The seeds of this call; a shard takes every N-th.
fn seeds(args: &RunArgs) -> Result<Vec<u64>, Failure> {
    let Some(last) = args.seed.checked_add(args.seeds - 1) else {
        let message = "--seed and --seeds go past the largest seed";
        return Err(Failure::text(ExitCode::Usage, message));
    };
    let mine = |(at, _): &(usize, u64)| {
        args.shard
            .is_none_or(|shard| at % shard.of == shard.index - 1)
    };
    let seeds: Vec<u64> = (args.seed..=last)
        .enumerate()
        .filter(mine)
        .map(|(_, seed)| seed)
        .collect();
    if seeds.is_empty() {
        let message = "this shard is empty: there are fewer seeds than shards";
        return Err(Failure::with_help(
            ExitCode::Usage,
            message,
            "use fewer shards",
        ));
    }
    Ok(seeds)
}

/// The stories of what was violated, the table, and the totals under it.
fn print(args: &RunArgs, report: &RunReport, tally: &Tally) -> Result<(), Failure> {
    if !args.quiet {
        let mut failing = report.clone();
        failing.scenarios.retain(is_failing);
        failing.elapsed_ms = None;
        failing.seeds = None;
        if !failing.scenarios.is_empty() {
            rendered::print(&failing, false, args.verbose)?;
            output::print("\n")?;
        }
        output::print(&answers(tally, args.verbose))?;
        output::print("\n")?;
    }
    output::print(&format!("{}\n", report.summary()))
}

/// Per guarantee how many seeds held, were inconclusive or outside, and why.
fn answers(tally: &Tally, all: bool) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (id, answers) in &tally.guarantees {
        let mut causes: Vec<_> = answers.open.iter().collect();
        causes.sort_by_key(|(_, open)| std::cmp::Reverse(open.seeds));
        let shown = if all { causes.len() } else { SHOWN };
        let mut why: Vec<String> = causes
            .iter()
            .take(shown)
            .map(|((status, _), open)| {
                let word = match status {
                    Status::Inconclusive => "",
                    status => status.word(),
                };
                let colon = if word.is_empty() { "" } else { ": " };
                let campaign::Open {
                    seeds,
                    first,
                    reason,
                } = open;
                format!("{seeds}× {word}{colon}{reason} (seed {first})")
            })
            .collect();
        if causes.len() > shown {
            why.push(format!("and {} more causes", causes.len() - shown));
        }
        let mut why = why.into_iter();
        rows.push(vec![
            id.clone(),
            answers.holds.to_string(),
            answers.violated.to_string(),
            answers.count(Status::Inconclusive).to_string(),
            answers.count(Status::Outside).to_string(),
            why.next().unwrap_or_default(),
        ]);
        let empty = || vec![String::new(); 5];
        rows.extend(why.map(|line| [empty(), vec![line]].concat()));
    }
    table(
        &["", "holds", "violated", "inconcl.", "outside", "why not"],
        &rows,
        output::width(),
    )
}

/// A guarantee that a seed could not put to the test is no failure: others do.
fn conclude(report: &RunReport, tally: &Tally) -> ExitCode {
    let any = |of: fn(&campaign::Answers) -> u64| tally.guarantees.values().any(|a| of(a) > 0);
    if any(|a| a.violated) {
        ExitCode::Violated
    } else if report.scenarios.iter().any(|s| s.failure.is_some()) {
        ExitCode::Harness
    } else if any(|a| a.holds) {
        ExitCode::Holds
    } else {
        ExitCode::Inconclusive
    }
}
