//! `gauntlet load`, through the binary: the ledger agrees with what the server saw, whatever the server does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

/// What a sink does with a message, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Ack,
    Refuse,
    /// Takes it, and hangs up without a reply.
    HangUp,
    /// Acks after so many milliseconds.
    Stall(u64),
}

/// A server that remembers the messages it acked: number, octets, recipients.
struct Sink {
    address: String,
    acked: Arc<Mutex<BTreeMap<u32, (usize, usize)>>>,
    connections: Arc<Mutex<u32>>,
}

impl Sink {
    fn start(after: fn(u32) -> After) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let sink = Self {
            address: listener.local_addr().expect("an address").to_string(),
            acked: Arc::default(),
            connections: Arc::default(),
        };
        let (acked, connections) = (Arc::clone(&sink.acked), Arc::clone(&sink.connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *connections.lock().expect("no panic") += 1;
                let acked = Arc::clone(&acked);
                // A client that goes away ends the session, and nothing else.
                thread::spawn(move || serve(&stream, after, &acked));
            }
        });
        sink
    }

    fn acked(&self) -> BTreeMap<u32, (usize, usize)> {
        self.acked.lock().expect("no panic").clone()
    }
}

fn serve(
    stream: &TcpStream,
    after: fn(u32) -> After,
    acked: &Mutex<BTreeMap<u32, (usize, usize)>>,
) -> Option<()> {
    let mut input = BufReader::new(stream);
    let mut output = stream;
    let mut say = |text: &str| output.write_all(text.as_bytes()).ok();
    say("220 sink ESMTP\r\n")?;
    let (mut recipients, mut refused_mail) = (0, false);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        let mut content = None;
        match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => say("250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 0\r\n")?,
            "MAIL" => {
                recipients = 0;
                refused_mail = line.contains("<refused@");
                say(if refused_mail {
                    "550 5.7.1 not you\r\n"
                } else {
                    "250 ok\r\n"
                })?
            }
            "RCPT" if refused_mail => say("503 no MAIL\r\n")?,
            "RCPT" if line.contains("-2@") => say("550 5.1.1 no such user\r\n")?,
            "RCPT" => {
                recipients += 1;
                say("250 ok\r\n")?
            }
            "DATA" if refused_mail => say("503 no MAIL\r\n")?,
            "DATA" => {
                say("354 go on\r\n")?;
                let mut octets = Vec::new();
                while !octets.ends_with(b"\r\n.\r\n") {
                    if input.read_until(b'\n', &mut octets).ok()? == 0 {
                        return None;
                    }
                }
                octets.truncate(octets.len() - 3);
                content = Some(octets);
            }
            "BDAT" => {
                let size = line.split(' ').nth(1)?.parse().ok()?;
                let mut octets = vec![0; size];
                input.read_exact(&mut octets).ok()?;
                if recipients == 0 {
                    say("503 5.5.1 nobody to send it to\r\n")?;
                } else {
                    content = Some(octets);
                }
            }
            "QUIT" => {
                say("221 bye\r\n")?;
                return None;
            }
            _ => say("250 ok\r\n")?,
        }
        if let Some(octets) = content {
            let text = String::from_utf8(octets).expect("ASCII");
            let field = text
                .strip_prefix("X-Gauntlet-Message: ")
                .expect("our message");
            let number = field.split('.').next()?.parse().expect("a number");
            match after(number) {
                After::Ack => {}
                After::Refuse => {
                    say("451 4.3.0 later\r\n")?;
                    continue;
                }
                After::HangUp => return None,
                After::Stall(ms) => thread::sleep(Duration::from_millis(ms)),
            }
            let before = acked
                .lock()
                .expect("no panic")
                .insert(number, (text.len(), recipients));
            assert_eq!(before, None, "message {number} came twice");
            say("250 2.0.0 kept\r\n")?;
        }
    }
}

fn load(address: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command
        .args(["load", address])
        .args(args)
        .env_remove("COLUMNS")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null());
    command
}

/// Exit code, stdout, stderr.
fn run(address: &str, args: &[&str]) -> (i32, String, String) {
    said(load(address, args).output().expect("the binary runs"))
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("no signal");
    (code, text(output.stdout), text(output.stderr))
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A ledger: first line, messages by number, last line.
fn ledger(path: &Path) -> (Value, BTreeMap<u64, Value>, Value) {
    let text = fs::read_to_string(path).expect("a ledger");
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let begin = lines.remove(0);
    let end = lines.pop().expect("a last line");
    assert_eq!(
        (&begin["event"], &end["event"]),
        (&"begin".into(), &"end".into())
    );
    let count = lines.len();
    let messages: BTreeMap<u64, Value> = lines
        .into_iter()
        .map(|line| (line["message"].as_u64().expect("a number"), line))
        .collect();
    assert_eq!(messages.len(), count, "each message once");
    (begin, messages, end)
}

fn numbers(messages: &BTreeMap<u64, Value>, outcome: &str) -> BTreeSet<u64> {
    let of = |(number, line): (&u64, &Value)| (line["outcome"] == outcome).then_some(*number);
    messages.iter().filter_map(of).collect()
}

#[test]
fn the_ledger_has_the_outcome_of_every_message() {
    fn after(number: u32) -> After {
        match number % 20 {
            3 => After::Refuse,
            7 => After::HangUp,
            _ => After::Ack,
        }
    }
    for mode in [
        &[][..],
        &["--pipelining", "off"],
        &["--bdat"],
        &["--helo"],
        &["--threads", "2"],
    ] {
        let sink = Sink::start(after);
        let directory = temporary();
        let file = directory.path().join("ledger.jsonl");
        let path = file.to_string_lossy();
        let args = [
            "--count",
            "200",
            "--sessions",
            "4",
            "--size",
            "400..3000",
            "--ledger",
            &path,
        ];
        let (code, out, err) = run(&sink.address, &[&args[..], mode].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{mode:?}: {out}");
        let (begin, messages, end) = ledger(&file);
        assert_eq!(begin["target"], sink.address.as_str());
        assert_eq!(messages.len(), 200);
        let acked = numbers(&messages, "acked");
        let kept = sink.acked();
        assert_eq!(
            acked,
            kept.keys().map(|n| u64::from(*n)).collect(),
            "{mode:?}"
        );
        for (number, (octets, _)) in &kept {
            assert_eq!(messages[&u64::from(*number)]["size"], *octets, "{mode:?}");
        }
        let of = |wanted| {
            (1..=200)
                .filter(|n| after(*n) == wanted)
                .map(u64::from)
                .collect()
        };
        assert_eq!(numbers(&messages, "refused"), of(After::Refuse), "{mode:?}");
        assert_eq!(
            numbers(&messages, "indeterminate"),
            of(After::HangUp),
            "{mode:?}"
        );
        let refused = &messages[&3];
        assert_eq!(refused["reply"]["code"], 451);
        assert_eq!(messages[&7]["error"], "the connection was closed");
        assert_eq!(
            (&end["acked"], &end["reason"]),
            (&180.into(), &"count".into())
        );
        assert!(out.contains("180 of 200 messages acked"), "{out}");
    }
}

#[test]
fn refused_recipients_are_named() {
    for mode in ["auto", "off"] {
        let sink = Sink::start(|_| After::Ack);
        let directory = temporary();
        let file = directory.path().join("ledger.jsonl");
        let path = file.to_string_lossy();
        let args = [
            "--count",
            "3",
            "--recipients",
            "3",
            "--pipelining",
            mode,
            "--ledger",
            &path,
        ];
        let (code, out, _) = run(&sink.address, &args);
        assert_eq!(code, 0, "{out}");
        let (_, messages, _) = ledger(&file);
        let refused = messages[&1]["refused"].as_object().expect("some");
        assert_eq!(
            refused.keys().collect::<Vec<_>>(),
            ["someone-2@external.example"]
        );
        assert!(
            sink.acked()
                .values()
                .all(|(_, recipients)| *recipients == 2)
        );
        assert!(
            out.contains("recipients refused  3         550: 3"),
            "{out}"
        );
    }
}

#[test]
fn a_load_of_which_nothing_was_acked_is_2() {
    for mode in [
        &[][..],
        &["--pipelining", "off"],
        &["--bdat"],
        &["--bdat", "--pipelining", "off"],
    ] {
        let sink = Sink::start(|_| After::Ack);
        let args = [
            "--count",
            "20",
            "--sessions",
            "2",
            "--from",
            "refused@client.example",
        ];
        let (code, out, err) = run(&sink.address, &[&args[..], mode].concat());
        assert_eq!(code, 2, "{mode:?}: {out}{err}");
        assert!(
            out.contains("refused        20        550: 20"),
            "{mode:?}: {out}"
        );
        assert_eq!(sink.acked().len(), 0);
        assert_eq!(
            *sink.connections.lock().expect("no panic"),
            2,
            "{mode:?}: sessions go on"
        );
    }
}

#[test]
fn a_connection_carries_as_many_messages_as_one_says() {
    let sink = Sink::start(|_| After::Ack);
    let (code, out, _) = run(
        &sink.address,
        &["--count", "20", "--sessions", "1", "--per-connection", "4"],
    );
    assert_eq!(code, 0, "{out}");
    assert_eq!(*sink.connections.lock().expect("no panic"), 5);
    assert_eq!(sink.acked().len(), 20);
}

#[test]
fn the_latency_of_an_open_loop_counts_from_the_time_at_which_a_message_was_due() {
    fn after(number: u32) -> After {
        if number == 5 {
            After::Stall(800)
        } else {
            After::Ack
        }
    }
    let sink = Sink::start(after);
    let directory = temporary();
    let file = directory.path().join("ledger.jsonl");
    let args = [
        "--rate",
        "100",
        "--count",
        "30",
        "--sessions",
        "1",
        "--json",
        "-",
        "--ledger",
        &file.to_string_lossy(),
    ];
    let (code, out, _) = run(&sink.address, &args);
    assert_eq!(code, 0, "{out}");
    let figures: Value = serde_json::from_str(&out).expect("JSON and nothing else");
    assert_eq!(
        (&figures["loop"], &figures["acked"]),
        (&"open".into(), &30.into())
    );
    assert_eq!(
        figures["latency-counts-from"],
        "the time at which it was due"
    );
    let (_, messages, _) = ledger(&file);
    let us = |number: u64, key: &str| messages[&number][key].as_u64().expect("a time");
    for number in 6..=30 {
        assert_eq!(us(number, "due-us"), (number - 1) * 10_000);
        // All were due while the server stalled, the last of them half a second before it went on.
        let waited = us(number, "ended-us") - us(number, "due-us");
        assert!(waited > 500_000, "{number}: {waited}");
    }
    let median = figures["latency"]["message"]["p50-us"].as_u64();
    assert!(median.is_some_and(|us| us > 500_000), "{out}");
    assert!(
        figures["latency"]["late"]["p50-us"].as_u64() > Some(400_000),
        "{out}"
    );
}

#[test]
fn messages_that_were_due_and_never_begun_are_counted() {
    let sink = Sink::start(|_| After::Stall(150));
    let args = [
        "--rate",
        "1000",
        "--duration",
        "500ms",
        "--sessions",
        "1",
        "--json",
        "-",
    ];
    let (code, out, _) = run(&sink.address, &args);
    assert_eq!(code, 0, "{out}");
    let figures: Value = serde_json::from_str(&out).expect("JSON");
    let count = |key: &str| figures[key].as_u64().expect("a count");
    assert_eq!(count("acked") + count("never-begun"), 500, "{out}");
    assert!(count("acked") <= 4, "{out}");
}

#[test]
fn an_interrupted_load_tells_what_it_has() {
    // Only the first message is acked, so that all other sessions wait.
    let sink = Sink::start(|n| {
        if n == 1 {
            After::Ack
        } else {
            After::Stall(60_000)
        }
    });
    let directory = temporary();
    let file = directory.path().join("ledger.jsonl");
    let mut command = load(
        &sink.address,
        &[
            "--sessions",
            "3",
            "--duration",
            "10m",
            "--ledger",
            &file.to_string_lossy(),
        ],
    );
    let mut child: Child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    while !fs::read_to_string(&file).is_ok_and(|text| text.contains("acked")) {
        assert_eq!(child.try_wait().expect("a child"), None, "it goes on");
        thread::sleep(Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it runs");
    let (code, out, err) = said(child.wait_with_output().expect("it ends"));
    assert_eq!(code, 130, "{out}{err}");
    let (_, messages, end) = ledger(&file);
    assert_eq!(end["reason"], "interrupted");
    assert_eq!(numbers(&messages, "acked"), [1].into());
    assert_eq!(numbers(&messages, "indeterminate").len(), 3, "{messages:?}");
    assert!(out.contains("1 of 4 messages acked"), "{out}");
    assert!(err.contains("interrupted: waiting a second"), "{err}");
}

#[test]
fn nobody_there_is_69_and_bad_usage_is_64() {
    let address = {
        // Nobody listens on a port that was just given back.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let (code, out, err) = run(&address, &["--duration", "1m"]);
    assert_eq!(code, 69, "{out}{err}");
    assert!(err.contains("refused"), "{err}");
    assert!(out.contains("0 of "), "{out}");
    for args in [
        &["--sessions", "0"][..],
        &["--rate", "0"],
        &["--size", "10"],
        &["--size", "4KB"],
        &["--to", "nobody"],
        &["--recipients", "1001"],
        &["--duration", "5"],
    ] {
        let (code, _, err) = run(&address, args);
        assert_eq!(code, 64, "{args:?}: {err}");
    }
    assert_eq!(run("localhost", &[]).0, 64);
    let directory = temporary();
    let file = directory.path().join("ledger.jsonl");
    fs::write(&file, "precious").expect("a file");
    let (code, _, err) = run(&address, &["--ledger", &file.to_string_lossy()]);
    assert_eq!(code, 64, "{err}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "precious");
}

#[test]
fn a_reference_node_takes_a_load() {
    let directory = temporary();
    let config = directory.path().join("node.toml");
    let data = directory.path().join("data");
    let text = format!(
        "name = \"n1\"\ndata = {data:?}\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nsecret = \"s\"\n\
         [[route]]\ndomain = \"mailbox.example\"\nmailbox-server = \"n1\"\nmailboxes = [\"ann@mailbox.example\"]\n"
    );
    fs::write(&config, text).expect("a file");
    let mut node = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .args(["node", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    BufReader::new(node.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("a line");
    let node_says: Value = serde_json::from_str(&line).expect("JSON");
    let address = node_says["listening"].as_str().expect("an address");
    let file = directory.path().join("ledger.jsonl");
    let args = [
        "--to",
        "ann@mailbox.example",
        "--count",
        "60",
        "--sessions",
        "3",
        "--ledger",
        &file.to_string_lossy(),
    ];
    let (code, out, err) = run(address, &args);
    node.kill().expect("it runs");
    node.wait().expect("it ends");
    assert_eq!(code, 0, "{out}{err}");
    let (_, messages, _) = ledger(&file);
    assert_eq!(numbers(&messages, "acked").len(), 60);
    // RFC 3464's queue identifiers tell one ack from another.
    let replies: BTreeSet<&str> = messages
        .values()
        .filter_map(|line| line["reply"]["text"].as_str())
        .collect();
    assert!(replies.len() > 1, "{replies:?}");
}
