//! SC-18 and SC-19 on hand-written histories.

use crate::{
    check::testing::{Story, reply},
    history::{Event, Held, NodeView, Wire},
    scenario::Setting,
};

const LEGACY: &str = "someone@legacy.example";

/// n1, n2 and n3, and the hubs h1 and h2.
fn story() -> Story {
    let mut story = Story::new();
    let hubs = ["h1", "h2"].map(String::from);
    story.scenario.cluster.nodes.extend(hubs.clone());
    story.scenario.cluster.hubs_2010 = hubs.to_vec();
    story
}

/// A client submits message 1 for someone behind the hubs.
fn submit(story: &mut Story, node: &str) {
    story
        .submit_as(1, node, |s| s.recipients = vec![LEGACY.into()])
        .end_of_data(1);
}

/// Message 1 goes on to a hub, with the name of its shadow where the sender keeps one.
fn hand_on(story: &mut Story, link: &str, shadow: &str) {
    story.connect(link);
    let mail = format!("MAIL FROM:<s@x>{shadow}");
    story.command(link, &mail, 250);
    story.command(link, &format!("RCPT TO:<{LEGACY}>"), 250);
    story.end_there(1, link);
}

fn ehlo(story: &mut Story, link: &str, text: &str) {
    story.connect(link).wire(
        link,
        Wire::Command {
            verb: "EHLO".into(),
            line: "EHLO h".into(),
        },
    );
    story.wire(
        link,
        Wire::Reply {
            verb: "EHLO".into(),
            reply: reply(250, text),
        },
    );
}

fn holding(role: &str, id: &str) -> NodeView {
    let held = Held {
        transport_id: id.into(),
        message_id: Some("<1@gauntlet.example>".into()),
        role: role.into(),
        other: String::new(),
        recipients: Vec::new(),
    };
    let mut view = NodeView::default();
    match role {
        "shadow" => view.shadow.push(held),
        _ => view.safety_net.push(held),
    }
    view
}

/// `asker` hears from `primary` that `id` is done.
fn reported(story: &mut Story, link: &str, id: &str) {
    story.connect(link);
    story.wire(
        link,
        Wire::Command {
            verb: "XQDISCARD".into(),
            line: "XQDISCARD 0 1000".into(),
        },
    );
    story.wire(
        link,
        Wire::Reply {
            verb: "XQDISCARD".into(),
            reply: reply(250, &format!("2.0.0 {id} delivered\n2.0.0 cursor=1")),
        },
    );
}

#[test]
fn sc_18_xshadow_is_not_advertised_to_a_hub() {
    let mut good = story();
    ehlo(&mut good, "h1>n1", "n1 greets h1\nSIZE 10\nXPEER 00");
    good.settle();
    insta::assert_snapshot!(good.told("SC-18"), @"holds: 1 of 1 facts were as they must be beside a 2010-style hub: 0 shadow messages waited for its acknowledgement, 0 in Safety Net, 0 not resubmitted to it");
    let mut bad = story();
    ehlo(&mut bad, "h1>n1", "n1 greets h1\nSIZE 10\nXSHADOW");
    bad.settle();
    insta::assert_snapshot!(bad.told("SC-18"), @r"
        violated: only 0 of 1 facts were as they must be beside a 2010-style hub: 0 shadow messages waited for its acknowledgement, 0 in Safety Net, 0 not resubmitted to it
        - n1 advertised XSHADOW to h1 at 0.007 s
    ");
}

#[test]
fn sc_18_a_shadow_waits_for_the_hubs_acknowledgement() {
    let mut good = story();
    submit(&mut good, "n1");
    good.copy(1, "n1>n2").ack(1);
    hand_on(&mut good, "n1>h1", "");
    good.answered_there(1, "n1>h1", 250);
    reported(&mut good, "n2>n1", "n1/db/1");
    good.after("10s").view("n1", holding("primary", "n1/db/1"));
    good.settle();
    insta::assert_snapshot!(good.told("SC-18"), @"holds: 2 of 2 facts were as they must be beside a 2010-style hub: 1 shadow message waited for its acknowledgement, 1 in Safety Net, 0 not resubmitted to it");
    let mut early = story();
    submit(&mut early, "n1");
    early.copy(1, "n1>n2").ack(1);
    reported(&mut early, "n2>n1", "n1/db/1");
    hand_on(&mut early, "n1>h1", "");
    early.answered_there(1, "n1>h1", 250).settle();
    insta::assert_snapshot!(early.told("SC-18"), @r"
        violated: only 0 of 1 facts were as they must be beside a 2010-style hub: 0 shadow messages waited for its acknowledgement, 0 in Safety Net, 0 not resubmitted to it
        - n1 told n2 at 0.037 s that message 1 (n1/db/1) is done, and the hub acknowledged it only at 0.045 s
    ");
    let mut forgotten = story();
    submit(&mut forgotten, "n1");
    forgotten.copy(1, "n1>n2").ack(1);
    hand_on(&mut forgotten, "n1>h1", "");
    forgotten.answered_there(1, "n1>h1", 250);
    forgotten
        .after("10s")
        .view("n1", NodeView::default())
        .settle();
    insta::assert_snapshot!(forgotten.told("SC-18"), @r"
        violated: only 0 of 1 facts were as they must be beside a 2010-style hub: 0 shadow messages waited for its acknowledgement, 0 in Safety Net, 0 not resubmitted to it
        - a hub acknowledged <1@gauntlet.example> to n1 at 0.041 s; at 10.042 s it is not in n1's Safety Net
    ");
}

#[test]
fn sc_18_nothing_is_resubmitted_to_a_hub() {
    let mut bad = story();
    submit(&mut bad, "n1");
    bad.copy(1, "n1>n2").ack(1);
    hand_on(&mut bad, "n1>h1", "");
    bad.answered_there(1, "n1>h1", 250).push(Event::Resubmit {
        node: "n1".into(),
        from_us: 0,
        to_us: 1_000_000,
        resubmitted: Some(1),
    });
    hand_on(&mut bad, "n1>h1", "");
    bad.answered_there(1, "n1>h1", 250).settle();
    insta::assert_snapshot!(bad.told("SC-18"), @r"
        violated: only 0 of 1 facts were as they must be beside a 2010-style hub: 0 shadow messages waited for its acknowledgement, 0 in Safety Net, 0 not resubmitted to it
        - message 1 was acknowledged on n1>h1 at 0.041 s; n1 was asked to resubmit at 0.042 s, and sent it there again at 0.049 s
    ");
}

#[test]
fn sc_19_an_ack_waits_for_the_next_hop_or_for_the_delay() {
    let mut handed = story();
    submit(&mut handed, "h2");
    hand_on(&mut handed, "h2>sink-1", "");
    handed.answered_there(1, "h2>sink-1", 250).ack(1).settle();
    insta::assert_snapshot!(handed.told("SC-19"), @"holds: 1 of 1 facts were as they must be at a 2010-style hub: 1 ack waited for the next hop or for MaxAcknowledgementDelay, 0 messages stayed until the report, 0 outlived the next hub");
    let mut delay = story();
    submit(&mut delay, "h2");
    delay.after("30s").ack(1).settle();
    insta::assert_snapshot!(delay.told("SC-19"), @"holds: 1 of 1 facts were as they must be at a 2010-style hub: 1 ack waited for the next hop or for MaxAcknowledgementDelay, 0 messages stayed until the report, 0 outlived the next hub");
    let mut early = story();
    submit(&mut early, "h2");
    early.ack(1).settle();
    insta::assert_snapshot!(early.told("SC-19"), @r"
        violated: only 0 of 1 facts were as they must be at a 2010-style hub: 0 acks waited for the next hop or for MaxAcknowledgementDelay, 0 messages stayed until the report, 0 outlived the next hub
        - h2 acked message 1 to client-1 at 0.017 s, after 2 ms, and its next hops did not have it yet
    ");
    let mut late = story();
    submit(&mut late, "h2");
    late.after("50s").ack(1).settle();
    insta::assert_snapshot!(late.told("SC-19"), @r"
        violated: only 0 of 1 facts were as they must be at a 2010-style hub: 0 acks waited for the next hop or for MaxAcknowledgementDelay, 0 messages stayed until the report, 0 outlived the next hub
        - h2 acked message 1 to client-1 only after 50.002 s, MaxAcknowledgementDelay is 30 s
    ");
}

#[test]
fn sc_19_a_hub_keeps_a_message_until_its_delivery_is_reported() {
    let taken = |story: &mut Story| {
        submit(story, "h1");
        hand_on(story, "h1>h2", " XSHADOW=h1/db/7");
        story.answered_there(1, "h1>h2", 250).ack(1).after("5s");
    };
    let mut good = story();
    taken(&mut good);
    good.view("h1", holding("shadow", "h1/db/7"));
    reported(&mut good, "h1>h2", "h1/db/7");
    good.view("h1", NodeView::default()).settle();
    insta::assert_snapshot!(good.told("SC-19"), @"holds: 2 of 2 facts were as they must be at a 2010-style hub: 1 ack waited for the next hop or for MaxAcknowledgementDelay, 1 message stayed until the report, 0 outlived the next hub");
    let mut bad = story();
    taken(&mut bad);
    bad.view("h1", NodeView::default()).settle();
    insta::assert_snapshot!(bad.told("SC-19"), @r"
        violated: only 1 of 2 facts were as they must be at a 2010-style hub: 1 ack waited for the next hop or for MaxAcknowledgementDelay, 0 messages stayed until the report, 0 outlived the next hub
        - h2 took message 1 from h1 at 0.024 s and had not reported its delivery by 5.027 s, when h1 held it no more
    ");
}

#[test]
fn sc_19_what_was_handed_on_outlives_the_next_hub() {
    let lost = |story: &mut Story| {
        submit(story, "h1");
        hand_on(story, "h1>h2", " XSHADOW=h1/db/7");
        story.answered_there(1, "h1>h2", 250).ack(1);
        story.destroy("h2").up("h2", "db-h2-2");
    };
    let mut bad = story();
    lost(&mut bad);
    bad.settle();
    insta::assert_snapshot!(bad.told("SC-19"), @r"
        violated: only 1 of 2 facts were as they must be at a 2010-style hub: 1 ack waited for the next hop or for MaxAcknowledgementDelay, 0 messages stayed until the report, 0 outlived the next hub
        - h2 took message 1 from another hub at 0.024 s; h2 destroyed at 0.028 s; it never came to someone@legacy.example
    ");
    let mut good = story();
    lost(&mut good);
    good.sink(1, "h2").settle();
    insta::assert_snapshot!(good.told("SC-19"), @"holds: 2 of 2 facts were as they must be at a 2010-style hub: 1 ack waited for the next hop or for MaxAcknowledgementDelay, 0 messages stayed until the report, 1 outlived the next hub");
}

#[test]
fn without_a_hub_nothing_is_told() {
    let mut none = Story::new();
    none.set("RejectMessageOnShadowFailure", Setting::Switch(false));
    none.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(none.told("SC-18"), @"inconclusive: there is no 2010-style hub in this cluster");
    insta::assert_snapshot!(none.told("SC-19"), @"inconclusive: there is no 2010-style hub in this cluster");
}
