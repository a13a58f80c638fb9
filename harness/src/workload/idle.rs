//! A client that says hello and then nothing, until the server ends the session (TO-06).
//!
//! Comes in: a link and a time. Goes out: one `idle-closed` record. Called by the runner's step `idle`.

use std::time::Duration;

use super::{
    client::{NotOpened, Session},
    courier::dial,
};
use crate::{
    history::{Event, Recorder, Reply, Wire},
    scenario::Hello,
    substrate::SharedCluster,
};

/// Says hello to node `to` as host `client`, and waits for at most `at_most` until the server ends the session.
///
/// A session that could not begin is recorded as ended after no time.
pub async fn idle(
    cluster: &SharedCluster,
    recorder: &Recorder,
    client: &str,
    to: &str,
    at_most: Duration,
    patience: Duration,
) {
    let link = format!("{client}>{to}");
    let begin = recorder.with_records(<[_]>::len);
    let opened = match dial(cluster, client, to, patience).await {
        Ok(stream) => Session::open(stream, client, Hello::Ehlo, patience).await,
        Err(error) => Err(error.into()),
    };
    let connection = connection_since(recorder, begin, &link);
    let (after_us, reply) = match opened {
        Ok(session) => wait(recorder, session, at_most).await,
        Err(NotOpened::Refused(reply)) => (Some(0), Some(reply)),
        Err(NotOpened::Broken(_)) => (Some(0), None),
    };
    recorder.record(Event::IdleClosed {
        link,
        connection,
        after_us,
        reply,
    });
}

/// The number of the connection that was opened on the link since then, when it is the only one.
pub(super) fn connection_since(recorder: &Recorder, begin: usize, link: &str) -> Option<u32> {
    recorder.with_records(|records| {
        let mut opened = records
            .get(begin..)?
            .iter()
            .filter_map(|record| match &record.event {
                Event::Wire {
                    link: on,
                    connection,
                    wire: Wire::Connect,
                } if on == link => Some(*connection),
                _ => None,
            });
        let first = opened.next();
        first.filter(|_| opened.next().is_none())
    })
}

async fn wait(
    recorder: &Recorder,
    mut session: Session,
    at_most: Duration,
) -> (Option<u64>, Option<Reply>) {
    let began = recorder.now_us();
    match session.unasked(at_most).await {
        Ok(None) => {
            session.quit(Duration::from_secs(1)).await;
            (None, None)
        }
        Ok(reply) => (Some(recorder.now_us().saturating_sub(began)), reply),
        Err(_) => (Some(recorder.now_us().saturating_sub(began)), None),
    }
}
