//! SC-13 and SC-17 on hand-written histories.

use crate::{
    check::testing::{EXTERNAL, MAILBOX, Story},
    history::{Fault, Outcome},
    scenario::Setting,
};

/// n1 and n2 in one site, n3 (with the mailboxes) and n4 in the other; no DAG.
fn two_boundaries() -> Story {
    let mut story = Story::new();
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let cluster = &mut story.scenario.cluster;
    cluster.nodes = names(&["n1", "n2", "n3", "n4"]);
    cluster.sites.insert("east".into(), names(&["n1", "n2"]));
    cluster.sites.insert("west".into(), names(&["n3", "n4"]));
    story
}

/// Message `n` is accepted by n1, and n3 has its end of data.
fn handed_over(story: &mut Story, n: u32) -> &mut Story {
    story.submit_as(n, "n1", |s| s.recipients = vec![MAILBOX.into()]);
    story.end_of_data(n).copy(n, "n1>n2").ack(n);
    story.goes_on(n, "n1>n3")
}

#[test]
fn sc_13_a_new_shadow_message_before_the_ack_of_the_other_boundary() {
    let mut story = two_boundaries();
    handed_over(&mut story, 1)
        .copy(1, "n3>n4")
        .answered_there(1, "n1>n3", 250)
        .mailbox(1)
        .settle();
    insta::assert_snapshot!(story.told("SC-13"), @"holds: 1 of 1 messages from another boundary had a new shadow message before their ack");
}

#[test]
fn sc_13_is_violated_by_an_ack_before_the_new_copy() {
    let mut story = two_boundaries();
    handed_over(&mut story, 1)
        .answered_there(1, "n1>n3", 250)
        .copy(1, "n3>n4")
        .mailbox(1)
        .settle();
    insta::assert_snapshot!(story.told("SC-13"), @r#"
violated: only 0 of 1 messages from another boundary had a new shadow message before their ack
- message 1 came to n3 from n1, in another boundary; 250 at 0.039 s, and no node of n3's boundary had confirmed a copy
"#);
}

#[test]
fn sc_13_a_copy_that_could_not_be_made_is_no_violation() {
    let mut story = two_boundaries();
    story.part("n3", "n4");
    handed_over(&mut story, 1)
        .answered_there(1, "n1>n3", 250)
        .mailbox(1)
        .heal()
        .settle();
    assert!(story.told("SC-13").starts_with("inconclusive"));
}

#[test]
fn sc_13_is_violated_by_peers_verbs_across_boundaries() {
    for line in ["XDELIVER n1/db/1 0", "XQDISCARD 0 100", "XSHADOW n1/db/1 0"] {
        let mut story = two_boundaries();
        story.accepted(1, "n1", "n2").connect("n1>n3");
        story
            .command("n1>n3", line, 250)
            .delivered(1, "n1")
            .settle();
        let told = story.told("SC-13");
        assert!(told.starts_with("violated"), "{told}");
    }
    // Within one boundary they are what they are for.
    let mut story = two_boundaries();
    story.accepted(1, "n1", "n2").connect("n2>n1");
    story
        .command("n2>n1", "XQDISCARD 0 100", 250)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-13"), @"inconclusive: no message went from one boundary to another one that could make a copy of it");
}

fn alone(reject: bool) -> Story {
    let mut story = Story::new();
    story.scenario.cluster.nodes = vec!["n1".into()];
    story.scenario.cluster.mailboxes = "n1".into();
    story.set("RejectMessageOnShadowFailure", Setting::Switch(reject));
    story
}

const NOT_REDUNDANT: &str = "4.4.0 Message failed to be made redundant";

#[test]
fn sc_17_a_single_node_does_what_reject_says() {
    let mut accepts = alone(false);
    accepts.submit(1, "n1").end_of_data(1).ack(1);
    accepts.sink(1, "n1").settle();
    insta::assert_snapshot!(accepts.told("SC-17"), @"holds: 1 of 1 cases of a documented limit were treated as documented, 1 message without a server for a copy");
    let mut refuses = alone(false);
    refuses
        .submit(1, "n1")
        .end_of_data(1)
        .refuse(1, 451, NOT_REDUNDANT)
        .settle();
    insta::assert_snapshot!(refuses.told("SC-17"), @r#"
violated: only 0 of 1 cases of a documented limit were treated as documented, 1 message without a server for a copy
- no other server may hold a copy for n1, and RejectMessageOnShadowFailure is false; 451 to client-1 at 0.020 s for message 1
"#);
    let mut refuses = alone(true);
    refuses
        .submit(1, "n1")
        .end_of_data(1)
        .refuse(1, 451, NOT_REDUNDANT)
        .settle();
    assert!(refuses.told("SC-17").starts_with("holds"));
    let mut accepts = alone(true);
    accepts.submit(1, "n1").end_of_data(1).ack(1).settle();
    assert!(accepts.told("SC-17").starts_with("violated"));
}

#[test]
fn sc_17_a_refusal_for_another_reason_says_nothing() {
    let mut story = alone(false);
    story
        .submit(1, "n1")
        .end_of_data(1)
        .refuse(1, 452, "4.3.1 no room")
        .settle();
    assert!(story.told("SC-17").starts_with("inconclusive"));
}

fn external(story: &mut Story, n: u32, node: &str, shadow: &str) {
    story.submit_as(n, node, |s| s.recipients = vec![EXTERNAL.into()]);
    story
        .end_of_data(n)
        .copy(n, &format!("{node}>{shadow}"))
        .ack(n);
}

#[test]
fn sc_17_both_own_servers_of_a_message_and_no_other_two() {
    let mut own = two_boundaries();
    external(&mut own, 1, "n1", "n2");
    own.destroy("n1").destroy("n2").settle();
    insta::assert_snapshot!(own.told("SC-17"), @"holds: 1 of 1 cases of a documented limit were treated as documented; outside the guarantee: 1 recipient: n1 destroyed at 0.035 s and n2 destroyed at 0.037 s, and message 1 was in transit all the while: more than one server failed at once");
    insta::assert_snapshot!(own.told("RO-06"), @"outside: n1 destroyed at 0.035 s and n2 destroyed at 0.037 s, and message 1 was in transit all the while: more than one server failed at once");
    // n4 had nothing to do with it: n2 should have delivered.
    let mut others = two_boundaries();
    external(&mut others, 1, "n1", "n2");
    others.destroy("n1").destroy("n4").settle();
    insta::assert_snapshot!(others.told("SC-17"), @r#"
violated: only 0 of 1 cases of a documented limit were treated as documented
- 250 to client-1 at 0.033 s for message 1; n1 destroyed at 0.035 s; no delivery to user-1@external.example by 4 h; therefore lost
"#);
    assert!(others.told("RO-06").starts_with("violated"));
}

#[test]
fn sc_17_a_message_that_was_acked_twice_has_two_pairs_of_servers() {
    let mut story = two_boundaries();
    external(&mut story, 1, "n1", "n2");
    external(&mut story, 1, "n4", "n3");
    story.destroy("n1").destroy("n2").settle();
    assert!(story.told("SC-17").starts_with("violated"));
    let mut both = two_boundaries();
    external(&mut both, 1, "n1", "n2");
    external(&mut both, 1, "n4", "n3");
    for node in ["n1", "n2", "n3", "n4"] {
        both.destroy(node);
    }
    both.settle();
    assert!(both.told("SC-17").starts_with("holds"));
}

#[test]
fn sc_17_what_was_handed_over_has_its_own_servers_in_the_other_boundary() {
    let handed = || {
        let mut story = two_boundaries();
        handed_over(&mut story, 1)
            .copy(1, "n3>n4")
            .answered_there(1, "n1>n3", 250);
        story
    };
    // The mailboxes are on n3, so its transport database alone is lost.
    let mut lost = handed();
    lost.kill("n3");
    lost.scenario.step.push(crate::scenario::Step::Start {
        node: "n3".into(),
        database: crate::scenario::Database::New,
    });
    let index = lost.scenario.step.len() - 1;
    lost.push(crate::history::Event::Step {
        index,
        text: "start".into(),
    });
    lost.up("n3", "db-n3-2").destroy("n4").settle();
    assert!(
        lost.told("SC-17").starts_with("holds"),
        "{}",
        lost.told("SC-17")
    );
    // One server of each boundary: n4 should have delivered.
    let mut kept = handed();
    kept.destroy("n2")
        .fault(Fault::HostCrash { node: "n3".into() });
    kept.up("n3", "db-n3-1").settle();
    assert!(
        kept.told("SC-17").starts_with("violated"),
        "{}",
        kept.told("SC-17")
    );
}

#[test]
fn sc_17_a_run_far_from_the_limits_says_nothing() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-17"), @"inconclusive: no message met a documented limit: enough servers for a copy, and not all of a message's own servers failed");
    let mut lost = Story::new();
    lost.accepted(1, "n1", "n2").settle();
    assert!(lost.told("SC-17").starts_with("inconclusive"));
    let mut unknown = Story::new();
    unknown
        .submit(1, "n1")
        .end_of_data(1)
        .ends(1, Outcome::Indeterminate, None);
    unknown.destroy("n1").destroy("n2").settle();
    assert!(
        unknown.told("SC-17").starts_with("inconclusive"),
        "{}",
        unknown.told("SC-17")
    );
}
