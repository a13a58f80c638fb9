//! Virtualization, through the binary: the scenarios strike in every phase of a message's life, the reports have the table of what
//! hazards did, and `lint` ends with the code that it documents.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn suites() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites/virtualization")
}

/// Exit code, stdout and stderr, in a directory of its own.
fn gauntlet(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .args(args)
        .current_dir(directory)
        .env_remove("COLUMNS")
        .output()
        .expect("the binary runs");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
    let code = output.status.code().expect("no signal");
    (code, text(output.stdout), text(output.stderr))
}

fn file(name: &str) -> String {
    suites().join(name).to_string_lossy().into_owned()
}

#[test]
fn hazards_strike_in_every_phase_and_the_table_says_what_they_did() {
    let directory = tempfile::tempdir().expect("a directory");
    let on = file("vz-05-each-phase.toml");
    let off = file("vz-05-each-phase-undetected.toml");
    let files = ["run", &on, &off, "--markdown", "r.md", "--html", "r.html"];
    let (code, out, err) = gauntlet(directory.path(), &files);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("What going back to a snapshot did to acked mail (VZ-05)"),
        "{out}"
    );
    for rendering in ["r.md", "r.html"] {
        let text = fs::read_to_string(directory.path().join(rendering)).expect("a report");
        assert!(
            text.contains("What going back to a snapshot"),
            "{rendering}"
        );
        assert!(
            text.contains("delivered and not yet discarded"),
            "{rendering}"
        );
    }
    let verdicts = fs::read_to_string(directory.path().join("runs/latest/verdicts.json"));
    let report: Value = serde_json::from_str(&verdicts.expect("verdicts")).expect("JSON");
    let mut lost = Vec::new();
    for scenario in report["scenarios"].as_array().expect("scenarios") {
        let damage = scenario["verdicts"]
            .as_array()
            .and_then(|all| all.iter().find(|v| v["guarantee"] == "VZ-05"))
            .map(|verdict| &verdict["damage"])
            .expect("a measurement");
        let phases = damage["phases"].as_array().expect("phases");
        let struck: BTreeSet<&str> = phases.iter().filter_map(|p| p["phase"].as_str()).collect();
        for phase in [
            "before-the-copy",
            "between-copy-and-ack",
            "queued",
            "delivered-not-discarded",
            "discarded",
        ] {
            assert!(struck.contains(phase), "{phase}: {struck:?}");
        }
        let sum: u64 = phases.iter().filter_map(|p| p["lost"].as_u64()).sum();
        lost.push((damage["detection"] == true, sum));
    }
    // The reason for all of this: what nobody notices is lost for good.
    assert!(
        lost.iter().any(|(detection, lost)| !detection && *lost > 0),
        "{lost:?}"
    );
    assert!(
        lost.iter()
            .all(|(detection, lost)| !detection || *lost == 0),
        "{lost:?}"
    );
}

#[test]
fn planned_operations_strike_in_every_phase() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, strikes) in [
        ("vz-01-cold-boot-at-each-phase.toml", 5),
        ("vz-02-shutdown-at-each-phase.toml", 5),
        ("vz-03-migration-at-each-phase.toml", 6),
    ] {
        let (code, out, err) = gauntlet(directory.path(), &["run", &file(name)]);
        assert_eq!(code, 0, "{out}{err}");
        let history = fs::read_to_string(directory.path().join("runs/latest/history.jsonl"));
        let landed = history
            .expect("a history")
            .matches("\"fault-landed\"")
            .count();
        assert_eq!(landed, strikes, "{name}");
    }
}

#[test]
fn lint_ends_with_the_code_that_it_documents() {
    let directory = tempfile::tempdir().expect("a directory");
    let lint = |args: &[&str]| {
        let all: Vec<&str> = ["lint"].iter().chain(args).copied().collect();
        gauntlet(directory.path(), &all)
    };
    let deployment = |name: &str| file(&format!("deployments/{name}"));
    let (code, out, _) = lint(&[&deployment("good-two-hosts.toml")]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("the deployment keeps every rule"), "{out}");

    let (code, out, _) = lint(&[&deployment("bad-everything.toml"), "--junit", "lint.xml"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("BROKEN      saved-state"), "{out}");
    let junit = fs::read_to_string(directory.path().join("lint.xml")).expect("a file");
    assert!(
        junit.contains("<failure") && !junit.contains("<error"),
        "{junit}"
    );

    let (code, out, _) = lint(&[&deployment("part-mx-1.xml"), "--json"]);
    assert_eq!(code, 2, "{out}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert!(
        report["findings"]
            .as_array()
            .is_some_and(|all| all.len() > 7),
        "{out}"
    );

    let whole = ["good-host.toml", "part-mx-1.xml", "part-mx-1-disk.xml"].map(deployment);
    let (code, out, _) = lint(&[&whole[0], &whole[1], &whole[2]]);
    assert_eq!(code, 0, "{out}");

    fs::write(directory.path().join("bad.toml"), "[[gest]]\n").expect("a file");
    for args in [
        &["bad.toml"][..],
        &["missing.toml"],
        &[],
        &["bad.toml", "--cores", "0"],
    ] {
        let (code, _, err) = lint(args);
        assert_eq!(code, 64, "{args:?}: {err}");
    }
    let (_, _, err) = lint(&["bad.toml"]);
    assert!(err.contains("bad.toml:1:3"), "{err}");
    assert!(err.contains("did you mean `guest`?"), "{err}");
}
