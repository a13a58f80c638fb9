//! A next hop outside: refuses recipients that begin with `no`, keeps the other mail. It is strict about order,
//! and takes the session's first connection only once it is open.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

pub(crate) struct Sink {
    address: String,
    open: Arc<AtomicBool>,
    mail: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    /// A closed one: it ends every connection.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (open, mail) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(Vec::new())),
        );
        let (opened, kept) = (open.clone(), mail.clone());
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if opened.load(Ordering::SeqCst) {
                    let kept = kept.clone();
                    // A client that breaks off ends its session, nothing else.
                    thread::spawn(move || serve(stream, &kept).ok());
                }
            }
        });
        Self {
            address,
            open,
            mail,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// Contents that it has taken.
    pub(crate) fn mail(&self) -> Vec<String> {
        self.mail.lock().expect("no panic under the lock").clone()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 sink\r\n")?;
    let (mut open, mut recipients) = (false, 0);
    let mut line = String::new();
    while {
        line.clear();
        reader.read_line(&mut line)?
    } > 0
    {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-sink\r\n250 8BITMIME\r\n",
            "MAIL" if open => "503 5.5.1 a transaction is open\r\n",
            "MAIL" => {
                (open, recipients) = (true, 0);
                "250 ok\r\n"
            }
            "RCPT" if line.contains("<no") => "550 5.1.1 nobody of that name\r\n",
            "RCPT" => {
                recipients += 1;
                "250 ok\r\n"
            }
            "DATA" if recipients == 0 => "554 5.5.1 no valid recipients\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let mut content = String::new();
                while !content.ends_with("\r\n.\r\n") && reader.read_line(&mut content)? > 0 {}
                kept.lock().expect("no panic under the lock").push(content);
                open = false;
                "250 2.0.0 taken\r\n"
            }
            "RSET" => {
                open = false;
                "250 ok\r\n"
            }
            "QUIT" => return Ok(()),
            _ => "500 5.5.2 what?\r\n",
        };
        stream.write_all(reply.as_bytes())?;
    }
    Ok(())
}
