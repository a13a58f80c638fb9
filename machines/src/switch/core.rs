//! The switch without IO: frames in, frames out, with the time.
//!
//! Comes in: a frame on a port, and the time. Goes out: on which ports it leaves, and after how long. It learns which
//! address is behind which port, as any switch does, so that a guest that was migrated is found behind its new port with its
//! first frame. Ways are cut between *hosts*: a host may have several ports (a guest, the QEMU to which it is being
//! migrated, and the stack that speaks for it).

use std::{collections::BTreeMap, time::Duration};

/// Who is behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub u16);

/// A port of the switch; its number is never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortId(pub(super) u32);

/// An Ethernet address.
pub type Mac = [u8; 6];

/// What is done to frames on the way from one host to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// None arrives.
    Cut,
    /// They arrive later by this time.
    Delay(Duration),
    /// This share of them does not arrive, 0 to 1.
    Lose(f64),
}

/// A rule that is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

/// A frame is to leave on that port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves {
    /// Where.
    pub port: PortId,
    /// After this time.
    pub after: Duration,
}

/// Frames of one port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came from the host.
    pub received: u64,
    /// Left towards the host.
    pub sent: u64,
    /// Were meant for the host, and did not leave, by a rule.
    pub dropped: u64,
}

/// What a watch saw of a host's own frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gap {
    /// How many frames it sent.
    pub frames: u64,
    /// The longest time without one, from the watch's beginning to its end.
    pub longest: Duration,
}

#[derive(Debug)]
struct Port {
    host: Host,
    counts: Counts,
}

#[derive(Debug)]
struct Watch {
    last: Duration,
    gap: Gap,
}

impl Watch {
    fn frame(&mut self, now: Duration) {
        self.gap.frames += 1;
        self.until(now);
    }

    fn until(&mut self, now: Duration) {
        self.gap.longest = self.gap.longest.max(now.saturating_sub(self.last));
        self.last = now;
    }
}

/// The switch.
#[derive(Debug)]
pub struct Core {
    ports: BTreeMap<PortId, Port>,
    table: BTreeMap<Mac, PortId>,
    rules: BTreeMap<RuleId, (Host, Host, Effect)>,
    watches: BTreeMap<Host, Watch>,
    last_port: u32,
    last_rule: u64,
    /// What is lost by chance comes from it.
    chance: u64,
}

impl Core {
    /// A switch without ports. What is lost by chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            ports: BTreeMap::new(),
            table: BTreeMap::new(),
            rules: BTreeMap::new(),
            watches: BTreeMap::new(),
            last_port: 0,
            last_rule: 0,
            chance: seed,
        }
    }

    /// A new port, behind which is that host.
    pub fn attach(&mut self, host: Host) -> PortId {
        self.last_port += 1;
        let id = PortId(self.last_port);
        let counts = Counts::default();
        self.ports.insert(id, Port { host, counts });
        id
    }

    /// The port is gone, and what was learnt of it.
    pub fn detach(&mut self, port: PortId) {
        self.ports.remove(&port);
        self.table.retain(|_, behind| *behind != port);
    }

    /// From now on this is done to what goes from one host to the other. Several rules add up.
    pub fn begin(&mut self, from: Host, to: Host, effect: Effect) -> RuleId {
        self.last_rule += 1;
        let id = RuleId(self.last_rule);
        self.rules.insert(id, (from, to, effect));
        id
    }

    /// …and no more. Says whether it was in effect.
    pub fn end(&mut self, rule: RuleId) -> bool {
        self.rules.remove(&rule).is_some()
    }

    /// Frames of a port so far; `None` when there is no such port.
    pub fn counts(&self, port: PortId) -> Option<Counts> {
        self.ports.get(&port).map(|port| port.counts)
    }

    /// Begins to look for the longest time without a frame of that host. Another watch of it ends.
    pub fn watch(&mut self, host: Host, now: Duration) {
        let gap = Gap::default();
        self.watches.insert(host, Watch { last: now, gap });
    }

    /// Ends a watch; `None` when there was none.
    pub fn unwatch(&mut self, host: Host, now: Duration) -> Option<Gap> {
        let mut watch = self.watches.remove(&host)?;
        watch.until(now);
        Some(watch.gap)
    }

    /// A frame came in. Where it leaves: at the port behind which its destination was seen, or at all others when it is for
    /// many, or for nobody who is known. What is no Ethernet frame leaves nowhere.
    pub fn frame(&mut self, from: PortId, frame: &[u8], now: Duration) -> Vec<Leaves> {
        let Some(port) = self.ports.get_mut(&from) else {
            return Vec::new();
        };
        port.counts.received += 1;
        let source_host = port.host;
        let (Some(destination), Some(source)) = (mac(frame, 0), mac(frame, 6)) else {
            return Vec::new();
        };
        if let Some(watch) = self.watches.get_mut(&source_host) {
            watch.frame(now);
        }
        if !is_group(source) {
            self.table.insert(source, from);
        }
        let known = self
            .table
            .get(&destination)
            .filter(|_| !is_group(destination));
        let leaving: Vec<PortId> = match known {
            Some(port) => vec![*port],
            None => self.ports.keys().copied().collect(),
        };
        let others = leaving.into_iter().filter(|port| *port != from);
        others
            .filter_map(|port| self.leaves(source_host, port))
            .collect()
    }

    /// What the rules make of a frame for that port.
    fn leaves(&mut self, source: Host, port: PortId) -> Option<Leaves> {
        let host = self.ports.get(&port)?.host;
        let mut after = Duration::ZERO;
        let mut lost = false;
        for (from, to, effect) in self.rules.values() {
            if (*from, *to) != (source, host) {
                continue;
            }
            match effect {
                Effect::Cut => lost = true,
                Effect::Delay(time) => after += *time,
                Effect::Lose(share) => lost |= draw(&mut self.chance) < *share,
            }
        }
        let counts = &mut self.ports.get_mut(&port)?.counts;
        if lost {
            counts.dropped += 1;
            return None;
        }
        counts.sent += 1;
        Some(Leaves { port, after })
    }
}

/// The address at that place of a frame that is long enough to have a type, too.
fn mac(frame: &[u8], at: usize) -> Option<Mac> {
    let header = frame.get(..14)?;
    header.get(at..at + 6)?.try_into().ok()
}

/// For many (IEEE 802-2014 §8.2.2: the first bit that is sent).
fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// The next number in 0..1 (splitmix64).
fn draw(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what the mantissa holds"
    )]
    let number = (z >> 11) as f64 / (1_u64 << 53) as f64;
    number
}
