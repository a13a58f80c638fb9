//! Runs with real processes.

use std::sync::Arc;

use gauntlet_reports::Verdict;
use tokio_util::sync::CancellationToken;

use super::{
    ExecuteError, Executor, Job, RunPlace, Settings, Threads, conclude, failed, flushing,
    real_time, recorder,
};
use crate::{
    check,
    history::History,
    host::Scratch,
    process::{self, Network, NodeCommand, ProcessCluster, ProcessOptions},
    runner::{self, Options},
    tap::Board,
    toxics::remote::Remote,
};

/// Runs with real processes, each run on its own thread and runtime.
pub(super) struct Process {
    toxiproxy: Option<Arc<Remote>>,
    command: NodeCommand,
    time_scale: u32,
    network: Network,
}

impl Process {
    /// Finds what is started, and the Toxiproxy where one is wanted.
    pub(super) fn open(settings: &Settings) -> Result<Self, ExecuteError> {
        process::available().map_err(ExecuteError::Missing)?;
        let command = settings.node_command().map_err(ExecuteError::Missing)?;
        let toxiproxy = settings.toxiproxy.as_deref().map(Remote::find);
        let toxiproxy = toxiproxy.transpose();
        Ok(Self {
            toxiproxy: toxiproxy.map_err(|error| ExecuteError::Missing(error.to_string()))?,
            command,
            time_scale: settings.time_scale,
            network: settings.network,
        })
    }
}

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
        let runtime = real_time(Threads::One)?;
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
            let run = runner::execute(
                &job.plan,
                Arc::new(cluster),
                board,
                recorder.clone(),
                &options,
            );
            let end = flushing(&recorder, run).await;
            conclude(end, &recorder)
        })
    }

    fn judge(&self, history: &History) -> Vec<Verdict> {
        check::judge(&history.records)
    }
}
