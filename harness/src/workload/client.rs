//! Our own SMTP client: exact about what it sent and what it was told.
//!
//! Comes in: a stream to a server and a [`Mail`]. Goes out: a [`Submitted`], with one of the four outcomes.
//! Called by the [courier](super::courier), the idle client and the peer verbs' client.
//!
//! The moment that divides `unsent` from `indeterminate` is the one at which the stream took the last octet
//! of the end of data; the caller is told of it before anything else happens.

use std::{collections::BTreeMap, io, time::Duration};

use reference_node::env::BoxStream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    content::Content,
    dialogue::{Extensions, ReplyReader, is_positive, is_refusal, stuff},
};
use crate::{
    history::{Outcome, Reply},
    scenario::{Cut, Hello, Transfer},
};

/// Octets of one BDAT chunk.
const CHUNK: usize = 64 * 1024;

/// How long a client that could not write on looks for the reason among what it can read.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The stream failed.
    #[error("{0}")]
    Io(String),
    /// The server ended the connection.
    #[error("the connection was closed")]
    Closed,
    /// The client's patience ended.
    #[error("no {what} within {patience:?}")]
    TimedOut {
        /// What it waited for.
        what: &'static str,
        /// How long.
        patience: Duration,
    },
    /// The server does not speak SMTP.
    #[error("{0}")]
    Nonsense(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Why a session could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOpened {
    /// The greeting, or the reply to EHLO or HELO, was 4yz or 5yz.
    Refused(Reply),
    /// It broke.
    Broken(Broken),
}

impl<T: Into<Broken>> From<T> for NotOpened {
    fn from(broken: T) -> Self {
        Self::Broken(broken.into())
    }
}

/// One mail transaction.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// Return path, without brackets; empty for `<>`.
    pub from: &'a str,
    /// Envelope recipients.
    pub recipients: &'a [String],
    /// The message.
    pub content: &'a Content,
    /// BDAT is used only when the server offers CHUNKING.
    pub transfer: Transfer,
    /// Where to break off.
    pub cut: Option<Cut>,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The outcome, as the client saw it.
    pub outcome: Outcome,
    /// The reply that decided it.
    pub reply: Option<Reply>,
    /// Recipients refused at RCPT.
    pub refused: BTreeMap<String, Reply>,
    /// What broke the session off.
    pub error: Option<String>,
}

impl Submitted {
    /// The session could not begin.
    pub fn not_opened(why: NotOpened) -> Self {
        match why {
            NotOpened::Refused(reply) => Self {
                reply: Some(reply),
                ..Self::of(Outcome::Refused, None)
            },
            NotOpened::Broken(broken) => Self::of(Outcome::Unsent, Some(broken.to_string())),
        }
    }

    /// An outcome without a reply.
    pub fn of(outcome: Outcome, error: Option<String>) -> Self {
        Self {
            outcome,
            reply: None,
            refused: BTreeMap::new(),
            error,
        }
    }
}

/// An SMTP session, from its greeting on.
pub struct Session {
    wire: Wire,
    extensions: Extensions,
    /// The next transaction must begin with RSET.
    dirty: bool,
    usable: bool,
}

/// What ended a transaction before its final reply.
enum End {
    Refused(Reply),
    Broken(Broken),
    /// The client broke off, as it was told to.
    Cut(&'static str),
    /// It could not be said in this session.
    Impossible(String),
}

impl<T: Into<Broken>> From<T> for End {
    fn from(broken: T) -> Self {
        Self::Broken(broken.into())
    }
}

impl Session {
    /// Waits for the greeting and says hello as `name`. Waits for no reply longer than `patience`.
    pub async fn open(
        stream: BoxStream,
        name: &str,
        hello: Hello,
        patience: Duration,
    ) -> Result<Self, NotOpened> {
        let mut wire = Wire {
            stream,
            replies: ReplyReader::default(),
            patience,
        };
        let greeting = wire.reply("greeting").await?;
        if !is_positive(&greeting) {
            return Err(NotOpened::Refused(greeting));
        }
        let verb = match hello {
            Hello::Ehlo => "EHLO",
            Hello::Helo => "HELO",
        };
        let reply = wire.command(&format!("{verb} {name}")).await?;
        if !is_positive(&reply) {
            return Err(NotOpened::Refused(reply));
        }
        let extensions = if hello == Hello::Ehlo {
            Extensions::of(&reply)
        } else {
            Extensions::default()
        };
        Ok(Self {
            wire,
            extensions,
            dirty: false,
            usable: true,
        })
    }

    /// Another transaction can be tried.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// Gives a command line (without CRLF), and waits for its reply.
    pub async fn command(&mut self, line: &str) -> Result<Reply, Broken> {
        let reply = self.wire.command(line).await;
        self.usable &= reply.is_ok();
        reply
    }

    /// Waits for `wait` for a reply that was not asked for, e.g. 421. `Ok(None)`: nothing came.
    pub async fn unasked(&mut self, wait: Duration) -> Result<Option<Reply>, Broken> {
        let patience = std::mem::replace(&mut self.wire.patience, wait);
        let reply = self.wire.reply("reply").await;
        self.wire.patience = patience;
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(Broken::TimedOut { .. }) => Ok(None),
            Err(broken) => {
                self.usable = false;
                Err(broken)
            }
        }
    }

    /// Sends a line of content (without CRLF), to which no reply is due.
    pub async fn line(&mut self, line: &str) -> Result<(), Broken> {
        let mut octets = line.as_bytes().to_vec();
        octets.extend_from_slice(b"\r\n");
        let sent = match self.wire.write(&octets).await {
            Ok(()) => self.wire.flush().await,
            Err(broken) => Err(broken),
        };
        self.usable &= sent.is_ok();
        sent
    }

    /// Ends the connection without a word.
    pub async fn hang_up(mut self) {
        self.wire.hang_up().await;
    }

    /// NOOP is answered with 2yz.
    pub async fn probe(&mut self) -> bool {
        self.usable
            && self
                .command("NOOP")
                .await
                .is_ok_and(|reply| is_positive(&reply))
    }

    /// Says QUIT, waits for the reply not longer than `wait`, and hangs up.
    pub async fn quit(mut self, wait: Duration) {
        if self.usable {
            self.wire.patience = self.wire.patience.min(wait);
            // Whatever comes back, the session is over.
            let _ = self.wire.command("QUIT").await;
        }
        self.wire.hang_up().await;
    }

    /// Submits a message. `data_sent` is called once, at the moment at which the whole end of data was written.
    pub async fn submit(
        &mut self,
        mail: Mail<'_>,
        data_sent: &mut (dyn FnMut() + Send),
    ) -> Submitted {
        let mut sent = false;
        let mut refused = BTreeMap::new();
        let end = {
            let mut told = || {
                sent = true;
                data_sent();
            };
            self.transaction(mail, &mut refused, &mut told).await
        };
        let lost = if sent {
            Outcome::Indeterminate
        } else {
            Outcome::Unsent
        };
        let (outcome, reply, error) = match end {
            Ok(reply) if is_positive(&reply) => (Outcome::Acked, Some(reply), None),
            Ok(reply) | Err(End::Refused(reply)) if is_refusal(&reply) => {
                (Outcome::Refused, Some(reply), None)
            }
            Ok(reply) | Err(End::Refused(reply)) => {
                self.usable = false;
                (
                    lost,
                    Some(reply),
                    Some("the reply has a code that fits nothing".to_owned()),
                )
            }
            Err(End::Broken(broken)) => {
                self.usable = false;
                (lost, None, Some(broken.to_string()))
            }
            Err(End::Cut(at)) => {
                self.usable = false;
                (lost, None, Some(format!("the client broke off {at}")))
            }
            Err(End::Impossible(why)) => (Outcome::Unsent, None, Some(why)),
        };
        // RFC 5321 §3.8: after 421 the server closes. A smuggled transaction leaves replies behind that nobody asked for.
        self.usable &=
            reply.as_ref().is_none_or(|r| r.code != 421) && mail.content.on_wire.is_none();
        Submitted {
            outcome,
            reply,
            refused,
            error,
        }
    }

    async fn transaction(
        &mut self,
        mail: Mail<'_>,
        refused: &mut BTreeMap<String, Reply>,
        data_sent: &mut (dyn FnMut() + Send),
    ) -> Result<Reply, End> {
        if std::mem::take(&mut self.dirty) {
            self.asked("RSET").await?;
        }
        let line = self.mail_command(mail)?;
        self.asked(&line).await?;
        let mut accepted = false;
        let mut last_refusal = None;
        for recipient in mail.recipients {
            match self.asked(&format!("RCPT TO:<{recipient}>")).await {
                Ok(()) => accepted = true,
                Err(End::Refused(reply)) if reply.code != 421 => {
                    refused.insert(recipient.clone(), reply.clone());
                    last_refusal = Some(reply);
                }
                Err(end) => return Err(end),
            }
        }
        if let (false, Some(reply)) = (accepted, last_refusal) {
            self.dirty = true;
            return Err(End::Refused(reply));
        }
        if mail.transfer == Transfer::Bdat && self.extensions.chunking {
            self.send_chunks(mail, data_sent).await
        } else {
            self.send_data(mail, data_sent).await
        }
    }

    fn mail_command(&self, mail: Mail<'_>) -> Result<String, End> {
        let mut line = format!("MAIL FROM:<{}>", mail.from);
        if self.extensions.size {
            line.push_str(&format!(" SIZE={}", mail.content.octets.len()));
        }
        if self.extensions.eight_bit_mime && mail.content.is_eight_bit() {
            line.push_str(" BODY=8BITMIME");
        }
        let utf8_address = !mail.from.is_ascii() || mail.recipients.iter().any(|r| !r.is_ascii());
        if self.extensions.smtputf8 && (utf8_address || mail.content.has_utf8_header()) {
            line.push_str(" SMTPUTF8");
        } else if utf8_address {
            return Err(End::Impossible(
                "an address needs SMTPUTF8, which the server does not offer".into(),
            ));
        }
        Ok(line)
    }

    /// Gives a command that wants a 2yz.
    async fn asked(&mut self, line: &str) -> Result<(), End> {
        let reply = self.wire.command(line).await?;
        if is_positive(&reply) {
            Ok(())
        } else if is_refusal(&reply) {
            Err(End::Refused(reply))
        } else {
            Err(Broken::Nonsense(format!("{} to {line}", reply.code)).into())
        }
    }

    async fn send_data(
        &mut self,
        mail: Mail<'_>,
        data_sent: &mut (dyn FnMut() + Send),
    ) -> Result<Reply, End> {
        let reply = self.wire.command("DATA").await?;
        if is_refusal(&reply) {
            self.dirty = true;
            return Err(End::Refused(reply));
        }
        if reply.code != 354 {
            return Err(Broken::Nonsense(format!("{} to DATA", reply.code)).into());
        }
        let mut octets = mail
            .content
            .on_wire
            .clone()
            .unwrap_or_else(|| stuff(&mail.content.octets));
        match mail.cut {
            Some(Cut::MidData) => {
                octets.truncate(octets.len() / 2);
                return Err(self
                    .break_off(&octets, "in the middle of the content")
                    .await);
            }
            Some(Cut::BeforeEndOfData) => {
                return Err(self.break_off(&octets, "before the end of data").await);
            }
            Some(Cut::AfterEndOfData) | None => {}
        }
        // The content ends with CRLF, which is the first one of the end of data.
        octets.extend_from_slice(b".\r\n");
        self.send_last(&octets, mail.cut, data_sent).await
    }

    async fn send_chunks(
        &mut self,
        mail: Mail<'_>,
        data_sent: &mut (dyn FnMut() + Send),
    ) -> Result<Reply, End> {
        let chunks: Vec<_> = mail.content.octets.chunks(CHUNK).collect();
        for (at, chunk) in chunks.iter().enumerate() {
            let last = at + 1 == chunks.len() && mail.cut != Some(Cut::BeforeEndOfData);
            let mut octets = format!(
                "BDAT {}{}\r\n",
                chunk.len(),
                if last { " LAST" } else { "" }
            )
            .into_bytes();
            if mail.cut == Some(Cut::MidData) {
                octets.extend_from_slice(&chunk[..chunk.len() / 2]);
                return Err(self
                    .break_off(&octets, "in the middle of the content")
                    .await);
            }
            octets.extend_from_slice(chunk);
            if last {
                return self.send_last(&octets, mail.cut, data_sent).await;
            }
            if let Err(broken) = self.wire.write(&octets).await {
                return Err(self
                    .last_look()
                    .await
                    .map_or(End::Broken(broken), End::Refused));
            }
            let reply = self.wire.reply("reply to BDAT").await?;
            if !is_positive(&reply) {
                self.dirty = true;
                return Err(End::Refused(reply));
            }
        }
        Err(self.break_off(b"", "before the end of data").await)
    }

    /// Writes the octets that end the message, and waits for the final reply.
    async fn send_last(
        &mut self,
        octets: &[u8],
        cut: Option<Cut>,
        data_sent: &mut (dyn FnMut() + Send),
    ) -> Result<Reply, End> {
        if let Err(broken) = self.wire.write(octets).await {
            return Err(self
                .last_look()
                .await
                .map_or(End::Broken(broken), End::Refused));
        }
        data_sent();
        if cut == Some(Cut::AfterEndOfData) {
            return Err(self.break_off(b"", "after the end of data").await);
        }
        self.wire.flush().await?;
        Ok(self.wire.reply("reply to the end of data").await?)
    }

    async fn break_off(&mut self, octets: &[u8], at: &'static str) -> End {
        if let Err(broken) = self.wire.write(octets).await {
            return broken.into();
        }
        // What was written shall arrive; when it cannot, the connection is gone all the same.
        let _ = self.wire.flush().await;
        self.wire.hang_up().await;
        End::Cut(at)
    }

    /// A server that closes may have said why (421, 552) before the client could not write on.
    async fn last_look(&mut self) -> Option<Reply> {
        self.usable = false;
        self.wire.patience = self.wire.patience.min(LAST_LOOK);
        self.wire.reply("last reply").await.ok().filter(is_refusal)
    }
}

/// The stream, and what was read from it.
struct Wire {
    stream: BoxStream,
    replies: ReplyReader,
    patience: Duration,
}

impl Wire {
    async fn command(&mut self, line: &str) -> Result<Reply, Broken> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.flush().await?;
        self.reply("reply").await
    }

    /// Returns as soon as the stream took the last octet, and only then without an error.
    async fn write(&mut self, octets: &[u8]) -> Result<(), Broken> {
        let patience = self.patience;
        match timeout(patience, self.stream.write_all(octets)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Broken::TimedOut {
                what: "room to write",
                patience,
            }),
        }
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        let patience = self.patience;
        match timeout(patience, self.stream.flush()).await {
            Ok(flushed) => Ok(flushed?),
            Err(_) => Err(Broken::TimedOut {
                what: "room to write",
                patience,
            }),
        }
    }

    async fn reply(&mut self, what: &'static str) -> Result<Reply, Broken> {
        let patience = self.patience;
        timeout(patience, self.read_reply())
            .await
            .unwrap_or(Err(Broken::TimedOut { what, patience }))
    }

    async fn read_reply(&mut self) -> Result<Reply, Broken> {
        let mut octets = [0; 4096];
        loop {
            if let Some(reply) = self
                .replies
                .next_reply()
                .map_err(|e| Broken::Nonsense(e.to_string()))?
            {
                return Ok(reply);
            }
            match self.stream.read(&mut octets).await? {
                0 => return Err(Broken::Closed),
                read => self.replies.feed(&octets[..read]),
            }
        }
    }

    async fn hang_up(&mut self) {
        // The other side may be gone, or not reading; the stream is dropped right after this.
        let _ = timeout(LAST_LOOK, self.stream.shutdown()).await;
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
