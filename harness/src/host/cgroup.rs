//! A control group that holds a node to a part of one processor.
//!
//! Comes in: a process and its share. Goes out: a group with that quota (cgroup v2's `cpu.max`, or v1's
//! `cpu.cfs_quota_us`), in which the process is until the group is removed. Needs a hierarchy that we may write to: root,
//! or a delegated one.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::registry::{Entry, Resource};

/// The time in which a share is used up, and given anew. The kernel's own default, microseconds.
const PERIOD_US: u32 = 100_000;

/// How long the kernel may take to empty a group.
const PATIENCE: Duration = Duration::from_secs(5);

/// A group with a quota. Removed when it is dropped; its processes go back to where they could have all that they wanted.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
    entry: Option<Entry>,
}

/// A hierarchy with the processor's controller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hierarchy {
    V1(PathBuf),
    V2(PathBuf),
}

impl Cgroup {
    /// Makes a group in which all processes together get `percent` hundredths of one processor.
    pub(crate) fn new(name: &str, percent: u32) -> io::Result<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let hierarchy = hierarchy().map_err(io::Error::other)?;
        let own = format!("gauntlet-{}-{number}-{name}", std::process::id());
        let path = hierarchy.root().join(own);
        let entry = Entry::new(&Resource::Cgroup { path: path.clone() })?;
        fs::create_dir(&path)?;
        let group = Self {
            path,
            entry: Some(entry),
        };
        let quota = percent.clamp(1, 100) * (PERIOD_US / 100);
        match hierarchy {
            Hierarchy::V2(_) => group.write("cpu.max", &format!("{quota} {PERIOD_US}"))?,
            Hierarchy::V1(_) => {
                group.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                group.write("cpu.cfs_quota_us", &quota.to_string())?;
            }
        }
        Ok(group)
    }

    /// Puts a process into it, with all its threads.
    pub(crate) fn add(&self, process: i32) -> io::Result<()> {
        self.write("cgroup.procs", &process.to_string())
    }

    /// How many periods its processes wanted more than they got.
    #[cfg(test)]
    pub(crate) fn throttled(&self) -> io::Result<u64> {
        let stat = fs::read_to_string(self.path.join("cpu.stat"))?;
        let count = stat.lines().find_map(|l| l.strip_prefix("nr_throttled "));
        count
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| io::Error::other("cpu.stat has no nr_throttled"))
    }

    /// Lets its processes go, and removes it.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        let released = self.release();
        if released.is_ok() {
            // Crossed out.
            self.entry = None;
        }
        released
    }

    fn release(&self) -> io::Result<()> {
        let start = Instant::now();
        loop {
            // A process that was killed leaves it when the kernel has buried it.
            let inside = match fs::read_to_string(self.path.join("cgroup.procs")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                inside => inside?,
            };
            let parent = self.path.parent().unwrap_or(Path::new("/"));
            for process in inside.lines() {
                // It may end meanwhile.
                let _ = write(&parent.join("cgroup.procs"), process);
            }
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(_) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                removed => return removed,
            }
        }
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        write(&self.path.join(file), text)
    }
}

/// Control files take what is written in one piece; a new file is never made.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let written = fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut open| io::Write::write_all(&mut open, text.as_bytes()));
    written.map_err(|error| {
        let mut told = file.display().to_string();
        // Writing to a String does not fail.
        let _ = write!(told, ": {error}");
        io::Error::new(error.kind(), told)
    })
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take()
            && self.release().is_err()
        {
            // `gauntlet doctor --clean` finds it.
            entry.keep();
        }
    }
}

impl Hierarchy {
    fn root(&self) -> &Path {
        match self {
            Self::V1(root) | Self::V2(root) => root,
        }
    }
}

/// Where groups can be made: below our own group of the unified hierarchy, or of v1's for the processor.
fn hierarchy() -> Result<Hierarchy, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|e| format!("/proc/self/mountinfo: {e}"))?;
    found(&mounts, |root| {
        let read = |file| fs::read_to_string(root.join(file)).unwrap_or_default();
        if !read("cgroup.controllers")
            .split_whitespace()
            .any(|c| c == "cpu")
        {
            return false;
        }
        // Not every hierarchy passes the controller on to the groups in it.
        read("cgroup.subtree_control")
            .split_whitespace()
            .any(|c| c == "cpu")
            || write(&root.join("cgroup.subtree_control"), "+cpu").is_ok()
    })
    .ok_or_else(|| {
        "no hierarchy of control groups has the processor's controller (cgroup v2 `cpu`, v1 `cpu`)"
            .into()
    })
}

fn found(mounts: &str, has_cpu: impl Fn(&Path) -> bool) -> Option<Hierarchy> {
    let all: Vec<(PathBuf, &str, &str)> = mounts
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = before.split(' ').nth(4)?;
            let mut after = after.split(' ');
            Some((point.into(), after.next()?, after.nth(1)?))
        })
        .collect();
    let v2 = all
        .iter()
        .find(|(point, kind, _)| *kind == "cgroup2" && has_cpu(point))
        .map(|(point, ..)| Hierarchy::V2(point.clone()));
    let v1 = || {
        all.iter()
            .find(|(_, kind, options)| *kind == "cgroup" && options.split(',').any(|o| o == "cpu"))
            .map(|(point, ..)| Hierarchy::V1(point.clone()))
    };
    v2.or_else(v1)
}

/// Whether groups with a quota can be made here; if not, why. It is tried once in a process.
pub(crate) fn available() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    let attempt = || {
        let made = Cgroup::new("trial", 50).and_then(Cgroup::remove);
        made.map_err(|error| format!("no control group with a quota can be made: {error}"))
    };
    TRIED.get_or_init(attempt).clone()
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
