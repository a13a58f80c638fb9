//! RFC 5321 §4.1.1.4, §4.5.2, §3.6.3: content arrives as it was sent (TC-08), and only its end ends it.

use super::super::steps::{body_arrives, own_fields, same_body};
use crate::probe::{
    case::{Case, Need},
    context::{Context, EARLY},
    dialogue::visible,
    message::stuffed,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.1.1.4/data",
        "DATA is answered with 354, and the end of data with 250 when the message is taken.",
        |c| Box::pin(data(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.4/no-reply-before-the-end-of-data",
        "Between 354 and the end of data the server says nothing.",
        |c| Box::pin(no_early_reply(c)),
    )
    .source("RFC 5321 §4.1.1.4, §4.3.1"),
    Case::must(
        "rfc5321/4.1.1.4/empty-content",
        "The CRLF of DATA itself is the first one of <CRLF>.<CRLF>: a dot alone on the first line ends the data.",
        |c| Box::pin(empty_content(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.4/end-of-data-in-pieces",
        "The end of data is recognized however it is cut into segments.",
        |c| Box::pin(end_in_pieces(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.1.4/commands-in-content",
        "Lines that look like commands or replies are content between 354 and the end of data.",
        |c| {
            Box::pin(body_arrives(
                c,
                b"QUIT\r\nRSET\r\nDATA\r\nMAIL FROM:<>\r\n250 ok\r\n",
            ))
        },
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.1.1.4/no-line-is-added",
        "The CRLF before the last dot belongs to the content's last line: no empty line is added.",
        |c| Box::pin(body_arrives(c, b"the last line\r\n")),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.2/empty-lines-at-the-end",
        "Empty lines at the end of the content arrive.",
        |c| Box::pin(body_arrives(c, b"text\r\n\r\n\r\n")),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.2/dot-stuffing",
        "The first dot of a line that has more is deleted, no other one: lines arrive with the dots that they had.",
        |c| {
            Box::pin(body_arrives(
                c,
                b".\r\n..\r\n.a\r\n...b\r\nc.\r\n. \r\nno dot\r\n",
            ))
        },
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.2/dots-that-are-not-doubled",
        "A line that begins with one dot and more loses that dot, even where the client did not add it.",
        |c| Box::pin(single_dot(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.2/dot-at-segment-borders",
        "Dots are seen at the beginning of a line wherever the segments are cut.",
        |c| Box::pin(dots_at_borders(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.2/spaces-and-tabs",
        "Spaces and tabs arrive, at the end of a line too.",
        |c| {
            Box::pin(body_arrives(
                c,
                b" leading\r\n\ttab\r\ntrailing \r\ntrailing\t\r\n \r\ntwo  words\r\n",
            ))
        },
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.2/control-characters",
        "Every ASCII character arrives, control characters too.",
        |c| Box::pin(control_characters(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/3.6.3/from-lines",
        "A line that begins with `From ` arrives as it was sent.",
        |c| Box::pin(body_arrives(c, b"before\r\n\r\nFrom here on\r\n>From there\r\n")),
    )
    .source("RFC 5321 §3.6.3, §4.5.2")
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/3.6.3/header-fields-in-order",
        "Header fields arrive in the order and with the values that they had, unknown and repeated ones too.",
        |c| Box::pin(fields_in_order(c)),
    )
    .source("RFC 5321 §3.6.3, §6.4")
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/3.6.3/folded-header-fields",
        "A header field that is folded over lines arrives with the lines that it had.",
        |c| Box::pin(folded(c)),
    )
    .source("RFC 5321 §3.6.3, §6.4")
    .needs(&[Need::Arrival]),
    Case::should(
        "rfc5321/3.3/defects-in-the-header",
        "A message is not refused for defects of its header section: no Date, no From, no header section at all.",
        |c| Box::pin(defects(c)),
    ),
    Case::must(
        "rfc5321/3.3/resent-fields-that-do-not-match",
        "A message is not refused because its Resent- fields do not match.",
        |c| Box::pin(resent(c)),
    ),
    Case::must(
        "rfc5321/3.7.2/strange-trace-fields",
        "A message is not refused for the form of a trace field that it has already.",
        |c| Box::pin(strange_trace(c)),
    ),
    Case::must(
        "rfc5321/4.1.1.4/header-section-only",
        "A message without a body, its header section not even ended by an empty line, is a message.",
        |c| Box::pin(header_only(c)),
    ),
];

async fn data(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    s.ask("DATA").await?.expect("354")?;
    s.owe("the end of data");
    s.send(stuffed(&c.message(&c.token(), "an ordinary message\r\n")))
        .await;
    s.reply().await?.expect("250")
}

async fn no_early_reply(c: &mut Context) -> Checked {
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    s.send(c.message(&c.token(), "a line\r\n\r\nanother one\r\n"))
        .await;
    s.silent(EARLY, "nothing before the end of data").await?;
    s.send(".\r").await;
    s.silent(EARLY, "nothing before the LF of the end of data")
        .await?;
    s.send("\n").await;
    s.reply().await?.expect("250")
}

/// The message is empty, so that a server may refuse it; but it must see its end.
async fn empty_content(c: &mut Context) -> Checked {
    let mut s = c.in_data().await?;
    s.owe("the end of empty data");
    s.send(".\r\n").await;
    s.reply().await?.expect("250|5yz|4yz")
}

async fn end_in_pieces(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    s.owe("the end of data in pieces");
    let content = c.message(&token, "in pieces");
    s.send(&content).await;
    for piece in ["\r", "\n", ".", "\r", "\n"] {
        // Long enough for a segment of its own.
        tokio::time::sleep(EARLY / 15).await;
        s.send(piece).await;
    }
    s.reply().await?.expect("250")?;
    same_body(c, &token, b"in pieces\r\n").await
}

async fn single_dot(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    s.send([&c.message(&token, "")[..], b".one\r\nlast\r\n.\r\n"].concat())
        .await;
    s.reply().await?.expect("250")?;
    same_body(c, &token, b"one\r\nlast\r\n").await
}

async fn dots_at_borders(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    s.send(c.message(&token, "")).await;
    for piece in ["a\r", "\n", ".", ".b\r\n.", ".", "\r\nc\r\n", ".\r\n"] {
        tokio::time::sleep(EARLY / 15).await;
        s.send(piece).await;
    }
    s.reply().await?.expect("250")?;
    same_body(c, &token, b"a\r\n.b\r\n.\r\nc\r\n").await
}

async fn control_characters(c: &mut Context) -> Checked {
    // NUL is the security cases' subject, CR and LF of their own as well.
    let octets: Vec<u8> = (1..128).filter(|o| !matches!(o, b'\r' | b'\n')).collect();
    let body = [&b"<"[..], &octets, b">\r\n"].concat();
    body_arrives(c, &body).await
}

async fn fields_in_order(c: &mut Context) -> Checked {
    let token = c.token();
    let own = "X-First: 1\r\nX-Gauntlet: a\r\nComments: one\r\nX-Gauntlet: b\r\nComments: two\r\nX-gauntlet: c\r\nX-Empty:\r\n";
    let content = format!("{own}{}body\r\n", token.header(c.from(), c.to()));
    let mut s = c.session().await?;
    c.taken(&mut s, content.as_bytes()).await?;
    s.quit().await;
    let arrived = c.arrived(&token).await?;
    let wanted = crate::probe::message::Arrived {
        content: content.clone().into_bytes(),
        from: None,
        recipients: Vec::new(),
    }
    .fields();
    // What was added on the way has other names.
    let ours = |name: &str| wanted.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let mut seen = own_fields(&arrived, "X-First");
    seen.retain(|(name, _)| ours(name));
    if seen == wanted {
        return Ok(());
    }
    let shown = |fields: &[(String, String)]| {
        let lines: Vec<String> = fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        visible(lines.join(" / ").as_bytes())
    };
    Err(Stop::failed(shown(&wanted), shown(&seen)))
}

async fn folded(c: &mut Context) -> Checked {
    let token = c.token();
    let own = "X-Folded: one\r\n  two\r\n\tthree\r\n";
    let content = format!("{own}{}body\r\n", token.header(c.from(), c.to()));
    let mut s = c.session().await?;
    c.taken(&mut s, content.as_bytes()).await?;
    s.quit().await;
    let arrived = c.arrived(&token).await?;
    let (header, _) = arrived.parts();
    if header.contains("X-Folded: one\n  two\n\tthree\n") {
        Ok(())
    } else {
        Err(Stop::failed(
            "the field as it was folded",
            visible(header.as_bytes()),
        ))
    }
}

async fn defects(c: &mut Context) -> Checked {
    for (what, content) in [
        (
            "no Date and no From",
            "Subject: gauntlet probe\r\n\r\nbody\r\n",
        ),
        ("no header section", "\r\nonly a body\r\n"),
        (
            "a line that is no field",
            "Subject: x\r\nthis is no field\r\n\r\nbody\r\n",
        ),
        ("two Subjects", "Subject: a\r\nSubject: b\r\n\r\nbody\r\n"),
    ] {
        let mut s = c.session().await?;
        c.taken(&mut s, content.as_bytes())
            .await
            .map_err(|stop| stop.with(what))?;
        s.quit().await;
    }
    Ok(())
}

async fn taken_with(c: &mut Context, fields: &str) -> Checked {
    let content = format!("{fields}{}body\r\n", c.token().header(c.from(), c.to()));
    let mut s = c.session().await?;
    c.taken(&mut s, content.as_bytes()).await
}

async fn resent(c: &mut Context) -> Checked {
    taken_with(
        c,
        "Resent-To: <x@gauntlet.invalid>\r\nResent-Message-ID: <1@gauntlet.invalid>\r\n",
    )
    .await
}

async fn strange_trace(c: &mut Context) -> Checked {
    taken_with(
        c,
        "Received: quite; (unlike anything else\r\nReceived:\r\nReceived: from x; 99 Foo 1\r\n",
    )
    .await
}

async fn header_only(c: &mut Context) -> Checked {
    let token = c.token();
    let header = token.header(c.from(), c.to());
    let mut s = c.session().await?;
    c.taken(&mut s, header.trim_end().as_bytes()).await
}
