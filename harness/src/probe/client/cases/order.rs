//! RFC 5321 §4.1.1.10, §4.1.4, §4.3.1: commands in their order, and every one waits for its reply.

use std::time::Duration;

use super::steps::{early, holds, verbs};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, EARLY},
        manners::{Manners, Script, Stage, say},
        seen::{Event, Session},
    },
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc5321/4.3.1/waits-for-replies",
        "Without PIPELINING every command waits for the reply to the one before it.",
        |c| Box::pin(waits(c)),
    )
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc5321/4.1.1.4/no-content-before-354",
        "Content waits for the reply to DATA.",
        |c| Box::pin(content_waits(c)),
    )
    .source("RFC 5321 §3.3, §4.1.1.4")
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc5321/4.1.4/order-of-commands",
        "MAIL, RCPT and DATA come in that order, and no MAIL while a transaction is open.",
        |c| Box::pin(order(c, Script::new())),
    )
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc5321/4.1.4/no-mail-within-a-transaction",
        "After all recipients were refused the transaction is ended before the next one: by RSET, EHLO or QUIT.",
        |c| Box::pin(order(c, Script::new().on(Stage::AnyRcpt, say("550 5.1.1 no such user")))),
    )
    .needs(&[Need::NoExtensions]),
    Case::must(
        "client/rfc5321/4.1.1.10/quit-at-the-end",
        "The client says QUIT before it closes the connection.",
        |c| Box::pin(quits(c)),
    )
    .source("RFC 5321 §4.1.1.10, §4.1.4")
    .needs(&[Need::Alone]),
    Case::should(
        "client/rfc5321/4.1.1.10/waits-for-the-reply-to-quit",
        "The client closes the connection when it has the reply to QUIT, not before.",
        |c| Box::pin(waits_for_221(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.1.1.10/nothing-after-quit",
        "QUIT is the last command of a session.",
        |c| Box::pin(nothing_after_quit(c)),
    )
    .source("RFC 5321 §4.1.1.10, §4.1.4")
    .needs(&[Need::Alone]),
];

async fn waits(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| draft.answered(Script::new().paused(EARLY)))
        .await?;
    let commands = sent.attempt().await?.commands();
    let early = early(&commands);
    holds(
        early.is_none(),
        "no command before the reply to the one before it",
        || early.map(ToString::to_string).unwrap_or_default(),
    )
}

async fn content_waits(c: &mut Context) -> Checked {
    let script = Script::new().on(Stage::Data, say("354 go on").after(2 * EARLY));
    let sent = c
        .mail(|draft| draft.body("too early\r\n").answered(script))
        .await?;
    let transaction = sent.attempt().await?;
    holds(!transaction.early_content, "no content before 354", || {
        "content came while DATA was not answered".into()
    })
}

/// Three messages at once, so that one session may bring more than one of them.
async fn order(c: &mut Context, script: Script) -> Checked {
    let mut all = Vec::new();
    for _ in 0..3 {
        let script = script.clone();
        all.push(
            c.mail(|draft| draft.body("order\r\n").answered(script))
                .await?,
        );
    }
    for sent in all {
        let transaction = sent.attempt().await?;
        sent.session_ends(&transaction).await?;
        if let Some(wrong) = disorder(&transaction.session) {
            return Err(Stop::failed("commands in their order", wrong));
        }
    }
    Ok(())
}

/// The first command that is out of order (RFC 5321 §4.1.4), with those before it.
fn disorder(session: &Session) -> Option<String> {
    let (mut hello, mut open, mut recipients) = (false, false, 0);
    let mut before = Vec::new();
    let events = session.events();
    for (at, event) in events.iter().enumerate() {
        let Event::Command(command) = event else {
            continue;
        };
        let code = events[at..].iter().find_map(|event| match event {
            Event::Reply(code) => Some(*code),
            _ => None,
        });
        let positive = code.is_some_and(|code| code / 100 == 2);
        let verb = command.verb();
        let right = match verb.as_str() {
            "EHLO" | "HELO" => {
                (open, recipients) = (false, 0);
                hello |= positive;
                true
            }
            "MAIL" => hello && !open,
            "RCPT" => open,
            "DATA" | "BDAT" => open && recipients > 0,
            _ => true,
        };
        before.push(command.clone());
        if !right {
            return Some(verbs(&before));
        }
        match verb.as_str() {
            "MAIL" => (open, recipients) = (positive, 0),
            "RCPT" => recipients += 1,
            // Whatever the content was answered with.
            "RSET" | "DATA" | "BDAT" => (open, recipients) = (false, 0),
            _ => {}
        }
    }
    None
}

async fn quits(c: &mut Context) -> Checked {
    c.behave(Manners::plain()).await;
    let sent = c.mail(|draft| draft.body("quit\r\n")).await?;
    let transaction = sent.attempt().await?;
    sent.session_ends(&transaction).await?;
    let session = &transaction.session;
    if !session.events().contains(&Event::ClosedByClient) {
        // QUIT was answered, or the probe has ended an idle session.
        let quit = session.commands().last().map(|last| last.verb());
        return match quit.as_deref() {
            Some("QUIT") => Ok(()),
            _ => Err(Stop::inconclusive("the probe ended the session")),
        };
    }
    let commands = session.commands();
    let quit = commands.iter().any(|command| command.verb() == "QUIT");
    holds(quit, "QUIT before the end of the connection", || {
        verbs(&commands)
    })
}

async fn waits_for_221(c: &mut Context) -> Checked {
    c.behave(Manners::plain()).await;
    let script = Script::new().on(
        Stage::Quit,
        say("221 2.0.0 bye").after(Duration::from_millis(400)),
    );
    let sent = c
        .mail(|draft| draft.body("quit\r\n").answered(script))
        .await?;
    let transaction = sent.attempt().await?;
    sent.session_ends(&transaction).await?;
    let session = &transaction.session;
    let commands = session.commands();
    if commands.last().is_none_or(|last| last.verb() != "QUIT") {
        return Err(Stop::inconclusive("the client did not say QUIT"));
    }
    let answered = session.events().contains(&Event::Reply(221));
    holds(answered, "a client that waits for 221", || {
        "it closed the connection before".into()
    })
}

async fn nothing_after_quit(c: &mut Context) -> Checked {
    c.behave(Manners::plain()).await;
    let sent = c.mail(|draft| draft.body("quit\r\n")).await?;
    let transaction = sent.attempt().await?;
    sent.session_ends(&transaction).await?;
    let commands = transaction.session.commands();
    let quit = commands.iter().position(|command| command.verb() == "QUIT");
    let Some(quit) = quit else {
        return Err(Stop::inconclusive("the client did not say QUIT"));
    };
    holds(quit + 1 == commands.len(), "nothing behind QUIT", || {
        verbs(&commands[quit..])
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::probe::client::seen::Command;

    fn session(lines: &[(&str, u16)]) -> Session {
        let session = Session::new(Arc::default());
        for (line, code) in lines {
            session.add(Event::Command(Command {
                line: format!("{line}\r\n").into_bytes(),
                early: false,
            }));
            session.add(Event::Reply(*code));
        }
        session
    }

    #[test]
    fn what_is_out_of_order_is_found() {
        let right = [
            ("EHLO a.b", 250),
            ("MAIL FROM:<>", 250),
            ("RCPT TO:<b@c>", 550),
            ("RSET", 250),
            ("MAIL FROM:<>", 250),
            ("RCPT TO:<b@c>", 250),
            ("DATA", 354),
            ("MAIL FROM:<>", 250),
            ("QUIT", 221),
        ];
        assert_eq!(disorder(&session(&right)), None);
        let nested = [right[0], right[1], right[2], ("MAIL FROM:<>", 503)];
        assert_eq!(
            disorder(&session(&nested)).as_deref(),
            Some("EHLO, MAIL, RCPT, MAIL")
        );
        assert!(disorder(&session(&right[1..])).is_some(), "no hello");
        assert!(disorder(&session(&[right[0], ("RCPT TO:<b@c>", 503)])).is_some());
        assert!(disorder(&session(&[right[0], right[1], ("DATA", 503)])).is_some());
    }
}
