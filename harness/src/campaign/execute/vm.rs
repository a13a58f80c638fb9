//! Runs in virtual machines.

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
    process::NodeCommand,
    runner::{self, Options},
    tap::Board,
    vm::{self, Machine, VmCluster, VmOptions, images::KernelSource},
};

/// Runs in virtual machines, each run with a runtime of its own.
pub(super) struct Vm {
    machine: Machine,
    arguments: Vec<String>,
    command: NodeCommand,
    time_scale: u32,
}

impl Vm {
    /// Makes kernel and image, where they are not there yet.
    pub(super) fn open(settings: &Settings) -> Result<Self, ExecuteError> {
        let command = settings.node_command().map_err(ExecuteError::Missing)?;
        let machine = Machine::prepare(&command, KernelSource::Package, &mut |_| ());
        Ok(Self {
            arguments: vm::arguments(&command).map_err(ExecuteError::Missing)?,
            machine: machine.map_err(ExecuteError::Missing)?,
            command,
            time_scale: settings.time_scale,
        })
    }
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
        let runtime = real_time(Threads::Several)?;
        runtime.block_on(async {
            let recorder = Arc::new(recorder(place)?);
            let board = Board::new(recorder.clone(), &job.plan.scenario.fault).map_err(failed)?;
            let vm = VmOptions {
                nodes,
                machine: self.machine.clone(),
                command: self.command.clone(),
                arguments: self.arguments.clone(),
                environment: Vec::new(),
                time_scale: self.time_scale,
                vcpus: 1,
                sabotage,
            };
            let cluster = match VmCluster::new(&job.plan, board.clone(), vm) {
                Ok(cluster) => cluster,
                Err(error) => return conclude(Err(error.into()), &recorder),
            };
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
