//! One node in its guest: what state it is in, and its files.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use gauntlet_machines::{
    Error,
    guest::{Migration, Place, Running, Saved, Spec, Stopped},
};

use crate::{
    host::cgroup::Cgroup, process::tracking::TrackingTail, scenario::ResumedClock,
    substrate::ClusterError,
};

/// What a guest does. Those that take their time do so on a thread of their own, which is joined by whoever needs the
/// guest next.
pub(super) enum State {
    Stopped(Stopped),
    Running(Box<Running>),
    /// Its memory goes to a file, and QEMU ends.
    Saving(JoinHandle<Result<Saved, Error>>),
    /// It moves to another QEMU.
    Moving(JoinHandle<(Running, Result<Migration, Error>)>),
    /// Its power button was pressed.
    Ending(JoinHandle<Ended>),
    /// Only for as long as a call takes that holds the node.
    Taken,
}

/// How a shutdown ended, and how long it took.
pub(super) type Ended = (Duration, Result<Stopped, (Box<Running>, Error)>);

/// A node of the cluster.
pub(super) struct Node {
    pub(super) state: State,
    /// The guest as it is made: with this a lost one is begun again.
    pub(super) spec: Spec,
    pub(super) place: Place,
    pub(super) directory: PathBuf,
    /// Where its disk and what is saved of it are, while the run lasts.
    pub(super) scratch: PathBuf,
    /// The node's program runs in the guest, as far as we know.
    pub(super) serves: bool,
    /// Counts starts.
    pub(super) incarnation: u32,
    /// The way to its HTTP endpoint, while it takes mail.
    pub(super) http: Option<SocketAddr>,
    pub(super) tail: TrackingTail,
    /// How its clock is to go on when it is resumed.
    pub(super) resumed_clock: ResumedClock,
    /// It was resumed, and its clock is still that of the saved moment.
    pub(super) is_stale: bool,
    /// Its clock is ahead on purpose, milliseconds.
    pub(super) ahead_ms: i64,
    /// What holds its QEMU to a part of a processor.
    pub(super) starved: Option<Cgroup>,
    /// Its memory, MiB, where some was taken.
    pub(super) ballooned: Option<u32>,
}

pub(super) fn not_running(name: &str) -> ClusterError {
    ClusterError::State(format!("{name} does not run"))
}

pub(super) fn failed(what: String) -> impl FnOnce(Error) -> ClusterError {
    move |error| match error {
        Error::Missing(missing) => ClusterError::Missing(missing),
        other => ClusterError::Io {
            what,
            error: other.to_string(),
        },
    }
}

impl Node {
    /// The guest that runs.
    pub(super) fn running(&mut self, name: &str) -> Result<&mut Running, ClusterError> {
        match &mut self.state {
            State::Running(running) => Ok(running),
            State::Moving(_) => Err(ClusterError::State(format!("{name} is being moved"))),
            State::Saving(_) => Err(ClusterError::State(format!("{name} is saved"))),
            State::Ending(_) => Err(ClusterError::State(format!("{name} is shutting down"))),
            State::Stopped(_) | State::Taken => Err(not_running(name)),
        }
    }

    /// The guest that runs, to be put back as [`State::Running`].
    pub(super) fn take_running(&mut self, name: &str) -> Result<Box<Running>, ClusterError> {
        self.running(name)?;
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Running(running) => Ok(running),
            other => {
                self.state = other;
                Err(not_running(name))
            }
        }
    }

    /// SIGKILL to QEMU, whatever it does. Says whether a guest ran.
    pub(super) fn kill(&mut self) -> bool {
        self.http = None;
        self.serves = false;
        let (stopped, ran) = match std::mem::replace(&mut self.state, State::Taken) {
            State::Stopped(stopped) => (Some(stopped), false),
            State::Running(running) => (Some(running.kill()), true),
            State::Saving(thread) => (
                thread.join().ok().and_then(Result::ok).map(Saved::discard),
                false,
            ),
            State::Moving(thread) => (thread.join().ok().map(|(running, _)| running.kill()), true),
            State::Ending(thread) => match thread.join() {
                Ok((_, Ok(stopped))) => (Some(stopped), false),
                Ok((_, Err((running, _)))) => (Some(running.kill()), true),
                Err(_panic) => (None, true),
            },
            State::Taken => (None, false),
        };
        self.is_stale = false;
        self.ahead_ms = 0;
        self.state = State::Stopped(stopped.unwrap_or_else(|| self.anew()));
        ran
    }

    /// The guest from its disk alone.
    pub(super) fn anew(&self) -> Stopped {
        Stopped::new(self.spec.clone(), self.place.clone())
    }

    /// A QEMU that is new is starved as the one before.
    pub(super) fn starve_new(&self) -> io::Result<()> {
        let (State::Running(running), Some(group)) = (&self.state, &self.starved) else {
            return Ok(());
        };
        i32::try_from(running.process()).map_or(Ok(()), |process| group.add(process))
    }

    /// The copy of its disk.
    pub(super) fn snapshot(&self) -> PathBuf {
        self.scratch.join(format!("{}.snapshot", self.spec.name))
    }

    /// Where its memory is saved.
    pub(super) fn saved_memory(&self) -> PathBuf {
        self.scratch.join(format!("{}.state", self.spec.name))
    }

    /// The last lines of its console, to tell why it did not start.
    pub(super) fn end_of_console(&self) -> String {
        let text = fs::read(&self.spec.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Removes what is large and of no use after the run.
    pub(super) fn retire(&self) {
        for file in [
            self.spec.disk.path(),
            &self.snapshot(),
            &self.saved_memory(),
        ] {
            // Most of them were never made.
            let _ = fs::remove_file(file);
        }
    }
}

/// `<name>/` below `nodes`.
pub(super) fn directory(nodes: &Path, name: &str) -> io::Result<PathBuf> {
    let directory = std::path::absolute(nodes)?.join(name);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}
