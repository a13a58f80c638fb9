//! What a case about a client is given: messages to send through it, and what came of them.
//!
//! A case drafts a message, says how the next hop answers it, sends it through the client, and waits for what must be seen:
//! attempts, acceptance, a notification. Waits that a right client is given end as soon as it has done its part.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use gauntlet_reports::probe::DialogueLine;
use tokio::time::Instant;

use super::{
    hub::{Hub, Mail},
    manners::Manners,
    run::ClientProbe,
    seen::{End, Session, Transaction},
    submit::{self, Draft, Way},
};
use crate::probe::{
    case::Case,
    dialogue::Record,
    message::TOKEN_FIELD,
    outcome::{Checked, Stop},
};

/// How long a client has for words that it must not say.
pub const EARLY: Duration = Duration::from_millis(250);
/// How long the sessions of the cases before may take to end.
const CLEARING: Duration = Duration::from_secs(5);

/// What the cases of one probe share.
#[derive(Debug)]
pub struct Shared {
    /// What was asked for.
    pub probe: ClientProbe,
    /// Where the next hop meets them.
    pub hub: Arc<Hub>,
    /// Makes tokens unique.
    prefix: String,
    /// Why what is returned to a sender does not come to the probe, when it does not.
    pub not_returned: OnceLock<String>,
    tokens: AtomicU32,
    /// How long retries took that were seen.
    retries: Mutex<Vec<Duration>>,
    forbidden: Mutex<Vec<Forbidden>>,
    /// The cases that wait for a retry side by side are over.
    pub together_is_over: AtomicBool,
}

/// What must not be seen any more of a message.
#[derive(Debug, Clone)]
pub struct Forbidden {
    /// The message, and whose.
    pub mail: Arc<Mail>,
    /// How many attempts there may be.
    pub attempts: usize,
    /// How many notifications there may be.
    pub notices: usize,
    /// Since when.
    pub since: Instant,
    /// Why not.
    pub why: String,
}

impl Shared {
    /// What the cases share. `prefix` tells this probe's messages from those of another: small letters and digits.
    pub fn new(probe: ClientProbe, hub: Arc<Hub>, prefix: String) -> Self {
        Self {
            probe,
            hub,
            prefix,
            not_returned: OnceLock::new(),
            tokens: AtomicU32::new(0),
            retries: Mutex::default(),
            forbidden: Mutex::default(),
            together_is_over: AtomicBool::new(false),
        }
    }

    /// The longest time that a retry took that was seen.
    pub fn longest_retry(&self) -> Option<Duration> {
        let retries = self.retries.lock();
        let retries = retries.unwrap_or_else(PoisonError::into_inner);
        retries.iter().max().copied()
    }

    /// What must not be seen any more.
    pub fn forbidden(&self) -> Vec<Forbidden> {
        let forbidden = self.forbidden.lock();
        forbidden.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What one case is given.
#[derive(Debug)]
pub struct Context {
    shared: Arc<Shared>,
    case: &'static Case<Context>,
    record: Record,
    began: Instant,
    sent: Vec<Arc<Mail>>,
    /// Sessions before this one belong to other cases.
    sessions_before: Option<usize>,
}

impl Context {
    /// The context of this case.
    pub fn new(shared: Arc<Shared>, case: &'static Case<Context>) -> Self {
        Self {
            shared,
            case,
            record: Record::default(),
            began: Instant::now(),
            sent: Vec::new(),
            sessions_before: None,
        }
    }

    /// How long it has taken.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// From now on sessions go so. Those of the cases before are ended first.
    pub async fn behave(&mut self, manners: Manners) {
        // A session that is opened while the others end goes on as the case wants it.
        self.shared.hub.behave(manners.clone());
        self.shared.hub.clear(CLEARING).await;
        self.sessions_before = Some(self.shared.hub.sessions().len());
        self.shared.hub.behave(manners);
    }

    /// The sessions since [`behave`](Self::behave).
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        let mut all = self.shared.hub.sessions();
        all.split_off(self.sessions_before.unwrap_or(all.len()).min(all.len()))
    }

    /// Waits for something that is seen of the client, for as long as a message may take.
    pub async fn until<T>(&self, found: impl Fn() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + self.patience();
        self.shared.hub.until(deadline, found).await
    }

    /// How long a message may take until it is there.
    fn patience(&self) -> Duration {
        match &self.shared.probe.way {
            Way::Submit(_) => self.shared.probe.arrival_timeout,
            Way::ByHand(hand) => hand.wait,
        }
    }

    // Messages.

    /// An ordinary message with one recipient and no body, and the tokens that it is known by.
    pub fn draft(&self) -> (Tokens, Draft) {
        let number = self.shared.tokens.fetch_add(1, Ordering::Relaxed);
        let prefix = &self.shared.prefix;
        let tokens = Tokens {
            forth: format!("{prefix}{number}t"),
            back: format!("{prefix}{number}r"),
        };
        let probe = &self.shared.probe;
        let (from, to) = (&probe.from, &probe.to);
        let content = format!(
            "{TOKEN_FIELD}: {}\r\nFrom: <{from}>\r\nTo: <{to}>\r\nSubject: gauntlet probe\r\n\
             Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <{}@gauntlet.invalid>\r\n\r\n",
            tokens.forth, tokens.forth
        );
        let draft = Draft {
            from: tokens.return_path(from),
            to: vec![tokens.recipient(to, 0)],
            parameters: Vec::new(),
            recipient_parameters: Vec::new(),
            content: content.into_bytes(),
            needs: Vec::new(),
            chunked: false,
            scripts: Vec::new(),
        };
        (tokens, draft)
    }

    /// The `--to` and `--from` that were given.
    pub fn addresses(&self) -> (&str, &str) {
        (&self.shared.probe.from, &self.shared.probe.to)
    }

    /// Sends it through the client.
    ///
    /// # Errors
    /// The client does not take it: inconclusive, or skipped when it takes no such mail.
    pub async fn send(&mut self, tokens: &Tokens, draft: Draft) -> Result<Sent, Stop> {
        let mail = Arc::new(Mail::new(
            self.case.id,
            tokens.forth.clone(),
            tokens.back.clone(),
            draft.scripts.clone(),
        ));
        self.shared.hub.expect(mail.clone());
        self.sent.push(mail.clone());
        match &self.shared.probe.way {
            Way::Submit(target) => {
                let patience = self.shared.probe.timeout;
                submit::submit(target, &draft, &self.record, patience).await?;
            }
            Way::ByHand(hand) => submit::by_hand(hand, self.case.id, &tokens.forth, &draft)?,
        }
        Ok(Sent {
            mail,
            content: draft.content,
            shared: self.shared.clone(),
            patience: self.patience(),
        })
    }

    /// Drafts an ordinary message, changes it, sends it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn mail(&mut self, change: impl FnOnce(Draft) -> Draft) -> Result<Sent, Stop> {
        let (tokens, draft) = self.draft();
        self.send(&tokens, change(draft)).await
    }

    /// The dialogue: the submission, then the sessions that brought its messages, or notifications about them.
    pub fn dialogue(&self) -> Vec<DialogueLine> {
        let mut lines = self.record.lines();
        let mut number = lines.iter().map(|line| line.connection).max().unwrap_or(0);
        let mut sessions: Vec<Arc<Session>> = Vec::new();
        let of_mails = self
            .sent
            .iter()
            .flat_map(|mail| [mail.attempts(), mail.notices()].concat())
            .map(|transaction| transaction.session.clone());
        for session in self.sessions().into_iter().chain(of_mails) {
            if !sessions.iter().any(|known| Arc::ptr_eq(known, &session)) {
                sessions.push(session);
            }
        }
        sessions.sort_by_key(|session| session.opened);
        for session in sessions {
            number += 1;
            let since = session.opened.saturating_duration_since(self.began);
            let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            lines.extend(session.record.lines().into_iter().map(|line| DialogueLine {
                at_ms: line.at_ms.saturating_add(since),
                connection: number,
                ..line
            }));
        }
        lines
    }
}

/// What a message is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// It stands in the recipients.
    pub forth: String,
    /// It stands in the return path.
    pub back: String,
}

impl Tokens {
    /// `bob@example.test` → `bob+TOKEN.0@example.test`.
    pub fn recipient(&self, address: &str, number: usize) -> String {
        tagged(address, &format!("{}.{number}", self.forth))
    }

    /// `ann@example.test` → `ann+TOKEN@example.test`.
    pub fn return_path(&self, address: &str) -> String {
        tagged(address, &self.back)
    }
}

fn tagged(address: &str, tag: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{local}+{tag}@{domain}"),
        None => format!("{address}+{tag}"),
    }
}

/// A message that the client has.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What is seen of it.
    pub mail: Arc<Mail>,
    /// What was sent.
    pub content: Vec<u8>,
    shared: Arc<Shared>,
    patience: Duration,
}

impl Sent {
    async fn wait<T>(&self, within: Duration, found: impl Fn() -> Option<T>) -> Option<T> {
        self.shared.hub.until(Instant::now() + within, found).await
    }

    /// The first attempt, once it is over.
    ///
    /// # Errors
    /// There is none in time: inconclusive.
    pub async fn attempt(&self) -> Result<Arc<Transaction>, Stop> {
        let first = || self.mail.attempts().first().cloned();
        self.wait(self.patience, first).await.ok_or_else(|| {
            Stop::inconclusive(format!(
                "the client has not brought the message within {}",
                seconds(self.patience)
            ))
        })
    }

    /// The attempt whose content the next hop took.
    ///
    /// # Errors
    /// There is none in time, or the message is returned: the case fails, with these words.
    pub async fn accepted(&self, expected: &str) -> Result<Arc<Transaction>, Stop> {
        let over = || {
            let accepted = self.taken().map(Ok);
            accepted.or_else(|| self.mail.notices().first().cloned().map(Err))
        };
        match self.wait(self.patience, over).await {
            Some(Ok(transaction)) => Ok(transaction),
            Some(Err(_)) => Err(Stop::failed(
                expected,
                "the message was returned to its sender",
            )),
            None => Err(Stop::failed(expected, self.so_far())),
        }
    }

    /// The first attempt that was taken, so far.
    pub fn taken(&self) -> Option<Arc<Transaction>> {
        let attempts = self.mail.attempts();
        attempts.into_iter().find(|one| one.end == End::Accepted)
    }

    fn so_far(&self) -> String {
        let attempts = self.mail.attempts();
        let within = seconds(self.patience);
        match attempts.last() {
            None => format!("the message did not come within {within}"),
            Some(last) => format!(
                "{} attempts within {within}, none of them taken; the last one: {}",
                attempts.len(),
                ended(last.end)
            ),
        }
    }

    /// The attempt after so many: the client tries again.
    ///
    /// # Errors
    /// It returns the message, or does not try again. When no retry at all has been seen by any case, and nobody said how soon
    /// there is one, that is inconclusive.
    pub async fn again(&self, attempts: usize) -> Result<Arc<Transaction>, Stop> {
        let within = self.shared.probe.retry_within();
        let given = self.shared.probe.retry_within.is_some();
        let over = self.shared.together_is_over.load(Ordering::SeqCst);
        if over && !given && self.shared.longest_retry().is_none() {
            return Err(Stop::inconclusive(format!(
                "not waited for: no case has seen a retry within {}",
                seconds(within)
            )));
        }
        let expected = "another attempt, later";
        let seen = || {
            let next = self.mail.attempts().get(attempts).cloned().map(Some);
            next.or_else(|| (!self.mail.notices().is_empty()).then_some(None))
        };
        match self.wait(within, seen).await {
            Some(Some(next)) => {
                let before = attempts
                    .checked_sub(1)
                    .and_then(|last| self.mail.attempts().get(last).cloned())
                    .map(|one| one.ended);
                let took = before.map(|before| next.began.saturating_duration_since(before));
                let retries = self.shared.retries.lock();
                retries.unwrap_or_else(PoisonError::into_inner).extend(took);
                Ok(next)
            }
            Some(None) => Err(Stop::failed(
                expected,
                "the message was returned to its sender",
            )),
            None if given || self.shared.longest_retry().is_some() => Err(Stop::failed(
                expected,
                format!("none within {}", seconds(within)),
            )),
            None => Err(Stop::inconclusive(format!(
                "no case has seen a retry within {}: let the client try again sooner, or say --retry-within",
                seconds(within)
            ))),
        }
    }

    /// A notification about it, to its return path.
    ///
    /// # Errors
    /// None comes; inconclusive when it would not come to the probe.
    pub async fn returned(&self) -> Result<Arc<Transaction>, Stop> {
        if let Some(why) = self.shared.not_returned.get() {
            return Err(Stop::inconclusive(why.clone()));
        }
        let first = || self.mail.notices().first().cloned();
        self.wait(self.patience, first).await.ok_or_else(|| {
            Stop::failed(
                "a notification to the return path",
                format!("none within {}", seconds(self.patience)),
            )
        })
    }

    /// From now on no other attempt may be made; looked at when all cases are over.
    pub fn never_again(&self, why: &str) {
        self.forbid(self.mail.begun(), usize::MAX, why);
    }

    /// No notification about it may come; looked at when all cases are over.
    pub fn never_returned(&self, why: &str) {
        self.forbid(usize::MAX, 0, why);
    }

    fn forbid(&self, attempts: usize, notices: usize, why: &str) {
        let forbidden = self.shared.forbidden.lock();
        forbidden
            .unwrap_or_else(PoisonError::into_inner)
            .push(Forbidden {
                mail: self.mail.clone(),
                attempts,
                notices,
                since: Instant::now(),
                why: why.to_owned(),
            });
    }

    /// Waits until the session of that attempt is over.
    ///
    /// # Errors
    /// The client keeps it open: inconclusive.
    pub async fn session_ends(&self, transaction: &Transaction) -> Checked {
        let over = || transaction.session.has_ended().then_some(());
        self.wait(self.patience, over).await.ok_or_else(|| {
            Stop::inconclusive(format!(
                "the client kept the session open for {}",
                seconds(self.patience)
            ))
        })
    }

    /// Sleeps until the client can be expected to have tried again, if it does; not at all when no retry was seen.
    pub async fn a_retry_later(&self) {
        if let Some(longest) = self.shared.longest_retry() {
            tokio::time::sleep(longest + EARLY).await;
        }
    }
}

/// How an attempt ended, in words.
pub fn ended(end: End) -> String {
    match end {
        End::Accepted => "its content was taken".into(),
        End::Refused(stage, code) => format!("{code} at {stage:?}"),
        End::Lost => "the connection ended".into(),
        End::Abandoned => "the client broke it off".into(),
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f32())
}
