//! The proxy beside a direct loopback connection, in one run: octets per second, and the time of a round trip, at 1, 10 and
//! 100 connections. `cargo bench -p gauntlet --bench proxy [-- ROUNDS]`
//!
//! Both ways are measured in turns, so that whatever else the machine does strikes both; what is shown is the median of
//! the rounds. Threads with blocking sockets on both sides; the proxy has a runtime as `gauntlet proxy` has it.
//! `observed` is the tap of `--on process`, which reads the SMTP that passes; it is asked for a plain greeting and nothing else.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gauntlet::{
    history::Recorder,
    tap::{Board, LinkState, Proxy, Target},
};

const CONNECTIONS: [usize; 3] = [1, 10, 100];
const WARM: Duration = Duration::from_millis(150);
const SPAN: Duration = Duration::from_millis(600);

/// Octets of a question, and of its answer: about what an SMTP command has.
const QUESTION: usize = 32;

fn main() {
    // `cargo bench` and `cargo test` give flags of their own.
    let rounds = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let rounds: usize = rounds.unwrap_or(5);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let sink = serve(swallow);
    let echo = serve(answer);
    let _guard = runtime.enter();
    let (to_sink, to_echo) = (unobserved(sink), unobserved(echo));
    let board = Board::new(Arc::new(Recorder::in_memory()), &[]).expect("no triggers");
    let observed = Proxy::start(board.link("client-1", "n1"), Some(echo), 1).expect("a port");

    println!("median of {rounds} rounds");
    println!(
        "{:>11}  {:>12}  {:>12}  {:>6}",
        "connections", "direct MB/s", "proxy MB/s", "share"
    );
    for connections in CONNECTIONS {
        let (mut direct, mut proxied) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            direct.push(throughput(sink, connections));
            proxied.push(throughput(to_sink.address(), connections));
        }
        let (direct, proxied) = (middle(&mut direct), middle(&mut proxied));
        println!(
            "{connections:>11}  {direct:>12.0}  {proxied:>12.0}  {:>5.0}%",
            proxied / direct * 100.0
        );
    }
    for (title, load) in [
        (
            "round trips, one at a time over all connections, µs",
            one_at_a_time as Load,
        ),
        (
            "round trips, all connections at once, µs",
            all_at_once as Load,
        ),
    ] {
        println!("\n{title}");
        println!(
            "{:>11}  {:>18}  {:>18}  {:>18}  {:>16}",
            "connections",
            "direct p50 / p99",
            "proxy p50 / p99",
            "observed p50 / p99",
            "added p50 / p99"
        );
        for connections in CONNECTIONS {
            let ways = [echo, to_echo.address(), observed.address()];
            let mut times: [(Vec<f64>, Vec<f64>); 3] = Default::default();
            for _ in 0..rounds {
                for (way, (half, most)) in ways.iter().zip(&mut times) {
                    let mut taken = load(*way, connections);
                    taken.sort_unstable();
                    half.push(at(&taken, 50));
                    most.push(at(&taken, 99));
                }
            }
            let [direct, proxy, observed] =
                times.map(|(mut half, mut most)| (middle(&mut half), middle(&mut most)));
            let pair = |(half, most): (f64, f64)| format!("{half:.1} / {most:.1}");
            let added = (proxy.0 - direct.0, proxy.1 - direct.1);
            println!(
                "{connections:>11}  {:>18}  {:>18}  {:>18}  {:>16}",
                pair(direct),
                pair(proxy),
                pair(observed),
                pair(added)
            );
        }
    }
    drop((to_sink, to_echo, observed));
    runtime.shutdown_timeout(Duration::from_secs(1));
}

type Load = fn(SocketAddr, usize) -> Vec<Duration>;

fn unobserved(target: SocketAddr) -> Proxy {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("set");
    let listener = tokio::net::TcpListener::from_std(listener).expect("in a runtime");
    let state = LinkState::default();
    Proxy::unobserved(listener, Target::Address(target), state, Arc::default(), 1)
        .expect("it listens")
}

/// A thread for each connection.
fn serve(with: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("set");
            std::thread::spawn(move || with(stream));
        }
    });
    address
}

/// How many octets sinks have taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);

fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        TAKEN.fetch_add(length as u64, Ordering::Relaxed);
    }
}

fn answer(mut stream: TcpStream) {
    let mut buffer = [0; QUESTION];
    while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_nodelay(true).expect("set");
    stream
}

/// Megabytes per second that arrive.
fn throughput(to: SocketAddr, connections: usize) -> f64 {
    let over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..connections)
        .map(|_| {
            let (mut stream, over) = (connect(to), over.clone());
            std::thread::spawn(move || {
                let content = vec![b'x'; 256 * 1024];
                while !over.load(Ordering::Relaxed) && stream.write_all(&content).is_ok() {}
            })
        })
        .collect();
    std::thread::sleep(WARM);
    let (before, begun) = (TAKEN.load(Ordering::Relaxed), Instant::now());
    std::thread::sleep(SPAN);
    let taken = TAKEN.load(Ordering::Relaxed) - before;
    let rate = taken as f64 / begun.elapsed().as_secs_f64() / 1e6;
    over.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().expect("no panic");
    }
    // What is under way must not count for the next one.
    std::thread::sleep(WARM);
    rate
}

fn round_trip(stream: &mut TcpStream, buffer: &mut [u8; QUESTION]) -> Duration {
    let begun = Instant::now();
    stream.write_all(buffer).expect("written");
    stream.read_exact(buffer).expect("it comes back");
    begun.elapsed()
}

/// A line of letters: to an observer one long command line that never ends.
const LINE: [u8; QUESTION] = [b'x'; QUESTION];

fn one_at_a_time(to: SocketAddr, connections: usize) -> Vec<Duration> {
    let mut streams: Vec<TcpStream> = (0..connections).map(|_| connect(to)).collect();
    let mut buffer = LINE;
    for stream in &mut streams {
        round_trip(stream, &mut buffer);
    }
    let (begun, mut taken) = (Instant::now(), Vec::new());
    while begun.elapsed() < SPAN {
        for stream in &mut streams {
            taken.push(round_trip(stream, &mut buffer));
        }
    }
    taken
}

fn all_at_once(to: SocketAddr, connections: usize) -> Vec<Duration> {
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let mut stream = connect(to);
            std::thread::spawn(move || {
                let (mut buffer, mut taken) = (LINE, Vec::new());
                let begun = Instant::now();
                while begun.elapsed() < SPAN {
                    taken.push(round_trip(&mut stream, &mut buffer));
                }
                taken
            })
        })
        .collect();
    let taken = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"));
    taken.flatten().collect()
}

/// Microseconds.
fn at(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e6
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
