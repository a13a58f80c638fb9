use proptest::prelude::*;

use super::*;
use crate::smtp::data::Decoder;
use crate::smtp::parameter::{Notify, Ret};

/// All replies in `octets`, cut into pieces of `cut` octets; reading stops at the first error.
fn replies(octets: &[u8], cut: usize) -> Result<Vec<Reply>, BadReply> {
    let mut reader = ReplyReader::new();
    let mut replies = Vec::new();
    for piece in octets.chunks(cut) {
        reader.feed(piece);
        while let Some(reply) = reader.next() {
            replies.push(reply?);
        }
    }
    Ok(replies)
}

fn full_extensions() -> Extensions {
    let lines = [
        "mx.example.org",
        "PIPELINING",
        "SIZE 1000",
        "8bitmime",
        "SMTPUTF8",
        "CHUNKING",
        "BINARYMIME",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "X-UNKNOWN 1",
        "XPEER 0011",
    ];
    Extensions::from_ehlo(&Reply::lines(250, None, lines.map(str::to_owned).to_vec()))
}

#[test]
fn replies_are_read() {
    let octets = b"220 mx.example.org ESMTP\r\n250-mx\r\n250-SIZE 10\r\n250 DSN\r\n\
        250-2.1.5 one\r\n250-2.1.6 two\r\n250 2.1.5 three\r\n250\r\n354 \r\n550 5.1.1 no\r\n451 5.0.0 x\r\n";
    let lines = |code, enhanced, lines: &[&str]| {
        Reply::lines(
            code,
            enhanced,
            lines.iter().map(|line| (*line).to_owned()).collect(),
        )
    };
    let expected = vec![
        Reply::plain(220, "mx.example.org ESMTP"),
        lines(250, None, &["mx", "SIZE 10", "DSN"]),
        lines(250, Some((2, 1, 5)), &["one", "2.1.6 two", "three"]),
        Reply::plain(250, ""),
        Reply::plain(354, ""),
        Reply::new(550, (5, 1, 1), "no"),
        // RFC 2034 §4: a code of another class is text.
        Reply::plain(451, "5.0.0 x"),
    ];
    for cut in 1..=octets.len() {
        assert_eq!(replies(octets, cut), Ok(expected.clone()), "cut {cut}");
    }
}

#[test]
fn what_is_no_reply_is_an_error_for_good() {
    let too_long = format!("250 {}\r\n", "x".repeat(3000));
    let endless = "250-x\r\n".repeat(200_000);
    for (octets, error) in [
        ("hello\r\n", BadReply::Syntax("hello".into())),
        ("\r\n", BadReply::Syntax(String::new())),
        ("25\r\n", BadReply::Syntax("25".into())),
        ("250_ok\r\n", BadReply::Syntax("250_ok".into())),
        ("199 ok\r\n", BadReply::Syntax("199 ok".into())),
        ("260 ok\r\n", BadReply::Syntax("260 ok".into())),
        ("250 ok\n", BadReply::BareLineFeed("250 ok".into())),
        (
            "250-a\r\n251 b\r\n",
            BadReply::CodesDiffer {
                first: 250,
                then: 251,
            },
        ),
        (&too_long, BadReply::LineTooLong),
        (&endless, BadReply::ReplyTooLong),
    ] {
        for cut in [1, 7, octets.len()] {
            assert_eq!(replies(octets.as_bytes(), cut), Err(error.clone()));
        }
    }
    let mut reader = ReplyReader::new();
    reader.feed(b"?\r\n");
    assert!(matches!(reader.next(), Some(Err(_))));
    reader.feed(b"250 ok\r\n");
    assert!(matches!(reader.next(), Some(Err(_))));
}

#[test]
fn extensions_are_read() {
    let expected = Extensions {
        size: Some(1000),
        pipelining: true,
        eight_bit_mime: true,
        smtputf8: true,
        chunking: true,
        binary_mime: true,
        dsn: true,
        enhanced_status_codes: true,
        xshadow: false,
        xpeer: Some("0011".into()),
    };
    assert_eq!(full_extensions(), expected);
    let no_limit = Reply::lines(250, None, vec!["SIZE 5".into(), "SIZE".into()]);
    assert_eq!(
        Extensions::from_ehlo(&no_limit),
        Extensions {
            size: Some(0),
            ..Extensions::default()
        }
    );
}

#[test]
fn commands_have_only_parameters_that_are_offered() {
    let from = MailFrom {
        path: "a@example.org".into(),
        size: Some(1),
        body: Body::EightBitMime,
        smtputf8: true,
        ret: Some(Ret::Full),
        envid: Some("e1".into()),
        xshadow: Some("h1/00/1".into()),
    };
    let to = RcptTo {
        path: "b@example.org".into(),
        notify: Notify::When {
            success: true,
            failure: true,
            delay: false,
        },
        orcpt: Some("rfc822;c@example.org".into()),
    };
    let (full, none) = (full_extensions(), Extensions::default());
    let hub = Extensions {
        xshadow: true,
        ..Extensions::default()
    };
    assert_eq!(
        mail_command(&from, b"text\r\n", &hub).as_deref(),
        Ok("MAIL FROM:<a@example.org> XSHADOW=h1/00/1\r\n")
    );
    assert_eq!(
        mail_command(&from, b"text\r\n", &full).as_deref(),
        Ok("MAIL FROM:<a@example.org> SIZE=6 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=e1\r\n")
    );
    assert_eq!(
        mail_command(&from, b"text\r\n", &none).as_deref(),
        Ok("MAIL FROM:<a@example.org>\r\n")
    );
    assert_eq!(
        rcpt_command(&to, &full).as_deref(),
        Ok("RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@example.org\r\n")
    );
    assert_eq!(
        rcpt_command(&to, &none).as_deref(),
        Ok("RCPT TO:<b@example.org>\r\n")
    );
    let null = MailFrom::default();
    assert_eq!(
        mail_command(&null, b"", &none).as_deref(),
        Ok("MAIL FROM:<>\r\n")
    );
    // What the content is counts, not what the client declared.
    let eight_bit = mail_command(&null, "ä\r\n".as_bytes(), &full);
    assert_eq!(
        eight_bit.as_deref(),
        Ok("MAIL FROM:<> SIZE=4 BODY=8BITMIME\r\n")
    );
}

#[test]
fn some_messages_cannot_go_everywhere() {
    let (full, none) = (full_extensions(), Extensions::default());
    let plain = MailFrom::default();
    let utf8 = MailFrom {
        smtputf8: true,
        ..plain.clone()
    };
    let utf8_path = MailFrom {
        path: "ä@example.org".into(),
        ..utf8.clone()
    };
    let binary = MailFrom {
        body: Body::BinaryMime,
        ..plain.clone()
    };
    let no_chunking = Extensions {
        chunking: false,
        ..full_extensions()
    };
    let header = "Subject: ä\r\n\r\n";
    let body = "Subject: a\r\n\r\nä\r\n";
    let only_8bit = Extensions {
        eight_bit_mime: true,
        ..none.clone()
    };
    for (from, content, extensions, expected) in [
        (&plain, body, &none, Err(CannotSend::EightBit)),
        (
            &plain,
            body,
            &only_8bit,
            Ok("MAIL FROM:<> BODY=8BITMIME\r\n"),
        ),
        (&binary, "", &none, Err(CannotSend::Binary)),
        (&binary, "", &no_chunking, Err(CannotSend::Binary)),
        (
            &binary,
            "",
            &full,
            Ok("MAIL FROM:<> SIZE=0 BODY=BINARYMIME\r\n"),
        ),
        (&utf8, header, &only_8bit, Err(CannotSend::Smtputf8)),
        (
            &utf8,
            body,
            &only_8bit,
            Ok("MAIL FROM:<> BODY=8BITMIME\r\n"),
        ),
        (&utf8_path, "", &none, Err(CannotSend::Smtputf8)),
        (
            &utf8_path,
            "",
            &full,
            Ok("MAIL FROM:<ä@example.org> SIZE=0 SMTPUTF8\r\n"),
        ),
        (&plain, &"x".repeat(1001), &full, Err(CannotSend::TooBig)),
    ] {
        let command = mail_command(from, content.as_bytes(), extensions);
        assert_eq!(
            command.as_deref().map_err(|error| *error),
            expected,
            "{from} {content:?}"
        );
    }
    let to = RcptTo {
        path: "ä@example.org".into(),
        ..RcptTo::default()
    };
    assert_eq!(rcpt_command(&to, &none), Err(CannotSend::Smtputf8));
    assert_eq!(
        CannotSend::EightBit.reply().to_string(),
        "554 5.6.3 the content has 8-bit octets and the server does not offer 8BITMIME"
    );
}

#[test]
fn dots_are_stuffed() {
    for (content, stuffed) in [
        ("", ".\r\n"),
        ("a", "a\r\n.\r\n"),
        ("a\r\n", "a\r\n.\r\n"),
        ("a\n", "a\n\r\n.\r\n"),
        (".", "..\r\n.\r\n"),
        (".a\r\n..b\r\nc.\r\n", "..a\r\n...b\r\nc.\r\n.\r\n"),
        ("a\n.\r.b\r\n", "a\n.\r.b\r\n.\r\n"),
    ] {
        assert_eq!(
            String::from_utf8_lossy(&stuff(content.as_bytes())),
            stuffed,
            "{content:?}"
        );
    }
    for size in [1, 2, 100] {
        let pieces: Vec<_> = bdat_pieces(b"a\r\n", size).collect();
        assert_eq!(pieces.concat(), b"BDAT 3 LAST\r\na\r\n");
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b".".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n.\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pieces_are_what_the_whole_is(content in text(), size in 1_usize..9) {
        let pieces: Vec<_> = stuffed_pieces(&content, size).collect();
        proptest::prop_assert_eq!(pieces.concat(), stuff(&content));
    }

    #[test]
    fn what_was_stuffed_is_decoded(content in text(), cut in 1_usize..9, rest in text()) {
        let mut content = content;
        if !content.is_empty() {
            content.extend_from_slice(b"\r\n");
        }
        let mut sent = stuff(&content);
        let end = sent.len();
        sent.extend_from_slice(&rest);
        let (mut decoder, mut decoded, mut used) = (Decoder::new(false), Vec::new(), 0);
        for piece in sent.chunks(cut) {
            let progress = decoder.decode(piece, |octets| decoded.extend_from_slice(octets));
            used += progress.used;
            if progress.ended {
                break;
            }
        }
        prop_assert_eq!(used, end);
        prop_assert_eq!(decoded, content);
    }

    #[test]
    fn a_written_reply_is_read_again(
        code in prop_oneof![Just(250_u16), Just(354), Just(421), Just(554)],
        enhanced in any::<Option<(u8, u8)>>(),
        text in proptest::collection::vec("[ -~]{0,30}", 1..4),
        cut in 1_usize..40,
    ) {
        let enhanced = enhanced
            .filter(|_| code != 354)
            .map(|(subject, detail)| ((code / 100) as u8, subject.into(), detail.into()));
        // Without an enhanced code, a text that looks like one is read as one.
        prop_assume!(enhanced.is_some() || !text[0].contains('.'));
        let reply = Reply::lines(code, enhanced, text);
        let mut octets = Vec::new();
        reply.write(&mut octets);
        prop_assert_eq!(replies(&octets, cut), Ok(vec![reply]));
    }

    #[test]
    fn octets_never_make_the_reader_panic(octets in proptest::collection::vec(any::<u8>(), 0..200), cut in 1_usize..20) {
        prop_assert_eq!(replies(&octets, cut), replies(&octets, octets.len().max(1)));
    }
}
