//! The substrates behind [`Executor`]: they put cluster, taps, recorder and runner together.
//!
//! Comes in: a [`Job`], and where its files go. Goes out: its history. Called by the campaign.

use std::{path::PathBuf, time::Duration};

use gauntlet_docker::{engine::NodeProgram, target::Target};

use super::{ExecuteError, Executor, Job, RunPlace};
use crate::{
    history::{History, Recorder},
    process::{Network, NodeCommand},
    runner::RunError,
};

mod container;
mod process;
mod sim;
mod vm;

pub use sim::simulate;

/// How runs are executed.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Every documented duration is divided by this; 1 on `sim`.
    pub time_scale: u32,
    /// The program that is a node, for `process`; this program's own `node` command when left out.
    pub node_bin: Option<PathBuf>,
    /// How partitions are made on `process`.
    pub network: Network,
    /// What is tested, for `container`.
    pub target: Option<Target>,
    /// The image that targets' images are built upon, for `container`.
    pub image_base: Option<String>,
    /// The API of a Toxiproxy whose proxies stand on the links instead of our own taps, for `process`.
    pub toxiproxy: Option<String>,
}

impl Settings {
    /// The program that is put into a reference node's image, and what it gets before a node's own arguments.
    fn node_program(&self) -> Result<(NodeProgram, Vec<String>), String> {
        // Its own error tells what is missing.
        self.node_command()?;
        let own = std::env::current_exe().map_err(|error| error.to_string());
        Ok(match &self.node_bin {
            None => (NodeProgram { path: own? }, vec!["node".to_owned()]),
            Some(program) => (
                NodeProgram {
                    path: program.clone(),
                },
                Vec::new(),
            ),
        })
    }

    /// The program that is a node.
    ///
    /// # Errors
    /// There is no such program, in words.
    pub fn node_command(&self) -> Result<NodeCommand, String> {
        match &self.node_bin {
            None => NodeCommand::own()
                .map_err(|e| format!("this program cannot find itself: {e}; give --node-bin")),
            Some(program) if program.is_file() => Ok(NodeCommand::of(program)),
            Some(program) => Err(format!("{}: there is no such program", program.display())),
        }
    }
}

/// The executor of that substrate.
///
/// # Errors
/// [`ExecuteError::Missing`]: this machine, or this build, lacks what the substrate needs.
pub fn open(substrate: &str, settings: &Settings) -> Result<Box<dyn Executor>, ExecuteError> {
    match substrate {
        "sim" => Ok(Box::new(sim::Sim)),
        "process" => Ok(Box::new(process::Process::open(settings)?)),
        "container" => Ok(Box::new(container::Containers::open(settings)?)),
        "vm" => Ok(Box::new(vm::Vm::open(settings)?)),
        other => Err(ExecuteError::Missing(format!(
            "substrate `{other}` is not part of this build"
        ))),
    }
}

/// How many threads a run's runtime has.
enum Threads {
    One,
    /// What is done to a guest blocks a thread; frames and octets are moved by the others.
    Several,
}

/// A runtime whose time is real.
fn real_time(threads: Threads) -> Result<tokio::runtime::Runtime, ExecuteError> {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Several => tokio::runtime::Builder::new_multi_thread(),
    };
    builder
        .worker_threads(4)
        .enable_all()
        .build()
        .map_err(failed)
}

/// How often a running history is written out: a killed harness loses no more than this.
const FLUSH: Duration = Duration::from_millis(200);

/// Does something while the history is written out now and then.
async fn flushing<T>(recorder: &Recorder, run: impl Future<Output = T>) -> T {
    let flush = async {
        loop {
            tokio::time::sleep(FLUSH).await;
            recorder.flush();
        }
    };
    tokio::select! {
        biased;
        end = run => end,
        never = flush => never,
    }
}

fn recorder(place: Option<&RunPlace>) -> Result<Recorder, ExecuteError> {
    match place {
        None => Ok(Recorder::in_memory()),
        Some(RunPlace { history, .. }) => Recorder::to_file(history)
            .map_err(|e| ExecuteError::Failed(format!("{}: {e}", history.display()))),
    }
}

/// The history, complete on disk. A run that broke off has one, too: its last record says why.
fn conclude(end: Result<(), RunError>, recorder: &Recorder) -> Result<History, ExecuteError> {
    recorder
        .finish()
        .map_err(|e| ExecuteError::Failed(format!("the history could not be written: {e}")))?;
    match end {
        Err(RunError::Interrupted) => Err(ExecuteError::Interrupted),
        Err(RunError::Missing(what)) => Err(ExecuteError::Missing(what)),
        Err(RunError::NotApplicable { reason }) => Err(ExecuteError::NotApplicable(reason)),
        Ok(()) | Err(_) => Ok(History {
            records: recorder.take_records(),
            truncated: None,
        }),
    }
}

fn failed(error: impl std::error::Error) -> ExecuteError {
    ExecuteError::Failed(error.to_string())
}
