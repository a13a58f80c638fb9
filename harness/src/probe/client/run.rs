//! A probe of a client from its beginning to its end.
//!
//! Comes in: a [`ClientProbe`] and the selected cases. Goes out: a [`ProbeReport`]. Which message a session is for is known at
//! MAIL or RCPT only. So there are three phases:
//!
//! 1. Cases whose next hop is an ordinary one until then, side by side.
//! 2. Cases whose next hop offers no extension, side by side.
//! 3. Cases whose next hop is strange from the greeting or EHLO on, one after the other, in the order of their table: those
//!    after which a client may leave the next hop alone for a while stand at its end.
//!
//! Between them the sessions that are open are ended, so that none goes on in another one's manners.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use gauntlet_reports::probe::{Outcome, PROBE_VERSION, ProbeCase, ProbeReport};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    cases,
    context::{Context, EARLY, Shared},
    hop,
    hub::Hub,
    manners::Manners,
    seen::Transaction,
    submit::{self, Way},
    tls,
};
use crate::probe::{
    case::{Case, Need},
    dialogue::Record,
    expected::Expected,
    outcome::{Stop, outcome},
    run::{millis, prefix},
};

/// What is to be probed, and how.
#[derive(Debug, Clone)]
pub struct ClientProbe {
    /// Where the next hop listens (`HOST:PORT`).
    pub listen: String,
    /// How messages get into the client's queue.
    pub way: Way,
    /// A return path. Each message has a local part of its own, beginning with this one's.
    pub from: String,
    /// A recipient that the client sends to the next hop, likewise.
    pub to: String,
    /// How long a reply to a submission may take.
    pub timeout: Duration,
    /// How long a message, or a notification, may take until it is at the next hop.
    pub arrival_timeout: Duration,
    /// The client tries again within this time; nothing: nobody said so, and it is waited for as long as is usual.
    pub retry_within: Option<Duration>,
    /// How many cases run side by side.
    pub jobs: usize,
    /// SHOULD counts.
    pub strict: bool,
    /// Cases that take minutes are run.
    pub slow: bool,
    /// Cases that are known to fail.
    pub expected: Expected,
    /// The command line, for the report.
    pub command: String,
}

impl ClientProbe {
    /// How long a retry is waited for.
    pub fn retry_within(&self) -> Duration {
        self.retry_within.unwrap_or(Duration::from_secs(60))
    }
}

/// The next hop's address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {error}")]
pub struct ListenError {
    /// The address.
    place: String,
    /// Why.
    error: String,
}

/// A case takes no longer than this and the time for retries; a slow one no longer than that.
const CASE_TIME: Duration = Duration::from_secs(120);
const SLOW_CASE_TIME: Duration = Duration::from_secs(20 * 60);

/// Runs the cases. `listening` is told the address as soon as the next hop listens, `progress` each case's ID when it is over.
///
/// # Errors
/// The next hop's address cannot be had.
pub async fn run(
    probe: ClientProbe,
    cases: Vec<&'static Case<Context>>,
    cancel: CancellationToken,
    listening: impl FnOnce(&str),
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<ProbeReport, ListenError> {
    let began = Instant::now();
    let failed = |error: String| ListenError {
        place: probe.listen.clone(),
        error,
    };
    let listener = TcpListener::bind(&probe.listen)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let address = listener
        .local_addr()
        .map_err(|error| failed(error.to_string()))?
        .to_string();
    let hub = Arc::new(Hub::new(tls::acceptor().map_err(failed)?));
    let _serving = AbortOnDropHandle::new(tokio::spawn(hop::serve(listener, hub.clone())));
    listening(&address);

    let mut report = ProbeReport {
        version: PROBE_VERSION,
        harness: concat!("gauntlet ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: probe.command.clone(),
        target: format!("{}, sending to {address}", probe.way),
        greeting: None,
        proof: Some(format!("next hop {address}")),
        strict: probe.strict,
        elapsed_ms: 0,
        unreachable: None,
        gone: None,
        interrupted: false,
        cases: Vec::new(),
    };
    let shared = Arc::new(Shared::new(probe, hub, prefix().replace('-', "x")));
    let answers = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(None),
        greeted = reachable(&shared, &mut report) => greeted.map_err(Some),
    };
    match answers {
        Err(Some(why)) => report.unreachable = Some(why),
        Err(None) => {}
        Ok(()) => {
            let phases = Phases {
                shared: shared.clone(),
                cancel: cancel.clone(),
                progress: Arc::new(progress),
            };
            report.cases = phases.run(cases).await;
            forbidden_came(&shared, &mut report).await;
        }
    }
    report.interrupted = cancel.is_cancelled();
    report.elapsed_ms = millis(began.elapsed());
    Ok(report)
}

/// The server takes an ordinary message and brings it to the probe; and one to the return path's domain.
async fn reachable(shared: &Arc<Shared>, report: &mut ProbeReport) -> Result<(), String> {
    let words = |stop: Stop| match outcome(Err(stop)) {
        Outcome::Failed { expected, seen } => format!("expected {expected}; seen: {seen}"),
        Outcome::Skipped { why } | Outcome::Inconclusive { why } | Outcome::Gone { why } => why,
        Outcome::Passed => String::new(),
    };
    if let Way::Submit(target) = &shared.probe.way {
        let record = Record::default();
        let greeted = submit::greeted(target, &record, shared.probe.timeout).await;
        let (connection, greeting) = greeted.map_err(words)?;
        report.greeting = Some(greeting);
        connection.quit().await;
    }
    let mut ordinary = Context::new(shared.clone(), &ORDINARY);
    let (from, _) = ordinary.addresses();
    let from = from.to_owned();
    let sent = ordinary
        .mail(|draft| draft.body("ordinary\r\n"))
        .await
        .map_err(words)?;
    let mut returning = Context::new(shared.clone(), &ORDINARY);
    let (tokens, mut draft) = returning.draft();
    // Nothing is to be returned about it, should it go elsewhere.
    (draft.from, draft.to) = (String::new(), vec![tokens.recipient(&from, 0)]);
    let back = returning.send(&tokens, draft).await;
    sent.accepted("an ordinary message comes to the probe: it is the server's next hop for the domain of --to")
        .await
        .map_err(words)?;
    let came = match back {
        Ok(sent) => sent.accepted("").await.map(|_| ()),
        Err(stop) => Err(stop),
    };
    if came.is_err() {
        // It is set once, here.
        let _ = shared.not_returned.set(
            "what the client returns to a sender does not come to the probe: let it be the next hop for the domain of --from"
                .to_owned(),
        );
    }
    Ok(())
}

/// Not in any list: it is run before the cases.
static ORDINARY: Case<Context> = Case::must(
    "client/rfc5321/3.3/ordinary-message",
    "An ordinary message arrives.",
    |_| Box::pin(async { Ok(()) }),
);

struct Phases {
    shared: Arc<Shared>,
    cancel: CancellationToken,
    progress: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Phases {
    /// All cases, in the order of the list.
    async fn run(&self, cases: Vec<&'static Case<Context>>) -> Vec<ProbeCase> {
        let cases: Vec<(usize, &'static Case<Context>)> = cases.into_iter().enumerate().collect();
        let (mut alone, together): (Vec<_>, Vec<_>) = cases
            .into_iter()
            .partition(|(_, case)| case.has(Need::Alone));
        alone.sort_by_key(|(_, case)| cases::turn(case));
        let (plain, ordinary): (Vec<_>, Vec<_>) = together
            .into_iter()
            .partition(|(_, case)| case.has(Need::NoExtensions));
        let hub = &self.shared.hub;
        let mut answers = self.side_by_side(ordinary).await;
        hub.behave(Manners::plain());
        hub.clear(Duration::from_secs(5)).await;
        answers.extend(self.side_by_side(plain).await);
        self.shared.together_is_over.store(true, Ordering::SeqCst);
        for (place, case) in alone {
            answers.push((place, one(&self.shared, &self.cancel, case).await));
            (self.progress)(case.id);
        }
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, case)| case).collect()
    }

    async fn side_by_side(
        &self,
        cases: Vec<(usize, &'static Case<Context>)>,
    ) -> Vec<(usize, ProbeCase)> {
        let permits = Arc::new(Semaphore::new(self.shared.probe.jobs.max(1)));
        let mut running = JoinSet::new();
        for (place, case) in cases {
            let (shared, cancel) = (self.shared.clone(), self.cancel.clone());
            let (permits, progress) = (permits.clone(), self.progress.clone());
            running.spawn(async move {
                // The semaphore is never closed.
                let _permit = permits.acquire_owned().await;
                let answer = one(&shared, &cancel, case).await;
                progress(case.id);
                (place, answer)
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = running.join_next().await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        answers
    }
}

/// Runs one case.
async fn one(
    shared: &Arc<Shared>,
    cancel: &CancellationToken,
    case: &'static Case<Context>,
) -> ProbeCase {
    let mut context = Context::new(shared.clone(), case);
    let outcome = if cancel.is_cancelled() {
        Outcome::Inconclusive {
            why: "not run: interrupted".into(),
        }
    } else if case.has(Need::Slow) && !shared.probe.slow {
        Outcome::Skipped {
            why: "it takes minutes: --slow".into(),
        }
    } else {
        bounded(shared, cancel, case, &mut context).await
    };
    ProbeCase {
        id: case.id.to_owned(),
        section: case.section(),
        level: case.level,
        clause: case.clause.to_owned(),
        outcome,
        known: shared.probe.expected.get(case.id).cloned(),
        elapsed_ms: millis(context.elapsed()),
        dialogue: context.dialogue(),
    }
}

/// The case, within its time and until Ctrl-C.
async fn bounded(
    shared: &Shared,
    cancel: &CancellationToken,
    case: &'static Case<Context>,
    context: &mut Context,
) -> Outcome {
    let time = match case.has(Need::Slow) {
        true => SLOW_CASE_TIME,
        false => CASE_TIME + 2 * shared.probe.retry_within(),
    };
    let time = match &shared.probe.way {
        Way::Submit(_) => time,
        Way::ByHand(hand) => time + hand.wait,
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Outcome::Inconclusive {
            why: "interrupted".into(),
        },
        done = tokio::time::timeout(time, (case.run)(context)) => match done {
            Ok(checked) => outcome(checked),
            Err(_) => Outcome::Inconclusive {
                why: format!("the case has not ended after {} s", time.as_secs()),
            },
        },
    }
}

/// What must not be seen any more may have come after its case was over: as much time as a retry took is waited for.
async fn forbidden_came(shared: &Shared, report: &mut ProbeReport) {
    let forbidden = shared.forbidden();
    if let (Some(last), Some(longest)) = (
        forbidden.iter().map(|one| one.since).max(),
        shared.longest_retry(),
    ) {
        tokio::time::sleep_until(last + longest + longest / 2 + EARLY).await;
    }
    for one in forbidden {
        let attempts = one.mail.begun();
        let notices = one.mail.notices().len() + strays_about(shared, &one.mail.token);
        let seen = if attempts > one.attempts {
            format!("attempt {} to send it", one.attempts + 1)
        } else if notices > one.notices {
            "a notification about it".to_owned()
        } else {
            continue;
        };
        let case = report
            .cases
            .iter_mut()
            .find(|case| case.id == one.mail.case);
        if let Some(case) = case.filter(|case| case.outcome == Outcome::Passed) {
            case.outcome = Outcome::Failed {
                expected: one.why,
                seen,
            };
        }
    }
}

/// Messages without a sender that tell of that one, to an address that nobody expected. Postmaster may hear of anything.
fn strays_about(shared: &Shared, token: &str) -> usize {
    let about = |transaction: &Arc<Transaction>| {
        let content = transaction.content.as_deref().unwrap_or_default();
        let postmaster = transaction
            .recipients
            .iter()
            .all(|to| to.path().to_ascii_lowercase().starts_with("postmaster"));
        transaction.from().is_empty()
            && !postmaster
            && memchr::memmem::find(content, token.as_bytes()).is_some()
    };
    let strays = shared.hub.strays();
    strays
        .iter()
        .filter(|transaction| about(transaction))
        .count()
}
