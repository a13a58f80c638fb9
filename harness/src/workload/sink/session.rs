//! The sink's side of one SMTP session (RFC 5321), without IO.
//!
//! Comes in: octets of a client, and a [`Policy`] that decides. Goes out: [`Step`]s: replies to write, and
//! the end. Called by the sink's driver. Whatever comes in, it answers; it never panics.

/// Recipients of one message. RFC 5321 §4.5.3.1.8 wants 100 at least.
const RECIPIENTS: usize = 1000;

/// The largest message, as SIZE says it (RFC 1870).
const MESSAGE_OCTETS: usize = 50 * 1024 * 1024;

/// A longer command line is nonsense.
const LINE_OCTETS: usize = 8 * 1024;

/// A message, at its end of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// What the client called itself in EHLO or HELO.
    pub(crate) hello: String,
    /// Return path, without brackets.
    pub(crate) from: String,
    /// Envelope recipients.
    pub(crate) recipients: Vec<String>,
    /// The message, without added dots.
    pub(crate) content: Vec<u8>,
}

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// 250.
    Accept,
    /// This code.
    Answer(u16),
    /// The connection ends without a reply.
    Drop,
}

/// Decides what the session cannot know.
pub(crate) trait Policy {
    /// Whether the transaction's recipients are refused, and with which code. Asked at its first RCPT.
    fn refuse(&mut self) -> Option<u16>;
    /// …or to this one alone.
    fn refuse_recipient(&mut self, _to: &str) -> Option<u16> {
        None
    }
    /// What to do with a message whose end of data has come. Its reply is written after this returns.
    fn message(&mut self, taken: Taken) -> Decision;
}

/// What the driver does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write this: a whole reply, or nothing (inside BDAT's chunks).
    Reply(String),
    /// Write this, then close.
    Close(String),
}

/// One session.
pub(crate) struct SinkSession {
    name: String,
    input: Vec<u8>,
    hello: String,
    transaction: Option<Transaction>,
    mode: Mode,
}

#[derive(Default)]
struct Transaction {
    from: String,
    recipients: Vec<String>,
    /// Asked once.
    refusing: Option<Option<u16>>,
    content: Vec<u8>,
    too_large: bool,
    in_chunks: bool,
}

enum Mode {
    Commands,
    /// A line too long is being thrown away.
    Overlong,
    /// Between DATA and the end of data; how far the input was searched.
    Data {
        searched: usize,
    },
    /// A chunk: octets that are still to come; it is the last; it is only to be thrown away, with this reply.
    Chunk {
        missing: usize,
        last: bool,
        refusal: Option<&'static str>,
    },
}

impl SinkSession {
    /// A session of the sink `name`.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            input: Vec::new(),
            hello: String::new(),
            transaction: None,
            mode: Mode::Commands,
        }
    }

    /// The greeting.
    pub(crate) fn greeting(&self) -> String {
        format!("220 {} ESMTP gauntlet sink\r\n", self.name)
    }

    /// Takes octets.
    pub(crate) fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// A command, chunk or message is whole and can be answered.
    pub(crate) fn is_ready(&mut self) -> bool {
        match self.mode {
            Mode::Commands => self.input.contains(&b'\n') || self.input.len() > LINE_OCTETS,
            Mode::Overlong => self.input.contains(&b'\n'),
            Mode::Data { searched } => {
                let end = end_of_data(&self.input, searched);
                if end.is_none() {
                    self.mode = Mode::Data {
                        searched: self.input.len().saturating_sub(4),
                    };
                }
                end.is_some()
            }
            Mode::Chunk { missing, .. } => self.input.len() >= missing,
        }
    }

    /// Answers what is ready; `None` when nothing is.
    pub(crate) fn step(&mut self, policy: &mut dyn Policy) -> Option<Step> {
        if !self.is_ready() {
            return None;
        }
        match self.mode {
            Mode::Commands => {
                let Some(end) = self.input.iter().position(|&o| o == b'\n') else {
                    self.input.clear();
                    self.mode = Mode::Overlong;
                    return Some(reply("500 5.5.2 line too long"));
                };
                let line: Vec<u8> = self.input.drain(..=end).collect();
                Some(self.command(
                    String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']),
                    policy,
                ))
            }
            Mode::Overlong => {
                let end = self.input.iter().position(|&o| o == b'\n')?;
                self.input.drain(..=end);
                self.mode = Mode::Commands;
                Some(Step::Reply(String::new()))
            }
            Mode::Data { searched } => {
                let (content, end) = end_of_data(&self.input, searched)?;
                let octets: Vec<u8> = self.input.drain(..end).take(content).collect();
                self.mode = Mode::Commands;
                let transaction = self.transaction.get_or_insert_default();
                transaction.add(&super::super::dialogue::unstuff(&octets));
                Some(self.end(policy))
            }
            Mode::Chunk {
                missing,
                last,
                refusal,
            } => {
                let chunk: Vec<u8> = self.input.drain(..missing).collect();
                self.mode = Mode::Commands;
                if let Some(refusal) = refusal {
                    return Some(reply(refusal));
                }
                let transaction = self.transaction.get_or_insert_default();
                transaction.in_chunks = true;
                transaction.add(&chunk);
                if last {
                    Some(self.end(policy))
                } else {
                    Some(reply("250 2.0.0 chunk taken"))
                }
            }
        }
    }

    fn command(&mut self, line: &str, policy: &mut dyn Policy) -> Step {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                self.transaction = None;
                self.hello = argument.trim().to_owned();
                Step::Reply(format!(
                    "250-{}\r\n250-PIPELINING\r\n250-SIZE {MESSAGE_OCTETS}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
                     250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n",
                    self.name
                ))
            }
            "HELO" => {
                self.transaction = None;
                self.hello = argument.trim().to_owned();
                reply(&format!("250 {}", self.name))
            }
            "MAIL" => self.mail(argument),
            "RCPT" => self.recipient(argument, policy),
            "DATA" => match &self.transaction {
                None => reply("503 5.5.1 MAIL first"),
                Some(t) if t.in_chunks => reply("503 5.5.1 DATA after BDAT"),
                Some(t) if t.recipients.is_empty() => reply("554 5.5.1 no valid recipients"),
                Some(_) => {
                    self.mode = Mode::Data { searched: 0 };
                    reply("354 go ahead")
                }
            },
            "BDAT" => self.chunk(argument),
            "RSET" => {
                self.transaction = None;
                reply("250 2.0.0 reset")
            }
            "NOOP" => reply("250 2.0.0 ok"),
            "VRFY" => reply("252 2.1.5 send some mail"),
            "HELP" => reply("214 2.0.0 this is a sink: it takes mail and counts it"),
            "QUIT" => Step::Close(format!("221 2.0.0 {} closes\r\n", self.name)),
            _ => reply("500 5.5.1 unknown command"),
        }
    }

    fn mail(&mut self, argument: &str) -> Step {
        if self.transaction.is_some() {
            return reply("503 5.5.1 there is a transaction already");
        }
        let Some((from, parameters)) = path(argument, "FROM:") else {
            return reply("501 5.5.4 MAIL FROM:<address>");
        };
        let size = parameters
            .split_whitespace()
            .find_map(|p| p.to_ascii_uppercase().strip_prefix("SIZE=")?.parse().ok());
        if size.is_some_and(|size: u64| size > MESSAGE_OCTETS as u64) {
            return reply("552 5.3.4 too large");
        }
        self.transaction = Some(Transaction {
            from: from.to_owned(),
            ..Transaction::default()
        });
        reply("250 2.1.0 ok")
    }

    fn recipient(&mut self, argument: &str, policy: &mut dyn Policy) -> Step {
        let Some(transaction) = &mut self.transaction else {
            return reply("503 5.5.1 MAIL first");
        };
        let Some((to, _)) = path(argument, "TO:").filter(|(to, _)| !to.is_empty()) else {
            return reply("501 5.5.4 RCPT TO:<address>");
        };
        let whole = *transaction.refusing.get_or_insert_with(|| policy.refuse());
        if let Some(code) = whole.or_else(|| policy.refuse_recipient(to)) {
            return reply(&format!("{code} {}.1.1 no such recipient", code / 100));
        }
        if transaction.recipients.len() >= RECIPIENTS {
            return reply("452 4.5.3 too many recipients");
        }
        transaction.recipients.push(to.to_owned());
        reply("250 2.1.5 ok")
    }

    fn chunk(&mut self, argument: &str) -> Step {
        let mut words = argument.split_whitespace();
        let size = words.next().and_then(|size| size.parse::<usize>().ok());
        let last = match words.next() {
            None => Some(false),
            Some(word) => word.eq_ignore_ascii_case("LAST").then_some(true),
        };
        let (Some(missing), Some(last)) = (size, last) else {
            return reply("501 5.5.4 BDAT size [LAST]");
        };
        if missing > MESSAGE_OCTETS {
            return Step::Close("552 5.3.4 too large a chunk\r\n".into());
        }
        // RFC 3030 §2: the octets of a refused chunk come all the same, and are thrown away.
        let refusal = match &self.transaction {
            None => Some("503 5.5.1 MAIL first"),
            Some(t) if t.recipients.is_empty() => Some("554 5.5.1 no valid recipients"),
            Some(_) => None,
        };
        self.mode = Mode::Chunk {
            missing,
            last,
            refusal,
        };
        Step::Reply(String::new())
    }

    fn end(&mut self, policy: &mut dyn Policy) -> Step {
        let transaction = self.transaction.take().unwrap_or_default();
        if transaction.too_large {
            return reply("552 5.3.4 too large");
        }
        let Transaction {
            from,
            recipients,
            content,
            ..
        } = transaction;
        match policy.message(Taken {
            hello: self.hello.clone(),
            from,
            recipients,
            content,
        }) {
            Decision::Accept => reply("250 2.0.0 taken"),
            Decision::Answer(code) => reply(&format!("{code} {}.3.0 not now", code / 100)),
            Decision::Drop => Step::Close(String::new()),
        }
    }
}

impl Transaction {
    fn add(&mut self, octets: &[u8]) {
        self.too_large |= self.content.len() + octets.len() > MESSAGE_OCTETS;
        if self.too_large {
            self.content = Vec::new();
        } else {
            self.content.extend_from_slice(octets);
        }
    }
}

fn reply(line: &str) -> Step {
    Step::Reply(format!("{line}\r\n"))
}

/// `FROM:<a@b> REST` → the address and the rest. Brackets may be missing, a source route is dropped.
fn path<'a>(argument: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = argument.trim_start().split_at_checked(word.len())?;
    if !head.eq_ignore_ascii_case(word) {
        return None;
    }
    let rest = rest.trim_start();
    match rest.strip_prefix('<') {
        Some(rest) => {
            let (address, rest) = rest.split_once('>')?;
            let routed = address
                .starts_with('@')
                .then(|| address.split_once(':'))
                .flatten();
            Some((routed.map_or(address, |(_, address)| address), rest))
        }
        None => Some(rest.split_once(' ').unwrap_or((rest, ""))),
    }
}

/// Finds `<CRLF>.<CRLF>` and nothing else: the octets that are content (with its last CRLF), and those up to the end.
/// The reply to DATA stands for the first CRLF of an empty message. `searched` octets are known to begin no end.
fn end_of_data(input: &[u8], searched: usize) -> Option<(usize, usize)> {
    if input.starts_with(b".\r\n") {
        return Some((0, 3));
    }
    let at = input
        .get(searched..)?
        .windows(5)
        .position(|w| w == b"\r\n.\r\n")?
        + searched;
    Some((at + 2, at + 5))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Script {
        refuse: Option<u16>,
        decision: Option<Decision>,
        taken: Vec<Taken>,
    }

    impl Policy for Script {
        fn refuse(&mut self) -> Option<u16> {
            self.refuse
        }

        fn message(&mut self, taken: Taken) -> Decision {
            self.taken.push(taken);
            self.decision.unwrap_or(Decision::Accept)
        }
    }

    /// All replies to octets that come in pieces of this size; ends with `[closed]` when the sink closes.
    fn talk(octets: &[u8], piece: usize, script: &mut Script) -> String {
        let mut session = SinkSession::new("sink-1");
        let mut said = String::new();
        for piece in octets.chunks(piece) {
            session.feed(piece);
            while let Some(step) = session.step(script) {
                match step {
                    Step::Reply(reply) => said.push_str(&reply),
                    Step::Close(reply) => return said + &reply + "[closed]",
                }
            }
        }
        said
    }

    const MAIL: &str = "EHLO n1\r\nMAIL FROM:<s@t> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<a@b>\r\nrcpt to: <@x,@y:c@d>\r\nDATA\r\n\
        Subject: x\r\n\r\n..dot\r\n.\nno end\r\n.\r\nQUIT\r\n";

    #[test]
    fn a_session_reads_like_rfc_5321() {
        let mut script = Script::default();
        let said = talk(MAIL.as_bytes(), 4096, &mut script);
        insta::assert_snapshot!(said.replace("\r\n", "\n"), @"
        250-sink-1
        250-PIPELINING
        250-SIZE 52428800
        250-8BITMIME
        250-SMTPUTF8
        250-ENHANCEDSTATUSCODES
        250 CHUNKING
        250 2.1.0 ok
        250 2.1.5 ok
        250 2.1.5 ok
        354 go ahead
        250 2.0.0 taken
        221 2.0.0 sink-1 closes
        [closed]
        ");
        for piece in [1, 2, 3, 7] {
            let mut again = Script::default();
            assert_eq!(
                talk(MAIL.as_bytes(), piece, &mut again),
                said,
                "in pieces of {piece}"
            );
            assert_eq!(again.taken, script.taken, "in pieces of {piece}");
        }
        let [taken] = &script.taken[..] else {
            panic!("one message, not {:?}", script.taken)
        };
        assert_eq!((taken.hello.as_str(), taken.from.as_str()), ("n1", "s@t"));
        assert_eq!(taken.recipients, ["a@b", "c@d"]);
        assert_eq!(taken.content, b"Subject: x\r\n\r\n.dot\r\n\nno end\r\n");
    }

    #[test]
    fn only_crlf_dot_crlf_ends_data() {
        let begin = "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n";
        for fake in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r",
            "\r\n.\r",
            "\r.\r\n",
            "\r\n\r.\r\n",
        ] {
            let mut script = Script::default();
            let said = talk(
                format!("{begin}x{fake}MAIL FROM:<y@z>\r\n").as_bytes(),
                5,
                &mut script,
            );
            assert!(said.ends_with("354 go ahead\r\n"), "{fake:?}: {said}");
            assert_eq!(script.taken, [], "{fake:?}");
        }
        let mut script = Script::default();
        assert!(
            talk(format!("{begin}.\r\n").as_bytes(), 1, &mut script)
                .ends_with("250 2.0.0 taken\r\n")
        );
        assert_eq!(script.taken.len(), 1, "an empty message");
    }

    #[test]
    fn chunks_make_a_message() {
        let mut script = Script::default();
        let chunks =
            "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 6\r\nab\r\n.\rBDAT 3 last\r\n\nyz";
        let said = talk(chunks.as_bytes(), 3, &mut script);
        assert!(
            said.ends_with("250 2.0.0 chunk taken\r\n250 2.0.0 taken\r\n"),
            "{said}"
        );
        assert_eq!(
            script.taken[0].content, b"ab\r\n.\r\nyz",
            "no dot is taken away"
        );

        let said = talk(
            b"BDAT 4 LAST\r\nNOOPNOOP\r\nBDAT x\r\nBDAT 99999999999\r\n",
            3,
            &mut script,
        );
        assert_eq!(
            said,
            "503 5.5.1 MAIL first\r\n250 2.0.0 ok\r\n501 5.5.4 BDAT size [LAST]\r\n552 5.3.4 too large a chunk\r\n[closed]"
        );
    }

    #[test]
    fn the_policy_decides() {
        let mut refusing = Script {
            refuse: Some(550),
            ..Script::default()
        };
        let said = talk(MAIL.as_bytes(), 4096, &mut refusing);
        assert!(
            said.contains(
                "550 5.1.1 no such recipient\r\n550 5.1.1 no such recipient\r\n554 5.5.1"
            ),
            "{said}"
        );
        assert_eq!(refusing.taken, []);

        let mut deferring = Script {
            decision: Some(Decision::Answer(451)),
            ..Script::default()
        };
        assert!(
            talk(MAIL.as_bytes(), 4096, &mut deferring)
                .contains("354 go ahead\r\n451 4.3.0 not now\r\n221")
        );

        let mut dropping = Script {
            decision: Some(Decision::Drop),
            ..Script::default()
        };
        assert!(talk(MAIL.as_bytes(), 4096, &mut dropping).ends_with("354 go ahead\r\n[closed]"));
        assert_eq!(dropping.taken.len(), 1);
    }

    #[test]
    fn a_thousand_recipients_are_taken() {
        let mut input = "HELO x\r\nMAIL FROM:<>\r\n".to_owned();
        (0..1001).for_each(|n| input.push_str(&format!("RCPT TO:<r{n}@b>\r\n")));
        input.push_str("DATA\r\n\r\n.\r\n");
        let mut script = Script::default();
        let said = talk(input.as_bytes(), 4096, &mut script);
        assert_eq!(said.matches("250 2.1.5 ok").count(), 1000);
        assert_eq!(said.matches("452 4.5.3").count(), 1);
        assert_eq!(script.taken[0].recipients.len(), 1000);
    }

    #[test]
    fn wrong_orders_and_overlong_lines_are_answered() {
        let long = format!(
            "RCPT TO:<a@b>\r\nDATA\r\nMAIL <a>\r\n{}\r\nNOOP\r\n",
            "x".repeat(3 * LINE_OCTETS)
        );
        let said = talk(long.as_bytes(), 1000, &mut Script::default());
        assert_eq!(
            said,
            "503 5.5.1 MAIL first\r\n503 5.5.1 MAIL first\r\n501 5.5.4 MAIL FROM:<address>\r\n\
             500 5.5.2 line too long\r\n250 2.0.0 ok\r\n"
        );
    }

    proptest! {
        #[test]
        fn garbage_is_survived(
            lines in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..40),
                    Just(b"MAIL FROM:<a@b>\r\n".to_vec()),
                    Just(b"RCPT TO:<a@b>\r\n".to_vec()),
                    Just(b"DATA\r\n".to_vec()),
                    Just(b"BDAT 7 LAST\r\n".to_vec()),
                    Just(b"\r\n.\r\n".to_vec()),
                ],
                0..20,
            ),
            piece in 1..50_usize,
        ) {
            let octets = lines.concat();
            let mut script = Script::default();
            let said = talk(&octets, piece, &mut script);
            let mut whole = Script::default();
            // However the octets are cut, the answers are the same.
            prop_assert_eq!(said, talk(&octets, 4096, &mut whole));
            prop_assert_eq!(script.taken, whole.taken);
        }
    }
}
