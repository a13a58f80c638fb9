//! Random runs, and the smallest schedule of a violation, through the binary.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Exit code, stdout, stderr of a call in that directory.
fn gauntlet(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .args(args)
        .current_dir(directory)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().expect("no signal"),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn random_seeds_are_counted_by_guarantee_and_cause_and_an_inconclusive_seed_is_no_failure() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |seeds: &str| {
        gauntlet(
            directory.path(),
            &["run", "--random", "--seed", "11", "--seeds", seeds],
        )
    };
    let (code, out, err) = run("6");
    assert_eq!(code, 0, "{out}{err}");
    let row = out
        .lines()
        .find(|line| line.starts_with("VZ-04 "))
        .expect("a row for each guarantee");
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[1..5], ["0", "0", "6", "0"], "{row}");
    assert!(row.contains("6× "), "the cause, and how often: {row}");
    assert!(out.contains(" · 6 seeds (verdicts: "), "{out}");
    // A single seed leaves a run directory like any other.
    assert_eq!(run("1").0, 0);
    let (code, _, err) = gauntlet(directory.path(), &["replay", "runs/latest"]);
    assert!(
        err.contains("the same history again, byte for byte"),
        "{err}"
    );
    assert!([0, 2].contains(&code), "{err}");
}

#[test]
fn random_runs_take_no_selection_and_no_other_substrate() {
    let directory = tempfile::tempdir().expect("a directory");
    for args in [
        &["run", "--random", "heartbeat"][..],
        &["run", "--random", "--on", "process"],
        &["run", "--random", "--only", "SC-01"],
    ] {
        let (code, _, err) = gauntlet(directory.path(), args);
        assert_eq!(code, 64, "{args:?}: {err}");
    }
}

#[test]
fn a_run_in_which_nothing_is_violated_cannot_be_shrunk() {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(gauntlet(directory.path(), &["run", "--random"]).0, 0);
    let (code, out, err) = gauntlet(directory.path(), &["shrink", "runs/latest"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("no guarantee is violated"), "{err}");
    let (code, _, err) = gauntlet(directory.path(), &["shrink", "nowhere"]);
    assert_eq!(code, 64, "{err}");
}

/// Twelve faults, and nodes that do not notice another database: one new database is enough.
#[cfg(feature = "sabotage")]
#[test]
fn a_chaos_run_of_many_faults_shrinks_to_the_one_that_matters() {
    let directory = tempfile::tempdir().expect("a directory");
    let chaos = r#"
title = "Many faults"
guarantees = ["HB-10"]
on = ["sim"]
[chaos]
rounds = [12, 12]
messages = [2, 5]
faults = ["new-database", "freeze", "partition", "reset", "process-crash"]
outage = ["10s", "10m"]
trigger-share-percent = 70
[settle]
at-most = "1h"
"#;
    std::fs::write(directory.path().join("many.toml"), chaos).expect("a file");
    // Shadow messages are held at a new database with this seed: HB-10 is put to the test.
    let run = [
        "run",
        "many.toml",
        "--seed",
        "3",
        "--sabotage",
        "ignore-database-id",
    ];
    let (code, out, err) = gauntlet(directory.path(), &run);
    assert_eq!(code, 1, "{out}{err}");
    let shrink = [
        "shrink",
        "runs/latest",
        "--guarantee",
        "HB-10",
        "--out",
        "small.toml",
    ];
    let (code, out, err) = gauntlet(directory.path(), &shrink);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("nothing more can be taken away"), "{out}");
    assert!(out.contains("HB-10 violated: "), "the story: {out}");
    assert!(out.contains("--sabotage ignore-database-id"), "{out}");
    let small = std::fs::read_to_string(directory.path().join("small.toml")).expect("written");
    assert!(out.starts_with(&small), "what was written was printed");
    let faults =
        |text: &str| text.matches("[step.crash]").count() + text.matches("[[fault]]").count();
    assert!((1..=2).contains(&faults(&small)), "{small}");
    assert_eq!(small.matches("[step.submit]").count(), 1, "{small}");
    // Anybody can run it: violated with the broken nodes, and not with sound ones.
    let broken = [
        "run",
        "small.toml",
        "--seed",
        "3",
        "--sabotage",
        "ignore-database-id",
    ];
    let (code, out, err) = gauntlet(directory.path(), &broken);
    assert_eq!(code, 1, "{out}{err}");
    let (code, out, err) = gauntlet(directory.path(), &["run", "small.toml", "--seed", "3"]);
    assert!([0, 2].contains(&code), "{out}{err}");
}
