//! A client that always has something to say, until the server ends the session (TO-07).
//!
//! Comes in: a step `busy`. Goes out: one `busy-closed` record. Called by the runner.

use std::time::Duration;

use super::{
    client::{Broken, Session},
    courier::dial,
    idle::connection_since,
};
use crate::{
    history::{Event, Recorder, Reply},
    scenario::{Busy, BusyWith, Hello},
    substrate::SharedCluster,
};

/// Times as they are on this substrate.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two things that the client says.
    pub every: Duration,
    /// Until it gives up.
    pub at_most: Duration,
    /// For one reply.
    pub patience: Duration,
}

/// Opens a session and keeps talking. A session that could not begin is recorded without a time.
pub async fn busy(cluster: &SharedCluster, recorder: &Recorder, step: &Busy, pace: Pace) {
    let link = format!("{}>{}", step.client, step.to);
    let first = recorder.with_records(<[_]>::len);
    let began = recorder.now_us();
    let opened = match dial(cluster, &step.client, &step.to, pace.patience).await {
        Ok(stream) => Session::open(stream, &step.client, Hello::Ehlo, pace.patience).await,
        Err(error) => Err(error.into()),
    };
    let connection = connection_since(recorder, first, &link);
    let mut talk = Talk {
        recorder,
        began,
        said: began,
        longest_pause_us: 0,
    };
    let (after_us, reply) = match opened {
        Ok(session) => talk.through(session, step.with, pace).await,
        Err(_) => (None, None),
    };
    recorder.record(Event::BusyClosed {
        link,
        connection,
        after_us,
        longest_pause_us: talk.longest_pause_us,
        reply,
    });
}

struct Talk<'a> {
    recorder: &'a Recorder,
    began: u64,
    /// When the client said something last.
    said: u64,
    longest_pause_us: u64,
}

impl Talk<'_> {
    /// How long the session lasted until the server ended it, and with what.
    async fn through(
        &mut self,
        mut session: Session,
        with: BusyWith,
        pace: Pace,
    ) -> (Option<u64>, Option<Reply>) {
        if with == BusyWith::Data {
            for line in [
                "MAIL FROM:<sender@external.example>",
                "RCPT TO:<user-1@mailbox.example>",
                "DATA",
            ] {
                self.says();
                match session.command(line).await {
                    Ok(reply) if reply.code < 400 => {}
                    Ok(reply) => return self.refused(reply),
                    Err(broken) => return self.lost(broken),
                }
            }
        }
        while self.lasted() < pace.at_most {
            match session.unasked(pace.every).await {
                Ok(None) => {}
                Ok(Some(reply)) => return self.ended(Some(reply)),
                Err(broken) => return self.lost(broken),
            }
            self.says();
            let said = match with {
                BusyWith::Noop => session.command("NOOP").await.map(Some),
                BusyWith::Data => session.line("one more line").await.map(|()| None),
            };
            match said {
                Ok(Some(reply)) if reply.code >= 400 => return self.refused(reply),
                Ok(_) => {}
                Err(broken) => return self.lost(broken),
            }
        }
        session.hang_up().await;
        (None, None)
    }

    fn lasted(&self) -> Duration {
        Duration::from_micros(self.recorder.now_us().saturating_sub(self.began))
    }

    /// The client says something now.
    fn says(&mut self) {
        let now = self.recorder.now_us();
        self.longest_pause_us = self.longest_pause_us.max(now.saturating_sub(self.said));
        self.said = now;
    }

    fn ended(&mut self, reply: Option<Reply>) -> (Option<u64>, Option<Reply>) {
        let now = self.recorder.now_us();
        self.longest_pause_us = self.longest_pause_us.max(now.saturating_sub(self.said));
        (Some(now.saturating_sub(self.began)), reply)
    }

    /// Only 421 ends the session (RFC 5321 §3.8); after another refusal the client has nothing to say any more.
    fn refused(&mut self, reply: Reply) -> (Option<u64>, Option<Reply>) {
        if reply.code == 421 {
            self.ended(Some(reply))
        } else {
            (None, Some(reply))
        }
    }

    /// A server that does not answer has not ended the session.
    fn lost(&mut self, broken: Broken) -> (Option<u64>, Option<Reply>) {
        match broken {
            Broken::TimedOut { .. } => (None, None),
            _ => self.ended(None),
        }
    }
}
