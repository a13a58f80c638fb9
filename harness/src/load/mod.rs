//! A load: as much mail as a server takes, or as much as one says, with a ledger of what became of every message.
//!
//! Comes in: a [`LoadPlan`]. Goes out: [`Done`] with its figures; and the [`Ledger`] is filled. Called by `gauntlet load`.
//!
//! Reading order: [`plan`] says what is sent, a [`session`] sends it on a [`connection`] when the [`pacer`] says that it is due, and what became of it goes to
//! the [`ledger`] and the [`figures`].
//!
//! Sessions are tasks, dealt to a few threads with a runtime each; nothing is shared between threads but the next message's number, some
//! counters, and the ledger's file.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::Semaphore,
    task::{JoinSet, LocalSet},
};
use tokio_util::sync::CancellationToken;

use self::{
    ledger::Pages,
    session::{Session, Worker},
};
use crate::history::Outcome;

mod connection;
mod figures;
mod ledger;
mod pacer;
mod plan;
mod session;
#[cfg(test)]
pub(crate) mod testing;

pub use figures::{Bucket, Counts, FIGURES_VERSION, Figures, Latencies, Latency};
pub use ledger::{Entry, LEDGER_VERSION, Ledger};
pub use plan::{LoadPlan, MOST_RECIPIENTS, Pace, Template, TooSmall};

/// How often whoever watches is told, and lines wait no longer for the ledger.
const TICK: Duration = Duration::from_millis(200);

/// After an interruption messages that are on the way have so long to be answered.
const GRACE: Duration = Duration::from_secs(1);

/// Why a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// As many messages as were asked for.
    Count,
    /// Its time was up.
    Duration,
    /// Ctrl-C.
    Interrupted,
    /// No session could connect, not once.
    Unreachable,
    /// The ledger cannot be written.
    Ledger,
}

impl Reason {
    /// One word for the ledger and the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Duration => "duration",
            Self::Interrupted => "interrupted",
            Self::Unreachable => "unreachable",
            Self::Ledger => "ledger",
        }
    }
}

/// A load that is over.
#[derive(Debug)]
pub struct Done {
    /// Why it ended.
    pub reason: Reason,
    /// What was seen.
    pub figures: Figures,
}

/// How far a load is.
#[derive(Debug, Clone, Copy, Default)]
pub struct SoFar {
    /// Since the start.
    pub elapsed: Duration,
    /// Messages with an outcome.
    pub counts: Counts,
}

/// What all threads share.
struct Shared {
    plan: LoadPlan,
    template: Template,
    started: Instant,
    ends: Option<Instant>,
    /// The last number that was taken.
    number: AtomicU32,
    /// Open loop: a permit for each message that is due and was not taken.
    due_now: Semaphore,
    /// By [`Outcome`], in its order.
    outcomes: [AtomicU64; 4],
    connected: AtomicBool,
    failures: AtomicU32,
    unreachable: AtomicBool,
    /// No further message is begun.
    stop: CancellationToken,
    /// What is on the way is cut off.
    cut: CancellationToken,
}

/// Runs a load to its end: the count, the duration, `interrupted`, or a target that nobody can connect to. `watch` is told every
/// 200 ms how far it is.
///
/// # Errors
/// A message of the plan's size has no room for its header section, or the system gives no thread or no runtime.
pub fn run(
    plan: &LoadPlan,
    ledger: &Ledger,
    interrupted: &CancellationToken,
    watch: &mut dyn FnMut(SoFar),
) -> io::Result<Done> {
    let template = Template::new(plan, SystemTime::now())
        .map_err(|small| io::Error::new(io::ErrorKind::InvalidInput, small))?;
    let shared = Arc::new(Shared::new(plan.clone(), template));
    let threads = plan.threads.clamp(1, plan.sessions.max(1));
    let (over, ended) = mpsc::channel();
    for thread in 0..threads {
        let sessions = (1..=plan.sessions).filter(move |n| (n - 1) % threads == thread);
        let started = start(&shared, ledger, thread, sessions, over.clone());
        started.inspect_err(|_| shared.stop.cancel())?;
    }
    drop(over);
    let pacer = match plan.pace {
        Pace::Closed => None,
        Pace::Open { .. } => Some(pacer::start(&shared).inspect_err(|_| shared.stop.cancel())?),
    };

    let mut figures = Figures::default();
    let mut interrupted_at = None;
    loop {
        match ended.recv_timeout(TICK) {
            Ok(of_thread) => figures.merge(&of_thread),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        watch(shared.so_far());
        if ledger.failed() {
            shared.stop.cancel();
            shared.cut.cancel();
        }
        if interrupted.is_cancelled() {
            shared.stop.cancel();
            if interrupted_at.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                shared.cut.cancel();
            }
        }
    }
    if let Some(pacer) = pacer {
        // It has no reason to panic, and has said all that it has to say.
        let _ = pacer.join();
    }
    let until = interrupted_at.unwrap_or_else(Instant::now) - shared.started;
    if matches!(plan.pace, Pace::Open { .. }) {
        let due = shared.due_until(until);
        figures.counts.never_begun = due.saturating_sub(figures.counts.begun());
    }
    let counted = |count| figures.counts.begun() >= u64::from(count);
    let reason = if ledger.failed() {
        Reason::Ledger
    } else if interrupted_at.is_some() {
        Reason::Interrupted
    } else if shared.unreachable.load(Ordering::Relaxed) {
        Reason::Unreachable
    } else if plan.count.is_some_and(counted) {
        Reason::Count
    } else {
        Reason::Duration
    };
    Ok(Done { reason, figures })
}

/// Starts a thread with some of the sessions; it sends its figures when they are over.
fn start(
    shared: &Arc<Shared>,
    ledger: &Ledger,
    thread: u32,
    sessions: impl Iterator<Item = u32> + Send + 'static,
    over: mpsc::Sender<Figures>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shared = Arc::clone(shared);
    let pages = Pages::new(ledger);
    let work = move || {
        let worker = Rc::new(Worker {
            shared,
            figures: RefCell::default(),
            pages: RefCell::new(pages),
        });
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let mut running = JoinSet::new();
            for number in sessions {
                running.spawn_local(Session::new(Rc::clone(&worker), number).run());
            }
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    ended = running.join_next() => if ended.is_none() { break },
                    _ = tick.tick() => worker.pages.borrow_mut().flush(),
                }
            }
        });
        worker.pages.borrow_mut().flush();
        // Nobody wants the figures of a load that could not start all its threads.
        let _ = over.send(worker.figures.take());
    };
    std::thread::Builder::new()
        .name(format!("load-{thread}"))
        .spawn(work)?;
    Ok(())
}

impl Shared {
    fn new(plan: LoadPlan, template: Template) -> Self {
        let started = Instant::now();
        Self {
            started,
            ends: plan
                .duration
                .and_then(|duration| started.checked_add(duration)),
            plan,
            template,
            number: AtomicU32::new(0),
            due_now: Semaphore::new(0),
            outcomes: Default::default(),
            connected: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            unreachable: AtomicBool::new(false),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// No further message is to be begun.
    fn over(&self) -> bool {
        self.stop.is_cancelled() || self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    /// The next message's number, and when it was due; in a closed loop that is now. In an open one it waits until there is one that is
    /// due. `None`: no further message is to be begun.
    async fn take(&self) -> Option<(u32, Instant)> {
        if matches!(self.plan.pace, Pace::Open { .. }) {
            // It is never closed.
            self.due_now.acquire().await.ok()?.forget();
        }
        if self.over() {
            return None;
        }
        let next = |last: u32| {
            let number = last.checked_add(1)?;
            (u64::from(number) <= self.most()).then_some(number)
        };
        let last = self
            .number
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let number = last.ok()? + 1;
        match self.plan.pace {
            Pace::Closed => Some((number, Instant::now())),
            Pace::Open { .. } => Some((number, self.due_at(number.into())?)),
        }
    }

    fn most(&self) -> u64 {
        self.plan.count.unwrap_or(u32::MAX).into()
    }

    /// When a message of an open loop is due. `None`: there is none of that number, or not in the plan's time.
    fn due_at(&self, number: u64) -> Option<Instant> {
        let Pace::Open { rate } = self.plan.pace else {
            return None;
        };
        let before = u32::try_from(number.checked_sub(1)?).ok()?;
        let after = Duration::from_secs_f64(f64::from(before) / rate);
        let due = self.started.checked_add(after)?;
        (number <= self.most() && self.ends.is_none_or(|ends| due < ends)).then_some(due)
    }

    /// How many messages of an open loop are due after so much time.
    fn due_until(&self, elapsed: Duration) -> u64 {
        let now = self.started + elapsed;
        // The greatest number that is due: `due_at` rises with it, and ends.
        let (mut due, mut not) = (0, self.most() + 1);
        while not - due > 1 {
            let middle = due + (not - due) / 2;
            if self.due_at(middle).is_some_and(|at| at <= now) {
                due = middle;
            } else {
                not = middle;
            }
        }
        due
    }

    fn connected(&self) {
        self.connected.store(true, Ordering::Relaxed);
    }

    /// A session could not connect. When as many attempts as there are sessions have failed and none succeeded,
    /// the load is over: there is nothing to load.
    fn not_connected(&self) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= self.plan.sessions
            && !self.connected.load(Ordering::Relaxed)
            && !self.stop.is_cancelled()
        {
            self.unreachable.store(true, Ordering::Relaxed);
            self.stop.cancel();
        }
    }

    /// Waits, or until the load is over.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn since_start_us(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn so_far(&self) -> SoFar {
        let count = |outcome: Outcome| self.outcomes[outcome as usize].load(Ordering::Relaxed);
        SoFar {
            elapsed: self.started.elapsed(),
            counts: Counts {
                acked: count(Outcome::Acked),
                refused: count(Outcome::Refused),
                indeterminate: count(Outcome::Indeterminate),
                unsent: count(Outcome::Unsent),
                never_begun: 0,
            },
        }
    }
}

#[cfg(test)]
mod tests;
