//! `gauntlet probe` through the binary: the reference node, servers that are not there, that die, that lie.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

const GAUNTLET: &str = env!("CARGO_BIN_EXE_gauntlet");
const ADDRESSES: [&str; 6] = [
    "--from",
    "ann@probe.example",
    "--to",
    "bob@probe.example",
    "--to",
    "cat@probe.example",
];

/// Exit code, stdout, stderr.
fn probe(target: &str, args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(GAUNTLET)
        .args(["probe", target])
        .args(ADDRESSES)
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

/// A reference node with three mailboxes; killed when the test ends.
struct Node {
    child: Child,
    smtp: String,
    http: String,
    _directory: TempDir,
}

impl Node {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let config = directory.path().join("node.toml");
        let text = format!(
            "name = \"n1\"\ndata = {data:?}\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nsecret = \"s\"\n\
             [[route]]\ndomain = \"probe.example\"\nmailbox-server = \"n1\"\n\
             mailboxes = [\"ann@probe.example\", \"bob@probe.example\", \"cat@probe.example\"]\n"
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
        let field = |name: &str| said[name].as_str().expect("an address").to_owned();
        Self {
            child,
            smtp: field("listening"),
            http: format!("http://{}", field("http")),
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

/// A server that says `greeting` to each of `connections` connections, then nothing, and goes away with its port.
fn short_lived(
    greeting: &'static str,
    connections: usize,
) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let thread = std::thread::spawn(move || {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(greeting.as_bytes()).expect("sent");
            // Until the client has said something, so that it has read the greeting.
            let _ = stream.read(&mut [0; 100]);
        }
    });
    (address, thread)
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).expect("written")).expect("JSON")
}

fn outcomes(report: &serde_json::Value, outcome: &str) -> Vec<String> {
    report["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| case["outcome"] == outcome)
        .map(|case| format!("{}: {}", case["id"].as_str().expect("an ID"), case))
        .collect()
}

/// The reference node keeps every clause that can be put to it.
#[test]
fn the_reference_node_passes_every_case() {
    let node = Node::start();
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    let (junit, html, report) = (path("p.xml"), path("p.html"), path("p.json"));
    let (code, out, err) = probe(
        &node.smtp,
        &[
            "--strict",
            "--mailbox-url",
            &node.http,
            "--junit",
            &junit,
            "--html",
            &html,
            "--json",
            &report,
        ],
    );
    assert_eq!(code, 0, "{out}{err}");
    let report = json(Path::new(&report));
    assert_eq!(outcomes(&report, "failed"), [""; 0]);
    assert_eq!(outcomes(&report, "inconclusive"), [""; 0]);
    assert!(!outcomes(&report, "passed").is_empty());
    let junit = fs::read_to_string(junit).expect("written");
    assert!(junit.contains("rfc5321/4.5.2/dot-stuffing"), "{junit}");
    assert!(
        !junit.contains("<failure") && !junit.contains("<error"),
        "{junit}"
    );
    let html = fs::read_to_string(html).expect("written");
    assert!(html.contains("rfc5321/4.5.2/dot-stuffing") && html.contains("EHLO [127.0.0.1]"));
}

#[test]
fn without_proof_of_arrival_a_case_that_needs_it_is_inconclusive() {
    let node = Node::start();
    let (code, out, _) = probe(&node.smtp, &["--only", "rfc5321/4.5.2/dot-stuffing"]);
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("there is no proof of arrival: --sink"),
        "{out}"
    );
    let (code, out, _) = probe(&node.smtp, &["--only", "rfc5321/3.1/greeting"]);
    assert_eq!(code, 0, "{out}");
}

/// A maildir to which nothing is ever delivered.
#[test]
fn a_proof_that_never_proves_is_not_held_against_the_server() {
    let node = Node::start();
    let maildir = tempfile::tempdir().expect("a directory");
    let (code, out, err) = probe(
        &node.smtp,
        &[
            "--maildir",
            &maildir.path().to_string_lossy(),
            "--arrival-timeout",
            "500ms",
            "--only",
            "rfc5321/4.5.2",
            "--verbose",
        ],
    );
    assert_eq!(code, 2, "{out}{err}");
    assert!(out.contains("an ordinary message did not"), "{out}");
}

#[test]
fn an_expected_failure_does_not_count_and_an_unexpected_pass_does() {
    let node = Node::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("known.toml");
    let known = |text: &str| fs::write(&file, text).expect("written");
    known("[[expected]]\nid = \"rfc5321/3.1/greeting\"\nreason = \"it never greets\"\n");
    let only = [
        "--only",
        "rfc5321/3.1/greeting",
        "--expected",
        &file.to_string_lossy(),
    ];
    let (code, out, _) = probe(&node.smtp, &only);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("UNEXPECTED PASS rfc5321/3.1/greeting"),
        "{out}"
    );
    assert!(out.contains("it never greets"), "{out}");
    known("[[expected]]\nid = \"rfc5321/3.1/greting\"\nreason = \"x\"\n");
    let (code, _, err) = probe(&node.smtp, &only);
    assert_eq!(code, 64, "{err}");
    assert!(
        err.contains("did you mean `rfc5321/3.1/greeting`?") && err.contains("known.toml"),
        "{err}"
    );
}

#[test]
fn a_target_that_cannot_be_reached_is_69_and_says_so_in_every_report() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("bound").to_string();
    drop(port);
    let directory = tempfile::tempdir().expect("a directory");
    let junit = directory.path().join("p.xml");
    let (code, out, _) = probe(&address, &["--junit", &junit.to_string_lossy()]);
    assert_eq!(code, 69, "{out}");
    assert!(out.contains("cannot be reached"), "{out}");
    let junit = fs::read_to_string(junit).expect("written");
    assert!(
        junit.contains("<error") && junit.contains("cannot be reached"),
        "{junit}"
    );
    let (address, server) = short_lived("554 no service\r\n", 1);
    let (code, out, _) = probe(&address, &[]);
    server.join().expect("ended");
    assert_eq!(code, 69, "{out}");
    assert!(
        out.contains("expected a greeting of 220, seen: 554 no service"),
        "{out}"
    );
}

#[test]
fn a_server_that_dies_in_the_middle_is_a_result_with_a_name() {
    // The first connection is the look at the start; the server dies in the second.
    let (address, server) = short_lived("220 mortal.example ESMTP\r\n", 2);
    let directory = tempfile::tempdir().expect("a directory");
    let (junit, report) = (
        directory.path().join("p.xml"),
        directory.path().join("p.json"),
    );
    let (code, out, _) = probe(
        &address,
        &[
            "--only",
            "rfc5321/4.1.1.1",
            "--jobs",
            "1",
            "--junit",
            &junit.to_string_lossy(),
            "--json",
            &report.to_string_lossy(),
        ],
    );
    server.join().expect("ended");
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("the server is gone: after case rfc5321/4.1.1.1/"),
        "{out}"
    );
    assert!(
        fs::read_to_string(junit)
            .expect("written")
            .contains("<failure")
    );
    let report = json(&report);
    assert_eq!(outcomes(&report, "gone").len(), 1, "{report}");
    assert!(
        !outcomes(&report, "inconclusive").is_empty(),
        "the others were not run"
    );
}

#[test]
fn bad_usage_is_64() {
    for args in [
        &["127.0.0.1:2525"][..],
        &["127.0.0.1", "--from", "a@b", "--to", "c@d"],
        &["127.0.0.1:2525", "--from", "a b", "--to", "c@d"],
        &[
            "127.0.0.1:2525",
            "--from",
            "a@b",
            "--to",
            "c@d",
            "--only",
            "rfc9999",
        ],
        &[
            "127.0.0.1:2525",
            "--from",
            "a@b",
            "--to",
            "c@d",
            "--timeout",
            "0s",
        ],
        &[
            "127.0.0.1:2525",
            "--from",
            "a@b",
            "--to",
            "c@d",
            "--sink",
            "x:1",
            "--maildir",
            "/tmp",
        ],
        &[
            "127.0.0.1:2525",
            "--from",
            "a@b",
            "--to",
            "c@d",
            "--expected",
            "/nonexistent",
        ],
        &["--list", "--only", "rfc5321/4.5.22"],
    ] {
        let output = Command::new(GAUNTLET)
            .arg("probe")
            .args(args)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(64), "{args:?}");
    }
}

#[test]
fn the_cases_are_listed() {
    let output = Command::new(GAUNTLET)
        .args(["probe", "--list"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("rfc5321/4.5.2/dot-stuffing"), "{text}");
    let output = Command::new(GAUNTLET)
        .args(["probe", "--untestable"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("RFC 5321 §3.8"), "{text}");
}

/// The node is a bystander's: one that hangs must not hold the test up.
#[test]
fn a_silent_server_does_not_serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let held = std::thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 10]);
    });
    let (code, out, _) = probe(&address, &["--timeout", "300ms"]);
    held.join().expect("ended");
    assert_eq!(code, 69, "{out}");
    assert!(out.contains("seen: nothing for 0.3 s"), "{out}");
}
