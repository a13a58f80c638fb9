//! `gauntlet explore`, through the binary: what it finds, what it leaves behind, how it goes on.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Exit code, stdout and stderr of a call with `--runs-dir`.
fn gauntlet(runs: &TempDir, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command
        .args(args)
        .arg("--runs-dir")
        .arg(runs.path())
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().expect("no signal"),
        text(output.stdout),
        text(output.stderr),
    )
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn schedules(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a result file");
    let line = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("JSON") };
    text.lines()
        .skip(1)
        .map(|l| line(l)["schedule"].as_str().expect("a schedule").to_owned())
        .collect()
}

fn latest(runs: &TempDir) -> PathBuf {
    fs::canonicalize(runs.path().join("latest")).expect("a link")
}

#[test]
fn a_healthy_cluster_survives_a_part_of_every_kind_and_the_rest_is_named() {
    let runs = temporary();
    let junit = runs.path().join("explore.xml");
    let (code, out, err) = gauntlet(
        &runs,
        &[
            "explore",
            "basic-delivery",
            "--budget",
            "40",
            "--junit",
            &junit.to_string_lossy(),
        ],
    );
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("39 run now"),
        "the run without faults is one of the forty: {out}"
    );
    assert!(out.contains("  left out: "), "{out}");
    assert!(out.contains("events that passed at one moment"), "{out}");
    let ran = schedules(&latest(&runs).join("explore.jsonl"));
    assert_eq!(ran.len(), 40);
    assert_eq!(ran[0], "no fault");
    for kind in [
        "crash n1 (process)",
        "(host)",
        "new transport database",
        "freeze",
        "hold back",
        "reset",
        "revert",
    ] {
        assert!(ran.iter().any(|s| s.contains(kind)), "{kind}: {ran:#?}");
    }
    assert!(
        fs::read_to_string(junit)
            .expect("a file")
            .contains("basic-delivery")
    );
}

#[test]
fn a_later_call_goes_on_and_repeats_nothing() {
    let runs = temporary();
    let file = runs.path().join("results.jsonl");
    let name = file.to_string_lossy();
    let explore = |more: &[&str]| {
        let args = [
            &[
                "explore",
                "basic-delivery",
                "--only",
                "reset",
                "--budget",
                "15",
            ],
            more,
        ]
        .concat();
        gauntlet(&runs, &args)
    };
    assert_eq!(explore(&["--out", &name]).0, 0);
    let (code, out, _) = explore(&["--continue", &name]);
    assert_eq!(code, 0);
    assert!(out.contains(", 14 by an earlier call, "), "{out}");
    let ran = schedules(&file);
    assert_eq!(ran.len(), 30);
    assert_eq!(ran.iter().collect::<BTreeSet<_>>().len(), 30, "{ran:#?}");

    let (code, _, err) = explore(&["--continue", &name, "--seed", "2"]);
    assert_eq!(code, 64);
    assert!(err.contains("it is of seed 1"), "{err}");
}

#[test]
fn a_pair_is_a_second_fault_within_the_recovery_of_the_first() {
    let runs = temporary();
    let args = [
        "explore",
        "basic-delivery",
        "--only",
        "reset",
        "--pairs",
        "--budget",
        "150",
    ];
    let (code, out, err) = gauntlet(&runs, &args);
    assert_eq!(code, 0, "{out}{err}");
    let ran = schedules(&latest(&runs).join("explore.jsonl"));
    assert!(ran.iter().any(|s| s.contains(" | ")), "{out}");
    assert!(out.contains("pairs: "), "{out}");
}

#[test]
fn bad_usage_is_64() {
    let runs = temporary();
    for (args, said) in [
        (&["explore", "recovery"][..], "scenarios"),
        (
            &["explore", "basic-delivry"],
            "did you mean `basic-delivery`?",
        ),
        (
            &["explore", "basic-delivery", "--only", "freze"],
            "did you mean `freeze`?",
        ),
        (
            &["explore", "basic-delivery", "--budget", "much"],
            "as in `5000`",
        ),
        (
            &[
                "explore",
                "basic-delivery",
                "--budget",
                "1",
                "--continue",
                "nowhere.jsonl",
            ],
            "nowhere.jsonl",
        ),
    ] {
        let (code, _, err) = gauntlet(&runs, args);
        assert!(matches!(code, 64 | 69), "{args:?}: {err}");
        assert!(err.contains(said), "{err}");
    }
}

#[test]
fn a_fault_hangs_on_a_sync_of_a_disk_and_on_a_timer() {
    let runs = temporary();
    let file = runs.path().join("local.toml");
    let text = "title = 't'\nguarantees = ['RO-06']\non = ['sim']\n\
        [[fault]]\nwhen = 'n1 disk sync transport.redb'\nnth = 9\nbefore = true\ndo = { crash = { node = 'n1', kind = 'host' } }\n\
        after = '30s'\nthen = { start = { node = 'n1' } }\n\
        [[fault]]\nwhen = 'n* timer heartbeat'\ndo = { reset = { link = 'n1>n2' } }\n\
        [[step]]\nsubmit = { to = 'n1', count = 5 }\n[[step]]\nwait-quiet = { at-most = '1h' }\n";
    fs::write(&file, text).expect("written");
    let (_, out, err) = gauntlet(&runs, &["run", &file.to_string_lossy()]);
    let history = fs::read_to_string(latest(&runs).join("history.jsonl")).expect("a history");
    for fired in [
        "\"trigger\":\"n1 disk sync transport.redb\"",
        "\"trigger\":\"n* timer heartbeat\"",
    ] {
        assert!(history.contains(fired), "{fired}: {out}{err}");
    }
    assert!(
        history.contains("\"what\":\"sync\",\"name\":\"transport.redb\""),
        "what a trigger means is recorded"
    );
}

/// Explores broken nodes, and gives what was violated and the first failing run's directory.
#[cfg(feature = "sabotage")]
fn broken(runs: &TempDir, sabotage: &str, kind: &str, budget: &str) -> (BTreeSet<String>, PathBuf) {
    let args = [
        "explore",
        "basic-delivery",
        "--sabotage",
        sabotage,
        "--only",
        kind,
        "--budget",
        budget,
        "--keep",
        "2",
    ];
    let (code, out, err) = gauntlet(runs, &args);
    assert_eq!(code, 1, "{sabotage}: {out}{err}");
    let results = fs::read_to_string(latest(runs).join("explore.jsonl")).expect("a result file");
    let mut violated = BTreeSet::new();
    let mut directory = None;
    for line in results.lines().skip(1) {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let ids = line["verdicts"]["violated"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        violated.extend(ids.iter().filter_map(|id| id.as_str().map(str::to_owned)));
        // Some break without any fault, which is no find.
        if line["schedule"] != "no fault" {
            directory = directory.or(line["directory"].as_str().map(PathBuf::from));
        }
    }
    (
        violated,
        directory.expect("the first failing schedule leaves its run"),
    )
}

#[cfg(feature = "sabotage")]
#[test]
fn an_ack_before_the_commit_is_found_and_its_run_can_be_replayed() {
    let runs = temporary();
    let (violated, run) = broken(&runs, "ack-before-commit", "process-crash", "120");
    assert!(violated.contains("RO-06"), "{violated:?}");
    let plan = fs::read_to_string(run.join("plan.toml")).expect("a plan");
    assert!(plan.contains("[[scenario.fault]]"), "{plan}");
    let story = fs::read_to_string(run.join("story.txt")).expect("a story");
    assert!(
        story.contains("crash n1 (process)") && story.contains("violated"),
        "{story}"
    );
    let (code, out, err) = gauntlet(&runs, &["replay", &run.to_string_lossy()]);
    assert_eq!(code, 1, "{out}");
    assert!(
        err.contains("the same history again, byte for byte"),
        "{err}"
    );
}

#[cfg(feature = "sabotage")]
#[test]
fn an_ack_before_the_copy_is_found_by_new_databases() {
    let runs = temporary();
    let (violated, _) = broken(&runs, "ack-before-copy", "new-database", "60");
    assert!(violated.contains("SC-01"), "{violated:?}");
}

/// The scenario says nothing of a client that is lost, of a shadow server that forgets, or of any fault.
#[cfg(feature = "sabotage")]
#[test]
fn subtle_ones_are_found_by_the_one_moment_that_shows_them() {
    let runs = temporary();
    let (violated, run) = broken(&runs, "drop-when-client-gone", "reset", "150");
    assert!(violated.contains("TO-02"), "{violated:?}");
    let story = fs::read_to_string(run.join("story.txt")).expect("a story");
    assert!(story.contains("reset"), "{story}");
    let (violated, _) = broken(&runs, "forget-discards-on-restart", "process-crash", "60");
    assert!(violated.contains("HB-06"), "{violated:?}");
}
