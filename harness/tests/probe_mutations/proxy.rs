//! A proxy that speaks for a server, and lies for it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// What the proxy changes. Lines have their line ends.
#[derive(Clone, Copy)]
pub(crate) struct Lies {
    /// A reply's line, after this command (upper case, without CRLF; `.` after the end of data, empty for the greeting).
    pub(crate) reply: fn(&str, &str) -> String,
    /// A command's line.
    pub(crate) command: fn(&str) -> String,
    /// A line of content.
    pub(crate) content: fn(&[u8]) -> Vec<u8>,
    /// A connection that ends within the content is given an end of data.
    pub(crate) completes_cut_content: bool,
    /// A piece of a line is taken for a line.
    pub(crate) pieces_are_lines: bool,
    /// When the server closes the connection, the client is not told.
    pub(crate) stays_open: bool,
}

impl Lies {
    /// Changes nothing.
    pub(crate) const NONE: Self = Self {
        reply: |_, line| line.to_owned(),
        command: str::to_owned,
        content: <[u8]>::to_vec,
        completes_cut_content: false,
        pieces_are_lines: false,
        stays_open: false,
    };
}

#[derive(Default)]
struct State {
    command: String,
    in_data: bool,
    /// The client's HELO or EHLO was answered.
    greeted: bool,
}

/// Listens on a port of its own, and passes on to `upstream`. Lives as long as the process.
pub(crate) fn start(upstream: String, lies: Lies) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&upstream) else {
                continue;
            };
            let state = Arc::new(Mutex::new(State::default()));
            let (to_server, from_client) = (clone(&server), clone(&client));
            let shared = state.clone();
            std::thread::spawn(move || up(from_client, to_server, &shared, lies));
            std::thread::spawn(move || down(server, client, &state, lies));
        }
    });
    address
}

fn clone(stream: &TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream.try_clone().expect("a second handle")
}

/// From the client to the server.
fn up(mut client: TcpStream, mut server: TcpStream, state: &Mutex<State>, lies: Lies) {
    let mut rest = Vec::new();
    let mut octets = [0; 16 * 1024];
    while let Ok(read @ 1..) = client.read(&mut octets) {
        rest.extend_from_slice(&octets[..read]);
        if lies.pieces_are_lines && !rest.ends_with(b"\n") {
            rest.extend_from_slice(b"\r\n");
        }
        while let Some(end) = rest.iter().position(|o| *o == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let changed = {
                let mut state = state.lock().expect("no panic");
                if !state.in_data {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    state.command = text.trim_end_matches(['\r', '\n']).to_uppercase();
                    // What is not UTF-8 is passed on as it is.
                    match std::str::from_utf8(&line) {
                        Ok(line) => (lies.command)(line).into_bytes(),
                        Err(_) => line,
                    }
                } else if line == b".\r\n" {
                    state.in_data = false;
                    state.command = ".".into();
                    line
                } else {
                    (lies.content)(&line)
                }
            };
            if server.write_all(&changed).is_err() {
                return;
            }
        }
    }
    let _ = server.write_all(&rest);
    let mut state = state.lock().expect("no panic");
    if state.in_data && lies.completes_cut_content {
        state.command = ".".into();
        let _ = server.write_all(b"\r\n.\r\n");
    }
    drop(state);
    let _ = server.shutdown(Shutdown::Write);
}

/// From the server to the client.
fn down(mut server: TcpStream, mut client: TcpStream, state: &Mutex<State>, lies: Lies) {
    let mut rest = Vec::new();
    let mut octets = [0; 16 * 1024];
    while let Ok(read @ 1..) = server.read(&mut octets) {
        rest.extend_from_slice(&octets[..read]);
        while let Some(end) = rest.iter().position(|o| *o == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).into_owned();
            let changed = {
                let mut state = state.lock().expect("no panic");
                let before = if state.greeted { "" } else { "(before EHLO) " };
                let hello = state.command.starts_with("EHLO") || state.command.starts_with("HELO");
                let changed = (lies.reply)(&format!("{before}{}", state.command), &line);
                state.greeted |= hello && line.starts_with("250 ");
                state.in_data |= changed.starts_with("354") && state.command.starts_with("DATA");
                changed
            };
            if client.write_all(changed.as_bytes()).is_err() {
                return;
            }
        }
    }
    if lies.stays_open {
        // Until the client goes.
        let _ = client.read_to_end(&mut Vec::new());
    }
    let _ = client.shutdown(Shutdown::Both);
}
