//! A 2010-style hub (SC-19): shadow redundancy as Exchange 2010 had it, where whoever sends a message keeps it as
//! shadow until the next hop reports that it has delivered it.
//!
//! Comes in: what the delivery task has for another hub, and messages of senders that keep no shadow. Goes out:
//! messages handed on, shadow messages, acks that waited. Called by [`accept`](crate::accept) and
//! [`delivery`](crate::delivery).
//!
//! What is the same as in 2013 is the same code: a shadow message's queue, heartbeats, discard notifications and
//! promotion are those of [`shadow`](crate::shadow), only that it is the sender who holds it. There is no Safety Net.

use std::{sync::Arc, time::Duration};

use crate::{
    client::Transacted,
    config::{Compatibility, NextHop},
    delivery::{
        results::Fate,
        scheduler::destination,
        worker::{Job, broken_fates, fates},
    },
    message::{Envelope, TransportId},
    node::Node,
    sabotage::Sabotage,
    shadow::{mark::Mark, peer::PeerSession},
    store::{ShadowRecord, TransportWrite},
};

/// Whether that name of a shadow is one that the peer may give: the peer keeps it itself.
pub(crate) fn shadowed_by(name: &str, peer: &str) -> bool {
    name.parse::<TransportId>()
        .is_ok_and(|id| id.node() == peer)
}

impl Node {
    /// It is a 2010-style hub.
    pub(crate) fn is_hub_2010(&self) -> bool {
        self.config.compatibility == Compatibility::Y2010
    }

    /// Delayed acknowledgement: waits until the message of that row is with its next hops, at most
    /// MaxAcknowledgementDelay. Until then its sender is the second server that has it.
    pub(crate) async fn acknowledgement_due(&self, row: u64) {
        if self.sabotaged(Sabotage::NoDelayedAck) {
            return;
        }
        let handed_on = async {
            loop {
                let finished = self.finished.notified();
                tokio::pin!(finished);
                // From here on nothing is missed.
                finished.as_mut().enable();
                if !self.state().queue.contains_key(&row) {
                    return;
                }
                finished.await;
            }
        };
        // When the time is over the ack is given all the same: the documents say so.
        let _ =
            tokio::time::timeout(self.config.receive.max_acknowledgement_delay, handed_on).await;
    }

    /// Hands messages on to another hub, and keeps each as shadow until that hub reports its delivery.
    pub(crate) async fn hand_on(self: &Arc<Self>, hop: &NextHop, name: &str) {
        let Some(server) = self.config.server(name) else {
            return;
        };
        let patience = self
            .config
            .send
            .inactivity_timeout
            .min(Duration::from_secs(120));
        let patience = self.patience(patience);
        let mut session = match self.open_session(server, patience).await {
            Ok(session) => session,
            Err(error) => return self.unreachable(hop, &error),
        };
        self.state().scheduler.reachable(hop);
        // A session for any reason asks what is done.
        let cursor = self.cursor(&session);
        if let Ok(notifications) = session.ask(cursor).await {
            self.answered(&session, &notifications);
        }
        while let Some(job) = self.next_job(hop).await {
            let row = self.state().next_row();
            let id = TransportId::new(&self.config.name, self.database_id(), row);
            let sent = session
                .hand_on(&job.envelope, &job.paths(), &job.content, &id)
                .await;
            let (fates, lost) = match sent {
                Ok(done) => {
                    let kept = done.end.is_positive() && session.is_hub();
                    if kept && !self.sabotaged(Sabotage::DeleteBeforeReport) {
                        self.keep_shadow(row, id, &job, &done, &session);
                    }
                    let fates = fates(&done, job.recipients.len(), &Fate::HandedOver);
                    (fates, done.closes())
                }
                Err(broken) => broken_fates(&broken, job.recipients.len()),
            };
            // Put in line for the commit after the shadow: never without the one or the other.
            self.settle(hop, job.row, job.recipients, fates).await;
            if lost {
                return;
            }
        }
        session.quit().await;
    }

    /// Sabotage `release-before-hub-acks`: what waits for that hub loses its shadows.
    pub(crate) fn release_early(&self, hop: &NextHop) {
        let mut state = self.state();
        let mut writes = Vec::new();
        let waits = |envelope: &Envelope| {
            let mut hops = envelope.pending();
            hops.any(|(_, to)| destination(&self.config, &to.path).as_ref() == Some(hop))
        };
        let rows: Vec<u64> = state
            .queue
            .iter()
            .filter(|(_, q)| waits(&q.envelope))
            .map(|(row, _)| *row)
            .collect();
        for row in rows {
            if let Some(mut queued) = state.queue.remove(&row) {
                self.discard(&mut state, &mut queued.envelope, &mut writes);
                writes.push(TransportWrite::PutQueue(row, queued.envelope.clone()));
                state.queue.insert(row, queued);
            }
        }
        drop(self.submit(writes));
    }

    /// The next hop has taken the message for some recipients: for these it is a shadow message here.
    fn keep_shadow(
        &self,
        row: u64,
        id: TransportId,
        job: &Job,
        done: &Transacted,
        session: &PeerSession,
    ) {
        let taken = job.recipients.iter().zip(&done.recipients);
        let recipients = taken
            .filter(|(_, reply)| reply.is_positive())
            .filter_map(|(i, _)| job.envelope.recipients.get(*i).cloned())
            .collect();
        let record = ShadowRecord {
            envelope: Envelope {
                id: id.clone(),
                recipients,
                shadows: Vec::new(),
                side_effects: 0,
                delay_told: false,
                ..job.envelope.clone()
            },
            primary: session.server.clone(),
            // Not this hub, but the next one owns it: nothing is known of its log.
            mark: Mark {
                database: session.database.clone(),
                epoch: 0,
                position: 0,
            },
        };
        let mut state = self.state();
        let now = self.uptime();
        state
            .manager
            .hold(&record.primary, &record.mark.database, row, now);
        state.shadow_rows.insert((record.primary.clone(), id), row);
        state.shadow.insert(row, record.clone());
        // Whoever settles the message waits for what is in line before.
        drop(self.submit(vec![
            TransportWrite::PutContent(row, job.content.clone()),
            TransportWrite::PutShadow(row, record),
        ]));
        drop(state);
        self.wake_heartbeat.notify_one();
    }
}
