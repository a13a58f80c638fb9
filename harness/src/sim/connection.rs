//! One simulated connection: two ends, two pipes, and what the fate of one end means for the other.
//!
//! Comes in: what the ends do and what happens to their hosts. Goes out: octets, ends of stream and resets
//! in the pipes, and [`Ended`] for the tap. Called by [`super::network`] and [`super::stream`], under the
//! network's lock.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::ReadBuf, time::Instant};

use super::{
    network::{SharedTap, tapped},
    pipe::{Pipe, Wakes},
};
use crate::{tap::Direction, toxics::Stream};

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Who opened it.
    Client,
    /// Who accepted it.
    Server,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Where the octets go that this side writes.
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::Client => Direction::ToServer,
            Self::Server => Direction::ToClient,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What became of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// A process holds it.
    Open,
    /// The process has let it go; its kernel answers what still comes with a reset.
    Closed,
    /// Its process has crashed, and the other side was sent a reset.
    ProcessGone,
    /// Its host is without power.
    HostGone,
    /// Its host came back and does not know it.
    Unknown,
}

/// What a tap has to be told when the network's lock is let go.
#[must_use]
pub(super) struct Ended {
    tap: SharedTap,
    by: &'static str,
    reset: bool,
}

impl Ended {
    pub(super) fn tell(self) {
        tapped(&self.tap, |tap| tap.closed(self.by, self.reset)).after();
    }
}

/// A connection.
pub(super) struct Connection {
    /// `from>to`
    pub(super) link: String,
    pub(super) tap: SharedTap,
    /// Added to every latency.
    pub(super) delay: Duration,
    latency: Duration,
    client: End,
    server: End,
    /// Who sent the first end of stream.
    first_to_finish: Option<Side>,
}

struct End {
    host: String,
    life: Life,
    /// What this end writes.
    out: Pipe,
}

impl Connection {
    pub(super) fn new(
        link: &str,
        from: &str,
        to: &str,
        latency: Duration,
        tap: SharedTap,
        now: Instant,
    ) -> Self {
        let end = |host: &str| End {
            host: host.to_owned(),
            life: Life::Open,
            out: Pipe::new(now),
        };
        Self {
            link: link.to_owned(),
            tap,
            delay: Duration::ZERO,
            latency,
            client: end(from),
            server: end(to),
            first_to_finish: None,
        }
    }

    /// The host that opened it.
    pub(super) fn from(&self) -> &str {
        &self.client.host
    }

    /// This side is on that host.
    pub(super) fn is_at(&self, side: Side, host: &str) -> bool {
        self.end(side).host == host
    }

    /// A process holds this side.
    pub(super) fn is_held(&self, side: Side) -> bool {
        self.end(side).life == Life::Open
    }

    /// Nobody holds either side.
    pub(super) fn is_over(&self) -> bool {
        !self.is_held(Side::Client) && !self.is_held(Side::Server)
    }

    /// Reads what has arrived at this side.
    pub(super) fn read(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        wakes: &mut Wakes,
    ) -> Poll<io::Result<()>> {
        let incoming = &mut self.end_mut(side.other()).out;
        incoming.read(cx, buf, Instant::now(), wakes)
    }

    /// How much may be written now. [`Poll::Pending`] keeps the waker.
    ///
    /// # Errors
    /// After a reset has arrived, or after this side has finished.
    pub(super) fn poll_room(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let incoming = &self.end(side.other()).out;
        if incoming.was_reset(Instant::now()) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let out = &mut self.end_mut(side).out;
        match out.room() {
            _ if out.is_finished() => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            0 => {
                out.wait_for_room(cx.waker());
                Poll::Pending
            }
            room => Poll::Ready(Ok(room)),
        }
    }

    /// When a reset that is under way reaches this side.
    pub(super) fn reset_arrival(&self, side: Side) -> Option<Instant> {
        self.end(side.other()).out.reset_arrival()
    }

    /// Octets leave this side, and are held up for so long on their way.
    pub(super) fn write(
        &mut self,
        side: Side,
        octets: &[u8],
        held_up: Duration,
        wakes: &mut Wakes,
    ) {
        let now = Instant::now();
        let arrival = now + self.one_way() + held_up;
        match self.end(side.other()).life {
            Life::Closed | Life::Unknown => self.answer_with_reset(side, now, wakes),
            Life::HostGone => {
                let out = &mut self.end_mut(side).out;
                out.unanswered = true;
                out.send(octets, arrival, now, wakes);
            }
            Life::Open | Life::ProcessGone => {
                self.end_mut(side).out.send(octets, arrival, now, wakes);
            }
        }
    }

    /// This side sends its end of stream.
    pub(super) fn finish(&mut self, side: Side, wakes: &mut Wakes) -> Option<Ended> {
        let now = Instant::now();
        let arrival = now + self.one_way();
        self.end_mut(side).out.finish(arrival, now, wakes);
        match self.first_to_finish {
            None => {
                self.first_to_finish = Some(side);
                None
            }
            Some(first) => (first != side).then(|| self.ended(first, false)),
        }
    }

    /// The process lets go of this side.
    pub(super) fn close(&mut self, side: Side, wakes: &mut Wakes) -> Option<Ended> {
        let mut ended = self.finish(side, wakes);
        self.end_mut(side).life = Life::Closed;
        if !self.is_held(side.other()) {
            ended = Some(self.ended(self.first_to_finish.unwrap_or(side), false));
        }
        // RFC 9293 §3.10.7.1: what comes for a connection that nobody holds is answered by a reset.
        if self.end_mut(side.other()).out.abandon() {
            self.answer_with_reset(side.other(), Instant::now(), wakes);
        }
        ended
    }

    /// The process at this side has ended.
    pub(super) fn process_gone(
        &mut self,
        side: Side,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Option<Ended> {
        let arrival = now + self.one_way();
        let end = self.end_mut(side);
        if end.life != Life::Open {
            return None;
        }
        end.life = Life::ProcessGone;
        end.out.reset(arrival, now, wakes);
        end.out.cut();
        let peer = self.end_mut(side.other());
        peer.out.abandon();
        peer.out.cut();
        wakes.extend(peer.out.take_writer());
        Some(self.ended(side, true))
    }

    /// The host of this side has lost power: what it has sent arrives, what is sent to it does not.
    pub(super) fn host_gone(&mut self, side: Side, now: Instant) {
        let end = self.end_mut(side);
        if !matches!(end.life, Life::Open | Life::Closed) {
            return;
        }
        end.life = Life::HostGone;
        end.out.cut();
        let peer = self.end_mut(side.other());
        peer.out.vanish(now);
        peer.out.abandon();
    }

    /// A host has power again. Octets that were sent to it in the meantime are sent once more, and answered.
    pub(super) fn host_back(
        &mut self,
        host: &str,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Option<Ended> {
        let mut ended = None;
        for side in [Side::Client, Side::Server] {
            let end = self.end_mut(side);
            if end.life != Life::HostGone || end.host != host {
                continue;
            }
            end.life = Life::Unknown;
            let peer = self.end_mut(side.other());
            if std::mem::take(&mut peer.out.unanswered) {
                self.answer_with_reset(side.other(), now, wakes);
                ended = Some(self.ended(side, true));
            }
        }
        ended
    }

    /// The tap resets both ends.
    pub(super) fn reset_by_tap(&mut self, now: Instant, wakes: &mut Wakes) -> Option<Ended> {
        let arrival = now + self.one_way();
        for end in [&mut self.client, &mut self.server] {
            end.out.reset(arrival, now, wakes);
            end.out.cut();
            wakes.extend(end.out.take_writer());
        }
        let (tap, by) = (self.tap.clone(), "tap");
        let reset = true;
        Some(Ended { tap, by, reset })
    }

    /// What is under way in this direction, or in both, is lost, and so is what is sent later: it never recovers.
    pub(super) fn vanish(&mut self, stream: Option<Stream>, now: Instant) {
        if stream != Some(Stream::Downstream) {
            self.client.out.vanish(now);
        }
        if stream != Some(Stream::Upstream) {
            self.server.out.vanish(now);
        }
    }

    /// Holds back what a partition cuts, and lets go what none cuts any more.
    pub(super) fn apply_cuts(
        &mut self,
        is_cut: impl Fn(&str, &str) -> bool,
        now: Instant,
        wakes: &mut Wakes,
    ) {
        let latency = self.one_way();
        for side in [Side::Client, Side::Server] {
            let cut = is_cut(&self.end(side).host, &self.end(side.other()).host);
            let out = &mut self.end_mut(side).out;
            if cut {
                out.block(now);
                continue;
            }
            if out.is_blocked() {
                out.unblock(now, latency, wakes);
                // Its writer may wait for a reset that was held back.
                wakes.extend(self.end_mut(side.other()).out.take_writer());
            }
            let hears = matches!(self.end(side.other()).life, Life::Closed | Life::Unknown);
            if hears && std::mem::take(&mut self.end_mut(side).out.unanswered) {
                self.answer_with_reset(side, now, wakes);
            }
        }
    }

    /// What `side` has sent reaches a host that does not know the connection (any more).
    fn answer_with_reset(&mut self, side: Side, now: Instant, wakes: &mut Wakes) {
        let arrival = now + 2 * self.one_way();
        let out = &mut self.end_mut(side).out;
        if out.is_blocked() {
            out.unanswered = true;
            return;
        }
        wakes.extend(out.take_writer());
        let other = &mut self.end_mut(side.other()).out;
        other.reset(arrival, now, wakes);
    }

    fn ended(&self, by: Side, reset: bool) -> Ended {
        Ended {
            tap: self.tap.clone(),
            by: by.name(),
            reset,
        }
    }

    fn one_way(&self) -> Duration {
        self.latency + self.delay
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}
