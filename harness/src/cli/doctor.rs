//! `gauntlet doctor`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Done, output, run::On, table::table};
use crate::{
    campaign::Settings,
    container,
    error::{ExitCode, Failure},
    host::{
        registry::{self, Cleaned},
        volume,
    },
    process, vm,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet doctor
  gauntlet doctor --on process --json
  gauntlet doctor --on vm
  gauntlet doctor --clean                 after a gauntlet that was killed

A fault that this machine lacks something for is missing, and its substrate works all the same: scenarios that need it are
not applicable, with the reason. What is tried is undone at once.

Exit codes: 0 when the simulator works, or with --on the substrate that was asked for; 69 otherwise. With --clean 0 when
nothing is left, 70 otherwise.")]
pub(super) struct DoctorArgs {
    /// Look at this substrate only
    #[arg(long, value_enum)]
    on: Option<On>,
    /// The program that is a node, for `process` and `vm`
    #[arg(long, value_name = "FILE")]
    node_bin: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Remove what dead gauntlets have left: processes, containers with their networks and volumes, mounts, loop devices, control groups, network namespaces, temporary files
    #[arg(long, conflicts_with_all = ["on", "node_bin"])]
    clean: bool,
}

/// One thing that was looked at.
struct Finding {
    substrate: On,
    what: &'static str,
    /// The substrate works without it.
    optional: bool,
    /// What is there, or what is missing.
    said: Result<String, String>,
}

pub(super) fn run(args: &DoctorArgs) -> Done {
    if args.clean {
        return clean(args.json);
    }
    let findings: Vec<Finding> = [On::Sim, On::Process, On::Container, On::Vm]
        .into_iter()
        .filter(|on| args.on.is_none_or(|only| only == *on))
        .flat_map(|on| look(on, args))
        .collect();
    let works = |on| {
        findings
            .iter()
            .filter(|f| f.substrate == on && !f.optional)
            .all(|f| f.said.is_ok())
    };
    if args.json {
        let rows = findings.iter().map(|f| {
            let (ok, said) = (f.said.is_ok(), f.said.as_ref().unwrap_or_else(|e| e));
            json!({ "substrate": f.substrate.name(), "what": f.what, "ok": ok, "said": said })
        });
        output::print(&format!("{:#}\n", Value::Array(rows.collect())))?;
    } else {
        let rows: Vec<Vec<String>> = findings
            .iter()
            .map(|f| {
                let (word, said) = match &f.said {
                    Ok(said) => ("ok", said),
                    Err(said) => ("missing", said),
                };
                vec![
                    f.substrate.name().into(),
                    f.what.into(),
                    word.into(),
                    said.clone(),
                ]
            })
            .collect();
        output::print(&table(
            &["substrate", "what", "", "found"],
            &rows,
            output::width(),
        ))?;
    }
    Ok(if works(args.on.unwrap_or_default()) {
        ExitCode::Holds
    } else {
        ExitCode::Missing
    })
}

fn look(on: On, args: &DoctorArgs) -> Vec<Finding> {
    let finding = |what, said| Finding {
        substrate: on,
        what,
        optional: false,
        said,
    };
    match on {
        On::Sim => vec![finding("everything", Ok("is part of this program".into()))],
        On::Process => {
            let settings = Settings {
                node_bin: args.node_bin.clone(),
                ..Settings::default()
            };
            let system = process::available().map(|()| "loopback ports, SIGKILL, SIGSTOP".into());
            let node = settings.node_command().map(|_| match &args.node_bin {
                Some(program) => program.display().to_string(),
                None => "this program's own `node` command".into(),
            });
            let faults = process::faults().into_iter().map(|(fault, works)| Finding {
                optional: true,
                ..finding(fault, works.map(|()| "tried, and undone".into()))
            });
            let left = Finding {
                optional: true,
                ..finding("left behind", left_behind())
            };
            let needed = [finding("system", system), finding("node program", node)];
            needed.into_iter().chain(faults).chain([left]).collect()
        }
        On::Vm => {
            let settings = Settings {
                node_bin: args.node_bin.clone(),
                ..Settings::default()
            };
            let rows = vm::needs(settings.node_command());
            let row = |(what, optional, said)| Finding {
                optional,
                ..finding(what, said)
            };
            rows.into_iter().map(row).collect()
        }
        On::Container => {
            let disk = Finding {
                optional: true,
                ..finding(
                    "host crash, full disk, read-only disk",
                    volume::available().map(|()| "tried, and undone".into()),
                )
            };
            vec![finding("container engine", container::available()), disk]
        }
    }
}

/// Whether dead gauntlets have left anything.
fn left_behind() -> Result<String, String> {
    let found = registry::leftovers().map_err(unreadable)?;
    let resources: Vec<String> = found
        .iter()
        .flat_map(|left| &left.resources)
        .map(ToString::to_string)
        .collect();
    match resources.as_slice() {
        [] => Ok("nothing, by gauntlets that are dead".into()),
        [first] => Err(format!("{first}; `gauntlet doctor --clean` removes it")),
        [first, more @ ..] => Err(format!(
            "{first} and {} more; `gauntlet doctor --clean` removes them",
            more.len()
        )),
    }
}

fn unreadable(error: std::io::Error) -> String {
    format!("{}: {error}", registry::place().display())
}

fn clean(as_json: bool) -> Done {
    let found = registry::leftovers()
        .map_err(|error| Failure::text(ExitCode::Harness, unreadable(error)))?;
    let cleaned = registry::clean(found);
    let text = if as_json {
        let row = |one: &Cleaned| json!({ "gauntlet": one.harness.id, "what": one.what, "ok": one.failed.is_none(), "said": one.failed });
        format!("{:#}\n", Value::Array(cleaned.iter().map(row).collect()))
    } else if cleaned.is_empty() {
        "nothing is left behind by gauntlets that are dead\n".into()
    } else {
        let line = |one: &Cleaned| match &one.failed {
            None => format!("removed: {} (of gauntlet {})\n", one.what, one.harness.id),
            Some(error) => format!(
                "still there: {} (of gauntlet {}): {error}\n",
                one.what, one.harness.id
            ),
        };
        cleaned.iter().map(line).collect()
    };
    output::print(&text)?;
    Ok(if cleaned.iter().all(|one| one.failed.is_none()) {
        ExitCode::Holds
    } else {
        ExitCode::Harness
    })
}
