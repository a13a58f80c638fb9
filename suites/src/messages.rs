//! Test messages: one file per property of mail that a transport must not spoil.
//!
//! Comes in: `messages/*.eml`, embedded; one message too large for a repository is made here. Goes out: their bytes, as
//! they go over the wire before dot-stuffing. Called by the workload, which puts `X-Gauntlet-Message` on top and replaces
//! Message-ID and Date.
//!
//! Every line ends in CRLF, with one exception: the last line of `no-final-newline-lines` has no line end. `DATA` cannot
//! carry that (RFC 5321 §4.1.1.4: the CRLF before the final dot belongs to the data); a client that uses it adds a CRLF. `BDAT` can.

use std::sync::OnceLock;

use crate::files::ROOT;

/// Size of the attachment of `attachment-1mib`, in octets before base64.
pub const ATTACHMENT_BYTES: usize = 1 << 20;

/// One test message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageFile {
    /// Its name: the file's without `.eml`.
    pub name: &'static str,
    /// The message as RFC 5322 has it: header section, empty line, body.
    pub bytes: &'static [u8],
}

impl MessageFile {
    /// The header section, with the CRLF of its last field, without the empty line.
    pub fn header(&self) -> &'static [u8] {
        let end = self.split();
        &self.bytes[..end]
    }

    /// What follows the empty line; may be empty.
    pub fn body(&self) -> &'static [u8] {
        let end = self.split();
        self.bytes.get(end + 2..).unwrap_or_default()
    }

    /// Whether it needs 8BITMIME: an octet above 127 anywhere.
    pub fn is_eight_bit(&self) -> bool {
        !self.bytes.is_ascii()
    }

    /// Whether it needs SMTPUTF8: an octet above 127 in the header section.
    pub fn needs_smtputf8(&self) -> bool {
        !self.header().is_ascii()
    }

    /// Where the header section ends; the end of the message when it has no empty line.
    fn split(&self) -> usize {
        let gap = self
            .bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        gap.map_or(self.bytes.len(), |at| at + 2)
    }
}

/// Every test message, sorted by name.
pub fn messages() -> Vec<MessageFile> {
    let mut messages = vec![MessageFile {
        name: "attachment-1mib",
        bytes: attachment(),
    }];
    if let Some(directory) = ROOT.get_dir("messages") {
        messages.extend(directory.files().filter_map(|file| {
            let name = file.path().file_name()?.to_str()?.strip_suffix(".eml")?;
            Some(MessageFile {
                name,
                bytes: file.contents(),
            })
        }));
    }
    messages.sort_by_key(|message| message.name);
    messages
}

/// The test message of this name.
pub fn message(name: &str) -> Option<MessageFile> {
    messages().into_iter().find(|message| message.name == name)
}

/// `attachment-1mib`: a multipart message whose attachment is [`ATTACHMENT_BYTES`] octets of a fixed sequence (Knuth's
/// 64-bit linear congruential generator, seed 1, the top octet of each state), so that it neither compresses nor repeats.
fn attachment() -> &'static [u8] {
    static MESSAGE: OnceLock<Vec<u8>> = OnceLock::new();
    MESSAGE.get_or_init(|| {
        let mut state: u64 = 1;
        let octets: Vec<u8> = (0..ATTACHMENT_BYTES)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect();
        let mut message = ATTACHMENT_HEAD.replace('\n', "\r\n").into_bytes();
        // RFC 2045 §6.8: at most 76 characters in a line, which are 57 octets.
        for line in octets.chunks(57) {
            base64_line(line, &mut message);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"--=_gauntlet-attachment--\r\n");
        message
    })
}

/// Appends `octets` in base64 (RFC 4648 §4), padded.
fn base64_line(octets: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in octets.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 0x3f;
            out.push(if place <= group.len() {
                ALPHABET[sextet as usize]
            } else {
                b'='
            });
        }
    }
}

/// Everything of `attachment-1mib` before the base64; `\n` stands for CRLF.
const ATTACHMENT_HEAD: &str = "\
From: Alice Example <alice@sender.example>
To: Bob Example <bob@mailbox.example>
Date: Mon, 02 Mar 2026 09:00:00 +0000
Message-ID: <attachment-1mib@gauntlet.example>
Subject: An attachment of one mebibyte
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=\"=_gauntlet-attachment\"

--=_gauntlet-attachment
Content-Type: text/plain; charset=us-ascii

The attachment holds 1048576 octets that neither compress nor repeat.

--=_gauntlet-attachment
Content-Type: application/octet-stream; name=\"octets.bin\"
Content-Disposition: attachment; filename=\"octets.bin\"
Content-Transfer-Encoding: base64

";

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> MessageFile {
        message(name).unwrap_or_else(|| panic!("no message {name}"))
    }

    /// The lines, split at CRLF; whether the last one was terminated does not show.
    fn lines(bytes: &'static [u8]) -> Vec<&'static [u8]> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
            lines.push(&rest[..at]);
            rest = &rest[at + 2..];
        }
        if !rest.is_empty() {
            lines.push(rest);
        }
        lines
    }

    #[test]
    fn all_are_there() {
        let names: Vec<&str> = messages().iter().map(|message| message.name).collect();
        assert_eq!(
            names,
            [
                "attachment-1mib",
                "dot-lines",
                "eight-bit",
                "empty-body",
                "long-header",
                "multipart",
                "no-final-newline-lines",
                "plain",
                "smtputf8",
            ]
        );
        assert_eq!(message("no-such-message"), None);
    }

    #[test]
    fn line_ends_are_crlf_only_and_lines_are_short_enough() {
        for message in messages() {
            for line in lines(message.bytes) {
                assert!(
                    !line.contains(&b'\r') && !line.contains(&b'\n'),
                    "{}: bare CR or LF",
                    message.name
                );
                // RFC 5322 §2.1.1
                assert!(
                    line.len() <= 998,
                    "{}: a line of {} octets",
                    message.name,
                    line.len()
                );
            }
            let unterminated = !message.bytes.ends_with(b"\r\n");
            assert_eq!(
                unterminated,
                message.name == "no-final-newline-lines",
                "{}",
                message.name
            );
        }
    }

    #[test]
    fn each_has_its_header_fields_once() {
        for message in messages() {
            assert!(
                message.header().len() < message.bytes.len(),
                "{}: no empty line",
                message.name
            );
            let mut names = Vec::new();
            for line in lines(message.header()) {
                let text = std::str::from_utf8(line)
                    .unwrap_or_else(|_| panic!("{}: not UTF-8", message.name));
                if text.starts_with([' ', '\t']) {
                    assert!(
                        !names.is_empty() && !text.trim().is_empty(),
                        "{}: {text:?}",
                        message.name
                    );
                    continue;
                }
                let (name, _) = text
                    .split_once(": ")
                    .unwrap_or_else(|| panic!("{}: {text:?}", message.name));
                assert!(
                    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                    "{}: {name:?}",
                    message.name
                );
                names.push(name.to_owned());
            }
            for field in ["From", "To", "Date", "Message-ID", "Subject"] {
                let count = names
                    .iter()
                    .filter(|name| name.eq_ignore_ascii_case(field))
                    .count();
                assert_eq!(count, 1, "{}: {field}", message.name);
            }
        }
    }

    #[test]
    fn extensions_are_needed_where_the_name_says_so() {
        let eight_bit: Vec<&str> = messages()
            .iter()
            .filter(|m| m.is_eight_bit())
            .map(|m| m.name)
            .collect();
        assert_eq!(eight_bit, ["eight-bit", "smtputf8"]);
        let utf8: Vec<&str> = messages()
            .iter()
            .filter(|m| m.needs_smtputf8())
            .map(|m| m.name)
            .collect();
        assert_eq!(utf8, ["smtputf8"]);
        assert!(std::str::from_utf8(named("smtputf8").bytes).is_ok());
        // Octets that are no UTF-8: whoever decodes the body and encodes it again spoils them.
        assert!(std::str::from_utf8(named("eight-bit").body()).is_err());
    }

    #[test]
    fn dot_lines_has_every_kind_and_ends_with_one() {
        let lines = lines(named("dot-lines").body());
        for kind in [&b"."[..], b"..", b"...", b".x", b"..x"] {
            assert!(lines.contains(&kind), "{}", String::from_utf8_lossy(kind));
        }
        assert_eq!(lines.last(), Some(&&b"."[..]));
    }

    #[test]
    fn long_header_has_a_field_of_several_kilobytes() {
        let mut longest = 0;
        let mut current = 0;
        for line in lines(named("long-header").header()) {
            current = if line.starts_with(b" ") {
                current + line.len()
            } else {
                line.len()
            };
            longest = longest.max(current);
        }
        assert!(longest > 4096, "{longest}");
    }

    #[test]
    fn empty_body_has_none() {
        assert!(named("empty-body").body().is_empty());
        assert!(named("empty-body").bytes.ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn header_empty_line_and_body_are_the_message() {
        for message in messages() {
            let joined = [message.header(), b"\r\n", message.body()].concat();
            assert!(joined == message.bytes, "{}", message.name);
        }
    }

    #[test]
    fn attachment_is_base64_of_a_mebibyte() {
        let text = std::str::from_utf8(named("attachment-1mib").bytes).expect("it is ASCII");
        let encoded = text
            .split("base64\r\n\r\n")
            .nth(1)
            .and_then(|rest| rest.split("--").next());
        let encoded: String = encoded
            .expect("there is an attachment")
            .split("\r\n")
            .collect();
        // ⌈1048576 / 3⌉ groups of four characters; 1048576 leaves one octet over, so two characters are padding.
        assert_eq!(encoded.len(), 349_526 * 4);
        assert!(
            encoded.ends_with("==") && encoded.starts_with("bIKlYsuA"),
            "{}",
            &encoded[..8]
        );
    }

    #[test]
    fn base64_as_in_rfc_4648() {
        for (octets, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            base64_line(octets.as_bytes(), &mut out);
            assert_eq!(out, expected.as_bytes());
        }
    }
}
