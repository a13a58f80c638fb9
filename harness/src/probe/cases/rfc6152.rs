//! RFC 6152: 8BITMIME.

use super::extensions::{mail_is_accepted, mail_is_refused, rcpt_is_refused, without_parameters};
use super::steps::same_body;
use crate::probe::{
    case::{Case, Need},
    context::Context,
    message::stuffed,
    outcome::Checked,
};

const EIGHT_BIT: &[Need] = &[Need::Extension("8BITMIME")];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc6152/2/keyword",
        "8BITMIME stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "8BITMIME")),
    )
    .needs(EIGHT_BIT),
    Case::must(
        "rfc6152/2/body-8bitmime",
        "MAIL with BODY=8BITMIME is accepted.",
        |c| Box::pin(mail_is_accepted(c, "BODY=8BITMIME")),
    )
    .needs(EIGHT_BIT),
    Case::must(
        "rfc6152/2/body-7bit",
        "MAIL with BODY=7BIT is accepted.",
        |c| Box::pin(mail_is_accepted(c, "BODY=7BIT")),
    )
    .needs(EIGHT_BIT),
    Case::must(
        "rfc6152/2/body-in-any-case",
        "The parameter and its value may be written in any case.",
        |c| Box::pin(mail_is_accepted(c, "body=8BitMime")),
    )
    .needs(EIGHT_BIT),
    Case::must(
        "rfc6152/2/unknown-body",
        "A value of BODY that no standard has is refused.",
        |c| Box::pin(mail_is_refused(c, "BODY=9BITMIME")),
    )
    .needs(EIGHT_BIT),
    Case::must(
        "rfc6152/2/body-without-value",
        "BODY without a value is refused.",
        |c| Box::pin(mail_is_refused(c, "BODY=")),
    )
    .needs(EIGHT_BIT),
    Case::must(
        "rfc6152/2/body-on-rcpt",
        "BODY is a parameter of MAIL, and is refused with RCPT.",
        |c| Box::pin(rcpt_is_refused(c, "BODY=8BITMIME")),
    )
    .needs(EIGHT_BIT)
    .source("RFC 6152 §2, RFC 5321 §4.1.1.11"),
    Case::must(
        "rfc6152/3/all-bits-arrive",
        "Content with octets above 127 is delivered with all bits of each octet.",
        |c| Box::pin(all_bits_arrive(c)),
    )
    .needs(&[Need::Extension("8BITMIME"), Need::Arrival]),
];

async fn all_bits_arrive(c: &mut Context) -> Checked {
    let token = c.token();
    // Every octet above 127, in lines, and text in two charsets.
    let mut body = Vec::new();
    for high in (0x80..=0xff_u8).step_by(16) {
        body.extend((high..=high | 15).chain(*b"\r\n"));
    }
    body.extend_from_slice("grün £ €\r\n".as_bytes());
    let header = c.message(&token, "");
    let mime = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n";
    let content = [mime, &header[..], &body].concat();
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}> BODY=8BITMIME", c.from()), "250")
        .await?;
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&content)).await;
    s.reply().await?.expect("250")?;
    s.quit().await;
    same_body(c, &token, &body).await
}
