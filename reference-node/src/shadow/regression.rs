//! HB-13: what this node knows of other servers' logs, and what a session tells about it.
//!
//! Comes in: a session in which a server has shown its log position, and how far its database came in the epochs that it
//! was asked about. Goes out: whether that database went back to an earlier state, and shadow messages that it does not
//! have; what came from another database is promoted. Called by [`super::server`], and by whoever opens a session. What was
//! shown is durable while shadow messages are held for the server.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    client::ClientError,
    config::Server,
    node::{Node, Shown, State},
    sabotage::Sabotage,
    shadow::{
        mark::{EpochEnd, MOST_EPOCHS, Mark},
        peer::PeerSession,
    },
    store::TransportWrite,
};

/// What a session tells.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The server shows a state of its database that is older than one it showed before.
    pub(crate) went_back: bool,
    /// Rows of shadow messages that its database does not have: it ended before, or went back.
    pub(crate) orphans: Vec<u64>,
}

impl Node {
    /// Opens a session to another server. No single wait lasts longer than `patience`. What this node holds of another
    /// database than the one that the server shows is promoted at once (HB-10): nothing that the session brings later can
    /// change that, and it may break off before.
    ///
    /// # Errors
    /// As [`PeerSession::open`].
    pub(crate) async fn open_session(
        &self,
        server: &Server,
        patience: Duration,
    ) -> Result<PeerSession, ClientError> {
        let epochs = self.known_epochs(&server.name);
        let session =
            PeerSession::open(&*self.env, &self.config, server, &epochs, patience).await?;
        let mut state = self.state();
        let rows = state
            .manager
            .of_another_database(&session.server, &session.database);
        self.promote_rows(&mut state, &session.server, rows, "another database");
        drop(state);
        Ok(session)
    }

    /// The epochs of a server's database that this node knows something of.
    fn known_epochs(&self, server: &str) -> Vec<u64> {
        let state = self.state();
        let shown = state.shown.get(server).map(|shown| shown.mark.epoch);
        let held = state
            .shadow
            .values()
            .filter(|s| s.primary == server && s.mark.epoch != 0)
            .map(|s| s.mark.epoch);
        let mut epochs = Vec::new();
        for epoch in shown.into_iter().chain(held) {
            if epochs.len() < MOST_EPOCHS && !epochs.contains(&epoch) {
                epochs.push(epoch);
            }
        }
        epochs
    }

    /// Compares what a session shows with what the server has shown before, and keeps the later.
    pub(crate) fn compare(&self, state: &mut State, session: &PeerSession) -> Seen {
        let end_of = |epoch: u64| {
            let asked = session.ends.iter().find(|(asked, _)| *asked == epoch);
            asked.map(|(_, end)| *end)
        };
        let detects = self.config.transport.state_regression_detection
            && !self.sabotaged(Sabotage::IgnoreLogPosition);
        let mut seen = Seen::default();
        let mut newer = true;
        if let Some(shown) = state.shown.get(&session.server)
            && shown.mark.database == session.database
        {
            let known = shown.mark.position;
            if shown.mark.epoch == session.epoch {
                // An answer that was asked for before the newer one was read proves nothing.
                let later = shown.at.is_none_or(|at| session.asked > at);
                seen.went_back = session.position < known && later;
                newer = session.position > known || seen.went_back;
            } else {
                match end_of(shown.mark.epoch) {
                    Some(EpochEnd::At(end)) => seen.went_back = known > end,
                    Some(EpochEnd::Unknown) => seen.went_back = known > 0,
                    // Another session has brought news since this one asked.
                    Some(EpochEnd::Runs) | None => newer = false,
                }
            }
        }
        let missing = |mark: &Mark| {
            mark.database == session.database
                && mark.epoch != session.epoch
                && match end_of(mark.epoch) {
                    Some(EpochEnd::At(end)) => mark.position > end,
                    Some(EpochEnd::Unknown) => mark.epoch != 0,
                    Some(EpochEnd::Runs) | None => false,
                }
        };
        let held: Vec<_> = state
            .shadow
            .iter()
            .filter(|(_, s)| s.primary == session.server)
            .collect();
        let keeps = !held.is_empty();
        seen.orphans = held
            .into_iter()
            .filter(|(_, s)| missing(&s.mark))
            .map(|(row, _)| *row)
            .collect();
        if newer {
            let mark = Mark {
                database: session.database.clone(),
                epoch: session.epoch,
                position: session.position,
            };
            if keeps && detects {
                // Not durable yet: after a crash it is known that an earlier place was shown.
                drop(self.submit(vec![TransportWrite::SetShown(
                    session.server.clone(),
                    mark.clone(),
                )]));
            }
            let at = Some(Instant::now());
            state
                .shown
                .insert(session.server.clone(), Shown { mark, at });
        }
        if detects { seen } else { Seen::default() }
    }
}
