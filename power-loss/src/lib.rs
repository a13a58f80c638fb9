//! Takes the power from a mounted file system.
//!
//! Comes in: a path within it. Goes out: a file system on which nothing works any more, and whose disk has only what was
//! synced. This crate exists so that the rest of the workspace can forbid unsafe code: it has one ioctl, and nothing else.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

/// What becomes of the journal (`EXT4_GOING_FLAGS_NOLOGFLUSH`): it is not written out. A shutdown that writes it out,
/// or freezes the file system before, loses nothing.
const WITHOUT_WRITING_THE_JOURNAL: u32 = 2;

mod ioctl {
    // FS_IOC_SHUTDOWN, in Linux's include/uapi/linux/fs.h: `_IOR('X', 125, __u32)`.
    nix::ioctl_read!(
        #[doc = "Shuts the file system of a descriptor down; the number says how."]
        shutdown,
        b'X',
        125,
        u32
    );
}

/// Shuts down the file system that `path` is on, as a loss of power would: what was written and not synced is gone,
/// every later call on it fails with EIO. It must be unmounted and mounted again to be used; that replays what its
/// journal has on disk.
///
/// # Errors
/// The path cannot be opened; the caller is not root; the file system has no such operation (ext4, XFS and f2fs have).
pub fn cut_power(path: &Path) -> io::Result<()> {
    let directory = File::open(path)?;
    let mut flags = WITHOUT_WRITING_THE_JOURNAL;
    // SAFETY: the descriptor is open until after the call, and the kernel reads four octets at a pointer to a u32 that
    // lives as long; it writes nothing there.
    #[expect(unsafe_code, reason = "an ioctl has no safe interface")]
    let done = unsafe { ioctl::shutdown(directory.as_raw_fd(), &raw mut flags) };
    done.map(drop).map_err(io::Error::from)
}
