//! Toxics at work between real sockets, on a proxy that nobody watches.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{Direction, LinkState, Proxy, Target, proxy::bind_loopback};
use crate::toxics::{Kind, Stream, Toxic};

struct Between {
    proxy: Proxy,
    listener: TcpListener,
}

async fn between(toxics: &[Toxic]) -> Between {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let target = Target::Address(listener.local_addr().expect("it is bound"));
    let mut state = LinkState::default();
    let toxics: Vec<&Toxic> = toxics.iter().collect();
    state.toxics.become_these(&toxics);
    let own = bind_loopback().expect("a free port");
    let proxy = Proxy::unobserved(own, target, state, Arc::default(), 1).expect("it listens");
    Between { proxy, listener }
}

impl Between {
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.address())
            .await
            .expect("the proxy listens");
        let (server, _) = self.listener.accept().await.expect("the proxy dials");
        (client, server)
    }

    fn add(&self, kind: Kind, stream: Stream) {
        let toxic = Toxic::new(kind, stream);
        self.proxy
            .change(|state| state.toxics.add(toxic).expect("the first of its name"));
    }

    fn clear(&self) {
        self.proxy.change(|state| state.toxics.clear());
    }
}

async fn expect(stream: &mut TcpStream, text: &str) {
    let mut read = vec![0; text.len()];
    stream.read_exact(&mut read).await.expect("octets come");
    assert_eq!(String::from_utf8_lossy(&read), text);
}

async fn expect_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0; 10]).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

async fn expect_end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0; 10]).await.expect("an end"), 0);
}

const SILENCE: Duration = Duration::from_millis(60);

async fn expect_silence(stream: &mut TcpStream) {
    let read = timeout(SILENCE, stream.read(&mut [0; 10])).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_toxic_acts_on_open_connections_and_lets_go_when_it_is_removed() {
    let link = between(&[]).await;
    let (mut client, mut server) = link.pair().await;
    client.write_all(b"one").await.expect("written");
    expect(&mut server, "one").await;
    link.add(
        Kind::Latency {
            latency: 3_600_000,
            jitter: 0,
        },
        Stream::Upstream,
    );
    client.write_all(b"two").await.expect("written");
    expect_silence(&mut server).await;
    server.write_all(b"other way").await.expect("written");
    expect(&mut client, "other way").await;
    link.proxy.change(|state| {
        state.toxics.change("latency_upstream", |toxic| {
            toxic.kind = Kind::Latency {
                latency: 100,
                jitter: 0,
            };
        });
    });
    expect(&mut server, "two").await;
    let begun = Instant::now();
    client.write_all(b"three").await.expect("written");
    expect(&mut server, "three").await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
    link.clear();
    client.write_all(b"four").await.expect("written");
    expect(&mut server, "four").await;
}

#[tokio::test]
async fn a_limit_passes_exactly_so_many_octets_and_closes_in_order() {
    let limit = Toxic::new(Kind::LimitData { bytes: 70_001 }, Stream::Downstream);
    let link = between(&[limit]).await;
    let (mut client, server) = link.pair().await;
    let (mut reads, mut writes) = server.into_split();
    // Its write fails when the connection is closed under it.
    let writing = tokio::spawn(async move { writes.write_all(&vec![b'x'; 4_000_000]).await });
    let mut came = Vec::new();
    client.read_to_end(&mut came).await.expect("no reset");
    assert_eq!(came.len(), 70_001);
    let _ = writing.await.expect("no panic");
    let mut rest = Vec::new();
    let _ = reads.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn reset_peer_is_a_reset_on_both_sides() {
    let link = between(&[]).await;
    let (mut client, mut server) = link.pair().await;
    link.add(Kind::ResetPeer { timeout: 0 }, Stream::Upstream);
    expect_silence(&mut client).await;
    client.write_all(b"a").await.expect("written");
    expect_reset(&mut client).await;
    expect_reset(&mut server).await;
}

#[tokio::test]
async fn timeout_drops_what_comes_and_closes() {
    let link = between(&[]).await;
    let (mut client, mut server) = link.pair().await;
    link.add(Kind::Timeout { timeout: 0 }, Stream::Upstream);
    client.write_all(b"lost").await.expect("written");
    expect_silence(&mut server).await;
    link.clear();
    expect_end(&mut server).await;
    expect_end(&mut client).await;

    let (mut client, mut server) = link.pair().await;
    link.add(Kind::Timeout { timeout: 30 }, Stream::Downstream);
    expect_end(&mut client).await;
    expect_end(&mut server).await;
}

#[tokio::test]
async fn a_half_close_passes_and_slow_close_holds_it() {
    let slow = Toxic::new(Kind::SlowClose { delay: 100 }, Stream::Upstream);
    for (toxics, least) in [(vec![], 0), (vec![slow], 100)] {
        let link = between(&toxics).await;
        let (mut client, mut server) = link.pair().await;
        let begun = Instant::now();
        client.write_all(b"ask").await.expect("written");
        client.shutdown().await.expect("half closed");
        expect(&mut server, "ask").await;
        expect_end(&mut server).await;
        assert!(begun.elapsed() >= Duration::from_millis(least));
        server
            .write_all(b"answer")
            .await
            .expect("the other half is open");
        drop(server);
        expect(&mut client, "answer").await;
        expect_end(&mut client).await;
    }
}

/// Content whose every piece is another one.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 65_521 % 251) as u8).collect()
}

#[tokio::test]
async fn bulk_is_whole_whatever_is_added_and_removed_under_way() {
    let link = between(&[]).await;
    let (mut client, server) = link.pair().await;
    let sent = content(24_000_000);
    let (mut reads, mut writes) = server.into_split();
    let back = sent.clone();
    let writing = tokio::spawn(async move {
        writes.write_all(&back).await.expect("written");
        writes.shutdown().await.expect("half closed");
        writes
    });
    let disturb = async {
        for round in 0..12 {
            tokio::time::sleep(Duration::from_millis(4)).await;
            match round % 4 {
                0 => link.add(
                    Kind::Latency {
                        latency: 5,
                        jitter: 3,
                    },
                    Stream::Downstream,
                ),
                1 => link.add(
                    Kind::Slicer {
                        average_size: 9000,
                        size_variation: 100,
                        delay: 10,
                    },
                    Stream::Downstream,
                ),
                2 => link.add(Kind::Bandwidth { rate: 100_000 }, Stream::Downstream),
                _ => link.clear(),
            }
        }
        link.clear();
    };
    let mut came = Vec::new();
    let (read, ()) = tokio::join!(client.read_to_end(&mut came), disturb);
    read.expect("an end");
    assert!(came == sent, "{} of {} octets", came.len(), sent.len());
    let _writes = writing.await.expect("written");
    // The other direction is open still.
    client.write_all(b"bye").await.expect("written");
    drop(client);
    let mut rest = Vec::new();
    reads.read_to_end(&mut rest).await.expect("an end");
    assert_eq!(rest, b"bye");
}

#[tokio::test]
async fn a_bandwidth_slows_the_sender_down() {
    let rate = Toxic::new(Kind::Bandwidth { rate: 1000 }, Stream::Upstream);
    let link = between(&[rate]).await;
    let (mut client, mut server) = link.pair().await;
    let begun = Instant::now();
    let writing = tokio::spawn(async move {
        client.write_all(&content(200_000)).await.expect("written");
        client.shutdown().await.expect("half closed");
        client
    });
    let mut came = Vec::new();
    server.read_to_end(&mut came).await.expect("an end");
    assert!(came == content(200_000));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    drop(writing.await.expect("written"));
}

#[tokio::test]
async fn a_black_hole_of_one_way_leaves_the_other_open_for_good() {
    let link = between(&[]).await;
    let (mut client, mut server) = link.pair().await;
    link.proxy
        .change(|state| state.to_server.set_black_hole(true));
    client.write_all(b"lost").await.expect("written");
    server.write_all(b"heard").await.expect("written");
    expect(&mut client, "heard").await;
    link.proxy.change(LinkState::heal);
    client.write_all(b"lost").await.expect("written");
    expect_silence(&mut server).await;
    server.write_all(b"heard").await.expect("written");
    expect(&mut client, "heard").await;
    client.set_zero_linger().expect("set");
    drop(client);
    // The reset is lost as well.
    expect_silence(&mut server).await;
}

#[tokio::test]
async fn a_stopped_proxy_refuses_and_has_closed_everything() {
    let link = between(&[]).await;
    let (mut client, mut server) = link.pair().await;
    client.write_all(b"one").await.expect("written");
    expect(&mut server, "one").await;
    let address = link.proxy.address();
    link.proxy.stop().await;
    expect_end(&mut client).await;
    expect_end(&mut server).await;
    let error = TcpStream::connect(address).await.expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn toxics_and_taps_mean_the_same_directions() {
    assert_eq!(Stream::from(Direction::ToServer), Stream::Upstream);
    assert_eq!(Stream::from(Direction::ToClient), Stream::Downstream);
}
