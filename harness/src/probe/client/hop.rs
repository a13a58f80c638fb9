//! The next hop: it listens, and talks to the client as it is told.
//!
//! Comes in: connections. Goes out: what was seen of each, to the [`Hub`]. What a case does not say otherwise is what a right
//! server does: order, limits and parameters are held as the standards have them.

mod commands;
mod content;

use std::{io, sync::Arc, time::Duration};

use gauntlet_reports::probe::Speaker;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    hub::{Hub, Owner},
    manners::{Act, Script, Stage, say},
    seen::{Command, End, Event, Recipient, Session, Transaction},
};
use crate::probe::connection::Stream;

/// A client that says nothing for so long is gone (RFC 5321 §4.5.3.2.7).
const IDLE: Duration = Duration::from_secs(5 * 60);
/// After 221 or 421 the connection stays open so long, to see what the client still says.
const LINGER: Duration = Duration::from_secs(2);
/// A line that is longer is none.
const LONGEST_LINE: usize = 64 * 1024;

/// Takes connections until it is dropped.
pub async fn serve(listener: TcpListener, hub: Arc<Hub>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let hub = hub.clone();
                    sessions.spawn(async move { talk(stream, &hub).await });
                }
                // Too many open files: later there may be fewer.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn talk(stream: TcpStream, hub: &Arc<Hub>) {
    let _ = stream.set_nodelay(true);
    let log = hub.session();
    let number = log.record.next_connection();
    log.record.event(number, "connected");
    let mut hop = Hop {
        io: Some(Box::new(stream)),
        hub: hub.clone(),
        generation: hub.generation(),
        log: log.clone(),
        number,
        input: Vec::new(),
        output: Vec::new(),
        early: false,
        hello: false,
        turned_down: false,
        tls: false,
        open: None,
        last: Script::new(),
    };
    let ended = hop.serve().await;
    hop.finish(End::Lost);
    let (event, words) = match ended {
        Err(Gone::Client(None)) => (Event::ClosedByClient, "the client closed".to_owned()),
        Err(Gone::Client(Some(error))) => (Event::ClosedByClient, error.to_string()),
        Err(Gone::Hop) | Ok(()) => (Event::ClosedByHop, "the probe closed".to_owned()),
    };
    log.record.event(number, &words);
    log.add(event);
    hub.tell();
}

/// Why a session is over.
pub(super) enum Gone {
    /// The client closed, or the connection broke.
    Client(Option<io::Error>),
    /// The next hop closed.
    Hop,
}

/// A session of the next hop.
pub(super) struct Hop {
    io: Option<Box<dyn Stream>>,
    hub: Arc<Hub>,
    generation: watch::Receiver<u64>,
    log: Arc<Session>,
    number: u32,
    input: Vec<u8>,
    /// Replies that are held back.
    output: Vec<u8>,
    /// What is in `input` came before the last reply.
    early: bool,
    hello: bool,
    /// A hello was refused.
    turned_down: bool,
    tls: bool,
    open: Option<Open>,
    /// The script of the last transaction: it says what becomes of QUIT.
    last: Script,
}

/// A transaction that is under way.
pub(super) struct Open {
    owner: Owner,
    script: Script,
    first_event: usize,
    mail: String,
    recipients: Vec<Recipient>,
    taken: usize,
    wire: Vec<u8>,
    content: Option<Vec<u8>>,
    early_content: bool,
    chunks: Vec<(u64, bool)>,
    began: Instant,
}

impl Hop {
    async fn serve(&mut self) -> Result<(), Gone> {
        let greeting = self.log.manners.greeting.clone();
        let code = greeting.code();
        self.act(&greeting).await?;
        if code / 100 != 2 {
            return self.turned_away().await;
        }
        loop {
            let command = self.command().await?;
            self.obey(&command).await?;
        }
    }

    /// RFC 5321 §3.1: after 554 only QUIT is answered otherwise than with 503.
    async fn turned_away(&mut self) -> Result<(), Gone> {
        loop {
            match self.command().await?.verb().as_str() {
                "QUIT" => return self.quit().await,
                _ => self.reply(&say("503 5.5.1 no service here")).await?,
            }
        }
    }

    // Reading.

    /// The next line of the client.
    async fn command(&mut self) -> Result<Command, Gone> {
        // What follows a line in the same read is early only when it was there before that line's reply.
        let mut early = self.early && !self.input.is_empty();
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                self.early = false;
                let command = Command { line, early };
                self.log.add(Event::Command(command.clone()));
                self.hub.tell();
                return Ok(command);
            }
            if self.input.len() > LONGEST_LINE {
                return Err(Gone::Hop);
            }
            if self.input.is_empty() {
                early = false;
            }
            self.read().await?;
        }
    }

    /// More octets. Between two transactions the session may be told to end.
    async fn read(&mut self) -> Result<(), Gone> {
        self.flush().await?;
        let mut octets = vec![0; 16 * 1024];
        let idle = self.open.is_none() && self.input.is_empty();
        let Some(io) = self.io.as_mut() else {
            return Err(Gone::Hop);
        };
        let read = tokio::select! {
            biased;
            read = timeout(IDLE, io.read(&mut octets)) => read,
            Ok(()) = self.generation.changed(), if idle => {
                self.reply(&say("421 4.3.2 the probe goes on to other cases")).await?;
                return Err(Gone::Hop);
            }
        };
        match read {
            Err(_) => Err(Gone::Hop),
            Ok(Err(error)) => Err(Gone::Client(Some(error))),
            Ok(Ok(0)) => Err(Gone::Client(None)),
            Ok(Ok(read)) => {
                self.take(&octets[..read]);
                Ok(())
            }
        }
    }

    fn take(&mut self, octets: &[u8]) {
        let record = &self.log.record;
        record.octets(self.number, Speaker::Client, octets);
        self.input.extend_from_slice(octets);
    }

    /// Gives the client so much time to say what it should not say yet.
    async fn wait(&mut self, pause: Duration) -> Result<(), Gone> {
        if pause.is_zero() {
            return Ok(());
        }
        let deadline = Instant::now() + pause;
        let mut octets = vec![0; 16 * 1024];
        loop {
            let Some(io) = self.io.as_mut() else {
                return Err(Gone::Hop);
            };
            match timeout_at(deadline, io.read(&mut octets)).await {
                Err(_) => return Ok(()),
                Ok(Ok(0)) => return Err(Gone::Client(None)),
                Ok(Ok(read)) => self.take(&octets[..read]),
                Ok(Err(error)) => return Err(Gone::Client(Some(error))),
            }
        }
    }

    // Saying.

    /// Does what the act says: the reply in its time, the end of the connection.
    async fn act(&mut self, act: &Act) -> Result<(), Gone> {
        self.wait(act.after).await?;
        if act.text.is_some() {
            self.reply(act).await?;
        }
        if act.close {
            self.flush().await?;
            return Err(Gone::Hop);
        }
        if act.text.is_none() {
            // Silence, until the client has enough of it.
            loop {
                self.wait(IDLE).await?;
            }
        }
        if act.code() == 421 {
            return self.linger().await;
        }
        Ok(())
    }

    /// A reply, in the pace that the script has.
    async fn reply(&mut self, act: &Act) -> Result<(), Gone> {
        let (pause, held, dribbled) = match &self.open {
            Some(open) => (open.script.pause, open.script.held, open.script.dribbled),
            None => (Duration::ZERO, false, false),
        };
        let pause = pause.max(self.log.manners.pause);
        if !pause.is_zero() {
            self.wait(pause).await?;
        }
        self.early = !self.input.is_empty();
        let text = act.text.as_deref().unwrap_or_default();
        self.output.extend_from_slice(text.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.log.add(Event::Reply(act.code()));
        if held && !self.input.is_empty() {
            return Ok(());
        }
        if !(dribbled || act.dribbled) {
            return self.flush().await;
        }
        for octet in std::mem::take(&mut self.output) {
            self.output.push(octet);
            self.flush().await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let output = std::mem::take(&mut self.output);
        if output.is_empty() {
            return Ok(());
        }
        let record = &self.log.record;
        record.octets(self.number, Speaker::Hop, &output);
        let Some(io) = self.io.as_mut() else {
            return Err(Gone::Hop);
        };
        let written = async {
            io.write_all(&output).await?;
            io.flush().await
        };
        written.await.map_err(|error| Gone::Client(Some(error)))
    }

    /// After 421: whatever the client says is seen and, but for QUIT, not answered.
    async fn linger(&mut self) -> Result<(), Gone> {
        self.flush().await?;
        self.finish(End::Lost);
        let lines = async {
            loop {
                if self.command().await?.verb() == "QUIT" {
                    self.reply(&say("221 2.0.0 bye")).await?;
                }
            }
        };
        match timeout(LINGER, lines).await {
            Ok(gone) => gone,
            Err(_) => Err(Gone::Hop),
        }
    }

    /// QUIT is answered, and the connection stays open for a while, to see who closes it and what is still said.
    async fn quit(&mut self) -> Result<(), Gone> {
        self.finish(End::Abandoned);
        let act = self.last.act(Stage::Quit).cloned();
        self.act(&act.unwrap_or_else(|| say("221 2.0.0 bye")))
            .await?;
        self.linger().await
    }

    // Transactions.

    /// The transaction is over, if one is under way.
    fn finish(&mut self, end: End) {
        let Some(open) = self.open.take() else {
            return;
        };
        self.last = open.script;
        let transaction = Transaction {
            session: self.log.clone(),
            first_event: open.first_event,
            last_event: self.log.len(),
            mail: open.mail,
            recipients: open.recipients,
            wire: open.wire,
            content: open.content,
            early_content: open.early_content,
            chunks: open.chunks,
            end,
            began: open.began,
            ended: Instant::now(),
        };
        self.hub.over(&open.owner, transaction);
    }

    /// What the script has for that.
    fn scripted(&self, stage: Stage) -> Option<Act> {
        let open = self.open.as_ref()?;
        open.script.act(stage).cloned()
    }
}
