//! Every case can fail: servers that lie, made of the reference node and two proxies, and what the probe finds.
//!
//! probe → front proxy → reference node → back proxy → the probe's sink

mod lies;
mod proxy;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
};

use lies::{LIARS, Liar};

const GAUNTLET: &str = env!("CARGO_BIN_EXE_gauntlet");

/// Cases of RFC 5321 that no lie makes fail, with the reason.
const NEVER_FAIL: &[(&str, &str)] = &[
    (
        "rfc5321/3.1/greeting",
        "the probe does not begin where the greeting is no 220",
    ),
    ("rfc5321/4.4/return-path", "a sink is no final delivery"),
    (
        "rfc5321/4.4/null-return-path",
        "a sink is no final delivery",
    ),
    ("rfc5321/4.4/one-return-path", "a sink is no final delivery"),
];

/// A node that hands its mail to `next_hop`; killed when the test ends.
struct Node {
    child: Child,
    smtp: String,
    _directory: tempfile::TempDir,
}

impl Node {
    fn start(next_hop: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let config = directory.path().join("node.toml");
        let text = format!(
            "name = \"n1\"\ndata = {data:?}\nlisten = \"127.0.0.1:0\"\nsecret = \"s\"\n\
             [[route]]\ndomain = \"probe.example\"\nsmart-host = \"{next_hop}\"\n"
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
        Self {
            child,
            smtp: said["listening"].as_str().expect("an address").to_owned(),
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

/// A free port below those that the system gives to whoever asks for any: nobody takes it before the probe does.
fn free_port() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = format!(
            "127.0.0.1:{}",
            12_000 + (process::id() as u16 % 997) * 17 + number
        );
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// The IDs of the cases with these outcomes, when the liar is probed.
fn probed(liar: &Liar) -> serde_json::Value {
    let sink = free_port();
    let back = proxy::start(sink.clone(), liar.back);
    let node = Node::start(&back);
    let front = proxy::start(node.smtp.clone(), liar.front);
    let directory = tempfile::tempdir().expect("a directory");
    let report = directory.path().join("probe.json");
    // All cases for an honest server, its own ones for a liar.
    let only = if liar.fails.is_empty() {
        &["rfc5321"]
    } else {
        liar.fails
    };
    let output = Command::new(GAUNTLET)
        .args(["probe", &front, "--sink", &sink, "--strict"])
        .args(only.iter().flat_map(|id| ["--only", *id]))
        .args(["--from", "ann@probe.example"])
        .args(["--to", "bob@probe.example", "--to", "cat@probe.example"])
        .args(["--arrival-timeout", "20s", "--json"])
        .arg(&report)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = fs::read_to_string(&report).unwrap_or_else(|error| {
        panic!(
            "{}: {error}: {}",
            liar.name,
            String::from_utf8_lossy(&output.stderr)
        )
    });
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{}: {error}: {}",
            liar.name,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn ids(report: &serde_json::Value, outcome: &str) -> BTreeSet<String> {
    report["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| outcome.is_empty() || case["outcome"] == outcome)
        .map(|case| case["id"].as_str().expect("an ID").to_owned())
        .collect()
}

#[test]
fn every_case_can_fail() {
    let honest = Liar {
        name: "no lie at all",
        front: proxy::Lies::NONE,
        back: proxy::Lies::NONE,
        fails: &[],
    };
    let report = probed(&honest);
    assert_eq!(
        ids(&report, "failed"),
        BTreeSet::new(),
        "the proxies change nothing by themselves: {report}"
    );
    let mut never: BTreeSet<String> = ids(&report, "");
    let slow: BTreeSet<String> = report["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| {
            case["why"]
                .as_str()
                .is_some_and(|why| why.contains("--slow"))
        })
        .map(|case| case["id"].as_str().expect("an ID").to_owned())
        .collect();
    let reports: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = LIARS
            .iter()
            .map(|liar| scope.spawn(|| probed(liar)))
            .collect();
        running
            .into_iter()
            .map(|one| one.join().expect("probed"))
            .collect()
    });
    let mut wrong = Vec::new();
    for (liar, report) in LIARS.iter().zip(&reports) {
        let failed = ids(report, "failed");
        for id in liar.fails {
            never.remove(*id);
            if !failed.contains(*id) {
                let case = report["cases"]
                    .as_array()
                    .and_then(|cases| cases.iter().find(|case| case["id"] == *id));
                let answer = case.map(|case| format!("{}: {}", case["outcome"], case["why"]));
                wrong.push(format!("{}: {id} does not fail: {answer:?}", liar.name));
            }
        }
    }
    for (id, _) in NEVER_FAIL {
        assert!(never.remove(*id), "{id} fails after all");
    }
    let never: Vec<_> = never.difference(&slow).collect();
    assert!(
        wrong.is_empty() && never.is_empty(),
        "{wrong:#?}\nno lie makes these fail: {never:#?}"
    );
}
