//! Runs with containers.

use std::sync::Arc;

use gauntlet_docker::{
    engine::{BuiltImage, Engine, EngineError, ImageOptions},
    target::Target,
};
use gauntlet_reports::Verdict;
use tokio_util::sync::CancellationToken;

use super::{
    ExecuteError, Executor, Job, RunPlace, Settings, Threads, conclude, failed, flushing,
    real_time, recorder,
};
use crate::{
    check,
    container::{self, ContainerCluster, ContainerOptions},
    history::History,
    host::Scratch,
    runner::{self, Options},
    tap::Board,
};

/// Runs with containers of one target, each run on its own thread, runtime and network.
pub(super) struct Containers {
    engine: Engine,
    target: Target,
    image: BuiltImage,
    node_arguments: Vec<String>,
    time_scale: u32,
}

impl Containers {
    /// Finds the engine, and the target's image; builds it when it is not there.
    pub(super) fn open(settings: &Settings) -> Result<Self, ExecuteError> {
        container::available().map_err(ExecuteError::Missing)?;
        let missing = |error: EngineError| ExecuteError::Missing(error.to_string());
        let engine = Engine::connect().map_err(missing)?;
        let target = match &settings.target {
            Some(target) => target.clone(),
            None => Target::load("reference").map_err(failed)?,
        };
        let (node, node_arguments) = match target.is_reference_node() {
            true => {
                let (node, arguments) = settings.node_program().map_err(ExecuteError::Missing)?;
                (Some(node), arguments)
            }
            false => (None, Vec::new()),
        };
        let options = ImageOptions {
            base: settings.image_base.clone(),
            node,
        };
        let image = engine.image(&target, &options).map_err(missing)?;
        Ok(Self {
            engine,
            target,
            image,
            node_arguments,
            time_scale: settings.time_scale,
        })
    }
}

impl Executor for Containers {
    fn substrate(&self) -> &'static str {
        "container"
    }

    fn is_reproducible(&self) -> bool {
        false
    }

    fn image_digest(&self) -> Option<String> {
        Some(self.image.id.clone())
    }

    fn execute(
        &self,
        job: &Job,
        place: Option<&RunPlace>,
        cancel: &CancellationToken,
    ) -> Result<History, ExecuteError> {
        let plan = container::fit::fit(&job.plan, &self.target, self.time_scale)
            .map_err(ExecuteError::NotApplicable)?;
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
            let board = Board::new(recorder.clone(), &plan.scenario.fault).map_err(failed)?;
            let made = ContainerCluster::new(
                &plan,
                board.clone(),
                ContainerOptions {
                    nodes,
                    engine: self.engine.clone(),
                    target: self.target.clone(),
                    image: self.image.clone(),
                    node_arguments: self.node_arguments.clone(),
                    time_scale: self.time_scale,
                    sabotage,
                },
            );
            let cluster = match made.await {
                Ok(cluster) => cluster,
                Err(error) => return conclude(Err(error.into()), &recorder),
            };
            let run = runner::execute(&plan, Arc::new(cluster), board, recorder.clone(), &options);
            let end = flushing(&recorder, run).await;
            conclude(end, &recorder)
        })
    }

    fn judge(&self, history: &History) -> Vec<Verdict> {
        check::judge(&history.records)
    }
}
