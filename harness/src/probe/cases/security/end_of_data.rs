//! Only `<CRLF>.<CRLF>` ends the data (TC-10): whatever else looks like an end makes one message into two, and the second
//! one is the attacker's, with the sender's good name.

use crate::probe::{
    case::{Case, Need},
    context::Context,
    outcome::{Checked, Stop},
};

const SOURCE: &str = "RFC 5321 §4.1.1.4, §2.3.8";

pub(super) const CASES: &[Case] = &[Case::security(
    "security/end-of-data-lf-dot-lf",
    SOURCE,
    "LF . LF does not end the data, and what follows it is no command.",
    |c| Box::pin(no_end(c, b"\n.\n")),
)
.needs(&[Need::Arrival])];

/// Sends a message in which `sequence` stands where a careless server ends the data, with a second transaction behind it.
/// No second message may arrive, whether the first one was taken or refused.
async fn no_end(c: &mut Context, sequence: &[u8]) -> Checked {
    let (first, second) = (c.token(), c.token());
    let mut s = c.in_data().await?;
    let (from, to) = (c.from().to_owned(), c.to().to_owned());
    let smuggled = format!(
        "MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n{}smuggled\r\n.\r\n",
        second.header(&from, &to)
    );
    s.owe("the end of data");
    s.send([&c.message(&first, "before"), sequence, smuggled.as_bytes()].concat())
        .await;
    let reply = s.reply().await?;
    // One reply, to one end of data: further ones are those to the smuggled commands.
    s.silent(crate::probe::context::EARLY, "one reply to one end of data")
        .await
        .map_err(|stop| match stop {
            Stop::Failed { seen, .. } => {
                Stop::failed(format!("one reply to one end of data, after {reply}"), seen)
            }
            other => other,
        })?;
    c.none_arrives(&[&second], "the smuggled message does not arrive")
        .await
}
