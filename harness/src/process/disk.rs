//! A node's files in the run directory.
//!
//! Comes in: the directory `nodes/` of a run, and the node's name. Goes out: paths, and what is done to the disk of a node
//! that does not run. Called by [`node`](super::node).
//!
//! A node's disk is the directory `data/`, or, where a fault of the disk is to strike it, a file system of its own
//! ([`Volume`]). Its message tracking log is in `data/` in any case, beside its disk then, as logs should be: what the
//! harness sees of a node must not depend on the fault that it is being struck by.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::host::volume::Volume;

/// The message tracking log.
const TRACKING: &str = "tracking.jsonl";

/// The transport database; the mailboxes are in another file, and outlive it.
const TRANSPORT_DATABASE: &str = "transport.redb";

/// The files of one node.
#[derive(Debug, Clone)]
pub(crate) struct NodeFiles {
    directory: PathBuf,
    volume: Option<Arc<Volume>>,
}

impl NodeFiles {
    /// Makes `<name>/` below `nodes`, with an empty disk; `own_disk`: on a file system of its own.
    pub(crate) fn create(nodes: &Path, name: &str, own_disk: bool) -> io::Result<Self> {
        let directory = std::path::absolute(nodes)?.join(name);
        fs::create_dir_all(directory.join("data"))?;
        let volume = match own_disk {
            true => Some(Arc::new(
                Volume::create(&directory).map_err(io::Error::other)?,
            )),
            false => None,
        };
        let files = Self { directory, volume };
        files.ensure_disk()?;
        Ok(files)
    }

    /// The file system of its own, if it has one.
    pub(crate) fn volume(&self) -> Option<&Volume> {
        self.volume.as_deref()
    }

    /// The node's name.
    pub(crate) fn name(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.join("node.toml")
    }

    /// Its disk.
    pub(crate) fn data(&self) -> PathBuf {
        match &self.volume {
            Some(volume) => volume.point().join("data"),
            None => self.directory.join("data"),
        }
    }

    /// Its message tracking log.
    pub(crate) fn tracking(&self) -> PathBuf {
        self.directory.join("data").join(TRACKING)
    }

    /// The message tracking log outlives a disk that is lost or put back.
    pub(crate) fn keeps_tracking(&self) -> bool {
        self.volume.is_some()
    }

    /// The file that says how far its wall clock is off.
    pub(crate) fn clock_offset(&self) -> PathBuf {
        self.directory.join("clock-offset")
    }

    /// Opens what it writes to standard output and standard error, to append.
    pub(crate) fn open_log(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
    }

    /// The last lines of its log, to tell why it did not start.
    pub(crate) fn end_of_log(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Makes the disk that is there usable, or an empty one, when it was lost.
    pub(crate) fn ensure_disk(&self) -> io::Result<()> {
        self.mounted()?;
        fs::create_dir_all(self.data())?;
        let Some(volume) = &self.volume else {
            return Ok(());
        };
        let link = self.data().join(TRACKING);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(self.tracking(), link)?;
            // It must be there after a loss of power.
            File::open(self.data())?.sync_all()?;
            File::open(volume.point())?.sync_all()?;
        }
        Ok(())
    }

    /// The disk is lost.
    pub(crate) fn destroy(&self) -> io::Result<()> {
        self.mounted()?;
        remove_tree(&self.data())
    }

    /// The transport database is lost; the mailboxes stay.
    pub(crate) fn forget_transport_database(&self) -> io::Result<()> {
        self.mounted()?;
        match fs::remove_file(self.data().join(TRANSPORT_DATABASE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps a copy of the disk as it is, in the place of an earlier one.
    pub(crate) fn snapshot(&self) -> io::Result<()> {
        self.mounted()?;
        remove_tree(&self.kept())?;
        copy_tree(&self.data(), &self.kept())
    }

    /// A snapshot was kept.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.kept().is_dir()
    }

    /// Puts the disk back to the snapshot, which is kept.
    pub(crate) fn revert(&self) -> io::Result<()> {
        self.mounted()?;
        remove_tree(&self.data())?;
        copy_tree(&self.kept(), &self.data())
    }

    /// The run is over: what is on the node's own file system is kept in `data/`, where it would be without it, and the
    /// file system is removed.
    pub(crate) fn retire(&self) {
        let Some(volume) = self.volume.as_ref().filter(|volume| volume.is_made()) else {
            return;
        };
        // What cannot be read any more is lost to the reader of the run directory, not to the run.
        if self.mounted().is_ok() {
            let _ = copy_tree(&self.data(), &self.directory.join("data"));
        }
        // Where it fails, dropping it tries again, and `gauntlet doctor --clean` after that.
        let _ = volume.remove();
    }

    fn mounted(&self) -> io::Result<()> {
        match &self.volume {
            Some(volume) => volume.mount().map_err(io::Error::other),
            None => Ok(()),
        }
    }

    fn kept(&self) -> PathBuf {
        self.directory.join("snapshot")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("node.log")
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_lost_kept_and_put_back() {
        let run = tempfile::tempdir().expect("a temporary directory");
        let files = NodeFiles::create(run.path(), "n1", false).expect("made");
        let write =
            |name: &str, text: &str| fs::write(files.data().join(name), text).expect("written");
        let read = |name: &str| fs::read_to_string(files.data().join(name)).ok();
        write("transport.redb", "one");
        write("mailbox.redb", "mail");
        assert!(!files.has_snapshot());
        files.snapshot().expect("kept");
        write("transport.redb", "two");
        write("later", "x");
        files.revert().expect("put back");
        assert_eq!(read("transport.redb").as_deref(), Some("one"));
        assert_eq!(read("later"), None);
        files.forget_transport_database().expect("lost");
        files.forget_transport_database().expect("lost already");
        assert_eq!(
            (read("transport.redb"), read("mailbox.redb").as_deref()),
            (None, Some("mail"))
        );
        files.destroy().expect("lost");
        files.destroy().expect("lost already");
        files.ensure_disk().expect("a new disk");
        assert_eq!(read("mailbox.redb"), None);
    }
}
