//! The test's server: a session to its next hop, with replies as it reads them.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Flaw, Shared};
use crate::probe::connection::Stream;

/// The connection is lost.
pub(super) struct Lost;

/// A session to the next hop.
pub(super) struct Session<'a> {
    pub(super) shared: &'a Shared,
    io: Option<Box<dyn Stream>>,
    input: Vec<u8>,
    pub(super) offers: Vec<String>,
    /// A code of 421 was read.
    pub(super) closing: bool,
}

/// No reply takes longer in a test.
const PATIENCE: Duration = Duration::from_secs(20);

const KNOWN: [u16; 22] = [
    220, 221, 250, 251, 252, 354, 421, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504, 550, 551,
    552, 553, 554,
];

impl<'a> Session<'a> {
    pub(super) async fn open(shared: &'a Shared) -> Result<Self, Lost> {
        let next_hop = shared.next_hop.get().ok_or(Lost)?;
        let stream = TcpStream::connect(next_hop).await.map_err(|_| Lost)?;
        stream.set_nodelay(true).map_err(|_| Lost)?;
        Ok(Self {
            shared,
            io: Some(Box::new(stream)),
            input: Vec::new(),
            offers: Vec::new(),
            closing: false,
        })
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.shared.has(flaw)
    }

    pub(super) async fn say(&mut self, octets: &[u8]) -> Result<(), Lost> {
        let io = self.io.as_mut().ok_or(Lost)?;
        io.write_all(octets).await.map_err(|_| Lost)?;
        io.flush().await.map_err(|_| Lost)
    }

    /// A command line, as the flaws have it.
    pub(super) fn line(&self, command: &str) -> String {
        let mut line = format!("{command}\r\n");
        for flaw in &self.shared.flaws {
            if let Flaw::Command(from, to) = flaw {
                line = line.replace(from, to);
            }
        }
        line
    }

    pub(super) async fn ask(&mut self, command: &str) -> Result<(u16, String), Lost> {
        let line = self.line(command);
        self.say(line.as_bytes()).await?;
        self.reply().await
    }

    /// Code and text.
    pub(super) async fn reply(&mut self) -> Result<(u16, String), Lost> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = self.reply_line(&lines).await?;
            let Some(line) = line else {
                // The connection ended within a reply.
                return match lines.last().and_then(|line| code(line)) {
                    Some(code) if self.has(Flaw::HalfAReplyCounts) => Ok((code, String::new())),
                    _ => Err(Lost),
                };
            };
            let more = line.get(3..4) == Some("-");
            lines.push(line);
            let hello = lines[0].contains("hop.gauntlet.invalid") && lines[0].starts_with("250");
            if !more || (self.has(Flaw::OneLineReplies) && !hello) {
                break;
            }
        }
        let last = lines.last().cloned().unwrap_or_default();
        let mut code = code(&last).ok_or(Lost)?;
        let text = lines.join("\n");
        let words = last.get(4..).unwrap_or_default().to_owned();
        if (self.has(Flaw::NeedsText) && last.len() < 5)
            || (self.has(Flaw::ShortReplyLines) && lines.iter().any(|line| line.len() > 500))
        {
            return Err(Lost);
        }
        let first = words.split(' ').next().unwrap_or_default();
        if self.has(Flaw::ReadsText) {
            let in_text = words
                .split(' ')
                .take(2)
                .find_map(|word| word.parse::<u16>().ok());
            code = in_text
                .filter(|code| (400..600).contains(code))
                .unwrap_or(code);
        }
        if self.has(Flaw::TrustsEnhancedCodes) && first.split('.').count() == 3 {
            let class = first.as_bytes()[0] - b'0';
            if matches!(class, 4 | 5) {
                code = u16::from(class) * 100 + 50;
            }
        }
        if !KNOWN.contains(&code) {
            if self.has(Flaw::UnknownIsPermanent) {
                code = 554;
            }
            if self.has(Flaw::UnknownIsTransient) {
                code = 451;
            }
        }
        self.closing |= code == 421;
        Ok((code, text))
    }

    async fn reply_line(&mut self, before: &[String]) -> Result<Option<String>, Lost> {
        loop {
            if let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if self.has(Flaw::NeedsWholeReplies) && !self.input.is_empty() {
                return Err(Lost);
            }
            let mut octets = vec![0; 4096];
            let io = self.io.as_mut().ok_or(Lost)?;
            let read = timeout(PATIENCE, io.read(&mut octets)).await;
            match read.map_err(|_| Lost)?.map_err(|_| Lost)? {
                0 if before.is_empty() => return Err(Lost),
                0 => return Ok(None),
                read => self.input.extend_from_slice(&octets[..read]),
            }
        }
    }

    pub(super) fn offers(&self, keyword: &'static str) -> bool {
        self.has(Flaw::Assumes(keyword)) || self.offer(keyword).is_some()
    }

    fn offer(&self, keyword: &str) -> Option<&String> {
        self.offers.iter().find(|offer| {
            let word = offer.split(' ').next().unwrap_or_default();
            match self.has(Flaw::UpperCaseKeywords) {
                true => word == keyword,
                false => word.eq_ignore_ascii_case(keyword),
            }
        })
    }

    /// The limit of SIZE.
    pub(super) fn limit(&self) -> Option<usize> {
        let offer = self.offer("SIZE")?;
        for flaw in &self.shared.flaws {
            if let Flaw::LimitOfZero(of) = flaw
                && of == offer
            {
                return Some(0);
            }
        }
        let number = offer
            .split(' ')
            .nth(1)
            .and_then(|number| number.parse().ok());
        number.filter(|limit| *limit > 0 && !self.has(Flaw::NoLimit))
    }

    pub(super) async fn handshake(&mut self) -> Result<(), Lost> {
        if !self.has(Flaw::KeepsPlainText) {
            self.input.clear();
        }
        let io = self.io.take().ok_or(Lost)?;
        let stream = crate::probe::tls::handshake(io, "localhost".to_owned());
        self.io = Some(Box::new(stream.await.map_err(|_| Lost)?));
        Ok(())
    }

    pub(super) async fn close(&mut self) {
        if let Some(io) = self.io.as_mut() {
            let _ = io.shutdown().await;
        }
    }
}

fn code(line: &str) -> Option<u16> {
    let code = line.get(..3)?.parse().ok()?;
    (200..600).contains(&code).then_some(code)
}
