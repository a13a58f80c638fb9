//! What a case is given: connections to the server, addresses, messages that can be found again, and proof of arrival.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use gauntlet_reports::probe::DialogueLine;
use tokio::{net::TcpStream, time::timeout};

use super::{
    arrival::Arrivals,
    case::Case,
    connection::Connection,
    dialogue::Record,
    message::{Arrived, Token, stuffed},
    outcome::{Checked, Stop},
    run::Probe,
};

/// What the probe calls itself in EHLO: an address literal is always allowed (RFC 5321 §4.1.3), and never looked up.
pub const HELLO: &str = "[127.0.0.1]";

/// How long a server has for words that it must not say. It says nothing about how fast a server may be: one that speaks too
/// early does so at once.
pub const EARLY: Duration = Duration::from_millis(300);

/// What the cases of one probe share.
#[derive(Debug)]
pub struct Shared {
    /// What was asked for.
    pub probe: Probe,
    /// Proof of arrival, or why there is none.
    pub arrivals: Result<Arrivals, String>,
    /// Makes tokens unique.
    pub prefix: String,
    /// Why arrivals prove nothing, when an ordinary message did not arrive.
    doubt: OnceLock<String>,
    tokens: AtomicU32,
    forbidden: Mutex<Vec<Forbidden>>,
}

/// A message that must never arrive.
#[derive(Debug, Clone)]
pub struct Forbidden {
    /// Whose message.
    pub case: &'static str,
    /// Its name.
    pub token: Token,
    /// Why not.
    pub why: String,
}

impl Shared {
    /// What the cases share. `prefix` tells this probe's messages from those of another.
    pub fn new(probe: Probe, arrivals: Result<Arrivals, String>, prefix: String) -> Self {
        Self {
            probe,
            arrivals,
            prefix,
            doubt: OnceLock::new(),
            tokens: AtomicU32::new(0),
            forbidden: Mutex::default(),
        }
    }

    /// From now on arrivals prove nothing.
    pub fn doubt(&self, why: String) {
        // The first reason stays.
        let _ = self.doubt.set(why);
    }

    /// Messages that must not have arrived, by the case that sent them.
    pub fn forbidden(&self) -> Vec<Forbidden> {
        self.forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What one case is given.
#[derive(Debug)]
pub struct Context {
    shared: Arc<Shared>,
    case: &'static Case,
    record: Record,
}

impl Context {
    /// The context of this case.
    pub fn new(shared: Arc<Shared>, case: &'static Case) -> Self {
        Self {
            shared,
            case,
            record: Record::default(),
        }
    }

    /// What was asked for.
    pub fn probe(&self) -> &Probe {
        &self.shared.probe
    }

    /// A return path that the server takes.
    pub fn from(&self) -> &str {
        &self.shared.probe.from
    }

    /// A recipient that the server takes.
    pub fn to(&self) -> &str {
        self.recipient(0)
    }

    /// The `n`-th recipient, from 0; they repeat when fewer were given.
    pub fn recipient(&self, n: usize) -> &str {
        let all = &self.shared.probe.to;
        all.get(n % all.len().max(1)).map_or("", String::as_str)
    }

    /// The local part and the domain of [`to`](Self::to).
    pub fn to_parts(&self) -> (&str, &str) {
        self.to().rsplit_once('@').unwrap_or((self.to(), ""))
    }

    /// The case's record, and so its end.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The dialogue so far.
    pub fn dialogue(&self) -> Vec<DialogueLine> {
        self.record.lines()
    }

    // Connections.

    /// A TCP connection; nothing is read yet.
    ///
    /// # Errors
    /// Inconclusive when the server does not accept it.
    pub async fn connect(&self) -> Result<Connection, Stop> {
        let patience = self.probe().timeout;
        let stream = connect(self.probe(), patience).await.map_err(|error| {
            self.record.lost();
            Stop::inconclusive(format!("the server does not accept a connection: {error}"))
        })?;
        Ok(Connection::new(stream, self.record.clone(), patience))
    }

    /// A connection whose greeting is read.
    ///
    /// # Errors
    /// Inconclusive when the greeting is not 220.
    pub async fn greeted(&self) -> Result<Connection, Stop> {
        let mut connection = self.connect().await?;
        connection.greet().await?;
        Ok(connection)
    }

    /// A session: greeting and EHLO are done. Skipped when the server does not offer what the case needs.
    ///
    /// # Errors
    /// Inconclusive when the server refuses either; skipped when an extension is missing.
    pub async fn session(&self) -> Result<Connection, Stop> {
        let mut connection = self.greeted().await?;
        connection.ehlo(HELLO).await?;
        for keyword in self.case.extensions() {
            if !connection.offers(keyword) {
                return Err(Stop::skipped(format!("{keyword} is not offered")));
            }
        }
        Ok(connection)
    }

    /// A session that began with HELO: no extensions.
    ///
    /// # Errors
    /// As [`session`](Self::session).
    pub async fn helo_session(&self) -> Result<Connection, Stop> {
        let mut connection = self.greeted().await?;
        connection.prepare(format!("HELO {HELLO}"), "250").await?;
        Ok(connection)
    }

    /// Opens a transaction in this session: MAIL and RCPT are accepted.
    ///
    /// # Errors
    /// Inconclusive when the server refuses either.
    pub async fn open(&self, session: &mut Connection) -> Checked {
        let (from, to) = (self.from(), self.to());
        session
            .prepare(format!("MAIL FROM:<{from}>"), "250")
            .await?;
        session
            .prepare(format!("RCPT TO:<{to}>"), "250|251")
            .await?;
        Ok(())
    }

    /// A session with an open transaction.
    ///
    /// # Errors
    /// As [`session`](Self::session) and [`open`](Self::open).
    pub async fn opened(&self) -> Result<Connection, Stop> {
        let mut session = self.session().await?;
        self.open(&mut session).await?;
        Ok(session)
    }

    /// A session in which the server waits for content: DATA is answered with 354.
    ///
    /// # Errors
    /// As [`opened`](Self::opened); inconclusive when DATA is not answered with 354.
    pub async fn in_data(&self) -> Result<Connection, Stop> {
        let mut session = self.opened().await?;
        session.prepare("DATA", "354").await?;
        Ok(session)
    }

    /// Sends content (stuffed here) in an open session, as a whole transaction of its own, and expects it to be taken.
    ///
    /// # Errors
    /// Inconclusive when the server refuses.
    pub async fn send(&self, session: &mut Connection, content: &[u8]) -> Checked {
        self.taken(session, content)
            .await
            .map_err(Stop::in_preparation)
    }

    /// Sends content (stuffed here) in an open session, as a whole transaction of its own. The server fails when it does not
    /// take it; that MAIL, RCPT and DATA are accepted is only prepared.
    ///
    /// # Errors
    /// The reply to the end of data is not 250, or what comes before it is refused.
    pub async fn taken(&self, session: &mut Connection, content: &[u8]) -> Checked {
        self.open(session).await?;
        session.prepare("DATA", "354").await?;
        session.owe("the end of data");
        session.send(stuffed(content)).await;
        session.reply().await?.expect("250")
    }

    // Messages.

    /// A name for a message that nobody else has.
    pub fn token(&self) -> Token {
        let number = self.shared.tokens.fetch_add(1, Ordering::Relaxed);
        Token::new(format!("{}-{number}", self.shared.prefix))
    }

    /// A well formed message of that name.
    pub fn message(&self, token: &Token, body: &str) -> Vec<u8> {
        token.message(self.from(), self.to(), body)
    }

    // Arrival.

    /// Proof of arrival.
    ///
    /// # Errors
    /// Inconclusive when there is none.
    pub fn arrivals(&self) -> Result<&Arrivals, Stop> {
        if let Some(doubt) = self.shared.doubt.get() {
            return Err(Stop::inconclusive(doubt.clone()));
        }
        self.shared
            .arrivals
            .as_ref()
            .map_err(|why| Stop::inconclusive(why.clone()))
    }

    /// The message of that token, once it has arrived. The server fails when it does not within the patience for arrivals.
    ///
    /// # Errors
    /// It does not arrive; inconclusive without a proof of arrival.
    pub async fn arrived(&self, token: &Token) -> Result<Arc<Arrived>, Stop> {
        self.arrived_where(token, "the message arrives", |message| message.is(token))
            .await
    }

    /// The first message that mentions the token anywhere: for messages whose header section is not ours to find.
    ///
    /// # Errors
    /// As [`arrived`](Self::arrived).
    pub async fn arrived_somewhere(&self, token: &Token) -> Result<Arc<Arrived>, Stop> {
        self.arrived_where(token, "the message arrives", |message| {
            message.mentions(token)
        })
        .await
    }

    /// The first message that this holds for.
    ///
    /// # Errors
    /// As [`arrived`](Self::arrived).
    pub async fn arrived_where(
        &self,
        token: &Token,
        expected: &str,
        wanted: impl Fn(&Arrived) -> bool,
    ) -> Result<Arc<Arrived>, Stop> {
        let arrivals = self.arrivals()?;
        let within = self.probe().arrival_timeout;
        if let Some(message) = arrivals.first(within, wanted).await {
            self.record.event(0, &format!("message {token} arrived"));
            return Ok(message);
        }
        if let Some(trouble) = arrivals.trouble() {
            return Err(Stop::inconclusive(format!(
                "arrivals cannot be seen: {trouble}"
            )));
        }
        let seconds = within.as_secs_f32();
        Err(Stop::failed(
            expected,
            format!("message {token} has not arrived after {seconds:.0} s"),
        ))
    }

    /// Holds that no message of these tokens arrives, in a message of its own header section: an ordinary message is sent
    /// behind them, and when that one has arrived they have not. Looked for again when all cases are over.
    ///
    /// # Errors
    /// One has arrived; inconclusive without a proof of arrival, or when the ordinary message does not arrive.
    pub async fn none_arrives(&self, tokens: &[&Token], why: &str) -> Checked {
        self.arrivals()?;
        {
            let forbidden = self.shared.forbidden.lock();
            let mut forbidden = forbidden.unwrap_or_else(PoisonError::into_inner);
            forbidden.extend(tokens.iter().map(|token| Forbidden {
                case: self.case.id,
                token: (*token).clone(),
                why: why.to_owned(),
            }));
        }
        let marker = self.token();
        let mut session = self.session().await?;
        self.send(&mut session, &self.message(&marker, "sent behind\r\n"))
            .await?;
        session.quit().await;
        self.arrived(&marker).await.map_err(Stop::in_preparation)?;
        tokio::time::sleep(EARLY).await;
        self.check_absent(tokens, why)
    }

    fn check_absent(&self, tokens: &[&Token], why: &str) -> Checked {
        let arrivals = self.arrivals()?;
        for token in tokens {
            if !arrivals.all(|message| message.is(token)).is_empty() {
                return Err(Stop::failed(why, format!("message {token} arrived")));
            }
        }
        Ok(())
    }
}

/// A TCP connection to the target.
pub(super) async fn connect(probe: &Probe, patience: Duration) -> io::Result<TcpStream> {
    let target = (probe.target.host.as_str(), probe.target.port);
    let stream = timeout(patience, TcpStream::connect(target))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
    // A case's octets go out when it says so.
    stream.set_nodelay(true)?;
    Ok(stream)
}
