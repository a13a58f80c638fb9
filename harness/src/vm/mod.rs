//! Substrate `vm`: real nodes in virtual machines under QEMU.
//!
//! Comes in: a [`Plan`](crate::scenario::Plan), a [`Board`](crate::tap::Board) and [`VmOptions`]. Goes out: [`VmCluster`],
//! which the runner drives as a [`Cluster`](crate::substrate::Cluster). What a virtual machine is stands in the crate
//! `gauntlet-machines`, which knows nothing of mail.
//!
//! Each node has a directory, `nodes/<name>/` in the run directory: `node.toml`, `console.log` (what the guest wrote to its
//! serial console, the node's output among it), `console.qemu.log` (QEMU's own errors) and `tracking.jsonl`. Disks, snapshots
//! and saved memory are in a directory for the time of the run. No guest outlives the harness: the kernel kills QEMU when the
//! harness dies, and the directory is written down ([`registry`](crate::host::registry)).

mod cluster;
mod measure;
mod network;
mod node;
mod operations;
mod start;

use gauntlet_machines::{
    guest::{Accelerator, qemu_version},
    image::{self, Image, KernelSource, Recipe},
};

pub use cluster::{VmCluster, VmOptions};
pub use gauntlet_machines::image as images;

use crate::process::NodeCommand;

/// What guests are made of on this machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What they boot.
    pub image: Image,
    /// What executes their instructions.
    pub accelerator: Accelerator,
    /// Why it is not KVM, if it is not.
    pub no_kvm: Option<String>,
}

impl Machine {
    /// Makes the image with that node in it, or finds it in the cache, and looks whether KVM works. `tell` hears what is
    /// being made.
    ///
    /// # Errors
    /// What this machine lacks, in words.
    pub fn prepare(
        command: &NodeCommand,
        kernel: KernelSource,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self, String> {
        // Asked first: without it the rest is for nothing.
        qemu_version().map_err(|error| error.to_string())?;
        let recipe = Recipe {
            program: command.program().to_owned(),
            kernel,
            cache: None,
        };
        let image = image::build(&recipe, tell).map_err(|error| error.to_string())?;
        let (accelerator, no_kvm) = Accelerator::probe(&image);
        Ok(Self {
            image,
            accelerator,
            no_kvm,
        })
    }
}

/// What a node gets on its command line in a guest.
///
/// # Errors
/// An argument is no UTF-8, in words.
pub fn arguments(command: &NodeCommand) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    for argument in command.arguments() {
        let text = argument.to_str();
        let text = text.ok_or_else(|| format!("{} is no UTF-8", argument.display()))?;
        arguments.push(text.to_owned());
    }
    arguments.extend(["--config", "/config/node.toml"].map(String::from));
    Ok(arguments)
}

/// What this substrate needs of this machine: names, whether it works without, and what is there; if not, what is missing.
pub fn needs(
    command: Result<NodeCommand, String>,
) -> Vec<(&'static str, bool, Result<String, String>)> {
    let text = |error: gauntlet_machines::Error| error.to_string();
    let mut rows = vec![("QEMU", false, qemu_version().map_err(text))];
    match image::needs() {
        Ok(needs) => rows.extend(
            needs
                .into_iter()
                .map(|(what, said)| (what, false, said.map_err(text))),
        ),
        Err(error) => rows.push(("cache", false, Err(error.to_string()))),
    }
    let emulation = |reason: String| format!("{reason}; guests are emulated in software");
    let kvm = match command {
        Ok(command) => match image::cached_image(command.program()) {
            None => Err(emulation(
                "not tried: `gauntlet vm build` makes an image first".into(),
            )),
            Some(image) => match Accelerator::probe(&image) {
                (_, None) => Ok("a kernel came up under it".into()),
                (_, Some(reason)) => Err(emulation(reason)),
            },
        },
        Err(error) => Err(error),
    };
    rows.push(("KVM", true, kvm));
    rows
}

#[cfg(test)]
mod tests;
