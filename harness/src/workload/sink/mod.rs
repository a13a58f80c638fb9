//! Sinks: next hops outside the boundary that take mail, count it, and misbehave when they are told to.
//!
//! Comes in: connections on the address that [`Cluster::listen`](crate::substrate::Cluster::listen) binds, and
//! the behaviour that steps set. Goes out: `delivered` records, each before its 250 is written. Called by the
//! runner, which makes a [`Sink`] for each of the cluster's and runs [`Sink::serve`] as a task.

pub(crate) mod session;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use reference_node::env::{BoxStream, Listener};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::session::{Decision, Policy, SinkSession, Step, Taken};
use super::inspect::inspect;
use crate::{
    history::{Delivery, Event, Recorder},
    scenario::SinkBehaviour,
    substrate::SharedCluster,
};

/// One sink.
pub struct Sink {
    name: String,
    nodes: Vec<String>,
    recorder: Arc<Recorder>,
    script: Mutex<Script>,
    /// Whether it shall listen.
    up: watch::Sender<bool>,
    state: watch::Sender<State>,
}

/// What [`Sink::serve`] has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Deaf,
    Listening,
    /// It ended, and why.
    Ended(String),
}

/// How it behaves, and for how many messages still.
struct Script {
    behaviour: SinkBehaviour,
    left: Option<u32>,
}

impl Sink {
    /// The sink `name`, which accepts. `nodes` are the hosts that it can recognize as senders.
    pub fn new(name: &str, nodes: &[String], recorder: Arc<Recorder>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            nodes: nodes.to_vec(),
            recorder,
            script: Mutex::new(Script {
                behaviour: SinkBehaviour::Accept,
                left: None,
            }),
            up: watch::Sender::new(true),
            state: watch::Sender::new(State::Deaf),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Behaves so from now on, for the next `count` messages or for good.
    ///
    /// `refuse` counts transactions in which it refused a recipient, every other behaviour ends of data; `down`
    /// sees none, and lasts until the next call.
    pub fn behave(&self, behaviour: SinkBehaviour, count: Option<u32>) {
        let up = behaviour != SinkBehaviour::Down;
        let mut script = self.script();
        // With no message to behave so for, it accepts.
        let behaviour = if count == Some(0) && up {
            SinkBehaviour::Accept
        } else {
            behaviour
        };
        *script = Script {
            behaviour,
            left: count,
        };
        drop(script);
        self.up.send_replace(up);
    }

    /// Waits until the sink listens, or does not, as it was told last. Fails when it can never again, with the reason.
    pub async fn applied(&self) -> Result<(), String> {
        let up = *self.up.borrow();
        let mut state = self.state.subscribe();
        let done = |state: &State| match state {
            State::Deaf => !up,
            State::Listening => up,
            State::Ended(_) => true,
        };
        let state = state.wait_for(done).await;
        // The sender lives in `self`, so there always is a state.
        match state.as_deref() {
            Ok(State::Ended(why)) => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Why the sink takes no mail any more, when it has failed.
    pub fn failure(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Ended(why) => Some(why.clone()),
            State::Deaf | State::Listening => None,
        }
    }

    /// Binds the sink's address and takes mail until `cancel`. While the sink is down nothing listens, and open
    /// sessions end. Ends early when the address cannot be bound; [`failure`](Self::failure) says so.
    pub async fn serve(self: Arc<Self>, cluster: SharedCluster, cancel: CancellationToken) {
        let why = match self.clone().serve_until(cluster, &cancel).await {
            Ok(()) => "the run is over".to_owned(),
            Err(error) => error.to_string(),
        };
        self.state.send_replace(State::Ended(why));
    }

    async fn serve_until(
        self: Arc<Self>,
        cluster: SharedCluster,
        cancel: &CancellationToken,
    ) -> io::Result<()> {
        let mut up = self.up.subscribe();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                // The sender lives in `self`, so this waits for the value and never fails.
                _ = up.wait_for(|up| *up) => {}
            }
            let listener = cluster.listen(&self.name).await?;
            self.state.send_replace(State::Listening);
            let sessions = CancellationToken::new();
            let tracker = TaskTracker::new();
            let ended = tokio::select! {
                biased;
                () = cancel.cancelled() => Some(Ok(())),
                _ = up.wait_for(|up| !*up) => None,
                error = self.clone().accept_all(listener, &sessions, &tracker) => Some(Err(error)),
            };
            sessions.cancel();
            tracker.close();
            tracker.wait().await;
            if let Some(ended) = ended {
                return ended;
            }
            self.state.send_replace(State::Deaf);
        }
    }

    async fn accept_all(
        self: Arc<Self>,
        mut listener: Box<dyn Listener>,
        sessions: &CancellationToken,
        tracker: &TaskTracker,
    ) -> io::Error {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (sink, cancel) = (self.clone(), sessions.clone());
                    tracker.spawn(async move {
                        tokio::select! {
                            biased;
                            () = cancel.cancelled() => {}
                            // A connection that breaks is the sender's to notice.
                            _ = sink.session(stream, &peer) => {}
                        }
                    });
                }
                // A connection that was reset before it was accepted is no failure of the listener.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return error,
            }
        }
    }

    async fn session(&self, mut stream: BoxStream, peer: &str) -> io::Result<()> {
        let mut session = SinkSession::new(&self.name);
        let mut decider = Decider { sink: self, peer };
        let mut octets = vec![0; 16 * 1024];
        if self.pause(&mut stream, &mut session, &mut octets).await? {
            return Ok(());
        }
        stream.write_all(session.greeting().as_bytes()).await?;
        stream.flush().await?;
        let mut paused = false;
        loop {
            while session.is_ready() {
                if !paused {
                    // What is whole is answered even when nobody waits for the answer any more.
                    self.pause(&mut stream, &mut session, &mut octets).await?;
                }
                let Some(step) = session.step(&mut decider) else {
                    break;
                };
                let (Step::Reply(reply) | Step::Close(reply)) = &step;
                // BDAT's line and its chunk are one command.
                paused = reply.is_empty();
                stream.write_all(reply.as_bytes()).await?;
                stream.flush().await?;
                if matches!(step, Step::Close(_)) {
                    return stream.shutdown().await;
                }
            }
            match stream.read(&mut octets).await? {
                0 => return Ok(()),
                read => session.feed(&octets[..read]),
            }
        }
    }

    /// A slow sink answers every command late, and listens meanwhile. Answers at once whether the client has gone without
    /// a question.
    async fn pause(
        &self,
        stream: &mut BoxStream,
        session: &mut SinkSession,
        octets: &mut [u8],
    ) -> io::Result<bool> {
        let slow = match self.script().behaviour {
            SinkBehaviour::Slow(span) => span.0,
            _ => return Ok(false),
        };
        let over = Instant::now() + slow;
        loop {
            tokio::select! {
                biased;
                () = sleep_until(over) => return Ok(false),
                read = stream.read(octets) => match read? {
                    0 => return Ok(!session.is_ready()),
                    read => session.feed(&octets[..read]),
                }
            }
        }
    }

    /// The link that a session came by, when its peer's address or its hello names a node.
    fn link(&self, peer: &str, hello: &str) -> String {
        let host = |text: &str| {
            let name = text.split(['.', ':']).next().unwrap_or_default();
            self.nodes
                .iter()
                .find(|node| node.eq_ignore_ascii_case(name))
                .cloned()
        };
        let from = host(peer).or_else(|| host(hello));
        from.map_or_else(String::new, |from| format!("{from}>{}", self.name))
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // Nothing under this lock can panic.
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    /// The behaviour was shown once.
    fn shown(&mut self) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                *self = Self {
                    behaviour: SinkBehaviour::Accept,
                    left: None,
                };
            }
        }
    }
}

/// Decides for one session as the sink's script says, and records what is taken.
struct Decider<'a> {
    sink: &'a Sink,
    peer: &'a str,
}

impl Policy for Decider<'_> {
    fn refuse(&mut self) -> Option<u16> {
        let mut script = self.sink.script();
        let SinkBehaviour::Refuse(code) = script.behaviour else {
            return None;
        };
        script.shown();
        Some(code)
    }

    fn refuse_recipient(&mut self, to: &str) -> Option<u16> {
        match &self.sink.script().behaviour {
            SinkBehaviour::RefuseRecipient(address) => {
                address.eq_ignore_ascii_case(to).then_some(550)
            }
            _ => None,
        }
    }

    fn message(&mut self, taken: Taken) -> Decision {
        let decision = {
            let mut script = self.sink.script();
            let decision = match script.behaviour {
                SinkBehaviour::Defer(code) => Decision::Answer(code),
                SinkBehaviour::DropAfterDot => Decision::Drop,
                // `refuse` speaks at RCPT: this transaction began before it was set.
                SinkBehaviour::Refuse(_) => return self.take(taken, Decision::Accept),
                SinkBehaviour::Accept
                | SinkBehaviour::RefuseRecipient(_)
                | SinkBehaviour::Slow(_)
                | SinkBehaviour::Down => Decision::Accept,
            };
            script.shown();
            decision
        };
        self.take(taken, decision)
    }
}

impl Decider<'_> {
    fn take(&self, taken: Taken, decision: Decision) -> Decision {
        if matches!(decision, Decision::Answer(_)) {
            return decision;
        }
        let seen = inspect(&taken.content);
        self.sink.recorder.record(Event::Delivered(Delivery {
            sink: self.sink.name.clone(),
            link: self.sink.link(self.peer, &taken.hello),
            from: taken.from,
            recipients: taken.recipients,
            message: seen.number(),
            attempt: seen.attempt,
            dsn: seen.dsn,
            message_id: seen.message_id,
            digest: seen.digest,
            received: seen.received,
            answered: decision == Decision::Accept,
        }));
        decision
    }
}

#[cfg(test)]
mod tests;
