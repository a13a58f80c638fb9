//! Drives receiving sessions: sockets and timeouts around [`Session`], and what its events ask for.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    accept,
    config::NextHop,
    env::{BoxStream, Environment, Listener},
    legacy::shadowed_by,
    node::Node,
    sabotage::Sabotage,
    safety_net,
    shadow::{
        mark::ends_text,
        peer::PeerSession,
        proof::{client_proof, equal, server_proof},
    },
    smtp::path::mailbox_key,
    smtp::{Event, Kind, Peer, PeerCommand, RcptTo, Reply, Session, SessionConfig, Transaction},
    trace::Trace,
};

/// Octets that are read at once: at first, and at most.
const LEAST_READ: usize = 4 * 1024;
const MOST_READ: usize = 64 * 1024;

/// Longer than any session.
const AGES: Duration = Duration::from_secs(365 * 86_400);

/// Takes connections until the node ends.
pub(crate) async fn serve(node: Arc<Node>, listener: Box<dyn Listener>) {
    let most = node.config.receive.max_connections;
    let (env, name) = (node.env.clone(), node.config.name.clone());
    let session = move |stream, from| Connection::new(node.clone(), stream, from).run();
    admit(env, most, name, listener, session).await;
}

/// Takes connections, `most` at once, and gives each its session.
pub(crate) async fn admit<F>(
    env: Arc<dyn Environment>,
    most: usize,
    name: String,
    mut listener: Box<dyn Listener>,
    session: impl Fn(BoxStream, String) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    loop {
        match listener.accept().await {
            Ok((stream, from)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let session = session(stream, from);
                    env.spawn(Box::pin(async move {
                        session.await;
                        drop(place);
                    }));
                }
                Err(_) => env.spawn(Box::pin(turn_away(name.clone(), stream))),
            },
            // Out of file descriptors, most likely: sessions that end give some back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn turn_away(name: String, mut stream: BoxStream) {
    let mut octets = Vec::new();
    Reply::closing(format!("{name} too many connections, try again later")).write(&mut octets);
    // The client may be gone already.
    let _ = stream.write_all(&octets).await;
    let _ = stream.shutdown().await;
}

struct Connection {
    node: Arc<Node>,
    stream: BoxStream,
    from: String,
    session: Session,
    nonce: String,
    /// ConnectionTimeout: the whole session's end (TO-07).
    deadline: Instant,
    /// The client's last sign of life.
    active: Instant,
    /// The session to the shadow server that holds this sender's copies (SC-03).
    copies: Option<PeerSession>,
    /// When that session was used last.
    copied: Instant,
}

impl Connection {
    fn new(node: Arc<Node>, stream: BoxStream, from: String) -> Self {
        let nonce = format!("{:016x}{:016x}", node.env.random(), node.env.random());
        let session = Session::new(Arc::new(SessionConfig {
            hostname: node.config.name.clone(),
            max_message_size: node.config.receive.max_message_size,
            max_recipients: node.config.receive.max_recipients,
            peer_nonce: nonce.clone(),
            xshadow: node.is_hub_2010() || node.sabotaged(Sabotage::AdvertiseXshadowTo2010),
            sabotage: node.config.sabotage,
            ..SessionConfig::default()
        }));
        let active = Instant::now();
        let whole = node.config.receive.connection_timeout;
        let deadline = active
            + if node.sabotaged(Sabotage::NoConnectionTimeout) {
                AGES
            } else if node.sabotaged(Sabotage::EarlyConnectionTimeout) {
                whole / 2
            } else {
                whole
            };
        Self {
            node,
            stream,
            from,
            session,
            nonce,
            deadline,
            active,
            copies: None,
            copied: active,
        }
    }

    async fn run(mut self) {
        let mut buffer = Vec::with_capacity(LEAST_READ);
        loop {
            match self.session.next() {
                Event::NeedInput => {
                    if self.flush().await.is_err() {
                        break;
                    }
                    self.read(&mut buffer).await;
                }
                Event::Rcpt(to) => {
                    let answer = self.judge_recipient(&to);
                    self.session.answer_rcpt(answer);
                }
                Event::Message(transaction) => self.take(*transaction).await,
                Event::Peer(command) => {
                    let reply = self.peer(command).await;
                    self.session.answer_peer(reply);
                    self.active = Instant::now();
                }
                Event::Closed => {
                    // The client may be gone; there is nothing left to say to it.
                    let _ = self.flush().await;
                    let _ = self.stream.shutdown().await;
                    break;
                }
            }
        }
        if let Some(copies) = self.copies.take() {
            copies.quit().await;
        }
    }

    /// Writes what the session has to say, within the session's whole time.
    async fn flush(&mut self) -> io::Result<()> {
        let octets = self.session.take_output();
        if octets.is_empty() {
            return Ok(());
        }
        let stream = &mut self.stream;
        let write = async {
            stream.write_all(&octets).await?;
            stream.flush().await
        };
        let limit = self.deadline.max(Instant::now()) + Duration::from_secs(1);
        timeout_at(limit, write)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn read(&mut self, buffer: &mut Vec<u8>) {
        // A session that waits costs little; one that has much to say is read in larger pieces.
        if buffer.len() == buffer.capacity() {
            let capacity = buffer.capacity() * 4;
            *buffer = Vec::with_capacity(capacity.clamp(LEAST_READ, MOST_READ));
        }
        buffer.clear();
        let mut inactivity = self.node.config.receive.inactivity_timeout;
        if self.node.sabotaged(Sabotage::EarlyInactivityTimeout) {
            inactivity /= 2;
        }
        let idle = self.active + inactivity;
        let until = if self.node.sabotaged(Sabotage::NoInactivityTimeout) {
            self.deadline
        } else {
            idle.min(self.deadline)
        };
        // TO-09
        let copies_idle = self.copied + self.node.outbound_inactivity(Duration::MAX);
        if copies_idle < until && self.copies.is_some() {
            // What comes in at that moment waits: a client that always has something to say must not keep it open.
            let over = Instant::now() >= copies_idle;
            let read = timeout_at(copies_idle, self.stream.read_buf(buffer));
            let read = if over { None } else { read.await.ok() };
            let Some(read) = read else {
                self.node.env.timer("copies-idle");
                if let Some(copies) = self.copies.take() {
                    copies.quit().await;
                }
                return;
            };
            return self.received(read, buffer);
        }
        match timeout_at(until, self.stream.read_buf(buffer)).await {
            Ok(read) => self.received(read, buffer),
            Err(_) if until == idle => {
                self.node.env.timer("inactivity");
                self.time_out("idle for too long"); // TO-06
            }
            Err(_) => {
                self.node.env.timer("connection");
                self.time_out("session lasted too long"); // TO-07
            }
        }
    }

    fn received(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        match read {
            Ok(count) if count > 0 => {
                self.active = Instant::now();
                self.session.receive(&buffer[..count]);
                // TO-07: also a client that always has something to say.
                if self.active >= self.deadline {
                    self.time_out("session lasted too long");
                }
            }
            // TC-03: the end of the connection is not the end of the data.
            Ok(_) | Err(_) => self.session.receive_end(),
        }
    }

    fn time_out(&mut self, why: &str) {
        self.session.shut_down(Reply::timed_out(format!(
            "{} {why}, closing",
            self.node.config.name
        )));
    }

    /// Stores a message. The work goes on when the client is lost, or the session's time is up (TO-02, TO-03).
    async fn take(&mut self, transaction: Transaction) {
        let trace = Trace {
            from: self.from.clone(),
            protocol: self.session.protocol(),
        };
        let peer = match self.session.peer() {
            Peer::Server(name) => name.clone(),
            Peer::Outside | Peer::Operator => String::new(),
        };
        let mut transaction = transaction;
        transaction
            .from
            .xshadow
            .take_if(|id| !shadowed_by(id, &peer)); // SC-19
        let gone = Arc::new(AtomicBool::new(false));
        let (done, reply) = oneshot::channel();
        let (node, copies, lost) = (self.node.clone(), self.copies.take(), gone.clone());
        self.node.env.spawn(Box::pin(async move {
            let answer = match &transaction.kind {
                Kind::Mail | Kind::Handover { .. } => {
                    accept::mail(&node, transaction, trace, copies, &lost).await
                }
                Kind::Copy { .. } => (Some(node.hold_copy(transaction, &peer).await), copies),
                Kind::Deliver { .. } => {
                    let reply = node.deliver_for_peer(transaction, &trace).await;
                    (Some(reply), copies)
                }
            };
            // The session may be over; what was stored stays stored.
            let _ = done.send(answer);
        }));
        let waited = if self.node.sabotaged(Sabotage::DropWhenClientGone) {
            let watch = async {
                let mut octet = [0; 1];
                while matches!(self.stream.read(&mut octet).await, Ok(1..)) {
                    self.session.receive(&octet);
                }
                gone.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                answer = timeout_at(self.deadline, reply) => answer,
                () = watch => return,
            }
        } else {
            timeout_at(self.deadline, reply).await
        };
        match waited {
            Ok(Ok((Some(reply), copies))) => {
                let accepted = reply.is_positive();
                self.copies = copies;
                self.copied = Instant::now();
                self.session.answer_message(reply);
                if accepted && self.node.sabotaged(Sabotage::CloseAfterAck) {
                    self.session
                        .shut_down(Reply::closing("closing after the ack"));
                }
            }
            // Nobody knows whether the message is kept (TC-11).
            Ok(Ok((None, _)) | Err(_)) => self.session.break_off(),
            Err(_) => {
                self.node.env.timer("connection");
                self.time_out("session lasted too long");
            }
        }
        self.active = Instant::now();
    }

    fn judge_recipient(&self, to: &RcptTo) -> Result<(), Reply> {
        let config = &self.node.config;
        match self.session.kind() {
            Kind::Copy { .. } => return Ok(()),
            Kind::Deliver { .. } if !matches!(crate::delivery::scheduler::destination(config, &to.path), Some(NextHop::MailboxServer(server)) if server == config.name) =>
            {
                return Err(Reply::no_mailbox(&to.path));
            }
            Kind::Deliver { .. } | Kind::Handover { .. } | Kind::Mail => {}
        }
        // RFC 5321 §4.5.1: mail to the postmaster is always taken, also without domain.
        if !to.path.contains('@') || config.groups.is_group(&to.path) {
            return Ok(());
        }
        let Some(route) = config.route(&to.path) else {
            return Err(Reply::not_allowed(format!("no relaying to <{}>", to.path)));
        };
        let path = mailbox_key(&to.path);
        let known = route
            .mailboxes
            .as_ref()
            .is_none_or(|all| all.contains(&path))
            || path.starts_with("postmaster@");
        if known {
            Ok(())
        } else {
            Err(Reply::no_mailbox(&to.path))
        }
    }

    async fn peer(&mut self, command: PeerCommand) -> Reply {
        let node = self.node.clone();
        match command {
            PeerCommand::Xpeer {
                name,
                nonce,
                proof,
                epochs,
            } => {
                let secret = &node.config.secret;
                let peer = node
                    .config
                    .server(&name)
                    .is_some_and(|s| s.is_peer(node.config.compatibility));
                let known = name == "operator" || peer;
                if !known || !equal(&proof, &client_proof(secret, &name, &self.nonce, &nonce)) {
                    return Reply::bad_proof();
                }
                self.session.set_peer(if name == "operator" {
                    Peer::Operator
                } else {
                    Peer::Server(name)
                });
                let (own, database) = (&node.config.name, node.database_id());
                let ends: Vec<_> = epochs
                    .into_iter()
                    .map(|epoch| (epoch, node.store.epoch_end(epoch)))
                    .collect();
                let (position, epoch) = (node.store.position(), node.store.epoch());
                let state = format!("{position} {epoch:x} {}", ends_text(&ends));
                let proof = server_proof(secret, own, &nonce, &self.nonce, database, &state);
                Reply::ok(format!("{own} {database} {state} {proof}"))
            }
            PeerCommand::Xshadow { .. } if node.refuses_copies() => {
                Reply::new(451, (4, 4, 0), "not a shadow server now")
            }
            PeerCommand::Xshadow { .. }
            | PeerCommand::Xdeliver { .. }
            | PeerCommand::Xhandover { .. } => Reply::ok("send it"),
            PeerCommand::Xqdiscard { cursor, most } => match self.session.peer() {
                Peer::Server(name) => node.answer_discards(&name.clone(), cursor, most).await,
                Peer::Outside | Peer::Operator => {
                    Reply::not_allowed("XQDISCARD is for servers of this organization only")
                }
            },
            PeerCommand::Xresubmit { from, to } => safety_net::resubmit(&node, from, to).await,
        }
    }
}
