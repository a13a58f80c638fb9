//! The clock of an open loop: one permit for every message that is due.
//!
//! Comes in: the plan's rate. Goes out: permits, in the order of numbers, which sessions take one by one. A thread of its own
//! sleeps from one message to the next: tokio's timer counts in whole milliseconds, and what it adds would stand in every latency.
//! Started by [`run`](super::run).

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::Shared;

/// The longest sleep: an interruption is not noticed before it ends.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Starts the thread. It ends when nothing more is due, and then gives every session one permit more, with which it finds
/// that there are no more numbers.
///
/// # Errors
/// The system gives no thread.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("pacer".into()).spawn(move || {
        let permits = |n: u64| {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            shared.due_now.add_permits(n);
        };
        let mut given = 0;
        while !shared.over() {
            let due = shared.due_until(shared.started.elapsed());
            permits(due - given);
            given = due;
            let Some(next) = shared.due_at(given + 1) else {
                break;
            };
            let wait = next.saturating_duration_since(Instant::now());
            thread::sleep(wait.min(LONGEST_SLEEP));
        }
        permits(shared.plan.sessions.into());
    })
}
