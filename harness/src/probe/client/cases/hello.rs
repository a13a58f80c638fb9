//! RFC 5321 §3.2, §4.1.1.1: EHLO, HELO, and what a client makes of the offers.

use super::steps::{body_of, holds, verbs};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::Context,
        manners::{Manners, say},
        seen::{Command, Transaction},
    },
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::should(
        "client/rfc5321/4.1.1.1/ehlo-first",
        "A session begins with EHLO.",
        |c| Box::pin(ehlo_first(c)),
    ),
    Case::must(
        "client/rfc5321/4.1.1.1/hello-before-mail",
        "EHLO or HELO comes before the first transaction.",
        |c| Box::pin(hello_before_mail(c)),
    ),
    Case::must(
        "client/rfc5321/2.3.5/name-in-hello",
        "EHLO names a fully-qualified domain, or an address literal; no nickname, and nothing behind it.",
        |c| Box::pin(name(c)),
    )
    .source("RFC 5321 §2.3.5, §4.1.1.1, §4.1.4"),
    Case::should(
        "client/rfc5321/3.2/helo-after-500",
        "After 500 to EHLO the client says HELO, and sends its mail.",
        |c| Box::pin(helo_after(c, "500 5.5.1 what?")),
    )
    .needs(&[Need::Alone]),
    Case::should(
        "client/rfc5321/3.2/helo-after-502",
        "After 502 to EHLO the client says HELO, and sends its mail.",
        |c| Box::pin(helo_after(c, "502 5.5.1 not here")),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.1.1.2/no-parameters-after-helo",
        "After HELO no parameter is sent with MAIL or RCPT: nothing was offered.",
        |c| Box::pin(no_parameters_after_helo(c)),
    )
    .source("RFC 5321 §4.1.1.2, §4.1.1.3")
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/2.2.1/unknown-keywords",
        "Keywords that the client does not know do not matter to it.",
        |c| {
            Box::pin(offered(
                c,
                &["XFROBNICATE a=b <c>", "8BITMIME", "X-1", "STRANGE 1 2 3", "PIPELINING"],
            ))
        },
    )
    .source("RFC 5321 §2.2.1, §4.1.1.1")
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.1.1.1/parameters-of-keywords",
        "Parameters that the client does not expect behind a keyword do not matter to it.",
        |c| Box::pin(offered(c, &["PIPELINING yes", "8BITMIME 1", "DSN x=y"])),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.1.1.1/many-keywords",
        "A reply to EHLO may have many lines.",
        |c| Box::pin(offered(c, &MANY)),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc5321/4.1.1.1/keywords-in-any-case",
        "Keywords are recognized in any case: `size 5000` is a limit.",
        |c| Box::pin(lower_case(c)),
    )
    .needs(&[Need::Alone]),
];

const MANY: [&str; 60] = ["XKEYWORD with some more words behind it"; 60];

async fn attempted(c: &mut Context) -> Result<std::sync::Arc<Transaction>, Stop> {
    let sent = c.mail(|draft| draft.body("hello\r\n")).await?;
    sent.attempt().await
}

async fn ehlo_first(c: &mut Context) -> Checked {
    let transaction = attempted(c).await?;
    let commands = transaction.session.commands();
    let first = commands.first().map(Command::verb);
    holds(
        first.as_deref() == Some("EHLO"),
        "EHLO as the first command",
        || verbs(&commands),
    )
}

async fn hello_before_mail(c: &mut Context) -> Checked {
    let transaction = attempted(c).await?;
    let commands = transaction.session.commands();
    let place = |wanted: &[&str]| {
        let is = |command: &Command| wanted.contains(&command.verb().as_str());
        commands.iter().position(is)
    };
    let right = place(&["EHLO", "HELO"]).is_some_and(|hello| Some(hello) < place(&["MAIL"]));
    holds(right, "EHLO or HELO before MAIL", || verbs(&commands))
}

async fn name(c: &mut Context) -> Checked {
    let transaction = attempted(c).await?;
    for command in transaction.session.commands() {
        if matches!(command.verb().as_str(), "EHLO" | "HELO") {
            let name = command.argument();
            holds(
                is_qualified(&name) || is_literal(&name),
                "a fully-qualified domain or an address literal",
                || command.to_string(),
            )?;
        }
    }
    Ok(())
}

/// RFC 5321 §4.1.2 `Domain`, with a dot at least.
fn is_qualified(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    name.contains('.') && name.split('.').all(label)
}

/// RFC 5321 §4.1.3: an IPv4 or an IPv6 address.
fn is_literal(name: &str) -> bool {
    let Some(inside) = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    else {
        return false;
    };
    match inside.strip_prefix("IPv6:") {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => inside.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

async fn helo_after(c: &mut Context, refusal: &'static str) -> Checked {
    c.behave(Manners::plain().ehlo(say(refusal))).await;
    let sent = c.mail(|draft| draft.body("hello\r\n")).await?;
    sent.accepted("HELO, and the message").await.map(|_| ())
}

async fn no_parameters_after_helo(c: &mut Context) -> Checked {
    c.behave(Manners::plain().ehlo(say("502 5.5.1 not here")))
        .await;
    let sent = c.mail(|draft| draft.body("hello\r\n")).await?;
    let transaction = sent.attempt().await?;
    let recipients = transaction.recipients.iter().flat_map(|to| to.parameters());
    let all: Vec<String> = transaction
        .parameters()
        .into_iter()
        .chain(recipients)
        .collect();
    holds(all.is_empty(), "no parameter", || all.join(" "))
}

async fn offered(c: &mut Context, keywords: &[&'static str]) -> Checked {
    c.behave(Manners::offering(keywords)).await;
    let sent = c.mail(|draft| draft.body("hello\r\n")).await?;
    sent.accepted("the message").await.map(|_| ())
}

async fn lower_case(c: &mut Context) -> Checked {
    c.behave(Manners::offering(&["SIZE 5000"]).for_sessions(1))
        .await;
    let control = c.mail(|draft| draft.body(body_of(20_000))).await?;
    if super::extensions::not_sent(c, &control).await.is_err() {
        return Err(Stop::skipped(
            "the client has no use for SIZE in upper case either",
        ));
    }
    c.behave(Manners::offering(&["size 5000"]).for_sessions(1))
        .await;
    let sent = c.mail(|draft| draft.body(body_of(20_000))).await?;
    super::extensions::not_sent(c, &sent).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["mta.example.test", "a-b.c1", "x.y"] {
            assert!(is_qualified(good), "{good}");
        }
        for bad in [
            "localhost",
            "",
            "a..b",
            "a.b.",
            "-a.b",
            "a_b.c",
            "a.b c",
            "ä.b",
        ] {
            assert!(!is_qualified(bad), "{bad}");
        }
        assert!(is_literal("[127.0.0.1]") && is_literal("[IPv6:::1]"));
        assert!(!is_literal("127.0.0.1") && !is_literal("[::1]") && !is_literal("[127.0.0.1"));
    }
}
