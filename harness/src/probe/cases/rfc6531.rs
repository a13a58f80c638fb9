//! RFC 6531: SMTPUTF8.

use super::extensions::{mail_is_accepted, mail_is_refused, without_parameters};
use super::steps::{same_body, understood};
use crate::probe::{
    case::{Case, Need},
    connection::Connection,
    context::Context,
    message::stuffed,
    outcome::{Checked, Stop},
    reply::Reply,
};

const UTF8: &[Need] = &[Need::Extension("SMTPUTF8")];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc6531/3.1/keyword",
        "SMTPUTF8 stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "SMTPUTF8")),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.1/with-8bitmime",
        "A server that offers SMTPUTF8 offers 8BITMIME as well.",
        |c| Box::pin(with_8bitmime(c)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.4/mail-parameter",
        "MAIL with SMTPUTF8 is accepted, for an ASCII address, too.",
        |c| Box::pin(mail_is_accepted(c, "SMTPUTF8")),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.4/parameter-with-value",
        "SMTPUTF8 takes no value: a MAIL that gives one is refused.",
        |c| Box::pin(mail_is_refused(c, "SMTPUTF8=yes")),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.3/sender",
        "With SMTPUTF8 a return path in UTF-8 has the right form.",
        |c| Box::pin(sender(c)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.3/local-part",
        "With SMTPUTF8 a recipient with a local part in UTF-8 has the right form, whether there is such a mailbox or not.",
        |c| Box::pin(recipient(c, "пошта", None)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.3/quoted-local-part",
        "With SMTPUTF8 a quoted local part in UTF-8 has the right form.",
        |c| Box::pin(recipient(c, "\"à la carte\"", None)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.3/domain",
        "With SMTPUTF8 a recipient whose domain has a U-label has the right form.",
        |c| Box::pin(recipient(c, "x", Some("bücher.example"))),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.3/malformed-utf-8",
        "Octets that are no UTF-8 are refused in an address, SMTPUTF8 or not.",
        |c| Box::pin(malformed(c)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.4/sender-without-the-parameter",
        "A return path in UTF-8 in a MAIL without SMTPUTF8 is refused.",
        |c| Box::pin(sender_without(c)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.4/recipient-without-the-parameter",
        "A recipient in UTF-8 is refused when MAIL had no SMTPUTF8.",
        |c| Box::pin(recipient_without(c)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.4/rcpt-has-no-parameter",
        "SMTPUTF8 is a parameter of MAIL, VRFY and EXPN, and is refused with RCPT.",
        |c| Box::pin(super::extensions::rcpt_is_refused(c, "SMTPUTF8")),
    )
    .needs(UTF8)
    .source("RFC 6531 §3.4, RFC 5321 §4.1.1.11"),
    Case::must(
        "rfc6531/3.7.4.2/vrfy",
        "VRFY with SMTPUTF8 is understood, when VRFY is.",
        |c| Box::pin(vrfy(c)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.7.4.1/ascii-replies",
        "A client that has not said SMTPUTF8 gets replies in ASCII, also about an address that is not.",
        |c| Box::pin(ascii_replies(c)),
    )
    .needs(UTF8),
    Case::must(
        "rfc6531/3.2/content-arrives",
        "A message with UTF-8 in its header section and body, sent with SMTPUTF8, arrives as it was sent.",
        |c| Box::pin(content_arrives(c)),
    )
    .needs(&[Need::Extension("SMTPUTF8"), Need::Arrival]),
    Case::must(
        "rfc6531/4.3/with-utf8smtp",
        "The trace field of a message sent with SMTPUTF8 says `with UTF8SMTP`, with the letters for TLS and AUTH behind it.",
        |c| Box::pin(with_utf8smtp(c)),
    )
    .needs(&[Need::Extension("SMTPUTF8"), Need::Arrival])
    .source("RFC 6531 §3.7.3, §4.3"),
];

async fn with_8bitmime(c: &mut Context) -> Checked {
    let s = c.session().await?;
    let (offered, keywords) = (s.offers("8BITMIME"), s.keywords().join(", "));
    s.quit().await;
    if offered {
        Ok(())
    } else {
        Err(Stop::failed("8BITMIME beside SMTPUTF8", keywords))
    }
}

async fn opened(c: &Context) -> Result<Connection, Stop> {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}> SMTPUTF8", c.from()), "250")
        .await?;
    Ok(s)
}

async fn sender(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let domain = c.from().rsplit('@').next().unwrap_or_default().to_owned();
    let reply = s
        .ask(format!("MAIL FROM:<пошта@{domain}> SMTPUTF8"))
        .await?;
    s.quit().await;
    understood(&reply)
}

/// 553 says that the mailbox's name is not allowed (RFC 6531 §3.5 has it for servers that do not offer the extension).
async fn recipient(c: &mut Context, local: &str, domain: Option<&str>) -> Checked {
    let mut s = opened(c).await?;
    let domain = domain.unwrap_or(c.to_parts().1);
    let reply = s.ask(format!("RCPT TO:<{local}@{domain}>")).await?;
    s.quit().await;
    understood(&reply)?;
    if reply.code == 553 && reply.enhanced(0) == Some((5, 6, 7)) {
        return Err(reply.unexpected("no 5.6.7, which asks for what was given,"));
    }
    Ok(())
}

async fn malformed(c: &mut Context) -> Checked {
    let mut s = opened(c).await?;
    let domain = c.to_parts().1.to_owned();
    let command = [b"RCPT TO:<\xff\xfe\xc3@", domain.as_bytes(), b">"].concat();
    let reply = s.ask(command).await?;
    s.quit().await;
    reply.expect("5yz")
}

async fn sender_without(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let domain = c.from().rsplit('@').next().unwrap_or_default().to_owned();
    let reply = s.ask(format!("MAIL FROM:<grün@{domain}>")).await?;
    s.quit().await;
    reply.expect("5yz")
}

async fn recipient_without(c: &mut Context) -> Checked {
    let reply = bare_recipient(c).await?;
    reply.expect("5yz")
}

/// The reply to a RCPT in UTF-8 after a MAIL without SMTPUTF8.
async fn bare_recipient(c: &Context) -> Result<Reply, Stop> {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let reply = s.ask(format!("RCPT TO:<grün@{}>", c.to_parts().1)).await?;
    s.quit().await;
    Ok(reply)
}

async fn ascii_replies(c: &mut Context) -> Checked {
    let reply = bare_recipient(c).await?;
    if reply.raw.is_ascii() {
        Ok(())
    } else {
        Err(reply.unexpected("a reply in ASCII"))
    }
}

async fn vrfy(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let plain = s.ask("VRFY postmaster").await?;
    if plain.is("500|502") {
        return Err(Stop::skipped(format!("VRFY is not implemented: {plain}")));
    }
    let reply = s.ask("VRFY grün SMTPUTF8").await?;
    s.quit().await;
    understood(&reply)
}

const BODY: &str = "Text: grün, £ 3, пошта, 郵件\r\n";

/// Sends a message with UTF-8 in header section and body; its token.
async fn sent(c: &Context) -> Result<crate::probe::message::Token, Stop> {
    let token = c.token();
    let mut s = opened(c).await?;
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    let content = format!(
        "X-Gauntlet-Name: пошта grün\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n{}{BODY}",
        token.header(c.from(), c.to())
    );
    s.owe("the end of data");
    s.send(stuffed(content.as_bytes())).await;
    s.reply().await?.expect("250")?;
    s.quit().await;
    Ok(token)
}

async fn content_arrives(c: &mut Context) -> Checked {
    let token = sent(c).await?;
    let arrived = c.arrived(&token).await?;
    let name = arrived.field("X-Gauntlet-Name");
    if name != ["пошта grün"] {
        return Err(Stop::failed(
            "the header field `X-Gauntlet-Name: пошта grün`",
            format!("{name:?}"),
        ));
    }
    same_body(c, &token, BODY.as_bytes()).await
}

/// The topmost `Received:` that the probe's own session made: of several the lowest of those on top, as the message had none.
async fn with_utf8smtp(c: &mut Context) -> Checked {
    let token = sent(c).await?;
    let arrived = c.arrived(&token).await?;
    let received = arrived.field("Received");
    let Some(first) = received.last() else {
        return Err(Stop::failed("a Received: field", "none"));
    };
    let protocol = first
        .split_whitespace()
        .skip_while(|word| !word.eq_ignore_ascii_case("with"))
        .nth(1)
        .unwrap_or_default()
        .trim_end_matches(';');
    if ["UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(protocol))
    {
        return Ok(());
    }
    Err(Stop::failed("`with UTF8SMTP` in the trace field", first))
}
