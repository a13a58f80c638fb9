//! `gauntlet explore`

use std::{path::PathBuf, time::Duration};

use clap::Args;
use gauntlet_reports::{RunReport, ScenarioReport, Status, Verdict};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Done, interrupt, output, rendered,
    run::{execute_failure, processors, sabotage, selection_failure},
    table::table,
};
use crate::{
    campaign::{Job, empty_report},
    error::{ExitCode, Failure},
    explore::{
        Budget, Exploration, ExploreError, Found, Header, Kind, Part, ResultFile, ResultsError,
        Tick, explore,
    },
    run_directory::{self, RunDirectory},
    scenario::{self, Span, select},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet explore basic-delivery                          every fault at every point of one message's way
  gauntlet explore basic-delivery --pairs --budget 5m      and two faults, as far as five minutes go
  gauntlet explore my-scenario.toml --only process-crash   one kind of fault
  gauntlet explore basic-delivery --pairs --continue runs/latest/explore.jsonl --budget 5m
                                                           the next five minutes")]
pub(super) struct ExploreArgs {
    /// A scenario's ID, or a scenario file
    #[arg(value_name = "SCENARIO")]
    what: String,
    /// Also two faults, the second within the recovery of the first
    #[arg(long)]
    pairs: bool,
    /// Run at most so many schedules, or so long: `5000`, `5m`
    #[arg(long, value_name = "COUNT|TIME")]
    budget: Option<Budget>,
    /// Only faults of this kind; may be given several times
    #[arg(long, value_name = "KIND", value_parser = kind)]
    only: Vec<Kind>,
    /// The seed that every choice is drawn from, and the order of the schedules
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on with the result file of an earlier call
    #[arg(long = "continue", value_name = "FILE", conflicts_with = "out")]
    continued: Option<PathBuf>,
    /// Write the result file there; `explore.jsonl` in the run directory when left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// At most so many failing schedules leave a run directory
    #[arg(long, value_name = "N", default_value_t = 20)]
    keep: usize,
    #[command(flatten)]
    files: rendered::Files,
    /// Break the nodes on purpose; see `gauntlet list sabotages`
    #[arg(long, value_name = "NAME")]
    sabotage: Option<String>,
    /// How many runs at once; when left out as many as there are processors
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// End a run that takes longer than this, in real time, and report it as failed
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: Span,
    /// Where run directories are made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs_dir: PathBuf,
    /// Print the totals only
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Print every finding with its evidence
    #[arg(long, short)]
    verbose: bool,
}

fn kind(name: &str) -> Result<Kind, String> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| {
        let known = Kind::ALL.map(Kind::name);
        match scenario::spelling::nearest(name, known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("known are {}", known.join(", ")),
        }
    })
}

pub(super) fn run(args: &ExploreArgs, command: &str) -> Done {
    let sabotage = args.sabotage.as_deref().map(sabotage).transpose()?;
    let selected =
        select(std::slice::from_ref(&args.what), &[], "sim").map_err(selection_failure)?;
    let [one] = selected.as_slice() else {
        let message = format!("`{}` is {} scenarios", args.what, selected.len());
        let help = "one is explored at a time; `gauntlet list scenarios` has them all";
        return Err(Failure::with_help(ExitCode::Usage, message, help));
    };
    args.files.probe()?;
    let plan = scenario::plan(&one.id, &one.suite, &one.scenario, args.seed);
    let header = Header::new(&plan, sabotage.map(|s| s.name()));
    // A file that cannot be continued is told before anything is made.
    let continued = args.continued.as_deref();
    let continued = continued.map(|path| ResultFile::open(path, &header));
    let continued = continued.transpose().map_err(results_failure)?;
    let now = jiff::Timestamp::now();
    let name = format!("explore-{}", one.id);
    let directory = RunDirectory::create(&args.runs_dir, now, &name, args.seed, 2, 1);
    let directory = directory.map_err(|e| {
        let help = "choose another directory with `--runs-dir`";
        Failure::with_help(ExitCode::Missing, e.to_string(), help)
    })?;
    let (mut results, done) = match continued {
        Some((file, done)) => (file, done),
        None => {
            let own = directory.path().join("explore.jsonl");
            let path = args.out.as_ref().unwrap_or(&own);
            let file = ResultFile::create(path, &header).map_err(results_failure)?;
            (file, Vec::new())
        }
    };
    let cancel = interrupt::token()?;
    let line = Line::new(args.quiet);
    let exploration = Exploration {
        plan,
        sabotage,
        kinds: match args.only.as_slice() {
            [] => Kind::ALL.to_vec(),
            only => only.to_vec(),
        },
        pairs: args.pairs,
        budget: args.budget,
        parallel: args.jobs.map_or_else(processors, |n| n as usize),
        longest: args.timeout.0,
        directory: &directory,
        keep: args.keep,
        done,
        cancel: &cancel,
        observer: &|tick| line.tell(tick),
    };
    let found = explore(&exploration, &mut results);
    line.finish();
    let found = found.map_err(|error| match error {
        ExploreError::Run(error) => execute_failure(error),
        ExploreError::Results(error) => results_failure(error),
    })?;

    let report = report(command, &exploration, &found);
    tell_stories(&found)?;
    rendered::write_directory(directory.path(), &report)?;
    args.files.write(&report)?;
    rendered::print(&report, args.quiet, args.verbose)?;
    output::print(&summary(args, &found))?;
    if !args.quiet {
        output::note(&format!("results: {}", results.path().display()));
        output::note(&format!("run directory: {}", directory.path().display()));
    }
    if found.interrupted {
        output::note(&format!(
            "interrupted: go on with `--continue {}`",
            results.path().display()
        ));
        return Ok(ExitCode::Interrupted);
    }
    // Failing schedules that left no directory count as well.
    let violated = |by: &std::collections::BTreeMap<Status, u64>| {
        by.get(&Status::Violated).is_some_and(|count| *count > 0)
    };
    if found.unrest > 0 || found.verdicts.values().any(violated) {
        return Ok(ExitCode::Violated);
    }
    if found.failures > 0 {
        return Ok(ExitCode::Harness);
    }
    Ok(report.conclusion().into())
}

fn results_failure(error: ResultsError) -> Failure {
    let code = match error {
        ResultsError::Io { .. } => ExitCode::Missing,
        ResultsError::Other { .. } => ExitCode::Usage,
    };
    Failure::text(code, error.to_string())
}

/// The schedules that went well as one scenario, and each that failed.
fn report(command: &str, exploration: &Exploration<'_>, found: &Found) -> RunReport {
    let mut report = RunReport::new(env!("CARGO_PKG_VERSION"), command);
    report.sabotage = exploration.sabotage.map(|s| s.name().to_owned());
    let job = Job {
        plan: exploration.plan.clone(),
        sabotage: exploration.sabotage,
    };
    let mut all = empty_report(&job, "sim");
    all.elapsed_ms = u64::try_from(found.elapsed.as_millis()).unwrap_or(u64::MAX);
    all.verdicts = found
        .verdicts
        .iter()
        .filter_map(|(id, by_status)| {
            let count = |status| by_status.get(&status).copied().unwrap_or_default();
            let (holds, broken) = (count(Status::Holds), count(Status::Violated));
            (holds > 0 && broken == 0).then(|| Verdict {
                guarantee: id.clone(),
                status: Status::Holds,
                summary: format!(
                    "holds in {holds} schedules, the others do not put it to the test"
                ),
                evidence: Vec::new(),
                proofs: holds,
                damage: None,
            })
        })
        .collect();
    report.scenarios.push(all);
    report.scenarios.extend(found.failing.iter().cloned());
    report
}

/// The story of each failing schedule, beside its history.
fn tell_stories(found: &Found) -> Result<(), Failure> {
    for failing in &found.failing {
        let Some(directory) = &failing.directory else {
            continue;
        };
        let story = std::path::Path::new(directory).join("story.txt");
        run_directory::write(&story, &self::story(failing))
            .map_err(|e| Failure::text(ExitCode::Missing, e.to_string()))?;
    }
    Ok(())
}

fn story(report: &ScenarioReport) -> String {
    let mut text = format!("{}\n", report.title.replace(" | ", "\n"));
    if let Some(failure) = &report.failure {
        text.push_str(&format!("\n{failure}\n"));
    }
    for verdict in &report.verdicts {
        text.push_str(&format!(
            "\n{} {}: {}\n",
            verdict.guarantee,
            verdict.status.word(),
            verdict.summary
        ));
        for piece in &verdict.evidence {
            let records: Vec<String> = piece.records.iter().map(u64::to_string).collect();
            text.push_str(&format!(
                "  {} (records {})\n",
                piece.text,
                records.join(", ")
            ));
        }
    }
    text
}

/// What was done, saved, left out; and how often each guarantee was put to the test.
fn summary(args: &ExploreArgs, found: &Found) -> String {
    let mut text = String::from("\n");
    text.push_str(&part("single faults", &found.singles));
    if let Some(pairs) = &found.pairs {
        text.push_str(&part("pairs", pairs));
    }
    let ran = found.singles.ran + found.pairs.as_ref().map_or(0, |part| part.ran);
    let seconds = found.elapsed.as_secs_f64();
    if seconds > 0.0 {
        let rate = ran as f64 / seconds;
        text.push_str(&format!(
            "{ran} schedules in {seconds:.1} s: {rate:.0} a second\n"
        ));
    }
    let unkept = found.failures.saturating_sub(found.failing.len() as u64);
    if unkept > 0 {
        text.push_str(&format!(
            "{unkept} more failing schedules left no run directory: the result file names them\n"
        ));
    }
    if !args.quiet {
        let rows: Vec<Vec<String>> = found
            .verdicts
            .iter()
            .map(|(id, by_status)| {
                let statuses = [
                    Status::Holds,
                    Status::Violated,
                    Status::Inconclusive,
                    Status::Outside,
                ];
                let count = |status| by_status.get(&status).map_or("—".into(), u64::to_string);
                std::iter::once(id.clone())
                    .chain(statuses.map(count))
                    .collect()
            })
            .collect();
        let head = ["schedules", "hold", "violate", "inconclusive", "outside"];
        text.push_str(&format!("\n{}", table(&head, &rows, output::width())));
    }
    text
}

fn part(name: &str, part: &Part) -> String {
    let saved: u64 = part.saved.values().sum();
    let mut text = format!(
        "{name}: {} fault points, {} schedules; {} run now",
        part.points, part.schedules, part.ran
    );
    if part.continued > 0 {
        text.push_str(&format!(", {} by an earlier call", part.continued));
    }
    let left: u64 = part.left_out.values().sum();
    text.push_str(&format!(", {left} left out\n"));
    let list = |items: Vec<String>| items.join("; ");
    if saved > 0 {
        let rules = part
            .saved
            .iter()
            .map(|(rule, count)| format!("{count} {}", rule.text()));
        text.push_str(&format!(
            "  the rules saved {saved}: {}\n",
            list(rules.collect())
        ));
    }
    if left > 0 {
        let kinds = part
            .left_out
            .iter()
            .map(|(kind, count)| format!("{count} {}", kind.name()));
        text.push_str(&format!("  left out: {}\n", list(kinds.collect())));
    }
    if part.unseen > 0 {
        text.push_str(&format!(
            "  left out: all second faults of {} first ones, not counted\n",
            part.unseen
        ));
    }
    text
}

/// The line on stderr: how far it is, how fast, and how long it will take.
struct Line {
    bar: ProgressBar,
}

impl Line {
    fn new(quiet: bool) -> Self {
        // indicatif draws nothing when stderr is no terminal.
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // A constant: it is a good template.
        if let Ok(style) = ProgressStyle::with_template(
            "exploring {wide_bar} {pos}/{len} schedules, {per_sec}, {eta} to go",
        ) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    fn tell(&self, tick: Tick) {
        match tick {
            Tick::More(count) => self.bar.inc_length(count),
            Tick::Ran => self.bar.inc(1),
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_name() {
        assert_eq!(kind("freeze"), Ok(Kind::Freeze));
        assert_eq!(kind("freze"), Err("did you mean `freeze`?".into()));
    }
}
