//! A guest: a QEMU process as a typestate.
//!
//! Comes in: a [`Spec`]. Goes out: [`Stopped`], which alone shows its disk and can boot; [`Running`], which can be killed,
//! frozen, saved, migrated, starved of memory; [`Saved`], which can be resumed or thrown away. Every call blocks until it
//! has taken effect. What is dropped ends.

mod accelerator;
mod control;
mod moving;
mod process;
mod running;

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

pub use accelerator::{Accelerator, qemu_version};
pub use moving::{Migration, Saved};
pub use process::Register;
pub use running::{Memory, Running, next_second};

use crate::{
    Error,
    disk::Disk,
    image::Image,
    switch::{Host, Mac, Switch},
};

/// What a guest is made of.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What it boots.
    pub image: Image,
    /// What executes its instructions.
    pub accelerator: Accelerator,
    /// Its memory, MiB.
    pub memory_mib: u32,
    /// Its processors.
    pub vcpus: u32,
    /// Its data disk, `/data`.
    pub disk: Disk,
    /// Where its sockets and its configuration are: a directory with a short path that nobody else uses.
    pub directory: PathBuf,
    /// What it writes to its console; appended to.
    pub console: PathBuf,
    /// The file of this name in `/data` is not on the disk: what the program appends to it is appended to
    /// [`output`](Self::output) at once.
    pub output_name: String,
    /// See there.
    pub output: PathBuf,
    /// Its address…
    pub address: Ipv4Addr,
    /// …and how many bits of it are the network's.
    pub prefix: u8,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Files in `/config`.
    pub files: Vec<(String, Vec<u8>)>,
    /// What the program gets on its command line; no quotes, no spaces within.
    pub arguments: Vec<String>,
    /// What is in the program's environment; no quotes in it.
    pub environment: Vec<(String, String)>,
    /// The program starts with the guest, and not only by [`Running::start_program`].
    pub autostart: bool,
    /// Connections to the first port go to the second on loopback.
    pub forward: Option<(u16, u16)>,
    /// Who is told of QEMU processes.
    pub register: Option<Register>,
}

/// Where a guest is plugged in.
#[derive(Debug, Clone)]
pub struct Place {
    /// The switch.
    pub switch: Switch,
    /// Who the guest is on it.
    pub host: Host,
}

/// A guest that does not run.
#[derive(Debug)]
pub struct Stopped {
    spec: Arc<Spec>,
    place: Place,
}

impl Stopped {
    /// A guest that was never started.
    pub fn new(spec: Spec, place: Place) -> Self {
        Self {
            spec: Arc::new(spec),
            place,
        }
    }

    /// What it is made of.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// With another configuration, which it has from its next boot on.
    #[must_use]
    pub fn with_files(mut self, files: Vec<(String, Vec<u8>)>) -> Self {
        Arc::make_mut(&mut self.spec).files = files;
        self
    }

    /// Boots it in a new QEMU process, as another host would: nothing but the disk is known from before. Answers when QEMU
    /// runs; the guest itself comes later ([`Running::wait_until_up`]).
    ///
    /// # Errors
    /// With the guest as it was: QEMU is not installed, or does not start, or the disk cannot be made.
    pub fn boot(self) -> Result<Running, (Self, Error)> {
        let booted = self
            .spec
            .disk
            .ensure()
            .and_then(|()| Running::start(&self.spec, &self.place, &process::Begin::Boot));
        booted.map_err(|error| (self, error))
    }
}

/// A name for the sockets of the next QEMU of this guest.
fn next_tag(spec: &Spec) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", spec.name)
}
