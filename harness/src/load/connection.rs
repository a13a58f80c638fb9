//! One connection of a load: a socket with buffers that are used again and again.
//!
//! Comes in: octets to write, from several places. Goes out: replies. Called by [`session`](super::session). The scenarios'
//! [client](crate::workload::client) asks for one reply after the other and may break off anywhere; this one is made to be fast, and
//! shares its [reader of replies](ReplyReader).

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    history::Reply,
    workload::{client::Broken, dialogue::ReplyReader},
};

/// A connection, and what is known to have come on it.
pub(super) struct Connection {
    stream: TcpStream,
    replies: ReplyReader,
    input: Box<[u8; 4096]>,
    limits: Limits,
}

/// What ends a wait: patience, or the end of the load.
struct Limits {
    patience: Duration,
    /// When the present wait is too long. Set at every wait, at no cost.
    deadline: Instant,
    /// Fires at some deadline before; looks then whether there is a later one.
    timer: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// Opens one. No wait on it is longer than `patience`, or goes beyond `stop`.
    pub(super) async fn open(
        target: SocketAddr,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Result<Self, Broken> {
        let deadline = Instant::now() + patience;
        let mut limits = Limits {
            patience,
            deadline,
            timer: Box::pin(sleep_until(deadline.into())),
            stopped: Box::pin(stop.clone().cancelled_owned()),
        };
        let mut connecting = Box::pin(TcpStream::connect(target));
        let stream = poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(stream) => Poll::Ready(stream.map_err(Broken::from)),
            Poll::Pending => limits.poll(cx, "connection").map(Err),
        })
        .await?;
        // Commands are small, and wait for replies.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            replies: ReplyReader::default(),
            input: Box::new([0; 4096]),
            limits,
        })
    }

    /// Waits for no reply longer than this from now on.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.limits.patience = patience;
    }

    /// Writes all the pieces.
    pub(super) async fn write(&mut self, mut pieces: &mut [IoSlice<'_>]) -> Result<(), Broken> {
        self.limits.begin();
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            let Self { stream, limits, .. } = self;
            let written =
                poll_fn(
                    |cx| match Pin::new(&mut *stream).poll_write_vectored(cx, pieces) {
                        Poll::Ready(written) => Poll::Ready(written.map_err(Broken::from)),
                        Poll::Pending => limits.poll(cx, "room to write").map(Err),
                    },
                )
                .await?;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            limits.begin();
            IoSlice::advance_slices(&mut pieces, written);
        }
        Ok(())
    }

    /// Writes a line that has its CRLF.
    pub(super) async fn write_one(&mut self, octets: &[u8]) -> Result<(), Broken> {
        self.write(&mut [IoSlice::new(octets)]).await
    }

    /// The next reply.
    pub(super) async fn reply(&mut self) -> Result<Reply, Broken> {
        self.limits.begin();
        loop {
            let next = self.replies.next_reply();
            if let Some(reply) = next.map_err(|e| Broken::Nonsense(e.to_string()))? {
                return Ok(reply);
            }
            let Self {
                stream,
                replies,
                input,
                limits,
            } = self;
            let mut buffer = ReadBuf::new(&mut input[..]);
            poll_fn(
                |cx| match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(read) => Poll::Ready(read.map_err(Broken::from)),
                    Poll::Pending => limits.poll(cx, "reply").map(Err),
                },
            )
            .await?;
            match buffer.filled() {
                [] => return Err(Broken::Closed),
                octets => replies.feed(octets),
            }
        }
    }
}

impl Limits {
    fn begin(&mut self) {
        self.deadline = Instant::now() + self.patience;
    }

    fn poll(&mut self, cx: &mut Context<'_>, what: &'static str) -> Poll<Broken> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Broken::Io("the load was ended".into()));
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                let patience = self.patience;
                return Poll::Ready(Broken::TimedOut { what, patience });
            }
            self.timer.as_mut().reset(self.deadline.into());
        }
        Poll::Pending
    }
}
