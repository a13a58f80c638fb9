//! `gauntlet doctor`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Done, output, run::On, table::table};
use crate::{campaign::Settings, error::ExitCode, process};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet doctor
  gauntlet doctor --on process --json

Exit codes: 0 when the simulator works, or with --on the substrate that was asked for; 69 otherwise.")]
pub(super) struct DoctorArgs {
    /// Look at this substrate only
    #[arg(long, value_enum)]
    on: Option<On>,
    /// The program that is a node, for `process`
    #[arg(long, value_name = "FILE")]
    node_bin: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
struct Finding {
    substrate: On,
    what: &'static str,
    /// What is there, or what is missing.
    said: Result<String, String>,
}

pub(super) fn run(args: &DoctorArgs) -> Done {
    let findings: Vec<Finding> = [On::Sim, On::Process]
        .into_iter()
        .filter(|on| args.on.is_none_or(|only| only == *on))
        .flat_map(|on| look(on, args))
        .collect();
    let works = |on| {
        findings
            .iter()
            .filter(|f| f.substrate == on)
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
        said,
    };
    match on {
        On::Sim => vec![finding("everything", Ok("is part of this program".into()))],
        On::Process => {
            let settings = Settings {
                time_scale: 1,
                node_bin: args.node_bin.clone(),
            };
            let system = process::available().map(|()| "loopback ports, SIGKILL, SIGSTOP".into());
            let node = settings.node_command().map(|_| match &args.node_bin {
                Some(program) => program.display().to_string(),
                None => "this program's own `node` command".into(),
            });
            vec![finding("system", system), finding("node program", node)]
        }
    }
}
