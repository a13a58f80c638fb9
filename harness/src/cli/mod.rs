//! The commands.
//!
//! Comes in: the command line. Goes out: text on stdout, progress and errors on stderr, files, an exit code
//! ([`ExitCode`]). Called by `main`.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{ExitCode, Failure};

mod certify;
mod check;
mod compare;
mod doctor;
mod explore;
mod interrupt;
mod lint;
mod list;
mod load;
mod merge;
mod node;
mod output;
mod probe;
mod probe_client;
mod progress;
mod proxy;
mod random;
mod rendered;
mod replay;
mod report;
mod run;
mod selftest;
mod shrink;
mod statement;
mod table;
mod target;
mod vm;

/// A chaos and conformance test harness for SMTP transports
#[derive(Debug, Parser)]
#[command(
    name = "gauntlet",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit codes:
  0    all that was tested holds
  1    a guarantee is violated
  2    nothing is violated, but something is inconclusive, or nothing was proven
  64   bad usage or bad input file; a selector that matches nothing
  69   what the run needs is missing
  70   the harness itself failed
  130  interrupted

Examples:
  gauntlet run                        every suite, in the simulator
  gauntlet run heartbeat --seed 7     one suite, with another seed
  gauntlet list guarantees            what is tested, and by what"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What there are schemas of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum SchemaOf {
    /// Scenario files
    #[default]
    Scenario,
    /// Target files
    Target,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run suites or scenario files, print the verdicts, write a run directory
    Run(Box<run::RunArgs>),
    /// Run one scenario with every fault at every point of its run
    Explore(Box<explore::ExploreArgs>),
    /// Put what the standards say to anything that speaks SMTP
    Probe(Box<probe::ProbeArgs>),
    /// Put a mail server to everything that applies to it, and state what was proven
    Certify(Box<certify::CertifyArgs>),
    /// Put the parts of a divided run or certification together (`--shard`)
    Merge(merge::MergeArgs),
    /// Show what there is: suites, scenarios, guarantees, faults, sabotages, targets
    List(list::ListArgs),
    /// Check a deployment's description, or its libvirt files, by the rules for virtual machines
    Lint(lint::LintArgs),
    /// Judge a recorded history again, with the checkers of today
    Check(check::CheckArgs),
    /// Do a recorded run again, from its plan
    Replay(replay::ReplayArgs),
    /// Find the smallest scenario that breaks the same guarantee as a recorded run, and tell its story
    Shrink(shrink::ShrinkArgs),
    /// Render the verdicts of a run directory
    Report(report::ReportArgs),
    /// Show which substrates work on this machine, and what the others lack
    Doctor(doctor::DoctorArgs),
    /// Run the scenarios against deliberately broken nodes: every checker must be able to fail
    Selftest(selftest::SelftestArgs),
    /// Send mail to a server, as fast as it takes it or at a rate, and keep a ledger of what became of every message
    Load(Box<load::LoadArgs>),
    /// Be one node of the reference cluster
    Node(node::NodeArgs),
    /// Be a fault proxy, with Toxiproxy's HTTP API
    Proxy(proxy::ProxyArgs),
    /// Make what virtual machines boot
    Vm(vm::VmArgs),
    /// Print the JSON schema of scenario files, or of target files
    #[command(
        after_help = "Examples:\n  gauntlet schema > suites/scenario.schema.json\n  gauntlet schema target > docker/target.schema.json"
    )]
    Schema {
        /// Of which files
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
}

/// Runs a command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let parsed = Cli::command()
        .try_get_matches_from(&args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is nobody's failure.
            let _ = error.print();
            // Help and version go to stdout; anything else is bad usage.
            return if error.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Holds
            };
        }
    };
    let line = output::command_line(&args);
    let done = match cli.command {
        Command::Run(args) => run::run(&args, &line),
        Command::Explore(args) => explore::run(&args, &line),
        Command::Probe(args) => probe::run(&args, &line),
        Command::Certify(args) => certify::run(&args, &line),
        Command::Merge(args) => merge::run(&args, &line),
        Command::List(args) => list::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Check(args) => check::run(&args, &line),
        Command::Replay(args) => replay::run(&args, &line),
        Command::Shrink(args) => shrink::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Load(args) => load::run(&args, &line),
        Command::Node(args) => node::run(&args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Vm(args) => vm::run(&args),
        Command::Schema { of } => {
            let schema = match of {
                SchemaOf::Scenario => crate::scenario::schema(),
                SchemaOf::Target => gauntlet_docker::target::schema(),
            };
            output::print(&schema).map(|()| ExitCode::Holds)
        }
    };
    done.unwrap_or_else(|failure| {
        output::report(&failure);
        failure.code
    })
}

/// What a command gives.
type Done = Result<ExitCode, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_s_help_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains("Examples:\n  gauntlet"),
                "{}",
                command.get_name()
            );
        }
    }
}
