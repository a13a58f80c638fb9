//! HB-12: a message that this node came to own without a sender's session is made redundant again.
//!
//! Comes in: rows of the queue, as they are promoted, or made (DSNs). Goes out: a shadow copy of each on another server of
//! the boundary, made in the background while the message is in transit; tried again and again while none can be made.
//! Delivery does not wait for it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    accept::{Copying, copy},
    message::{Envelope, Origin, Progress},
    node::{Node, State},
    sabotage::Sabotage,
    shadow::{candidates, mark::Mark, peer::PeerSession},
    store::TransportWrite,
    tracking::TrackingEvent,
};

/// A message in transit, as a copy of it is made.
struct Bare {
    row: u64,
    envelope: Envelope,
    content: Bytes,
    mark: Mark,
}

impl Node {
    /// A copy of that row is to be made.
    pub(crate) fn make_redundant(&self, state: &mut State, row: u64) {
        let enabled = self.config.transport.shadow_redundancy_enabled && !self.is_hub_2010();
        if enabled && !self.sabotaged(Sabotage::NoCopyAfterPromotion) {
            state.bare.insert(row, self.uptime());
            self.wake_redundancy.notify_one();
        }
    }

    /// The next row to try, while it is in transit; `None`: none is due.
    async fn next_bare(&self) -> Option<Bare> {
        loop {
            let (row, receipt) = {
                let mut state = self.state();
                let now = self.uptime();
                if state.bare.is_empty() {
                    return None;
                }
                let forked = forked(&state);
                let State { bare, queue, .. } = &mut *state;
                bare.retain(|row, _| {
                    let queued = queue.get(row).map(|q| &q.envelope);
                    queued.is_some_and(|e| e.pending().next().is_some() || forked.contains(row))
                });
                let row = *bare.iter().find(|(_, at)| **at <= now)?.0;
                // Everything about the row is durable with this.
                (row, self.submit(Vec::new()))
            };
            let position = receipt.position();
            if receipt.durable().await.is_err() {
                return None;
            }
            let content = self.store.content(row).ok().flatten();
            let mut state = self.state();
            let expanded = forked(&state).contains(&row);
            let (Some(queued), Some(content)) = (state.queue.get(&row), content) else {
                state.bare.remove(&row);
                continue;
            };
            let mut envelope = queued.envelope.clone();
            // The copy is for the group again: its members are not done.
            let recipients = envelope.recipients.iter_mut().filter(|_| expanded);
            for group in recipients.filter(|r| self.config.groups.is_group(&r.to.path)) {
                group.progress = Progress::Pending;
            }
            return Some(Bare {
                row,
                envelope,
                content,
                mark: self.store.mark(position),
            });
        }
    }

    /// Makes a copy of one message. Answers whether it was confirmed.
    async fn make_copy(self: &Arc<Self>, bare: Bare, session: &mut Option<PeerSession>) -> bool {
        let servers: Vec<_> = candidates::attempts(&self.config, self.env.random())
            .into_iter()
            .cloned()
            .collect();
        let Bare {
            row,
            envelope,
            content,
            mark,
        } = bare;
        let copying = copy(self, row, &envelope, &content, &mark, &servers, session).await;
        let Copying {
            confirmed,
            unconfirmed,
        } = copying;
        if let Some(server) = &confirmed {
            self.tracking.event(
                TrackingEvent::HaRedirect,
                "SHADOWREDUNDANCY",
                &envelope,
                server,
            );
        }
        let done = confirmed.is_some();
        let mut state = self.state();
        if let Some(queued) = state.queue.get_mut(&row) {
            // Those of an earlier incarnation may have a copy, too.
            let mut shadows = envelope.shadows;
            shadows.extend(confirmed.into_iter().chain(unconfirmed));
            shadows.sort();
            shadows.dedup();
            queued.envelope.shadows = shadows;
            drop(self.submit(vec![TransportWrite::PutQueue(row, queued.envelope.clone())]));
        }
        if done {
            state.bare.remove(&row);
        }
        done
    }
}

/// Rows whose groups were expanded, and whose members are still to be served: they are in transit, though nothing of
/// their own envelopes is.
fn forked(state: &State) -> BTreeSet<u64> {
    let forks = state
        .queue
        .values()
        .filter_map(|q| match q.envelope.origin {
            Origin::Fork { of, .. } => Some(of),
            _ => None,
        });
    forks.collect()
}

/// The task that restores redundancy, until the node ends.
pub(crate) async fn restore(node: Arc<Node>) {
    // Whoever is back is found as soon as by a heartbeat.
    let pause = node.config.transport.shadow_heartbeat_frequency;
    loop {
        let mut session = None;
        while let Some(bare) = node.next_bare().await {
            if !node.make_copy(bare, &mut session).await {
                // What could not be made for one message is not tried for each of a thousand others.
                let mut state = node.state();
                let again = node.uptime() + pause;
                state.bare.values_mut().for_each(|at| *at = again);
            }
        }
        if let Some(session) = session.take() {
            session.quit().await;
        }
        let next: Option<Duration> = node.state().bare.values().min().copied();
        tokio::select! {
            biased;
            () = node.wake_redundancy.notified() => {}
            () = node.sleep_until(next) => {}
        }
    }
}
