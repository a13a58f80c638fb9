//! What TCP makes of the faults of hosts and links.

use std::future::Future;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::*;
use crate::{
    history::{Event, Recorder, Wire},
    scenario::{Step, Trigger},
    sim::run_in_sim,
};

const DAY: Duration = Duration::from_secs(86_400);
const SHORT: Duration = Duration::from_secs(5);

/// A network on which `n1` may connect to `n2`.
struct Net {
    network: Arc<SimNetwork>,
    recorder: Arc<Recorder>,
    board: Arc<Board>,
}

impl Net {
    fn new(triggers: &[Trigger]) -> Self {
        let recorder = Arc::new(Recorder::in_memory());
        let board = Board::new(recorder.clone(), triggers).expect("good triggers");
        let network = SimNetwork::new(7, board.clone());
        Self {
            network,
            recorder,
            board,
        }
    }

    /// Both ends of a new connection, and the listener.
    async fn pair(&self) -> (BoxStream, BoxStream, SimListener) {
        let mut listener = self.network.listen("n2").expect("nobody listens yet");
        let (client, server) = self.join(&mut listener).await;
        (client, server, listener)
    }

    async fn join(&self, listener: &mut SimListener) -> (BoxStream, BoxStream) {
        let client = self
            .network
            .connect("n1", "n2")
            .await
            .expect("a connection");
        let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
        assert_eq!(accepted.1, "n1");
        (client, Box::new(accepted.0))
    }

    fn wires(&self) -> Vec<String> {
        let text = |wire: &Wire| match wire {
            Wire::ConnectFailed { error } => format!("failed: {error}"),
            Wire::Close { by, reset } => {
                format!("close by {by}{}", if *reset { " (reset)" } else { "" })
            }
            Wire::Command { line, .. } => line.clone(),
            other => format!("{other:?}"),
        };
        let wire = |event: &Event| match event {
            Event::Wire {
                link,
                connection,
                wire,
            } => Some(format!("{link} {connection} {}", text(wire))),
            _ => None,
        };
        self.recorder
            .with_records(|all| all.iter().filter_map(|r| wire(&r.event)).collect())
    }
}

fn sim(test: impl Future<Output = ()>) {
    run_in_sim(test).expect("a runtime");
}

async fn kind<T: fmt::Debug>(result: impl Future<Output = io::Result<T>>) -> io::ErrorKind {
    result.await.expect_err("an error").kind()
}

async fn line(stream: &mut BoxStream, length: usize) -> String {
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).await.expect("octets");
    String::from_utf8(octets).expect("text")
}

async fn silent(stream: &mut BoxStream, time: Duration) {
    let read = timeout(time, stream.read_u8()).await;
    assert!(read.is_err(), "{read:?} came");
}

#[test]
fn octets_arrive_in_order_after_the_latency_and_then_the_end() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, _listener) = net.pair().await;
        let sent = Instant::now();
        client.write_all(b"EHLO ").await.expect("a write");
        client.write_all(b"n1\r\n").await.expect("a write");
        assert_eq!(line(&mut server, 8).await, "EHLO n1\r");
        let latency = sent.elapsed();
        assert!((1..=2).contains(&latency.as_millis()), "{latency:?}");
        client.shutdown().await.expect("a shutdown");
        assert_eq!(line(&mut server, 1).await, "\n");
        assert_eq!(server.read(&mut [0; 9]).await.expect("the end"), 0);
        // Half closed: the other direction still works.
        server.write_all(b"250").await.expect("a write");
        drop(server);
        assert_eq!(line(&mut client, 3).await, "250");
        assert_eq!(client.read(&mut [0; 9]).await.expect("the end"), 0);
        assert_eq!(
            kind(client.write_all(b"x")).await,
            io::ErrorKind::BrokenPipe
        );
        assert_eq!(
            net.wires(),
            [
                "n1>n2 1 Connect",
                "n1>n2 1 EHLO n1",
                "n1>n2 1 close by client"
            ]
        );
    });
}

#[test]
fn a_window_that_is_full_makes_the_writer_wait() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, _listener) = net.pair().await;
        let octets = vec![b'a'; super::super::pipe::WINDOW + 10];
        assert!(timeout(DAY, client.write_all(&octets)).await.is_err());
        let (wrote, read) = tokio::join!(client.write_all(&octets), async {
            server
                .read_exact(&mut vec![0; 2 * super::super::pipe::WINDOW])
                .await
        });
        wrote.expect("a write");
        read.expect("a read");
    });
}

#[test]
fn nobody_listens_is_refused_after_a_round_trip() {
    sim(async {
        let net = Net::new(&[]);
        let begun = Instant::now();
        assert_eq!(
            kind(net.network.clone().open("n1".into(), "n2".into())).await,
            io::ErrorKind::ConnectionRefused
        );
        assert!((2..=4).contains(&begun.elapsed().as_millis()));
        let _listener = net.network.listen("n2").expect("a listener");
        assert_eq!(
            net.network.listen("n2").expect_err("taken").kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(net.wires(), ["n1>n2 1 failed: refused"]);
    });
}

#[test]
fn a_partition_holds_back_and_gives_after_healing() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, mut listener) = net.pair().await;
        client.write_all(b"before").await.expect("a write");
        sleep(SHORT).await;
        client.write_all(b"flight").await.expect("a write");
        net.network.partition("n2", "n1", false);
        client.write_all(b"during").await.expect("a write");
        server.write_all(b"answer").await.expect("a write");
        assert_eq!(
            line(&mut server, 6).await,
            "before",
            "what had arrived is there"
        );
        let attempt = net.network.connect("n1", "n2");
        let mut attempt = tokio::spawn(attempt);
        silent(&mut server, DAY).await;
        silent(&mut client, DAY).await;
        assert!(timeout(DAY, &mut attempt).await.is_err());

        net.network.heal_partition("n1", "n2", false);
        let healed = Instant::now();
        client.write_all(b"after").await.expect("a write");
        assert_eq!(line(&mut server, 17).await, "flightduringafter");
        assert_eq!(line(&mut client, 6).await, "answer");
        assert!(healed.elapsed() < SHORT);
        attempt
            .await
            .expect("no panic")
            .expect("the SYN is sent again");
        std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
    });
}

#[test]
fn a_one_way_partition_holds_back_one_direction() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, _listener) = net.pair().await;
        net.network.partition("n2", "n1", true);
        net.network.partition("n2", "n1", true);
        server.write_all(b"220").await.expect("a write");
        client.write_all(b"EHLO").await.expect("a write");
        assert_eq!(line(&mut server, 4).await, "EHLO");
        silent(&mut client, DAY).await;
        assert!(
            timeout(DAY, net.network.connect("n1", "n2")).await.is_err(),
            "no answer to the SYN"
        );
        net.network.partition("n1", "n2", false);
        net.network.heal_partition("n2", "n1", true);
        silent(&mut client, DAY).await;
        net.network.heal_partition("n1", "n2", false);
        assert_eq!(line(&mut client, 3).await, "220");
        assert_eq!(net.wires()[1..], ["n1>n2 2 failed: given up"]);
    });
}

#[test]
fn octets_that_arrive_after_healing_are_not_touched_by_a_short_partition() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, _listener) = net.pair().await;
        net.network.delay("n1>n2", DAY);
        client.write_all(b"slow").await.expect("a write");
        let sent = Instant::now();
        net.network.partition("n1", "n2", false);
        sleep(SHORT).await;
        net.network.heal_partition("n1", "n2", false);
        assert_eq!(line(&mut server, 4).await, "slow");
        let took = sent.elapsed();
        assert!(took >= DAY && took < DAY + SHORT, "{took:?}");
    });
}

#[test]
fn delay_adds_latency_until_it_is_taken_back() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, _listener) = net.pair().await;
        net.network.delay("n1>n2", SHORT);
        let begun = Instant::now();
        client.write_all(b"a").await.expect("a write");
        line(&mut server, 1).await;
        server.write_all(b"b").await.expect("a write");
        line(&mut client, 1).await;
        assert!(begun.elapsed() >= 2 * SHORT, "in each direction");
        net.network.delay("n1>n2", Duration::ZERO);
        let begun = Instant::now();
        client.write_all(b"a").await.expect("a write");
        line(&mut server, 1).await;
        assert!(begun.elapsed() < SHORT);
    });
}

#[test]
fn a_black_hole_eats_connections_for_good() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, mut listener) = net.pair().await;
        client.write_all(b"arrived").await.expect("a write");
        sleep(SHORT).await;
        client.write_all(b"eaten").await.expect("a write");
        net.network.black_hole("n1>n2", None);
        client.write_all(b"eaten").await.expect("a write");
        server.write_all(b"eaten").await.expect("a write");
        assert_eq!(line(&mut server, 7).await, "arrived");
        assert!(timeout(DAY, net.network.connect("n1", "n2")).await.is_err());
        net.network.heal_black_hole("n1>n2", None);
        net.join(&mut listener).await;
        silent(&mut server, DAY).await;
        silent(&mut client, DAY).await;
        drop(client);
        silent(&mut server, DAY).await;
    });
}

#[test]
fn a_reset_strikes_both_ends_of_open_connections() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, mut listener) = net.pair().await;
        server.write_all(b"220").await.expect("a write");
        net.network.reset("n1>n2");
        assert_eq!(
            line(&mut client, 3).await,
            "220",
            "octets on their way arrive first"
        );
        assert_eq!(kind(client.read_u8()).await, io::ErrorKind::ConnectionReset);
        assert_eq!(
            kind(client.write_u8(0)).await,
            io::ErrorKind::ConnectionReset
        );
        assert_eq!(kind(server.read_u8()).await, io::ErrorKind::ConnectionReset);
        net.join(&mut listener).await;
        assert_eq!(
            net.wires()[1..3],
            ["n1>n2 1 close by tap (reset)", "n1>n2 2 Connect"]
        );
    });
}

#[test]
fn a_process_crash_resets_its_connections() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, mut server, mut listener) = net.pair().await;
        server.write_all(b"250").await.expect("a write");
        net.network.process_crash("n2");
        assert_eq!(line(&mut client, 3).await, "250");
        assert_eq!(kind(client.read_u8()).await, io::ErrorKind::ConnectionReset);
        assert_eq!(
            kind(net.network.clone().open("n1".into(), "n2".into())).await,
            io::ErrorKind::ConnectionRefused
        );
        silent(&mut server, DAY).await;
        let accept = std::future::poll_fn(|cx| listener.poll_accept(cx));
        assert!(
            timeout(DAY, accept).await.is_err(),
            "a dead process sees nothing"
        );
        let mut listener = net.network.listen("n2").expect("a new process");
        net.join(&mut listener).await;
    });
}

#[test]
fn a_writer_that_waits_for_room_hears_of_a_crash() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, _server, _listener) = net.pair().await;
        let writer = tokio::spawn(async move { client.write_all(&[0; 1 << 20]).await });
        sleep(SHORT).await;
        net.network.process_crash("n2");
        let begun = Instant::now();
        assert_eq!(
            kind(async { writer.await.expect("no panic") }).await,
            io::ErrorKind::ConnectionReset
        );
        assert!(begun.elapsed() < SHORT);
    });
}

#[test]
fn a_host_crash_is_silence_until_the_host_is_back_and_spoken_to() {
    sim(async {
        let net = Net::new(&[]);
        let (mut talks, _s, mut listener) = net.pair().await;
        let (mut listens, _t) = net.join(&mut listener).await;
        let (mut sent, mut server) = net.join(&mut listener).await;
        server.write_all(b"250").await.expect("a write");
        net.network.host_crash("n2");
        sent.write_all(b"NOOP").await.expect("a write");
        assert_eq!(line(&mut sent, 3).await, "250", "it was on its way");
        silent(&mut sent, DAY).await;
        silent(&mut listens, DAY).await;
        let attempt = tokio::spawn(net.network.connect("n1", "n2"));
        sleep(DAY).await;

        net.network.host_up("n2");
        assert_eq!(kind(sent.read_u8()).await, io::ErrorKind::ConnectionReset);
        assert_eq!(
            kind(async { attempt.await.expect("no panic").map(drop) }).await,
            io::ErrorKind::ConnectionRefused
        );
        silent(&mut talks, DAY).await;
        talks.write_all(b"NOOP").await.expect("a write");
        assert_eq!(kind(talks.read_u8()).await, io::ErrorKind::ConnectionReset);
        silent(&mut listens, DAY).await;
    });
}

#[test]
fn octets_for_a_closed_end_are_answered_by_a_reset() {
    sim(async {
        let net = Net::new(&[]);
        let (mut client, server, _listener) = net.pair().await;
        drop(server);
        client.write_all(b"NOOP").await.expect("a write");
        sleep(SHORT).await;
        assert_eq!(
            kind(client.write_u8(0)).await,
            io::ErrorKind::ConnectionReset
        );
        drop(client);
        assert_eq!(
            net.network.with(|s| s.connections.len()),
            0,
            "nothing is kept"
        );
    });
}

fn trigger(before: bool) -> Trigger {
    Trigger {
        when: "n1>n2 connect".into(),
        nth: 1,
        before,
        action: Step::Freeze { node: "n1".into() },
        after: None,
        then: None,
        every: None,
        during: None,
    }
}

/// What the server has read when the client's process was ended by the NOOP that it wrote.
async fn struck(before: bool) -> usize {
    let net = Net::new(&[Trigger {
        when: "n1>n2 command NOOP".into(),
        ..trigger(before)
    }]);
    let (mut client, mut server, _listener) = net.pair().await;
    let network = net.network.clone();
    net.board
        .set_injector(Arc::new(move |_| network.process_crash("n1")));
    let wrote = timeout(SHORT, client.write_all(b"NOOP\r\n")).await;
    assert!(wrote.is_err(), "a dead process does not go on: {wrote:?}");
    let mut read = Vec::new();
    assert_eq!(
        kind(server.read_to_end(&mut read)).await,
        io::ErrorKind::ConnectionReset
    );
    net.board.set_injector(Arc::new(|_| ()));
    read.len()
}

#[test]
fn a_trigger_strikes_before_or_after_the_octets() {
    sim(async {
        assert_eq!(struck(true).await, 0);
        assert_eq!(struck(false).await, 6);
    });
}

#[test]
fn a_trigger_on_the_connect_ends_who_connects() {
    sim(async {
        let net = Net::new(&[trigger(true)]);
        let _listener = net.network.listen("n2").expect("a listener");
        let network = net.network.clone();
        net.board
            .set_injector(Arc::new(move |_| network.process_crash("n1")));
        assert!(timeout(DAY, net.network.connect("n1", "n2")).await.is_err());
        assert_eq!(
            net.wires(),
            ["n1>n2 1 Connect", "n1>n2 1 close by client (reset)"]
        );
    });
}

/// Three nodes whose pairs hold a short SMTP session every two minutes, for five days.
async fn heartbeats() -> (Vec<crate::history::Record>, u32) {
    const DIALOGUE: [(&[u8], &[u8]); 3] = [
        (b"EHLO n\r\n", b"250-n\r\n250 XPEER 00\r\n"),
        (b"XQDISCARD 0 100\r\n", b"250 2.0.0 cursor=0\r\n"),
        (b"QUIT\r\n", b"221 2.0.0 bye\r\n"),
    ];
    let net = Net::new(&[]);
    let hosts = ["n1", "n2", "n3"];
    for host in hosts {
        let mut listener = net.network.listen(host).expect("a listener");
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
                tokio::spawn(async move {
                    stream.write_all(b"220 n\r\n").await?;
                    for (command, reply) in DIALOGUE {
                        stream.read_exact(&mut [0; 64][..command.len()]).await?;
                        stream.write_all(reply).await?;
                    }
                    io::Result::Ok(())
                });
            }
        });
    }
    let mut sessions = tokio::task::JoinSet::new();
    for (n, host) in hosts.into_iter().enumerate() {
        let (network, to) = (net.network.clone(), hosts[(n + 1) % 3]);
        sessions.spawn(async move {
            let mut held = 0;
            for _ in 0..5 * 24 * 30 {
                sleep(Duration::from_secs(120)).await;
                let mut stream = network.connect(host, to).await?;
                stream.read_exact(&mut [0; 7]).await?;
                for (command, reply) in DIALOGUE {
                    stream.write_all(command).await?;
                    stream.read_exact(&mut [0; 64][..reply.len()]).await?;
                }
                held += 1;
            }
            io::Result::Ok(held)
        });
    }
    let mut held = 0;
    while let Some(session) = sessions.join_next().await {
        held += session.expect("no panic").expect("a whole session");
    }
    (net.recorder.records(), held)
}

#[test]
fn five_days_of_heartbeats_are_the_same_each_time() {
    let begun = std::time::Instant::now();
    let first = run_in_sim(heartbeats()).expect("a runtime");
    eprintln!("five days of heartbeats: {:?}", begun.elapsed());
    assert_eq!(first.1, 10_800);
    assert!(run_in_sim(heartbeats()).expect("a runtime") == first);
}
