//! RFC 3030: CHUNKING and BINARYMIME.

use super::extensions::{all_replies, shown, without_parameters};
use super::steps::same_body;
use crate::probe::{
    case::{Case, Need},
    connection::Connection,
    context::Context,
    message::Token,
    outcome::{Checked, Stop},
    reply::Reply,
};

const CHUNKING: &[Need] = &[Need::Extension("CHUNKING")];
const BINARY: &[Need] = &[Need::Extension("CHUNKING"), Need::Extension("BINARYMIME")];
const CHUNKING_ARRIVAL: &[Need] = &[Need::Extension("CHUNKING"), Need::Arrival];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc3030/2/keyword",
        "CHUNKING stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "CHUNKING")),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/one-chunk",
        "A message in one chunk, BDAT with LAST, is taken with 250.",
        |c| Box::pin(one_chunk(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/a-reply-per-chunk",
        "Each chunk is answered with 250, before the next one is sent.",
        |c| Box::pin(a_reply_per_chunk(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/empty-last-chunk",
        "The last chunk may have no octets: BDAT 0 LAST ends the message.",
        |c| Box::pin(empty_last_chunk(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/any-case",
        "BDAT and LAST may be written in any case.",
        |c| Box::pin(any_case(c)),
    )
    .needs(CHUNKING)
    .source("RFC 3030 §2, RFC 5321 §2.4"),
    Case::must(
        "rfc3030/2/content-arrives",
        "Content is delivered as the chunks had it: no dot is taken away, and a line with a dot alone ends nothing.",
        |c| Box::pin(content_arrives(c)),
    )
    .needs(CHUNKING_ARRIVAL),
    Case::must(
        "rfc3030/2/cut-anywhere",
        "Chunks may be cut anywhere, also between CR and LF, and the pieces are put together as they are.",
        |c| Box::pin(cut_anywhere(c)),
    )
    .needs(CHUNKING_ARRIVAL),
    Case::must(
        "rfc3030/2/without-mail",
        "BDAT without a transaction is refused after its octets have been read: what they hold is no command.",
        |c| Box::pin(without_mail(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/without-recipients",
        "BDAT in a transaction without recipients is refused after its octets have been read.",
        |c| Box::pin(without_recipients(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/after-last",
        "A BDAT after the last chunk is answered with 503.",
        |c| Box::pin(after_last(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/data-after-bdat",
        "DATA after a BDAT in one transaction is answered with 503.",
        |c| Box::pin(data_after_bdat(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/rset-clears-chunks",
        "RSET between chunks throws away what has come: the next message has only what is its own, and the first never arrives.",
        |c| Box::pin(rset_clears_chunks(c)),
    )
    .needs(CHUNKING_ARRIVAL),
    Case::must(
        "rfc3030/2/no-size",
        "BDAT without a size is refused.",
        |c| Box::pin(bad_bdat(c, "BDAT")),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/size-no-number",
        "BDAT with a size that is no number is refused.",
        |c| Box::pin(bad_bdat(c, "BDAT -1 LAST")),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/unknown-end-marker",
        "BDAT with another word than LAST after the size is refused.",
        |c| Box::pin(bad_bdat(c, "BDAT 0 FIRST")),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/2/mixed-in-a-session",
        "One transaction may use BDAT and the next one DATA.",
        |c| Box::pin(mixed_in_a_session(c)),
    )
    .needs(CHUNKING),
    Case::must(
        "rfc3030/3/binarymime-keyword",
        "BINARYMIME stands in the reply to EHLO without parameters.",
        |c| Box::pin(without_parameters(c, "BINARYMIME")),
    )
    .needs(&[Need::Extension("BINARYMIME")]),
    Case::must(
        "rfc3030/3/with-chunking",
        "A server that offers BINARYMIME offers CHUNKING, without which it cannot be used.",
        |c| Box::pin(with_chunking(c)),
    )
    .needs(&[Need::Extension("BINARYMIME")]),
    Case::must(
        "rfc3030/3/body-binarymime",
        "MAIL with BODY=BINARYMIME is accepted.",
        |c| Box::pin(super::extensions::mail_is_accepted(c, "BODY=BINARYMIME")),
    )
    .needs(BINARY),
    Case::must(
        "rfc3030/3/binarymime-with-data",
        "DATA after a MAIL with BODY=BINARYMIME is answered with 503.",
        |c| Box::pin(binarymime_with_data(c)),
    )
    .needs(BINARY),
    Case::must(
        "rfc3030/3/binary-content-arrives",
        "Binary content is delivered octet by octet: NUL, CR and LF of their own, octets above 127, lines of any length.",
        |c| Box::pin(binary_content_arrives(c)),
    )
    .needs(&[
        Need::Extension("CHUNKING"),
        Need::Extension("BINARYMIME"),
        Need::Arrival,
    ]),
];

/// Sends a chunk; its reply is owed.
async fn chunk(s: &mut Connection, octets: &[u8], last: bool) {
    let word = if last { " LAST" } else { "" };
    let command = format!("BDAT {}{word}", octets.len());
    s.owe(&command);
    s.send([command.as_bytes(), b"\r\n", octets].concat()).await;
}

/// Sends a chunk and gives its reply.
async fn ask_chunk(s: &mut Connection, octets: &[u8], last: bool) -> Result<Reply, Stop> {
    chunk(s, octets, last).await;
    s.reply().await
}

async fn one_chunk(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.opened().await?;
    ask_chunk(&mut s, &c.message(&token, "one chunk\r\n"), true)
        .await?
        .expect("250")?;
    s.quit().await;
    Ok(())
}

async fn a_reply_per_chunk(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.opened().await?;
    let header = c.message(&token, "");
    for (octets, last) in [(&header[..], false), (b"a\r\n", false), (b"b\r\n", true)] {
        ask_chunk(&mut s, octets, last).await?.expect("250")?;
    }
    s.quit().await;
    Ok(())
}

async fn empty_last_chunk(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.opened().await?;
    let content = c.message(&token, "ended by a chunk of no octets\r\n");
    chunk(&mut s, &content, false).await;
    s.prepared("250").await?;
    ask_chunk(&mut s, b"", true).await?.expect("250")?;
    s.quit().await;
    Ok(())
}

async fn any_case(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.opened().await?;
    let content = c.message(&token, "in small letters\r\n");
    let command = format!("bdat {} lAsT", content.len());
    s.owe(&command);
    s.send([command.as_bytes(), b"\r\n", &content].concat())
        .await;
    s.reply().await?.expect("250")?;
    s.quit().await;
    Ok(())
}

async fn content_arrives(c: &mut Context) -> Checked {
    let token = c.token();
    let body = b".\r\n..\r\n.a\r\nbefore\r\n.\r\nbehind\r\n";
    let mut s = c.opened().await?;
    let content = [&c.message(&token, "")[..], body].concat();
    ask_chunk(&mut s, &content, true).await?.expect("250")?;
    s.quit().await;
    same_body(c, &token, body).await
}

async fn cut_anywhere(c: &mut Context) -> Checked {
    let token = c.token();
    let body = b"first\r\nsecond\r\n.\r\nthird\r\n";
    let mut s = c.opened().await?;
    let header = c.message(&token, "");
    // Between CR and LF, within a word, around the dot.
    let pieces: [&[u8]; 6] = [
        &header,
        b"first\r",
        b"\nsec",
        b"ond\r\n.",
        b"\r\nthird\r",
        b"\n",
    ];
    for (number, piece) in pieces.iter().enumerate() {
        let last = number + 1 == pieces.len();
        ask_chunk(&mut s, piece, last).await?.expect("250")?;
    }
    s.quit().await;
    same_body(c, &token, body).await
}

/// A refused chunk that is made of commands: each of them would be answered.
const COMMANDS: &[u8] = b"NOOP\r\nRSET\r\nNOOP\r\n";

/// One reply, of this pattern, to the chunk that was sent.
async fn refused_as_a_whole(s: &mut Connection, pattern: &str) -> Checked {
    let command = format!("BDAT {} LAST\r\n", COMMANDS.len());
    s.owe(&command);
    let replies = all_replies(s, &[command.as_bytes(), COMMANDS].concat()).await;
    match replies.as_slice() {
        [one] => one.expect(pattern),
        _ => Err(Stop::failed(
            format!("one reply of {pattern} to a chunk that is refused"),
            shown(&replies),
        )),
    }
}

async fn without_mail(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    refused_as_a_whole(&mut s, "5yz").await
}

async fn without_recipients(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    refused_as_a_whole(&mut s, "5yz").await
}

async fn after_last(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.opened().await?;
    chunk(&mut s, &c.message(&token, "the last\r\n"), true).await;
    s.prepared("250").await?;
    ask_chunk(&mut s, b"one more\r\n", true)
        .await?
        .expect("503")?;
    s.quit().await;
    Ok(())
}

async fn data_after_bdat(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.opened().await?;
    chunk(&mut s, &c.message(&token, "begun\r\n"), false).await;
    s.prepared("250").await?;
    let reply = s.ask("DATA").await?;
    if reply.code != 354 {
        s.quit().await;
    }
    reply.expect("503")
}

async fn rset_clears_chunks(c: &mut Context) -> Checked {
    let (first, second) = (c.token(), c.token());
    let mut s = c.opened().await?;
    chunk(&mut s, &c.message(&first, "thrown away\r\n"), false).await;
    s.prepared("250").await?;
    s.ask("RSET").await?.expect("250")?;
    c.open(&mut s).await?;
    let body = b"only this\r\n";
    let content = [&c.message(&second, "")[..], body].concat();
    ask_chunk(&mut s, &content, true).await?.expect("250")?;
    s.quit().await;
    body_is(c, &second, body, &first).await?;
    c.none_arrives(&[&first], "no message of chunks that RSET threw away")
        .await
}

/// The message has arrived, begins with its own header section, and has nothing of the other.
async fn body_is(c: &Context, token: &Token, body: &[u8], other: &Token) -> Checked {
    let arrived = c.arrived_somewhere(token).await?;
    if arrived.mentions(other) {
        return Err(Stop::failed(
            "a message without what RSET threw away",
            format!("message {token} arrived with content of {other}"),
        ));
    }
    same_body(c, token, body).await
}

/// The line is answered with a refusal, at once: there is no chunk behind it. The server may end the session, as it cannot
/// know where the next command begins.
async fn bad_bdat(c: &mut Context, command: &str) -> Checked {
    let mut s = c.opened().await?;
    let reply = s.ask(command).await?;
    if reply.code == 421 {
        return Ok(());
    }
    s.quit().await;
    reply.expect("5yz")
}

async fn mixed_in_a_session(c: &mut Context) -> Checked {
    let (first, second) = (c.token(), c.token());
    let mut s = c.opened().await?;
    chunk(&mut s, &c.message(&first, "with BDAT\r\n"), true).await;
    s.prepared("250").await?;
    c.open(&mut s).await?;
    s.ask("DATA").await?.expect("354")?;
    s.owe("the end of data");
    s.send(crate::probe::message::stuffed(
        &c.message(&second, "with DATA\r\n"),
    ))
    .await;
    s.reply().await?.expect("250")?;
    s.quit().await;
    Ok(())
}

async fn with_chunking(c: &mut Context) -> Checked {
    let s = c.session().await?;
    let (offered, keywords) = (s.offers("CHUNKING"), s.keywords().join(", "));
    s.quit().await;
    if offered {
        Ok(())
    } else {
        Err(Stop::failed("CHUNKING beside BINARYMIME", keywords))
    }
}

async fn binary(c: &Context) -> Result<Connection, Stop> {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}> BODY=BINARYMIME", c.from()), "250")
        .await?;
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    Ok(s)
}

async fn binarymime_with_data(c: &mut Context) -> Checked {
    let mut s = binary(c).await?;
    let reply = s.ask("DATA").await?;
    if reply.code != 354 {
        s.quit().await;
    }
    reply.expect("503")
}

async fn binary_content_arrives(c: &mut Context) -> Checked {
    let token = c.token();
    let mut body: Vec<u8> = (0..=255).collect();
    body.extend_from_slice(b"\r\n.\r\n\n.\n\r.\r\0\n");
    body.extend(std::iter::repeat_n(b'z', 3000));
    body.extend_from_slice(b"\r\n");
    let mime = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n";
    let content = [mime, &c.message(&token, "")[..], &body].concat();
    let mut s = binary(c).await?;
    let half = content.len() / 2;
    ask_chunk(&mut s, &content[..half], false)
        .await?
        .expect("250")?;
    ask_chunk(&mut s, &content[half..], true)
        .await?
        .expect("250")?;
    s.quit().await;
    same_body(c, &token, &body).await
}
