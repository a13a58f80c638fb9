//! A reference node that stands by itself, to be probed.
//!
//! Comes in: the program that is a node. Goes out: where it takes mail, and where its mailboxes are seen. Called by
//! `gauntlet certify reference --on process`. It ends when the value is dropped, and with the harness, however that ends.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde::Deserialize;

/// A return path that it takes.
pub const FROM: &str = "ann@probe.example";

/// Its mailboxes.
pub const TO: [&str; 2] = ["bob@probe.example", "cat@probe.example"];

/// The node.
#[derive(Debug)]
pub struct Standing {
    child: Child,
    /// Where it takes mail: `127.0.0.1:2525`.
    pub smtp: String,
    /// Its read-only endpoint: `http://127.0.0.1:8025`.
    pub http: String,
}

#[derive(Deserialize)]
struct Announcement {
    listening: String,
    http: String,
}

impl Standing {
    /// Starts it with its files in `directory`, which outlives it. `program` and `arguments` are the node's command.
    ///
    /// # Errors
    /// It cannot be started, or does not say where it listens.
    pub fn start(program: &Path, arguments: &[&str], directory: &Path) -> io::Result<Self> {
        let config = directory.join("node.toml");
        fs::write(&config, configuration(&directory.join("data")))?;
        let log = fs::File::create(directory.join("node.log"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .args(["--exit-with-parent", "--config"])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut line = String::new();
        let said = match child.stdout.take() {
            Some(stdout) => BufReader::new(stdout).read_line(&mut line),
            None => Ok(0),
        };
        let announced = said.and_then(|_| {
            serde_json::from_str::<Announcement>(&line).map_err(|_| {
                io::Error::other(format!(
                    "the node did not say where it listens; see {}",
                    directory.join("node.log").display()
                ))
            })
        });
        match announced {
            Ok(Announcement { listening, http }) => Ok(Self {
                child,
                smtp: listening,
                http: format!("http://{http}"),
            }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// It may have ended by itself; either way there is no process and no zombie afterwards.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn configuration(data: &Path) -> String {
    let mailboxes: Vec<String> = [FROM].iter().chain(&TO).map(|a| format!("{a:?}")).collect();
    format!(
        "name = \"n1\"\ndata = {data:?}\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nsecret = \"probe\"\n\n\
         [[route]]\ndomain = \"probe.example\"\nmailbox-server = \"n1\"\nmailboxes = [{}]\n",
        mailboxes.join(", ")
    )
}
