//! `gauntlet probe` against an independent server with known flaws: mailin-embedded, in this process, delivering to a maildir.
//!
//! It fails exactly the cases of `suites/expected/mailin-embedded.toml`: one that fails and is not listed, and one that is
//! listed and passes, both make the probe exit with 1.

use std::{
    fs,
    io::{self, Write as _},
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mailin_embedded::{
    Handler, Response, Server, SslConfig,
    response::{INTERNAL_ERROR, NO_MAILBOX, OK},
};

const EXPECTED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../suites/expected/mailin-embedded.toml"
);

/// Takes mail for the domain of the probe, and puts every message into one maildir: what an embedder writes, no more.
#[derive(Clone)]
struct ToMaildir {
    maildir: PathBuf,
    count: Arc<AtomicU64>,
    content: Vec<u8>,
}

impl Handler for ToMaildir {
    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        self.content.clear();
        OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        match to.rsplit_once('@') {
            Some((_, domain)) if domain.eq_ignore_ascii_case("probe.example") => OK,
            None if to.eq_ignore_ascii_case("postmaster") => OK,
            _ => NO_MAILBOX,
        }
    }

    fn data(&mut self, octets: &[u8]) -> io::Result<()> {
        self.content.write_all(octets)
    }

    fn data_end(&mut self) -> Response {
        let name = self.count.fetch_add(1, Ordering::Relaxed).to_string();
        let written = self.maildir.join("tmp").join(&name);
        let delivered = self.maildir.join("new").join(&name);
        let put = fs::write(&written, &self.content).and_then(|()| fs::rename(written, delivered));
        self.content.clear();
        match put {
            Ok(()) => OK,
            Err(_) => INTERNAL_ERROR,
        }
    }
}

/// Serves until the test's process ends; its address.
fn serve(maildir: &Path) -> String {
    for directory in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(directory)).expect("a directory");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut server = Server::new(ToMaildir {
        maildir: maildir.to_owned(),
        count: Arc::default(),
        content: Vec::new(),
    });
    server
        .with_name("mailin.example")
        .with_ssl(SslConfig::None)
        .expect("no TLS")
        // A case holds a hundred connections, and the server gives each a thread.
        .with_num_threads(128)
        .with_tcp_listener(listener);
    std::thread::spawn(move || server.serve().expect("serves"));
    address
}

#[test]
fn mailin_fails_what_it_is_known_to_fail_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = serve(directory.path());
    // It stays, so that it can be read.
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe-mailin.json");
    let gauntlet = std::env::var_os("GAUNTLET").expect("GAUNTLET is the path of the binary");
    let run = Command::new(gauntlet)
        .args(["probe", &address, "--strict", "--timeout", "30s"])
        .args(["--from", "ann@probe.example"])
        .args(["--to", "bob@probe.example", "--to", "cat@probe.example"])
        .args(["--arrival-timeout", "30s", "--expected", EXPECTED])
        .arg("--maildir")
        .arg(directory.path())
        .arg("--json")
        .arg(&report)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(report).expect("written")).expect("JSON");
    let standing = |wanted: fn(&serde_json::Value) -> bool| -> Vec<&str> {
        let cases = report["cases"].as_array().expect("cases");
        let cases = cases.iter().filter(|case| wanted(case));
        cases
            .map(|case| case["id"].as_str().expect("an ID"))
            .collect()
    };
    let unlisted = standing(|case| {
        case["outcome"] == "failed" && case["level"] != "may" && case["known"].is_null()
    });
    assert_eq!(unlisted, [""; 0], "{said}");
    let passed = standing(|case| case["outcome"] == "passed" && !case["known"].is_null());
    assert_eq!(passed, [""; 0], "{said}");
    let failed = standing(|case| case["outcome"] == "failed" && !case["known"].is_null());
    assert!(!failed.is_empty(), "{said}");
    assert!(report["gone"].is_null(), "{said}");
    // Nothing counts against it. What the handler does not write, the envelope and trace fields, cannot be told.
    assert_eq!(run.status.code(), Some(2), "{said}");
}
