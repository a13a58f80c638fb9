//! RFC 3030: chunks, and binary content.

use std::sync::Arc;

use super::steps::{holds, own_part, verbs};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, Sent},
        manners::{Manners, Script, Stage, say},
        seen::Transaction,
    },
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc3030/2/chunks-add-up",
        "The sizes of the chunks are those of their octets, and the last one says LAST.",
        |c| Box::pin(add_up(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc3030/3/binary-is-declared",
        "Binary content is sent by BDAT, with BODY=BINARYMIME, and arrives as it is.",
        |c| Box::pin(declared(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc3030/2/no-data-beside-chunks",
        "DATA and BDAT are not used in one transaction.",
        |c| Box::pin(no_data(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc3030/2/refused-chunks-are-tried-again",
        "After 4yz to the last chunk the message is sent again, whole.",
        |c| Box::pin(refused(c)),
    )
    .source("RFC 3030 §2, RFC 5321 §4.5.4.1")
    .needs(&[Need::Alone, Need::Retry]),
];

const BINARY: &[u8] = b"\x00\x01bare\nline\rends\xff\r\n.\r\nno end\r\n";

/// A binary message through a next hop that takes it; skipped when the client makes another one of it.
async fn binary(c: &mut Context, script: Script) -> Result<(Sent, Arc<Transaction>), Stop> {
    c.behave(Manners::offering(&[
        "CHUNKING",
        "BINARYMIME",
        "8BITMIME",
        "PIPELINING",
        "DSN",
    ]))
    .await;
    let (tokens, draft) = c.draft();
    let mut draft = draft
        .parameter("BINARYMIME", "BODY=BINARYMIME")
        .fields("MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n")
        .body(BINARY)
        .answered(script);
    draft.needs.push("CHUNKING");
    draft.chunked = true;
    let sent = c.send(&tokens, draft).await?;
    let transaction = sent.attempt().await?;
    Ok((sent, transaction))
}

async fn add_up(c: &mut Context) -> Checked {
    let (_, transaction) = binary(c, Script::new()).await?;
    if transaction.chunks.is_empty() {
        return Err(Stop::skipped("the client uses no BDAT"));
    }
    let last: Vec<bool> = transaction.chunks.iter().map(|(_, last)| *last).collect();
    let right = last.iter().filter(|last| **last).count() == 1 && last.last() == Some(&true);
    holds(right, "LAST with the last chunk", || {
        format!("{:?}", transaction.chunks)
    })?;
    let known = [
        "EHLO", "HELO", "MAIL", "RCPT", "BDAT", "RSET", "NOOP", "QUIT",
    ];
    let commands = transaction.session.commands();
    let stray = commands
        .iter()
        .find(|command| !known.contains(&command.verb().as_str()));
    holds(stray.is_none(), "a command behind each chunk", || {
        stray.map(ToString::to_string).unwrap_or_default()
    })
}

async fn declared(c: &mut Context) -> Checked {
    let (sent, transaction) = binary(c, Script::new()).await?;
    let content = transaction.content.as_deref().unwrap_or_default();
    let same = own_part(&sent, content) == Some(&sent.content);
    if !same && transaction.chunks.is_empty() {
        return Err(Stop::skipped("the client converts it"));
    }
    let body = transaction.parameter("BODY").unwrap_or_default();
    let right = same && body.eq_ignore_ascii_case("BINARYMIME") && !transaction.chunks.is_empty();
    holds(
        right,
        "BODY=BINARYMIME, BDAT, and the content as it was",
        || format!("MAIL {}, {} octets", transaction.mail, content.len()),
    )
}

async fn no_data(c: &mut Context) -> Checked {
    let (_, transaction) = binary(c, Script::new()).await?;
    let commands = transaction.commands();
    let has = |verb: &str| commands.iter().any(|command| command.verb() == verb);
    holds(!(has("BDAT") && has("DATA")), "either of them", || {
        verbs(&commands)
    })
}

async fn refused(c: &mut Context) -> Checked {
    let script = Script::new().on(Stage::End, say("451 4.3.0 later"));
    let (sent, first) = binary(c, script).await?;
    if first.chunks.is_empty() {
        return Err(Stop::skipped("the client uses no BDAT"));
    }
    sent.again(1).await?;
    let transaction = sent
        .accepted("the message is sent at another attempt")
        .await?;
    let content = transaction.content.as_deref().unwrap_or_default();
    holds(
        own_part(&sent, content) == Some(&sent.content),
        "the whole message",
        || format!("{} octets", content.len()),
    )
}
