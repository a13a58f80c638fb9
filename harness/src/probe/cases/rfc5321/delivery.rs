//! RFC 5321 §3.8, §4.1.1.4, §4.1.1.10, §4.2.5: what is delivered, and what never is.

use crate::probe::{
    case::{Case, Need},
    connection::Connection,
    context::{Context, EARLY},
    message::{Token, stuffed},
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.2.5/accepted-mail-arrives",
        "A message whose end of data was answered with 250 is delivered.",
        |c| Box::pin(arrives(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.1.10/accepted-mail-arrives-without-quit",
        "A connection that ends without QUIT undoes nothing that was accepted before.",
        |c| Box::pin(without_quit(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.1.4/closed-before-the-end-of-data",
        "When the connection is closed before the end of data, nothing is delivered.",
        |c| Box::pin(cut(c, Cut::Close)),
    )
    .source("RFC 5321 §4.1.1.10, §4.1.1.4")
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.1.4/half-closed-before-the-end-of-data",
        "When the client closes its sending side before the end of data, nothing is delivered.",
        |c| Box::pin(cut(c, Cut::HalfClose)),
    )
    .source("RFC 5321 §4.1.1.10, §4.1.1.4")
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.1.4/closed-within-the-end-of-data",
        "An end of data that lacks its last octet is none: nothing is delivered.",
        |c| Box::pin(cut(c, Cut::WithinTheEnd)),
    )
    .source("RFC 5321 §4.1.1.10, §4.1.1.4")
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.1.4/quit-is-no-end-of-data",
        "QUIT within the content is content: what it stands in is not delivered without an end of data.",
        |c| Box::pin(cut(c, Cut::Quit)),
    )
    .source("RFC 5321 §4.1.1.10, §4.1.1.4")
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.2.5/refused-recipient-gets-nothing",
        "A message with refused recipients goes to the others only.",
        |c| Box::pin(refused_recipient(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/3.3/every-recipient-gets-it",
        "Every recipient that was accepted gets the message.",
        |c| Box::pin(every_recipient(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/3.3/one-copy",
        "A message that was sent once arrives once.",
        |c| Box::pin(one_copy(c)),
    )
    .source("RFC 5321 §3.3, §6.1")
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.4/transactions-are-not-mixed",
        "Messages of one session arrive each with its own content.",
        |c| Box::pin(not_mixed(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/3.2/helo-mail-arrives",
        "A message that was sent after HELO is delivered as one after EHLO.",
        |c| Box::pin(helo(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/3.8/session-survives-a-refused-message",
        "After a refused command sequence the session takes an ordinary message, and delivers it.",
        |c| Box::pin(after_refusals(c)),
    )
    .needs(&[Need::Arrival]),
];

async fn arrives(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.session().await?;
    c.send(&mut s, &c.message(&token, "accepted\r\n")).await?;
    s.quit().await;
    c.arrived(&token).await.map(|_| ())
}

async fn without_quit(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.session().await?;
    c.send(&mut s, &c.message(&token, "accepted\r\n")).await?;
    drop(s);
    c.arrived(&token).await.map(|_| ())
}

/// Where the connection is cut.
enum Cut {
    Close,
    HalfClose,
    WithinTheEnd,
    Quit,
}

async fn cut(c: &mut Context, cut: Cut) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    s.send(c.message(&token, "this never ends\r\n")).await;
    match cut {
        Cut::Close => {}
        Cut::WithinTheEnd => s.send(".\r").await,
        Cut::HalfClose => {
            s.half_close().await;
            nothing_is_accepted(&mut s).await?;
        }
        Cut::Quit => {
            s.send("QUIT\r\n").await;
            nothing_is_accepted(&mut s).await?;
        }
    }
    drop(s);
    c.none_arrives(
        &[&token],
        "a message without its end of data is not delivered",
    )
    .await
}

/// Whatever the server says now, it is no 2yz.
async fn nothing_is_accepted(s: &mut Connection) -> Checked {
    s.owe("content without its end");
    match s.hear(EARLY).await {
        crate::probe::connection::Heard::Reply(reply) => {
            reply.refuse("2yz", "no acceptance of content without its end")
        }
        _ => Ok(()),
    }
}

async fn refused_recipient(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.session().await?;
    let nobody = format!("gauntlet-nobody-{token}@{}", c.to_parts().1);
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let mut refused = None;
    for path in [nobody, "nobody@elsewhere.gauntlet.invalid".to_owned()] {
        let reply = s.ask(format!("RCPT TO:<{path}>")).await?;
        if reply.is("4yz|5yz") {
            refused = Some(path);
            break;
        }
        // It is taken: so begin again without it.
        s.prepare("RSET", "250").await?;
        s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
            .await?;
    }
    let Some(refused) = refused else {
        return Err(Stop::skipped(
            "the server takes every recipient that was tried",
        ));
    };
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&token, "not for everybody\r\n")))
        .await;
    s.prepared("250").await?;
    s.quit().await;
    c.arrived(&token).await?;
    tokio::time::sleep(EARLY).await;
    let copies = c.arrivals()?.all(|message| message.is(&token));
    match copies
        .iter()
        .find(|copy| copy.recipients.contains(&refused))
    {
        None => Ok(()),
        Some(_) => Err(Stop::failed(
            "nothing for a refused recipient",
            format!("message {token} arrived for {refused}"),
        )),
    }
}

/// The recipients that were given, each once.
fn recipients(c: &Context) -> Vec<String> {
    let mut all = c.probe().to.clone();
    all.sort();
    all.dedup();
    all
}

async fn every_recipient(c: &mut Context) -> Checked {
    let all = recipients(c);
    if all.len() < 2 {
        return Err(Stop::skipped("it needs two recipients: --to twice"));
    }
    let token = c.token();
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    for to in &all {
        s.prepare(format!("RCPT TO:<{to}>"), "250|251").await?;
    }
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&token, "for all\r\n"))).await;
    s.prepared("250").await?;
    s.quit().await;
    if c.arrived(&token).await?.recipients.is_empty() {
        return Err(Stop::inconclusive(
            "the proof of arrival shows no recipients",
        ));
    }
    for to in &all {
        let wanted = format!("the message arrives for {to}");
        c.arrived_where(&token, &wanted, |message| {
            message.is(&token)
                && message
                    .recipients
                    .iter()
                    .any(|r| r.eq_ignore_ascii_case(to))
        })
        .await?;
    }
    Ok(())
}

async fn one_copy(c: &mut Context) -> Checked {
    let (token, behind) = (c.token(), c.token());
    let mut s = c.session().await?;
    c.send(&mut s, &c.message(&token, "once\r\n")).await?;
    c.arrived(&token).await?;
    c.send(&mut s, &c.message(&behind, "sent behind\r\n"))
        .await?;
    s.quit().await;
    c.arrived(&behind).await.map_err(Stop::in_preparation)?;
    let copies = c.arrivals()?.all(|message| message.is(&token)).len();
    if copies == 1 {
        Ok(())
    } else {
        Err(Stop::failed("one copy", format!("{copies} copies")))
    }
}

async fn not_mixed(c: &mut Context) -> Checked {
    let tokens = [c.token(), c.token(), c.token()];
    let body = |token: &Token| format!("the body of {token}\r\n");
    let mut s = c.session().await?;
    for token in &tokens {
        c.send(&mut s, &c.message(token, &body(token))).await?;
    }
    s.quit().await;
    for token in &tokens {
        super::super::steps::same_body(c, token, body(token).as_bytes()).await?;
    }
    Ok(())
}

async fn helo(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.helo_session().await?;
    c.send(&mut s, &c.message(&token, "after HELO\r\n")).await?;
    s.quit().await;
    super::super::steps::same_body(c, &token, b"after HELO\r\n").await
}

async fn after_refusals(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.session().await?;
    for command in ["DATA", "RCPT TO:<>", "GAUNTLETPROBE"] {
        let reply = s.ask(command).await?;
        if reply.code == 354 {
            return Err(Stop::inconclusive(
                "the server takes content without a recipient",
            ));
        }
    }
    s.prepare("RSET", "250").await?;
    c.send(&mut s, &c.message(&token, "after refusals\r\n"))
        .await?;
    s.quit().await;
    super::super::steps::same_body(c, &token, b"after refusals\r\n").await
}
