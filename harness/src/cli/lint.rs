//! `gauntlet lint`

use std::path::PathBuf;

use clap::Args;
use gauntlet_reports::{Style, lint as report};

use super::{Done, output};
use crate::{
    error::{ExitCode, Failure},
    lint::{self, Input},
    run_directory,
};

#[derive(Debug, Args)]
#[command(
    after_help = "A FILE is a libvirt domain (`virsh dumpxml GUEST`), a libvirt storage volume (`virsh vol-dumpxml`), or a
deployment description (docs/lint.md). Files given together describe one deployment: what no file says is
not stated, and is not checked.

Exit codes: 0 every rule is kept; 1 a rule is broken; 2 none is broken, but something that a MUST needs is
not stated; 64 bad usage or a file that is wrong.

Examples:
  gauntlet lint deployment.toml
  gauntlet lint mx-1.xml mx-2.xml --cores 16
  gauntlet lint hosts.toml mx-1.xml mx-1-disk.xml --junit lint.xml
  gauntlet lint --schema > deployment.schema.json"
)]
pub(super) struct LintArgs {
    /// What describes the deployment; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    files: Vec<PathBuf>,
    /// Physical cores of the one host that runs all guests, where no file describes it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cores: Option<u32>,
    /// Print what is kept as well
    #[arg(long, short)]
    verbose: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print the JSON schema of deployment descriptions
    #[arg(long, conflicts_with_all = ["files", "cores", "junit", "json"])]
    schema: bool,
}

pub(super) fn run(args: &LintArgs) -> Done {
    if args.schema {
        return output::print(&lint::description::schema()).map(|()| ExitCode::Holds);
    }
    let inputs = args.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let found = lint::lint(&inputs, args.cores).map_err(|e| Failure::new(ExitCode::Usage, e))?;
    let failed = |e: gauntlet_reports::ReportError| Failure::text(ExitCode::Harness, e.to_string());
    if let Some(path) = &args.junit {
        let text = report::junit(&found).map_err(failed)?;
        run_directory::write(path, &text)
            .map_err(|e| Failure::text(ExitCode::Missing, e.to_string()))?;
    }
    let text = if args.json {
        report::json(&found).map_err(failed)?
    } else {
        let style = Style {
            color: output::has_color(),
            width: output::width(),
            verbose: args.verbose,
        };
        report::terminal(&found, &style)
    };
    output::print(&text)?;
    Ok(found.conclusion().into())
}

fn read(path: &PathBuf) -> Result<Input, Failure> {
    let name = path.display().to_string();
    let octets = if name == "-" {
        let mut octets = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut octets).map(|_| octets)
    } else {
        std::fs::read(path)
    };
    let octets = octets
        .map_err(|e| Failure::text(ExitCode::Usage, format!("{name} cannot be read: {e}")))?;
    let text = String::from_utf8(octets).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|octet| **octet == b'\n')
            .count();
        let help = "save it as UTF-8";
        Failure::with_help(
            ExitCode::Usage,
            format!(
                "{name} is no UTF-8 text: line {} has other octets",
                line + 1
            ),
            help,
        )
    })?;
    Ok(Input { name, text })
}
