//! A node's own file system: ext4 on a loop image, which can be full, read-only, or lose what was not synced.
//!
//! Comes in: a directory of the node. Goes out: `disk/` in it, a mounted file system; below it `data/` is the node's. What
//! is done to it is done by the kernel's own means: nothing stands between the node and its disk. Needs root.
//!
//! Dropped, it is unmounted, and its image removed; what was in the node's directory is kept where it would be without it.

use std::{
    fmt, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statvfs::statvfs,
};

use super::{
    Scratch, mounts,
    registry::{Entry, Resource, loop_devices},
    tool,
};

/// Size of the file system. The image has holes: only what is written takes room.
const SIZE: u64 = 1 << 30;

/// Size of the one that is made to see whether it can be.
const TRIAL_SIZE: u64 = 16 << 20;

/// A file that takes all the room of a full disk.
const BALLAST: &str = "ballast";

/// How long a file system whose users were killed may stay busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Volume {
    image: PathBuf,
    point: PathBuf,
    state: Mutex<State>,
    entry: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mounted {
    No,
    /// It can be used, or read at least.
    Yes,
    /// It lost its power: nothing works on it.
    Dead,
}

#[derive(Debug)]
struct State {
    mounted: Mounted,
    /// It is to be mounted read-only until it is repaired.
    read_only: bool,
}

impl Volume {
    /// Makes an empty file system in `directory`, and mounts it.
    ///
    /// # Errors
    /// In words: what is missing, or what the system said.
    pub(crate) fn create(directory: &Path) -> Result<Self, String> {
        Self::of_size(directory, SIZE)
    }

    fn of_size(directory: &Path, size: u64) -> Result<Self, String> {
        let directory = std::path::absolute(directory).map_err(|e| e.to_string())?;
        let (image, point) = (directory.join("disk.img"), directory.join("disk"));
        let in_words = |what: &Path, error: io::Error| format!("{}: {error}", what.display());
        let entry = Entry::new(&Resource::Volume {
            image: image.clone(),
            point: point.clone(),
        })
        .map_err(|e| in_words(&super::registry::place(), e))?;
        fs::create_dir_all(&point).map_err(|e| in_words(&point, e))?;
        File::create_new(&image)
            .and_then(|file| file.set_len(size))
            .map_err(|e| in_words(&image, e))?;
        let volume = Self {
            image,
            point,
            state: Mutex::new(State {
                mounted: Mounted::No,
                read_only: false,
            }),
            entry: Some(entry),
        };
        // Without room that only root may use, for the node may be root; without work that goes on after mkfs has ended.
        let options = [
            "-q",
            "-F",
            "-m",
            "0",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        ];
        let arguments = options.iter().map(AsRef::as_ref);
        tool::run("mkfs.ext4", arguments.chain([volume.image.as_os_str()]))?;
        volume.mount()?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    /// It was not removed.
    pub(crate) fn is_made(&self) -> bool {
        self.image.exists()
    }

    /// Mounts it when it is not mounted, or dead. Nobody uses it then.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn mount(&self) -> Result<(), String> {
        let mut state = self.state();
        if state.mounted == Mounted::Yes {
            return Ok(());
        }
        self.unmount(&mut state)?;
        let arguments = [
            "-t".as_ref(),
            "ext4".as_ref(),
            "-o".as_ref(),
            "loop,noatime,noinit_itable,errors=remount-ro".as_ref(),
            self.image.as_os_str(),
            self.point.as_os_str(),
        ];
        tool::run("mount", arguments)?;
        if state.read_only {
            // Not at once: its journal cannot be replayed then.
            let (nothing, flags) = (None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
            mount(nothing, &self.point, nothing, flags, nothing)
                .map_err(|error| format!("mount {} read-only: {error}", self.point.display()))?;
        }
        state.mounted = Mounted::Yes;
        Ok(())
    }

    /// The host loses power. From now on every call of the node fails with EIO; what was not synced is gone once it is
    /// mounted again.
    pub(crate) fn cut_power(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.mounted == Mounted::Yes {
            power_loss::cut_power(&self.point)?;
            state.mounted = Mounted::Dead;
        }
        Ok(())
    }

    /// Takes all the room that there is, durably: it is taken after a loss of power, too.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        let block = self.block_size()?;
        // The count of free blocks is exact only within some blocks per processor: smaller and smaller pieces, until not
        // one block is left.
        let mut piece = self.free_bytes()?.max(block);
        while piece >= block {
            let end = i64::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
            let length = i64::try_from(piece).map_err(io::Error::other)?;
            match fallocate(&file, FallocateFlags::empty(), end, length) {
                Ok(()) => {}
                Err(Errno::ENOSPC) => piece /= 2,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        file.sync_all()?;
        File::open(&self.point)?.sync_all()
    }

    /// Makes room again.
    pub(crate) fn make_room(&self) -> io::Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.point)?.sync_all()
    }

    /// The kernel finds an error on it, and lets nobody write any more (`errors=remount-ro`): so it is with a disk that
    /// begins to fail. Files that are open stay open. What was not synced may be lost.
    pub(crate) fn make_read_only(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.mounted == Mounted::Yes {
            let nothing: Option<&str> = None;
            // Ext4's own option: it acts as if it had found an error.
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOATIME;
            mount(nothing, &self.point, nothing, flags, Some("abort"))?;
        }
        state.read_only = true;
        Ok(())
    }

    /// Checks it, and mounts it anew. Nobody uses it.
    pub(crate) fn repair(&self) -> Result<(), String> {
        {
            let mut state = self.state();
            self.unmount(&mut state)?;
            let mut check = tool::command("e2fsck");
            let checked = check.args(["-p", "-f"]).arg(&self.image).output();
            let checked = checked.map_err(|error| format!("e2fsck: {error}"))?;
            // 1: errors were corrected.
            if !matches!(checked.status.code(), Some(0 | 1)) {
                let said = String::from_utf8_lossy(&checked.stdout).trim().to_owned();
                return Err(format!("e2fsck: {said} ({})", checked.status));
            }
            state.read_only = false;
        }
        self.mount()
    }

    /// Unmounts it, and removes the image. Nothing can be done with it any more.
    ///
    /// # Errors
    /// In words; [`Drop`] tries again.
    pub(crate) fn remove(&self) -> Result<(), String> {
        self.unmount(&mut self.state())?;
        match fs::remove_file(&self.image) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", self.image.display()));
            }
            _ => {}
        }
        // Somebody may have put something there.
        let _ = fs::remove_dir(&self.point);
        Ok(())
    }

    fn unmount(&self, state: &mut State) -> Result<(), String> {
        let start = Instant::now();
        while mounts::is_mounted(&self.point) {
            match umount2(&self.point, MntFlags::empty()) {
                Ok(()) => {}
                // A process that was killed has its files open until the kernel has buried it.
                Err(Errno::EBUSY) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(format!("unmount {}: {error}", self.point.display())),
            }
        }
        state.mounted = Mounted::No;
        // A container's own mount of it may end a moment later. Mounted anew before that, it would be the old file system,
        // with all that was not synced, or one without power.
        while !loop_devices(&self.image).is_empty() {
            if start.elapsed() >= PATIENCE {
                let image = self.image.display();
                return Err(format!("{image} is still in use after it was unmounted"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let free = statvfs(&self.point)?;
        Ok(free.blocks_free().saturating_mul(free.fragment_size()))
    }

    fn block_size(&self) -> io::Result<u64> {
        Ok(statvfs(&self.point)?.fragment_size().max(1))
    }

    fn ballast(&self) -> PathBuf {
        self.point.join(BALLAST)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics half way runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let removed = self.remove();
        if let (Some(entry), Err(_)) = (self.entry.take(), removed) {
            // `gauntlet doctor --clean` finds it.
            entry.keep();
        }
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("point", &self.point)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// Whether nodes can have file systems of their own here; if not, what is missing. It is tried once in a process.
pub(crate) fn available() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    TRIED.get_or_init(attempt).clone()
}

/// Makes a small one, writes to it, and takes its power.
fn attempt() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("a file system of a node's own needs root, to mount it".into());
    }
    let directory = Scratch::new().map_err(|e| format!("no temporary directory: {e}"))?;
    let volume = Volume::of_size(directory.path(), TRIAL_SIZE)?;
    let failed = |e: io::Error| e.to_string();
    let lost = volume.point().join("unsynced");
    fs::write(&lost, "x").map_err(failed)?;
    volume
        .cut_power()
        .map_err(|e| format!("the file system cannot be shut down (FS_IOC_SHUTDOWN): {e}"))?;
    volume.mount()?;
    if lost.exists() {
        return Err("a file that was never synced survives a loss of power here".into());
    }
    Ok(())
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
