//! RFC 5321 §3.2, §4.1.1.1, §4.1.4: EHLO and HELO.

use super::super::steps::goes_on;
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
    Case::must(
        "rfc5321/4.1.1.1/ehlo-names-optional-commands",
        "A command that is not among the required ones (HELP, EXPN) has its keyword in the reply to EHLO when it is supported.",
        |c| Box::pin(optional_commands_are_named(c)),
    )
    .source("RFC 5321 §4.1.1.1, §3.5.2"),
    Case::must(
        "rfc5321/4.2.4/offered-commands-are-implemented",
        "No keyword stands in the reply to EHLO whose command is answered with 500 or 502.",
        |c| Box::pin(offered_commands(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.1/helo",
        "HELO is supported beside EHLO, and answered with 250.",
        |c| Box::pin(helo(c)),
    ),
    Case::must(
        "rfc5321/3.2/helo-is-not-extended",
        "The reply to HELO is not that of EHLO: it names no extensions.",
        |c| Box::pin(helo_is_not_extended(c)),
    ),
    Case::must(
        "rfc5321/3.2/helo-transaction",
        "A session that began with HELO takes mail.",
        |c| Box::pin(helo_transaction(c)),
    )
    .source("RFC 5321 §3.2, §4.1.1.1"),
    Case::must(
        "rfc5321/4.1.3/ehlo-ipv6-literal",
        "The argument of EHLO may be an address literal, and so one of IPv6.",
        |c| Box::pin(ehlo_takes(c, "[IPv6:2001:db8::25]")),
    ),
    Case::must(
        "rfc5321/4.1.4/ehlo-name-that-is-not-the-client-s",
        "A name in EHLO that does not belong to the client's address is no reason to refuse mail.",
        |c| Box::pin(foreign_name(c)),
    ),
    Case::must(
        "rfc5321/4.1.4/second-ehlo",
        "EHLO may be said again later in the session.",
        |c| Box::pin(second_ehlo(c)),
    ),
    Case::must(
        "rfc5321/4.1.4/ehlo-resets",
        "EHLO in a transaction does what RSET does: sender and recipients are gone.",
        |c| Box::pin(resets(c, "EHLO")),
    ),
    Case::must(
        "rfc5321/4.1.1.1/helo-resets",
        "HELO in a transaction clears its state: sender and recipients are gone.",
        |c| Box::pin(resets(c, "HELO")),
    ),
    Case::must(
        "rfc5321/4.1.4/refused-ehlo-changes-nothing",
        "An EHLO that is refused leaves the session as it was: an open transaction stays open.",
        |c| Box::pin(refused_ehlo(c)),
    ),
    Case::must(
        "rfc5321/4.1.4/ehlo-refused-with-a-code-of-its-own",
        "An EHLO that is not acceptable, such as one without an argument, is refused with 501, 500, 502 or 550.",
        |c| Box::pin(ehlo_without_argument(c)),
    ),
    Case::may(
        "rfc5321/4.1.1.1/ehlo-needs-an-argument",
        "EHLO has an argument; a server may insist on it.",
        |c| Box::pin(insists(c)),
    ),
    Case::must(
        "rfc5321/2.4/ehlo-keywords-in-any-case",
        "EHLO itself is understood in lower and in mixed case.",
        |c| Box::pin(lower_case(c)),
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
            format!("`{}` in {reply}", line.escape_ascii()),
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

async fn optional_commands_are_named(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    for (keyword, command) in [
        ("HELP", "HELP".to_owned()),
        ("EXPN", format!("EXPN {}", c.to())),
    ] {
        let reply = s.ask(&command).await?;
        // Any other refusal may be the site's policy.
        let supported = reply.is("211|214|250|252");
        if supported && !s.offers(keyword) {
            return Err(Stop::failed(
                format!("{keyword} in the reply to EHLO, as the server supports it"),
                format!("{reply}, and no {keyword} in the reply to EHLO"),
            ));
        }
    }
    Ok(())
}

async fn offered_commands(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let commands = [
        ("HELP", "HELP".to_owned()),
        ("EXPN", format!("EXPN {}", c.to())),
        ("VRFY", format!("VRFY {}", c.to())),
        ("ETRN", "ETRN gauntlet.invalid".to_owned()),
        ("CHUNKING", "BDAT 0".to_owned()),
        ("AUTH", "AUTH GAUNTLET-PROBE".to_owned()),
    ];
    for (keyword, command) in commands
        .iter()
        .filter(|(keyword, _)| s.offers(keyword))
        .cloned()
        .collect::<Vec<_>>()
    {
        let reply = s.ask(&command).await?;
        reply.refuse(
            "500|502",
            &format!("another answer, as {keyword} is offered,"),
        )?;
    }
    Ok(())
}

async fn helo(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.ask(format!("HELO {HELLO}")).await?.expect("250")
}

async fn helo_is_not_extended(c: &mut Context) -> Checked {
    let keywords: Vec<String> = c.session().await?.keywords().to_vec();
    // A session of its own: whether HELO may be said after EHLO is another clause.
    let mut s = c.greeted().await?;
    let reply = s.ask(format!("HELO {HELLO}")).await?;
    reply.expect("250").map_err(Stop::in_preparation)?;
    let named = reply.lines.iter().skip(1).any(|line| {
        let line = String::from_utf8_lossy(line);
        keywords
            .iter()
            .any(|keyword| keyword.eq_ignore_ascii_case(line.trim()))
    });
    if named {
        return Err(reply.unexpected("no extensions in the reply"));
    }
    Ok(())
}

async fn helo_transaction(c: &mut Context) -> Checked {
    let mut s = c.helo_session().await?;
    let token = c.token();
    let content = c.message(&token, "sent after HELO\r\n");
    c.taken(&mut s, &content).await
}

async fn ehlo_takes(c: &mut Context, argument: &str) -> Checked {
    let mut s = c.greeted().await?;
    s.ask(format!("EHLO {argument}")).await?.expect("250")
}

async fn foreign_name(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.ask("EHLO not-this-host.gauntlet.invalid")
        .await?
        .expect("250")?;
    let (from, to) = (c.from(), c.to());
    let commands = [
        (format!("MAIL FROM:<{from}>"), "250"),
        (format!("RCPT TO:<{to}>"), "250|251"),
        ("DATA".to_owned(), "354"),
    ];
    for (command, codes) in commands {
        s.ask(command).await?.expect(codes)?;
    }
    Ok(())
}

async fn second_ehlo(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask(format!("EHLO {HELLO}")).await?.expect("250")?;
    c.open(&mut s).await
}

async fn resets(c: &mut Context, verb: &str) -> Checked {
    let mut s = c.opened().await?;
    s.prepare(format!("{verb} {HELLO}"), "250").await?;
    let rcpt = s.ask(format!("RCPT TO:<{}>", c.to())).await?;
    rcpt.expect("503")?;
    s.ask("DATA").await?.expect("503|554")
}

async fn refused_ehlo(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    let reply = s.ask("EHLO").await?;
    if reply.is_positive() {
        return Err(Stop::skipped(
            "the server takes an EHLO without an argument",
        ));
    }
    s.ask("DATA").await?.expect("354")
}

async fn ehlo_without_argument(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    let reply = s.ask("EHLO").await?;
    if reply.is_positive() {
        return Err(Stop::skipped(
            "the server takes an EHLO without an argument",
        ));
    }
    // RFC 5321 §4.3.2 has 504 among the replies to EHLO as well.
    reply.expect("501|500|502|550|504")?;
    goes_on(&mut s).await
}

async fn insists(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.ask("EHLO").await?.expect("5yz")
}

async fn lower_case(c: &mut Context) -> Checked {
    for verb in ["ehlo", "eHlO"] {
        // A session each: whether EHLO may be said again is another clause.
        let mut s = c.greeted().await?;
        s.ask(format!("{verb} {HELLO}")).await?.expect("250")?;
    }
    Ok(())
}
