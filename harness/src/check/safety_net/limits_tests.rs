//! SN-11 and SN-12 on hand-written histories.

use insta::assert_snapshot;

use crate::{
    check::{
        heartbeat::tests::{held, story},
        testing::Story,
    },
    history::{Held, NodeView},
    scenario::Setting,
};

/// Shadow redundancy is off; n1 has delivered message 1.
fn disabled() -> Story {
    let mut story = story();
    story.set("ShadowRedundancyEnabled", Setting::Switch(false));
    story.submit(1, "n1").end_of_data(1).ack(1);
    story.delivered(1, "n1").handed(1, "n1").after("10m");
    story
}

/// A view with message 1 in the Safety Net of these roles.
fn net(roles: &[&str]) -> NodeView {
    let held = |role: &&str| Held {
        message_id: Some("<1@gauntlet.example>".into()),
        ..held(1, role)
    };
    NodeView {
        safety_net: roles.iter().map(held).collect(),
        ..NodeView::default()
    }
}

#[test]
fn sn_11_has_a_primary_safety_net_and_no_shadow_one() {
    let told = |node: &str, view: NodeView| disabled().view(node, view).settle().told("SN-11");
    assert_snapshot!(told("n1", net(&["primary"])), @"holds: 1 of 1 looks with shadow redundancy off found a delivered message in the primary Safety Net, and none in a shadow one");
    assert_snapshot!(told("n1", net(&[])), @r"
    violated: only 0 of 1 looks with shadow redundancy off found a delivered message in the primary Safety Net, and none in a shadow one
    - n1 had delivered message 1 by 0.048 s; at 10 min 0.052 s it is not in its primary Safety Net
    ");
    assert_snapshot!(told("n2", net(&["shadow"])), @r"
    violated: only 0 of 1 looks with shadow redundancy off found a delivered message in the primary Safety Net, and none in a shadow one
    - at 10 min 0.052 s n2 shows n1/db/1 in a shadow Safety Net while shadow redundancy is off
    ");
}

#[test]
fn sn_11_says_nothing_where_shadow_redundancy_is_on_or_nobody_looked_in_time() {
    let thin =
        "inconclusive: no view was read after a delivery with shadow redundancy off on all nodes";
    let mut on = disabled();
    on.set("ShadowRedundancyEnabled", Setting::Switch(true));
    assert_eq!(on.view("n2", net(&["shadow"])).settle().told("SN-11"), thin);
    assert_eq!(disabled().settle().told("SN-11"), thin);
    let mut late = disabled();
    late.after("3d").view("n1", net(&[]));
    assert_eq!(late.settle().told("SN-11"), thin);
    // A 2010-style hub has no Safety Net.
    let mut hub = disabled();
    hub.scenario.cluster.hubs_2010 = vec!["n1".into()];
    hub.view("n1", net(&[]));
    assert_eq!(hub.settle().told("SN-11"), thin);
    let mut down = disabled();
    down.kill("n1").up("n1", "db").view("n1", net(&[]));
    assert_eq!(down.settle().told("SN-11"), thin);
}

/// n1 has delivered so many messages.
fn many(count: u32) -> Story {
    let mut story = story();
    for n in 1..=count {
        story.accepted(n, "n1", "n2").mailbox(n);
        story.handed(n, "n1").sink(n, "n1");
    }
    story.after("1d 23h");
    story
}

fn safe(numbers: std::ops::RangeInclusive<u32>) -> NodeView {
    NodeView {
        safety_net: numbers.map(|n| held(n, "primary")).collect(),
        ..NodeView::default()
    }
}

#[test]
fn sn_12_keeps_many_messages_to_the_end_of_the_hold_time() {
    assert_snapshot!(many(200).view("n1", safe(1..=200)).settle().told("SN-12"), @"holds: 1 of 1 looks found every one of many messages in Safety Net near the end of SafetyNetHoldTime");
    assert_snapshot!(many(200).view("n1", safe(101..=200)).settle().told("SN-12"), @r"
    violated: only 0 of 1 looks found every one of many messages in Safety Net near the end of SafetyNetHoldTime
    - at 1 d 23 h 12 s the Safety Net of n1 lacks 100 of 200 messages (220100 octets) that came less than 2 d before, message 1 (n1/db/1) among them
    ");
}

#[test]
fn sn_12_says_nothing_of_few_messages_an_early_look_or_a_lost_disk() {
    let thin = "inconclusive: no Safety Net had 200 messages, or 64 MiB, when it was looked at near the end of \
                SafetyNetHoldTime";
    let told = |mut story: Story| story.settle().told("SN-12");
    let mut few = many(20);
    few.view("n1", safe(11..=20));
    assert_eq!(told(few), thin);
    let mut lost = many(200);
    lost.destroy("n1")
        .up("n1", "db")
        .view("n1", NodeView::default());
    assert_eq!(told(lost), thin);
    let mut over = many(200);
    over.after("2h").view("n1", NodeView::default());
    assert_eq!(told(over), thin);
}
