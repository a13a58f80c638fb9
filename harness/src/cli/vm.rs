//! `gauntlet vm`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Done, output};
use crate::{
    error::{ExitCode, Failure},
    process::NodeCommand,
    vm::{Machine, images::KernelSource},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet vm build                              the image that `gauntlet run --on vm` uses
  gauntlet vm build --kernel vmlinuz --modules modules/6.1.0   with a kernel of one's own
  gauntlet run virtualization --on vm            runs in guests; it makes the image itself when there is none
  gauntlet doctor --on vm                        what guests need, and what this machine has

docs/virtualization.md says what is done to guests, and what it took.")]
pub(super) struct VmArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make kernel, initramfs and the node's file system, or find them in the cache; look whether KVM works
    #[command(after_help = "Examples:
  gauntlet vm build
  gauntlet vm build --node-bin target/release/reference-node

The cache is $XDG_CACHE_HOME/gauntlet/vm, or ~/.cache/gauntlet/vm. The kernel is Debian's package for cloud images, which is
downloaded and unpacked, not installed. Exit codes: 0 there is an image; 69 something is missing, and what to install.")]
    Build(BuildArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// The program that is a node; this one's own `node` command when left out
    #[arg(long, value_name = "FILE")]
    node_bin: Option<PathBuf>,
    /// A kernel of one's own, as in /boot
    #[arg(long, value_name = "FILE", requires = "modules")]
    kernel: Option<PathBuf>,
    /// The directory of that kernel's drivers, as in /lib/modules
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
}

pub(super) fn run(args: &VmArgs) -> Done {
    let Command::Build(args) = &args.command;
    let missing = |what| Failure::text(ExitCode::Missing, what);
    let command = match &args.node_bin {
        Some(program) => NodeCommand::of(program),
        None => NodeCommand::own().map_err(|error| missing(error.to_string()))?,
    };
    let kernel = match (&args.kernel, &args.modules) {
        (Some(image), Some(modules)) => KernelSource::Files {
            image: image.clone(),
            modules: modules.clone(),
        },
        _ => KernelSource::Package,
    };
    let made = Machine::prepare(&command, kernel, &mut |line| output::note(line));
    let Machine {
        image,
        accelerator,
        no_kvm,
    } = made.map_err(missing)?;
    let why = no_kvm.map_or_else(String::new, |reason| format!(" ({reason})"));
    output::print(&format!(
        "kernel     {} ({})\ninitramfs  {}\nnode       {} in {}\nruns by    {accelerator}{why}\n",
        image.kernel.display(),
        image.release,
        image.initramfs.display(),
        image.program,
        image.root.display(),
    ))?;
    Ok(ExitCode::Holds)
}
