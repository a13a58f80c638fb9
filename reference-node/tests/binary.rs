//! The binary, as its user runs it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const BINARY: &str = env!("CARGO_BIN_EXE_reference-node");

fn write_config(directory: &Path, listen: &str) -> std::path::PathBuf {
    let file = directory.join("node.toml");
    let data = directory.join("data");
    let text = format!(
        "name = \"n1\"\ndata = {data:?}\nlisten = \"{listen}\"\nhttp = \"127.0.0.1:0\"\nsecret = \"s\"\n\
         [[route]]\ndomain = \"mailbox.example\"\nmailbox-server = \"n1\"\nmailboxes = [\"ann@mailbox.example\"]\n"
    );
    fs::write(&file, text).expect("a configuration");
    file
}

fn run(config: &Path, check: bool) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(config);
    if check {
        command.arg("--check");
    }
    command.output().expect("the binary runs")
}

/// A running node; killed when the test ends.
struct Running {
    child: Child,
    smtp: String,
    http: String,
}

impl Running {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(BINARY)
            .arg("--config")
            .arg(config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let said: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        let field = |name: &str| said[name].as_str().expect("an address").to_owned();
        assert_eq!(field("database").len(), 32);
        Self {
            child,
            smtp: field("listening"),
            http: field("http"),
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).expect("the endpoint listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says each line and reads its reply; answers with the last reply.
fn talk(address: &str, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
    let mut reply = move || {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a reply");
            let last = line.as_bytes().get(3) != Some(&b'-');
            all.push_str(&line);
            if last {
                return all;
            }
        }
    };
    let mut last = reply();
    for line in lines {
        stream.write_all(line.as_bytes()).expect("sent");
        stream.write_all(b"\r\n").expect("sent");
        last = reply();
    }
    last
}

#[test]
fn a_good_configuration_is_ok() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(&write_config(directory.path(), "127.0.0.1:0"), true);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("node.toml: ok\n"));
}

#[test]
fn a_bad_configuration_is_shown_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = write_config(directory.path(), "127.0.0.1:0");
    let text = fs::read_to_string(&file).expect("the configuration")
        + "[transport]\nShadowHeartbeatFrequency = \"2\"\n";
    fs::write(&file, text).expect("written");
    let output = run(&file, true);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("write a duration with its unit") && said.contains("node.toml:11"),
        "{said}"
    );
}

#[test]
fn a_busy_port_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&write_config(directory.path(), &address), false);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&address) && said.contains("another"),
        "{said}"
    );
}

#[test]
fn mail_is_acked_delivered_and_still_there_after_sigkill() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = write_config(directory.path(), "127.0.0.1:0");
    let node = Running::start(&config);
    let reply = talk(
        &node.smtp,
        &[
            "EHLO client",
            "MAIL FROM:<bob@x.example>",
            "RCPT TO:<ann@mailbox.example>",
            "DATA",
            "Subject: hello\r\nMessage-ID: <1@x>\r\n\r\n..dot\r\n.",
        ],
    );
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !node.get("/mailboxes").contains("ann@mailbox.example") {
        assert!(Instant::now() < deadline, "delivered in time");
        std::thread::yield_now();
    }
    drop(node);

    let node = Running::start(&config);
    let message = node.get("/mailboxes/ann@mailbox.example/0");
    assert!(
        message.contains("Return-Path: <bob@x.example>\r\nReceived: from client "),
        "{message}"
    );
    assert!(message.ends_with("\r\n\r\n.dot\r\n"), "{message}");
    // The kill may have come between the mailbox's commit and the queue's: then it is delivered once more first.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !node.get("/view").contains("\"role\":\"primary\"") {
        assert!(Instant::now() < deadline, "Safety Net has it in time");
        std::thread::yield_now();
    }
}

#[test]
fn peer_verbs_are_for_peers() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Running::start(&write_config(directory.path(), "127.0.0.1:0"));
    assert!(talk(&node.smtp, &["EHLO x", "XQDISCARD 0 10"]).starts_with("550 5.7.1"));
    assert!(talk(&node.smtp, &["EHLO x", "XPEER n1 00 00"]).starts_with('5'));
    assert!(
        talk(
            &node.smtp,
            &[
                "EHLO x",
                "MAIL FROM:<a@b>",
                "RCPT TO:<nobody@mailbox.example>"
            ]
        )
        .starts_with("550 5.1.1")
    );
    assert!(
        talk(
            &node.smtp,
            &["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<a@elsewhere.example>"]
        )
        .starts_with("550 5.7.1")
    );
}
