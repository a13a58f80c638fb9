//! `gauntlet probe --client` through the binary: the reference node as the client, and one whose mail goes elsewhere.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

const GAUNTLET: &str = env!("CARGO_BIN_EXE_gauntlet");

/// A reference node that relays everything; killed when the test ends.
struct Node {
    child: Child,
    smtp: String,
    _directory: TempDir,
}

impl Node {
    fn start(next_hop: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let config = directory.path().join("node.toml");
        let text = format!(
            "name = \"n1.example.test\"\ndata = {data:?}\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nsecret = \"s\"\n\
             [transport]\nTransientFailureRetryInterval = \"1s\"\n\
             [[route]]\ndomain = \"*\"\nsmart-host = \"{next_hop}\"\n"
        );
        fs::write(&config, text).expect("a configuration");
        let mut child = Command::new(GAUNTLET)
            .args(["node", "--exit-with-parent", "--config"])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let said: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        let smtp = said["listening"].as_str().expect("an address").to_owned();
        Self {
            child,
            smtp,
            _directory: directory,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exit code, stdout, stderr.
fn probe(args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(GAUNTLET)
        .args(["probe", "--client"])
        .args(args)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        status.code().expect("no signal"),
        text(stdout),
        text(stderr),
    )
}

const ADDRESSES: [&str; 4] = ["--from", "ann@from.example", "--to", "bob@to.example"];

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).expect("written")).expect("JSON")
}

/// The sending side keeps every clause that can be put to it. An address of its own, so that its port is free.
#[test]
fn the_reference_node_passes_every_case() {
    let next_hop = "127.83.1.7:2526";
    let node = Node::start(next_hop);
    let files = tempfile::tempdir().expect("a directory");
    let report = files.path().join("p.json");
    let mut args = vec!["--listen", next_hop, "--submit", &node.smtp, "--strict"];
    let path = report.to_string_lossy().into_owned();
    args.extend(["--json", &path]);
    args.extend(ADDRESSES);
    let (code, out, err) = probe(&args);
    assert_eq!(code, 0, "{out}{err}");
    let report = json(&report);
    let of = |outcome: &str| -> Vec<String> {
        let cases = report["cases"].as_array().expect("cases").iter();
        cases
            .filter(|case| case["outcome"] == outcome)
            .map(|case| case["id"].as_str().expect("an ID").to_owned())
            .collect()
    };
    assert_eq!(of("failed"), [""; 0]);
    assert_eq!(of("inconclusive"), [""; 0]);
    assert!(of("passed").len() >= 100, "{}", of("passed").len());
    for skipped in of("skipped") {
        let right = skipped.contains("rfc3207")
            || skipped.contains("starttls")
            || skipped.contains("4.5.3.2");
        assert!(
            right,
            "{skipped}: the node has no TLS of its own, and no patience is tested here"
        );
    }
}

#[test]
fn a_server_whose_mail_goes_elsewhere_is_not_probed() {
    // Nobody listens there.
    let node = Node::start("127.83.1.8:9");
    let mut args = vec![
        "--listen",
        "127.0.0.1:0",
        "--submit",
        &node.smtp,
        "--arrival-timeout",
        "1s",
    ];
    args.extend(ADDRESSES);
    let (code, out, err) = probe(&args);
    assert_eq!(code, 69, "{out}{err}");
    assert!(
        out.contains("nothing was probed") && out.contains("next hop"),
        "{out}"
    );
    assert!(err.contains("the next hop listens on 127.0.0.1:"), "{err}");
}

#[test]
fn mail_that_is_sent_by_hand_is_told() {
    let files = tempfile::tempdir().expect("a directory");
    let directory = files.path().join("mail");
    let path = directory.to_string_lossy().into_owned();
    let mut args = vec![
        "--listen",
        "127.0.0.1:0",
        "--messages",
        &path,
        "--wait",
        "1s",
    ];
    args.extend(ADDRESSES);
    let (code, out, err) = probe(&args);
    assert_eq!(code, 69, "{out}{err}");
    assert!(err.contains("sendmail -i -f 'ann+"), "{err}");
    let written = fs::read_dir(&directory).expect("made").count();
    assert_eq!(
        written, 2,
        "the ordinary message, and the one to the return path"
    );
}

#[test]
fn bad_usage_says_what_is_missing() {
    for (args, said) in [
        (
            &["--from", "a@b.example", "--to", "c@d.example"][..],
            "--listen",
        ),
        (
            &[
                "--listen",
                "127.0.0.1:0",
                "--from",
                "a@b.example",
                "--to",
                "c@d.example",
            ],
            "--submit",
        ),
        (
            &["--list", "--only", "client/rfc5321/4.5.2/dot-stufing"],
            "did you mean `client/rfc5321/4.5.2/dot-stuffing`?",
        ),
        (&["127.0.0.1:25"], "cannot be used with"),
    ] {
        let (code, _, err) = probe(args);
        assert_eq!(code, 64, "{args:?}: {err}");
        assert!(err.contains(said), "{args:?}: {err}");
    }
    let (code, out, _) = probe(&["--list"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("client/rfc5321/4.5.4.1/retry-after-4yz-to-rcpt"),
        "{out}"
    );
    let (code, out, _) = probe(&["--untestable"]);
    assert_eq!(code, 0);
    assert!(out.contains("smart host"), "{out}");
}
