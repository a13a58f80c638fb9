use super::*;

/// What the sender hears, and what goes on, when `said` comes in pieces of `cut` octets. The transport server takes
/// everything.
fn talk(said: &str, cut: usize) -> (String, String) {
    let mut session = Session::new("f1", 1000, None);
    let (mut heard, mut passed) = (Vec::new(), Vec::new());
    let mut pieces = said.as_bytes().chunks(cut);
    loop {
        match session.next() {
            Event::NeedInput => match pieces.next() {
                Some(piece) => session.receive(piece),
                None => session.receive_end(),
            },
            Event::Line(verb, line) => {
                passed.extend_from_slice(&line);
                session.answer(&match verb {
                    Verb::Data => Reply::plain(354, "go on"),
                    Verb::Mail | Verb::Rcpt => Reply::plain(250, "taken"),
                });
            }
            Event::Reset => passed.extend_from_slice(b"RSET\r\n"),
            Event::Chunk { size, last, first } => {
                passed.extend_from_slice(format!("<{size} {last} {first}>").as_bytes());
            }
            Event::Content { octets, last } => {
                assert!(octets.len() <= cut, "nothing is gathered");
                passed.extend_from_slice(&octets);
                if last {
                    passed.extend_from_slice(b"<last>");
                }
            }
            Event::End { .. } => {
                passed.extend_from_slice(b"<end>");
                session.answer(&Reply::plain(250, "kept"));
            }
            Event::Closed => break,
        }
    }
    heard.extend_from_slice(&session.take_output());
    let text = |octets| String::from_utf8(octets).expect("ASCII");
    let codes: Vec<String> = text(heard)
        .lines()
        .filter(|line| line.as_bytes().get(3) == Some(&b' '))
        .map(|line| line[..3].to_owned())
        .collect();
    (codes.join(" "), text(passed))
}

#[test]
fn content_goes_on_as_it_came_with_its_dots() {
    let said = "EHLO a\r\nMAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n\r\n..\r\n\n.\n\r\n.\r\nNOOP\r\nQUIT\r\n";
    let on = "MAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n\r\n..\r\n\n.\n\r\n.\r\n<last><end>";
    for cut in 1..=said.len() {
        let (heard, passed) = talk(said, cut);
        assert_eq!(heard, "220 250 250 250 354 250 250 221", "cut {cut}");
        assert_eq!(passed, on, "cut {cut}");
    }
}

#[test]
fn chunks_are_announced_and_go_on() {
    let said = "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nabcBDAT 2\r\ndeBDAT 0 LAST\r\nBDAT 2 LAST\r\nxyQUIT\r\n";
    for cut in 1..=said.len() {
        let (heard, passed) = talk(said, cut);
        assert_eq!(heard, "220 250 250 250 250 250 250 503 221", "cut {cut}");
        let on = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n<3 false true>abc<end><2 false false>de<end><0 true false><end>";
        assert_eq!(passed, on, "cut {cut}");
    }
    let whole = "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3 LAST\r\nabcQUIT\r\n";
    let (_, passed) = talk(whole, 7);
    assert!(passed.ends_with("<3 true true>abc<last><end>"), "{passed}");
}

#[test]
fn what_needs_no_transport_server_is_answered_here() {
    let (heard, passed) = talk(
        "MAIL FROM:<a@b>\r\nHELO a\r\nRCPT TO:<c@d>\r\nDATA\r\nRSET\r\nNOOP\r\nVRFY x\r\nNONSENSE\r\nXQDISCARD 0 1\r\nXPEER a b c\r\nSTARTTLS\r\nQUIT\r\n",
        9,
    );
    assert_eq!(heard, "220 503 250 503 503 250 250 252 500 550 550 502 221");
    assert_eq!(passed, "");
}

#[test]
fn a_transaction_that_the_sender_ends_is_ended_behind() {
    let (_, passed) = talk("EHLO a\r\nMAIL FROM:<a@b>\r\nRSET\r\nRSET\r\nQUIT\r\n", 5);
    assert_eq!(passed, "MAIL FROM:<a@b>\r\nRSET\r\n");
    let (_, passed) = talk("EHLO a\r\nMAIL FROM:<a@b>\r\nEHLO a\r\nQUIT\r\n", 5);
    assert_eq!(passed, "MAIL FROM:<a@b>\r\nRSET\r\n");
}

#[test]
fn tc_03_the_end_of_the_connection_is_no_end_of_data() {
    let (_, passed) = talk(
        "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n\r\n.",
        64,
    );
    assert!(
        passed.ends_with("x: y\r\n\r\n.") && !passed.contains("<last>"),
        "{passed}"
    );
}

#[test]
fn a_message_that_is_announced_too_big_goes_nowhere() {
    let said = "EHLO a\r\nMAIL FROM:<a@b> SIZE=1001\r\nMAIL FROM:<a@b> SIZE=1000\r\nQUIT\r\n";
    let (heard, passed) = talk(said, 11);
    assert_eq!(heard, "220 250 552 250 221");
    assert_eq!(passed, "MAIL FROM:<a@b> SIZE=1000\r\n");
}
