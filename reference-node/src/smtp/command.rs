//! One command line, without its CRLF, to a [`Command`] (RFC 5321 §4.1.1).
//!
//! Comes in: a line's octets, and whether the client said EHLO. Goes out: a command, or the reply to a
//! line that is none. Called by the receiving [`session`](super::session); [`PeerCommand`] also prints
//! itself for the sending side.

use std::fmt;

use super::parameter::{MailFrom, RcptTo};
use super::path;
use super::reply::Reply;
use crate::shadow::mark::{Mark, epochs_text, read_epochs};

/// A command of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `EHLO`, with the client's name.
    Ehlo(String),
    /// `HELO`, with the client's name.
    Helo(String),
    /// `MAIL FROM:`
    Mail(MailFrom),
    /// `RCPT TO:`
    Rcpt(RcptTo),
    /// `DATA`
    Data,
    /// `BDAT`: `size` octets follow (RFC 3030 §2).
    Bdat {
        /// Octets in the chunk.
        size: u64,
        /// The message ends with it.
        last: bool,
    },
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `VRFY`
    Vrfy(String),
    /// `EXPN`
    Expn(String),
    /// `HELP`
    Help,
    /// `QUIT`
    Quit,
    /// `STARTTLS`
    StartTls,
    /// `AUTH`
    Auth,
    /// A verb between nodes.
    Peer(PeerCommand),
    /// Any other verb, as it was written.
    Unknown(String),
}

/// The verbs between nodes of one organization (`PROTOCOL.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerCommand {
    /// `XPEER`: proves that the client knows the organization's secret.
    Xpeer {
        /// The client node's name.
        name: String,
        /// The client's nonce, hex.
        nonce: String,
        /// The client's proof, hex.
        proof: String,
        /// Epochs of the server's database that the client knows of.
        epochs: Vec<u64>,
    },
    /// `XSHADOW`: the next transaction is a shadow copy.
    Xshadow {
        /// The message's name.
        transport_id: String,
        /// Milliseconds since the Unix epoch.
        submit_time: u64,
        /// Where the message stands in the log of the primary server that sends it.
        mark: Option<Mark>,
    },
    /// `XDELIVER`: the next transaction is a delivery to this node's mailboxes.
    Xdeliver {
        /// The message's name.
        transport_id: String,
        /// Milliseconds since the Unix epoch.
        submit_time: u64,
    },
    /// `XHANDOVER`: the next transaction comes from another boundary (SC-13).
    Xhandover {
        /// Milliseconds since the Unix epoch.
        submit_time: u64,
    },
    /// `XQDISCARD`: asks for discard notifications.
    Xqdiscard {
        /// The last number that the asking server has.
        cursor: u64,
        /// At most so many.
        most: u32,
    },
    /// `XRESUBMIT`: asks for a resubmission from Safety Net.
    Xresubmit {
        /// Milliseconds since the Unix epoch.
        from: u64,
        /// Milliseconds since the Unix epoch.
        to: u64,
    },
}

/// What the session knows when it parses a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The client said EHLO: parameters are allowed.
    pub esmtp: bool,
    /// The transaction's MAIL had SMTPUTF8: recipients may be non-ASCII.
    pub smtputf8: bool,
}

impl Command {
    /// Parses a line without its CRLF. A bad line is the reply to it; a 421 means that nobody can know
    /// where the next command begins, and the session must end.
    pub fn parse(line: &[u8], context: Context) -> Result<Self, Reply> {
        // RFC 5321 §4.1.1: white space before the CRLF is tolerated.
        let end = line
            .iter()
            .rposition(|octet| !matches!(octet, b' ' | b'\t'));
        let line = &line[..end.map_or(0, |last| last + 1)];
        let verb = verb(line);
        let Some(text) = text(line) else {
            return Err(match verb.as_str() {
                "BDAT" => bad_chunk(),
                _ if KNOWN.contains(&verb.as_str()) => {
                    Reply::new(501, (5, 5, 2), "control or malformed octets in the command")
                }
                _ => Reply::new(500, (5, 5, 2), "not a command"),
            });
        };
        let arguments = text[verb.len()..]
            .strip_prefix(' ')
            .unwrap_or(&text[verb.len()..]);
        // RFC 6531 §3.4: non-ASCII only where a path or a mailbox can stand.
        if !arguments.is_ascii() && !matches!(verb.as_str(), "MAIL" | "RCPT" | "VRFY" | "EXPN") {
            return Err(match verb.as_str() {
                "BDAT" => bad_chunk(),
                _ if KNOWN.contains(&verb.as_str()) => {
                    Reply::bad_arguments("the argument must be ASCII")
                }
                _ => Reply::new(500, (5, 5, 2), "not a command"),
            });
        }
        match verb.as_str() {
            "EHLO" => Ok(Self::Ehlo(hello_name(arguments)?)),
            "HELO" => Ok(Self::Helo(hello_name(arguments)?)),
            // RFC 5321 §4.1.1.2
            "MAIL" => {
                let text = after_keyword(arguments, "FROM:")
                    .ok_or_else(|| Reply::bad_arguments("MAIL FROM:<path> [parameters]"))?;
                MailFrom::parse(text, context.esmtp).map(Self::Mail)
            }
            // RFC 5321 §4.1.1.3
            "RCPT" => {
                let text = after_keyword(arguments, "TO:")
                    .ok_or_else(|| Reply::bad_arguments("RCPT TO:<path> [parameters]"))?;
                RcptTo::parse(text, context.esmtp, context.smtputf8).map(Self::Rcpt)
            }
            "DATA" => alone(arguments, Self::Data),
            "BDAT" => bdat(arguments),
            "RSET" => alone(arguments, Self::Rset),
            "QUIT" => alone(arguments, Self::Quit),
            "STARTTLS" => alone(arguments, Self::StartTls),
            // RFC 5321 §4.1.1.9: a parameter is ignored.
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "AUTH" => Ok(Self::Auth),
            "VRFY" | "EXPN" if arguments.trim().is_empty() => {
                Err(Reply::bad_arguments(format!("{verb} needs an argument")))
            }
            "VRFY" => Ok(Self::Vrfy(arguments.to_owned())),
            "EXPN" => Ok(Self::Expn(arguments.to_owned())),
            "XPEER" | "XSHADOW" | "XDELIVER" | "XHANDOVER" | "XQDISCARD" | "XRESUBMIT" => {
                let words: Vec<&str> = arguments.split(' ').collect();
                PeerCommand::parse(&verb, &words)
                    .map(Self::Peer)
                    .ok_or_else(|| {
                        Reply::bad_arguments(format!("the arguments of {verb} are wrong"))
                    })
            }
            _ if is_http(arguments) => Err(Reply::new(
                421,
                (4, 7, 0),
                "this is SMTP, not HTTP, closing",
            )),
            _ => Ok(Self::Unknown(verb)),
        }
    }
}

/// `POST / HTTP/1.1`: somebody makes a browser talk to this port. What follows is text of a stranger's choice, and none of it
/// may be executed.
fn is_http(arguments: &str) -> bool {
    arguments
        .rsplit(' ')
        .next()
        .is_some_and(|version| version.starts_with("HTTP/"))
}

/// The verbs that have a meaning here; everything else is unknown (500).
const KNOWN: &[&str] = &[
    "EHLO",
    "HELO",
    "MAIL",
    "RCPT",
    "DATA",
    "BDAT",
    "RSET",
    "QUIT",
    "STARTTLS",
    "NOOP",
    "HELP",
    "AUTH",
    "VRFY",
    "EXPN",
    "XPEER",
    "XSHADOW",
    "XDELIVER",
    "XHANDOVER",
    "XQDISCARD",
    "XRESUBMIT",
];

/// The line's first word in upper case; only its ASCII beginning counts.
pub(crate) fn verb(line: &[u8]) -> String {
    line.iter()
        .take_while(|octet| octet.is_ascii_graphic())
        .map(|octet| char::from(octet.to_ascii_uppercase()))
        .collect()
}

/// The line as text, when it is UTF-8 without control characters (RFC 5321 §4.1.1.1, RFC 6531 §3.3).
fn text(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
}

fn after_keyword<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let (start, rest) = arguments.split_at_checked(keyword.len())?;
    start.eq_ignore_ascii_case(keyword).then_some(rest)
}

fn alone(arguments: &str, command: Command) -> Result<Command, Reply> {
    // RFC 5321 §4.3.2: 501 for parameters where none may be.
    if arguments.is_empty() {
        Ok(command)
    } else {
        Err(Reply::bad_arguments("no argument is allowed"))
    }
}

/// RFC 5321 §4.1.1.1, §4.1.4: a domain or an address literal. A name need not be true, and hosts with an
/// underscore exist; what could not be written into a trace field is refused.
fn hello_name(arguments: &str) -> Result<String, Reply> {
    let octet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let lenient = !arguments.is_empty() && arguments.len() <= 255 && arguments.chars().all(octet);
    if lenient || path::is_address_literal(arguments) {
        Ok(arguments.to_owned())
    } else {
        Err(Reply::bad_arguments(
            "the argument must be a domain or an address literal",
        ))
    }
}

/// RFC 3030 §2
fn bdat(arguments: &str) -> Result<Command, Reply> {
    let (size, last) = match arguments.split_once(' ') {
        None => (arguments, false),
        Some((size, word)) if word.eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return Err(bad_chunk()),
    };
    match number(size) {
        Some(size) => Ok(Command::Bdat { size, last }),
        None => Err(bad_chunk()),
    }
}

/// The octets after a BDAT line that nobody understands could be content or commands: going on would let
/// content be executed.
fn bad_chunk() -> Reply {
    Reply::new(
        421,
        (4, 5, 4),
        "BDAT without a chunk size: cannot find the next command, closing",
    )
}

/// Digits only: no sign, no empty text; none when 64 bits do not hold it.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|octet| octet.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

impl PeerCommand {
    fn parse(verb: &str, words: &[&str]) -> Option<Self> {
        match (verb, words) {
            ("XPEER", &[name, nonce, proof, ref rest @ ..])
                if is_name(name) && is_hex(nonce) && is_hex(proof) && rest.len() <= 1 =>
            {
                Some(Self::Xpeer {
                    name: name.into(),
                    nonce: nonce.into(),
                    proof: proof.into(),
                    epochs: rest.first().map_or(Some(Vec::new()), |e| read_epochs(e))?,
                })
            }
            ("XSHADOW", &[id, time, ref rest @ ..]) if is_transport_id(id) && rest.len() <= 1 => {
                Some(Self::Xshadow {
                    transport_id: id.into(),
                    submit_time: number(time)?,
                    mark: rest.first().map(|m| m.parse()).transpose().ok()?,
                })
            }
            ("XDELIVER", &[id, time]) if is_transport_id(id) => Some(Self::Xdeliver {
                transport_id: id.into(),
                submit_time: number(time)?,
            }),
            ("XHANDOVER", &[time]) => Some(Self::Xhandover {
                submit_time: number(time)?,
            }),
            ("XQDISCARD", &[cursor, most]) => {
                let most = u32::try_from(number(most)?).ok()?;
                Some(Self::Xqdiscard {
                    cursor: number(cursor)?,
                    most,
                })
            }
            ("XRESUBMIT", &[from, to]) => Some(Self::Xresubmit {
                from: number(from)?,
                to: number(to)?,
            }),
            _ => None,
        }
    }

    /// Its verb.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Xpeer { .. } => "XPEER",
            Self::Xshadow { .. } => "XSHADOW",
            Self::Xdeliver { .. } => "XDELIVER",
            Self::Xhandover { .. } => "XHANDOVER",
            Self::Xqdiscard { .. } => "XQDISCARD",
            Self::Xresubmit { .. } => "XRESUBMIT",
        }
    }
}

/// The command line, without CRLF.
impl fmt::Display for PeerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb();
        match self {
            Self::Xpeer {
                name,
                nonce,
                proof,
                epochs,
            } => {
                write!(f, "{verb} {name} {nonce} {proof}")?;
                match epochs.as_slice() {
                    [] => Ok(()),
                    epochs => write!(f, " {}", epochs_text(epochs)),
                }
            }
            Self::Xshadow {
                transport_id,
                submit_time,
                mark,
            } => {
                write!(f, "{verb} {transport_id} {submit_time}")?;
                mark.iter().try_for_each(|mark| write!(f, " {mark}"))
            }
            Self::Xdeliver {
                transport_id,
                submit_time,
            } => {
                write!(f, "{verb} {transport_id} {submit_time}")
            }
            Self::Xhandover { submit_time } => write!(f, "{verb} {submit_time}"),
            Self::Xqdiscard { cursor, most } => write!(f, "{verb} {cursor} {most}"),
            Self::Xresubmit { from, to } => write!(f, "{verb} {from} {to}"),
        }
    }
}

fn is_name(word: &str) -> bool {
    (1..=255).contains(&word.len())
        && word
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b'/')
}

fn is_hex(word: &str) -> bool {
    (1..=128).contains(&word.len()) && word.bytes().all(|octet| octet.is_ascii_hexdigit())
}

/// `node/database/serial` (`PROTOCOL.md`).
fn is_transport_id(word: &str) -> bool {
    let parts: Vec<&str> = word.split('/').collect();
    match parts[..] {
        [node, database, serial] => is_name(node) && is_hex(database) && number(serial).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
