//! Steps that the cases of the extensions have in common.

use crate::probe::{
    connection::{Connection, Heard},
    context::Context,
    dialogue::visible,
    outcome::{Checked, Stop},
    reply::Reply,
};

/// The keyword, which the case needs, is offered without parameters.
pub(super) async fn without_parameters(c: &Context, keyword: &str) -> Checked {
    let s = c.session().await?;
    let parameters = s.keyword(keyword).unwrap_or_default().to_owned();
    s.quit().await;
    if parameters.is_empty() {
        return Ok(());
    }
    Err(Stop::failed(
        format!("{keyword} without parameters in the reply to EHLO"),
        format!("{keyword} {}", visible(parameters.as_bytes())),
    ))
}

/// The reply to MAIL with these parameters.
pub(super) async fn mail_with(c: &Context, parameters: &str) -> Result<Reply, Stop> {
    let mut s = c.session().await?;
    let reply = s
        .ask(format!("MAIL FROM:<{}> {parameters}", c.from()))
        .await?;
    s.quit().await;
    Ok(reply)
}

/// MAIL with these parameters is accepted.
pub(super) async fn mail_is_accepted(c: &Context, parameters: &str) -> Checked {
    mail_with(c, parameters).await?.expect("250")
}

/// MAIL with these parameters is refused for good.
pub(super) async fn mail_is_refused(c: &Context, parameters: &str) -> Checked {
    mail_with(c, parameters).await?.expect("5yz")
}

/// The reply to RCPT with these parameters.
pub(super) async fn rcpt_with(c: &Context, parameters: &str) -> Result<Reply, Stop> {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let reply = s.ask(format!("RCPT TO:<{}> {parameters}", c.to())).await?;
    s.quit().await;
    Ok(reply)
}

/// RCPT with these parameters is accepted.
pub(super) async fn rcpt_is_accepted(c: &Context, parameters: &str) -> Checked {
    rcpt_with(c, parameters).await?.expect("250|251")
}

/// RCPT with these parameters is refused for good.
pub(super) async fn rcpt_is_refused(c: &Context, parameters: &str) -> Checked {
    rcpt_with(c, parameters).await?.expect("5yz")
}

/// Everything the server says to these octets and to a QUIT behind them, without the reply to QUIT. How many replies there
/// are tells what it took for a command; no time needs to pass for that.
pub(super) async fn all_replies(s: &mut Connection, octets: &[u8]) -> Vec<Reply> {
    s.send([octets, b"QUIT\r\n"].concat()).await;
    let mut replies = Vec::new();
    let patience = s.timeout();
    while let Heard::Reply(reply) = s.hear(patience).await {
        if reply.code == 221 {
            break;
        }
        replies.push(reply);
    }
    replies
}

/// Replies, as failures show them.
pub(super) fn shown(replies: &[Reply]) -> String {
    match replies {
        [] => "no reply".to_owned(),
        replies => replies
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", then "),
    }
}

/// A server may end a session that it finds suspicious at any time (RFC 5321 §3.8): 421, or 521 and 554 with the end.
pub(super) fn ends_service(reply: &Reply) -> bool {
    reply.is("421|521")
}
