use std::fs;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_sink_shows_what_it_took() {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = port.local_addr().expect("bound").to_string();
    drop(port);
    let arrivals = Arrivals::open(Source::Sink(address.clone()))
        .await
        .expect("a sink");
    let token = Token::new("t-1");
    let mut client = TcpStream::connect(&address).await.expect("it listens");
    let content = token.message("a@x.example", "b@x.example", "..hello\r\n");
    let text = String::from_utf8(content).expect("text");
    client
        .write_all(
            format!(
                "EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n{text}.\r\nQUIT\r\n"
            )
            .as_bytes(),
        )
        .await
        .expect("sent");
    let mut replies = String::new();
    client
        .read_to_string(&mut replies)
        .await
        .expect("closed in order");
    let arrived = arrivals
        .first(PATIENCE, |m| m.is(&token))
        .await
        .expect("it arrived");
    assert_eq!(arrived.from.as_deref(), Some("a@x.example"));
    assert_eq!(arrived.recipients, ["b@x.example"]);
    assert_eq!(arrived.parts().1, b".hello\n");
    let other = Token::new("t-2");
    assert!(arrivals.all(|m| m.is(&other)).is_empty());
}

#[tokio::test]
async fn a_maildir_shows_what_is_new_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let new = directory.path().join("bob/new");
    fs::create_dir_all(&new).expect("a mailbox");
    fs::create_dir_all(directory.path().join("bob/cur")).expect("a mailbox");
    let old = Token::new("old");
    fs::write(new.join("1.old.host"), old.message("a@x", "b@x", "")).expect("written");
    let arrivals = Arrivals::open(Source::Maildir(directory.path().to_owned()))
        .await
        .expect("a maildir");
    let token = Token::new("fresh");
    let content = [
        &b"Return-Path: <a@x>\n"[..],
        &token.message("a@x", "b@x", "hello\n"),
    ]
    .concat();
    fs::write(new.join("2.fresh.host"), content).expect("written");
    let arrived = arrivals
        .first(PATIENCE, |m| m.is(&token))
        .await
        .expect("it arrived");
    assert_eq!(arrived.from.as_deref(), Some("a@x"));
    fs::rename(
        new.join("2.fresh.host"),
        directory.path().join("bob/cur/2.fresh.host:2,S"),
    )
    .expect("read by its user");
    let last = Token::new("last");
    fs::write(new.join("3.last.host"), last.message("a@x", "b@x", "")).expect("written");
    arrivals
        .first(PATIENCE, |m| m.is(&last))
        .await
        .expect("it arrived");
    assert_eq!(arrivals.all(|m| m.is(&token)).len(), 1);
    assert_eq!(arrivals.all(|m| m.is(&old)).len(), 0, "it was there before");
}

#[tokio::test]
async fn a_source_that_is_not_there_is_an_error() {
    let nowhere = Source::Maildir("/nonexistent/maildir".into());
    assert!(Arrivals::open(nowhere).await.is_err());
    let nobody = Source::Mailboxes("http://127.0.0.1:1".into());
    assert!(Arrivals::open(nobody).await.is_err());
    let tls = Source::Mailboxes("https://127.0.0.1:1".into());
    let error = Arrivals::open(tls).await.expect_err("no TLS").to_string();
    assert!(error.contains("must begin with http://"), "{error}");
}
