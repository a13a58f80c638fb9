//! Virtual machines through the binary: a run, and what stays of one that is killed by SIGKILL. Guests need QEMU; without it
//! this is skipped, and on CI an error.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(120);

const SCENARIO: &str = r#"
title = "A node loses its host, and boots elsewhere from the same disk"
guarantees = ["TC-02"]
on = ["vm"]

[cluster]
nodes = ["n1", "n2"]
mailboxes = "n2"

[[step]]
submit = { to = "n1", count = 4 }

[[step]]
crash = { node = "n1", kind = "host" }

[[step]]
start = { node = "n1" }

[[step]]
submit = { to = "n1", count = 2 }

[[step]]
migrate = { node = "n1" }

[[step]]
wait-quiet = { at-most = "8h" }
"#;

fn gauntlet(runtime: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command
        .env("GAUNTLET_RUNTIME_DIR", runtime)
        .stdin(Stdio::null());
    command
}

/// This machine can run guests.
fn has_guests() -> bool {
    let place = tempfile::tempdir().expect("a directory");
    let output = gauntlet(place.path())
        .args(["doctor", "--on", "vm"])
        .output();
    let output = output.expect("it runs");
    if output.status.success() {
        return true;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(std::env::var_os("CI").is_none(), "{said}");
    eprintln!("skipped: {said}");
    false
}

fn scenario(directory: &Path, text: &str) -> PathBuf {
    let file = directory.join("guests.toml");
    fs::write(&file, text).expect("written");
    file
}

#[test]
fn a_run_in_guests_is_measured_and_leaves_nothing() {
    if !has_guests() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = gauntlet(&directory.path().join("runtime"))
        .args(["run", "--on", "vm", "--runs-dir"])
        .arg(directory.path().join("runs"))
        .arg(scenario(directory.path(), SCENARIO))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let latest = directory.path().join("runs/latest");
    let history = fs::read_to_string(latest.join("history.jsonl")).expect("a history");
    let measured = |what: &str| {
        let of = |line: &&str| {
            line.contains(r#""event":"measured""#) && line.contains(&format!(r#""what":"{what}""#))
        };
        history.lines().filter(of).count()
    };
    assert_eq!(
        (measured("boot"), measured("migration")),
        (3, 1),
        "{history}"
    );
    assert!(latest.join("nodes/n1/console.log").is_file());
    assert_eq!(processes_with(directory.path()), Vec::<String>::new());
}

/// A harness that is running guests.
struct Running {
    harness: Child,
    directory: tempfile::TempDir,
}

impl Drop for Running {
    /// Where the test fails, what it has left is not to stay either.
    fn drop(&mut self) {
        let _ = self.harness.kill();
        let _ = self.harness.wait();
        let runtime = self.directory.path().join("runtime");
        let _ = gauntlet(&runtime).args(["doctor", "--clean"]).output();
    }
}

#[test]
fn no_guest_outlives_a_harness_that_is_killed() {
    if !has_guests() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let waiting = SCENARIO.replace(
        "crash = { node = \"n1\", kind = \"host\" }",
        "wait = { for = \"40h\" }",
    );
    let harness = gauntlet(&directory.path().join("runtime"))
        .args(["run", "--on", "vm", "--runs-dir"])
        .arg(directory.path().join("runs"))
        .arg(scenario(directory.path(), &waiting))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut running = Running { harness, directory };
    let own = running.directory.path().to_path_buf();
    let history = own.join("runs/latest/history.jsonl");
    let begun = Instant::now();
    while !fs::read_to_string(&history).is_ok_and(|text| text.contains(r#""text":"wait"#)) {
        assert!(begun.elapsed() < LIMIT, "the guests never run");
        let ended = running.harness.try_wait().expect("ours");
        assert!(ended.is_none(), "it ended: {ended:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let guests = processes_with(&own);
    assert_eq!(
        guests
            .iter()
            .filter(|line| line.starts_with("qemu-system"))
            .count(),
        2,
        "{guests:?}"
    );

    running.harness.kill().expect("killed");
    running.harness.wait().expect("dead");
    let begun = Instant::now();
    while !processes_with(&own).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            processes_with(&own)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    eprintln!(
        "the last guest was gone {:?} after the harness",
        begun.elapsed()
    );

    // Files stay, and are written down.
    let runtime = own.join("runtime");
    let cleaned = gauntlet(&runtime)
        .args(["doctor", "--clean"])
        .output()
        .expect("it runs");
    assert!(cleaned.status.success());
    let said = String::from_utf8_lossy(&cleaned.stdout);
    assert!(said.contains("removed: directory"), "{said}");
    let left = fs::read_dir(&runtime).into_iter().flatten().count();
    assert_eq!(left, 0, "nothing is written down any more");
}

/// QEMU processes and others whose command lines have this directory in them.
fn processes_with(directory: &Path) -> Vec<String> {
    let needle = directory.display().to_string();
    let command = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&needle).then_some(line)
    };
    let all = fs::read_dir("/proc").expect("Linux").flatten();
    all.filter_map(command).collect()
}
