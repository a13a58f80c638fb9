//! The probe as the server's next hop: the workload's sink session, which takes everything and records it.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Arrived, Seen};
use crate::workload::sink::session::{Decision, Policy, SinkSession, Step, Taken};

/// Takes mail until it is dropped.
pub(super) async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    sessions.spawn(session(stream, seen.clone()));
                }
                Err(error) => {
                    seen.trouble(Some(format!("the sink cannot accept: {error}")));
                    tokio::time::sleep(super::POLL).await;
                }
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

/// A connection that breaks is the sender's to notice.
async fn session(mut stream: TcpStream, seen: Arc<Seen>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut session = SinkSession::new("sink.gauntlet.invalid");
    let mut take = Take(seen);
    stream.write_all(session.greeting().as_bytes()).await?;
    let mut octets = vec![0; 16 * 1024];
    loop {
        while let Some(step) = session.step(&mut take) {
            let (Step::Reply(reply) | Step::Close(reply)) = &step;
            stream.write_all(reply.as_bytes()).await?;
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

struct Take(Arc<Seen>);

impl Policy for Take {
    fn refuse(&mut self) -> Option<u16> {
        None
    }

    fn message(&mut self, taken: Taken) -> Decision {
        self.0.add(Arrived {
            content: taken.content,
            from: Some(taken.from),
            recipients: taken.recipients,
        });
        Decision::Accept
    }
}
