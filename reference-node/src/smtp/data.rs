//! The end-of-data decoder (RFC 5321 §4.1.1.4, §4.5.2).
//!
//! Comes in: octets after `354`, cut anywhere. Goes out: the content as slices of the input, dots
//! unstuffed, and where the data ended. Called by the receiving [`session`](super::session).
//!
//! Only `<CRLF>.<CRLF>` ends the data (TC-10). RFC 5321 §2.3.8 says that a client must not send a CR
//! or an LF of its own; one that comes all the same stays in the content where it was (TC-08), and
//! begins no line: neither `<LF>.<LF>` nor `<LF>.<CRLF>` nor `<CR>.<CR>` ends anything, and a dot after
//! it is content.

use memchr::memchr;

/// What to do with content that has a CR or an LF of its own (RFC 5321 §2.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareLineEnds {
    /// Keep it as it is (TC-08).
    #[default]
    Accept,
    /// Answer end-of-data with `554 5.6.0`.
    Refuse,
}

/// How far [`Decoder::decode`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Octets of the input that belong to the data; the rest follows it.
    pub used: usize,
    /// The end of the data was among them.
    pub ended: bool,
}

/// The decoder of one message's data.
#[derive(Debug, Clone)]
pub struct Decoder {
    place: Place,
    bare_lf_ends: bool,
}

/// Where in a line the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its beginning.
    Start,
    /// After a dot at its beginning, which is withheld.
    Dot,
    /// After that dot and a CR, both withheld.
    DotCr,
    /// After a CR.
    Cr,
    /// Anywhere else.
    Middle,
}

impl Decoder {
    /// At the beginning of the data: the DATA command's own CRLF begins the first line
    /// (RFC 5321 §4.1.1.4). `bare_lf_ends` is the sabotage of that name: an LF of its own ends a line.
    pub fn new(bare_lf_ends: bool) -> Self {
        Self {
            place: Place::Start,
            bare_lf_ends,
        }
    }

    /// Takes the next octets and hands the content among them to `content`, in order. It does not look
    /// past the end of the data; after that it must not be called again.
    pub fn decode(&mut self, input: &[u8], mut content: impl FnMut(&[u8])) -> Progress {
        let mut at = 0;
        while at < input.len() {
            match self.place {
                Place::Start if input[at] == b'.' => {
                    self.place = Place::Dot;
                    at += 1;
                }
                Place::Dot => match input[at] {
                    b'\r' => {
                        self.place = Place::DotCr;
                        at += 1;
                    }
                    b'\n' if self.bare_lf_ends => {
                        return Progress {
                            used: at + 1,
                            ended: true,
                        };
                    }
                    // RFC 5321 §4.5.2: the first dot is deleted when the line has more.
                    _ => self.place = Place::Middle,
                },
                Place::DotCr => {
                    if input[at] == b'\n' {
                        return Progress {
                            used: at + 1,
                            ended: true,
                        };
                    }
                    // The line has more than its dot: it loses the dot and keeps the CR.
                    content(b"\r");
                    self.place = Place::Cr;
                }
                Place::Start | Place::Cr | Place::Middle => {
                    let line = self.line_rest(&input[at..]);
                    content(&input[at..at + line]);
                    at += line;
                }
            }
        }
        Progress {
            used: at,
            ended: false,
        }
    }

    /// The length of the text up to the line's end, or to the end of the (never empty) input.
    fn line_rest(&mut self, input: &[u8]) -> usize {
        let mut from = 0;
        while let Some(found) = memchr(b'\n', &input[from..]) {
            let lf = from + found;
            let after_cr = match lf.checked_sub(1) {
                Some(before) => input[before] == b'\r',
                None => self.place == Place::Cr,
            };
            if after_cr || self.bare_lf_ends {
                self.place = Place::Start;
                return lf + 1;
            }
            from = lf + 1;
        }
        let ends_in_cr = input.last() == Some(&b'\r');
        self.place = if ends_in_cr { Place::Cr } else { Place::Middle };
        input.len()
    }
}

/// Whether the content has a CR without LF, or an LF without CR (RFC 5321 §2.3.8).
pub fn has_bare_line_end(content: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', content).any(|at| match content[at] {
        b'\r' => content.get(at + 1) != Some(&b'\n'),
        _ => at.checked_sub(1).map(|before| content[before]) != Some(b'\r'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` cut at `cuts`: the content, and what follows the end.
    fn decode(input: &[u8], cut: usize, bare_lf_ends: bool) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut decoder = Decoder::new(bare_lf_ends);
        let mut content = Vec::new();
        let mut at = 0;
        while at < input.len() {
            let end = (at + cut).min(input.len());
            let progress =
                decoder.decode(&input[at..end], |octets| content.extend_from_slice(octets));
            at += progress.used;
            if progress.ended {
                return (content, Some(input[at..].to_vec()));
            }
        }
        (content, None)
    }

    #[test]
    fn only_crlf_dot_crlf_ends_the_data() {
        // (sent, content, what follows the end)
        let table: &[(&str, &str, Option<&str>)] = &[
            (".\r\n", "", Some("")),
            (".\r\nQUIT\r\n", "", Some("QUIT\r\n")),
            ("a\r\n.\r\nQUIT\r\n", "a\r\n", Some("QUIT\r\n")),
            ("a\r\n..\r\n.\r\n", "a\r\n.\r\n", Some("")),
            ("..a\r\n...b\r\n.c\r\n.\r\n", ".a\r\n..b\r\nc\r\n", Some("")),
            ("a\n.\n", "a\n.\n", None),
            ("a\n.\r\n", "a\n.\r\n", None),
            ("a\r.\r", "a\r.\r", None),
            ("a\r.\r\n", "a\r.\r\n", None),
            ("a\r\n.\n", "a\r\n\n", None),
            ("a\r\n.\n.\r\n", "a\r\n\n.\r\n", None),
            ("a\r\n.\r", "a\r\n", None),
            ("a\r\n.\rb", "a\r\n\rb", None),
            ("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", Some("")),
            ("a\r\r\n.\r\n", "a\r\r\n", Some("")),
            ("a\n\r\n.\r\n", "a\n\r\n", Some("")),
            ("\n.\r\n", "\n.\r\n", None),
            ("a\r\n\r\n.\r\n", "a\r\n\r\n", Some("")),
        ];
        for (sent, content, rest) in table {
            for cut in 1..=sent.len() {
                let (got, after) = decode(sent.as_bytes(), cut, false);
                assert_eq!(got, content.as_bytes(), "{sent:?} cut {cut}");
                assert_eq!(
                    after.as_deref(),
                    rest.map(str::as_bytes),
                    "{sent:?} cut {cut}"
                );
            }
        }
    }

    #[test]
    fn the_sabotage_takes_a_bare_lf_for_a_line_end() {
        for sent in [
            "a\n.\nMAIL",
            "a\r\n.\nMAIL",
            "a\n.\r\nMAIL",
            "a\r\n.\r\nMAIL",
        ] {
            for cut in 1..=sent.len() {
                let (_, after) = decode(sent.as_bytes(), cut, true);
                assert_eq!(
                    after.as_deref(),
                    Some(b"MAIL".as_slice()),
                    "{sent:?} cut {cut}"
                );
            }
        }
    }

    #[test]
    fn bare_line_ends_are_found() {
        for clean in ["", "a", "a\r\n", "\r\n\r\n", "a\r\nb"] {
            assert!(!has_bare_line_end(clean.as_bytes()), "{clean:?}");
        }
        for bare in [
            "\r", "\n", "a\nb\r\n", "a\rb\r\n", "\r\r\n", "\r\n\n", "a\r\n\r",
        ] {
            assert!(has_bare_line_end(bare.as_bytes()), "{bare:?}");
        }
    }

    proptest::proptest! {
        /// TC-10, by another reading: the first `<CRLF>.<CRLF>` ends the data, the DATA line's CRLF counted.
        #[test]
        fn the_first_crlf_dot_crlf_ends_the_data(sent in "[a.\r\n]{0,24}", cut in 1_usize..9) {
            let after_command = format!("\r\n{sent}");
            let rest = after_command.find("\r\n.\r\n").map(|at| after_command.as_bytes()[at + 5..].to_vec());
            let (content, after) = decode(sent.as_bytes(), cut, false);
            proptest::prop_assert_eq!(&after, &rest);
            proptest::prop_assert_eq!((content, after), decode(sent.as_bytes(), sent.len().max(1), false));
        }
    }
}
