//! `gauntlet node`: the reference node, so that the harness needs no other program to start real clusters.

use clap::Args;
use reference_node::{config::ConfigError, service};

use super::Done;
use crate::error::{ExitCode, Failure};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet node --config node.toml
  gauntlet node --config node.toml --check

Prints one line of JSON with its addresses once it takes mail, and stops on SIGINT or SIGTERM.")]
pub(super) struct NodeArgs {
    #[command(flatten)]
    arguments: service::Arguments,
}

pub(super) fn run(args: &NodeArgs) -> Done {
    service::run(&args.arguments)
        .map(|()| ExitCode::Holds)
        .map_err(|report| {
            // What is wrong with the file is its writer's; an address in use or a bad disk is the machine's.
            let usage = args.arguments.check
                || report.downcast_ref::<ConfigError>().is_some()
                || !args.arguments.config.is_file();
            Failure {
                code: if usage {
                    ExitCode::Usage
                } else {
                    ExitCode::Missing
                },
                report,
            }
        })
}
