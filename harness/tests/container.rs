//! Containers through the binary: a mail transfer agent of others, a cluster of reference nodes, a relay that loses mail,
//! and a gauntlet that is killed. They need a container engine and root; a user's machine without them skips them, and says
//! so. In CI that is a failure.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

fn gauntlet(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command
        .env("GAUNTLET_RUNTIME_DIR", directory.join("runtime"))
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

/// The substrate works here, with disks that lose their power.
fn have_containers() -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let output = gauntlet(directory.path())
        .args(["doctor", "--on", "container", "--json"])
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && !told.contains("\"ok\": false") {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must have containers: {told}"
    );
    eprintln!("skipped: {told}");
    false
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let output = gauntlet(directory)
        .args(["run", "--on", "container", "--verbose"])
        .args(arguments)
        .output()
        .expect("it runs");
    eprintln!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Containers, networks and volumes that this directory's gauntlets have left.
fn left(label: &str) -> Vec<String> {
    let list = |arguments: &[&str]| {
        let output = Command::new("docker")
            .args(arguments)
            .output()
            .expect("docker");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let filter = format!("label=io.gauntlet.harness{label}");
    let mut all = list(&["ps", "-aq", "--filter", &filter]);
    all.extend(list(&["network", "ls", "-q", "--filter", &filter]));
    all.extend(list(&["volume", "ls", "-q", "--filter", &filter]));
    all
}

#[test]
fn postfix_keeps_what_it_acknowledged_through_sigkill_and_power_loss() {
    if !have_containers() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(
        directory.path(),
        &[
            "tc-01-killed-at-ack",
            "tc-02-power-lost-at-ack",
            "--target",
            "postfix",
        ],
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_relay_without_fsync_is_caught_losing_mail() {
    if !have_containers() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(
        directory.path(),
        &["tc-02-power-lost-at-ack", "--target", "aiosmtpd"],
    );
    assert_eq!(output.status.code(), Some(1), "a violation");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("TC-02") && told.contains("violated"),
        "{told}"
    );
}

#[test]
fn three_reference_nodes_are_a_cluster_with_shadow_redundancy() {
    if !have_containers() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(directory.path(), &["sc-01-primary-destroyed-at-ack"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_a_target_cannot_be_asked_is_not_applicable() {
    if !have_containers() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(
        directory.path(),
        &["sc-01-every-ack", "--target", "postfix"],
    );
    assert_eq!(output.status.code(), Some(2), "nothing was proven");
    // Its lines are as wide as a terminal.
    let told = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = told.split_whitespace().collect();
    let told = words.join(" ");
    assert!(
        told.contains("does not claim `shadow-redundancy`"),
        "{told}"
    );
}

#[test]
fn what_a_killed_gauntlet_leaves_is_removed() {
    if !have_containers() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = directory.path().join("killed.toml");
    let text = "title = \"t\"\nguarantees = [\"TC-07\"]\non = [\"container\"]\n[cluster]\nnodes = [\"n1\"]\n\
                mailboxes = \"n1\"\n[[step]]\nsubmit = { to = \"n1\" }\n[[step]]\nfill-disk = { node = \"n1\" }\n\
                [[step]]\nwait = { for = \"20h\" }\n";
    fs::write(&scenario, text).expect("written");
    let mut harness = gauntlet(directory.path())
        .args([
            "run",
            "--on",
            "container",
            "--target",
            "postfix",
            "killed.toml",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let history = directory.path().join("runs/latest/history.jsonl");
    let begun = Instant::now();
    while !fs::read_to_string(&history).is_ok_and(|text| text.contains("\"fault-landed\"")) {
        assert!(
            harness.try_wait().expect("ours").is_none(),
            "it ended before its fault"
        );
        assert!(begun.elapsed() < Duration::from_secs(300), "no fault lands");
        std::thread::sleep(Duration::from_millis(100));
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", harness.id())).expect("it lives");
    let started = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(19));
    let label = format!("={}-{}", harness.id(), started.expect("a start time"));
    assert_eq!(left(&label).len(), 3, "a container, a network, a volume");
    harness.kill().expect("killed");
    harness.wait().expect("dead");
    let cleaned = gauntlet(directory.path())
        .args(["doctor", "--clean"])
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&cleaned.stdout);
    assert_eq!(cleaned.status.code(), Some(0), "{told}");
    assert!(told.contains("containers, network and volumes"), "{told}");
    assert_eq!(left(&label), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("Linux");
    assert!(
        !mounts.contains(&*directory.path().to_string_lossy()),
        "{mounts}"
    );
}
