//! Content that a careless server cuts, or takes for commands.

use crate::probe::{
    case::{Case, Need},
    cases::{
        extensions::{all_replies, ends_service, shown},
        steps::same_body,
    },
    connection::Connection,
    context::Context,
    outcome::{Checked, Stop},
};

const ARRIVAL: &[Need] = &[Need::Arrival];

pub(super) const CASES: &[Case] = &[
    Case::security(
        "security/dot-behind-an-over-long-line",
        "RFC 5321 §4.1.1.4, §4.5.3.1.6",
        "A line that is longer than a buffer is not cut into two: a dot behind the cut ends nothing.",
        |c| Box::pin(dot_behind_an_over_long_line(c)),
    )
    .needs(ARRIVAL),
    Case::security(
        "security/nul-in-content",
        "RFC 5321 §4.1.1.4, RFC 5322 §2.2",
        "Content with NUL is refused, or arrives whole: it does not end at the NUL.",
        |c| Box::pin(nul_in_content(c)),
    )
    .needs(ARRIVAL),
    Case::security(
        "security/end-of-data-cut-by-the-network",
        "RFC 5321 §4.1.1.4",
        "CRLF . CRLF ends the data however the network cuts it, and only once.",
        |c| Box::pin(cut_by_the_network(c)),
    ),
    Case::security(
        "security/content-cut-off",
        "RFC 5321 §4.1.1.4, §4.1.1.5",
        "Content whose connection ends before the end of data is not delivered.",
        |c| Box::pin(content_cut_off(c)),
    )
    .needs(ARRIVAL),
    Case::security(
        "security/refused-content-is-no-command",
        "RFC 1870 §4, RFC 5321 §4.5.3.1.7",
        "When content is refused because it is too big, its rest is read up to the end of data: no line of it is executed.",
        |c| Box::pin(refused_content(c)),
    )
    .needs(&[Need::Extension("SIZE"), Need::Alone]),
    Case::security(
        "security/bdat-size-overflow",
        "RFC 3030 §2",
        "A chunk size that no counter holds is not taken for a small one: what follows is no command.",
        |c| Box::pin(bdat_size_overflow(c)),
    )
    .needs(&[Need::Extension("CHUNKING")]),
];

/// Sizes that buffers have had, and what fits beside CRLF or NUL.
const BUFFERS: &[usize] = &[
    510, 511, 512, 998, 999, 1000, 1022, 1023, 1024, 2046, 2047, 2048, 4094, 4095, 4096, 8190,
    8191, 8192, 16_384, 32_768, 65_535, 65_536,
];

async fn dot_behind_an_over_long_line(c: &mut Context) -> Checked {
    let (first, second) = (c.token(), c.token());
    let mut s = c.in_data().await?;
    let (from, to) = (c.from().to_owned(), c.to().to_owned());
    let smuggled = format!(
        "MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n{}smuggled\r\n",
        second.header(&from, &to)
    );
    let mut content = c.message(&first, "");
    for size in BUFFERS {
        content.extend(std::iter::repeat_n(b'x', *size));
        content.extend_from_slice(b".\r\n");
        content.extend_from_slice(smuggled.as_bytes());
    }
    content.extend_from_slice(b"\r\n.\r\n");
    s.owe("the end of data");
    one_reply(&mut s, &content).await?;
    c.none_arrives(&[&second], "the smuggled message does not arrive")
        .await
}

/// At most one reply, or the end of the session.
async fn one_reply(s: &mut Connection, octets: &[u8]) -> Checked {
    let mut replies = all_replies(s, octets).await;
    if replies.last().is_some_and(ends_service) {
        replies.pop();
    }
    if replies.len() > 1 {
        return Err(Stop::failed(
            "one reply to one end of data",
            shown(&replies),
        ));
    }
    Ok(())
}

async fn nul_in_content(c: &mut Context) -> Checked {
    let token = c.token();
    let body = b"before\0behind\r\nthe last line\r\n";
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    let content = [&c.message(&token, "")[..], body, b".\r\n"].concat();
    let replies = all_replies(&mut s, &content).await;
    if replies.iter().any(|reply| reply.is("4yz|5yz")) {
        return Ok(());
    }
    same_body(c, &token, body).await
}

async fn cut_by_the_network(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    s.owe("the end of data");
    s.send(c.message(&token, "the last line")).await;
    for octet in b"\r\n.\r\n" {
        s.send([*octet]).await;
        // Each octet in a packet of its own: with what follows at once the stack might put it together.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let replies = all_replies(&mut s, b"").await;
    match replies.as_slice() {
        [one] => one.expect("250"),
        _ => Err(Stop::failed(
            "one reply to one end of data",
            shown(&replies),
        )),
    }
}

async fn content_cut_off(c: &mut Context) -> Checked {
    let token = c.token();
    let mut s = c.in_data().await?;
    s.send(c.message(&token, "cut off\r\n")).await;
    s.half_close().await;
    // The server notices; a reply of 4yz or none.
    let _ = s
        .hear(s.timeout().min(std::time::Duration::from_secs(2)))
        .await;
    drop(s);
    c.none_arrives(&[&token], "nothing arrives without the end of data")
        .await
}

async fn refused_content(c: &mut Context) -> Checked {
    let s = c.session().await?;
    let limit = s
        .keyword("SIZE")
        .and_then(|text| text.parse::<usize>().ok());
    s.quit().await;
    let limit = match limit {
        None | Some(0) => return Err(Stop::skipped("the server states no limit")),
        Some(limit) if limit > 64 * 1024 * 1024 => {
            return Err(Stop::skipped(format!(
                "the limit of {limit} octets is more than the probe sends"
            )));
        }
        Some(limit) => limit,
    };
    let token = c.token();
    let mut s = c.in_data().await?;
    let mut content = c.message(&token, "");
    content.reserve(limit + 8192);
    while content.len() <= limit {
        content.extend_from_slice(&[b'x'; 998]);
        content.extend_from_slice(b"\r\n");
    }
    for _ in 0..100 {
        content.extend_from_slice(b"NOOP\r\nRSET\r\n");
    }
    content.extend_from_slice(b".\r\n");
    s.owe("the end of data");
    one_reply(&mut s, &content).await
}

async fn bdat_size_overflow(c: &mut Context) -> Checked {
    for size in [
        // 2^32 and 2^64, and one more than each: 0 and 1 in a counter that is too small.
        "4294967296",
        "4294967297",
        "18446744073709551616",
        "18446744073709551617",
    ] {
        let mut s = c.session().await?;
        let patience = s.timeout().min(std::time::Duration::from_secs(2));
        s.patience(patience);
        s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
            .await?;
        s.owe("BDAT");
        let piece = format!("BDAT {size}\r\n\r\nNOOP\r\nNOOP\r\n");
        let replies = all_replies(&mut s, piece.as_bytes()).await;
        if replies.iter().any(|reply| reply.is_positive()) {
            return Err(Stop::failed(
                format!("no positive reply within the chunk of BDAT {size}"),
                shown(&replies),
            ));
        }
        drop(s);
    }
    Ok(())
}
