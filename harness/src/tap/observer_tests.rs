//! Real dialogues, and two laws: no octets make the observer panic, and how they are cut changes nothing.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// One line per event.
fn words(events: &[Wire]) -> String {
    let mut text = String::new();
    let id = |message: &Option<u32>, attempt: &Option<u32>, transport_id: &Option<String>| {
        let number = message
            .zip(*attempt)
            .map_or("-".into(), |(m, a)| format!("{m}.{a}"));
        format!("{number} {}", transport_id.as_deref().unwrap_or("-"))
    };
    for event in events {
        let line = match event {
            Wire::Greeting { reply } => format!("greeting {} {:?}", reply.code, reply.text),
            Wire::Command { verb, line } => format!("{verb}: {line}"),
            Wire::Reply { verb, reply } => format!("  {verb} -> {} {:?}", reply.code, reply.text),
            Wire::EndOfData {
                kind,
                message,
                attempt,
                transport_id,
            } => {
                format!(
                    "end-of-data {kind:?} {}",
                    id(message, attempt, transport_id)
                )
            }
            Wire::FinalReply {
                kind,
                reply,
                message,
                attempt,
                transport_id,
            } => {
                format!(
                    "  final {} {kind:?} {}",
                    reply.code,
                    id(message, attempt, transport_id)
                )
            }
            other => format!("{other:?}"),
        };
        writeln!(text, "{line}").expect("a string takes everything");
    }
    text
}

/// A dialogue: lines of the client begin with `C `, those of the server with `S `; `\r\n` is added.
fn dialogue(script: &[(&str, &[u8])]) -> Vec<Wire> {
    let mut observer = Observer::new();
    script
        .iter()
        .flat_map(|(side, octets)| observer.feed(direction(side), octets))
        .collect()
}

fn direction(side: &str) -> Direction {
    if side == "C" {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}

#[test]
fn a_plain_session_with_two_messages() {
    let events = dialogue(&[
        ("S", b"220-mx.example\r\n220 ready\r\n"),
        ("C", b"EHLO client.example\r\n"),
        ("S", b"250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
        ("C", b"MAIL FROM:<a@b>\r\n"),
        ("S", b"250 2.1.0 ok\r\n"),
        ("C", b"RCPT TO:<c@d>\r\n"),
        ("S", b"550 5.1.1 no\r\n"),
        ("C", b"RCPT TO:<e@d>\r\n"),
        ("S", b"250 2.1.5 ok\r\n"),
        ("C", b"DATA\r\n"),
        ("S", b"354 go\r\n"),
        (
            "C",
            b"Received: x\r\nX-Gauntlet-Message: 7.2\r\n\r\nbody\r\n.\r\n",
        ),
        ("S", b"250 2.0.0 queued\r\n"),
        ("C", b"MAIL FROM:<>\r\n"),
        ("S", b"250 ok\r\n"),
        ("C", b"RCPT TO:<e@d>\r\n"),
        ("S", b"250 ok\r\n"),
        ("C", b"DATA\r\n"),
        ("S", b"354 go\r\n"),
        (
            "C",
            b"Subject: a DSN\r\n\r\nX-Gauntlet-Message: 7.2\r\n\n.\n.\r\n",
        ),
        ("C", b"\r\n.\r\n"),
        ("S", b"451 4.4.0 Message failed to be made redundant\r\n"),
        ("C", b"QUIT\r\n"),
        ("S", b"221 bye\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "mx.example\nready"
    EHLO: EHLO client.example
      EHLO -> 250 "mx.example\nPIPELINING\n8BITMIME"
    MAIL: MAIL FROM:<a@b>
      MAIL -> 250 "2.1.0 ok"
    RCPT: RCPT TO:<c@d>
      RCPT -> 550 "5.1.1 no"
    RCPT: RCPT TO:<e@d>
      RCPT -> 250 "2.1.5 ok"
    DATA: DATA
      DATA -> 354 "go"
    end-of-data Mail 7.2 -
      final 250 Mail 7.2 -
    MAIL: MAIL FROM:<>
      MAIL -> 250 "ok"
    RCPT: RCPT TO:<e@d>
      RCPT -> 250 "ok"
    DATA: DATA
      DATA -> 354 "go"
    end-of-data Mail - -
      final 451 Mail - -
    QUIT: QUIT
      QUIT -> 221 "bye"
    "#);
}

#[test]
fn a_pipelined_copy_and_the_mail_after_it() {
    let events = dialogue(&[
        ("S", b"220 n2\r\n"),
        ("C", b"EHLO n1\r\n"),
        ("S", b"250-n2\r\n250 XPEER 00\r\n"),
        ("C", b"XPEER n1 01 02\r\nXSHADOW n1/ab/5 1700000000000\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        ("S", b"250 2.0.0 n2 cd 9 03\r\n250 2.0.0 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
        ("C", b"X-Gauntlet-Message: 5.1\r\n\r\nbody\r\n.\r\nXQDISCARD 0 100\r\n"),
        ("S", b"250 2.0.0 held\r\n250-2.0.0 n2/cd/1 delivered\r\n250 2.0.0 cursor=4\r\n"),
        ("C", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        ("S", b"250 ok\r\n250 ok\r\n354 go\r\n"),
        ("C", b".\r\n"),
        ("S", b"250 ok\r\n"),
    ]);
    insta::assert_snapshot!(words(&events[8..]), @r#"
      XPEER -> 250 "2.0.0 n2 cd 9 03"
      XSHADOW -> 250 "2.0.0 ok"
      MAIL -> 250 "ok"
      RCPT -> 250 "ok"
      DATA -> 354 "go"
    end-of-data Copy 5.1 n1/ab/5
    XQDISCARD: XQDISCARD 0 100
      final 250 Copy 5.1 n1/ab/5
      XQDISCARD -> 250 "2.0.0 n2/cd/1 delivered\n2.0.0 cursor=4"
    MAIL: MAIL FROM:<a@b>
    RCPT: RCPT TO:<c@d>
    DATA: DATA
      MAIL -> 250 "ok"
      RCPT -> 250 "ok"
      DATA -> 354 "go"
    end-of-data Mail - -
      final 250 Mail - -
    "#);
}

#[test]
fn announcements_count_only_when_they_are_agreed_to() {
    let events = dialogue(&[
        ("S", b"220 n2\r\n"),
        (
            "C",
            b"XSHADOW n1/ab/5 17\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 4 LAST\r\nab\r\n",
        ),
        (
            "S",
            b"550 5.7.1 no\r\n250 ok\r\n250 ok\r\n250 as ordinary mail\r\n",
        ),
        ("C", b"XDELIVER n1/ab/6 17\r\n"),
        ("S", b"250 ok\r\n"),
        (
            "C",
            b"RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 0 LAST\r\n",
        ),
        ("S", b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n"),
        ("C", b"XDELIVER n1/ab/7 17\r\n"),
        ("S", b"451 later\r\n"),
        ("C", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 0 LAST\r\n"),
        ("S", b"250 ok\r\n250 ok\r\n250 ok\r\n"),
    ]);
    let ends: Vec<Wire> = events
        .into_iter()
        .filter(|event| matches!(event, Wire::EndOfData { .. } | Wire::FinalReply { .. }))
        .collect();
    insta::assert_snapshot!(words(&ends), @"
    end-of-data Copy - n1/ab/5
      final 250 Mail - -
    end-of-data Mail - -
      final 250 Mail - -
    end-of-data Mail - -
      final 250 Mail - -
    ");
}

#[test]
fn bdat_in_chunks_with_anything_in_them() {
    let events = dialogue(&[
        ("S", b"220 n2\r\n"),
        (
            "C",
            b"MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\nBDAT 15\r\nX-Gauntlet-Mess",
        ),
        (
            "C",
            b"BDAT 21 last\r\nage: 9.1\r\n\r\n\0\r\n.\r\nQUINOOP\r\n",
        ),
        (
            "S",
            b"250 ok\r\n250 ok\r\n250 15 octets\r\n250 done\r\n250 noop\r\n",
        ),
        ("C", b"BDAT x\r\nBDAT\r\n"),
        ("S", b"501 what\r\n501 what\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "n2"
    MAIL: MAIL FROM:<a@b> BODY=BINARYMIME
    RCPT: RCPT TO:<c@d>
    BDAT: BDAT 15
    BDAT: BDAT 21 last
    end-of-data Mail 9.1 -
    NOOP: NOOP
      MAIL -> 250 "ok"
      RCPT -> 250 "ok"
      BDAT -> 250 "15 octets"
      final 250 Mail 9.1 -
      NOOP -> 250 "noop"
    BDAT: BDAT x
    BDAT: BDAT
      BDAT -> 501 "what"
      BDAT -> 501 "what"
    "#);
}

#[test]
fn content_that_does_not_wait_for_354() {
    let content = b"DATA\r\nX-Gauntlet-Message: 1.1\r\n\r\nRSET\r\n.\r\nQUIT\r\n";
    let events = dialogue(&[
        ("S", b"220 n\r\n"),
        ("C", content),
        ("S", b"354 go\r\n250 ok\r\n221 bye\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "n"
    DATA: DATA
      DATA -> 354 "go"
    end-of-data Mail 1.1 -
    QUIT: QUIT
      final 250 Mail 1.1 -
      QUIT -> 221 "bye"
    "#);
    let events = dialogue(&[
        ("S", b"220 n\r\n"),
        ("C", b"DATA\r\nRSET\r\nQUIT\r\n"),
        ("S", b"503 no\r\n250 ok\r\n221 bye\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "n"
    DATA: DATA
      DATA -> 503 "no"
    RSET: RSET
    QUIT: QUIT
      RSET -> 250 "ok"
      QUIT -> 221 "bye"
    "#);
    let mut long = b"DATA\r\n".to_vec();
    long.resize(3 * HELD, b'a');
    long.extend_from_slice(b"\r\n.\r\nNOOP\r\n");
    let events = dialogue(&[
        ("S", b"220 n\r\n"),
        ("C", &long),
        ("S", b"354 go\r\n250 ok\r\n250 ok\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "n"
    DATA: DATA
    end-of-data Mail - -
    NOOP: NOOP
      DATA -> 354 "go"
      final 250 Mail - -
      NOOP -> 250 "ok"
    "#);
}

#[test]
fn help_auth_and_a_timeout_nobody_asked_for() {
    let events = dialogue(&[
        ("S", b"220 n\r\n"),
        ("C", b"HELP\r\nAUTH LOGIN\r\n"),
        (
            "S",
            b"214-Commands:\r\n214-  HELO EHLO\r\n214 end\r\n334 VXNlcm5hbWU6\r\n",
        ),
        ("C", b"c2VjcmV0\r\n"),
        ("S", b"535 no\r\n"),
        ("C", b"\0\xff\x01 zero\r\n\r\nNOOP\r\n"),
        ("S", b"500 what\r\n500 what\r\n250 ok\r\n"),
        ("S", b"421 4.4.2 n closing\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "n"
    HELP: HELP
    AUTH: AUTH LOGIN
      HELP -> 214 "Commands:\n  HELO EHLO\nend"
      AUTH -> 334 "VXNlcm5hbWU6"
    AUTH: (answer)
      AUTH -> 535 "no"
    ?: \x00\xff\x01 zero
    ?: 
    NOOP: NOOP
      ? -> 500 "what"
      ? -> 500 "what"
      NOOP -> 250 "ok"
       -> 421 "4.4.2 n closing"
    "#);
}

#[test]
fn null_octets_and_a_timeout_in_data() {
    let events = dialogue(&[
        ("S", b"220 n\r\n"),
        ("C", b"DATA\r\n"),
        ("S", b"354 go\r\n"),
        ("C", b"X-Gauntlet-Message: 2.1\r\n\r\n\0\0\xff\r\n.."),
        ("S", b"421 4.4.2 too long\r\n"),
        ("C", b"\0\r\n.\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "n"
    DATA: DATA
      DATA -> 354 "go"
       -> 421 "4.4.2 too long"
    end-of-data Mail 2.1 -
    "#);
}

#[test]
fn nothing_is_read_after_starttls() {
    let events = dialogue(&[
        ("S", b"220 n\r\n"),
        ("C", b"STARTTLS\r\n\x16\x03\x01\r\n"),
        ("S", b"220 go\r\n250 not read\r\n"),
        ("C", b"QUIT\r\n"),
    ]);
    insta::assert_snapshot!(words(&events), @r#"
    greeting 220 "n"
    STARTTLS: STARTTLS
      STARTTLS -> 220 "go"
    "#);
}

#[test]
fn a_flood_that_nobody_answers_stays_bounded() {
    let mut observer = Observer::new();
    let flood = b"NOOP\r\n".repeat(3 * OUTSTANDING);
    assert_eq!(
        observer.feed(Direction::ToServer, &flood).len(),
        3 * OUTSTANDING
    );
    assert_eq!(observer.outstanding.len(), OUTSTANDING);
}

/// Pieces of SMTP, so that random streams get past the first line.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::sample::select(
            [
                "EHLO c\r\n",
                "MAIL FROM:<a@b>\r\n",
                "RCPT TO:<c@d>\r\n",
                "DATA\r\n",
                "X-Gauntlet-Message: 3.4\r\n",
                "\r\n",
                ".\r\n",
                "\r\n.\r\n",
                "\r",
                "\n",
                ".",
                "BDAT 3\r\nabc",
                "BDAT 5 LAST\r\nabcd",
                "BDAT 0 LAST\r\n",
                "RSET\r\n",
                "XSHADOW n1/a/1 5\r\n",
                "XDELIVER n1/a/2 6\r\n",
                "STARTTLS\r\n",
                "AUTH LOGIN\r\n",
                "220 n\r\n",
                "250-a\r\n",
                "250 ok\r\n",
                "250 ok\r\n250 ok\r\n",
                "354 go\r\n",
                "334 x\r\n",
                "451 no\r\n",
                "421 bye\r\n",
                "BDAT 99999999999999999999\r\n",
                "BDAT 18446744073709551615 LAST\r\n",
                "250",
                "QUIT\r\n",
            ]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
        ),
    ]
}

fn stream() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    proptest::collection::vec((any::<bool>(), piece()), 0..60)
}

proptest! {
    #[test]
    fn cutting_changes_nothing(stream in stream(), size in 1usize..12) {
        let mut whole = Observer::new();
        let mut cut = Observer::new();
        for (to_server, octets) in stream {
            let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
            let expected = whole.feed(direction, &octets);
            let found: Vec<Wire> = octets.chunks(size).flat_map(|chunk| cut.feed(direction, chunk)).collect();
            prop_assert_eq!(expected, found);
        }
    }

    #[test]
    fn lines_in_events_are_bounded(stream in stream(), garbage in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let mut observer = Observer::new();
        for (to_server, octets) in stream.into_iter().chain([(true, garbage.clone()), (false, garbage)]) {
            let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
            for event in observer.feed(direction, &octets) {
                if let Wire::Command { verb, line } = event {
                    prop_assert!(verb.len() <= 16);
                    prop_assert!(line.len() <= 4 * crate::tap::line::LINE_KEPT);
                }
            }
        }
    }
}
