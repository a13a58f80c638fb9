//! `gauntlet lint`: the deployment rules (VZ-08) against what describes a deployment.
//!
//! Comes in: files, each a libvirt domain or storage volume as XML, or a deployment description of ours (TOML). Goes out: a
//! [`LintReport`](gauntlet_reports::lint::LintReport), or the first file that cannot be read for what it is. Called by
//! [`cli`](crate::cli).
//!
//! Reading order: [`facts`] is what files come to, whatever they are; [`domain`], [`volume`] and [`description`] read one kind of
//! file each; [`rules`] judge. What a file does not say is no fact, and a rule that needs it answers `not stated`.

pub mod description;
mod domain;
mod facts;
mod quantity;
mod rules;
mod volume;
mod xml;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use gauntlet_reports::lint::{LINT_VERSION, LintReport};
use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

use self::facts::Facts;
pub use self::rules::{RULES, Rule};
use crate::scenario::ScenarioError;

/// A file, as it was named and read.
#[derive(Debug, Clone)]
pub struct Input {
    /// What findings call it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A file that is not what it should be.
#[derive(Debug, Error, Diagnostic)]
pub enum LintError {
    /// A deployment description with a mistake.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Description(#[from] Box<ScenarioError>),
    /// XML that is none, or not of a kind that is known.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Xml(#[from] Box<XmlError>),
    /// Files that contradict each other.
    #[error("{message}")]
    Together {
        /// What.
        message: String,
        /// What to do.
        #[help]
        help: String,
    },
}

/// What is wrong with an XML file, and where.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
pub struct XmlError {
    message: String,
    label: String,
    #[help]
    help: Option<String>,
    #[source_code]
    file: NamedSource<String>,
    #[label("{label}")]
    span: SourceSpan,
}

impl XmlError {
    fn new(input: &Input, at: usize, message: String, label: &str, help: Option<String>) -> Self {
        // The place is one past the end where the file ends too early.
        let at = at.min(input.text.len());
        let width = input.text[at..].chars().next().map_or(0, char::len_utf8);
        Self {
            message,
            label: label.to_owned(),
            help,
            file: NamedSource::new(&input.name, input.text.clone()).with_language("xml"),
            span: (at, width).into(),
        }
    }
}

/// Checks what the files say together. `cores`: the physical cores of the one host of a deployment, where no file has them.
///
/// # Errors
/// A file cannot be read for what it is, or two files describe the same thing.
pub fn lint(inputs: &[Input], cores: Option<u32>) -> Result<LintReport, LintError> {
    let mut facts = Facts::default();
    for input in inputs {
        if is_xml(&input.text) {
            xml::read(input, &mut facts)?;
        } else {
            description::read(input, &mut facts)?;
        }
    }
    facts.together(cores)?;
    Ok(LintReport {
        version: LINT_VERSION,
        harness: env!("CARGO_PKG_VERSION").into(),
        files: inputs.iter().map(|input| input.name.clone()).collect(),
        findings: rules::judge(&facts),
    })
}

/// No TOML begins with `<`, and all XML does.
fn is_xml(text: &str) -> bool {
    text.trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with('<')
}

/// What names a file to findings; cheap to copy.
type FileName = Arc<str>;
