//! Steps that many cases have in common.

use crate::probe::{
    client::{
        context::Sent,
        seen::{Command, Event, Session, Transaction},
    },
    dialogue::visible,
    message::TOKEN_FIELD,
    outcome::{Checked, Stop},
};

/// A body of so many octets or a few more, in lines of 72.
pub(super) fn body_of(octets: usize) -> String {
    let line = "0123456789abcdefghijklmnopqrstuvwxyz";
    format!("{line}{line}\r\n").repeat(octets / 74 + 1)
}

/// The message as it was sent, without what was put on top of it on the way.
pub(super) fn own_part<'a>(sent: &Sent, content: &'a [u8]) -> Option<&'a [u8]> {
    let first = format!("{TOKEN_FIELD}: {}\r\n", sent.mail.token);
    let at = memchr::memmem::find(content, first.as_bytes())?;
    Some(&content[at..])
}

/// The content that came is the one that was sent, but for what stands on top of it.
pub(super) fn same_content(sent: &Sent, transaction: &Transaction) -> Checked {
    let content = transaction.content.as_deref().unwrap_or_default();
    let seen = own_part(sent, content).unwrap_or(content);
    let wanted = sent.content.as_slice();
    if seen == wanted {
        return Ok(());
    }
    let place = seen.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    let around = |octets: &[u8]| {
        let from = place.saturating_sub(20);
        visible(
            octets
                .get(from..octets.len().min(from + 80))
                .unwrap_or_default(),
        )
    };
    Err(Stop::failed(
        format!(
            "the {} octets that were sent, there `{}`",
            wanted.len(),
            around(wanted)
        ),
        format!(
            "{} octets, from octet {place} on different: `{}`",
            seen.len(),
            around(seen)
        ),
    ))
}

/// What stands above the message as it was sent: header fields that were added on the way.
pub(super) fn on_top(sent: &Sent, transaction: &Transaction) -> String {
    let content = transaction.content.as_deref().unwrap_or_default();
    let own = own_part(sent, content).map_or(0, <[u8]>::len);
    String::from_utf8_lossy(&content[..content.len() - own]).into_owned()
}

/// The first attempt brings the whole message.
pub(super) async fn arrives_unchanged(sent: &Sent) -> Checked {
    let transaction = sent.accepted("the message is sent").await?;
    same_content(sent, &transaction)
}

/// The first line that came before it should have.
pub(super) fn early(commands: &[Command]) -> Option<&Command> {
    commands.iter().find(|command| command.early)
}

/// What the client said behind the last reply with this code.
pub(super) fn behind_reply(session: &Session, code: u16) -> Vec<Command> {
    let events = session.events();
    let at = events
        .iter()
        .rposition(|event| *event == Event::Reply(code));
    let behind = at.and_then(|at| events.get(at + 1..)).unwrap_or_default();
    behind
        .iter()
        .filter_map(|event| match event {
            Event::Command(command) => Some(command.clone()),
            _ => None,
        })
        .collect()
}

/// The verbs of a session, in order, for a failure's words.
pub(super) fn verbs(commands: &[Command]) -> String {
    let verbs: Vec<String> = commands.iter().map(Command::verb).collect();
    if verbs.is_empty() {
        return "no command".into();
    }
    verbs.join(", ")
}

/// Fails with what was seen, unless it holds.
pub(super) fn holds(what: bool, expected: &str, seen: impl FnOnce() -> String) -> Checked {
    if what {
        return Ok(());
    }
    Err(Stop::failed(expected, seen()))
}
