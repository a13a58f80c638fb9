//! One toxic at work on one direction of one connection: what goes in, and what comes out when.
//!
//! A stage takes parcels in order, each with the time at which it came, and gives parcels, each with the time at which it
//! left. The chain moves them from stage to stage.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::{Active, Kind};

/// What travels in one direction of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parcel {
    /// Octets.
    Octets(Bytes),
    /// Nothing more comes (FIN).
    End,
    /// The sender has reset the connection (RST).
    Reset,
    /// A toxic ends the connection here, with a reset or in order. Nothing comes after it.
    Cut {
        /// With a reset.
        reset: bool,
    },
}

impl Parcel {
    /// So many octets.
    pub fn len(&self) -> usize {
        match self {
            Self::Octets(octets) => octets.len(),
            _ => 0,
        }
    }

    /// No octets are in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parcels that a latency holds at once, as in Toxiproxy.
const LATENT_PARCELS: usize = 1024;

/// …and octets: what a connection may cost.
const LATENT_OCTETS: usize = 32 * 1024 * 1024;

/// Parcels that any other stage holds at once: one at work, one waiting.
const PARCELS: usize = 2;

/// A bandwidth's parts are not longer than this.
const PART: Duration = Duration::from_millis(100);

/// A timer may be late by this: tokio's have a resolution of 1 ms.
const TIMER: Duration = Duration::from_millis(2);

/// No attribute means more than this.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a stage's front wants.
pub(super) enum Taken {
    /// This leaves now; it should have left at that time, which is not later than now.
    Out(Instant, Parcel),
    /// Something leaves at this time.
    At(Instant),
    /// Nothing leaves before something comes in.
    Wait,
}

#[derive(Debug)]
pub(super) struct Stage {
    /// Of the [`Active`] toxic; `None`: it was removed, and cannot be stopped any more.
    pub(super) id: Option<u64>,
    version: u64,
    kind: Kind,
    /// The toxicity's draw.
    in_force: bool,
    queue: VecDeque<(Instant, Parcel)>,
    octets: usize,
    /// When the front leaves, once that is known.
    due: Option<Instant>,
    /// Octets of the front's part that leaves then.
    part: usize,
    /// The front leaves at once: the toxic was changed while it waited.
    hurry: bool,
    /// Nothing leaves before this.
    free_at: Instant,
    /// Lengths of the front's slices.
    slices: VecDeque<usize>,
    /// Octets that passed since the toxic was added.
    passed: u64,
    /// It has ended the connection, or is about to.
    ended: bool,
}

impl Stage {
    pub(super) fn new(active: &Active, now: Instant, rng: &mut ChaCha8Rng) -> Self {
        let mut stage = Self {
            id: Some(active.id),
            version: active.version,
            kind: active.toxic.kind,
            in_force: false,
            queue: VecDeque::new(),
            octets: 0,
            due: None,
            part: 0,
            hurry: false,
            free_at: now,
            slices: VecDeque::new(),
            passed: 0,
            ended: false,
        };
        stage.begin(active, now, rng);
        stage
    }

    /// Draws whether the toxic is in force on this connection, and starts its clock.
    fn begin(&mut self, active: &Active, now: Instant, rng: &mut ChaCha8Rng) {
        self.in_force = rng.random::<f32>() < active.toxic.toxicity;
        self.due = match self.kind {
            Kind::Timeout { timeout: 1.. } if self.in_force => Some(self.after(now)),
            _ => None,
        };
    }

    /// The toxic was changed: what waits for the old attributes goes on, the new ones hold from here.
    pub(super) fn update(&mut self, active: &Active, now: Instant, rng: &mut ChaCha8Rng) {
        if self.version == active.version || self.ended {
            return;
        }
        self.version = active.version;
        self.kind = active.toxic.kind;
        let waited = self.due.take().is_some() || !self.slices.is_empty();
        self.slices.clear();
        self.free_at = now;
        // A close that waits begins to wait again.
        self.hurry = waited && matches!(self.queue.front(), Some((_, Parcel::Octets(_))));
        if let Some((at, _)) = self.queue.front_mut() {
            *at = now;
        }
        self.begin(active, now, rng);
    }

    /// The toxic was removed: what it holds goes on to the next stage. Where it has struck already, that comes too late.
    pub(super) fn removed(mut self, now: Instant) -> Self {
        if self.ended {
            self.id = None;
            return self;
        }
        let swallows = matches!(self.kind, Kind::Timeout { .. }) && self.in_force;
        if swallows {
            // What it has dropped leaves a hole, so the connection cannot go on.
            return Self::released(vec![Parcel::Cut { reset: false }], now);
        }
        let held = self.queue.into_iter().map(|(_, parcel)| parcel).collect();
        Self::released(held, now)
    }

    /// What a removed toxic held, on its way to the next one.
    fn released(parcels: Vec<Parcel>, now: Instant) -> Self {
        Self {
            id: None,
            version: 0,
            kind: Kind::LimitData { bytes: u64::MAX },
            in_force: false,
            octets: parcels.iter().map(Parcel::len).sum(),
            queue: parcels.into_iter().map(|parcel| (now, parcel)).collect(),
            due: None,
            part: 0,
            hurry: false,
            free_at: now,
            slices: VecDeque::new(),
            passed: 0,
            ended: false,
        }
    }

    /// Its toxic was removed, and it holds nothing any more.
    pub(super) fn is_spent(&self) -> bool {
        self.id.is_none() && self.queue.is_empty() && !self.ended
    }

    /// More can come in.
    pub(super) fn has_room(&self) -> bool {
        let (parcels, octets) = match self.kind {
            Kind::Latency { .. } => (LATENT_PARCELS, LATENT_OCTETS),
            _ => (PARCELS, usize::MAX),
        };
        !self.ended && self.queue.len() < parcels && self.octets < octets
    }

    pub(super) fn push(&mut self, at: Instant, parcel: Parcel) {
        if let Parcel::Octets(octets) = &parcel {
            self.octets += octets.len();
        }
        self.queue.push_back((at, parcel));
    }

    /// Takes out what leaves now.
    pub(super) fn take(&mut self, now: Instant, rng: &mut ChaCha8Rng) -> Taken {
        if !self.in_force || std::mem::take(&mut self.hurry) {
            return self.pass();
        }
        match self.kind {
            Kind::Latency { latency, jitter } => self.latency(latency, jitter, now, rng),
            Kind::Bandwidth { rate } => self.bandwidth(rate, now),
            Kind::SlowClose { .. } => self.slow_close(now),
            Kind::Timeout { .. } => self.timeout(now),
            Kind::ResetPeer { .. } => self.reset_peer(now),
            Kind::Slicer { delay, .. } => self.slice(delay, now, rng),
            Kind::LimitData { bytes } => self.limit_data(bytes),
        }
    }

    /// The front as it is.
    fn pass(&mut self) -> Taken {
        self.due = None;
        match self.queue.pop_front() {
            None => Taken::Wait,
            Some((at, parcel)) => {
                if let Parcel::Octets(octets) = &parcel {
                    self.octets -= octets.len();
                    self.passed += octets.len() as u64;
                }
                let at = at.max(self.free_at);
                self.free_at = at;
                Taken::Out(at, parcel)
            }
        }
    }

    /// So many octets of the front, which has them.
    fn pass_part(&mut self, at: Instant, length: usize) -> Taken {
        self.free_at = at;
        let Some((_, Parcel::Octets(octets))) = self.queue.front_mut() else {
            return self.pass();
        };
        let part = octets.split_to(length.min(octets.len()));
        if octets.is_empty() {
            self.queue.pop_front();
        }
        self.octets -= part.len();
        self.passed += part.len() as u64;
        Taken::Out(at, Parcel::Octets(part))
    }

    fn front_octets(&self) -> Option<(Instant, usize)> {
        match self.queue.front()? {
            (at, Parcel::Octets(octets)) => Some((*at, octets.len())),
            _ => None,
        }
    }

    /// The toxic's only time, from then on.
    fn after(&self, at: Instant) -> Instant {
        let (Kind::SlowClose { delay: time }
        | Kind::Timeout { timeout: time }
        | Kind::ResetPeer { timeout: time }) = self.kind
        else {
            return at;
        };
        at + millis(time)
    }

    fn latency(&mut self, latency: u64, jitter: u64, now: Instant, rng: &mut ChaCha8Rng) -> Taken {
        let Some((at, _)) = self.front_octets() else {
            return self.pass();
        };
        let due = *self.due.get_or_insert_with(|| {
            let jitter = millis(jitter);
            // Even in [latency − jitter, latency + jitter).
            let share = f64::from(rng.random::<u32>()) / (f64::from(u32::MAX) + 1.0);
            let delay = millis(latency) + (2 * jitter).mul_f64(share);
            at + delay.saturating_sub(jitter)
        });
        if due > now {
            return Taken::At(due);
        }
        self.free_at = self.free_at.max(due);
        self.pass()
    }

    fn bandwidth(&mut self, rate: u64, now: Instant) -> Taken {
        let Some((at, length)) = self.front_octets() else {
            return self.pass();
        };
        if rate == 0 {
            return Taken::Wait;
        }
        let due = match self.due {
            Some(due) => due,
            None => {
                let part = u128::from(rate) * PART.as_millis();
                self.part = usize::try_from(part).unwrap_or(usize::MAX).min(length);
                // `rate` is octets per millisecond.
                let nanos = self.part as u128 * 1_000_000 / u128::from(rate);
                let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(FAR);
                let due = self.free_at.max(at) + takes;
                self.due = Some(due);
                due
            }
        };
        if due > now {
            return Taken::At(due);
        }
        self.due = None;
        self.pass_part(due, self.part)
    }

    fn slow_close(&mut self, now: Instant) -> Taken {
        match self.queue.front() {
            Some((at, Parcel::End | Parcel::Reset)) => {
                let due = self.due.unwrap_or_else(|| self.after(*at));
                self.due = Some(due);
                if due > now {
                    return Taken::At(due);
                }
                self.free_at = self.free_at.max(due);
                self.pass()
            }
            _ => self.pass(),
        }
    }

    fn timeout(&mut self, now: Instant) -> Taken {
        while let Some((at, _)) = self.front_octets() {
            self.queue.pop_front();
            if self.due.is_some() {
                // Every octet that is dropped starts the time again.
                self.due = Some(self.after(at));
            }
        }
        self.octets = 0;
        if !self.queue.is_empty() {
            return self.pass();
        }
        match self.due {
            Some(due) if due <= now => {
                self.due = None;
                self.ended = true;
                Taken::Out(due, Parcel::Cut { reset: false })
            }
            Some(due) => Taken::At(due),
            None => Taken::Wait,
        }
    }

    fn reset_peer(&mut self, now: Instant) -> Taken {
        if !self.ended {
            match self.queue.front() {
                // A reset passes as the reset that it is.
                Some((_, Parcel::Reset | Parcel::Cut { .. })) => return self.pass(),
                Some((at, _)) => self.due = Some(self.after(*at)),
                None => return Taken::Wait,
            }
            self.ended = true;
        }
        match self.due {
            Some(due) if due <= now => {
                self.due = None;
                Taken::Out(due, Parcel::Cut { reset: true })
            }
            Some(due) => Taken::At(due),
            None => Taken::Wait,
        }
    }

    fn slice(&mut self, delay: u64, now: Instant, rng: &mut ChaCha8Rng) -> Taken {
        let Some((at, _)) = self.queue.front() else {
            return Taken::Wait;
        };
        // The pause after the slice before. What was late is made up for as far as a timer may be late, and no further.
        let due = self.due.unwrap_or(*at).max(*at);
        let due = now.checked_sub(TIMER).map_or(due, |late| due.max(late));
        if due > now {
            return Taken::At(due);
        }
        let Some((_, length)) = self.front_octets() else {
            return self.pass();
        };
        if self.slices.is_empty() {
            self.slices = slices(self.kind, length, rng);
        }
        let slice = self.slices.pop_front().unwrap_or(length);
        let out = self.pass_part(due, slice);
        self.due = Some(due + Duration::from_micros(delay).min(FAR));
        out
    }

    fn limit_data(&mut self, bytes: u64) -> Taken {
        if self.ended {
            return match self.due.take() {
                Some(at) => Taken::Out(at, Parcel::Cut { reset: false }),
                None => Taken::Wait,
            };
        }
        let Some((at, length)) = self.front_octets() else {
            return self.pass();
        };
        let left = usize::try_from(bytes.saturating_sub(self.passed)).unwrap_or(usize::MAX);
        if left > length {
            return self.pass();
        }
        self.ended = true;
        if left == 0 {
            return Taken::Out(at, Parcel::Cut { reset: false });
        }
        self.due = Some(at);
        self.pass_part(at, left)
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis).min(FAR)
}

/// Cuts a length into pieces of about the average size: in two about the middle, and these again.
fn slices(kind: Kind, length: usize, rng: &mut ChaCha8Rng) -> VecDeque<usize> {
    let Kind::Slicer {
        average_size,
        size_variation,
        ..
    } = kind
    else {
        return VecDeque::from([length]);
    };
    let size = |octets: u64| usize::try_from(octets).unwrap_or(usize::MAX);
    let (average, variation) = (size(average_size).max(1), size(size_variation));
    let mut slices = VecDeque::new();
    let mut open = vec![length];
    while let Some(piece) = open.pop() {
        if piece.saturating_sub(average) <= variation {
            slices.push_back(piece);
            continue;
        }
        // `variation` is less than the piece here.
        let shift = if variation > 0 {
            rng.random_range(0..2 * variation)
        } else {
            0
        };
        let middle = (piece / 2 + shift)
            .saturating_sub(variation)
            .clamp(1, piece - 1);
        open.push(piece - middle);
        open.push(middle);
    }
    slices
}
