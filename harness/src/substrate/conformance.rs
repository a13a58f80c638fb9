//! One body for the faults of all substrates: a fault takes effect, is taken back, and is gone.
//!
//! Comes in: a cluster of `n1` and `n2`, mailboxes on `n2`, both running, and what its substrate lets us see within. Goes
//! out: nothing, or a panic. Called by the tests of each substrate. Every proof goes through [`Cluster`], as a client sees
//! it, except where a fault shows only within.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use reference_node::env::BoxStream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::{ClusterError, SharedCluster};
use crate::{
    history::{Fault, MailboxMessage},
    scenario::Database,
};

/// After so long without an answer there is none.
const SILENCE: Duration = Duration::from_millis(400);

/// What must happen happens within this time, or never.
const LIMIT: Duration = Duration::from_secs(60);

const MAILBOX: &str = "user-1@mailbox.example";

/// What only the substrate itself can see of a node.
pub(crate) trait Within {
    /// Writes something to the node's disk that is not synced, if that can be reached from here.
    fn write_unsynced(&self, _node: &str) -> bool {
        false
    }
    /// It is still there. Asked only after it was written.
    fn keeps_unsynced(&self, _node: &str) -> bool {
        true
    }
    /// How often the node wanted more of a processor than it got; `None` while it gets what it wants.
    fn throttled(&self, _node: &str) -> Option<u64> {
        None
    }
    /// Which host the node is on; another one after each migration. `None` where hosts cannot be told apart.
    fn host(&self, _node: &str) -> Option<u64> {
        None
    }
    /// How much memory the node has, megabytes.
    fn memory(&self, _node: &str) -> Option<u64> {
        None
    }
}

/// The kinds of fault, in the order in which they are tried.
pub(crate) fn all() -> Vec<Fault> {
    let node = || "n2".to_owned();
    let link = || "client-1>n2".to_owned();
    vec![
        Fault::ProcessCrash { node: node() },
        Fault::HostCrash { node: node() },
        Fault::Freeze { node: node() },
        Fault::DiskFull { node: node() },
        Fault::DiskReadOnly { node: node() },
        Fault::ClockJump {
            node: node(),
            offset_ms: -7_200_000,
        },
        Fault::CpuStarved {
            node: node(),
            percent: 1,
        },
        Fault::Save { node: node() },
        Fault::Migration { node: node() },
        Fault::Shutdown { node: node() },
        Fault::Ballooned {
            node: node(),
            megabytes: 16,
        },
        Fault::Partition {
            a: "client-1".into(),
            b: node(),
            one_way: false,
        },
        Fault::BlackHole {
            link: link(),
            stream: None,
        },
        Fault::Delay {
            link: link(),
            latency_us: 300_000,
        },
        Fault::Reset { link: link() },
        Fault::Revert { node: node() },
        Fault::Destroy { node: node() },
    ]
}

/// A substrate under test.
pub(crate) struct Subject<'a> {
    pub(crate) cluster: SharedCluster,
    pub(crate) within: &'a dyn Within,
    /// Microseconds of the history's clock.
    pub(crate) now_us: &'a dyn Fn() -> u64,
}

/// Proves all faults, one after the other. Those for which `refused` has a part of the reason must be refused for it.
pub(crate) async fn every_fault(
    subject: &Subject<'_>,
    faults: &[Fault],
    refused: impl Fn(&Fault) -> Option<&'static str>,
) {
    for fault in faults {
        if let Some(part) = refused(fault) {
            match subject.cluster.inject(fault) {
                Err(ClusterError::NotApplicable { reason, .. }) => {
                    assert!(reason.contains(part), "{fault:?}: {reason}");
                }
                other => panic!("{fault:?} should not be possible: {other:?}"),
            }
        } else {
            eprintln!("{fault:?}");
            subject.prove(fault).await;
        }
        // Whatever it was, nothing of it is left.
        subject.serves().await;
    }
}

impl Subject<'_> {
    async fn prove(&self, fault: &Fault) {
        let cluster = &self.cluster;
        match fault {
            Fault::ProcessCrash { node } => {
                let before = self.database(node).await;
                let mut open = self.session(node).await;
                self.inject(fault);
                // The kernel closes what the process had open.
                assert!(!is_silent(&mut open).await, "the connection ends");
                assert!(cluster.view(node).await.is_none());
                self.start(node).await;
                assert_eq!(self.database(node).await, before);
            }
            Fault::HostCrash { node } => {
                let before = self.database(node).await;
                let shown = self.send(node).await;
                let written = self.within.write_unsynced(node);
                let mut open = self.session(node).await;
                self.inject(fault);
                // Nobody is left to close anything.
                assert!(is_silent(&mut open).await, "the connection falls silent");
                assert!(cluster.view(node).await.is_none());
                self.start(node).await;
                assert_eq!(self.database(node).await, before);
                assert!(
                    self.shown(shown).await.is_some(),
                    "what was acked is there after the boot"
                );
                assert!(
                    !(written && self.within.keeps_unsynced(node)),
                    "what was not synced is gone"
                );
            }
            Fault::Freeze { node } => {
                let mut open = self.session(node).await;
                self.inject(fault);
                noop(&mut open).await;
                assert!(is_silent(&mut open).await, "it answers nothing");
                self.heal(fault);
                assert!(!is_silent(&mut open).await, "it goes on where it was");
            }
            Fault::DiskFull { node } => {
                self.inject(fault);
                // What has room in the database still may be taken; then a message waits, and the later ones are refused.
                self.until_answered(node, "452").await;
                self.heal(fault);
                self.until_answered(node, "250").await;
            }
            Fault::DiskReadOnly { node } => {
                self.inject(fault);
                self.until_answered(node, "4").await;
                if let Err(error) = cluster.heal(fault) {
                    // Where it does not end the node itself.
                    assert!(matches!(error, ClusterError::State(_)), "{error}");
                    self.inject(&Fault::ProcessCrash { node: node.clone() });
                    self.heal(fault);
                }
                self.start(node).await;
            }
            Fault::ClockJump { node, offset_ms } => {
                let by_us = cluster
                    .scaled(Duration::from_millis(offset_ms.unsigned_abs()))
                    .as_micros();
                let by_us = i64::try_from(by_us).expect("some hours") * offset_ms.signum();
                let off = async || {
                    let sent_us = (self.now_us)() as i64;
                    let number = self.send(node).await;
                    let shown = self.shown(number).await.expect("it is delivered");
                    shown.t_us - sent_us
                };
                self.inject(fault);
                let measured = off().await;
                assert!(
                    (measured - by_us).abs() < by_us.abs() / 2,
                    "off by {measured} µs, not {by_us}"
                );
                self.heal(fault);
                let measured = off().await;
                assert!(measured.abs() < by_us.abs() / 2, "off by {measured} µs");
            }
            Fault::CpuStarved { node, .. } => {
                assert_eq!(self.within.throttled(node), None);
                self.inject(fault);
                let begun = Instant::now();
                while self.within.throttled(node) == Some(0) {
                    assert!(begun.elapsed() < LIMIT, "it is never throttled");
                    self.send(node).await;
                }
                self.heal(fault);
                assert_eq!(self.within.throttled(node), None);
            }
            Fault::Save { node } => {
                let mut open = self.session(node).await;
                self.inject(fault);
                assert!(cluster.view(node).await.is_none());
                noop(&mut open).await;
                assert!(is_silent(&mut open).await, "its connections are dead");
                self.heal(fault);
                assert!(cluster.view(node).await.is_some());
            }
            Fault::Migration { node } => {
                let (database, host) = (self.database(node).await, self.within.host(node));
                let mut open = self.session(node).await;
                let begun = Instant::now();
                self.inject(fault);
                noop(&mut open).await;
                let moved = within(cluster.finished(fault)).await;
                moved.expect("it is on the other host");
                assert!(begun.elapsed() > Duration::ZERO, "it stood still");
                let answer = within(reply(&mut open)).await;
                answer.expect("an open session goes on");
                assert_eq!(self.database(node).await, database);
                assert!(host.is_none() || self.within.host(node) != host);
            }
            Fault::Shutdown { node } => {
                let before = self.database(node).await;
                let shown = self.send(node).await;
                let written = self.within.write_unsynced(node);
                let mut open = self.session(node).await;
                self.inject(fault);
                let off = within(cluster.finished(fault)).await;
                off.expect("it is off");
                let end = within(open.read(&mut [0; 512])).await;
                assert_eq!(end.expect("no reset"), 0, "its connections are closed");
                assert!(cluster.view(node).await.is_none());
                self.start(node).await;
                assert_eq!(self.database(node).await, before);
                assert!(self.shown(shown).await.is_some());
                assert!(
                    !written || self.within.keeps_unsynced(node),
                    "what was written is on the disk"
                );
            }
            Fault::Ballooned { node, megabytes } => {
                let all = self.within.memory(node).expect("it can be told");
                let has = async |least: u64, most: u64| {
                    let begun = Instant::now();
                    while !(least..=most).contains(&self.within.memory(node).unwrap_or_default()) {
                        assert!(begun.elapsed() < LIMIT, "not {least} to {most} MB");
                        sleep(Duration::from_millis(20)).await;
                    }
                };
                self.inject(fault);
                has(0, all.saturating_sub(u64::from(*megabytes))).await;
                self.heal(fault);
                has(all, u64::MAX).await;
            }
            Fault::Partition { a, b, .. } => {
                let dialled = || timeout(SILENCE, greeted(self.cluster.dial(a, b)));
                self.inject(fault);
                assert!(dialled().await.is_err(), "nothing passes");
                self.heal(fault);
                assert!(dialled().await.is_ok(), "it passes again");
            }
            Fault::BlackHole { .. } => {
                let mut open = self.session("n2").await;
                self.inject(fault);
                noop(&mut open).await;
                assert!(is_silent(&mut open).await);
                self.heal(fault);
                noop(&mut open).await;
                assert!(is_silent(&mut open).await, "it never recovers");
            }
            Fault::Delay { latency_us, .. } => {
                let mut open = self.session("n2").await;
                let latency = Duration::from_micros(*latency_us);
                self.inject(fault);
                let begun = Instant::now();
                noop(&mut open).await;
                within(reply(&mut open)).await.expect("a reply");
                assert!(begun.elapsed() >= latency, "{:?}", begun.elapsed());
                self.heal(fault);
                let mut fastest = latency;
                for _ in 0..20 {
                    let begun = Instant::now();
                    noop(&mut open).await;
                    within(reply(&mut open)).await.expect("a reply");
                    fastest = fastest.min(begun.elapsed());
                }
                assert!(fastest < latency, "{fastest:?}");
            }
            Fault::Toxic { .. }
            | Fault::Down { .. }
            | Fault::Garble { .. }
            | Fault::DelayReply { .. } => {
                panic!("{fault:?} is proved on both substrates by harness/tests/toxics.rs")
            }
            Fault::Reset { .. } => {
                let mut open = self.session("n2").await;
                self.inject(fault);
                let error = within(open.read_u8()).await.expect_err("it is reset");
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            }
            Fault::Revert { node } => {
                cluster.snapshot(node).expect("a snapshot");
                let after = self.send(node).await;
                assert!(self.shown(after).await.is_some());
                self.inject(fault);
                self.start(node).await;
                assert!(self.shown_now(after).await.is_none(), "it went back");
            }
            Fault::Destroy { node } => {
                let before = self.send(node).await;
                let database = self.database(node).await;
                self.inject(fault);
                self.start(node).await;
                assert_ne!(self.database(node).await, database);
                assert!(self.shown_now(before).await.is_none(), "it is lost");
            }
        }
    }

    fn inject(&self, fault: &Fault) {
        let injected = self.cluster.inject(fault);
        injected.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }

    fn heal(&self, fault: &Fault) {
        let healed = self.cluster.heal(fault);
        healed.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }

    async fn start(&self, node: &str) {
        let started = within(self.cluster.start(node, Database::Same)).await;
        started.expect("it starts");
    }

    async fn database(&self, node: &str) -> String {
        within(self.cluster.view(node))
            .await
            .expect("a view")
            .database
    }

    /// A message goes in, and is delivered.
    async fn serves(&self) {
        let number = self.send("n2").await;
        assert!(self.shown(number).await.is_some(), "it is delivered");
    }

    async fn session(&self, node: &str) -> BoxStream {
        within(greeted(self.cluster.dial("client-1", node)))
            .await
            .expect("a greeting")
    }

    /// Sends messages until one is acked; its number.
    async fn send(&self, node: &str) -> u32 {
        self.until_answered(node, "250").await
    }

    /// Sends messages until the final reply of one begins so; its number. One that is not answered is given up.
    async fn until_answered(&self, node: &str, code: &str) -> u32 {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let begun = Instant::now();
        loop {
            let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            let answer = timeout(5 * SILENCE, self.submit(node, number)).await;
            match answer {
                Ok(Ok(answer)) if answer.starts_with(code) => return number,
                other => assert!(begun.elapsed() < LIMIT, "no {code}: {other:?}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn submit(&self, node: &str, number: u32) -> std::io::Result<String> {
        let mut stream = greeted(self.cluster.dial("client-1", node)).await?;
        for command in [
            "EHLO client.example\r\n",
            "MAIL FROM:<a@b.example>\r\n",
            &format!("RCPT TO:<{MAILBOX}>\r\n"),
            "DATA\r\n",
        ] {
            stream.write_all(command.as_bytes()).await?;
            let answer = reply(&mut stream).await?;
            if !answer.starts_with(['2', '3']) {
                return Ok(answer);
            }
        }
        let body = "x".repeat(100_000);
        let content = format!(
            "Message-ID: <{number}@conformance.example>\r\nX-Gauntlet-Message: {number}.1\r\n\r\n{body}\r\n.\r\n"
        );
        stream.write_all(content.as_bytes()).await?;
        reply(&mut stream).await
    }

    /// The message as the mailbox shows it, once it does.
    async fn shown(&self, number: u32) -> Option<MailboxMessage> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let shown = self.shown_now(number).await;
            if shown.is_some() {
                return shown;
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    async fn shown_now(&self, number: u32) -> Option<MailboxMessage> {
        let mailboxes = within(self.cluster.mailboxes("n2")).await?;
        let mail = mailboxes.into_iter().flat_map(|(_, mail)| mail);
        mail.into_iter().find(|mail| mail.message == Some(number))
    }
}

async fn greeted(
    dialling: impl Future<Output = std::io::Result<BoxStream>>,
) -> std::io::Result<BoxStream> {
    let mut stream = dialling.await?;
    reply(&mut stream).await?;
    Ok(stream)
}

async fn noop(stream: &mut BoxStream) {
    // Into a dead connection it is written in vain.
    let _ = stream.write_all(b"NOOP\r\n").await;
}

/// Nothing comes, not even its end.
async fn is_silent(stream: &mut BoxStream) -> bool {
    timeout(SILENCE, stream.read(&mut [0; 512])).await.is_err()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("it comes to its end")
}

/// Reads a reply, all its lines.
async fn reply(stream: &mut BoxStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    loop {
        text.push(stream.read_u8().await?);
        let line = text.rsplit(|&o| o == b'\n').nth(1).unwrap_or_default();
        if text.ends_with(b"\n") && line.get(3) == Some(&b' ') {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}
