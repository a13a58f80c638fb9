//! QMP: JSON, a line each way, over a Unix socket.
//!
//! Comes in: commands. Goes out: what QEMU answers, and the events that came meanwhile. Called by [`guest`](crate::guest).
//! Every call blocks until its answer, or for as long as the patience lasts.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

/// How long an answer may take: QEMU answers at once, but may have to wait for a processor.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU refused it.
    #[error("{command}: {text} ({class})")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's kind of error, e.g. `GenericError`.
        class: String,
        /// What it said.
        text: String,
    },
    /// What came is not QMP.
    #[error("{0} is not QMP")]
    Malformed(String),
    /// The connection failed, or ended.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What was said.
        error: io::Error,
    },
}

/// Something that QEMU tells by itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// Its name, e.g. `SHUTDOWN`.
    #[serde(rename = "event")]
    pub name: String,
    /// What comes with it.
    #[serde(default)]
    pub data: Value,
}

/// A connection to one QEMU.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// What was read of a line so far, when the time was up.
    line: Vec<u8>,
    events: VecDeque<Event>,
}

enum Message {
    Event(Event),
    Answer(Result<Value, (String, String)>),
    Greeting,
}

impl Qmp {
    /// Connects, and leaves the mode of negotiation. Tries until QEMU has made its socket, while `lives` says so.
    ///
    /// # Errors
    /// QEMU has ended, or takes no connection for [`PATIENCE`], or what answers is no QMP.
    pub fn connect(path: &Path, mut lives: impl FnMut() -> bool) -> Result<Self, QmpError> {
        let begun = Instant::now();
        let stream = loop {
            let failed = match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) => error,
            };
            if !lives() || begun.elapsed() > PATIENCE {
                return Err(io_error("connect")(failed));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut qmp = Self {
            reader: BufReader::new(stream),
            line: Vec::new(),
            events: VecDeque::new(),
        };
        let end = Instant::now() + PATIENCE;
        match qmp.message("greeting", end)? {
            Some(Message::Greeting) => {}
            _ => return Err(QmpError::Malformed("the greeting".into())),
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Does a command, and waits for the answer.
    ///
    /// # Errors
    /// QEMU refuses it, or does not answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(io_error(command))?;
        let end = Instant::now() + PATIENCE;
        loop {
            match self.message(command, end)? {
                Some(Message::Answer(Ok(value))) => return Ok(value),
                Some(Message::Answer(Err((class, text)))) => {
                    return Err(QmpError::Refused {
                        command: command.to_owned(),
                        class,
                        text,
                    });
                }
                Some(Message::Event(event)) => self.events.push_back(event),
                Some(Message::Greeting) => {
                    return Err(QmpError::Malformed("a second greeting".into()));
                }
                None => return Err(io_error(command)(io::ErrorKind::TimedOut.into())),
            }
        }
    }

    /// Waits for an event of that name, and forgets those before it. `None`: it did not come within `patience`.
    ///
    /// # Errors
    /// The connection ended.
    pub fn event(&mut self, name: &str, patience: Duration) -> Result<Option<Event>, QmpError> {
        let end = Instant::now() + patience;
        loop {
            while let Some(event) = self.events.pop_front() {
                if event.name == name {
                    return Ok(Some(event));
                }
            }
            match self.message(name, end)? {
                Some(Message::Event(event)) => self.events.push_back(event),
                Some(_) => return Err(QmpError::Malformed("an answer to nothing".into())),
                None => return Ok(None),
            }
        }
    }

    /// The next message; `None` when the time is up.
    fn message(&mut self, what: &str, end: Instant) -> Result<Option<Message>, QmpError> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let stream = self.reader.get_ref();
            stream
                .set_read_timeout(Some(left))
                .map_err(io_error(what))?;
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.line);
                    return parse(&line).map(Some);
                }
                Ok(_) => return Err(io_error(what)(io::ErrorKind::UnexpectedEof.into())),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(io_error(what)(error)),
            }
        }
    }
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> QmpError {
    let what = what.to_owned();
    move |error| QmpError::Io { what, error }
}

fn parse(line: &[u8]) -> Result<Message, QmpError> {
    let malformed = || QmpError::Malformed(line.escape_ascii().to_string());
    let mut value: Value = serde_json::from_slice(line).map_err(|_no_json| malformed())?;
    if value.get("event").is_some() {
        return serde_json::from_value(value)
            .map(Message::Event)
            .map_err(|_no_event| malformed());
    }
    if let Some(value) = value.get_mut("return") {
        return Ok(Message::Answer(Ok(value.take())));
    }
    if let Some(error) = value.get("error") {
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        return Ok(Message::Answer(Err((text("class"), text("desc")))));
    }
    match value.get("QMP") {
        Some(_) => Ok(Message::Greeting),
        None => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// A QEMU that greets, and answers what comes with these lines, in order; then it hangs up.
    fn fake(
        answers: &'static [&'static str],
    ) -> (tempfile::TempDir, thread::JoinHandle<Vec<String>>) {
        let place = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(place.path().join("q.sock")).expect("bound");
        let body = move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream
                .write_all(b"{\"QMP\": {\"version\": {}}}\r\n")
                .expect("written");
            let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
            let mut heard = Vec::new();
            for answer in ["{\"return\": {}}"].iter().chain(answers) {
                let mut line = String::new();
                // A test may go before it has heard all of it.
                if reader.read_line(&mut line).is_err() {
                    break;
                }
                heard.push(line.trim().to_owned());
                let answer = format!("{answer}\n");
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
            heard
        };
        (place, thread::spawn(body))
    }

    fn connect(place: &tempfile::TempDir) -> Result<Qmp, QmpError> {
        Qmp::connect(&place.path().join("q.sock"), || true)
    }

    #[test]
    fn answers_events_and_refusals() {
        let (place, qemu) = fake(&[
            "{\"event\": \"STOP\", \"timestamp\": {}}\n{\"return\": {\"running\": true}}",
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such device\"}}",
        ]);
        let mut qmp = connect(&place).expect("connected");
        let status = qmp.execute("query-status", json!({})).expect("answered");
        assert_eq!(status, json!({ "running": true }));
        let refused = qmp
            .execute("balloon", json!({ "value": 1 }))
            .expect_err("refused");
        assert_eq!(
            refused.to_string(),
            "balloon: no such device (GenericError)"
        );
        let event = qmp.event("STOP", Duration::ZERO).expect("kept");
        assert_eq!(event.map(|event| event.data), Some(Value::Null));
        let heard = qemu.join().expect("ended");
        assert_eq!(heard[2], r#"{"arguments":{"value":1},"execute":"balloon"}"#);
        let gone = qmp.execute("cont", json!({})).expect_err("it hung up");
        assert!(matches!(gone, QmpError::Io { .. }), "{gone}");
    }

    #[test]
    fn what_is_no_qmp_is_an_error() {
        let (place, _qemu) = fake(&["250 ok"]);
        let mut qmp = connect(&place).expect("connected");
        let error = qmp.execute("cont", json!({})).expect_err("no JSON");
        assert_eq!(error.to_string(), "250 ok\\n is not QMP");
    }

    #[test]
    fn a_qemu_that_has_ended_is_not_waited_for() {
        let place = tempfile::tempdir().expect("a directory");
        let error = Qmp::connect(&place.path().join("q.sock"), || false).expect_err("nobody");
        assert!(matches!(error, QmpError::Io { .. }), "{error}");
    }

    #[test]
    fn an_event_that_does_not_come_is_none() {
        let (place, _qemu) = fake(&["{\"return\": {}}", "{\"return\": {}}"]);
        let mut qmp = connect(&place).expect("connected");
        let none = qmp.event("RESUME", Duration::from_millis(20));
        assert_eq!(none.expect("connected"), None);
        qmp.execute("cont", json!({})).expect("still in step");
    }
}
