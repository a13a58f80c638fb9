//! The gate of one node incarnation: whether its code may run.
//!
//! Comes in: freeze, thaw, kill from [`SimCluster`](super::SimCluster). Goes out: for each poll of the node's
//! code whether it goes on, waits for the thaw, or never goes on again.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use reference_node::env::BoxFuture;
use tokio::task::AbortHandle;

/// Whether a node's code may run.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Who was polled while the node was frozen.
    parked: Vec<Waker>,
    tasks: BTreeMap<u64, AbortHandle>,
    serial: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Running,
    Frozen,
    Dead,
}

impl Gate {
    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Whether code that is polled now may run. When not, it is woken by the thaw, if there is one.
    pub(crate) fn poll_pass(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        match state.phase {
            Phase::Running => return Poll::Ready(()),
            Phase::Frozen => state.parked.push(cx.waker().clone()),
            Phase::Dead => {}
        }
        Poll::Pending
    }

    /// Returns when the code may run.
    pub(crate) async fn pass(&self) {
        std::future::poll_fn(|cx| self.poll_pass(cx)).await;
    }

    /// Stops everything in its place. Nothing happens to a dead node.
    pub(crate) fn freeze(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Frozen;
        }
    }

    /// Everything goes on.
    pub(crate) fn thaw(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Frozen {
            state.phase = Phase::Running;
        }
        let parked = std::mem::take(&mut state.parked);
        drop(state);
        parked.into_iter().for_each(Waker::wake);
    }

    /// Ends everything: no task of the node is polled any more, the one that runs now not beyond this poll.
    pub(crate) fn kill(&self) {
        let mut state = self.lock();
        state.phase = Phase::Dead;
        let tasks = std::mem::take(&mut state.tasks);
        let parked = std::mem::take(&mut state.parked);
        drop((state, parked));
        tasks.into_values().for_each(|task| task.abort());
    }

    /// Runs a task behind the gate.
    pub(crate) fn spawn(self: &Arc<Self>, task: BoxFuture<'static, ()>) {
        let mut state = self.lock();
        if state.phase == Phase::Dead {
            return;
        }
        state.serial += 1;
        let id = state.serial;
        drop(state);
        let guarded = Guarded {
            gate: self.clone(),
            id,
            task: Some(task),
        };
        // A runtime that is ending drops the task at once, and that takes the lock.
        let handle = tokio::spawn(guarded).abort_handle();
        self.lock().tasks.insert(id, handle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics half way runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task of a node.
struct Guarded {
    gate: Arc<Gate>,
    id: u64,
    task: Option<BoxFuture<'static, ()>>,
}

impl Future for Guarded {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.poll_pass(cx).is_pending() {
            return match self.gate.phase() {
                Phase::Dead => self.end(),
                _ => Poll::Pending,
            };
        }
        let Some(task) = &mut self.task else {
            return Poll::Ready(());
        };
        let polled = task.as_mut().poll(cx);
        if polled.is_ready() || self.gate.phase() == Phase::Dead {
            return self.end();
        }
        Poll::Pending
    }
}

impl Guarded {
    fn end(&mut self) -> Poll<()> {
        self.task = None;
        Poll::Ready(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let ended = self.gate.lock().tasks.remove(&self.id);
        drop(ended);
    }
}
