//! The test's server: a session.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    Flaw, Shared, find,
    transaction::{LIMIT, Mail, Recipient, deliver, end_of_data, mail, recipient, unstuffed},
};
use crate::probe::{connection::Stream, dialogue::visible};

/// The longest command line; it is larger than RFC 5321's for AUTH's sake (RFC 4954 §4).
const LONGEST: usize = 2048;

pub(super) struct Session {
    io: Option<Box<dyn Stream>>,
    shared: Arc<Shared>,
    input: Vec<u8>,
    /// Octets of the last read.
    piece: usize,
    output: Vec<u8>,
    state: State,
    tls: bool,
    hello: Option<String>,
    esmtp: bool,
    mail: Option<Mail>,
    chunked_once: bool,
    authenticated: bool,
    errors: usize,
    recipients: usize,
    quit: bool,
    /// An over-long line's beginning was dropped.
    overlong: bool,
    chunks: Vec<u8>,
}

enum State {
    Commands,
    Data,
    Chunk {
        left: u64,
        last: bool,
        refusal: Option<String>,
    },
    Auth {
        mechanism: String,
        user: Option<String>,
    },
    /// The handshake is next.
    Tls,
    Ended,
}

impl Session {
    pub(super) fn new(io: Box<dyn Stream>, shared: Arc<Shared>) -> Self {
        Self {
            io: Some(io),
            shared,
            input: Vec::new(),
            piece: 0,
            output: Vec::new(),
            state: State::Commands,
            tls: false,
            hello: None,
            esmtp: false,
            mail: None,
            chunked_once: false,
            authenticated: false,
            errors: 0,
            recipients: 0,
            quit: false,
            overlong: false,
            chunks: Vec::new(),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.shared.has(flaw)
    }

    fn say(&mut self, reply: &str) {
        self.output.extend_from_slice(reply.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    pub(super) async fn serve(mut self) {
        if self.has(Flaw::AnswersBeforeGreeting)
            && timeout(Duration::from_secs(1), self.read()).await.is_ok()
        {
            self.work();
        }
        self.say("220 fake.example ESMTP");
        loop {
            self.work();
            let held = self.has(Flaw::HoldsReplies)
                && !self.input.is_empty()
                && matches!(self.state, State::Commands);
            if !held && self.flush().await.is_none() {
                return;
            }
            match self.state {
                State::Ended => {
                    // The client has what was said.
                    if let Some(io) = &mut self.io {
                        let _ = io.shutdown().await;
                    }
                    return;
                }
                State::Tls if self.has(Flaw::ServesPlainText) => {
                    if self.input.is_empty() && self.read().await.is_none() {
                        return;
                    }
                    if self.input.first() == Some(&0x16) {
                        if self.handshake().await.is_none() {
                            return;
                        }
                    } else {
                        self.state = State::Commands;
                        self.work();
                        if self.flush().await.is_none() {
                            return;
                        }
                        if !matches!(self.state, State::Ended) {
                            self.state = State::Tls;
                        }
                    }
                }
                State::Tls => {
                    if self.handshake().await.is_none() {
                        return;
                    }
                }
                _ => {
                    if self.read().await.is_none() {
                        if self.has(Flaw::DeliversCutContent)
                            && matches!(self.state, State::Data)
                            && let Some(mut mail) = self.mail.take()
                        {
                            mail.content = std::mem::take(&mut self.input);
                            deliver(&self.shared, &mail, "ESMTP");
                        }
                        let _ = self.flush().await;
                        return;
                    }
                }
            }
        }
    }

    /// None at the end.
    async fn read(&mut self) -> Option<()> {
        let mut octets = vec![0; 64 * 1024];
        let read = self.io.as_mut()?.read(&mut octets).await.ok()?;
        self.input.extend_from_slice(&octets[..read]);
        self.piece = read;
        (read > 0).then_some(())
    }

    async fn flush(&mut self) -> Option<()> {
        let output = std::mem::take(&mut self.output);
        let io = self.io.as_mut()?;
        io.write_all(&output).await.ok()?;
        io.flush().await.ok()
    }

    async fn handshake(&mut self) -> Option<()> {
        let kept = if self.has(Flaw::KeepsInputOverTls) {
            std::mem::take(&mut self.input)
        } else {
            Vec::new()
        };
        // Of what came in plain text only a record of TLS can belong to the handshake.
        let begun = std::mem::take(&mut self.input);
        let io = Begun {
            begun,
            inner: self.io.take()?,
        };
        let stream = self.shared.tls.accept(io).await.ok()?;
        self.io = Some(Box::new(stream));
        self.input = kept;
        self.tls = true;
        self.state = State::Commands;
        if !self.has(Flaw::KeepsHelloOverTls) {
            self.hello = None;
        }
        if !self.has(Flaw::KeepsTransactionOverTls) {
            self.mail = None;
        }
        if self.has(Flaw::GreetsUnderTls) {
            self.say("220 fake.example once more");
        }
        Some(())
    }

    /// Uses the input as far as it goes.
    fn work(&mut self) {
        loop {
            match &self.state {
                State::Ended | State::Tls => return,
                State::Data => {
                    if !self.data() {
                        return;
                    }
                }
                State::Chunk { .. } => {
                    if !self.chunk() {
                        return;
                    }
                }
                State::Commands | State::Auth { .. } => {
                    let Some(line) = self.line() else { return };
                    self.one_line(line);
                    if self.has(Flaw::LosesInput) {
                        self.input.clear();
                    }
                }
            }
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Option<Result<Vec<u8>, &'static str>> {
        let shared = self.shared.clone();
        for flaw in &shared.flaws {
            if let Flaw::CutsCommandLines(size) = flaw
                && self.input.len() >= *size
                && find(&self.input[..*size], b"\r\n").is_none()
            {
                return Some(Ok(self.input.drain(..*size).collect()));
            }
        }
        let mut ends: Vec<(usize, usize)> = Vec::new();
        let mut from = 0;
        while let Some(at) = find(&self.input[from..], b"\r\n").map(|at| at + from) {
            let quotes = self.input[..at].iter().filter(|o| **o == b'"').count();
            if self.has(Flaw::JoinsQuotedLines) && quotes % 2 == 1 {
                from = at + 2;
                continue;
            }
            ends.push((at, at + 2));
            break;
        }
        if self.has(Flaw::LfEndsCommands)
            && let Some(at) = self.input.iter().position(|o| *o == b'\n')
        {
            let text = self.input[..at].strip_suffix(b"\r").map_or(at, <[u8]>::len);
            ends.push((text, at + 1));
        }
        if self.has(Flaw::CrEndsCommands)
            && let Some(at) = self.input.iter().position(|o| *o == b'\r')
            && self.input.len() > at + 1
        {
            ends.push((at, at + 1 + usize::from(self.input[at + 1] == b'\n')));
        }
        let longest = match self.state {
            State::Auth { .. } if !self.has(Flaw::LimitsAuthLines) => 12_290,
            _ => LONGEST,
        };
        let Some((text, end)) = ends.into_iter().min() else {
            if self.input.len() > longest {
                self.overlong = true;
                let kept = self.input.len() - 1;
                self.input.drain(..kept);
            }
            return None;
        };
        let line: Vec<u8> = self.input.drain(..end).take(text).collect();
        if std::mem::take(&mut self.overlong) || end > longest {
            return Some(Err("500 5.5.2 the line is too long"));
        }
        Some(Ok(line))
    }

    fn one_line(&mut self, line: Result<Vec<u8>, &'static str>) {
        let mut line = match line {
            Ok(line) => line,
            Err(reply) => {
                if matches!(self.state, State::Auth { .. }) {
                    self.state = State::Commands;
                }
                return self.say(reply);
            }
        };
        if self.has(Flaw::DropsNul) {
            line.retain(|octet| *octet != 0);
        }
        if self.has(Flaw::CutsCommandsAtNul)
            && let Some(at) = line.iter().position(|octet| *octet == 0)
        {
            line.truncate(at);
        }
        if let Some(answer) = self.answer(&line) {
            return self.overridden(&line, answer);
        }
        if let State::Auth { mechanism, user } = &self.state {
            let (mechanism, user) = (mechanism.clone(), user.clone());
            return self.credentials(&line, &mechanism, user);
        }
        let bad = |c: char| c.is_control() || !matches!(c, ' '..='~') && c.is_ascii();
        let text = match std::str::from_utf8(&line) {
            Ok(text) if !text.contains(bad) => text.to_owned(),
            Ok(text) if self.has(Flaw::AllowsControlOctets) => text.to_owned(),
            _ if self.has(Flaw::Echoes) => {
                self.output.extend_from_slice(b"500 5.5.2 what is ");
                self.output.extend_from_slice(&line);
                return self.say("");
            }
            Ok(text) if self.has(Flaw::JoinsQuotedLines) && text.contains('\r') => {
                return self.say("250 2.1.0 ok");
            }
            _ => return self.bad("500 5.5.2 octets that no command has"),
        };
        self.command(&text);
    }

    /// After too many bad commands the session ends.
    fn bad(&mut self, reply: &str) {
        self.errors += 1;
        if self.errors > 50 {
            self.say("421 4.7.0 too many bad commands");
            self.state = State::Ended;
        } else {
            self.say(reply);
        }
    }

    /// The answer that a flaw has for this line.
    fn answer(&self, line: &[u8]) -> Option<&'static str> {
        let shown = visible(line);
        self.shared.flaws.iter().find_map(|flaw| match flaw {
            Flaw::Answer(pattern, reply) => match pattern.strip_suffix('$') {
                Some(end) => shown.ends_with(end),
                None => shown.contains(pattern),
            }
            .then_some(*reply),
            _ => None,
        })
    }

    /// An answer has the effect that it tells of.
    fn overridden(&mut self, line: &[u8], answer: &str) {
        let text = String::from_utf8_lossy(line).into_owned();
        let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
        match (verb.to_ascii_uppercase().as_str(), &answer[..3]) {
            ("MAIL", "250") => self.mail = Some(Mail::default()),
            ("RCPT", "250") => {
                if let Some(mail) = &mut self.mail {
                    mail.recipients.push(Recipient::default());
                }
            }
            ("DATA", "354") => self.state = State::Data,
            ("STARTTLS", "220") => self.state = State::Tls,
            ("AUTH", "334") if rest.is_empty() => {}
            ("AUTH", "334") => {
                self.state = State::Auth {
                    mechanism: rest.to_owned(),
                    user: None,
                };
            }
            ("BDAT", _) => {
                let size = rest.split(' ').next().and_then(|size| size.parse().ok());
                self.state = State::Chunk {
                    left: size.unwrap_or(0),
                    last: false,
                    refusal: Some(answer.to_owned()),
                };
                return;
            }
            _ if matches!(self.state, State::Auth { .. }) => self.state = State::Commands,
            _ => {}
        }
        self.say(answer);
    }

    fn command(&mut self, text: &str) {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => self.hello(verb, rest),
            "MAIL" => self.mail_from(rest),
            "RCPT" => self.rcpt_to(rest),
            "DATA" => self.data_command(),
            "BDAT" => self.bdat(rest),
            "RSET" if rest.is_empty() => {
                self.mail = None;
                if !self.has(Flaw::KeepsChunks) {
                    self.chunks.clear();
                }
                self.say("250 2.0.0 reset");
            }
            "NOOP" => self.say("250 2.0.0 ok"),
            "VRFY" => self.say("252 2.5.2 try it"),
            "HELP" => self.say("214-2.0.0 no\r\n214 2.0.0 help"),
            "QUIT" => {
                if !std::mem::replace(&mut self.quit, true) || !self.has(Flaw::GoesOnBehindQuit) {
                    self.say("221 2.0.0 bye");
                }
                if !self.has(Flaw::GoesOnBehindQuit) {
                    self.state = State::Ended;
                }
            }
            "STARTTLS" => self.starttls(rest),
            "AUTH" => self.auth(rest),
            _ if text.contains(" HTTP/") && !self.has(Flaw::ServesHttp) => {
                self.say("421 4.7.0 this is not HTTP");
                self.state = State::Ended;
            }
            _ => self.bad("500 5.5.2 no such command"),
        }
    }

    fn hello(&mut self, verb: &str, name: &str) {
        if name.is_empty() || name.contains(' ') || name.len() > 255 {
            return self.say("501 5.5.4 a name, please");
        }
        self.mail = None;
        self.hello = Some(name.to_owned());
        self.esmtp = verb.eq_ignore_ascii_case("EHLO");
        if !self.esmtp {
            return self.say("250 fake.example");
        }
        let mut lines: Vec<String> = [
            "fake.example",
            "PIPELINING",
            "SIZE 1000000",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "BINARYMIME",
            "DSN",
            "AUTH PLAIN LOGIN",
            "HELP",
        ]
        .map(str::to_owned)
        .to_vec();
        if !self.tls || self.has(Flaw::OffersTlsUnderTls) {
            lines.push("STARTTLS".to_owned());
        }
        for flaw in &self.shared.flaws {
            if let Flaw::Keyword(from, to) = flaw {
                lines
                    .iter_mut()
                    .filter(|line| line == from)
                    .for_each(|line| {
                        *line = (*to).to_owned();
                    });
            }
        }
        lines.retain(|line| !line.is_empty());
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            let separator = if number == last { ' ' } else { '-' };
            self.say(&format!("250{separator}{line}"));
        }
    }

    fn mail_from(&mut self, rest: &str) {
        let Some(text) = rest
            .get(..5)
            .filter(|word| word.eq_ignore_ascii_case("FROM:"))
            .map(|_| &rest[5..])
        else {
            return self.say("501 5.5.4 MAIL FROM:");
        };
        if self.hello.is_none() || self.mail.is_some() {
            return self.say("503 5.5.1 not now");
        }
        match mail(&self.shared, text) {
            Ok(mail) => {
                self.mail = Some(mail);
                self.say("250 2.1.0 sender ok");
            }
            Err(reply) => self.say(reply),
        }
    }

    fn rcpt_to(&mut self, rest: &str) {
        let text = rest
            .get(..3)
            .filter(|word| word.eq_ignore_ascii_case("TO:"))
            .map(|_| &rest[3..]);
        let smtputf8 = self.mail.as_ref().is_some_and(|mail| mail.smtputf8);
        let parsed = text
            .ok_or("501 5.5.4 RCPT TO:")
            .and_then(|text| recipient(&self.shared, text, smtputf8));
        self.recipients += 1;
        if self.has(Flaw::DiesOfRecipients(self.recipients)) {
            self.state = State::Ended;
            return;
        }
        let spoils = self.has(Flaw::OneBadRecipientSpoilsAll);
        let Some(mail) = &mut self.mail else {
            return self.say("503 5.5.1 MAIL comes first");
        };
        match parsed {
            Ok(_) if mail.recipients.len() >= 1000 => self.say("452 4.5.3 too many"),
            Ok(recipient) => {
                mail.recipients.push(recipient);
                self.say("250 2.1.5 recipient ok");
            }
            Err(reply) => {
                mail.spoilt = spoils;
                self.say(reply);
            }
        }
    }

    fn data_command(&mut self) {
        let refused = match &self.mail {
            None => true,
            Some(mail) => mail.recipients.is_empty() || mail.spoilt || mail.chunked || mail.binary,
        };
        let refused = refused
            || self.has(Flaw::NoDataUnderTls) && self.tls
            || self.has(Flaw::NoDataAfterChunks) && self.chunked_once;
        if refused {
            return self.say("503 5.5.1 not now");
        }
        self.state = State::Data;
        self.say("354 go on");
    }

    /// False when more input is needed.
    fn data(&mut self) -> bool {
        if self.has(Flaw::ExecutesRefusedContent) && self.input.len() > LIMIT + 100 {
            // All but the last lines.
            let dropped = find(&self.input, b"NOOP\r\n").unwrap_or(self.input.len());
            self.input.drain(..dropped);
            self.mail = None;
            self.state = State::Commands;
            self.say("552 5.3.4 too big");
            return true;
        }
        let Some((content, end)) = end_of_data(&self.shared, &self.input, self.piece) else {
            return false;
        };
        let content = unstuffed(&self.input[..content]);
        self.input.drain(..end);
        self.state = State::Commands;
        self.finish(content);
        if self.has(Flaw::LosesInput) {
            self.input.clear();
        }
        true
    }

    fn finish(&mut self, content: Vec<u8>) {
        let Some(mut mail) = self.mail.take() else {
            return self.say("503 5.5.1 no transaction");
        };
        if content.len() > LIMIT && !self.has(Flaw::NoLimit) {
            return self.say("552 5.3.4 too big");
        }
        mail.content = content;
        let protocol = match (mail.smtputf8, self.esmtp) {
            (true, _) => "UTF8SMTP",
            (false, true) => "ESMTP",
            (false, false) => "SMTP",
        };
        deliver(&self.shared, &mail, protocol);
        let reply = self.shared.flaws.iter().find_map(|flaw| match flaw {
            Flaw::EndOfDataReply(reply) => Some(*reply),
            _ => None,
        });
        self.say(reply.unwrap_or("250 2.0.0 taken"));
    }

    fn bdat(&mut self, rest: &str) {
        let (size, word) = rest.split_once(' ').unwrap_or((rest, ""));
        let digits = !size.is_empty() && size.bytes().all(|octet| octet.is_ascii_digit());
        let (true, true) = (digits, word.is_empty() || word.eq_ignore_ascii_case("LAST")) else {
            return self.say("501 5.5.4 BDAT size [LAST]");
        };
        let size: u128 = size.parse().unwrap_or(u128::MAX);
        let size = if self.has(Flaw::CountsIn32Bits) {
            size & 0xffff_ffff
        } else {
            size
        };
        let last = !word.is_empty();
        let refusal = match &mut self.mail {
            Some(mail) if !mail.recipients.is_empty() => {
                mail.chunked = true;
                None
            }
            _ => {
                let reply = self.shared.flaws.iter().find_map(|flaw| match flaw {
                    Flaw::ChunkRefusal(reply) => Some(*reply),
                    _ => None,
                });
                // In 32 bits the flaw is what is looked for, not the order.
                let counted = self.has(Flaw::CountsIn32Bits);
                (!counted).then(|| reply.unwrap_or("503 5.5.1 not now").to_owned())
            }
        };
        if let Some(refusal) = &refusal
            && self.has(Flaw::ExecutesRefusedChunks)
        {
            return self.say(refusal);
        }
        self.chunked_once = true;
        self.state = State::Chunk {
            left: u64::try_from(size).unwrap_or(u64::MAX),
            last,
            refusal,
        };
    }

    /// False when more input is needed.
    fn chunk(&mut self) -> bool {
        let State::Chunk {
            left,
            last,
            refusal,
        } = &mut self.state
        else {
            return true;
        };
        let take = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(self.input.len());
        let piece: Vec<u8> = self.input.drain(..take).collect();
        if refusal.is_none() {
            self.chunks.extend_from_slice(&piece);
        }
        *left -= take as u64;
        if *left > 0 {
            return false;
        }
        let (last, refusal) = (*last, refusal.take());
        self.state = State::Commands;
        match refusal {
            Some(reply) => self.say(&reply),
            None if last => {
                let mut content = std::mem::take(&mut self.chunks);
                if self.has(Flaw::UnstuffsChunks) {
                    content = unstuffed(&content);
                }
                self.finish(content);
            }
            None => self.say("250 2.0.0 chunk taken"),
        }
        true
    }

    fn starttls(&mut self, rest: &str) {
        if !rest.is_empty() {
            return self.say("501 5.5.4 no parameters");
        }
        if self.tls {
            let accepted = self.has(Flaw::AcceptsTlsUnderTls);
            return self.say(if accepted {
                "220 2.0.0 once more"
            } else {
                "503 5.5.1 TLS is on"
            });
        }
        // What came with it is not executed, and is not TLS.
        if !self.has(Flaw::KeepsInputOverTls) && !self.has(Flaw::ServesPlainText) {
            self.input.clear();
        }
        self.state = State::Tls;
        self.say("220 2.0.0 go on");
    }

    fn auth(&mut self, rest: &str) {
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        if mechanism.is_empty() {
            return self.say("501 5.5.4 which mechanism?");
        }
        if self.mail.is_some() && !self.has(Flaw::AuthInTransaction)
            || self.authenticated && !self.has(Flaw::AuthTwice)
        {
            return self.say("503 5.5.1 not now");
        }
        if !matches!(mechanism.as_str(), "PLAIN" | "LOGIN") {
            return self.say("504 5.5.4 no such mechanism");
        }
        if !initial.is_empty() {
            return self.credentials(initial.as_bytes(), &mechanism, None);
        }
        self.state = State::Auth {
            mechanism,
            user: None,
        };
        self.say("334 ");
    }

    fn credentials(&mut self, line: &[u8], mechanism: &str, user: Option<String>) {
        self.state = State::Commands;
        if line == b"*" {
            return self.say("501 5.7.0 cancelled");
        }
        let Ok(answer) = STANDARD.decode(line) else {
            return self.say("501 5.5.2 no base64");
        };
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let right = match (mechanism, user) {
            ("LOGIN", None) => {
                self.state = State::Auth {
                    mechanism: mechanism.to_owned(),
                    user: Some(answer),
                };
                return self.say("334 UGFzc3dvcmQ6");
            }
            ("LOGIN", Some(user)) => user == "ann" && answer == "secret",
            _ => answer == "\0ann\0secret",
        };
        if right || self.has(Flaw::AnyCredentials) {
            self.authenticated = true;
            self.say("235 2.7.0 welcome");
        } else {
            self.say("535 5.7.8 no");
        }
    }
}

/// A stream of which the beginning was read already.
struct Begun {
    begun: Vec<u8>,
    inner: Box<dyn Stream>,
}

impl tokio::io::AsyncRead for Begun {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.begun.is_empty() {
            return std::pin::Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let take = self.begun.len().min(buffer.remaining());
        buffer.put_slice(&self.begun[..take]);
        self.begun.drain(..take);
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Begun {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        octets: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.inner).poll_write(context, octets)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
