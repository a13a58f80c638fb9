//! JSON: written, read back, and refused when it is of another version.

use gauntlet_reports::{ReportError, from_json, json};

use crate::fixture;

#[test]
fn read_back_as_written() {
    let report = fixture::report();
    let text = json(&report).expect("the version is known");
    assert_eq!(from_json(&text).expect("it was just written"), report);
}

#[test]
fn the_format() {
    insta::assert_snapshot!(json(&fixture::green()).expect("the version is known"), @r#"
    {
      "version": 1,
      "harness": "0.1.0",
      "command": "gauntlet run --only SC-03",
      "sabotage": null,
      "scenarios": [
        {
          "scenario": "sc-03-session-stays-open",
          "title": "The sender's session stays usable",
          "suite": "shadow-redundancy",
          "substrate": "sim",
          "seed": 7,
          "elapsed_ms": 40,
          "simulated_ms": 11040000,
          "counts": {
            "submitted": 1,
            "acked": 1,
            "refused": 0,
            "indeterminate": 0,
            "unsent": 0,
            "delivered": 1,
            "faults": 0
          },
          "verdicts": [
            {
              "guarantee": "SC-03",
              "status": "holds",
              "summary": "1 of 1 copies travelled in a session of their own",
              "evidence": [],
              "proofs": 1
            }
          ],
          "directory": null,
          "failure": null
        }
      ]
    }
    "#);
}

#[test]
fn another_version_is_refused() {
    let mut report = fixture::green();
    report.version = 2;
    assert!(matches!(
        json(&report),
        Err(ReportError::Version { found: 2 })
    ));
    let error =
        from_json(r#"{"version": 2, "of another shape": []}"#).expect_err("version 2 is unknown");
    assert_eq!(
        error.to_string(),
        "report format version 2, where this version of gauntlet knows only 1"
    );
    for text in [
        "",
        "[]",
        "{}",
        r#"{"version": "1"}"#,
        r#"{"version": 1}"#,
        r#"{"version": -1}"#,
    ] {
        assert!(
            matches!(from_json(text), Err(ReportError::Json(_))),
            "{text}"
        );
    }
}
