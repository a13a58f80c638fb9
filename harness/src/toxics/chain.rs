//! All toxics of one direction of one connection, one after the other, in the order in which they were added.

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::{
    Active, Parcel,
    stage::{Stage, Taken},
};

/// What the chain's end wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something goes on now.
    Ready,
    /// Something goes on, or moves within, at this time.
    At(Instant),
    /// Nothing goes on before something comes in or the toxics change.
    Wait,
}

/// Times this close are one: a timer that was set for one fires for both.
const GRAIN: Duration = Duration::from_micros(1);

/// The toxics of one direction of one connection at work.
#[derive(Debug)]
pub struct Chain {
    stages: Vec<Stage>,
    out: VecDeque<Parcel>,
    rng: ChaCha8Rng,
}

impl Chain {
    /// A chain without toxics. Whatever is left to chance comes from `rng`.
    pub fn new(rng: ChaCha8Rng) -> Self {
        Self {
            stages: Vec::new(),
            out: VecDeque::new(),
            rng,
        }
    }

    /// Brings the chain to these toxics: those that are new work from now on, those that are gone let go what they hold.
    pub fn set(&mut self, toxics: &[Active], now: Instant) {
        let mut kept = Vec::with_capacity(toxics.len());
        for mut stage in std::mem::take(&mut self.stages) {
            let Some(id) = stage.id else {
                kept.push(stage);
                continue;
            };
            match toxics.iter().find(|active| active.id == id) {
                Some(active) => {
                    stage.update(active, now, &mut self.rng);
                    kept.push(stage);
                }
                None => kept.push(stage.removed(now)),
            }
        }
        for active in toxics {
            if !kept.iter().any(|stage| stage.id == Some(active.id)) {
                kept.push(Stage::new(active, now, &mut self.rng));
            }
        }
        self.stages = kept;
        self.advance(now);
    }

    /// Nothing is in it, and nothing would hold anything up.
    pub fn is_clear(&self) -> bool {
        self.stages.is_empty() && self.out.is_empty()
    }

    /// More can come in.
    pub fn has_room(&self) -> bool {
        match self.stages.first() {
            Some(stage) => stage.has_room(),
            None => self.out.is_empty(),
        }
    }

    /// Takes what has arrived.
    pub fn push(&mut self, parcel: Parcel, now: Instant) {
        match self.stages.first_mut() {
            Some(stage) => stage.push(now, parcel),
            None => self.out.push_back(parcel),
        }
    }

    /// Moves what can be moved at `now`, and says what comes next. A time that it gives is later than `now`.
    pub fn next(&mut self, now: Instant) -> Next {
        let due = self.advance(now);
        if !self.out.is_empty() {
            return Next::Ready;
        }
        due.map_or(Next::Wait, |due| Next::At(due.max(now + GRAIN)))
    }

    /// Takes out what goes on, after [`Next::Ready`].
    pub fn pop(&mut self) -> Option<Parcel> {
        self.out.pop_front()
    }

    /// Moves parcels from stage to stage until nothing moves; the earliest time at which something will.
    fn advance(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let (mut moved, mut due) = (false, None::<Instant>);
            for at in (0..self.stages.len()).rev() {
                let (before, after) = self.stages.split_at_mut(at + 1);
                // It was just split behind `at`.
                let Some(stage) = before.last_mut() else {
                    continue;
                };
                loop {
                    let has_room = match after.first() {
                        Some(next) => next.has_room(),
                        None => self.out.is_empty(),
                    };
                    if !has_room {
                        break;
                    }
                    match stage.take(now, &mut self.rng) {
                        Taken::Out(left, parcel) => {
                            moved = true;
                            match after.first_mut() {
                                Some(next) => next.push(left, parcel),
                                None => self.out.push_back(parcel),
                            }
                        }
                        Taken::At(time) => {
                            due = Some(due.map_or(time, |due| due.min(time)));
                            break;
                        }
                        Taken::Wait => break,
                    }
                }
            }
            self.stages.retain(|stage| !stage.is_spent());
            if !moved {
                return due;
            }
        }
    }
}
