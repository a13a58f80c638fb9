//! RFC 5321 §3.8: 421, and connections that end in the middle.

use std::time::Duration;

use super::steps::{behind_reply, body_of, holds, same_content, verbs};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, EARLY},
        manners::{Script, Stage, close, say},
        seen::{Command, End},
    },
    outcome::Checked,
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::should(
        "client/rfc5321/3.8/nothing-after-421-to-mail",
        "After 421 to MAIL a session is over: no other transaction is begun in it.",
        |c| Box::pin(nothing_after(c, Stage::Mail)),
    )
    .source("RFC 5321 §3.8, §4.3.2")
    .needs(&[Need::NoExtensions]),
    Case::should(
        "client/rfc5321/3.8/nothing-after-421-to-rcpt",
        "After 421 to RCPT a session is over: no other transaction is begun in it.",
        |c| Box::pin(nothing_after(c, Stage::AnyRcpt)),
    )
    .source("RFC 5321 §3.8, §4.3.2")
    .needs(&[Need::NoExtensions]),
    Case::should(
        "client/rfc5321/3.8/nothing-after-421-to-data",
        "After 421 to DATA a session is over: no other transaction is begun in it.",
        |c| Box::pin(nothing_after(c, Stage::Data)),
    )
    .source("RFC 5321 §3.8, §4.3.2")
    .needs(&[Need::NoExtensions]),
    Case::should(
        "client/rfc5321/3.8/nothing-after-421-to-content",
        "After 421 to the content a session is over: no other transaction is begun in it.",
        |c| Box::pin(nothing_after(c, Stage::End)),
    )
    .source("RFC 5321 §3.8, §4.3.2")
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-421-to-mail",
        "421 is transient: after 421 to MAIL the message is tried again.",
        |c| Box::pin(again_after(c, Script::new().on(Stage::Mail, say("421 4.3.2 shutting down").then_close()))),
    )
    .source("RFC 5321 §3.8, §4.5.4.1")
    .needs(&[Need::NoExtensions, Need::Retry]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-421-to-content",
        "421 is transient: after 421 to the content the message is tried again.",
        |c| Box::pin(again_after(c, Script::new().on(Stage::End, say("421 4.3.2 shutting down").then_close()))),
    )
    .source("RFC 5321 §3.8, §4.5.4.1")
    .needs(&[Need::NoExtensions, Need::Retry]),
    Case::should(
        "client/rfc5321/3.8/lost-after-mail",
        "A connection that ends after MAIL counts as 451: the message is tried again.",
        |c| Box::pin(again_after(c, Script::new().on(Stage::Mail, close()))),
    )
    .needs(&[Need::NoExtensions, Need::Retry]),
    Case::should(
        "client/rfc5321/3.8/lost-after-data",
        "A connection that ends after DATA counts as 451: the message is tried again.",
        |c| Box::pin(again_after(c, Script::new().on(Stage::Data, close()))),
    )
    .needs(&[Need::NoExtensions, Need::Retry]),
    Case::should(
        "client/rfc5321/3.8/lost-within-the-content",
        "A connection that ends within the content counts as 451: the message is sent again, from its beginning.",
        |c| Box::pin(again_after(c, Script::new().on(Stage::Content(30_000), close()))),
    )
    .needs(&[Need::NoExtensions, Need::Retry]),
    Case::should(
        "client/rfc5321/3.8/lost-behind-the-content",
        "When the connection ends before the end of data is answered nobody knows who has the message: it is sent again.",
        |c| Box::pin(again_after(c, Script::new().on(Stage::End, close()))),
    )
    .source("RFC 5321 §3.8, §6.1")
    .needs(&[Need::NoExtensions, Need::Retry]),
    Case::should(
        "client/rfc5321/3.8/half-a-reply",
        "Half a reply is none: when the connection ends within `250` to the end of data, the message is sent again.",
        |c| Box::pin(half_a_reply(c)),
    )
    .source("RFC 5321 §3.8, §4.2.1")
    .needs(&[Need::NoExtensions, Need::Retry]),
];

async fn nothing_after(c: &mut Context, stage: Stage) -> Checked {
    let script = Script::new().on(stage, say("421 4.3.2 shutting down"));
    let sent = c
        .mail(|draft| draft.body("421\r\n").answered(script))
        .await?;
    let transaction = sent.attempt().await?;
    sent.session_ends(&transaction).await?;
    let behind = behind_reply(&transaction.session, 421);
    let quit = |command: &Command| command.verb() == "QUIT";
    holds(behind.iter().all(quit), "QUIT or nothing", || {
        verbs(&behind)
    })
}

async fn again_after(c: &mut Context, script: Script) -> Checked {
    let sent = c
        .mail(|draft| draft.body(body_of(100_000)).answered(script))
        .await?;
    sent.attempt().await?;
    sent.again(1).await?;
    let transaction = sent
        .accepted("the message is sent at another attempt")
        .await?;
    same_content(&sent, &transaction)?;
    // What was taken then is the end of it.
    tokio::time::sleep(EARLY).await;
    let taken = sent
        .mail
        .attempts()
        .iter()
        .filter(|one| one.end == End::Accepted)
        .count();
    holds(taken == 1, "one acceptance", || taken.to_string())
}

/// `250-ta` and the end: the next hop never said that it has it.
async fn half_a_reply(c: &mut Context) -> Checked {
    let half = say("250-2.0.0 taken, or")
        .then_close()
        .after(Duration::from_millis(1));
    again_after(c, Script::new().on(Stage::End, half)).await
}
