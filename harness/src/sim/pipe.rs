//! One direction of a simulated connection: octets on their way, and those that wait to be read.
//!
//! Comes in: octets with the time at which they will arrive. Goes out: octets that have arrived, end of
//! stream, or a reset. The pipe knows neither hosts nor links; [`super::network`] tells it what happens to
//! them. Wakers are handed to the caller, who wakes them when no lock is held.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::ReadBuf,
    time::{Instant, Sleep},
};

/// Octets that may be under way or unread before the writer has to wait.
pub(crate) const WINDOW: usize = 256 * 1024;

/// Wakers to be woken when no lock is held.
pub(crate) type Wakes = Vec<Waker>;

/// One direction of a connection.
pub(crate) struct Pipe {
    chunks: VecDeque<Chunk>,
    /// Octets that count against the window.
    unread: usize,
    fin: Option<Instant>,
    reset: Option<Instant>,
    /// Nothing overtakes: what is sent later does not arrive before this.
    last_arrival: Instant,
    /// What arrives after this moment is held back until the path is healed.
    blocked_since: Option<Instant>,
    /// The way eats all that is sent from now on, resets as well.
    lost: bool,
    /// Its writer is gone: what it writes from now on vanishes. Its kernel may still send a reset.
    cut: bool,
    /// Something was sent that nobody has acknowledged: it will be sent again when the other side can hear.
    pub(crate) unanswered: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Chunk {
    arrival: Instant,
    octets: Vec<u8>,
    read: usize,
}

impl Pipe {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            chunks: VecDeque::new(),
            unread: 0,
            fin: None,
            reset: None,
            last_arrival: now,
            blocked_since: None,
            lost: false,
            cut: false,
            unanswered: false,
            reader: None,
            writer: None,
            timer: None,
        }
    }

    /// Room for octets; 0 when the writer must wait.
    pub(crate) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.unread)
    }

    /// Whoever waits for room is woken by [`Self::read`].
    pub(crate) fn wait_for_room(&mut self, waker: &Waker) {
        self.writer = Some(waker.clone());
    }

    /// The end of stream was sent.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin.is_some()
    }

    /// Octets are held back at this moment.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// Sends octets.
    pub(crate) fn send(
        &mut self,
        octets: &[u8],
        arrival: Instant,
        now: Instant,
        wakes: &mut Wakes,
    ) {
        self.unread += octets.len();
        if self.lost || self.cut {
            return;
        }
        let arrival = self.in_order(arrival);
        match self.chunks.back_mut() {
            Some(last) if last.arrival == arrival => last.octets.extend_from_slice(octets),
            _ => self.chunks.push_back(Chunk {
                arrival,
                octets: octets.to_vec(),
                read: 0,
            }),
        }
        self.arm(now, wakes);
    }

    /// Sends the end of stream.
    pub(crate) fn finish(&mut self, arrival: Instant, now: Instant, wakes: &mut Wakes) {
        if self.lost || self.cut || self.fin.is_some() {
            return;
        }
        self.fin = Some(self.in_order(arrival));
        self.arm(now, wakes);
    }

    /// Sends a reset. Octets that are under way arrive first.
    pub(crate) fn reset(&mut self, arrival: Instant, now: Instant, wakes: &mut Wakes) {
        if self.lost || self.reset.is_some() {
            return;
        }
        self.reset = Some(self.in_order(arrival));
        self.arm(now, wakes);
    }

    /// What is under way vanishes, and all that is sent from now on.
    pub(crate) fn vanish(&mut self, now: Instant) {
        let arrives_after = |at: &Instant| !self.has_arrived(*at, now);
        let kept = self
            .chunks
            .iter()
            .take_while(|c| !arrives_after(&c.arrival))
            .count();
        let fin = self.fin.filter(|at| !arrives_after(at));
        let reset = self.reset.filter(|at| !arrives_after(at));
        self.unanswered |= kept < self.chunks.len();
        self.chunks.truncate(kept);
        (self.fin, self.reset) = (fin, reset);
        self.lost = true;
    }

    /// What is written from now on vanishes; what is under way arrives.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
    }

    /// Nobody will read any more. Returns whether octets were unread.
    pub(crate) fn abandon(&mut self) -> bool {
        let unread = !self.chunks.is_empty();
        self.chunks.clear();
        self.reader = None;
        self.timer = None;
        unread
    }

    /// The path is cut: what arrives after `now` is held back.
    pub(crate) fn block(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
    }

    /// The path is whole again: what was held back is sent once more, and takes `latency`.
    pub(crate) fn unblock(&mut self, now: Instant, latency: Duration, wakes: &mut Wakes) {
        let Some(since) = self.blocked_since.take() else {
            return;
        };
        let again = now + latency;
        let mut last = since;
        let mut resend = |at: &mut Instant| {
            if *at > since {
                if *at <= now {
                    *at = again;
                }
                *at = last.max(*at);
            }
            last = last.max(*at);
        };
        self.chunks.iter_mut().for_each(|c| resend(&mut c.arrival));
        self.fin.iter_mut().for_each(&mut resend);
        self.reset.iter_mut().for_each(&mut resend);
        self.last_arrival = self.last_arrival.max(last);
        wakes.extend(self.writer.take());
        self.arm(now, wakes);
    }

    /// Reads what has arrived. A reader that has to wait is woken at the moment of arrival, and not before.
    pub(crate) fn read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.remaining();
        while let Some(chunk) = self.chunks.front_mut() {
            let arrived =
                chunk.arrival <= now && self.blocked_since.is_none_or(|b| chunk.arrival <= b);
            if !arrived || buf.remaining() == 0 {
                break;
            }
            let piece = &chunk.octets[chunk.read..];
            let piece = &piece[..piece.len().min(buf.remaining())];
            buf.put_slice(piece);
            chunk.read += piece.len();
            if chunk.read == chunk.octets.len() {
                self.chunks.pop_front();
            }
        }
        let read = before - buf.remaining();
        if read > 0 {
            self.unread = self.unread.saturating_sub(read);
            wakes.extend(self.writer.take());
            return Poll::Ready(Ok(()));
        }
        if self.chunks.is_empty() {
            if self.fin.is_some_and(|at| self.has_arrived(at, now)) {
                return Poll::Ready(Ok(()));
            }
            if self.was_reset(now) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        self.reader = Some(cx.waker().clone());
        self.arm(now, wakes);
        Poll::Pending
    }

    /// A reset has arrived.
    pub(crate) fn was_reset(&self, now: Instant) -> bool {
        self.reset.is_some_and(|at| self.has_arrived(at, now))
    }

    /// A reset is under way and not held back: when it will arrive.
    pub(crate) fn reset_arrival(&self) -> Option<Instant> {
        self.reset.filter(|_| self.blocked_since.is_none())
    }

    /// The waker of the one who waits for room.
    pub(crate) fn take_writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    fn in_order(&mut self, arrival: Instant) -> Instant {
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_arrival
    }

    fn has_arrived(&self, at: Instant, now: Instant) -> bool {
        at <= now && self.blocked_since.is_none_or(|since| at <= since)
    }

    /// Sees to it that the reader is woken when the next thing arrives.
    fn arm(&mut self, now: Instant, wakes: &mut Wakes) {
        let Some(reader) = &self.reader else { return };
        let end = self.fin.into_iter().chain(self.reset).min();
        let Some(at) = self.chunks.front().map(|c| c.arrival).or(end) else {
            return;
        };
        let mut awake = self.has_arrived(at, now);
        if !awake && self.blocked_since.is_none() {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            let mut cx = Context::from_waker(reader);
            awake = timer.as_mut().poll(&mut cx).is_ready();
        }
        if awake {
            wakes.extend(self.reader.take());
        }
    }
}
