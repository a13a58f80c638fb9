//! RFC 5321 §3.3, §4.1.4: which command may come when, and what stays of a transaction.

use super::super::steps::{answered, goes_on};
use crate::probe::{
    case::Case,
    context::Context,
    message::stuffed,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/3.3/rcpt-before-mail",
        "RCPT without a MAIL before it is answered with 503.",
        |c| Box::pin(answered_rcpt_first(c)),
    ),
    Case::may(
        "rfc5321/3.3/data-before-mail",
        "DATA without MAIL may be refused with 503 or 554.",
        |c| Box::pin(answered(c, "DATA", "503|554")),
    ),
    Case::may(
        "rfc5321/3.3/data-without-recipients",
        "DATA without an accepted recipient may be refused with 503 or 554.",
        |c| Box::pin(data_without_recipients(c)),
    ),
    Case::must(
        "rfc5321/3.3/content-without-recipients-is-not-taken",
        "Where DATA without a recipient is answered with 354, the content that follows is refused.",
        |c| Box::pin(content_without_recipients(c)),
    ),
    Case::must(
        "rfc5321/4.1.4/mail-before-hello",
        "MAIL before EHLO and HELO is taken or refused with 503: no other refusal.",
        |c| Box::pin(mail_before_hello(c)),
    ),
    Case::must(
        "rfc5321/4.1.4/second-mail",
        "A second MAIL in an open transaction is refused with 503, and the transaction stays; or it begins a new one, without the old recipients.",
        |c| Box::pin(second_mail(c)),
    )
    .source("RFC 5321 §4.1.4, §3.3"),
    Case::must(
        "rfc5321/4.1.4/bad-mail-is-501",
        "A MAIL whose argument is not acceptable for its form is refused with 501, or with 553 where it is the mailbox.",
        |c| Box::pin(bad_mail(c)),
    )
    .source("RFC 5321 §4.1.4, §4.3.2"),
    Case::must(
        "rfc5321/4.1.4/bad-mail-opens-no-transaction",
        "After a MAIL that was refused there is no transaction: RCPT gets 503, and a good MAIL opens one.",
        |c| Box::pin(bad_mail_opens_nothing(c)),
    ),
    Case::must(
        "rfc5321/4.1.4/bad-rcpt-keeps-the-transaction",
        "A RCPT that is refused takes nothing from the transaction: the other recipients stay.",
        |c| Box::pin(bad_rcpt(c)),
    ),
    Case::should(
        "rfc5321/4.1.4/noop-before-hello",
        "NOOP is processed before EHLO.",
        |c| Box::pin(before_hello(c, "NOOP")),
    ),
    Case::should(
        "rfc5321/4.1.4/rset-before-hello",
        "RSET is processed before EHLO.",
        |c| Box::pin(before_hello(c, "RSET")),
    ),
    Case::should(
        "rfc5321/4.1.4/help-before-hello",
        "HELP is processed before EHLO: it is not answered with 503.",
        |c| Box::pin(not_503(c, "HELP")),
    ),
    Case::should(
        "rfc5321/4.1.4/vrfy-before-hello",
        "VRFY is processed before EHLO: it is not answered with 503.",
        |c| Box::pin(not_503(c, "VRFY postmaster")),
    ),
    Case::should(
        "rfc5321/4.1.4/expn-before-hello",
        "EXPN is processed before EHLO: it is not answered with 503.",
        |c| Box::pin(not_503(c, "EXPN postmaster")),
    ),
    Case::must(
        "rfc5321/4.1.1.4/transaction-ends-with-its-data",
        "After the end of data the transaction is over: neither its sender nor its recipients are left.",
        |c| Box::pin(over_after_data(c)),
    ),
    Case::must(
        "rfc5321/4.1.4/several-transactions",
        "A session may have several transactions, one after the other.",
        |c| Box::pin(several(c)),
    ),
];

async fn answered_rcpt_first(c: &mut Context) -> Checked {
    let command = format!("RCPT TO:<{}>", c.to());
    answered(c, &command, "503").await
}

async fn data_without_recipients(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.ask("DATA").await?.expect("503|554")
}

async fn content_without_recipients(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let reply = s.ask("DATA").await?;
    if reply.code != 354 {
        return reply.expect("5yz");
    }
    s.owe("the end of data without recipients");
    s.send(stuffed(&c.message(&c.token(), "to nobody\r\n")))
        .await;
    s.reply().await?.expect("5yz|4yz")
}

async fn mail_before_hello(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.ask(format!("MAIL FROM:<{}>", c.from()))
        .await?
        .expect("250|503")
}

async fn second_mail(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    let second = s.ask(format!("MAIL FROM:<{}>", c.from())).await?;
    second.expect("503|250")?;
    let data = s.ask("DATA").await?;
    if second.code == 503 {
        data.expect("354")
            .map_err(|stop| stop.with("the first transaction stays"))
    } else {
        data.expect("503|554")
            .map_err(|stop| stop.with("the second transaction has no recipients yet"))
    }
}

/// What no grammar allows, whatever the site thinks of it.
const BAD_MAIL: [&str; 4] = [
    "MAIL FROM:",
    "MAIL",
    "MAIL FROM:<unclosed@gauntlet.invalid",
    "MAIL FROM:<a@b@gauntlet.invalid>",
];

async fn bad_mail(c: &mut Context) -> Checked {
    let mut refused = false;
    for command in BAD_MAIL {
        // A session each, so that no server loses its patience.
        let mut s = c.session().await?;
        let reply = s.ask(command).await?;
        // What a tolerant server takes is acceptable to it. 553 is for a mailbox of bad syntax (RFC 5321 §4.2.3).
        if !reply.is_positive() {
            refused = true;
            reply.expect("501|553")?;
        }
        s.quit().await;
    }
    if refused {
        Ok(())
    } else {
        Err(Stop::skipped("the server takes whatever stands in MAIL"))
    }
}

async fn bad_mail_opens_nothing(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask(BAD_MAIL[0]).await?;
    if reply.is_positive() {
        return Err(Stop::inconclusive(format!("the server takes it: {reply}")));
    }
    s.ask(format!("RCPT TO:<{}>", c.to()))
        .await?
        .expect("503")?;
    c.open(&mut s)
        .await
        .map_err(|stop| stop.with("a good MAIL opens a transaction"))
}

async fn bad_rcpt(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    let reply = s.ask("RCPT TO:<unclosed@gauntlet.invalid").await?;
    if reply.is_positive() {
        return Err(Stop::inconclusive(format!("the server takes it: {reply}")));
    }
    goes_on(&mut s).await?;
    s.ask("DATA").await?.expect("354")
}

async fn before_hello(c: &mut Context, command: &str) -> Checked {
    let mut s = c.greeted().await?;
    s.ask(command).await?.expect("250")
}

async fn not_503(c: &mut Context, command: &str) -> Checked {
    let mut s = c.greeted().await?;
    s.ask(command)
        .await?
        .refuse("503", "any reply but `bad sequence`")
}

async fn over_after_data(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let content = c.message(&c.token(), "and then nothing is left\r\n");
    c.send(&mut s, &content).await?;
    s.ask(format!("RCPT TO:<{}>", c.to()))
        .await?
        .expect("503")?;
    s.ask("DATA").await?.expect("503|554")
}

async fn several(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    for number in 1..=3 {
        let content = c.message(&c.token(), "one of several\r\n");
        c.taken(&mut s, &content)
            .await
            .map_err(|stop| stop.with(&format!("transaction {number}")))?;
    }
    Ok(())
}
