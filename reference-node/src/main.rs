//! The reference node as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use reference_node::service::{self, Arguments};

/// One node of Gauntlet's reference cluster: an SMTP transport with shadow redundancy and Safety Net.
///
/// Prints one line of JSON with its addresses once it takes mail, and stops on SIGINT or SIGTERM.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  reference-node --config node.toml\n  reference-node --config node.toml --check"
)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

// Small allocations by the million, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match service::run(&Command::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("{report:?}");
            ExitCode::FAILURE
        }
    }
}
