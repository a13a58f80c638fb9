//! One session of a load: takes a number, waits until the message is due, sends it, writes down what became of it.
//!
//! Comes in: the plan, and the next number. Goes out: figures, and a line in the ledger for every number taken. Called by
//! [`run`](super::run), on one thread for many sessions.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{IoSlice, Write as _},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Shared,
    connection::Connection,
    figures::Figures,
    ledger::{Entry, Pages},
};
use crate::{
    history::{Outcome, Reply},
    scenario::Hello,
    workload::{
        client::Broken,
        dialogue::{Extensions, is_positive, is_refusal},
    },
};

/// The pause after a connection that could not be opened; it doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for the reply to QUIT, and for a reason after a write that failed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the sessions of one thread share.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) figures: RefCell<Figures>,
    pub(super) pages: RefCell<Pages>,
}

/// A connection after its greeting.
struct Open {
    connection: Connection,
    extensions: Extensions,
    /// The next transaction must begin with RSET.
    dirty: bool,
    /// A write failed.
    broken: bool,
    /// Messages that it carried.
    carried: u32,
}

/// How a message ended.
struct Ended {
    outcome: Outcome,
    reply: Option<Reply>,
    error: Option<String>,
    data_sent: Option<Instant>,
    at: Instant,
}

/// What ended a transaction before its final reply.
enum End {
    Refused(Reply),
    Broken(Broken),
}

impl<T: Into<Broken>> From<T> for End {
    fn from(broken: T) -> Self {
        Self::Broken(broken.into())
    }
}

/// A session, and the buffers that it uses for every message.
pub(super) struct Session {
    worker: Rc<Worker>,
    number: u32,
    header: Vec<u8>,
    /// The RCPT commands, the same for every message.
    recipients: Vec<u8>,
    envelope: Vec<u8>,
    /// Where each command of the envelope ends.
    ends: Vec<usize>,
    refused: BTreeMap<String, Reply>,
    open: Option<Open>,
}

impl Session {
    /// The session of that number, from 1.
    pub(super) fn new(worker: Rc<Worker>, number: u32) -> Self {
        let mut recipients = Vec::new();
        for to in &worker.shared.plan.recipients {
            // A Vec takes everything.
            let _ = write!(recipients, "RCPT TO:<{to}>\r\n");
        }
        Self {
            number,
            header: worker.shared.template.header(),
            recipients,
            envelope: Vec::new(),
            ends: Vec::new(),
            refused: BTreeMap::new(),
            open: None,
            worker,
        }
    }

    /// Sends messages until there are no more.
    pub(super) async fn run(mut self) {
        let worker = Rc::clone(&self.worker);
        let mut pause = FIRST_PAUSE;
        while let Some((number, due)) = worker.shared.take().await {
            let begun = Instant::now();
            let size = worker.shared.plan.size_of(number);
            let opened = self.ensure_open().await;
            let could_open = opened.is_ok();
            let ended = match opened {
                Ok(()) => self.carry(number, size).await,
                Err(end) => self.ended(Err(end), None),
            };
            self.write_down((number, size), due, begun, &ended);
            if could_open {
                pause = FIRST_PAUSE;
            } else {
                worker.shared.pause(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            let last = self.open.as_ref().is_some_and(|open| {
                worker
                    .shared
                    .plan
                    .per_connection
                    .is_some_and(|most| open.carried >= most)
            });
            if last {
                self.quit().await;
            }
        }
        self.quit().await;
    }

    /// Opens a connection, where there is none.
    async fn ensure_open(&mut self) -> Result<(), End> {
        if self.open.is_some() {
            return Ok(());
        }
        let worker = Rc::clone(&self.worker);
        let began = Instant::now();
        let connected = Connection::open(
            worker.shared.plan.target,
            worker.shared.plan.patience,
            &worker.shared.cut,
        )
        .await;
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(broken) => {
                worker.shared.not_connected();
                return Err(broken.into());
            }
        };
        worker.shared.connected();
        {
            let mut figures = worker.figures.borrow_mut();
            figures.connections += 1;
            figures.connect.record(began.elapsed());
        }
        wanted(connection.reply().await?)?;
        let verb = match worker.shared.plan.hello {
            Hello::Ehlo => "EHLO",
            Hello::Helo => "HELO",
        };
        let line = format!("{verb} {}\r\n", worker.shared.plan.name);
        connection.write_one(line.as_bytes()).await?;
        let reply = wanted(connection.reply().await?)?;
        worker.figures.borrow_mut().opened.record(began.elapsed());
        self.open = Some(Open {
            connection,
            extensions: match worker.shared.plan.hello {
                Hello::Ehlo => Extensions::of(&reply),
                Hello::Helo => Extensions::default(),
            },
            dirty: false,
            broken: false,
            carried: 0,
        });
        Ok(())
    }

    /// Sends a message on the open connection; forgets the connection when it is of no more use.
    async fn carry(&mut self, number: u32, size: usize) -> Ended {
        self.worker.shared.template.number(&mut self.header, number);
        let mut data_sent = None;
        let end = self.transaction(size, &mut data_sent).await;
        self.ended(end, data_sent)
    }

    async fn transaction(
        &mut self,
        size: usize,
        data_sent: &mut Option<Instant>,
    ) -> Result<Reply, End> {
        let Self {
            worker,
            header,
            recipients,
            envelope,
            ends,
            refused,
            open,
            ..
        } = self;
        let Some(open) = open else {
            return Err(Broken::Closed.into());
        };
        let plan = &worker.shared.plan;
        let Extensions {
            pipelining,
            chunking,
            ..
        } = open.extensions;
        let pipelining = plan.pipelining && pipelining;
        let bdat = plan.bdat && chunking;
        let resets = std::mem::take(&mut open.dirty);
        open.carried += 1;

        envelope.clear();
        ends.clear();
        if resets {
            envelope.extend_from_slice(b"RSET\r\n");
            ends.push(envelope.len());
        }
        // A Vec takes everything.
        let _ = write!(envelope, "MAIL FROM:<{}>", plan.from);
        if open.extensions.size {
            let _ = write!(envelope, " SIZE={size}");
        }
        envelope.extend_from_slice(b"\r\n");
        ends.push(envelope.len());
        let base = envelope.len();
        envelope.extend_from_slice(recipients);
        ends.extend(memchr::memchr_iter(b'\n', recipients).map(|at| base + at + 1));
        if !bdat {
            envelope.extend_from_slice(b"DATA\r\n");
            ends.push(envelope.len());
        }

        let body = worker.shared.template.body(size);
        let (before, after) = if bdat {
            (format!("BDAT {size} LAST\r\n"), &b""[..])
        } else {
            (String::new(), &b".\r\n"[..])
        };
        let mut content = [
            IoSlice::new(before.as_bytes()),
            IoSlice::new(header),
            IoSlice::new(body.octets),
            IoSlice::new(body.end),
            IoSlice::new(after),
        ];
        let connection = &mut open.connection;
        if pipelining {
            // RFC 2920 §3.1: DATA is the last command of a group. BDAT may be followed by its chunk (RFC 3030 §4.2).
            if bdat {
                let [chunk, header, body, end, _] = content;
                connection
                    .write(&mut [IoSlice::new(envelope), chunk, header, body, end])
                    .await?;
                *data_sent = Some(Instant::now());
            } else {
                connection.write_one(envelope).await?;
            }
        }

        let mut replies = Replies::new(resets, &plan.recipients);
        let mut go_on = false;
        let mut from = 0;
        for &end in ends.iter() {
            if !pipelining {
                connection.write_one(&envelope[from..end]).await?;
                from = end;
            }
            let reply = connection.reply().await?;
            go_on = replies.take(reply, refused)?;
            // Without pipelining nothing was sent after a command that was refused.
            if !pipelining && !go_on && replies.over() {
                open.dirty = true;
                return Err(replies.refusal());
            }
        }
        if bdat {
            if !pipelining {
                if !replies.accepted {
                    open.dirty = true;
                    return Err(replies.refusal());
                }
                connection.write(&mut content).await?;
                *data_sent = Some(Instant::now());
            }
            let reply = connection.reply().await?;
            if !replies.accepted {
                // The chunk was refused because its envelope was; that one says why.
                open.dirty = true;
                return Err(replies.refusal());
            }
            open.dirty = !is_positive(&reply);
            return Ok(reply);
        }
        if !go_on {
            open.dirty = true;
            return Err(replies.refusal());
        }
        if !replies.accepted {
            // RFC 2920 §3.1: 354 although no recipient was accepted: a dot alone ends it.
            connection.write_one(b".\r\n").await?;
            connection.reply().await?;
            return Err(replies.refusal());
        }
        if let Err(broken) = connection.write(&mut content).await {
            // The server may have said why it takes no more. Nothing else can be said on this connection.
            open.broken = true;
            connection.set_patience(LAST_WORDS);
            return Err(match connection.reply().await {
                Ok(reply) if is_refusal(&reply) => End::Refused(reply),
                _ => End::Broken(broken),
            });
        }
        *data_sent = Some(Instant::now());
        Ok(connection.reply().await?)
    }

    /// Judges the end of a message, and of the connection where it is no more use.
    fn ended(&mut self, end: Result<Reply, End>, data_sent: Option<Instant>) -> Ended {
        let lost = match data_sent {
            Some(_) => Outcome::Indeterminate,
            None => Outcome::Unsent,
        };
        let mut usable = true;
        let (outcome, reply, error) = match end {
            Ok(reply) if is_positive(&reply) => (Outcome::Acked, Some(reply), None),
            Ok(reply) | Err(End::Refused(reply)) if is_refusal(&reply) => {
                (Outcome::Refused, Some(reply), None)
            }
            Ok(reply) | Err(End::Refused(reply)) => {
                usable = false;
                let error = "the reply has a code that fits nothing".to_owned();
                (lost, Some(reply), Some(error))
            }
            Err(End::Broken(broken)) => {
                usable = false;
                (lost, None, Some(broken.to_string()))
            }
        };
        // RFC 5321 §3.8: after 421 the server closes.
        usable &= reply.as_ref().is_none_or(|reply| reply.code != 421);
        if !usable || self.open.as_ref().is_some_and(|open| open.broken) {
            self.open = None;
        }
        Ended {
            outcome,
            reply,
            error,
            data_sent,
            at: Instant::now(),
        }
    }

    fn write_down(
        &mut self,
        (number, size): (u32, usize),
        due: Instant,
        begun: Instant,
        ended: &Ended,
    ) {
        let worker = Rc::clone(&self.worker);
        worker.shared.count(ended.outcome);
        let mut figures = worker.figures.borrow_mut();
        figures.counts.add(ended.outcome);
        figures.elapsed = figures.elapsed.max(ended.at - worker.shared.started);
        if let Some(error) = &ended.error {
            figures.error(error);
        }
        match (ended.outcome, &ended.reply) {
            (Outcome::Acked, _) => {
                figures.octets += u64::try_from(size).unwrap_or(u64::MAX);
                figures.message.record(ended.at - due);
                figures.late.record(begun - due);
                if let Some(sent) = ended.data_sent {
                    figures.ack.record(ended.at - sent);
                }
            }
            (Outcome::Refused, Some(reply)) => {
                *figures.refused.entry(reply.code).or_default() += 1;
            }
            _ => {}
        }
        for reply in self.refused.values() {
            *figures.recipients_refused.entry(reply.code).or_default() += 1;
        }
        let mut pages = worker.pages.borrow_mut();
        if pages.kept() {
            let us = |at: Instant| worker.shared.since_start_us(at);
            pages.push(&Entry {
                message: number,
                message_id: worker.shared.template.message_id(&self.header),
                session: self.number,
                size,
                outcome: ended.outcome,
                reply: ended.reply.as_ref(),
                refused: &self.refused,
                error: ended.error.as_deref(),
                due_us: us(due),
                begun_us: us(begun),
                data_sent_us: ended.data_sent.map(us),
                ended_us: us(ended.at),
            });
        }
        self.refused.clear();
    }

    /// Says QUIT on an open connection, and forgets it.
    async fn quit(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.connection
                .set_patience(self.worker.shared.plan.patience.min(LAST_WORDS));
            // Whatever comes back, it is over.
            if open.connection.write_one(b"QUIT\r\n").await.is_ok() {
                let _ = open.connection.reply().await;
            }
        }
    }
}

/// What the replies to an envelope have said so far.
struct Replies<'p> {
    /// Whose reply is next.
    next: Next,
    /// Recipients whose replies have not come.
    recipients: std::slice::Iter<'p, String>,
    mail_refused: bool,
    /// A recipient was accepted.
    accepted: bool,
    /// The refusal that decides the message's fate, if nothing else does.
    no: Option<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Rset,
    Mail,
    /// …and when there are no more of them, DATA's.
    Recipient,
}

impl<'p> Replies<'p> {
    fn new(resets: bool, recipients: &'p [String]) -> Self {
        Self {
            next: if resets { Next::Rset } else { Next::Mail },
            recipients: recipients.iter(),
            mail_refused: false,
            accepted: false,
            no: None,
        }
    }

    /// Takes the next reply. `true`: it was 354, and content is wanted.
    fn take(&mut self, reply: Reply, refused: &mut BTreeMap<String, Reply>) -> Result<bool, End> {
        // RFC 5321 §3.8: it may come at any time, and nothing comes after it.
        if reply.code == 421 {
            return Err(End::Refused(reply));
        }
        match (self.next, is_positive(&reply), is_refusal(&reply)) {
            (Next::Rset, true, _) => self.next = Next::Mail,
            (Next::Mail, true, _) => self.next = Next::Recipient,
            (Next::Mail, _, true) => {
                self.next = Next::Recipient;
                self.mail_refused = true;
                self.no = Some(reply);
            }
            (Next::Recipient, positive, refusal) => match self.recipients.next() {
                // Every RCPT after a refused MAIL is out of order: that says nothing of the recipient.
                Some(_) if self.mail_refused && refusal => {}
                Some(_) if positive => self.accepted = !self.mail_refused,
                Some(to) if refusal => {
                    refused.insert(to.clone(), reply.clone());
                    self.no = Some(reply);
                }
                None if reply.code == 354 => return Ok(true),
                None if refusal => {
                    if self.accepted || self.no.is_none() {
                        self.no = Some(reply);
                    }
                }
                _ => return Err(nonsense(&reply)),
            },
            _ => return Err(nonsense(&reply)),
        }
        Ok(false)
    }

    /// The message can go to nobody.
    fn over(&self) -> bool {
        self.mail_refused || (self.recipients.as_slice().is_empty() && !self.accepted)
    }

    /// Why the message was refused.
    fn refusal(&mut self) -> End {
        match self.no.take() {
            Some(reply) => End::Refused(reply),
            None => Broken::Nonsense("content refused without a reason".into()).into(),
        }
    }
}

fn nonsense(reply: &Reply) -> End {
    Broken::Nonsense(format!("{} where it has no meaning", reply.code)).into()
}

/// A greeting or a reply that has to be 2yz.
fn wanted(reply: Reply) -> Result<Reply, End> {
    if is_positive(&reply) {
        Ok(reply)
    } else if is_refusal(&reply) {
        Err(End::Refused(reply))
    } else {
        Err(nonsense(&reply))
    }
}
