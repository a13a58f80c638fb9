//! The envelope commands' contents: paths with their ESMTP parameters.
//!
//! Comes in: what stands after `MAIL FROM:` and `RCPT TO:`. Goes out: [`MailFrom`] and [`RcptTo`],
//! which also print themselves as a command again. Called by [`command`](super::command).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::path::{self, BadPath};
use super::reply::{Enhanced, Reply};

/// RFC 3461 §4.4: octets of an envelope identifier.
const MAX_ENVID: usize = 100;
/// RFC 3461 §4.2: octets of an ORCPT value.
const MAX_ORCPT: usize = 500;

/// What the content is made of (RFC 6152, RFC 3030 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Body {
    /// `BODY=7BIT`, or no BODY parameter.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `BODY=BINARYMIME`: not made of lines, travels with BDAT only.
    BinaryMime,
}

/// How much of the message a failure DSN returns (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// All of it.
    Full,
    /// The header section.
    Hdrs,
}

/// When a recipient's DSN is wanted (RFC 3461 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Notify {
    /// No NOTIFY parameter: failures, and delays if the server likes.
    #[default]
    Unspecified,
    /// `NOTIFY=NEVER`.
    Never,
    /// A list; at least one is set.
    When {
        /// `SUCCESS`
        success: bool,
        /// `FAILURE`
        failure: bool,
        /// `DELAY`
        delay: bool,
    },
}

/// The return path and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MailFrom {
    /// The reverse-path without angle brackets and source route; empty for `<>`.
    pub path: String,
    /// The declared size in octets (RFC 1870).
    pub size: Option<u64>,
    /// What the content is made of.
    pub body: Body,
    /// The message may have non-ASCII addresses and header fields (RFC 6531).
    pub smtputf8: bool,
    /// How much a failure DSN returns.
    pub ret: Option<Ret>,
    /// The envelope identifier, as it was sent (RFC 3461 §4.4); [`decode_xtext`] reads it.
    pub envid: Option<String>,
    /// The name under which a 2010-style hub keeps the message as shadow (`PROTOCOL.md`). Of this hop only: not stored.
    #[serde(skip)]
    pub xshadow: Option<String>,
}

/// A recipient and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RcptTo {
    /// The forward-path without angle brackets and source route; `postmaster` may stand alone.
    pub path: String,
    /// When a DSN is wanted.
    pub notify: Notify,
    /// The original recipient, `type;xtext`, as it was sent (RFC 3461 §4.2).
    pub orcpt: Option<String>,
}

/// RFC 3463 §3.2: bad sender's mailbox address syntax.
const BAD_SENDER: Enhanced = (5, 1, 7);
/// RFC 3463 §3.2: bad destination mailbox address syntax.
const BAD_RECIPIENT: Enhanced = (5, 1, 3);

impl MailFrom {
    /// Parses `<path> parameters`, what follows `MAIL FROM:`.
    pub(crate) fn parse(text: &str, esmtp: bool) -> Result<Self, Reply> {
        let (path, rest) = path::split(text).map_err(|error| bad_path(error, BAD_SENDER))?;
        let mut from = Self::default();
        let mut body = None;
        for parameter in parameters(rest, esmtp) {
            let (keyword, value) = parameter?;
            let once = match keyword.as_str() {
                "SIZE" => put(&mut from.size, size(required(&keyword, value)?)?),
                "BODY" => put(&mut body, body_value(required(&keyword, value)?)?),
                "RET" => put(&mut from.ret, ret_value(required(&keyword, value)?)?),
                "ENVID" => put(&mut from.envid, envid(required(&keyword, value)?)?),
                "XSHADOW" => put(&mut from.xshadow, required(&keyword, value)?.to_owned()),
                // RFC 6531 §3.4: no value.
                "SMTPUTF8" if value.is_some() => {
                    return Err(Reply::bad_arguments("SMTPUTF8 takes no value"));
                }
                "SMTPUTF8" => !std::mem::replace(&mut from.smtputf8, true),
                _ => return Err(unknown_parameter(&keyword)),
            };
            if !once {
                return Err(Reply::bad_arguments(format!("{keyword} is given twice")));
            }
        }
        from.body = body.unwrap_or_default();
        from.path = path::reverse(path, from.smtputf8)
            .map_err(|error| bad_path(error, BAD_SENDER))?
            .to_owned();
        Ok(from)
    }
}

impl RcptTo {
    /// Parses `<path> parameters`, what follows `RCPT TO:`; `smtputf8` is MAIL's.
    pub(crate) fn parse(text: &str, esmtp: bool, smtputf8: bool) -> Result<Self, Reply> {
        let (path, rest) = path::split(text).map_err(|error| bad_path(error, BAD_RECIPIENT))?;
        let mut notify = None;
        let mut orcpt = None;
        for parameter in parameters(rest, esmtp) {
            let (keyword, value) = parameter?;
            let once = match keyword.as_str() {
                "NOTIFY" => put(&mut notify, notify_value(required(&keyword, value)?)?),
                "ORCPT" => put(
                    &mut orcpt,
                    orcpt_value(required(&keyword, value)?, smtputf8)?,
                ),
                _ => return Err(unknown_parameter(&keyword)),
            };
            if !once {
                return Err(Reply::bad_arguments(format!("{keyword} is given twice")));
            }
        }
        let path = path::forward(path, smtputf8).map_err(|error| bad_path(error, BAD_RECIPIENT))?;
        Ok(Self {
            path: path.to_owned(),
            notify: notify.unwrap_or_default(),
            orcpt,
        })
    }
}

/// The octets that an xtext stands for (RFC 3461 §4), as text. None when it is no xtext, or not UTF-8.
pub fn decode_xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => octets.push(hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?),
            b'=' => return None,
            b'!'..=b'~' => octets.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok()
}

/// `text` as xtext (RFC 3461 §4).
pub fn encode_xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'+' | b'=' => encoded.push_str(&format!("+{octet:02X}")),
            b'!'..=b'~' => encoded.push(char::from(octet)),
            _ => encoded.push_str(&format!("+{octet:02X}")),
        }
    }
    encoded
}

/// RFC 3461 §4: upper case only.
fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

type Parameter<'a> = Result<(String, Option<&'a str>), Reply>;

/// RFC 5321 §4.1.2 `Mail-parameters`: keywords in upper case, with their values.
fn parameters(rest: &str, esmtp: bool) -> impl Iterator<Item = Parameter<'_>> {
    rest.split(' ')
        .filter(|word| !word.is_empty())
        .map(move |word| {
            let (keyword, value) = match word.split_once('=') {
                Some((keyword, value)) => (keyword, Some(value)),
                None => (word, None),
            };
            let keyword_octet = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if keyword.is_empty() || keyword.starts_with('-') || !keyword.chars().all(keyword_octet)
            {
                return Err(Reply::bad_arguments(
                    "a parameter is KEYWORD or KEYWORD=value",
                ));
            }
            // RFC 5321 §4.1.1.11: parameters belong to extensions, which HELO does not offer.
            if !esmtp {
                return Err(Reply::new(555, (5, 5, 4), "no parameters without EHLO"));
            }
            // esmtp-value = 1*(%d33-60 / %d62-126), and non-ASCII with SMTPUTF8 (RFC 6531 §3.3)
            let value_octet = |c: char| matches!(c, '!'..='<' | '>'..='~') || !c.is_ascii();
            if value.is_some_and(|value| value.is_empty() || !value.chars().all(value_octet)) {
                return Err(Reply::bad_arguments(format!(
                    "the value of {keyword} is wrong"
                )));
            }
            Ok((keyword.to_ascii_uppercase(), value))
        })
}

/// Puts the value into an empty place; false when there was one already.
fn put<T>(place: &mut Option<T>, value: T) -> bool {
    place.replace(value).is_none()
}

fn required<'a>(keyword: &str, value: Option<&'a str>) -> Result<&'a str, Reply> {
    value.ok_or_else(|| Reply::bad_arguments(format!("{keyword} needs a value")))
}

/// RFC 1870 §3: 1 to 20 digits. What 64 bits cannot hold is larger than any limit.
fn size(value: &str) -> Result<u64, Reply> {
    if value.len() > 20 || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Reply::bad_arguments("SIZE is 1 to 20 digits"));
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body_value(value: &str) -> Result<Body, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        "BINARYMIME" => Ok(Body::BinaryMime),
        _ => Err(Reply::bad_arguments("BODY is 7BIT, 8BITMIME or BINARYMIME")),
    }
}

fn ret_value(value: &str) -> Result<Ret, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Hdrs),
        _ => Err(Reply::bad_arguments("RET is FULL or HDRS")),
    }
}

fn envid(value: &str) -> Result<String, Reply> {
    if value.len() > MAX_ENVID || !decode_xtext(value).is_some_and(is_printable) {
        return Err(Reply::bad_arguments(
            "ENVID is an xtext of at most 100 octets",
        ));
    }
    Ok(value.to_owned())
}

/// RFC 3461 §4.2, §4.4: what an xtext stands for is printable US-ASCII. A line end in it would make fields in a notification.
fn is_printable(text: String) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

fn notify_value(value: &str) -> Result<Notify, Reply> {
    let wrong = || Reply::bad_arguments("NOTIFY is NEVER, or a list of SUCCESS, FAILURE, DELAY");
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => success = true,
            "FAILURE" => failure = true,
            "DELAY" => delay = true,
            // RFC 3461 §4.1: NEVER stands alone.
            _ => return Err(wrong()),
        }
    }
    Ok(Notify::When {
        success,
        failure,
        delay,
    })
}

fn orcpt_value(value: &str, smtputf8: bool) -> Result<String, Reply> {
    let wrong = || Reply::bad_arguments("ORCPT is type;xtext of at most 500 octets");
    let (kind, address) = value.split_once(';').ok_or_else(wrong)?;
    let kind_octet = |c: char| c.is_ascii_alphanumeric() || c == '-';
    // RFC 6533 §3: utf-8-addr-unitext, when the message is sent with SMTPUTF8.
    let unitext = smtputf8 && kind.eq_ignore_ascii_case("utf-8") && !address.is_ascii();
    let good = !kind.is_empty()
        && kind.chars().all(kind_octet)
        && value.len() <= MAX_ORCPT
        && (unitext || decode_xtext(address).is_some_and(is_printable));
    if good {
        Ok(value.to_owned())
    } else {
        Err(wrong())
    }
}

fn bad_path(error: BadPath, syntax: Enhanced) -> Reply {
    match error {
        BadPath::Brackets | BadPath::AfterPath => Reply::bad_arguments(error.to_string()),
        // RFC 6531 §3.5
        BadPath::NonAscii => Reply::new(553, (5, 6, 7), error.to_string()),
        _ => Reply::new(501, syntax, error.to_string()),
    }
}

/// RFC 5321 §4.1.1.11
fn unknown_parameter(keyword: &str) -> Reply {
    Reply::new(
        555,
        (5, 5, 4),
        format!("{keyword} is not a parameter that is offered here"),
    )
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
            Self::BinaryMime => "BINARYMIME",
        })
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Hdrs => "HDRS",
        })
    }
}

/// The value of NOTIFY; empty when it is unspecified.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (success, failure, delay) = match *self {
            Self::Unspecified => return Ok(()),
            Self::Never => return f.write_str("NEVER"),
            Self::When {
                success,
                failure,
                delay,
            } => (success, failure, delay),
        };
        let mut comma = "";
        for (set, word) in [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")] {
            if set {
                write!(f, "{comma}{word}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

/// The command line, with all parameters, without CRLF.
impl fmt::Display for MailFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MAIL FROM:<{}>", self.path)?;
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        if self.body != Body::SevenBit {
            write!(f, " BODY={}", self.body)?;
        }
        if self.smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if let Some(ret) = self.ret {
            write!(f, " RET={ret}")?;
        }
        if let Some(envid) = &self.envid {
            write!(f, " ENVID={envid}")?;
        }
        if let Some(id) = &self.xshadow {
            write!(f, " XSHADOW={id}")?;
        }
        Ok(())
    }
}

/// The command line, with all parameters, without CRLF.
impl fmt::Display for RcptTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RCPT TO:<{}>", self.path)?;
        if self.notify != Notify::Unspecified {
            write!(f, " NOTIFY={}", self.notify)?;
        }
        if let Some(orcpt) = &self.orcpt {
            write!(f, " ORCPT={orcpt}")?;
        }
        Ok(())
    }
}
