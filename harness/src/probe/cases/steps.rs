//! Steps that many cases have in common.

use crate::probe::{
    context::Context,
    dialogue::visible,
    message::{Arrived, Token, with_line_feeds},
    outcome::{Checked, Stop},
    reply::Reply,
};

/// Codes that refuse a command for its form or its place, not for what it asks.
pub(super) const SYNTAX: &str = "500|501|502|503|504|555";

/// In a session, the command is answered with one of these codes.
pub(super) async fn answered(c: &Context, command: &str, codes: &str) -> Checked {
    let mut s = c.session().await?;
    s.ask(command).await?.expect(codes)
}

/// The command may be refused for what it asks, but not for its form: the grammar allows it.
pub(super) fn understood(reply: &Reply) -> Checked {
    reply.refuse(SYNTAX, "no complaint about form or order, which are right,")
}

/// The session goes on: NOOP is answered with 250.
pub(super) async fn goes_on(s: &mut crate::probe::connection::Connection) -> Checked {
    s.ask("NOOP")
        .await
        .and_then(|reply| reply.expect("250"))
        .map_err(|stop| stop.with("the session goes on"))
}

/// Sends a message with this body, and holds that it arrives with it.
pub(super) async fn body_arrives(c: &Context, body: &[u8]) -> Checked {
    let token = c.token();
    let mut s = c.session().await?;
    let content = [&c.message(&token, ""), body].concat();
    c.taken(&mut s, &content).await?;
    s.quit().await;
    same_body(c, &token, body).await
}

/// The message of that token has arrived with this body.
pub(super) async fn same_body(c: &Context, token: &Token, body: &[u8]) -> Checked {
    let arrived = c.arrived(token).await?;
    let (_, seen) = arrived.parts();
    // A mailbox may keep lines with LF alone.
    let wanted = with_line_feeds(body);
    if seen == wanted {
        return Ok(());
    }
    let place = seen.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
    let around = |octets: &[u8]| {
        let from = place.saturating_sub(20);
        visible(&octets[from..octets.len().min(from + 80)])
    };
    Err(Stop::failed(
        format!(
            "the {} octets of body as they were sent, there `{}`",
            wanted.len(),
            around(&wanted)
        ),
        format!(
            "{} octets, from octet {place} on different: `{}`",
            seen.len(),
            around(&seen)
        ),
    ))
}

/// The header fields of the message as it was sent, from our first one on: what stands above was added on the way.
pub(super) fn own_fields(arrived: &Arrived, first: &str) -> Vec<(String, String)> {
    let fields = arrived.fields();
    let from = fields
        .iter()
        .position(|(name, _)| name.eq_ignore_ascii_case(first))
        .unwrap_or(fields.len());
    fields[from..].to_vec()
}
