//! How fast the receiving session reads SMTP: `cargo bench -p reference-node --bench session`.
//!
//! A client's octets go in as a socket would give them, in pieces of 16 KiB; messages come out. There is no socket, no
//! disk and no clock. Criterion's `thrpt` counts messages (elements), or octets of content.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reference_node::smtp::{
    reply::Reply,
    session::{Event, Session, SessionConfig},
};

/// What a socket gives at most.
const PIECE: usize = 16 * 1024;

/// Messages of one connection.
const MESSAGES: usize = 100;

/// Drives a connection that carries these octets to its end; how many messages came out.
fn messages(config: &Arc<SessionConfig>, octets: &[u8]) -> usize {
    let mut session = Session::new(Arc::clone(config));
    let mut pieces = octets.chunks(PIECE);
    let mut taken = 0;
    loop {
        match session.next() {
            Event::NeedInput => {
                black_box(session.take_output());
                match pieces.next() {
                    Some(piece) => session.receive(piece),
                    None => return taken,
                }
            }
            Event::Rcpt(to) => {
                black_box(to);
                session.answer_rcpt(Ok(()));
            }
            Event::Message(message) => {
                black_box(message);
                taken += 1;
                session.answer_message(Reply::ok("kept"));
            }
            Event::Peer(_) => session.answer_peer(Reply::ok("done")),
            Event::Closed => return taken,
        }
    }
}

/// A body of lines, one of ten with a dot for transparency.
fn body(octets: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(octets + 80);
    for line in 0.. {
        if body.len() >= octets {
            break;
        }
        if line % 10 == 0 {
            body.extend_from_slice(b"..");
        }
        body.extend_from_slice(&[b'x'; 70]);
        body.extend_from_slice(b"\r\n");
    }
    body
}

fn connection(size: usize, recipients: usize, bdat: bool) -> Vec<u8> {
    let mut octets = b"EHLO client.example\r\n".to_vec();
    let body = body(size);
    for _ in 0..MESSAGES {
        octets.extend_from_slice(b"MAIL FROM:<sender@external.example> SIZE=4096\r\n");
        for n in 0..recipients {
            octets.extend_from_slice(format!("RCPT TO:<user-{n}@mailbox.example>\r\n").as_bytes());
        }
        if bdat {
            octets.extend_from_slice(format!("BDAT {} LAST\r\n", body.len()).as_bytes());
            octets.extend_from_slice(&body);
        } else {
            octets.extend_from_slice(b"DATA\r\n");
            octets.extend_from_slice(&body);
            octets.extend_from_slice(b".\r\n");
        }
    }
    octets
}

fn session(criterion: &mut Criterion) {
    let config = Arc::new(SessionConfig::default());
    let mut group = criterion.benchmark_group("session");
    for (name, size, recipients, bdat) in [
        ("empty, 1 recipient", 0, 1, false),
        ("empty, 100 recipients", 0, 100, false),
        ("4 KiB, DATA", 4 << 10, 1, false),
        ("4 KiB, BDAT", 4 << 10, 1, true),
        ("1 MiB, DATA", 1 << 20, 1, false),
        ("1 MiB, BDAT", 1 << 20, 1, true),
    ] {
        let octets = connection(size, recipients, bdat);
        assert_eq!(messages(&config, &octets), MESSAGES, "{name}");
        group.throughput(if size < 1 << 20 {
            Throughput::Elements(MESSAGES as u64)
        } else {
            Throughput::Bytes(octets.len() as u64)
        });
        group.sample_size(20);
        group.bench_with_input(BenchmarkId::from_parameter(name), &octets, |b, octets| {
            b.iter(|| messages(&config, octets));
        });
    }
    group.finish();
}

criterion_group!(benches, session);
criterion_main!(benches);
