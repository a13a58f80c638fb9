//! Two or three real nodes that speak to one another over loopback.

mod support;

use std::sync::Arc;

use reference_node::{Member, config::Config, production::Production};
use support::{Client, Cluster, Heard, ids, message, wait_for};

const ANN: &str = "ann@mailbox.example";
const BOB: &str = "bob@mailbox.example";
const OUTSIDE: &str = "carl@outside.example";

/// Where in the record the first line is that `wanted` wants.
fn place(record: &[Heard], wanted: impl Fn(&Heard) -> bool) -> usize {
    record
        .iter()
        .position(wanted)
        .unwrap_or_else(|| panic!("not in {record:#?}"))
}

#[test]
fn sc_01_the_copy_is_confirmed_before_the_ack() {
    let cluster = Cluster::started(3, "");
    for hello in ["EHLO client", "HELO client"] {
        let mut client = cluster.client("n1", hello);
        let before = cluster.record().len();
        assert!(
            client.send(BOB, ANN, &message(1)).starts_with("250 2.0.0"),
            "{hello}"
        );
        let record = &cluster.record()[before..];
        let confirmed = place(record, |h| {
            h.node != "n1" && h.from_node && h.line == "250 2.0.0 shadow message held"
        });
        let acked = place(record, |h| {
            h.node == "n1" && h.from_node && h.line.ends_with(" queued")
        });
        assert!(confirmed < acked, "{hello}: {record:#?}");
        // SC-03: the session is usable after the ack, and its next copy travels in the same session.
        assert!(
            client.send(BOB, ANN, &message(2)).starts_with("250 2.0.0"),
            "{hello}"
        );
    }
}

#[test]
fn sn_01_sn_02_a_discard_notification_moves_the_shadow_to_safety_net() {
    let cluster = Cluster::started(2, "");
    assert!(
        cluster
            .client("n1", "EHLO client")
            .send(BOB, ANN, &message(1))
            .starts_with("250")
    );
    let shadow = wait_for("a shadow Safety Net", || {
        let view = cluster.view("n2");
        (view.shadow.is_empty() && !view.safety_net.is_empty()).then_some(view.safety_net)
    });
    assert_eq!(
        (ids(&shadow), shadow[0].role, shadow[0].other.as_str()),
        (vec!["<1@x>".to_owned()], "shadow", "n1")
    );
    let primary = wait_for("a primary Safety Net", || {
        let view = cluster.view("n1");
        (view.discard_events.is_empty() && view.queue.is_empty() && !view.safety_net.is_empty())
            .then_some(view.safety_net)
    });
    assert_eq!(
        (ids(&primary), primary[0].role),
        (vec!["<1@x>".to_owned()], "primary")
    );
}

#[test]
fn sc_10_without_a_copy_the_message_is_refused_and_can_be_sent_again() {
    let mut cluster = Cluster::new(2, "RejectMessageOnShadowFailure = true");
    cluster.start("n1");
    let mut client = cluster.client("n1", "EHLO client");
    assert_eq!(
        client.send(BOB, ANN, &message(1)),
        "451 4.4.0 Message failed to be made redundant\r\n"
    );
    assert_eq!(ids(&cluster.view("n1").queue), Vec::<String>::new());
    cluster.start("n2");
    assert!(client.send(BOB, ANN, &message(1)).starts_with("250"));
    wait_for("its delivery", || {
        (cluster.mailbox(ANN).len() == 1).then_some(())
    });
}

#[test]
fn sc_09_without_a_copy_the_message_is_accepted_and_delivered() {
    let mut cluster = Cluster::new(2, "");
    cluster.start("n1");
    assert!(
        cluster
            .client("n1", "EHLO client")
            .send(BOB, ANN, &message(1))
            .starts_with("250")
    );
    wait_for("its delivery", || {
        (cluster.mailbox(ANN).len() == 1).then_some(())
    });
}

#[test]
fn ro_01_a_node_that_is_back_with_a_new_database_loses_nothing() {
    let mut cluster = Cluster::started(2, "");
    let old = cluster.view("n1").database;
    assert!(
        cluster
            .client("n1", "EHLO client")
            .send(BOB, OUTSIDE, &message(1))
            .starts_with("250")
    );
    assert_eq!(ids(&cluster.view("n2").shadow), ["<1@x>"]);
    cluster.stop("n1");
    cluster.lose_database("n1");
    cluster.start("n1");
    assert_ne!(cluster.view("n1").database, old);
    wait_for("promotion", || {
        cluster.view("n2").shadow.is_empty().then_some(())
    });
    cluster.sink.open();
    let mail = wait_for("delivery by the new owner", || {
        Some(cluster.sink.mail()).filter(|mail| !mail.is_empty())
    });
    assert!(
        mail.len() == 1 && mail[0].contains("Message-ID: <1@x>"),
        "{mail:?}"
    );
}

#[test]
fn hb_13_a_database_that_went_back_in_time_loses_nothing() {
    let mut cluster = Cluster::started(2, "");
    cluster.stop("n1");
    let earlier = cluster.database("n1");
    cluster.start("n1");
    let mut client = cluster.client("n1", "EHLO client");
    for n in 1..=5 {
        assert!(client.send(BOB, OUTSIDE, &message(n)).starts_with("250"));
    }
    // n2 sees how far n1's database is.
    let before = cluster.record().len();
    let asked =
        |h: &Heard| h.node == "n1" && h.from_node && h.line.starts_with("250 2.0.0 cursor=");
    wait_for("a heartbeat", || {
        cluster.record()[before..].iter().any(asked).then_some(())
    });
    let id = cluster.view("n1").database;
    cluster.stop("n1");
    cluster.put_back("n1", &earlier);
    cluster.start("n1");
    assert_eq!(
        (cluster.view("n1").database, cluster.view("n1").queue.len()),
        (id, 0),
        "the same database, which knows nothing"
    );
    cluster.sink.open();
    wait_for("promotion and delivery", || {
        (cluster.sink.mail().len() == 5).then_some(())
    });
}

#[test]
fn hb_12_a_promoted_message_that_is_still_in_transit_is_copied_again() {
    let mut cluster = Cluster::started(3, "ShadowResubmitTimeSpan = \"1s\"");
    let mut client = cluster.client("n1", "EHLO client");
    assert!(client.send(BOB, OUTSIDE, &message(1)).starts_with("250"));
    let holds = |cluster: &Cluster, node: &str, primary: &str| {
        let held = cluster.view(node).shadow;
        held.iter().any(|h| h.other == primary)
    };
    let keeper = wait_for("a copy", || {
        ["n2", "n3"]
            .into_iter()
            .find(|node| holds(&cluster, node, "n1"))
    });
    let third = if keeper == "n2" { "n3" } else { "n2" };
    cluster.stop("n1");
    // The next hop takes nothing yet: the promoted message waits, and must not depend on one server.
    wait_for("a copy of the promoted message", || {
        holds(&cluster, third, keeper).then_some(())
    });
    assert_eq!(ids(&cluster.view(keeper).queue), ["<1@x>"]);
    assert_eq!(ids(&cluster.view(third).shadow), ["<1@x>"]);
    cluster.sink.open();
    wait_for("delivery, and the end of both copies", || {
        let rest = cluster.view(keeper).queue.len() + cluster.view(third).shadow.len();
        (cluster.sink.mail().len() == 1 && rest == 0).then_some(())
    });
}

#[test]
fn ro_05_a_node_that_is_back_with_its_database_delivers_once() {
    let mut cluster = Cluster::started(2, "");
    let mut client = cluster.client("n1", "EHLO client");
    let first = client.send(BOB, OUTSIDE, &message(1));
    cluster.stop("n1");
    cluster.start("n1");
    let second = cluster
        .client("n1", "EHLO client")
        .send(BOB, OUTSIDE, &message(2));
    let serial = |reply: &str| -> u64 {
        let id = reply.split(' ').nth(2).expect("a transport ID");
        id.rsplit('/')
            .next()
            .expect("a serial")
            .parse()
            .expect("a number")
    };
    assert!(
        serial(&second) > serial(&first) + 1_000_000,
        "numbers that may have been given are passed over: {first} {second}"
    );
    cluster.sink.open();
    wait_for("discards", || {
        let view = cluster.view("n2");
        (view.shadow.is_empty() && view.safety_net.len() == 2).then_some(())
    });
    assert_eq!(cluster.sink.mail().len(), 2);
}

#[test]
fn dd_01_dd_02_a_duplicate_is_hidden_and_nothing_else() {
    let cluster = Cluster::started(2, "");
    let mut client = cluster.client("n2", "EHLO client");
    let later = message(1).replace("00:00:01", "00:00:02");
    for content in [message(1), message(1), later, message(3)] {
        assert!(client.send(BOB, ANN, &content).starts_with("250"));
    }
    wait_for("all of them processed", || {
        let view = cluster.view("n2");
        (view.queue.is_empty() && view.safety_net.len() == 4).then_some(())
    });
    let shown = cluster.mailbox(ANN);
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert_eq!(
        shown.iter().filter(|m| m.contains("00:00:01")).count(),
        1,
        "{shown:?}"
    );
}

#[test]
fn tc_06_a_refused_recipient_gets_its_sender_a_dsn_and_the_next_message_is_none_the_worse() {
    let cluster = Cluster::started(2, "");
    let mut client = cluster.client("n1", "EHLO client");
    // They wait together, and leave in one session.
    assert!(
        client
            .send(BOB, "nobody@outside.example", &message(1))
            .starts_with("250")
    );
    assert!(client.send(BOB, OUTSIDE, &message(2)).starts_with("250"));
    // HB-05: n2 holds the message until its notification is delivered.
    assert_eq!(ids(&cluster.view("n2").shadow), ["<1@x>", "<2@x>"]);
    cluster.sink.open();
    wait_for("everything processed", || {
        let view = cluster.view("n2");
        (view.shadow.is_empty() && cluster.view("n1").queue.is_empty()).then_some(())
    });
    let told = cluster.mailbox(BOB);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("Action: failed\r\nStatus: 5.1.1\r\n")
            && told[0].contains("Message-ID: <1@x>\r\n"),
        "{}",
        told[0]
    );
    let outside = cluster.sink.mail();
    assert!(
        outside.len() == 1 && outside[0].contains("Message-ID: <2@x>"),
        "{outside:?}"
    );
}

#[test]
fn a_sender_who_asks_is_told_of_a_delay_once() {
    let cluster = Cluster::started(2, "DelayNotificationTimeout = \"300ms\"");
    let mut client = cluster.client("n1", "EHLO client");
    for (n, notify) in [(1, "DELAY"), (2, "FAILURE")] {
        assert!(
            client
                .say("MAIL FROM:<bob@mailbox.example> ENVID=E1")
                .starts_with("250")
        );
        let rcpt = format!("RCPT TO:<{OUTSIDE}> NOTIFY={notify}");
        assert!(client.say(&rcpt).starts_with("250"));
        assert!(client.content(&message(n)).starts_with("250"));
    }
    let shown = wait_for("the notification", || {
        let shown = cluster.mailbox(BOB);
        (!shown.is_empty()).then_some(shown)
    });
    for line in [
        "Subject: Mail is delayed",
        "Original-Envelope-Id: E1",
        "Final-Recipient: rfc822; carl@outside.example",
        "Action: delayed",
        "Status: 4.4.7",
        "Will-Retry-Until: ",
        "Content-Type: text/rfc822-headers",
        "Message-ID: <1@x>",
    ] {
        assert!(shown[0].contains(line), "{line}: {}", shown[0]);
    }
    cluster.sink.open();
    wait_for("delivery, and nothing else", || {
        (cluster.sink.mail().len() == 2 && cluster.view("n1").queue.is_empty()).then_some(())
    });
    assert_eq!(cluster.mailbox(BOB).len(), 1, "one notification");
}

#[test]
fn to_01_a_copy_that_comes_after_its_discard_is_not_held() {
    let cluster = Cluster::started(
        2,
        "ShadowCopyTimeout = \"300ms\"\nMaxRetriesForLocalSiteShadow = 1",
    );
    let mut client = cluster.client("n1", "EHLO client");
    // A shadow message that stays makes n2 ask n1.
    let first = client.send(BOB, OUTSIDE, &message(1));
    assert!(first.starts_with("250"));
    cluster.front("n2").hold_back(true);
    assert!(
        client.send(BOB, ANN, &message(2)).starts_with("250"),
        "accepted without a copy"
    );
    wait_for("the notification", || {
        let view = cluster.view("n1");
        (ids(&view.queue) == ["<1@x>"] && view.discard_events.is_empty()).then_some(())
    });
    cluster.front("n2").hold_back(false);
    wait_for("the late copy", || {
        cluster
            .record()
            .iter()
            .any(|h| h.line.contains("discarded before its copy came"))
            .then_some(())
    });
    assert_eq!(ids(&cluster.view("n2").shadow), ["<1@x>"]);
}

#[test]
fn mail_for_the_postmaster_alone_is_delivered() {
    let cluster = Cluster::started(2, "");
    assert!(
        cluster
            .client("n2", "EHLO client")
            .send(BOB, "Postmaster", &message(1))
            .starts_with("250")
    );
    wait_for("its delivery", || {
        (cluster.view("n2").safety_net.len() == 1).then_some(())
    });
}

#[test]
fn a_message_of_the_biggest_size_is_copied_and_delivered() {
    let cluster = Cluster::started(
        2,
        "RejectMessageOnShadowFailure = true\n[receive-connector]\nMaxMessageSize = 1000",
    );
    let mut content = message(1);
    while content.len() < 1000 {
        content.insert(content.len() - 2, 'x');
    }
    let mut client = cluster.client("n2", "EHLO client");
    assert!(
        client.send(BOB, ANN, &content).starts_with("250"),
        "the trace field does not count"
    );
    wait_for("its delivery", || {
        (cluster.mailbox(ANN).len() == 1).then_some(())
    });
    content.push_str("x\r\n");
    assert!(client.send(BOB, ANN, &content).starts_with("552"));
}

#[test]
fn a_message_of_the_biggest_size_comes_through_a_front_end() {
    let cluster = Cluster::started(2, "[receive-connector]\nMaxMessageSize = 1000");
    let config = format!(
        "name = \"f1\"\nlisten = \"127.0.0.1:0\"\nrole = \"front-end\"\n[receive-connector]\nMaxMessageSize = 1000\n\
         [[server]]\nname = \"f1\"\naddress = \"127.0.0.1:1\"\nsite = \"s\"\nrole = \"front-end\"\n{}",
        cluster.servers()
    );
    let config = Config::parse(&config).expect("a good configuration");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let env = Production::new(directory.path()).expect("a directory");
    let front_end = runtime
        .block_on(Member::start(config, Arc::new(env)))
        .expect("a front end");
    let mut client = Client::greeted(front_end.address(), "NOOP");
    let hello = client.say("EHLO client");
    let promised: usize = hello
        .lines()
        .find_map(|line| line.get(4..)?.strip_prefix("SIZE ")?.parse().ok())
        .expect("a SIZE line");
    assert!(promised < 1000, "{promised}");
    let mut content = message(1);
    while content.len() < promised {
        content.insert(content.len() - 2, 'x');
    }
    let reply = client.send(BOB, ANN, &content);
    assert!(reply.starts_with("250"), "{reply}");
    let reply = client.say(&format!("MAIL FROM:<{BOB}> SIZE={}", promised + 1));
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    wait_for("its delivery", || {
        (cluster.mailbox(ANN).len() == 1).then_some(())
    });
}

#[test]
fn tc_07_a_full_disk_refuses_mail_for_now_and_loses_none() {
    let cluster = Cluster::started(2, "");
    let (mut first, mut second) = (
        cluster.client("n1", "EHLO client"),
        cluster.client("n1", "EHLO client"),
    );
    assert!(first.send(BOB, ANN, &message(1)).starts_with("250"));
    cluster.fill_disk("n1", true);
    // The message that finds no room waits for it; unless the first one's delivery has found none before it.
    let waiting = std::thread::spawn(move || first.send(BOB, ANN, &message(2)));
    wait_for("no room", || {
        cluster
            .failure("n1")
            .map(|why| assert_eq!(why, "no room on the disk"))
    });
    assert_eq!(
        second.send(BOB, ANN, &message(3)),
        "452 4.3.1 insufficient system storage\r\n"
    );
    cluster.fill_disk("n1", false);
    let reply = waiting.join().expect("a reply");
    assert!(
        reply.starts_with("250") || reply.starts_with("452 4.3.1"),
        "{reply:?}"
    );
    wait_for("room", || cluster.failure("n1").is_none().then_some(()));
    assert!(second.send(BOB, ANN, &message(3)).starts_with("250"));
    let acked = if reply.starts_with("250") { 3 } else { 2 };
    wait_for("delivery of all", || {
        let view = cluster.view("n1");
        (view.queue.is_empty() && view.safety_net.len() == acked).then_some(())
    });
    assert_eq!(cluster.mailbox(ANN).len(), acked);
}
