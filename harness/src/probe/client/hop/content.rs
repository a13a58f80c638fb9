//! The next hop's content: DATA with its dots, and chunks.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    super::{
        manners::{Stage, say},
        seen::{Command, End, Event},
    },
    Gone, Hop,
};
use crate::{probe::connection::Stream, workload::dialogue::unstuff};

impl Hop {
    pub(super) async fn data(&mut self) -> Result<(), Gone> {
        let Some(open) = self.open.as_ref() else {
            return self.reply(&say("503 5.5.1 not now")).await;
        };
        let taken = open.taken;
        let act = self.scripted(Stage::Data);
        match act {
            Some(act) if act.code() != 354 => {
                // 2yz to DATA is nonsense: the transaction goes on, without content.
                return self.answer(Stage::Data, act).await;
            }
            Some(act) => self.act(&act).await?,
            None if taken == 0 => return self.reply(&say("554 5.5.1 no recipients")).await,
            None => self.reply(&say("354 go on")).await?,
        }
        let early = self.early;
        if let Some(open) = self.open.as_mut() {
            open.early_content = early;
        }
        self.content().await
    }

    /// Content until its end, or until the script has enough of it.
    async fn content(&mut self) -> Result<(), Gone> {
        let within = self.open.as_ref().and_then(|open| {
            let within = open.script.within_content();
            within.map(|(octets, act)| (octets, act.clone()))
        });
        loop {
            let end = end_of_data(&self.input);
            if let Some((octets, act)) = &within
                && end.unwrap_or(self.input.len()) >= *octets
            {
                self.keep(end.unwrap_or(self.input.len()));
                return self.act(act).await;
            }
            if let Some(end) = end {
                self.keep(end);
                break;
            }
            if let Err(gone) = self.read().await {
                self.keep(self.input.len());
                return Err(gone);
            }
        }
        self.early = false;
        let limit = self.log.manners.size(self.tls);
        let Some(open) = self.open.as_mut() else {
            return Ok(());
        };
        let content = unstuffed(&open.wire);
        let octets = u64::try_from(content.len()).unwrap_or(u64::MAX);
        open.content = Some(content);
        self.end(limit.is_some_and(|limit| octets > limit)).await
    }

    /// These octets are content.
    fn keep(&mut self, octets: usize) {
        if let Some(open) = self.open.as_mut() {
            open.wire.extend(self.input.drain(..octets));
            self.log.add(Event::Content(octets));
        }
    }

    async fn end(&mut self, too_big: bool) -> Result<(), Gone> {
        if let Some(act) = self.scripted(Stage::End) {
            let code = act.code();
            self.answer(Stage::End, act).await?;
            if code / 100 == 2 {
                self.finish(End::Accepted);
            }
            return Ok(());
        }
        if too_big {
            return self.answer(Stage::End, say("552 5.3.4 too big")).await;
        }
        let nobody = self.open.as_ref().is_some_and(|open| open.taken == 0);
        if nobody {
            return self
                .answer(Stage::End, say("554 5.5.1 no recipients"))
                .await;
        }
        self.reply(&say("250 2.0.0 taken")).await?;
        self.finish(End::Accepted);
        Ok(())
    }

    /// RFC 3030 §2: the octets of a chunk follow its command, whatever that is answered with.
    pub(super) async fn bdat(&mut self, command: &Command) -> Result<(), Gone> {
        let argument = command.argument();
        let mut words = argument.split_ascii_whitespace();
        let size: Option<u64> = words.next().and_then(|size| size.parse().ok());
        let last = words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let Some(size) = size.filter(|size| *size < 100_000_000) else {
            return self.reply(&say("501 5.5.4 no size")).await;
        };
        // The bound above keeps it within any usize.
        let octets = usize::try_from(size).unwrap_or(usize::MAX);
        while self.input.len() < octets {
            if let Err(gone) = self.read().await {
                self.keep(self.input.len());
                return Err(gone);
            }
        }
        let refused = self.open.as_ref().is_none_or(|open| open.taken == 0);
        if self.open.is_none() {
            self.input.drain(..octets);
            self.log.add(Event::Content(octets));
        } else {
            self.keep(octets);
        }
        if let Some(open) = self.open.as_mut() {
            open.chunks.push((size, last));
        }
        if refused {
            return self.reply(&say("503 5.5.1 no recipients")).await;
        }
        if !last {
            return match self.scripted(Stage::Data) {
                Some(act) => self.answer(Stage::Data, act).await,
                None => self.reply(&say("250 2.0.0 go on")).await,
            };
        }
        if let Some(open) = self.open.as_mut() {
            open.content = Some(open.wire.clone());
        }
        self.end(false).await
    }
}

/// Where the content ends, the end of data with it: CRLF.CRLF only (RFC 5321 §4.1.1.4).
fn end_of_data(input: &[u8]) -> Option<usize> {
    if input.starts_with(b".\r\n") {
        return Some(3);
    }
    memchr::memmem::find(input, b"\r\n.\r\n").map(|at| at + 5)
}

/// The content without its end and without the dots that were added (RFC 5321 §4.5.2).
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    unstuff(wire.strip_suffix(b".\r\n").unwrap_or(wire))
}

/// A stream some octets of which were read already.
pub(super) struct Begun {
    pub(super) begun: Vec<u8>,
    pub(super) inner: Box<dyn Stream>,
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.begun.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let octets = self.begun.len().min(buffer.remaining());
        buffer.put_slice(&self.begun[..octets]);
        self.begun.drain(..octets);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, octets)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_with_crlf_dot_crlf_only() {
        assert_eq!(end_of_data(b".\r\nQUIT"), Some(3));
        assert_eq!(end_of_data(b"a\r\n.\r\nQUIT"), Some(6));
        for none in [
            &b"a\n.\n"[..],
            b"a\r\n.\n",
            b"a\n.\r\n",
            b"a\r\n..\r\n",
            b"a\r\n.\r",
        ] {
            assert_eq!(end_of_data(none), None, "{none:?}");
        }
    }

    #[test]
    fn dots_are_taken_away_where_a_line_begins() {
        assert_eq!(
            unstuffed(b"..a\r\n...\r\nb.\r\n.\r\n"),
            b".a\r\n..\r\nb.\r\n"
        );
        assert_eq!(unstuffed(b".\r\n"), b"");
        assert_eq!(unstuffed(b"a\n..b\r\n.\r\n"), b"a\n..b\r\n");
    }
}
