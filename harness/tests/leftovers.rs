//! A gauntlet that is killed by SIGKILL in the middle of a fault leaves something behind, and `gauntlet doctor --clean`
//! finds and removes it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

#[allow(dead_code)]
mod served;

use served::Served;

const LIMIT: Duration = Duration::from_secs(60);

fn gauntlet(runtime: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command
        .env("GAUNTLET_RUNTIME_DIR", runtime)
        .stdin(Stdio::null());
    command
}

/// A run that is in the middle of a fault.
struct Struck {
    harness: Child,
    directory: tempfile::TempDir,
}

impl Drop for Struck {
    /// Where the test fails, what it has left is not to stay either.
    fn drop(&mut self) {
        let _ = self.harness.kill();
        let _ = self.harness.wait();
        let _ = gauntlet(&self.runtime())
            .args(["doctor", "--clean"])
            .output();
    }
}

impl Struck {
    fn runtime(&self) -> PathBuf {
        self.directory.path().join("runtime")
    }

    /// Runs a scenario with that step until its fault has landed.
    fn by(step: &str) -> Self {
        Self::with(step, &[])
    }

    fn with(step: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let scenario = format!(
            "title = \"t\"\nguarantees = [\"TC-01\"]\non = [\"process\"]\n[cluster]\nnodes = [\"n1\", \"n2\"]\n\
             mailboxes = \"n2\"\n[[step]]\nsubmit = {{ to = \"n1\" }}\n[[step]]\n{step}\n[[step]]\nwait = {{ for = \"20h\" }}\n"
        );
        let file = directory.path().join("killed.toml");
        fs::write(&file, scenario).expect("written");
        let harness = gauntlet(&directory.path().join("runtime"))
            .args(["run", "--on", "process"])
            .args(options)
            .arg("--runs-dir")
            .arg(directory.path().join("runs"))
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut struck = Self { harness, directory };
        let history = struck.directory.path().join("runs/latest/history.jsonl");
        struck.wait_until("the fault lands", || {
            fs::read_to_string(&history).is_ok_and(|text| text.contains("\"fault-landed\""))
        });
        struck
    }

    fn wait_until(&mut self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            let ended = self.harness.try_wait().expect("ours");
            assert!(ended.is_none(), "before {what} it ended: {ended:?}");
            assert!(begun.elapsed() < LIMIT, "{what}: never");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the harness, cleans up after it, and returns what was removed.
    fn killed_and_cleaned(mut self) -> Vec<String> {
        // While it lives nothing of it is touched.
        assert_eq!(clean(&self.runtime()), Vec::<String>::new());
        self.harness.kill().expect("killed");
        self.harness.wait().expect("dead");
        let told = doctor(&self.runtime(), "left behind");
        let removed = clean(&self.runtime());
        // What ends by itself may have done so in between.
        assert!(removed.is_empty() || told["ok"] == false, "{told}");

        let own = self.directory.path().to_path_buf();
        assert_eq!(processes_with(&own), Vec::<String>::new());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("Linux");
        assert!(!mounts.contains(&own.display().to_string()), "{mounts}");
        let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        for device in devices {
            let backing = fs::read_to_string(device.path().join("loop/backing_file"));
            assert!(!backing.is_ok_and(|file| Path::new(&file).starts_with(&own)));
        }
        assert!(!own.join("runs/latest/nodes/n1/disk.img").exists());
        let registers = fs::read_dir(self.runtime()).into_iter().flatten().count();
        assert_eq!(registers, 0, "nothing is written down any more");
        assert_eq!(clean(&self.runtime()), Vec::<String>::new());
        removed
    }
}

/// What `gauntlet doctor --clean` has removed.
fn clean(runtime: &Path) -> Vec<String> {
    let output = gauntlet(runtime)
        .args(["doctor", "--clean", "--json"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    rows.iter()
        .map(|row| row["what"].as_str().expect("a text").to_owned())
        .collect()
}

/// Processes that have this directory in their command line.
fn processes_with(directory: &Path) -> Vec<String> {
    let needle = directory.display().to_string();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&needle))
        .collect()
}

/// What `gauntlet doctor` says of that.
fn doctor(runtime: &Path, what: &str) -> serde_json::Value {
    let output = gauntlet(runtime)
        .args(["doctor", "--on", "process", "--json"])
        .output()
        .expect("it runs");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let about = |row: &serde_json::Value| row["what"].as_str().is_some_and(|of| of.contains(what));
    rows.into_iter().find(about).expect("doctor knows it")
}

/// What the test needs is there, by the word of `gauntlet doctor`. A user's machine skips the test, CI fails it.
fn have(fault: &str) -> bool {
    let runtime = tempfile::tempdir().expect("a directory");
    let found = doctor(runtime.path(), fault);
    if found["ok"] == true {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "CI must have it: {found}");
    eprintln!("skipped: {found}");
    false
}

fn about<'a>(removed: &'a [String], what: &str) -> Vec<&'a String> {
    removed.iter().filter(|one| one.starts_with(what)).collect()
}

#[test]
fn a_frozen_node() {
    // A stopped process does not see that its standard input has ended. The kernel continues it when its parent dies.
    Struck::by("freeze = { node = \"n1\" }").killed_and_cleaned();
}

#[test]
fn a_crashed_node() {
    Struck::by("crash = { node = \"n1\" }").killed_and_cleaned();
}

#[test]
fn a_partition_and_a_delay() {
    Struck::by("partition = { a = \"n1\", b = \"n2\" }").killed_and_cleaned();
    Struck::by("delay = { link = \"n1>n2\", latency = \"1s\" }").killed_and_cleaned();
}

#[test]
fn a_partition_by_address() {
    if !have("partition by address") {
        return;
    }
    let step = "partition = { a = \"n1\", b = \"n2\" }";
    let removed = Struck::with(step, &["--network", "namespaces"]).killed_and_cleaned();
    let namespaces = about(&removed, "network namespace");
    assert_eq!(namespaces.len(), 2, "{removed:?}");
    for told in namespaces {
        let name = told.trim_start_matches("network namespace ");
        assert!(!Path::new("/run/netns").join(name).exists());
    }
}

#[test]
fn a_black_hole_and_a_reset() {
    Struck::by("black-hole = { link = \"n1>n2\" }").killed_and_cleaned();
    Struck::by("reset = { link = \"n1>n2\" }").killed_and_cleaned();
}

#[test]
fn a_destroyed_node() {
    Struck::by("destroy = { node = \"n1\" }").killed_and_cleaned();
}

#[test]
fn proxies_at_a_toxiproxy_of_somebody_else() {
    let served = Served::start(&[]);
    let url = format!("http://{}", served.api);
    let proxies = || served.ask("GET", "/proxies", "").1;
    let step = "delay = { link = \"n1>n2\", latency = \"1s\" }";
    let struck = Struck::with(step, &["--toxiproxy", &url]);
    let made = proxies().as_object().expect("proxies by name").len();
    assert!(made > 0);
    let removed = struck.killed_and_cleaned();
    assert_eq!(about(&removed, "proxy ").len(), made, "{removed:?}");
    assert_eq!(proxies(), serde_json::json!({}));
}

#[test]
fn a_crashed_host() {
    struck_disk("crash = { node = \"n1\", kind = \"host\" }");
}

#[test]
fn a_full_disk() {
    struck_disk("fill-disk = { node = \"n1\" }");
}

#[test]
fn a_read_only_disk() {
    struck_disk("read-only-disk = { node = \"n1\" }");
}

fn struck_disk(step: &str) {
    if !have("full disk") {
        return;
    }
    let removed = Struck::by(step).killed_and_cleaned();
    assert_eq!(about(&removed, "file system at").len(), 1, "{removed:?}");
}

#[test]
fn a_reverted_disk() {
    Struck::by("snapshot = { node = \"n1\" }\n[[step]]\nrevert = { node = \"n1\" }")
        .killed_and_cleaned();
}

#[test]
fn a_wrong_clock() {
    Struck::by("jump-clock = { node = \"n1\", back = \"2h\" }").killed_and_cleaned();
}

#[test]
fn a_starved_processor() {
    if !have("starved processor") {
        return;
    }
    let removed = Struck::by("starve-cpu = { node = \"n1\", percent = 5 }").killed_and_cleaned();
    let groups = about(&removed, "control group");
    assert_eq!(groups.len(), 1, "{removed:?}");
    let path = groups[0].trim_start_matches("control group ");
    assert!(!Path::new(path).exists());
}
