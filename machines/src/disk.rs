//! A guest's data disk: a raw file with an ext4 file system, sparse, made without root.
//!
//! Comes in: where it is to be. Goes out: the file, its copies. It is used by one QEMU at a time; a copy of a disk that a
//! guest writes to is as of one moment only while that guest is stopped ([`guest`](crate::guest) sees to that).

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Error, tool};

/// A disk.
#[derive(Debug, Clone)]
pub struct Disk {
    path: PathBuf,
    /// Octets.
    size: u64,
}

impl Disk {
    /// A disk in this file, which [`ensure`](Self::ensure) makes. `size` in octets.
    pub fn at(path: impl Into<PathBuf>, size: u64) -> Self {
        Self {
            path: path.into(),
            size,
        }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, empty, when it is not there.
    ///
    /// # Errors
    /// `mke2fs` is not installed, or fails.
    pub fn ensure(&self) -> Result<(), Error> {
        if self.path.exists() {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        blank(&new, self.size)?;
        tool::run(
            "mke2fs",
            [
                OsStr::new("-q"),
                "-t".as_ref(),
                "ext4".as_ref(),
                "-E".as_ref(),
                "lazy_itable_init=1".as_ref(),
                new.as_os_str(),
            ],
        )?;
        fs::rename(&new, &self.path).map_err(Error::at(&self.path))
    }

    /// It is lost.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn destroy(&self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::at(&self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Copies it to that file, in the place of what is there. What is empty in it takes no room in the copy.
    ///
    /// # Errors
    /// It cannot be copied; what was there before is there still.
    pub fn copy_to(&self, to: &Path) -> Result<(), Error> {
        copy(&self.path, to)
    }

    /// Puts a copy in its place. The copy stays.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    pub fn put_back(&self, from: &Path) -> Result<(), Error> {
        copy(from, &self.path)
    }
}

/// An empty file of that size.
pub(crate) fn blank(path: &Path, size: u64) -> Result<(), Error> {
    let file = fs::File::create(path).map_err(Error::at(path))?;
    file.set_len(size).map_err(Error::at(path))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let new = to.with_extension("copy");
    tool::run(
        "cp",
        [
            OsStr::new("--sparse=always"),
            "--reflink=auto".as_ref(),
            from.as_os_str(),
            new.as_os_str(),
        ],
    )?;
    fs::rename(&new, to).map_err(Error::at(to))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_disk_is_sparse_kept_put_back_and_lost() {
        let place = tempfile::tempdir().expect("a directory");
        let disk = Disk::at(place.path().join("data.img"), 64 << 20);
        disk.ensure().expect("made");
        let of = |path: &Path| fs::metadata(path).expect("there");
        assert_eq!(of(disk.path()).len(), 64 << 20);
        let octets = fs::read(disk.path()).expect("read");
        assert_eq!(octets[0x438..0x43A], [0x53, 0xEF], "ext4's magic number");
        let kept = place.path().join("kept.img");
        disk.copy_to(&kept).expect("kept");
        assert!(of(&kept).blocks() * 512 < 16 << 20, "the copy is sparse");
        fs::write(disk.path(), "overwritten").expect("written");
        disk.put_back(&kept).expect("put back");
        assert!(fs::read(disk.path()).expect("read") == octets);
        disk.destroy().expect("lost");
        disk.destroy().expect("lost already");
        assert!(!disk.path().exists() && kept.exists());
    }
}
