//! A whole session of any octets in any pieces: no panic, an end, and the pieces change nothing.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use reference_node::smtp::{Event, Peer, PeerCommand, Reply, Session, SessionConfig};

fn replies(octets: &[u8], piece: usize) -> (Vec<u8>, usize) {
    let config = SessionConfig {
        max_message_size: 100,
        max_recipients: 3,
        max_line: 600,
        peer_nonce: "00".into(),
        ..SessionConfig::default()
    };
    let mut session = Session::new(Arc::new(config));
    let mut pieces = octets.chunks(piece);
    let (mut output, mut messages) = (Vec::new(), 0);
    loop {
        match session.next() {
            Event::NeedInput => match pieces.next() {
                Some(piece) => session.receive(piece),
                None => session.receive_end(),
            },
            Event::Rcpt(to) => {
                let good = to.path.len() % 4 != 0;
                session.answer_rcpt(if good {
                    Ok(())
                } else {
                    Err(Reply::no_mailbox(&to.path))
                });
            }
            Event::Message(message) => {
                // What another node took may have its trace field on top.
                let most = if *session.peer() == Peer::Outside {
                    100
                } else {
                    100 + 64 * 1024
                };
                assert!(!message.recipients.is_empty() && message.content.len() <= most);
                messages += 1;
                session.answer_message(Reply::ok("taken"));
            }
            Event::Peer(command) => {
                if let PeerCommand::Xpeer { name, .. } = command {
                    session.set_peer(Peer::Server(name));
                }
                session.answer_peer(Reply::ok("done"));
            }
            Event::Closed => break,
        }
        output.append(session.output());
    }
    output.append(session.output());
    (output, messages)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, octets) = input;
    let piece = usize::from(piece).max(1);
    assert_eq!(replies(octets, piece), replies(octets, octets.len().max(1)));
});
