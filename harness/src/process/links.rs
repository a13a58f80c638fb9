//! The taps of all links, and the faults of the network.
//!
//! Comes in: faults between hosts and on links. Goes out: the state of every tap that they concern, also of
//! taps that are made later. Called by [`cluster`](super::cluster).

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::namespace::Namespaces;
use crate::{
    history::Fault,
    tap::{Board, FlowState, LinkState, Proxy},
};

type Name = (String, String);

/// All links of a cluster.
#[derive(Debug)]
pub(super) struct Links {
    board: Arc<Board>,
    /// Where the nodes are, when each has a network of its own.
    namespaces: Option<Arc<Namespaces>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taps: BTreeMap<Name, Proxy>,
    /// Where a host is to be reached, when it is; of a sink by whom.
    targets: BTreeMap<(Option<String>, String), SocketAddr>,
    /// Partitions, delays and black holes that are in effect.
    faults: Vec<Fault>,
}

impl Links {
    pub(super) fn new(board: Arc<Board>, namespaces: Option<Arc<Namespaces>>) -> Self {
        Self {
            board,
            namespaces,
            state: Mutex::new(State::default()),
        }
    }

    /// The address at which `from` reaches `to`: the link's tap, made when it is new.
    pub(super) fn address(&self, from: &str, to: &str) -> io::Result<SocketAddr> {
        let mut state = self.state();
        let name = (from.to_string(), to.to_string());
        if let Some(tap) = state.taps.get(&name) {
            return Ok(tap.address());
        }
        let (link, target) = (self.board.link(from, to), state.target(from, to));
        let tap = match &self.namespaces {
            None => Proxy::start(link, target)?,
            Some(all) => Proxy::on(all.listen(from, to)?, link, target, all.dial(from, to))?,
        };
        state.set(&tap);
        let address = tap.address();
        state.taps.insert(name, tap);
        Ok(address)
    }

    /// Where `to` is to be reached from now on; `None`: it is dead. With `from`, only on that link.
    pub(super) fn set_target(&self, from: Option<&str>, to: &str, target: Option<SocketAddr>) {
        let mut state = self.state();
        let key = (from.map(String::from), to.to_string());
        match target {
            Some(target) => drop(state.targets.insert(key, target)),
            None => drop(state.targets.remove(&key)),
        }
        for ((from, _), tap) in state.taps.iter().filter(|((_, host), _)| host == to) {
            tap.set_target(state.target(from, to));
        }
    }

    /// A partition, delay or black hole begins, or open connections are reset.
    pub(super) fn begin(&self, fault: &Fault) {
        let mut state = self.state();
        if let Fault::Reset { link } = fault {
            let meant = state.taps.values().filter(|tap| tap.link().name() == link);
            return meant.for_each(|tap| tap.change(LinkState::reset));
        }
        state.faults.push(fault.clone());
        for tap in state.taps.values() {
            if let Fault::HostCrash { node } = fault
                && (tap.link().from() == node || tap.link().to() == node)
            {
                // What is open falls silent, and never recovers; the handshakes of new connections wait for the host.
                tap.change(|state| state.set_black_hole(true));
            }
            state.set(tap);
        }
    }

    /// …and ends, if it is in effect.
    pub(super) fn end(&self, fault: &Fault) -> bool {
        let mut state = self.state();
        let Some(at) = state.faults.iter().position(|other| other == fault) else {
            return false;
        };
        state.faults.remove(at);
        state.taps.values().for_each(|tap| state.set(tap));
        true
    }

    /// Ends all taps with their connections.
    pub(super) fn shutdown(&self) {
        self.state().taps.clear();
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

    /// Brings a tap into the state that the faults in effect give it.
    fn set(&self, tap: &Proxy) {
        let link = tap.link();
        let (from, to, name) = (link.from(), link.to(), link.name());
        let delay = delay(&self.faults, name);
        let to_server = FlowState {
            held: is_cut(&self.faults, from, to),
            delay,
        };
        let to_client = FlowState {
            held: is_cut(&self.faults, to, from),
            delay,
        };
        let black_hole = self
            .faults
            .iter()
            .any(|fault| matches!(fault, Fault::BlackHole { link } if link == name));
        tap.change(|state| {
            state.to_server = to_server;
            state.to_client = to_client;
            state.set_black_hole(black_hole);
        });
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

/// The longest delay of a link, in both directions.
fn delay(faults: &[Fault], name: &str) -> Duration {
    let of = |fault: &Fault| match fault {
        Fault::Delay { link, latency_us } if link == name => Some(*latency_us),
        _ => None,
    };
    Duration::from_micros(faults.iter().filter_map(of).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Recorder;

    fn held(links: &Links, from: &str, to: &str) -> (bool, bool) {
        links.address(from, to).expect("a tap");
        let state = links.state();
        let state = state.taps[&(from.to_string(), to.to_string())].state();
        (state.to_server.held, state.to_client.held)
    }

    #[tokio::test]
    async fn partitions_overlap_and_reach_later_taps() {
        let board = Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
        let links = Links::new(board, None);
        links.address("n1", "n2").expect("a tap");
        let partition = |one_way| Fault::Partition {
            a: "n1".into(),
            b: "n2".into(),
            one_way,
        };
        links.begin(&partition(false));
        links.begin(&partition(true));
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
        let links = Links::new(board, None);
        links.begin(&Fault::Delay {
            link: "n1>sink-1".into(),
            latency_us: 70,
        });
        links.address("n1", "sink-1").expect("a tap");
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        links.set_target(Some("n1"), "sink-1", Some(port(1)));
        links.set_target(None, "n2", Some(port(2)));
        let state = links.state();
        let tap = &state.taps[&("n1".to_string(), "sink-1".to_string())];
        assert_eq!(tap.state().to_client.delay, Duration::from_micros(70));
        assert_eq!(state.target("n1", "sink-1"), Some(port(1)));
        assert_eq!(state.target("n2", "sink-1"), None);
        assert_eq!(state.target("client-1", "n2"), Some(port(2)));
    }
}
