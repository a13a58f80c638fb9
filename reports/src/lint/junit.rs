//! The report of a lint as JUnit XML: a test suite per rule, a test case per thing that it is about.
//!
//! | answer | element | why |
//! |---|---|---|
//! | kept, advice | none | advice fails nothing |
//! | broken | `failure`, of a SHOULD `skipped` | |
//! | not stated | `error`, of a SHOULD `skipped` | CI servers show `skipped` as green |
//!
//! A lint that checked nothing has an `error` that says so: a file without `failure` and `error` means
//! [`Conclusion::AllHold`].

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Answer, Finding, Level, LintReport};
use crate::junit::{not_success, without_skipped_on_the_root};
use crate::text::{one_line, visible};
use crate::{Conclusion, ReportError};

/// The root's name: fixed text, so that the root element holds no text from outside.
const ROOT_NAME: &str = "gauntlet lint";

/// The report as JUnit XML.
///
/// # Errors
///
/// [`ReportError::Junit`] when the XML writer refuses; no report is known that makes it do so.
pub fn junit(report: &LintReport) -> Result<String, ReportError> {
    let mut out = Report::new(ROOT_NAME);
    let mut rules: Vec<&str> = Vec::new();
    for finding in &report.findings {
        if !rules.contains(&finding.rule.as_str()) {
            rules.push(&finding.rule);
        }
    }
    for rule in rules {
        let mut suite = TestSuite::new(one_line(rule));
        suite.add_property(("harness".to_owned(), one_line(&report.harness)));
        for finding in report.findings.iter().filter(|f| f.rule == rule) {
            suite.add_test_case(test_case(finding));
        }
        out.add_test_suite(suite);
    }
    if report.conclusion() == Conclusion::Inconclusive && out.failures + out.errors == 0 {
        let mut suite = TestSuite::new(ROOT_NAME);
        let status = not_success(NonSuccessKind::Error, "inconclusive", report.verdict());
        let mut case = TestCase::new("the deployment", status);
        case.set_classname(ROOT_NAME);
        suite.add_test_case(case);
        out.add_test_suite(suite);
    }
    Ok(without_skipped_on_the_root(&out.to_string()?))
}

fn test_case(finding: &Finding) -> TestCase {
    let message = if finding.change.is_empty() {
        finding.found.clone()
    } else {
        format!("{}; {}", finding.found, finding.change)
    };
    let kind = match (finding.answer, finding.level) {
        (Answer::Kept | Answer::Advice, _) => None,
        (Answer::Broken, Level::Must) => Some(NonSuccessKind::Failure),
        (Answer::NotStated, Level::Must) => Some(NonSuccessKind::Error),
        (_, Level::Should) => {
            let mut status = TestCaseStatus::skipped();
            let said = format!("{}: {message}", finding.answer.word());
            status.set_message(one_line(&said));
            return with_name(finding, status);
        }
    };
    let status = match kind {
        None => TestCaseStatus::success(),
        Some(kind) => {
            let mut status = not_success(kind, finding.answer.word(), &message);
            let place = match &finding.place {
                Some(place) => format!("{}:{}\n", place.file, place.line),
                None => String::new(),
            };
            let text = format!(
                "{place}found: {}\nchange: {}\nrule: {} {} ({})\n",
                finding.found,
                finding.change,
                finding.level.word(),
                finding.demand,
                finding.source
            );
            status.set_description(visible(&text));
            status
        }
    };
    with_name(finding, status)
}

fn with_name(finding: &Finding, status: TestCaseStatus) -> TestCase {
    let mut test = TestCase::new(one_line(&finding.subject), status);
    test.set_classname(one_line(&finding.rule).replace('.', "_"));
    test
}
