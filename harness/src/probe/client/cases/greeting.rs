//! RFC 5321 §3.1, §3.8, §4.3.1: before and instead of a session.

use std::{sync::Arc, time::Duration};

use super::steps::{behind_reply, early, holds, verbs};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, Sent},
        manners::{Act, Manners, close, say},
        seen::{Command, Session},
    },
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::should(
        "client/rfc5321/4.3.1/waits-for-the-greeting",
        "The client says nothing before it was greeted.",
        |c| Box::pin(waits(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.1.4/no-mail-without-hello",
        "When EHLO and HELO are both refused there is no transaction.",
        |c| {
            let manners = Manners::plain()
                .ehlo(say("550 5.7.1 not you"))
                .helo(say("550 5.7.1 not you"));
            Box::pin(no_mail(c, manners))
        },
    )
    .source("RFC 5321 §4.1.1.1, §4.1.4")
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/3.1/no-mail-after-554",
        "When the greeting is 554 there is no transaction.",
        |c| {
            Box::pin(no_mail(
                c,
                Manners::plain().greeting(say("554 no SMTP service here")),
            ))
        },
    )
    .source("RFC 5321 §3.1, §4.2.1")
    .needs(&[Need::Alone]),
    Case::should(
        "client/rfc5321/4.2/no-mail-after-what-is-no-reply",
        "When the greeting is no reply there is no transaction.",
        |c| {
            Box::pin(no_mail(
                c,
                Manners::plain().greeting(say("HTTP/1.1 400 Bad Request")),
            ))
        },
    )
    .needs(&[Need::Alone]),
    Case::should(
        "client/rfc5321/3.8/nothing-after-421-as-greeting",
        "When the greeting is 421 no transaction is begun.",
        |c| Box::pin(nothing_after_421(c, Manners::plain().greeting(busy()))),
    )
    .source("RFC 5321 §3.1, §3.8")
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-421-as-greeting",
        "When the greeting is 421 the message is tried again, later.",
        |c| Box::pin(again_after(c, Manners::plain().greeting(busy()))),
    )
    .source("RFC 5321 §3.8, §4.5.4.1")
    .needs(&[Need::Alone, Need::Retry]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-421-to-ehlo",
        "When EHLO is answered with 421 the message is tried again, later.",
        |c| Box::pin(again_after(c, Manners::plain().ehlo(busy()))),
    )
    .source("RFC 5321 §3.8, §4.5.4.1")
    .needs(&[Need::Alone, Need::Retry]),
    Case::should(
        "client/rfc5321/3.8/closed-before-the-greeting",
        "A connection that ends before the greeting counts as 451: the message is tried again.",
        |c| Box::pin(again_after(c, Manners::plain().greeting(close()))),
    )
    .needs(&[Need::Alone, Need::Retry]),
    Case::should(
        "client/rfc5321/3.8/closed-after-ehlo",
        "A connection that ends after EHLO counts as 451: the message is tried again.",
        |c| Box::pin(again_after(c, Manners::plain().ehlo(close()))),
    )
    .needs(&[Need::Alone, Need::Retry]),
];

fn busy() -> Act {
    say("421 4.3.2 too busy").then_close()
}

async fn waits(c: &mut Context) -> Checked {
    let late = say("220 hop.gauntlet.invalid ESMTP").after(Duration::from_millis(500));
    c.behave(Manners::default().greeting(late)).await;
    let sent = c.mail(|draft| draft.body("greeting\r\n")).await?;
    let commands = sent.attempt().await?.session.commands();
    let early = early(&commands[..commands.len().min(1)]).cloned();
    holds(early.is_none(), "nothing before the greeting", || {
        early.map(|command| command.to_string()).unwrap_or_default()
    })
}

/// The first session, which goes so, once it is over; and the message.
async fn first_session(c: &mut Context, manners: Manners) -> Result<(Sent, Arc<Session>), Stop> {
    c.behave(manners.for_sessions(1)).await;
    let sent = c.mail(|draft| draft.body("greeting\r\n")).await?;
    let first = || {
        c.sessions()
            .first()
            .filter(|session| session.has_ended())
            .cloned()
    };
    let session = c
        .until(first)
        .await
        .ok_or_else(|| Stop::inconclusive("the client did not connect, or did not let go"))?;
    Ok((sent, session))
}

/// However the message goes on, the next case shall not meet it: it comes, or is returned, or nobody knows when.
async fn settled(c: &Context, sent: &Sent) {
    let over = || {
        let known = sent.taken().is_some() || !sent.mail.notices().is_empty();
        known.then_some(())
    };
    let _ = c.until(over).await;
}

async fn no_mail(c: &mut Context, manners: Manners) -> Checked {
    let (sent, session) = first_session(c, manners).await?;
    let commands = session.commands();
    let within =
        |command: &Command| matches!(command.verb().as_str(), "MAIL" | "RCPT" | "DATA" | "BDAT");
    let transaction = commands.iter().any(within);
    settled(c, &sent).await;
    holds(!transaction, "no MAIL", || verbs(&commands))
}

async fn nothing_after_421(c: &mut Context, manners: Manners) -> Checked {
    let manners = Manners {
        greeting: Act {
            close: false,
            ..manners.greeting.clone()
        },
        ..manners
    };
    let (sent, session) = first_session(c, manners).await?;
    let behind = behind_reply(&session, 421);
    settled(c, &sent).await;
    let within = |command: &Command| matches!(command.verb().as_str(), "MAIL" | "RCPT" | "DATA");
    holds(!behind.iter().any(within), "no MAIL", || verbs(&behind))
}

async fn again_after(c: &mut Context, manners: Manners) -> Checked {
    let (sent, _) = first_session(c, manners).await?;
    sent.again(0).await?;
    sent.accepted("the message is sent at another attempt")
        .await
        .map(|_| ())
}
