//! A node's files in the run directory.
//!
//! Comes in: the directory `nodes/` of a run, and the node's name. Goes out: paths, and what is done to the disk of a node
//! that does not run. Called by [`node`](super::node).

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// The transport database; the mailboxes are in another file, and outlive it.
const TRANSPORT_DATABASE: &str = "transport.redb";

/// The files of one node.
#[derive(Debug, Clone)]
pub(super) struct NodeFiles {
    directory: PathBuf,
}

impl NodeFiles {
    /// Makes `<name>/` below `nodes`, with an empty disk.
    pub(super) fn create(nodes: &Path, name: &str) -> io::Result<Self> {
        let directory = std::path::absolute(nodes)?.join(name);
        let files = Self { directory };
        fs::create_dir_all(files.data())?;
        Ok(files)
    }

    /// Its configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.directory.join("node.toml")
    }

    /// Its disk.
    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its message tracking log, on its disk.
    pub(super) fn tracking(&self) -> PathBuf {
        self.data().join("tracking.jsonl")
    }

    /// Opens what it writes to standard output and standard error, to append.
    pub(super) fn open_log(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
    }

    /// The last lines of its log, to tell why it did not start.
    pub(super) fn end_of_log(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Makes the disk that is there, or an empty one, when it was lost.
    pub(super) fn ensure_disk(&self) -> io::Result<()> {
        fs::create_dir_all(self.data())
    }

    /// The disk is lost.
    pub(super) fn destroy(&self) -> io::Result<()> {
        remove_tree(&self.data())
    }

    /// The transport database is lost; the mailboxes stay.
    pub(super) fn forget_transport_database(&self) -> io::Result<()> {
        match fs::remove_file(self.data().join(TRANSPORT_DATABASE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps a copy of the disk as it is, in the place of an earlier one.
    pub(super) fn snapshot(&self) -> io::Result<()> {
        remove_tree(&self.kept())?;
        copy_tree(&self.data(), &self.kept())
    }

    /// A snapshot was kept.
    pub(super) fn has_snapshot(&self) -> bool {
        self.kept().is_dir()
    }

    /// Puts the disk back to the snapshot, which is kept.
    pub(super) fn revert(&self) -> io::Result<()> {
        remove_tree(&self.data())?;
        copy_tree(&self.kept(), &self.data())
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
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
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
        let files = NodeFiles::create(run.path(), "n1").expect("made");
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
