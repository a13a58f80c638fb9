//! A tolerant reader of replies: it takes what comes, and says what is wrong with it.
//!
//! Comes in: octets of a server. Goes out: a [`Reply`] as soon as one is whole by the most generous reading, with its
//! [`Fault`]s (RFC 5321 §4.2). No input is an error.

use std::fmt;

use super::{
    dialogue::visible,
    outcome::{Checked, Stop},
};

/// The longest reply line, CRLF counted (RFC 5321 §4.5.3.1.5).
pub const LONGEST_LINE: usize = 512;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The code of its last line; 0 when that has none.
    pub code: u16,
    /// The text of its lines, after code and separator.
    pub lines: Vec<Vec<u8>>,
    /// Every octet.
    pub raw: Vec<u8>,
    /// What the reply is to, for a failure's words.
    pub to: String,
}

/// What is wrong with the form of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A line ends with LF alone.
    BareLineFeed,
    /// A line does not begin with three digits.
    NoCode,
    /// The first digit is not 2 to 5, or the second not 0 to 5 (RFC 5321 §4.2.1, §4.2: `Reply-code`).
    StrangeCode,
    /// The lines of one reply have different codes.
    CodesDiffer,
    /// After the code comes neither a space nor a hyphen.
    BadSeparator,
    /// A line is longer than 512 octets.
    TooLong,
    /// A text has other octets than HT, space and printable ASCII.
    BadText,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareLineFeed => "a line that ends with LF alone",
            Self::NoCode => "a line without a code of three digits",
            Self::StrangeCode => "a code that is not in 2xx to 5xx, with a second digit of 0 to 5",
            Self::CodesDiffer => "lines with different codes in one reply",
            Self::BadSeparator => "neither a space nor a hyphen after the code",
            Self::TooLong => "a line of more than 512 octets",
            Self::BadText => "octets in a text that are neither HT, space nor printable ASCII",
        })
    }
}

impl Reply {
    /// The first reply in `input` and its length, when it is whole.
    pub fn parse(input: &[u8], to: &str) -> Option<(Self, usize)> {
        let mut length = 0;
        let mut lines = Vec::new();
        for line in input.split_inclusive(|octet| *octet == b'\n') {
            let line_text = line.strip_suffix(b"\n")?;
            length += line.len();
            let text = line_text.strip_suffix(b"\r").unwrap_or(line_text);
            let (code, separator, rest) = split(text);
            lines.push(rest.to_vec());
            if code.is_some() && separator == Some(b'-') {
                continue;
            }
            let reply = Self {
                code: code.unwrap_or(0),
                lines,
                raw: input[..length].to_vec(),
                to: to.to_owned(),
            };
            return Some((reply, length));
        }
        None
    }

    /// What is wrong with its form.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut codes = Vec::new();
        for line in self.raw.split_inclusive(|octet| *octet == b'\n') {
            let text = match line.strip_suffix(b"\r\n") {
                Some(text) => text,
                None => {
                    faults.push(Fault::BareLineFeed);
                    line.strip_suffix(b"\n").unwrap_or(line)
                }
            };
            if line.len() > LONGEST_LINE {
                faults.push(Fault::TooLong);
            }
            let (code, separator, rest) = split(text);
            match code {
                None => faults.push(Fault::NoCode),
                Some(code) => {
                    codes.push(code);
                    if !(2..=5).contains(&(code / 100)) || code / 10 % 10 > 5 {
                        faults.push(Fault::StrangeCode);
                    }
                    if !matches!(separator, None | Some(b' ' | b'-')) {
                        faults.push(Fault::BadSeparator);
                    }
                }
            }
            if rest.iter().any(|octet| !matches!(octet, b'\t' | 32..=126)) {
                faults.push(Fault::BadText);
            }
        }
        if codes.iter().any(|code| *code != self.code) {
            faults.push(Fault::CodesDiffer);
        }
        faults.sort_unstable();
        faults.dedup();
        faults
    }

    /// Whether its code is one of these: words such as `250`, `2yz`, `50z`, separated by `|` or spaces.
    pub fn is(&self, pattern: &str) -> bool {
        let digits = format!("{:03}", self.code);
        pattern
            .split([' ', '|'])
            .filter(|word| !word.is_empty())
            .any(|word| {
                word.len() == 3
                    && word
                        .chars()
                        .zip(digits.chars())
                        .all(|(wanted, digit)| !wanted.is_ascii_digit() || wanted == digit)
            })
    }

    /// Fails unless its code is one of these (as [`is`](Self::is)). A 421 that was not asked for says nothing of the clause:
    /// the server may end the service at any time (RFC 5321 §3.8), and the case is inconclusive.
    pub fn expect(&self, pattern: &str) -> Checked {
        if self.is(pattern) {
            return Ok(());
        }
        if self.code == 421 {
            return Err(Stop::inconclusive(format!(
                "the server ended the service: {self} to {}",
                self.to
            )));
        }
        Err(self.unexpected(&words(pattern)))
    }

    /// Fails when its code is one of these.
    pub fn refuse(&self, pattern: &str, expected: &str) -> Checked {
        if self.is(pattern) {
            Err(self.unexpected(expected))
        } else {
            Ok(())
        }
    }

    /// A failure: `expected` in words, this reply seen.
    pub fn unexpected(&self, expected: &str) -> Stop {
        Stop::failed(format!("{expected} to {}", self.to), self.to_string())
    }

    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// The enhanced status code that a line begins with, when it has one's form (RFC 3463 §2): `2.1.5`.
    pub fn enhanced(&self, line: usize) -> Option<(u16, u16, u16)> {
        let text = self.lines.get(line)?;
        let word = text.split(|octet| *octet == b' ').next()?;
        let word = std::str::from_utf8(word).ok()?;
        let mut parts = word.split('.').map(|part| {
            let plain = part == "0" || !part.starts_with('0');
            let digits = (1..=3).contains(&part.len()) && part.bytes().all(|o| o.is_ascii_digit());
            (plain && digits)
                .then(|| part.parse::<u16>().ok())
                .flatten()
        });
        let code = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(code)
    }
}

/// `250-n1 / 250 SIZE 1000`, as failures show it.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.raw.split_inclusive(|octet| *octet == b'\n');
        for (number, line) in lines.by_ref().take(4).enumerate() {
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            let separator = if number == 0 { "" } else { " / " };
            write!(f, "{separator}{}", visible(text))?;
        }
        let rest = lines.count();
        if rest > 0 {
            write!(f, " / … {rest} more lines")?;
        }
        Ok(())
    }
}

/// `250` → `250`; `2yz|452` → `2yz or 452`.
fn words(pattern: &str) -> String {
    let words: Vec<&str> = pattern
        .split([' ', '|'])
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" or ")
}

/// Code, the octet after it, and the text after that. Without a code all of it is text.
fn split(line: &[u8]) -> (Option<u16>, Option<u8>, &[u8]) {
    let code = line
        .get(..3)
        .filter(|code| code.iter().all(u8::is_ascii_digit))
        .map(|code| code.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')));
    match code {
        None => (None, None, line),
        Some(code) => (
            Some(code),
            line.get(3).copied(),
            line.get(4..).unwrap_or_default(),
        ),
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
