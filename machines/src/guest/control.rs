//! What process 1 of a guest is told, over a serial port: `NUMBER COMMAND` in a line, answered by `NUMBER ok|failed TEXT`.
//!
//! It needs no network: what is said here holds while the guest is cut off. The commands are those of `image/init.sh`.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use crate::Error;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The control port of a guest.
#[derive(Debug)]
pub(super) struct Control {
    stream: BufReader<UnixStream>,
    last: u32,
    line: Vec<u8>,
}

impl Control {
    /// Connects to the socket that QEMU has made.
    pub(super) fn connect(path: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(path).map_err(Error::at(path))?;
        Ok(Self {
            stream: BufReader::new(stream),
            last: 0,
            line: Vec::new(),
        })
    }

    /// Has a command done, and waits for the answer.
    pub(super) fn tell(&mut self, command: &str) -> Result<String, Error> {
        self.tell_within(command, PATIENCE)
    }

    pub(super) fn tell_within(
        &mut self,
        command: &str,
        patience: Duration,
    ) -> Result<String, Error> {
        self.last += 1;
        let number = self.last;
        let failed = |error| Error::io(format!("tell the guest `{command}`"))(error);
        // In one piece: the guest reads a line.
        let line = format!("{number} {command}\n");
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(failed)?;
        let end = Instant::now() + patience;
        loop {
            let line = self.line(end).map_err(failed)?;
            // An answer that came too late for its own question is nobody's.
            let Some((answered, rest)) = line.split_once(' ') else {
                continue;
            };
            if answered != number.to_string() {
                continue;
            }
            let (outcome, text) = rest.split_once(' ').unwrap_or((rest, ""));
            return match outcome {
                "ok" => Ok(text.trim().to_owned()),
                _ => Err(Error::Failed(format!(
                    "the guest cannot do `{command}`: {text}"
                ))),
            };
        }
    }

    fn line(&mut self, end: Instant) -> io::Result<String> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            match self.stream.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.line);
                    return Ok(String::from_utf8_lossy(&line).trim().to_owned());
                }
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    #[test]
    fn answers_belong_to_their_questions() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("c");
        let listener = UnixListener::bind(&path).expect("bound");
        let guest = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a host");
            let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
            let mut heard = String::new();
            for answer in [
                "0 ok late\n1 ok 4.20\n",
                "2 failed there is no command x\n",
                "",
            ] {
                reader.read_line(&mut heard).expect("read");
                stream.write_all(answer.as_bytes()).expect("written");
            }
            thread::sleep(Duration::from_millis(100));
            heard
        });
        let mut control = Control::connect(&path).expect("connected");
        assert_eq!(control.tell("uptime").expect("answered"), "4.20");
        let refused = control.tell("x").expect_err("refused");
        assert_eq!(
            refused.to_string(),
            "the guest cannot do `x`: there is no command x"
        );
        let silent = control
            .tell_within("y", Duration::from_millis(20))
            .expect_err("silent");
        assert!(matches!(silent, Error::Io { .. }), "{silent}");
        assert_eq!(guest.join().expect("ended"), "1 uptime\n2 x\n3 y\n");
    }
}
