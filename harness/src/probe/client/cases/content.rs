//! RFC 5321 §2.3.8, §3.6.3, §4.4, §4.5.2: the content, which a relay hands on as it is, with a trace field on top.

use super::steps::{arrives_unchanged, body_of, holds, on_top, own_part};
use crate::probe::{
    case::Case,
    client::context::Context,
    dialogue::visible,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc5321/4.5.2/dot-stuffing",
        "A line that begins with a dot is sent with one more, so that none is lost and none ends the data.",
        |c| Box::pin(body(c, ".\r\n..\r\n.a\r\na.\r\n...\r\n.\r\nlast\r\n".to_owned())),
    ),
    Case::must(
        "client/rfc5321/3.6.3/content-unchanged",
        "A relay changes nothing in header section and body: odd fields, folding, empty lines and spaces at line ends stay.",
        |c| Box::pin(unchanged(c)),
    )
    .source("RFC 5321 §3.6.3, §6.4"),
    Case::must(
        "client/rfc5321/3.6.3/no-body",
        "A message without a body gets none.",
        |c| Box::pin(body(c, "".to_owned())),
    ),
    Case::must(
        "client/rfc5321/3.6.3/empty-lines-at-the-end",
        "Empty lines at the end of a message stay.",
        |c| Box::pin(body(c, "text\r\n\r\n\r\n\r\n".to_owned())),
    ),
    Case::must(
        "client/rfc5321/4.5.3.1.6/line-of-998",
        "A line of 998 octets and its CRLF is sent in one piece.",
        |c| Box::pin(body(c, format!("{}\r\nshort\r\n", "x".repeat(998)))),
    )
    .source("RFC 5321 §3.6.3, §4.5.3.1.6"),
    Case::must(
        "client/rfc5321/4.5.3.1.7/large-message",
        "A message of 1 MiB is sent whole.",
        |c| Box::pin(body(c, body_of(1024 * 1024))),
    )
    .source("RFC 5321 §3.6.3, §4.5.3.1.7"),
    Case::must(
        "client/rfc5321/2.3.8/lines-end-with-crlf",
        "Every line of content ends with CRLF; neither CR nor LF is sent on its own.",
        |c| Box::pin(line_ends(c)),
    ),
    Case::must(
        "client/rfc5321/4.1.1.4/nothing-behind-the-end-of-data",
        "Data ends with CRLF.CRLF, and what comes behind it is a command.",
        |c| Box::pin(behind_the_end(c)),
    ),
    Case::must(
        "client/rfc5321/4.4/received-on-top",
        "A relay puts its own Received field on top of the message.",
        |c| Box::pin(received(c)),
    ),
    Case::must(
        "client/rfc5321/4.4/received-fields-kept",
        "Received fields that are there already keep their text and their order, below the new one.",
        |c| Box::pin(received_kept(c)),
    ),
    Case::must(
        "client/rfc5321/4.4/no-return-path",
        "A relay adds no Return-Path field: that is the last server's to do.",
        |c| Box::pin(no_return_path(c)),
    ),
];

async fn body(c: &mut Context, text: String) -> Checked {
    let sent = c.mail(|draft| draft.body(text)).await?;
    arrives_unchanged(&sent).await
}

async fn unchanged(c: &mut Context) -> Checked {
    let fields = "X-Odd:no space\r\nx-CASE:  two  spaces \r\nX-Folded: one\r\n\ttwo\r\n   three\r\nX-Empty:\r\n\
                  Comments: first\r\nComments: second\r\nX-Odd:again\r\n";
    let text = "\r\n\r\nfirst\r\n  indented \t\r\ntrailing   \r\n\tFrom here\r\nFrom there\r\n--\r\n-- \r\n\r\nlast\r\n";
    let sent = c.mail(|draft| draft.fields(fields).body(text)).await?;
    arrives_unchanged(&sent).await
}

async fn line_ends(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| draft.body("one\r\ntwo\r\n\r\n.three\r\n"))
        .await?;
    let transaction = sent.attempt().await?;
    let wire = &transaction.wire;
    if wire.is_empty() {
        return Err(Stop::inconclusive("no content came"));
    }
    let bare = wire.iter().enumerate().position(|(at, octet)| match octet {
        b'\r' => wire.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || wire[at - 1] != b'\r',
        _ => false,
    });
    holds(bare.is_none(), "CRLF at every line end", || {
        let at = bare.unwrap_or_default();
        visible(&wire[at.saturating_sub(30)..wire.len().min(at + 30)])
    })
}

async fn behind_the_end(c: &mut Context) -> Checked {
    let sent = c.mail(|draft| draft.body(".\r\nend\r\n.\r\n")).await?;
    let transaction = sent.attempt().await?;
    sent.session_ends(&transaction).await?;
    const KNOWN: [&str; 10] = [
        "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "STARTTLS",
    ];
    for command in transaction.session.commands() {
        let known = KNOWN.contains(&command.verb().as_str());
        holds(known, "a command", || command.to_string())?;
    }
    Ok(())
}

async fn received(c: &mut Context) -> Checked {
    let sent = c.mail(|draft| draft.body("trace\r\n")).await?;
    let transaction = sent.accepted("the message is sent").await?;
    let top = on_top(&sent, &transaction);
    holds(
        top.to_ascii_lowercase().starts_with("received:"),
        "a Received field as the first one",
        || visible(&transaction.wire[..transaction.wire.len().min(200)]),
    )
}

async fn received_kept(c: &mut Context) -> Checked {
    let fields = "Received: from b.example by c.example; Mon, 01 Jan 2024 00:00:02 +0000\r\n\
                  Received: from a.example\r\n\tby b.example; Mon, 01 Jan 2024 00:00:01 +0000\r\n";
    let (tokens, mut draft) = c.draft();
    draft.content = [fields.as_bytes(), &draft.content].concat();
    let sent = c.send(&tokens, draft).await?;
    let transaction = sent.accepted("the message is sent").await?;
    let content = transaction.content.as_deref().unwrap_or_default();
    let top = on_top(&sent, &transaction);
    holds(
        own_part(&sent, content).is_some() && top.ends_with(fields),
        "both fields as they were, above the others",
        || visible(top.as_bytes()),
    )
}

async fn no_return_path(c: &mut Context) -> Checked {
    let sent = c.mail(|draft| draft.body("trace\r\n")).await?;
    let transaction = sent.accepted("the message is sent").await?;
    let top = on_top(&sent, &transaction);
    let added = top
        .lines()
        .any(|line| line.to_ascii_lowercase().starts_with("return-path:"));
    holds(!added, "no Return-Path", || visible(top.as_bytes()))
}
