//! RFC 3207: TLS, for a client that takes it when it is offered.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::steps::{holds, verbs};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, Sent},
        manners::{Handshake, Manners, say},
        seen::{Command, Event, Transaction},
    },
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::should(
        "client/rfc3207/4.2/ehlo-again",
        "The first command under TLS is EHLO.",
        |c| Box::pin(ehlo_again(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc3207/4.2/offers-are-forgotten",
        "What was offered before TLS is forgotten: only what is offered under it is used.",
        |c| Box::pin(forgotten(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc3207/4.2/not-twice",
        "STARTTLS is not said under TLS.",
        |c| Box::pin(not_twice(c)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc3207/4/last-in-a-group",
        "STARTTLS is followed by the handshake, not by another command.",
        |c| Box::pin(last(c)),
    )
    .needs(&[Need::Alone]),
    Case::security(
        "client/security/plain-text-behind-starttls",
        "RFC 3207 §4.2, §6",
        "Replies that came in plain text behind the 220 to STARTTLS are not taken for replies under TLS.",
        |c| Box::pin(injected(c)),
    )
    .needs(&[Need::Alone]),
    Case::should(
        "client/rfc3207/4/refused-starttls",
        "After 454 to STARTTLS the message is sent without TLS, tried again or returned: it is not lost.",
        |c| Box::pin(refused(c)),
    )
    .source("RFC 3207 §4, §6")
    .needs(&[Need::Alone]),
    Case::should(
        "client/rfc3207/6/failed-handshake",
        "After a handshake that failed the message is tried again or returned: it is not lost.",
        |c| Box::pin(failed(c)),
    )
    .source("RFC 3207 §4.1, §6")
    .needs(&[Need::Alone, Need::Retry]),
];

fn offering(under_tls: &[&'static str]) -> Manners {
    Manners {
        offers_under_tls: under_tls.iter().map(|word| Cow::Borrowed(*word)).collect(),
        ..Manners::offering(&["STARTTLS", "SIZE 20000000", "8BITMIME", "DSN", "PIPELINING"])
    }
}

/// A message through a next hop with STARTTLS; skipped when the client does without.
async fn secured(c: &mut Context, manners: Manners) -> Result<(Sent, Arc<Transaction>), Stop> {
    c.behave(manners).await;
    let sent = c
        .mail(|draft| {
            let draft = draft.body("TLS\r\n");
            draft.parameter("DSN", "RET=HDRS")
        })
        .await?;
    let transaction = sent.attempt().await?;
    let events = transaction.session.events();
    if !used(&transaction.session.commands()) {
        return Err(Stop::skipped("the client uses no TLS when it is offered"));
    }
    if !events.contains(&Event::Secured) {
        return Err(Stop::inconclusive("no handshake came about"));
    }
    Ok((sent, transaction))
}

fn used(commands: &[Command]) -> bool {
    commands.iter().any(|command| command.verb() == "STARTTLS")
}

/// What was said under TLS.
fn under_tls(transaction: &Transaction) -> Vec<Command> {
    let events = transaction.session.events();
    let from = events
        .iter()
        .position(|event| *event == Event::Secured)
        .unwrap_or(events.len());
    events[from..]
        .iter()
        .filter_map(|event| match event {
            Event::Command(command) => Some(command.clone()),
            _ => None,
        })
        .collect()
}

async fn ehlo_again(c: &mut Context) -> Checked {
    let (_, transaction) = secured(c, offering(&["SIZE 20000000"])).await?;
    let commands = under_tls(&transaction);
    let first = commands.first().map(Command::verb);
    holds(first.as_deref() == Some("EHLO"), "EHLO", || {
        verbs(&commands)
    })
}

async fn forgotten(c: &mut Context) -> Checked {
    let (_, transaction) = secured(c, offering(&[])).await?;
    let recipients = transaction.recipients.iter().flat_map(|to| to.parameters());
    let all: Vec<String> = transaction
        .parameters()
        .into_iter()
        .chain(recipients)
        .collect();
    holds(all.is_empty(), "no parameter", || all.join(" "))
}

async fn not_twice(c: &mut Context) -> Checked {
    // A server must not offer it there; one that does is no excuse.
    let (_, transaction) = secured(c, offering(&["STARTTLS", "SIZE 20000000"])).await?;
    let commands = under_tls(&transaction);
    holds(!used(&commands), "no STARTTLS under TLS", || {
        verbs(&commands)
    })
}

async fn last(c: &mut Context) -> Checked {
    let mut manners = offering(&["SIZE 20000000"]);
    manners.starttls = say("220 2.0.0 go ahead").after(Duration::from_millis(250));
    c.behave(manners).await;
    let sent = c.mail(|draft| draft.body("TLS\r\n")).await?;
    let transaction = sent.attempt().await?;
    let commands = transaction.session.commands();
    let Some(at) = commands
        .iter()
        .position(|command| command.verb() == "STARTTLS")
    else {
        return Err(Stop::skipped("the client uses no TLS when it is offered"));
    };
    let clear = transaction
        .session
        .record
        .lines()
        .into_iter()
        .find(|line| line.text.contains("octets before the handshake"));
    let next = commands.get(at + 1).filter(|next| next.early);
    holds(
        next.is_none() && clear.is_none(),
        "nothing before the reply to STARTTLS",
        || {
            next.map_or_else(
                || clear.map_or(String::new(), |line| line.text),
                ToString::to_string,
            )
        },
    )
}

async fn injected(c: &mut Context) -> Checked {
    let mut manners = offering(&["SIZE 20000000"]);
    manners.starttls = say("220 2.0.0 go ahead\r\n250-injected\r\n250-DSN\r\n250 8BITMIME");
    manners.hello_under_tls_after = Duration::from_millis(500);
    c.behave(manners).await;
    let sent = c
        .mail(|draft| draft.body("TLS\r\n").parameter("DSN", "RET=HDRS"))
        .await?;
    // A client may also give such a session up: then it comes again, or not at all.
    let gave_up = c
        .until(|| {
            let one = |session: &Arc<crate::probe::client::seen::Session>| session.has_ended();
            let ended = c.sessions().iter().any(one);
            (ended || !sent.mail.attempts().is_empty()).then_some(())
        })
        .await;
    if gave_up.is_none() {
        return Err(Stop::inconclusive("the client brought nothing"));
    }
    let sessions = c.sessions();
    let Some(first) = sessions.iter().find(|session| used(&session.commands())) else {
        return Err(Stop::skipped("the client uses no TLS when it is offered"));
    };
    let commands = first.commands();
    let hellos: Vec<usize> = (0..commands.len())
        .filter(|at| commands[*at].verb() == "EHLO")
        .collect();
    let behind = hellos.get(1).and_then(|at| commands.get(at + 1));
    let early = behind.filter(|command| command.early);
    holds(
        early.is_none(),
        "a client that waits for the reply to its EHLO under TLS",
        || early.map(ToString::to_string).unwrap_or_default(),
    )
}

/// Sent, or tried again, or returned.
async fn not_lost(sent: &Sent, c: &Context) -> Checked {
    let kept = || {
        let known = sent.taken().is_some() || !sent.mail.notices().is_empty();
        known.then_some(())
    };
    if c.until(kept).await.is_some() {
        return Ok(());
    }
    sent.again(0).await.map(|_| ())
}

/// The first session says STARTTLS.
async fn wanted(c: &Context) -> Checked {
    let said = || {
        let sessions = c.sessions();
        let first = sessions.first()?;
        let over = first.has_ended() || used(&first.commands());
        let mail = first
            .commands()
            .iter()
            .any(|command| command.verb() == "MAIL");
        (over || mail).then(|| used(&first.commands()))
    };
    match c.until(said).await {
        Some(true) => Ok(()),
        _ => Err(Stop::skipped("the client uses no TLS when it is offered")),
    }
}

async fn refused(c: &mut Context) -> Checked {
    let mut manners = offering(&[]);
    manners.starttls = say("454 4.7.0 not now");
    c.behave(manners.for_sessions(1)).await;
    let sent = c.mail(|draft| draft.body("TLS\r\n")).await?;
    wanted(c).await?;
    not_lost(&sent, c).await
}

async fn failed(c: &mut Context) -> Checked {
    let mut manners = offering(&[]);
    manners.handshake = Handshake::Garbage;
    c.behave(manners.for_sessions(1)).await;
    let sent = c.mail(|draft| draft.body("TLS\r\n")).await?;
    wanted(c).await?;
    not_lost(&sent, c).await
}
