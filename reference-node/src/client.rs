//! The sending side's driver: one SMTP session to another server, over a stream of the environment.
//!
//! Comes in: commands and contents. Goes out: replies, or how the session was lost. Every wait is
//! bounded by the send connector's ConnectionInactivityTimeOut (TO-09), or a shorter bound.

use std::{io, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    env::{BoxStream, Environment},
    smtp::{
        Body, MailFrom, RcptTo, Reply,
        data::has_bare_line_end,
        dialogue::{
            BadReply, CannotSend, Extensions, ReplyReader, bdat_pieces, mail_command, rcpt_command,
            stuffed_pieces,
        },
    },
};

/// Octets of content that are made ready at once.
const SENT_AT_ONCE: usize = 256 * 1024;

/// Octets of replies that are read at once.
const READ_AT_ONCE: usize = 4096;

/// A server that does not answer QUIT has nothing more to say.
const QUIT_PATIENCE: Duration = Duration::from_secs(10);

/// Why a session could not be used, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection was lost.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// Nothing came for too long.
    #[error("no answer in {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// What came is no SMTP.
    #[error("bad reply: {0}")]
    BadReply(BadReply),
    /// The server does not want the session.
    #[error("refused: {0}")]
    Refused(Reply),
    /// The server lacks an extension that the message needs.
    #[error("cannot be sent to this server: {0}")]
    Cannot(CannotSend),
    /// The other side is not the peer that it should be.
    #[error("no peer: {0}")]
    NotPeer(&'static str),
}

/// What became of a transaction whose end-of-data was answered, or that ended before.
#[derive(Debug)]
pub struct Transacted {
    /// For each recipient its reply to RCPT.
    pub recipients: Vec<Reply>,
    /// The final reply; a negative reply to MAIL or DATA stands here as well.
    pub end: Reply,
}

impl Transacted {
    /// The server holds the message, for every recipient.
    pub fn is_complete(&self) -> bool {
        self.end.is_positive() && self.recipients.iter().all(Reply::is_positive)
    }

    /// The server ends the session (RFC 5321 §3.8).
    pub fn closes(&self) -> bool {
        self.end.code == 421 || self.recipients.iter().any(|r| r.code == 421)
    }
}

/// Why a transaction has no final reply.
#[derive(Debug)]
pub struct Broken {
    /// What happened.
    pub error: ClientError,
    /// The end of data was sent: the other side may have the message.
    pub maybe_taken: bool,
}

/// An SMTP session to another server.
pub struct Client {
    stream: BoxStream,
    reader: ReplyReader,
    extensions: Extensions,
    patience: Duration,
    /// A transaction was begun, and its end of data was not answered.
    open: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("extensions", &self.extensions)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects, reads the greeting, says EHLO, and HELO where EHLO is not known (RFC 5321 §3.2).
    /// No single wait lasts longer than `patience`.
    ///
    /// # Errors
    /// No connection, or no server that wants the session.
    pub async fn connect(
        env: &dyn Environment,
        address: &str,
        name: &str,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let stream = tokio::time::timeout(patience, env.connect(address))
            .await
            .map_err(|_| ClientError::TimedOut(patience))?
            .map_err(ClientError::Connect)?;
        Self::greet(stream, name, patience).await
    }

    /// [`Self::connect`] on an open stream.
    ///
    /// # Errors
    /// As there.
    pub async fn greet(
        stream: BoxStream,
        name: &str,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let mut client = Self {
            stream,
            reader: ReplyReader::new(),
            extensions: Extensions::default(),
            patience,
            open: false,
        };
        let greeting = client.reply().await?;
        if !greeting.is_positive() {
            return Err(ClientError::Refused(greeting));
        }
        let ehlo = client.command(&format!("EHLO {name}\r\n")).await?;
        if ehlo.is_positive() {
            client.extensions = Extensions::from_ehlo(&ehlo);
        } else if ehlo.is_permanent() {
            let helo = client.command(&format!("HELO {name}\r\n")).await?;
            if !helo.is_positive() {
                return Err(ClientError::Refused(helo));
            }
        } else {
            return Err(ClientError::Refused(ehlo));
        }
        Ok(client)
    }

    /// What the server offered.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Sends whatever size to a server that lets peers pass its limit.
    pub(crate) fn ignore_size(&mut self) {
        self.extensions.size = None;
    }

    /// Sends a command line and reads its reply.
    ///
    /// # Errors
    /// The session is lost.
    pub async fn command(&mut self, line: &str) -> Result<Reply, ClientError> {
        self.send(line.as_bytes()).await?;
        self.reply().await
    }

    /// Sends octets.
    ///
    /// # Errors
    /// The session is lost.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), ClientError> {
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(self.patience, write)
            .await
            .map_err(|_| ClientError::TimedOut(self.patience))?
            .map_err(ClientError::Lost)
    }

    /// Reads the next reply.
    ///
    /// # Errors
    /// The session is lost, or what came is no reply.
    pub async fn reply(&mut self) -> Result<Reply, ClientError> {
        let mut buffer = Vec::new();
        loop {
            match self.reader.next() {
                Some(Ok(reply)) => return Ok(reply),
                Some(Err(bad)) => return Err(ClientError::BadReply(bad)),
                None => {}
            }
            buffer.clear();
            buffer.reserve(READ_AT_ONCE);
            let count = tokio::time::timeout(self.patience, self.stream.read_buf(&mut buffer))
                .await
                .map_err(|_| ClientError::TimedOut(self.patience))?
                .map_err(ClientError::Lost)?;
            if count == 0 {
                return Err(ClientError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            self.reader.feed(&buffer);
        }
    }

    /// One mail transaction. `prefix` are command lines that go before MAIL and are answered before it
    /// (XSHADOW, XDELIVER, XQDISCARD); their replies come in `prefix_replies`.
    ///
    /// # Errors
    /// The session broke; or nothing was sent, because the message cannot go to this server.
    pub async fn transact(
        &mut self,
        prefix: &[String],
        prefix_replies: &mut Vec<Reply>,
        from: &MailFrom,
        recipients: &[&RcptTo],
        content: &[u8],
    ) -> Result<Transacted, Broken> {
        let before = |error| Broken {
            error,
            maybe_taken: false,
        };
        // A transaction whose recipients were all refused is open still, and MAIL would be answered with 503.
        if self.open {
            let reply = self.command("RSET\r\n").await.map_err(before)?;
            if !reply.is_positive() {
                return Err(before(ClientError::Refused(reply)));
            }
            self.open = false;
        }
        let mut lines: Vec<String> = prefix.to_vec();
        lines.push(
            mail_command(from, content, &self.extensions)
                .map_err(|e| before(ClientError::Cannot(e)))?,
        );
        for to in recipients {
            lines.push(
                rcpt_command(to, &self.extensions).map_err(|e| before(ClientError::Cannot(e)))?,
            );
        }
        // RFC 3030 §3: binary content travels by BDAT only. Bare line ends do where it can be, because a server
        // that takes <LF>.<LF> for the end of data would be fooled by DATA.
        let chunked = self.extensions.chunking
            && (from.body == Body::BinaryMime || has_bare_line_end(content));
        if !chunked {
            lines.push("DATA\r\n".to_owned());
        }

        let mut replies = Vec::with_capacity(lines.len());
        if self.extensions.pipelining {
            // RFC 2920 §3.1: MAIL, RCPT and DATA may go together, DATA as the last.
            self.send(lines.concat().as_bytes()).await.map_err(before)?;
            for _ in &lines {
                replies.push(self.reply().await.map_err(before)?);
            }
        } else {
            for line in &lines {
                let reply = self.command(line).await.map_err(before)?;
                // RFC 5321 §3.8: after 421 the session is over, whatever it was to.
                let over = reply.code == 421;
                let failed = !reply.is_positive() && !line.starts_with("RCPT");
                replies.push(reply);
                if failed || over {
                    break;
                }
            }
        }

        let mut replies = replies.into_iter();
        for _ in prefix {
            match replies.next() {
                Some(reply) if reply.is_positive() => prefix_replies.push(reply),
                // A peer that refuses XSHADOW or XDELIVER would take MAIL for an ordinary one: this session is over.
                Some(reply) => return Err(before(ClientError::Refused(reply))),
                None => {
                    return Err(before(ClientError::Lost(
                        io::ErrorKind::UnexpectedEof.into(),
                    )));
                }
            }
        }
        let Some(mail) = replies.next() else {
            return Err(before(ClientError::Lost(
                io::ErrorKind::UnexpectedEof.into(),
            )));
        };
        if !mail.is_positive() {
            if replies
                .next_back()
                .is_some_and(|data| data.is_intermediate())
            {
                self.send(b".\r\n").await.map_err(before)?;
                self.reply().await.map_err(before)?;
            }
            return Ok(Transacted {
                recipients: Vec::new(),
                end: mail,
            });
        }
        self.open = true;
        let recipient_replies: Vec<Reply> = replies.by_ref().take(recipients.len()).collect();
        let any = recipient_replies.iter().any(Reply::is_positive);
        if chunked && any {
            let pieces = bdat_pieces(content, SENT_AT_ONCE);
            return self.end(pieces, recipient_replies).await;
        }
        let Some(data) = replies.next() else {
            let end = recipient_replies
                .last()
                .cloned()
                .unwrap_or_else(|| Reply::bad_sequence("no recipients"));
            return Ok(Transacted {
                recipients: recipient_replies,
                end,
            });
        };
        if data.is_positive() {
            // It has taken a message that was not sent.
            return Err(before(ClientError::Refused(data)));
        }
        if !data.is_intermediate() {
            return Ok(Transacted {
                recipients: recipient_replies,
                end: data,
            });
        }
        if !any {
            // The server wants content for nobody: an empty one, whose reply means nothing.
            self.send(b".\r\n").await.map_err(before)?;
            let end = self.reply().await.map_err(before)?;
            self.open = false;
            return Ok(Transacted {
                recipients: recipient_replies,
                end,
            });
        }
        let pieces = stuffed_pieces(content, SENT_AT_ONCE);
        self.end(pieces, recipient_replies).await
    }

    /// Sends the content with its end, and reads the final reply.
    async fn end(
        &mut self,
        pieces: impl Iterator<Item = Vec<u8>>,
        recipients: Vec<Reply>,
    ) -> Result<Transacted, Broken> {
        let after = |error| Broken {
            error,
            maybe_taken: true,
        };
        for piece in pieces {
            self.send(&piece).await.map_err(after)?;
        }
        let end = self.reply().await.map_err(after)?;
        self.open = false;
        Ok(Transacted { recipients, end })
    }

    /// QUIT, without waiting for its reply.
    pub async fn quit(mut self) {
        // The other side may be gone already; there is nothing left to lose.
        let _ = self.send(b"QUIT\r\n").await;
        let _ = self.stream.shutdown().await;
    }

    /// QUIT to a server that is no peer: the connection is closed when its reply has come, or does not come for a while
    /// (RFC 5321 §4.1.1.10).
    pub async fn take_leave(mut self) {
        self.patience = self.patience.min(QUIT_PATIENCE);
        if self.send(b"QUIT\r\n").await.is_ok() {
            // Whatever it says.
            let _ = self.reply().await;
        }
        let _ = self.stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader, duplex, split};

    use super::*;

    /// A session with a server that greets, and then answers line by line; what it was told goes to `heard`.
    async fn session(
        answers: &'static [&'static str],
        heard: tokio::sync::mpsc::UnboundedSender<String>,
    ) -> Client {
        let (here, there) = duplex(4096);
        tokio::spawn(async move {
            let (reader, mut writer) = split(there);
            let mut lines = BufReader::new(reader).lines();
            writer.write_all(b"220 x\r\n").await.expect("greeted");
            for answer in answers {
                let Ok(Some(line)) = lines.next_line().await else {
                    return;
                };
                heard.send(line).expect("somebody listens");
                writer
                    .write_all(format!("{answer}\r\n").as_bytes())
                    .await
                    .expect("answered");
            }
        });
        Client::greet(Box::new(here), "n1", Duration::from_secs(60))
            .await
            .expect("a session")
    }

    async fn send(client: &mut Client) -> Result<Transacted, Broken> {
        let to = RcptTo {
            path: "b@y.example".into(),
            ..RcptTo::default()
        };
        client
            .transact(
                &[],
                &mut Vec::new(),
                &MailFrom::default(),
                &[&to],
                b"Subject: x\r\n\r\n",
            )
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_whose_recipients_were_refused_is_reset_before_the_next() {
        let (heard, mut said) = tokio::sync::mpsc::unbounded_channel();
        let answers = &[
            "250 x",
            "250 ok",
            "550 no",
            "554 none",
            "250 reset",
            "250 ok",
            "250 ok",
            "451 later",
        ];
        let mut client = session(answers, heard).await;
        let first = send(&mut client).await.expect("a reply");
        assert_eq!(
            (first.recipients[0].code, first.is_complete()),
            (550, false)
        );
        assert_eq!(send(&mut client).await.expect("a reply").end.code, 451);
        let mut verbs = Vec::new();
        while let Ok(line) = said.try_recv() {
            verbs.push(line[..4].to_owned());
        }
        assert_eq!(verbs.join(" "), "EHLO MAIL RCPT DATA RSET MAIL RCPT DATA");
    }

    #[tokio::test(start_paused = true)]
    async fn after_421_nothing_more_is_sent() {
        let (heard, mut said) = tokio::sync::mpsc::unbounded_channel();
        let mut client = session(&["250 x", "250 ok", "421 closing"], heard).await;
        let done = send(&mut client).await.expect("a reply");
        assert!(done.closes() && !done.is_complete());
        let mut verbs = Vec::new();
        while let Ok(line) = said.try_recv() {
            verbs.push(line[..4].to_owned());
        }
        assert_eq!(verbs.join(" "), "EHLO MAIL RCPT");
    }

    #[tokio::test(start_paused = true)]
    async fn the_reply_to_quit_is_waited_for() {
        let (heard, _said) = tokio::sync::mpsc::unbounded_channel();
        let client = session(&["250 x"], heard).await;
        let began = tokio::time::Instant::now();
        // Nobody answers it, and nobody waits longer than this.
        client.take_leave().await;
        assert!(began.elapsed() <= QUIT_PATIENCE);
        let (heard, mut said) = tokio::sync::mpsc::unbounded_channel();
        let client = session(&["250 x", "221 bye"], heard).await;
        client.take_leave().await;
        assert_eq!(said.recv().await.as_deref(), Some("EHLO n1"));
        assert_eq!(said.recv().await.as_deref(), Some("QUIT"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_was_not_sent_was_not_taken() {
        let (heard, _said) = tokio::sync::mpsc::unbounded_channel();
        let mut client = session(&["250 x", "250 ok", "250 ok", "250 taken"], heard).await;
        let broken = send(&mut client).await.expect_err("nothing was sent");
        assert!(
            !broken.maybe_taken && matches!(broken.error, ClientError::Refused(_)),
            "{broken:?}"
        );
    }
}
