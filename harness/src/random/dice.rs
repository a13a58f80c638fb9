//! Draws from a seed's stream. Whole numbers only: the same on every machine.

use std::time::Duration;

use rand::{
    Rng, RngExt,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;

use crate::scenario::stream;

/// A stream of draws for one purpose.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        Self(stream(seed, purpose))
    }

    /// So many times of 100.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub(super) fn number(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most.max(least))
    }

    /// One of these; `None` when there is none.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.choose(&mut self.0).cloned()
    }

    /// One of these, which are some.
    pub(super) fn pick<T: Clone, const N: usize>(&mut self, of: [T; N]) -> T {
        const { assert!(N > 0) };
        of[self.0.random_range(0..N)].clone()
    }

    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        all.shuffle(&mut self.0);
    }

    /// Between two durations, every order of magnitude alike, and as people write it: two digits, whole seconds from ten
    /// seconds on, whole minutes from ten minutes on.
    pub(super) fn span(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (millis(least).max(1), millis(most).max(1));
        let magnitude = self
            .0
            .random_range(least.ilog2()..=most.ilog2().max(least.ilog2()));
        let floor = 1_u64 << magnitude;
        let drawn = (floor + self.0.next_u64() % floor).clamp(least, most.max(least));
        let grain = match drawn {
            0..100 => 1,
            100..1_000 => 10,
            1_000..10_000 => 100,
            10_000..600_000 => 1_000,
            _ => 60_000,
        };
        Duration::from_millis((drawn / grain * grain).max(least))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
