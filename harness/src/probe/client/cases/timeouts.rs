//! RFC 5321 §4.5.3.2: how long a client waits. They take minutes: `--slow`.

use std::time::Duration;

use super::steps::holds;
use crate::probe::{
    case::{Case, Need},
    client::{
        context::Context,
        manners::{Manners, Script, Stage, say},
        seen::End,
    },
    outcome::Checked,
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::should(
        "client/rfc5321/4.5.3.2.2/mail",
        "A reply to MAIL is waited for 5 minutes.",
        |c| Box::pin(late(c, Stage::Mail, "250 2.1.0 ok", 290)),
    )
    .needs(&[Need::Slow]),
    Case::should(
        "client/rfc5321/4.5.3.2.3/rcpt",
        "A reply to RCPT is waited for 5 minutes.",
        |c| Box::pin(late(c, Stage::AnyRcpt, "250 2.1.5 ok", 290)),
    )
    .needs(&[Need::Slow]),
    Case::should(
        "client/rfc5321/4.5.3.2.4/data",
        "A reply to DATA is waited for 2 minutes.",
        |c| Box::pin(late(c, Stage::Data, "354 go on", 115)),
    )
    .needs(&[Need::Slow]),
    Case::should(
        "client/rfc5321/4.5.3.2.6/end-of-data",
        "A reply to the end of data is waited for 10 minutes.",
        |c| Box::pin(late(c, Stage::End, "250 2.0.0 taken", 590)),
    )
    .needs(&[Need::Slow]),
    Case::should(
        "client/rfc5321/4.5.3.2.1/greeting",
        "The greeting is waited for 5 minutes.",
        |c| Box::pin(late_greeting(c)),
    )
    .needs(&[Need::Slow, Need::Alone]),
];

/// A few seconds before the time is up: the clause is about who waits too short.
async fn late(c: &mut Context, stage: Stage, reply: &'static str, seconds: u64) -> Checked {
    let wait = Duration::from_secs(seconds);
    let script = Script::new().on(stage, say(reply).after(wait));
    let sent = c
        .mail(|draft| draft.body("late\r\n").answered(script))
        .await?;
    // The submission took no time to speak of.
    tokio::time::sleep(wait).await;
    let first = sent.attempt().await?;
    holds(
        first.end == End::Accepted,
        &format!("a client that waits for {seconds} s"),
        || {
            format!(
                "after {} s: {}",
                first.ended.saturating_duration_since(first.began).as_secs(),
                crate::probe::client::context::ended(first.end)
            )
        },
    )
}

async fn late_greeting(c: &mut Context) -> Checked {
    let wait = Duration::from_secs(290);
    let greeting = say("220 hop.gauntlet.invalid ESMTP").after(wait);
    c.behave(Manners::default().greeting(greeting).for_sessions(1))
        .await;
    let sent = c.mail(|draft| draft.body("late\r\n")).await?;
    let first = c.until(|| c.sessions().first().cloned()).await;
    tokio::time::sleep(wait).await;
    sent.attempt().await?;
    let greeted = first.is_some_and(|session| !session.commands().is_empty());
    holds(greeted, "a client that waits for 290 s", || {
        "it closed the connection before".into()
    })
}
