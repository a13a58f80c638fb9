//! A raw connection: octets out exactly as they are given, replies in by a tolerant reader. No SMTP client library stands
//! between a case and the wire.
//!
//! Comes in: octets of a case. Goes out: what the server answers ([`Heard`]), and a [`Record`] of all of it.
//!
//! Two ways to talk: [`ask`](Connection::ask) is for the clause under test, and a server that does not answer *fails*;
//! [`prepare`](Connection::prepare) is for what comes before it, and there the case is inconclusive.

use std::{io, time::Duration};

use gauntlet_reports::probe::Speaker;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::{
    dialogue::{Record, visible},
    outcome::{Checked, Stop},
    reply::Reply,
};

/// What a connection runs over: TCP, or TLS on it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// More octets without a whole reply are a flood, not a reply.
const MOST_INPUT: usize = 1024 * 1024;

/// What came of waiting for a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A reply, whole by the most generous reading.
    Reply(Reply),
    /// The server closed the connection; these octets of an unfinished reply had come.
    Closed(Vec<u8>),
    /// The connection broke.
    Broken(String),
    /// Nothing more came in time; these octets of an unfinished reply had come.
    Silence(Vec<u8>),
}

/// A raw connection to the server.
pub struct Connection {
    stream: Option<Box<dyn Stream>>,
    number: u32,
    record: Record,
    input: Vec<u8>,
    /// How long a reply may take.
    timeout: Duration,
    /// How many replies were asked for but have not been read, in order, by what they are to.
    asked: std::collections::VecDeque<String>,
    /// The keywords of the last reply to EHLO.
    keywords: Vec<String>,
    /// What the server calls itself in it.
    name: String,
}

impl Connection {
    /// A connection over this stream.
    pub fn new(stream: impl Stream + 'static, record: Record, timeout: Duration) -> Self {
        let number = record.next_connection();
        record.event(number, "connected");
        Self {
            stream: Some(Box::new(stream)),
            number,
            record,
            input: Vec::new(),
            timeout,
            asked: ["connecting".to_owned()].into(),
            keywords: Vec::new(),
            name: String::new(),
        }
    }

    /// Waits so long for a reply from now on.
    pub fn patience(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// How long it waits for a reply.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    // Sending.

    /// Sends these octets, as they are. A write that fails is in the record, and is noticed by who reads next: the server may
    /// have answered before it closed.
    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        let octets = octets.as_ref();
        self.record.octets(self.number, Speaker::Probe, octets);
        let patience = self.timeout.max(Duration::from_secs(10));
        let Some(stream) = self.stream.as_mut() else {
            return;
        };
        // A server that answers while it is sent to must not block both: what it says is read meanwhile.
        let mut rest = octets;
        let mut piece = [0; 16 * 1024];
        let deadline = Instant::now() + patience;
        while !rest.is_empty() {
            let (mut reader, mut writer) = tokio::io::split(&mut *stream);
            let step = timeout_at(deadline, async {
                tokio::select! {
                    biased;
                    written = writer.write(rest) => written.map(Ok),
                    read = reader.read(&mut piece), if self.input.len() < MOST_INPUT => read.map(Err),
                }
            });
            match step.await {
                Ok(Ok(Ok(written))) => rest = &rest[written..],
                // The end of what the server says: it may still read.
                Ok(Ok(Err(0))) => {
                    let sent = timeout_at(deadline, stream.write_all(rest)).await;
                    self.sent(sent.map_or(Ok(()), |sent| sent), rest.len());
                    return;
                }
                Ok(Ok(Err(read))) => {
                    self.record
                        .octets(self.number, Speaker::Server, &piece[..read]);
                    self.input.extend_from_slice(&piece[..read]);
                }
                Ok(Err(error)) => return self.sent(Err(error), rest.len()),
                Err(_) => {
                    let note = format!("the server did not take {} octets in time", rest.len());
                    return self.record.event(self.number, &note);
                }
            }
        }
        let flushed = timeout_at(deadline, stream.flush()).await;
        self.sent(flushed.map_or(Ok(()), |sent| sent), 0);
    }

    fn sent(&self, result: io::Result<()>, left: usize) {
        if let Err(error) = result {
            self.record.lost();
            self.record.event(
                self.number,
                &format!("could not send {left} octets: {error}"),
            );
        }
    }

    /// Sends a command and its CRLF. Its reply is owed from now on: [`reply`](Self::reply) reads it.
    pub async fn command(&mut self, command: impl AsRef<[u8]>) {
        let command = command.as_ref();
        self.owe(&visible(command));
        self.send([command, b"\r\n"].concat()).await;
    }

    /// Sends several commands in one piece (RFC 2920 §3.1): their replies are owed, in order.
    pub async fn pipeline(&mut self, commands: &[&str]) {
        for command in commands {
            self.owe(command);
        }
        self.send(
            commands
                .iter()
                .map(|c| format!("{c}\r\n"))
                .collect::<String>(),
        )
        .await;
    }

    /// A reply will come; `to` says to what, for a failure's words.
    pub fn owe(&mut self, to: &str) {
        self.asked.push_back(to.to_owned());
    }

    /// Sends no more, but reads on.
    pub async fn half_close(&mut self) {
        self.record
            .event(self.number, "the probe closed its sending side");
        if let Some(stream) = self.stream.as_mut() {
            let _ = stream.shutdown().await;
        }
    }

    // Reading.

    /// Waits for a reply, or for its absence, so long.
    pub async fn hear(&mut self, within: Duration) -> Heard {
        let deadline = Instant::now() + within;
        loop {
            let to = self.asked.front().map_or("nothing", String::as_str);
            if let Some((reply, length)) = Reply::parse(&self.input, to) {
                self.input.drain(..length);
                self.asked.pop_front();
                return Heard::Reply(reply);
            }
            if self.input.len() > MOST_INPUT {
                return Heard::Silence(std::mem::take(&mut self.input));
            }
            match self.read(deadline).await {
                None => return Heard::Silence(std::mem::take(&mut self.input)),
                Some(Ok(0)) => return Heard::Closed(std::mem::take(&mut self.input)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Heard::Broken(error),
            }
        }
    }

    /// Reads octets into the input; `None` when the deadline passes first.
    async fn read(&mut self, deadline: Instant) -> Option<Result<usize, String>> {
        let Some(stream) = self.stream.as_mut() else {
            return Some(Ok(0));
        };
        let mut octets = vec![0; 16 * 1024];
        match timeout_at(deadline, stream.read(&mut octets)).await {
            Err(_) => None,
            Ok(Ok(0)) => {
                self.record
                    .event(self.number, "the server closed the connection");
                self.record.lost();
                self.stream = None;
                Some(Ok(0))
            }
            Ok(Ok(read)) => {
                self.record
                    .octets(self.number, Speaker::Server, &octets[..read]);
                self.input.extend_from_slice(&octets[..read]);
                Some(Ok(read))
            }
            Ok(Err(error)) => {
                self.record
                    .event(self.number, &format!("the connection broke: {error}"));
                self.record.lost();
                self.stream = None;
                Some(Err(error.to_string()))
            }
        }
    }

    /// The next reply; the server fails when it gives none.
    ///
    /// # Errors
    /// The connection ends, or nothing comes in time.
    pub async fn reply(&mut self) -> Result<Reply, Stop> {
        let to = self
            .asked
            .front()
            .cloned()
            .unwrap_or_else(|| "nothing".into());
        let expected = format!("a reply to {to}");
        match self.hear(self.timeout).await {
            Heard::Reply(reply) => Ok(reply),
            Heard::Closed(rest) if rest.is_empty() => {
                Err(Stop::failed(expected, "the server closed the connection"))
            }
            Heard::Closed(rest) => Err(Stop::failed(
                expected,
                format!("the server closed the connection after {}", visible(&rest)),
            )),
            Heard::Broken(error) => Err(Stop::failed(
                expected,
                format!("the connection broke: {error}"),
            )),
            Heard::Silence(rest) => {
                let seconds = self.timeout.as_secs_f32();
                let begun = if rest.is_empty() {
                    String::new()
                } else {
                    format!(", only {}", visible(&rest))
                };
                Err(Stop::failed(
                    expected,
                    format!("none within {seconds:.1} s{begun}"),
                ))
            }
        }
    }

    /// Sends a command and reads its reply. A server that gives none fails.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub async fn ask(&mut self, command: impl AsRef<[u8]>) -> Result<Reply, Stop> {
        self.command(command).await;
        self.reply().await
    }

    /// Sends a command that only prepares the case, and expects a reply of this pattern ([`Reply::is`]).
    ///
    /// # Errors
    /// Inconclusive when it does not come.
    pub async fn prepare(
        &mut self,
        command: impl AsRef<[u8]>,
        pattern: &str,
    ) -> Result<Reply, Stop> {
        self.command(command).await;
        self.prepared(pattern).await
    }

    /// Reads a reply to what only prepares the case.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub async fn prepared(&mut self, pattern: &str) -> Result<Reply, Stop> {
        let reply = self.reply().await.map_err(Stop::in_preparation)?;
        reply.expect(pattern).map_err(Stop::in_preparation)?;
        Ok(reply)
    }

    /// Fails when the server says anything within this time.
    ///
    /// # Errors
    /// It says something; or the connection ends, which is inconclusive.
    pub async fn silent(&mut self, within: Duration, expected: &str) -> Checked {
        let deadline = Instant::now() + within;
        if self.input.is_empty() {
            match self.read(deadline).await {
                None => return Ok(()),
                Some(Ok(0)) => {
                    return Err(Stop::failed(expected, "the server closed the connection"));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Stop::failed(expected, error)),
            }
        }
        Err(Stop::failed(expected, visible(&self.input)))
    }

    /// Waits for the end of the connection; what comes before it is read.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn ends(&mut self, expected: &str) -> Checked {
        let deadline = Instant::now() + self.timeout;
        loop {
            match self.read(deadline).await {
                Some(Ok(0) | Err(_)) => return Ok(()),
                Some(Ok(_)) => {}
                None => {
                    let seconds = self.timeout.as_secs_f32();
                    return Err(Stop::failed(
                        expected,
                        format!("it is open after {seconds:.1} s"),
                    ));
                }
            }
        }
    }

    /// Octets that came and that nobody has read as a reply.
    pub fn unread(&self) -> &[u8] {
        &self.input
    }

    // What a session begins with.

    /// The greeting, which must be 220 for the case to go on.
    ///
    /// # Errors
    /// Inconclusive when it is not.
    pub async fn greet(&mut self) -> Result<Reply, Stop> {
        self.prepared("220").await
    }

    /// EHLO; its keywords are kept.
    ///
    /// # Errors
    /// Inconclusive when it is not answered with 250.
    pub async fn ehlo(&mut self, name: &str) -> Result<Reply, Stop> {
        let reply = self.prepare(format!("EHLO {name}"), "250").await?;
        self.keep_keywords(&reply);
        Ok(reply)
    }

    /// Keeps the keywords of a reply to EHLO.
    pub fn keep_keywords(&mut self, reply: &Reply) {
        let text = |line: &Vec<u8>| String::from_utf8_lossy(line).trim().to_owned();
        self.name = reply
            .lines
            .first()
            .map(|line| text(line).split(' ').next().unwrap_or_default().to_owned())
            .unwrap_or_default();
        self.keywords = reply.lines.iter().skip(1).map(text).collect();
    }

    /// What the server calls itself in its reply to EHLO.
    pub fn server_name(&self) -> &str {
        &self.name
    }

    /// The keywords of the last EHLO reply, each with its parameters.
    pub fn keywords(&self) -> &[String] {
        &self.keywords
    }

    /// The parameters of a keyword that is offered, joined by spaces.
    pub fn keyword(&self, keyword: &str) -> Option<&str> {
        self.keywords.iter().find_map(|line| {
            let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            word.eq_ignore_ascii_case(keyword).then_some(rest)
        })
    }

    /// Whether the keyword is offered.
    pub fn offers(&self, keyword: &str) -> bool {
        self.keyword(keyword).is_some()
    }

    /// Replaces the stream by what `wrap` makes of it, for TLS. What had been read before it is dropped by the caller's choice:
    /// the octets are returned.
    ///
    /// # Errors
    /// What `wrap` says.
    pub async fn upgrade<F, T>(
        &mut self,
        wrap: impl FnOnce(Box<dyn Stream>) -> F,
    ) -> Result<Vec<u8>, Stop>
    where
        F: Future<Output = Result<T, String>>,
        T: Stream + 'static,
    {
        let Some(stream) = self.stream.take() else {
            return Err(Stop::failed("a connection", "it is closed"));
        };
        match timeout(self.timeout, wrap(stream)).await {
            Ok(Ok(upgraded)) => {
                self.record.event(self.number, "the connection is upgraded");
                self.stream = Some(Box::new(upgraded));
                Ok(std::mem::take(&mut self.input))
            }
            Ok(Err(error)) => {
                self.record.lost();
                Err(Stop::failed("a handshake", error))
            }
            Err(_) => Err(Stop::failed("a handshake", "none in time")),
        }
    }

    /// QUIT, and the end; nothing is checked.
    pub async fn quit(mut self) {
        self.command("QUIT").await;
        let _ = self.hear(self.timeout.min(Duration::from_secs(1))).await;
        self.record
            .event(self.number, "the probe closed the connection");
    }
}
