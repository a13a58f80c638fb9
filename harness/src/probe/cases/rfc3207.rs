//! RFC 3207: STARTTLS. The server's certificate is nobody's business here: any is trusted.

use super::extensions::{all_replies, shown, without_parameters};
use crate::probe::{
    case::{Case, Need},
    connection::Connection,
    context::{Context, EARLY, HELLO},
    dialogue::visible,
    outcome::{Checked, Stop},
    tls,
};

const TLS: &[Need] = &[Need::Extension("STARTTLS")];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc3207/2/keyword",
        "STARTTLS stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "STARTTLS")),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4/handshake",
        "STARTTLS is answered with 220, and a handshake follows, after which EHLO is answered.",
        |c| Box::pin(handshake(c)),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4/no-parameters",
        "STARTTLS with a parameter is answered with 501.",
        |c| Box::pin(no_parameters(c)),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4.2/no-greeting",
        "The server says nothing after the handshake until the client does.",
        |c| Box::pin(no_greeting(c)),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4.2/not-offered-again",
        "The reply to EHLO after the handshake does not offer STARTTLS.",
        |c| Box::pin(not_offered_again(c)),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4.2/not-twice",
        "STARTTLS under TLS is refused, and the session goes on.",
        |c| Box::pin(not_twice(c)),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4.2/hello-is-forgotten",
        "What the client said before the handshake is forgotten: MAIL without a new EHLO is refused, where the server asks for EHLO at all.",
        |c| Box::pin(hello_is_forgotten(c)),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4.2/transaction-is-forgotten",
        "A transaction from before the handshake does not go on behind it.",
        |c| Box::pin(transaction_is_forgotten(c)),
    )
    .needs(TLS),
    Case::must(
        "rfc3207/4/mail-under-tls",
        "A message can be sent under TLS.",
        |c| Box::pin(mail_under_tls(c)),
    )
    .needs(TLS),
    Case::security(
        "security/starttls-command-injection",
        "RFC 3207 §4.2, §6; CVE-2011-0411",
        "Commands that come in one piece with STARTTLS are not executed, neither before the handshake nor after it.",
        |c| Box::pin(injected(c, "STARTTLS\r\nNOOP\r\n")),
    )
    .needs(TLS),
    Case::security(
        "security/starttls-transaction-injection",
        "RFC 3207 §4.2, §6; CVE-2011-0411",
        "A transaction that begins in one piece with STARTTLS is not there after the handshake.",
        |c| Box::pin(injected_transaction(c)),
    )
    .needs(TLS),
    Case::security(
        "security/starttls-injection-behind-the-reply",
        "RFC 3207 §4.2, §6",
        "Commands between the reply to STARTTLS and the handshake are not executed, neither then nor after it.",
        |c| Box::pin(injected_behind_the_reply(c)),
    )
    .needs(TLS),
    Case::security(
        "security/starttls-without-handshake",
        "RFC 3207 §4",
        "A client that sends commands in place of a handshake is not served in plain text.",
        |c| Box::pin(without_handshake(c)),
    )
    .needs(TLS),
];

/// STARTTLS and the handshake; octets that the server had sent in plain text are returned.
async fn upgrade(c: &Context, s: &mut Connection) -> Result<Vec<u8>, Stop> {
    let host = c.probe().target.host.clone();
    s.upgrade(|stream| tls::handshake(stream, host)).await
}

/// A connection under TLS on which nothing has been said.
async fn secured(c: &Context) -> Result<Connection, Stop> {
    let mut s = c.session().await?;
    s.prepare("STARTTLS", "220").await?;
    upgrade(c, &mut s).await.map_err(Stop::in_preparation)?;
    Ok(s)
}

async fn handshake(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask("STARTTLS").await?.expect("220")?;
    upgrade(c, &mut s).await?;
    s.ask(format!("EHLO {HELLO}")).await?.expect("250")?;
    s.quit().await;
    Ok(())
}

async fn no_parameters(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask("STARTTLS now").await?;
    if reply.code != 220 {
        s.quit().await;
    }
    reply.expect("501")
}

/// The first reply under TLS is the one to what was said first.
async fn no_greeting(c: &mut Context) -> Checked {
    let mut s = secured(c).await?;
    let reply = s.ask("QUIT").await?;
    if reply.code == 221 {
        return Ok(());
    }
    // The greeting's code is also what a second greeting would have.
    reply.refuse("220", "nothing before the reply of 221")?;
    reply.expect("221")
}

async fn not_offered_again(c: &mut Context) -> Checked {
    let mut s = secured(c).await?;
    let reply = s.ehlo(HELLO).await?;
    let offered = s.offers("STARTTLS");
    s.quit().await;
    if offered {
        return Err(reply.unexpected("no STARTTLS in the reply"));
    }
    Ok(())
}

async fn not_twice(c: &mut Context) -> Checked {
    let mut s = secured(c).await?;
    s.ehlo(HELLO).await?;
    s.ask("STARTTLS").await?.expect("5yz")?;
    let reply = s.ask("NOOP").await?;
    s.quit().await;
    reply.expect("250")
}

async fn hello_is_forgotten(c: &mut Context) -> Checked {
    let mail = format!("MAIL FROM:<{}>", c.from());
    let mut fresh = c.greeted().await?;
    let reply = fresh.ask(&mail).await?;
    fresh.quit().await;
    if reply.is_positive() {
        return Err(Stop::skipped(
            "the server takes MAIL without EHLO in any session",
        ));
    }
    let mut s = secured(c).await?;
    let reply = s.ask(&mail).await?;
    s.quit().await;
    reply.expect("5yz")
}

async fn transaction_is_forgotten(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    let reply = s.ask("STARTTLS").await?;
    if reply.code != 220 {
        s.quit().await;
        return Err(Stop::skipped(format!(
            "the server does not take STARTTLS within a transaction: {reply}"
        )));
    }
    upgrade(c, &mut s).await.map_err(Stop::in_preparation)?;
    // No EHLO: it would end the transaction.
    let reply = s.ask("DATA").await?;
    if reply.code != 354 {
        s.quit().await;
    }
    reply.expect("5yz")
}

async fn mail_under_tls(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = secured(c).await?;
    s.ehlo(HELLO).await?;
    c.open(&mut s).await?;
    s.ask("DATA").await?.expect("354")?;
    s.owe("the end of data");
    s.send(crate::probe::message::stuffed(
        &c.message(&token, "under TLS\r\n"),
    ))
    .await;
    s.reply().await?.expect("250")?;
    s.quit().await;
    Ok(())
}

/// Nothing is said in plain text, and nothing under TLS that was not asked for there. A handshake that fails because the
/// server took the octets for a part of it is as good.
async fn injected(c: &mut Context, piece: &str) -> Checked {
    let mut s = c.session().await?;
    s.owe("STARTTLS");
    s.send(piece).await;
    s.prepared("220").await?;
    nothing_is_executed(c, s).await
}

async fn nothing_is_executed(c: &Context, mut s: Connection) -> Checked {
    let expected = "no reply to a command that came before the handshake";
    match s.silent(EARLY, expected).await {
        Ok(()) => {}
        // The server ended the session, or sent TLS's alert: no reply begins without a digit.
        Err(_) if !s.unread().first().is_some_and(u8::is_ascii_digit) => return Ok(()),
        Err(stop) => return Err(stop.with("in plain text")),
    }
    match upgrade(c, &mut s).await {
        Ok(plain) if plain.is_empty() => {}
        Ok(plain) => return Err(Stop::failed(expected, visible(&plain))),
        // Not TLS is what came: a reply in plain text.
        Err(Stop::Failed { seen, .. }) if seen.contains("corrupt message") => {
            return Err(Stop::failed(expected, seen));
        }
        Err(_) => return Ok(()),
    }
    let replies = all_replies(&mut s, b"").await;
    if replies.is_empty() {
        return Ok(());
    }
    Err(Stop::failed(expected, shown(&replies)).with("under TLS"))
}

async fn injected_transaction(c: &mut Context) -> Checked {
    let (from, to) = (c.from().to_owned(), c.to().to_owned());
    let mut s = c.session().await?;
    s.owe("STARTTLS");
    s.send(format!(
        "STARTTLS\r\nMAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\n"
    ))
    .await;
    s.prepared("220").await?;
    match upgrade(c, &mut s).await {
        Ok(_) => {}
        Err(Stop::Failed { seen, .. }) if seen.contains("corrupt message") => {
            return Err(Stop::failed("no reply in plain text", seen));
        }
        Err(_) => return Ok(()),
    }
    // Without EHLO: EHLO would end the transaction. Whatever the replies to the injected commands are, 354 must not come.
    let replies = all_replies(&mut s, b"DATA\r\n").await;
    if replies.iter().any(|reply| reply.code == 354) {
        return Err(Stop::failed(
            "no transaction after the handshake",
            shown(&replies),
        ));
    }
    Ok(())
}

async fn injected_behind_the_reply(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare("STARTTLS", "220").await?;
    s.send("NOOP\r\n").await;
    nothing_is_executed(c, s).await
}

async fn without_handshake(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare("STARTTLS", "220").await?;
    let replies = all_replies(&mut s, format!("EHLO {HELLO}\r\nNOOP\r\n").as_bytes()).await;
    if replies.iter().any(|reply| reply.is_positive()) {
        return Err(Stop::failed(
            "no positive reply in plain text in place of a handshake",
            shown(&replies),
        ));
    }
    Ok(())
}
