//! The node as shadow server and as primary server towards its peers: copies that it holds, discard
//! notifications that it gives and takes, heartbeats, promotion.

use std::{sync::Arc, time::Duration};

use crate::{
    message::{Envelope, Header, Origin, Progress, Recipient},
    node::{Node, State},
    sabotage::Sabotage,
    shadow::{
        manager::Due,
        mark::Mark,
        peer::{Notification, Notifications, PeerSession, notifications_reply},
    },
    smtp::{Kind, Reply, Transaction},
    store::{DiscardKind, SafetyNetEntry, SafetyNetRole, ShadowRecord, TransportWrite},
    tracking::TrackingEvent,
};
use bytes::Bytes;

impl Node {
    /// Sabotage `single-role`: no shadow server while primary for something.
    pub(crate) fn refuses_copies(&self) -> bool {
        self.failure().is_some()
            || self.is_hub_2010()
            || (self.sabotaged(Sabotage::SingleRole) && !self.state().queue.is_empty())
    }

    /// Holds a shadow copy for `primary` (XSHADOW).
    pub(crate) async fn hold_copy(&self, transaction: Transaction, primary: &str) -> Reply {
        let Kind::Copy {
            transport_id,
            submit_time,
            mark,
        } = &transaction.kind
        else {
            return Reply::bad_sequence("no XSHADOW before this");
        };
        if self.store.is_full() {
            return Reply::no_room();
        }
        let Ok(id) = transport_id.parse::<crate::message::TransportId>() else {
            return Reply::bad_arguments("not a transport ID");
        };
        let mark = mark.clone().unwrap_or_else(|| Mark {
            database: id.database().to_owned(),
            epoch: 0,
            position: 0,
        });
        let header = Header::read(&transaction.content);
        let content = Bytes::from(transaction.content);
        let envelope = Envelope {
            id: id.clone(),
            from: transaction.from,
            recipients: transaction
                .recipients
                .into_iter()
                .map(|to| Recipient {
                    to,
                    progress: Progress::Pending,
                })
                .collect(),
            received: self.now(),
            submit_time: crate::env::Timestamp(*submit_time),
            message_id: header.message_id,
            size: content.len() as u64,
            origin: Origin::Received,
            shadows: Vec::new(),
            side_effects: 0,
            delay_told: false,
        };
        let record = ShadowRecord {
            envelope,
            primary: primary.to_owned(),
            mark,
        };
        let name = (primary.to_owned(), id);
        let receipt = {
            let mut state = self.state();
            let now = self.uptime();
            if state.discarded.contains_key(&name) {
                return Reply::new(
                    451,
                    (4, 4, 0),
                    "the message was discarded before its copy came",
                );
            }
            let held = state.shadow_rows.get(&name).copied();
            let same = |row: &u64| {
                state
                    .shadow
                    .get(row)
                    .is_some_and(|old| old.is_copy_of(&record))
            };
            if held.as_ref().is_some_and(same) {
                // Held already; an empty request is durable after the one that put it there.
                self.submit(Vec::new())
            } else {
                // Another message of that name: the primary server went back in time and gives numbers again (HB-13).
                if let Some(row) = held {
                    self.promote_rows(&mut state, primary, vec![row], "its name was given again");
                }
                let row = state.next_row();
                state.manager.hold(primary, &record.mark.database, row, now);
                state.shadow_rows.insert(name, row);
                state.shadow.insert(row, record.clone());
                self.submit(vec![
                    TransportWrite::PutContent(row, content),
                    TransportWrite::PutShadow(row, record.clone()),
                ])
            }
        };
        self.wake_heartbeat.notify_one();
        match receipt.durable().await {
            Ok(()) => {
                self.tracking
                    .event(TrackingEvent::HaReceive, "SMTP", &record.envelope, primary);
                Reply::ok("shadow message held")
            }
            Err(error) => Reply::local_error(error.to_string()),
        }
    }

    /// Answers XQDISCARD of the shadow server `asking` (HB-03).
    pub(crate) async fn answer_discards(&self, asking: &str, cursor: u64, most: u32) -> Reply {
        let (list, cursor, receipt) = {
            let mut state = self.state();
            let mut writes = Vec::new();
            let mut list = Vec::new();
            let mut reached = cursor;
            if self.sabotaged(Sabotage::DiscardForEveryone) {
                for event in state.discards.values().flat_map(|events| events.values()) {
                    list.push(Notification {
                        id: event.id.clone(),
                        kind: event.kind,
                    });
                }
            } else if let Some(events) = state.discards.get_mut(asking) {
                let rest = events.split_off(&cursor.saturating_add(1));
                let acknowledged = std::mem::replace(events, rest);
                writes.extend(
                    acknowledged
                        .into_keys()
                        .map(|n| TransportWrite::DeleteDiscard(asking.to_owned(), n)),
                );
                for (number, event) in events
                    .iter()
                    .take(usize::try_from(most).unwrap_or(usize::MAX))
                {
                    list.push(Notification {
                        id: event.id.clone(),
                        kind: event.kind,
                    });
                    reached = *number;
                }
                if events.is_empty() {
                    state.discards.remove(asking);
                }
            }
            // What is told must be durable, or a restart would take it back: the receipt comes after all before it.
            let receipt = (!list.is_empty() || !writes.is_empty()).then(|| self.submit(writes));
            (list, reached, receipt)
        };
        if let Some(receipt) = receipt
            && let Err(error) = receipt.durable().await
        {
            return Reply::local_error(error.to_string());
        }
        notifications_reply(&list, cursor)
    }

    /// How far this node has read the discard events of that epoch of the server's database. In a new epoch from the
    /// beginning: it may give numbers again that an epoch gave of which it knows nothing (HB-13).
    pub(crate) fn cursor(&self, session: &PeerSession) -> u64 {
        self.state()
            .cursors
            .get(&(session.server.clone(), session.life()))
            .copied()
            .unwrap_or(0)
    }

    /// A server answered XQDISCARD in a session that was opened for something else. What it notified is
    /// applied; durable a little later, and asked for again otherwise.
    pub(crate) fn answered(self: &Arc<Self>, session: &PeerSession, notifications: &Notifications) {
        if !notifications.list.is_empty() {
            let receipt = self.apply(session, notifications);
            let (node, key, cursor) = (
                self.clone(),
                (session.server.clone(), session.life()),
                notifications.cursor,
            );
            self.env.spawn(Box::pin(async move {
                if receipt.durable().await.is_ok() {
                    node.reached(key, cursor);
                }
            }));
        }
        self.met(session);
    }

    /// Discard events up to `cursor` are applied, durably: the next question acknowledges them.
    fn reached(&self, key: (String, String), cursor: u64) {
        let mut state = self.state();
        state
            .cursors
            .retain(|(server, life), _| *server != key.0 || *life == key.1);
        let reached = state.cursors.entry(key).or_default();
        *reached = cursor.max(*reached);
    }

    /// A server answered XQDISCARD: it is alive, and this is its database (HB-09, HB-10, HB-13).
    fn met(&self, session: &PeerSession) {
        let contact = {
            let mut state = self.state();
            let seen = self.compare(&mut state, session);
            let contact = state.manager.contact(
                &session.server,
                &session.database,
                seen.went_back,
                self.uptime(),
            );
            let why = if seen.went_back {
                "an earlier state of its database"
            } else {
                "another database"
            };
            self.promote_rows(&mut state, &session.server, contact.promote, why);
            let why = "its database does not have it";
            self.promote_rows(&mut state, &session.server, seen.orphans, why);
            contact.drop
        };
        if !contact.is_empty() {
            let mut state = self.state();
            let mut writes = Vec::new();
            for row in contact {
                self.take_shadow(&mut state, row);
                writes.extend([
                    TransportWrite::DeleteShadow(row),
                    TransportWrite::DeleteContent(row),
                ]);
            }
            drop(self.submit(writes));
        }
        self.wake_heartbeat.notify_one();
    }

    /// Applies discard notifications: shadow messages go to the shadow Safety Net (HB-04, SN-02), or are dropped.
    fn apply(
        &self,
        session: &PeerSession,
        notifications: &Notifications,
    ) -> crate::store::Receipt<()> {
        let server = session.server.as_str();
        let now = self.now();
        let mut state = self.state();
        let uptime = self.uptime();
        // A copy is not older than the session that brings it.
        let longest = self.config.receive.connection_timeout;
        state.discarded.retain(|_, at| uptime < *at + longest);
        let mut writes = Vec::new();
        for Notification { id, kind } in &notifications.list {
            let name = (server.to_owned(), id.clone());
            let Some(row) = state.shadow_rows.get(&name).copied() else {
                // Its copy may be on its way still, sent by a primary server that gave up waiting for it: a copy
                // of a message that is done, or was refused, must not wait for promotion.
                state.discarded.insert(name, uptime);
                continue;
            };
            let Some(record) = self.take_shadow(&mut state, row) else {
                continue;
            };
            self.tracking
                .event(TrackingEvent::HaDiscard, "SMTP", &record.envelope, server);
            writes.push(TransportWrite::DeleteShadow(row));
            let keep = *kind == DiscardKind::Delivered
                && (self.config.transport.shadow_redundancy_enabled
                    || self.sabotaged(Sabotage::ShadowSafetyNetWhenDisabled)) // SN-11
                && !self.is_hub_2010()
                && !self.sabotaged(Sabotage::NoShadowSafetyNet);
            if keep {
                let entry = SafetyNetEntry {
                    envelope: record.envelope,
                    role: SafetyNetRole::Shadow,
                    primary: Some(record.primary),
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
        }
        writes.push(TransportWrite::SetCursor {
            server: server.to_owned(),
            life: session.life(),
            cursor: notifications.cursor,
        });
        self.submit(writes)
    }

    /// Takes a shadow message out of memory.
    pub(crate) fn take_shadow(&self, state: &mut State, row: u64) -> Option<ShadowRecord> {
        let record = state.shadow.remove(&row)?;
        let name = (record.primary.clone(), record.envelope.id.clone());
        state.shadow_rows.remove(&name);
        state.manager.release(&record.primary, row);
        Some(record)
    }

    /// Takes ownership of shadow messages, and submits them as primary messages (HB-08, HB-10).
    pub(crate) fn promote_rows(&self, state: &mut State, primary: &str, rows: Vec<u64>, why: &str) {
        if rows.is_empty() {
            return;
        }
        let mut writes = Vec::new();
        for row in rows {
            let Some(record) = self.take_shadow(state, row) else {
                continue;
            };
            // It waits in this queue from now on: it must be tried before it can expire.
            let envelope = Envelope {
                origin: Origin::Promoted,
                received: self.now(),
                ..record.envelope
            };
            self.tracking.event(
                TrackingEvent::Resubmit,
                "SHADOWREDUNDANCY",
                &envelope,
                &format!("{primary}: {why}"),
            );
            writes.push(TransportWrite::DeleteShadow(row));
            writes.push(TransportWrite::PutQueue(row, envelope.clone()));
            self.enqueue(state, row, envelope, None);
            self.make_redundant(state, row);
        }
        // Not durable yet: after a crash the shadow is still there, and is promoted again.
        drop(self.submit(writes));
    }

    /// The heartbeat task: asks primary servers, promotes when they stay away.
    pub(crate) async fn heartbeat(self: Arc<Self>) {
        loop {
            let due = {
                let mut state = self.state();
                let now = self.uptime();
                state.manager.due(now)
            };
            for due in due {
                match due {
                    Due::Promote(primary, rows) => {
                        self.env.timer("promotion");
                        self.promote_rows(&mut self.state(), &primary, rows, "stayed away")
                    }
                    Due::Heartbeat(primary) => {
                        self.env.timer("heartbeat");
                        let node = self.clone();
                        self.env
                            .spawn(Box::pin(async move { node.beat(&primary).await }));
                    }
                }
            }
            let next = self.state().manager.next_due();
            tokio::select! {
                biased;
                () = self.wake_heartbeat.notified() => {}
                () = self.sleep_until(next) => {}
            }
        }
    }

    /// One heartbeat: a session to the primary server, and XQDISCARD until there is nothing more to say (HB-02).
    async fn beat(&self, primary: &str) {
        let began = self.uptime();
        // Not longer than until the next one: an attempt that hangs must not hide that the server stays away.
        let limit = self
            .config
            .transport
            .shadow_heartbeat_frequency
            .min(self.config.send.inactivity_timeout);
        let asked = tokio::time::timeout(limit, self.ask(primary, limit)).await;
        if asked.is_err() {
            self.env.timer("heartbeat-over");
        }
        let answered = asked.unwrap_or(false);
        self.state()
            .manager
            .heartbeat_ended(primary, (!answered).then_some(began));
        self.wake_heartbeat.notify_one();
    }

    async fn ask(&self, primary: &str, limit: Duration) -> bool {
        let Some(server) = self.config.server(primary) else {
            return false;
        };
        let Ok(mut session) = self.open_session(server, limit).await else {
            return false;
        };
        let mut cursor = self.cursor(&session);
        let mut met = false;
        loop {
            let Ok(notifications) = session.ask(cursor).await else {
                return met;
            };
            // A cursor that stands still would be asked for ever.
            let news = !notifications.list.is_empty() && notifications.cursor > cursor;
            let applied = news.then(|| self.apply(&session, &notifications));
            if !met {
                met = true;
                self.met(&session);
            }
            let Some(applied) = applied else { break };
            cursor = notifications.cursor;
            // The next question acknowledges these: they must be durable before it is asked.
            if applied.durable().await.is_err() {
                return true;
            }
            self.reached((session.server.clone(), session.life()), cursor);
        }
        session.quit().await;
        true
    }
}
