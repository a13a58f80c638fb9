//! The files that an image is built from.
//!
//! Comes in: a target's [`Context`], and files that are put beside it. Goes out: a tar archive, and a digest that is the
//! same as long as no file changes. Called by [`image`](super::image).

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use include_dir::{Dir, DirEntry};
use sha2::{Digest, Sha256};

use crate::target::Context;

/// Larger files than this have no place in a build context.
const LARGEST: u64 = 512 << 20;

/// Why the files cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct ContextError {
    path: PathBuf,
    reason: String,
}

/// The files, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<File>);

#[derive(Debug)]
struct File {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl Files {
    pub(super) fn read(context: &Context) -> Result<Self, ContextError> {
        let mut files = Self::default();
        match context {
            Context::Embedded(directory) => files.embedded(directory),
            Context::Directory(directory) => files.directory(directory, "")?,
        }
        files.0.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Puts a file of this machine at a path in the context.
    pub(super) fn add(&mut self, path: &str, file: &Path) -> Result<(), ContextError> {
        let failed = failed(file);
        let metadata = fs::metadata(file).map_err(&failed)?;
        if metadata.len() > LARGEST {
            return Err(failed(io::Error::other(format!(
                "larger than {} MiB: an image is built from all that is beside its Dockerfile",
                LARGEST >> 20
            ))));
        }
        self.0.push(File {
            path: path.to_owned(),
            mode: metadata.permissions().mode() & 0o777,
            content: fs::read(file).map_err(&failed)?,
        });
        Ok(())
    }

    /// The content of a file.
    pub(super) fn content(&self, path: &str) -> Option<&[u8]> {
        let file = self.0.iter().find(|file| file.path == path);
        file.map(|file| file.content.as_slice())
    }

    /// The digest of all paths, permissions and contents, and of `more`.
    pub(super) fn digest(&self, more: &[&str]) -> String {
        let mut hash = Sha256::new();
        let mut field = |octets: &[u8]| {
            hash.update((octets.len() as u64).to_le_bytes());
            hash.update(octets);
        };
        for file in &self.0 {
            field(file.path.as_bytes());
            field(&file.mode.to_le_bytes());
            field(&file.content);
        }
        more.iter().for_each(|text| field(text.as_bytes()));
        hash.finalize()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect()
    }

    /// All of it as a tar archive.
    pub(super) fn archive(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for file in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(file.content.len() as u64);
            header.set_mode(file.mode);
            header.set_mtime(0);
            archive.append_data(&mut header, &file.path, file.content.as_slice())?;
        }
        archive.into_inner()
    }

    fn embedded(&mut self, directory: &'static Dir<'static>) {
        for entry in directory.entries() {
            match entry {
                DirEntry::Dir(directory) => self.embedded(directory),
                DirEntry::File(file) => {
                    let path = file.path().to_string_lossy().into_owned();
                    // Permissions are not embedded; scripts are what has an interpreter.
                    let mode = if file.contents().starts_with(b"#!") {
                        0o755
                    } else {
                        0o644
                    };
                    self.0.push(File {
                        path,
                        mode,
                        content: file.contents().to_vec(),
                    });
                }
            }
        }
    }

    fn directory(&mut self, directory: &Path, prefix: &str) -> Result<(), ContextError> {
        let failed = failed(directory);
        let entries = fs::read_dir(directory).map_err(&failed)?;
        for entry in entries {
            let entry = entry.map_err(&failed)?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .ok_or_else(|| failed(io::Error::other("a file's name in it is no UTF-8")))?;
            let path = format!("{prefix}{name}");
            let kind = fs::metadata(entry.path()).map_err(&failed)?;
            if kind.is_dir() {
                self.directory(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                self.add(&path, &entry.path())?;
            }
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ContextError {
    move |error| ContextError {
        path: path.to_path_buf(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_or_base_is_another_digest() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("Dockerfile");
        fs::write(&file, "FROM scratch\n").expect("written");
        let context = Context::Directory(directory.path().to_path_buf());
        let digest = |base: &str| Files::read(&context).expect("files").digest(&[base]);
        let first = digest("sha256:1");
        assert_eq!(first, digest("sha256:1"));
        assert_ne!(first, digest("sha256:2"));
        fs::write(&file, "FROM scratch\n# other\n").expect("written");
        assert_ne!(first, digest("sha256:1"));
    }

    #[test]
    fn what_is_embedded_is_what_is_in_the_directory() {
        let of = |context: &Context| {
            let files = Files::read(context).expect("files");
            files
                .0
                .iter()
                .map(|f| (f.path.clone(), f.content.clone()))
                .collect::<Vec<_>>()
        };
        let postfix = crate::target::Target::load("postfix").expect("shipped");
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("postfix");
        assert_eq!(of(postfix.context()), of(&Context::Directory(there)));
    }
}
