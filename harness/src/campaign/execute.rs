//! The substrates behind [`Executor`]: they put cluster, taps, recorder and runner together.
//!
//! Comes in: a [`Job`], and where its files go. Goes out: its history. Called by the campaign.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gauntlet_reports::Verdict;
use tokio_util::sync::CancellationToken;

use super::{ExecuteError, Executor, Job, RunPlace};
use crate::{
    check,
    history::{History, Recorder},
    host::Scratch,
    process::{self, Network, NodeCommand, ProcessCluster, ProcessOptions},
    runner::{self, Options, RunError},
    scenario::Plan,
    sim::{SimCluster, run_in_sim},
    substrate::SharedCluster,
    tap::{Board, Call},
    toxics::remote::Remote,
    vm::{Machine, VmCluster, VmOptions, images::KernelSource},
};

/// How runs are executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Every documented duration is divided by this; 1 on `sim`.
    pub time_scale: u32,
    /// The program that is a node, for `process`; this program's own `node` command when left out.
    pub node_bin: Option<PathBuf>,
    /// How partitions are made on `process`.
    pub network: Network,
    /// The API of a Toxiproxy whose proxies stand on the links instead of our own taps, for `process`.
    pub toxiproxy: Option<String>,
}

impl Settings {
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
        "sim" => Ok(Box::new(Sim)),
        "process" => {
            process::available().map_err(ExecuteError::Missing)?;
            let command = settings.node_command().map_err(ExecuteError::Missing)?;
            let toxiproxy = settings.toxiproxy.as_deref().map(Remote::find);
            let toxiproxy = toxiproxy.transpose();
            Ok(Box::new(Process {
                toxiproxy: toxiproxy.map_err(|error| ExecuteError::Missing(error.to_string()))?,
                command,
                time_scale: settings.time_scale,
                network: settings.network,
            }))
        }
        "vm" => {
            let command = settings.node_command().map_err(ExecuteError::Missing)?;
            let machine = Machine::prepare(&command, KernelSource::Package, &mut |_| ());
            Ok(Box::new(Vm {
                machine: machine.map_err(ExecuteError::Missing)?,
                command,
                time_scale: settings.time_scale,
            }))
        }
        other => Err(ExecuteError::Missing(format!(
            "substrate `{other}` is not part of this build"
        ))),
    }
}

/// Runs in the simulator, each on its own thread and its own paused clock.
struct Sim;

impl Executor for Sim {
    fn substrate(&self) -> &'static str {
        "sim"
    }

    fn is_reproducible(&self) -> bool {
        true
    }

    fn execute(
        &self,
        job: &Job,
        place: Option<&RunPlace>,
        cancel: &CancellationToken,
    ) -> Result<History, ExecuteError> {
        simulate(job, place, cancel, false).map(|(history, _)| history)
    }

    fn judge(&self, history: &History) -> Vec<Verdict> {
        check::judge(&history.records)
    }
}

/// Runs a job in the simulator. When it `observes`, the history has what happens within the nodes too, and the calls that
/// brought its events come with it.
///
/// # Errors
/// As [`Executor::execute`].
pub fn simulate(
    job: &Job,
    place: Option<&RunPlace>,
    cancel: &CancellationToken,
    observes: bool,
) -> Result<(History, Vec<Call>), ExecuteError> {
    let sabotage = job.sabotage.map(|s| s.name());
    let options = Options {
        cancel: cancel.clone(),
        sabotage: sabotage.map(String::from),
        substrate: "sim".into(),
        time_scale: 1,
    };
    let run = async {
        let recorder = Arc::new(recorder(place)?);
        let board = if observes {
            Board::observing(recorder.clone(), &job.plan.scenario.fault)
        } else {
            Board::new(recorder.clone(), &job.plan.scenario.fault)
        };
        let board = board.map_err(failed)?;
        let cluster = SimCluster::new(&job.plan, board.clone(), sabotage);
        let end = runner::execute(
            &job.plan,
            cluster.clone(),
            board.clone(),
            recorder.clone(),
            &options,
        )
        .await;
        if let Some(place) = place {
            for node in &job.plan.scenario.cluster.nodes {
                let tracking = cluster.tracking_log(node);
                let directory = place.nodes.join(node);
                keep_node(&directory, cluster.config_text(node), &tracking)
                    .map_err(|e| ExecuteError::Failed(format!("{}: {e}", directory.display())))?;
            }
        }
        Ok((conclude(end, &recorder)?, board.calls()))
    };
    run_in_sim(run)
        .map_err(|e| ExecuteError::Failed(format!("no runtime for the simulator: {e}")))?
}

/// Runs with real processes, each run on its own thread and runtime.
struct Process {
    toxiproxy: Option<Arc<Remote>>,
    command: NodeCommand,
    time_scale: u32,
    network: Network,
}

/// How often a running history is written out: a killed harness loses no more than this.
const FLUSH: Duration = Duration::from_millis(200);

impl Executor for Process {
    fn substrate(&self) -> &'static str {
        "process"
    }

    fn is_reproducible(&self) -> bool {
        false
    }

    fn execute(
        &self,
        job: &Job,
        place: Option<&RunPlace>,
        cancel: &CancellationToken,
    ) -> Result<History, ExecuteError> {
        let sabotage = job.sabotage.map(|s| s.name().to_owned());
        let options = Options {
            cancel: cancel.clone(),
            sabotage: sabotage.clone(),
            substrate: self.substrate().into(),
            time_scale: self.time_scale,
        };
        // A run that leaves no directory needs one while it lasts.
        let scratch = Scratch::new().map_err(failed)?;
        let nodes = place.map_or_else(|| scratch.path().join("nodes"), |place| place.nodes.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        runtime.block_on(async {
            let recorder = Arc::new(recorder(place)?);
            let board = Board::new(recorder.clone(), &job.plan.scenario.fault).map_err(failed)?;
            let process = ProcessOptions {
                nodes,
                command: self.command.clone(),
                time_scale: self.time_scale,
                network: self.network,
                sabotage,
            };
            let cluster = match ProcessCluster::new(&job.plan, board.clone(), process) {
                Ok(cluster) => cluster,
                Err(error) => return conclude(Err(error.into()), &recorder),
            };
            if let Some(remote) = &self.toxiproxy {
                cluster.use_toxiproxy(remote.clone());
            }
            let end =
                execute_flushing(&job.plan, Arc::new(cluster), board, &recorder, &options).await;
            conclude(end, &recorder)
        })
    }

    fn judge(&self, history: &History) -> Vec<Verdict> {
        check::judge(&history.records)
    }
}

/// Runs in virtual machines, each run with a runtime of its own.
struct Vm {
    machine: Machine,
    command: NodeCommand,
    time_scale: u32,
}

impl Executor for Vm {
    fn substrate(&self) -> &'static str {
        "vm"
    }

    fn is_reproducible(&self) -> bool {
        false
    }

    fn execute(
        &self,
        job: &Job,
        place: Option<&RunPlace>,
        cancel: &CancellationToken,
    ) -> Result<History, ExecuteError> {
        let sabotage = job.sabotage.map(|s| s.name().to_owned());
        let options = Options {
            cancel: cancel.clone(),
            sabotage: sabotage.clone(),
            substrate: self.substrate().into(),
            time_scale: self.time_scale,
        };
        let scratch = Scratch::new().map_err(failed)?;
        let nodes = place.map_or_else(|| scratch.path().join("nodes"), |place| place.nodes.clone());
        // What is done to a guest blocks a thread; frames and octets are moved by the others.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .map_err(failed)?;
        runtime.block_on(async {
            let recorder = Arc::new(recorder(place)?);
            let board = Board::new(recorder.clone(), &job.plan.scenario.fault).map_err(failed)?;
            let vm = VmOptions {
                nodes,
                machine: self.machine.clone(),
                command: self.command.clone(),
                environment: Vec::new(),
                time_scale: self.time_scale,
                vcpus: 1,
                sabotage,
            };
            let cluster = match VmCluster::new(&job.plan, board.clone(), vm) {
                Ok(cluster) => cluster,
                Err(error) => return conclude(Err(error.into()), &recorder),
            };
            let end = execute_flushing(&job.plan, Arc::new(cluster), board, &recorder, &options);
            conclude(end.await, &recorder)
        })
    }

    fn judge(&self, history: &History) -> Vec<Verdict> {
        check::judge(&history.records)
    }
}

/// Executes a plan, and writes the history out all the time.
async fn execute_flushing(
    plan: &Plan,
    cluster: SharedCluster,
    board: Arc<Board>,
    recorder: &Arc<Recorder>,
    options: &Options,
) -> Result<(), RunError> {
    let flush = async {
        loop {
            tokio::time::sleep(FLUSH).await;
            recorder.flush();
        }
    };
    tokio::select! {
        biased;
        end = runner::execute(plan, cluster, board, recorder.clone(), options) => end,
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

/// What a simulated node would leave on its disk for a person to read.
fn keep_node(directory: &Path, config: Option<&str>, tracking: &[String]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    if let Some(config) = config {
        fs::write(directory.join("node.toml"), config)?;
    }
    let lines: String = tracking
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect();
    fs::write(directory.join("tracking.jsonl"), lines)
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
