//! Command lines that are too long, or have octets in them that no command has.

use crate::probe::{
    case::Case,
    cases::extensions::{all_replies, ends_service, shown},
    connection::Connection,
    context::{Context, HELLO},
    outcome::{Checked, Stop},
    reply::{Fault, Reply},
};

const LINES: &str = "RFC 5321 §4.5.3.1.4, §4.5.3.1.9";
const TERMINATOR: &str = "RFC 5321 §2.3.8, §4.1.1";
const OCTETS: &str = "RFC 5321 §4.1.1, §4.1.2";

pub(super) const CASES: &[Case] = &[
    Case::security(
        "security/lf-in-a-command",
        TERMINATOR,
        "An LF of its own ends no command: what stands behind it is not executed.",
        |c| Box::pin(no_second_command(c, b"NOOP x\nRSET\r\n")),
    ),
    Case::security(
        "security/cr-in-a-command",
        TERMINATOR,
        "A CR of its own ends no command: what stands behind it is not executed.",
        |c| Box::pin(no_second_command(c, b"NOOP x\rRSET\r\n")),
    ),
    Case::security(
        "security/nul-in-a-verb",
        OCTETS,
        "A verb with NUL in it is no command.",
        |c| Box::pin(refused(c, b"NO\0OP")),
    ),
    Case::security(
        "security/nul-behind-a-verb",
        OCTETS,
        "A NUL does not end a command line: RSET, NUL and more is no RSET.",
        |c| Box::pin(refused(c, b"RSET\0x")),
    ),
    Case::security(
        "security/nul-in-hello",
        OCTETS,
        "EHLO with NUL in the name is refused.",
        |c| Box::pin(refused(c, b"EHLO a\0.example")),
    ),
    Case::security(
        "security/nul-in-the-sender",
        OCTETS,
        "A return path with NUL in it is refused.",
        |c| Box::pin(in_sender(c, b"\0")),
    ),
    Case::security(
        "security/nul-in-the-recipient",
        OCTETS,
        "A recipient with NUL in it is refused: it is not cut at the NUL.",
        |c| Box::pin(in_recipient(c, b"\0")),
    ),
    Case::security(
        "security/cr-in-the-recipient",
        OCTETS,
        "A recipient with a CR of its own in it is refused.",
        |c| Box::pin(in_recipient(c, b"\r")),
    ),
    Case::security(
        "security/lf-in-the-recipient",
        OCTETS,
        "A recipient with an LF of its own in it is refused, and neither part of the line is executed.",
        |c| Box::pin(lf_in_the_recipient(c)),
    ),
    Case::security(
        "security/escape-in-the-recipient",
        OCTETS,
        "A recipient with ESC in it is refused.",
        |c| Box::pin(in_recipient(c, b"\x1b")),
    ),
    Case::security(
        "security/delete-in-the-recipient",
        OCTETS,
        "A recipient with DEL in it is refused.",
        |c| Box::pin(in_recipient(c, b"\x7f")),
    ),
    Case::security(
        "security/crlf-in-a-quoted-local-part",
        "RFC 5321 §4.1.2, §2.3.8",
        "CRLF ends a command within quotes, too: the first line is refused, and is not put together with the next one.",
        |c| Box::pin(crlf_in_a_quoted_local_part(c)),
    ),
    Case::security(
        "security/replies-do-not-echo-control-octets",
        "RFC 5321 §4.2",
        "A control octet of a command does not come back in the reply, where it would reach a terminal or a log.",
        |c| Box::pin(no_echo(c)),
    ),
    Case::security(
        "security/over-long-command",
        LINES,
        // It need not be refused: a server may do without limits (§4.5.3.1), and SHOULD ignore what stands behind NOOP.
        "A command line of 64 KiB gets one reply, and no part of it is taken for another command.",
        |c| {
            Box::pin(over_long(
                c,
                format!("NOOP {}", "RSET ".repeat(13_000)),
                false,
            ))
        },
    ),
    Case::security(
        "security/over-long-verb",
        LINES,
        "A verb of 64 KiB gets one reply, which refuses it.",
        |c| Box::pin(over_long(c, "A".repeat(65_000), true)),
    ),
    Case::security(
        "security/over-long-hello",
        LINES,
        "EHLO with a name of 64 KiB is refused with one reply.",
        |c| Box::pin(over_long(c, format!("EHLO {}", "a.".repeat(32_000)), true)),
    ),
    Case::security(
        "security/over-long-path",
        "RFC 5321 §4.5.3.1.3",
        "A return path of 64 KiB is refused with one reply.",
        |c| {
            Box::pin(over_long(
                c,
                format!("MAIL FROM:<a@{}example>", "a.".repeat(32_000)),
                true,
            ))
        },
    ),
    Case::security(
        "security/over-long-parameters",
        LINES,
        "MAIL with 64 KiB of parameters is refused with one reply.",
        |c| {
            Box::pin(over_long(
                c,
                format!("MAIL FROM:<> {}", "X=y ".repeat(16_000)),
                true,
            ))
        },
    ),
    Case::security(
        "security/endless-line",
        LINES,
        "A line of 8 MiB without an end is not waited for in vain: the server ends the session or answers, and serves others.",
        |c| Box::pin(endless_line(c)),
    ),
];

/// Sends one line with something in it that looks like its end; no reply but the first may be positive, and that one only
/// when it is the only one.
async fn no_second_command(c: &mut Context, line: &[u8]) -> Checked {
    let mut s = c.session().await?;
    s.owe("the line");
    let replies = without_end(all_replies(&mut s, line).await);
    let positive = replies.iter().filter(|reply| reply.is_positive()).count();
    if replies.len() > 1 && positive > 0 {
        return Err(Stop::failed(
            "one reply to one line, or refusals",
            shown(&replies),
        ));
    }
    Ok(())
}

/// Without the reply that ends the session.
fn without_end(mut replies: Vec<Reply>) -> Vec<Reply> {
    if replies.last().is_some_and(ends_service) {
        replies.pop();
    }
    replies
}

/// 5yz, or the end of the session: what has such octets in it is no client.
fn refuses(reply: &Reply) -> Checked {
    if ends_service(reply) {
        return Ok(());
    }
    reply.expect("5yz")
}

async fn refused(c: &mut Context, command: &[u8]) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask(command).await?;
    s.quit().await;
    refuses(&reply)
}

async fn in_sender(c: &mut Context, octets: &[u8]) -> Checked {
    let (local, domain) = c.from().rsplit_once('@').unwrap_or((c.from(), ""));
    let command = [
        b"MAIL FROM:<",
        local.as_bytes(),
        octets,
        b"x@",
        domain.as_bytes(),
        b">",
    ]
    .concat();
    refused(c, &command).await
}

/// The octets stand behind the address that the server takes, so that a server that cuts there takes it.
async fn in_recipient(c: &mut Context, octets: &[u8]) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let (local, domain) = c.to_parts();
    let inside = [
        b"RCPT TO:<",
        local.as_bytes(),
        octets,
        b"@",
        domain.as_bytes(),
        b">",
    ]
    .concat();
    let behind = [b"RCPT TO:<", c.to().as_bytes(), octets, b">"].concat();
    for command in [inside, behind] {
        let reply = s.ask(command).await?;
        refuses(&reply)?;
        if ends_service(&reply) {
            return Ok(());
        }
    }
    s.quit().await;
    Ok(())
}

async fn lf_in_the_recipient(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    s.owe("RCPT with LF");
    let line = format!("RCPT TO:<{}>\nRCPT TO:<{}>\r\n", c.to(), c.to());
    let replies = all_replies(&mut s, line.as_bytes()).await;
    if replies.iter().any(Reply::is_positive) {
        return Err(Stop::failed(
            "no positive reply to a line with an LF of its own",
            shown(&replies),
        ));
    }
    Ok(())
}

async fn crlf_in_a_quoted_local_part(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.owe("MAIL with an open quote");
    let replies =
        without_end(all_replies(&mut s, b"MAIL FROM:<\"a\r\nNOOP \"@example.com>\r\n").await);
    match replies.as_slice() {
        [] => Ok(()),
        [first, ..] if !first.is("5yz") => Err(first.unexpected("5yz")),
        [_] | [_, _] => Ok(()),
        _ => Err(Stop::failed("a reply per line", shown(&replies))),
    }
}

async fn no_echo(c: &mut Context) -> Checked {
    for command in [
        &b"EHLO \x1b[2Ja.example"[..],
        b"VRFY \x1b]0;x\x07",
        b"GAUNT\x1b[31mLET",
        b"MAIL FROM:<\x1b[1m@example.com>",
    ] {
        let mut s = c.session().await?;
        let reply = s.ask(command).await?;
        s.quit().await;
        if reply.faults().contains(&Fault::BadText) {
            return Err(reply.unexpected("printable text in the reply"));
        }
    }
    Ok(())
}

/// One reply to one line. A positive one is a failure where the argument has no right form (`refuse`).
async fn over_long(c: &mut Context, line: String, refuse: bool) -> Checked {
    let mut s = c.session().await?;
    s.owe("an over-long line");
    let replies = without_end(all_replies(&mut s, format!("{line}\r\n").as_bytes()).await);
    match replies.as_slice() {
        // The session was ended.
        [] => Ok(()),
        [one] if refuse => refuses(one),
        [_] => Ok(()),
        _ => Err(Stop::failed("one reply to one line", shown(&replies))),
    }
}

async fn endless_line(c: &mut Context) -> Checked {
    let mut s: Connection = c.session().await?;
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..8 {
        s.send(&piece).await;
    }
    // Whoever comes now is served.
    let mut other = c.connect().await?;
    other
        .reply()
        .await
        .and_then(|reply| reply.expect("220"))
        .map_err(|stop| stop.with("another session beside an endless line"))?;
    other
        .ask(format!("EHLO {HELLO}"))
        .await
        .and_then(|reply| reply.expect("250"))
        .map_err(|stop| stop.with("another session beside an endless line"))?;
    other.quit().await;
    s.owe("the endless line");
    let replies = without_end(all_replies(&mut s, b"\r\n").await);
    match replies.as_slice() {
        [] => Ok(()),
        [one] => refuses(one),
        _ => Err(Stop::failed("one reply to one line", shown(&replies))),
    }
}
