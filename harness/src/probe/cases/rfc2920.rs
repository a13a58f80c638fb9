//! RFC 2920: PIPELINING.

use super::extensions::without_parameters;
use super::steps::same_body;
use crate::probe::{
    case::{Case, Need},
    context::Context,
    message::stuffed,
    outcome::{Checked, Stop},
};

const PIPELINING: &[Need] = &[Need::Extension("PIPELINING")];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc2920/2/keyword",
        "PIPELINING stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "PIPELINING")),
    )
    .needs(PIPELINING),
    Case::must(
        "rfc2920/3.2/replies-in-order",
        "Commands that come in one piece are answered one by one, in their order.",
        |c| Box::pin(replies_in_order(c)),
    )
    .needs(PIPELINING),
    Case::must(
        "rfc2920/3.2/nothing-is-lost",
        "The server never loses input: sixty commands in one piece get sixty replies.",
        |c| Box::pin(nothing_is_lost(c)),
    )
    .needs(PIPELINING),
    Case::must(
        "rfc2920/3.2/pending-replies",
        "When the input is used up, all replies are sent, although the next command has only begun.",
        |c| Box::pin(pending_replies(c)),
    )
    .needs(PIPELINING),
    Case::must(
        "rfc2920/3.2/behind-the-content",
        "Commands that come in one piece with the end of data are not lost.",
        |c| Box::pin(behind_the_content(c)),
    )
    .needs(PIPELINING),
    Case::must(
        "rfc2920/3.2/quit-is-last",
        "Commands before a QUIT in one piece are answered before the connection ends.",
        |c| Box::pin(quit_is_last(c)),
    )
    .needs(PIPELINING),
    Case::should(
        "rfc2920/3.2/data-without-recipients",
        "DATA is answered with 354 only when a recipient was accepted before.",
        |c| Box::pin(data_without_recipients(c)),
    )
    .needs(PIPELINING),
    Case::should(
        "rfc2920/3.2/one-of-two-recipients",
        "DATA in a pipeline is answered with 354 when one recipient was accepted and another refused.",
        |c| Box::pin(one_of_two_recipients(c)),
    )
    .needs(PIPELINING),
    Case::must(
        "rfc2920/3.2/next-message-behind-the-content",
        "A second message whose envelope comes in one piece with the first one's content is a message of its own, and both arrive unchanged.",
        |c| Box::pin(next_message(c)),
    )
    .needs(&[Need::Extension("PIPELINING"), Need::Arrival]),
];

async fn replies_in_order(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    let rcpt = format!("RCPT TO:<{}>", c.to());
    s.pipeline(&[&mail, &rcpt, "DATA"]).await;
    s.reply().await?.expect("250")?;
    s.reply().await?.expect("250|251")?;
    s.reply().await?.expect("354")
}

async fn nothing_is_lost(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.pipeline(&["RSET"; 60]).await;
    for number in 1..=60 {
        s.reply()
            .await
            .and_then(|reply| reply.expect("250"))
            .map_err(|stop| stop.with(&format!("command {number} of 60")))?;
    }
    s.quit().await;
    Ok(())
}

async fn pending_replies(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    s.owe(&mail);
    s.owe("RSET");
    s.owe("NOOP");
    s.send(format!("{mail}\r\nRSET\r\nNO")).await;
    s.reply().await?.expect("250")?;
    s.reply().await?.expect("250")?;
    s.send("OP\r\n").await;
    s.reply().await?.expect("250")?;
    s.quit().await;
    Ok(())
}

async fn behind_the_content(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    for to in ["the end of data", "RSET", "QUIT"] {
        s.owe(to);
    }
    let content = stuffed(&c.message(&token, "before RSET and QUIT\r\n"));
    s.send([&content[..], b"RSET\r\nQUIT\r\n"].concat()).await;
    s.reply().await?.expect("250")?;
    s.reply().await?.expect("250")?;
    s.reply().await?.expect("221")
}

async fn quit_is_last(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    s.pipeline(&[&mail, "RSET", "QUIT"]).await;
    s.reply().await?.expect("250")?;
    s.reply().await?.expect("250")?;
    s.reply().await?.expect("221")
}

/// A path that no grammar allows: the recipient is refused everywhere.
const NO_RECIPIENT: &str = "RCPT TO:<>";

async fn data_without_recipients(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    s.pipeline(&[&mail, NO_RECIPIENT, "DATA"]).await;
    s.prepared("250").await?;
    s.prepared("5yz").await?;
    let reply = s.reply().await?;
    if reply.code == 354 {
        s.send(".\r\n").await;
        return Err(reply.unexpected("no 354 without a recipient"));
    }
    reply.expect("4yz|5yz")?;
    s.quit().await;
    Ok(())
}

async fn one_of_two_recipients(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    let rcpt = format!("RCPT TO:<{}>", c.to());
    s.pipeline(&[&mail, &rcpt, NO_RECIPIENT, "DATA"]).await;
    s.prepared("250").await?;
    s.prepared("250|251").await?;
    s.prepared("5yz").await?;
    s.reply().await?.expect("354")
}

async fn next_message(c: &mut Context) -> Checked {
    let (first, second) = (c.token(), c.token());
    let bodies: [&[u8]; 2] = [b"the first\r\n.\r\n", b"the second\r\n..\r\n"];
    let mut s = c.in_data().await?;
    let content = |token, body: &[u8]| stuffed(&[&c.message(token, ""), body].concat());
    let envelope = format!(
        "MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n",
        c.from(),
        c.to()
    );
    for to in ["the end of data", "MAIL", "RCPT", "DATA"] {
        s.owe(to);
    }
    s.send([&content(&first, bodies[0])[..], envelope.as_bytes()].concat())
        .await;
    for codes in ["250", "250", "250|251", "354"] {
        s.reply().await?.expect(codes)?;
    }
    s.owe("the second end of data");
    s.send(content(&second, bodies[1])).await;
    s.reply().await?.expect("250")?;
    s.quit().await;
    same_body(c, &first, bodies[0])
        .await
        .map_err(|stop: Stop| stop.with("the first message"))?;
    same_body(c, &second, bodies[1])
        .await
        .map_err(|stop: Stop| stop.with("the second message"))
}
