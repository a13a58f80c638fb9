//! The data model of a probe: one answer per case, and what all of them come to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Conclusion;

/// The version of the JSON form.
pub const PROBE_VERSION: u32 = 1;

/// How binding a clause is (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// MUST, MUST NOT, REQUIRED, and what the grammar says.
    Must,
    /// SHOULD, SHOULD NOT.
    Should,
    /// MAY: told, never counted.
    May,
    /// No clause may say so, but a server that fails can be abused.
    Security,
}

impl Level {
    /// As the standards write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Security => "security",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What one case came to, before anybody asked whether that was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The server does what the clause says.
    Passed,
    /// It does something else.
    Failed {
        /// What the clause asks for.
        expected: String,
        /// What was seen instead.
        seen: String,
    },
    /// There was nothing to test: an extension that is not offered, `--slow` not given.
    Skipped {
        /// Why.
        why: String,
    },
    /// The case could not tell: no proof of arrival, or a server that refused what comes before the case.
    Inconclusive {
        /// Why.
        why: String,
    },
    /// The server went away and did not come back.
    Gone {
        /// What was seen.
        why: String,
    },
}

impl Outcome {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Inconclusive { .. } => "inconclusive",
            Self::Gone { .. } => "gone",
        }
    }
}

/// Who said a line of a dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The probe.
    Probe,
    /// The server that is probed.
    Server,
    /// The client that is probed.
    Client,
    /// The probe, as that client's next hop.
    Hop,
    /// Nobody: something happened.
    Event,
}

/// A line of what went over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogueLine {
    /// Milliseconds since the case began.
    pub at_ms: u64,
    /// Which of the case's connections, from 1.
    pub connection: u32,
    /// Who said it.
    pub speaker: Speaker,
    /// The octets, control characters made visible, long runs cut; for an event what happened.
    pub text: String,
}

impl fmt::Display for DialogueLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.speaker {
            Speaker::Probe | Speaker::Client => "C:",
            Speaker::Server | Speaker::Hop => "S:",
            Speaker::Event => "--",
        };
        let (seconds, ms) = (self.at_ms / 1000, self.at_ms % 1000);
        write!(
            f,
            "{seconds:>3}.{ms:03} {} {who} {}",
            self.connection, self.text
        )
    }
}

/// One case's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeCase {
    /// `rfc5321/4.5.2/dot-stuffing`.
    pub id: String,
    /// `RFC 5321 §4.5.2`.
    pub section: String,
    /// How binding the clause is.
    pub level: Level,
    /// The clause, in our words.
    pub clause: String,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Why this case is expected to fail, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What went over the wire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dialogue: Vec<DialogueLine>,
}

/// What a case's answer means for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It passed.
    Passed,
    /// It failed, and that counts.
    Failed,
    /// It passed, although the file of expected failures says that it fails.
    UnexpectedPass,
    /// It failed, as the file of expected failures says.
    ExpectedFailure,
    /// It failed, and does not count: a MAY, or a SHOULD without `--strict`.
    Deviates,
    /// It could not tell.
    Inconclusive,
    /// There was nothing to test.
    Skipped,
}

impl Standing {
    /// In the order in which they are counted and shown.
    pub const ALL: [Self; 7] = [
        Self::Passed,
        Self::Failed,
        Self::UnexpectedPass,
        Self::ExpectedFailure,
        Self::Deviates,
        Self::Inconclusive,
        Self::Skipped,
    ];

    /// The words for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::UnexpectedPass => "unexpected pass",
            Self::ExpectedFailure => "expected failure",
            Self::Deviates => "deviates",
            Self::Inconclusive => "inconclusive",
            Self::Skipped => "skipped",
        }
    }
}

/// A probe of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// [`PROBE_VERSION`].
    pub version: u32,
    /// `gauntlet 0.1.0`.
    pub harness: String,
    /// The command line.
    pub command: String,
    /// What was probed: `127.0.0.1:2525`.
    pub target: String,
    /// The server's greeting, control characters made visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// How arrival was proven: `sink 127.0.0.1:2600`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// SHOULD counts.
    pub strict: bool,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Why no case could be run: the target refuses connections, or does not greet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    /// The server went away in the middle: when, and during which cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// Ctrl-C came before the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// The cases, by standard and section.
    pub cases: Vec<ProbeCase>,
}

impl ProbeReport {
    /// Whether a failure of this level counts.
    pub fn counts(&self, level: Level) -> bool {
        match level {
            Level::Must | Level::Security => true,
            Level::Should => self.strict,
            Level::May => false,
        }
    }

    /// What a case's answer means here.
    pub fn standing(&self, case: &ProbeCase) -> Standing {
        match (&case.outcome, &case.known) {
            (Outcome::Passed, None) => Standing::Passed,
            (Outcome::Passed, Some(_)) => Standing::UnexpectedPass,
            (Outcome::Failed { .. }, Some(_)) => Standing::ExpectedFailure,
            (Outcome::Failed { .. }, None) if self.counts(case.level) => Standing::Failed,
            (Outcome::Failed { .. }, None) => Standing::Deviates,
            (Outcome::Gone { .. }, _) => Standing::Failed,
            (Outcome::Skipped { .. }, _) => Standing::Skipped,
            (Outcome::Inconclusive { .. }, _) => Standing::Inconclusive,
        }
    }

    /// What the probe comes to. [`Conclusion::Failed`] means that the target could not be probed at all.
    pub fn conclusion(&self) -> Conclusion {
        if self.unreachable.is_some() {
            return Conclusion::Failed;
        }
        let any = |standing| {
            self.cases
                .iter()
                .any(|case| self.standing(case) == standing)
        };
        if self.gone.is_some() || any(Standing::Failed) || any(Standing::UnexpectedPass) {
            return Conclusion::Violated;
        }
        let doubt = |case: &ProbeCase| {
            self.counts(case.level) && self.standing(case) == Standing::Inconclusive
        };
        let proven = any(Standing::Passed) || any(Standing::ExpectedFailure);
        if self.interrupted || !proven || self.cases.iter().any(doubt) {
            return Conclusion::Inconclusive;
        }
        Conclusion::AllHold
    }

    /// One sentence for it.
    pub fn headline(&self) -> String {
        if let Some(why) = &self.unreachable {
            return format!("nothing was probed: {why}");
        }
        if let Some(why) = &self.gone {
            return format!("the server is gone: {why}");
        }
        match self.conclusion() {
            Conclusion::AllHold => "every case that counts holds".into(),
            Conclusion::Violated => "the server does not do what the standards say".into(),
            Conclusion::Inconclusive if self.interrupted => "interrupted".into(),
            Conclusion::Inconclusive | Conclusion::Failed => {
                "nothing failed, but not everything could be told".into()
            }
        }
    }

    /// How many cases stand where.
    pub fn summary(&self) -> ProbeSummary {
        let mut summary = ProbeSummary::default();
        for case in &self.cases {
            summary.add(self.standing(case));
        }
        summary
    }

    /// The sections in the order of the cases, each with its cases.
    pub fn sections(&self) -> Vec<(String, Vec<&ProbeCase>)> {
        let mut sections: Vec<(String, Vec<&ProbeCase>)> = Vec::new();
        for case in &self.cases {
            let heading = case.heading();
            match sections.iter_mut().find(|(name, _)| *name == heading) {
                Some((_, cases)) => cases.push(case),
                None => sections.push((heading, vec![case])),
            }
        }
        sections
    }
}

impl ProbeCase {
    /// Where the case is shown: the section that its ID names, `RFC 5321 §4.5.2`, or `security`.
    pub fn heading(&self) -> String {
        // A case about a client is told by its ID, and by the section's beginning.
        let (side, id) = match self.id.strip_prefix("client/") {
            Some(id) => ("client ", id),
            None => ("", self.id.as_str()),
        };
        match id.split('/').collect::<Vec<_>>().as_slice() {
            [standard, section, _] => {
                let number = standard.trim_start_matches("rfc");
                format!("{side}RFC {number} §{section}")
            }
            [family, ..] => format!("{side}{family}"),
            [] => String::new(),
        }
    }

    /// What was expected and seen, or why there is no answer; nothing for a case that passed.
    pub fn explanation(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Passed => None,
            Outcome::Failed { expected, seen } => {
                Some(format!("expected {expected}; seen: {seen}"))
            }
            Outcome::Skipped { why } | Outcome::Inconclusive { why } | Outcome::Gone { why } => {
                Some(why.clone())
            }
        }
    }
}

/// How many cases stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProbeSummary {
    counts: [usize; Standing::ALL.len()],
}

impl ProbeSummary {
    /// Adds a case.
    pub fn add(&mut self, standing: Standing) {
        self.counts[standing as usize] += 1;
    }

    /// The cases that stand there.
    pub fn count(&self, standing: Standing) -> usize {
        self.counts[standing as usize]
    }

    /// All cases.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }
}

impl fmt::Display for ProbeSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "{total} case{}", if total == 1 { "" } else { "s" })?;
        let mut separator = ": ";
        for standing in Standing::ALL {
            let count = self.count(standing);
            if count > 0 {
                let word = match (standing, count) {
                    (Standing::UnexpectedPass, 2..) => "unexpected passes",
                    (Standing::ExpectedFailure, 2..) => "expected failures",
                    (Standing::Deviates, 2..) => "deviate",
                    _ => standing.word(),
                };
                write!(f, "{separator}{count} {word}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}
