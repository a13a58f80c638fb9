//! The proxy between real sockets.

use std::sync::Mutex;

use tokio::{io::AsyncWriteExt, time::Instant};

use super::*;
use crate::{
    history::{Event, Recorder, Wire},
    scenario::{Step, Trigger},
    tap::Board,
};

struct Link1 {
    proxy: Arc<Proxy>,
    board: Arc<Board>,
    listener: TcpListener,
}

async fn link(triggers: &[Trigger]) -> Link1 {
    let board = Board::new(Arc::new(Recorder::in_memory()), triggers).expect("good triggers");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let target = listener.local_addr().expect("it is bound");
    let proxy = Proxy::start(board.link("client-1", "n1"), Some(target), 1).expect("a free port");
    Link1 {
        proxy: Arc::new(proxy),
        board,
        listener,
    }
}

impl Link1 {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address())
            .await
            .expect("the tap listens")
    }

    async fn pair(&self) -> (TcpStream, TcpStream) {
        let mut client = self.connect().await;
        let (mut server, _) = self.listener.accept().await.expect("the tap dials");
        server.write_all(b"220 n1\r\n").await.expect("written");
        expect(&mut client, "220 n1\r\n").await;
        (client, server)
    }

    /// What was recorded, in words; waits until `last` is part of it.
    async fn until(&self, last: &str) -> Vec<String> {
        loop {
            let events = self.board.recorder().with_records(|records| {
                let words = records.iter().map(|record| match &record.event {
                    Event::Wire {
                        wire: Wire::Connect,
                        ..
                    } => "connect".into(),
                    Event::Wire {
                        wire: Wire::ConnectFailed { error },
                        ..
                    } => format!("connect failed: {error}"),
                    Event::Wire {
                        wire: Wire::Close { by, reset },
                        ..
                    } => format!("close by {by}, reset {reset}"),
                    Event::Wire {
                        wire: Wire::Greeting { reply },
                        ..
                    } => format!("greeting {}", reply.code),
                    Event::Wire {
                        wire: Wire::Command { verb, .. },
                        ..
                    } => verb.clone(),
                    Event::Wire {
                        wire: Wire::Reply { verb, reply },
                        ..
                    } => format!("{verb} {}", reply.code),
                    other => format!("{other:?}"),
                });
                words.collect::<Vec<String>>()
            });
            if events.iter().any(|event| event == last) {
                return events;
            }
            tokio::task::yield_now().await;
        }
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

fn nothing_came(stream: &TcpStream) {
    let error = stream.try_read(&mut [0; 10]).expect_err("nothing to read");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn octets_and_half_closes_pass() {
    let link = link(&[]).await;
    let (mut client, mut server) = link.pair().await;
    client.write_all(b"QUIT\r\n").await.expect("written");
    client.shutdown().await.expect("half closed");
    expect(&mut server, "QUIT\r\n").await;
    assert_eq!(server.read(&mut [0]).await.expect("an end"), 0);
    server
        .write_all(b"221 bye\r\n")
        .await
        .expect("the other half is open");
    drop(server);
    expect(&mut client, "221 bye\r\n").await;
    assert_eq!(client.read(&mut [0]).await.expect("an end"), 0);
    let events = link.until("close by client, reset false").await;
    assert_eq!(
        events,
        [
            "connect",
            "greeting 220",
            "QUIT",
            "QUIT 221",
            "close by client, reset false"
        ]
    );
}

#[tokio::test]
async fn large_content_passes_whole_both_ways() {
    let link = link(&[]).await;
    let (client, server) = link.pair().await;
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let send = async |stream: TcpStream| {
        let (mut reads, mut writes) = stream.into_split();
        let write = async {
            writes.write_all(&content).await.expect("written");
            writes.shutdown().await.expect("half closed");
        };
        let mut read = Vec::new();
        let (result, ()) = tokio::join!(reads.read_to_end(&mut read), write);
        result.expect("an end");
        read
    };
    let (at_client, at_server) = tokio::join!(send(client), send(server));
    assert!(at_client == content && at_server == content);
}

#[tokio::test]
async fn a_reset_is_a_reset_on_the_other_side() {
    let link = link(&[]).await;
    let (mut client, server) = link.pair().await;
    server.set_zero_linger().expect("set");
    drop(server);
    expect_reset(&mut client).await;
    link.until("close by server, reset true").await;

    let (client, mut server) = link.pair().await;
    client.set_zero_linger().expect("set");
    drop(client);
    expect_reset(&mut server).await;
    link.until("close by client, reset true").await;
}

#[tokio::test]
async fn a_partition_holds_one_direction_until_it_is_healed() {
    let link = link(&[]).await;
    let (mut client, mut server) = link.pair().await;
    link.proxy.change(|state| state.to_server.held = true);
    client
        .write_all(b"EHLO c\r\n")
        .await
        .expect("the tap takes it");
    client.shutdown().await.expect("half closed");
    server.write_all(b"421 n1\r\n").await.expect("written");
    expect(&mut client, "421 n1\r\n").await;
    nothing_came(&server);
    // A new connection is taken and not dialled.
    let mut second = link.connect().await;
    second
        .write_all(b"NOOP\r\n")
        .await
        .expect("the tap takes it");
    link.proxy.change(LinkState::heal);
    expect(&mut server, "EHLO c\r\n").await;
    assert_eq!(server.read(&mut [0]).await.expect("an end"), 0);
    let (mut server, _) = link.listener.accept().await.expect("the tap dials now");
    expect(&mut server, "NOOP\r\n").await;
}

#[tokio::test]
async fn who_gives_up_during_a_partition_has_not_connected() {
    let link = link(&[]).await;
    link.proxy.change(|state| state.to_client.held = true);
    drop(link.connect().await);
    link.until("connect failed: given up while the link was cut")
        .await;
}

#[tokio::test]
async fn a_delay_keeps_order_and_time() {
    let link = link(&[]).await;
    let (mut client, mut server) = link.pair().await;
    let delay = Duration::from_millis(300);
    link.proxy.change(|state| state.to_client.delay = delay);
    let start = Instant::now();
    server.write_all(b"250-n1\r\n").await.expect("written");
    client.write_all(b"EHLO c\r\n").await.expect("written");
    expect(&mut server, "EHLO c\r\n").await;
    assert!(start.elapsed() < delay, "the other direction is fast");
    server.write_all(b"250 ok\r\n").await.expect("written");
    expect(&mut client, "250-n1\r\n250 ok\r\n").await;
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn a_black_hole_swallows_a_connection_for_ever() {
    let link = link(&[]).await;
    let (mut client, mut server) = link.pair().await;
    link.proxy.change(|state| state.set_black_hole(true));
    drop(link.connect().await);
    link.until("connect failed: timed out in a black hole")
        .await;
    client
        .write_all(b"EHLO c\r\n")
        .await
        .expect("the tap takes it");
    server
        .write_all(b"250 n1\r\n")
        .await
        .expect("the tap takes it");
    link.proxy.change(LinkState::heal);
    let _new = link.pair().await;
    nothing_came(&client);
    nothing_came(&server);
    drop(server);
    link.until("close by server, reset false").await;
    nothing_came(&client);
}

#[tokio::test]
async fn resets_and_down_strike_open_connections() {
    let link = link(&[]).await;
    let (mut client, mut server) = link.pair().await;
    link.proxy.change(LinkState::reset);
    expect_reset(&mut client).await;
    expect_reset(&mut server).await;
    link.until("close by tap, reset true").await;
    let (mut client, mut server) = link.pair().await;
    link.proxy.change(|state| state.set_down(true));
    expect_reset(&mut client).await;
    expect_reset(&mut server).await;
    expect_reset(&mut link.connect().await).await;
    link.until("connect failed: refused").await;
}

#[tokio::test]
async fn a_dead_target_resets_the_client() {
    let link = link(&[]).await;
    drop(link.listener);
    expect_reset(
        &mut TcpStream::connect(link.proxy.address())
            .await
            .expect("the tap listens"),
    )
    .await;
    link.proxy.set_target(None);
    expect_reset(
        &mut TcpStream::connect(link.proxy.address())
            .await
            .expect("the tap listens"),
    )
    .await;
    let failed = link.board.recorder().with_records(<[_]>::len);
    assert_eq!(failed, 2);
}

#[tokio::test]
async fn a_trigger_strikes_before_the_octets_go_on() {
    let triggers = [
        "client-1>n1 ehlo",
        "client-1>n1 greeting",
        "client-1>n1 reply EHLO",
    ]
    .map(|when| Trigger {
        when: when.into(),
        nth: 1,
        before: when.ends_with("EHLO"),
        action: Step::Reset {
            link: "client-1>n1".into(),
        },
        after: None,
        then: None,
        every: None,
        during: None,
    });
    let link = link(&triggers).await;
    let fired = Arc::new(Mutex::new(Vec::new()));
    let (proxy, log) = (Arc::downgrade(&link.proxy), fired.clone());
    link.board.set_injector(Arc::new(move |action| {
        log.lock()
            .expect("nothing panics")
            .push(action.trigger.clone());
        if let Some(proxy) = proxy.upgrade()
            && action.trigger.ends_with("EHLO")
        {
            proxy.change(LinkState::reset);
        }
    }));
    let (mut client, mut server) = link.pair().await;
    client.write_all(b"EHLO c\r\n").await.expect("written");
    expect(&mut server, "EHLO c\r\n").await;
    server.write_all(b"250 n1\r\n").await.expect("written");
    expect_reset(&mut client).await;
    let events = link.until("close by tap, reset true").await;
    assert_eq!(
        events,
        [
            "connect",
            "greeting 220",
            "EHLO",
            "EHLO 250",
            "close by tap, reset true"
        ]
    );
    let fired = fired.lock().expect("nothing panics").clone();
    assert_eq!(
        fired,
        [
            "client-1>n1 greeting",
            "client-1>n1 ehlo",
            "client-1>n1 reply EHLO"
        ]
    );
    assert!(link.board.unfired().is_empty());
}

#[tokio::test]
async fn a_reply_is_garbled_or_held_up_by_its_own_event() {
    use crate::tap::ReplyFault;

    let faults = [
        ("client-1>n1 reply EHLO", ReplyFault::Garble),
        (
            "client-1>n1 reply NOOP",
            ReplyFault::Delay(Duration::from_millis(80)),
        ),
    ];
    let triggers = faults.map(|(when, _)| Trigger {
        when: when.into(),
        nth: 1,
        before: true,
        action: Step::Garble {
            link: "client-1>n1".into(),
        },
        after: None,
        then: None,
        every: None,
        during: None,
    });
    let link = link(&triggers).await;
    let tapped = Arc::downgrade(&link.board.link("client-1", "n1"));
    link.board.set_injector(Arc::new(move |action| {
        let fault = faults.iter().find(|(when, _)| *when == action.trigger);
        if let (Some(link), Some((_, fault))) = (tapped.upgrade(), fault) {
            link.replies().add(*fault);
        }
    }));
    let (mut client, mut server) = link.pair().await;
    let asked = async |client: &mut TcpStream, server: &mut TcpStream, reply: &[u8]| {
        client.write_all(b"NOOP\r\n").await.expect("written");
        expect(server, "NOOP\r\n").await;
        server.write_all(reply).await.expect("written");
    };
    client.write_all(b"EHLO c\r\n").await.expect("written");
    expect(&mut server, "EHLO c\r\n").await;
    server.write_all(b"250 n1\r\n").await.expect("written");
    expect(&mut client, "rup n1\r\n").await;
    let begun = Instant::now();
    asked(&mut client, &mut server, b"250 ok\r\n").await;
    expect(&mut client, "250 ok\r\n").await;
    assert!(begun.elapsed() >= Duration::from_millis(80));
    asked(&mut client, &mut server, b"250 again\r\n").await;
    expect(&mut client, "250 again\r\n").await;
    // What was seen is what the server said.
    let events = link.until("NOOP 250").await;
    assert!(events.contains(&"EHLO 250".to_string()), "{events:?}");
}
