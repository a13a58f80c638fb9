//! The board: all links of a run, their connections, and the triggers that are hung on their events.
//!
//! Comes in: what a substrate's network moves on each connection. Goes out: wire records, and
//! [`TriggeredAction`]s to the injector that the runner has set. An event is recorded before its triggers
//! fire, and no lock is held while the injector runs: it may crash nodes and cut links.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{Direction, Observer, ReplyFaults, TriggerError, When, reply_faults::ReplyLines};
use crate::{
    history::{Event, Local, Recorder, Wire},
    scenario::{Span, Step, Trigger},
};

/// What a trigger wants done.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggeredAction {
    /// The trigger's `when`.
    pub trigger: String,
    /// What to do now.
    pub action: Step,
    /// After this documented duration…
    pub after: Option<Span>,
    /// …do this.
    pub then: Option<Step>,
}

type Injector = Arc<dyn Fn(TriggeredAction) + Send + Sync>;

/// All links of a run.
#[derive(Debug)]
pub struct Board {
    shared: Arc<Shared>,
    links: Mutex<BTreeMap<(String, String), Arc<Link>>>,
}

/// What links need of the board; a link does not keep the board itself alive.
struct Shared {
    recorder: Arc<Recorder>,
    triggers: Vec<Armed>,
    injector: Mutex<Option<Injector>>,
    /// The step that is being done; [`NO_STEP`] outside the load phase.
    step: AtomicU32,
    /// What `explore` wants to know of a run; `None` otherwise.
    observed: Option<Mutex<Observed>>,
}

/// Events that were seen by one call: all of them pass, or happen, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The number of its first record.
    pub first: u64,
    /// …and of its last.
    pub last: u64,
    /// So many times octets without an event had passed on all links before it.
    pub silent: u32,
}

#[derive(Default)]
struct Observed {
    calls: Vec<Call>,
    silent: u32,
}

const NO_STEP: u32 = u32::MAX;

/// A trigger, and how often its event was seen.
struct Armed {
    when: When,
    trigger: Trigger,
    seen: AtomicU32,
}

/// One link `from>to`.
#[derive(Debug)]
pub struct Link {
    name: String,
    from: String,
    to: String,
    shared: Arc<Shared>,
    connections: AtomicU32,
    replies: ReplyFaults,
}

/// One connection on a link, as its tap sees it.
#[derive(Debug)]
pub struct TapConnection {
    link: Arc<Link>,
    number: u32,
    observer: Observer,
    lines: ReplyLines,
    closed: bool,
}

/// The triggers that some octets have fired. Call [`before`](Self::before), pass the octets on, then call
/// [`after`](Self::after). Nothing is done by a value that is only dropped.
#[must_use = "triggers strike in `before` and `after`"]
#[derive(Default)]
pub struct Fired {
    injector: Option<Injector>,
    before: Vec<TriggeredAction>,
    after: Vec<TriggeredAction>,
}

impl Board {
    /// A board with these triggers. Fails at the first `when` that cannot be understood.
    pub fn new(recorder: Arc<Recorder>, triggers: &[Trigger]) -> Result<Arc<Self>, TriggerError> {
        Self::with(recorder, triggers, None)
    }

    /// The same, of a run whose history has every local event of its nodes too, and which keeps its [`Call`]s.
    pub fn observing(
        recorder: Arc<Recorder>,
        triggers: &[Trigger],
    ) -> Result<Arc<Self>, TriggerError> {
        Self::with(recorder, triggers, Some(Mutex::default()))
    }

    fn with(
        recorder: Arc<Recorder>,
        triggers: &[Trigger],
        observed: Option<Mutex<Observed>>,
    ) -> Result<Arc<Self>, TriggerError> {
        let triggers = triggers.iter().map(Armed::new).collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared {
            recorder,
            triggers,
            injector: Mutex::new(None),
            step: AtomicU32::new(NO_STEP),
            observed,
        });
        Ok(Arc::new(Self {
            shared,
            links: Mutex::new(BTreeMap::new()),
        }))
    }

    /// The link of that name; made when it is new.
    pub fn link(self: &Arc<Self>, from: &str, to: &str) -> Arc<Link> {
        let mut links = lock(&self.links);
        let link = links.entry((from.into(), to.into())).or_insert_with(|| {
            Arc::new(Link {
                name: format!("{from}>{to}"),
                from: from.into(),
                to: to.into(),
                shared: self.shared.clone(),
                connections: AtomicU32::new(0),
                replies: ReplyFaults::default(),
            })
        });
        link.clone()
    }

    /// Sets who does what triggers want. Until then events are recorded and not counted.
    ///
    /// The board keeps `f`: what `f` itself keeps of the cluster should be weak, or be let go by another
    /// call at the run's end.
    pub fn set_injector(&self, f: Arc<dyn Fn(TriggeredAction) + Send + Sync>) {
        *lock(&self.shared.injector) = Some(f);
    }

    /// Says which step of the plan is being done, or that none is: triggers with `during` listen accordingly.
    pub fn set_step(&self, index: Option<u32>) {
        self.shared
            .step
            .store(index.unwrap_or(NO_STEP), Ordering::Relaxed);
    }

    /// The triggers that never fired, as `when`, with how many of their events were seen when `nth` is not 1.
    pub fn unfired(&self) -> Vec<String> {
        self.shared
            .triggers
            .iter()
            .filter_map(Armed::unfired)
            .collect()
    }

    /// Something happens within a node. It is recorded when this board observes, or when a trigger means it.
    pub fn local(&self, node: &str, what: Local, name: Option<&str>) -> Fired {
        let meant = self.shared.meant(|when| when.is_local(node, what, name));
        if meant.is_empty() && self.shared.observed.is_none() {
            return Fired::default();
        }
        let seq = self.shared.recorder.record(Event::Local {
            node: node.into(),
            what,
            name: name.map(str::to_owned),
        });
        self.shared.called(seq, seq);
        let mut fired = Fired::default();
        self.shared.fire(meant, &mut fired);
        fired
    }

    /// The calls so far, in order; none unless this board observes.
    pub fn calls(&self) -> Vec<Call> {
        let observed = self.shared.observed.as_ref();
        observed.map_or_else(Vec::new, |observed| lock(observed).calls.clone())
    }

    /// The recorder of the run.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.shared.recorder
    }
}

impl Armed {
    fn new(trigger: &Trigger) -> Result<Self, TriggerError> {
        let when = When::parse(&trigger.when)?;
        if trigger.nth == 0 {
            return Err(TriggerError {
                when: trigger.when.clone(),
                reason: "`nth` counts from 1".into(),
            });
        }
        Ok(Self {
            when,
            trigger: trigger.clone(),
            seen: AtomicU32::new(0),
        })
    }

    fn listens(&self, step: u32) -> bool {
        self.trigger
            .during
            .is_none_or(|[first, last]| (first..=last).contains(&step) && step != NO_STEP)
    }

    /// It strikes at the event of that number, from 1.
    fn strikes_at(&self, number: u32) -> bool {
        let Trigger { nth, every, .. } = self.trigger;
        match (number.checked_sub(nth), every) {
            (Some(0), _) => true,
            (Some(beyond), Some(every)) => beyond.is_multiple_of(every),
            _ => false,
        }
    }

    fn unfired(&self) -> Option<String> {
        let seen = self.seen.load(Ordering::Relaxed);
        let Trigger { when, nth, .. } = &self.trigger;
        (seen < *nth).then(|| {
            if *nth == 1 {
                when.clone()
            } else {
                format!("{when} (number {nth}; seen {seen})")
            }
        })
    }
}

impl Shared {
    /// Records what happened on a link, then says what it fires.
    fn happened(&self, link: &Link, connection: u32, events: Vec<Wire>) -> Fired {
        let mut fired = Fired::default();
        let mut seen: Option<(u64, u64)> = None;
        for wire in events {
            let meant =
                self.meant(|when| when.is_link(&link.from, &link.to) && when.is_event(&wire));
            let seq = self.recorder.record(Event::Wire {
                link: link.name.clone(),
                connection,
                wire,
            });
            seen = Some((seen.map_or(seq, |(first, _)| first), seq));
            self.fire(meant, &mut fired);
        }
        match seen {
            Some((first, last)) => self.called(first, last),
            None => {
                if let Some(observed) = &self.observed {
                    lock(observed).silent += 1;
                }
            }
        }
        fired
    }

    fn called(&self, first: u64, last: u64) {
        if let Some(observed) = &self.observed {
            let mut observed = lock(observed);
            let silent = observed.silent;
            observed.calls.push(Call {
                first,
                last,
                silent,
            });
        }
    }

    /// The triggers that listen now and mean this.
    fn meant(&self, is: impl Fn(&When) -> bool) -> Vec<&Armed> {
        let step = self.step.load(Ordering::Relaxed);
        self.triggers
            .iter()
            .filter(|armed| armed.listens(step) && is(&armed.when))
            .collect()
    }

    /// Counts the event for those who mean it, and adds what they want done.
    fn fire(&self, meant: Vec<&Armed>, fired: &mut Fired) {
        if meant.is_empty() {
            return;
        }
        if fired.injector.is_none() {
            fired.injector.clone_from(&lock(&self.injector));
        }
        if fired.injector.is_none() {
            return;
        }
        for armed in meant {
            if armed.strikes_at(armed.seen.fetch_add(1, Ordering::Relaxed) + 1) {
                let Trigger {
                    when,
                    before,
                    action,
                    after,
                    then,
                    ..
                } = armed.trigger.clone();
                let list = if before {
                    &mut fired.before
                } else {
                    &mut fired.after
                };
                list.push(TriggeredAction {
                    trigger: when,
                    action,
                    after,
                    then,
                });
            }
        }
    }
}

impl Link {
    /// `from>to`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who opens its connections.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Who accepts them.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// What strikes its next replies.
    pub fn replies(&self) -> &ReplyFaults {
        &self.replies
    }

    /// A connection was opened.
    pub fn open(self: &Arc<Self>) -> (TapConnection, Fired) {
        let number = self.next_number();
        let fired = self.shared.happened(self, number, vec![Wire::Connect]);
        (
            TapConnection {
                link: self.clone(),
                number,
                observer: Observer::new(),
                lines: ReplyLines::default(),
                closed: false,
            },
            fired,
        )
    }

    /// A connection could not be opened. It has a number, too.
    pub fn connect_failed(&self, error: &str) -> Fired {
        self.shared.happened(
            self,
            self.next_number(),
            vec![Wire::ConnectFailed {
                error: error.into(),
            }],
        )
    }

    fn next_number(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl TapConnection {
    /// Its number on its link, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its link.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Octets are about to be passed on.
    pub fn observe(&mut self, direction: Direction, octets: &[u8]) -> Fired {
        if self.closed {
            return Fired::default();
        }
        let events = self.observer.feed(direction, octets);
        self.link.shared.happened(&self.link, self.number, events)
    }

    /// Octets that were observed go on now: what they become, and how long they wait before; `None`: they go as they are.
    pub(crate) fn strike(
        &mut self,
        direction: Direction,
        octets: &[u8],
    ) -> Option<(Bytes, Duration)> {
        match direction {
            Direction::ToServer => None,
            Direction::ToClient => self.link.replies.strike(&mut self.lines, octets),
        }
    }

    /// The connection has ended: `by` is `client`, `server` or `tap`. Only the first call counts.
    pub fn closed(&mut self, by: &str, reset: bool) -> Fired {
        if std::mem::replace(&mut self.closed, true) {
            return Fired::default();
        }
        self.link.shared.happened(
            &self.link,
            self.number,
            vec![Wire::Close {
                by: by.into(),
                reset,
            }],
        )
    }
}

impl Fired {
    /// Does what is to strike before the octets go on. A second call does nothing.
    pub fn before(&mut self) {
        let actions = std::mem::take(&mut self.before);
        self.inject(actions);
    }

    /// Does what is to strike right after the octets went on (and what `before` was not called for).
    pub fn after(mut self) {
        self.before();
        let actions = std::mem::take(&mut self.after);
        self.inject(actions);
    }

    /// Nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    fn inject(&self, actions: Vec<TriggeredAction>) {
        if let Some(injector) = &self.injector {
            actions.into_iter().for_each(|action| injector(action));
        }
    }
}

impl fmt::Debug for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fired")
            .field("before", &self.before)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("triggers", &self.triggers.len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACKED: &str = "220 n1\r\n250 n1\r\n250 ok\r\n250 ok\r\n354 go\r\n";

    fn trigger(when: &str, nth: u32, before: bool) -> Trigger {
        let action = Step::Freeze {
            node: format!("{when}/{nth}"),
        };
        Trigger {
            when: when.into(),
            nth,
            before,
            action,
            after: None,
            then: None,
            every: None,
            during: None,
        }
    }

    fn board(triggers: &[Trigger]) -> (Arc<Board>, Arc<Mutex<Vec<String>>>) {
        let board = Board::new(Arc::new(Recorder::in_memory()), triggers).expect("good triggers");
        let done = Arc::new(Mutex::new(Vec::new()));
        let (log, recorder) = (done.clone(), board.recorder().clone());
        board.set_injector(Arc::new(move |action| {
            // The recorder can be used here: no lock is held.
            let Step::Freeze { node } = action.action else {
                return;
            };
            lock(&log).push(format!(
                "{node} after {} records",
                recorder.with_records(<[_]>::len)
            ));
        }));
        (board, done)
    }

    fn send_mail(connection: &mut TapConnection) {
        connection
            .observe(
                Direction::ToServer,
                b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
            )
            .after();
        connection
            .observe(Direction::ToClient, ACKED.as_bytes())
            .after();
        connection
            .observe(Direction::ToServer, b"X-Gauntlet-Message: 4.1\r\n\r\n.\r\n")
            .after();
        connection
            .observe(Direction::ToClient, b"250 ok\r\n")
            .after();
    }

    #[test]
    fn triggers_fire_once_at_their_nth_event_after_it_is_recorded() {
        let (board, done) = board(&[
            trigger("client-1>n1 connect", 1, false),
            trigger("*>n1 acked", 1, true),
            trigger("*>n1 connect", 2, false),
            trigger("n1>n2 copy acked", 1, false),
            trigger("*>n1 close", 3, false),
        ]);
        let link = board.link("client-1", "n1");
        let (mut connection, fired) = link.open();
        fired.after();
        send_mail(&mut connection);
        connection.closed("client", false).after();
        connection.closed("server", true).after();
        link.open().1.after();
        board.link("client-2", "n1").open().1.after();
        assert_eq!(
            *lock(&done),
            [
                "client-1>n1 connect/1 after 1 records",
                "*>n1 acked/1 after 12 records",
                "*>n1 connect/2 after 14 records"
            ]
        );
        assert_eq!(
            board.unfired(),
            ["n1>n2 copy acked", "*>n1 close (number 3; seen 1)"]
        );
    }

    #[test]
    fn before_and_after_strike_where_they_say() {
        let (board, done) = board(&[
            trigger("*>* greeting", 1, false),
            trigger("a>* greeting", 1, true),
        ]);
        let (mut connection, fired) = board.link("a", "b").open();
        assert!(fired.is_empty());
        let mut fired = connection.observe(Direction::ToClient, b"220 b\r\n");
        fired.before();
        assert_eq!(*lock(&done), ["a>* greeting/1 after 2 records"]);
        fired.before();
        fired.after();
        assert_eq!(lock(&done)[1..], ["*>* greeting/1 after 2 records"]);
    }

    #[test]
    fn during_some_steps_only() {
        let during = Trigger {
            during: Some([1, 2]),
            ..trigger("a>b connect", 2, false)
        };
        let (board, done) = board(&[during]);
        let link = board.link("a", "b");
        for step in [None, Some(0), Some(1), Some(3), None] {
            board.set_step(step);
            link.open().1.after();
        }
        assert_eq!(board.unfired(), ["a>b connect (number 2; seen 1)"]);
        board.set_step(Some(2));
        link.open().1.after();
        assert_eq!(*lock(&done), ["a>b connect/2 after 6 records"]);
    }

    #[test]
    fn every_so_many_events_after_the_nth() {
        let again = Trigger {
            every: Some(3),
            ..trigger("a>b connect", 2, false)
        };
        let (board, done) = board(&[again]);
        let link = board.link("a", "b");
        for _ in 0..9 {
            link.open().1.after();
        }
        assert_eq!(
            *lock(&done),
            [2, 5, 8].map(|number| format!("a>b connect/2 after {number} records"))
        );
        assert!(board.unfired().is_empty());
    }

    #[test]
    fn connections_are_numbered_on_each_link() {
        let (board, _) = board(&[]);
        assert!(Arc::ptr_eq(&board.link("a", "b"), &board.link("a", "b")));
        assert_eq!(board.link("a", "b").open().0.number(), 1);
        board.link("a", "b").connect_failed("refused").after();
        assert_eq!(board.link("a", "b").open().0.number(), 3);
        assert_eq!(board.link("b", "a").open().0.number(), 1);
        assert_eq!(board.link("b", "a").name(), "b>a");
    }

    #[test]
    fn nth_zero_is_an_error() {
        let error = Board::new(
            Arc::new(Recorder::in_memory()),
            &[trigger("a>b acked", 0, false)],
        )
        .err();
        assert_eq!(
            error.map(|e| e.to_string()).as_deref(),
            Some("`a>b acked`: `nth` counts from 1")
        );
    }
}
