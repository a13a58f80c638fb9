//! SMTP's lines as a client needs them: replies, extensions, dots.
//!
//! Comes in: octets from a server. Goes out: [`Reply`]s; and content as DATA carries it. Called by the
//! clients. Sans-IO; octets from outside never make it panic.

use crate::history::Reply;

/// A reply longer than this is nonsense.
const REPLY_OCTETS: usize = 64 * 1024;

/// What a server said is no SMTP reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no SMTP reply: {0}")]
pub struct Malformed(pub String);

/// Puts replies together from octets (RFC 5321 §4.2).
#[derive(Debug, Default)]
pub struct ReplyReader {
    octets: Vec<u8>,
    /// Octets at the front of `octets` that are used up.
    used: usize,
    /// Lines of a reply that is not whole yet.
    text: String,
    code: Option<u16>,
    total: usize,
}

impl ReplyReader {
    /// Takes octets.
    pub fn feed(&mut self, octets: &[u8]) {
        self.octets.drain(..self.used);
        self.used = 0;
        self.octets.extend_from_slice(octets);
    }

    /// The next whole reply, when there is one. After an error nothing more can be understood.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, Malformed> {
        // `line` changes the other fields.
        let octets = std::mem::take(&mut self.octets);
        let next = self.next_of(&octets);
        self.octets = octets;
        next
    }

    fn next_of(&mut self, octets: &[u8]) -> Result<Option<Reply>, Malformed> {
        while let Some(end) = memchr::memchr(b'\n', &octets[self.used..]) {
            let line = &octets[self.used..=self.used + end];
            self.used += line.len();
            self.total += line.len();
            let line = String::from_utf8_lossy(line);
            if let Some(reply) = self.line(line.trim_end_matches(['\r', '\n']))? {
                return Ok(Some(reply));
            }
        }
        if self.total + octets.len() - self.used > REPLY_OCTETS {
            return Err(Malformed("it does not end".into()));
        }
        Ok(None)
    }

    fn line(&mut self, line: &str) -> Result<Option<Reply>, Malformed> {
        let malformed = || {
            Malformed(
                line.chars()
                    .take(80)
                    .flat_map(char::escape_default)
                    .collect(),
            )
        };
        let (code, rest) = line.split_at_checked(3).ok_or_else(malformed)?;
        let code = code
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| code.parse::<u16>().ok())
            .flatten();
        let code = code
            .filter(|code| (200..600).contains(code))
            .ok_or_else(malformed)?;
        if self.code.is_some_and(|first| first != code) {
            return Err(malformed());
        }
        let (last, text) = match rest.split_at_checked(1) {
            None => (true, ""),
            Some((" ", text)) => (true, text),
            Some(("-", text)) => (false, text),
            Some(_) => return Err(malformed()),
        };
        self.text.push_str(text);
        if !last {
            self.text.push('\n');
            self.code = Some(code);
            return Ok(None);
        }
        self.code = None;
        self.total = 0;
        Ok(Some(Reply {
            code,
            text: std::mem::take(&mut self.text),
        }))
    }
}

/// 2yz.
pub fn is_positive(reply: &Reply) -> bool {
    (200..300).contains(&reply.code)
}

/// 4yz or 5yz.
pub fn is_refusal(reply: &Reply) -> bool {
    (400..600).contains(&reply.code)
}

/// What a server offers in its answer to EHLO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870.
    pub size: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3030: BDAT.
    pub chunking: bool,
}

impl Extensions {
    /// Reads the reply to EHLO; its first line is the server's name.
    pub fn of(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.text.lines().skip(1) {
            match line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase()
                .as_str()
            {
                "PIPELINING" => offered.pipelining = true,
                "SIZE" => offered.size = true,
                "8BITMIME" => offered.eight_bit_mime = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "CHUNKING" => offered.chunking = true,
                _ => {}
            }
        }
        offered
    }
}

/// Adds a dot to every line that begins with one (RFC 5321 §4.5.2). Only CRLF ends a line.
pub fn stuff(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 64);
    let mut line_start = true;
    for (at, &octet) in content.iter().enumerate() {
        if line_start && octet == b'.' {
            out.push(b'.');
        }
        out.push(octet);
        line_start = octet == b'\n' && at > 0 && content[at - 1] == b'\r';
    }
    out
}

/// Takes these dots away again, from content that has no end of data in it.
pub fn unstuff(on_wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(on_wire.len());
    let mut line_start = true;
    for (at, &octet) in on_wire.iter().enumerate() {
        if !(line_start && octet == b'.') {
            out.push(octet);
        }
        line_start = octet == b'\n' && at > 0 && on_wire[at - 1] == b'\r';
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(octets: &[u8]) -> Result<Vec<(u16, String)>, Malformed> {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        for octet in octets {
            reader.feed(&[*octet]);
            while let Some(reply) = reader.next_reply()? {
                replies.push((reply.code, reply.text));
            }
        }
        Ok(replies)
    }

    #[test]
    fn replies_have_one_line_or_several() {
        let replies =
            read(b"220 n1 ESMTP\r\n250-n1\r\n250-SIZE 10\r\n250 HELP\r\n250\r\n354 go\n421 b")
                .expect("replies");
        let expected = [
            (220, "n1 ESMTP"),
            (250, "n1\nSIZE 10\nHELP"),
            (250, ""),
            (354, "go"),
        ];
        assert_eq!(
            replies,
            expected.map(|(code, text)| (code, text.to_owned()))
        );
    }

    #[test]
    fn nonsense_is_said_to_be_nonsense() {
        for nonsense in [
            "hello there\r\n",
            "25\r\n",
            "999 x\r\n",
            "250-a\r\n251 b\r\n",
            "250_x\r\n",
            "\r\n",
            "é0 x\r\n",
        ] {
            assert!(read(nonsense.as_bytes()).is_err(), "{nonsense:?}");
        }
        assert!(read(&b"250-x\r\n".repeat(20_000)).is_err(), "it never ends");
    }

    #[test]
    fn extensions_are_read_from_the_reply_to_ehlo() {
        let text = "CHUNKING.example\nsize 100\n8BITMIME\nXPEER 00\nSMTPUTF8".to_owned();
        let offered = Extensions::of(&Reply { code: 250, text });
        assert_eq!(
            offered,
            Extensions {
                pipelining: false,
                size: true,
                eight_bit_mime: true,
                smtputf8: true,
                chunking: false
            }
        );
    }

    #[test]
    fn only_lines_after_crlf_get_dots() {
        assert_eq!(
            stuff(b".\r\n..\r\n\n.\n\r.\r\n.x"),
            b"..\r\n...\r\n\n.\n\r.\r\n..x"
        );
    }

    proptest! {
        #[test]
        fn unstuffing_undoes_stuffing(content in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..100)) {
            prop_assert_eq!(unstuff(&stuff(&content)), content);
        }

        #[test]
        fn any_octets_can_be_read(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&octets);
        }

        #[test]
        fn stuffed_content_has_no_end_of_data(content in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n')], 0..60)) {
            let mut wire = b"\r\n".to_vec();
            wire.extend(stuff(&content));
            prop_assert!(!wire.windows(5).any(|w| w == b"\r\n.\r\n"));
        }
    }
}
