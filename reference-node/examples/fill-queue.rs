//! Fills the queue of a node that is not running: `cargo run --release -p reference-node --example fill-queue -- DATA N SIZE`.
//!
//! For measurements with long queues (docs/speed.md): the rows are those that a node writes for N messages of SIZE octets to
//! a next hop outside, without the time that it takes to send them.

use std::{error::Error, path::Path, sync::Arc};

use bytes::Bytes;
use reference_node::{
    env::Environment,
    message::{Envelope, Origin, Progress, Recipient, TransportId},
    production::Production,
    smtp::{MailFrom, RcptTo},
    store::{TransportStore, TransportWrite},
};

/// Messages that share a commit.
const AT_ONCE: u64 = 512;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, count, size] = arguments.as_slice() else {
        return Err("usage: fill-queue DATA-DIRECTORY MESSAGES OCTETS".into());
    };
    let (count, size): (u64, usize) = (count.parse()?, size.parse()?);
    let env: Arc<dyn Environment> = Arc::new(Production::new(Path::new(data))?);
    let (store, loaded) = TransportStore::open(&env, None)?;
    let now = env.wall_clock();
    let mut content =
        b"Received: from x (x)\r\n\tby n1 with ESMTP;\r\nSubject: one of many\r\n\r\n".to_vec();
    while content.len() < size {
        content.extend_from_slice(b"A line of a message that waits for its next hop.\r\n");
    }
    let content = Bytes::from(content);
    let end = loaded.next_row + count;
    let mut row = loaded.next_row;
    while row < end {
        let mut writes = Vec::new();
        for row in row..end.min(row + AT_ONCE) {
            let envelope = Envelope {
                id: TransportId::new("n1", store.id(), row),
                from: MailFrom {
                    path: "ann@x.example".into(),
                    ..MailFrom::default()
                },
                recipients: vec![Recipient {
                    to: RcptTo {
                        path: "bob@y.example".into(),
                        ..RcptTo::default()
                    },
                    progress: Progress::Pending,
                }],
                received: now,
                submit_time: now,
                message_id: Some(format!("<{row}.one-of-many@x.example>")),
                size: content.len() as u64,
                origin: Origin::Received,
                shadows: vec!["n2".into()],
                side_effects: 0,
                delay_told: false,
            };
            writes.push(TransportWrite::PutContent(row, content.clone()));
            writes.push(TransportWrite::PutQueue(row, envelope));
        }
        row = end.min(row + AT_ONCE);
        store.submit(writes).durable().await?;
    }
    println!("{count} messages of {} octets", content.len());
    Ok(())
}
