//! `gauntlet merge`

use std::path::{Path, PathBuf};

use clap::Args;
use gauntlet_reports::{
    MergeError, RunReport,
    certificate::{Certificate, Facts, certificate},
    merge,
};

use super::{Done, certify, output, rendered, statement};
use crate::{
    certify::catalogue,
    error::{ExitCode, Failure},
    run_directory::{self, RunDirectory},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet merge part-1 part-2 part-3 part-4           run directories of `--shard 1/4` to `--shard 4/4`
  gauntlet merge parts --junit junit.xml               a directory of them, as CI collects it
  gauntlet merge parts --markdown \"$GITHUB_STEP_SUMMARY\"

The exit code is that of the whole, as if it had not been divided.")]
pub(super) struct MergeArgs {
    /// Run directories of the parts of one `run` or `certify`, or a directory that holds them
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
    #[command(flatten)]
    files: rendered::Files,
    /// Where the run directory of the whole is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs_dir: PathBuf,
    /// Print the totals, or the statement, only
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Print every finding with its evidence
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(args: &MergeArgs, command: &str) -> Done {
    let mut parts: Vec<(String, RunReport)> = Vec::new();
    let mut statements: Vec<(String, Option<Certificate>)> = Vec::new();
    for directory in places(&args.directories)? {
        let path = directory.join(run_directory::VERDICTS);
        let text = run_directory::read(&path).map_err(|e| usage(e.to_string()))?;
        let report = gauntlet_reports::from_json(&text)
            .map_err(|e| usage(format!("{}: {e}", path.display())))?;
        let name = directory.display().to_string();
        statements.push((name.clone(), statement::read(&directory)?));
        parts.push((name, report));
    }
    let whole = merge(&parts, command).map_err(merge_failure)?;
    let statement = join(&statements, &whole)?;
    args.files.probe()?;
    // A certification's parts keep its seeds one by one.
    let report = match &statement {
        Some(_) => certify::folded(&whole),
        None => whole.clone(),
    };
    let seed = whole.origin.as_ref().map_or(0, |origin| origin.seed);
    let directory =
        RunDirectory::create(&args.runs_dir, jiff::Timestamp::now(), "merged", seed, 2, 1)
            .map_err(|e| {
                let help = "choose another directory with `--runs-dir`";
                Failure::with_help(ExitCode::Missing, e.to_string(), help)
            })?;
    rendered::write_directory(directory.path(), &whole)?;
    args.files.write(&report)?;
    if !args.quiet || statement.is_none() {
        rendered::print(&report, args.quiet, args.verbose)?;
    }
    let code = match &statement {
        None => report.conclusion().into(),
        Some(statement) => {
            statement::write_directory(directory.path(), statement)?;
            if !args.quiet {
                output::print("\n")?;
            }
            statement::print(statement)?;
            certify::code(&report, statement)
        }
    };
    if !args.quiet {
        output::note(&format!("run directory: {}", directory.path().display()));
    }
    Ok(code)
}

/// The run directories that were named: each itself, or what it holds.
fn places(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut places = Vec::new();
    for directory in named {
        let here = directory.join(run_directory::VERDICTS).is_file();
        let mut found = if here {
            vec![directory.clone()]
        } else {
            run_directory::holding(directory, run_directory::VERDICTS)
                .map_err(|e| usage(e.to_string()))?
        };
        // `runs/latest` is one of the others.
        found.retain(|place| here || !is_link(place));
        if found.is_empty() {
            return Err(Failure::with_help(
                ExitCode::Usage,
                format!("{} holds no verdicts.json", directory.display()),
                "name run directories, or a directory that holds some; a run that was killed has no verdicts",
            ));
        }
        places.append(&mut found);
    }
    Ok(places)
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_symlink())
}

/// The certificate of the whole, when the parts have one each.
fn join(
    parts: &[(String, Option<Certificate>)],
    whole: &RunReport,
) -> Result<Option<Certificate>, Failure> {
    let Some((first_name, Some(first))) = parts.first() else {
        return match parts.iter().find(|(_, one)| one.is_some()) {
            Some((name, _)) => Err(usage(format!(
                "{name} is of a certification, and {} is not",
                parts.first().map_or("", |(name, _)| name.as_str())
            ))),
            None => Ok(None),
        };
    };
    let mut all = Vec::new();
    for (name, one) in parts {
        let Some(one) = one else {
            return Err(usage(format!(
                "{first_name} is of a certification, and {name} is not"
            )));
        };
        let (a, b) = (&first.subject, &one.subject);
        for (what, a, b) in [
            ("version", &a.version, &b.version),
            ("digest", &a.digest, &b.digest),
        ] {
            if a != b {
                let word = |value: &Option<String>| value.clone().unwrap_or("not known".into());
                return Err(usage(format!(
                    "{first_name} and {name} are of different targets: the {what} is {} in the one, {} in the other",
                    word(a),
                    word(b)
                )));
            }
        }
        all.push(one);
    }
    let probed = all.iter().find_map(|one| one.probe.clone());
    let mut untested = Vec::new();
    for one in all.iter().flat_map(|one| &one.untested) {
        // What one part did not test another may have.
        let tested = whole.by_guarantee().iter().any(|g| g.guarantee == one.what)
            || (one.what == "protocol" && probed.is_some());
        if !tested && !untested.contains(one) {
            untested.push(one.clone());
        }
    }
    Ok(Some(certificate(Facts {
        subject: first.subject.clone(),
        date: all
            .iter()
            .map(|one| one.date.clone())
            .max()
            .unwrap_or_default(),
        run: &certify::folded(whole),
        repeats: first.repeats,
        probe: probed,
        untested,
        catalogue: catalogue(),
        complete: all.iter().all(|one| one.complete),
    })))
}

fn merge_failure(error: MergeError) -> Failure {
    let help = match &error {
        MergeError::Missing { .. } => {
            "every part must have come to its end, and be named; a part that was killed has no verdicts.json"
        }
        MergeError::Whole { .. } => "name the run directories of `--shard` only",
        _ => "name the run directories of one call's parts, each once",
    };
    Failure::with_help(ExitCode::Usage, error.to_string(), help)
}

fn usage(message: String) -> Failure {
    Failure::text(ExitCode::Usage, message)
}
