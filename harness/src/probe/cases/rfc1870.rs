//! RFC 1870: SIZE.

use super::extensions::{mail_is_accepted, mail_is_refused, mail_with};
use crate::probe::{
    case::{Case, Need},
    context::Context,
    message::stuffed,
    outcome::{Checked, Stop},
};

const SIZE: &[Need] = &[Need::Extension("SIZE")];

/// Content up to this size is sent to see whether a limit holds; a server with a larger one is not filled.
const MOST_SENT: u128 = 64 * 1024 * 1024;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc1870/3/keyword",
        "SIZE stands in the reply to EHLO with no parameter, or with one of 1 to 20 digits.",
        |c| Box::pin(keyword(c)),
    )
    .needs(SIZE),
    Case::must(
        "rfc1870/6/declared-size",
        "MAIL with SIZE and a size below the limit is accepted.",
        |c| Box::pin(mail_is_accepted(c, "SIZE=1000")),
    )
    .needs(SIZE),
    Case::must(
        "rfc1870/6/zero",
        "A declared size of 0 has the form that is asked for, and is below any limit.",
        |c| Box::pin(mail_is_accepted(c, "SIZE=0")),
    )
    .needs(SIZE),
    Case::must(
        "rfc1870/6/parameter-in-any-case",
        "The parameter's keyword may be written in any case.",
        |c| Box::pin(mail_is_accepted(c, "sIzE=1000")),
    )
    .needs(SIZE)
    .source("RFC 1870 §3, RFC 5321 §2.4"),
    Case::must(
        "rfc1870/3/no-number",
        "A declared size that is not made of digits is refused.",
        |c| Box::pin(mail_is_refused(c, "SIZE=12a")),
    )
    .needs(SIZE),
    Case::must(
        "rfc1870/3/no-value",
        "SIZE without a value is refused as a parameter of MAIL.",
        |c| Box::pin(mail_is_refused(c, "SIZE=")),
    )
    .needs(SIZE),
    Case::must(
        "rfc1870/3/negative",
        "A negative size is refused.",
        |c| Box::pin(mail_is_refused(c, "SIZE=-1")),
    )
    .needs(SIZE),
    Case::should(
        "rfc1870/6.1/above-the-limit",
        "A declared size above the limit that the server states is refused with 552 before any content is sent.",
        |c| Box::pin(above_the_limit(c)),
    )
    .needs(SIZE),
    Case::should(
        "rfc1870/6.1/twenty-digits",
        "A declared size of twenty digits is compared as the number that it is: above a stated limit it is refused with 552.",
        |c| Box::pin(twenty_digits(c)),
    )
    .needs(SIZE),
    Case::should(
        "rfc1870/6.3/exactly-as-declared",
        "Content of exactly the declared size, which was accepted, is not refused with 552 afterwards.",
        |c| Box::pin(exactly_as_declared(c)),
    )
    .needs(SIZE),
    Case::must(
        "rfc1870/4/limit-holds",
        "Content above the limit that the server states is refused with 552, whether a size was declared or not, and the session goes on.",
        |c| Box::pin(limit_holds(c)),
    )
    .needs(&[Need::Extension("SIZE"), Need::Alone]),
];

/// The stated limit; none when the server states none.
async fn limit(c: &Context) -> Result<Option<u128>, Stop> {
    let s = c.session().await?;
    let limit = s.keyword("SIZE").and_then(|text| text.parse().ok());
    s.quit().await;
    Ok(limit.filter(|limit| *limit > 0))
}

fn no_limit() -> Stop {
    Stop::skipped("the server states no limit")
}

async fn keyword(c: &mut Context) -> Checked {
    let s = c.session().await?;
    let parameters = s.keyword("SIZE").unwrap_or_default().to_owned();
    s.quit().await;
    let digits = parameters.len() <= 20 && parameters.bytes().all(|octet| octet.is_ascii_digit());
    if digits {
        return Ok(());
    }
    Err(Stop::failed(
        "SIZE alone or with 1 to 20 digits in the reply to EHLO",
        format!("SIZE {parameters}"),
    ))
}

async fn above_the_limit(c: &mut Context) -> Checked {
    let limit = limit(c).await?.ok_or_else(no_limit)?;
    mail_with(c, &format!("SIZE={}", limit + 1))
        .await?
        .expect("552")
}

async fn twenty_digits(c: &mut Context) -> Checked {
    let most = 99_999_999_999_999_999_999;
    limit(c)
        .await?
        .filter(|limit| *limit < most)
        .ok_or_else(no_limit)?;
    mail_with(c, &format!("SIZE={most}")).await?.expect("552")
}

async fn exactly_as_declared(c: &mut Context) -> Checked {
    let token = c.token();
    let content = c.message(&token, "as many octets as it says\r\n..\r\n");
    let mut s = c.session().await?;
    let size = content.len();
    s.prepare(format!("MAIL FROM:<{}> SIZE={size}", c.from()), "250")
        .await?;
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&content)).await;
    let reply = s.reply().await?;
    s.quit().await;
    reply.refuse("552", "no 552 for content of the size that was declared")
}

async fn limit_holds(c: &mut Context) -> Checked {
    let limit = limit(c).await?.ok_or_else(no_limit)?;
    if limit > MOST_SENT {
        return Err(Stop::skipped(format!(
            "the limit of {limit} octets is more than the probe sends"
        )));
    }
    let token = c.token();
    let mut content = c.message(&token, "");
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let line = [&[b'x'; 998][..], b"\r\n"].concat();
    while content.len() <= most {
        content.extend_from_slice(&line);
    }
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    s.send(stuffed(&content)).await;
    s.reply().await?.expect("552")?;
    s.ask("NOOP")
        .await
        .and_then(|reply| reply.expect("250"))
        .map_err(|stop| stop.with("the session goes on"))
}
