//! HB-12: a message that this node came to own without a sender's session is made redundant again.
//!
//! Comes in: rows of the queue, as they are promoted, or made (DSNs). Goes out: a shadow copy of each on another server of
//! the boundary, made in the background while the message is in transit; tried again and again while none can be made.
//! Delivery does not wait for it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    accept::{Copying, copy},
    message::Envelope,
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
                let State { bare, queue, .. } = &mut *state;
                bare.retain(|row, _| {
                    queue
                        .get(row)
                        .is_some_and(|q| q.envelope.pending().next().is_some())
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
            let (Some(queued), Some(content)) = (state.queue.get(&row), content) else {
                state.bare.remove(&row);
                continue;
            };
            return Some(Bare {
                row,
                envelope: queued.envelope.clone(),
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
