//! RFC 4954: AUTH.
//!
//! Most of it needs no credentials. With `--user` the cases of a success are run as well. Where AUTH is only offered under TLS,
//! it is asked there.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::probe::{
    case::{Case, Need},
    connection::Connection,
    context::{Context, HELLO},
    outcome::{Checked, Stop},
    reply::Reply,
    run::Login,
    tls,
};

const AUTH: &[Need] = &[Need::Extension("AUTH")];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc4954/3/keyword",
        "AUTH stands in the reply to EHLO with the names of its mechanisms: 1 to 20 capitals, digits, hyphens and underscores.",
        |c| Box::pin(keyword(c)),
    )
    .needs(AUTH)
    .source("RFC 4954 §3, RFC 4422 §3.1"),
    Case::must(
        "rfc4954/4/unknown-mechanism",
        "AUTH with a mechanism that the server does not have is answered with 504.",
        |c| Box::pin(unknown_mechanism(c)),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/no-mechanism",
        "AUTH without a mechanism is refused.",
        |c| Box::pin(no_mechanism(c)),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/not-in-a-transaction",
        "AUTH within a mail transaction is answered with 503.",
        |c| Box::pin(not_in_a_transaction(c)),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/challenge",
        "The text of a reply of 334 is base64, and nothing else.",
        |c| Box::pin(challenge(c)),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/cancel",
        "A client that answers a challenge with an asterisk gets 501, and the session goes on.",
        |c| Box::pin(answer(c, "*", "501")),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/no-base64",
        "A client that answers a challenge with what is no base64 gets 501, and the session goes on.",
        |c| Box::pin(answer(c, "!no base64!", "501")),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/initial-response-no-base64",
        "AUTH with an initial response that is no base64 is answered with 501.",
        |c| Box::pin(initial_no_base64(c)),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/long-response",
        "An answer of 12,288 octets, which is the longest, is not too long.",
        |c| Box::pin(long_response(c)),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/6/wrong-credentials",
        "Credentials that nobody has are refused, and the session goes on without them.",
        |c| Box::pin(wrong_credentials(c)),
    )
    .needs(AUTH)
    .source("RFC 4954 §4, §6"),
    Case::must(
        "rfc4954/5/mail-parameter",
        "MAIL with AUTH=<> is accepted, as is one without.",
        |c| Box::pin(mail_parameter(c, "AUTH=<>", "250")),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/5/mail-parameter-no-xtext",
        "MAIL with an AUTH parameter that is no xtext is refused.",
        |c| Box::pin(mail_parameter(c, "AUTH=a+zz@example.com", "5yz")),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/success",
        "The right credentials are answered with 235.",
        |c| Box::pin(success(c)),
    )
    .needs(AUTH),
    Case::must(
        "rfc4954/4/not-twice",
        "A second AUTH after a success is answered with 503.",
        |c| Box::pin(not_twice(c)),
    )
    .needs(AUTH),
];

/// A session that offers AUTH: as it is, or under TLS.
async fn session(c: &Context) -> Result<Connection, Stop> {
    let mut s = c.greeted().await?;
    s.ehlo(HELLO).await?;
    if !s.offers("AUTH") && s.offers("STARTTLS") {
        s.prepare("STARTTLS", "220").await?;
        let host = c.probe().target.host.clone();
        s.upgrade(|stream| tls::handshake(stream, host))
            .await
            .map_err(Stop::in_preparation)?;
        s.ehlo(HELLO).await?;
    }
    if s.offers("AUTH") {
        return Ok(s);
    }
    s.quit().await;
    Err(Stop::skipped("AUTH is not offered"))
}

async fn keyword(c: &mut Context) -> Checked {
    let s = session(c).await?;
    let parameters = s.keyword("AUTH").unwrap_or_default().to_owned();
    s.quit().await;
    let mechanism = |word: &str| {
        (1..=20).contains(&word.len())
            && word
                .bytes()
                .all(|o| o.is_ascii_uppercase() || o.is_ascii_digit() || matches!(o, b'-' | b'_'))
    };
    if parameters.split(' ').all(mechanism) {
        return Ok(());
    }
    Err(Stop::failed(
        "AUTH and at least one mechanism in the reply to EHLO",
        format!("AUTH {parameters}"),
    ))
}

async fn unknown_mechanism(c: &mut Context) -> Checked {
    let mut s = session(c).await?;
    let reply = s.ask("AUTH X-GAUNTLET").await?;
    s.quit().await;
    reply.expect("504")
}

async fn no_mechanism(c: &mut Context) -> Checked {
    let mut s = session(c).await?;
    let reply = s.ask("AUTH").await?;
    s.quit().await;
    reply.expect("5yz")
}

async fn not_in_a_transaction(c: &mut Context) -> Checked {
    let mut s = session(c).await?;
    let mechanism = mechanism(&s)?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let reply = s.ask(format!("AUTH {mechanism}")).await?;
    if reply.code != 334 {
        s.quit().await;
    }
    reply.expect("503")
}

/// A mechanism that is offered and begins with a challenge.
fn mechanism(s: &Connection) -> Result<&'static str, Stop> {
    let offered = s.keyword("AUTH").unwrap_or_default();
    ["PLAIN", "LOGIN", "CRAM-MD5"]
        .into_iter()
        .find(|known| {
            offered
                .split(' ')
                .any(|word| word.eq_ignore_ascii_case(known))
        })
        .ok_or_else(|| {
            Stop::skipped(format!(
                "of the mechanisms {offered} the probe speaks none: PLAIN, LOGIN, CRAM-MD5"
            ))
        })
}

/// Begins an exchange; the reply is 334.
async fn begin(c: &Context) -> Result<(Connection, Reply), Stop> {
    let mut s = session(c).await?;
    let mechanism = mechanism(&s)?;
    let reply = s.ask(format!("AUTH {mechanism}")).await?;
    if reply.is("530|534|538") {
        return Err(Stop::skipped(format!(
            "{mechanism} is offered, but not open here: {reply}"
        )));
    }
    reply.expect("334")?;
    Ok((s, reply))
}

async fn challenge(c: &mut Context) -> Checked {
    let (mut s, reply) = begin(c).await?;
    s.ask("*").await?;
    s.quit().await;
    let text = reply.lines.first().cloned().unwrap_or_default();
    if reply.lines.len() == 1 && STANDARD.decode(&text).is_ok() {
        return Ok(());
    }
    Err(reply.unexpected("334, a space, and base64 (which may be empty)"))
}

async fn goes_on(mut s: Connection) -> Checked {
    let reply = s.ask("NOOP").await?;
    s.quit().await;
    reply
        .expect("250")
        .map_err(|stop| stop.with("the session goes on"))
}

async fn answer(c: &mut Context, answer: &str, code: &str) -> Checked {
    let (mut s, _) = begin(c).await.map_err(Stop::in_preparation)?;
    s.ask(answer).await?.expect(code)?;
    goes_on(s).await
}

async fn initial_no_base64(c: &mut Context) -> Checked {
    let mut s = session(c).await?;
    if mechanism(&s)? != "PLAIN" {
        return Err(Stop::skipped("PLAIN is not offered"));
    }
    let reply = s.ask("AUTH PLAIN !!!!").await?;
    if reply.is("530|534|538") {
        return Err(Stop::skipped(format!("PLAIN is not open here: {reply}")));
    }
    s.quit().await;
    reply.expect("501")
}

async fn long_response(c: &mut Context) -> Checked {
    let (mut s, _) = begin(c).await.map_err(Stop::in_preparation)?;
    // 9,216 octets are 12,288 of base64; no user has such a password.
    let plain = [&b"\0gauntlet-nobody\0"[..], &[b'x'; 9216 - 17]].concat();
    let reply = s.ask(STANDARD.encode(plain)).await?;
    if reply.code == 334 {
        s.ask("*").await?;
    }
    s.quit().await;
    reply.refuse("500", "no complaint about the length of an answer")
}

fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

/// The reply at the end of an exchange.
async fn log_in(c: &Context, user: &str, password: &str) -> Result<(Connection, Reply), Stop> {
    let mut s = session(c).await?;
    let answers = match mechanism(&s)? {
        "PLAIN" => vec![plain(user, password)],
        "LOGIN" => vec![STANDARD.encode(user), STANDARD.encode(password)],
        other => {
            return Err(Stop::skipped(format!(
                "the probe gives credentials to PLAIN and LOGIN only, and the server offers {other}"
            )));
        }
    };
    let mechanism = mechanism(&s)?;
    let mut reply = s.ask(format!("AUTH {mechanism}")).await?;
    if reply.is("530|534|538") {
        return Err(Stop::skipped(format!(
            "{mechanism} is not open here: {reply}"
        )));
    }
    for answer in answers {
        reply.expect("334")?;
        reply = s.ask(answer).await?;
    }
    Ok((s, reply))
}

async fn wrong_credentials(c: &mut Context) -> Checked {
    let (s, reply) = log_in(c, "gauntlet-nobody", "gauntlet-nothing").await?;
    reply.expect("5yz|454")?;
    goes_on(s).await
}

async fn mail_parameter(c: &mut Context, parameter: &str, codes: &str) -> Checked {
    let mut s = session(c).await?;
    let reply = s
        .ask(format!("MAIL FROM:<{}> {parameter}", c.from()))
        .await?;
    s.quit().await;
    if reply.is("530") {
        return Err(Stop::skipped(format!(
            "the server takes no mail without AUTH: {reply}"
        )));
    }
    reply.expect(codes)
}

fn login(c: &Context) -> Result<&Login, Stop> {
    c.probe()
        .login
        .as_ref()
        .ok_or_else(|| Stop::skipped("no credentials: --user"))
}

async fn success(c: &mut Context) -> Checked {
    let login = login(c)?;
    let (s, reply) = log_in(c, &login.user, &login.password).await?;
    reply.expect("235")?;
    goes_on(s).await
}

async fn not_twice(c: &mut Context) -> Checked {
    let login = login(c)?;
    let (mut s, reply) = log_in(c, &login.user, &login.password).await?;
    reply.expect("235").map_err(Stop::in_preparation)?;
    let mechanism = mechanism(&s)?;
    let reply = s.ask(format!("AUTH {mechanism}")).await?;
    if reply.code != 334 {
        s.quit().await;
    }
    reply.expect("503")
}
