//! `gauntlet run`

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use gauntlet_reports::{Origin, RunReport, SeedTotals};
use reference_node::sabotage::Sabotage;

use super::{Done, interrupt, output, progress::Line, rendered, target::TargetArgs};
use crate::{
    campaign::{self, Campaign, ExecuteError, Job, Keep, Results, Settings, fold, run_campaign},
    error::{ExitCode, Failure},
    process::Network,
    run_directory::RunDirectory,
    scenario::{self, SelectError, Selected, Span, select},
};

/// Where nodes live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum On {
    /// One process, virtual time: days in milliseconds
    #[default]
    Sim,
    /// Real processes on loopback addresses, scaled real time
    Process,
    /// Containers of any mail transfer agent, scaled real time
    Container,
    /// Real processes in virtual machines under QEMU, scaled real time
    Vm,
}

impl On {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Process => "process",
            Self::Container => "container",
            Self::Vm => "vm",
        }
    }

    /// The one of that name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Sim, Self::Process, Self::Container, Self::Vm]
            .into_iter()
            .find(|on| on.name() == name)
    }

    /// The time scale that is used when none is given.
    const fn time_scale(self) -> u32 {
        match self {
            Self::Sim => 1,
            Self::Process | Self::Container => 600,
            // A guest is emulated, and answers in tens of milliseconds what a process answers in one: heartbeats, every
            // 200 ms at 600, would come late while three guests share two processors.
            Self::Vm => 300,
        }
    }
}

/// Part I of N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) index: usize,
    pub(super) of: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, of)) if 1 <= index && index <= of => Ok(Self { index, of }),
            _ => Err("write `I/N`, as in `2/4` for the second of four parts".into()),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet run                                   every suite that the simulator can run
  gauntlet run heartbeat recovery                two suites
  gauntlet run my-scenario.toml --on process     a file of one's own, on real processes
  gauntlet run virtualization --on vm            in virtual machines that boot, move and go back in time
  gauntlet run tc-02-power-lost-at-ack --on container --target postfix
                                                 does Postfix lose mail that it acknowledged?
  gauntlet run chaos --seed 100 --seeds 1000     a thousand schedules
  gauntlet run --random --seeds 1000             a thousand clusters, configurations, workloads and fault schedules
  gauntlet run --only SC-01 --only HB-08         whatever tests these guarantees
  gauntlet run --shard 2/4 --junit junit.xml     the second of four CI jobs")]
pub(super) struct RunArgs {
    /// Suites, scenario IDs, scenario files or directories of them; every suite when left out
    #[arg(value_name = "SUITE|FILE")]
    what: Vec<String>,
    /// Where nodes live
    #[arg(long, value_enum, default_value_t)]
    on: On,
    /// The seed that every choice is drawn from
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Run with so many seeds, from --seed on; in the simulator only failing ones leave a directory
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seeds: u64,
    /// Draw cluster, configuration, mail and faults from each seed, and judge every guarantee; only in the simulator
    #[arg(long, conflicts_with_all = ["what", "only", "on", "time_scale", "node_bin", "toxiproxy", "target", "image_base"])]
    random: bool,
    /// Only the scenario of this ID, or those that test this guarantee; may be given several times
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Divide every documented duration by K; real substrates only, where the default is 600 (on `vm` 300), or what the
    /// target file says
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    time_scale: Option<u32>,
    #[command(flatten)]
    pub(super) files: rendered::Files,
    /// Break the nodes on purpose; see `gauntlet list sabotages`
    #[arg(long, value_name = "NAME")]
    pub(super) sabotage: Option<String>,
    /// How many runs at once; when left out as many as there are processors, on `process` eight times as many: its runs
    /// mostly wait; on `vm` one
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) jobs: Option<u32>,
    /// Run only the I-th of N parts
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<Shard>,
    /// End a run that takes longer than this, in real time, and report it as failed
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(super) timeout: Span,
    /// Where run directories are made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(super) runs_dir: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    /// The program that is a node, on real substrates; this one's own `node` command when left out
    #[arg(long, value_name = "FILE")]
    node_bin: Option<PathBuf>,
    /// How partitions are made, for `--on process`
    #[arg(long, value_enum, default_value_t)]
    network: Network,
    /// Let links run through proxies of this Toxiproxy instead of our own taps, for `--on process`: the URL of its API. What
    /// passes on them is unknown then, and guarantees that need it are inconclusive
    #[arg(long, value_name = "URL")]
    toxiproxy: Option<String>,
    /// Print the totals only
    #[arg(long, short, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Print every finding with its evidence, and a line on stderr for every run
    #[arg(long, short)]
    pub(super) verbose: bool,
}

pub(super) fn run(args: &RunArgs, command: &str) -> Done {
    if args.random {
        return super::random::run(args, command);
    }
    let begun = Instant::now();
    let settings = Settings {
        network: args.network,
        toxiproxy: args.toxiproxy.clone(),
        ..settings(
            args.on,
            args.time_scale,
            args.node_bin.clone(),
            &args.target,
        )?
    };
    if args.toxiproxy.is_some() && (args.on != On::Process || args.network != Network::default()) {
        let message = "a Toxiproxy stands between processes on loopback alone";
        return Err(Failure::with_help(
            ExitCode::Usage,
            message,
            "use `--on process`, without `--network`; or leave `--toxiproxy` out",
        ));
    }
    let sabotage = args.sabotage.as_deref().map(sabotage).transpose()?;
    let selected = select(&args.what, &args.only, args.on.name()).map_err(selection_failure)?;
    let jobs = jobs(&selected, args, sabotage)?;
    args.files.probe()?;
    let executor = campaign::open(args.on.name(), &settings).map_err(execute_failure)?;

    let name = format!("{}{}", name(args, &selected), part_of_name(args.shard));
    let directory = RunDirectory::create(
        &args.runs_dir,
        jiff::Timestamp::now(),
        &name,
        args.seed,
        selected.len(),
        args.seeds,
    )
    .map_err(|e| {
        Failure::with_help(
            ExitCode::Missing,
            e.to_string(),
            "choose another directory with `--runs-dir`",
        )
    })?;
    let mass = args.seeds > 1 && executor.is_reproducible();
    let keep = if mass {
        Keep::Failing(&directory)
    } else {
        Keep::All(&directory)
    };
    let cancel = interrupt::token()?;
    let line = Line::new(jobs.len(), args.quiet, args.verbose);
    let results = run_campaign(&Campaign {
        executor: executor.as_ref(),
        jobs: &jobs,
        parallel: args.jobs.map_or_else(|| parallel(args.on), |n| n as usize),
        keep,
        cancel: &cancel,
        longest: args.timeout.0,
        observer: &|progress| line.tell(progress),
    });
    line.finish();

    let mut report = RunReport::new(env!("CARGO_PKG_VERSION"), command);
    report.sabotage = sabotage.map(|s| s.name().to_owned());
    report.origin = Some(origin(args, settings.time_scale));
    let Results {
        scenarios,
        missing,
        interrupted,
    } = results;
    let finished = scenarios.len();
    report.elapsed_ms = Some(millis(begun));
    report.scenarios = if args.seeds > 1 {
        let mut seeds = SeedTotals::default();
        scenarios.iter().for_each(|one| seeds.add(one));
        report.seeds = Some(seeds);
        fold(scenarios)
    } else {
        scenarios
    };
    rendered::write_directory(directory.path(), &report)?;
    args.files.write(&report)?;
    rendered::print(&report, args.quiet, args.verbose)?;
    if !args.quiet {
        output::note(&format!("run directory: {}", directory.path().display()));
    }
    if interrupted {
        let all = jobs.len();
        output::note(&format!(
            "interrupted: {finished} of {all} runs came to their end, and the verdicts speak of these"
        ));
    }
    conclude(&report, missing, interrupted)
}

/// The exit code of verdicts that came from runs.
pub(super) fn conclude(report: &RunReport, missing: Option<String>, interrupted: bool) -> Done {
    if let Some(missing) = missing {
        return Err(Failure::text(ExitCode::Missing, missing));
    }
    Ok(if interrupted {
        ExitCode::Interrupted
    } else {
        report.conclusion().into()
    })
}

/// Scenarios × seeds, of which a shard takes every N-th.
fn jobs(
    selected: &[Selected],
    args: &RunArgs,
    sabotage: Option<Sabotage>,
) -> Result<Vec<Job>, Failure> {
    let last = args.seed.checked_add(args.seeds - 1);
    let Some(last) = last else {
        return Err(Failure::text(
            ExitCode::Usage,
            "--seed and --seeds go past the largest seed",
        ));
    };
    let all = selected
        .iter()
        .flat_map(|s| (args.seed..=last).map(move |seed| (s, seed)));
    let mine = |(i, _): &(usize, _)| {
        args.shard
            .is_none_or(|shard| i % shard.of == shard.index - 1)
    };
    let jobs: Vec<Job> = all
        .enumerate()
        .filter(mine)
        .map(|(_, (s, seed))| Job {
            plan: scenario::plan(&s.id, &s.suite, &s.scenario, seed),
            sabotage,
        })
        .collect();
    if jobs.is_empty() {
        let message = "this shard is empty: there are fewer runs than shards";
        return Err(Failure::with_help(
            ExitCode::Usage,
            message,
            "use fewer shards",
        ));
    }
    Ok(jobs)
}

/// Parts that begin in the same second on several machines have directories of different names.
pub(super) fn part_of_name(shard: Option<Shard>) -> String {
    shard.map_or_else(String::new, |shard| {
        format!("-part-{}-of-{}", shard.index, shard.of)
    })
}

/// What was run, for `gauntlet merge`.
fn origin(args: &RunArgs, time_scale: u32) -> Origin {
    let only = args.only.iter().map(|id| format!("--only {id}"));
    let words: Vec<String> = args.what.iter().cloned().chain(only).collect();
    Origin {
        what: if words.is_empty() {
            "every suite".into()
        } else {
            words.join(" ")
        },
        on: format!("{}, time scale {time_scale}", args.on.name()),
        seed: args.seed,
        seeds: args.seeds,
        part: args.shard.map(super::certify::part),
    }
}

/// What the run directory is named after.
fn name(args: &RunArgs, selected: &[Selected]) -> String {
    let mut suites: Vec<&str> = selected.iter().map(|s| s.suite.as_str()).collect();
    suites.dedup();
    match (selected, suites.as_slice()) {
        ([one], _) => one.id.clone(),
        (_, [suite]) => (*suite).to_owned(),
        _ if args.what.is_empty() && args.only.is_empty() => "all".into(),
        _ => "selection".into(),
    }
}

pub(super) fn settings(
    on: On,
    time_scale: Option<u32>,
    node_bin: Option<PathBuf>,
    target: &TargetArgs,
) -> Result<Settings, Failure> {
    if on != On::Container && target.is_given() {
        let message = "`--target` and `--image-base` are for containers";
        return Err(Failure::with_help(
            ExitCode::Usage,
            message,
            "add `--on container`",
        ));
    }
    let loaded = match on {
        On::Container => Some(target.load()?),
        On::Sim | On::Process | On::Vm => None,
    };
    let own_scale = loaded.as_ref().map(|target| target.time.scale);
    if on == On::Sim && time_scale.is_some_and(|k| k != 1) {
        let message = "the simulator's time is virtual: it has no time scale";
        return Err(Failure::with_help(
            ExitCode::Usage,
            message,
            "leave `--time-scale` out, or use `--on process`",
        ));
    }
    Ok(Settings {
        time_scale: time_scale.or(own_scale).unwrap_or(on.time_scale()),
        node_bin,
        target: loaded,
        image_base: target.image_base.clone(),
        network: Network::default(),
        toxiproxy: None,
    })
}

/// Nothing was said of a target.
pub(super) const NO_TARGET: TargetArgs = TargetArgs {
    target: None,
    image_base: None,
};

/// The sabotage of that name, in a build that has them.
pub(super) fn sabotage(name: &str) -> Result<Sabotage, Failure> {
    let Some(sabotage) = Sabotage::from_name(name) else {
        let known = Sabotage::ALL.iter().map(|s| s.name());
        let help = scenario::spelling::nearest(name, known).map_or_else(
            || "see `gauntlet list sabotages`".into(),
            |nearest| format!("did you mean `{nearest}`?"),
        );
        return Err(Failure::with_help(
            ExitCode::Usage,
            format!("no sabotage is called `{name}`"),
            help,
        ));
    };
    has_sabotages().map(|()| sabotage)
}

/// Fails in a build without broken nodes.
pub(super) fn has_sabotages() -> Result<(), Failure> {
    if cfg!(feature = "sabotage") {
        return Ok(());
    }
    let message = "this gauntlet was built without deliberately broken nodes";
    Err(Failure::with_help(
        ExitCode::Usage,
        message,
        "build it with `cargo build --features sabotage`",
    ))
}

pub(super) fn selection_failure(error: SelectError) -> Failure {
    Failure::new(ExitCode::Usage, error)
}

pub(super) fn execute_failure(error: ExecuteError) -> Failure {
    let code = match error {
        ExecuteError::Missing(_) | ExecuteError::NotApplicable(_) => ExitCode::Missing,
        ExecuteError::Interrupted => ExitCode::Interrupted,
        ExecuteError::Failed(_) => ExitCode::Harness,
    };
    Failure::text(code, error.to_string())
}

/// How long a run may take where there is no option for it.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// Real time since then, in milliseconds.
pub(super) fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How many runs at once, when nobody says. Runs on processes and containers mostly wait.
pub(super) fn parallel(on: On) -> usize {
    match on {
        On::Sim => processors(),
        On::Process => processors() * 8,
        // Each has several programs in it, as large as they are.
        On::Container => processors() * 4,
        // A run's guests keep two processors busy while they boot.
        On::Vm => 1,
    }
}

pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_written_as_i_of_n() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, of: 4 }));
        for bad in ["0/4", "5/4", "1", "a/b", "1/0", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_simulator_has_no_time_scale() {
        assert_eq!(
            settings(On::Sim, None, None, &NO_TARGET)
                .map(|s| s.time_scale)
                .ok(),
            Some(1)
        );
        assert_eq!(
            settings(On::Process, None, None, &NO_TARGET)
                .map(|s| s.time_scale)
                .ok(),
            Some(600)
        );
        assert!(settings(On::Sim, Some(60), None, &NO_TARGET).is_err());
        let postfix = TargetArgs {
            target: Some("postfix".into()),
            image_base: None,
        };
        assert!(settings(On::Process, None, None, &postfix).is_err());
    }
}
