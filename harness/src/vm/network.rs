//! The network of a cluster of guests: who is where, and how what passes between them passes the taps.
//!
//! Comes in: the names of hosts. Goes out: addresses, ways to guests, and partitions by address.
//!
//! Every host has a *stand-in* on the switch, a TCP stack of the harness's own. What guest `n1` sends to `n2` goes to the
//! stand-in of `n2`, from there to the tap `n1>n2` on loopback, and on as a connection of the stand-in of `n1` to guest
//! `n2`. A guest and its stand-in are one host to the switch: so a way that is cut between `n1` and `n2` is cut for the frames
//! of this link, and for no other.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use gauntlet_machines::{
    stack::Stack,
    switch::{Effect, Host, Mac, Rule, Switch},
};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    history::Fault,
    links::{Links, Wiring},
    tap::{Dial, bind_loopback},
};

/// Where every host takes mail.
pub(super) const SMTP: u16 = 25;

/// How many bits of an address are the network's.
pub(super) const PREFIX: u8 = 16;

/// Who asks a node for its view: no fault of the network concerns it.
const HARNESS: &str = "the harness";

/// The cluster's network.
pub(super) struct Network {
    switch: Switch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<String, Arc<StandIn>>,
    partitions: Vec<(Fault, Vec<Rule>)>,
}

/// A host's own stack on the switch.
struct StandIn {
    number: u8,
    stack: Stack,
    doors: Mutex<BTreeMap<SocketAddrV4, SocketAddr>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    /// A network without hosts.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            switch: Switch::new(seed),
            state: Mutex::default(),
        }
    }

    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Who that is on the switch.
    pub(super) fn host(&self, name: &str) -> Host {
        Host(u16::from(self.stand_in(name).number))
    }

    /// Lets guests find the nodes and sinks of these links.
    pub(super) fn expose(&self, nodes: &[String], sinks: &[String], links: &Arc<Links>) {
        let numbers: BTreeMap<Ipv4Addr, String> = nodes
            .iter()
            .map(|node| (*self.guest(node, SMTP).ip(), node.clone()))
            .collect();
        let numbers = Arc::new(numbers);
        for to in nodes.iter().chain(sinks) {
            let (links, numbers, name): (Weak<Links>, _, _) =
                (Arc::downgrade(links), numbers.clone(), to.clone());
            let route = move |peer: Ipv4Addr| {
                let from = numbers.get(&peer)?;
                links.upgrade()?.address(from, &name).ok()
            };
            self.stand_in(to).stack.expose(SMTP, Arc::new(route));
        }
    }

    /// Where guests find that node or sink.
    pub(super) fn address_for_guests(&self, name: &str) -> SocketAddrV4 {
        SocketAddrV4::new(stand_in_address(self.stand_in(name).number), SMTP)
    }

    /// Where a guest itself is.
    pub(super) fn guest(&self, name: &str, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, self.stand_in(name).number), port)
    }

    /// The Ethernet address of a guest.
    pub(super) fn mac(&self, name: &str) -> Mac {
        [0x52, 0x54, 0, 0x77, 0, self.stand_in(name).number]
    }

    /// A new loopback port that leads to that port of a guest, past every fault of the network but the guest's own. Nobody has
    /// a connection to it from before the guest's host was lost.
    pub(super) fn door(&self, name: &str, port: u16) -> io::Result<SocketAddr> {
        self.stand_in(HARNESS).stack.door(self.guest(name, port))
    }

    /// Begins a partition. Other faults are none of the switch's.
    pub(super) fn begin(&self, fault: &Fault) {
        let Fault::Partition { a, b, one_way } = fault else {
            return;
        };
        let (from, to) = (self.host(a), self.host(b));
        let mut rules = vec![self.switch.rule(from, to, Effect::Cut)];
        if !one_way {
            rules.push(self.switch.rule(to, from, Effect::Cut));
        }
        self.state().partitions.push((fault.clone(), rules));
    }

    /// Ends one; says whether it was in effect.
    pub(super) fn end(&self, fault: &Fault) -> bool {
        let mut state = self.state();
        let at = state
            .partitions
            .iter()
            .position(|(other, _)| other == fault);
        at.map(|at| state.partitions.remove(at)).is_some()
    }

    fn stand_in(&self, name: &str) -> Arc<StandIn> {
        let mut state = self.state();
        if let Some(there) = state.hosts.get(name) {
            return there.clone();
        }
        // Clusters have a few hosts; more than 250 would share numbers, and scenarios with so many are refused before.
        let number = u8::try_from(state.hosts.len() + 1).unwrap_or(u8::MAX);
        let mac = [0x52, 0x54, 0, 0x77, 1, number];
        let host = Host(u16::from(number));
        let stack = Stack::start(&self.switch, host, mac, stand_in_address(number), PREFIX);
        let doors = Mutex::default();
        let made = Arc::new(StandIn {
            number,
            stack,
            doors,
        });
        state.hosts.insert(name.to_owned(), made.clone());
        made
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stand_in_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, number)
}

impl StandIn {
    fn door(&self, to: SocketAddrV4) -> io::Result<SocketAddr> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = doors.get(&to) {
            return Ok(*door);
        }
        let door = self.stack.door(to)?;
        doors.insert(to, door);
        Ok(door)
    }
}

/// Taps stand on loopback. What is meant for a guest goes on through the stand-in of its sender.
#[derive(Debug)]
pub(super) struct Wires(pub(super) Arc<Network>);

impl Wiring for Wires {
    fn listen(&self, _from: &str, _to: &str) -> io::Result<TcpListener> {
        bind_loopback()
    }

    fn dial(&self, from: &str, _to: &str) -> Option<Dial> {
        let stand_in = self.0.stand_in(from);
        Some(Dial::new(move |target| {
            let stand_in = stand_in.clone();
            Box::pin(async move {
                match target {
                    // A guest's.
                    SocketAddr::V4(guest) if !guest.ip().is_loopback() => {
                        TcpStream::connect(stand_in.door(guest)?).await
                    }
                    // A sink's.
                    other => TcpStream::connect(other).await,
                }
            })
        }))
    }
}
