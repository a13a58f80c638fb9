//! What a harness makes on the machine, and how it is taken away when the harness is dead.
//!
//! Comes in: a resource as it was written down. Goes out: whether it is still there; nothing of it. Each kind looks before
//! it removes, so that a number or a name that somebody else has by now is not touched.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gauntlet_docker::engine::{Engine, EngineError};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{
    host::{mounts, tool},
    toxics::remote::Remote,
};

/// How long a killed process may take to be gone, and a mount to be free.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something on the machine that outlives a harness that is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Resource {
    /// A node.
    Process {
        /// Which.
        process: ProcessId,
        /// Whose it is, e.g. the node's name.
        name: String,
    },
    /// A file system of a node: an image, its loop device, its mount.
    Volume {
        /// The image.
        image: PathBuf,
        /// Where it is mounted.
        point: PathBuf,
    },
    /// A directory of temporary files.
    Directory {
        /// Which.
        path: PathBuf,
    },
    /// A network namespace.
    Namespace {
        /// Its name, as `ip netns` has it.
        name: String,
    },
    /// A control group.
    Cgroup {
        /// Its directory.
        path: PathBuf,
    },
    /// The containers of a run, with their network and volumes.
    Containers {
        /// The run, as their labels have it.
        run: String,
    },
    /// A proxy at somebody else's Toxiproxy.
    RemoteProxy {
        /// `host:port` of the Toxiproxy's API.
        api: String,
        /// The proxy's name there.
        name: String,
    },
}

/// A process, told from a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub id: i32,
    /// When it started, in the kernel's ticks since the machine's start.
    pub started: u64,
}

impl ProcessId {
    /// This process.
    pub(crate) fn own() -> io::Result<Self> {
        Self::of(nix::unistd::getpid().as_raw())
    }

    /// The process of that number, if it lives.
    pub(crate) fn of(id: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let started = started(&stat).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("/proc/{id}/stat is not as expected"),
            )
        })?;
        Ok(Self { id, started })
    }

    /// It runs, or is stopped; a zombie is dead.
    pub(crate) fn lives(self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.id)) else {
            return false;
        };
        let zombie = stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']));
        !zombie && started(&stat) == Some(self.started)
    }
}

/// The 22nd field. The second, the name, can have any characters, and ends with the last `)`.
fn started(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, self.started)
    }
}

impl std::str::FromStr for ProcessId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, started) = text.split_once('-').ok_or(())?;
        Ok(Self {
            id: id.parse().map_err(drop)?,
            started: started.parse().map_err(drop)?,
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { process, name } => write!(f, "process {} ({name})", process.id),
            Self::Volume { point, .. } => write!(f, "file system at {}", point.display()),
            Self::Directory { path } => write!(f, "directory {}", path.display()),
            Self::Namespace { name } => write!(f, "network namespace {name}"),
            Self::Cgroup { path } => write!(f, "control group {}", path.display()),
            Self::Containers { run } => write!(f, "containers, network and volumes of run {run}"),
            Self::RemoteProxy { api, name } => write!(f, "proxy {name} at the Toxiproxy {api}"),
        }
    }
}

impl Resource {
    /// Something of it is still there.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Process { process, .. } => process.lives(),
            Self::Volume { image, point } => {
                mounts::is_mounted(point) || image.exists() || !loop_devices(image).is_empty()
            }
            Self::Namespace { name } => Path::new("/run/netns").join(name).exists(),
            Self::Directory { path } | Self::Cgroup { path } => path.exists(),
            // Without an engine nothing of it runs, and nothing can be said.
            Self::Containers { run } => Engine::connect()
                .and_then(|engine| engine.labelled())
                .is_ok_and(|all| all.iter().any(|one| one.run == *run)),
            // A Toxiproxy that has ended has taken it along.
            Self::RemoteProxy { api, name } => {
                Remote::find(api).is_ok_and(|remote| remote.has(name).unwrap_or(true))
            }
        }
    }

    /// Takes away what is left of it. Nothing being left is no error.
    ///
    /// # Errors
    /// Something of it stays, in words.
    pub(crate) fn remove(&self) -> Result<(), String> {
        match self {
            Self::Process { process, .. } => remove_process(*process),
            Self::Volume { image, point } => remove_volume(image, point),
            Self::Directory { path } => fs::remove_dir_all(path)
                .or_else(gone)
                .map_err(|e| e.to_string()),
            Self::Namespace { name } if self.is_there() => tool::run(
                "ip",
                ["netns", "del", name.as_str()].iter().map(AsRef::as_ref),
            )
            .map(drop),
            Self::Namespace { .. } => Ok(()),
            Self::Cgroup { path } => remove_cgroup(path),
            Self::Containers { run } => remove_containers(run),
            Self::RemoteProxy { api, name } if self.is_there() => Remote::find(api)
                .and_then(|remote| remote.delete(name))
                .map_err(|error| error.to_string()),
            Self::RemoteProxy { .. } => Ok(()),
        }
    }
}

fn gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

fn remove_process(process: ProcessId) -> Result<(), String> {
    if process.lives() {
        match kill(Pid::from_raw(process.id), Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    within_patience(|| !process.lives())
        .then_some(())
        .ok_or_else(|| "it does not end".into())
}

fn remove_containers(run: &str) -> Result<(), String> {
    let in_words = |error: EngineError| error.to_string();
    let engine = Engine::connect().map_err(in_words)?;
    // Containers come first.
    for one in engine.labelled().map_err(in_words)? {
        if one.run == run {
            engine.remove(&one).map_err(in_words)?;
        }
    }
    Ok(())
}

fn remove_volume(image: &Path, point: &Path) -> Result<(), String> {
    let mut last = None;
    let unmounted = within_patience(|| {
        if !mounts::is_mounted(point) {
            return true;
        }
        last = umount2(point, MntFlags::empty()).err();
        false
    });
    if !unmounted {
        let error = last.map_or_else(|| "it stays mounted".to_owned(), |e| e.to_string());
        return Err(format!("unmount: {error}"));
    }
    // A mount that was broken off leaves a device that nothing uses.
    for device in loop_devices(image) {
        tool::run("losetup", ["-d".as_ref(), device.as_os_str()])?;
    }
    fs::remove_file(image)
        .or_else(gone)
        .map_err(|e| format!("{}: {e}", image.display()))
}

/// The loop devices that have this image.
pub(crate) fn loop_devices(image: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let has = |device: &fs::DirEntry| {
        let backing = fs::read_to_string(device.path().join("loop/backing_file"));
        backing.is_ok_and(|file| Path::new(file.trim_end_matches('\n')) == image)
    };
    devices
        .filter(has)
        .map(|device| Path::new("/dev").join(device.file_name()))
        .collect()
}

fn remove_cgroup(path: &Path) -> Result<(), String> {
    let mut last = None;
    let removed = within_patience(|| match fs::remove_dir(path).or_else(gone) {
        Ok(()) => true,
        // A process that was killed is in it until the kernel has buried it.
        Err(error) => {
            last = Some(error);
            false
        }
    });
    match last {
        Some(error) if !removed => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn within_patience(mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
