//! `when` of a trigger: `LINK EVENT`, e.g. `n1>n2 copy acked`, or `NODE EVENT`, e.g. `n1 disk sync`.
//!
//! Comes in: the text of a scenario's fault. Goes out: [`When`], which knows its events on the wire, or within a node.

use std::fmt;

use reference_node::env::TIMERS;

use crate::history::{Local, Reply, Transaction, Wire};

/// A `when` that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{when}`: {reason}")]
pub struct TriggerError {
    /// What was written.
    pub when: String,
    /// What is wrong with it, and what is known.
    pub reason: String,
}

/// A parsed `when`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Link {
        from: String,
        to: String,
        event: Event,
    },
    Node {
        node: String,
        what: Local,
        /// The file, or the timer; any when left out.
        name: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Connect,
    ConnectFailed,
    Greeting,
    /// Any of these verbs.
    Command(Vec<String>),
    Reply {
        verb: String,
        codes: Codes,
    },
    EndOfData(Transaction),
    Final {
        kind: Transaction,
        acked: bool,
    },
    Close,
}

/// `550`, `5yz`, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codes {
    Any,
    Class(u16),
    One(u16),
}

/// The events that faults can be hung on, each with what it means, for `gauntlet list faults`.
pub fn event_names() -> &'static [(&'static str, &'static str)] {
    &[
        ("connect", "a connection is opened"),
        ("connect failed", "a connection cannot be opened"),
        ("greeting", "the server's greeting"),
        ("ehlo", "the command EHLO or HELO"),
        ("mail", "the command MAIL"),
        ("rcpt", "the command RCPT"),
        ("data", "the reply 354 to DATA"),
        (
            "end-of-data",
            "<CRLF>.<CRLF>, or the last octet of BDAT LAST, of ordinary mail",
        ),
        ("acked", "the 2xx after it"),
        ("refused", "the 4xx or 5xx after it"),
        ("copy begun", "the command XSHADOW"),
        ("copy end-of-data", "the end of a shadow copy's data"),
        ("copy acked", "the shadow server has confirmed its copy"),
        ("copy refused", "the shadow server has refused the copy"),
        ("delivery begun", "the command XDELIVER"),
        (
            "delivery end-of-data",
            "the end of data of a delivery to mailboxes of the boundary",
        ),
        ("delivery acked", "the delivery is confirmed"),
        ("delivery refused", "the delivery is refused"),
        ("discard asked", "the command XQDISCARD"),
        ("discard answered", "its reply"),
        ("close", "the connection ends"),
        (
            "unasked reply",
            "a reply that answers no command, as 421 at a timeout",
        ),
        ("command VERB", "a command, e.g. `command RSET`"),
        (
            "reply VERB [CODE]",
            "a reply, e.g. `reply RCPT 550` or `reply RCPT 4yz`; not the final one",
        ),
    ]
}

/// The events within a node that faults can be hung on, each with what it means; only `sim` sees them.
pub fn local_event_names() -> Vec<(String, String)> {
    let disk = [
        (
            "disk commit",
            "a commit of one of the node's databases, from its first write to its end",
        ),
        (
            "disk sync [FILE]",
            "a file is synced, e.g. `disk sync transport.redb` or `disk sync mailbox.redb`",
        ),
    ];
    let timers = TIMERS
        .iter()
        .map(|(name, meaning)| (format!("timer {name}"), *meaning));
    disk.into_iter()
        .map(|(name, meaning)| (name.to_owned(), meaning))
        .chain(timers)
        .map(|(name, meaning)| (name, meaning.to_owned()))
        .collect()
}

impl When {
    /// Parses `LINK EVENT` or `NODE EVENT`. A host is a name, `*`, or a beginning and `*`, as in `client-*`.
    pub fn parse(when: &str) -> Result<Self, TriggerError> {
        let wrong = |reason: String| TriggerError {
            when: when.into(),
            reason,
        };
        let (link, event) = when
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| wrong("write a link and an event, as in `n1>n2 copy acked`".into()))?;
        if !link.contains('>')
            && let Some((what, name)) = local(event).map_err(wrong)?
        {
            let node = Some(link).filter(|node| is_host(node));
            let node = node
                .ok_or_else(|| wrong(format!("`{link}` is no node")))?
                .into();
            return Ok(Self {
                place: Place::Node { node, what, name },
            });
        }
        let (from, to) = link
            .split_once('>')
            .filter(|(from, to)| is_host(from) && is_host(to))
            .ok_or_else(|| {
                wrong(format!(
                    "`{link}` is no link: write `from>to`, as in `client-1>n1` or `*>n1`"
                ))
            })?;
        let event = Event::parse(event).map_err(wrong)?;
        Ok(Self {
            place: Place::Link {
                from: from.into(),
                to: to.into(),
                event,
            },
        })
    }

    /// The node whose inner events are meant; `None`: it is an event on a link.
    pub fn node(&self) -> Option<&str> {
        match &self.place {
            Place::Node { node, .. } => Some(node),
            Place::Link { .. } => None,
        }
    }

    /// The link is one that is meant.
    pub fn is_link(&self, of: &str, with: &str) -> bool {
        matches!(&self.place, Place::Link { from, to, .. } if host_matches(from, of) && host_matches(to, with))
    }

    /// The event is the one that is meant.
    pub fn is_event(&self, wire: &Wire) -> bool {
        matches!(&self.place, Place::Link { event, .. } if event.matches(wire))
    }

    /// What happens within that node is what is meant.
    pub fn is_local(&self, on: &str, happens: Local, called: Option<&str>) -> bool {
        matches!(&self.place, Place::Node { node, what, name }
            if *what == happens && host_matches(node, on) && (name.is_none() || name.as_deref() == called))
    }
}

/// An event within a node; `None`: it is none of these.
fn local(text: &str) -> Result<Option<(Local, Option<String>)>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(Some(match words[..] {
        ["disk", "commit"] => (Local::Commit, None),
        ["disk", "sync"] => (Local::Sync, None),
        ["disk", "sync", file] => (Local::Sync, Some(file.into())),
        ["timer", name] if TIMERS.iter().any(|(known, _)| *known == name) => {
            (Local::Timer, Some(name.into()))
        }
        ["disk" | "timer", ..] => {
            let known: Vec<String> = local_event_names()
                .into_iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            return Err(format!(
                "no node has an event `{text}`; known are {}",
                known.join(", ")
            ));
        }
        _ => return Ok(None),
    }))
}

fn is_host(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    !pattern.is_empty() && !name.contains(['*', '>'])
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => host.starts_with(beginning),
        None => pattern == host,
    }
}

impl Event {
    fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let verb = |verb: &str| vec![verb.to_string()];
        Ok(match words[..] {
            ["connect"] => Self::Connect,
            ["connect", "failed"] => Self::ConnectFailed,
            ["greeting"] => Self::Greeting,
            ["close"] => Self::Close,
            ["ehlo"] => Self::Command(vec!["EHLO".into(), "HELO".into()]),
            ["mail"] => Self::Command(verb("MAIL")),
            ["rcpt"] => Self::Command(verb("RCPT")),
            ["data"] => Self::Reply {
                verb: "DATA".into(),
                codes: Codes::One(354),
            },
            ["copy", "begun"] => Self::Command(verb("XSHADOW")),
            ["delivery", "begun"] => Self::Command(verb("XDELIVER")),
            ["discard", "asked"] => Self::Command(verb("XQDISCARD")),
            ["discard", "answered"] => Self::Reply {
                verb: "XQDISCARD".into(),
                codes: Codes::Any,
            },
            ["unasked", "reply"] => Self::Reply {
                verb: String::new(),
                codes: Codes::Any,
            },
            ["command", name] => Self::Command(vec![name.to_ascii_uppercase()]),
            ["reply", name] => Self::Reply {
                verb: name.to_ascii_uppercase(),
                codes: Codes::Any,
            },
            ["reply", name, code] => Self::Reply {
                verb: name.to_ascii_uppercase(),
                codes: Codes::parse(code)?,
            },
            ["end-of-data"] => Self::EndOfData(Transaction::Mail),
            ["copy", "end-of-data"] => Self::EndOfData(Transaction::Copy),
            ["delivery", "end-of-data"] => Self::EndOfData(Transaction::Deliver),
            ["acked"] => Self::Final {
                kind: Transaction::Mail,
                acked: true,
            },
            ["refused"] => Self::Final {
                kind: Transaction::Mail,
                acked: false,
            },
            ["copy", "acked"] => Self::Final {
                kind: Transaction::Copy,
                acked: true,
            },
            ["copy", "refused"] => Self::Final {
                kind: Transaction::Copy,
                acked: false,
            },
            ["delivery", "acked"] => Self::Final {
                kind: Transaction::Deliver,
                acked: true,
            },
            ["delivery", "refused"] => Self::Final {
                kind: Transaction::Deliver,
                acked: false,
            },
            _ => {
                return Err(format!(
                    "there is no event `{text}`; known are {}",
                    KnownEvents
                ));
            }
        })
    }

    fn matches(&self, wire: &Wire) -> bool {
        match (self, wire) {
            (Self::Connect, Wire::Connect)
            | (Self::ConnectFailed, Wire::ConnectFailed { .. })
            | (Self::Greeting, Wire::Greeting { .. })
            | (Self::Close, Wire::Close { .. }) => true,
            (Self::Command(verbs), Wire::Command { verb, .. }) => verbs.contains(verb),
            (
                Self::Reply {
                    verb: wanted,
                    codes,
                },
                Wire::Reply { verb, reply },
            ) => wanted == verb && codes.contain(reply),
            (Self::EndOfData(wanted), Wire::EndOfData { kind, .. }) => wanted == kind,
            (
                Self::Final {
                    kind: wanted,
                    acked,
                },
                Wire::FinalReply { kind, reply, .. },
            ) => {
                wanted == kind
                    && if *acked {
                        reply.code / 100 == 2
                    } else {
                        matches!(reply.code / 100, 4 | 5)
                    }
            }
            _ => false,
        }
    }
}

impl Codes {
    fn parse(text: &str) -> Result<Self, String> {
        let class = text.strip_suffix("yz").or_else(|| text.strip_suffix("xx"));
        let (digits, make): (_, fn(u16) -> Self) = match class {
            Some(class) => (class, Self::Class),
            None => (text, Self::One),
        };
        let range = if class.is_some() { 2..=5 } else { 200..=599 };
        digits
            .parse()
            .ok()
            .filter(|code| range.contains(code))
            .map(make)
            .ok_or_else(|| {
                format!("`{text}` is no reply code: write one as in `550`, or a class as in `5yz`")
            })
    }

    fn contain(self, reply: &Reply) -> bool {
        match self {
            Self::Any => true,
            Self::Class(class) => reply.code / 100 == class,
            Self::One(code) => reply.code == code,
        }
    }
}

struct KnownEvents;

impl fmt::Display for KnownEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, _)) in event_names().iter().enumerate() {
            write!(f, "{}`{name}`", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(text: &str) -> When {
        When::parse(text).expect("a good trigger")
    }

    fn reply(verb: &str, code: u16) -> Wire {
        Wire::Reply {
            verb: verb.into(),
            reply: Reply {
                code,
                text: String::new(),
            },
        }
    }

    fn final_reply(kind: Transaction, code: u16) -> Wire {
        let reply = Reply {
            code,
            text: String::new(),
        };
        Wire::FinalReply {
            kind,
            reply,
            message: None,
            attempt: None,
            transport_id: None,
        }
    }

    fn command(verb: &str) -> Wire {
        Wire::Command {
            verb: verb.into(),
            line: verb.into(),
        }
    }

    #[test]
    fn every_listed_event_can_be_parsed() {
        for (name, _) in event_names() {
            let text = format!(
                "*>* {}",
                name.replace("VERB", "RCPT").replace("[CODE]", "550")
            );
            assert!(When::parse(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn events_within_a_node_match_by_node_and_name() {
        for (name, _) in local_event_names() {
            let text = format!("n* {}", name.replace("[FILE]", "transport.redb"));
            assert_eq!(when(&text).node(), Some("n*"), "{text}");
        }
        let any = when("n1 disk sync");
        assert!(any.is_local("n1", Local::Sync, Some("mailbox.redb")));
        assert!(!any.is_local("n2", Local::Sync, Some("mailbox.redb")));
        assert!(!any.is_local("n1", Local::Commit, None));
        assert!(!any.is_link("n1", "n2"));
        let one = when("* disk sync transport.redb");
        assert!(!one.is_local("n1", Local::Sync, Some("mailbox.redb")));
        let timer = when("n1 timer heartbeat");
        assert!(timer.is_local("n1", Local::Timer, Some("heartbeat")));
        assert!(!timer.is_local("n1", Local::Timer, Some("retry")));
    }

    #[test]
    fn links_match_by_name_and_wildcard() {
        assert!(when("n1>n2 connect").is_link("n1", "n2"));
        assert!(!when("n1>n2 connect").is_link("n2", "n1"));
        assert!(when("*>n1 connect").is_link("client-1", "n1"));
        assert!(when("client-*>n1 connect").is_link("client-7", "n1"));
        assert!(!when("client-*>n1 connect").is_link("n2", "n1"));
    }

    #[test]
    fn events_match_what_they_say() {
        let acked = when("*>* acked");
        assert!(acked.is_event(&final_reply(Transaction::Mail, 250)));
        assert!(!acked.is_event(&final_reply(Transaction::Mail, 451)));
        assert!(!acked.is_event(&final_reply(Transaction::Copy, 250)));
        assert!(when("*>* copy refused").is_event(&final_reply(Transaction::Copy, 451)));
        assert!(when("*>* delivery acked").is_event(&final_reply(Transaction::Deliver, 250)));
        assert!(when("*>* ehlo").is_event(&command("HELO")));
        assert!(when("*>* copy begun").is_event(&command("XSHADOW")));
        assert!(when("*>* command rset").is_event(&command("RSET")));
        assert!(when("*>* data").is_event(&reply("DATA", 354)));
        assert!(!when("*>* data").is_event(&reply("DATA", 503)));
        assert!(when("*>* discard answered").is_event(&reply("XQDISCARD", 250)));
        assert!(when("*>* reply RCPT 5yz").is_event(&reply("RCPT", 551)));
        assert!(!when("*>* reply RCPT 550").is_event(&reply("RCPT", 551)));
        assert!(when("*>* reply rcpt").is_event(&reply("RCPT", 250)));
    }

    #[test]
    fn errors_say_what_is_known() {
        let error = |text: &str| When::parse(text).expect_err("a bad trigger").to_string();
        insta::assert_snapshot!(error("acked"), @"`acked`: write a link and an event, as in `n1>n2 copy acked`");
        insta::assert_snapshot!(error("n1 acked"), @"`n1 acked`: `n1` is no link: write `from>to`, as in `client-1>n1` or `*>n1`");
        insta::assert_snapshot!(error("n1>n2 reply RCPT 9"), @"`n1>n2 reply RCPT 9`: `9` is no reply code: write one as in `550`, or a class as in `5yz`");
        insta::assert_snapshot!(error("n1>n2 copy aked"), @"`n1>n2 copy aked`: there is no event `copy aked`; known are `connect`, `connect failed`, `greeting`, `ehlo`, `mail`, `rcpt`, `data`, `end-of-data`, `acked`, `refused`, `copy begun`, `copy end-of-data`, `copy acked`, `copy refused`, `delivery begun`, `delivery end-of-data`, `delivery acked`, `delivery refused`, `discard asked`, `discard answered`, `close`, `unasked reply`, `command VERB`, `reply VERB [CODE]`");
    }
}
