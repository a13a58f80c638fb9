//! RFC 5321bis (draft-ietf-emailcore-rfc5321bis), where it differs from RFC 5321. It is a draft: nothing here counts as MUST.

use super::extensions::{all_replies, shown};
use crate::probe::{
    case::{Case, Need},
    context::Context,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::may(
        "rfc5321bis/4.1.1/source-route",
        "A source route, which nobody may send any more, is either ignored or refused for good.",
        |c| Box::pin(source_route(c)),
    )
    .source("RFC 5321bis appendix F.2 (RFC 5321 §3.6.1, §4.1.1.3)"),
    Case::should(
        "rfc5321bis/4.1.1/obsolete-commands",
        "SEND, SOML, SAML and TURN are gone: none of them is accepted.",
        |c| Box::pin(obsolete_commands(c)),
    )
    .source("RFC 5321bis appendix F.1, F.6 (RFC 5321 appendix F.1, F.6)"),
    Case::should(
        "rfc5321bis/2.3.8/bare-line-ends",
        "Content with a CR or LF of its own is either refused or kept as it is: a bare line end never becomes a line end.",
        |c| Box::pin(bare_line_ends(c)),
    )
    .needs(&[Need::Arrival])
    .source("RFC 5321bis §2.3.8, §4.1.1.4"),
];

async fn source_route(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let to = c.to().to_owned();
    let reply = s.ask(format!("RCPT TO:<@relay.example:{to}>")).await?;
    s.quit().await;
    reply.expect("250|251|5yz")
}

async fn obsolete_commands(c: &mut Context) -> Checked {
    let from = c.from().to_owned();
    for command in [
        format!("SEND FROM:<{from}>"),
        format!("SOML FROM:<{from}>"),
        format!("SAML FROM:<{from}>"),
        "TURN".to_owned(),
    ] {
        let mut s = c.session().await?;
        let reply = s.ask(command).await?;
        s.quit().await;
        reply.expect("5yz")?;
    }
    Ok(())
}

async fn bare_line_ends(c: &mut Context) -> Checked {
    let token = c.token();
    let body = b"one\ntwo\rthree\r\n";
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    let content = [&c.message(&token, ""), &body[..], b".\r\n"].concat();
    let replies = all_replies(&mut s, &content).await;
    let [reply] = replies.as_slice() else {
        return Err(Stop::failed(
            "one reply to one end of data",
            shown(&replies),
        ));
    };
    if reply.is("4yz|5yz") {
        return Ok(());
    }
    reply.expect("250")?;
    let arrived = c.arrived(&token).await?;
    // Where a maildir has LF for CRLF nobody can tell a bare LF; a bare CR must be there all the same.
    let crlf = arrived.content.windows(2).any(|two| two == b"\r\n");
    let kept: &[u8] = if crlf {
        b"one\ntwo\rthree\r\n"
    } else {
        b"one\ntwo\rthree\n"
    };
    if arrived
        .content
        .windows(kept.len())
        .any(|window| window == kept)
    {
        return Ok(());
    }
    let (_, seen) = arrived.parts();
    Err(Stop::failed(
        format!("the body `{}`", crate::probe::dialogue::visible(body)),
        crate::probe::dialogue::visible(&seen),
    ))
}
