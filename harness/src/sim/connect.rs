//! How a connection comes about: SYN, answer, tap; and how it does not.
//!
//! Comes in: who wants to connect where. Goes out: the client's [`SimStream`], with the server's end in the
//! listener's backlog, or a refusal, or nothing for as long as nothing answers. Called by
//! [`super::network`] and [`SimEnvironment`](super::SimEnvironment).

use std::{
    io,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::Side,
    network::{Answer, SimNetwork},
    stream::SimStream,
};

impl SimNetwork {
    pub(super) async fn open(self: Arc<Self>, from: String, to: String) -> io::Result<SimStream> {
        let link = format!("{from}>{to}");
        let mut attempt = Attempt::new(self, from, to);
        let Attempt {
            network, from, to, ..
        } = &attempt;
        let timer = tokio::time::sleep(network.latency(&link));
        tokio::pin!(timer);
        let refused = loop {
            // The SYN goes there…
            timer.as_mut().await;
            let (answer, changes) = network.with(|s| (s.answer(&link, from, to), s.changes));
            if !matches!(answer, Answer::Silence) {
                // …and its answer comes back.
                timer
                    .as_mut()
                    .reset(Instant::now() + network.latency(&link));
                timer.as_mut().await;
                let answer = network.with(|s| match s.is_open(&link, to, from) {
                    true => s.answer(&link, from, to),
                    false => Answer::Silence,
                });
                match answer {
                    Answer::Welcome => break false,
                    Answer::Refusal => break true,
                    Answer::Silence => {}
                }
            }
            network.change_since(changes, attempt.id).await;
            // A SYN that was lost is sent again.
            timer
                .as_mut()
                .reset(Instant::now() + network.latency(&link));
        };
        attempt.ended = true;
        let tap = attempt.network.board.link(&attempt.from, &attempt.to);
        if refused {
            tap.connect_failed("refused").after();
            attempt.die_with_the_process().await;
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (connection, mut fired) = tap.open();
        let tap = Arc::new(Mutex::new(connection));
        let id = attempt.network.with(|state| {
            let latency = state.latency(attempt.network.seed, &link);
            state.establish(&link, &attempt.from, &attempt.to, latency, tap.clone())
        });
        let stream = SimStream::new(attempt.network.clone(), id, Side::Client, tap);
        fired.before();
        fired.after();
        attempt.die_with_the_process().await;
        Ok(stream)
    }

    fn latency(&self, link: &str) -> Duration {
        self.with(|state| {
            let delay = state.delays.get(link).copied().unwrap_or_default();
            state.latency(self.seed, link) + delay
        })
    }

    async fn change_since(&self, seen: u64, id: u64) {
        std::future::poll_fn(|cx| {
            self.with(|state| {
                if state.changes != seen {
                    return Poll::Ready(());
                }
                state.waiting.insert(id, cx.waker().clone());
                Poll::Pending
            })
        })
        .await;
    }
}

/// A connect that is under way.
struct Attempt {
    network: Arc<SimNetwork>,
    from: String,
    to: String,
    id: u64,
    /// The caller's process, as [`Host::crashes`].
    process: u64,
    ended: bool,
}

impl Attempt {
    fn new(network: Arc<SimNetwork>, from: String, to: String) -> Self {
        let (id, process) = network.with(|s| (s.next_serial(), s.host(&from).crashes));
        Self {
            network,
            from,
            to,
            id,
            process,
            ended: false,
        }
    }

    fn process_lives(&self) -> bool {
        self.network
            .with(|s| !s.over && s.host(&self.from).crashes == self.process)
    }

    /// A trigger may have ended the caller's own process: then it sees nothing any more.
    async fn die_with_the_process(&self) {
        if !self.process_lives() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.network.with(|s| s.waiting.remove(&self.id));
        if !self.ended && self.process_lives() {
            let link = self.network.board.link(&self.from, &self.to);
            link.connect_failed("given up").after();
        }
    }
}
