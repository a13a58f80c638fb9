//! What would otherwise be looked for among all that there is, once for each message.
//!
//! Comes in: connections by link. Goes out: places of transactions, what servers asked and answered each other, signs of
//! life, moments at which a next hop put mail off. Called by [`Case`](super::Case), which looks things up in it.

use std::collections::{BTreeMap, HashMap};

use super::{
    Moment,
    heartbeat::asking::{Ask, asked_on},
    wire::Connection,
};
use crate::{
    history::{Reply, Wire},
    scenario::Plan,
};

/// Where a transaction is: the link, and places in its connections and in their transactions.
pub(super) type Place<'h> = (&'h str, usize, usize);

/// The index of a run.
#[derive(Debug, Default)]
pub(super) struct Index<'h> {
    /// A link's connection by its number: its place.
    pub(super) connections: HashMap<(&'h str, u32), usize>,
    /// A submission by its number: the place of the last one of that number.
    pub(super) submissions: HashMap<u32, usize>,
    /// A message's submissions, in their order.
    pub(super) of_message: HashMap<u32, Vec<usize>>,
    /// Transactions that reached their end of data, in the order of the history.
    pub(super) exchanges: Vec<Place<'h>>,
    /// …those of a message.
    pub(super) exchanges_of: HashMap<u32, Vec<Place<'h>>>,
    /// …those that named a transport ID.
    pub(super) exchanges_named: HashMap<&'h str, Vec<Place<'h>>>,
    /// By link: what its client asked its server of discard events.
    talks: HashMap<&'h str, Talk<'h>>,
    /// By host and other host: when the first may have learned that the other lives, in order, whoever opened the session.
    lives: HashMap<&'h str, HashMap<&'h str, Vec<u64>>>,
    /// Transactions of nodes that were answered with 5yz at their end of data.
    bounced: Vec<Place<'h>>,
    /// …and connections of nodes on which something else was: the link, and the place.
    refusing: Vec<(&'h str, usize)>,
    /// Transactions of nodes that name neither message nor transport ID.
    unnamed: Vec<Place<'h>>,
    /// By host: when it put mail off that a node had for it, in order: at the start of a session, or by not being there.
    put_off: HashMap<&'h str, Vec<Moment>>,
}

/// What one server asked another.
#[derive(Debug, Default)]
struct Talk<'h> {
    asks: Vec<Ask<'h>>,
    answers: Vec<Moment>,
}

impl<'h> Index<'h> {
    /// Reads the finished connections of a run.
    pub(super) fn read(&mut self, links: &BTreeMap<&'h str, Vec<Connection<'h>>>, plan: &'h Plan) {
        self.read_exchanges(links);
        let is_node = |host: &str| plan.scenario.cluster.nodes.iter().any(|n| n == host);
        for (link, connections) in links {
            let Some((from, to)) = link.split_once('>').filter(|(from, _)| is_node(from)) else {
                continue;
            };
            for (place, connection) in connections.iter().enumerate() {
                if !connection.refused_recipients().is_empty() || refuses_all(connection) {
                    self.refusing.push((link, place));
                }
                for (at, exchange) in connection.exchanges.iter().enumerate() {
                    if exchange.reply.is_some_and(|(_, reply)| reply.code >= 500) {
                        self.bounced.push((link, place, at));
                    }
                    if exchange.message.is_none() && exchange.transport_id.is_none() {
                        self.unnamed.push((link, place, at));
                    }
                }
            }
            let moments = connections.iter().flat_map(put_off);
            self.put_off.entry(to).or_default().extend(moments);
            if is_node(to) {
                self.talks.insert(link, Talk::new(connections));
                let mut learns = |host, other, says: fn(&Wire) -> bool| {
                    let events = connections.iter().flat_map(|c| &c.events);
                    let times = events.filter(|(_, wire)| says(wire)).map(|(at, _)| at.t_us);
                    let of_host = self.lives.entry(host).or_default();
                    of_host.entry(other).or_default().extend(times);
                };
                learns(from, to, says_server_lives);
                learns(to, from, says_client_lives);
            }
        }
        self.put_off.values_mut().for_each(|all| all.sort());
        for all in self.lives.values_mut().flat_map(HashMap::values_mut) {
            all.sort_unstable();
        }
    }

    fn read_exchanges(&mut self, links: &BTreeMap<&'h str, Vec<Connection<'h>>>) {
        let mut places: Vec<_> = links
            .iter()
            .flat_map(|(link, connections)| {
                connections
                    .iter()
                    .enumerate()
                    .flat_map(move |(c, connection)| {
                        let exchanges = connection.exchanges.iter().enumerate();
                        exchanges.map(move |(e, exchange)| {
                            let names = (exchange.message, exchange.transport_id);
                            ((*link, c, e), exchange.sent, names)
                        })
                    })
            })
            .collect();
        // The order of the history; two that were recorded by one record do not exist.
        places.sort_by_key(|(_, sent, _)| *sent);
        for (place, _, (message, transport_id)) in places {
            self.exchanges.push(place);
            if let Some(id) = transport_id {
                let named = self.exchanges_named.entry(id);
                named.or_default().push(place);
            }
            if let Some(message) = message {
                let of_message = self.exchanges_of.entry(message);
                of_message.or_default().push(place);
            }
        }
    }

    /// Transactions of nodes that were answered with 5yz at their end of data, by link.
    pub(super) fn bounced(&self) -> &[Place<'h>] {
        &self.bounced
    }

    /// Connections of nodes on which a greeting, a recipient or another command was answered with 5yz: link and place.
    pub(super) fn refusing(&self) -> &[(&'h str, usize)] {
        &self.refusing
    }

    /// Transactions of nodes that name neither message nor transport ID.
    pub(super) fn unnamed(&self) -> &[Place<'h>] {
        &self.unnamed
    }

    /// Every XQDISCARD on a link, in order.
    pub(super) fn asks(&self, link: &str) -> &[Ask<'h>] {
        self.talks.get(link).map_or(&[], |talk| &talk.asks)
    }

    /// Moments at which one was answered with 2xx, in order.
    pub(super) fn answers(&self, link: &str) -> &[Moment] {
        self.talks.get(link).map_or(&[], |talk| &talk.answers)
    }

    /// Times (microseconds) at which `host` may have learned that `other` lives, in order.
    pub(super) fn lives(&self, host: &str, other: &str) -> &[u64] {
        let of_host = self.lives.get(host);
        of_host
            .and_then(|all| all.get(other))
            .map_or(&[], Vec::as_slice)
    }

    /// When a host put off what some node had for it, in order: with 4yz before any message's data, or by not being there.
    pub(super) fn put_off(&self, host: &str) -> &[Moment] {
        self.put_off.get(host).map_or(&[], Vec::as_slice)
    }
}

impl<'h> Talk<'h> {
    fn new(connections: &[Connection<'h>]) -> Self {
        let asks = asked_on(connections);
        let answered = asks.iter().filter_map(|ask| ask.answered.as_ref());
        let mut answers: Vec<Moment> = answered.map(|(at, _)| *at).collect();
        // Questions in several sessions are not always answered in the order in which they were asked.
        answers.sort();
        Self { asks, answers }
    }
}

fn says_server_lives(wire: &Wire) -> bool {
    matches!(
        wire,
        Wire::Greeting { .. } | Wire::Reply { .. } | Wire::FinalReply { .. }
    )
}

fn says_client_lives(wire: &Wire) -> bool {
    matches!(wire, Wire::Command { .. } | Wire::EndOfData { .. })
}

/// A greeting, or a command that is not for one recipient, was answered with 5yz.
fn refuses_all(connection: &Connection<'_>) -> bool {
    connection.events.iter().any(|(_, wire)| match wire {
        Wire::Greeting { reply } | Wire::Reply { reply, .. } => reply.code >= 500,
        _ => false,
    })
}

/// When this server put mail off on a connection.
fn put_off(connection: &Connection<'_>) -> Vec<Moment> {
    let four = |reply: &Reply| (400..500).contains(&reply.code);
    let at_start = ["CONNECT", "EHLO", "HELO", "MAIL", "RCPT", "DATA"];
    let replies = connection
        .events
        .iter()
        .filter_map(|(at, wire)| match wire {
            Wire::Reply { verb, reply } if four(reply) && at_start.contains(&verb.as_str()) => {
                Some(*at)
            }
            _ => None,
        });
    let not_there = connection.failed.map(|_| connection.opened);
    not_there.into_iter().chain(replies).collect()
}
