//! What a link does to octets: its state, and the queue of one direction. No IO.
//!
//! Comes in: the state that the runner or the HTTP API has set, octets with the time of their arrival. Goes out: which
//! octets go on, and when. The proxy drives it with sockets. What shapes traffic further is a [toxic](crate::toxics).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::Direction;
use crate::toxics::{Active, Chain, Next, Parcel, Stream, ToxicList};

/// Octets that wait in one direction of one connection; beyond them the sender is slowed down, as TCP does.
const QUEUED: usize = 256 * 1024;

impl From<Direction> for Stream {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::ToServer => Self::Upstream,
            Direction::ToClient => Self::Downstream,
        }
    }
}

/// The state of a link, for all its connections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkState {
    /// What happens to octets on their way to the server.
    pub to_server: FlowState,
    /// What happens to octets on their way to the client.
    pub to_client: FlowState,
    down: bool,
    /// The toxics of both directions.
    pub toxics: ToxicList,
    /// How many resets there were; a connection compares, so that it misses none.
    resets: u64,
}

/// The state of one direction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowState {
    /// Octets are held back (a partition) until this is taken back; then they go on.
    pub held: bool,
    /// Octets arrive later by this much, in their order.
    pub delay: Duration,
    black_hole: bool,
    /// How many black holes there were.
    black_holes: u64,
}

impl FlowState {
    /// While this is on, octets vanish in this direction; a connection that is open at any time of it never recovers.
    pub fn set_black_hole(&mut self, on: bool) {
        if on && !self.black_hole {
            self.black_holes += 1;
        }
        self.black_hole = on;
    }

    fn heal(&mut self) {
        *self = Self {
            black_holes: self.black_holes,
            ..Self::default()
        };
    }
}

impl LinkState {
    /// A whole link with these toxics.
    pub fn with_toxics(toxics: ToxicList) -> Self {
        Self {
            toxics,
            ..Self::default()
        }
    }

    /// A black hole in both directions.
    pub fn set_black_hole(&mut self, on: bool) {
        self.to_server.set_black_hole(on);
        self.to_client.set_black_hole(on);
    }

    /// While this is on, every connection is refused; open ones are reset.
    pub fn set_down(&mut self, on: bool) {
        if on && !self.down {
            self.reset();
        }
        self.down = on;
    }

    /// Every connection is refused.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// Resets every connection that is open now.
    pub fn reset(&mut self) {
        self.resets += 1;
    }

    /// Takes back partition, delay, black hole, down and toxics.
    pub fn heal(&mut self) {
        self.to_server.heal();
        self.to_client.heal();
        self.down = false;
        self.toxics.clear();
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
        // Opened into a black hole, of whichever direction, is as lost as caught by one: no handshake comes through.
        let lost = self.to_server.black_hole || self.to_client.black_hole;
        let black_holes = |flow: &FlowState| (!lost).then_some(flow.black_holes);
        Born {
            resets: self.resets,
            to_server: black_holes(&self.to_server),
            to_client: black_holes(&self.to_client),
        }
    }

    /// A handshake comes through: it needs both directions.
    pub(crate) fn connects(&self) -> bool {
        let open = |flow: &FlowState| !flow.held && !flow.black_hole;
        open(&self.to_server) && open(&self.to_client)
    }
}

/// The faults that a connection has outlived: those before it was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Born {
    resets: u64,
    /// `None`: opened into a black hole.
    to_server: Option<u64>,
    to_client: Option<u64>,
}

/// What becomes of a connection by the link's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Goes,
    Reset,
    /// Nothing gets through in either direction, for good.
    BlackHole,
}

impl Born {
    /// What becomes of the connection now.
    pub(crate) fn fate(self, state: &LinkState) -> Fate {
        if state.down || state.resets != self.resets {
            Fate::Reset
        } else if self.lost(state, Direction::ToServer) && self.lost(state, Direction::ToClient) {
            Fate::BlackHole
        } else {
            Fate::Goes
        }
    }

    /// A black hole has swallowed this direction of it.
    pub(crate) fn lost(self, state: &LinkState, direction: Direction) -> bool {
        let outlived = match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        };
        outlived != Some(state.flow(direction).black_holes)
    }
}

/// The octets of one direction of one connection that are under way.
#[derive(Debug)]
pub(crate) struct Flow {
    queue: VecDeque<(Instant, Parcel)>,
    octets: usize,
    chain: Chain,
    toxics: Arc<Vec<Active>>,
}

impl Flow {
    /// Whatever toxics leave to chance comes from `rng`.
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self {
            queue: VecDeque::new(),
            octets: 0,
            chain: Chain::new(rng),
            toxics: Arc::default(),
        }
    }

    /// Nothing is under way, and what comes in may go on at once.
    pub(crate) fn is_clear(&self, state: &FlowState, toxics: &Arc<Vec<Active>>) -> bool {
        let plain = !state.held && state.delay.is_zero() && toxics.is_empty();
        plain && self.queue.is_empty() && self.chain.is_clear()
    }

    /// More octets can come in.
    pub(crate) fn has_room(&self, state: &FlowState) -> bool {
        if self.queue.is_empty() && state.delay.is_zero() && !state.held {
            return self.chain.has_room();
        }
        self.octets < QUEUED
    }

    /// Takes what has arrived at `now`.
    pub(crate) fn push(&mut self, parcel: Parcel, state: &FlowState, now: Instant) {
        self.octets += parcel.len();
        // A delay that was shortened lets nothing overtake.
        let earliest = self.queue.back().map_or(now, |(due, _)| *due);
        self.queue
            .push_back(((now + state.delay).max(earliest), parcel));
    }

    /// What comes next. A time that it gives is later than `now`.
    pub(crate) fn next(
        &mut self,
        state: &FlowState,
        toxics: &Arc<Vec<Active>>,
        now: Instant,
    ) -> Next {
        if !Arc::ptr_eq(&self.toxics, toxics) {
            self.chain.set(toxics, now);
            self.toxics = toxics.clone();
        }
        loop {
            let due = match self.queue.front() {
                Some((due, _)) if *due <= now => {
                    if self.chain.has_room()
                        && let Some((due, parcel)) = self.queue.pop_front()
                    {
                        self.octets -= parcel.len();
                        self.chain.push(parcel, due);
                        // Where it only passes, the next one may follow.
                        self.chain.next(now);
                        continue;
                    }
                    None
                }
                front => front.map(|(due, _)| *due),
            };
            let next = self.chain.next(now);
            return match (next, due) {
                _ if state.held => Next::Wait,
                (Next::Ready, _) => Next::Ready,
                (Next::At(at), due) => Next::At(due.map_or(at, |due| due.min(at))),
                (Next::Wait, Some(due)) => Next::At(due),
                (Next::Wait, None) => Next::Wait,
            };
        }
    }

    /// Takes out what goes on, after [`Next::Ready`].
    pub(crate) fn pop(&mut self) -> Option<Parcel> {
        self.chain.pop()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::toxics::{Kind, Toxic};

    fn octets(text: &'static str) -> Parcel {
        Parcel::Octets(Bytes::from_static(text.as_bytes()))
    }

    fn flow() -> Flow {
        Flow::new(ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn order_is_kept_when_the_delay_shrinks() {
        let start = Instant::now();
        let slow = FlowState {
            delay: Duration::from_secs(5),
            ..FlowState::default()
        };
        let fast = FlowState::default();
        let none = Arc::default();
        let mut flow = flow();
        assert_eq!(flow.next(&fast, &none, start), Next::Wait);
        flow.push(octets("a"), &slow, start);
        flow.push(octets("b"), &fast, start + Duration::from_secs(1));
        flow.push(Parcel::End, &fast, start + Duration::from_secs(2));
        let due = start + Duration::from_secs(5);
        assert_eq!(flow.next(&fast, &none, start), Next::At(due));
        let mut left = Vec::new();
        while flow.next(&fast, &none, due) == Next::Ready {
            left.extend(flow.pop());
        }
        assert_eq!(left, [octets("a"), octets("b"), Parcel::End]);
        assert!(flow.is_clear(&fast, &none));
    }

    #[test]
    fn a_partition_holds_octets_within_bounds_and_lets_them_go() {
        let now = Instant::now();
        let held = FlowState {
            held: true,
            ..FlowState::default()
        };
        let (open, none) = (FlowState::default(), Arc::default());
        let mut flow = flow();
        while flow.has_room(&held) {
            flow.push(Parcel::Octets(Bytes::from(vec![0; 16 * 1024])), &held, now);
        }
        assert_eq!(flow.octets, QUEUED);
        assert_eq!(flow.next(&held, &none, now), Next::Wait);
        let mut left = 0;
        while flow.next(&open, &none, now) == Next::Ready {
            left += flow.pop().map_or(0, |parcel| parcel.len());
        }
        assert_eq!(left, QUEUED);
        assert!(flow.has_room(&open));
    }

    #[test]
    fn toxics_slow_the_sender_down_and_let_go_when_they_are_removed() {
        let now = Instant::now();
        let state = FlowState::default();
        let mut list = ToxicList::default();
        list.add(Toxic::new(Kind::Bandwidth { rate: 1 }, Stream::Upstream))
            .expect("the first");
        let toxics = list.of(Stream::Upstream).clone();
        let mut flow = flow();
        assert_eq!(flow.next(&state, &toxics, now), Next::Wait);
        assert!(!flow.is_clear(&state, &toxics));
        for text in ["a", "b"] {
            assert!(flow.has_room(&state));
            flow.push(octets(text), &state, now);
            assert!(matches!(flow.next(&state, &toxics, now), Next::At(_)));
        }
        assert!(!flow.has_room(&state));
        list.clear();
        let none = list.of(Stream::Upstream);
        assert_eq!(flow.next(&state, none, now), Next::Ready);
        assert_eq!(flow.pop(), Some(octets("a")));
        assert_eq!(flow.next(&state, none, now), Next::Ready);
        assert_eq!(flow.pop(), Some(octets("b")));
        assert_eq!(flow.next(&state, none, now), Next::Wait);
        assert!(flow.is_clear(&state, none));
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
        state.set_down(true);
        state.to_client.held = true;
        state.heal();
        assert!(state.connects());
        assert_eq!(before.fate(&state), Fate::Reset);
        assert_eq!(
            Born {
                resets: state.resets,
                ..inside
            }
            .fate(&state),
            Fate::BlackHole
        );
        assert_eq!(state.born().fate(&state), Fate::Goes);
    }

    #[test]
    fn a_black_hole_of_one_way_swallows_that_way() {
        let mut state = LinkState::default();
        let before = state.born();
        state.to_server.set_black_hole(true);
        assert!(!state.connects());
        let inside = state.born();
        state.heal();
        assert_eq!(before.fate(&state), Fate::Goes);
        assert!(before.lost(&state, Direction::ToServer));
        assert!(!before.lost(&state, Direction::ToClient));
        assert_eq!(inside.fate(&state), Fate::BlackHole);
    }
}
