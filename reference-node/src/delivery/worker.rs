//! The delivery task and its sessions: what the scheduler says is due goes to mailboxes, to mailbox
//! servers of the boundary, into other boundaries (SC-13), and to next hops outside.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    client::{Broken, Client, ClientError, Transacted},
    config::NextHop,
    delivery::{
        results::{Fate, explain},
        scheduler::destination,
    },
    env::Timestamp,
    message::{Envelope, TransportId, without_return_path},
    node::Node,
    sabotage::Sabotage,
    shadow::peer::PeerSession,
    smtp::path::mailbox_key,
    smtp::{Kind, RcptTo, Reply, Transaction},
    store::MailboxWrite,
    trace::Trace,
    tracking::TrackingEvent,
};

/// A message as one session sends it.
pub(crate) struct Job {
    pub(crate) row: u64,
    pub(crate) envelope: Envelope,
    /// Never empty: a trace field is on top.
    pub(crate) content: Bytes,
    /// Indices of the recipients that this hop serves.
    pub(crate) recipients: Vec<usize>,
}

impl Job {
    pub(crate) fn paths(&self) -> Vec<&RcptTo> {
        self.recipients
            .iter()
            .filter_map(|i| self.envelope.recipients.get(*i))
            .map(|r| &r.to)
            .collect()
    }
}

impl Node {
    /// The delivery task: opens sessions for what is due, until the node ends.
    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            let (hops, next) = {
                let mut state = self.state();
                self.expand_groups(&mut state);
                let now = self.uptime();
                (
                    state.scheduler.sessions_to_open(now),
                    state.scheduler.next_due(),
                )
            };
            for hop in hops {
                let node = self.clone();
                self.env.spawn(Box::pin(async move {
                    node.deliver_to(&hop).await;
                    node.state().scheduler.session_ended(&hop);
                    node.wake_delivery.notify_one();
                }));
            }
            tokio::select! {
                biased;
                () = self.wake_delivery.notified() => {}
                () = self.sleep_until(next) => self.env.timer("retry"),
            }
        }
    }

    async fn deliver_to(self: &Arc<Self>, hop: &NextHop) {
        match hop {
            NextHop::MailboxServer(server) if *server == self.config.name => {
                self.deliver_here(hop).await
            }
            NextHop::MailboxServer(server) if self.is_hub_2010() => {
                // Between a hub and the others there is ordinary mail only (SC-18).
                self.relay_to(hop, server).await
            }
            NextHop::MailboxServer(server)
                if self.config.in_boundary(server)
                    || self.sabotaged(Sabotage::DeliverAcrossBoundaries) =>
            {
                self.deliver_to_server(hop, server).await
            }
            NextHop::MailboxServer(server) => self.hand_over_to(hop, server).await,
            NextHop::Hub(hub) if self.is_hub_2010() => self.hand_on(hop, hub).await,
            NextHop::Hub(hub) => {
                if self.sabotaged(Sabotage::ReleaseBeforeHubAcks) {
                    self.release_early(hop);
                }
                self.relay_to(hop, hub).await
            }
            NextHop::SmartHost(address) => self.deliver_outside(hop, address).await,
        }
    }

    /// The next message for this hop, with its content.
    pub(crate) async fn next_job(&self, hop: &NextHop) -> Option<Job> {
        loop {
            let Some(mut job) = self.take_row(hop)? else {
                continue;
            };
            if job.content.is_empty() {
                let row = job.envelope.content_row(job.row);
                job.content = self.stored_content(row).await.unwrap_or_default();
            }
            if !job.content.is_empty() {
                return Some(job);
            }
            // A queue row without content, or a database that cannot be read: nothing can be said of the
            // message, so it stays where it is.
            let fates =
                vec![Fate::Deferred("the content cannot be read".into()); job.recipients.len()];
            self.settle(hop, job.row, job.recipients, fates).await;
        }
    }

    /// The next row for this hop, which is busy from then on until it is settled; `Some(None)`: one that has
    /// nothing to do any more. Its content is there if it is kept in memory.
    fn take_row(&self, hop: &NextHop) -> Option<Option<Job>> {
        let mut state = self.state();
        let now = self.uptime();
        let row = state.scheduler.take(hop, now)?;
        let Some(queued) = state.queue.get_mut(&row) else {
            return Some(None);
        };
        let recipients: Vec<usize> = queued
            .envelope
            .pending()
            .filter(|(_, to)| destination(&self.config, &to.path).as_ref() == Some(hop))
            .map(|(i, _)| i)
            .collect();
        if recipients.is_empty() {
            return Some(None);
        }
        queued.busy += 1;
        let content = queued
            .content
            .as_ref()
            .map(|kept| kept.octets.clone())
            .unwrap_or_default();
        Some(Some(Job {
            row,
            envelope: queued.envelope.clone(),
            content,
            recipients,
        }))
    }

    async fn stored_content(&self, row: u64) -> Option<Bytes> {
        match self.store.content(row) {
            Ok(None) => {
                // It may be in line for the commit still.
                self.submit(Vec::new()).durable().await.ok()?;
                self.store.content(row).ok().flatten()
            }
            Ok(content) => content,
            Err(_) => None,
        }
    }

    async fn deliver_here(&self, hop: &NextHop) {
        while let Some(job) = self.next_job(hop).await {
            let paths = job.paths();
            let fates = match self
                .put_into_mailboxes(&job.envelope, &paths, &job.content)
                .await
            {
                Ok(()) => vec![Fate::Delivered; paths.len()],
                Err(error) => vec![Fate::Deferred(error); paths.len()],
            };
            self.settle(hop, job.row, job.recipients, fates).await;
        }
    }

    /// Delivers to mailboxes of this node, each copy once (DD-01).
    async fn put_into_mailboxes(
        &self,
        envelope: &Envelope,
        recipients: &[&RcptTo],
        content: &Bytes,
    ) -> Result<(), String> {
        // RFC 5321 §4.4: the last server adds the return path on top, and exactly one should be there.
        let mut octets = format!("Return-Path: <{}>\r\n", envelope.from.path).into_bytes();
        octets.append(&mut without_return_path(content));
        let write = MailboxWrite {
            mailboxes: recipients.iter().map(|to| mailbox_key(&to.path)).collect(),
            identity: self.identity(envelope),
            from: envelope.from.path.clone(),
            delivered: self.now(),
            content: octets.into(),
        };
        let new = self
            .mailboxes
            .submit(write)
            .durable()
            .await
            .map_err(|e| e.to_string())?;
        for (to, new) in recipients.iter().zip(new) {
            let event = if new {
                TrackingEvent::Deliver
            } else {
                TrackingEvent::DuplicateDeliver
            };
            self.tracking
                .event_for(event, "STOREDRIVER", envelope, vec![&to.path], "");
        }
        Ok(())
    }

    /// What tells this message from others in a mailbox: Message-ID and submit time (DD-01, DD-02); the
    /// transport ID where there is no Message-ID.
    fn identity(&self, envelope: &Envelope) -> Option<String> {
        if self.sabotaged(Sabotage::NoDuplicateDetection) {
            return None;
        }
        Some(match &envelope.message_id {
            Some(id) if self.sabotaged(Sabotage::SuppressByMessageId) => id.clone(),
            Some(id) => format!("{} {id}", envelope.submit_time.0),
            None => format!("- {}", envelope.id),
        })
    }

    /// A peer delivers to this node's mailboxes (XDELIVER).
    pub(crate) async fn deliver_for_peer(
        &self,
        mut transaction: Transaction,
        trace: &Trace,
    ) -> Reply {
        let Kind::Deliver {
            transport_id,
            submit_time,
        } = &transaction.kind
        else {
            return Reply::bad_sequence("no XDELIVER before this");
        };
        if self.mailboxes.is_full() {
            return Reply::no_room();
        }
        let Ok(id) = transport_id.parse::<TransportId>() else {
            return Reply::bad_arguments("not a transport ID");
        };
        let submit_time = Timestamp(*submit_time);
        let header = crate::message::Header::read(&transaction.content);
        // RFC 5321 §4.4: a server that takes a message for delivery adds a trace field, too.
        let serial = id.as_str().rsplit('/').next().unwrap_or_default();
        let content = trace.on_top(&mut transaction, &self.config.name, serial, self.now());
        let envelope = Envelope {
            id,
            from: transaction.from.clone(),
            recipients: Vec::new(),
            received: self.now(),
            submit_time,
            message_id: header.message_id,
            size: content.len() as u64,
            origin: crate::message::Origin::Received,
            shadows: Vec::new(),
            side_effects: 0,
            delay_told: false,
        };
        let recipients: Vec<&RcptTo> = transaction.recipients.iter().collect();
        match self
            .put_into_mailboxes(&envelope, &recipients, &Bytes::from(content))
            .await
        {
            Ok(()) => Reply::ok("delivered"),
            Err(error) => Reply::local_error(error),
        }
    }

    /// The mailbox server is in another boundary: the message enters it as a new one (SC-13). No shadow message is
    /// tracked across the boundary, so nobody asks for discard notifications here.
    async fn hand_over_to(self: &Arc<Self>, hop: &NextHop, name: &str) {
        let mut session = match self.peer_session(name).await {
            Ok(session) => session,
            Err(error) => return self.unreachable(hop, &error),
        };
        self.state().scheduler.reachable(hop);
        while let Some(job) = self.next_job(hop).await {
            let result = session
                .hand_over(&job.envelope, &job.paths(), &job.content)
                .await;
            let (fates, lost) = match result {
                // RFC 3461 §5.2.1: every node has DSN, and sends the notifications itself.
                Ok(done) => (
                    fates(&done, job.recipients.len(), &Fate::HandedOver),
                    done.closes(),
                ),
                Err(broken) => broken_fates(&broken, job.recipients.len()),
            };
            self.settle(hop, job.row, job.recipients, fates).await;
            if lost {
                return;
            }
        }
        session.quit().await;
    }

    async fn peer_session(&self, name: &str) -> Result<PeerSession, ClientError> {
        let patience = self
            .config
            .send
            .inactivity_timeout
            .min(Duration::from_secs(120));
        match self.config.server(name) {
            Some(server) => {
                let patience = self.patience(patience);
                self.open_session(server, patience).await
            }
            None => Err(ClientError::NotPeer("it is no server of the organization")),
        }
    }

    async fn deliver_to_server(self: &Arc<Self>, hop: &NextHop, name: &str) {
        let mut session = match self.peer_session(name).await {
            Ok(session) => session,
            Err(error) => return self.unreachable(hop, &error),
        };
        self.state().scheduler.reachable(hop);
        // HB-01: a session for any reason asks for discard notifications, once.
        let mut ask =
            (!self.sabotaged(Sabotage::NoDiscardInSession)).then(|| self.cursor(&session));
        while let Some(job) = self.next_job(hop).await {
            let result = session
                .deliver(&job.envelope, &job.paths(), &job.content, ask.take())
                .await;
            let (fates, lost) = match result {
                Ok((done, notifications)) => {
                    if let Some(notifications) = &notifications {
                        self.answered(&session, notifications);
                    }
                    (
                        fates(&done, job.recipients.len(), &Fate::Delivered),
                        done.closes(),
                    )
                }
                Err(broken) => broken_fates(&broken, job.recipients.len()),
            };
            self.settle(hop, job.row, job.recipients, fates).await;
            if lost {
                return;
            }
        }
        // Another session took what this one was opened for.
        if let Some(cursor) = ask.take()
            && let Ok(notifications) = session.ask(cursor).await
        {
            self.answered(&session, &notifications);
        }
        session.quit().await;
    }

    /// Ordinary mail to a server of the organization.
    async fn relay_to(&self, hop: &NextHop, name: &str) {
        match self.config.server(name) {
            Some(server) => self.deliver_outside(hop, &server.address).await,
            None => self.unreachable(hop, &ClientError::NotPeer("no server of the organization")),
        }
    }

    async fn deliver_outside(&self, hop: &NextHop, address: &str) {
        let patience =
            self.outbound_inactivity(self.config.transport.message_expiration_timeout / 2);
        let mut client =
            match Client::connect(&*self.env, address, &self.config.name, patience).await {
                Ok(client) => client,
                Err(error) => return self.unreachable(hop, &error),
            };
        self.state().scheduler.reachable(hop);
        // RFC 3461 §5.2.1: a server with DSN sends the notifications itself.
        let taken = if client.extensions().dsn {
            Fate::HandedOver
        } else {
            Fate::Relayed
        };
        while let Some(job) = self.next_job(hop).await {
            let result = client
                .transact(
                    &[],
                    &mut Vec::new(),
                    &job.envelope.from,
                    &job.paths(),
                    &job.content,
                )
                .await;
            if self.sabotaged(Sabotage::DeliverTwice) {
                // Whatever it answers: the first answer counts.
                let _ = client
                    .transact(
                        &[],
                        &mut Vec::new(),
                        &job.envelope.from,
                        &job.paths(),
                        &job.content,
                    )
                    .await;
            }
            let (fates, lost) = match result {
                Ok(done) => (fates(&done, job.recipients.len(), &taken), done.closes()),
                Err(broken) => broken_fates(&broken, job.recipients.len()),
            };
            self.settle(hop, job.row, job.recipients, fates).await;
            if lost {
                return;
            }
        }
        client.take_leave().await;
    }

    /// The send connector's ConnectionInactivityTimeOut (TO-09), or a bound that is shorter.
    pub(crate) fn outbound_inactivity(&self, bound: Duration) -> Duration {
        let documented = self.config.send.inactivity_timeout.min(bound);
        if self.sabotaged(Sabotage::NoOutboundTimeout) {
            Duration::from_secs(365 * 86_400)
        } else if self.sabotaged(Sabotage::EarlyOutboundTimeout) {
            documented / 2
        } else {
            documented
        }
    }

    /// A wait on another server is never longer than half the time until the message would expire.
    pub(crate) fn patience(&self, wanted: Duration) -> Duration {
        wanted.min(self.config.transport.message_expiration_timeout / 2)
    }

    /// The hop does not answer: everything for it waits.
    pub(crate) fn unreachable(&self, hop: &NextHop, error: &ClientError) {
        if self.sabotaged(Sabotage::NoRetry) {
            let rows: Vec<u64> = {
                let mut state = self.state();
                let now = self.uptime();
                std::iter::from_fn(|| state.scheduler.take(hop, now)).collect()
            };
            self.drop_rows(rows);
            return;
        }
        let mut state = self.state();
        let now = self.uptime();
        state.scheduler.unreachable(hop, now);
        drop(state);
        let _ = error;
    }
}

/// What a transaction's replies mean for each recipient.
pub(crate) fn fates(done: &Transacted, count: usize, taken: &Fate) -> Vec<Fate> {
    let end = |reply: &Reply| match reply {
        reply if reply.is_positive() => taken.clone(),
        reply if reply.is_permanent() => Fate::failed(reply),
        reply => Fate::Deferred(explain(reply)),
    };
    (0..count)
        .map(|i| match done.recipients.get(i) {
            // RFC 5321 §4.5.3.1.10: 552 to RCPT means too many recipients; they go in another transaction.
            Some(reply) if reply.is_permanent() && reply.code != 552 => Fate::failed(reply),
            Some(reply) if !reply.is_positive() => Fate::Deferred(explain(reply)),
            Some(_) | None => end(&done.end),
        })
        .collect()
}

/// A broken session defers its message; one that the message cannot travel on fails it.
pub(crate) fn broken_fates(broken: &Broken, count: usize) -> (Vec<Fate>, bool) {
    match &broken.error {
        ClientError::Cannot(reason) => (vec![Fate::cannot(*reason); count], false),
        error => (vec![Fate::Deferred(error.to_string()); count], true),
    }
}
