//! Replies: made by the receiving side, read by the sending side (RFC 5321 §4.2, RFC 2034).
//!
//! Comes in: a code, an enhanced status code, text. Goes out: the octets of a reply. [`ReplyReader`]
//! takes the other way.
//!
//! [`ReplyReader`]: super::dialogue::ReplyReader

use std::fmt;

use serde::{Deserialize, Serialize};

/// RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, with code and CRLF.
const MAX_TEXT: usize = 490;

/// An enhanced status code (RFC 3463): class, subject, detail.
pub type Enhanced = (u8, u16, u16);

/// One reply, of one or more lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The enhanced status code, given on every line (RFC 2034 §4).
    pub enhanced: Option<Enhanced>,
    /// The lines' texts, without codes. None is the same as one empty line.
    pub text: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<String>) -> Self {
        Self {
            code,
            enhanced: Some(enhanced),
            text: vec![text.into()],
        }
    }

    /// A reply of one line without enhanced status code: greetings, 354.
    pub fn plain(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            enhanced: None,
            text: vec![text.into()],
        }
    }

    /// The same code on several lines.
    pub fn lines(code: u16, enhanced: Option<Enhanced>, text: Vec<String>) -> Self {
        Self {
            code,
            enhanced,
            text,
        }
    }

    /// `250 2.0.0`
    pub fn ok(text: impl Into<String>) -> Self {
        Self::new(250, (2, 0, 0), text)
    }

    /// `421 4.3.2`: the node shuts down.
    pub fn closing(text: impl Into<String>) -> Self {
        Self::new(421, (4, 3, 2), text)
    }

    /// `421 4.4.2`: a timeout ends the session.
    pub fn timed_out(text: impl Into<String>) -> Self {
        Self::new(421, (4, 4, 2), text)
    }

    /// `451 4.4.0 Message failed to be made redundant` (SC-10).
    pub fn not_redundant() -> Self {
        Self::new(451, (4, 4, 0), "Message failed to be made redundant")
    }

    /// `451 4.3.0`: something local went wrong.
    pub fn local_error(text: impl Into<String>) -> Self {
        Self::new(451, (4, 3, 0), text)
    }

    /// `452 4.3.1`: no room (TC-07).
    pub fn no_room() -> Self {
        Self::new(452, (4, 3, 1), "insufficient system storage")
    }

    /// `550 5.1.1`: no such mailbox.
    pub fn no_mailbox(path: &str) -> Self {
        Self::new(550, (5, 1, 1), format!("no mailbox <{path}> here"))
    }

    /// `550 5.7.1`: not for this client.
    pub fn not_allowed(text: impl Into<String>) -> Self {
        Self::new(550, (5, 7, 1), text)
    }

    /// `535 5.7.8`: XPEER's proof is wrong.
    pub fn bad_proof() -> Self {
        Self::new(535, (5, 7, 8), "unknown name or wrong proof")
    }

    /// `501 5.5.4`: arguments that cannot be.
    pub fn bad_arguments(text: impl Into<String>) -> Self {
        Self::new(501, (5, 5, 4), text)
    }

    /// `503 5.5.1`: not now.
    pub fn bad_sequence(text: impl Into<String>) -> Self {
        Self::new(503, (5, 5, 1), text)
    }

    /// 2yz
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3yz
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4yz
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// A reply that was read: the enhanced status code is taken out of the texts, when the first line has
    /// one of the code's class (RFC 2034 §4).
    pub(crate) fn from_lines(code: u16, mut text: Vec<String>) -> Self {
        let found = text.first().and_then(|line| split_enhanced(line, code));
        let enhanced = found.map(|(enhanced, _)| enhanced);
        if enhanced.is_some() {
            for line in &mut text {
                if let Some((of_line, rest)) = split_enhanced(line, code)
                    && Some(of_line) == enhanced
                {
                    *line = rest.to_owned();
                }
            }
        }
        Self {
            code,
            enhanced,
            text,
        }
    }

    /// Appends the reply's lines to `output`. An octet that a reply line cannot hold becomes `?`; a text
    /// of more than 490 octets is cut.
    pub fn write(&self, output: &mut Vec<u8>) {
        use std::io::Write;
        let lines: &[String] = if self.text.is_empty() {
            &[String::new()]
        } else {
            &self.text
        };
        for (number, line) in lines.iter().enumerate() {
            let last = number + 1 == lines.len();
            // Writing to a Vec does not fail.
            let _ = write!(output, "{:03}", self.code);
            output.push(if last { b' ' } else { b'-' });
            if let Some((class, subject, detail)) = self.enhanced {
                let _ = write!(output, "{class}.{subject}.{detail} ");
            }
            // RFC 5321 §4.2: textstring = 1*(%d09 / %d32-126)
            output.extend(line.bytes().take(MAX_TEXT).map(|octet| match octet {
                b'\t' | 32..=126 => octet,
                _ => b'?',
            }));
            output.extend_from_slice(b"\r\n");
        }
    }
}

/// On one line, as logs show it: `550 5.1.1 no mailbox <x> here`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        for (number, line) in self.text.iter().enumerate() {
            f.write_str(if number == 0 { " " } else { " / " })?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

/// Splits `2.1.5 text`; the class must be the code's first digit (RFC 2034 §4, RFC 3463 §2).
fn split_enhanced(line: &str, code: u16) -> Option<(Enhanced, &str)> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts = word.split('.').map(|part| {
        let plain = part == "0" || !part.starts_with('0');
        let digits = plain && part.len() <= 3 && part.bytes().all(|octet| octet.is_ascii_digit());
        if digits {
            part.parse::<u16>().ok()
        } else {
            None
        }
    });
    let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || class != code / 100 || !matches!(class, 2 | 4 | 5) {
        return None;
    }
    Some(((u8::try_from(class).ok()?, subject, detail), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply) -> String {
        let mut output = Vec::new();
        reply.write(&mut output);
        String::from_utf8(output).expect("replies are ASCII")
    }

    #[test]
    fn every_line_carries_code_and_enhanced_code() {
        assert_eq!(written(&Reply::ok("fine")), "250 2.0.0 fine\r\n");
        assert_eq!(written(&Reply::plain(354, "go on")), "354 go on\r\n");
        let text = vec!["n1/ab/1 delivered".to_owned(), "cursor=7".to_owned()];
        assert_eq!(
            written(&Reply::lines(250, Some((2, 0, 0)), text)),
            "250-2.0.0 n1/ab/1 delivered\r\n250 2.0.0 cursor=7\r\n"
        );
        assert_eq!(written(&Reply::lines(250, None, vec![])), "250 \r\n");
    }

    #[test]
    fn no_text_can_break_out_of_its_line() {
        let reply = Reply::no_mailbox("a\r\n250 ok\u{e4}@example.org");
        assert_eq!(
            written(&reply),
            "550 5.1.1 no mailbox <a??250 ok??@example.org> here\r\n"
        );
        let long = written(&Reply::ok("x".repeat(2000)));
        assert!(long.len() <= 512, "RFC 5321 §4.5.3.1.5: {}", long.len());
        assert!(long.ends_with("x\r\n"));
    }

    #[test]
    fn logs_show_one_line() {
        let reply = Reply::lines(250, Some((2, 0, 0)), vec!["a".into(), "b".into()]);
        assert_eq!(reply.to_string(), "250 2.0.0 a / b");
        assert_eq!(
            Reply::not_redundant().to_string(),
            "451 4.4.0 Message failed to be made redundant"
        );
    }
}
