//! Drives a front end's session: the sender's socket and its timeouts, and the session to a transport server.
//!
//! Comes in: a connection. Goes out: the same transaction on a connection to a transport server, command by command
//! and content as it comes, and the replies the other way. At most one read's octets are held at a time.
//!
//! Until the first octet of content has gone on, a transport server that fails is replaced by another one, and what
//! it had accepted is said again. Later a lost transport server is the sender's matter: before the end of data had
//! gone on, nobody can hold the message, and the answer is 451; afterwards nobody knows (TC-11), and the session ends
//! with 421, as it does at a timeout (TO-02).

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::{
    FrontEnd, servers,
    session::{Event, Session, Verb},
};
use crate::{
    client::Client,
    config::Config,
    env::{BoxStream, Timestamp},
    sabotage::Sabotage,
    smtp::Reply,
    trace::trace_field,
};

/// A session to a transport server.
struct Behind {
    client: Client,
    /// When it was used last.
    used: Instant,
}

/// How the content of the open transaction fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    /// None was passed on yet.
    Nothing,
    /// All that came was passed on.
    Well,
    /// The transport server was lost. `maybe`: it may have had the whole message.
    Lost { maybe: bool },
}

/// The session's whole time is up (TO-07).
struct TimeIsUp;

/// One sender's session.
pub(super) struct Connection {
    front: Arc<FrontEnd>,
    stream: BoxStream,
    from: String,
    session: Session,
    deadline: Instant,
    /// The client's last sign of life.
    active: Instant,
    behind: Option<Behind>,
    /// MAIL and RCPT lines of the open transaction that were accepted.
    accepted: Vec<Vec<u8>>,
    passing: Passing,
}

impl Connection {
    pub(super) fn new(front: Arc<FrontEnd>, stream: BoxStream, from: String) -> Self {
        let config = &front.config;
        let active = Instant::now();
        Self {
            session: Session::new(&config.name, promised_size(config, &from), config.sabotage),
            deadline: active + config.receive.connection_timeout,
            front,
            stream,
            from,
            active,
            behind: None,
            accepted: Vec::new(),
            passing: Passing::Nothing,
        }
    }

    pub(super) async fn run(mut self) {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let done = match self.session.next() {
                Event::NeedInput => {
                    if self.flush().await.is_err() {
                        break;
                    }
                    self.read(&mut buffer).await;
                    continue;
                }
                Event::Line(verb, line) => self.line(verb, line).await,
                Event::Reset => self.reset().await,
                Event::Chunk { size, last, first } => self.chunk(size, last, first).await,
                Event::Content { octets, last } => self.content(&octets, last).await,
                Event::End { last } => self.complete(last).await,
                Event::Closed => {
                    // The client may be gone; there is nothing left to say to it.
                    let _ = self.flush().await;
                    let _ = self.stream.shutdown().await;
                    break;
                }
            };
            self.active = Instant::now();
            if done.is_err() {
                self.time_out("session lasted too long");
            }
        }
        // In the middle of a message the connection just ends: that is no end of data (TC-03).
        if let Some(behind) = self
            .behind
            .take()
            .filter(|_| self.passing == Passing::Nothing)
        {
            behind.client.quit().await;
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
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
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    }

    async fn read(&mut self, buffer: &mut [u8]) {
        let idle = self.active + self.front.config.receive.inactivity_timeout;
        let until = idle.min(self.deadline);
        // TO-09
        let behind = self.behind.as_ref().filter(|_| self.accepted.is_empty());
        let unused = behind.map(|b| b.used + self.front.config.send.inactivity_timeout);
        let read = timeout_at(unused.unwrap_or(until).min(until), self.stream.read(buffer)).await;
        match read {
            Ok(Ok(count)) if count > 0 => {
                self.active = Instant::now();
                self.session.receive(&buffer[..count]);
                // TO-07: also a client that always has something to say.
                if self.active >= self.deadline {
                    self.time_out("session lasted too long");
                }
            }
            Ok(_) => self.session.receive_end(),
            Err(_) if unused.is_some_and(|at| at < until) => self.leave().await,
            Err(_) if until == idle => self.time_out("idle for too long"), // TO-06
            Err(_) => self.time_out("session lasted too long"),            // TO-07
        }
    }

    fn time_out(&mut self, why: &str) {
        let text = format!("{} {why}, closing", self.front.config.name);
        self.session.shut_down(&Reply::timed_out(text));
    }

    /// A command: its answer is that of a transport server that is well.
    async fn line(&mut self, verb: Verb, line: Vec<u8>) -> Result<(), TimeIsUp> {
        let deadline = self.deadline;
        let reply = timeout_at(deadline, self.relay(verb, &line))
            .await
            .map_err(|_| TimeIsUp)?;
        if reply.is_positive() {
            self.accepted.push(line);
        }
        if reply.is_intermediate() {
            // RFC 5321 §4.4: whoever receives a message for further processing adds a trace field.
            let trace = self.trace();
            self.passing = Passing::Well;
            self.content(trace.as_bytes(), false).await?;
        }
        self.session.answer(&reply);
        Ok(())
    }

    async fn relay(&mut self, verb: Verb, line: &[u8]) -> Reply {
        // A server that has no room now is as good as none, as long as another may take the message.
        let elsewhere =
            |reply: &Reply| reply.code == 421 || verb == Verb::Mail && reply.is_transient();
        let mut refusal = None;
        if self.behind.is_some() {
            match self.ask(line).await {
                Some(reply) if !elsewhere(&reply) => return reply,
                answer => refusal = answer.or(refusal),
            }
            self.leave().await;
        }
        let front = self.front.clone();
        for server in servers::in_order(&front.config, front.env.random()) {
            if !self.open(&server.address).await {
                continue;
            }
            match self.ask(line).await {
                Some(reply) if !elsewhere(&reply) => return reply,
                answer => refusal = answer.or(refusal),
            }
            self.leave().await;
        }
        refusal
            .filter(|reply| reply.code != 421)
            .unwrap_or_else(|| nobody("no transport server can be reached"))
    }

    /// A command to the transport server, and its reply; `None`: it does not answer, or not in time.
    async fn ask(&mut self, line: &[u8]) -> Option<Reply> {
        let limit = self.patience();
        let behind = self.behind.as_mut()?;
        let ask = async {
            behind.client.send(line).await?;
            behind.client.reply().await
        };
        let reply = timeout(limit, ask).await.ok()?.ok()?;
        behind.used = Instant::now();
        Some(reply)
    }

    /// How long a transport server may be silent before content: several must find the time to fail within the
    /// sender's session.
    fn patience(&self) -> Duration {
        self.front.config.receive.connection_timeout / 10
    }

    /// Opens a session to a transport server, and repeats in it what another one had accepted.
    async fn open(&mut self, address: &str) -> bool {
        let config = &self.front.config;
        let patience = config.send.inactivity_timeout;
        let connect = Client::connect(&*self.front.env, address, &config.name, patience);
        let Ok(Ok(client)) = timeout(self.patience(), connect).await else {
            return false;
        };
        self.behind = Some(Behind {
            client,
            used: Instant::now(),
        });
        for line in self.accepted.clone() {
            if !self.ask(&line).await.is_some_and(|r| r.is_positive()) {
                self.behind = None;
                return false;
            }
        }
        true
    }

    /// Ends the session to the transport server.
    async fn leave(&mut self) {
        if let Some(behind) = self.behind.take() {
            // It may be the very one that does not answer.
            let _ = timeout(self.patience(), behind.client.quit()).await;
        }
    }

    async fn reset(&mut self) -> Result<(), TimeIsUp> {
        let begun = self.passing != Passing::Nothing;
        self.accepted.clear();
        self.passing = Passing::Nothing;
        let deadline = self.deadline;
        let told = timeout_at(deadline, self.ask(b"RSET\r\n"))
            .await
            .map_err(|_| TimeIsUp)?;
        // A session that does not know of the reset is of no use.
        if begun || !told.is_some_and(|reply| reply.is_positive()) {
            self.behind = None;
        }
        Ok(())
    }

    /// RFC 3030 §2: the chunk's length counts what is added to it.
    async fn chunk(&mut self, size: u64, last: bool, first: bool) -> Result<(), TimeIsUp> {
        let trace = if first { self.trace() } else { String::new() };
        if first {
            self.passing = Passing::Well;
        }
        let size_on = size.saturating_add(trace.len() as u64);
        let last_word = if last { " LAST" } else { "" };
        let head = format!("BDAT {size_on}{last_word}\r\n{trace}");
        self.content(head.as_bytes(), last && size == 0).await
    }

    async fn content(&mut self, octets: &[u8], last: bool) -> Result<(), TimeIsUp> {
        if self.passing != Passing::Well {
            return Ok(());
        }
        let sent = match &mut self.behind {
            Some(behind) => timeout_at(self.deadline, behind.client.send(octets))
                .await
                .map_err(|_| TimeIsUp)?
                .is_ok(),
            None => false,
        };
        if !sent {
            self.passing = Passing::Lost {
                maybe: last && self.behind.is_some(),
            };
            self.behind = None;
        }
        Ok(())
    }

    /// The message, or a chunk of it, has gone on: the transport server's answer is the sender's (SC-15).
    async fn complete(&mut self, last: bool) -> Result<(), TimeIsUp> {
        let early = last && self.front.sabotaged(Sabotage::FrontEndAcksEarly);
        if early {
            self.session.answer(&Reply::ok("queued"));
            // The client may be gone.
            let _ = self.flush().await;
        }
        let reply = match (self.passing, &mut self.behind) {
            (Passing::Well, Some(behind)) => timeout_at(self.deadline, behind.client.reply())
                .await
                .map_err(|_| TimeIsUp)?
                .ok(),
            _ => None,
        };
        let lost = reply.is_none();
        let maybe = match self.passing {
            Passing::Lost { maybe } => maybe,
            Passing::Well => last,
            Passing::Nothing => false,
        };
        let reply = reply.unwrap_or_else(|| {
            if maybe {
                let text = format!(
                    "{} lost the transport server before its answer, closing",
                    self.front.config.name
                );
                Reply::timed_out(text)
            } else {
                nobody("the transport server was lost")
            }
        });
        if lost || reply.code == 421 {
            self.behind = None;
        } else if let Some(behind) = &mut self.behind {
            behind.used = Instant::now();
        }
        if last || !reply.is_positive() {
            self.accepted.clear();
            self.passing = Passing::Nothing;
        }
        if !early {
            self.session.answer(&reply);
        }
        Ok(())
    }

    fn trace(&self) -> String {
        trace_field(
            self.session.client_name(),
            &self.from,
            &self.front.config.name,
            self.session.protocol(),
            None,
            self.front.env.wall_clock(),
        )
    }
}

/// The largest content that senders are promised: the front end's own trace field comes on top of it, and what the
/// transport server gets then must not be too big for that.
fn promised_size(config: &Config, from: &str) -> u64 {
    let most = config.receive.max_message_size;
    if most == 0 {
        return 0;
    }
    let helo = "x".repeat(LONGEST_NAME);
    let trace = trace_field(&helo, from, &config.name, "UTF8SMTP", None, LONG_DATE);
    // 0 would mean that there is no limit.
    most.saturating_sub(trace.len() as u64).max(1)
}

/// The twelfth of a month: a date is as long as any other of two digits.
const LONG_DATE: Timestamp = Timestamp(11 * 24 * 3600 * 1000);

/// A client's name in HELO or EHLO (RFC 5321 §4.5.3.1.2).
const LONGEST_NAME: usize = 255;

/// `451 4.4.0`: the message is in nobody's hands.
fn nobody(text: &str) -> Reply {
    Reply::new(451, (4, 4, 0), text)
}
