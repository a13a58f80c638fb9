//! One node as a child process. Only a stopped node shows its disk, and only it can be started.
//!
//! Comes in: the command and a configuration. Goes out: [`Running`], and the node's addresses once it has
//! announced them. Called by [`cluster`](super::cluster).

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

use super::disk::NodeFiles;
use crate::host::registry::{Entry, ProcessId, Resource};

/// How long a killed or stopped process may take to be so; the kernel needs microseconds, unless its disk hangs.
const SIGNAL_PATIENCE: Duration = Duration::from_secs(5);

/// How a node is started: a program that takes `--config FILE --exit-with-parent`, and `--config FILE --check`.
#[derive(Debug, Clone)]
pub struct NodeCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl NodeCommand {
    /// Our own executable: `gauntlet node`.
    ///
    /// # Errors
    /// The operating system does not tell where it is.
    pub fn own() -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: vec!["node".into()],
        })
    }

    /// Another program (`--node-bin`).
    pub fn of(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
        }
    }

    /// With these arguments before those that every node gets.
    #[must_use]
    pub fn with_arguments(
        mut self,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// The same within a network namespace.
    #[must_use]
    pub(super) fn within(self, namespace: &Path) -> Self {
        let mut entering = OsString::from("--net=");
        entering.push(namespace);
        let program = self.program.into_os_string();
        let arguments = [entering, program].into_iter().chain(self.arguments);
        Self {
            // It becomes the program, so that signals reach that.
            program: "nsenter".into(),
            arguments: arguments.collect(),
        }
    }

    /// What stands before the arguments that every node gets.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// The program, to be named in errors.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The command for this configuration, nothing of which outlives the harness.
    pub(crate) fn with_config(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg("--config")
            .arg(config)
            .kill_on_drop(true)
            .process_group(0);
        command
    }
}

/// What a node tells once it takes mail: one line of JSON on standard output.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Announcement {
    /// Where it takes mail.
    pub(super) listening: SocketAddr,
    /// Its read-only HTTP endpoint.
    pub(super) http: Option<SocketAddr>,
}

/// A node that does not run.
#[derive(Debug)]
pub(super) struct Stopped {
    files: NodeFiles,
}

/// A node that runs, until it is killed or dropped.
#[derive(Debug)]
pub(super) struct Running {
    files: NodeFiles,
    child: Child,
    /// When this ends, so does the node.
    _lifeline: Option<ChildStdin>,
    frozen: bool,
    /// Crossed out after the child was killed, for it is dropped last.
    _entry: Option<Entry>,
}

impl Stopped {
    pub(super) fn new(files: NodeFiles) -> Self {
        Self { files }
    }

    /// Its files; nobody writes to them now.
    pub(super) fn files(&self) -> &NodeFiles {
        &self.files
    }

    /// Starts it. The announcement comes when it takes mail; the channel is closed when it ended before.
    pub(super) fn spawn(
        self,
        command: &NodeCommand,
        config: &str,
        own_clock: bool,
    ) -> Result<(Running, oneshot::Receiver<Announcement>), (Self, io::Error)> {
        match self.try_spawn(command, config, own_clock) {
            Ok((mut child, log, entry)) => {
                let (sender, receiver) = oneshot::channel();
                if let Some(output) = child.stdout.take() {
                    tokio::spawn(follow(output, log, sender));
                }
                let lifeline = child.stdin.take();
                Ok((
                    Running {
                        files: self.files,
                        child,
                        _lifeline: lifeline,
                        frozen: false,
                        _entry: entry,
                    },
                    receiver,
                ))
            }
            Err(error) => Err((self, error)),
        }
    }

    fn try_spawn(
        &self,
        command: &NodeCommand,
        config: &str,
        own_clock: bool,
    ) -> io::Result<(Child, File, Option<Entry>)> {
        self.files.ensure_disk()?;
        fs::write(self.files.config(), config)?;
        let log = self.files.open_log()?;
        let mut command = command.with_config(&self.files.config());
        command.arg("--exit-with-parent");
        if own_clock {
            command.arg("--clock-offset").arg(self.files.clock_offset());
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()?;
        // One that has ended already leaves nothing.
        let entry = process_id(&child)
            .and_then(|id| ProcessId::of(id).ok())
            .map(|process| {
                let name = self.files.name();
                Entry::new(&Resource::Process { process, name })
            });
        Ok((child, log, entry.transpose()?))
    }
}

/// Copies standard output to the log, and looks for the announcement in it.
async fn follow(output: ChildStdout, mut log: File, announced: oneshot::Sender<Announcement>) {
    let mut announced = Some(announced);
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(mut line)) = lines.next_segment().await {
        if let Ok(announcement) = serde_json::from_slice(&line)
            && let Some(announced) = announced.take()
        {
            // Nobody waits when the start was given up.
            let _ = announced.send(announcement);
        }
        line.push(b'\n');
        // The log is for people; a run goes on without it.
        let _ = log.write_all(&line);
    }
}

impl Running {
    /// SIGKILL. The process is gone when this returns, its ports closed.
    pub(super) fn kill(mut self) -> Stopped {
        let _ = self.child.start_kill();
        wait_until(|| !matches!(self.child.try_wait(), Ok(None)));
        Stopped { files: self.files }
    }

    /// SIGTERM. The process has ended by itself when this returns without an error.
    pub(super) fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        wait_until(|| !matches!(self.child.try_wait(), Ok(None)));
        if self.has_ended() {
            return Ok(());
        }
        let patience = SIGNAL_PATIENCE.as_secs();
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it still runs {patience} s after SIGTERM"),
        ))
    }

    /// It was stopped, and not continued.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Its number, until it has ended and was waited for: so the number is still this process's.
    pub(super) fn process(&self) -> Option<i32> {
        process_id(&self.child)
    }

    /// It has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGSTOP. It does nothing any more when this returns.
    pub(super) fn freeze(&mut self) -> io::Result<()> {
        let process = self.signal(Signal::SIGSTOP)?;
        self.frozen = true;
        wait_until(|| is_stopped(process));
        Ok(())
    }

    /// SIGCONT.
    pub(super) fn thaw(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGCONT)?;
        self.frozen = false;
        Ok(())
    }

    /// Keeps a copy of its disk as of one moment: it is stopped meanwhile.
    pub(super) fn snapshot(&mut self) -> io::Result<()> {
        let was_frozen = self.frozen;
        self.freeze()?;
        let copied = self.files.snapshot();
        if !was_frozen {
            self.thaw()?;
        }
        copied
    }

    fn signal(&self, signal: Signal) -> io::Result<Pid> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the process has ended");
        let id = self.process().ok_or_else(gone)?;
        kill(Pid::from_raw(id), signal)?;
        Ok(Pid::from_raw(id))
    }
}

fn process_id(child: &Child) -> Option<i32> {
    child.id().and_then(|id| i32::try_from(id).ok())
}

/// All threads of the process are stopped. Where there is no `/proc` the signal's word is taken for it.
fn is_stopped(process: Pid) -> bool {
    let state = |stat: &Path| {
        let text = fs::read_to_string(stat).ok()?;
        // `1234 (name) T …`; the name can have any characters.
        text.rsplit_once(") ")
            .map(|(_, rest)| !rest.starts_with(['R', 'S', 'D']))
    };
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    threads
        .flatten()
        .all(|thread| state(&thread.path().join("stat")).unwrap_or(true))
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() && start.elapsed() < SIGNAL_PATIENCE {
        std::thread::sleep(Duration::from_micros(200));
    }
}
