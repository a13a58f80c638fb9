//! Senders that asked to hear of a delay are told (RFC 3461 §5.2.5).
//!
//! Comes in: the queue, the time. Goes out: DSNs with the action `delayed`, one for a message. Called by the upkeep
//! task. Who does not ask (`NOTIFY=DELAY`) is not told: RFC 3461 §4.1 leaves that to the server.

use crate::{
    delivery::dsn::{self, Action, Report},
    env::Timestamp,
    message::Envelope,
    node::{Node, Queued},
    store::TransportWrite,
};

impl Node {
    /// When a message is late enough for its sender to be told; `None`: nobody asked, or was told already.
    pub(crate) fn delay_due(&self, queued: &Queued) -> Option<Timestamp> {
        let envelope = &queued.envelope;
        let asked = queued.may_expire() && !envelope.delay_told && late(envelope).next().is_some();
        let timeout = self.config.transport.delay_notification_timeout;
        asked.then(|| envelope.received.after(timeout))
    }

    /// Tells the senders of messages that have waited for DelayNotificationTimeout.
    pub(crate) fn tell_delays(&self) {
        let now = self.now();
        let mut state = self.state();
        let due: Vec<u64> = state
            .queue
            .iter()
            .filter(|(_, q)| self.delay_due(q).is_some_and(|at| at <= now))
            .map(|(row, _)| *row)
            .collect();
        if due.is_empty() {
            return;
        }
        let mut writes = Vec::new();
        for row in due {
            let Some(mut queued) = state.queue.remove(&row) else {
                continue;
            };
            let until = self.expiry(&queued.envelope);
            let reports: Vec<Report> = late(&queued.envelope)
                .map(|recipient| Report {
                    recipient,
                    action: Action::Delayed,
                    status: "4.4.7".into(),
                    diagnostic: None,
                    retried_until: Some(until),
                })
                .collect();
            queued.envelope.delay_told = true;
            self.notify(&mut state, row, &mut queued.envelope, &reports, &mut writes);
            writes.push(TransportWrite::PutQueue(row, queued.envelope.clone()));
            state.queue.insert(row, queued);
        }
        // Not durable yet: after a crash they are told again.
        drop(self.submit(writes));
    }
}

/// Recipients that wait, and about which the sender wants to hear.
fn late(envelope: &Envelope) -> impl Iterator<Item = usize> {
    envelope
        .pending()
        .filter(|(_, to)| dsn::wanted(to.notify, Action::Delayed))
        .map(|(index, _)| index)
}
