//! What a lint found out: a finding for each rule and each thing that it is about.

use serde::{Deserialize, Serialize};

use crate::Conclusion;

/// The version of [`LintReport`]'s format.
pub const LINT_VERSION: u32 = 1;

/// How much a rule binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The documents demand it.
    Must,
    /// The documents recommend it.
    Should,
}

impl Level {
    /// `MUST`, `SHOULD`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// What a rule says of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is broken.
    Broken,
    /// The files do not say.
    NotStated,
    /// It is kept, and could be kept better.
    Advice,
    /// It is kept.
    Kept,
}

impl Answer {
    /// All four, the worst first.
    pub const ALL: [Self; 4] = [Self::Broken, Self::NotStated, Self::Advice, Self::Kept];

    /// The word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::NotStated => "not stated",
            Self::Advice => "advice",
            Self::Kept => "kept",
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Where {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// One rule and one thing that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The rule's ID; it never changes its meaning.
    pub rule: String,
    /// How much the rule binds.
    pub level: Level,
    /// What the rule says.
    pub answer: Answer,
    /// What it is about: `guest mx-1`, `host hv-1`, `disk vda of mx-1`.
    pub subject: String,
    /// Where that stands; `None` where nothing is written about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Where>,
    /// What is there.
    pub found: String,
    /// What to change, or to state; empty where nothing is to be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change: String,
    /// What the documents demand.
    pub demand: String,
    /// Where they do: the guarantee's ID, and the document's part.
    pub source: String,
}

/// What a lint found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintReport {
    /// Version of this format.
    pub version: u32,
    /// The harness's version.
    pub harness: String,
    /// The files that were read.
    pub files: Vec<String>,
    /// In the order of the rules.
    pub findings: Vec<Finding>,
}

impl LintReport {
    /// How many findings have this answer.
    pub fn count(&self, answer: Answer) -> u64 {
        self.findings.iter().filter(|f| f.answer == answer).count() as u64
    }

    /// A broken MUST is a violation; a MUST of which nothing is stated is inconclusive.
    pub fn conclusion(&self) -> Conclusion {
        let any = |answer| {
            let mut binding = self.findings.iter().filter(|f| f.level == Level::Must);
            binding.any(|f| f.answer == answer)
        };
        if any(Answer::Broken) {
            Conclusion::Violated
        } else if any(Answer::NotStated) || !any(Answer::Kept) {
            Conclusion::Inconclusive
        } else {
            Conclusion::AllHold
        }
    }

    /// The last line: `12 findings: 2 broken, 1 not stated, 9 kept`.
    pub fn headline(&self) -> String {
        let mut parts = Vec::new();
        for answer in Answer::ALL {
            let count = self.count(answer);
            if count > 0 {
                parts.push(format!("{count} {}", answer.word()));
            }
        }
        let total = crate::text::plural(self.findings.len() as u64, "finding");
        if parts.is_empty() {
            total
        } else {
            format!("{total}: {}", parts.join(", "))
        }
    }

    /// What that comes to.
    pub fn verdict(&self) -> &'static str {
        match self.conclusion() {
            Conclusion::AllHold => "the deployment keeps every rule",
            Conclusion::Violated => "the deployment breaks a rule",
            Conclusion::Inconclusive | Conclusion::Failed => {
                "no rule is broken by what is stated; what is not stated was not checked"
            }
        }
    }
}
