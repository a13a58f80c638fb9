//! RFC 5321 §4.2: replies in all their forms, and what counts of them.

use super::steps::holds;
use crate::probe::{
    case::{Case, Need},
    client::{
        context::Context,
        manners::{Manners, Script, Stage, say},
    },
    outcome::Checked,
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc5321/4.2/unknown-positive-codes",
        "A code that the client does not know is read by its first digit: 259 is a success.",
        |c| {
            let script = Script::new()
                .on(Stage::Mail, say("259 2.1.0 ok"))
                .on(Stage::AnyRcpt, say("258 2.1.5 ok"))
                .on(Stage::End, say("259 2.0.0 taken"));
            Box::pin(taken_once(c, script))
        },
    )
    .source("RFC 5321 §4.2, §4.3.2"),
    Case::must(
        "client/rfc5321/4.2/unknown-transient-codes",
        "A code that the client does not know is read by its first digit: after 459 it tries again.",
        |c| Box::pin(unknown_transient(c)),
    )
    .source("RFC 5321 §4.2, §4.3.2")
    .needs(&[Need::Retry]),
    Case::must(
        "client/rfc5321/4.2/unknown-permanent-codes",
        "A code that the client does not know is read by its first digit: after 559 the message is returned.",
        |c| Box::pin(unknown_permanent(c)),
    )
    .source("RFC 5321 §4.2, §4.3.2")
    .needs(&[Need::Returned]),
    Case::must(
        "client/rfc5321/4.2/text-does-not-matter",
        "The code counts, not the text: `250 550 no such user` is a success.",
        |c| {
            let script = Script::new()
                .on(Stage::Mail, say("250 error: 554 refused"))
                .on(Stage::AnyRcpt, say("250 550 5.1.1 no such user"))
                .on(Stage::Data, say("354 451 try later"))
                .on(Stage::End, say("250 554 5.7.1 rejected"));
            Box::pin(taken_once(c, script))
        },
    ),
    Case::must(
        "client/rfc2034/3/basic-code-counts",
        "Where enhanced and basic code differ, the basic one says whether it is a success.",
        |c| {
            let script = Script::new()
                .on(Stage::Mail, say("250 5.1.0 ok"))
                .on(Stage::AnyRcpt, say("250 4.2.2 ok"))
                .on(Stage::End, say("250 9.99.999 taken"));
            Box::pin(taken_once(c, script))
        },
    )
    .source("RFC 5321 §4.2, RFC 2034 §4"),
    Case::must(
        "client/rfc5321/4.2/codes-without-text",
        "A reply may be a code alone, without a text and without a space.",
        |c| {
            let script = Script::new()
                .on(Stage::Mail, say("250"))
                .on(Stage::AnyRcpt, say("250"))
                .on(Stage::Data, say("354"))
                .on(Stage::End, say("250"));
            Box::pin(taken_once(c, script))
        },
    )
    .source("RFC 5321 §4.2, §4.2.1"),
    Case::must(
        "client/rfc5321/4.2.1/multi-line-replies",
        "Any reply may have many lines, and their texts may look like codes.",
        |c| {
            let script = Script::new()
                .on(Stage::Mail, say("250-one\r\n250-550 two\r\n250 three"))
                .on(Stage::AnyRcpt, say("250-2.1.5 one\r\n250-\r\n250 2.1.5 ok"))
                .on(Stage::Data, say("354-250 ok\r\n354 go on"))
                .on(Stage::End, say("250-one\r\n250-354\r\n250-421 two\r\n250 taken"));
            Box::pin(taken_once(c, script))
        },
    ),
    Case::must(
        "client/rfc5321/4.5.3.1.5/reply-line-of-512",
        "A reply line may have 512 octets.",
        |c| {
            let long = format!("250 {}", "x".repeat(506));
            let script = Script::new().on(Stage::Mail, say(long.clone())).on(Stage::AnyRcpt, say(long));
            Box::pin(taken_once(c, script))
        },
    ),
    Case::must(
        "client/rfc5321/4.2.1/multi-line-greeting",
        "The greeting may have many lines; EHLO waits for the last one.",
        |c| Box::pin(greeting(c, "220-hop.gauntlet.invalid ESMTP\r\n220-250 be patient\r\n220 ready")),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.2/greeting-without-text",
        "The greeting may be a code alone.",
        |c| Box::pin(greeting(c, "220")),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/3.3/no-content-without-354",
        "When DATA is answered with 250 no content is sent.",
        |c| Box::pin(no_354(c, "250 2.0.0 ok")),
    )
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc5321/3.3/no-content-after-5yz",
        "When DATA is answered with 5yz no content is sent.",
        |c| Box::pin(no_354(c, "554 5.5.1 no valid recipients")),
    )
    .needs(&[Need::NoExtensions]),
];

/// The message is sent, and as it was taken not once more.
async fn taken_once(c: &mut Context, script: Script) -> Checked {
    let sent = c
        .mail(|draft| draft.body("reply\r\n").answered(script))
        .await?;
    let transaction = sent.accepted("the message is sent").await?;
    let first = sent.mail.attempts().first().map(|one| one.began);
    holds(
        first == Some(transaction.began),
        "taken at the first attempt",
        || format!("{} attempts", sent.mail.begun()),
    )?;
    sent.never_again("what was taken is not sent once more");
    sent.never_returned("what was taken is not returned");
    Ok(())
}

async fn unknown_transient(c: &mut Context) -> Checked {
    let script = Script::new().on(Stage::AnyRcpt, say("459 4.9.9 strange"));
    let sent = c
        .mail(|draft| draft.body("reply\r\n").answered(script))
        .await?;
    sent.attempt().await?;
    sent.again(1).await.map(|_| ())
}

async fn unknown_permanent(c: &mut Context) -> Checked {
    let script = Script::new().on(Stage::AnyRcpt, say("559 5.9.9 strange"));
    let sent = c
        .mail(|draft| draft.body("reply\r\n").answered(script))
        .await?;
    sent.attempt().await?;
    sent.returned().await.map(|_| ())
}

async fn greeting(c: &mut Context, text: &'static str) -> Checked {
    c.behave(Manners::default().greeting(say(text))).await;
    let sent = c.mail(|draft| draft.body("greeting\r\n")).await?;
    sent.accepted("the message is sent").await.map(|_| ())
}

async fn no_354(c: &mut Context, reply: &'static str) -> Checked {
    let script = Script::new().on(Stage::Data, say(reply));
    let sent = c
        .mail(|draft| draft.body("content\r\n").answered(script))
        .await?;
    let transaction = sent.attempt().await?;
    sent.session_ends(&transaction).await?;
    let stray = transaction.session.commands().into_iter().find(|command| {
        let text = command.text();
        text.starts_with("X-Gauntlet-Probe") || text.starts_with("Received:") || text == "."
    });
    let content = transaction.has_content() || stray.is_some();
    holds(!content, "no content", || {
        stray.map_or("content".to_owned(), |line| format!("content: {line}"))
    })
}
