//! Executes a plan on a cluster: starts it, does the steps, heals, waits until all is quiet, looks, and ends it.
//!
//! Comes in: a [`Plan`], a running substrate's [`Cluster`](crate::substrate::Cluster), the
//! [`Board`] of its taps. Goes out: the history, through the [`Recorder`]. Called by the commands that run
//! scenarios. The same for every substrate; where time is virtual it is deterministic.
//!
//! Reading order: [`execute`] and the phases here, `steps` for what is done, `mail` and `fault` for the two things
//! that steps do, `settle` for the end.

mod fault;
mod mail;
mod settle;
#[cfg(test)]
mod sim_tests;
mod steps;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use self::text::text;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{fault::ActiveFaults, mail::Mail};
use crate::{
    history::{Event, HISTORY_VERSION, Phase, Recorder},
    scenario::{Database, Plan, ResumedClock, SinkBehaviour},
    substrate::{ClusterError, SharedCluster},
    tap::Board,
    workload::{ContentError, sink::Sink},
};

/// How long the cluster may take to end.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(60);

/// What a run needs to know besides its plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ends the run early; everything that was started is ended all the same.
    pub cancel: CancellationToken,
    /// The deliberately broken behaviour that the nodes run with.
    pub sabotage: Option<String>,
    /// `sim`, `process`, …
    pub substrate: String,
    /// Every documented duration is divided by this; 1 on `sim`.
    pub time_scale: u32,
}

/// Why a run did not come to its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// The substrate cannot do what the plan wants.
    #[error("not applicable: {reason}")]
    NotApplicable {
        /// What, and why not.
        reason: String,
    },
    /// What the run needs is missing on this machine (exit code 69).
    #[error("{0}")]
    Missing(String),
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// The cluster could not do something that it should.
    #[error(transparent)]
    Cluster(ClusterError),
    /// A message cannot be made.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A sink cannot listen.
    #[error("{sink} cannot take mail: {reason}")]
    Sink {
        /// The sink.
        sink: String,
        /// Why.
        reason: String,
    },
}

impl From<ClusterError> for RunError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::NotApplicable { .. } => Self::NotApplicable {
                reason: error.to_string(),
            },
            ClusterError::Missing(what) => Self::Missing(what),
            error => Self::Cluster(error),
        }
    }
}

/// Runs a plan. The last record is `end`, whatever happens; the cluster is shut down when this returns.
///
/// # Errors
///
/// [`RunError`] tells why the run did not come to its end. What the cluster did wrong is no error: it is in the history.
pub async fn execute(
    plan: &Plan,
    cluster: SharedCluster,
    board: Arc<Board>,
    recorder: Arc<Recorder>,
    options: &Options,
) -> Result<(), RunError> {
    recorder.record(Event::Begin {
        version: HISTORY_VERSION,
        harness: env!("CARGO_PKG_VERSION").into(),
        substrate: options.substrate.clone(),
        time_scale: options.time_scale,
        sabotage: options.sabotage.clone(),
        plan: Box::new(plan.clone()),
    });
    let run = Arc::new(Run::new(plan, cluster, board, recorder, options));
    // A run that is dropped ends its tasks, and they let go of the run, which heals its faults.
    let _over = run.over.clone().drop_guard();
    let weak = Arc::downgrade(&run);
    run.board.set_injector(Arc::new(move |action| {
        if let Some(run) = weak.upgrade() {
            run.triggered(action);
        }
    }));
    let result = tokio::select! {
        biased;
        () = options.cancel.cancelled() => Err(RunError::Interrupted),
        result = run.phases() => result,
    };
    run.finish().await;
    let reason = match &result {
        Ok(()) => "completed".into(),
        Err(error) => error.to_string(),
    };
    run.recorder.record(Event::End { reason });
    result
}

/// A run, while it lasts.
struct Run {
    plan: Plan,
    cluster: SharedCluster,
    board: Arc<Board>,
    recorder: Arc<Recorder>,
    substrate: String,
    runtime: Handle,
    faults: ActiveFaults,
    mail: Arc<Mail>,
    sinks: BTreeMap<String, Arc<Sink>>,
    nodes: Mutex<BTreeMap<String, Node>>,
    /// Ends all tasks.
    over: CancellationToken,
    /// What triggers do, as long as it takes time.
    triggered: TaskTracker,
    /// Mail that is submitted in the background.
    background: TaskTracker,
    /// …and how it ends.
    background_ends: Mutex<Vec<JoinHandle<()>>>,
    /// Why a trigger's action ended the run.
    failure: Mutex<Option<RunError>>,
}

/// What the run knows of a node.
#[derive(Default)]
struct Node {
    /// How many times it was started.
    incarnation: u32,
    /// The last start failed.
    failed: bool,
}

impl Run {
    fn new(
        plan: &Plan,
        cluster: SharedCluster,
        board: Arc<Board>,
        recorder: Arc<Recorder>,
        options: &Options,
    ) -> Self {
        let layout = &plan.scenario.cluster;
        let sinks = layout
            .sinks
            .iter()
            .map(|s| (s.clone(), Sink::new(s, &layout.nodes, recorder.clone())))
            .collect();
        // A closed tracker takes tasks all the same; it only lets itself be waited for.
        let (triggered, background) = (TaskTracker::new(), TaskTracker::new());
        triggered.close();
        background.close();
        Self {
            plan: plan.clone(),
            faults: ActiveFaults::new(cluster.clone(), recorder.clone()),
            mail: Mail::new(cluster.clone(), recorder.clone(), plan.seed),
            cluster,
            board,
            recorder,
            substrate: options.substrate.clone(),
            runtime: Handle::current(),
            sinks,
            nodes: Mutex::default(),
            over: CancellationToken::new(),
            triggered,
            background,
            background_ends: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    async fn phases(self: &Arc<Self>) -> Result<(), RunError> {
        self.start_sinks().await?;
        self.start_nodes().await?;

        self.phase(Phase::Load);
        for (index, step) in self.plan.scenario.step.iter().enumerate() {
            self.board.set_step(u32::try_from(index).ok());
            self.recorder.record(Event::Step {
                index,
                text: text::text(step),
            });
            self.perform(step).await?;
            self.check()?;
        }
        self.board.set_step(None);
        self.join_background().await;
        self.triggered.wait().await;
        self.check()?;

        let settle = &self.plan.scenario.settle;
        if settle.heal {
            self.phase(Phase::Heal);
            self.heal_all().await?;
        }
        self.phase(Phase::Settle);
        let pending = self
            .wait_quiet(settle.at_most.0, settle.heal)
            .await?
            .pending;
        self.recorder.record(Event::Settled {
            quiescent: pending.is_empty(),
            pending,
        });
        self.phase(Phase::Observe);
        self.observe().await;
        self.check()
    }

    fn phase(&self, phase: Phase) {
        self.recorder.record(Event::Phase { phase });
    }

    async fn start_sinks(&self) -> Result<(), RunError> {
        for (name, sink) in &self.sinks {
            self.runtime.spawn(
                sink.clone()
                    .serve(self.cluster.clone(), self.over.child_token()),
            );
            let listening = sink.applied().await;
            listening.map_err(|reason| RunError::Sink {
                sink: name.clone(),
                reason,
            })?;
        }
        Ok(())
    }

    /// One after the other where the order must be the same each time, all at once where time is real.
    async fn start_nodes(self: &Arc<Self>) -> Result<(), RunError> {
        let mut starts = JoinSet::new();
        for node in self.plan.scenario.cluster.nodes.clone() {
            let run = self.clone();
            starts.spawn(async move { run.start(&node, Database::Same).await });
            if self.is_sim() {
                joined(starts.join_next().await)?;
            }
        }
        while let Some(start) = starts.join_next().await {
            joined(Some(start))?;
        }
        Ok(())
    }

    /// Starts a node and records that it is up. A crash that strikes it before that is not forgotten.
    async fn start(&self, node: &str, database: Database) -> Result<(), ClusterError> {
        let struck = self.faults.on_node(node);
        let started = self.cluster.start(node, database).await;
        if let Err(error) = started {
            // A node that runs already is not hurt by the wish to start it.
            let runs = matches!(error, ClusterError::State(_))
                && !self.faults.is_down(node)
                && self.was_started(node);
            if !runs {
                self.recorder.record(Event::NodeFailed {
                    node: node.into(),
                    reason: error.to_string(),
                });
                self.nodes().entry(node.into()).or_default().failed = true;
            }
            return Err(error);
        }
        let incarnation = {
            let mut nodes = self.nodes();
            let known = nodes.entry(node.into()).or_default();
            known.failed = false;
            known.incarnation += 1;
            known.incarnation
        };
        struck.iter().for_each(|fault| self.faults.healed(*fault));
        let database = self
            .view(node)
            .await
            .map(|view| view.database)
            .filter(|id| !id.is_empty());
        if self.faults.is_live(node) {
            self.recorder.record(Event::NodeUp {
                node: node.into(),
                incarnation,
                database,
            });
        }
        Ok(())
    }

    /// As [`start`](Self::start), but a node that does not come up is the history's business.
    async fn start_again(&self, node: &str, database: Database) -> Result<(), RunError> {
        match self.start(node, database).await {
            Ok(()) | Err(ClusterError::State(_) | ClusterError::Io { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes back every fault but destruction, starts again what did not start, and makes every sink accept.
    async fn heal_all(&self) -> Result<(), RunError> {
        self.faults.heal_network(None, None)?;
        for node in &self.plan.scenario.cluster.nodes {
            self.faults.free_disk(node)?;
            self.faults.feed_cpu(node)?;
            self.faults.correct_clock(node)?;
            self.faults.thaw(node)?;
            self.faults.resume(node)?;
            self.faults.deflate(node)?;
            self.cluster.set_clock(node, ResumedClock::Corrected)?;
            if self.faults.is_read_only(node) {
                self.repair_disk(node).await?;
            } else if !self.is_live(node) && !self.is_gone(node) {
                self.start_again(node, Database::Same).await?;
            }
        }
        for (name, sink) in &self.sinks {
            sink.behave(SinkBehaviour::Accept, None);
            let listening = sink.applied().await;
            listening.map_err(|reason| RunError::Sink {
                sink: name.clone(),
                reason,
            })?;
        }
        Ok(())
    }

    async fn join_background(&self) {
        let tasks = std::mem::take(&mut *lock(&self.background_ends));
        for task in tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Ends everything that this run has started.
    async fn finish(&self) {
        self.board.set_injector(Arc::new(|_| {}));
        self.over.cancel();
        self.background.wait().await;
        self.triggered.wait().await;
        self.faults.release();
        // A substrate that cannot end in this time has its own guards on drop.
        let _ = timeout(SHUTDOWN_WAIT, self.cluster.shutdown()).await;
    }

    fn spawn_background(&self, sending: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        let task = async move {
            over.run_until_cancelled_owned(sending).await;
        };
        let task = self.background.spawn_on(task, &self.runtime);
        lock(&self.background_ends).push(task);
    }

    fn spawn_triggered(&self, action: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        let task = async move {
            over.run_until_cancelled_owned(action).await;
        };
        self.triggered.spawn_on(task, &self.runtime);
    }

    /// Keeps the first error of what triggers do; the run ends with it at its next step.
    fn fail(&self, error: RunError) {
        lock(&self.failure).get_or_insert(error);
    }

    fn check(&self) -> Result<(), RunError> {
        if let Some(error) = lock(&self.failure).clone() {
            return Err(error);
        }
        let failed = self
            .sinks
            .iter()
            .find_map(|(name, sink)| Some((name.clone(), sink.failure()?)));
        failed.map_or(Ok(()), |(sink, reason)| {
            Err(RunError::Sink { sink, reason })
        })
    }

    fn sink(&self, name: &str) -> Result<&Arc<Sink>, RunError> {
        self.sinks
            .get(name)
            .ok_or_else(|| ClusterError::Unknown(format!("sink {name}")).into())
    }

    fn is_sim(&self) -> bool {
        self.substrate == "sim"
    }

    /// It runs as far as the run knows: it was started, and no fault holds it.
    fn is_live(&self, node: &str) -> bool {
        self.faults.is_live(node) && !self.nodes().get(node).is_some_and(|known| known.failed)
    }

    /// Its disk is lost, and nobody wanted it back: a start that failed is tried again.
    fn is_gone(&self, node: &str) -> bool {
        let failed = self.nodes().get(node).is_some_and(|known| known.failed);
        self.faults.is_destroyed(node) && !failed
    }

    fn was_started(&self, node: &str) -> bool {
        self.nodes()
            .get(node)
            .is_some_and(|known| known.incarnation > 0)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        lock(&self.nodes)
    }
}

fn joined(
    start: Option<Result<Result<(), ClusterError>, tokio::task::JoinError>>,
) -> Result<(), RunError> {
    match start {
        None | Some(Ok(Ok(()))) => Ok(()),
        Some(Ok(Err(error))) => Err(error.into()),
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that ends cancels it.
        Some(Err(_)) => Err(RunError::Interrupted),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
