//! Message content on the wire: where it ends, and which message it says that it is.

/// Octets of a message in which its number is looked for.
const HEADER_KEPT: usize = 64 * 1024;

/// The field in which a message says its number and attempt, in lower case.
const FIELD: &[u8] = b"x-gauntlet-message:";

/// Octets kept of a header line: the field and two decimal numbers.
const FIELD_LINE_KEPT: usize = 80;

/// Finds `<CRLF>.<CRLF>`, and nothing else, at whatever place the octets are cut (RFC 5321 §4.1.1.4).
#[derive(Debug, Default, Clone, Copy)]
pub(crate) enum DotStream {
    /// After CRLF, or at the beginning.
    #[default]
    LineStart,
    /// After a dot at the line's start.
    Dot,
    /// After that, a CR.
    DotCr,
    /// After a CR in a line.
    Cr,
    /// In a line.
    Text,
}

impl DotStream {
    /// How many octets belong to the content and its end, when the end is among them.
    pub(crate) fn end(&mut self, octets: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&octet) = octets.get(at) {
            *self = match (*self, octet) {
                (Self::DotCr, b'\n') => {
                    *self = Self::LineStart;
                    return Some(at + 1);
                }
                (Self::LineStart, b'.') => Self::Dot,
                (Self::Dot, b'\r') => Self::DotCr,
                (_, b'\r') => Self::Cr,
                (Self::Cr, b'\n') => Self::LineStart,
                _ => Self::Text,
            };
            at += 1;
            if matches!(self, Self::Text) {
                at += octets[at..]
                    .iter()
                    .position(|&o| o == b'\r')
                    .unwrap_or(octets.len() - at);
            }
        }
        None
    }
}

/// Reads `X-Gauntlet-Message: <number>.<attempt>` from the top header section, and from nowhere else: a
/// message that is attached (to a DSN, say) does not speak for the one that carries it.
#[derive(Debug, Default)]
pub(crate) struct HeaderScan {
    seen: usize,
    line: Vec<u8>,
    line_length: usize,
    after_cr: bool,
    done: bool,
    found: Option<(u32, u32)>,
}

impl HeaderScan {
    /// Takes the next octets of the content. Dots added for transparency do no harm.
    pub(crate) fn feed(&mut self, octets: &[u8]) {
        for &octet in octets {
            if self.done {
                return;
            }
            self.seen += 1;
            self.line_length += 1;
            if self.line.len() < FIELD_LINE_KEPT {
                self.line.push(octet);
            }
            if octet == b'\n' && self.after_cr {
                self.end_line();
            }
            self.after_cr = octet == b'\r';
            self.done |= self.seen >= HEADER_KEPT;
        }
    }

    /// Number and attempt, when the header section has told them.
    pub(crate) fn found(&self) -> Option<(u32, u32)> {
        self.found
    }

    fn end_line(&mut self) {
        let whole = self.line_length == self.line.len();
        if whole && self.line == b"\r\n" {
            self.done = true;
        } else if whole {
            self.found = parse_field(&self.line);
            self.done = self.found.is_some();
        }
        self.line.clear();
        self.line_length = 0;
    }
}

fn parse_field(line: &[u8]) -> Option<(u32, u32)> {
    let (name, value) = line.split_at_checked(FIELD.len())?;
    if !name.eq_ignore_ascii_case(FIELD) {
        return None;
    }
    let (number, attempt) = std::str::from_utf8(value).ok()?.trim().split_once('.')?;
    Some((number.parse().ok()?, attempt.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(octets: &[u8]) -> Option<usize> {
        DotStream::default().end(octets)
    }

    #[test]
    fn only_crlf_dot_crlf_ends_data() {
        assert_eq!(end(b".\r\nQUIT"), Some(3), "an empty message");
        assert_eq!(end(b"a\r\n.\r\nQUIT\r\n"), Some(6));
        assert_eq!(end(b"a\r\n..\r\n.\r\n"), Some(10));
        assert_eq!(end(b"a\r\r\n.\r\n"), Some(7));
        for none in [
            "a\n.\n",
            "a\n.\r\n",
            "a\r\n.\n",
            "a\r.\r\n",
            "a\r.\r",
            "a\r\n.\r\r\n",
            "a\r\n\r.\r\n",
            "a\r\n.\rb\r\n",
            "a\0.\r\n",
        ] {
            assert_eq!(end(none.as_bytes()), None, "{none:?}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_octets_are_cut() {
        let stream = b"Subject: x\r\n\r\n..dot\r\n.\rno\r\n\r\n.\r\n";
        for cut in 0..stream.len() {
            let mut dots = DotStream::default();
            assert_eq!(dots.end(&stream[..cut]), None, "{cut}");
            assert_eq!(dots.end(&stream[cut..]), Some(stream.len() - cut), "{cut}");
        }
    }

    fn scan(content: &str) -> Option<(u32, u32)> {
        let mut scan = HeaderScan::default();
        content
            .as_bytes()
            .chunks(7)
            .for_each(|chunk| scan.feed(chunk));
        scan.found()
    }

    #[test]
    fn the_number_comes_from_the_top_header_section() {
        assert_eq!(
            scan("Received: x\r\n\ty\r\nx-GAUNTLET-message:  17.2 \r\nSubject: z\r\n"),
            Some((17, 2))
        );
        assert_eq!(
            scan("Subject: z\r\n\r\nX-Gauntlet-Message: 17.2\r\n"),
            None,
            "a body"
        );
        assert_eq!(
            scan("Subject: z\nX-Gauntlet-Message: 17.2\r\n\r\n"),
            None,
            "a bare LF ends no line"
        );
        assert_eq!(
            scan("X-Gauntlet-Message: 17\r\nX-Gauntlet-Message: 18.1\r\n"),
            Some((18, 1)),
            "nonsense is skipped"
        );
        assert_eq!(scan("X-Gauntlet-Message: 99999999999.1\r\n"), None);
        let long = format!(
            "Subject: {}\r\nX-Gauntlet-Message: 3.1\r\n",
            "x".repeat(5000)
        );
        assert_eq!(scan(&long), Some((3, 1)));
        let far = format!(
            "Subject: {}\r\nX-Gauntlet-Message: 3.1\r\n",
            "x".repeat(HEADER_KEPT)
        );
        assert_eq!(scan(&far), None);
    }
}
