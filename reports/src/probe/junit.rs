//! A probe's report as JUnit XML: a test suite per section, a test case per case.
//!
//! | standing | element | why |
//! |---|---|---|
//! | passed | none | |
//! | failed, unexpected pass | `failure` | |
//! | expected failure, deviates, skipped | `skipped` | it does not count |
//! | inconclusive | `error` when its level counts, else `skipped` | CI servers show `skipped` as green |
//!
//! A probe that proved nothing, or could not begin, has an `error` that says so, and one whose server went away a
//! `failure`: so a file without `failure` and `error` means [`Conclusion::AllHold`].

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{ProbeCase, ProbeReport, Standing};
use crate::junit::{not_success, without_skipped_on_the_root};
use crate::text::{one_line, visible};
use crate::{Conclusion, ReportError};

/// The report as JUnit XML.
///
/// # Errors
///
/// [`ReportError::Junit`] when the XML writer refuses; no report is known that makes it do so.
pub fn junit(report: &ProbeReport) -> Result<String, ReportError> {
    let mut out = Report::new(ROOT_NAME);
    for (section, cases) in report.sections() {
        let mut suite = TestSuite::new(one_line(&section));
        let mut property = |name: &str, value: &str| {
            suite.add_property((name.to_owned(), one_line(value)));
        };
        property("target", &report.target);
        property("harness", &report.harness);
        property("command", &report.command);
        if let Some(greeting) = &report.greeting {
            property("greeting", greeting);
        }
        let mut time = 0;
        for case in cases {
            time += case.elapsed_ms;
            suite.add_test_case(test_case(report, case));
        }
        suite.set_time(Duration::from_millis(time));
        out.add_test_suite(suite);
    }
    let whole = match (&report.gone, report.conclusion()) {
        (Some(why), _) => Some((
            NonSuccessKind::Failure,
            "gone",
            format!("the server is gone: {why}"),
        )),
        (None, Conclusion::Failed) => {
            Some((NonSuccessKind::Error, "unreachable", report.headline()))
        }
        (None, Conclusion::Inconclusive) if out.failures + out.errors == 0 => Some((
            NonSuccessKind::Error,
            "inconclusive",
            "nothing was proven".to_owned(),
        )),
        _ => None,
    };
    if let Some((kind, name, message)) = whole {
        let mut suite = TestSuite::new(ROOT_NAME);
        let mut case = TestCase::new("the probe", not_success(kind, name, &message));
        case.set_classname(ROOT_NAME);
        suite.add_test_case(case);
        out.add_test_suite(suite);
    }
    out.set_time(Duration::from_millis(report.elapsed_ms));
    Ok(without_skipped_on_the_root(&out.to_string()?))
}

/// The root's name: fixed text, so that the root element holds no text from outside.
const ROOT_NAME: &str = "gauntlet probe";

fn test_case(report: &ProbeReport, case: &ProbeCase) -> TestCase {
    let standing = report.standing(case);
    let message = case.explanation().unwrap_or_default();
    let message = match (standing, &case.known) {
        (Standing::UnexpectedPass, Some(reason)) => {
            format!("passed, but is expected to fail: {reason}")
        }
        (Standing::ExpectedFailure, Some(reason)) => format!("known: {reason}; {message}"),
        _ => message,
    };
    let kind = match standing {
        Standing::Passed => None,
        Standing::Failed | Standing::UnexpectedPass => Some(NonSuccessKind::Failure),
        Standing::Inconclusive if report.counts(case.level) => Some(NonSuccessKind::Error),
        _ => return skipped(case, standing, &message),
    };
    let status = match kind {
        None => TestCaseStatus::success(),
        Some(kind) => {
            let mut status = not_success(kind, standing.word(), &message);
            let mut text = format!(
                "{}\n{} {}: {}\n",
                message, case.section, case.level, case.clause
            );
            for line in &case.dialogue {
                text.push_str(&format!("{line}\n"));
            }
            status.set_description(visible(&text));
            status
        }
    };
    with_name(case, status)
}

fn skipped(case: &ProbeCase, standing: Standing, message: &str) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    status.set_message(one_line(&format!("{}: {message}", standing.word())));
    with_name(case, status)
}

/// CI servers split class names at dots, so a section's own dots become underscores.
fn with_name(case: &ProbeCase, status: TestCaseStatus) -> TestCase {
    let mut test = TestCase::new(one_line(&case.id), status);
    let (standard, _) = case.id.split_once('/').unwrap_or((&case.id, ""));
    test.set_classname(format!("probe.{}", one_line(standard).replace('.', "_")));
    test.set_time(Duration::from_millis(case.elapsed_ms));
    test
}
