//! RFC 5321 §4.1.1.5 to §4.1.1.10, §3.5: RSET, VRFY, EXPN, HELP, NOOP, QUIT.

use super::super::steps::{answered, goes_on};
use crate::probe::{
    case::{Case, Need},
    context::Context,
    message::stuffed,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must("rfc5321/4.1.1.5/rset", "RSET is answered with 250.", |c| {
        Box::pin(answered(c, "RSET", "250"))
    }),
    Case::must(
        "rfc5321/4.1.1.5/rset-ends-the-transaction",
        "RSET discards the sender and the recipients of the open transaction.",
        |c| Box::pin(rset_in_transaction(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.5/rset-keeps-the-session",
        "RSET neither ends the connection nor undoes EHLO: a new transaction may follow at once.",
        |c| Box::pin(rset_keeps_the_session(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.5/recipients-from-before-rset",
        "A recipient from before RSET does not get the message after it.",
        |c| Box::pin(nothing_reset_is_delivered(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must("rfc5321/4.1.1.9/noop", "NOOP is answered with 250.", |c| {
        Box::pin(answered(c, "NOOP", "250"))
    }),
    Case::should(
        "rfc5321/4.1.1.9/noop-argument",
        "An argument of NOOP is ignored.",
        |c| Box::pin(answered(c, "NOOP whatever this is", "250")),
    ),
    Case::must(
        "rfc5321/4.1.1.9/noop-in-a-transaction",
        "NOOP has no effect on an open transaction.",
        |c| Box::pin(no_effect(c, "NOOP")),
    ),
    Case::must(
        "rfc5321/4.1.1.6/vrfy",
        "VRFY is supported: it verifies, says that it will not (252), or refuses, but is known.",
        |c| Box::pin(vrfy(c)),
    )
    .source("RFC 5321 §4.1.1.6, §4.5.1, §3.5.3"),
    Case::must(
        "rfc5321/4.1.1.6/vrfy-in-a-transaction",
        "VRFY has no effect on an open transaction.",
        |c| Box::pin(no_effect(c, "VRFY postmaster")),
    ),
    Case::must(
        "rfc5321/3.5.2/vrfy-names-the-mailbox",
        "A positive reply to VRFY (250, 251) or a 551 has the mailbox in it, as local-part@domain.",
        |c| Box::pin(vrfy_names_the_mailbox(c)),
    )
    .source("RFC 5321 §3.5.1, §3.5.2"),
    Case::must(
        "rfc5321/3.5.3/vrfy-verifies",
        "VRFY is answered with 250 only for an address that was verified, not for one that is merely well formed.",
        |c| Box::pin(vrfy_verifies(c)),
    ),
    Case::may(
        "rfc5321/4.1.1.6/vrfy-needs-an-argument",
        "VRFY has an argument; a server may insist on it with 501.",
        |c| Box::pin(answered(c, "VRFY", "501|502|504")),
    ),
    Case::should(
        "rfc5321/3.5.2/expn",
        "EXPN is supported, or refused as not implemented (502) or for policy, not as unknown.",
        |c| {
            Box::pin(answered(
                c,
                "EXPN postmaster",
                "250|252|502|504|550|551|553",
            ))
        },
    )
    .source("RFC 5321 §3.5.2, §4.2.4"),
    Case::must(
        "rfc5321/4.1.1.7/expn-in-a-transaction",
        "EXPN has no effect on an open transaction.",
        |c| Box::pin(no_effect(c, "EXPN postmaster")),
    ),
    Case::should(
        "rfc5321/4.1.1.8/help",
        "HELP without an argument is supported.",
        |c| Box::pin(answered(c, "HELP", "211|214")),
    ),
    Case::must(
        "rfc5321/4.1.1.8/help-in-a-transaction",
        "HELP has no effect on an open transaction.",
        |c| Box::pin(no_effect(c, "HELP")),
    ),
    Case::must("rfc5321/4.1.1.10/quit", "QUIT is answered with 221.", |c| {
        Box::pin(answered(c, "QUIT", "221"))
    }),
    Case::must(
        "rfc5321/4.1.1.10/quit-closes",
        "After the reply to QUIT the server closes the connection.",
        |c| Box::pin(quit_closes(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.10/quit-in-a-transaction",
        "QUIT may be said at any time, in an open transaction as well.",
        |c| Box::pin(quit_in_transaction(c)),
    ),
    Case::should(
        "rfc5321/4.1.1.10/quit-after-half-a-session",
        "What follows QUIT is not executed.",
        |c| Box::pin(nothing_after_quit(c)),
    )
    .source("RFC 5321 §4.1.1.10, §3.8"),
];

async fn rset_in_transaction(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    s.ask("RSET").await?.expect("250")?;
    s.ask(format!("RCPT TO:<{}>", c.to()))
        .await?
        .expect("503")?;
    s.ask("DATA").await?.expect("503|554")
}

async fn rset_keeps_the_session(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    for _ in 0..2 {
        s.ask("RSET").await?.expect("250")?;
    }
    goes_on(&mut s).await?;
    s.ask(format!("MAIL FROM:<{}>", c.from()))
        .await?
        .expect("250")?;
    s.ask(format!("RCPT TO:<{}>", c.to()))
        .await?
        .expect("250|251")
}

/// Needs two recipients: the first one's RCPT is reset, the message goes to the second one alone.
async fn nothing_reset_is_delivered(c: &mut Context) -> Checked {
    let (to, other) = (c.to().to_owned(), c.recipient(1).to_owned());
    if to == other {
        return Err(Stop::skipped("it needs two recipients: --to twice"));
    }
    let (message, behind) = (c.token(), c.token());
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.prepare(format!("RCPT TO:<{other}>"), "250|251").await?;
    s.prepare("RSET", "250").await?;
    c.taken(&mut s, &c.message(&message, "after RSET\r\n"))
        .await?;
    c.arrived(&message).await?;
    // What is sent to the other one behind it arrives, and it does not.
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.prepare(format!("RCPT TO:<{other}>"), "250|251").await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&behind, "sent behind\r\n")))
        .await;
    s.prepared("250").await?;
    c.arrived(&behind).await.map_err(Stop::in_preparation)?;
    let copies = c.arrivals()?.all(|copy| copy.is(&message));
    if copies.iter().all(|copy| copy.recipients.is_empty()) {
        return Err(Stop::inconclusive(
            "the proof of arrival shows no recipients",
        ));
    }
    match copies.iter().find(|copy| copy.recipients.contains(&other)) {
        None => Ok(()),
        Some(_) => Err(Stop::failed(
            "no delivery to a recipient from before RSET",
            format!("message {message} arrived for {other}"),
        )),
    }
}

/// The command in an open transaction changes nothing: DATA is answered with 354.
async fn no_effect(c: &mut Context, command: &str) -> Checked {
    let mut s = c.opened().await?;
    s.ask(command).await?;
    s.ask("DATA")
        .await?
        .expect("354")
        .map_err(|stop| stop.with("the transaction is as it was"))
}

async fn vrfy(c: &mut Context) -> Checked {
    let command = format!("VRFY {}", c.to());
    // RFC 5321 §3.5.3 lets a server that only checks the syntax say 502 or 500.
    answered(c, &command, "250|251|252|550|551|553|502|504|500").await
}

async fn vrfy_names_the_mailbox(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask(format!("VRFY {}", c.to())).await?;
    if !reply.is("250|251|551") {
        return Err(Stop::skipped(format!(
            "the server does not verify: {reply}"
        )));
    }
    let named = reply.lines.iter().any(|line| line.contains(&b'@'));
    if named {
        Ok(())
    } else {
        Err(reply.unexpected("a mailbox, local-part@domain, in the reply"))
    }
}

async fn vrfy_verifies(c: &mut Context) -> Checked {
    let (_, domain) = c.to_parts();
    let nobody = format!("gauntlet-nobody-{}@{domain}", c.token());
    let mut s = c.session().await?;
    let reply = s.ask(format!("VRFY {nobody}")).await?;
    if reply.code != 250 {
        return Ok(());
    }
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let rcpt = s.ask(format!("RCPT TO:<{nobody}>")).await?;
    if rcpt.is_positive() {
        return Err(Stop::inconclusive(format!(
            "the server takes mail for {nobody}"
        )));
    }
    Err(reply.unexpected("no 250 for a mailbox that does not exist"))
}

async fn quit_closes(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare("QUIT", "221").await?;
    s.ends("the end of the connection after 221").await
}

async fn quit_in_transaction(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    s.ask("QUIT").await?.expect("221")?;
    s.ends("the end of the connection after 221").await
}

async fn nothing_after_quit(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.pipeline(&["QUIT", "NOOP"]).await;
    let reply = s.reply().await?;
    if reply.is("5yz") && !s.offers("PIPELINING") {
        return Err(Stop::skipped("the server refuses commands in one piece"));
    }
    reply.expect("221")?;
    match s.hear(crate::probe::context::EARLY).await {
        crate::probe::connection::Heard::Reply(reply) => {
            Err(reply.unexpected("no reply after QUIT's"))
        }
        _ => Ok(()),
    }
}
