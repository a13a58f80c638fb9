//! RFC 3461: DSN, its parameters.

use super::extensions::{
    mail_is_accepted, mail_is_refused, mail_with, rcpt_is_accepted, rcpt_is_refused,
    without_parameters,
};
use crate::probe::{
    case::{Case, Need},
    context::Context,
    outcome::Checked,
};

pub(super) const DSN: &[Need] = &[Need::Extension("DSN")];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc3461/4/keyword",
        "DSN stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "DSN")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.1/notify-never",
        "RCPT with NOTIFY=NEVER is accepted.",
        |c| Box::pin(rcpt_is_accepted(c, "NOTIFY=NEVER")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.1/notify-list",
        "RCPT with a list of SUCCESS, FAILURE and DELAY in any order is accepted.",
        |c| Box::pin(rcpt_is_accepted(c, "NOTIFY=DELAY,FAILURE,SUCCESS")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.1/notify-in-any-case",
        "NOTIFY and its values may be written in any case.",
        |c| Box::pin(rcpt_is_accepted(c, "notify=Failure,delay")),
    )
    .needs(DSN)
    .source("RFC 3461 §4.1, RFC 5321 §2.4"),
    Case::must(
        "rfc3461/4.1/never-stands-alone",
        "NEVER beside another value of NOTIFY is refused.",
        |c| Box::pin(rcpt_is_refused(c, "NOTIFY=NEVER,FAILURE")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.1/unknown-notify",
        "A value of NOTIFY that the grammar does not have is refused.",
        |c| Box::pin(rcpt_is_refused(c, "NOTIFY=SOMETIMES")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.1/empty-notify",
        "NOTIFY without a value is refused.",
        |c| Box::pin(rcpt_is_refused(c, "NOTIFY=")),
    )
    .needs(DSN),
    Case::should(
        "rfc3461/4.1/notify-twice",
        "A RCPT with two NOTIFY parameters is answered with 501.",
        |c| Box::pin(twice(c, false, "NOTIFY=FAILURE NOTIFY=DELAY")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.2/orcpt",
        "RCPT with an original recipient of type rfc822 is accepted.",
        |c| Box::pin(rcpt_is_accepted(c, "ORCPT=rfc822;bob+2Btag@example.com")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.2/orcpt-of-another-type",
        "The type of an original recipient may be any atom.",
        |c| Box::pin(rcpt_is_accepted(c, "ORCPT=x400;/G+3DBob/S+3DBuilder/")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.2/orcpt-without-type",
        "An original recipient without a type is refused.",
        |c| Box::pin(rcpt_is_refused(c, "ORCPT=bob@example.com")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.2/orcpt-no-xtext",
        "An original recipient that is no xtext is refused: a plus without two hexadecimal digits.",
        |c| Box::pin(rcpt_is_refused(c, "ORCPT=rfc822;bob+2@example.com")),
    )
    .needs(DSN),
    Case::should(
        "rfc3461/4.2/orcpt-twice",
        "A RCPT with two ORCPT parameters is answered with 501.",
        |c| {
            Box::pin(twice(
                c,
                false,
                "ORCPT=rfc822;a@example.com ORCPT=rfc822;b@example.com",
            ))
        },
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.3/ret-full",
        "MAIL with RET=FULL is accepted.",
        |c| Box::pin(mail_is_accepted(c, "RET=FULL")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.3/ret-hdrs",
        "MAIL with RET=HDRS is accepted, in any case.",
        |c| Box::pin(mail_is_accepted(c, "ret=Hdrs")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.3/unknown-ret",
        "A value of RET that the grammar does not have is refused.",
        |c| Box::pin(mail_is_refused(c, "RET=SOME")),
    )
    .needs(DSN),
    Case::should(
        "rfc3461/4.3/ret-twice",
        "A MAIL with two RET parameters is answered with 501.",
        |c| Box::pin(twice(c, true, "RET=FULL RET=HDRS")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.4/envid",
        "MAIL with an envelope identifier in xtext is accepted.",
        |c| Box::pin(mail_is_accepted(c, "ENVID=QQ+20314+2B159")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.4/envid-of-100-octets",
        "An envelope identifier of 100 octets is accepted.",
        |c| Box::pin(envid_of_100_octets(c)),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4.4/envid-no-xtext",
        "An envelope identifier that is no xtext is refused: a plus without two hexadecimal digits.",
        |c| Box::pin(mail_is_refused(c, "ENVID=a+zz")),
    )
    .needs(DSN),
    Case::should(
        "rfc3461/4.4/envid-twice",
        "A MAIL with two ENVID parameters is answered with 501.",
        |c| Box::pin(twice(c, true, "ENVID=one ENVID=two")),
    )
    .needs(DSN),
    Case::must(
        "rfc3461/4/notify-with-mail",
        "NOTIFY is a parameter of RCPT, and is refused with MAIL.",
        |c| Box::pin(mail_is_refused(c, "NOTIFY=FAILURE")),
    )
    .needs(DSN)
    .source("RFC 3461 §4, RFC 5321 §4.1.1.11"),
    Case::must(
        "rfc3461/4/ret-with-rcpt",
        "RET is a parameter of MAIL, and is refused with RCPT.",
        |c| Box::pin(rcpt_is_refused(c, "RET=FULL")),
    )
    .needs(DSN)
    .source("RFC 3461 §4, RFC 5321 §4.1.1.11"),
    Case::must(
        "rfc3461/4.5/with-the-null-return-path",
        "A message with the null return path may carry the parameters, although nobody can be notified.",
        |c| Box::pin(null_return_path(c)),
    )
    .needs(DSN)
    .source("RFC 3461 §4, RFC 5321 §4.5.5"),
];

async fn twice(c: &Context, mail: bool, parameters: &str) -> Checked {
    let reply = if mail {
        mail_with(c, parameters).await?
    } else {
        super::extensions::rcpt_with(c, parameters).await?
    };
    reply.expect("501")
}

async fn envid_of_100_octets(c: &Context) -> Checked {
    mail_is_accepted(c, &format!("ENVID={}", "e".repeat(100))).await
}

async fn null_return_path(c: &Context) -> Checked {
    let mut s = c.session().await?;
    s.ask("MAIL FROM:<> RET=HDRS ENVID=none")
        .await?
        .expect("250")?;
    let reply = s.ask(format!("RCPT TO:<{}> NOTIFY=NEVER", c.to())).await?;
    s.quit().await;
    reply.expect("250|251")
}
