//! RFC 5321 §4.5.2, §4.1.1.4: content arrives as it was sent (TC-08).

use crate::probe::{
    case::{Case, Need},
    context::Context,
    message::{Token, with_line_feeds},
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.5.2/dot-stuffing",
        "The first dot of a line that has more is deleted, no other one, and the message is delivered with the dots that it had.",
        |c| Box::pin(dot_stuffing(c)),
    )
    .needs(&[Need::Arrival]),
];

async fn dot_stuffing(c: &mut Context) -> Checked {
    body_arrives(c, b".\r\n..\r\n.a\r\n...b\r\nc.\r\n. \r\nno dot\r\n").await
}

/// Sends a message with this body, and holds that it arrives with it.
pub(super) async fn body_arrives(c: &mut Context, body: &[u8]) -> Checked {
    let token = c.token();
    let mut s = c.session().await?;
    let content = [&c.message(&token, ""), body].concat();
    c.send(&mut s, &content).await?;
    s.quit().await;
    same_body(c, &token, body).await
}

/// The message of that token has arrived with this body.
pub(super) async fn same_body(c: &Context, token: &Token, body: &[u8]) -> Checked {
    let arrived = c.arrived(token).await?;
    let (_, seen) = arrived.parts();
    // A mailbox may keep lines with LF alone.
    if seen == with_line_feeds(body) {
        return Ok(());
    }
    Err(Stop::failed(
        format!(
            "the body as it was sent, `{}`",
            crate::probe::dialogue::visible(body)
        ),
        crate::probe::dialogue::visible(&seen),
    ))
}
