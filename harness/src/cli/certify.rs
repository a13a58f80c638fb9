//! `gauntlet certify`

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use gauntlet_docker::target::Target;
use gauntlet_reports::{
    Conclusion, Origin, Part, RunReport, SeedTotals,
    certificate::{Certificate, Facts, ProbeTally, Subject, Untested, certificate},
    probe::ProbeReport,
};
use reference_node::sabotage::Sabotage;
use tokio_util::sync::CancellationToken;

use super::{
    Done, interrupt, output,
    progress::Line,
    rendered,
    run::{self, On, Shard},
    statement,
    target::{self, TargetArgs},
};
use crate::{
    campaign::{self, Campaign, Executor, Job, Keep, Results, Settings, fold, run_campaign},
    certify::{self, standing},
    error::{ExitCode, Failure},
    probe::{self, Probe, arrival::Source, cases, expected::Expected},
    run_directory::RunDirectory,
    scenario::{self, Selected, Span},
};

/// How many times scenarios for any server are run: so each kind of fault is put to more than a thousand messages.
const REPEATS: u64 = 4;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet certify reference                       the reference cluster, on real processes
  gauntlet certify postfix                         a server of somebody else, in containers
  gauntlet certify ./my-mta/target.toml            one of your own; see docs/targets.md
  gauntlet certify reference --junit junit.xml     …with the verdicts for a CI server
  gauntlet certify reference --shard 1/4           the first of four CI jobs; see `gauntlet merge`
  gauntlet certify reference --only TC-02          one guarantee; what is left out is said

Writes certificate.md and certificate.json into the run directory. docs/certify.md says what a certificate means.")]
pub(super) struct CertifyArgs {
    /// A shipped target, or a target file: reference, postfix, ./my-mta.toml
    #[arg(value_name = "TARGET")]
    target: String,
    /// Where its nodes live; when left out real processes for `reference`, and containers for any other
    #[arg(long, value_enum)]
    on: Option<On>,
    /// The image that targets' images are built upon; see docs/targets.md
    #[arg(long, value_name = "IMAGE")]
    image_base: Option<String>,
    /// The seed that every choice is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times the scenarios for any server are run, each time with another seed
    #[arg(long, value_name = "N", default_value_t = REPEATS, value_parser = clap::value_parser!(u64).range(1..=1000))]
    repeats: u64,
    /// Only the scenario of this ID, or those that test this guarantee; may be given several times
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Do not put the standards' clauses to it
    #[arg(long)]
    no_probe: bool,
    /// Divide every documented duration by K
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    time_scale: Option<u32>,
    #[command(flatten)]
    files: rendered::Files,
    /// Break the nodes on purpose: no level is reached; see `gauntlet list sabotages`
    #[arg(long, value_name = "NAME")]
    sabotage: Option<String>,
    /// How many runs at once; when left out as many as there are processors, on processes eight times as many: they
    /// mostly wait
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Run only the I-th of N parts
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// End a run that takes longer than this, in real time, and report it as failed
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: Span,
    /// Where run directories are made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs_dir: PathBuf,
    /// Print the statement only
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Print every finding with its evidence, and a line on stderr for every run
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(args: &CertifyArgs, command: &str) -> Done {
    let begun = Instant::now();
    let target = Target::load(&args.target).map_err(target::failure)?;
    let on = substrate(args, &target)?;
    let sabotage = args.sabotage.as_deref().map(run::sabotage).transpose()?;
    let of = TargetArgs {
        target: (on == On::Container).then(|| args.target.clone()),
        image_base: args.image_base.clone(),
    };
    let settings = run::settings(on, args.time_scale, None, &of)?;
    let selection =
        certify::selection(&target, on.name(), &args.only).map_err(run::selection_failure)?;
    args.files.probe()?;
    let jobs = Jobs::new(args, &selection, sabotage)?;
    let directory = RunDirectory::create(
        &args.runs_dir,
        jiff::Timestamp::now(),
        &format!("certify-{}{}", target.name, run::part_of_name(args.shard)),
        args.seed,
        2,
        args.repeats.max(2),
    )
    .map_err(|e| {
        Failure::with_help(
            ExitCode::Missing,
            e.to_string(),
            "choose another directory with `--runs-dir`",
        )
    })?;
    let cancel = interrupt::token()?;

    let mut untested = selection.untested;
    let probed = match why_unprobed(args, on) {
        Some(why) => {
            untested.push(Untested {
                what: "protocol".into(),
                why,
            });
            None
        }
        None => Some(probe_reference(&directory, &settings, command, &cancel)?),
    };

    let mut report = RunReport::new(env!("CARGO_PKG_VERSION"), command);
    report.sabotage = sabotage.map(|s| s.name().to_owned());
    report.origin = Some(origin(args, &target, on, &settings));
    let mut complete = !cancel.is_cancelled();
    let mut missing = None;
    let mut digest = None;
    // One after the other: what any server is put to is load, and the cluster's scenarios are held to times.
    let lists = [
        (on, &jobs.any),
        (on, &jobs.cluster),
        (On::Sim, &jobs.simulated),
    ];
    for (substrate, jobs) in lists {
        if jobs.is_empty() || !complete {
            continue;
        }
        let executor = campaign::open(substrate.name(), &settings).map_err(run::execute_failure)?;
        digest = digest.or(executor.image_digest());
        let results = campaign(
            args,
            substrate,
            executor.as_ref(),
            jobs,
            &directory,
            &cancel,
        );
        report.scenarios.extend(results.scenarios);
        complete &= !results.interrupted;
        missing = missing.or(results.missing);
    }
    report.elapsed_ms = Some(run::millis(begun));

    let folded = folded(&report);
    let subject = subject(&target, on, &settings, &report, digest);
    let statement = certificate(Facts {
        subject,
        date: now(),
        run: &folded,
        repeats: args.repeats,
        probe: probed.as_ref().map(ProbeTally::of),
        untested,
        catalogue: certify::catalogue(),
        complete: complete && missing.is_none(),
    });
    // Seed by seed, so that parts can be put together.
    rendered::write_directory(directory.path(), &report)?;
    statement::write_directory(directory.path(), &statement)?;
    args.files.write(&folded)?;
    if !args.quiet {
        rendered::print(&folded, false, args.verbose)?;
        output::print("\n")?;
    }
    statement::print(&statement)?;
    output::note(&format!("run directory: {}", directory.path().display()));
    let code = run::conclude(&folded, missing, !complete)?;
    Ok(statement::with_protocol(code, &statement))
}

/// What was run, for `gauntlet merge`.
fn origin(args: &CertifyArgs, target: &Target, on: On, settings: &Settings) -> Origin {
    let only: String = args.only.iter().map(|id| format!(" --only {id}")).collect();
    Origin {
        what: format!("certify {}{only}", target.name),
        on: format!("{}, time scale {}", on.name(), settings.time_scale),
        seed: args.seed,
        seeds: args.repeats,
        part: args.shard.map(part),
    }
}

pub(super) fn part(shard: Shard) -> Part {
    Part {
        index: shard.index as u64,
        of: shard.of as u64,
    }
}

/// Seeds folded, as reports have them.
pub(super) fn folded(report: &RunReport) -> RunReport {
    let mut folded = report.clone();
    let mut seeds = SeedTotals::default();
    report.scenarios.iter().for_each(|one| seeds.add(one));
    folded.seeds = Some(seeds);
    folded.scenarios = fold(report.scenarios.clone());
    folded
}

/// Where the target's nodes live.
fn substrate(args: &CertifyArgs, target: &Target) -> Result<On, Failure> {
    let usage = |message: String, help: &'static str| {
        Err(Failure::with_help(ExitCode::Usage, message, help))
    };
    match (args.on, target.is_reference_node()) {
        (Some(On::Sim), _) => usage(
            "the simulator certifies nothing: it has no sockets that a probe could reach".into(),
            "leave `--on` out; `gauntlet run` runs every suite in the simulator",
        ),
        (Some(On::Vm), _) => usage(
            "virtual machines are certified by nothing yet".into(),
            "leave `--on` out; `gauntlet run virtualization --on vm` runs that suite",
        ),
        (Some(On::Process), false) => usage(
            format!("{} runs in containers alone", target.name),
            "leave `--on` out",
        ),
        (None | Some(On::Process), true) => Ok(On::Process),
        (None, false) | (Some(On::Container), _) => Ok(On::Container),
    }
}

fn why_unprobed(args: &CertifyArgs, on: On) -> Option<String> {
    let first = args.shard.is_none_or(|shard| shard.index == 1);
    if on == On::Container {
        let why =
            "certify probes no containers: publish the server's port, and use `gauntlet probe`";
        Some(why.into())
    } else if args.no_probe {
        Some("--no-probe".into())
    } else if args.sabotage.is_some() {
        Some("the nodes are broken on purpose".into())
    } else if !args.only.is_empty() {
        Some(format!("--only {}", args.only.join(" --only ")))
    } else {
        (!first).then(|| "part 1 has the probe".into())
    }
}

/// What is run, in the order of the report.
struct Jobs {
    any: Vec<Job>,
    cluster: Vec<Job>,
    simulated: Vec<Job>,
}

impl Jobs {
    fn new(
        args: &CertifyArgs,
        selection: &certify::Selection,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, Failure> {
        let Some(last) = args.seed.checked_add(args.repeats - 1) else {
            let message = "--seed and --repeats go past the largest seed";
            return Err(Failure::text(ExitCode::Usage, message));
        };
        let job = |s: &Selected, seed| Job {
            plan: scenario::plan(&s.id, &s.suite, &s.scenario, seed),
            sabotage,
        };
        let once = |all: &[Selected]| all.iter().map(|s| job(s, args.seed)).collect::<Vec<_>>();
        let any = selection.any.iter();
        let any = any.flat_map(|s| (args.seed..=last).map(move |seed| (s, seed)));
        let mut jobs = Self {
            any: any.map(|(s, seed)| job(s, seed)).collect(),
            cluster: once(&selection.cluster),
            simulated: once(&selection.simulated),
        };
        let mut place = 0;
        let lists = [&mut jobs.any, &mut jobs.cluster, &mut jobs.simulated];
        let mut left = 0;
        for list in lists {
            list.retain(|_| {
                place += 1;
                args.shard
                    .is_none_or(|shard| (place - 1) % shard.of == shard.index - 1)
            });
            left += list.len();
        }
        if left == 0 {
            let help = if args.shard.is_some() {
                "use fewer shards"
            } else {
                "see `gauntlet list scenarios`"
            };
            let message = "there is nothing to run for this target, or in this shard";
            return Err(Failure::with_help(ExitCode::Usage, message, help));
        }
        Ok(jobs)
    }
}

fn campaign(
    args: &CertifyArgs,
    on: On,
    executor: &dyn Executor,
    jobs: &[Job],
    directory: &RunDirectory,
    cancel: &CancellationToken,
) -> Results {
    let line = Line::new(jobs.len(), args.quiet, args.verbose);
    let results = run_campaign(&Campaign {
        executor,
        jobs,
        parallel: args
            .jobs
            .map_or_else(|| run::parallel(on), |jobs| jobs as usize),
        keep: Keep::All(directory),
        cancel,
        longest: args.timeout.0,
        observer: &|progress| line.tell(progress),
    });
    line.finish();
    results
}

/// Puts the standards' clauses to a node that stands by itself.
fn probe_reference(
    directory: &RunDirectory,
    settings: &Settings,
    command: &str,
    cancel: &CancellationToken,
) -> Result<ProbeReport, Failure> {
    let failed = |error: std::io::Error| {
        Failure::text(
            ExitCode::Harness,
            format!("no node to put the standards' clauses to: {error}"),
        )
    };
    let place = directory.path().join("probe");
    std::fs::create_dir_all(&place).map_err(failed)?;
    let (program, arguments) = match &settings.node_bin {
        Some(program) => (program.clone(), &[][..]),
        None => (std::env::current_exe().map_err(failed)?, &["node"][..]),
    };
    let node = standing::Standing::start(&program, arguments, &place).map_err(failed)?;
    let target = (node.smtp.parse()).map_err(|e| failed(std::io::Error::other::<String>(e)))?;
    let probe = Probe {
        target,
        from: standing::FROM.into(),
        to: standing::TO.map(String::from).to_vec(),
        timeout: Duration::from_secs(10),
        arrival_timeout: Duration::from_secs(15),
        jobs: 8,
        strict: false,
        slow: false,
        proof: Some(Source::Mailboxes(node.http.clone())),
        login: None,
        expected: Expected::new(),
        command: command.to_owned(),
    };
    let report = run_probe(probe, cancel)?;
    drop(node);
    statement::write_probe(directory.path(), &report)?;
    Ok(report)
}

fn run_probe(probe: Probe, cancel: &CancellationToken) -> Result<ProbeReport, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::text(ExitCode::Harness, format!("cannot start: {e}")))?;
    let cases = cases::all();
    let line = std::sync::Arc::new(Line::new(cases.len(), false, false));
    let told = line.clone();
    let report = runtime.block_on(probe::run(probe, cases, cancel.clone(), move |id| {
        told.step(id);
    }));
    line.finish();
    runtime.shutdown_background();
    report.map_err(|error| Failure::text(ExitCode::Harness, error.to_string()))
}

/// Who the certificate is about.
fn subject(
    target: &Target,
    on: On,
    settings: &Settings,
    report: &RunReport,
    image: Option<String>,
) -> Subject {
    let simulated = report.scenarios.iter().filter(|s| s.substrate == "sim");
    let simulated = match simulated.count() {
        0 => String::new(),
        n => format!("; {n} scenarios with days in them in the simulator, with the same node"),
    };
    Subject {
        name: target.name.to_string(),
        title: target.title.clone(),
        version: (on == On::Process).then(|| env!("CARGO_PKG_VERSION").into()),
        digest: match on {
            On::Process => own_digest(settings),
            _ => image,
        },
        substrate: format!("{}{simulated}", on.name()),
        time_scale: settings.time_scale,
        claims: certify::claims(target),
    }
}

/// The node program's SHA-256.
fn own_digest(settings: &Settings) -> Option<String> {
    use sha2::{Digest, Sha256};
    let program = match &settings.node_bin {
        Some(program) => program.clone(),
        None => std::env::current_exe().ok()?,
    };
    let hash = Sha256::digest(std::fs::read(program).ok()?);
    let hex: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
    Some(format!("sha256:{hex}"))
}

/// To the second.
fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// The exit code of a certificate's runs, where nothing else went wrong.
pub(super) fn code(report: &RunReport, statement: &Certificate) -> ExitCode {
    let runs: Conclusion = report.conclusion();
    statement::with_protocol(runs.into(), statement)
}
