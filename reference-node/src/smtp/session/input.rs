//! The octets that a client sent and the session has not used yet, and the command lines in them.

use memchr::memchr;

/// The unused input.
#[derive(Debug, Default)]
pub(crate) struct Input {
    octets: Vec<u8>,
    /// The first of them that is unused.
    used: usize,
    /// Unused octets that are known to hold no LF.
    searched: usize,
    /// The current line is longer than allowed; its beginning is dropped.
    overlong: bool,
    /// The current line began with text that a bare LF ended.
    after_bare_lf: bool,
}

/// A command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without its CRLF.
    Good(Vec<u8>),
    /// Longer than allowed (RFC 5321 §4.5.3.1.4).
    TooLong,
    /// An LF without CR is in it. Each piece is a bad line of its own, and so is what stands between the
    /// last bare LF and the CRLF: a piece of a line is never executed.
    BareLineFeed,
}

impl Input {
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.octets.drain(..self.used);
        self.used = 0;
        self.octets.extend_from_slice(octets);
    }

    /// What is unused.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.octets[self.used..]
    }

    /// Uses up so many octets of [`Self::rest`].
    pub(crate) fn consume(&mut self, octets: usize) {
        self.used = (self.used + octets).min(self.octets.len());
        self.searched = 0;
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next line, when it is there; `longest` counts its CRLF. Not more than `longest` octets of an
    /// unfinished line are kept.
    pub(crate) fn line(&mut self, longest: usize) -> Option<Line> {
        let rest = &self.octets[self.used..];
        let Some(found) = memchr(b'\n', &rest[self.searched..]) else {
            self.searched = rest.len();
            if rest.len() >= longest.max(2) {
                self.overlong = true;
                // The last octet may be the CR of the CRLF.
                let dropped = rest.len() - 1;
                self.consume(dropped);
                self.searched = 1;
            }
            return None;
        };
        let length = self.searched + found + 1;
        let overlong = std::mem::take(&mut self.overlong) || length > longest.max(2);
        let line = match rest[..length - 1].strip_suffix(b"\r") {
            None => {
                self.after_bare_lf = true;
                Line::BareLineFeed
            }
            Some(_) if std::mem::take(&mut self.after_bare_lf) => Line::BareLineFeed,
            Some(_) if overlong => Line::TooLong,
            Some(line) => Line::Good(line.to_vec()),
        };
        self.consume(length);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(octets: &str, cut: usize) -> Vec<Line> {
        let mut input = Input::default();
        let mut lines = Vec::new();
        for piece in octets.as_bytes().chunks(cut) {
            input.push(piece);
            while let Some(line) = input.line(10) {
                lines.push(line);
            }
            assert!(input.rest().len() < 10, "memory is bounded");
        }
        lines
    }

    fn good(text: &str) -> Line {
        Line::Good(text.as_bytes().to_vec())
    }

    #[test]
    fn a_line_ends_with_crlf_and_is_bounded() {
        use Line::{BareLineFeed, TooLong};
        for (octets, expected) in [
            ("NOOP\r\nQUIT\r\n", vec![good("NOOP"), good("QUIT")]),
            ("12345678\r\n", vec![good("12345678")]),
            ("123456789\r\nNOOP\r\n", vec![TooLong, good("NOOP")]),
            ("12345678901234567890\r\n\r\n", vec![TooLong, good("")]),
            ("NO\rOP\r\n", vec![good("NO\rOP")]),
            (
                "NOOP\nRSET\r\nQUIT\r\n",
                vec![BareLineFeed, BareLineFeed, good("QUIT")],
            ),
            (
                "a\nb\nc\r\nd\r\n",
                vec![BareLineFeed, BareLineFeed, BareLineFeed, good("d")],
            ),
            (
                "12345678901234567890\nRSET\r\nd\r\n",
                vec![BareLineFeed, BareLineFeed, good("d")],
            ),
            ("NOOP\r", vec![]),
        ] {
            for cut in 1..=octets.len() {
                assert_eq!(lines(octets, cut), expected, "{octets:?} cut {cut}");
            }
        }
    }
}
