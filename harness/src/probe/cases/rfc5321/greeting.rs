//! RFC 5321 §3.1, §4.2, §4.3.1: what a server says first.

use crate::probe::{
    case::Case,
    context::{Context, EARLY},
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/3.1/greeting",
        "A server opens a session with a reply of 220, or of 554 when it gives no service.",
        |c| Box::pin(greeting(c)),
    ),
    Case::must(
        "rfc5321/4.2/greeting-names-the-host",
        "The text of the greeting begins with the host's name, a domain or an address literal.",
        |c| Box::pin(greeting_names_the_host(c)),
    )
    .source("RFC 5321 §4.2, §4.3.1"),
    Case::must(
        "rfc5321/4.2/greeting-form",
        "Every line of the greeting has the same three-digit code, a hyphen or a space, at most 512 octets, and CRLF.",
        |c| Box::pin(greeting_form(c)),
    ),
    Case::must(
        "rfc5321/4.2/one-greeting",
        "Nothing follows the greeting until the client sends a command.",
        |c| Box::pin(one_greeting(c)),
    )
    .source("RFC 5321 §4.2, §4.3.1"),
    Case::must(
        "rfc5321/4.1.1.10/quit-before-hello",
        "QUIT may be the first command: it is answered with 221, and the connection is closed.",
        |c| Box::pin(quit_first(c)),
    )
    .source("RFC 5321 §4.1.1.10, §4.1.4"),
];

async fn greeting(c: &mut Context) -> Checked {
    let mut s = c.connect().await?;
    s.reply().await?.expect("220|554")
}

async fn greeting_names_the_host(c: &mut Context) -> Checked {
    let mut s = c.connect().await?;
    let greeting = s.greet().await?;
    let text = greeting
        .lines
        .first()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if is_host(first_word(text)) {
        Ok(())
    } else {
        Err(greeting.unexpected("a domain or an address literal after the code"))
    }
}

async fn greeting_form(c: &mut Context) -> Checked {
    let mut s = c.connect().await?;
    let greeting = s.reply().await?;
    match greeting.faults().first() {
        None => Ok(()),
        Some(fault) => Err(Stop::failed(
            "a well formed greeting",
            format!("{fault}: {greeting}"),
        )),
    }
}

async fn one_greeting(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.silent(EARLY, "nothing after the greeting before a command")
        .await
}

async fn quit_first(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.ask("QUIT").await?.expect("221")?;
    s.ends("the end of the connection after 221").await
}

fn first_word(text: &[u8]) -> &[u8] {
    text.split(|octet| *octet == b' ')
        .next()
        .unwrap_or_default()
}

/// RFC 5321 §4.1.2: a domain of letters, digits and hyphens, or an address literal. A trailing dot and an underscore, which
/// are in use, are not held against a server.
pub(super) fn is_host(name: &[u8]) -> bool {
    if let Some(literal) = name.strip_prefix(b"[") {
        return literal.ends_with(b"]");
    }
    let octet = |o: &u8| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= 255 && name.iter().all(octet) && !name.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_domain_or_a_literal() {
        for good in ["n1", "mx.example.org", "[127.0.0.1]", "[IPv6:::1]", "a-b.c"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in ["", "[127.0.0.1", ".a", "a!b", "ESMTP\u{fc}"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
