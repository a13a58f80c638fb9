//! `gauntlet proxy` as a process, an echo to put behind it, and what a client sees through it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// The program: the one that cargo has built for this test, or what GAUNTLET names.
fn program() -> String {
    let built = option_env!("CARGO_BIN_EXE_gauntlet").map(str::to_owned);
    built
        .or_else(|| std::env::var("GAUNTLET").ok())
        .expect("GAUNTLET names the program `gauntlet`")
}

/// The program, with its API on a free port. Dropped, it is killed.
pub(crate) struct Served {
    pub(crate) child: Child,
    /// Kept open: what it writes must not break it.
    _out: BufReader<ChildStdout>,
    /// What it said before it said where its API is.
    pub(crate) said: Vec<String>,
    pub(crate) api: SocketAddr,
}

impl Served {
    pub(crate) fn start(more: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(["proxy", "--api", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = Vec::new();
        let api = loop {
            let mut line = String::new();
            let length = out.read_line(&mut line).expect("text");
            assert!(length > 0, "it ended after {said:?}");
            match line.trim().strip_prefix("api ") {
                Some(api) => break api.parse().expect("an address"),
                None => said.push(line.trim().to_owned()),
            }
        };
        Self {
            child,
            _out: out,
            said,
            api,
        }
    }

    /// Status and body; JSON where it is JSON.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.ask_as("test", method, path, body);
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, value)
    }

    pub(crate) fn ask_as(
        &self,
        agent: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api).expect("the API listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        (status.parse().expect("a number"), body.to_owned())
    }

    /// Ctrl-C, and its exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, Signal::SIGINT).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that says what it hears, until it is told the end; then it says `bye`.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                let mut buffer = [0; 64 * 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(b"bye");
            });
        }
    });
    address
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the proxy listens");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a time");
    stream
}

/// How long the echo took.
pub(crate) fn said_back(stream: &mut TcpStream, text: &str) -> Duration {
    let begun = Instant::now();
    stream.write_all(text.as_bytes()).expect("written");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, text.as_bytes());
    begun.elapsed()
}

pub(crate) fn is_refused(address: &str) -> bool {
    TcpStream::connect(address).is_err()
}
