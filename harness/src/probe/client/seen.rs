//! What was seen of the client: sessions with everything that was said in them, and transactions.
//!
//! Comes in: what [`hop`](super::hop) reads and says. Goes out: [`Session`]s and [`Transaction`]s, for the cases to look at.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::manners::{Manners, Stage};
use crate::probe::dialogue::{Record, visible};

/// A connection of the client.
#[derive(Debug)]
pub struct Session {
    /// Its octets.
    pub record: Record,
    /// When it came.
    pub opened: Instant,
    /// How it is treated.
    pub manners: Arc<Manners>,
    events: Mutex<Vec<Event>>,
}

/// Something that happened in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client said a line.
    Command(Command),
    /// The next hop said a reply with this code.
    Reply(u16),
    /// Content has come, so many octets.
    Content(usize),
    /// TLS began.
    Secured,
    /// TLS did not begin, and why.
    NotSecured(String),
    /// The client closed the connection.
    ClosedByClient,
    /// The next hop closed it.
    ClosedByHop,
}

/// A line of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// All its octets, its end among them.
    pub line: Vec<u8>,
    /// It came before the reply to the line before it (or the greeting) went out.
    pub early: bool,
}

impl Command {
    /// The line without its end.
    pub fn text(&self) -> String {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        String::from_utf8_lossy(line).into_owned()
    }

    /// Its first word, in upper case.
    pub fn verb(&self) -> String {
        let text = self.text();
        let verb = text.split([' ', '\t']).next().unwrap_or_default();
        verb.to_ascii_uppercase()
    }

    /// What stands behind the first word.
    pub fn argument(&self) -> String {
        let text = self.text();
        let behind = text.split_once(' ').map_or("", |(_, behind)| behind);
        behind.to_owned()
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&visible(&self.line))
    }
}

impl Session {
    /// One that begins now.
    pub fn new(manners: Arc<Manners>) -> Self {
        Self {
            record: Record::default(),
            opened: Instant::now(),
            manners,
            events: Mutex::default(),
        }
    }

    /// Something happened.
    pub fn add(&self, event: Event) {
        let events = self.events.lock();
        events.unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// All of it, so far.
    pub fn events(&self) -> Vec<Event> {
        let events = self.events.lock();
        events.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the client said.
    pub fn commands(&self) -> Vec<Command> {
        let command = |event| match event {
            Event::Command(command) => Some(command),
            _ => None,
        };
        self.events().into_iter().filter_map(command).collect()
    }

    /// How many things have happened.
    pub fn len(&self) -> usize {
        let events = self.events.lock();
        events.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        let ended = |event: &Event| matches!(event, Event::ClosedByClient | Event::ClosedByHop);
        self.events().iter().any(ended)
    }
}

/// A recipient of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The argument of RCPT: `TO:<bob@example.test>`.
    pub argument: String,
    /// What it was answered with; 0: not at all.
    pub code: u16,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The content was taken.
    Accepted,
    /// It, or what comes before it, was answered with this code.
    Refused(Stage, u16),
    /// The connection ended, by either side's doing.
    Lost,
    /// The client went back: RSET, EHLO, QUIT.
    Abandoned,
}

/// An attempt to send a message.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Where it took place.
    pub session: Arc<Session>,
    /// Which of the session's events was its MAIL.
    pub first_event: usize,
    /// Which of the session's events was its last one.
    pub last_event: usize,
    /// The argument of MAIL: `FROM:<ann@example.test> SIZE=100`.
    pub mail: String,
    /// Its recipients.
    pub recipients: Vec<Recipient>,
    /// The content as it stood on the wire, the end of data with it; empty when none came.
    pub wire: Vec<u8>,
    /// The content, dots taken away; nothing when none came whole.
    pub content: Option<Vec<u8>>,
    /// Content came before DATA was answered.
    pub early_content: bool,
    /// The sizes of its chunks (RFC 3030), and whether one was the last.
    pub chunks: Vec<(u64, bool)>,
    /// How it ended.
    pub end: End,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

impl Transaction {
    /// The reverse-path, without its brackets.
    pub fn from(&self) -> String {
        path(&self.mail)
    }

    /// The parameters of MAIL.
    pub fn parameters(&self) -> Vec<String> {
        parameters(&self.mail)
    }

    /// The value of a parameter of MAIL.
    pub fn parameter(&self, name: &str) -> Option<String> {
        value(&self.parameters(), name)
    }

    /// Whether the client sent content, and be it only a part.
    pub fn has_content(&self) -> bool {
        !self.wire.is_empty()
    }

    /// The lines of the client that belong to it.
    pub fn commands(&self) -> Vec<Command> {
        let events = self.session.events();
        let last = events.len().min(self.last_event);
        let own = events.get(self.first_event..last).unwrap_or_default();
        own.iter()
            .filter_map(|event| match event {
                Event::Command(command) => Some(command.clone()),
                _ => None,
            })
            .collect()
    }
}

impl Recipient {
    /// The forward-path, without its brackets.
    pub fn path(&self) -> String {
        path(&self.argument)
    }

    /// The parameters of RCPT.
    pub fn parameters(&self) -> Vec<String> {
        parameters(&self.argument)
    }
}

/// The value of that parameter; an empty one when it has none.
pub fn value(parameters: &[String], name: &str) -> Option<String> {
    parameters.iter().find_map(|parameter| {
        let (known, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        known.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

/// `FROM:<"a > b"@x> SIZE=1`: where the path ends. Quotes count (RFC 5321 §4.1.2).
fn path_end(argument: &str) -> Option<(usize, usize)> {
    let from = argument.find('<')? + 1;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in argument[from..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some((from, from + at)),
            _ => {}
        }
    }
    None
}

fn path(argument: &str) -> String {
    let path = path_end(argument).map_or("", |(from, to)| &argument[from..to]);
    path.to_owned()
}

pub(super) fn parameters(argument: &str) -> Vec<String> {
    let behind = path_end(argument).map_or("", |(_, to)| &argument[to + 1..]);
    behind.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_where_its_quotes_say() {
        let argument = r#"FROM:<"a \" > b"@x.example> SIZE=10 RET=HDRS"#;
        assert_eq!(path(argument), r#""a \" > b"@x.example"#);
        let all = parameters(argument);
        assert_eq!(all, ["SIZE=10", "RET=HDRS"]);
        assert_eq!(value(&all, "size").as_deref(), Some("10"));
        assert_eq!(value(&all, "BODY"), None);
        assert_eq!(path("FROM:<>"), "");
        assert_eq!(path("FROM:a@x"), "");
    }

    #[test]
    fn a_command_is_read_without_its_end() {
        let command = Command {
            line: b"ehlo a.example\r\n".to_vec(),
            early: false,
        };
        assert_eq!(command.verb(), "EHLO");
        assert_eq!(command.argument(), "a.example");
    }
}
