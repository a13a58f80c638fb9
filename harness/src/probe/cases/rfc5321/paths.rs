//! RFC 5321 §2.4, §4.1.1.2, §4.1.1.3, §4.1.2, §4.1.3, §4.5.1, §4.5.5: paths, and what stands in them.
//!
//! A server may refuse an address because it knows no such mailbox, or does not relay (55z); it may not call it malformed when the
//! grammar allows it.

use super::super::steps::{goes_on, understood};
use crate::probe::{
    case::{Case, Need},
    context::Context,
    message::stuffed,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.1.1.2/mail",
        "MAIL with a mailbox that the server takes is answered with 250.",
        |c| Box::pin(mail(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.3/rcpt",
        "RCPT with a mailbox that the server takes is answered with 250, or with 251 when it forwards.",
        |c| Box::pin(rcpt(c)),
    ),
    Case::must(
        "rfc5321/4.5.5/null-return-path",
        "MAIL FROM:<> is taken: notifications have no return path.",
        |c| Box::pin(null_return_path(c)),
    )
    .source("RFC 5321 §4.5.5, §4.1.1.2, §3.6.3"),
    Case::should(
        "rfc5321/4.5.5/null-return-path-stays",
        "A null return path is not changed into another one on the way.",
        |c| Box::pin(null_return_path_stays(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.1/postmaster",
        "Mail for <Postmaster>, without a domain, is taken.",
        |c| Box::pin(postmaster(c, &["Postmaster"])),
    ),
    Case::must(
        "rfc5321/4.5.1/postmaster-in-any-case",
        "The name postmaster is known in any case.",
        |c| Box::pin(postmaster(c, &["postmaster", "POSTMASTER", "pOsTmAsTeR"])),
    ),
    Case::must(
        "rfc5321/4.5.1/postmaster-of-the-domain",
        "Mail for the postmaster of a domain that the server serves is taken.",
        |c| Box::pin(postmaster_of_the_domain(c)),
    ),
    Case::must(
        "rfc5321/2.4/domain-in-any-case",
        "The domain of a mailbox is known in upper and in mixed case.",
        |c| Box::pin(domain_in_any_case(c)),
    ),
    Case::must(
        "rfc5321/2.4/local-part-s-case-stays",
        "The case of a local part is preserved on the way.",
        |c| Box::pin(case_stays(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.2/quoted-forms-are-equivalent",
        "A local part in quotes is the same as without them, where it needs none.",
        |c| Box::pin(quoted_forms(c)),
    ),
    Case::must(
        "rfc5321/4.1.2/quoted-local-part",
        "A quoted local part (with a space, an @, a quote behind a backslash) is well formed, in MAIL and in RCPT.",
        |c| Box::pin(well_formed(c, &["\"gauntlet probe\"", "\"a@b\"", "\"a\\\"b\"", "\"a>b\"", "\"\""])),
    ),
    Case::must(
        "rfc5321/4.1.2/atoms",
        "Every character of an atom may stand in a local part.",
        |c| Box::pin(well_formed(c, &["!#$%&'*+-/=?^_`{|}~", "a.b.c", "0"])),
    ),
    Case::must(
        "rfc5321/4.1.3/ipv4-literal",
        "A mailbox may have an address literal of IPv4 for its domain.",
        |c| Box::pin(well_formed_at(c, "[127.0.0.1]")),
    ),
    Case::must(
        "rfc5321/4.1.3/ipv6-literal",
        "A mailbox may have an address literal of IPv6 for its domain.",
        |c| Box::pin(well_formed_at(c, "[IPv6:::1]")),
    ),
    Case::must(
        "rfc5321/4.1.1.3/source-route",
        "A source route in RCPT is recognized: it is taken, ignored, or refused for policy, not as malformed.",
        |c| Box::pin(source_route(c)),
    )
    .source("RFC 5321 §4.1.1.3, §4.1.2, §3.3"),
    Case::must(
        "rfc5321/4.1.2/source-route-in-mail",
        "A source route in MAIL is recognized, although nobody should send one.",
        |c| Box::pin(source_route_in_mail(c)),
    ),
    Case::should(
        "rfc5321/4.1.1.3/source-route-is-ignored",
        "A source route is taken off, and the mail accepted for the mailbox behind it.",
        |c| Box::pin(source_route_is_ignored(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.11/unknown-mail-parameter",
        "A parameter of MAIL that the server does not know is answered with 555.",
        |c| Box::pin(unknown_mail_parameter(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.11/unknown-rcpt-parameter",
        "A parameter of RCPT that the server does not know is answered with 555.",
        |c| Box::pin(unknown_rcpt_parameter(c)),
    ),
    Case::must(
        "rfc5321/4.1.2/control-characters-in-a-path",
        "A command with control characters in a path is refused with 501.",
        |c| Box::pin(refused_paths(c, &["a\x01b@gauntlet.invalid", "a\x7f@gauntlet.invalid"])),
    ),
    Case::must(
        "rfc5321/4.1.2/invalid-domain-characters",
        "A path whose domain has other characters than letters, digits and hyphens is refused with 501.",
        |c| Box::pin(refused_paths(c, &["a@gauntlet_probe.invalid", "a@gauntlet!.invalid"])),
    )
    .source("RFC 5321 §4.1.2, §2.3.5"),
    Case::may(
        "rfc5321/3.3/no-space-after-the-colon",
        "No space is permitted around the colon of MAIL FROM: and RCPT TO:; a server may insist on it.",
        |c| Box::pin(space_after_colon(c)),
    ),
    Case::may(
        "rfc5321/4.1.2/angle-brackets",
        "A path stands in angle brackets; a server may insist on them.",
        |c| Box::pin(no_brackets(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.3/null-recipient",
        "RCPT TO:<> is refused: there is no empty forward path, and nobody to deliver to.",
        |c| Box::pin(null_recipient(c)),
    )
    .source("RFC 5321 §4.1.1.3, §4.1.2, §3.3"),
    Case::should(
        "rfc5321/3.6.2/relay-refusal",
        "A server that does not relay says 550.",
        |c| Box::pin(relay_refusal(c)),
    ),
    Case::must(
        "rfc5321/3.3/one-refused-recipient-of-several",
        "A recipient that is refused is refused alone: the others get the message.",
        |c| Box::pin(one_refused(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.3/several-recipients",
        "A transaction may have several recipients, each with its own reply.",
        |c| Box::pin(several(c)),
    ),
];

async fn mail(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask(format!("MAIL FROM:<{}>", c.from()))
        .await?
        .expect("250")
}

async fn rcpt(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.ask(format!("RCPT TO:<{}>", c.to()))
        .await?
        .expect("250|251")
}

async fn null_return_path(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask("MAIL FROM:<>").await?.expect("250")?;
    s.ask(format!("RCPT TO:<{}>", c.to()))
        .await?
        .expect("250|251")
}

async fn null_return_path_stays(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.session().await?;
    s.prepare("MAIL FROM:<>", "250").await?;
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&token, "a notification\r\n")))
        .await;
    s.prepared("250").await?;
    return_path_is(c, &token, "").await
}

async fn return_path_is(
    c: &Context,
    token: &crate::probe::message::Token,
    wanted: &str,
) -> Checked {
    let arrived = c.arrived(token).await?;
    match &arrived.from {
        None => Err(Stop::inconclusive(
            "the proof of arrival shows no return path",
        )),
        Some(from) if from == wanted => Ok(()),
        Some(from) => Err(Stop::failed(
            format!("the return path <{wanted}>"),
            format!("<{from}>"),
        )),
    }
}

async fn postmaster(c: &mut Context, names: &[&str]) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    for name in names {
        s.ask(format!("RCPT TO:<{name}>"))
            .await?
            .expect("250|251")?;
    }
    Ok(())
}

async fn postmaster_of_the_domain(c: &mut Context) -> Checked {
    let name = format!("Postmaster@{}", c.to_parts().1);
    postmaster(c, &[&name]).await
}

async fn domain_in_any_case(c: &mut Context) -> Checked {
    let (local, domain) = c.to_parts();
    let mixed: String = domain
        .char_indices()
        .map(|(at, c)| {
            if at % 2 == 0 {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    let paths = [
        format!("{local}@{}", domain.to_uppercase()),
        format!("{local}@{mixed}"),
    ];
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    for path in paths {
        s.ask(format!("RCPT TO:<{path}>"))
            .await?
            .expect("250|251")?;
    }
    Ok(())
}

async fn case_stays(c: &mut Context) -> Checked {
    let (_, domain) = c.from().rsplit_once('@').unwrap_or(("", c.from()));
    let from = format!("GauntletProbe.MixedCase@{domain}");
    let token = c.token();
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{from}>"), "250").await?;
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&token, "mixed case\r\n"))).await;
    s.prepared("250").await?;
    return_path_is(c, &token, &from).await
}

async fn quoted_forms(c: &mut Context) -> Checked {
    let (local, domain) = c.to_parts();
    let (first, rest) = local.split_at(local.chars().next().map_or(0, char::len_utf8));
    let paths = [
        format!("\"{local}\"@{domain}"),
        format!("\"\\{first}{rest}\"@{domain}"),
    ];
    let mut s = c.opened().await?;
    for path in paths {
        s.ask(format!("RCPT TO:<{path}>"))
            .await?
            .expect("250|251")?;
    }
    Ok(())
}

/// Local parts at the recipient's domain; a session each, so that no server loses its patience.
async fn well_formed(c: &mut Context, local_parts: &[&str]) -> Checked {
    for local in local_parts {
        let path = format!("{local}@{}", c.to_parts().1);
        well_formed_path(c, &path).await?;
    }
    Ok(())
}

async fn well_formed_at(c: &mut Context, domain: &str) -> Checked {
    let path = format!("{}@{domain}", c.to_parts().0);
    well_formed_path(c, &path).await
}

/// Neither MAIL nor RCPT calls the path malformed.
async fn well_formed_path(c: &Context, path: &str) -> Checked {
    let mut s = c.session().await?;
    understood(&s.ask(format!("MAIL FROM:<{path}>")).await?)?;
    s.prepare("RSET", "250").await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    understood(&s.ask(format!("RCPT TO:<{path}>")).await?)?;
    s.quit().await;
    Ok(())
}

async fn source_route(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let reply = s
        .ask(format!(
            "RCPT TO:<@a.gauntlet.invalid,@b.gauntlet.invalid:{}>",
            c.to()
        ))
        .await?;
    understood(&reply)
}

async fn source_route_in_mail(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    understood(
        &s.ask(format!("MAIL FROM:<@a.gauntlet.invalid:{}>", c.from()))
            .await?,
    )
}

async fn source_route_is_ignored(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.ask(format!("RCPT TO:<@a.gauntlet.invalid:{}>", c.to()))
        .await?
        .expect("250|251")
}

async fn unknown_mail_parameter(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask(format!("MAIL FROM:<{}> GAUNTLET=PROBE", c.from()))
        .await?
        .expect("555")
}

async fn unknown_rcpt_parameter(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.ask(format!("RCPT TO:<{}> GAUNTLET=PROBE", c.to()))
        .await?
        .expect("555")
}

/// Each is refused with 501 (or 553, which is for a mailbox of bad syntax), in MAIL and in RCPT.
async fn refused_paths(c: &mut Context, paths: &[&str]) -> Checked {
    for path in paths {
        let mut s = c.session().await?;
        // RFC 5321 §2.4 would have 500 for characters that are not ASCII at all.
        s.ask(format!("MAIL FROM:<{path}>"))
            .await?
            .expect("501|500|553")?;
        s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
            .await?;
        s.ask(format!("RCPT TO:<{path}>"))
            .await?
            .expect("501|500|55z")?;
        s.quit().await;
    }
    Ok(())
}

async fn space_after_colon(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask(format!("MAIL FROM: <{}>", c.from()))
        .await?
        .expect("501")?;
    goes_on(&mut s).await
}

async fn no_brackets(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask(format!("MAIL FROM:{}", c.from()))
        .await?
        .expect("501")
}

async fn null_recipient(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.ask("RCPT TO:<>").await?.expect("5yz")
}

async fn relay_refusal(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let reply = s.ask("RCPT TO:<nobody@elsewhere.gauntlet.invalid>").await?;
    if reply.is_positive() {
        return Err(Stop::skipped("the server relays"));
    }
    reply.expect("550")
}

/// A recipient that the server refuses, when one can be found: nobody at the domain, or somebody elsewhere.
async fn refused_recipient(
    c: &Context,
    s: &mut crate::probe::connection::Connection,
) -> Result<String, Stop> {
    let candidates = [
        format!("gauntlet-nobody-{}@{}", c.token(), c.to_parts().1),
        "nobody@elsewhere.gauntlet.invalid".to_owned(),
    ];
    for path in candidates {
        s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
            .await?;
        let reply = s.ask(format!("RCPT TO:<{path}>")).await?;
        s.prepare("RSET", "250").await?;
        if reply.is("4yz|5yz") {
            return Ok(path);
        }
    }
    Err(Stop::skipped(
        "the server takes every recipient that was tried",
    ))
}

async fn one_refused(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let refused = refused_recipient(c, &mut s).await?;
    let token = c.token();
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.ask(format!("RCPT TO:<{refused}>"))
        .await?
        .expect("4yz|5yz")?;
    s.ask(format!("RCPT TO:<{}>", c.to()))
        .await?
        .expect("250|251")?;
    s.ask("DATA").await?.expect("354")?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&token, "for one of two\r\n")))
        .await;
    s.reply().await?.expect("250")
}

async fn several(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    for number in 0..3 {
        s.ask(format!("RCPT TO:<{}>", c.recipient(number)))
            .await?
            .expect("250|251")?;
    }
    s.ask("DATA").await?.expect("354")
}
