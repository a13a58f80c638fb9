//! Clients that are no mail clients, or do not keep to their turn.

use crate::probe::{
    case::{Case, Need},
    cases::extensions::{all_replies, shown},
    context::{Context, HELLO},
    outcome::{Checked, Stop},
    reply::Reply,
};

pub(super) const CASES: &[Case] = &[
    Case::security(
        "security/early-talker",
        "RFC 5321 §3.1, §4.3.1",
        "A client that talks before the greeting gets the greeting first, or a refusal: never a reply to what it said.",
        |c| Box::pin(early_talker(c)),
    ),
    Case::security(
        "security/http-request",
        "RFC 5321 §7.8; the HTML form protocol attack",
        "A session that begins with an HTTP request executes no mail transaction in the request's body.",
        |c| Box::pin(http_request(c)),
    )
    .needs(&[Need::Arrival]),
    Case::security(
        "security/tls-in-plain-text",
        "RFC 3207 §4",
        "The beginning of a TLS handshake on a plain connection gets no positive reply.",
        |c| Box::pin(tls_in_plain_text(c)),
    ),
    Case::security(
        "security/commands-behind-quit",
        "RFC 5321 §4.1.1.10",
        "Commands behind a QUIT in one piece are not executed.",
        |c| Box::pin(commands_behind_quit(c)),
    )
    .needs(&[Need::Arrival]),
    Case::security(
        "security/many-bad-commands",
        "RFC 5321 §4.3.2, §7.8",
        "Three hundred bad commands get no positive reply, and the server serves others meanwhile; it may end the session.",
        |c| Box::pin(many_bad_commands(c)),
    ),
    Case::security(
        "security/binary-garbage",
        "RFC 5321 §4.1.1",
        "Garbage of all octets gets no positive reply, and does not end the server.",
        |c| Box::pin(binary_garbage(c)),
    ),
    Case::security(
        "security/unauthenticated-turn",
        "RFC 5321 appendix F.1, §7.1; RFC 1985",
        "Nobody gets a server's queue by asking for it: TURN and ETRN are no way to reverse the roles of a session.",
        |c| Box::pin(turn(c)),
    ),
];

async fn early_talker(c: &mut Context) -> Checked {
    let mut s = c.connect().await?;
    s.send(format!("EHLO {HELLO}\r\n")).await;
    let reply = s.reply().await?;
    if reply.is("421|521|554") {
        return Ok(());
    }
    reply.expect("220|5yz")
}

/// The form that a browser sends to port 25, with mail as a field's value.
async fn http_request(c: &mut Context) -> Checked {
    let token = c.token();
    let (from, to) = (c.from(), c.to());
    let body = format!(
        "EHLO {HELLO}\r\nMAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n{}.\r\n",
        token.header(from, to)
    );
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        c.probe().target,
        body.len()
    );
    let mut s = c.greeted().await?;
    s.owe("POST");
    let replies = all_replies(&mut s, request.as_bytes()).await;
    if replies.iter().any(Reply::is_positive) {
        return Err(Stop::failed(
            "no positive reply to anything in an HTTP request",
            shown(&replies),
        ));
    }
    c.none_arrives(&[&token], "no mail out of an HTTP request arrives")
        .await
}

async fn tls_in_plain_text(c: &mut Context) -> Checked {
    // A record of 46 octets with a ClientHello that has begun, LF and CRLF among its random octets.
    let mut hello = b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03".to_vec();
    hello.extend_from_slice(b"random\nNOOP\r\nNOOP\nrandom random rando");
    hello.extend_from_slice(b"\r\n");
    let mut s = c.greeted().await?;
    s.owe("a ClientHello");
    let replies = all_replies(&mut s, &hello).await;
    // The NOOP between LF and CRLF is no command of its own, but nothing forbids what a line in between holds.
    match replies.first() {
        Some(first) if first.is_positive() => Err(first.unexpected("no positive reply")),
        _ => Ok(()),
    }
}

async fn commands_behind_quit(c: &mut Context) -> Checked {
    let token = c.token();
    let (from, to) = (c.from().to_owned(), c.to().to_owned());
    let mut s = c.session().await?;
    s.owe("QUIT");
    let transaction = format!(
        "QUIT\r\nMAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n{}.\r\n",
        token.header(&from, &to)
    );
    s.send(transaction).await;
    let reply = s.reply().await?;
    // Where PIPELINING is not offered, the whole piece may be refused (RFC 2920 §3.1); nothing of it is executed then, either.
    if s.offers("PIPELINING") || !reply.is("5yz") {
        reply.expect("221")?;
    }
    // The end, or nothing: what comes is not read as QUIT's any more.
    let replies = all_replies(&mut s, b"").await;
    if !replies.is_empty() {
        return Err(Stop::failed(
            "nothing behind the reply to QUIT",
            shown(&replies),
        ));
    }
    c.none_arrives(&[&token], "nothing behind QUIT arrives")
        .await
}

async fn many_bad_commands(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.owe("bad commands");
    let replies = all_replies(&mut s, "GAUNTLET x\r\n".repeat(300).as_bytes()).await;
    if let Some(positive) = replies.iter().find(|reply| reply.is_positive()) {
        return Err(positive.unexpected("no positive reply"));
    }
    others_are_served(c).await
}

async fn others_are_served(c: &Context) -> Checked {
    let mut s = c.connect().await?;
    s.reply().await?.expect("220")?;
    s.ask(format!("EHLO {HELLO}")).await?.expect("250")?;
    s.quit().await;
    Ok(())
}

async fn binary_garbage(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.owe("garbage");
    let mut line: Vec<u8> = (0..=255_u8).collect();
    line.extend_from_slice(b"\r\n");
    let garbage = line.repeat(16);
    let replies = all_replies(&mut s, &garbage).await;
    if let Some(positive) = replies.iter().find(|reply| reply.is_positive()) {
        return Err(positive.unexpected("no positive reply"));
    }
    others_are_served(c).await
}

async fn turn(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask("TURN").await?;
    s.quit().await;
    reply.expect("5yz")?;
    let mut s = c.session().await?;
    if s.offers("ETRN") {
        return Err(Stop::skipped("the server offers ETRN"));
    }
    let reply = s.ask(format!("ETRN {}", c.to_parts().1)).await?;
    s.quit().await;
    reply.expect("4yz|5yz")
}
