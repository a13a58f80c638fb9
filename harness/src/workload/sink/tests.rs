//! Sinks on the fake cluster, as a node sees them.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::{
    history::{Outcome, Record},
    scenario::{Hello, Span, Transfer},
    workload::{
        client::{Mail, Session, Submitted},
        testing::{FakeCluster, plain_content, shared},
    },
};

struct Room {
    cluster: SharedCluster,
    sink: Arc<Sink>,
    recorder: Arc<Recorder>,
    over: CancellationToken,
}

async fn room() -> Room {
    let cluster = shared(&FakeCluster::new("sink-1"));
    let recorder = Arc::new(Recorder::in_memory());
    let sink = Sink::new("sink-1", &["n1".into(), "n2".into()], recorder.clone());
    let over = CancellationToken::new();
    tokio::spawn(sink.clone().serve(cluster.clone(), over.clone()));
    sink.applied().await.expect("it listens");
    Room {
        cluster,
        sink,
        recorder,
        over,
    }
}

impl Room {
    async fn send(&self) -> Result<Submitted, String> {
        let patience = Duration::from_secs(60);
        let stream = self
            .cluster
            .dial("n1", "sink-1")
            .await
            .map_err(|e| e.to_string())?;
        let session = Session::open(stream, "n1.example", Hello::Ehlo, patience).await;
        let mut session = session.map_err(|why| format!("{why:?}"))?;
        let (content, to) = (plain_content(), vec!["a@b".to_owned(), "c@d".to_owned()]);
        let mail = Mail {
            from: "s@t",
            recipients: &to,
            content: &content,
            transfer: Transfer::Bdat,
            cut: None,
        };
        let submitted = session.submit(mail, &mut || {}).await;
        session.quit(patience).await;
        Ok(submitted)
    }

    async fn outcomes(&self, count: usize) -> Vec<(Outcome, Option<u16>)> {
        let mut outcomes = Vec::new();
        for _ in 0..count {
            let submitted = self.send().await.expect("it listens");
            outcomes.push((submitted.outcome, submitted.reply.map(|r| r.code)));
        }
        outcomes
    }

    fn delivered(&self) -> Vec<Delivery> {
        let of = |record: &Record| match &record.event {
            Event::Delivered(delivery) => Some(delivery.clone()),
            _ => None,
        };
        self.recorder
            .with_records(|records| records.iter().filter_map(of).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_recorded() {
    let room = room().await;
    assert_eq!(room.outcomes(1).await, [(Outcome::Acked, Some(250))]);
    let [delivery] = &room.delivered()[..] else {
        panic!("one delivery")
    };
    assert_eq!(delivery.link, "n1>sink-1");
    assert_eq!(
        (
            delivery.message,
            delivery.attempt,
            delivery.received,
            delivery.answered
        ),
        (Some(1), Some(1), 0, true)
    );
    assert_eq!(delivery.recipients, ["a@b", "c@d"]);
    assert_eq!(
        delivery.digest,
        crate::workload::digest(&plain_content().octets)
    );
}

#[tokio::test(start_paused = true)]
async fn behaviours_last_for_so_many_messages() {
    let room = room().await;
    room.sink.behave(SinkBehaviour::Defer(451), Some(2));
    let deferred = (Outcome::Refused, Some(451));
    assert_eq!(
        room.outcomes(3).await,
        [deferred, deferred, (Outcome::Acked, Some(250))]
    );
    room.sink.behave(SinkBehaviour::Refuse(550), Some(1));
    assert_eq!(
        room.outcomes(2).await,
        [(Outcome::Refused, Some(550)), (Outcome::Acked, Some(250))]
    );
    room.sink.behave(SinkBehaviour::DropAfterDot, Some(1));
    assert_eq!(
        room.outcomes(2).await,
        [(Outcome::Indeterminate, None), (Outcome::Acked, Some(250))]
    );
    assert_eq!(
        room.delivered()
            .iter()
            .map(|d| d.answered)
            .collect::<Vec<_>>(),
        [true, true, false, true]
    );
    room.sink.behave(SinkBehaviour::Defer(450), None);
    assert_eq!(room.outcomes(3).await, [(Outcome::Refused, Some(450)); 3]);
    room.sink.behave(SinkBehaviour::Defer(450), Some(0));
    assert_eq!(room.outcomes(1).await, [(Outcome::Acked, Some(250))]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_does_not_listen() {
    let room = room().await;
    let stream = room.cluster.dial("n1", "sink-1").await.expect("it listens");
    let mut open = Session::open(stream, "n1", Hello::Ehlo, Duration::from_secs(60))
        .await
        .expect("it opens");
    room.sink.behave(SinkBehaviour::Down, Some(1));
    room.sink.applied().await.expect("it can listen again");
    assert!(!open.probe().await, "open sessions end");
    assert_eq!(room.send().await, Err("connection refused".to_owned()));
    room.sink.behave(SinkBehaviour::Accept, None);
    room.sink.applied().await.expect("it listens");
    assert_eq!(room.outcomes(1).await, [(Outcome::Acked, Some(250))]);
    assert_eq!(room.sink.failure(), None);
    room.over.cancel();
    while room.sink.failure().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(room.sink.applied().await, Err("the run is over".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_answers_every_command_late() {
    let room = room().await;
    room.sink
        .behave(SinkBehaviour::Slow(Span::from_secs(2)), None);
    let began = Instant::now();
    assert_eq!(room.outcomes(1).await, [(Outcome::Acked, Some(250))]);
    // The greeting, EHLO, MAIL, two RCPT, BDAT, QUIT.
    assert_eq!(began.elapsed().as_secs(), 14);
}
