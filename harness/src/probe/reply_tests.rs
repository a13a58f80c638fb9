use proptest::prelude::*;

use super::*;

fn reply(raw: &str) -> Reply {
    let (reply, length) = Reply::parse(raw.as_bytes(), "NOOP").expect("whole");
    assert_eq!(length, raw.len(), "{raw:?}");
    reply
}

#[test]
fn a_reply_ends_with_the_first_line_without_a_hyphen() {
    let several = reply("250-a\r\n250-SIZE 10\r\n250 PIPELINING\r\n");
    assert_eq!(several.code, 250);
    assert_eq!(several.lines, [&b"a"[..], b"SIZE 10", b"PIPELINING"]);
    assert_eq!(several.faults(), []);
    assert_eq!(
        reply("354\r\n").faults(),
        [],
        "RFC 5321 §4.2: the text may be left out"
    );
    assert!(Reply::parse(b"250-a\r\n250 b", "x").is_none());
    assert!(Reply::parse(b"", "x").is_none());
    let two = b"250 a\r\n251 b\r\n";
    assert_eq!(Reply::parse(two, "x").expect("whole").1, 7);
}

#[test]
fn what_is_wrong_with_a_reply_is_named() {
    for (raw, faults) in [
        ("250 a\n", vec![Fault::BareLineFeed]),
        ("250-a\r\n550 b\r\n", vec![Fault::CodesDiffer]),
        ("hello\r\n", vec![Fault::NoCode]),
        ("199 x\r\n", vec![Fault::StrangeCode]),
        ("290 x\r\n", vec![Fault::StrangeCode]),
        ("250.a\r\n", vec![Fault::BadSeparator]),
        ("250 \x01\r\n", vec![Fault::BadText]),
        ("250 gr\u{fc}n\r\n", vec![Fault::BadText]),
    ] {
        assert_eq!(reply(raw).faults(), faults, "{raw:?}");
    }
    let line = |text: usize| format!("250 {}\r\n", "x".repeat(text));
    assert_eq!(reply(&line(506)).faults(), []);
    assert_eq!(reply(&line(507)).faults(), [Fault::TooLong]);
}

#[test]
fn codes_are_compared_with_patterns() {
    let r = reply("452 4.5.3 x\r\n");
    for pattern in ["452", "4yz", "45z", "2yz|452", "250 452"] {
        assert!(r.is(pattern), "{pattern}");
    }
    for pattern in ["450", "5yz", "", "2yz|3yz"] {
        assert!(!r.is(pattern), "{pattern}");
    }
    assert_eq!(
        r.expect("2yz|354"),
        Err(Stop::failed("2yz or 354 to NOOP", "452 4.5.3 x"))
    );
    assert!(matches!(
        reply("421 bye\r\n").expect("250"),
        Err(Stop::Inconclusive(_))
    ));
    assert_eq!(reply("421 bye\r\n").expect("421"), Ok(()));
}

#[test]
fn enhanced_codes_have_three_numbers() {
    assert_eq!(reply("250 2.1.5 ok\r\n").enhanced(0), Some((2, 1, 5)));
    assert_eq!(reply("250 2.1.5\r\n").enhanced(0), Some((2, 1, 5)));
    for raw in [
        "250 2.1 x\r\n",
        "250 2.01.5 x\r\n",
        "250 x\r\n",
        "250 2.1.5.6 x\r\n",
        "250 2.1000.5\r\n",
    ] {
        assert_eq!(reply(raw).enhanced(0), None, "{raw}");
    }
}

proptest! {
    #[test]
    fn any_octets_are_read(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = &octets[..];
        while let Some((reply, length)) = Reply::parse(rest, "x") {
            prop_assert!(length > 0 && reply.raw == rest[..length]);
            let _ = (reply.faults(), reply.to_string(), reply.enhanced(0));
            rest = &rest[length..];
        }
    }

    #[test]
    fn a_prefix_of_a_reply_is_not_whole(lines in 1_usize..5, cut in 0_usize..20) {
        let mut raw = "250-text\r\n".repeat(lines - 1);
        raw.push_str("250 text\r\n");
        let cut = raw.len().saturating_sub(1 + cut);
        prop_assert!(Reply::parse(&raw.as_bytes()[..cut], "x").is_none());
    }
}
