//! How a case's message gets into the queue of the client under test: the probe submits it, or says what is to be sent.
//!
//! Comes in: a [`Draft`]. Goes out: nothing, once the server has taken it; or why the case cannot begin. What goes wrong here says
//! nothing of the sending side, so it is inconclusive, never a failure.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::manners::Script;
use crate::probe::{
    connection::Connection,
    context::HELLO,
    dialogue::Record,
    message::stuffed,
    outcome::{Checked, Stop},
    target::Target,
};

/// The way into the queue.
#[derive(Clone)]
pub enum Way {
    /// The server's own receiving side.
    Submit(Target),
    /// The user's hand.
    ByHand(ByHand),
}

/// Messages that the user sends.
#[derive(Clone)]
pub struct ByHand {
    /// Where the messages are written.
    pub directory: PathBuf,
    /// How long it may take until one comes.
    pub wait: Duration,
    /// Tells what to send: a command line of sendmail(1).
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit(target) => write!(f, "{target}"),
            Self::ByHand(by_hand) => write!(f, "{}", by_hand.directory.display()),
        }
    }
}

/// A message before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The return path, without brackets; empty: the null one.
    pub from: String,
    /// The recipients, without brackets.
    pub to: Vec<String>,
    /// Parameters of MAIL.
    pub parameters: Vec<String>,
    /// Parameters of RCPT.
    pub recipient_parameters: Vec<String>,
    /// The message.
    pub content: Vec<u8>,
    /// Keywords that the server must offer to its own clients, or there is nothing to test.
    pub needs: Vec<&'static str>,
    /// It goes by BDAT.
    pub chunked: bool,
    /// How the next hop answers.
    pub scripts: Vec<Script>,
}

impl Draft {
    /// With this answer to the first attempt; the next call says what the second one is answered with.
    #[must_use]
    pub fn answered(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.content.extend_from_slice(body.as_ref());
        self
    }

    /// With these header fields below those that it has. The body must not be there yet.
    #[must_use]
    pub fn fields(mut self, fields: &str) -> Self {
        let end = self.content.len() - 2;
        self.content.truncate(end);
        self.content.extend_from_slice(fields.as_bytes());
        self.content.extend_from_slice(b"\r\n");
        self
    }

    /// With this parameter of MAIL, which that keyword is for.
    #[must_use]
    pub fn parameter(mut self, keyword: &'static str, parameter: &str) -> Self {
        self.needs.push(keyword);
        self.parameters.push(parameter.to_owned());
        self
    }

    /// With this parameter of RCPT, which that keyword is for.
    #[must_use]
    pub fn recipient_parameter(mut self, keyword: &'static str, parameter: &str) -> Self {
        self.needs.push(keyword);
        self.recipient_parameters.push(parameter.to_owned());
        self
    }
}

/// A connection to the server's receiving side, greeted: the greeting with it. One that does not listen yet is waited for.
///
/// # Errors
/// It does not greet with 220 in time.
pub async fn greeted(
    target: &Target,
    record: &Record,
    patience: Duration,
) -> Result<(Connection, String), Stop> {
    let deadline = Instant::now() + patience;
    let stream = loop {
        let place = (target.host.as_str(), target.port);
        match timeout(patience, TcpStream::connect(place)).await {
            Ok(Ok(stream)) => break stream,
            Ok(Err(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(Err(error)) => {
                return Err(Stop::inconclusive(format!(
                    "cannot connect to {target}: {error}"
                )));
            }
            Err(_) => {
                return Err(Stop::inconclusive(format!(
                    "cannot connect to {target} in time"
                )));
            }
        }
    };
    // A stream that cannot be told so is as good, only slower.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection::new(stream, record.clone(), patience);
    let greeting = connection.prepared("220").await?;
    let text = greeting.to_string();
    Ok((connection, text))
}

/// Submits it.
///
/// # Errors
/// Skipped where the server does not offer what it needs; inconclusive where it does not take it.
pub async fn submit(
    target: &Target,
    draft: &Draft,
    record: &Record,
    patience: Duration,
) -> Checked {
    let (mut s, _) = greeted(target, record, patience).await?;
    let hello = s.prepare(format!("EHLO {HELLO}"), "250").await?;
    let offered = |keyword: &&&str| {
        hello.lines.iter().skip(1).any(|line| {
            let word = line
                .split(|octet| *octet == b' ')
                .next()
                .unwrap_or_default();
            word.eq_ignore_ascii_case(keyword.as_bytes())
        })
    };
    if let Some(missing) = draft.needs.iter().find(|keyword| !offered(keyword)) {
        s.quit().await;
        return Err(Stop::skipped(format!(
            "the server takes no such mail: it does not offer {missing}"
        )));
    }
    s.prepare(
        with(&format!("MAIL FROM:<{}>", draft.from), &draft.parameters),
        "250",
    )
    .await?;
    for to in &draft.to {
        let line = with(&format!("RCPT TO:<{to}>"), &draft.recipient_parameters);
        s.prepare(line, "250|251").await?;
    }
    if draft.chunked {
        s.owe("BDAT");
        let command = format!("BDAT {} LAST\r\n", draft.content.len());
        s.send([command.as_bytes(), &draft.content].concat()).await;
    } else {
        s.prepare("DATA", "354").await?;
        s.owe("the end of data");
        s.send(stuffed(&draft.content)).await;
    }
    s.prepared("250").await?;
    s.quit().await;
    Ok(())
}

fn with(command: &str, parameters: &[String]) -> String {
    let mut words = vec![command];
    words.extend(parameters.iter().map(String::as_str));
    words.join(" ")
}

/// Writes the message, and says how to send it.
///
/// # Errors
/// It cannot be written; skipped when it needs more than sendmail(1) can say.
pub fn by_hand(hand: &ByHand, case: &str, token: &str, draft: &Draft) -> Checked {
    if draft.chunked || !draft.parameters.is_empty() || !draft.recipient_parameters.is_empty() {
        return Err(Stop::skipped(
            "its envelope has parameters that sendmail(1) has no options for: --submit",
        ));
    }
    let file = hand.directory.join(format!("{token}.eml"));
    std::fs::write(&file, &draft.content)
        .map_err(|error| Stop::inconclusive(format!("cannot write {}: {error}", file.display())))?;
    let recipients: Vec<String> = draft.to.iter().map(|to| quoted(to)).collect();
    // sendmail(1) takes `<>` for the null reverse-path, and -i: a line with a dot alone is no end.
    let from = match draft.from.as_str() {
        "" => "<>",
        from => from,
    };
    (hand.tell)(&format!(
        "sendmail -i -f {} -- {} < {}  # {case}",
        quoted(from),
        recipients.join(" "),
        quoted(&file.to_string_lossy()),
    ));
    Ok(())
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn who_sends_by_hand_is_told_a_whole_command() {
        let directory = tempfile::tempdir().expect("a directory");
        let told = Arc::new(Mutex::new(String::new()));
        let heard = told.clone();
        let hand = ByHand {
            directory: directory.path().to_owned(),
            wait: Duration::from_secs(1),
            tell: Arc::new(move |line| *heard.lock().expect("no panic") = line.to_owned()),
        };
        let draft = Draft {
            from: String::new(),
            to: vec!["\"o'hara\"@x.example".into()],
            parameters: Vec::new(),
            recipient_parameters: Vec::new(),
            content: b"X: 1\r\n\r\n".to_vec(),
            needs: Vec::new(),
            chunked: false,
            scripts: Vec::new(),
        };
        by_hand(&hand, "client/x", "t1", &draft).expect("written");
        let line = told.lock().expect("no panic").clone();
        assert!(
            line.starts_with(r#"sendmail -i -f '<>' -- '"o'\''hara"@x.example' < "#),
            "{line}"
        );
        assert_eq!(
            std::fs::read(directory.path().join("t1.eml")).expect("there"),
            draft.content
        );
        let with_parameter = draft.parameter("SMTPUTF8", "SMTPUTF8");
        assert!(by_hand(&hand, "client/x", "t1", &with_parameter).is_err());
    }
}
