//! Strict parsing of scenario files: TOML in, [`Scenario`] out, or an error with the line it is on.
//!
//! Three passes, each with places: the grammar of TOML, the shape of the model (unknown keys are errors), and what only
//! a reader of the whole file can know ([`super::validate`]: names that exist, ranges in order). Called by the
//! commands for a user's file, and for the embedded suites.

use std::{ops::Range, sync::Arc};

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;
use toml::de::DeTable;

use super::{Scenario, places::Place, spelling, validate};

/// What a scenario may refer to that stands outside its file.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Whether the catalogue has a guarantee of that ID.
    pub guarantee: &'a dyn Fn(&str) -> bool,
    /// Whether there is a test message of that name.
    pub message: &'a dyn Fn(&str) -> bool,
}

/// What is wrong with a scenario file (or another that is read as strictly): the first problem, the place it stands at, and the others behind it.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("{message}")]
pub struct ScenarioError {
    message: Box<str>,
    label: Box<str>,
    #[help]
    help: Option<Box<str>>,
    #[source_code]
    file: Arc<NamedSource<String>>,
    #[label("{label}")]
    span: SourceSpan,
    #[related]
    others: Vec<ScenarioError>,
}

impl ScenarioError {
    /// Line and column of the first problem, from 1; the column counts characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self
            .file
            .inner()
            .get(..self.span.offset())
            .unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// One problem, before it knows its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

/// Parses a scenario file against the embedded catalogue and test messages; `name` is what errors call it.
///
/// # Errors
/// As [`parse_with`].
pub fn parse(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let known = Known {
        guarantee: &|id| gauntlet_suites::guarantee(id).is_some(),
        message: &|name| gauntlet_suites::message(name).is_some(),
    };
    parse_with(name, text, known)
}

/// Parses a scenario file; `name` is what errors call it.
///
/// # Errors
/// Bad TOML, an unknown key or name, a value of the wrong kind: with place, and what to write instead.
pub fn parse_with(name: &str, text: &str, known: Known<'_>) -> Result<Scenario, ScenarioError> {
    let (first, others) = match check(text, known) {
        Ok(scenario) => return Ok(scenario),
        Err(problems) => problems,
    };
    Err(file_error(name, text, first, others))
}

/// Problems of a file, as a person is to read them.
pub(crate) fn file_error(
    name: &str,
    text: &str,
    first: Problem,
    others: Vec<Problem>,
) -> ScenarioError {
    let file = Arc::new(NamedSource::new(name, text.to_owned()).with_language("toml"));
    let error = |problem: Problem, others| ScenarioError {
        message: problem.message.into(),
        label: problem.label.into(),
        help: problem.help.map(Into::into),
        file: Arc::clone(&file),
        span: (problem.span.start, problem.span.len()).into(),
        others,
    };
    let others = others
        .into_iter()
        .map(|problem| error(problem, Vec::new()))
        .collect();
    error(first, others)
}

/// The scenario, or the first problem and those behind it.
fn check(text: &str, known: Known<'_>) -> Result<Scenario, (Problem, Vec<Problem>)> {
    let document = DeTable::parse(text).map_err(|e| (grammar(&e), Vec::new()))?;
    let scenario: Scenario = toml::from_str(text).map_err(|e| (shape(&e, text), Vec::new()))?;
    let mut problems =
        validate::problems(&scenario, &Place::root(document.get_ref()), known).into_iter();
    match problems.next() {
        None => Ok(scenario),
        Some(first) => Err((first, problems.collect())),
    }
}

/// An error of TOML's grammar.
pub(crate) fn grammar(error: &toml::de::Error) -> Problem {
    let mut lines = error.message().lines();
    Problem {
        span: error.span().unwrap_or_default(),
        message: format!("not valid TOML: {}", lines.next().unwrap_or("syntax error")),
        label: lines.next().unwrap_or("here").to_owned(),
        help: None,
    }
}

/// An error of the model's shape, as serde words it, in our words.
pub(crate) fn shape(error: &toml::de::Error, text: &str) -> Problem {
    let said = error.message();
    let span = error.span().unwrap_or_default();
    let names: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    let (message, label, help) = if said.starts_with("unknown field `")
        || said.starts_with("unknown variant `")
    {
        let what = if said.starts_with("unknown field") {
            "key"
        } else {
            "value"
        };
        let (word, candidates) = names
            .split_first()
            .map_or(("", &[][..]), |(word, rest)| (*word, rest));
        // A step's name is a variant to serde and a key to whoever wrote it.
        let what = if text
            .get(span.clone())
            .is_some_and(|at| at.starts_with(['"', '\'']))
        {
            what
        } else {
            "key"
        };
        (
            format!("unknown {what} `{word}`"),
            "not known here".into(),
            spelling::help(word, candidates.iter().copied()),
        )
    } else if said.starts_with("missing field `") {
        let field = names.first().copied().unwrap_or_default();
        (
            format!("`{field}` is missing"),
            format!("needs `{field}`"),
            None,
        )
    } else if said.starts_with("wanted exactly 1 element, more") {
        let help = "put the second one under a header of its own";
        (
            "two things in one step".into(),
            "does more than one thing".into(),
            Some(help.into()),
        )
    } else if said.starts_with("wanted exactly 1 element") {
        (
            "a step that does nothing".into(),
            "is empty".into(),
            Some("write what is done, as in `wait = { for = \"3h\" }`".into()),
        )
    } else if said.contains("untagged enum Setting") {
        let help = "a parameter is a switch (`true`), a whole number (`4`), or a text (`\"3h\"`, `\"PreferRemote\"`)";
        (
            "no value for a parameter".into(),
            "neither switch, number nor text".into(),
            Some(help.into()),
        )
    } else if let Some((message, help)) = said.split_once(": write an amount") {
        (
            format!("no amount: {message}"),
            "no amount".into(),
            Some(format!("write an amount{help}")),
        )
    } else if let Some((message, help)) = said.split_once(": write a duration") {
        (
            format!("no duration: {message}"),
            "no duration".into(),
            Some(format!("write a duration{help}")),
        )
    } else if let Some(rest) = said
        .strip_prefix("invalid type: ")
        .or_else(|| said.strip_prefix("invalid value: "))
    {
        let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "another"));
        let (expected, help) = match expected {
            "u16" | "u32" | "u64" => ("a whole number", None),
            "a string" => (
                "a text in quotes",
                Some("durations carry their unit, as in \"3h\" or \"500ms\"".into()),
            ),
            other => (other, None),
        };
        (
            format!("the wrong kind of value: {found}"),
            format!("expected {expected}"),
            help,
        )
    } else {
        (
            said.lines()
                .next()
                .unwrap_or("not what is expected here")
                .to_owned(),
            "here".into(),
            None,
        )
    };
    Problem {
        span,
        message,
        label,
        help,
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
