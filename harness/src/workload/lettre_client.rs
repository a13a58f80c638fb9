//! lettre's SMTP client over a stream of ours: a widely used implementation beside our own.
//!
//! Comes in: a stream and a [`Mail`]. Goes out: a [`Submitted`]. Called by the [courier](super::courier).
//!
//! lettre does not say whether the end of data was sent when something fails. The stream beneath it does:
//! [`Watched`] reads along, tells the moment, keeps the last reply whole, and ends the client's patience.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use lettre::{
    Address,
    address::Envelope,
    transport::smtp::{
        Error,
        client::{AsyncSmtpConnection, AsyncTokioStream},
        extension::ClientId,
    },
};
use reference_node::env::BoxStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, timeout},
};

use super::{
    client::{Broken, Mail, NotOpened, Submitted},
    dialogue::{ReplyReader, is_positive, is_refusal},
};
use crate::history::{Outcome, Reply};

type DataSent = Box<dyn FnMut() + Send>;

/// A session of lettre's client.
pub struct LettreSession {
    connection: AsyncSmtpConnection,
    watch: Arc<Mutex<Watch>>,
}

impl LettreSession {
    /// Waits for the greeting and says EHLO as `name`. Waits for no reply longer than `patience`.
    pub async fn open(
        stream: BoxStream,
        name: &str,
        patience: Duration,
    ) -> Result<Self, NotOpened> {
        let watch = Arc::new(Mutex::new(Watch::default()));
        let watched = Watched {
            stream: Mutex::new(stream),
            watch: watch.clone(),
            patience,
            deadline: Box::pin(sleep(patience)),
            given_up: false,
        };
        let hello = ClientId::Domain(name.to_owned());
        match AsyncSmtpConnection::connect_with_transport(Box::new(watched), &hello).await {
            Ok(connection) => Ok(Self { connection, watch }),
            Err(error) => {
                let reply = lock(&watch)
                    .last_reply
                    .take()
                    .filter(|r| error.status().is_some() && is_refusal(r));
                Err(reply.map_or_else(
                    || NotOpened::Broken(Broken::Io(error.to_string())),
                    NotOpened::Refused,
                ))
            }
        }
    }

    /// lettre has not closed the connection.
    pub fn is_usable(&self) -> bool {
        !self.connection.has_broken()
    }

    /// NOOP is answered with 2yz; `None` when lettre has closed the connection itself, as it does after a refusal.
    pub async fn probe(&mut self) -> Option<bool> {
        if self.is_usable() {
            Some(self.connection.test_connected().await)
        } else {
            None
        }
    }

    /// Says QUIT, waits for the reply not longer than `wait`, and hangs up.
    pub async fn quit(mut self, wait: Duration) {
        if self.is_usable() {
            // Whatever comes back, the session is over.
            let _ = timeout(wait, self.connection.quit()).await;
        }
    }

    /// Submits a message. `data_sent` is called at the moment at which the whole end of data was written.
    pub async fn submit(&mut self, mail: Mail<'_>, data_sent: DataSent) -> Submitted {
        let envelope = match envelope(mail) {
            Ok(envelope) => envelope,
            Err(why) => return Submitted::of(Outcome::Unsent, Some(why)),
        };
        // lettre puts a CRLF before the final dot; the content's own would make an empty line of it.
        let octets = mail
            .content
            .octets
            .strip_suffix(b"\r\n")
            .unwrap_or(&mail.content.octets);
        lock(&self.watch).begin(data_sent);
        let result = self.connection.send(&envelope, octets).await;
        let seen = lock(&self.watch).end();
        match result {
            // lettre takes 3yz for success, too.
            Ok(_) if seen.reply.as_ref().is_some_and(is_positive) => Submitted {
                reply: seen.reply,
                ..Submitted::of(Outcome::Acked, None)
            },
            Ok(_) => {
                let odd = Some("the reply has a code that fits nothing".to_owned());
                Submitted {
                    reply: seen.reply,
                    ..Submitted::of(Outcome::Indeterminate, odd)
                }
            }
            Err(error) => seen.failed(&error),
        }
    }
}

fn envelope(mail: Mail<'_>) -> Result<Envelope, String> {
    let address = |text: &str| {
        text.parse::<Address>()
            .map_err(|e| format!("lettre cannot send to {text}: {e}"))
    };
    let from = if mail.from.is_empty() {
        None
    } else {
        Some(address(mail.from)?)
    };
    let to = mail
        .recipients
        .iter()
        .map(|r| address(r))
        .collect::<Result<_, _>>()?;
    Envelope::new(from, to).map_err(|e| e.to_string())
}

/// What went by beneath lettre.
#[derive(Default)]
struct Watch {
    replies: ReplyReader,
    /// The last command line, without CRLF.
    command: Vec<u8>,
    command_ended: bool,
    /// Behind 354: the last octets of the content, at most as many as the end of data has.
    content: Option<Vec<u8>>,
    data_sent: Option<DataSent>,
    sent: bool,
    last_reply: Option<Reply>,
    /// The reply that lettre took for an error, and the command that it answers.
    refusal: Option<(String, Reply)>,
}

/// What went by in one transaction.
struct Seen {
    sent: bool,
    reply: Option<Reply>,
    refusal: Option<(String, Reply)>,
}

impl Watch {
    fn begin(&mut self, data_sent: DataSent) {
        self.data_sent = Some(data_sent);
        self.sent = false;
        self.last_reply = None;
        self.refusal = None;
    }

    fn end(&mut self) -> Seen {
        self.data_sent = None;
        Seen {
            sent: self.sent,
            reply: self.last_reply.take(),
            refusal: self.refusal.take(),
        }
    }

    fn wrote(&mut self, octets: &[u8]) {
        const END: &[u8] = b"\r\n.\r\n";
        for &octet in octets {
            if let Some(content) = &mut self.content {
                if content.len() == END.len() {
                    content.remove(0);
                }
                content.push(octet);
                if content == END {
                    self.content = None;
                    self.sent = true;
                    if let Some(data_sent) = &mut self.data_sent {
                        data_sent();
                    }
                }
                continue;
            }
            if std::mem::take(&mut self.command_ended) {
                self.command.clear();
            }
            match octet {
                b'\n' => self.command_ended = true,
                b'\r' => {}
                _ => self.command.push(octet),
            }
        }
    }

    fn read(&mut self, octets: &[u8]) {
        self.replies.feed(octets);
        // lettre tells of nonsense itself.
        while let Ok(Some(reply)) = self.replies.next_reply() {
            if reply.code == 354 && self.command.eq_ignore_ascii_case(b"DATA") {
                self.content = Some(b"\r\n".to_vec());
            }
            if is_refusal(&reply) && self.refusal.is_none() {
                self.refusal = Some((
                    String::from_utf8_lossy(&self.command).into_owned(),
                    reply.clone(),
                ));
            }
            // The reply to QUIT, which lettre says after an error, decides nothing.
            if !self.command.eq_ignore_ascii_case(b"QUIT") {
                self.last_reply = Some(reply);
            }
        }
    }
}

impl Seen {
    /// Only a reply is a refusal; any other failure after the end of data leaves the outcome open.
    fn failed(self, error: &Error) -> Submitted {
        if let (Some(_), Some((command, reply))) = (error.status(), self.refusal) {
            let recipient = command
                .strip_prefix("RCPT TO:<")
                .and_then(|rest| rest.split_once('>'))
                .map(|(to, _)| to);
            let refused: BTreeMap<_, _> = recipient
                .map(|to| (to.to_owned(), reply.clone()))
                .into_iter()
                .collect();
            return Submitted {
                reply: Some(reply),
                refused,
                ..Submitted::of(Outcome::Refused, None)
            };
        }
        let outcome = if self.sent {
            Outcome::Indeterminate
        } else {
            Outcome::Unsent
        };
        Submitted::of(outcome, Some(error.to_string().trim_end().to_owned()))
    }
}

/// The stream that lettre gets.
struct Watched {
    /// lettre wants a stream that is `Sync`; nobody ever waits for this lock.
    stream: Mutex<BoxStream>,
    watch: Arc<Mutex<Watch>>,
    patience: Duration,
    /// When the client's patience ends; later with every octet.
    deadline: Pin<Box<Sleep>>,
    given_up: bool,
}

impl Watched {
    fn stream(&mut self) -> Pin<&mut BoxStream> {
        Pin::new(
            self.stream
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn moved(&mut self) {
        let deadline = Instant::now() + self.patience;
        self.deadline.as_mut().reset(deadline);
    }

    /// Pending until the patience ends, and an error from then on.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if !self.given_up {
            ready!(self.deadline.as_mut().poll(cx));
            self.given_up = true;
        }
        let what = format!("nothing moved within {:?}", self.patience);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.given_up {
            return self.wait(cx);
        }
        match self.stream().poll_read(cx, buf) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(result) => {
                self.moved();
                lock(&self.watch).read(&buf.filled()[before..]);
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.given_up {
            return self.wait(cx);
        }
        match self.stream().poll_write(cx, octets) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(result) => {
                self.moved();
                if let Ok(written) = result {
                    lock(&self.watch).wrote(&octets[..written]);
                }
                Poll::Ready(result)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream().poll_flush(cx) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream().poll_shutdown(cx) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }
}

impl AsyncTokioStream for Watched {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    // A panic under this lock leaves no half-done change that matters to the next transaction.
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}
