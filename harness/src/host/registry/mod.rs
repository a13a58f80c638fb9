//! What this harness has made on the machine and must not leave there: written down before it is made, crossed out after
//! it is gone.
//!
//! Comes in: a [`Resource`] that is about to be made. Goes out: [`Entry`], which crosses it out when it is dropped. A
//! harness that is killed by SIGKILL crosses out nothing, so [`clean`] (`gauntlet doctor --clean`) finds in its register
//! what it has left.
//!
//! Each harness has a directory of its own, `<process>-<start time>/`, with a file for each resource. The start time tells
//! it from a later process of the same number.

mod clean;
mod resource;

pub use clean::{Cleaned, Leftover, clean, leftovers};
pub use resource::Resource;
pub(crate) use resource::{ProcessId, loop_devices};

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Set to a directory, it is used for the registers in place of the usual one.
const PLACE: &str = "GAUNTLET_RUNTIME_DIR";

/// A resource that is written down. Dropped, it is crossed out: drop it when the resource is gone.
#[derive(Debug)]
pub(crate) struct Entry {
    file: PathBuf,
}

impl Entry {
    /// Writes a resource down, before it is made.
    ///
    /// # Errors
    /// The register cannot be written.
    pub(crate) fn new(resource: &Resource) -> io::Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let directory = own()?;
        let file = directory.join(format!("{number:010}.json"));
        // What stands in a file under its name is whole: half an entry could not be cleaned.
        let unfinished = directory.join(format!("{number:010}.new"));
        let text = serde_json::to_string(resource).map_err(io::Error::from)?;
        let _order = order();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        fs::write(&unfinished, text)?;
        fs::rename(&unfinished, &file)?;
        Ok(Self { file })
    }

    /// The resource could not be taken away: it stays written down.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _order = order();
        // What is gone already needs no crossing out.
        let _ = fs::remove_file(&self.file);
        if let Some(directory) = self.file.parent() {
            // Not while other entries are in it.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Making the directory and removing it are not to meet.
fn order() -> std::sync::MutexGuard<'static, ()> {
    static ORDER: Mutex<()> = Mutex::new(());
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This harness's register.
fn own() -> io::Result<&'static Path> {
    static OWN: OnceLock<PathBuf> = OnceLock::new();
    if let Some(own) = OWN.get() {
        return Ok(own);
    }
    let name = ProcessId::own()?.to_string();
    Ok(OWN.get_or_init(|| place().join(name)))
}

/// Where the registers of this user's harnesses are: `/run/gauntlet` for root, else a directory of the user's session, or
/// of the user's own below the one for temporary files. `GAUNTLET_RUNTIME_DIR` overrides it.
pub fn place() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(place) = set(PLACE) {
        return place.into();
    }
    let user = nix::unistd::geteuid();
    if user.is_root() {
        return "/run/gauntlet".into();
    }
    match set("XDG_RUNTIME_DIR") {
        Some(session) => Path::new(&session).join("gauntlet"),
        None => env::temp_dir().join(format!("gauntlet-{user}")),
    }
}

#[cfg(test)]
mod tests;
