//! RFC 5321 §3.1, §4.2: what a server says first.

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
    ),
    Case::must(
        "rfc5321/4.2/greeting-form",
        "Every line of the greeting has the same three-digit code, a hyphen or a space, at most 512 octets, and CRLF.",
        |c| Box::pin(greeting_form(c)),
    ),
    Case::must(
        "rfc5321/4.2/one-greeting",
        "Nothing follows the greeting until the client sends a command.",
        |c| Box::pin(one_greeting(c)),
    ),
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
    let name = text
        .split(|octet| *octet == b' ')
        .next()
        .unwrap_or_default();
    if is_host(name) {
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

/// RFC 5321 §4.1.2: a domain of letters, digits and hyphens, or an address literal. A trailing dot and an underscore, which
/// are in use, are not held against a server.
pub(super) fn is_host(name: &[u8]) -> bool {
    if let Some(literal) = name.strip_prefix(b"[") {
        return literal.ends_with(b"]");
    }
    let octet = |o: &u8| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= 255 && name.iter().all(octet) && !name.starts_with(b".")
}
