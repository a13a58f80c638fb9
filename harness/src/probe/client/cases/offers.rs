//! RFC 5321 §4.1.1.2, §4.1.1.3: nothing is used that was not offered.

use super::steps::{holds, verbs};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, Sent},
        manners::Manners,
        seen::{Transaction, value},
    },
    dialogue::visible,
    outcome::{Checked, Stop},
};

const PARAMETERS: &str = "RFC 5321 §4.1.1.2, §4.1.1.3";

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc1870/3/only-when-offered",
        "MAIL has no SIZE where that was not offered.",
        |c| Box::pin(none(c, "SIZE")),
    )
    .source(PARAMETERS)
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc6152/2/only-when-offered",
        "MAIL has no BODY where 8BITMIME was not offered, whatever the sender has said.",
        |c| Box::pin(body(c)),
    )
    .source(PARAMETERS)
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc3461/4/only-when-offered",
        "MAIL and RCPT have no parameter of DSN where that was not offered, whatever the sender has said.",
        |c| Box::pin(dsn(c)),
    )
    .source(PARAMETERS)
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc6531/3.4/only-when-offered",
        "MAIL has no SMTPUTF8 where that was not offered, whatever the sender has said.",
        |c| Box::pin(smtputf8(c)),
    )
    .source(PARAMETERS)
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc3030/2/only-when-offered",
        "BDAT is not used where CHUNKING was not offered, and BODY=BINARYMIME neither.",
        |c| Box::pin(binary(c)),
    )
    .source("RFC 5321 §2.2.1, RFC 3030 §2, §3")
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc3207/4/only-when-offered",
        "STARTTLS is not said where it was not offered.",
        |c| Box::pin(starttls(c)),
    )
    .source("RFC 5321 §2.2.1")
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc6152/3/no-8-bit-content",
        "Without 8BITMIME no octet above 127 is sent: the message is converted, or returned.",
        |c| Box::pin(eight_bit(c)),
    )
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc6531/3.2/no-utf8-address",
        "Without SMTPUTF8 no address with an octet above 127 is sent: the message is returned.",
        |c| Box::pin(utf8_address(c)),
    )
    .source("RFC 6531 §3.1, §3.2")
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc6531/3.2/no-utf8-header",
        "Without SMTPUTF8 no header field with an octet above 127 is sent.",
        |c| Box::pin(utf8_header(c)),
    )
    .source("RFC 6531 §3.1, §3.2")
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc6531/3.2/returned-when-it-cannot-be-sent",
        "A message that needs SMTPUTF8 and cannot be sent for want of it is returned.",
        |c| Box::pin(utf8_returned(c)),
    )
    .source("RFC 6531 §3.2, RFC 5321 §3.6.3")
    .needs(&[Need::Alone, Need::Returned]),
];

async fn none(c: &mut Context, name: &str) -> Checked {
    let sent = c.mail(|draft| draft.body("plain\r\n")).await?;
    let transaction = sent.attempt().await?;
    without(&transaction, name)
}

fn without(transaction: &Transaction, name: &str) -> Checked {
    let has = transaction.parameter(name).is_some()
        || transaction
            .recipients
            .iter()
            .any(|to| value(&to.parameters(), name).is_some());
    holds(!has, &format!("no {name}"), || {
        let recipients = transaction
            .recipients
            .iter()
            .map(|to| format!(", RCPT {}", to.argument));
        format!(
            "MAIL {}{}",
            transaction.mail,
            recipients.collect::<String>()
        )
    })
}

async fn body(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| {
            draft
                .parameter("8BITMIME", "BODY=8BITMIME")
                .body("seven bits\r\n")
        })
        .await?;
    without(&*sent.attempt().await?, "BODY")
}

async fn dsn(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| {
            draft
                .parameter("DSN", "RET=HDRS")
                .parameter("DSN", "ENVID=probe+2B1")
                .recipient_parameter("DSN", "NOTIFY=FAILURE,DELAY")
                .recipient_parameter("DSN", "ORCPT=rfc822;bob+2Bx@example.test")
                .body("plain\r\n")
        })
        .await?;
    let transaction = sent.attempt().await?;
    for name in ["RET", "ENVID", "NOTIFY", "ORCPT"] {
        without(&transaction, name)?;
    }
    Ok(())
}

/// The first attempt, or the notification that says that there will be none.
async fn attempted_or_returned(
    sent: &Sent,
    c: &Context,
) -> Result<Option<std::sync::Arc<Transaction>>, Stop> {
    let over = || {
        let first = sent.mail.attempts().first().cloned().map(Some);
        first.or_else(|| (!sent.mail.notices().is_empty()).then_some(None))
    };
    c.until(over)
        .await
        .ok_or_else(|| Stop::inconclusive("the message neither came nor was returned"))
}

async fn smtputf8(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| {
            draft
                .parameter("SMTPUTF8", "SMTPUTF8")
                .body("only ASCII\r\n")
        })
        .await?;
    match attempted_or_returned(&sent, c).await? {
        Some(transaction) => without(&transaction, "SMTPUTF8"),
        None => Ok(()),
    }
}

async fn binary(c: &mut Context) -> Checked {
    let (tokens, draft) = c.draft();
    let mut draft = draft
        .parameter("BINARYMIME", "BODY=BINARYMIME")
        .fields("MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n")
        .body(b"\x00\x01bare\nline\rends\xff\r\n");
    draft.needs.push("CHUNKING");
    draft.chunked = true;
    let sent = c.send(&tokens, draft).await?;
    let Some(transaction) = attempted_or_returned(&sent, c).await? else {
        return Ok(());
    };
    without(&transaction, "BODY")?;
    let commands = transaction.commands();
    let used = commands.iter().any(|command| command.verb() == "BDAT");
    holds(!used, "no BDAT", || verbs(&commands))
}

async fn starttls(c: &mut Context) -> Checked {
    let sent = c.mail(|draft| draft.body("plain\r\n")).await?;
    let commands = sent.attempt().await?.session.commands();
    let used = commands.iter().any(|command| command.verb() == "STARTTLS");
    holds(!used, "no STARTTLS", || verbs(&commands))
}

const EIGHT_BIT: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";

async fn eight_bit(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| {
            draft
                .parameter("8BITMIME", "BODY=8BITMIME")
                .fields(EIGHT_BIT)
                .body("Gr\u{fc}\u{df}e\r\n")
        })
        .await?;
    let Some(transaction) = attempted_or_returned(&sent, c).await? else {
        return Ok(());
    };
    let at = transaction.wire.iter().position(|octet| *octet > 127);
    holds(at.is_none(), "only octets up to 127", || {
        let at = at.unwrap_or_default();
        visible(&transaction.wire[at.saturating_sub(20)..transaction.wire.len().min(at + 20)])
    })
}

async fn utf8(c: &mut Context) -> Result<Sent, Stop> {
    let (tokens, draft) = c.draft();
    let mut draft = draft.parameter("SMTPUTF8", "SMTPUTF8");
    draft.to = vec![format!("\u{fc}ser+{}", draft.to[0])];
    // BODY belongs to it where the content needs it (RFC 6531 §3.1).
    let draft = draft.fields(EIGHT_BIT).body("ASCII\r\n");
    c.send(&tokens, draft).await
}

async fn utf8_address(c: &mut Context) -> Checked {
    let sent = utf8(c).await?;
    let Some(transaction) = attempted_or_returned(&sent, c).await? else {
        return Ok(());
    };
    let wrong = transaction
        .recipients
        .iter()
        .find(|to| !to.argument.is_ascii());
    holds(wrong.is_none(), "no such RCPT", || {
        wrong
            .map(|to| format!("RCPT {}", to.argument))
            .unwrap_or_default()
    })
}

async fn utf8_header(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| {
            draft
                .parameter("SMTPUTF8", "SMTPUTF8")
                .fields("Comments: Gr\u{fc}\u{df}e\r\n")
                .body("ASCII\r\n")
        })
        .await?;
    let Some(transaction) = attempted_or_returned(&sent, c).await? else {
        return Ok(());
    };
    let at = transaction.wire.iter().position(|octet| *octet > 127);
    holds(at.is_none(), "only octets up to 127", || {
        let at = at.unwrap_or_default();
        visible(&transaction.wire[at.saturating_sub(20)..transaction.wire.len().min(at + 20)])
    })
}

async fn utf8_returned(c: &mut Context) -> Checked {
    // One session only: the notification about it may need SMTPUTF8, too.
    let manners = Manners::offering(&["8BITMIME"]);
    c.behave(manners.for_sessions(1)).await;
    let sent = utf8(c).await?;
    sent.returned().await?;
    let attempt = sent.mail.attempts().first().cloned();
    holds(attempt.is_none(), "a notification, and no attempt", || {
        attempt
            .map(|one| format!("MAIL {}", one.mail))
            .unwrap_or_default()
    })
}
