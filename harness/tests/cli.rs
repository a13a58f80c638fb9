//! The commands, through the binary: help, exit codes, selectors, bad files.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn gauntlet(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command
        .args(args)
        .env_remove("COLUMNS")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null());
    command
}

/// Exit code, stdout, stderr.
fn ran(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        status.code().expect("no signal"),
        text(stdout),
        text(stderr),
    )
}

fn run(args: &[&str]) -> (i32, String, String) {
    ran(&mut gauntlet(args))
}

fn scenario(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

const GOOD: &str =
    "title = 'Mail'\nguarantees = ['SC-01']\non = ['sim']\n[[step]]\nsubmit = { to = 'n1' }\n";

#[test]
fn help_is_no_failure_and_every_command_has_examples() {
    let (code, out, err) = run(&["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for command in [
        "run", "explore", "list", "check", "replay", "report", "doctor", "selftest", "node",
        "schema",
    ] {
        assert!(out.contains(&format!("\n  {command} ")), "{out}");
        let (code, help, _) = run(&[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        assert!(help.contains("Examples:\n  gauntlet "), "{help}");
    }
    assert!(out.contains("64   bad usage"), "{out}");
    assert_eq!(run(&["--version"]).0, 0);
}

#[test]
fn bad_usage_is_64() {
    for args in [
        &[][..],
        &["explode"],
        &["run", "--no-such-option"],
        &["run", "--seed", "x"],
        &["run", "--seeds", "0"],
        &["run", "--on", "moon"],
        &["run", "--shard", "5/4"],
        &["run", "--time-scale", "60"],
        &["run", "--quiet", "--verbose"],
        &["run", "--seed", "18446744073709551615", "--seeds", "2"],
        &["list"],
        &["list", "stars"],
        &["check"],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (64, ""), "{args:?}");
        assert!(!err.is_empty(), "{args:?}");
    }
}

#[test]
fn a_selector_that_matches_nothing_is_64_and_says_what_would() {
    for (args, said) in [
        (&["run", "heartbaet"][..], "did you mean `heartbeat`?"),
        (&["run", "no-such-thing"], "see `gauntlet list suites`"),
        (&["run", "nowhere/x.toml"], "nowhere/x.toml: No such file"),
        (
            &["run", "--only", "SC-99"],
            "`--only SC-99` matches nothing",
        ),
        (
            &["run", "--sabotage", "never-promot"],
            "did you mean `never-promote`?",
        ),
    ] {
        let (code, _, err) = run(args);
        assert_eq!(code, 64, "{err}");
        assert!(err.contains(said), "{err}");
        assert!(
            !err.contains('\u{1b}'),
            "colours where there is no terminal: {err}"
        );
    }
}

#[test]
fn a_bad_scenario_file_is_64_with_its_place() {
    let directory = temporary();
    let path = scenario(
        &directory,
        "bad.toml",
        &GOOD.replace("submit =", "sumbit ="),
    );
    let (code, _, err) = run(&["run", &path]);
    assert_eq!(code, 64);
    for said in [
        "unknown key `sumbit`",
        "bad.toml:5:1",
        "did you mean `submit`?",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
    let empty = temporary();
    let (code, _, err) = run(&["run", &empty.path().to_string_lossy()]);
    assert_eq!(code, 64);
    assert!(err.contains("no scenario file"), "{err}");
}

#[test]
fn a_scenario_for_another_substrate_is_not_run_silently() {
    let directory = temporary();
    let path = scenario(&directory, "sim-only.toml", GOOD);
    let (code, _, err) = run(&["run", &path, "--on", "process"]);
    assert_eq!(code, 64);
    assert!(
        err.contains("`sim-only` is not meant for process") && err.contains("--on sim"),
        "{err}"
    );
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_run() {
    let directory = temporary();
    let path = scenario(&directory, "good.toml", GOOD);
    let (code, _, err) = run(&["run", &path, "--junit", "/nowhere/junit.xml"]);
    assert_eq!(code, 64);
    assert!(err.contains("/nowhere/junit.xml"), "{err}");
}

#[cfg(not(feature = "sabotage"))]
#[test]
fn sabotages_need_a_build_that_has_them() {
    for args in [&["run", "--sabotage", "no-fsync"][..], &["selftest"]] {
        let (code, _, err) = run(args);
        assert_eq!(code, 64);
        assert!(err.contains("--features sabotage"), "{err}");
    }
}

#[test]
fn lists_are_tables_and_json() {
    for what in [
        "suites",
        "scenarios",
        "guarantees",
        "faults",
        "sabotages",
        "targets",
    ] {
        let (code, text, err) = run(&["list", what]);
        assert_eq!((code, err.as_str()), (0, ""), "{what}");
        assert!(text.lines().count() > 1, "{what}: {text}");
        let (code, json, _) = run(&["list", what, "--json"]);
        assert_eq!(code, 0);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
        assert!(
            !rows.is_empty() && rows.iter().all(serde_json::Value::is_object),
            "{what}"
        );
    }
    let (_, guarantees, _) = run(&["list", "guarantees"]);
    for said in [
        "SC-01  MUST    No ack before",
        "broken by: ack-before-copy",
        "hb-08-primary-stays-away",
    ] {
        assert!(guarantees.contains(said), "{said}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = gauntlet(&["list", "guarantees"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

#[test]
fn the_schema_is_printed_as_it_is_committed() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites/scenario.schema.json");
    let (code, schema, _) = run(&["schema"]);
    assert_eq!(code, 0);
    assert!(
        fs::read_to_string(committed).expect("committed") == schema,
        "stale: run `gauntlet schema`"
    );
}

#[test]
fn what_is_no_run_is_64() {
    let directory = temporary();
    let text = scenario(&directory, "notes.txt", "some notes\n");
    let empty = scenario(&directory, "history.jsonl", "");
    let here = directory.path().to_string_lossy().into_owned();
    for (args, said) in [
        (["check", &text], "this is not a history"),
        (["check", &empty], "the file is empty"),
        (["check", "/nowhere"], "No such file"),
        (["replay", &here], "there is no plan.toml here"),
        (["replay", "/nowhere"], "No such file"),
        (["report", &here], "verdicts.json"),
        (["report", &text], "not a report"),
    ] {
        let (code, out, err) = run(&args);
        assert_eq!((code, out.as_str()), (64, ""), "{args:?}: {err}");
        // The report is wrapped, so compare without line breaks.
        let flat = err
            .replace(['│', '\n'], " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(flat.contains(said), "{args:?}: {err}");
    }
}

#[test]
fn doctor_says_what_there_is() {
    let (_, text, err) = run(&["doctor"]);
    assert_eq!(err, "");
    assert!(text.contains("sim") && text.contains("process"), "{text}");
    let (_, json, _) = run(&["doctor", "--on", "process", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    assert!(rows.iter().all(|row| row["substrate"] == "process"));
}

#[test]
fn a_node_s_configuration_is_checked() {
    let directory = temporary();
    let good = scenario(
        &directory,
        "node.toml",
        "name = 'n1'\nlisten = '127.0.0.1:0'\nsecret = 'x'\n",
    );
    assert_eq!(run(&["node", "--config", &good, "--check"]).0, 0);
    let bad = scenario(
        &directory,
        "bad.toml",
        "name = 'n1'\nlistne = '127.0.0.1:0'\n",
    );
    let (code, _, err) = run(&["node", "--config", &bad]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("listne"), "{err}");
    assert_eq!(run(&["node", "--config", "/nowhere"]).0, 64);
}

/// A run with its own directory for runs.
fn run_in(directory: &TempDir, args: &[&str]) -> (i32, String, String) {
    ran(gauntlet(args).current_dir(directory.path()))
}

#[test]
fn a_run_leaves_a_directory_that_can_be_checked_reported_and_replayed() {
    let directory = temporary();
    scenario(&directory, "mail.toml", GOOD);
    let (code, out, err) = run_in(
        &directory,
        &["run", "mail.toml", "--junit", "j.xml", "--json", "r.json"],
    );
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("SC-01") && out.contains("all that was tested holds"),
        "{out}"
    );
    let latest = directory.path().join("runs/latest");
    for file in [
        "plan.toml",
        "history.jsonl",
        "verdicts.json",
        "report.html",
        "junit.xml",
        "nodes/n1/tracking.jsonl",
    ] {
        assert!(latest.join(file).is_file(), "{file}");
    }
    let read = |path: &Path| fs::read(path).expect("it was written");
    assert_eq!(
        read(&directory.path().join("j.xml")),
        read(&latest.join("junit.xml"))
    );
    assert_eq!(
        read(&directory.path().join("r.json")),
        read(&latest.join("verdicts.json"))
    );

    let (code, checked, err) = run_in(&directory, &["check", "runs/latest"]);
    assert_eq!(code, 0, "{err}");
    assert!(checked.contains("all that was tested holds"), "{checked}");
    assert_eq!(
        run_in(&directory, &["check", "runs/latest/history.jsonl"]).0,
        0
    );
    let (code, reported, _) = run_in(&directory, &["report", "runs/latest", "--markdown", "r.md"]);
    assert_eq!((code, reported), (0, out));
    assert!(directory.path().join("r.md").is_file());
    let history = read(&latest.join("history.jsonl"));
    let (code, _, err) = run_in(&directory, &["replay", "runs/latest"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("mail: the same history again, byte for byte"),
        "{err}"
    );
    assert_eq!(read(&latest.join("history.jsonl")), history);
}

#[test]
fn thin_evidence_is_2() {
    let directory = temporary();
    scenario(
        &directory,
        "idle.toml",
        &GOOD.replace("submit = { to = 'n1' }", "wait = { for = '1s' }"),
    );
    let (code, out, _) = run_in(&directory, &["run", "idle.toml"]);
    assert_eq!(code, 2, "{out}");
}

#[test]
fn of_mass_runs_only_failing_ones_leave_a_directory_and_quiet_is_one_line() {
    let directory = temporary();
    scenario(&directory, "mail.toml", GOOD);
    let (code, out, err) = run_in(&directory, &["run", "mail.toml", "--seeds", "5", "--quiet"]);
    assert_eq!(
        (code, out.lines().count(), err.as_str()),
        (0, 1, ""),
        "{out}"
    );
    assert!(out.starts_with("1 guarantee: 1 holds"), "{out}");
    let latest = directory.path().join("runs/latest");
    let mut names: Vec<_> = fs::read_dir(&latest)
        .expect("a run directory")
        .map(|e| e.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["README.md", "junit.xml", "report.html", "verdicts.json"]
    );
    let (code, _, err) = run_in(&directory, &["check", "runs/latest"]);
    assert_eq!(code, 64, "{err}");
}

#[test]
fn several_scenarios_have_a_sub_directory_each_and_shards_share_them_out() {
    let directory = temporary();
    fs::create_dir(directory.path().join("mine")).expect("a directory");
    for name in ["mine/a.toml", "mine/b.toml", "mine/c.toml"] {
        scenario(&directory, name, GOOD);
    }
    let (code, _, err) = run_in(&directory, &["run", "mine", "--shard", "1/2"]);
    assert_eq!(code, 0, "{err}");
    let latest = directory.path().join("runs/latest");
    assert!(
        fs::canonicalize(&latest)
            .expect("a link")
            .to_string_lossy()
            .ends_with("-mine-part-1-of-2-1")
    );
    for (name, is_there) in [("a", true), ("b", false), ("c", true)] {
        assert_eq!(
            latest.join(name).join("history.jsonl").is_file(),
            is_there,
            "{name}"
        );
    }
    assert_eq!(run_in(&directory, &["run", "mine", "--shard", "4/4"]).0, 64);
    assert_eq!(run_in(&directory, &["replay", "runs/latest"]).0, 0);
}

#[test]
fn a_runs_directory_that_cannot_be_made_is_69() {
    let directory = temporary();
    scenario(&directory, "mail.toml", GOOD);
    let (code, _, err) = run_in(
        &directory,
        &["run", "mail.toml", "--runs-dir", "mail.toml/runs"],
    );
    assert_eq!(code, 69);
    assert!(err.contains("--runs-dir"), "{err}");
    let (code, _, err) = run_in(
        &directory,
        &[
            "run",
            "mail.toml",
            "--on",
            "process",
            "--node-bin",
            "/nowhere",
        ],
    );
    assert_eq!(code, 64, "the scenario is for `sim` only: {err}");
    scenario(
        &directory,
        "both.toml",
        &GOOD.replace("['sim']", "['sim', 'process']"),
    );
    let (code, _, err) = run_in(
        &directory,
        &[
            "run",
            "both.toml",
            "--on",
            "process",
            "--node-bin",
            "/nowhere",
        ],
    );
    assert_eq!(code, 69);
    assert!(err.contains("/nowhere"), "{err}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_is_130_and_leaves_a_readable_history() {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let directory = temporary();
    // At this scale the wait would last for days.
    let text = GOOD.replace("['sim']", "['process']") + "[[step]]\nwait = { for = '30d' }\n";
    scenario(&directory, "long.toml", &text);
    let mut child = gauntlet(&["run", "long.toml", "--on", "process", "--time-scale", "1"])
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let history = directory.path().join("runs/latest/history.jsonl");
    while !history.is_file() {
        assert!(
            child.try_wait().expect("its state").is_none(),
            "it ended by itself"
        );
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    kill(pid, Signal::SIGINT).expect("it lives");
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("interrupted"), "{err}");
    let (code, _, err) = run_in(&directory, &["check", "runs/latest"]);
    assert!(
        [2, 70].contains(&code),
        "an interrupted run proves nothing: {code} {err}"
    );
}
