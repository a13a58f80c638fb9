//! RFC 5321 §4.1.1.1: EHLO and HELO.

use crate::probe::{
    case::Case,
    context::{Context, HELLO},
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.1.1.1/ehlo",
        "EHLO is answered with 250 and the server's name on the first line.",
        |c| Box::pin(ehlo(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.1/ehlo-keywords",
        "Each further line of the reply to EHLO has a keyword of letters, digits and hyphens, and its parameters.",
        |c| Box::pin(ehlo_keywords(c)),
    ),
];

async fn ehlo(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    let reply = s.ask(format!("EHLO {HELLO}")).await?;
    reply.expect("250")?;
    s.keep_keywords(&reply);
    if super::greeting::is_host(s.server_name().as_bytes()) {
        Ok(())
    } else {
        Err(reply.unexpected("a domain or an address literal on the first line"))
    }
}

async fn ehlo_keywords(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    let reply = s.ehlo(HELLO).await?;
    let bad = reply.lines.iter().skip(1).find(|line| !is_ehlo_line(line));
    match bad {
        None => Ok(()),
        Some(line) => Err(Stop::failed(
            "lines of a keyword and its parameters",
            format!("{} in {reply}", line.escape_ascii()),
        )),
    }
}

/// RFC 5321 §4.1.1.1: `ehlo-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")`, parameters of printable characters.
fn is_ehlo_line(line: &[u8]) -> bool {
    let mut words = line.split(|octet| *octet == b' ');
    let keyword = words.next().unwrap_or_default();
    let first = keyword.first().is_some_and(u8::is_ascii_alphanumeric);
    // `AUTH=LOGIN`, for clients of the last century, is a parameter that is not separated.
    let rest = keyword
        .iter()
        .all(|o| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'='));
    first && rest && words.all(|word| !word.is_empty() && word.iter().all(u8::is_ascii_graphic))
}
