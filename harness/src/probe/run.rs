//! A probe from its beginning to its end.
//!
//! Comes in: a [`Probe`] and the selected cases. Goes out: a [`ProbeReport`]. Cases are independent of each other and run side
//! by side, with a bound. After a case that lost a connection the server is asked whether it is still alive: one that died is
//! a result with a name.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gauntlet_reports::probe::{Outcome, PROBE_VERSION, ProbeCase, ProbeReport};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    arrival::{Arrivals, Source},
    case::{Case, Need},
    connection::{Connection, Heard},
    context::{Context, Shared, connect},
    dialogue::{Record, visible},
    expected::Expected,
    outcome::outcome,
    target::Target,
};

/// What is to be probed, and how.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Where the server listens.
    pub target: Target,
    /// A return path that it takes.
    pub from: String,
    /// Recipients that it takes, at least one.
    pub to: Vec<String>,
    /// How long a reply may take.
    pub timeout: Duration,
    /// How long a message may take to arrive.
    pub arrival_timeout: Duration,
    /// How many cases run side by side.
    pub jobs: usize,
    /// SHOULD counts.
    pub strict: bool,
    /// Cases that take minutes are run.
    pub slow: bool,
    /// Where delivered messages are seen.
    pub proof: Option<Source>,
    /// Credentials for the cases of AUTH that need some.
    pub login: Option<Login>,
    /// Cases that are known to fail.
    pub expected: Expected,
    /// The command line, for the report.
    pub command: String,
}

/// Credentials that the server takes.
#[derive(Clone)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password. It stands in the dialogue of the cases that send it, in base64, as any octet does.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}, …)", self.user)
    }
}

/// Why a probe could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Proof of arrival was asked for and cannot be had.
    #[error("{place} cannot be used as proof of arrival: {error}")]
    Proof {
        /// The source.
        place: Source,
        /// Why.
        error: String,
    },
}

/// A case that takes longer has not ended; a slow one may take longer.
const CASE_TIME: Duration = Duration::from_secs(120);
const SLOW_CASE_TIME: Duration = Duration::from_secs(20 * 60);

/// Attempts to reach a server that dropped a connection, and the time between them: one that restarts has died too, but a
/// backlog that is full for a moment is no death.
const ALIVE_ATTEMPTS: u32 = 4;
const ALIVE_PAUSE: Duration = Duration::from_millis(700);

/// Runs the cases. `progress` is told each case's ID when it is over.
///
/// # Errors
/// The proof of arrival that was asked for cannot be had.
pub async fn run(
    probe: Probe,
    cases: Vec<&'static Case>,
    cancel: CancellationToken,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<ProbeReport, ProbeError> {
    let began = Instant::now();
    let mut report = ProbeReport {
        version: PROBE_VERSION,
        harness: concat!("gauntlet ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: probe.command.clone(),
        target: probe.target.to_string(),
        greeting: None,
        proof: probe.proof.as_ref().map(ToString::to_string),
        strict: probe.strict,
        elapsed_ms: 0,
        unreachable: None,
        gone: None,
        interrupted: false,
        cases: Vec::new(),
    };
    let arrivals = match &probe.proof {
        None => Err("there is no proof of arrival: --sink, --maildir or --mailbox-url".to_owned()),
        Some(source) => {
            Ok(Arrivals::open(source.clone())
                .await
                .map_err(|error| ProbeError::Proof {
                    place: source.clone(),
                    error: error.to_string(),
                })?)
        }
    };
    match greeting(&probe, probe.timeout).await {
        Ok(greeting) => report.greeting = Some(greeting),
        Err(why) => {
            report.unreachable = Some(why);
            report.elapsed_ms = millis(began.elapsed());
            return Ok(report);
        }
    }
    let shared = Arc::new(Shared::new(probe, arrivals, prefix()));
    check_proof(&shared).await;
    let ended = Arc::new(Ended {
        shared: shared.clone(),
        gone: Mutex::default(),
        stop: cancel.child_token(),
        progress: Box::new(progress),
    });
    let (alone, together): (Vec<_>, Vec<_>) = cases
        .iter()
        .copied()
        .enumerate()
        .partition(|(_, case)| case.has(Need::Alone));
    let mut answers = side_by_side(&ended, together, shared.probe.jobs).await;
    answers.extend(side_by_side(&ended, alone, 1).await);
    answers.sort_by_key(|(place, _)| *place);
    report.cases = answers.into_iter().map(|(_, case)| case).collect();
    forbidden_came(&shared, &mut report);
    report.interrupted = cancel.is_cancelled();
    report.gone = ended.gone();
    report.elapsed_ms = millis(began.elapsed());
    Ok(report)
}

/// What the cases' ends are told to.
struct Ended {
    shared: Arc<Shared>,
    gone: Mutex<Option<String>>,
    stop: CancellationToken,
    progress: Box<dyn Fn(&str) + Send + Sync>,
}

impl Ended {
    fn gone(&self) -> Option<String> {
        self.gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Runs cases with a bound, each with its place in the list.
async fn side_by_side(
    ended: &Arc<Ended>,
    cases: Vec<(usize, &'static Case)>,
    jobs: usize,
) -> Vec<(usize, ProbeCase)> {
    let permits = Arc::new(Semaphore::new(jobs.max(1)));
    let mut running = JoinSet::new();
    for (place, case) in cases {
        let (ended, permits) = (ended.clone(), permits.clone());
        running.spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire_owned().await;
            (place, one(&ended, case).await)
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

/// Runs one case.
async fn one(ended: &Ended, case: &'static Case) -> ProbeCase {
    let shared = &ended.shared;
    let mut context = Context::new(shared.clone(), case);
    let outcome = if let Some(why) = ended.gone() {
        Outcome::Inconclusive {
            why: format!("not run: the server is gone ({why})"),
        }
    } else if ended.stop.is_cancelled() {
        Outcome::Inconclusive {
            why: "not run: interrupted".into(),
        }
    } else if case.has(Need::Slow) && !shared.probe.slow {
        Outcome::Skipped {
            why: "it takes minutes: --slow".into(),
        }
    } else {
        let outcome = bounded(ended, case, &mut context).await;
        if context.record().has_lost() {
            alive(ended, case, outcome).await
        } else {
            outcome
        }
    };
    (ended.progress)(case.id);
    ProbeCase {
        id: case.id.to_owned(),
        section: case.section(),
        level: case.level,
        clause: case.clause.to_owned(),
        outcome,
        known: shared.probe.expected.get(case.id).cloned(),
        elapsed_ms: millis(context.record().elapsed()),
        dialogue: context.dialogue(),
    }
}

/// The case, within its time and until Ctrl-C.
async fn bounded(ended: &Ended, case: &'static Case, context: &mut Context) -> Outcome {
    let time = if case.has(Need::Slow) {
        SLOW_CASE_TIME
    } else {
        CASE_TIME
    };
    tokio::select! {
        biased;
        () = ended.stop.cancelled() => Outcome::Inconclusive {
            why: match ended.gone() {
                Some(why) => format!("cut short: the server is gone ({why})"),
                None => "interrupted".into(),
            },
        },
        done = tokio::time::timeout(time, (case.run)(context)) => match done {
            Ok(checked) => outcome(checked),
            Err(_) => Outcome::Inconclusive {
                why: format!("the case has not ended after {} s", time.as_secs()),
            },
        },
    }
}

/// After a connection was lost: is the server still there?
async fn alive(ended: &Ended, case: &'static Case, outcome: Outcome) -> Outcome {
    let probe = &ended.shared.probe;
    let mut last = String::new();
    for attempt in 0..ALIVE_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(ALIVE_PAUSE).await;
        }
        match greeting(probe, probe.timeout).await {
            Ok(_) => return outcome,
            Err(why) => last = why,
        }
    }
    let mut gone = ended.gone.lock().unwrap_or_else(PoisonError::into_inner);
    let why = gone
        .get_or_insert_with(|| format!("after case {}: {last}", case.id))
        .clone();
    drop(gone);
    // What runs beside it would only wait.
    ended.stop.cancel();
    Outcome::Gone { why }
}

/// The greeting, when it is a 220.
async fn greeting(probe: &Probe, patience: Duration) -> Result<String, String> {
    let stream = connect(probe, patience)
        .await
        .map_err(|error| format!("{} cannot be reached: {error}", probe.target))?;
    let mut connection = Connection::new(stream, Record::default(), patience);
    let seen = match connection.hear(patience).await {
        Heard::Reply(reply) if reply.code == 220 => {
            let greeting = reply.to_string();
            connection.quit().await;
            return Ok(greeting);
        }
        Heard::Reply(reply) => reply.to_string(),
        Heard::Closed(rest) => format!("{}the end of the connection", before(&rest)),
        Heard::Broken(error) => error,
        Heard::Silence(rest) => {
            format!("{}nothing for {} s", before(&rest), patience.as_secs_f32())
        }
    };
    Err(format!(
        "{} does not serve: expected a greeting of 220, seen: {seen}",
        probe.target
    ))
}

fn before(rest: &[u8]) -> String {
    if rest.is_empty() {
        String::new()
    } else {
        format!("{}, then ", visible(rest))
    }
}

/// An ordinary message must arrive, or the proof of arrival proves nothing: then no message that stays away is held against
/// the server.
async fn check_proof(shared: &Arc<Shared>) {
    if shared.arrivals.is_err() {
        return;
    }
    let context = Context::new(shared.clone(), &ORDINARY);
    let token = context.token();
    let sent = async {
        let mut session = context.session().await?;
        let message = context.message(
            &token,
            "An ordinary message, to see whether it arrives.\r\n",
        );
        context.send(&mut session, &message).await?;
        session.quit().await;
        context.arrived(&token).await.map(|_| ())
    };
    let why = match outcome(sent.await) {
        Outcome::Passed => return,
        Outcome::Failed { seen, .. } => seen,
        Outcome::Skipped { why } | Outcome::Inconclusive { why } | Outcome::Gone { why } => why,
    };
    shared.doubt(format!(
        "the proof of arrival proves nothing: an ordinary message did not arrive ({why})"
    ));
}

/// Not in any list: it is run before the cases.
static ORDINARY: Case = Case::must(
    "rfc5321/3.3/ordinary-message",
    "An ordinary message arrives.",
    |_| Box::pin(async { Ok(()) }),
);

/// What must not arrive may have come after its case was over.
fn forbidden_came(shared: &Shared, report: &mut ProbeReport) {
    let Ok(arrivals) = &shared.arrivals else {
        return;
    };
    for forbidden in shared.forbidden() {
        let came = !arrivals
            .all(|message| message.is(&forbidden.token))
            .is_empty();
        let case = report
            .cases
            .iter_mut()
            .find(|case| case.id == forbidden.case);
        if let Some(case) = case.filter(|case| came && case.outcome == Outcome::Passed) {
            case.outcome = Outcome::Failed {
                expected: forbidden.why,
                seen: format!("message {} arrived later", forbidden.token),
            };
        }
    }
}

/// Tells this probe's messages from those of another: time and process.
pub(super) fn prefix() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    format!("{now:x}-{:x}", std::process::id())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
