//! What a link does to octets: its state, and the queue of one direction. No IO.
//!
//! Comes in: the state that the runner has set, octets with the time of their arrival. Goes out: which
//! octets go on, and when. The proxy drives it with sockets. What shapes traffic further (bandwidth,
//! jitter, slicing) has its place in [`FlowState`] and [`Flow`].

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::Direction;

/// Octets that wait in one direction of one connection; beyond them the sender is slowed down, as TCP does.
const QUEUED: usize = 256 * 1024;

/// The state of a link, for all its connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkState {
    /// What happens to octets on their way to the server.
    pub to_server: FlowState,
    /// What happens to octets on their way to the client.
    pub to_client: FlowState,
    /// Every connection is refused, and open ones are reset.
    pub down: bool,
    black_hole: bool,
    /// How many black holes and resets there were; a connection compares, so that it misses none.
    black_holes: u64,
    resets: u64,
}

/// The state of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowState {
    /// Octets are held back (a partition) until this is taken back; then they go on.
    pub held: bool,
    /// Octets arrive later by this much, in their order.
    pub delay: Duration,
}

impl LinkState {
    /// While this is on, octets vanish; a connection that is open at any time of it never recovers.
    pub fn set_black_hole(&mut self, on: bool) {
        if on && !self.black_hole {
            self.black_holes += 1;
        }
        self.black_hole = on;
    }

    /// Resets every connection that is open now.
    pub fn reset(&mut self) {
        self.resets += 1;
    }

    /// Takes back partition, delay, black hole and down.
    pub fn heal(&mut self) {
        *self = Self {
            black_holes: self.black_holes,
            resets: self.resets,
            ..Self::default()
        };
    }

    /// The state of one direction.
    pub fn flow(&self, direction: Direction) -> &FlowState {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// The state of one direction, to change it.
    pub fn flow_mut(&mut self, direction: Direction) -> &mut FlowState {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// What a connection must remember that is opened now.
    pub(crate) fn born(&self) -> Born {
        // Opened into a black hole is as lost as caught by one.
        let black_holes = if self.black_hole {
            None
        } else {
            Some(self.black_holes)
        };
        Born {
            resets: self.resets,
            black_holes,
        }
    }

    /// A handshake comes through: it needs both directions.
    pub(crate) fn connects(&self) -> bool {
        !self.to_server.held && !self.to_client.held && !self.black_hole
    }
}

/// The faults that a connection has outlived: those before it was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Born {
    resets: u64,
    /// `None`: opened into a black hole.
    black_holes: Option<u64>,
}

/// What becomes of a connection by the link's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Goes,
    Reset,
    BlackHole,
}

impl Born {
    /// What becomes of the connection now.
    pub(crate) fn fate(self, state: &LinkState) -> Fate {
        if state.down || state.resets != self.resets {
            Fate::Reset
        } else if self.black_holes != Some(state.black_holes) {
            Fate::BlackHole
        } else {
            Fate::Goes
        }
    }
}

/// What travels in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parcel {
    Octets(Bytes),
    /// Nothing more comes (FIN).
    End,
    /// RST.
    Reset,
}

/// What the queue's front wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on now.
    Ready,
    /// It goes on at this time.
    At(Instant),
    /// Nothing goes on before the state changes or something comes in.
    Wait,
}

/// The octets of one direction of one connection that are under way.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    queue: VecDeque<(Instant, Parcel)>,
    octets: usize,
}

impl Flow {
    /// More octets can come in.
    pub(crate) fn has_room(&self) -> bool {
        self.octets < QUEUED
    }

    /// Takes what has arrived at `now`.
    pub(crate) fn push(&mut self, parcel: Parcel, state: &FlowState, now: Instant) {
        if let Parcel::Octets(octets) = &parcel {
            self.octets += octets.len();
        }
        // A delay that was shortened lets nothing overtake.
        let earliest = self.queue.back().map_or(now, |(due, _)| *due);
        self.queue
            .push_back(((now + state.delay).max(earliest), parcel));
    }

    /// What the front wants.
    pub(crate) fn next(&self, state: &FlowState, now: Instant) -> Next {
        match self.queue.front() {
            None => Next::Wait,
            Some(_) if state.held => Next::Wait,
            Some((due, _)) if *due <= now => Next::Ready,
            Some((due, _)) => Next::At(*due),
        }
    }

    /// Takes the front out.
    pub(crate) fn pop(&mut self) -> Option<Parcel> {
        let (_, parcel) = self.queue.pop_front()?;
        if let Parcel::Octets(octets) = &parcel {
            self.octets -= octets.len();
        }
        Some(parcel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(text: &'static str) -> Parcel {
        Parcel::Octets(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn order_is_kept_when_the_delay_shrinks() {
        let start = Instant::now();
        let slow = FlowState {
            delay: Duration::from_secs(5),
            ..FlowState::default()
        };
        let fast = FlowState::default();
        let mut flow = Flow::default();
        assert_eq!(flow.next(&fast, start), Next::Wait);
        flow.push(octets("a"), &slow, start);
        flow.push(octets("b"), &fast, start + Duration::from_secs(1));
        flow.push(Parcel::End, &fast, start + Duration::from_secs(2));
        let due = start + Duration::from_secs(5);
        assert_eq!(flow.next(&fast, start), Next::At(due));
        assert_eq!(flow.next(&fast, due), Next::Ready);
        assert_eq!(flow.pop(), Some(octets("a")));
        assert_eq!(flow.next(&fast, due), Next::Ready);
        assert_eq!(flow.pop(), Some(octets("b")));
        assert_eq!(flow.pop(), Some(Parcel::End));
        assert_eq!(flow.pop(), None);
    }

    #[test]
    fn a_partition_holds_octets_within_bounds_and_lets_them_go() {
        let now = Instant::now();
        let held = FlowState {
            held: true,
            ..FlowState::default()
        };
        let mut flow = Flow::default();
        while flow.has_room() {
            flow.push(Parcel::Octets(Bytes::from(vec![0; 16 * 1024])), &held, now);
        }
        assert_eq!(flow.octets, QUEUED);
        assert_eq!(flow.next(&held, now), Next::Wait);
        assert_eq!(flow.next(&FlowState::default(), now), Next::Ready);
        flow.pop();
        assert!(flow.has_room());
    }

    #[test]
    fn healing_forgets_no_reset() {
        let mut state = LinkState::default();
        let before = state.born();
        assert_eq!(before.fate(&state), Fate::Goes);
        state.set_black_hole(true);
        assert_eq!(before.fate(&state), Fate::BlackHole);
        let inside = state.born();
        state.reset();
        assert_eq!(before.fate(&state), Fate::Reset);
        state.down = true;
        state.to_client.held = true;
        state.heal();
        assert_eq!(
            state,
            LinkState {
                black_holes: 1,
                resets: 1,
                ..LinkState::default()
            }
        );
        assert!(state.connects());
        assert_eq!(before.fate(&state), Fate::Reset);
        assert_eq!(
            Born {
                resets: 1,
                ..inside
            }
            .fate(&state),
            Fate::BlackHole
        );
        assert_eq!(state.born().fate(&state), Fate::Goes);
    }
}
