//! How the commands end: documented exit codes, and failures that carry one.
//!
//! Comes in: what went wrong, wherever it did. Goes out: one report on stderr and one exit code. Called by [`crate::cli`].

use gauntlet_reports::Conclusion;
use miette::{Diagnostic, Report};

/// What the exit code of every command says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All that was tested holds, and something was tested.
    Holds = 0,
    /// A guarantee is violated. It is proven, so it comes before every other code but [`Interrupted`](Self::Interrupted).
    Violated = 1,
    /// Nothing is violated, but something is inconclusive, or nothing was proven at all.
    Inconclusive = 2,
    /// Bad usage or a bad input file; a selector that matches nothing is one.
    Usage = 64,
    /// What the run needs is missing: a program, a run directory that can be written.
    Missing = 69,
    /// The harness itself failed.
    Harness = 70,
    /// Ctrl-C, or SIGTERM.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl From<Conclusion> for ExitCode {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::AllHold => Self::Holds,
            Conclusion::Violated => Self::Violated,
            Conclusion::Inconclusive => Self::Inconclusive,
            Conclusion::Failed => Self::Harness,
        }
    }
}

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What went wrong, for a person.
    pub report: Report,
}

impl Failure {
    /// A failure with this diagnostic.
    pub fn new(code: ExitCode, what: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            code,
            report: Report::new(what),
        }
    }

    /// A failure in words.
    pub fn text(code: ExitCode, message: impl Into<String>) -> Self {
        Self::new(
            code,
            Message {
                message: message.into(),
                help: None,
            },
        )
    }

    /// A failure in words, and what to do about it.
    pub fn with_help(code: ExitCode, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(
            code,
            Message {
                message: message.into(),
                help: Some(help.into()),
            },
        )
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
struct Message {
    message: String,
    #[help]
    help: Option<String>,
}
