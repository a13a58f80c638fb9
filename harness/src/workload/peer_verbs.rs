//! A client from outside that gives the peers' commands: each must be refused.
//!
//! Comes in: a link. Goes out: `peer-verb` records. Called by the runner's step `peer-verbs`.

use std::time::Duration;

use super::{
    client::{NotOpened, Session},
    courier::dial,
};
use crate::{
    history::{Event, Recorder, Reply},
    scenario::Hello,
    substrate::SharedCluster,
};

/// The commands, in the order of reference-node/PROTOCOL.md. The proof is wrong, as it must be without the secret.
fn commands(peer: &str) -> [String; 5] {
    let id = format!("{peer}/{}/1", "0".repeat(32));
    [
        format!("XPEER {peer} {} {}", "0".repeat(32), "0".repeat(64)),
        format!("XSHADOW {id} 1767225600000"),
        format!("XDELIVER {id} 1767225600000"),
        "XQDISCARD 0 100".to_owned(),
        "XRESUBMIT 0 4102444800000".to_owned(),
    ]
}

/// Gives the commands to node `to` as host `client`, which claims to be node `peer`.
///
/// A connection that the server ends is opened again for the next command.
pub async fn give(
    cluster: &SharedCluster,
    recorder: &Recorder,
    client: &str,
    to: &str,
    peer: &str,
    patience: Duration,
) {
    let mut session = None;
    for command in commands(peer) {
        let (back, reply) = ask(cluster, session.take(), client, to, &command, patience).await;
        session = back;
        recorder.record(Event::PeerVerb {
            link: format!("{client}>{to}"),
            command,
            reply,
        });
    }
    if let Some(session) = session {
        session.quit(patience).await;
    }
}

async fn ask(
    cluster: &SharedCluster,
    session: Option<Session>,
    client: &str,
    to: &str,
    command: &str,
    patience: Duration,
) -> (Option<Session>, Option<Reply>) {
    let mut session = match session {
        Some(session) => session,
        None => {
            let Ok(stream) = dial(cluster, client, to, patience).await else {
                return (None, None);
            };
            match Session::open(stream, client, Hello::Ehlo, patience).await {
                Ok(session) => session,
                Err(NotOpened::Refused(_) | NotOpened::Broken(_)) => return (None, None),
            }
        }
    };
    match session.command(command).await {
        Ok(reply) => (Some(session), Some(reply)),
        Err(_) => (None, None),
    }
}
