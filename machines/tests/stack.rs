//! Two hosts on a switch, and a connection that goes through both: half-closed, reset, refused, cut. No guest is needed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::{Duration, Instant},
};

use gauntlet_machines::{
    stack::Stack,
    switch::{Effect, Host, Switch},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const A: Host = Host(1);
const B: Host = Host(2);
const PORT: u16 = 25;
const LIMIT: Duration = Duration::from_secs(20);

struct Pair {
    switch: Switch,
    a: Stack,
    #[expect(dead_code, reason = "it is gone when it is dropped")]
    b: Stack,
    /// Where what comes to B's port ends.
    server: TcpListener,
}

fn address(host: Host) -> Ipv4Addr {
    let number = u8::try_from(host.0).expect("small");
    Ipv4Addr::new(10, 77, 0, number)
}

fn stack(switch: &Switch, host: Host) -> Stack {
    let number = u8::try_from(host.0).expect("small");
    Stack::start(switch, host, [2, 0, 0, 0, 0, number], address(host), 16)
}

async fn pair() -> Pair {
    let switch = Switch::new(1);
    let (a, b) = (stack(&switch, A), stack(&switch, B));
    let server = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let target = server.local_addr().expect("an address");
    b.expose(
        PORT,
        Arc::new(move |peer| (peer == address(A)).then_some(target)),
    );
    Pair {
        switch,
        a,
        b,
        server,
    }
}

impl Pair {
    fn door(&self, port: u16) -> SocketAddr {
        self.a
            .door(SocketAddrV4::new(address(B), port))
            .expect("a door")
    }

    async fn connected(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.door(PORT)).await.expect("a door");
        let (server, _) = within(self.server.accept()).await.expect("a connection");
        (client, server)
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_arrive_as_they_were_sent_and_half_closed_connections_stay_so() {
    let pair = pair().await;
    let (mut client, mut server) = pair.connected().await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let sending = tokio::spawn(async move {
        client.write_all(&copy).await.expect("written");
        client.shutdown().await.expect("half closed");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("read");
        answer
    });
    let mut received = Vec::new();
    within(server.read_to_end(&mut received))
        .await
        .expect("read to the end");
    assert!(
        received == sent,
        "{} of {} octets",
        received.len(),
        sent.len()
    );
    server
        .write_all(b"250 after the end")
        .await
        .expect("the other half is open");
    drop(server);
    assert_eq!(
        within(sending).await.expect("no panic"),
        "250 after the end"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_a_reset_on_the_other_side() {
    let pair = pair().await;
    let (mut client, server) = pair.connected().await;
    server.set_zero_linger().expect("set");
    drop(server);
    let end = within(client.read_u8()).await.expect_err("reset");
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);

    let (client, mut server) = pair.connected().await;
    client.set_zero_linger().expect("set");
    drop(client);
    let end = within(server.read_u8()).await.expect_err("reset");
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_not_exposed_refuses_at_once_and_a_host_that_is_cut_off_later() {
    let pair = pair().await;
    // The reset may be faster than the connect.
    let ends = async |port| {
        let mut stream = TcpStream::connect(pair.door(port)).await?;
        stream.read_u8().await
    };
    let begun = Instant::now();
    within(ends(PORT + 1)).await.expect_err("nobody listens");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );

    let cut = pair.switch.rule(A, B, Effect::Cut);
    let begun = Instant::now();
    within(ends(PORT)).await.expect_err("no answer");
    assert!(
        begun.elapsed() > Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    drop(cut);
    let _ = pair.connected().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_or_lost_on_the_way_is_sent_again() {
    let pair = pair().await;
    let (mut client, mut server) = pair.connected().await;
    let lossy = pair.switch.rule(A, B, Effect::Lose(0.03));
    let sent = vec![b'x'; 100_000];
    let copy = sent.clone();
    let sending = tokio::spawn(async move {
        client.write_all(&copy).await.expect("written");
        client
    });
    let mut received = vec![0; sent.len()];
    let begun = Instant::now();
    timeout(3 * LIMIT, server.read_exact(&mut received))
        .await
        .expect("in time")
        .expect("read");
    eprintln!("100 kB through a loss of 3 % in {:?}", begun.elapsed());
    assert!(received == sent);
    drop(lossy);
    let mut client = within(sending).await.expect("no panic");

    let cut = pair.switch.rule(B, A, Effect::Cut);
    client.write_all(b"?").await.expect("written");
    assert_eq!(
        within(server.read_u8()).await.expect("that way is open"),
        b'?'
    );
    server.write_all(b"!").await.expect("written");
    let silent = timeout(Duration::from_millis(300), client.read_u8()).await;
    assert!(silent.is_err(), "the other is cut");
    drop(cut);
    assert_eq!(within(client.read_u8()).await.expect("healed"), b'!');
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_at_once_are_all_taken() {
    let pair = pair().await;
    let door = pair.door(PORT);
    let clients: Vec<_> = (0..60)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = TcpStream::connect(door).await?;
                client.read_u8().await
            })
        })
        .collect();
    let server = pair.server;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let _ = stream.write_all(b"2").await;
        }
    });
    for client in clients {
        let greeted = within(client).await.expect("no panic");
        assert_eq!(greeted.expect("greeted"), b'2');
    }
}
