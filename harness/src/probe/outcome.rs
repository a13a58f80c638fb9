//! How a case ends.

use gauntlet_reports::probe::Outcome;

/// What a case's function gives: nothing, or why it stopped.
pub type Checked = Result<(), Stop>;

/// Why a case stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The server does not do what the clause says.
    Failed {
        /// What the clause asks for.
        expected: String,
        /// What was seen instead.
        seen: String,
    },
    /// There is nothing to test.
    Skipped(String),
    /// The case could not tell.
    Inconclusive(String),
}

impl Stop {
    /// The server does something else than what the clause asks for.
    pub fn failed(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Failed {
            expected: expected.into(),
            seen: seen.into(),
        }
    }

    /// The case's subject was never reached.
    pub fn inconclusive(why: impl Into<String>) -> Self {
        Self::Inconclusive(why.into())
    }

    /// There is nothing to test.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }

    /// A failure of what only prepares the case: it says nothing of the clause.
    #[must_use]
    pub fn in_preparation(self) -> Self {
        match self {
            Self::Failed { expected, seen } => Self::Inconclusive(format!(
                "before the case could begin: expected {expected}; seen: {seen}"
            )),
            other => other,
        }
    }

    /// Says which part of the case it was.
    #[must_use]
    pub fn with(self, part: &str) -> Self {
        match self {
            Self::Failed { expected, seen } => Self::Failed {
                expected: format!("{expected} ({part})"),
                seen,
            },
            Self::Skipped(why) => Self::Skipped(why),
            Self::Inconclusive(why) => Self::Inconclusive(format!("{why} ({part})")),
        }
    }
}

/// The report's word for it.
pub fn outcome(checked: Checked) -> Outcome {
    match checked {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed { expected, seen }) => Outcome::Failed { expected, seen },
        Err(Stop::Skipped(why)) => Outcome::Skipped { why },
        Err(Stop::Inconclusive(why)) => Outcome::Inconclusive { why },
    }
}
