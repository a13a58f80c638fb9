//! RFC 5321 §2.3.8, §2.4, §4.1.1, §4.2: command lines, and the form of every reply.

use super::super::steps::{answered, goes_on};
use crate::probe::{
    case::Case,
    connection::Heard,
    context::{Context, EARLY, HELLO},
    message::stuffed,
    outcome::{Checked, Stop},
    reply::{Fault, Reply},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.2/reply-codes",
        "Every reply has a code of three digits, the first of 2 to 5 and the second of 0 to 5.",
        |c| {
            Box::pin(without(
                c,
                &[Fault::NoCode, Fault::StrangeCode, Fault::BadSeparator],
            ))
        },
    )
    .source("RFC 5321 §4.2, §4.3.2"),
    Case::must(
        "rfc5321/4.2/reply-lines-end-with-crlf",
        "Every line of a reply ends with CR LF.",
        |c| Box::pin(without(c, &[Fault::BareLineFeed])),
    )
    .source("RFC 5321 §4.2, §2.3.8"),
    Case::must(
        "rfc5321/4.2/reply-text-is-ascii",
        "The text of a reply has printable ASCII, spaces and tabs only.",
        |c| Box::pin(without(c, &[Fault::BadText])),
    ),
    Case::must(
        "rfc5321/4.2.1/one-code-in-a-multiline-reply",
        "All lines of a multi-line reply have the same code.",
        |c| Box::pin(without(c, &[Fault::CodesDiffer])),
    ),
    Case::must(
        "rfc5321/4.5.3.1.5/reply-line-length",
        "A line of a reply has at most 512 octets, code and CRLF counted.",
        |c| Box::pin(without(c, &[Fault::TooLong])),
    ),
    Case::should(
        "rfc5321/4.2.1/space-after-the-code",
        "The code of a last line is followed by a space even where no text follows.",
        |c| Box::pin(no_bare_code(c)),
    ),
    Case::should(
        "rfc5321/4.2/listed-codes-only",
        "A server uses the reply codes that the standard lists.",
        |c| Box::pin(listed_codes(c)),
    ),
    Case::must(
        "rfc5321/4.2/one-reply-per-command",
        "Every command gets exactly one reply, those that are refused too.",
        |c| Box::pin(one_reply_each(c)),
    ),
    Case::must(
        "rfc5321/4.3.1/no-reply-before-the-command-s-end",
        "Nothing is answered before the CRLF that ends a command.",
        |c| Box::pin(half_a_command(c)),
    )
    .source("RFC 5321 §4.3.1, §4.1.1"),
    Case::must(
        "rfc5321/4.1.1/command-in-pieces",
        "A command that comes octet by octet is the command that it would be in one piece.",
        |c| Box::pin(octet_by_octet(c)),
    ),
    Case::must(
        "rfc5321/2.3.8/bare-lf-ends-no-command",
        "A command line that ends with LF alone is not executed.",
        |c| Box::pin(bare_lf(c)),
    )
    .source("RFC 5321 §2.3.8, §4.1.1.4"),
    Case::must(
        "rfc5321/2.3.8/bare-cr-ends-no-command",
        "A CR of its own does not end a command line.",
        |c| Box::pin(bare_cr(c)),
    ),
    Case::must(
        "rfc5321/2.4/verbs-in-any-case",
        "Verbs, and the words FROM and TO, are understood in upper, lower and mixed case.",
        |c| Box::pin(any_case(c)),
    ),
    Case::should(
        "rfc5321/4.1.1/trailing-space",
        "White space before the CRLF of a command is tolerated.",
        |c| Box::pin(trailing_space(c)),
    ),
    Case::should(
        "rfc5321/4.2.4/unknown-command",
        "A command that is not recognized is answered with 500.",
        |c| Box::pin(answered(c, "GAUNTLETPROBE x", "500")),
    )
    .source("RFC 5321 §4.2.4, §4.3.2"),
    Case::should(
        "rfc5321/4.1.5/unknown-private-command",
        "A private-use command (X…) that is not recognized is answered with 500.",
        |c| Box::pin(answered(c, "XGAUNTLETPROBE", "500")),
    ),
    Case::must(
        "rfc5321/4.2/unknown-command-is-refused",
        "A command that does not exist is refused with 5yz, and nothing else happens.",
        |c| Box::pin(answered(c, "GAUNTLETPROBE", "5yz")),
    )
    .source("RFC 5321 §4.2.1, §4.2.4"),
    Case::must(
        "rfc5321/4.2/empty-line",
        "An empty line is no command: it gets one reply, which refuses it.",
        |c| Box::pin(empty_line(c)),
    ),
    Case::must(
        "rfc5321/3.8/bad-commands-do-not-end-the-session",
        "Commands that are not understood are refused, and the server waits for further ones.",
        |c| Box::pin(bad_commands(c)),
    ),
    Case::should(
        "rfc5321/2.4/non-ascii-command",
        "A command with octets above 127 is refused.",
        |c| Box::pin(non_ascii(c)),
    ),
    Case::should(
        "rfc5321/4.3.2/data-with-an-argument",
        "DATA takes no argument: one is refused with 501.",
        |c| Box::pin(data_with_an_argument(c)),
    )
    .source("RFC 5321 §4.3.2, §4.1.1"),
    Case::should(
        "rfc5321/4.3.2/rset-with-an-argument",
        "RSET takes no argument: one is refused with 501.",
        |c| Box::pin(answered(c, "RSET now", "501")),
    )
    .source("RFC 5321 §4.3.2, §4.1.1"),
    Case::should(
        "rfc5321/4.3.2/quit-with-an-argument",
        "QUIT takes no argument: one is refused with 501.",
        |c| Box::pin(answered(c, "QUIT now", "501")),
    )
    .source("RFC 5321 §4.3.2, §4.1.1"),
];

/// Every reply of a session with all commands, good ones and bad ones. What is not answered is another case's subject.
async fn replies(c: &Context) -> Result<Vec<Reply>, Stop> {
    let mut s = c.connect().await?;
    let mut all = vec![s.reply().await.map_err(Stop::in_preparation)?];
    let (from, to) = (c.from(), c.to());
    let content = c.message(&c.token(), "One of each command.\r\n");
    let commands = [
        "NOOP".to_owned(),
        format!("RCPT TO:<{to}>"),
        format!("EHLO {HELLO}"),
        "HELP".to_owned(),
        format!("VRFY {to}"),
        format!("EXPN {to}"),
        "GAUNTLETPROBE".to_owned(),
        "MAIL FROM:".to_owned(),
        format!("MAIL FROM:<{from}>"),
        "DATA".to_owned(),
        format!("RCPT TO:<{to}>"),
        "RSET".to_owned(),
        "DATA".to_owned(),
        format!("HELO {HELLO}"),
        format!("MAIL FROM:<{from}>"),
        format!("RCPT TO:<{to}>"),
        "DATA".to_owned(),
    ];
    for command in commands {
        let in_content = all.last().is_some_and(|reply| reply.code == 354);
        if in_content {
            break;
        }
        all.push(s.ask(command).await.map_err(Stop::in_preparation)?);
    }
    if all.last().is_some_and(|reply| reply.code == 354) {
        s.owe("the end of data");
        s.send(stuffed(&content)).await;
        all.push(s.reply().await.map_err(Stop::in_preparation)?);
    }
    all.push(s.ask("QUIT").await.map_err(Stop::in_preparation)?);
    Ok(all)
}

async fn without(c: &mut Context, faults: &[Fault]) -> Checked {
    for reply in replies(c).await? {
        if let Some(fault) = reply.faults().iter().find(|fault| faults.contains(fault)) {
            let expected = format!("a well formed reply to {}", reply.to);
            return Err(Stop::failed(expected, format!("{fault}: {reply}")));
        }
    }
    Ok(())
}

async fn no_bare_code(c: &mut Context) -> Checked {
    let bare = |line: &[u8]| line.strip_suffix(b"\r\n").unwrap_or(line).len() == 3;
    for reply in replies(c).await? {
        if reply.raw.split_inclusive(|o| *o == b'\n').any(bare) {
            return Err(reply.unexpected("a space after the code"));
        }
    }
    Ok(())
}

/// RFC 5321 §4.2.2 and §4.2.3.
const LISTED: &str = "211|214|220|221|250|251|252|354|421|450|451|452|455|500|501|502|503|504|550|551|552|553|554|555";

async fn listed_codes(c: &mut Context) -> Checked {
    for reply in replies(c).await? {
        if !reply.is(LISTED) {
            return Err(reply.unexpected("a code that RFC 5321 lists"));
        }
    }
    Ok(())
}

async fn one_reply_each(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let to = c.to().to_owned();
    let commands = [
        "NOOP".to_owned(),
        "RSET".to_owned(),
        "HELP".to_owned(),
        format!("VRFY {to}"),
        "GAUNTLETPROBE".to_owned(),
        "MAIL".to_owned(),
        "RCPT".to_owned(),
        "DATA".to_owned(),
        "NOOP".to_owned(),
    ];
    for command in commands {
        let reply = s.ask(&command).await?;
        if reply.code == 354 {
            return Err(Stop::inconclusive(
                "the server takes content without a recipient",
            ));
        }
        s.silent(EARLY / 6, "exactly one reply to a command")
            .await
            .map_err(|stop| stop.with(&command))?;
    }
    Ok(())
}

async fn half_a_command(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.owe("NOOP");
    s.send("NOOP").await;
    s.silent(EARLY, "nothing before the end of the command")
        .await?;
    s.send("\r").await;
    s.silent(EARLY, "nothing before the LF that ends the command")
        .await?;
    s.send("\n").await;
    s.reply().await?.expect("250")
}

async fn octet_by_octet(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let command = format!("MAIL FROM:<{}>\r\n", c.from());
    s.owe("MAIL in pieces");
    for octet in command.as_bytes() {
        s.send([*octet]).await;
        tokio::task::yield_now().await;
    }
    s.reply().await?.expect("250")
}

async fn bare_lf(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    s.owe("MAIL that ends with LF alone");
    s.send(format!("{mail}\n")).await;
    // It may be refused at once, or wait for its CRLF; what follows shows whether it was executed.
    match s.hear(EARLY).await {
        Heard::Reply(reply) => {
            reply.refuse("2yz|3yz", "no execution of a line that ends with LF alone")
        }
        Heard::Closed(_) | Heard::Broken(_) => Ok(()),
        Heard::Silence(rest) if rest.is_empty() => {
            s.send("\r\n").await;
            s.reply()
                .await?
                .refuse("2yz|3yz", "no execution of a line with an LF of its own")
        }
        Heard::Silence(rest) => Err(Stop::failed(
            "a whole reply, or none",
            crate::probe::dialogue::visible(&rest),
        )),
    }
}

async fn bare_cr(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    s.owe("a line with a CR of its own");
    s.send(format!("NOOP\r{mail}\r\n")).await;
    let first = s.reply().await?;
    // Two commands would get two replies.
    match s.hear(EARLY).await {
        Heard::Reply(second) => {
            let expected = "one reply to one line";
            return Err(Stop::failed(
                expected,
                format!("{first}, and then {second}"),
            ));
        }
        Heard::Closed(_) | Heard::Broken(_) => return Ok(()),
        Heard::Silence(_) => {}
    }
    // Whether it was a NOOP with an odd argument or refused: MAIL was not executed.
    s.ask(format!("RCPT TO:<{}>", c.to())).await?.refuse(
        "2yz",
        "no execution of what stands after a CR of its own, so a refusal",
    )
}

async fn any_case(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    let (from, to) = (c.from(), c.to());
    for (command, codes) in [
        (format!("ehlo {HELLO}"), "250"),
        ("nOoP".to_owned(), "250"),
        ("rset".to_owned(), "250"),
        (format!("mail from:<{from}>"), "250"),
        (format!("rCpT tO:<{to}>"), "250|251"),
        ("rSET".to_owned(), "250"),
        (format!("Mail From:<{from}>"), "250"),
        (format!("rcpt To:<{to}>"), "250|251"),
        ("data".to_owned(), "354"),
        (".".to_owned(), "250|5yz"),
        ("quit".to_owned(), "221"),
    ] {
        s.ask(command).await?.expect(codes)?;
    }
    Ok(())
}

async fn trailing_space(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    let (from, to) = (c.from(), c.to());
    for (command, codes) in [
        (format!("EHLO {HELLO} "), "250"),
        ("NOOP ".to_owned(), "250"),
        ("RSET  ".to_owned(), "250"),
        (format!("MAIL FROM:<{from}> "), "250"),
        (format!("RCPT TO:<{to}>\t"), "250|251"),
        ("DATA ".to_owned(), "354"),
    ] {
        s.ask(command).await?.expect(codes)?;
    }
    Ok(())
}

async fn empty_line(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask("").await?.expect("5yz")?;
    goes_on(&mut s).await
}

async fn bad_commands(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    for command in ["GAUNTLETPROBE", "MAILFROM:<>", "?"] {
        let reply = s.ask(command).await?;
        if reply.code == 421 {
            return Err(reply.unexpected("a refusal, and a session that goes on,"));
        }
        reply.expect("5yz")?;
    }
    goes_on(&mut s).await
}

async fn non_ascii(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.ask(b"NOOP\xff\xfe").await?.expect("5yz")?;
    goes_on(&mut s).await
}

async fn data_with_an_argument(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    s.ask("DATA now").await?.expect("501")
}
