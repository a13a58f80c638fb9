//! Runs in the simulator.

use std::{fs, io, path::Path, sync::Arc};

use gauntlet_reports::Verdict;
use tokio_util::sync::CancellationToken;

use super::{ExecuteError, Executor, Job, RunPlace, conclude, failed, recorder};
use crate::{
    check,
    history::History,
    runner::{self, Options},
    sim::{SimCluster, run_in_sim},
    tap::{Board, Call},
};

/// Runs in the simulator, each on its own thread and its own paused clock.
pub(super) struct Sim;

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
