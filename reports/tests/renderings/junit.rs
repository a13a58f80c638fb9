//! JUnit: what CI servers show, and that no text can make the file malformed.

use gauntlet_reports::{RunReport, Status, junit};
use proptest::prelude::*;
use quick_junit::Report;

use crate::fixture;
use crate::xml::check_junit;

fn render(report: &RunReport) -> String {
    let xml = junit(report).expect("every report can be written");
    check_junit(&xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    xml
}

#[test]
fn every_answer() {
    insta::assert_snapshot!(render(&fixture::report()));
}

#[test]
fn counts_tell_violations_from_the_rest() {
    let read = Report::deserialize_from_str(&render(&fixture::report()))
        .expect("quick-junit reads what it wrote");
    // Two violations; HB-09 and SN-05 inconclusive, one scenario unfinished.
    assert_eq!((read.tests, read.failures, read.errors), (15, 2, 3));
    let skipped: usize = read.test_suites.iter().map(|suite| suite.skipped).sum();
    assert_eq!(skipped, 3);
}

#[test]
fn names_are_unique_even_over_seeds() {
    let read = Report::deserialize_from_str(&render(&fixture::report()))
        .expect("quick-junit reads what it wrote");
    let mut names: Vec<String> = read
        .test_suites
        .iter()
        .flat_map(|suite| &suite.test_cases)
        .map(|case| {
            format!(
                "{}/{}",
                case.classname.as_deref().unwrap_or_default(),
                case.name.as_str()
            )
        })
        .collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_run_that_proves_nothing_is_not_green() {
    let empty = RunReport::new("0.1.0", "gauntlet run");
    insta::assert_snapshot!(render(&empty), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="gauntlet" tests="1" failures="0" errors="1">
        <testsuite name="gauntlet" tests="1" skipped="0" errors="1" failures="0">
            <testcase name="the run" classname="gauntlet">
                <error message="nothing was proven" type="inconclusive"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
    for status in [Status::Outside, Status::NotApplicable] {
        let mut report = fixture::green();
        report.scenarios[0].verdicts[0].status = status;
        assert!(render(&report).contains("nothing was proven"));
    }
    let mut silent = fixture::green();
    silent
        .scenarios
        .push(fixture::scenario("suite", "silent", "Nothing is said"));
    assert!(render(&silent).contains("the scenario gave no verdict"));
    assert!(!render(&fixture::green()).contains("<error"));
}

#[test]
fn without_real_times_the_file_is_reproducible() {
    let xml = render(&fixture::report().reproducible());
    assert!(!xml.contains(" time=") && !xml.contains("runs/2026"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a reply, a panic or a file name holds: the file is well-formed, fits the schema, and is read back.
    #[test]
    fn any_text_makes_a_well_formed_file(
        texts in prop::collection::vec(prop_oneof![any::<String>(), "[\\x00-\\x1f\u{7f}-\u{9f}\u{fffe}\u{ffff}\\]><&\"' a]{0,20}"], 9),
        status in prop::sample::select(Status::ALL.to_vec()),
        failed: bool,
    ) {
        let mut report = RunReport::new(&texts[0], &texts[1]);
        report.sabotage = Some(texts[2].clone());
        let mut scenario = fixture::scenario(&texts[3], &texts[4], &texts[5]);
        scenario.failure = failed.then(|| texts[6].clone());
        scenario.directory = Some(texts[7].clone());
        scenario.substrate.clone_from(&texts[8]);
        let mut verdict = fixture::verdict(&texts[0], status, &texts[1], 1);
        verdict.evidence = vec![fixture::evidence(&texts[2], &[1, 2])];
        scenario.verdicts = vec![verdict];
        report.scenarios = vec![scenario.clone(), scenario];
        let xml = junit(&report).expect("every report can be written");
        prop_assert_eq!(check_junit(&xml), Ok(()), "{}", xml);
        let read = Report::deserialize_from_str(&xml).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read.failures + read.errors == 0, report.conclusion() == gauntlet_reports::Conclusion::AllHold);
    }
}
