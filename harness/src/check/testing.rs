//! Hand-written histories for the checkers' tests.
//!
//! A [`Story`] tells a run in a few lines and keeps the books that a history needs: sequence numbers, times (a
//! millisecond from record to record), connection numbers, what mailboxes show.

use std::collections::BTreeMap;

use gauntlet_reports::Verdict;

use super::{Case, registry};
use crate::{
    history::{
        Delivery, Digest, Event, Fault, HISTORY_VERSION, MailboxMessage, NodeView, Outcome, Phase,
        Record, Reply, Submission, Transaction, Wire,
    },
    scenario::{Cluster, Plan, Scenario, Setting, Settle, Span, Step},
};

/// A mailbox recipient of every story.
pub(crate) const MAILBOX: &str = "user-1@mailbox.example";
/// An external recipient of every story.
pub(crate) const EXTERNAL: &str = "user-1@external.example";

/// A history in the making.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) scenario: Scenario,
    pub(crate) suite: &'static str,
    pub(crate) substrate: &'static str,
    pub(crate) time_scale: u32,
    records: Vec<Record>,
    now_us: u64,
    connections: BTreeMap<String, u32>,
    submissions: Vec<Submission>,
    boxes: BTreeMap<String, Vec<MailboxMessage>>,
    faults: Vec<Fault>,
    starts: BTreeMap<String, u32>,
    views_at_end: Vec<(String, NodeView)>,
}

/// A reply.
pub(crate) fn reply(code: u16, text: &str) -> Reply {
    Reply {
        code,
        text: text.into(),
    }
}

/// The digest of message `n`.
pub(crate) fn digest(n: u32) -> Digest {
    Digest {
        header: format!("h{n}"),
        body: format!("b{n}"),
        size: 1000 + u64::from(n),
    }
}

impl Story {
    /// A run of the default cluster, all nodes up.
    pub(crate) fn new() -> Self {
        let mut story = Self {
            scenario: Scenario {
                title: "A story".into(),
                description: None,
                guarantees: Vec::new(),
                on: vec!["sim".into()],
                cluster: Cluster::default(),
                config: BTreeMap::new(),
                node: BTreeMap::new(),
                real_time: None,
                step: Vec::new(),
                fault: Vec::new(),
                chaos: None,
                settle: Settle::default(),
            },
            suite: "stories",
            substrate: "sim",
            time_scale: 1,
            records: Vec::new(),
            now_us: 0,
            connections: BTreeMap::new(),
            submissions: Vec::new(),
            boxes: BTreeMap::new(),
            faults: Vec::new(),
            starts: BTreeMap::new(),
            views_at_end: Vec::new(),
        };
        for node in ["n1", "n2", "n3"] {
            story.up(node, &format!("db-{node}-1"));
        }
        story
    }

    /// Sets a documented parameter.
    pub(crate) fn set(&mut self, name: &str, value: Setting) -> &mut Self {
        self.scenario.config.insert(name.into(), value);
        self
    }

    /// Sets a documented duration.
    pub(crate) fn set_span(&mut self, name: &str, value: &str) -> &mut Self {
        self.set(name, Setting::Text(value.into()))
    }

    /// Lets time pass: `"3h"`.
    pub(crate) fn after(&mut self, time: &str) -> &mut Self {
        let span: Span = time.parse().expect("a duration in a test");
        self.now_us += u64::try_from(span.0.as_micros()).expect("a short duration in a test");
        self
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, event: Event) -> &mut Self {
        self.now_us += 1000;
        // Number 0 is for `Begin`, which is put in front at the end.
        let seq = self.records.len() as u64 + 1;
        self.records.push(Record {
            seq,
            t_us: self.now_us,
            event,
        });
        self
    }

    /// A step of the plan begins; it is added to the plan.
    pub(crate) fn step(&mut self, step: Step) -> &mut Self {
        self.scenario.step.push(step);
        let index = self.scenario.step.len() - 1;
        self.push(Event::Step {
            index,
            text: format!("step {index}"),
        })
    }

    /// Something is seen on the link's newest connection.
    pub(crate) fn wire(&mut self, link: &str, wire: Wire) -> &mut Self {
        let connection = *self.connections.entry(link.into()).or_insert(1);
        self.push(Event::Wire {
            link: link.into(),
            connection,
            wire,
        })
    }

    /// A new connection on the link, with its greeting.
    pub(crate) fn connect(&mut self, link: &str) -> &mut Self {
        *self.connections.entry(link.into()).or_default() += 1;
        self.wire(link, Wire::Connect);
        self.wire(
            link,
            Wire::Greeting {
                reply: reply(220, "ready"),
            },
        )
    }

    /// A new connection on the link that could not be opened.
    pub(crate) fn connect_fails(&mut self, link: &str) -> &mut Self {
        *self.connections.entry(link.into()).or_default() += 1;
        self.wire(link, Wire::Connect);
        self.wire(
            link,
            Wire::ConnectFailed {
                error: "refused".into(),
            },
        )
    }

    /// A command on the link's newest connection, and its reply.
    pub(crate) fn command(&mut self, link: &str, line: &str, code: u16) -> &mut Self {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_owned();
        self.wire(
            link,
            Wire::Command {
                verb: verb.clone(),
                line: line.into(),
            },
        );
        self.wire(
            link,
            Wire::Reply {
                verb,
                reply: reply(code, "reply"),
            },
        )
    }

    /// The link's newest connection ends.
    pub(crate) fn close(&mut self, link: &str, by: &str) -> &mut Self {
        self.wire(
            link,
            Wire::Close {
                by: by.into(),
                reset: false,
            },
        )
    }

    /// A client begins to submit message `n` to `node`: for a mailbox and for an external recipient.
    pub(crate) fn submit(&mut self, n: u32, node: &str) -> &mut Self {
        self.submit_as(n, node, |_| {})
    }

    /// …with changes to what it submits. Its session has come to DATA afterwards.
    pub(crate) fn submit_as(
        &mut self,
        n: u32,
        node: &str,
        change: impl FnOnce(&mut Submission),
    ) -> &mut Self {
        let attempt = 1 + u32::try_from(self.submissions.iter().filter(|s| s.message == n).count())
            .unwrap_or_default();
        let mut submission = Submission {
            submission: u32::try_from(self.submissions.len()).unwrap_or_default() + 1,
            message: n,
            attempt,
            client: "client-1".into(),
            link: format!("client-1>{node}"),
            via: "raw".into(),
            hello: "EHLO".into(),
            from: "sender@external.example".into(),
            recipients: vec![MAILBOX.into(), EXTERNAL.into()],
            message_id: Some(format!("<{n}@gauntlet.example>")),
            date: Some(format!("Sat, 21 Nov 2026 10:00:{n:02} +0000")),
            content: "generated".into(),
            digest: digest(n),
        };
        change(&mut submission);
        let (link, hello, recipients) = (
            submission.link.clone(),
            submission.hello.clone(),
            submission.recipients.clone(),
        );
        self.submissions.push(submission.clone());
        self.push(Event::Submit(submission));
        self.connect(&link)
            .command(&link, &format!("{hello} client-1"), 250)
            .command(&link, "MAIL FROM:<s@x>", 250);
        for recipient in recipients {
            self.command(&link, &format!("RCPT TO:<{recipient}>"), 250);
        }
        self.command(&link, "DATA", 354)
    }

    /// The newest submission of message `n`.
    pub(crate) fn submission(&self, n: u32) -> Submission {
        self.submissions
            .iter()
            .rfind(|s| s.message == n)
            .expect("submitted before")
            .clone()
    }

    /// The transport's ID of the newest submission of message `n`.
    fn transport_id(&self, n: u32) -> String {
        let s = self.submission(n);
        format!(
            "{}/db/{}",
            s.link.split_once('>').map_or("", |(_, node)| node),
            s.submission
        )
    }

    /// The client sends the end of data of message `n`.
    pub(crate) fn end_of_data(&mut self, n: u32) -> &mut Self {
        let s = self.submission(n);
        self.eod(&s.link, Transaction::Mail, n)
            .push(Event::DataSent {
                submission: s.submission,
            })
    }

    fn eod(&mut self, link: &str, kind: Transaction, n: u32) -> &mut Self {
        let attempt = Some(self.submission(n).attempt);
        let transport_id = (kind != Transaction::Mail).then(|| self.transport_id(n));
        self.wire(
            link,
            Wire::EndOfData {
                kind,
                message: Some(n),
                attempt,
                transport_id,
            },
        )
    }

    fn last_reply(
        &mut self,
        link: &str,
        kind: Transaction,
        n: u32,
        code: u16,
        text: &str,
    ) -> &mut Self {
        let attempt = Some(self.submission(n).attempt);
        let transport_id = (kind != Transaction::Mail).then(|| self.transport_id(n));
        self.wire(
            link,
            Wire::FinalReply {
                kind,
                reply: reply(code, text),
                message: Some(n),
                attempt,
                transport_id,
            },
        )
    }

    /// A session to a shadow server begins, up to the copy's end of data.
    pub(crate) fn copy_begins(&mut self, n: u32, link: &str) -> &mut Self {
        let xshadow = format!("XSHADOW {} 0", self.transport_id(n));
        self.connect(link)
            .command(link, "XPEER n1", 250)
            .command(link, &xshadow, 250);
        self.command(link, "MAIL FROM:<s@x>", 250);
        for recipient in self.submission(n).recipients {
            self.command(link, &format!("RCPT TO:<{recipient}>"), 250);
        }
        self.command(link, "DATA", 354)
            .eod(link, Transaction::Copy, n)
    }

    /// Message `n` goes on as ordinary mail on another link, up to its end of data.
    pub(crate) fn goes_on(&mut self, n: u32, link: &str) -> &mut Self {
        self.connect(link)
            .command(link, "MAIL FROM:<s@x>", 250)
            .end_there(n, link)
    }

    /// The end of data of message `n` as ordinary mail on another link.
    pub(crate) fn end_there(&mut self, n: u32, link: &str) -> &mut Self {
        self.eod(link, Transaction::Mail, n)
    }

    /// …and is answered there.
    pub(crate) fn answered_there(&mut self, n: u32, link: &str, code: u16) -> &mut Self {
        self.last_reply(link, Transaction::Mail, n, code, "there")
    }

    /// The end of a copy's data, on the link's newest connection.
    pub(crate) fn copy_sent(&mut self, n: u32, link: &str) -> &mut Self {
        self.eod(link, Transaction::Copy, n)
    }

    /// The copy is confirmed, or refused.
    pub(crate) fn copy_answered(&mut self, n: u32, link: &str, code: u16) -> &mut Self {
        self.last_reply(link, Transaction::Copy, n, code, "copy")
            .close(link, "client")
    }

    /// The copy is confirmed, and the session stays open.
    pub(crate) fn copy_confirmed(&mut self, n: u32, link: &str) -> &mut Self {
        self.last_reply(link, Transaction::Copy, n, 250, "copy")
    }

    /// A whole copy.
    pub(crate) fn copy(&mut self, n: u32, link: &str) -> &mut Self {
        self.copy_begins(n, link).copy_answered(n, link, 250)
    }

    /// The client gets its ack for message `n`.
    pub(crate) fn ack(&mut self, n: u32) -> &mut Self {
        let link = self.submission(n).link;
        self.last_reply(&link, Transaction::Mail, n, 250, "2.0.0 accepted")
            .ends(n, Outcome::Acked, Some(reply(250, "2.0.0 accepted")))
    }

    /// The client is refused message `n` after the end of data.
    pub(crate) fn refuse(&mut self, n: u32, code: u16, text: &str) -> &mut Self {
        let link = self.submission(n).link;
        self.last_reply(&link, Transaction::Mail, n, code, text)
            .ends(n, Outcome::Refused, Some(reply(code, text)))
    }

    /// The newest submission of message `n` ends so.
    pub(crate) fn ends(&mut self, n: u32, outcome: Outcome, reply: Option<Reply>) -> &mut Self {
        let submission = self.submission(n).submission;
        self.push(Event::Outcome {
            submission,
            outcome,
            reply,
            refused: BTreeMap::new(),
            error: None,
        })
    }

    /// Message `n` is submitted to `node`, copied to `shadow`, and acked.
    pub(crate) fn accepted(&mut self, n: u32, node: &str, shadow: &str) -> &mut Self {
        let link = format!("{node}>{shadow}");
        self.submit(n, node).end_of_data(n).copy(n, &link).ack(n)
    }

    /// `node` sends message `n` to `sink-1`, for its external recipients.
    pub(crate) fn sink(&mut self, n: u32, node: &str) -> &mut Self {
        let s = self.submission(n);
        let link = format!("{node}>sink-1");
        let recipients: Vec<_> = s
            .recipients
            .iter()
            .filter(|r| !r.ends_with("@mailbox.example"))
            .cloned()
            .collect();
        self.connect(&link).command(&link, "MAIL FROM:<s@x>", 250);
        for recipient in &recipients {
            self.command(&link, &format!("RCPT TO:<{recipient}>"), 250);
        }
        self.command(&link, "DATA", 354)
            .eod(&link, Transaction::Mail, n);
        self.last_reply(&link, Transaction::Mail, n, 250, "taken")
            .push(Event::Delivered(Delivery {
                sink: "sink-1".into(),
                link,
                from: s.from,
                recipients,
                message: Some(n),
                attempt: Some(s.attempt),
                dsn: None,
                message_id: s.message_id,
                digest: s.digest,
                received: 1,
                answered: true,
            }))
    }

    /// A DSN about `recipient` of message `n` comes to `sink-1` for `to`.
    pub(crate) fn dsn(&mut self, n: u32, recipient: &str, to: &str) -> &mut Self {
        self.push(Event::Delivered(Delivery {
            sink: "sink-1".into(),
            link: "n1>sink-1".into(),
            from: String::new(),
            recipients: vec![to.into()],
            message: Some(n),
            attempt: None,
            dsn: Some(BTreeMap::from([(
                recipient.to_owned(),
                "failed".to_owned(),
            )])),
            message_id: None,
            digest: digest(999),
            received: 1,
            answered: true,
        }))
    }

    /// Message `n` comes to its mailbox. Nothing is recorded before the mailbox is read.
    pub(crate) fn mailbox(&mut self, n: u32) -> &mut Self {
        let s = self.submission(n);
        self.mailbox_as(n, s.attempt, s.digest)
    }

    /// …as that attempt and with that content.
    pub(crate) fn mailbox_as(&mut self, n: u32, attempt: u32, digest: Digest) -> &mut Self {
        let shown = MailboxMessage {
            t_us: i64::try_from(self.now_us).unwrap_or(i64::MAX),
            message: Some(n),
            attempt: Some(attempt),
            dsn: false,
            from: "sender@external.example".into(),
            message_id: self.submission(n).message_id,
            digest,
        };
        self.boxes.entry(MAILBOX.into()).or_default().push(shown);
        self
    }

    /// A DSN about message `n` comes to the mailbox, which does not say which recipient it is about.
    pub(crate) fn mailbox_dsn(&mut self, n: u32) -> &mut Self {
        self.mailbox_as(n, 1, digest(999));
        if let Some(dsn) = self.boxes.get_mut(MAILBOX).and_then(|all| all.last_mut()) {
            (dsn.dsn, dsn.attempt, dsn.from) = (true, None, String::new());
        }
        self
    }

    /// Message `n` reaches all its recipients from `node`.
    pub(crate) fn delivered(&mut self, n: u32, node: &str) -> &mut Self {
        self.sink(n, node).mailbox(n)
    }

    /// Forgets what the mailboxes show.
    pub(crate) fn mailboxes_lost(&mut self) -> &mut Self {
        self.boxes.clear();
        self
    }

    /// A fault lands.
    pub(crate) fn fault(&mut self, what: Fault) -> &mut Self {
        self.fault_by(what, None)
    }

    /// A fault lands, fired by a trigger.
    pub(crate) fn fault_by(&mut self, what: Fault, trigger: Option<&str>) -> &mut Self {
        self.faults.push(what.clone());
        let fault = u32::try_from(self.faults.len()).unwrap_or_default();
        self.push(Event::FaultPlanned {
            fault,
            what,
            trigger: trigger.map(String::from),
        });
        self.push(Event::FaultLanded { fault })
    }

    /// A node is destroyed.
    pub(crate) fn destroy(&mut self, node: &str) -> &mut Self {
        self.fault(Fault::Destroy { node: node.into() })
    }

    /// A node's process is killed.
    pub(crate) fn kill(&mut self, node: &str) -> &mut Self {
        self.fault(Fault::ProcessCrash { node: node.into() })
    }

    /// Two hosts are parted.
    pub(crate) fn part(&mut self, a: &str, b: &str) -> &mut Self {
        self.fault(Fault::Partition {
            a: a.into(),
            b: b.into(),
            one_way: false,
        })
    }

    /// The newest fault is taken back.
    pub(crate) fn heal(&mut self) -> &mut Self {
        let fault = u32::try_from(self.faults.len()).unwrap_or_default();
        self.push(Event::FaultHealed { fault })
    }

    /// A node is up, with that transport database.
    pub(crate) fn up(&mut self, node: &str, database: &str) -> &mut Self {
        let incarnation = self.starts.entry(node.into()).or_default();
        *incarnation += 1;
        let incarnation = *incarnation;
        self.push(Event::NodeUp {
            node: node.into(),
            incarnation,
            database: Some(database.into()),
        })
    }

    /// A node tells of its queues.
    pub(crate) fn view(&mut self, node: &str, view: NodeView) -> &mut Self {
        self.push(Event::View {
            node: node.into(),
            view,
        })
    }

    /// …when the run is over.
    pub(crate) fn view_at_end(&mut self, node: &str, view: NodeView) -> &mut Self {
        self.views_at_end.push((node.into(), view));
        self
    }

    /// Mailboxes are read.
    pub(crate) fn observe(&mut self) -> &mut Self {
        let messages = self.boxes.get(MAILBOX).cloned().unwrap_or_default();
        self.push(Event::Mailbox {
            node: "n3".into(),
            mailbox: MAILBOX.into(),
            messages,
        })
    }

    /// The run heals, settles and ends.
    pub(crate) fn settle(&mut self) -> &mut Self {
        self.push(Event::Phase { phase: Phase::Heal })
            .push(Event::Phase {
                phase: Phase::Settle,
            })
            .after("4h");
        self.push(Event::Settled {
            quiescent: true,
            pending: Vec::new(),
        });
        self.push(Event::Phase {
            phase: Phase::Observe,
        })
        .observe();
        for (node, view) in std::mem::take(&mut self.views_at_end) {
            self.view(&node, view);
        }
        self.push(Event::End {
            reason: "completed".into(),
        })
    }

    /// The whole history.
    pub(crate) fn history(&self) -> Vec<Record> {
        let plan = Plan {
            id: "story".into(),
            suite: self.suite.into(),
            seed: 1,
            scenario: self.scenario.clone(),
        };
        let begin = Event::Begin {
            version: HISTORY_VERSION,
            harness: "test".into(),
            substrate: self.substrate.into(),
            time_scale: self.time_scale,
            sabotage: None,
            plan: Box::new(plan),
        };
        let mut records = vec![Record {
            seq: 0,
            t_us: 0,
            event: begin,
        }];
        records.extend(self.records.iter().cloned());
        records
    }

    /// What the guarantee's own checker says.
    pub(crate) fn judge(&self, id: &str) -> Verdict {
        let history = self.history();
        let case = Case::new(&history).expect("a story has a beginning");
        registry::checker(id).expect("a checker of that ID")(&case)
    }

    /// …in one text: `status: summary`, then a line for each piece of evidence.
    pub(crate) fn told(&self, id: &str) -> String {
        let verdict = self.judge(id);
        let status = serde_json::to_value(verdict.status).expect("a status is a word");
        let mut text = format!(
            "{}: {}",
            status.as_str().unwrap_or_default(),
            verdict.summary
        );
        for piece in verdict.evidence {
            text.push_str(&format!("\n- {}", piece.text));
        }
        text
    }
}
