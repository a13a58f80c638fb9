//! Content there and back in pieces (TC-08), and no end of data that another reading would not find (TC-10).
#![no_main]

use libfuzzer_sys::fuzz_target;
use reference_node::smtp::{data::Decoder, dialogue::stuff};

/// The content and the octets used up to the end of the data, if it is there.
fn decode(sent: &[u8], piece: usize) -> (Vec<u8>, Option<usize>) {
    let (mut decoder, mut content, mut used) = (Decoder::new(false), Vec::new(), 0);
    for octets in sent.chunks(piece) {
        let progress = decoder.decode(octets, |octets| content.extend_from_slice(octets));
        used += progress.used;
        if progress.ended {
            return (content, Some(used));
        }
    }
    (content, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, octets) = input;
    let piece = usize::from(piece).max(1);

    let (content, end) = decode(octets, piece);
    let whole = decode(octets, octets.len().max(1));
    assert_eq!((&content, end), (&whole.0, whole.1));
    let first = if octets.starts_with(b".\r\n") {
        Some(3)
    } else {
        octets
            .windows(5)
            .position(|window| window == b"\r\n.\r\n")
            .map(|at| at + 5)
    };
    assert_eq!(end, first);

    let mut content = octets.to_vec();
    if !content.is_empty() {
        content.extend_from_slice(b"\r\n");
    }
    let sent = stuff(&content);
    assert_eq!(decode(&sent, piece), (content, Some(sent.len())));
});
