//! The file of expected failures: which cases a server is known to fail, and why.
//!
//! ```toml
//! [[expected]]
//! id = "rfc5321/4.5.1/noop-argument"
//! reason = "mailin 0.8 answers 500 to any argument of NOOP"
//! ```
//!
//! Comes in: the file's text. Goes out: reasons by ID, or an error with its place. A case that is listed and passes is an
//! *unexpected pass*, and counts: the file must not rot.

use std::{collections::BTreeMap, sync::Arc};

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::case::Case;
use crate::scenario::spelling;

/// Reasons by case ID.
pub type Expected = BTreeMap<&'static str, String>;

/// What is wrong with the file.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
pub struct ExpectedError {
    message: Box<str>,
    #[help]
    help: Option<Box<str>>,
    #[source_code]
    file: Arc<NamedSource<String>>,
    #[label("here")]
    span: SourceSpan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    expected: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    reason: Spanned<String>,
}

/// Reads the file; `name` is what errors call it.
///
/// # Errors
/// Bad TOML, an unknown key, an ID that no case has, an ID twice, an empty reason.
pub fn parse<C>(
    name: &str,
    text: &str,
    cases: &[&'static Case<C>],
) -> Result<Expected, ExpectedError> {
    let error =
        |span: std::ops::Range<usize>, message: String, help: Option<String>| ExpectedError {
            message: message.into(),
            help: help.map(Into::into),
            file: Arc::new(NamedSource::new(name, text.to_owned()).with_language("toml")),
            span: (span.start, span.len()).into(),
        };
    let file: File = toml::from_str(text).map_err(|e| {
        let message = e.message().lines().next().unwrap_or("not valid").to_owned();
        error(e.span().unwrap_or_default(), message, None)
    })?;
    let mut expected = Expected::new();
    for Entry { id, reason } in file.expected {
        let Some(case) = cases.iter().find(|case| case.id == id.get_ref()) else {
            let near = spelling::nearest(id.get_ref(), cases.iter().map(|case| case.id));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "see `gauntlet probe --list`".to_owned(),
            };
            let message = format!("there is no case `{}`", id.get_ref());
            return Err(error(id.span(), message, Some(help)));
        };
        if reason.get_ref().trim().is_empty() {
            let help = "say why the case fails, so that others can check it";
            let message = "the reason is empty".to_owned();
            return Err(error(reason.span(), message, Some(help.into())));
        }
        if expected.insert(case.id, reason.into_inner()).is_some() {
            let message = format!("`{}` stands here twice", case.id);
            return Err(error(id.span(), message, None));
        }
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::cases;

    fn error(text: &str) -> String {
        let error = parse("known.toml", text, &cases::all()).expect_err(text);
        let mut shown = String::new();
        miette::NarratableReportHandler::new()
            .render_report(&mut shown, &error)
            .expect("rendered");
        shown
    }

    #[test]
    fn reasons_by_id() {
        let text = "[[expected]]\nid = \"rfc5321/4.5.2/dot-stuffing\"\nreason = \"known bug\"\n";
        let expected = parse("known.toml", text, &cases::all()).expect("good");
        assert_eq!(
            expected
                .get("rfc5321/4.5.2/dot-stuffing")
                .map(String::as_str),
            Some("known bug")
        );
        assert!(
            parse("known.toml", "", &cases::all())
                .expect("good")
                .is_empty()
        );
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let entry = "[[expected]]\nid = \"rfc5321/4.5.2/dot-stuffing\"\nreason = \"x\"\n";
        for (text, said) in [
            (
                "[[expected]]\nid = \"rfc5321/4.5.2/dot-stufing\"\nreason = \"x\"\n".to_owned(),
                "did you mean `rfc5321/4.5.2/dot-stuffing`?",
            ),
            (format!("{entry}{entry}"), "stands here twice"),
            (entry.replace("\"x\"", "\" \""), "the reason is empty"),
            (format!("{entry}level = 1\n"), "unknown field"),
            ("[[expected]\n".to_owned(), "known.toml"),
        ] {
            let shown = error(&text);
            assert!(shown.contains(said), "{shown}");
        }
        assert!(
            error(&format!("{entry}{entry}")).contains("line 5"),
            "the second one"
        );
    }
}
