//! What becomes of a message once a next hop has answered: recipients are done or wait, the sender is
//! told, and the finished message moves to Safety Net.

use crate::{
    config::NextHop,
    delivery::{
        dsn::{self, Action, Report},
        scheduler::destination,
    },
    env::Timestamp,
    message::{Envelope, Origin, Progress, Recipient, TransportId},
    node::{Node, State},
    sabotage::Sabotage,
    smtp::{MailFrom, Notify, RcptTo, Reply, dialogue::CannotSend},
    store::{Discard, DiscardKind, SafetyNetEntry, SafetyNetRole, TransportWrite},
    tracking::TrackingEvent,
};

/// What a next hop decided about one recipient.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// In a mailbox.
    Delivered,
    /// With a server that sends the notifications itself.
    HandedOver,
    /// With a server that sends no notifications.
    Relayed,
    /// To be tried again; why.
    Deferred(String),
    /// Never: enhanced status code, and the other side's words.
    Failed(String, String),
}

impl Fate {
    /// A 5yz.
    pub(crate) fn failed(reply: &Reply) -> Self {
        let status = reply
            .enhanced
            .map_or_else(|| "5.0.0".to_owned(), |(c, s, d)| format!("{c}.{s}.{d}"));
        Self::Failed(status, explain(reply))
    }

    /// The server lacks an extension that the message needs.
    pub(crate) fn cannot(reason: CannotSend) -> Self {
        let (c, s, d) = reason.enhanced();
        Self::Failed(format!("{c}.{s}.{d}"), reason.to_string())
    }
}

/// A reply on one line.
pub(crate) fn explain(reply: &Reply) -> String {
    reply.to_string()
}

impl Node {
    /// Records what `hop` decided about a message's recipients; resolves when it is durable.
    pub(crate) async fn settle(
        &self,
        hop: &NextHop,
        row: u64,
        recipients: Vec<usize>,
        fates: Vec<Fate>,
    ) {
        let receipt = {
            let mut state = self.state();
            let Some(mut queued) = state.queue.remove(&row) else {
                return;
            };
            // The content is read from the database at a second attempt: many waiting messages would fill the memory.
            queued.content = None;
            queued.busy = queued.busy.saturating_sub(1);
            let mut reports = Vec::new();
            let mut deferred = None;
            let done_here = !fates.iter().all(|fate| matches!(fate, Fate::Deferred(_)));
            for (recipient, fate) in recipients.into_iter().zip(fates) {
                if let Fate::Deferred(why) = &fate {
                    deferred = Some(why.clone());
                    if !self.sabotaged(Sabotage::NoRetry) {
                        continue;
                    }
                }
                self.conclude(&mut queued.envelope, recipient, fate, &mut reports);
            }
            if let Some(why) = deferred {
                let now = self.uptime();
                state.scheduler.defer(hop, row, now);
                if self.now() >= self.expiry(&queued.envelope) {
                    self.wake_upkeep.notify_one();
                }
                self.tracking
                    .event(TrackingEvent::Defer, "SMTP", &queued.envelope, &why);
            } else {
                state.scheduler.done(hop, row);
            }
            let mut writes = Vec::new();
            self.notify(&mut state, row, &mut queued.envelope, &reports, &mut writes);
            if done_here && self.sabotaged(Sabotage::DiscardAtFirstSuccess) {
                self.discard(&mut state, &mut queued.envelope, &mut writes);
            }
            let envelope = queued.envelope.clone();
            state.queue.insert(row, queued);
            if self.is_finished(&envelope) {
                self.finish(&mut state, row, &mut writes);
            } else {
                writes.push(TransportWrite::PutQueue(row, envelope));
            }
            self.submit(writes)
        };
        // A failed commit poisons the database, and the node says so to every client.
        let _ = receipt.durable().await;
    }

    fn conclude(
        &self,
        envelope: &mut Envelope,
        index: usize,
        fate: Fate,
        reports: &mut Vec<Report>,
    ) {
        let Some(recipient) = envelope
            .recipients
            .get_mut(index)
            .filter(|r| r.progress == Progress::Pending)
        else {
            return;
        };
        let path = recipient.to.path.clone();
        let (progress, action, status, diagnostic) = match fate {
            Fate::Delivered => (
                Progress::Delivered,
                Some(Action::Delivered),
                "2.0.0".to_owned(),
                None,
            ),
            Fate::HandedOver => (Progress::Delivered, None, String::new(), None),
            Fate::Relayed => (
                Progress::Delivered,
                Some(Action::Relayed),
                "2.0.0".to_owned(),
                None,
            ),
            Fate::Failed(status, why) => {
                (Progress::Failed, Some(Action::Failed), status, Some(why))
            }
            Fate::Deferred(_) => (Progress::Failed, None, String::new(), None),
        };
        recipient.progress = progress;
        let event = if progress == Progress::Failed {
            TrackingEvent::Fail
        } else {
            TrackingEvent::Send
        };
        self.tracking.event_for(
            event,
            "SMTP",
            envelope,
            vec![&path],
            diagnostic.as_deref().unwrap_or_default(),
        );
        if let Some(action) = action {
            reports.push(Report {
                recipient: index,
                action,
                status,
                diagnostic,
                retried_until: None,
            });
        }
    }

    /// Makes the notification that the sender is owed (TC-06); it is a side effect of the message (HB-05).
    pub(super) fn notify(
        &self,
        state: &mut State,
        row: u64,
        envelope: &mut Envelope,
        reports: &[Report],
        writes: &mut Vec<TransportWrite>,
    ) {
        let reports: Vec<Report> = reports
            .iter()
            .filter(|r| {
                let notify = envelope.recipients.get(r.recipient).map(|to| to.to.notify);
                // A server of the boundary or a mailbox has delivered it: nobody else will say so.
                notify.is_some_and(|notify| dsn::wanted(notify, r.action))
            })
            .cloned()
            .collect();
        // SN-09, RFC 5321 §4.5.5: none about a resubmission, none to a null return path.
        let resubmitted = matches!(
            envelope.origin,
            Origin::Resubmitted | Origin::Fork { silent: true, .. }
        );
        let silent = resubmitted || self.sabotaged(Sabotage::NoDsn);
        let to = match envelope.from.path.as_str() {
            "" if self.sabotaged(Sabotage::DsnToNull) => "sender@external.example",
            "" => return,
            path => path,
        };
        if reports.is_empty() || silent {
            return;
        }
        // Nobody could ever deliver it, and no DSN is sent about a DSN: what it reports on must not wait for it (HB-05).
        if destination(&self.config, to).is_none() {
            let why = format!("no route to <{to}>: no notification");
            self.tracking
                .event(TrackingEvent::BadMail, "DSN", envelope, &why);
            return;
        }
        let to = RcptTo {
            path: to.to_owned(),
            notify: Notify::Never,
            ..RcptTo::default()
        };
        let content = match self.store.content(envelope.content_row(row)) {
            Ok(content) => content.unwrap_or_default(),
            // The header section is missing from the notification then; better than no notification.
            Err(_) => bytes::Bytes::new(),
        };
        let boundary = format!("{:016x}", self.env.random());
        let text = dsn::compose(
            envelope,
            &reports,
            &content,
            &self.config.name,
            self.now(),
            &boundary,
        );
        let own_row = state.next_row();
        let notification = Envelope {
            id: TransportId::new(&self.config.name, self.database_id(), own_row),
            // RFC 6533 §3: what it says of such addresses needs SMTPUTF8, as they do.
            from: MailFrom {
                smtputf8: envelope.from.smtputf8,
                ..MailFrom::default()
            },
            recipients: vec![Recipient {
                to,
                progress: Progress::Pending,
            }],
            received: self.now(),
            submit_time: self.now(),
            message_id: Some(format!("<{boundary}@{}>", self.config.name)),
            size: text.len() as u64,
            origin: Origin::Notification { about: row },
            shadows: Vec::new(),
            side_effects: 0,
            delay_told: false,
        };
        envelope.side_effects += 1;
        self.tracking.event(TrackingEvent::Dsn, "DSN", envelope, "");
        let text = bytes::Bytes::from(text);
        writes.push(TransportWrite::PutContent(own_row, text.clone()));
        writes.push(TransportWrite::PutQueue(own_row, notification.clone()));
        self.enqueue(state, own_row, notification, Some(text));
        self.make_redundant(state, own_row);
    }

    /// The message is fully processed: it moves to Safety Net (SN-01), its shadow servers get their discard
    /// events (HB-06), and the message that it reported on may be finished too.
    pub(super) fn finish(&self, state: &mut State, row: u64, writes: &mut Vec<TransportWrite>) {
        let Some(queued) = state.queue.remove(&row) else {
            return;
        };
        let mut envelope = queued.envelope;
        let now = self.now();
        writes.push(TransportWrite::DeleteQueue(row));
        self.finished.notify_waiters();
        self.discard(state, &mut envelope, writes);
        let delivered = envelope
            .recipients
            .iter()
            .any(|r| r.progress == Progress::Delivered);
        let about = match envelope.origin {
            Origin::Notification { about } => Some(about),
            Origin::Fork { of, .. } => Some(of),
            Origin::Received | Origin::Promoted | Origin::Resubmitted => None,
        };
        // A resubmission comes from Safety Net, and its original is there still; a fork's message goes there.
        let kept_elsewhere = matches!(envelope.origin, Origin::Resubmitted | Origin::Fork { .. });
        if delivered
            && !kept_elsewhere
            && !self.sabotaged(Sabotage::NoPrimarySafetyNet)
            && !self.is_hub_2010()
        {
            self.limit_safety_net(writes);
            let entry = SafetyNetEntry {
                envelope,
                role: SafetyNetRole::Primary,
                primary: None,
                entered: now,
            };
            writes.push(TransportWrite::PutSafetyNet(
                self.safety_net_expiry(now),
                row,
                entry,
            ));
        } else {
            writes.push(TransportWrite::DeleteContent(row));
        }
        if let Some(about) = about
            && let Some(parent) = state.queue.get_mut(&about)
        {
            parent.envelope.side_effects = parent.envelope.side_effects.saturating_sub(1);
            if self.is_finished(&parent.envelope) {
                self.finish(state, about, writes);
            } else {
                writes.push(TransportWrite::PutQueue(about, parent.envelope.clone()));
            }
        }
    }

    /// Its shadow servers may be told: every next hop is done (SC-12), and so is every side effect (HB-05).
    pub(super) fn is_finished(&self, envelope: &Envelope) -> bool {
        envelope.is_done()
            || (self.sabotaged(Sabotage::DiscardBeforeSideEffects)
                && envelope.pending().next().is_none())
    }

    /// Keeps a discard event for each server that has a shadow of the message.
    pub(crate) fn discard(
        &self,
        state: &mut State,
        envelope: &mut Envelope,
        writes: &mut Vec<TransportWrite>,
    ) {
        for server in std::mem::take(&mut envelope.shadows) {
            let number = state.next_row();
            let event = Discard {
                id: envelope.id.clone(),
                kind: DiscardKind::Delivered,
                created: self.now(),
            };
            state
                .discards
                .entry(server.clone())
                .or_default()
                .insert(number, event.clone());
            if !self.sabotaged(Sabotage::ForgetDiscardsOnRestart) {
                writes.push(TransportWrite::PutDiscard(server, number, event));
            }
        }
    }

    /// Sabotage `safety-net-size-limit`: the oldest leave before a hundred and one are there.
    fn limit_safety_net(&self, writes: &mut Vec<TransportWrite>) {
        const MOST: usize = 100;
        if !self.sabotaged(Sabotage::SafetyNetSizeLimit) {
            return;
        }
        let entries = self.store.safety_net(self.now()).unwrap_or_default();
        if let Some((_, oldest)) = entries.len().checked_sub(MOST).and_then(|i| entries.get(i)) {
            let until = self.safety_net_expiry(oldest.entered);
            writes.push(TransportWrite::ExpireSafetyNet(until));
        }
    }

    /// When a message of the queue expires (HB-11).
    pub(crate) fn expiry(&self, envelope: &Envelope) -> Timestamp {
        if self.sabotaged(Sabotage::NeverExpire) {
            Timestamp(u64::MAX)
        } else {
            envelope
                .received
                .after(self.config.transport.message_expiration_timeout)
        }
    }

    /// Messages that have waited for MessageExpirationTimeout: their sender is told (HB-11).
    pub(crate) fn expire(&self) {
        let now = self.now();
        let mut state = self.state();
        let old: Vec<u64> = state
            .queue
            .iter()
            .filter(|(_, q)| q.may_expire() && now >= self.expiry(&q.envelope))
            .map(|(row, _)| *row)
            .collect();
        if old.is_empty() {
            return;
        }
        let mut writes = Vec::new();
        for row in old {
            let Some(mut queued) = state.queue.remove(&row) else {
                continue;
            };
            state.scheduler.forget(row);
            let late: Vec<usize> = queued.envelope.pending().map(|(i, _)| i).collect();
            let mut reports = Vec::new();
            for index in late {
                let timeout =
                    humantime::format_duration(self.config.transport.message_expiration_timeout);
                let fate = Fate::Failed("4.4.7".into(), format!("not delivered within {timeout}"));
                self.conclude(&mut queued.envelope, index, fate, &mut reports);
            }
            self.tracking
                .event(TrackingEvent::Expire, "QUEUE", &queued.envelope, "");
            if !self.sabotaged(Sabotage::ExpireSilently) {
                self.notify(&mut state, row, &mut queued.envelope, &reports, &mut writes);
            }
            let envelope = queued.envelope.clone();
            state.queue.insert(row, queued);
            if self.is_finished(&envelope) {
                self.finish(&mut state, row, &mut writes);
            } else {
                writes.push(TransportWrite::PutQueue(row, envelope));
            }
        }
        // Not durable yet: after a crash they expire again.
        drop(self.submit(writes));
    }

    /// Sabotage `no-retry`: drops messages as if they were done.
    pub(crate) fn drop_rows(&self, rows: Vec<u64>) {
        let mut state = self.state();
        let mut writes = Vec::new();
        for row in rows {
            self.finish(&mut state, row, &mut writes);
        }
        drop(self.submit(writes));
    }
}
