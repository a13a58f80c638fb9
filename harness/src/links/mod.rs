//! The taps of all links, and the faults of the network.
//!
//! Comes in: faults between hosts and on links. Goes out: the state of every tap that they concern, also of
//! taps that are made later. Called by the substrates whose nodes are reached over sockets.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand_chacha::rand_core::Rng;

mod sink;
mod wiring;

pub(crate) use sink::SinkListener;
pub(crate) use wiring::{Loopback, Wiring};

use crate::{
    history::{Event, Fault},
    scenario,
    tap::{Board, Direction, Link, LinkState, Proxy, ReplyFault},
    toxics::{
        Kind, Stream, Toxic,
        remote::{Remote, RemoteError, RemoteProxy, RemoteState},
    },
};

type Name = (String, String);

/// Why a fault of a link could not begin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("toxic already exists")]
    ToxicExists,
    /// Whoever stands on the links cannot do it, and why.
    #[error("{0}")]
    NotApplicable(&'static str),
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// What stands on a link.
#[derive(Debug)]
enum Tap {
    Own(Proxy),
    /// A Toxiproxy's proxy: nothing is known of what passes.
    External(RemoteProxy),
}

impl Tap {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Own(proxy) => proxy.address(),
            Self::External(proxy) => proxy.address(),
        }
    }
}

/// All links of a cluster.
#[derive(Debug)]
pub(crate) struct Links {
    board: Arc<Board>,
    wiring: Arc<dyn Wiring>,
    /// What toxics leave to chance comes from it.
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taps: BTreeMap<Name, Tap>,
    /// Whose proxies are taken instead of our own.
    toxiproxy: Option<Arc<Remote>>,
    /// What the Toxiproxy has refused when nobody could be told.
    failed: Option<RemoteError>,
    /// Where a host is to be reached, when it is; of a sink by whom.
    targets: BTreeMap<(Option<String>, String), SocketAddr>,
    /// Faults that last and are in effect, in the order in which they began.
    faults: Vec<Fault>,
}

impl Links {
    pub(crate) fn new(board: Arc<Board>, seed: u64, wiring: Arc<dyn Wiring>) -> Self {
        Self {
            board,
            wiring,
            seed,
            state: Mutex::new(State::default()),
        }
    }

    /// The address at which `from` reaches `to`: the link's tap, made when it is new.
    pub(crate) fn address(&self, from: &str, to: &str) -> io::Result<SocketAddr> {
        let mut state = self.state();
        let name = (from.to_string(), to.to_string());
        if let Some(tap) = state.taps.get(&name) {
            return Ok(tap.address());
        }
        let tap = match &state.toxiproxy {
            Some(remote) => {
                if state.taps.is_empty() {
                    let by = format!("a Toxiproxy at {}", remote.api());
                    self.board.recorder().record(Event::Unobserved { by });
                }
                Tap::External(
                    remote
                        .create(&format!("{from}>{to}"))
                        .map_err(io::Error::other)?,
                )
            }
            None => {
                let link = self.board.link(from, to);
                let purpose = format!("toxics {}", link.name());
                let seed = scenario::stream(self.seed, &purpose).next_u64();
                let target = state.target(from, to);
                let listener = self.wiring.listen(from, to)?;
                let dial = self.wiring.dial(from, to);
                Tap::Own(Proxy::on(listener, link, target, dial, seed)?)
            }
        };
        let address = tap.address();
        state.taps.insert(name.clone(), tap);
        state.set(&name).map_err(io::Error::other)?;
        match &state.failed {
            Some(failed) => Err(io::Error::other(failed.clone())),
            None => Ok(address),
        }
    }

    /// Taps that are made from now on are proxies of this Toxiproxy.
    pub(crate) fn use_toxiproxy(&self, remote: Arc<Remote>) {
        self.state().toxiproxy = Some(remote);
    }

    /// Where `to` is to be reached from now on; `None`: it is dead. With `from`, only on that link.
    pub(crate) fn set_target(&self, from: Option<&str>, to: &str, target: Option<SocketAddr>) {
        let mut state = self.state();
        let key = (from.map(String::from), to.to_string());
        match target {
            Some(target) => drop(state.targets.insert(key, target)),
            None => drop(state.targets.remove(&key)),
        }
        let there: Vec<Name> = state
            .taps
            .keys()
            .filter(|(_, host)| host == to)
            .cloned()
            .collect();
        for name in there {
            let target = state.target(&name.0, &name.1);
            if let Some(Tap::Own(tap)) = state.taps.get(&name) {
                tap.set_target(target);
            } else if let Err(error) = state.set(&name) {
                state.failed.get_or_insert(error);
            }
        }
    }

    /// A fault of the network begins, or open connections are reset.
    ///
    /// # Errors
    /// The link has a toxic of that name, or what stands on the links cannot do it.
    pub(crate) fn begin(&self, fault: &Fault) -> Result<(), LinkError> {
        let mut state = self.state();
        if state.toxiproxy.is_some()
            && let Some(reason) = beyond_toxiproxy(fault)
        {
            return Err(LinkError::NotApplicable(reason));
        }
        match fault {
            Fault::Reset { .. } => {
                if let Some(Tap::Own(tap)) = fault.link().and_then(|link| state.tap(link)) {
                    tap.change(LinkState::reset);
                }
                return Ok(());
            }
            Fault::Garble { link } => self.link(link).replies().add(ReplyFault::Garble),
            Fault::DelayReply { link, latency_us } => {
                let time = Duration::from_micros(*latency_us);
                self.link(link).replies().add(ReplyFault::Delay(time));
            }
            Fault::Toxic { link, toxic } => {
                let same = |other: &Fault| matches!(other, Fault::Toxic { link: on, toxic: other } if on == link && other.name == toxic.name);
                if state.faults.iter().any(same) {
                    return Err(LinkError::ToxicExists);
                }
            }
            _ => {}
        }
        state.faults.push(fault.clone());
        if let Fault::HostCrash { node } = fault {
            for ((from, to), tap) in &state.taps {
                // What is open falls silent, and never recovers; the handshakes of new connections wait for the host.
                if let (true, Tap::Own(tap)) = (from == node || to == node, tap) {
                    tap.change(|state| state.set_black_hole(true));
                }
            }
        }
        state.set_all()?;
        Ok(())
    }

    /// …and ends, if it is in effect.
    pub(crate) fn end(&self, fault: &Fault) -> bool {
        let mut state = self.state();
        let Some(at) = state.faults.iter().position(|other| other == fault) else {
            return false;
        };
        state.faults.remove(at);
        if let Err(error) = state.set_all() {
            state.failed.get_or_insert(error);
        }
        // A reply that was struck already stays as it was.
        match fault {
            Fault::Garble { link } => {
                self.link(link).replies().take_back(ReplyFault::Garble);
            }
            Fault::DelayReply { link, latency_us } => {
                let time = Duration::from_micros(*latency_us);
                self.link(link).replies().take_back(ReplyFault::Delay(time));
            }
            _ => {}
        }
        true
    }

    /// Ends all taps with their connections.
    pub(crate) fn shutdown(&self) {
        self.state().taps.clear();
    }

    fn link(&self, link: &str) -> Arc<Link> {
        let (from, to) = link.split_once('>').unwrap_or((link, ""));
        self.board.link(from, to)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn target(&self, from: &str, to: &str) -> Option<SocketAddr> {
        let by_link = self.targets.get(&(Some(from.to_string()), to.to_string()));
        by_link
            .or_else(|| self.targets.get(&(None, to.to_string())))
            .copied()
    }

    fn tap(&self, (from, to): (&str, &str)) -> Option<&Tap> {
        self.taps.get(&(from.to_string(), to.to_string()))
    }

    fn set_all(&mut self) -> Result<(), RemoteError> {
        let all: Vec<Name> = self.taps.keys().cloned().collect();
        all.iter().try_for_each(|name| self.set(name))
    }

    /// Brings a link's tap into the state that the faults in effect give it.
    fn set(&mut self, name: &Name) -> Result<(), RemoteError> {
        let wanted = self.remote_state(name);
        match self.taps.get_mut(name) {
            None => {}
            Some(Tap::External(proxy)) => proxy.become_this(wanted)?,
            Some(Tap::Own(_)) => self.set_own(name),
        }
        Ok(())
    }

    /// What the faults in effect are in toxics.
    fn remote_state(&self, (from, to): &Name) -> RemoteState {
        let on = (from.as_str(), to.as_str());
        let on_link = || self.faults.iter().filter(|fault| fault.link() == Some(on));
        let mut toxics = Vec::new();
        for stream in Stream::BOTH {
            let mut add = |word: &str, kind| {
                let name = format!("gauntlet_{word}_{stream}");
                toxics.push(Toxic {
                    name,
                    ..Toxic::new(kind, stream)
                });
            };
            let lost = on_link().any(|fault| {
                matches!(fault, Fault::BlackHole { stream: way, .. } if way.is_none_or(|way| way == stream))
            });
            if lost {
                add("black_hole", Kind::Timeout { timeout: 0 });
            }
            let delay = on_link().filter_map(|fault| match fault {
                Fault::Delay { latency_us, .. } => Some(latency_us.div_ceil(1000)),
                _ => None,
            });
            if let Some(latency) = delay.max() {
                add("delay", Kind::Latency { latency, jitter: 0 });
            }
        }
        toxics.extend(on_link().filter_map(|fault| match fault {
            Fault::Toxic { toxic, .. } => Some(toxic.clone()),
            _ => None,
        }));
        let down = on_link().any(|fault| matches!(fault, Fault::Down { .. }));
        RemoteState {
            target: self.target(from, to).filter(|_| !down),
            toxics,
        }
    }

    fn set_own(&self, (from, to): &Name) {
        let Some(Tap::Own(tap)) = self.tap((from, to)) else {
            return;
        };
        let on_link = || {
            let on = (from.as_str(), to.as_str());
            self.faults.iter().filter(move |f| f.link() == Some(on))
        };
        let delay = on_link().filter_map(|fault| match fault {
            Fault::Delay { latency_us, .. } => Some(*latency_us),
            _ => None,
        });
        let delay = Duration::from_micros(delay.max().unwrap_or(0));
        tap.change(|state| {
            for direction in [Direction::ToServer, Direction::ToClient] {
                let (sender, receiver) = match direction {
                    Direction::ToServer => (from, to),
                    Direction::ToClient => (to, from),
                };
                let lost = on_link().any(|fault| {
                    matches!(fault, Fault::BlackHole { stream, .. }
                        if stream.is_none_or(|stream| stream == direction.into()))
                });
                let flow = state.flow_mut(direction);
                flow.held = is_cut(&self.faults, sender, receiver);
                flow.delay = delay;
                flow.set_black_hole(lost);
            }
            state.set_down(on_link().any(|fault| matches!(fault, Fault::Down { .. })));
            let toxics: Vec<&Toxic> = on_link()
                .filter_map(|fault| match fault {
                    Fault::Toxic { toxic, .. } => Some(toxic),
                    _ => None,
                })
                .collect();
            state.toxics.become_these(&toxics);
        });
    }
}

/// Why a Toxiproxy cannot do it, if it cannot.
fn beyond_toxiproxy(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Partition { .. } => {
            Some("a Toxiproxy drops octets, and cannot send them again after healing")
        }
        Fault::Reset { .. } => {
            Some("a Toxiproxy resets a connection only when octets come (`type = \"reset_peer\"`)")
        }
        Fault::Garble { .. } | Fault::DelayReply { .. } => {
            Some("a Toxiproxy does not know what a reply is")
        }
        _ => None,
    }
}

/// Nothing gets from one host to the other.
fn is_cut(faults: &[Fault], from: &str, to: &str) -> bool {
    faults.iter().any(|fault| match fault {
        Fault::Partition { a, b, one_way } => {
            (a == from && b == to) || (!one_way && a == to && b == from)
        }
        Fault::HostCrash { node } => node == from || node == to,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Recorder;

    fn own(state: &State, from: &str, to: &str) -> LinkState {
        match state.tap((from, to)) {
            Some(Tap::Own(tap)) => tap.state(),
            other => panic!("{other:?}"),
        }
    }

    fn held(links: &Links, from: &str, to: &str) -> (bool, bool) {
        links.address(from, to).expect("a tap");
        let state = links.state();
        let state = own(&state, from, to);
        (state.to_server.held, state.to_client.held)
    }

    #[tokio::test]
    async fn partitions_overlap_and_reach_later_taps() {
        let board = Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
        let links = Links::new(board, 1, Arc::new(Loopback));
        links.address("n1", "n2").expect("a tap");
        let partition = |one_way| Fault::Partition {
            a: "n1".into(),
            b: "n2".into(),
            one_way,
        };
        links.begin(&partition(false)).expect("begun");
        links.begin(&partition(true)).expect("begun");
        assert_eq!(held(&links, "n1", "n2"), (true, true));
        assert_eq!(
            held(&links, "n2", "n1"),
            (true, true),
            "a tap that is made later"
        );
        assert_eq!(held(&links, "n1", "n3"), (false, false));
        assert!(links.end(&partition(false)));
        assert_eq!(held(&links, "n1", "n2"), (true, false));
        assert_eq!(held(&links, "n2", "n1"), (false, true));
        assert!(links.end(&partition(true)));
        assert!(!links.end(&partition(true)), "it has ended");
        assert_eq!(held(&links, "n2", "n1"), (false, false));
    }

    #[tokio::test]
    async fn delays_and_targets_are_per_link() {
        let board = Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
        let links = Links::new(board, 1, Arc::new(Loopback));
        let delay = Fault::Delay {
            link: "n1>sink-1".into(),
            latency_us: 70,
        };
        links.begin(&delay).expect("begun");
        links.address("n1", "sink-1").expect("a tap");
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        links.set_target(Some("n1"), "sink-1", Some(port(1)));
        links.set_target(None, "n2", Some(port(2)));
        let state = links.state();
        let tap = own(&state, "n1", "sink-1");
        assert_eq!(tap.to_client.delay, Duration::from_micros(70));
        assert_eq!(state.target("n1", "sink-1"), Some(port(1)));
        assert_eq!(state.target("n2", "sink-1"), None);
        assert_eq!(state.target("client-1", "n2"), Some(port(2)));
    }

    #[tokio::test]
    async fn toxics_and_one_way_holes_begin_and_end_with_their_faults() {
        let board = Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
        let links = Links::new(board, 1, Arc::new(Loopback));
        let state = |links: &Links| {
            links.address("n1", "n2").expect("a tap");
            let state = links.state();
            own(&state, "n1", "n2")
        };
        let link = || "n1>n2".to_string();
        let toxic = |name: &str| Fault::Toxic {
            link: link(),
            toxic: Toxic {
                name: name.into(),
                ..Toxic::new(Kind::SlowClose { delay: 5 }, Stream::Upstream)
            },
        };
        links.begin(&toxic("a")).expect("begun");
        assert_eq!(links.begin(&toxic("a")), Err(LinkError::ToxicExists));
        links.begin(&toxic("b")).expect("begun");
        let before = state(&links);
        assert_eq!(before.toxics.of(Stream::Upstream).len(), 2);
        let hole = Fault::BlackHole {
            link: link(),
            stream: Some(Stream::Upstream),
        };
        links.begin(&hole).expect("begun");
        links.begin(&Fault::Down { link: link() }).expect("begun");
        let now = state(&links);
        assert!(now.is_down() && !now.connects());
        assert!(
            Arc::ptr_eq(
                now.toxics.of(Stream::Upstream),
                before.toxics.of(Stream::Upstream)
            ),
            "toxics at work are left alone"
        );
        assert!(links.end(&hole) && links.end(&Fault::Down { link: link() }));
        assert!(links.end(&toxic("a")));
        let after = state(&links);
        assert!(after.connects() && !after.is_down());
        let names: Vec<&str> = after
            .toxics
            .all()
            .map(|toxic| toxic.name.as_str())
            .collect();
        assert_eq!(names, ["b"]);
    }
}
