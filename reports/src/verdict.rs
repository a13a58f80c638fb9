//! What a checker says of one guarantee in one scenario.

use serde::{Deserialize, Serialize};

use crate::{Damage, MailLedger};

/// The six answers. Only [`Status::Holds`] is proof; only [`Status::Violated`] is failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The guarantee was put to the test and kept.
    Holds,
    /// The guarantee was broken; the evidence tells how.
    Violated,
    /// A documented unsupported operation was done, and this is what it did: neither proof nor failure.
    Measured,
    /// Too little happened to say: no message acked, the fault never landed.
    Inconclusive,
    /// The run left the conditions under which the guarantee is given.
    Outside,
    /// The substrate or target cannot do what the scenario needs.
    NotApplicable,
}

impl Status {
    /// All six, in the order in which reports count them.
    pub const ALL: [Self; 6] = [
        Self::Holds,
        Self::Violated,
        Self::Measured,
        Self::Inconclusive,
        Self::Outside,
        Self::NotApplicable,
    ];

    /// The word that people read: `not applicable` where the file format has `not-applicable`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Measured => "measured",
            Self::Inconclusive => "inconclusive",
            Self::Outside => "outside",
            Self::NotApplicable => "not applicable",
        }
    }

    /// The word that programs read, as in the file format.
    pub fn key(self) -> &'static str {
        match self {
            Self::NotApplicable => "not-applicable",
            other => other.word(),
        }
    }
}

/// One piece of evidence: what was seen, when, and which records of the history show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// In words: "250 to client-1 at 0.012 s; n1 crashed at 0.013 s; no delivery by 3 h 4 min; therefore lost".
    pub text: String,
    /// Sequence numbers of the history's records that show it, ascending.
    pub records: Vec<u64>,
}

/// One guarantee's verdict in one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The guarantee's ID, e.g. `SC-01`.
    pub guarantee: String,
    /// The answer.
    pub status: Status,
    /// One line: what was proven ("12 of 12 acks came after the copy's 250"), or why nothing was.
    pub summary: String,
    /// For `violated` the shortest evidence; may be empty otherwise.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// How many times the guarantee was put to the test in this run (messages, sessions, faults…).
    #[serde(default)]
    pub proofs: u64,
    /// What a hazard did to mail, phase by phase; only with `measured`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
}

/// One scenario's run and its verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// The scenario's ID: its file name without `.toml`, e.g. `sc-01-primary-destroyed-at-ack`.
    pub scenario: String,
    /// The scenario's title.
    pub title: String,
    /// The suite (directory) it stands in, e.g. `shadow-redundancy`.
    pub suite: String,
    /// `sim`, `process`, …
    pub substrate: String,
    /// The seed that its choices were drawn from.
    pub seed: u64,
    /// How long the run took, in real milliseconds; left out of reproducible output.
    pub elapsed_ms: u64,
    /// How long it lasted by the run's own clock, in milliseconds.
    pub simulated_ms: u64,
    /// Messages submitted, acked, refused, indeterminate, unsent.
    pub counts: Counts,
    /// What became of it, message by message, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<MailLedger>,
    /// Its verdicts, in the order of the guarantee IDs.
    pub verdicts: Vec<Verdict>,
    /// The run directory, when one was written.
    #[serde(default)]
    pub directory: Option<String>,
    /// Why the harness could not finish this scenario, when it could not.
    #[serde(default)]
    pub failure: Option<String>,
}

/// What happened to the mail of one scenario.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Submissions begun.
    pub submitted: u64,
    /// …that ended with a 2xx after end-of-data.
    pub acked: u64,
    /// …with a 4xx or 5xx.
    pub refused: u64,
    /// …whose reply to end-of-data never came.
    pub indeterminate: u64,
    /// …that broke off before end-of-data.
    pub unsent: u64,
    /// Copies that arrived: in mailboxes and at sinks.
    pub delivered: u64,
    /// Faults that landed.
    pub faults: u64,
}

/// The version of [`RunReport`]'s format that this crate writes and reads.
pub const REPORT_VERSION: u32 = 1;

/// Everything one call of `gauntlet run` found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// Version of this format.
    pub version: u32,
    /// The harness's version.
    pub harness: String,
    /// The command line, so that it can be repeated.
    pub command: String,
    /// Deliberately broken behaviour that the nodes ran with, if any.
    #[serde(default)]
    pub sabotage: Option<String>,
    /// How long the call took by the clock on the wall, in real milliseconds; scenarios ran side by side in it. Left out
    /// of reproducible output, and unknown where a history is judged again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// What was run, so that the parts of a call (`--shard`) can be put together again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The verdicts of all seeds, one by one, when there were several: a scenario's report folds its seeds into one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<SeedTotals>,
    /// A scenario each.
    pub scenarios: Vec<ScenarioReport>,
}

/// What a call ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// What was selected, as the run directory names it: `all`, `heartbeat`, `certificate`.
    pub what: String,
    /// The substrate, and the target where it is not the reference cluster.
    pub on: String,
    /// The first seed…
    pub seed: u64,
    /// …and how many.
    pub seeds: u64,
    /// The part of it, when it was divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// Part I of N.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// I, from 1.
    pub index: u64,
    /// N.
    pub of: u64,
}

/// What the single runs of a call with several seeds said, before they were folded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeedTotals {
    /// Runs: scenarios times seeds.
    pub runs: u64,
    /// Verdicts of these runs that hold.
    pub holds: u64,
    /// …that are violated.
    pub violated: u64,
    /// …that measure what an unsupported operation does.
    #[serde(default)]
    pub measured: u64,
    /// …that are inconclusive.
    pub inconclusive: u64,
    /// …that are outside.
    pub outside: u64,
    /// …that do not apply.
    pub not_applicable: u64,
}

impl SeedTotals {
    /// Counts one run.
    pub fn add(&mut self, report: &ScenarioReport) {
        self.runs += 1;
        for verdict in &report.verdicts {
            *match report.status_of(verdict) {
                Status::Holds => &mut self.holds,
                Status::Violated => &mut self.violated,
                Status::Measured => &mut self.measured,
                Status::Inconclusive => &mut self.inconclusive,
                Status::Outside => &mut self.outside,
                Status::NotApplicable => &mut self.not_applicable,
            } += 1;
        }
    }

    /// How many verdicts have this answer.
    pub fn count(&self, status: Status) -> u64 {
        match status {
            Status::Holds => self.holds,
            Status::Violated => self.violated,
            Status::Measured => self.measured,
            Status::Inconclusive => self.inconclusive,
            Status::Outside => self.outside,
            Status::NotApplicable => self.not_applicable,
        }
    }
}
