//! Safety Net: how long processed messages are kept, and how they are submitted again. Also everything
//! else that ends by itself: queued messages, shadow messages, discard events.

use std::{sync::Arc, time::Duration};

use crate::{
    config::NextHop,
    delivery::scheduler::destination,
    env::Timestamp,
    message::{Envelope, Origin, Progress},
    node::Node,
    sabotage::Sabotage,
    smtp::Reply,
    store::{SafetyNetRole, ShadowRecord, TransportWrite},
    tracking::TrackingEvent,
};

/// The longest time between two looks: bounds what a wall clock that jumps can delay.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

impl Node {
    /// When a message that enters Safety Net now leaves it (SN-03).
    pub(crate) fn safety_net_expiry(&self, entered: Timestamp) -> Timestamp {
        let hold = self.config.transport.safety_net_hold_time;
        if self.sabotaged(Sabotage::EndlessSafetyNet) {
            Timestamp(u64::MAX)
        } else if self.sabotaged(Sabotage::ShortSafetyNet) {
            entered.after(hold / 2)
        } else {
            entered.after(hold)
        }
    }

    /// SN-04: when a shadow message ends that nobody acknowledges.
    fn shadow_expiry(&self, record: &ShadowRecord) -> Timestamp {
        if self.sabotaged(Sabotage::ShadowNeverExpires) {
            return Timestamp(u64::MAX);
        }
        let t = &self.config.transport;
        record
            .envelope
            .received
            .after(t.safety_net_hold_time + t.message_expiration_timeout)
    }

    /// HB-07
    fn discard_lifetime(&self) -> Option<Duration> {
        let interval = self.config.transport.shadow_message_auto_discard_interval;
        if self.sabotaged(Sabotage::KeepDiscardsForever) {
            None
        } else if self.sabotaged(Sabotage::DropDiscardsEarly) {
            Some(interval / 2)
        } else {
            Some(interval)
        }
    }

    /// Lets go of everything whose time is over.
    fn sweep(&self) {
        self.expire();
        self.tell_delays();
        let now = self.now();
        let mut state = self.state();
        let mut writes = Vec::new();
        if let Some(lifetime) = self.discard_lifetime() {
            for (server, events) in &mut state.discards {
                events.retain(|number, event| {
                    let keep = now < event.created.after(lifetime);
                    if !keep {
                        writes.push(TransportWrite::DeleteDiscard(server.clone(), *number));
                    }
                    keep
                });
            }
            state.discards.retain(|_, events| !events.is_empty());
        }
        let old: Vec<u64> = state
            .shadow
            .iter()
            .filter(|(_, s)| now >= self.shadow_expiry(s))
            .map(|(row, _)| *row)
            .collect();
        for row in old {
            if let Some(record) = self.take_shadow(&mut state, row) {
                self.tracking.event(
                    TrackingEvent::Expire,
                    "SHADOWREDUNDANCY",
                    &record.envelope,
                    "",
                );
            }
            writes.extend([
                TransportWrite::DeleteShadow(row),
                TransportWrite::DeleteContent(row),
            ]);
        }
        // An unreadable database is poisoned at the next commit; nothing is lost by keeping more.
        if self
            .store
            .next_expiry()
            .ok()
            .flatten()
            .is_some_and(|next| next <= now)
        {
            writes.push(TransportWrite::ExpireSafetyNet(now));
        }
        if !writes.is_empty() {
            // Not durable yet: after a crash it is let go of again.
            drop(self.submit(writes));
        }
    }

    /// When the next thing ends.
    fn next_end(&self) -> Option<Timestamp> {
        let net = self.store.next_expiry().ok().flatten();
        let state = self.state();
        let queue = state
            .queue
            .values()
            .filter(|q| q.may_expire())
            .map(|q| self.expiry(&q.envelope));
        let delays = state.queue.values().filter_map(|q| self.delay_due(q));
        let shadow = state.shadow.values().map(|s| self.shadow_expiry(s));
        let discards = self.discard_lifetime().into_iter().flat_map(|lifetime| {
            state
                .discards
                .values()
                .flat_map(move |events| events.values().map(move |e| e.created.after(lifetime)))
        });
        queue
            .chain(delays)
            .chain(shadow)
            .chain(discards)
            .chain(net)
            .min()
    }
}

/// The upkeep task: sleeps until something ends. What comes in while it sleeps cannot end before it wakes,
/// because it never sleeps longer than the shortest life that anything has.
pub(crate) async fn upkeep(node: Arc<Node>) {
    let t = &node.config.transport;
    let mut longest = LONGEST_SLEEP
        .min(t.message_expiration_timeout)
        .min(t.delay_notification_timeout)
        .min(t.safety_net_hold_time);
    if let Some(lifetime) = node.discard_lifetime() {
        longest = longest.min(lifetime);
    }
    loop {
        node.sweep();
        let now = node.now();
        // Nothing ends in a database that failed.
        let end = node.next_end().filter(|_| node.store.failure().is_none());
        let sleep = end.map_or(longest, |end| {
            end.since(now).max(Duration::from_millis(1)).min(longest)
        });
        tokio::select! {
            biased;
            () = node.wake_upkeep.notified() => {}
            () = tokio::time::sleep(sleep) => node.env.timer("upkeep"),
        }
    }
}

/// Submits again what the primary Safety Net took in between two times (XRESUBMIT).
pub(crate) async fn resubmit(node: &Node, from: u64, to: u64) -> Reply {
    let entries = match node.store.safety_net(node.now()) {
        Ok(entries) => entries,
        Err(error) => return Reply::local_error(error.to_string()),
    };
    let mut count = 0;
    let mut receipt = None;
    for (row, entry) in entries {
        if entry.role != SafetyNetRole::Primary || entry.entered.0 < from || entry.entered.0 > to {
            continue;
        }
        let Some(envelope) = again(node, entry.envelope) else {
            continue;
        };
        let content = match node.store.content(row) {
            Ok(Some(content)) => content,
            Ok(None) => continue,
            Err(error) => return Reply::local_error(error.to_string()),
        };
        let mut state = node.state();
        let row = state.next_row();
        node.tracking
            .event(TrackingEvent::Resubmit, "SAFETYNET", &envelope, "");
        receipt = Some(node.submit(vec![
            TransportWrite::PutContent(row, content.clone()),
            TransportWrite::PutQueue(row, envelope.clone()),
        ]));
        node.enqueue(&mut state, row, envelope, Some(content));
        count += 1;
    }
    if let Some(receipt) = receipt
        && let Err(error) = receipt.durable().await
    {
        return Reply::local_error(error.to_string());
    }
    Reply::ok(format!("resubmitted={count}"))
}

/// The envelope of a resubmission: recipients with a mailbox in the boundary only (SC-14).
fn again(node: &Node, mut envelope: Envelope) -> Option<Envelope> {
    if !node.sabotaged(Sabotage::ResubmitExternal) {
        // A group is expanded again, as it is now (SN-10), to its members with a mailbox.
        let comes_back = |address: &str| match destination(&node.config, address) {
            Some(NextHop::MailboxServer(server)) => node.config.in_boundary(&server),
            // SC-18: nor to a 2010-style hub.
            Some(NextHop::Hub(_)) => node.sabotaged(Sabotage::ResubmitTo2010),
            Some(NextHop::SmartHost(_)) | None => false,
        };
        envelope.recipients.retain(|r| {
            let mut members = node.config.groups.members(&r.to.path).into_iter();
            comes_back(&r.to.path) || members.any(|member| comes_back(&member))
        });
    }
    envelope
        .recipients
        .retain(|r| r.progress == Progress::Delivered);
    for recipient in &mut envelope.recipients {
        recipient.progress = Progress::Pending;
    }
    envelope.origin = Origin::Resubmitted;
    envelope.received = node.now();
    (!envelope.recipients.is_empty()).then_some(envelope)
}
