//! Reads a target file strictly: an unknown key, a missing one, a value of another kind is an error with its line.
//!
//! Comes in: the file's text, its name for errors, and where the files beside it are. Goes out: a [`Target`]. Called by
//! [`Target::load`].

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::{Context, NodeKind, Target};

/// Why there is no such target.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TargetError {
    /// No shipped target has that name.
    #[error("no target is called `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        #[help]
        help: String,
    },
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no target file.
    #[error("{message}")]
    File {
        /// What is wrong.
        message: String,
        /// The file.
        #[source_code]
        file: Arc<NamedSource<String>>,
        /// Where.
        #[label("here")]
        place: Option<SourceSpan>,
        /// What to do.
        #[help]
        help: String,
    },
}

/// Reads a target file. `name` is for errors.
///
/// # Errors
/// It is no target file; with the line, and what to do.
pub fn parse(name: &str, text: &str, context: Context) -> Result<Target, TargetError> {
    let failed = |message: String, place: Option<Range<usize>>, help: String| TargetError::File {
        message,
        file: Arc::new(NamedSource::new(name, text.to_owned()).with_language("TOML")),
        place: place.map(SourceSpan::from),
        help,
    };
    let mut target: Target = toml::from_str(text).map_err(|error| {
        let help =
            "docs/targets.md says what each field means; `gauntlet schema target` is its schema";
        failed(error.message().to_owned(), error.span(), help.into())
    })?;
    target.context = context;
    if let Some(problem) = problems(&target) {
        let place = section(text, problem.section);
        return Err(failed(problem.message, place, problem.help.into()));
    }
    Ok(target)
}

struct Problem {
    section: &'static str,
    message: String,
    help: &'static str,
}

/// What fields say together that none of them says alone.
fn problems(target: &Target) -> Option<Problem> {
    let problem = |section, message: &str, help| {
        Some(Problem {
            section,
            message: message.to_owned(),
            help,
        })
    };
    match (&target.image.dockerfile, &target.image.name) {
        (Some(_), Some(_)) => {
            return problem(
                "[image]",
                "an image has a `dockerfile` or a `name`, not both",
                "leave one of them out",
            );
        }
        (None, None) => {
            return problem(
                "[image]",
                "this says nowhere which image to take",
                "write `dockerfile = \"Dockerfile\"` for one beside this file, or `name = \"registry.example/mta:1.2\"`",
            );
        }
        (Some(file), None) if file.starts_with('/') || file.split('/').any(|p| p == "..") => {
            return problem(
                "[image]",
                "the Dockerfile must be in the directory of this file, or below",
                "that directory is the build's context: nothing outside it is seen",
            );
        }
        _ => {}
    }
    if target.capabilities.is_empty() {
        return problem(
            "capabilities",
            "this target claims nothing",
            "then there is nothing to test: `capabilities = [\"transport-core\"]` is what a mail transfer agent claims",
        );
    }
    if target.smtp.port == 0 {
        return problem("[smtp]", "port 0 is no port", "SMTP's own is 25");
    }
    if target.time.scale == 0 {
        return problem(
            "[time]",
            "a scale of 0",
            "1 leaves documented durations as they are; 600 makes ten minutes a second",
        );
    }
    let told = &target.smart_host;
    let all = || told.environment.values().chain(&told.arguments);
    let says = all().any(|t| t.has_host()) && all().any(|t| t.has_port());
    match target.node {
        NodeKind::MailTransferAgent if !says => problem(
            "[smart-host]",
            "this target is never told where its mail goes",
            "put `{smart-host}` and `{smart-port}` into `environment` or `arguments`",
        ),
        NodeKind::ReferenceNode if all().next().is_some() => problem(
            "[smart-host]",
            "a reference node has routes in its configuration, which the harness writes",
            "leave `smart-host` out",
        ),
        _ => None,
    }
}

/// Where that section, or key, begins.
fn section(text: &str, name: &str) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with(name) {
            return Some(start..start + line.trim_end().len());
        }
        start += line.len();
    }
    None
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
