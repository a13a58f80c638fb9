//! Steps: what a plan wants done, done on the cluster.
//!
//! Comes in: the steps of the plan, and the actions of triggers. Goes out: faults, mail, starts. Called by the
//! runner; [`Run::at_once`] is called by triggers between two octets and never waits.

use std::sync::Arc;

use tokio::time::{sleep, timeout};

use super::{Run, RunError, mail::patience, text::setting};
use crate::{
    history::{Event, Fault},
    scenario::{CrashKind, Database, Partition, Step, Submit},
    substrate::ClusterError,
    tap::TriggeredAction,
    workload::{busy, idle, peer_verbs},
};

impl Run {
    /// Does a step, and returns when it is done.
    pub(crate) async fn perform(self: &Arc<Self>, step: &Step) -> Result<(), RunError> {
        if let Some(done) = self.at_once(step, None) {
            done?;
        }
        let patience = patience(&self.cluster);
        match step {
            Step::Submit(submit) => self.submit(submit).await?,
            Step::Resend(resend) => self.mail.clone().resend(resend).await,
            Step::Wait { duration } => sleep(self.cluster.scaled(duration.0)).await,
            Step::WaitQuiet { at_most } => {
                self.wait_quiet(at_most.0, false).await?;
            }
            Step::Start { node, database } => self.start_again(node, *database).await?,
            Step::Revert { node } if self.faults.is_down(node) => {
                self.start_again(node, Database::Same).await?
            }
            Step::RepairDisk { node } => self.repair_disk(node).await?,
            Step::Migrate { node } | Step::Shutdown { node } => self.faults.finished(node).await?,
            Step::Sink { sink, .. } => {
                let applied = self.sink(sink)?.applied().await;
                applied.map_err(|reason| RunError::Sink {
                    sink: sink.clone(),
                    reason,
                })?;
            }
            Step::Idle {
                client,
                to,
                at_most,
            } => {
                let at_most = self.cluster.scaled(at_most.0);
                idle::idle(&self.cluster, &self.recorder, client, to, at_most, patience).await;
            }
            Step::Busy(step) => {
                let (every, at_most) = (step.every.0, step.at_most.0);
                let pace = busy::Pace {
                    every: self.cluster.scaled(every),
                    at_most: self.cluster.scaled(at_most),
                    patience,
                };
                busy::busy(&self.cluster, &self.recorder, step, pace).await;
            }
            Step::PeerVerbs { client, to } => {
                let nodes = &self.plan.scenario.cluster.nodes;
                let peer = nodes.iter().find(|node| *node != to).unwrap_or(to);
                peer_verbs::give(&self.cluster, &self.recorder, client, to, peer, patience).await;
            }
            Step::Observe {} => self.observe().await,
            Step::Resubmit { node, from, to } => {
                let ago = |span: &crate::scenario::Span| {
                    let us = self.cluster.scaled(span.0).as_micros();
                    i64::try_from(self.recorder.now_us()).unwrap_or(i64::MAX)
                        - i64::try_from(us).unwrap_or(i64::MAX)
                };
                let (from_us, to_us) = (ago(from), ago(to));
                let asked = timeout(patience, self.cluster.resubmit(node, from_us, to_us));
                let resubmitted = asked.await.unwrap_or_default();
                self.recorder.record(Event::Resubmit {
                    node: node.clone(),
                    from_us,
                    to_us,
                    resubmitted,
                });
            }
            Step::CheckConfig { config } => {
                let settings: Vec<_> = config
                    .iter()
                    .map(|(name, value)| (name.clone(), setting(value)))
                    .collect();
                let (accepted, message) = self.cluster.check_config(&settings).await?;
                let config = settings.into_iter().collect();
                self.recorder.record(Event::ConfigChecked {
                    config,
                    accepted,
                    message,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Does a step's part that takes no time: faults, healing, a sink's behaviour. `None`: it has none.
    pub(crate) fn at_once(
        &self,
        step: &Step,
        trigger: Option<&str>,
    ) -> Option<Result<(), RunError>> {
        if let Some(fault) = fault(step) {
            return Some(match self.faults.inject(fault, trigger) {
                // It is in the history that it failed; a node that is down already cannot crash.
                Ok(()) | Err(ClusterError::State(_) | ClusterError::Io { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            });
        }
        match step {
            Step::Thaw { node } => Some(self.faults.thaw(node).map_err(RunError::from)),
            Step::Heal { a, b } => Some(
                self.faults
                    .heal_network(a.as_deref(), b.as_deref())
                    .map_err(RunError::from),
            ),
            Step::FreeDisk { node } => Some(self.faults.free_disk(node).map_err(RunError::from)),
            Step::CorrectClock { node } => {
                Some(self.faults.correct_clock(node).map_err(RunError::from))
            }
            Step::FeedCpu { node } => Some(self.faults.feed_cpu(node).map_err(RunError::from)),
            Step::Deflate { node } => Some(self.faults.deflate(node).map_err(RunError::from)),
            Step::Resume { node, clock } => Some(
                self.cluster
                    .set_clock(node, *clock)
                    .and_then(|()| self.faults.resume(node))
                    .map_err(RunError::from),
            ),
            Step::Snapshot { node } => Some(match self.cluster.snapshot(node) {
                Ok(()) => {
                    self.recorder.record(Event::Snapshot { node: node.clone() });
                    Ok(())
                }
                Err(error) => Err(error.into()),
            }),
            Step::Sink {
                sink,
                behaviour,
                count,
            } => Some(
                self.sink(sink)
                    .map(|sink| sink.behave(behaviour.clone(), *count)),
            ),
            _ => None,
        }
    }

    /// A file system is checked while nobody uses it: the node ends before, and starts after.
    pub(crate) async fn repair_disk(&self, node: &str) -> Result<(), RunError> {
        if self.faults.is_live(node) {
            let crash = Fault::ProcessCrash { node: node.into() };
            match self.faults.inject(crash, None) {
                // It has ended already.
                Ok(()) | Err(ClusterError::State(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.faults.repair_disk(node)?;
        self.start_again(node, Database::Same).await
    }

    /// Does what a trigger wants. Called between two octets of a link: what takes time becomes a task.
    pub(crate) fn triggered(self: &Arc<Self>, action: TriggeredAction) {
        let TriggeredAction {
            trigger,
            action,
            after,
            then,
        } = action;
        self.strike(action, &trigger);
        if let Some(then) = then {
            let after = self.cluster.scaled(after.unwrap_or_default().0);
            let run = self.clone();
            self.spawn_triggered(async move {
                sleep(after).await;
                run.strike(then, &trigger);
            });
        }
    }

    fn strike(self: &Arc<Self>, step: Step, trigger: &str) {
        let done = self.at_once(&step, Some(trigger));
        let takes_time = done.is_none()
            || matches!(
                step,
                Step::Revert { .. } | Step::Migrate { .. } | Step::Shutdown { .. }
            );
        if let Some(Err(error)) = done {
            self.fail(error);
        } else if takes_time {
            let run = self.clone();
            self.spawn_triggered(async move {
                let done = match &step {
                    Step::Revert { node } => run.start_again(node, Database::Same).await,
                    Step::Migrate { node } | Step::Shutdown { node } => {
                        run.faults.finished(node).await.map_err(RunError::from)
                    }
                    step => Box::pin(run.perform(step)).await,
                };
                if let Err(error) = done {
                    run.fail(error);
                }
            });
        }
    }

    async fn submit(self: &Arc<Self>, submit: &Submit) -> Result<(), RunError> {
        let letters = self.mail.write(submit)?;
        let sending = self.mail.clone().submit(submit.clone(), letters);
        if submit.background {
            self.spawn_background(sending);
        } else {
            sending.await;
        }
        Ok(())
    }
}

/// The fault that a step is, when it is one.
fn fault(step: &Step) -> Option<Fault> {
    Some(match step.clone() {
        Step::Crash {
            node,
            kind: CrashKind::Process,
        } => Fault::ProcessCrash { node },
        Step::Crash {
            node,
            kind: CrashKind::Host,
        } => Fault::HostCrash { node },
        Step::Destroy { node } => Fault::Destroy { node },
        Step::Freeze { node } => Fault::Freeze { node },
        Step::Revert { node } => Fault::Revert { node },
        Step::FillDisk { node } => Fault::DiskFull { node },
        Step::ReadOnlyDisk { node } => Fault::DiskReadOnly { node },
        Step::JumpClock(jump) => Fault::ClockJump {
            offset_ms: jump.offset_ms(),
            node: jump.node,
        },
        Step::StarveCpu { node, percent } => Fault::CpuStarved { node, percent },
        Step::Save { node } => Fault::Save { node },
        Step::Migrate { node } => Fault::Migration { node },
        Step::Shutdown { node } => Fault::Shutdown { node },
        Step::Balloon { node, megabytes } => Fault::Ballooned { node, megabytes },
        Step::Partition(Partition { a, b, one_way }) => Fault::Partition { a, b, one_way },
        Step::Delay { link, latency } => {
            let latency_us = u64::try_from(latency.0.as_micros()).unwrap_or(u64::MAX);
            Fault::Delay { link, latency_us }
        }
        Step::BlackHole { link, stream } => Fault::BlackHole { link, stream },
        Step::Reset { link } => Fault::Reset { link },
        Step::Toxic(step) => Fault::Toxic {
            // A plan's toxics were checked when its scenario was read.
            toxic: step.toxic().ok()?,
            link: step.link,
        },
        Step::Down { link } => Fault::Down { link },
        Step::Garble { link } => Fault::Garble { link },
        Step::DelayReply { link, latency } => {
            let latency_us = u64::try_from(latency.0.as_micros()).unwrap_or(u64::MAX);
            Fault::DelayReply { link, latency_us }
        }
        _ => return None,
    })
}
