//! A message becomes ours: it is stored and copied to a shadow server, and only then acked.
//!
//! Comes in: a complete transaction. Goes out: the final reply. Storing and copying go on side by side;
//! the ack waits for both (SC-01). Where a database failed on the way, nobody can say whether the message is
//! kept: then there is no reply, and the sender knows as little as this node (TC-11).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use bytes::Bytes;

use crate::{
    client::{Broken, Transacted},
    config::Server,
    env::Timestamp,
    message::{Envelope, Header, Origin, Progress, Recipient, TransportId},
    node::{Node, Queued},
    sabotage::Sabotage,
    shadow::{candidates, mark::Mark, peer::PeerSession},
    smtp::{Kind, Reply, Transaction},
    store::{Discard, DiscardKind, Receipt, StoreError, TransportWrite},
    trace::Trace,
    tracking::TrackingEvent,
};

/// The copy that a message has, or not.
pub(crate) struct Copying {
    /// The server that confirmed it.
    pub(crate) confirmed: Option<String>,
    /// Servers that may have it without having confirmed it.
    pub(crate) unconfirmed: Vec<String>,
}

/// Takes a message as its primary server. Gives the copies' session back for the sender's next message.
pub(crate) async fn mail(
    node: &Arc<Node>,
    transaction: Transaction,
    trace: Trace,
    mut copies: Option<PeerSession>,
    client_gone: &AtomicBool,
) -> (Option<Reply>, Option<PeerSession>) {
    if node.is_full() && node.sabotaged(Sabotage::AckWhenFull) {
        return (Some(Reply::ok("queued")), copies);
    }
    if node.is_full() {
        return (Some(Reply::no_room()), copies); // TC-07
    }
    if let Some(reason) = node.failure() {
        return (
            Some(Reply::local_error(format!("no mail is taken: {reason}"))),
            copies,
        );
    }
    let header = Header::read(&transaction.content);
    let loops = header.hops > node.config.transport.max_hop_count;
    if loops && !node.sabotaged(Sabotage::EndlessLoop) {
        return (
            Some(Reply::new(
                554,
                (5, 4, 6),
                "too many hops: the message loops",
            )),
            copies,
        ); // TC-09
    }
    if node.sabotaged(Sabotage::AckBeforeCommit) {
        let node = node.clone();
        node.clone().env.spawn(Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let (_, copies) = store_and_copy(
                &node,
                transaction,
                header,
                trace,
                None,
                &AtomicBool::new(false),
            )
            .await;
            drop(copies);
        }));
        return (Some(Reply::ok("queued")), copies);
    }
    let session = copies.take();
    store_and_copy(node, transaction, header, trace, session, client_gone).await
}

async fn store_and_copy(
    node: &Arc<Node>,
    transaction: Transaction,
    header: Header,
    trace: Trace,
    mut session: Option<PeerSession>,
    client_gone: &AtomicBool,
) -> (Option<Reply>, Option<PeerSession>) {
    let esmtp = transaction.esmtp;
    let servers = match &transaction.kind {
        Kind::Handover { .. } if node.sabotaged(Sabotage::NoCopyForOtherBoundaries) => Vec::new(),
        _ => shadow_servers(node, esmtp, header.message_id.as_deref()),
    };
    let (row, envelope, content, stored) =
        store(node, transaction, header, &trace, servers.first());
    let id = envelope.id.clone();
    let mark = node.store.mark(stored.position());

    if node.sabotaged(Sabotage::AckBeforeCopy) {
        if stored.durable().await.is_err() {
            return (None, session);
        }
        let node = node.clone();
        node.clone().env.spawn(Box::pin(async move {
            let copying = copy(&node, row, &envelope, &content, &mark, &servers, &mut None).await;
            release(&node, row, content, copying).await;
        }));
        return (Some(Reply::ok(format!("{id} queued"))), session);
    }

    let (stored, copying) = tokio::join!(biased; stored.durable(), copy(node, row, &envelope, &content, &mark, &servers, &mut session));
    if stored.is_err() {
        // Its copy may be held, and what the database holds is known only to its next start.
        node.state().queue.remove(&row);
        return (None, session);
    }
    let dropped = node.sabotaged(Sabotage::DropWhenClientGone) && {
        // A session that is lost at the copy's confirmation is lost a little later here.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        client_gone.load(Ordering::SeqCst)
    };
    let transport = &node.config.transport;
    let wanted = !node.is_hub_2010()
        && transport.shadow_redundancy_enabled
        && transport.reject_message_on_shadow_failure;
    let rejects = (wanted && !node.sabotaged(Sabotage::AcceptUnshadowed))
        || (transport.shadow_redundancy_enabled && node.sabotaged(Sabotage::RejectAlways));
    let rejects = rejects || (servers.is_empty() && node.sabotaged(Sabotage::RefuseWhenAlone));
    // SC-09, SC-10, SC-17, TO-01, TO-02
    if (copying.confirmed.is_none() && rejects) || dropped {
        node.tracking
            .event(TrackingEvent::HaRedirectFail, "SMTP", &envelope, "");
        if node.sabotaged(Sabotage::KeepRefused) {
            release(node, row, content, copying).await;
        } else if forget(node, row, &id, copying).await.is_err() {
            return (None, session);
        }
        return (Some(Reply::not_redundant()), session);
    }
    node.tracking
        .event(TrackingEvent::Receive, "SMTP", &envelope, &trace.from);
    if let Some(server) = &copying.confirmed {
        node.tracking
            .event(TrackingEvent::HaRedirect, "SMTP", &envelope, server);
    }
    let delayed = node.is_hub_2010() && envelope.shadows.is_empty();
    let released = release(node, row, content, copying).await;
    if released && delayed {
        node.acknowledgement_due(row).await; // SC-19
    }
    (released.then(|| Reply::ok(format!("{id} queued"))), session)
}

/// The servers to try, one attempt each, in order.
fn shadow_servers(node: &Node, esmtp: bool, message_id: Option<&str>) -> Vec<Server> {
    let enabled = node.config.transport.shadow_redundancy_enabled
        || node.sabotaged(Sabotage::CopyWhenDisabled)
        || node.sabotaged(Sabotage::ShadowSafetyNetWhenDisabled);
    if !enabled || (node.sabotaged(Sabotage::CopyOnlyForEhlo) && !esmtp) {
        return Vec::new(); // SC-11
    }
    if let Some(id) = message_id.filter(|_| node.sabotaged(Sabotage::OneShadowPerMessageId)) {
        let mut state = node.state();
        if state
            .copied_ids
            .insert(id.to_owned(), String::new())
            .is_some()
        {
            return Vec::new();
        }
    }
    if node.sabotaged(Sabotage::ShadowOnSelf) {
        return node
            .config
            .server(&node.config.name)
            .cloned()
            .into_iter()
            .collect();
    }
    candidates::attempts(&node.config, node.env.random())
        .into_iter()
        .cloned()
        .collect()
}

/// Puts the message into the queue, held back from delivery, and in line for the commit.
fn store(
    node: &Node,
    mut transaction: Transaction,
    header: Header,
    trace: &Trace,
    first: Option<&Server>,
) -> (u64, Envelope, Bytes, crate::store::Receipt<()>) {
    let now = node.now();
    let submit_time = match transaction.kind {
        // Both boundaries take it for the same message (DD-01).
        Kind::Handover { submit_time } => Timestamp(submit_time),
        _ => header.date.unwrap_or(now),
    };
    let mut state = node.state();
    let row = state.next_row();
    let shadow: Option<TransportId> = transaction
        .from
        .xshadow
        .as_ref()
        .and_then(|x| x.parse().ok());
    let shadows = match &shadow {
        Some(id) => vec![id.node().to_owned()],
        None => first.map(|s| s.name.clone()).into_iter().collect(),
    };
    // A hub calls a message as the hub that keeps its shadow (SC-19).
    let id = shadow.unwrap_or_else(|| TransportId::new(&node.config.name, node.database_id(), row));
    let mut content = trace.on_top(&mut transaction, &node.config.name, &row.to_string(), now);
    if node.sabotaged(Sabotage::AlterContent) {
        content.extend_from_slice(b"Scanned, and found good.\r\n");
    }
    let content = Bytes::from(content);
    let envelope = Envelope {
        id,
        from: transaction.from,
        recipients: transaction
            .recipients
            .into_iter()
            .map(|to| Recipient {
                to,
                progress: Progress::Pending,
            })
            .collect(),
        received: now,
        submit_time,
        message_id: header.message_id,
        size: content.len() as u64,
        origin: Origin::Received,
        shadows,
        side_effects: 0,
        delay_told: false,
    };
    let queued = Queued {
        envelope: envelope.clone(),
        held: true,
        busy: 0,
        content: None,
    };
    state.queue.insert(row, queued);
    let stored = node.submit(vec![
        TransportWrite::PutContent(row, content.clone()),
        TransportWrite::PutQueue(row, envelope.clone()),
    ]);
    (row, envelope, content, stored)
}

/// Walks along the servers until one confirms its copy of the message, which stands at `mark` in this node's log.
pub(crate) async fn copy(
    node: &Arc<Node>,
    row: u64,
    envelope: &Envelope,
    content: &Bytes,
    mark: &Mark,
    servers: &[Server],
    session: &mut Option<PeerSession>,
) -> Copying {
    let mut copying = Copying {
        confirmed: None,
        unconfirmed: Vec::new(),
    };
    for (i, server) in servers.iter().enumerate() {
        if envelope.is_copied_afterwards() {
            // Nobody waits for an ack that would come after it: it must be durable before the copy is sent (HB-12).
            let is_expected = match expect_shadow(node, row, &server.name) {
                Expected::Already => true,
                Expected::Now(receipt) => receipt.durable().await.is_ok(),
                // Nobody would ever discard the copy.
                Expected::Done => false,
            };
            if !is_expected {
                break;
            }
        } else if i > 0 {
            // The receipt of `release` or `forget` comes after this one.
            drop(expect_shadow(node, row, &server.name));
        }
        match attempt(node, envelope, content, mark, server, session).await {
            Attempt::Confirmed => {
                copying.confirmed = Some(server.name.clone());
                copying.unconfirmed.retain(|s| *s != server.name);
                break;
            }
            Attempt::Unconfirmed if !copying.unconfirmed.contains(&server.name) => {
                copying.unconfirmed.push(server.name.clone())
            }
            Attempt::Unconfirmed | Attempt::NotMade => {}
        }
    }
    copying
}

enum Attempt {
    Confirmed,
    /// The copy was sent, and nobody knows whether it was taken.
    Unconfirmed,
    NotMade,
}

impl Attempt {
    /// A copy that lacks a recipient is none: that recipient would get nothing after a promotion.
    fn of(done: &Transacted) -> Self {
        match (done.is_complete(), done.end.is_positive()) {
            (true, _) => Self::Confirmed,
            (false, true) => Self::Unconfirmed,
            (false, false) => Self::NotMade,
        }
    }
}

/// Whether the queue row names a server.
enum Expected {
    /// It does.
    Already,
    /// It will, when this is durable.
    Now(Receipt<()>),
    /// The message has left the queue.
    Done,
}

/// Before a copy is sent to a further server, the queue row says so: after a crash that server is notified too.
fn expect_shadow(node: &Node, row: u64, server: &str) -> Expected {
    let mut state = node.state();
    let Some(queued) = state.queue.get_mut(&row) else {
        return Expected::Done;
    };
    if queued.envelope.shadows.iter().any(|s| s == server) {
        return Expected::Already;
    }
    queued.envelope.shadows.push(server.to_owned());
    let write = TransportWrite::PutQueue(row, queued.envelope.clone());
    Expected::Now(node.submit(vec![write]))
}

async fn attempt(
    node: &Arc<Node>,
    envelope: &Envelope,
    content: &Bytes,
    mark: &Mark,
    server: &Server,
    session: &mut Option<PeerSession>,
) -> Attempt {
    let limit = if node.sabotaged(Sabotage::WaitForeverForCopy) {
        std::time::Duration::from_secs(365 * 86_400)
    } else {
        node.config.transport.shadow_copy_timeout
    };
    let sent = AtomicU8::new(0);
    let work = async {
        // The session of this sender's earlier copies; it may have ended meanwhile.
        if let Some(mut old) = session.take().filter(|s| s.server == server.name) {
            sent.store(1, Ordering::SeqCst);
            match old.copy(envelope, content, mark, None).await {
                Ok((done, _)) => {
                    let made = Attempt::of(&done);
                    if matches!(made, Attempt::Confirmed) {
                        *session = Some(old);
                    }
                    return made;
                }
                Err(Broken {
                    maybe_taken: true, ..
                }) => return Attempt::Unconfirmed,
                Err(_) => sent.store(0, Ordering::SeqCst),
            }
        }
        let mut new = match node.open_session(server, limit).await {
            Ok(new) => new,
            Err(_) => return Attempt::NotMade,
        };
        let ask = (!node.sabotaged(Sabotage::NoDiscardInSession)).then(|| node.cursor(&new));
        sent.store(1, Ordering::SeqCst);
        match new.copy(envelope, content, mark, ask).await {
            Ok((done, notifications)) => {
                if let Some(notifications) = &notifications {
                    node.answered(&new, notifications);
                }
                let made = Attempt::of(&done);
                if matches!(made, Attempt::Confirmed) {
                    *session = Some(new);
                }
                made
            }
            Err(Broken {
                maybe_taken: true, ..
            }) => Attempt::Unconfirmed,
            Err(_) => Attempt::NotMade,
        }
    };
    let tried = tokio::time::timeout(limit, work).await;
    if tried.is_err() {
        node.env.timer("copy-over");
    }
    match tried {
        Ok(attempt) => attempt,
        Err(_) if sent.load(Ordering::SeqCst) == 1 => Attempt::Unconfirmed, // TO-01
        Err(_) => Attempt::NotMade,
    }
}

/// The message is accepted: delivery may begin. Answers whether that is durable.
async fn release(node: &Arc<Node>, row: u64, content: Bytes, copying: Copying) -> bool {
    let receipt = {
        let mut state = node.state();
        let Some(queued) = state.queue.remove(&row) else {
            return false;
        };
        let mut envelope = queued.envelope;
        let copies = copying.confirmed.into_iter().chain(copying.unconfirmed);
        let shadows: Vec<String> = if node.is_hub_2010() {
            // It makes no copies: its sender keeps the shadow, or nobody does.
            envelope.shadows.clone()
        } else {
            copies.collect()
        };
        let changed = envelope.shadows != shadows;
        envelope.shadows = shadows;
        let receipt =
            changed.then(|| node.submit(vec![TransportWrite::PutQueue(row, envelope.clone())]));
        node.enqueue(&mut state, row, envelope, Some(content));
        receipt
    };
    match receipt {
        Some(receipt) => receipt.durable().await.is_ok(),
        None => true,
    }
}

/// The message is refused: nothing of it is kept (SC-10), and whoever may have a copy is told to drop it.
async fn forget(
    node: &Arc<Node>,
    row: u64,
    id: &TransportId,
    copying: Copying,
) -> Result<(), StoreError> {
    let receipt = {
        let mut state = node.state();
        state.queue.remove(&row);
        let mut writes = vec![
            TransportWrite::DeleteQueue(row),
            TransportWrite::DeleteContent(row),
        ];
        for server in copying.confirmed.into_iter().chain(copying.unconfirmed) {
            let number = state.next_row();
            let event = Discard {
                id: id.clone(),
                kind: DiscardKind::Abandoned,
                created: node.now(),
            };
            state
                .discards
                .entry(server.clone())
                .or_default()
                .insert(number, event.clone());
            writes.push(TransportWrite::PutDiscard(server, number, event));
        }
        node.submit(writes)
    };
    receipt.durable().await
}
