//! Quiet: nothing is queued and no shadow is held on any live node. And what nodes and mailboxes show.
//!
//! Comes in: the views of live nodes. Goes out: whether all is quiet, or what is missing in words; `view` and
//! `mailbox` records. Called by the runner's steps and its last phases.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Run, RunError};
use crate::history::{Event, NodeView};

/// A node that does not say within this (real) time what it holds does not answer.
const VIEW_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks on substrates with real time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Times that all must be found quiet in a row: the views of a look are not of one moment.
const LOOKS: u32 = 2;

/// The end of a wait for quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// What was still missing; empty: all was quiet.
    pub(crate) pending: Vec<String>,
}

impl Run {
    /// Waits until all is quiet, at most `at_most` (documented time). With `heal` it takes back faults that land
    /// in the meantime.
    pub(crate) async fn wait_quiet(
        &self,
        at_most: Duration,
        heal: bool,
    ) -> Result<Quiet, RunError> {
        let at_most = self.cluster.scaled(at_most);
        let began = Instant::now();
        let mut healed = self.faults.count();
        let mut looks = 0;
        loop {
            self.check()?;
            if heal && self.faults.count() != healed && self.triggered.is_empty() {
                healed = self.faults.count();
                self.heal_all().await?;
            }
            let pending = self.pending(heal).await;
            looks = if pending.is_empty() { looks + 1 } else { 0 };
            let elapsed = began.elapsed();
            if looks == LOOKS || elapsed >= at_most {
                return Ok(Quiet { pending });
            }
            sleep(self.pause(elapsed).min(at_most - elapsed)).await;
        }
    }

    /// Looks become rarer with time where time is virtual: a second after ten, ten minutes after 100 minutes.
    fn pause(&self, elapsed: Duration) -> Duration {
        if self.is_sim() {
            (elapsed / 10).clamp(Duration::from_secs(1), Duration::from_secs(600))
        } else {
            LOOK_EVERY
        }
    }

    /// What is not done yet, in words. Nodes that are down are not asked; they count when `all_up`, unless destroyed.
    async fn pending(&self, all_up: bool) -> Vec<String> {
        let mut pending = Vec::new();
        for node in &self.plan.scenario.cluster.nodes {
            if self.is_live(node) {
                match self.view(node).await {
                    Some(view) => pending.extend(held(node, &view)),
                    None => pending.push(format!("{node} does not answer")),
                }
            } else if all_up && !self.is_gone(node) {
                pending.push(format!("{node} is down"));
            }
        }
        if !self.triggered.is_empty() {
            pending.push("what a trigger does is not done".into());
        }
        pending
    }

    /// Records what every live node and its mailboxes show.
    pub(crate) async fn observe(&self) {
        for node in &self.plan.scenario.cluster.nodes {
            if !self.is_live(node) {
                continue;
            }
            if let Some(view) = self.view(node).await {
                self.recorder.record(Event::View {
                    node: node.clone(),
                    view,
                });
            }
            let mailboxes = timeout(VIEW_PATIENCE, self.cluster.mailboxes(node))
                .await
                .unwrap_or_default();
            for (mailbox, messages) in mailboxes.unwrap_or_default() {
                self.recorder.record(Event::Mailbox {
                    node: node.clone(),
                    mailbox,
                    messages,
                });
            }
        }
    }

    /// What a node says of itself; `None` when it does not answer.
    pub(crate) async fn view(&self, node: &str) -> Option<NodeView> {
        timeout(VIEW_PATIENCE, self.cluster.view(node))
            .await
            .unwrap_or_default()
    }
}

/// What a node still has to do.
fn held(node: &str, view: &NodeView) -> Vec<String> {
    let messages = |count: usize, what: &str| {
        let s = if count == 1 { "" } else { "s" };
        format!("{node} has {count} {what} message{s}")
    };
    let mut held = Vec::new();
    if let Some(reason) = &view.poisoned {
        held.push(format!("the store of {node} has failed: {reason}"));
    }
    if !view.queue.is_empty() {
        held.push(messages(view.queue.len(), "queued"));
    }
    if !view.shadow.is_empty() {
        held.push(messages(view.shadow.len(), "shadow"));
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Held;

    #[test]
    fn what_is_held_is_said_in_words() {
        let message = Held {
            transport_id: "n1/00/1".into(),
            message_id: None,
            role: "primary".into(),
            other: String::new(),
            recipients: vec![],
        };
        let view = NodeView {
            poisoned: Some("disk full".into()),
            queue: vec![message.clone()],
            shadow: vec![message.clone(), message.clone()],
            safety_net: vec![message],
            ..NodeView::default()
        };
        assert_eq!(
            held("n1", &view),
            [
                "the store of n1 has failed: disk full",
                "n1 has 1 queued message",
                "n1 has 2 shadow messages"
            ]
        );
        let rest = NodeView {
            queue: vec![],
            shadow: vec![],
            poisoned: None,
            ..view
        };
        assert!(held("n1", &rest).is_empty(), "Safety Net is no work to do");
    }
}
