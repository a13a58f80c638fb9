//! Lines: gathers them octet by octet within bounds, and makes them readable for the history.

use crate::history::Reply;

/// RFC 5321 §4.5.3.1.4 and .5: no command or reply line is longer. The rest of a longer one is not kept.
pub(crate) const LINE_KEPT: usize = 512;

/// Text kept of one reply, all lines together. A long XQDISCARD answer must fit.
const REPLY_KEPT: usize = 256 * 1024;

/// Gathers one line, of which it keeps the first [`LINE_KEPT`] octets.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    kept: Vec<u8>,
}

impl LineBuffer {
    /// Takes octets up to and with the first LF. Returns what is left over, and whether the line is complete.
    pub(crate) fn take<'a>(&mut self, octets: &'a [u8]) -> (&'a [u8], bool) {
        let (line, rest, complete) = match octets.iter().position(|&o| o == b'\n') {
            Some(at) => (&octets[..at], &octets[at + 1..], true),
            None => (octets, &[][..], false),
        };
        // One octet more than is shown: a CR in that place belongs to the line's end.
        let room = (LINE_KEPT + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&line[..line.len().min(room)]);
        (rest, complete)
    }

    /// Ends the line: returns it without CR, at most [`LINE_KEPT`] octets, and begins a new one.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.kept);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        line.truncate(LINE_KEPT);
        line
    }
}

/// The line as text: control characters and what is no UTF-8 as `\x0a`, everything else as it is.
pub(crate) fn readable(octets: &[u8]) -> String {
    use std::fmt::Write;
    if octets.iter().all(|&o| o == b' ' || o.is_ascii_graphic())
        && let Ok(text) = std::str::from_utf8(octets)
    {
        return text.into();
    }
    let mut text = String::with_capacity(octets.len());
    let escape = |text: &mut String, octet: u8| {
        // Writing to a String does not fail.
        let _ = write!(text, "\\x{octet:02x}");
    };
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                let mut encoded = [0; 4];
                c.encode_utf8(&mut encoded)
                    .bytes()
                    .for_each(|o| escape(&mut text, o));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&o| escape(&mut text, o));
    }
    text
}

/// The verb of a command line, in capitals; `?` when the line begins with nothing that could be one.
pub(crate) fn verb(line: &[u8]) -> String {
    let word = line
        .split(|&o| o == b' ' || o == b'\t')
        .next()
        .unwrap_or_default();
    let plausible = (1..=16).contains(&word.len())
        && word.iter().all(|o| o.is_ascii_alphanumeric() || *o == b'-');
    match std::str::from_utf8(word) {
        Ok(word) if plausible => word.to_ascii_uppercase(),
        _ => "?".into(),
    }
}

/// Puts a reply together from its lines (RFC 5321 §4.2.1).
#[derive(Debug, Default)]
pub(crate) struct ReplyBuffer {
    text: Option<String>,
}

impl ReplyBuffer {
    /// Takes a line without CRLF. Returns the reply when this was its last line; what is no reply line is skipped.
    pub(crate) fn line(&mut self, line: &[u8]) -> Option<Reply> {
        let (code, rest) = line.split_at_checked(3)?;
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let code = code
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let (more, rest) = match rest.split_first() {
            None => (false, rest),
            Some((b' ', rest)) => (false, rest),
            Some((b'-', rest)) => (true, rest),
            Some(_) => return None,
        };
        match &mut self.text {
            Some(text) if text.len() + rest.len() > REPLY_KEPT => {}
            Some(text) => {
                text.push('\n');
                text.push_str(&readable(rest));
            }
            None => self.text = Some(readable(rest)),
        }
        if more {
            return None;
        }
        Some(Reply {
            code,
            text: self.text.take().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_readable() {
        let mut buffer = LineBuffer::default();
        let long = [b'a'; 2000];
        assert_eq!(buffer.take(&long), (&[][..], false));
        assert_eq!(buffer.take(b"bc\r\nnext"), (&b"next"[..], true));
        assert_eq!(buffer.finish(), [b'a'; LINE_KEPT]);
        let mut exact = vec![b'a'; LINE_KEPT];
        exact.extend_from_slice(b"\r\n");
        assert_eq!(buffer.take(&exact), (&[][..], true));
        assert_eq!(buffer.finish().len(), LINE_KEPT);
        assert_eq!(
            readable(b"MAIL FROM:<\"a\\ b\"@x\0\xff\xc3\xa9>"),
            "MAIL FROM:<\"a\\ b\"@x\\x00\\xffé>"
        );
    }

    #[test]
    fn verbs_are_words() {
        assert_eq!(verb(b"mail from:<a@b>"), "MAIL");
        assert_eq!(verb(b"rcpt\tto"), "RCPT");
        assert_eq!(verb(b""), "?");
        assert_eq!(verb(b"\x16\x03\x01"), "?");
        assert_eq!(verb(b"abcdefghijklmnopqrstuvwxyz"), "?");
    }

    #[test]
    fn replies_are_put_together() {
        let mut buffer = ReplyBuffer::default();
        assert_eq!(buffer.line(b"nonsense"), None);
        assert_eq!(buffer.line(b"25"), None);
        assert_eq!(buffer.line(b"250-one"), None);
        assert_eq!(buffer.line(b"250-"), None);
        assert_eq!(
            buffer.line(b"250 two"),
            Some(Reply {
                code: 250,
                text: "one\n\ntwo".into()
            })
        );
        assert_eq!(
            buffer.line(b"354"),
            Some(Reply {
                code: 354,
                text: String::new()
            })
        );
    }

    #[test]
    fn an_endless_reply_stays_bounded() {
        let mut buffer = ReplyBuffer::default();
        for _ in 0..10_000 {
            assert_eq!(
                buffer.line(&[b"214-".as_slice(), &[b'x'; 500]].concat()),
                None
            );
        }
        let reply = buffer.line(b"214 end").expect("its last line");
        assert!(reply.text.len() <= REPLY_KEPT + 8, "{}", reply.text.len());
    }
}
