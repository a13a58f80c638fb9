//! RFC 2034: ENHANCEDSTATUSCODES, what stands where.

use super::extensions::without_parameters;
use crate::probe::{
    case::{Case, Need},
    connection::Connection,
    context::{Context, HELLO},
    message::stuffed,
    outcome::{Checked, Stop},
    reply::Reply,
};

pub(super) const ENHANCED: &[Need] = &[Need::Extension("ENHANCEDSTATUSCODES")];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc2034/3/keyword",
        "ENHANCEDSTATUSCODES stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "ENHANCEDSTATUSCODES")),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/envelope",
        "The replies to MAIL and RCPT that accept have a status code of class 2.",
        |c| Box::pin(envelope(c)),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/end-of-data",
        "The reply to the end of data has a status code of its class.",
        |c| Box::pin(end_of_data(c)),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/rset-and-noop",
        "The replies to RSET and NOOP have a status code of class 2.",
        |c| Box::pin(rset_and_noop(c)),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/quit",
        "The reply to QUIT has a status code of class 2.",
        |c| Box::pin(one(c, "QUIT")),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/vrfy",
        "The reply to VRFY has a status code of its class.",
        |c| Box::pin(one(c, "VRFY postmaster")),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/unknown-command",
        "The reply that refuses an unknown command has a status code of class 5.",
        |c| Box::pin(one(c, "GAUNTLET")),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/bad-arguments",
        "The reply that refuses a command for its arguments has a status code of class 5.",
        |c| Box::pin(one(c, "MAIL TO:<x@example.com>")),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/bad-order",
        "The reply that refuses a command out of order has a status code of class 5.",
        |c| Box::pin(one(c, "DATA")),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/every-line",
        "Each line of a reply of several lines begins with the same status code.",
        |c| Box::pin(every_line(c)),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/none-with-ehlo",
        "The reply to EHLO has no status codes: they would stand where keywords do.",
        |c| Box::pin(none_with_ehlo(c)),
    )
    .needs(ENHANCED),
    Case::must(
        "rfc2034/4/none-with-354",
        "A reply of 354 has no status code: there is no class 3.",
        |c| Box::pin(none_with_354(c)),
    )
    .needs(ENHANCED)
    .source("RFC 2034 §4, RFC 3463 §2"),
];

/// The reply's first line has a status code of the reply's class.
pub(super) fn has_code(reply: &Reply) -> Checked {
    match reply.enhanced(0) {
        Some((class, ..)) if class == reply.code / 100 => Ok(()),
        Some(_) => Err(reply.unexpected(&format!(
            "a status code of class {} in the reply",
            reply.code / 100
        ))),
        None => Err(reply.unexpected("a status code in the reply")),
    }
}

/// The reply to this command, whatever it is, has a status code. A 421 has one, too.
async fn one(c: &mut Context, command: &str) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask(command).await?;
    if reply.code == 354 {
        return Err(Stop::inconclusive(format!(
            "{command} is not refused: {reply}"
        )));
    }
    has_code(&reply)
}

async fn envelope(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    for command in [
        format!("MAIL FROM:<{}>", c.from()),
        format!("RCPT TO:<{}>", c.to()),
    ] {
        has_code(&s.prepare(command, "250|251").await?)?;
    }
    s.quit().await;
    Ok(())
}

async fn end_of_data(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&token, "a status code is due\r\n")))
        .await;
    let reply = s.reply().await?;
    s.quit().await;
    has_code(&reply)
}

async fn rset_and_noop(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    for command in ["RSET", "NOOP"] {
        has_code(&s.prepare(command, "250").await?)?;
    }
    s.quit().await;
    Ok(())
}

/// HELP is the command that is likely to be answered with several lines; the others are asked as well.
async fn every_line(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    for command in ["HELP", "VRFY postmaster", "NOOP"] {
        let reply = s.ask(command).await?;
        let first = reply.enhanced(0);
        let same = (0..reply.lines.len()).all(|line| reply.enhanced(line) == first);
        // Whether there is one at all is asked elsewhere, but for HELP.
        if !same || command == "HELP" && first.is_none() {
            return Err(reply.unexpected("the same status code on each line of the reply"));
        }
    }
    s.quit().await;
    Ok(())
}

async fn none_with_ehlo(c: &mut Context) -> Checked {
    let mut s: Connection = c.session().await?;
    let reply = s.prepare(format!("EHLO {HELLO}"), "250").await?;
    s.quit().await;
    if (0..reply.lines.len()).any(|line| reply.enhanced(line).is_some()) {
        return Err(reply.unexpected("no status code in the reply"));
    }
    Ok(())
}

async fn none_with_354(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    let reply = s.prepare("DATA", "354").await?;
    let text = reply.lines.first().cloned().unwrap_or_default();
    let looks_like_one = text.len() >= 5
        && text[0].is_ascii_digit()
        && text[1] == b'.'
        && text[2].is_ascii_digit()
        && text[3..].contains(&b'.');
    if looks_like_one {
        return Err(Stop::failed("no status code with 354", reply.to_string()));
    }
    Ok(())
}
