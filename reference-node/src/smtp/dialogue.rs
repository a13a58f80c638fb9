//! The sending side's pieces: replies read, commands written.
//!
//! Comes in: a server's octets, and what is to be sent. Goes out: [`Reply`]s, and the octets of
//! commands and content. The drivers of delivery and shadow copies own the order and the socket.

use memchr::{memchr_iter, memmem};

use super::parameter::{Body, MailFrom, RcptTo};
use super::reply::{Enhanced, Reply};

/// RFC 5321 §4.5.3.1.5 says 512; some servers write longer lines.
const MAX_LINE: usize = 2048;
/// A bound on one reply, in octets; an answer to XQDISCARD has many lines.
const MAX_REPLY: usize = 1 << 20;

/// Reads replies out of a stream of octets.
#[derive(Debug, Default)]
pub struct ReplyReader {
    input: Vec<u8>,
    /// Octets of `input` that are used up.
    used: usize,
    code: Option<u16>,
    text: Vec<String>,
    /// Octets of the reply's lines so far.
    octets: usize,
    error: Option<BadReply>,
}

/// A server's octets that are no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Not `ddd`, `ddd text` or `ddd-text` (RFC 5321 §4.2).
    #[error("not a reply line: {0:?}")]
    Syntax(String),
    /// RFC 5321 §2.3.8
    #[error("the reply line {0:?} ends without CR")]
    BareLineFeed(String),
    /// RFC 5321 §4.2.1: all lines have the same code.
    #[error("a line with code {then} within a reply with code {first}")]
    CodesDiffer {
        /// The first line's code.
        first: u16,
        /// The other one.
        then: u16,
    },
    /// More than 2048 octets.
    #[error("a reply line of more than {MAX_LINE} octets")]
    LineTooLong,
    /// More than 1 MiB.
    #[error("a reply of more than {MAX_REPLY} octets")]
    ReplyTooLong,
}

impl ReplyReader {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the server.
    pub fn feed(&mut self, octets: &[u8]) {
        if self.error.is_none() {
            self.input.drain(..self.used);
            self.used = 0;
            self.input.extend_from_slice(octets);
        }
    }

    /// The next complete reply. After an error every further call gives that error: nobody knows where
    /// the next reply would begin.
    #[expect(clippy::should_implement_trait, reason = "more may come after a None")]
    pub fn next(&mut self) -> Option<Result<Reply, BadReply>> {
        if let Some(error) = &self.error {
            return Some(Err(error.clone()));
        }
        match self.read() {
            Ok(reply) => reply.map(Ok),
            Err(error) => {
                self.input = Vec::new();
                self.used = 0;
                self.error = Some(error.clone());
                Some(Err(error))
            }
        }
    }

    fn read(&mut self) -> Result<Option<Reply>, BadReply> {
        loop {
            let rest = &self.input[self.used..];
            let Some(lf) = memchr::memchr(b'\n', rest) else {
                return if rest.len() >= MAX_LINE {
                    Err(BadReply::LineTooLong)
                } else {
                    Ok(None)
                };
            };
            if lf >= MAX_LINE {
                return Err(BadReply::LineTooLong);
            }
            let line = rest[..lf].strip_suffix(b"\r").ok_or_else(|| {
                BadReply::BareLineFeed(String::from_utf8_lossy(&rest[..lf]).into_owned())
            })?;
            let (code, last, text) = reply_line(line)
                .ok_or_else(|| BadReply::Syntax(String::from_utf8_lossy(line).into_owned()))?;
            if let Some(first) = self.code.filter(|first| *first != code) {
                return Err(BadReply::CodesDiffer { first, then: code });
            }
            self.octets += lf + 1;
            if self.octets > MAX_REPLY {
                return Err(BadReply::ReplyTooLong);
            }
            self.used += lf + 1;
            self.code = Some(code);
            self.text.push(text);
            if last {
                self.code = None;
                self.octets = 0;
                return Ok(Some(Reply::from_lines(
                    code,
                    std::mem::take(&mut self.text),
                )));
            }
        }
    }
}

/// RFC 5321 §4.2 `Reply-line`: the code, whether it is the last line, the text. A code without text and
/// without the space is accepted, as §4.2 asks.
fn reply_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let (digits, rest) = line.split_at_checked(3)?;
    // Reply-code = %x32-35 %x30-35 %x30-39
    let [
        first @ b'2'..=b'5',
        second @ b'0'..=b'5',
        third @ b'0'..=b'9',
    ] = *digits
    else {
        return None;
    };
    let code = [first, second, third]
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let (last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return None,
    };
    Some((code, last, String::from_utf8_lossy(text).into_owned()))
}

/// What a server offered in its EHLO reply. After HELO, the default: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// SIZE: the limit in octets, 0 for none (RFC 1870 §4).
    pub size: Option<u64>,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// XSHADOW: a 2010-style hub (`PROTOCOL.md`).
    pub xshadow: bool,
    /// XPEER: the server's nonce (`PROTOCOL.md`).
    pub xpeer: Option<String>,
}

impl Extensions {
    /// Reads the positive reply to EHLO (RFC 5321 §4.1.1.1). What it does not know it ignores.
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.text.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                // RFC 1870 §3: without a number there is no fixed limit.
                "SIZE" => {
                    offered.size =
                        Some(words.next().and_then(|word| word.parse().ok()).unwrap_or(0));
                }
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit_mime = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "CHUNKING" => offered.chunking = true,
                "BINARYMIME" => offered.binary_mime = true,
                "DSN" => offered.dsn = true,
                "ENHANCEDSTATUSCODES" => offered.enhanced_status_codes = true,
                "XSHADOW" => offered.xshadow = true,
                "XPEER" => offered.xpeer = words.next().map(str::to_owned),
                _ => {}
            }
        }
        offered
    }
}

/// Why a message cannot go to a server: a permanent failure of the message there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotSend {
    /// 5.6.3 (RFC 6152 §3)
    #[error("the content has 8-bit octets and the server does not offer 8BITMIME")]
    EightBit,
    /// 5.6.3 (RFC 3030 §3)
    #[error("the content is binary and the server does not offer BINARYMIME and CHUNKING")]
    Binary,
    /// 5.6.7 (RFC 6531 §3.2)
    #[error("the message needs SMTPUTF8 and the server does not offer it")]
    Smtputf8,
    /// 5.3.4 (RFC 1870 §6.1)
    #[error("the message is bigger than the server's limit")]
    TooBig,
}

impl CannotSend {
    /// The enhanced status code for a DSN (RFC 3463).
    pub fn enhanced(self) -> Enhanced {
        match self {
            Self::EightBit | Self::Binary => (5, 6, 3),
            Self::Smtputf8 => (5, 6, 7),
            Self::TooBig => (5, 3, 4),
        }
    }

    /// The failure as if the server had said it.
    pub fn reply(self) -> Reply {
        Reply::new(554, self.enhanced(), self.to_string())
    }
}

/// The MAIL command line with CRLF, with the parameters that the server offers. Content whose
/// `from.body` is [`Body::BinaryMime`] must then go as [`bdat`].
pub fn mail_command(
    from: &MailFrom,
    content: &[u8],
    extensions: &Extensions,
) -> Result<String, CannotSend> {
    let octets = u64::try_from(content.len()).unwrap_or(u64::MAX);
    if extensions
        .size
        .is_some_and(|limit| limit != 0 && octets > limit)
    {
        return Err(CannotSend::TooBig);
    }
    // RFC 6531 §3.2: a message that needs it goes nowhere else; one that does not may go without.
    if from.smtputf8
        && !extensions.smtputf8
        && !(from.path.is_ascii() && header_section(content).is_ascii())
    {
        return Err(CannotSend::Smtputf8);
    }
    let sent = MailFrom {
        path: from.path.clone(),
        size: extensions.size.map(|_| octets),
        body: body(from.body, content, extensions)?,
        smtputf8: from.smtputf8 && extensions.smtputf8,
        ret: from.ret.filter(|_| extensions.dsn),
        envid: from.envid.clone().filter(|_| extensions.dsn),
        xshadow: from.xshadow.clone().filter(|_| extensions.xshadow),
    };
    Ok(format!("{sent}\r\n"))
}

fn body(declared: Body, content: &[u8], extensions: &Extensions) -> Result<Body, CannotSend> {
    if declared == Body::BinaryMime {
        let offered = extensions.binary_mime && extensions.chunking;
        return if offered {
            Ok(Body::BinaryMime)
        } else {
            Err(CannotSend::Binary)
        };
    }
    // A client may have declared 7BIT and sent 8-bit octets: what is there counts.
    match (extensions.eight_bit_mime, content.is_ascii()) {
        (true, false) => Ok(Body::EightBitMime),
        (true, true) => Ok(declared),
        (false, true) => Ok(Body::SevenBit),
        (false, false) => Err(CannotSend::EightBit),
    }
}

/// The content up to the empty line.
fn header_section(content: &[u8]) -> &[u8] {
    let end = memmem::find(content, b"\r\n\r\n").unwrap_or(content.len());
    &content[..end]
}

/// The RCPT command line with CRLF, with the parameters that the server offers.
pub fn rcpt_command(to: &RcptTo, extensions: &Extensions) -> Result<String, CannotSend> {
    if !to.path.is_ascii() && !extensions.smtputf8 {
        return Err(CannotSend::Smtputf8);
    }
    // RFC 6533 §3: utf-8-addr-unitext needs SMTPUTF8 as well.
    let orcpt_fits = |orcpt: &String| extensions.dsn && (extensions.smtputf8 || orcpt.is_ascii());
    let sent = RcptTo {
        path: to.path.clone(),
        notify: if extensions.dsn {
            to.notify
        } else {
            Default::default()
        },
        orcpt: to.orcpt.clone().filter(orcpt_fits),
    };
    Ok(format!("{sent}\r\n"))
}

/// The content as it follows `354`: dots stuffed, ended by `.` (RFC 5321 §4.5.2). Content that does not
/// end in CRLF gets one.
pub fn stuff(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + content.len() / 64 + 8);
    if content.first() == Some(&b'.') {
        stuffed.push(b'.');
    }
    let mut from = 0;
    for lf in memchr_iter(b'\n', content) {
        let line_end = lf > 0 && content[lf - 1] == b'\r';
        if line_end && content.get(lf + 1) == Some(&b'.') {
            stuffed.extend_from_slice(&content[from..=lf]);
            stuffed.push(b'.');
            from = lf + 1;
        }
    }
    stuffed.extend_from_slice(&content[from..]);
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed.extend_from_slice(END_OF_DATA);
    stuffed
}

/// The content as DATA sends it, as [`stuff`] has it, in pieces of about `size` octets: a large message is not copied as a
/// whole. Only a line that is longer makes a longer piece.
pub fn stuffed_pieces(mut content: &[u8], size: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let line_end = content
            .get(size..)
            .and_then(|rest| memmem::find(rest, b"\r\n"));
        match line_end.map(|at| content.split_at(size + at + 2)) {
            Some((lines, rest)) if !rest.is_empty() => {
                content = rest;
                let mut piece = stuff(lines);
                piece.truncate(piece.len() - END_OF_DATA.len());
                Some(piece)
            }
            _ => {
                ended = true;
                Some(stuff(content))
            }
        }
    })
}

const END_OF_DATA: &[u8] = b".\r\n";

/// The content as one chunk, `BDAT <size> LAST` and the octets (RFC 3030 §2), in pieces as [`stuffed_pieces`].
pub fn bdat_pieces(content: &[u8], size: usize) -> impl Iterator<Item = Vec<u8>> {
    let (first, rest) = content.split_at(content.len().min(size));
    let mut chunk = format!("BDAT {} LAST\r\n", content.len()).into_bytes();
    chunk.extend_from_slice(first);
    std::iter::once(chunk).chain(rest.chunks(size).map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests;
