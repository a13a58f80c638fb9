//! RFC 5321 §2.4, §4.1.1.2, §4.1.1.3, §4.5.3, §4.5.4.1: the envelope, which a relay hands on as it is.

use super::steps::holds;
use crate::probe::{
    case::{Case, Need},
    client::{context::Context, seen::Command},
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc5321/4.1.1.2/return-path",
        "MAIL has the return path that the message came with.",
        |c| Box::pin(return_path(c)),
    )
    .source("RFC 5321 §3.3, §4.1.1.2"),
    Case::must(
        "client/rfc5321/4.5.5/null-return-path",
        "A null return path stays null.",
        |c| Box::pin(null_return_path(c)),
    ),
    Case::must(
        "client/rfc5321/2.4/local-part-case",
        "The case of a local part is kept.",
        |c| Box::pin(local_part(c, Kind::MixedCase)),
    ),
    Case::must(
        "client/rfc5321/4.1.2/quoted-local-part",
        "A local part that needs its quotes keeps them.",
        |c| Box::pin(local_part(c, Kind::Quoted)),
    )
    .source("RFC 5321 §2.3.11, §4.1.2"),
    Case::must(
        "client/rfc5321/4.1.1.3/every-recipient",
        "The message goes to every one of its recipients.",
        |c| Box::pin(recipients(c, 3)),
    ),
    Case::must(
        "client/rfc5321/4.5.3.1.8/hundred-recipients",
        "The message goes to every one of a hundred recipients.",
        |c| Box::pin(recipients(c, 100)),
    )
    .source("RFC 5321 §4.1.1.3, §4.5.3.1.8"),
    Case::should(
        "client/rfc5321/4.5.4.1/one-copy-for-many",
        "Recipients with the same next hop share one transaction.",
        |c| Box::pin(one_copy(c)),
    ),
    Case::must(
        "client/rfc5321/3.3/no-space-in-mail-and-rcpt",
        "MAIL FROM: and RCPT TO: are written so, with no space at the colon and the path in brackets.",
        |c| Box::pin(form(c)),
    )
    .source("RFC 5321 §3.3, §4.1.1.2, §4.1.1.3"),
    Case::must(
        "client/rfc5321/4.1.1/command-lines-end-with-crlf",
        "Every command line ends with CRLF, and has no CR, LF or NUL of its own.",
        |c| Box::pin(line_ends(c)),
    )
    .source("RFC 5321 §2.3.8, §4.1.1"),
    Case::should(
        "client/rfc5321/4.5.3.1.4/short-command-lines",
        "No command line is longer than 512 octets and what its extensions add.",
        |c| Box::pin(lengths(c)),
    ),
    Case::must(
        "client/rfc5321/4.1.1/no-arguments-where-there-are-none",
        "DATA, RSET and QUIT have no argument.",
        |c| Box::pin(no_arguments(c)),
    )
    .needs(&[Need::NoExtensions]),
];

async fn return_path(c: &mut Context) -> Checked {
    let (tokens, draft) = c.draft();
    let wanted = tokens.return_path(c.addresses().0);
    let sent = c.send(&tokens, draft).await?;
    let seen = sent.attempt().await?.from();
    holds(seen == wanted, &format!("MAIL FROM:<{wanted}>"), || {
        format!("<{seen}>")
    })
}

async fn null_return_path(c: &mut Context) -> Checked {
    let (tokens, mut draft) = c.draft();
    draft.from = String::new();
    let sent = c.send(&tokens, draft).await?;
    let transaction = sent.attempt().await?;
    let null = transaction.mail.to_ascii_uppercase().starts_with("FROM:<>");
    holds(null, "MAIL FROM:<>", || {
        format!("MAIL {}", transaction.mail)
    })
}

enum Kind {
    MixedCase,
    Quoted,
}

async fn local_part(c: &mut Context, kind: Kind) -> Checked {
    let (tokens, mut draft) = c.draft();
    let (local, domain) = split(c.addresses().1);
    let tag = format!("{}.0", tokens.forth);
    let wanted = match kind {
        Kind::MixedCase => format!("{local}.MiXeD+{tag}@{domain}"),
        Kind::Quoted => format!("\"{local} and, others+{tag}\"@{domain}"),
    };
    draft.to = vec![wanted.clone()];
    let sent = c.send(&tokens, draft).await?;
    let transaction = sent.attempt().await?;
    let seen: Vec<String> = transaction.recipients.iter().map(|to| to.path()).collect();
    // The domain may be written otherwise (§2.4).
    let same = |path: &String| {
        let (local, domain) = split(path);
        let wanted = split(&wanted);
        local == wanted.0 && domain.eq_ignore_ascii_case(wanted.1)
    };
    holds(
        seen.iter().any(same),
        &format!("RCPT TO:<{wanted}>"),
        || seen.join(", "),
    )
}

fn split(address: &str) -> (&str, &str) {
    address.rsplit_once('@').unwrap_or((address, ""))
}

async fn recipients(c: &mut Context, count: usize) -> Checked {
    let (tokens, mut draft) = c.draft();
    let to = c.addresses().1;
    draft.to = (0..count)
        .map(|number| tokens.recipient(to, number))
        .collect();
    let wanted = draft.to.clone();
    let sent = c.send(&tokens, draft).await?;
    let missing = || -> Vec<String> {
        let attempts = sent.mail.attempts();
        let got = |path: &&String| {
            attempts.iter().any(|one| {
                let has = one.recipients.iter().any(|to| to.path() == **path);
                has && one.content.is_some()
            })
        };
        wanted.iter().filter(|path| !got(path)).cloned().collect()
    };
    let all = c.until(|| missing().is_empty().then_some(())).await;
    holds(all.is_some(), "the message for every recipient", || {
        format!("none for {}", missing().join(", "))
    })
}

async fn one_copy(c: &mut Context) -> Checked {
    let (tokens, mut draft) = c.draft();
    let to = c.addresses().1;
    draft.to = (0..3).map(|number| tokens.recipient(to, number)).collect();
    let sent = c.send(&tokens, draft).await?;
    let transaction = sent.attempt().await?;
    let count = transaction.recipients.len();
    holds(count == 3, "three recipients in one transaction", || {
        count.to_string()
    })
}

async fn form(c: &mut Context) -> Checked {
    let sent = c.mail(|draft| draft.body("form\r\n")).await?;
    for command in sent.attempt().await?.commands() {
        let (verb, text) = (command.verb(), command.text().to_ascii_uppercase());
        let right = match verb.as_str() {
            "MAIL" => text.starts_with("MAIL FROM:<"),
            "RCPT" => text.starts_with("RCPT TO:<"),
            _ => true,
        };
        holds(right, "`MAIL FROM:<…>` and `RCPT TO:<…>`", || {
            command.to_string()
        })?;
    }
    Ok(())
}

async fn session(c: &mut Context) -> Result<Vec<Command>, Stop> {
    let sent = c.mail(|draft| draft.body("lines\r\n")).await?;
    let transaction = sent.attempt().await?;
    sent.session_ends(&transaction).await?;
    Ok(transaction.session.commands())
}

async fn line_ends(c: &mut Context) -> Checked {
    for command in session(c).await? {
        let inside = command.line.strip_suffix(b"\r\n");
        let right = inside.is_some_and(|line| !line.iter().any(|o| matches!(o, b'\r' | b'\n' | 0)));
        holds(right, "a line that ends with CRLF", || command.to_string())?;
    }
    Ok(())
}

/// RFC 1870 §3, RFC 6152 §2, RFC 6531 §3.2, RFC 3461 §4: by how much MAIL and RCPT may be longer.
const WITH_EXTENSIONS: usize = 512 + 26 + 17 + 10 + 500;

async fn lengths(c: &mut Context) -> Checked {
    for command in session(c).await? {
        let most = match command.verb().as_str() {
            "MAIL" | "RCPT" => WITH_EXTENSIONS,
            _ => 512,
        };
        let length = command.line.len();
        holds(length <= most, &format!("{most} octets at most"), || {
            format!("{length} octets: {command}")
        })?;
    }
    Ok(())
}

async fn no_arguments(c: &mut Context) -> Checked {
    for command in session(c).await? {
        let bare = matches!(command.verb().as_str(), "DATA" | "RSET" | "QUIT");
        let right = !bare || command.text().len() == 4;
        holds(right, "the verb alone", || command.to_string())?;
    }
    Ok(())
}
