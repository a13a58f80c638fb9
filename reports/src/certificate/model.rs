//! What a certificate says.

use serde::{Deserialize, Serialize};

use crate::{
    MailLedger, Part, Status,
    probe::{Level as ClauseLevel, Outcome, ProbeReport},
};

/// The version of the format that this crate writes and reads.
pub const CERTIFICATE_VERSION: u32 = 1;

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Certificate {
    /// [`CERTIFICATE_VERSION`].
    pub version: u32,
    /// The harness's version.
    pub harness: String,
    /// The command line, so that it can be repeated.
    pub command: String,
    /// Who it is about.
    pub subject: Subject,
    /// The first seed.
    pub seed: u64,
    /// How many times the scenarios for any server were run, each time with another seed.
    pub repeats: u64,
    /// When it was made, RFC 3339.
    pub date: String,
    /// How long that took, in real milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Every run came to its end.
    pub complete: bool,
    /// It is of one part of a certification only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// How the nodes were broken on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<String>,
    /// The levels, reached or not.
    pub levels: Vec<LevelLine>,
    /// The guarantees that the subject claims, in the catalogue's order.
    pub guarantees: Vec<GuaranteeLine>,
    /// What became of the mail.
    pub ledger: MailLedger,
    /// What the standards' clauses came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeTally>,
    /// What was not tested.
    pub untested: Vec<Untested>,
}

/// Who a certificate is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subject {
    /// `postfix`
    pub name: String,
    /// `Postfix, as Debian packages it`
    pub title: String,
    /// What it says of itself: `3.7.11`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The image's digest, or the program's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where it ran: `process`, `container`.
    pub substrate: String,
    /// Every documented duration was divided by this.
    pub time_scale: u32,
    /// The areas of the guarantees that it claims: `TC`, `SC`…
    pub claims: Vec<String>,
}

/// A guarantee of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// `TC-01`
    pub id: String,
    /// It is a MUST.
    pub must: bool,
}

/// What was found out about one guarantee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GuaranteeLine {
    /// `TC-01`
    pub id: String,
    /// It is a MUST.
    pub must: bool,
    /// The verdict over all runs; `None`: not tested.
    pub status: Option<Status>,
    /// Scenarios that judged it.
    pub scenarios: u64,
    /// Deliveries that were promised in them.
    pub promised: u64,
    /// Faults that landed in them.
    pub faults: u64,
    /// How many times it was put to the test.
    pub proofs: u64,
    /// Where it does not hold, the scenarios that say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingLine>,
}

/// One scenario's word on a guarantee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FindingLine {
    /// The scenario.
    pub scenario: String,
    /// `process, seed 3`
    pub run: String,
    /// In a line.
    pub summary: String,
    /// What shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// Something that was not tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Untested {
    /// A guarantee, a scenario, a clause.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// A level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The clauses with MUST.
    Protocol,
    /// TC-01.
    CrashSafe,
    /// TC-02.
    PowerSafe,
    /// All of TC.
    TransportCore,
    /// SC, TO, HB, RO, DD.
    ShadowRedundant,
    /// SN.
    SafetyNet,
}

impl Level {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::CrashSafe => "crash-safe",
            Self::PowerSafe => "power-safe",
            Self::TransportCore => "transport core",
            Self::ShadowRedundant => "shadow-redundant",
            Self::SafetyNet => "Safety Net",
        }
    }
}

/// Whether a level is reached, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LevelLine {
    /// The level.
    pub level: Level,
    /// It is.
    pub reached: bool,
    /// What it rests on; or everything that denies it.
    pub reasons: Vec<String>,
}

/// What the clauses of the standards came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeTally {
    /// How arrival was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Cases with MUST that passed.
    pub must_passed: u64,
    /// …that had nothing to test: an extension that is not offered.
    pub must_skipped: u64,
    /// …that failed.
    pub must_failed: Vec<ClauseLine>,
    /// …that could not tell.
    pub must_open: Vec<ClauseLine>,
    /// Weaknesses that can be abused.
    pub security_failed: Vec<ClauseLine>,
    /// …and cases of that kind that passed.
    pub security_passed: u64,
    /// Cases with SHOULD that passed, and those that did not.
    pub should: [u64; 2],
    /// Why the probe did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_off: Option<String>,
}

/// A case that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClauseLine {
    /// `rfc5321/4.5.2/dot-stuffing`
    pub id: String,
    /// The clause.
    pub clause: String,
    /// What was seen, or why it could not be told.
    pub seen: String,
}

impl ProbeTally {
    /// Counts a probe's cases.
    pub fn of(report: &ProbeReport) -> Self {
        let interrupted = report.interrupted.then(|| "it was interrupted".to_owned());
        let broken_off = (report.unreachable.clone())
            .or_else(|| report.gone.clone())
            .or(interrupted);
        let mut tally = Self {
            proof: report.proof.clone(),
            broken_off,
            ..Self::default()
        };
        for case in &report.cases {
            let line = || ClauseLine {
                id: case.id.clone(),
                clause: case.clause.clone(),
                seen: case.explanation().unwrap_or_default(),
            };
            match (case.level, &case.outcome) {
                (ClauseLevel::Must, Outcome::Passed) => tally.must_passed += 1,
                (ClauseLevel::Must, Outcome::Skipped { .. }) => tally.must_skipped += 1,
                (ClauseLevel::Must, Outcome::Inconclusive { .. }) => tally.must_open.push(line()),
                // What is known to fail fails all the same.
                (ClauseLevel::Must, _) => tally.must_failed.push(line()),
                (ClauseLevel::Security, Outcome::Passed) => tally.security_passed += 1,
                (ClauseLevel::Security, Outcome::Failed { .. } | Outcome::Gone { .. }) => {
                    tally.security_failed.push(line());
                }
                (ClauseLevel::Should, Outcome::Passed) => tally.should[0] += 1,
                (ClauseLevel::Should, Outcome::Failed { .. }) => tally.should[1] += 1,
                _ => {}
            }
        }
        tally
    }
}
