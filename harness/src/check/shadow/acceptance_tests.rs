//! SC-09 to SC-11 on hand-written histories.

use crate::{check::testing::Story, scenario::Setting};

const REFUSAL: &str = "4.4.0 Message failed to be made redundant";

fn reject(story: &mut Story) -> &mut Story {
    story.set("RejectMessageOnShadowFailure", Setting::Switch(true))
}

/// Message `n` comes to n1, whose tries for a copy fail.
fn hindered(story: &mut Story, n: u32) -> &mut Story {
    story
        .submit(n, "n1")
        .end_of_data(n)
        .connect_fails("n1>n2")
        .connect_fails("n1>n3")
}

#[test]
fn sc_09_accepts_what_cannot_be_copied() {
    let mut story = Story::new();
    hindered(&mut story, 1).ack(1).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-09"), @"holds: 1 of 1 messages without a copy were accepted and processed");

    let mut story = Story::new();
    hindered(&mut story, 1).refuse(1, 451, REFUSAL).settle();
    insta::assert_snapshot!(story.told("SC-09"), @r"
        violated: only 0 of 1 messages without a copy were accepted and processed
        - the try on n1>n2 at 0.019 s failed; 451 to client-1 at 0.024 s for message 1 although it may not be refused
    ");

    let mut story = Story::new();
    hindered(&mut story, 1).ack(1).settle();
    insta::assert_snapshot!(story.told("SC-09"), @r"
        violated: only 0 of 1 messages without a copy were accepted and processed
        - 250 to client-1 at 0.024 s for message 1; no delivery to user-1@external.example by 4 h; therefore lost
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-09"), @"inconclusive: a copy could be made of every message");
}

#[test]
fn sc_09_knows_that_no_copy_can_be_made_from_the_faults_alone() {
    let mut story = Story::new();
    story
        .kill("n2")
        .kill("n3")
        .submit(1, "n1")
        .end_of_data(1)
        .after("2m")
        .ack(1);
    story
        .up("n2", "db-n2-1")
        .up("n3", "db-n3-1")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-09"), @"holds: 1 of 1 messages without a copy were accepted and processed");
}

#[test]
fn sc_10_refuses_what_cannot_be_copied_and_takes_it_later() {
    let mut story = Story::new();
    hindered(reject(&mut story), 1)
        .refuse(1, 451, REFUSAL)
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-10"), @"holds: 1 of 1 messages without a copy were refused with 451 4.4.0, and none of them delivered; 1 were sent again with success");
}

#[test]
fn sc_10_is_violated_by_an_ack_without_a_copy() {
    let mut story = Story::new();
    hindered(reject(&mut story), 1)
        .ack(1)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-10"), @r"
        violated: only 0 of 1 messages without a copy were refused with 451 4.4.0, and none of them delivered
        - the try on n1>n2 at 0.019 s failed; 250 to client-1 at 0.024 s for message 1
    ");
}

#[test]
fn sc_10_is_violated_by_the_delivery_of_what_was_refused() {
    let mut story = Story::new();
    hindered(reject(&mut story), 1)
        .refuse(1, 451, REFUSAL)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-10"), @r"
        violated: only 0 of 1 messages without a copy were refused with 451 4.4.0, and none of them delivered
        - 451 to client-1 at 0.024 s; message 1 came to user-1@external.example at sink-1 at 0.035 s all the same
        - 451 to client-1 at 0.024 s; message 1 came to user-1@mailbox.example at n3 at 0.035 s all the same
    ");
}

#[test]
fn sc_10_tells_the_refused_attempt_from_the_one_that_was_taken() {
    let mut story = Story::new();
    hindered(reject(&mut story), 1)
        .refuse(1, 451, REFUSAL)
        .sink(1, "n1");
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-10"), @r"
        violated: only 0 of 1 messages without a copy were refused with 451 4.4.0, and none of them delivered; 1 were sent again with success
        - 451 to client-1 at 0.024 s; message 1 came to user-1@external.example at sink-1 at 0.035 s all the same
    ");
}

#[test]
fn sc_10_is_violated_by_another_reply() {
    let mut story = Story::new();
    hindered(reject(&mut story), 1)
        .refuse(1, 452, "4.3.2 try later")
        .settle();
    insta::assert_snapshot!(story.told("SC-10"), @r"
        violated: only 0 of 1 messages without a copy were refused with 451 4.4.0, and none of them delivered
        - message 1 was refused with `452 4.3.2 try later`
    ");
}

#[test]
fn sc_10_is_inconclusive_when_every_copy_could_be_made() {
    let mut story = Story::new();
    reject(&mut story)
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-10"), @"inconclusive: a copy could be made of every message");
}

fn off(story: &mut Story) -> &mut Story {
    reject(story).set("ShadowRedundancyEnabled", Setting::Switch(false))
}

#[test]
fn sc_11_makes_no_copy_and_refuses_nothing() {
    let mut story = Story::new();
    off(&mut story)
        .submit(1, "n1")
        .end_of_data(1)
        .ack(1)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-11"), @"holds: 1 of 1 messages were accepted without a try for a copy");

    let mut story = Story::new();
    off(&mut story)
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("SC-11"), @r"
        violated: only 1 of 2 messages were accepted without a try for a copy
        - n1 began a copy to n2 at 0.023 s
    ");

    let mut story = Story::new();
    off(&mut story)
        .submit(1, "n1")
        .end_of_data(1)
        .refuse(1, 451, REFUSAL)
        .settle();
    insta::assert_snapshot!(story.told("SC-11"), @r"
        violated: only 0 of 1 messages were accepted without a try for a copy
        - message 1 was refused with 451 while shadow redundancy was off
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("SC-11"), @"inconclusive: no message was acked with shadow redundancy off");
}

/// A 2010-style hub makes no copies, and knows no RejectMessageOnShadowFailure.
#[test]
fn sc_09_to_sc_11_ask_nothing_of_a_2010_style_hub() {
    let told = |id: &str, hub: bool, (name, on): (&str, bool)| {
        let mut story = Story::new();
        story.scenario.cluster.nodes.push("h1".into());
        if hub {
            story.scenario.cluster.hubs_2010 = vec!["h1".into()];
        }
        story.set(name, Setting::Switch(on));
        story
            .kill("n1")
            .kill("n2")
            .kill("n3")
            .submit(1, "h1")
            .end_of_data(1)
            .ack(1)
            .delivered(1, "h1")
            .settle();
        let told = story.told(id);
        told.split(':').next().unwrap_or_default().to_owned()
    };
    let reject = ("RejectMessageOnShadowFailure", true);
    let accept = ("RejectMessageOnShadowFailure", false);
    let off = ("ShadowRedundancyEnabled", false);
    for (id, setting, of_2013) in [
        ("SC-09", accept, "holds"),
        ("SC-10", reject, "violated"),
        ("SC-11", off, "holds"),
    ] {
        assert_eq!(told(id, false, setting), of_2013, "{id}");
        assert_eq!(told(id, true, setting), "inconclusive", "{id}");
    }
}
