//! Dialogues: what a client says, what the session answers, what it asks its driver.
//!
//! The files in `dialogues/` have them, each under a `#` title: `C: ` a line of the client (CRLF is added;
//! `\r \n \0` are escapes; a trailing `\` means no CRLF), `C.` the client's end, `S: ` what the session
//! answers, `E: ` what it asks the driver, `X.` closed. `UPDATE_DIALOGUES=1` writes the files anew with
//! what really happened: read the difference.

use std::{env, fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::smtp::data::BareLineEnds;

fn config() -> SessionConfig {
    SessionConfig {
        hostname: "n1".into(),
        max_message_size: 40,
        max_recipients: 2,
        max_line: 100,
        max_errors: 5,
        peer_nonce: "00ff".into(),
        ..SessionConfig::default()
    }
}

/// A driver: refuses recipients that begin with `no`, and messages and copies with `no` in them.
struct Driver {
    session: Session,
    log: String,
    closed: bool,
}

impl Driver {
    fn new(config: SessionConfig) -> Self {
        Self {
            session: Session::new(Arc::new(config)),
            log: String::new(),
            closed: false,
        }
    }

    fn flush(&mut self) {
        let output = String::from_utf8(self.session.take_output()).expect("replies are ASCII");
        for line in output.split_terminator("\r\n") {
            self.log.push_str(&format!("S: {line}\n"));
        }
    }

    fn run(&mut self) {
        loop {
            let event = self.session.next();
            match event {
                Event::NeedInput => return self.flush(),
                Event::Closed => {
                    self.flush();
                    if !std::mem::replace(&mut self.closed, true) {
                        self.log.push_str("X.\n");
                    }
                    return;
                }
                _ => {}
            }
            self.flush();
            match event {
                Event::NeedInput | Event::Closed => {}
                Event::Rcpt(to) => {
                    self.log.push_str(&format!("E: {to}\n"));
                    let bad = to.path.starts_with("no");
                    self.session.answer_rcpt(if bad {
                        Err(Reply::no_mailbox(&to.path))
                    } else {
                        Ok(())
                    });
                }
                Event::Message(message) => self.message(&message),
                Event::Peer(command) => self.peer(&command),
            }
        }
    }

    fn message(&mut self, message: &Transaction) {
        let content = message.content.escape_ascii();
        let to: Vec<&str> = message
            .recipients
            .iter()
            .map(|to| to.path.as_str())
            .collect();
        let kind = match &message.kind {
            Kind::Mail | Kind::Handover { .. } => "mail".to_owned(),
            Kind::Copy {
                transport_id,
                submit_time,
                ..
            } => format!("copy {transport_id} {submit_time}"),
            Kind::Deliver {
                transport_id,
                submit_time,
            } => format!("deliver {transport_id} {submit_time}"),
        };
        let protocol = self.session.protocol();
        assert!(self.session.in_transaction(), "up to the answer");
        assert_eq!(self.session.client_name(), message.helo);
        let (helo, from) = (&message.helo, &message.from.path);
        let to = to.join(",");
        self.log.push_str(&format!(
            "E: {kind} {helo} {protocol} <{from}> <{to}> {content}\n"
        ));
        self.session
            .answer_message(if message.content.starts_with(b"no") {
                Reply::not_redundant()
            } else {
                Reply::ok("taken")
            });
    }

    fn peer(&mut self, command: &PeerCommand) {
        self.log.push_str(&format!("E: {command}\n"));
        let reply = match command {
            PeerCommand::Xpeer { proof, .. } if proof == "bad" => Reply::bad_proof(),
            PeerCommand::Xpeer { name, .. } if name == "operator" => {
                self.session.set_peer(Peer::Operator);
                Reply::ok("n1")
            }
            PeerCommand::Xpeer { name, .. } => {
                self.session.set_peer(Peer::Server(name.clone()));
                Reply::ok("n1")
            }
            PeerCommand::Xshadow { submit_time: 0, .. } => Reply::new(451, (4, 4, 0), "not me"),
            _ => Reply::ok("done"),
        };
        self.session.answer_peer(reply);
    }
}

/// What a `C: ` line stands for.
fn octets(line: &str) -> Vec<u8> {
    let (line, end) = match line.strip_suffix('\\') {
        Some(line) => (line, ""),
        None => (line, "\r\n"),
    };
    let text = line
        .replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\0", "\0");
    format!("{text}{end}").into_bytes()
}

/// Plays the client's part of a dialogue after `prelude`; gives the dialogue as it really went.
fn play(config: &SessionConfig, prelude: &[u8], dialogue: &str) -> String {
    let mut driver = Driver::new(config.clone());
    if !prelude.is_empty() {
        driver.session.receive(prelude);
        driver.run();
        driver.log.clear();
    }
    for line in dialogue.lines() {
        if line.starts_with('#') {
            driver.log.push_str(&format!("{line}\n"));
        } else if line == "C." {
            driver.log.push_str("C.\n");
            driver.session.receive_end();
        } else if let Some(said) = line.strip_prefix("C:") {
            driver.log.push_str(&format!("{line}\n"));
            driver
                .session
                .receive(&octets(said.strip_prefix(' ').unwrap_or_default()));
        } else {
            continue;
        }
        driver.run();
    }
    driver.log
}

/// Plays every dialogue of the file.
#[track_caller]
fn check(name: &str, config: &SessionConfig, prelude: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/smtp/session/dialogues")
        .join(name);
    let expected = fs::read_to_string(&path).expect("the file is beside the tests");
    let dialogues = expected.split("\n\n");
    let went: Vec<String> = dialogues
        .map(|dialogue| play(config, prelude, dialogue).trim_end().to_owned())
        .collect();
    let went = went.join("\n\n") + "\n";
    if env::var_os("UPDATE_DIALOGUES").is_some() {
        fs::write(&path, went).expect("the file can be written");
    } else {
        assert!(went == expected, "{name} went so:\n{went}");
    }
}

/// What every client but those in `hello.txt` said before.
const EHLO: &[u8] = b"EHLO c\r\n";

#[test]
fn hello() {
    check("hello.txt", &config(), b"");
}

#[test]
fn transactions() {
    check("transactions.txt", &config(), EHLO);
}

#[test]
fn data() {
    check("data.txt", &config(), EHLO);
}

#[test]
fn chunks() {
    check("chunks.txt", &config(), EHLO);
}

#[test]
fn bad_commands() {
    check("bad-commands.txt", &config(), EHLO);
}

#[test]
fn peers() {
    check("peers.txt", &config(), EHLO);
}

#[test]
fn limits() {
    let config = SessionConfig {
        max_messages: Some(1),
        max_errors: 1,
        max_message_size: 0,
        peer_nonce: String::new(),
        bare_line_ends: BareLineEnds::Refuse,
        ..config()
    };
    check("limits.txt", &config, EHLO);
}

#[test]
fn shutting_down_ends_everything() {
    let mut session = Session::new(Arc::new(config()));
    session.receive(b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@b.c>\r\nNOOP\r\n");
    assert!(matches!(session.next(), Event::Rcpt(_)));
    assert!(session.in_transaction());
    assert_eq!(
        session.mail_from().map(|from| from.path.as_str()),
        Some("a@b.c")
    );
    session.take_output();
    session.shut_down(Reply::timed_out("idle for too long"));
    session.answer_rcpt(Ok(()));
    session.shut_down(Reply::closing("once is enough"));
    session.receive(b"NOOP\r\n");
    assert_eq!(session.next(), Event::Closed);
    assert!(!session.in_transaction());
    assert_eq!(session.output(), b"421 4.4.2 idle for too long\r\n");
}

#[test]
fn big_content_is_not_kept() {
    let mut session = Session::new(Arc::new(SessionConfig {
        max_message_size: 100,
        ..config()
    }));
    session.receive(b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@b.c>\r\n");
    assert!(matches!(session.next(), Event::Rcpt(_)));
    session.answer_rcpt(Ok(()));
    session.receive(b"DATA\r\n");
    for _ in 0..1000 {
        session.receive(&[b'x'; 4096]);
        assert_eq!(session.next(), Event::NeedInput);
        assert!(session.input.rest().is_empty());
        assert!(session.mail.as_ref().is_some_and(|mail| mail.kept() <= 100));
    }
    session.take_output();
    session.receive(b"\r\n.\r\n");
    assert_eq!(session.next(), Event::NeedInput);
    assert!(session.take_output().starts_with(b"552 5.3.4 "));
}

#[cfg(feature = "sabotage")]
#[test]
fn sabotages_break_what_they_say() {
    let sent = "C: MAIL FROM:<a@b.c>\nC: RCPT TO:<d@b.c>\nC: RCPT TO:<no@b.c>\nC: DATA\n";
    let messages = |sabotage, rest: &str| -> Vec<String> {
        let config = SessionConfig {
            sabotage,
            ..config()
        };
        let log = play(&config, EHLO, &format!("{sent}{rest}"));
        log.lines()
            .filter(|line| line.starts_with("E: mail"))
            .map(str::to_owned)
            .collect()
    };
    let message =
        |to: &str, content: &str| vec![format!("E: mail c ESMTP <a@b.c> <{to}> {content}")];

    let cut = "C: te\\\nC.\n";
    assert!(messages(None, cut).is_empty());
    assert_eq!(
        messages(Some(Sabotage::DeliverCutData), cut),
        message("d@b.c", "te")
    );

    let whole = "C: te\nC: .\n";
    assert_eq!(messages(None, whole), message("d@b.c", r"te\r\n"));
    assert_eq!(
        messages(Some(Sabotage::DeliverRefused), whole),
        message("d@b.c,no@b.c", r"te\r\n")
    );

    let bare = "C: te\\n.\\nNOOP\n";
    assert!(messages(None, bare).is_empty());
    assert_eq!(
        messages(Some(Sabotage::BareLfEndsData), bare),
        message("d@b.c", r"te\n")
    );
}

/// Commands and content that come near every state, and noise.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => proptest::sample::select(vec![
            "EHLO c\r\n", "HELO c\r\n", "MAIL FROM:<a@b.c>\r\n", "MAIL FROM:<> BODY=BINARYMIME\r\n",
            "RCPT TO:<d@b.c>\r\n", "RCPT TO:<d@b.c>\r\n", "RCPT TO:<no@b.c>\r\n", "DATA\r\n", "DATA\r\n",
            "text\r\n", "no text\r\n", ".\r\n", ".\r\n", "..\r\n", "\r\n.\r\nNOOP\r\n", "BDAT 4\r\nabcd",
            "BDAT 6 LAST\r\nab\r\ncd", "BDAT 50\r\n", "RSET\r\n", "NOOP\r\n", "NOOP\n", "\r", "\n",
            "XPEER n2 00 11\r\n", "XPEER n2 00 bad\r\n", "XSHADOW n2/ab/1 5\r\n", "XSHADOW n2/ab/1 0\r\n",
            "XDELIVER n2/ab/1 5\r\n", "XQDISCARD 0 9\r\n", "XRESUBMIT 1 2\r\n", "VRFY x\r\n",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(line, 0..40).prop_map(|lines| lines.concat())
}

fn play_in_pieces(said: &[u8], sizes: &[usize]) -> String {
    let mut driver = Driver::new(SessionConfig {
        max_errors: 30,
        ..config()
    });
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = said;
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, after) = rest.split_at(size);
        driver.session.receive(piece);
        driver.run();
        rest = after;
    }
    driver.session.receive_end();
    driver.run();
    assert_eq!(driver.session.next(), Event::Closed);
    driver.log
}

proptest! {
    /// Nothing panics, and how the octets are cut changes nothing.
    #[test]
    fn pieces_change_nothing(said in said(), sizes in proptest::collection::vec(1_usize..9, 1..8)) {
        prop_assert_eq!(play_in_pieces(&said, &sizes), play_in_pieces(&said, &[said.len().max(1)]));
    }

    /// TC-10, TC-11: one message for each end of data, with accepted recipients only; and each has an answer.
    #[test]
    fn messages_have_accepted_recipients(said in said()) {
        for line in play_in_pieces(&said, &[7]).lines() {
            let message = ["E: mail ", "E: copy ", "E: deliver "].iter().any(|start| line.starts_with(start));
            if message {
                prop_assert!(line.contains("<d@b.c"), "{}", line);
                prop_assert!(!line.contains("no@b.c"), "{}", line);
            }
        }
    }
}
