//! What toxics do to octets, by the clock of the test.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tokio::time::Instant;

use super::{Active, Chain, Kind, Next, Parcel, Stream, Toxic};

fn active(id: u64, kind: Kind) -> Active {
    Active {
        id,
        version: 0,
        toxic: Toxic::new(kind, Stream::Downstream),
    }
}

/// A chain, driven as a proxy drives it, and what left it when.
struct Driven {
    chain: Chain,
    start: Instant,
    now: Instant,
    left: Vec<(Duration, Parcel)>,
    turns: usize,
}

impl Driven {
    fn new(kinds: &[Kind]) -> Self {
        Self::seeded(kinds, 7)
    }

    fn seeded(kinds: &[Kind], seed: u64) -> Self {
        let start = Instant::now();
        let mut chain = Chain::new(ChaCha8Rng::seed_from_u64(seed));
        let toxics: Vec<Active> = (1..).zip(kinds).map(|(n, kind)| active(n, *kind)).collect();
        chain.set(&toxics, start);
        Self {
            chain,
            start,
            now: start,
            left: Vec::new(),
            turns: 0,
        }
    }

    /// Time goes on to then; every timer that the chain asks for fires on time.
    fn until(&mut self, ms: u64) {
        let end = self.start + Duration::from_millis(ms);
        loop {
            self.turns += 1;
            assert!(self.turns < 300_000, "it turns in circles");
            match self.chain.next(self.now) {
                Next::Ready => {
                    let parcel = self.chain.pop().expect("it said so");
                    self.left.push((self.now - self.start, parcel));
                }
                Next::At(due) => {
                    assert!(due > self.now, "a timer for the past is a busy loop");
                    if due > end {
                        break;
                    }
                    self.now = due;
                }
                Next::Wait => break,
            }
        }
        self.now = end;
    }

    fn push(&mut self, parcel: Parcel) {
        assert!(self.chain.has_room());
        self.chain.push(parcel, self.now);
    }

    fn octets(&mut self, text: &'static str) {
        self.push(Parcel::Octets(Bytes::from_static(text.as_bytes())));
    }

    /// `ms text`, in order; an end is `.`, a cut `!`, a reset `R`.
    fn story(&self) -> String {
        let words = self.left.iter().map(|(at, parcel)| {
            let what = match parcel {
                Parcel::Octets(octets) => String::from_utf8_lossy(octets).into_owned(),
                Parcel::End => ".".into(),
                Parcel::Reset => "R".into(),
                Parcel::Cut { reset: false } => "!".into(),
                Parcel::Cut { reset: true } => "!R".into(),
            };
            format!("{} {what}", at.as_millis())
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn latency_holds_octets_and_not_the_end() {
    let mut link = Driven::new(&[Kind::Latency {
        latency: 100,
        jitter: 0,
    }]);
    link.octets("a");
    link.until(30);
    link.octets("b");
    link.push(Parcel::End);
    link.until(99);
    assert_eq!(link.story(), "");
    link.until(1000);
    assert_eq!(link.story(), "100 a, 130 b, 130 .");
    let mut link = Driven::new(&[Kind::Latency {
        latency: 100,
        jitter: 0,
    }]);
    link.push(Parcel::End);
    link.until(0);
    assert_eq!(link.story(), "0 .", "as in Toxiproxy, a close is not data");
}

#[test]
fn jitter_is_drawn_within_its_bounds_and_keeps_order() {
    let mut link = Driven::new(&[Kind::Latency {
        latency: 100,
        jitter: 50,
    }]);
    for n in 0..200u64 {
        link.until(n * 200);
        link.octets("x");
    }
    link.until(100_000);
    let delays: Vec<u128> = (0u128..)
        .zip(&link.left)
        .map(|(n, (at, _))| at.as_millis() - n * 200)
        .collect();
    assert_eq!(delays.len(), 200);
    assert!(delays.iter().all(|d| (50..=150).contains(d)), "{delays:?}");
    assert!(delays.iter().any(|d| *d < 70) && delays.iter().any(|d| *d > 130));
}

#[test]
fn two_latencies_add_up() {
    let latency = |latency| Kind::Latency { latency, jitter: 0 };
    let mut link = Driven::new(&[latency(100), latency(20)]);
    link.octets("a");
    link.until(1000);
    assert_eq!(link.story(), "120 a");
}

#[test]
fn bandwidth_takes_its_time_in_parts_of_a_tenth_of_a_second() {
    let mut link = Driven::new(&[Kind::Bandwidth { rate: 10 }]);
    link.push(Parcel::Octets(Bytes::from(vec![b'x'; 2500])));
    link.push(Parcel::End);
    assert!(!link.chain.has_room(), "the sender is slowed down");
    link.until(10_000);
    let sizes: Vec<(u128, usize)> = link
        .left
        .iter()
        .map(|(at, parcel)| (at.as_millis(), parcel.len()))
        .collect();
    assert_eq!(sizes, [(100, 1000), (200, 1000), (250, 500), (250, 0)]);
}

#[test]
fn no_bandwidth_is_none_until_it_is_changed() {
    let mut link = Driven::new(&[Kind::Bandwidth { rate: 0 }]);
    link.octets("a");
    link.until(100_000);
    assert_eq!(link.story(), "");
    link.chain.set(&[], link.now);
    link.until(100_001);
    assert_eq!(link.story(), "100000 a");
    assert!(link.chain.is_clear());
}

#[test]
fn slow_close_holds_the_end_alone() {
    let mut link = Driven::new(&[Kind::SlowClose { delay: 500 }]);
    link.octets("a");
    link.push(Parcel::End);
    link.until(1000);
    assert_eq!(link.story(), "0 a, 500 .");
}

#[test]
fn timeout_drops_and_closes_after_silence() {
    let mut link = Driven::new(&[Kind::Timeout { timeout: 100 }]);
    link.until(60);
    link.octets("a");
    link.until(120);
    assert_eq!(link.story(), "");
    link.until(1000);
    assert_eq!(link.story(), "160 !");
    let mut link = Driven::new(&[Kind::Timeout { timeout: 100 }]);
    link.octets("a");
    link.push(Parcel::End);
    link.until(0);
    assert_eq!(link.story(), "0 .", "an end passes");
}

#[test]
fn timeout_zero_holds_for_ever_and_closes_when_it_is_removed() {
    let mut link = Driven::new(&[Kind::Timeout { timeout: 0 }]);
    for hour in 0..100 {
        link.until(hour * 3_600_000);
        link.octets("dropped");
    }
    assert_eq!(link.story(), "");
    link.chain.set(&[], link.now);
    link.until(400_000_000);
    assert_eq!(link.story(), "356400000 !");
}

#[test]
fn reset_peer_strikes_after_the_first_octets_and_cannot_be_called_back() {
    let mut link = Driven::new(&[Kind::ResetPeer { timeout: 50 }]);
    link.until(1000);
    link.octets("a");
    link.until(1010);
    assert!(!link.chain.has_room());
    link.chain.set(&[], link.now);
    link.until(2000);
    assert_eq!(link.story(), "1050 !R");
    let mut link = Driven::new(&[Kind::ResetPeer { timeout: 0 }]);
    link.push(Parcel::End);
    link.until(0);
    assert_eq!(link.story(), "0 !R");
}

#[test]
fn slicer_cuts_and_pauses() {
    let mut link = Driven::new(&[Kind::Slicer {
        average_size: 2,
        size_variation: 0,
        delay: 10_000,
    }]);
    link.octets("abcdefgh");
    link.push(Parcel::End);
    link.until(1000);
    assert_eq!(link.story(), "0 ab, 10 cd, 20 ef, 30 gh, 40 .");
    // Without sizes, which Toxiproxy cannot bear, pieces are as small as they can be.
    let mut link = Driven::new(&[Kind::of_type("slicer").expect("known")]);
    link.octets("abc");
    link.until(0);
    assert_eq!(link.story(), "0 a, 0 b, 0 c");
}

#[test]
fn limit_data_is_exact_and_keeps_its_count_when_it_is_changed() {
    let limit = |bytes| Kind::LimitData { bytes };
    let mut link = Driven::new(&[limit(5)]);
    link.octets("abc");
    link.until(10);
    link.octets("defg");
    link.until(20);
    assert_eq!(link.story(), "0 abc, 10 de, 10 !");
    let mut link = Driven::new(&[limit(3)]);
    link.octets("abc");
    link.until(0);
    assert_eq!(link.story(), "0 abc, 0 !", "it closes with the last octet");
    let mut link = Driven::new(&[limit(100)]);
    link.octets("abc");
    link.until(10);
    let mut changed = active(1, limit(5));
    changed.version = 1;
    link.chain.set(&[changed], link.now);
    link.octets("defg");
    link.until(20);
    assert_eq!(link.story(), "0 abc, 10 de, 10 !");
    let mut link = Driven::new(&[limit(0)]);
    link.until(10);
    assert_eq!(link.story(), "");
    link.octets("a");
    link.until(20);
    assert_eq!(link.story(), "10 !");
}

#[test]
fn what_is_removed_or_changed_lets_go_what_it_holds_in_order() {
    let slow = |latency| Kind::Latency { latency, jitter: 0 };
    let mut link = Driven::new(&[slow(10_000)]);
    link.octets("a");
    link.octets("b");
    link.until(10);
    let mut changed = active(1, slow(100));
    changed.version = 1;
    link.chain.set(&[changed], link.now);
    link.until(50);
    assert_eq!(link.story(), "10 a", "the one that waits goes on at once");
    link.octets("c");
    link.chain.set(&[], link.now);
    link.octets("d");
    link.until(50);
    assert_eq!(link.story(), "10 a, 50 b, 50 c, 50 d");
    // A slice that waits takes the rest of its piece along.
    let mut link = Driven::new(&[Kind::Slicer {
        average_size: 1,
        size_variation: 0,
        delay: 1_000_000,
    }]);
    link.octets("abc");
    link.octets("def");
    link.until(10);
    link.chain.set(&[], link.now);
    link.until(10);
    assert_eq!(link.story(), "0 a, 10 bc, 10 def");
}

#[test]
fn toxicity_is_drawn_once_for_a_connection() {
    let mut struck = 0;
    for seed in 0..1000 {
        let mut chain = Chain::new(ChaCha8Rng::seed_from_u64(seed));
        let mut toxic = active(1, Kind::Bandwidth { rate: 0 });
        toxic.toxic.toxicity = 0.3;
        let now = Instant::now();
        chain.set(&[toxic.clone()], now);
        chain.push(Parcel::End, now);
        chain.push(Parcel::Octets(Bytes::from_static(b"x")), now);
        chain.next(now);
        chain.pop();
        let holds = chain.next(now) == Next::Wait;
        struck += u32::from(holds);
        // The same toxics again change nothing.
        chain.set(&[toxic], now);
        assert_eq!(chain.next(now) == Next::Wait, holds);
    }
    assert!((250..350).contains(&struck), "{struck}");
}

fn harmless() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (0..300u64, 0..400u64).prop_map(|(latency, jitter)| Kind::Latency { latency, jitter }),
        (1..5000u64).prop_map(|rate| Kind::Bandwidth { rate }),
        (0..500u64).prop_map(|delay| Kind::SlowClose { delay }),
        (0..40u64, 0..60u64, 0..3000u64).prop_map(|(average_size, size_variation, delay)| {
            Kind::Slicer {
                average_size,
                size_variation,
                delay,
            }
        }),
    ]
}

/// What happens to a link.
#[derive(Debug, Clone)]
enum Act {
    Octets(usize),
    Pass(u64),
    Add(Kind),
    Remove(usize),
    Change(usize, u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..3000usize).prop_map(Act::Octets),
        4 => (0..300u64).prop_map(Act::Pass),
        1 => harmless().prop_map(Act::Add),
        1 => any::<usize>().prop_map(Act::Remove),
        1 => (any::<usize>(), 0..300u64).prop_map(|(n, value)| Act::Change(n, value)),
    ]
}

proptest! {
    /// Toxics that lose nothing: every octet comes out once, in order, and then the end, whatever is added, removed and
    /// changed meanwhile; and no timer is ever set for a time that has passed.
    #[test]
    fn octets_are_conserved_and_in_order(
        kinds in prop::collection::vec(harmless(), 0..4),
        acts in prop::collection::vec(act(), 0..40),
        seed in any::<u64>(),
    ) {
        let mut link = Driven::seeded(&[], seed);
        let mut toxics: Vec<Active> = (1..).zip(kinds).map(|(n, kind)| active(n, kind)).collect();
        link.chain.set(&toxics, link.now);
        let (mut next, mut ms, mut sent) = (100, 0, Vec::new());
        for act in acts {
            match act {
                Act::Octets(length) if link.chain.has_room() => {
                    let octets: Vec<u8> = (0..length).map(|n| ((sent.len() + n) % 251) as u8).collect();
                    sent.extend_from_slice(&octets);
                    link.push(Parcel::Octets(octets.into()));
                }
                Act::Octets(_) => {}
                Act::Pass(more) => {
                    ms += more;
                    link.until(ms);
                }
                Act::Add(kind) => {
                    toxics.push(active(next, kind));
                    next += 1;
                }
                Act::Remove(n) if !toxics.is_empty() => drop(toxics.remove(n % toxics.len())),
                Act::Change(n, value) if !toxics.is_empty() => {
                    let at = n % toxics.len();
                    toxics[at].version += 1;
                    let name = toxics[at].toxic.kind.attributes().into_keys().next().expect("it has one");
                    // A rate of 0 holds for ever.
                    toxics[at].toxic.kind.set(&[(name, value.max(1))].into()).expect("its own");
                }
                Act::Remove(_) | Act::Change(..) => {}
            }
            link.chain.set(&toxics, link.now);
        }
        link.until(10_000_000);
        link.push(Parcel::End);
        link.until(20_000_000);
        let mut came = Vec::new();
        for (n, (_, parcel)) in link.left.iter().enumerate() {
            match parcel {
                Parcel::Octets(octets) => came.extend_from_slice(octets),
                parcel => {
                    prop_assert_eq!(parcel, &Parcel::End);
                    prop_assert_eq!(n, link.left.len() - 1);
                }
            }
        }
        prop_assert!(matches!(link.left.last(), Some((_, Parcel::End))));
        prop_assert!(came == sent, "{} of {} octets", came.len(), sent.len());
    }

    /// Exactly so many octets pass a limit, however they are cut, and the connection is closed once.
    #[test]
    fn limits_are_exact(
        limit in 0..5000u64,
        before in prop::option::of(harmless()),
        behind in prop::option::of(harmless()),
        pieces in prop::collection::vec(1..2000usize, 1..12),
        seed in any::<u64>(),
    ) {
        let kinds: Vec<Kind> = before.into_iter().chain([Kind::LimitData { bytes: limit }]).chain(behind).collect();
        let mut link = Driven::seeded(&kinds, seed);
        let (mut sent, mut ms) = (0, 0);
        for length in pieces {
            if link.chain.has_room() {
                link.push(Parcel::Octets(Bytes::from(vec![b'x'; length])));
                sent += length as u64;
            }
            ms += 100_000;
            link.until(ms);
        }
        let came: u64 = link.left.iter().map(|(_, parcel)| parcel.len() as u64).sum();
        prop_assert_eq!(came, sent.min(limit));
        let cuts = link.left.iter().filter(|(_, parcel)| *parcel == Parcel::Cut { reset: false }).count();
        prop_assert_eq!(cuts, usize::from(sent >= limit));
    }

    /// Never more octets than the rate allows since the first one came, and not much less while there are some.
    #[test]
    fn a_rate_is_kept(rate in 1..200u64, pieces in prop::collection::vec(1..4000usize, 1..20)) {
        let mut link = Driven::new(&[Kind::Bandwidth { rate }]);
        let (mut sent, mut ms) = (0u64, 0);
        for length in &pieces {
            while !link.chain.has_room() {
                ms += 1;
                link.until(ms);
            }
            link.push(Parcel::Octets(Bytes::from(vec![b'x'; *length])));
            sent += *length as u64;
        }
        link.until(ms + 1_000_000);
        let mut came = 0u64;
        for (at, parcel) in &link.left {
            came += parcel.len() as u64;
            prop_assert!(u128::from(came) * 1000 <= u128::from(rate) * at.as_micros() + 1000);
        }
        prop_assert_eq!(came, sent);
        let last = link.left.last().expect("some came").0;
        prop_assert!(last <= Duration::from_micros(sent * 1000 / rate) + Duration::from_millis(1));
    }
}
