//! XPEER's proofs (PROTOCOL.md): both sides show that they know the organization's secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The client's proof for a server's nonce.
pub fn client_proof(secret: &str, name: &str, server_nonce: &str, client_nonce: &str) -> String {
    hex(&mac(secret, &["client", name, server_nonce, client_nonce])
        .finalize()
        .into_bytes())
}

/// The server's answer. `state` is log position, epoch and ends of epochs, as they stand in the reply.
pub fn server_proof(
    secret: &str,
    name: &str,
    client_nonce: &str,
    server_nonce: &str,
    database: &str,
    state: &str,
) -> String {
    hex(&mac(
        secret,
        &["server", name, client_nonce, server_nonce, database, state],
    )
    .finalize()
    .into_bytes())
}

/// Compares two proofs in a time that does not tell where they differ.
pub fn equal(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |differ, (x, y)| differ | (x ^ y))
            == 0
}

fn mac(secret: &str, parts: &[&str]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            mac.update(b"\0");
        }
        mac.update(part.as_bytes());
    }
    mac
}

/// Lower-case hex digits of `octets`.
pub fn hex(octets: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    octets
        .iter()
        .flat_map(|octet| [digit(octet >> 4), digit(octet & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_differ_by_every_part() {
        let proof = client_proof("s", "n1", "a", "b");
        assert!(equal(&proof, &client_proof("s", "n1", "a", "b")));
        for other in [
            client_proof("t", "n1", "a", "b"),
            client_proof("s", "n2", "a", "b"),
            client_proof("s", "n1", "b", "a"),
        ] {
            assert!(!equal(&proof, &other));
        }
        assert_ne!(
            server_proof("s", "n1", "a", "b", "d", "1 0 -"),
            server_proof("s", "n1", "a", "b", "d", "2 0 -")
        );
        assert!(!equal(&proof, ""));
    }
}
