//! The report as JUnit XML, for CI servers.
//!
//! Comes in: a [`RunReport`]. Goes out: XML that is valid against Jenkins' `junit-10.xsd`, the strictest of the schemas in
//! use: no timestamps, no properties on test cases, no `skipped` on the root.
//!
//! A test suite per scenario's run, because what CI servers show with a suite (time, properties, output) is a run's:
//! substrate, seed, counts, directory. A test case per verdict, `classname` `suite.scenario`, which they show as package and
//! class. The name is the ID and the scenario's title: it stays the same from run to run, so that a history can be kept.
//!
//! | answer | element | why |
//! |---|---|---|
//! | holds | none | passed; what was proven stands in `system-out` |
//! | violated | `failure` | the transport broke its promise |
//! | inconclusive | `error` | the test could not say. Not `skipped`: CI servers show that as green. Not `failure`: the number of failures is the number of violations |
//! | measured, outside, not applicable | `skipped` | nothing was to be said |
//! | a scenario that did not finish, or without a verdict | `error` of a case of its own | |
//!
//! So a file without `failure` and `error` means [`Conclusion::AllHold`](crate::Conclusion::AllHold): a run in which nothing was wrong and nothing
//! was proven has an `error` that says so.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::text::{copies, one_line, plural, records, visible};
use crate::{Conclusion, Finding, ReportError, RunReport, ScenarioReport, Status};

/// The report as JUnit XML.
///
/// # Errors
///
/// [`ReportError::Junit`] when the XML writer refuses; no report is known that makes it do so.
pub fn junit(report: &RunReport) -> Result<String, ReportError> {
    let mut out = Report::new(ROOT_NAME);
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for scenario in &report.scenarios {
        *runs.entry(classname(scenario)).or_default() += 1;
    }
    let mut time = Duration::ZERO;
    for scenario in &report.scenarios {
        let repeated = runs.get(&classname(scenario)).is_some_and(|runs| *runs > 1);
        out.add_test_suite(suite(report, scenario, repeated));
        time = time.saturating_add(Duration::from_millis(scenario.elapsed_ms));
    }
    if report.conclusion() != Conclusion::AllHold && out.failures + out.errors == 0 {
        let mut suite = TestSuite::new(ROOT_NAME);
        let mut case = TestCase::new(
            "the run",
            not_success(NonSuccessKind::Error, "inconclusive", "nothing was proven"),
        );
        case.set_classname(ROOT_NAME);
        suite.add_test_case(case);
        out.add_test_suite(suite);
    }
    if !time.is_zero() {
        out.set_time(time);
    }
    Ok(without_skipped_on_the_root(&out.to_string()?))
}

/// The root's name: fixed text, so that the root element holds no text from outside.
const ROOT_NAME: &str = "gauntlet";

fn suite(report: &RunReport, scenario: &ScenarioReport, repeated: bool) -> TestSuite {
    let mut suite = TestSuite::new(one_line(&format!(
        "{}/{} [{}]",
        scenario.suite,
        scenario.scenario,
        scenario.run()
    )));
    if scenario.elapsed_ms > 0 {
        suite.set_time(Duration::from_millis(scenario.elapsed_ms));
    }
    let mut property = |name: &str, value: &str| {
        suite.add_property((name.to_owned(), one_line(value)));
    };
    property("title", &scenario.title);
    property("substrate", &scenario.substrate);
    property("seed", &scenario.seed.to_string());
    property("simulated-ms", &scenario.simulated_ms.to_string());
    property("harness", &report.harness);
    property("command", &report.command);
    if let Some(sabotage) = &report.sabotage {
        property("sabotage", sabotage);
    }
    if let Some(directory) = &scenario.directory {
        property("directory", directory);
    }
    for verdict in &scenario.verdicts {
        let finding = Finding {
            scenario,
            verdict,
            status: scenario.status_of(verdict),
        };
        let mut case = TestCase::new(
            name(&verdict.guarantee, scenario, repeated),
            status(&finding),
        );
        case.set_classname(classname(scenario));
        if finding.status == Status::Holds {
            case.set_system_out(format!(
                "{}\nput to the test {}",
                one_line(&verdict.summary),
                plural(verdict.proofs, "time")
            ));
        }
        suite.add_test_case(case);
    }
    let trouble = match &scenario.failure {
        Some(failure) => Some(("failed", failure.as_str())),
        None if scenario.verdicts.is_empty() => {
            Some(("inconclusive", "the scenario gave no verdict"))
        }
        None => None,
    };
    if let Some((kind, message)) = trouble {
        let mut status = not_success(NonSuccessKind::Error, kind, message);
        status.set_description(visible(&format!("{message}\n\n{}", origin(scenario))));
        let mut case = TestCase::new(name("scenario:", scenario, repeated), status);
        case.set_classname(classname(scenario));
        suite.add_test_case(case);
    }
    suite.set_system_out(mail(scenario));
    suite
}

/// `SC-01 The primary server is destroyed`; with the run when the report has several of this scenario.
fn name(what: &str, scenario: &ScenarioReport, repeated: bool) -> String {
    let run = if repeated {
        format!(" [{}]", scenario.run())
    } else {
        String::new()
    };
    one_line(&format!("{what} {}{run}", scenario.title))
}

/// `suite.scenario`. CI servers split at dots, so a name's own dots become underscores.
fn classname(scenario: &ScenarioReport) -> String {
    let part = |name: &str| one_line(name).replace('.', "_");
    format!("{}.{}", part(&scenario.suite), part(&scenario.scenario))
}

fn status(finding: &Finding<'_>) -> TestCaseStatus {
    let (verdict, scenario) = (finding.verdict, finding.scenario);
    let message = finding.summary();
    let mut status = match finding.status {
        Status::Holds => return TestCaseStatus::success(),
        Status::Violated => not_success(NonSuccessKind::Failure, finding.status.key(), &message),
        Status::Inconclusive => not_success(NonSuccessKind::Error, finding.status.key(), &message),
        Status::Measured | Status::Outside | Status::NotApplicable => {
            let mut status = TestCaseStatus::skipped();
            status
                .set_type(finding.status.key())
                .set_message(format!("{}: {message}", finding.status.word()));
            return status;
        }
    };
    let mut text = format!("{message}\n");
    for (number, evidence) in verdict.evidence.iter().enumerate() {
        let shown = records(&evidence.records)
            .map(|records| format!(" ({records})"))
            .unwrap_or_default();
        text.push_str(&format!(
            "{}. {}{shown}\n",
            number + 1,
            visible(&evidence.text)
        ));
    }
    status.set_description(visible(&format!("{text}\n{}", origin(scenario))));
    status
}

pub(crate) fn not_success(kind: NonSuccessKind, ty: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(ty).set_message(one_line(message));
    status
}

/// Where to look and what to repeat.
fn origin(scenario: &ScenarioReport) -> String {
    let mut text = format!("scenario {} on {}", scenario.scenario, scenario.run());
    if let Some(directory) = &scenario.directory {
        text.push_str(&format!("\nrun directory {directory}"));
    }
    text
}

/// What happened to the scenario's mail.
fn mail(scenario: &ScenarioReport) -> String {
    let counts = &scenario.counts;
    format!(
        "{} submitted: {} acked, {} refused, {} indeterminate, {} unsent\n{} delivered\n{} landed",
        plural(counts.submitted, "message"),
        counts.acked,
        counts.refused,
        counts.indeterminate,
        counts.unsent,
        copies(counts.delivered),
        plural(counts.faults, "fault"),
    )
}

/// quick-junit writes `testsuites/@skipped`, which the schema does not have. The root element holds fixed text and numbers
/// only, so the first attribute of this name is that one.
pub(crate) fn without_skipped_on_the_root(xml: &str) -> String {
    let cut = xml.find(" skipped=\"").and_then(|start| {
        let value = start + " skipped=\"".len();
        let end = value + xml[value..].find('"')? + 1;
        (start < xml.find("<testsuite ")?).then_some(start..end)
    });
    match cut {
        Some(cut) => format!("{}{}", &xml[..cut.start], &xml[cut.end..]),
        None => xml.to_owned(),
    }
}
