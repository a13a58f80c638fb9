//! A directory for the time of a run, which does not outlive it.

use std::{io, path::Path};

use tempfile::TempDir;

use super::registry::{Entry, Resource};

/// A temporary directory. Dropped, it is removed; when the harness is killed, `gauntlet doctor --clean` removes it.
#[derive(Debug)]
pub struct Scratch {
    // Removed first, crossed out then.
    directory: TempDir,
    _entry: Entry,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// It cannot be made, or not be written down.
    pub fn new() -> io::Result<Self> {
        let directory = TempDir::with_prefix("gauntlet-")?;
        let entry = Entry::new(&Resource::Directory {
            path: directory.path().to_owned(),
        })?;
        Ok(Self {
            directory,
            _entry: entry,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
