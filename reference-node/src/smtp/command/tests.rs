use proptest::prelude::*;
use smtp_proto as other;

use super::*;
use crate::smtp::parameter::{Body, Notify, Ret, decode_xtext, encode_xtext};

const ESMTP: Context = Context {
    esmtp: true,
    smtputf8: false,
};
const SMTP: Context = Context {
    esmtp: false,
    smtputf8: false,
};
const UTF8: Context = Context {
    esmtp: true,
    smtputf8: true,
};

fn parse(line: &str) -> Result<Command, Reply> {
    Command::parse(line.as_bytes(), ESMTP)
}

/// The code and the enhanced code that a bad line gets.
fn refusal(line: &str, context: Context) -> String {
    let reply = Command::parse(line.as_bytes(), context).expect_err(line);
    let (class, subject, detail) = reply.enhanced.expect("a refusal has an enhanced code");
    format!("{} {class}.{subject}.{detail}", reply.code)
}

fn mail(path: &str) -> MailFrom {
    MailFrom {
        path: path.into(),
        ..MailFrom::default()
    }
}

fn rcpt(path: &str) -> RcptTo {
    RcptTo {
        path: path.into(),
        ..RcptTo::default()
    }
}

#[test]
fn verbs_are_read_in_any_case() {
    for (line, command) in [
        (
            "EHLO mail.example.org",
            Command::Ehlo("mail.example.org".into()),
        ),
        (
            "ehlo [IPv6:2001:db8::1]",
            Command::Ehlo("[IPv6:2001:db8::1]".into()),
        ),
        ("HeLo some_host", Command::Helo("some_host".into())),
        ("data", Command::Data),
        ("DATA \t ", Command::Data),
        (
            "BDAT 0",
            Command::Bdat {
                size: 0,
                last: false,
            },
        ),
        (
            "bdat 86 last",
            Command::Bdat {
                size: 86,
                last: true,
            },
        ),
        ("RSET", Command::Rset),
        ("NOOP", Command::Noop),
        ("NOOP whatever it is", Command::Noop),
        ("VRFY smith", Command::Vrfy("smith".into())),
        ("EXPN list", Command::Expn("list".into())),
        ("HELP mail", Command::Help),
        ("QUIT", Command::Quit),
        ("STARTTLS", Command::StartTls),
        ("AUTH PLAIN dGVzdA==", Command::Auth),
        ("frob 1", Command::Unknown("FROB".into())),
        ("", Command::Unknown(String::new())),
        (" NOOP", Command::Unknown(String::new())),
        ("MAILFROM:<a@b>", Command::Unknown("MAILFROM:<A@B>".into())),
    ] {
        assert_eq!(parse(line), Ok(command), "{line:?}");
    }
}

#[test]
fn envelopes_are_read() {
    for (line, command) in [
        ("MAIL FROM:<>", Command::Mail(mail(""))),
        (
            "mail from:<a@example.org>",
            Command::Mail(mail("a@example.org")),
        ),
        (
            "MAIL FROM:<@relay.example:a@example.org>",
            Command::Mail(mail("a@example.org")),
        ),
        (
            "MAIL FROM:<a@example.org> size=1000 Body=8bitmime RET=HDRS ENVID=q+2B1",
            Command::Mail(MailFrom {
                size: Some(1000),
                body: Body::EightBitMime,
                ret: Some(Ret::Hdrs),
                envid: Some("q+2B1".into()),
                ..mail("a@example.org")
            }),
        ),
        (
            "MAIL FROM:<käthe@example.org> BODY=BINARYMIME SMTPUTF8",
            Command::Mail(MailFrom {
                body: Body::BinaryMime,
                smtputf8: true,
                ..mail("käthe@example.org")
            }),
        ),
        (
            "MAIL FROM:<a@example.org> SIZE=99999999999999999999",
            Command::Mail(MailFrom {
                size: Some(u64::MAX),
                ..mail("a@example.org")
            }),
        ),
        ("RCPT TO:<postmaster>", Command::Rcpt(rcpt("postmaster"))),
        (
            r#"RCPT TO:<"a> b"@example.org> NOTIFY=SUCCESS,delay ORCPT=rfc822;a+2Bb@example.org"#,
            Command::Rcpt(RcptTo {
                notify: Notify::When {
                    success: true,
                    failure: false,
                    delay: true,
                },
                orcpt: Some("rfc822;a+2Bb@example.org".into()),
                ..rcpt(r#""a> b"@example.org"#)
            }),
        ),
        (
            "RCPT TO:<a@example.org> NOTIFY=NEVER",
            Command::Rcpt(RcptTo {
                notify: Notify::Never,
                ..rcpt("a@example.org")
            }),
        ),
    ] {
        assert_eq!(parse(line), Ok(command), "{line:?}");
    }
    let non_ascii = "RCPT TO:<käthe@example.org> ORCPT=utf-8;käthe@example.org";
    let command = Command::Rcpt(RcptTo {
        orcpt: Some("utf-8;käthe@example.org".into()),
        ..rcpt("käthe@example.org")
    });
    assert_eq!(Command::parse(non_ascii.as_bytes(), UTF8), Ok(command));
}

#[test]
fn bad_lines_are_refused() {
    let long_envid = format!("MAIL FROM:<a@b.c> ENVID={}", "x".repeat(101));
    let long_orcpt = format!("RCPT TO:<a@b.c> ORCPT=rfc822;{}", "x".repeat(500));
    for (line, expected) in [
        // RFC 5321 §4.1.1.1
        ("EHLO", "501 5.5.4"),
        ("EHLO two words", "501 5.5.4"),
        ("EHLO <b>", "501 5.5.4"),
        ("EHLO mü.example", "501 5.5.4"),
        ("HELO [1.2.3]", "501 5.5.4"),
        // RFC 5321 §4.1.1.2, §4.1.1.3: no space after the colon, brackets required
        ("MAIL", "501 5.5.4"),
        ("MAIL FROM", "501 5.5.4"),
        ("MAIL TO:<a@b.c>", "501 5.5.4"),
        ("MAIL FROM: <a@b.c>", "501 5.5.4"),
        ("MAIL FROM:a@b.c", "501 5.5.4"),
        ("MAIL FROM:<a@b.c>SIZE=1", "501 5.5.4"),
        ("MAIL  FROM:<a@b.c>", "501 5.5.4"),
        ("RCPT TO: <a@b.c>", "501 5.5.4"),
        ("RCPT FROM:<a@b.c>", "501 5.5.4"),
        ("MAIL FROM:<a>", "501 5.1.7"),
        ("MAIL FROM:<postmaster>", "501 5.1.7"),
        ("MAIL FROM:<a@b@c.d>", "501 5.1.7"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT TO:<a..b@c.d>", "501 5.1.3"),
        // RFC 6531 §3.4, §3.5
        ("MAIL FROM:<käthe@example.org>", "553 5.6.7"),
        ("RCPT TO:<käthe@example.org>", "553 5.6.7"),
        ("MAIL FROM:<a@b.c> SMTPUTF8=1", "501 5.5.4"),
        // RFC 5321 §4.1.1.11: unknown parameter, known parameter with a bad value
        ("MAIL FROM:<a@b.c> AUTH=<>", "555 5.5.4"),
        ("MAIL FROM:<a@b.c> NOTIFY=NEVER", "555 5.5.4"),
        ("RCPT TO:<a@b.c> SIZE=1", "555 5.5.4"),
        ("MAIL FROM:<a@b.c> =1", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE=", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE=-1", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE=+1", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE=999999999999999999999", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE=1 SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SMTPUTF8 SMTPUTF8", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> BODY=9BIT", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> RET=NONE", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> ENVID=a+2b", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> ENVID=a+0D", "501 5.5.4"),
        (&long_envid, "501 5.5.4"),
        ("RCPT TO:<a@b.c> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("RCPT TO:<a@b.c> NOTIFY=SUCCESS,", "501 5.5.4"),
        ("RCPT TO:<a@b.c> ORCPT=a@b.c", "501 5.5.4"),
        ("RCPT TO:<a@b.c> ORCPT=rfc822;a+0D+0AX:+20y", "501 5.5.4"),
        ("RCPT TO:<a@b.c> ORCPT=utf-8;ä@b.c", "501 5.5.4"),
        (&long_orcpt, "501 5.5.4"),
        // RFC 5321 §4.3.2
        ("DATA now", "501 5.5.4"),
        ("RSET 1", "501 5.5.4"),
        ("QUIT 1", "501 5.5.4"),
        ("VRFY", "501 5.5.4"),
        ("EXPN", "501 5.5.4"),
        // octets that no command has
        ("NOOP \0", "501 5.5.2"),
        ("MAIL FROM:<a\r@b.c>", "501 5.5.2"),
        ("MAIL FROM:<a@b.c>\tSIZE=1", "501 5.5.2"),
        ("NOOP é", "501 5.5.4"),
        ("FR\0B", "500 5.5.2"),
        ("é", "500 5.5.2"),
        // a browser
        ("POST / HTTP/1.1", "421 4.7.0"),
        ("get /x HTTP/1.0", "421 4.7.0"),
        // a chunk of unknown size
        ("BDAT", "421 4.5.4"),
        ("BDAT x", "421 4.5.4"),
        ("BDAT +5", "421 4.5.4"),
        ("BDAT 5 FIRST", "421 4.5.4"),
        ("BDAT 5 \0", "421 4.5.4"),
        ("BDAT 99999999999999999999", "421 4.5.4"),
        // PROTOCOL.md
        ("XPEER n1 xyz 00", "501 5.5.4"),
        ("XPEER n1 00", "501 5.5.4"),
        ("XSHADOW n1/ab/x 1", "501 5.5.4"),
        ("XSHADOW n1/ab 1", "501 5.5.4"),
        ("XDELIVER n1/ab/1", "501 5.5.4"),
        ("XHANDOVER", "501 5.5.4"),
        ("XHANDOVER n1/ab/1 5", "501 5.5.4"),
        ("XQDISCARD 1 4294967296", "501 5.5.4"),
        ("XRESUBMIT 1", "501 5.5.4"),
        ("XRESUBMIT  1 2", "501 5.5.4"),
    ] {
        assert_eq!(refusal(line, ESMTP), expected, "{line:?}");
    }
    // RFC 5321 §4.1.1.11: HELO offers no extension.
    assert_eq!(refusal("MAIL FROM:<a@b.c> SIZE=1", SMTP), "555 5.5.4");
    assert_eq!(refusal("RCPT TO:<a@b.c> NOTIFY=NEVER", SMTP), "555 5.5.4");
    let invalid = Command::parse(b"MAIL FROM:<\xff@b.c> SMTPUTF8", ESMTP).expect_err("not UTF-8");
    assert_eq!(invalid.code, 501);
}

#[test]
fn xtext_is_decoded() {
    assert_eq!(decode_xtext("a+2Bb+3Dc+20").as_deref(), Some("a+b=c "));
    for bad in ["a+2", "a+", "a+2b", "a=b", "a b", "+FF"] {
        assert_eq!(decode_xtext(bad), None, "{bad}");
    }
}

fn address() -> impl Strategy<Value = String> {
    let local = prop_oneof![
        "[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}(\\.[a-z0-9]{1,6}){0,2}",
        r#""([ !#-\[\]-~]|\\[ -~]){0,10}""#,
    ];
    let domain = prop_oneof![
        "[a-z0-9]{1,8}(-[a-z0-9]{1,4})?(\\.[a-z]{2,5}){0,2}",
        Just("[192.0.2.7]".to_owned()),
        Just("[IPv6:2001:db8::7]".to_owned()),
    ];
    (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
}

prop_compose! {
    fn any_mail_from()(
        path in prop_oneof![Just(String::new()), address()],
        size in any::<Option<u64>>(),
        body in prop_oneof![Just(Body::SevenBit), Just(Body::EightBitMime), Just(Body::BinaryMime)],
        smtputf8 in any::<bool>(),
        ret in prop_oneof![Just(None), Just(Some(Ret::Full)), Just(Some(Ret::Hdrs))],
        envid in proptest::option::of("[ -~]{1,33}"),
        xshadow in proptest::option::of("[a-z0-9/]{1,33}"),
    ) -> MailFrom {
        MailFrom { path, size, body, smtputf8, ret, envid: envid.map(|id| encode_xtext(&id)), xshadow }
    }
}

prop_compose! {
    fn any_rcpt_to()(
        path in prop_oneof![Just("postmaster".to_owned()), address()],
        notify in prop_oneof![
            Just(Notify::Unspecified),
            Just(Notify::Never),
            (1_u8..8).prop_map(|bits| Notify::When {
                success: bits & 1 != 0,
                failure: bits & 2 != 0,
                delay: bits & 4 != 0,
            }),
        ],
        orcpt in proptest::option::of("[ -~]{1,40}"),
    ) -> RcptTo {
        RcptTo { path, notify, orcpt: orcpt.map(|text| format!("rfc822;{}", encode_xtext(&text))) }
    }
}

fn any_peer_command() -> impl Strategy<Value = PeerCommand> {
    let id = || "[a-z0-9.-]{1,12}/[0-9a-f]{32}/[0-9]{1,18}";
    prop_oneof![
        ("[a-z0-9.-]{1,12}", "[0-9a-f]{32}", "[0-9a-f]{64}").prop_flat_map(
            |(name, nonce, proof)| {
                let epochs = proptest::collection::vec(any::<u64>(), 0..16);
                epochs.prop_map(move |epochs| PeerCommand::Xpeer {
                    name: name.clone(),
                    nonce: nonce.clone(),
                    proof: proof.clone(),
                    epochs,
                })
            }
        ),
        (
            id(),
            any::<u64>(),
            proptest::option::of(("[0-9a-f]{32}", any::<u64>(), any::<u64>()))
        )
            .prop_map(|(transport_id, submit_time, mark)| PeerCommand::Xshadow {
                transport_id,
                submit_time,
                mark: mark.map(|(database, epoch, position)| Mark {
                    database,
                    epoch,
                    position
                }),
            }),
        (id(), any::<u64>()).prop_map(|(transport_id, submit_time)| PeerCommand::Xdeliver {
            transport_id,
            submit_time
        }),
        any::<(u64, u32)>().prop_map(|(cursor, most)| PeerCommand::Xqdiscard { cursor, most }),
        any::<(u64, u64)>().prop_map(|(from, to)| PeerCommand::Xresubmit { from, to }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_again(from in any_mail_from(), to in any_rcpt_to(), peer in any_peer_command()) {
        prop_assert_eq!(parse(&from.to_string()), Ok(Command::Mail(from)));
        prop_assert_eq!(parse(&to.to_string()), Ok(Command::Rcpt(to)));
        prop_assert_eq!(parse(&peer.to_string()), Ok(Command::Peer(peer)));
    }

    #[test]
    fn xtext_goes_there_and_back(text in "\\PC{0,40}") {
        prop_assert_eq!(decode_xtext(&encode_xtext(&text)), Some(text));
    }

    /// What this parser accepts, another one reads in the same way.
    #[test]
    fn another_parser_agrees(mut from in any_mail_from(), to in any_rcpt_to()) {
        // It does not know our parameter.
        from.xshadow = None;
        let line = format!("{from}\r\n");
        match other::Request::parse(&mut line.as_bytes().iter()) {
            Ok(other::Request::Mail { from: theirs }) => {
                if from.size.is_some_and(|size| size < 1 << 60) {
                    prop_assert_eq!(Some(theirs.size as u64), from.size);
                }
                let flag = |flag| theirs.flags & flag != 0;
                prop_assert_eq!(flag(other::MAIL_SMTPUTF8), from.smtputf8);
                prop_assert_eq!(flag(other::MAIL_RET_FULL), from.ret == Some(Ret::Full));
                prop_assert_eq!(flag(other::MAIL_RET_HDRS), from.ret == Some(Ret::Hdrs));
                prop_assert_eq!(flag(other::MAIL_BODY_8BITMIME), from.body == Body::EightBitMime);
                prop_assert_eq!(flag(other::MAIL_BODY_BINARYMIME), from.body == Body::BinaryMime);
                let envid = from.envid.as_deref().and_then(decode_xtext);
                prop_assert_eq!(theirs.env_id.as_deref(), envid.as_deref());
                if !from.path.starts_with('"') {
                    prop_assert_eq!(theirs.address.as_ref(), &from.path);
                }
            }
            // It does not know quoted local parts and literals in full.
            result => prop_assert!(from.path.contains(['"', '[']), "{line:?}: {result:?}"),
        }
        let line = format!("{to}\r\n");
        match other::Request::parse(&mut line.as_bytes().iter()) {
            Ok(other::Request::Rcpt { to: theirs }) => {
                let flag = |flag| theirs.flags & flag != 0;
                prop_assert_eq!(flag(other::RCPT_NOTIFY_NEVER), to.notify == Notify::Never);
                if let Notify::When { success, failure, delay } = to.notify {
                    prop_assert_eq!(flag(other::RCPT_NOTIFY_SUCCESS), success);
                    prop_assert_eq!(flag(other::RCPT_NOTIFY_FAILURE), failure);
                    prop_assert_eq!(flag(other::RCPT_NOTIFY_DELAY), delay);
                }
            }
            result => prop_assert!(to.path.contains(['"', '[']), "{line:?}: {result:?}"),
        }
    }

    #[test]
    fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..80), esmtp: bool, smtputf8: bool) {
        if let Err(reply) = Command::parse(&line, Context { esmtp, smtputf8 }) {
            prop_assert!(reply.enhanced.is_some());
        }
    }

    #[test]
    fn no_envelope_makes_it_panic(line in r#"(MAIL FROM:|RCPT TO:)<?[@a"\\>:.,é\[\] =+A-Z]{0,40}"#, smtputf8: bool) {
        if let Err(reply) = Command::parse(line.as_bytes(), Context { esmtp: true, smtputf8 }) {
            prop_assert!(reply.is_permanent());
        }
    }
}
