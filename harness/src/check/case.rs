//! A history, indexed: what checkers look at.
//!
//! Comes in: the records of one run. Goes out: [`Case`], with submissions and their outcomes, connections and
//! their transactions, faults and their ends, and the nodes' lives. Called by [`judge`](super::judge).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Ledger,
    config::Config,
    heartbeat::holding::Hold,
    index::{Index, Place},
    wire::{Connection, Exchange},
};
use crate::{
    history::{Event, Fault, NodeView, Outcome, Phase, Record, Reply, Submission, Transaction},
    scenario::{Plan, Setting, Step},
};

/// A place in the history. Ordered by its place, not by its time: two records may have the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The record's number.
    pub seq: u64,
    /// Microseconds since the run began.
    pub t_us: u64,
}

impl Moment {
    /// Where a record stands.
    pub fn of(record: &Record) -> Self {
        Self {
            seq: record.seq,
            t_us: record.t_us,
        }
    }
}

/// One submission, from its first record to its last.
#[derive(Debug)]
pub struct Submitted<'h> {
    /// When the client began.
    pub at: Moment,
    /// What it submitted.
    pub what: &'h Submission,
    /// Whom it is for: its envelope recipients, groups replaced by their members, each once.
    pub recipients: Vec<&'h str>,
    /// When it had sent the end of data.
    pub data_sent: Option<Moment>,
    /// When it knew the outcome; `None` when the history ends before.
    pub ended: Option<Moment>,
    /// The outcome; indeterminate when the history ends before it is known.
    pub outcome: Outcome,
    /// The reply that decided it.
    pub reply: Option<&'h Reply>,
    /// What broke it off.
    pub error: Option<&'h str>,
    /// Recipients refused at RCPT; members of a refused group, where no other name for them was accepted.
    pub refused: BTreeMap<&'h str, &'h Reply>,
    /// The transport server that a front end passed it on to; `None` where there is no front end, or it passed the
    /// end of data on to nobody.
    pub passed_to: Option<&'h str>,
    /// Whether the session could be used afterwards, when that was tried.
    pub usable: Option<(Moment, bool)>,
}

impl<'h> Submitted<'h> {
    /// It was acked.
    pub fn acked(&self) -> bool {
        self.outcome == Outcome::Acked
    }

    /// Its primary server: the transport server that took it in. Behind a front end it is not the node that the
    /// client spoke to; where the end of data did not come so far, it is the front end, which is none.
    pub fn node(&self) -> &'h str {
        self.passed_to.unwrap_or_else(|| self.server())
    }

    /// The node that the client spoke to.
    pub fn server(&self) -> &'h str {
        self.what.link.split_once('>').map_or("", |(_, to)| to)
    }
}

/// A fault and its ends.
#[derive(Debug)]
pub struct FaultSpan<'h> {
    /// Its number.
    pub number: u32,
    /// What it is.
    pub what: &'h Fault,
    /// The trigger that fired it.
    pub trigger: Option<&'h str>,
    /// When it was decided on.
    pub planned: Moment,
    /// When it took effect; `None`: it never did.
    pub landed: Option<Moment>,
    /// When it was taken back; of a crash, when the node was up again.
    pub healed: Option<Moment>,
    /// Why it could not be injected.
    pub failed: Option<&'h str>,
}

impl FaultSpan<'_> {
    /// It was in force at some time in between `from` and `to` (microseconds).
    pub fn overlaps(&self, from: u64, to: u64) -> bool {
        self.landed.is_some_and(|at| at.t_us <= to) && self.healed.is_none_or(|at| at.t_us >= from)
    }
}

/// A start of a node.
#[derive(Debug, Clone, Copy)]
pub struct Started<'h> {
    /// When it accepted mail.
    pub at: Moment,
    /// How many times it has been started, from 1.
    pub incarnation: u32,
    /// The ID of its transport database, when known.
    pub database: Option<&'h str>,
}

/// A run, indexed.
#[derive(Debug)]
pub struct Case<'h> {
    /// All records, in order.
    pub records: &'h [Record],
    /// What was to be done.
    pub plan: &'h Plan,
    /// `sim`, `process`, …
    pub substrate: &'h str,
    /// The documented parameters, scaled.
    pub config: Config<'h>,
    /// Submissions, in the order of their beginning.
    pub submissions: Vec<Submitted<'h>>,
    /// Connections by link, in the order of their numbers.
    pub links: BTreeMap<&'h str, Vec<Connection<'h>>>,
    /// Faults, in the order of their numbers.
    pub faults: Vec<FaultSpan<'h>>,
    /// Starts by node.
    pub starts: BTreeMap<&'h str, Vec<Started<'h>>>,
    /// Steps as they began: the index in the plan.
    pub steps: Vec<(Moment, usize)>,
    /// Phases as they began.
    pub phases: Vec<(Moment, Phase)>,
    /// Moments at which nothing was queued and no shadow was held anywhere.
    pub quiet: Vec<Moment>,
    /// The end of the settle phase: whether nothing was left to do, and what was.
    pub settled: Option<(Moment, bool, &'h [String])>,
    /// The last view of each node.
    pub views: BTreeMap<&'h str, (Moment, &'h NodeView)>,
    /// Every view, in the order of the history.
    pub(super) every_view: Vec<(Moment, &'h str, &'h NodeView)>,
    /// Why the run did not come to its end, if it did not.
    pub truncated: Option<String>,
    /// Time of the last record, microseconds.
    pub last_us: u64,
    pub(super) index: Index<'h>,
    ledger: Ledger<'h>,
    holds: Vec<Hold<'h>>,
    /// Whose proxies stood on the links, when they told nothing of what passed.
    pub unobserved: Option<&'h str>,
}

impl<'h> Case<'h> {
    /// Indexes the records of a run. `None` when they do not begin with [`Event::Begin`]: nothing can be said then.
    pub fn new(records: &'h [Record]) -> Option<Self> {
        let Event::Begin {
            substrate,
            time_scale,
            plan,
            ..
        } = &records.first()?.event
        else {
            return None;
        };
        let mut case = Self {
            records,
            plan: plan.as_ref(),
            substrate,
            config: Config::new(&plan.scenario, substrate, *time_scale),
            submissions: Vec::new(),
            links: BTreeMap::new(),
            faults: Vec::new(),
            starts: BTreeMap::new(),
            steps: Vec::new(),
            phases: Vec::new(),
            quiet: Vec::new(),
            settled: None,
            views: BTreeMap::new(),
            every_view: Vec::new(),
            truncated: Some("the history has no end".into()),
            last_us: records.last().map_or(0, |r| r.t_us),
            index: Index::default(),
            ledger: Ledger::default(),
            holds: Vec::new(),
            unobserved: None,
        };
        for record in records {
            case.take(record);
        }
        case.index.read(&case.links, plan);
        case.find_quiet();
        case.find_passed_on();
        case.ledger = Ledger::new(&case);
        case.holds = Hold::all(&case);
        Some(case)
    }

    fn take(&mut self, record: &'h Record) {
        let at = Moment::of(record);
        match &record.event {
            Event::Unobserved { by } => self.unobserved = Some(by),
            Event::Submit(what) => {
                let place = self.submissions.len();
                self.index.submissions.insert(what.submission, place);
                let of_message = self.index.of_message.entry(what.message);
                of_message.or_default().push(place);
                self.submissions.push(Submitted {
                    at,
                    what,
                    recipients: self.meant(&what.recipients, |_| true),
                    data_sent: None,
                    ended: None,
                    outcome: Outcome::Indeterminate,
                    reply: None,
                    error: None,
                    refused: BTreeMap::new(),
                    passed_to: None,
                    usable: None,
                });
            }
            Event::DataSent { submission } => {
                if let Some(s) = self.submission_mut(*submission) {
                    s.data_sent = Some(at);
                }
            }
            Event::Outcome {
                submission,
                outcome,
                reply,
                refused,
                error,
            } => {
                let named = self
                    .index
                    .submissions
                    .get(submission)
                    .map_or(&[][..], |place| &self.submissions[*place].what.recipients);
                let accepted = self.meant(named, |to| !refused.contains_key(to));
                let lost: BTreeMap<&str, &Reply> = refused
                    .iter()
                    .flat_map(|(to, reply)| {
                        let members = self.plan.scenario.cluster.members(to);
                        members.into_iter().map(move |member| (member, reply))
                    })
                    .filter(|(member, _)| !accepted.contains(member))
                    .collect();
                if let Some(s) = self.submission_mut(*submission) {
                    s.ended = Some(at);
                    s.outcome = *outcome;
                    s.reply = reply.as_ref();
                    s.error = error.as_deref();
                    s.refused = lost;
                }
            }
            Event::SessionUsable { submission, usable } => {
                if let Some(s) = self.submission_mut(*submission) {
                    s.usable = Some((at, *usable));
                }
            }
            Event::Wire {
                link,
                connection,
                wire,
            } => {
                let connections = self.links.entry(link).or_default();
                let known = self.index.connections.entry((link, *connection));
                let place = *known.or_insert_with(|| {
                    connections.push(Connection::new(link, *connection, at));
                    connections.len() - 1
                });
                connections[place].take(at, wire);
            }
            Event::FaultPlanned {
                fault,
                what,
                trigger,
            } => self.faults.push(FaultSpan {
                number: *fault,
                what,
                trigger: trigger.as_deref(),
                planned: at,
                landed: None,
                healed: None,
                failed: None,
            }),
            Event::FaultLanded { fault } => self.with_fault(*fault, |f| f.landed = Some(at)),
            Event::FaultHealed { fault } => self.with_fault(*fault, |f| f.healed = Some(at)),
            Event::FaultFailed { fault, reason } => {
                self.with_fault(*fault, |f| f.failed = Some(reason))
            }
            Event::NodeUp {
                node,
                incarnation,
                database,
            } => {
                for fault in &mut self.faults {
                    let ended = fault.landed.is_some() && !fault.what.leaves_node_running();
                    if fault.what.node() == Some(node) && ended {
                        fault.healed.get_or_insert(at);
                    }
                }
                self.starts.entry(node).or_default().push(Started {
                    at,
                    incarnation: *incarnation,
                    database: database.as_deref(),
                });
            }
            Event::Step { index, .. } => self.steps.push((at, *index)),
            Event::Phase { phase } => self.phases.push((at, *phase)),
            Event::View { node, view } => {
                self.views.insert(node, (at, view));
                self.every_view.push((at, node, view));
            }
            Event::Settled { quiescent, pending } => self.settled = Some((at, *quiescent, pending)),
            Event::End { reason } => {
                self.truncated =
                    (reason != "completed").then(|| format!("the run ended early: {reason}"));
            }
            _ => {}
        }
    }

    /// A `wait-quiet` that ended before its time was up is a moment of quiet, and so is a quiescent settling.
    fn find_quiet(&mut self) {
        let mut ends: Vec<Moment> = self
            .steps
            .iter()
            .map(|s| s.0)
            .chain(self.phases.iter().map(|p| p.0))
            .collect();
        ends.sort();
        for (began, index) in &self.steps {
            let Some(Step::WaitQuiet { at_most }) = self.plan.scenario.step.get(*index) else {
                continue;
            };
            let Some(ended) = ends.iter().find(|end| *end > began) else {
                continue;
            };
            let most = self.config.scaled(at_most.0);
            if u128::from(ended.t_us.saturating_sub(began.t_us)) < most.as_micros() {
                self.quiet.push(*ended);
            }
        }
        if let Some((at, true, _)) = self.settled {
            self.quiet.push(at);
        }
    }

    /// Behind a front end the primary server is the one that got the end of data from it.
    fn find_passed_on(&mut self) {
        for i in 0..self.submissions.len() {
            let to = self
                .passed_on(&self.submissions[i])
                .map(|(connection, _)| connection.to);
            self.submissions[i].passed_to = to;
        }
    }

    fn submission_mut(&mut self, number: u32) -> Option<&mut Submitted<'h>> {
        let place = self.index.submissions.get(&number)?;
        self.submissions.get_mut(*place)
    }

    fn at_place(
        &self,
        (link, connection, exchange): Place<'h>,
    ) -> (&Connection<'h>, &Exchange<'h>) {
        let connection = &self.links[link][connection];
        (connection, &connection.exchanges[exchange])
    }

    /// Transactions that carried a message to an end of data, in the order of the history.
    pub fn exchanges_of(
        &self,
        message: u32,
    ) -> impl DoubleEndedIterator<Item = (&Connection<'h>, &Exchange<'h>)> {
        let places = self.index.exchanges_of.get(&message);
        places
            .into_iter()
            .flatten()
            .map(|place| self.at_place(*place))
    }

    /// Transactions of nodes that were answered with 5yz at their end of data, in the order of links and connections.
    pub(super) fn bounced(&self) -> impl Iterator<Item = (&Connection<'h>, &Exchange<'h>)> {
        (self.index.bounced().iter()).map(|place| self.at_place(*place))
    }

    /// Connections of nodes on which a greeting, a recipient or another command was answered with 5yz, in the order of links.
    pub(super) fn refusing(&self) -> impl Iterator<Item = &Connection<'h>> {
        (self.index.refusing().iter()).map(|(link, place)| &self.links[link][*place])
    }

    /// Transactions of nodes that name neither message nor transport ID.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = (&Connection<'h>, &Exchange<'h>)> {
        (self.index.unnamed().iter()).map(|place| self.at_place(*place))
    }

    /// When a host put off what some node had for it, in order: with 4yz before any message's data, or by not being there.
    pub(super) fn put_off(&self, host: &str) -> &[Moment] {
        self.index.put_off(host)
    }

    /// Submissions of a message, in their order.
    pub fn submissions_of(&self, message: u32) -> impl DoubleEndedIterator<Item = &Submitted<'h>> {
        let places = self.index.of_message.get(&message);
        places
            .into_iter()
            .flatten()
            .map(|place| &self.submissions[*place])
    }

    /// Which server held a shadow message for which primary server, in the order of their beginning.
    pub(super) fn holds(&self) -> &[Hold<'h>] {
        &self.holds
    }

    /// Transactions that named this transport ID, in the order of the history.
    pub fn exchanges_named(
        &self,
        transport_id: &str,
    ) -> impl DoubleEndedIterator<Item = (&Connection<'h>, &Exchange<'h>)> {
        let places = self.index.exchanges_named.get(transport_id);
        places
            .into_iter()
            .flatten()
            .map(|place| self.at_place(*place))
    }

    /// The ledger of messages.
    pub fn ledger(&self) -> &Ledger<'h> {
        &self.ledger
    }

    fn with_fault(&mut self, number: u32, change: impl FnOnce(&mut FaultSpan<'h>)) {
        if let Some(fault) = self.faults.iter_mut().find(|f| f.number == number) {
            change(fault);
        }
    }

    /// Whom envelope recipients stand for, of those that `wanted` says.
    fn meant(&self, named: &'h [String], wanted: impl Fn(&str) -> bool) -> Vec<&'h str> {
        let mut meant = Vec::new();
        for to in named.iter().filter(|to| wanted(to.as_str())) {
            for member in self.plan.scenario.cluster.members(to) {
                if !meant.contains(&member) {
                    meant.push(member);
                }
            }
        }
        meant
    }

    /// Submissions that were acked.
    pub fn acked(&self) -> impl Iterator<Item = &Submitted<'h>> {
        self.submissions.iter().filter(|s| s.acked())
    }

    /// All connections of all links.
    pub fn connections(&self) -> impl Iterator<Item = &Connection<'h>> {
        self.links.values().flatten()
    }

    /// All transactions that reached their end of data, with their connections, in the order of the history.
    pub fn exchanges(&self) -> Vec<(&Connection<'h>, &Exchange<'h>)> {
        let places = self.index.exchanges.iter();
        places.map(|place| self.at_place(*place)).collect()
    }

    /// The connection and the transaction in which a submission reached its end of data. It may go by after the client
    /// has given up, but not after the same message is submitted again.
    pub fn exchange_of(&self, s: &Submitted<'h>) -> Option<(&Connection<'h>, &Exchange<'h>)> {
        let again = self.submissions_of(s.what.message).find(|o| o.at > s.at);
        self.exchanges_of(s.what.message)
            .filter(|(c, _)| c.link == s.what.link)
            .filter(|(_, e)| e.sent > s.at && again.is_none_or(|o| e.sent < o.at))
            // Of several the one on the first connection.
            .min_by_key(|(c, e)| (c.opened, e.sent))
    }

    /// The connection and the transaction in which a front end passed a submission's end of data on.
    pub fn passed_on(&self, s: &Submitted<'h>) -> Option<(&Connection<'h>, &Exchange<'h>)> {
        if !self.is_front_end(s.server()) {
            return None;
        }
        let again = self.submissions_of(s.what.message).find(|o| o.at > s.at);
        self.exchanges_of(s.what.message)
            .filter(|(c, _)| c.from == s.server() && self.is_2013(c.to))
            .find(|(_, e)| e.sent > s.at && again.is_none_or(|o| e.sent < o.at))
    }

    /// The shadow copy of a submission that another node confirmed before the sender was answered, or gave up.
    pub fn copy_of(&self, s: &Submitted<'h>) -> Option<(&Connection<'h>, &Exchange<'h>)> {
        let own = self.exchange_of(s);
        let answered = own.and_then(|(_, e)| e.reply.map(|(at, _)| at)).or(s.ended);
        // What is sent again can be the same octet for octet: then a copy that begins from there on is the next one's.
        let attempt = own.and_then(|(_, e)| e.attempt);
        let again = self
            .submissions_of(s.what.message)
            .find(|o| o.at > s.at)
            .filter(|o| {
                let next = self.exchange_of(o).and_then(|(_, e)| e.attempt);
                attempt.zip(next).is_none_or(|(this, next)| this == next)
            });
        let mut copies = self.copies(s.what.message);
        copies.retain(|(c, e)| {
            let same = e
                .attempt
                .zip(attempt)
                .is_none_or(|(copy, sent)| copy == sent);
            let in_time = e
                .acked()
                .is_some_and(|at| answered.is_none_or(|end| at < end));
            same && in_time
                && e.sent > s.at
                && again.is_none_or(|o| e.sent < o.at)
                && c.from == s.node()
                && c.to != c.from
                && self.is_node(c.to)
        });
        copies.into_iter().next()
    }

    /// Shadow copies of a message, in order.
    pub fn copies(&self, message: u32) -> Vec<(&Connection<'h>, &Exchange<'h>)> {
        self.exchanges_of(message)
            .filter(|(_, e)| e.kind == Transaction::Copy)
            .collect()
    }

    /// Some of the mail holds octets that look like an end of data.
    pub fn smuggles(&self) -> bool {
        self.plan
            .scenario
            .step
            .iter()
            .any(|s| matches!(s, Step::Submit(s) if s.smuggle.is_some()))
    }

    /// It is a node of the cluster.
    pub fn is_node(&self, host: &str) -> bool {
        self.plan.scenario.cluster.nodes.iter().any(|n| n == host)
    }

    /// It is a stateless front end.
    pub fn is_front_end(&self, host: &str) -> bool {
        self.plan.scenario.cluster.is_front_end(host)
    }

    /// It is a 2010-style hub.
    pub fn is_hub_2010(&self, host: &str) -> bool {
        self.plan.scenario.cluster.is_hub_2010(host)
    }

    /// It is a 2013-style transport server: no front end, no 2010-style hub.
    pub fn is_2013(&self, host: &str) -> bool {
        self.is_node(host) && !self.is_front_end(host) && !self.is_hub_2010(host)
    }

    /// It is a sink.
    pub fn is_sink(&self, host: &str) -> bool {
        self.plan.scenario.cluster.sinks.iter().any(|s| s == host)
    }

    /// The nodes of a node's transport high availability boundary, without itself: of its DAG, or of its site.
    pub fn boundary(&self, node: &str) -> BTreeSet<&'h str> {
        let cluster = &self.plan.scenario.cluster;
        let of = |groups: &'h BTreeMap<String, Vec<String>>, node: &str| {
            groups
                .values()
                .find(|nodes| nodes.iter().any(|n| n == node))
        };
        let dag = of(&cluster.dags, node);
        let home = dag
            .or_else(|| of(&cluster.sites, node))
            .unwrap_or(&cluster.nodes);
        // A site is the boundary of those of its nodes that are in no DAG.
        home.iter()
            .map(String::as_str)
            .filter(|n| *n != node && (dag.is_some() || of(&cluster.dags, n).is_none()))
            // A front end holds nothing, and no copies are made on 2010-style hubs, or by them.
            .filter(|n| self.is_2013(n) && self.is_2013(node))
            .collect()
    }

    /// The nodes that may hold a node's shadow messages: those of its boundary that ShadowMessagePreferenceSetting allows,
    /// which has a meaning only in a DAG over several sites (SC-05 to SC-08).
    pub fn shadow_servers(&self, node: &str) -> BTreeSet<&'h str> {
        let cluster = &self.plan.scenario.cluster;
        let mut servers = self.boundary(node);
        let in_dag = cluster.dags.values().flatten().any(|n| n == node);
        let site = cluster
            .sites
            .values()
            .find(|nodes| nodes.iter().any(|n| n == node));
        let Some(site) = site.filter(|_| in_dag) else {
            return servers;
        };
        let local = |n: &str| site.iter().any(|s| s == n);
        if servers.iter().all(|n| local(n)) {
            return servers;
        }
        match self.config.setting(node, "ShadowMessagePreferenceSetting") {
            Some(Setting::Text(text)) if text == "RemoteOnly" => servers.retain(|n| !local(n)),
            Some(Setting::Text(text)) if text == "LocalOnly" => servers.retain(|n| local(n)),
            _ => {}
        }
        servers
    }

    /// The address belongs to a mailbox of the cluster.
    pub fn is_mailbox(&self, address: &str) -> bool {
        address
            .rsplit_once('@')
            .is_some_and(|(_, domain)| domain.eq_ignore_ascii_case("mailbox.example"))
    }

    /// Faults that landed and are about this link: on it, or on one of its hosts.
    pub fn faults_on<'c>(
        &'c self,
        from: &'c str,
        to: &'c str,
    ) -> impl Iterator<Item = &'c FaultSpan<'h>> {
        self.faults
            .iter()
            .filter(move |f| f.landed.is_some() && concerns(f.what, from, to))
    }

    /// Whether octets that passed the tap of one of the links between two hosts at that moment may not have arrived, or not
    /// have been acted on: a fault was, or came, upon the way or one of its ends.
    pub fn may_be_lost(&self, a: &str, b: &str, at: Moment) -> bool {
        let way_us = if self.substrate == "sim" {
            10_000
        } else {
            500_000
        };
        self.faults_on(a, b)
            .chain(self.faults_on(b, a))
            .any(|f| f.overlaps(at.t_us, at.t_us.saturating_add(way_us)))
    }

    /// Whether the node was up, and not frozen, all the time in between (microseconds).
    pub fn well_between(&self, node: &str, from: u64, to: u64) -> bool {
        !self
            .faults
            .iter()
            .any(|f| f.what.node() == Some(node) && f.overlaps(from, to))
    }
}

fn concerns(fault: &Fault, from: &str, to: &str) -> bool {
    match fault {
        Fault::Partition { a, b, .. } => (a == from && b == to) || (a == to && b == from),
        _ => match fault.link() {
            Some((a, b)) => a == from && b == to,
            None => fault.node().is_some_and(|node| node == from || node == to),
        },
    }
}
