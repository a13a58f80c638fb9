//! The test's server: its receiving side, which is of no interest.

use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Mail, Shared, sending};
use crate::workload::dialogue::unstuff;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    // Dropped with this task: then nothing is sent any more.
    let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let queue = queue.clone();
                tasks.spawn(async move {
                    let _ = session(stream, &queue).await;
                });
            }
            Some(mail) = queued.recv() => {
                tasks.spawn(sending::send(shared.clone(), mail));
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn session(
    stream: TcpStream,
    queue: &tokio::sync::mpsc::UnboundedSender<Mail>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut io = BufReader::new(stream);
    io.write_all(b"220 test.example ESMTP\r\n").await?;
    let mut mail = empty();
    loop {
        let mut line = String::new();
        if io.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        let verb = line.get(..4).unwrap_or_default().to_owned();
        let reply = match verb.as_str() {
            "EHLO" => {
                "250-test.example\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n250 BINARYMIME"
            }
            "MAIL" => {
                mail = empty();
                (mail.from, mail.parameters) = path(&line);
                "250 ok"
            }
            "RCPT" => {
                mail.to.push(path(&line));
                "250 ok"
            }
            "DATA" => {
                io.write_all(b"354 go on\r\n").await?;
                let mut wire = Vec::new();
                loop {
                    let from = wire.len();
                    if io.read_until(b'\n', &mut wire).await? == 0 {
                        return Ok(());
                    }
                    if &wire[from..] == b".\r\n" {
                        wire.truncate(from);
                        break;
                    }
                }
                mail.content = unstuff(&wire);
                let _ = queue.send(mail.clone());
                "250 taken"
            }
            "BDAT" => {
                let size = line.split(' ').nth(1).and_then(|size| size.parse().ok());
                mail.content = vec![0; size.unwrap_or(0)];
                io.read_exact(&mut mail.content).await?;
                let _ = queue.send(mail.clone());
                "250 taken"
            }
            "QUIT" => {
                io.write_all(b"221 bye\r\n").await?;
                return io.shutdown().await;
            }
            _ => "250 ok",
        };
        io.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

fn empty() -> Mail {
    Mail {
        from: String::new(),
        parameters: Vec::new(),
        to: Vec::new(),
        content: Vec::new(),
        own: false,
    }
}

/// The cases' paths have no `>` within quotes.
fn path(line: &str) -> (String, Vec<String>) {
    let (_, behind) = line.split_once('<').unwrap_or_default();
    let (path, parameters) = behind.split_once('>').unwrap_or_default();
    let parameters = parameters.split_ascii_whitespace().map(str::to_owned);
    (path.to_owned(), parameters.collect())
}
