//! `gauntlet proxy` driven by an existing client of Toxiproxy, over every call that it has.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

use toxiproxy_rust::{
    client::Client,
    proxy::{Proxy, ProxyPack},
};

#[path = "../../harness/tests/served/mod.rs"]
#[allow(dead_code)]
mod served;

use served::{Served, connect, echo, is_refused, said_back};

fn toxic(proxy: &Proxy, n: usize) -> (String, Vec<(String, u32)>) {
    let mut toxics = proxy.toxics().expect("toxics");
    let toxic = toxics.swap_remove(n);
    let mut attributes: Vec<_> = toxic.attributes.into_iter().collect();
    attributes.sort();
    (toxic.name, attributes)
}

#[test]
fn an_existing_client_makes_every_call_that_it_has() {
    let served = Served::start(&[]);
    let (upstream, client) = (echo().to_string(), Client::new(served.api));
    assert!(client.is_running());
    assert!(client.version().expect("a version").contains("\"2."));

    let pack = |name: &str| ProxyPack::new(name.into(), "127.0.0.1:0".into(), upstream.clone());
    let made = client
        .populate(vec![pack("one"), pack("two")])
        .expect("made");
    let names: Vec<&str> = made.iter().map(|p| p.proxy_pack.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    let all = client.all().expect("all");
    assert_eq!(all.len(), 2);
    assert!(client.find_proxy("three").is_err());
    let one = client.find_proxy("one").expect("it was made");
    let listen = one.proxy_pack.listen.clone();
    assert!(!listen.ends_with(":0") && one.proxy_pack.enabled);
    let mut open = connect(&listen);
    said_back(&mut open, "hello");

    // Each toxic, with its attributes, on a connection that is open.
    one.with_latency("downstream".into(), 60, 0, 1.0);
    assert!(said_back(&mut open, "late") >= Duration::from_millis(60));
    let attributes = vec![("jitter".into(), 0), ("latency".into(), 60)];
    assert_eq!(toxic(&one, 0), ("latency_downstream".into(), attributes));
    one.delete_all_toxics().expect("deleted");
    assert!(one.toxics().expect("toxics").is_empty());

    one.with_bandwidth("upstream".into(), 10, 1.0);
    assert!(said_back(&mut open, &"x".repeat(600)) >= Duration::from_millis(60));
    let attributes = vec![("rate".into(), 10)];
    assert_eq!(toxic(&one, 0), ("bandwidth_upstream".into(), attributes));
    one.delete_all_toxics().expect("deleted");

    one.with_slicer("downstream".into(), 1, 0, 10_000, 1.0);
    assert!(said_back(&mut open, "slice") >= Duration::from_millis(40));
    let attributes = ["average_size", "delay", "size_variation"].map(String::from);
    let attributes = attributes.into_iter().zip([1, 10_000, 0]).collect();
    assert_eq!(toxic(&one, 0), ("slicer_downstream".into(), attributes));
    one.delete_all_toxics().expect("deleted");

    one.with_slow_close("downstream".into(), 80, 1.0);
    said_back(&mut open, "still open");
    open.shutdown(Shutdown::Write).expect("half closed");
    let (begun, mut rest) = (Instant::now(), String::new());
    open.read_to_string(&mut rest).expect("an end");
    assert!(rest == "bye" && begun.elapsed() >= Duration::from_millis(80));
    one.delete_all_toxics().expect("deleted");

    let mut open = connect(&listen);
    one.with_timeout("upstream".into(), 30, 1.0);
    open.write_all(b"lost").expect("written");
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    let done = one.apply(|| {
        let mut open = connect(&listen);
        assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    });
    done.expect("it deletes all toxics afterwards");
    assert!(one.toxics().expect("toxics").is_empty());

    let mut open = connect(&listen);
    one.with_limit_data("downstream".into(), 7, 1.0);
    open.write_all(b"more than that").expect("written");
    let mut came = Vec::new();
    // The server's octets that nobody took may make a reset of the end.
    let _ = open.read_to_end(&mut came);
    assert_eq!(came, b"more th");

    // Down: refused, and what was open is closed.
    let reset = client.find_and_reset_proxy("one").expect("reset");
    assert!(reset.toxics().expect("toxics").is_empty());
    let mut open = connect(&listen);
    said_back(&mut open, "up");
    one.disable().expect("disabled");
    assert!(is_refused(&listen));
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    one.enable().expect("enabled");
    said_back(&mut connect(&listen), "up again");
    one.with_down(|| assert!(is_refused(&listen)))
        .expect("and up");
    said_back(&mut connect(&listen), "up again");

    one.with_latency("upstream".into(), 5, 1, 0.5);
    one.disable().expect("disabled");
    client.reset().expect("reset");
    let one = client.find_proxy("one").expect("it is there");
    assert!(one.proxy_pack.enabled && one.proxy_pack.toxics.is_empty());
    one.delete().expect("deleted");
    assert!(is_refused(&listen));
    assert_eq!(client.all().expect("all").len(), 1);
}
