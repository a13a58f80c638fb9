//! Carries letters to a node as a submit step says, and records what becomes of them.
//!
//! Comes in: [`Letter`]s and the [`Manner`] in which they go. Goes out: `submit`, `data-sent`, `outcome` and
//! `session-usable` records, and the outcome of each letter to the caller. Called by the runner.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use reference_node::env::BoxStream;
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::{Mail, NotOpened, Session, Submitted},
    content::Content,
    inspect::digest,
    lettre_client::LettreSession,
};
use crate::{
    history::{Event, Outcome, Recorder, Submission},
    scenario::{Cut, Hello, Transfer, Via},
    substrate::SharedCluster,
};

/// How long a client waits for the reply to QUIT.
const QUIT_WAIT: Duration = Duration::from_secs(5);

/// A message and its envelope.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The message's number.
    pub message: u32,
    /// 1 for its first submission.
    pub attempt: u32,
    /// Return path.
    pub from: String,
    /// Envelope recipients, as addresses.
    pub recipients: Vec<String>,
    /// The message.
    pub content: Arc<Content>,
}

/// How letters travel. Durations are those of the substrate, scaled already.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The client's host, which is also what it says in its hello.
    pub client: String,
    /// The node.
    pub to: String,
    /// EHLO or HELO.
    pub hello: Hello,
    /// Whose client.
    pub via: Via,
    /// DATA or BDAT.
    pub transfer: Transfer,
    /// Where to break off.
    pub cut: Option<Cut>,
    /// A session for all letters, or one for each.
    pub one_session: bool,
    /// Pause between two letters.
    pub every: Option<Duration>,
    /// NOOP after each outcome.
    pub probe_session: bool,
    /// Pause before a session that could not be opened is tried again, for as long as `patience`; `None`: not at all.
    pub redial: Option<Duration>,
    /// How long to wait for a reply.
    pub patience: Duration,
}

impl Manner {
    /// The client that can do this: lettre's has no HELO, no BDAT, and cannot break off.
    fn client_kind(&self) -> Via {
        let lettre_can =
            self.hello == Hello::Ehlo && self.transfer == Transfer::Data && self.cut.is_none();
        if lettre_can { self.via } else { Via::Raw }
    }
}

/// Carries letters one after the other.
pub struct Courier {
    /// Where the nodes are.
    pub cluster: SharedCluster,
    /// The history.
    pub recorder: Arc<Recorder>,
    /// The number of the run's last submission.
    pub submissions: Arc<AtomicU32>,
    /// How.
    pub manner: Manner,
}

/// A session of either client.
enum AnySession {
    Raw(Session),
    Lettre(LettreSession),
}

impl Courier {
    /// Submits the letters in their order; `outcome` hears of each right after it was recorded. When a session has
    /// ended, the next letter opens a new one.
    pub async fn carry(&self, letters: &[Letter], outcome: &(dyn Fn(u32, Outcome) + Sync)) {
        let mut session = None;
        for (at, letter) in letters.iter().enumerate() {
            if let (true, Some(every)) = (at > 0, self.manner.every) {
                sleep(every).await;
            }
            let ended = self.submit(letter, &mut session).await;
            outcome(letter.message, ended);
            if !self.manner.one_session || !session.as_ref().is_some_and(AnySession::is_usable) {
                self.close(session.take()).await;
            }
        }
        self.close(session).await;
    }

    async fn submit(&self, letter: &Letter, session: &mut Option<AnySession>) -> Outcome {
        let submission = self.submissions.fetch_add(1, Ordering::Relaxed) + 1;
        self.recorder.record(Event::Submit(self.submission(
            submission,
            letter,
            session.as_ref(),
        )));
        let submitted = match self.session(session).await {
            Err(why) => Submitted::not_opened(why),
            Ok(session) => {
                let mail = Mail {
                    from: &letter.from,
                    recipients: &letter.recipients,
                    content: &letter.content,
                    transfer: self.manner.transfer,
                    cut: self.manner.cut,
                };
                let recorder = self.recorder.clone();
                let mut sent = move || {
                    recorder.record(Event::DataSent { submission });
                };
                match session {
                    AnySession::Raw(session) => session.submit(mail, &mut sent).await,
                    AnySession::Lettre(session) => session.submit(mail, Box::new(sent)).await,
                }
            }
        };
        let Submitted {
            outcome,
            reply,
            refused,
            error,
        } = submitted;
        self.recorder.record(Event::Outcome {
            submission,
            outcome,
            reply,
            refused,
            error,
        });
        if self.manner.probe_session
            && self.manner.cut.is_none()
            && let Some(session) = session
            && let Some(usable) = session.probe().await
        {
            self.recorder
                .record(Event::SessionUsable { submission, usable });
        }
        outcome
    }

    fn submission(
        &self,
        submission: u32,
        letter: &Letter,
        session: Option<&AnySession>,
    ) -> Submission {
        let Manner {
            client, to, hello, ..
        } = &self.manner;
        let kind = match session {
            Some(AnySession::Raw(_)) => Via::Raw,
            Some(AnySession::Lettre(_)) => Via::Lettre,
            None => self.manner.client_kind(),
        };
        Submission {
            submission,
            message: letter.message,
            attempt: letter.attempt,
            client: client.clone(),
            link: format!("{client}>{to}"),
            via: match kind {
                Via::Raw => "raw".into(),
                Via::Lettre => "lettre".into(),
            },
            hello: match hello {
                Hello::Ehlo => "EHLO".into(),
                Hello::Helo => "HELO".into(),
            },
            from: letter.from.clone(),
            recipients: letter.recipients.clone(),
            message_id: letter.content.message_id.clone(),
            date: Some(letter.content.date.clone()),
            content: letter.content.source.clone(),
            digest: digest(&letter.content.octets),
        }
    }

    /// The open session, or a new one.
    async fn session<'s>(
        &self,
        session: &'s mut Option<AnySession>,
    ) -> Result<&'s mut AnySession, NotOpened> {
        let open = match session.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        Ok(session.insert(open))
    }

    /// A new session; a client that dials again gives up after its patience.
    async fn open(&self) -> Result<AnySession, NotOpened> {
        let began = Instant::now();
        loop {
            let opened = self.open_once().await;
            match (opened, self.manner.redial) {
                (Err(_), Some(pause)) if began.elapsed() < self.manner.patience => {
                    sleep(pause).await;
                }
                (opened, _) => return opened,
            }
        }
    }

    async fn open_once(&self) -> Result<AnySession, NotOpened> {
        let Manner {
            client,
            to,
            hello,
            patience,
            ..
        } = &self.manner;
        let stream = dial(&self.cluster, client, to, *patience)
            .await
            .map_err(NotOpened::from)?;
        Ok(match self.manner.client_kind() {
            Via::Raw => AnySession::Raw(Session::open(stream, client, *hello, *patience).await?),
            Via::Lettre => {
                AnySession::Lettre(LettreSession::open(stream, client, *patience).await?)
            }
        })
    }

    async fn close(&self, session: Option<AnySession>) {
        let wait = QUIT_WAIT.min(self.manner.patience);
        match session {
            Some(AnySession::Raw(session)) => session.quit(wait).await,
            Some(AnySession::Lettre(session)) => session.quit(wait).await,
            None => {}
        }
    }
}

impl AnySession {
    fn is_usable(&self) -> bool {
        match self {
            Self::Raw(session) => session.is_usable(),
            Self::Lettre(session) => session.is_usable(),
        }
    }

    /// `None`: the client itself has closed the session.
    async fn probe(&mut self) -> Option<bool> {
        match self {
            Self::Raw(session) => Some(session.probe().await),
            Self::Lettre(session) => session.probe().await,
        }
    }
}

/// Opens a connection on the link `from>to`, within the client's patience.
pub(crate) async fn dial(
    cluster: &SharedCluster,
    from: &str,
    to: &str,
    patience: Duration,
) -> io::Result<BoxStream> {
    timeout(patience, cluster.dial(from, to))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
