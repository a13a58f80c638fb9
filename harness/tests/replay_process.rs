//! A run with real processes is replayed: the same schedule, and what came out otherwise is said.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

const SCENARIO: &str = r#"
title = "Mail, and the kill of a shadow server"
guarantees = ["SC-01"]
on = ["process"]

[[step]]
submit = { to = "n1" }

[[step]]
crash = { node = "n2" }

[[step]]
submit = { to = "n1" }

[[step]]
start = { node = "n2" }

[settle]
at-most = "6h"
"#;

/// Exit code, and what was said on both streams.
fn gauntlet(directory: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .args(args)
        .current_dir(directory)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.code().expect("no signal"), said)
}

#[test]
fn what_a_replay_with_processes_did_otherwise_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    fs::write(at.join("mail.toml"), SCENARIO).expect("a file");
    let (code, said) = gauntlet(at, &["run", "mail.toml", "--on", "process"]);
    assert_eq!(code, 0, "{said}");
    let recorded = fs::canonicalize(at.join("runs/latest")).expect("a run directory");
    let path = recorded.to_string_lossy();
    let readme = fs::read_to_string(recorded.join("README.md")).expect("it tells a stranger");
    assert!(readme.contains("gauntlet replay ."), "{readme}");

    let (code, said) = gauntlet(at, &["replay", &path]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("mail: the same outcomes, faults and verdicts again"),
        "{said}"
    );

    // Had the first sender not heard the ack, and had the process not been found…
    let history = fs::read_to_string(recorded.join("history.jsonl")).expect("a history");
    let other = |line: &str| match line {
        line if line.contains(r#""event":"outcome","submission":1,"#) => {
            line.replace(r#""outcome":"acked""#, r#""outcome":"indeterminate""#)
        }
        line if line.contains(r#""event":"fault-landed""#) => line.replace(
            r#""event":"fault-landed","fault":1"#,
            r#""event":"fault-failed","fault":1,"reason":"no such process""#,
        ),
        line => line.to_owned(),
    };
    let changed: String = history.lines().map(|line| other(line) + "\n").collect();
    assert_ne!(changed, history);
    fs::write(recorded.join("history.jsonl"), changed).expect("written");
    let (code, said) = gauntlet(at, &["replay", &path]);
    assert_eq!(code, 0, "{said}");
    for line in [
        "mail: the same schedule, with differences",
        "message 1, attempt 1: recorded indeterminate, now acked",
        "fault 1 (n2 killed): recorded did not land: no such process, now landed",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}
