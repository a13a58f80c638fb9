//! Whatever passes a tap: no panic, and the pieces in which octets come change nothing.
//!
//! The input is a dialogue as in `reference-node/src/smtp/session/dialogues`: `C: ` a client's line, `S: ` a
//! server's; CRLF is added, `\r \n \0` are escapes, a `\` at the end means no CRLF. Other lines are passed over.
#![no_main]

use gauntlet::tap::{Direction, Observer};
use libfuzzer_sys::fuzz_target;

fn octets(line: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(line.len() + 2);
    let mut rest = line;
    while let [first, after @ ..] = rest {
        let (octet, after) = match (first, after) {
            (b'\\', []) => return octets,
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b'0', after @ ..]) => (0, after),
            _ => (*first, after),
        };
        octets.push(octet);
        rest = after;
    }
    octets.extend_from_slice(b"\r\n");
    octets
}

fuzz_target!(|dialogue: &[u8]| {
    let (mut whole, mut pieces) = (Observer::new(), Observer::new());
    for line in dialogue.split(|octet| *octet == b'\n') {
        let (direction, text) = match line {
            [b'C', b':', b' ', text @ ..] => (Direction::ToServer, text),
            [b'S', b':', b' ', text @ ..] => (Direction::ToClient, text),
            _ => continue,
        };
        let octets = octets(text);
        let events = whole.feed(direction, &octets);
        let mut others = Vec::new();
        for piece in octets.chunks(1) {
            others.extend(pieces.feed(direction, piece));
        }
        assert_eq!(events, others);
    }
});
