//! HB-12 and HB-13 on hand-written histories.

use insta::assert_snapshot;

use super::*;
use crate::scenario::Setting;

/// n1 is away for good; n2 takes message 1 over after three hours.
fn promoted() -> Story {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("3h 1m")
        .resubmits(1);
    story
}

#[test]
fn hb_12_a_promoted_message_in_transit_has_a_shadow_again() {
    let mut story = promoted();
    story.copy(1, "n2>n3").after("1h").sink(1, "n2").settle();
    assert_snapshot!(story.told("HB-12"), @"holds: 1 of 1 promoted messages had a shadow again");
}

#[test]
fn hb_12_is_violated_by_a_promoted_message_that_nobody_else_has() {
    let mut story = promoted();
    story.after("1h").sink(1, "n2").settle();
    assert_snapshot!(story.told("HB-12"), @r"
    violated: only 0 of 1 promoted messages had a shadow again
    - n2 promoted message 1 (n1/db/1) at 3 h 1 min and had not delivered it by 3 h 7 min 1 s; no other node had confirmed a copy by then
    ");
    let mut late = promoted();
    late.after("30m")
        .copy(1, "n2>n3")
        .after("1h")
        .sink(1, "n2")
        .settle();
    assert_snapshot!(late.told("HB-12"), @r"
    violated: only 0 of 1 promoted messages had a shadow again
    - n2 promoted message 1 (n1/db/1) at 3 h 1 min and had not delivered it by 3 h 7 min 1 s; no other node had confirmed a copy by then
    ");
}

#[test]
fn hb_12_asks_for_nothing_where_it_is_delivered_at_once_or_no_node_is_there() {
    let mut story = promoted();
    story.sink(1, "n2").settle();
    assert_snapshot!(story.told("HB-12"), @"inconclusive: no promoted message was in transit for long while a copy of it could be made");
    let mut alone = promoted();
    alone.part("n2", "n3").after("1h").sink(1, "n2").settle();
    assert_snapshot!(alone.told("HB-12"), @"inconclusive: no promoted message was in transit for long while a copy of it could be made");
}

#[test]
fn hb_12_asks_for_nothing_where_the_next_hop_refused_or_another_node_serves_the_recipient() {
    let thin = "inconclusive: no promoted message was in transit for long while a copy of it could be made";
    let link = "n2>sink-1";
    let answered = |code| {
        let mut story = promoted();
        story
            .connect(link)
            .command(link, "MAIL FROM:<s@x>", 250)
            .command(link, &format!("RCPT TO:<{EXTERNAL}>"), code)
            .after("1h")
            .settle();
        story.told("HB-12")
    };
    assert_eq!(answered(554), thin);
    // At RCPT it is tried again, as after 452.
    assert!(answered(552).starts_with("violated"));
    // n1 had the message from another node, which keeps the other recipient for itself.
    let mut story = story();
    story
        .boxed(1, "n1", "n2")
        .mailbox(1)
        .kill("n1")
        .after("3h 1m")
        .resubmits(1)
        .after("1h")
        .settle();
    assert_eq!(story.told("HB-12"), thin);
}

#[test]
fn hb_09_what_its_own_first_owner_gets_as_a_copy_was_never_promoted_by_it() {
    let mut story = promoted();
    story
        .up("n1", "db")
        .copy(1, "n2>n1")
        .after("1m")
        .view("n1", queued(&[1]))
        .after("2h")
        .settle();
    assert_snapshot!(story.told("HB-09"), @"holds: 2 of 2 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over");
}

/// n1 shows position 40, and then 12, under the same database ID.
fn backward() -> Story {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .greet("n2>n1", "db", 40)
        .discard("n2>n1", &[])
        .quit("n2>n1")
        .fault(crate::history::Fault::Revert { node: "n1".into() })
        .up("n1", "db")
        .after("2m")
        .greet("n2>n1", "db", 12)
        .discard("n2>n1", &[])
        .quit("n2>n1");
    story
}

#[test]
fn hb_13_an_earlier_state_promotes_at_that_heartbeat() {
    let mut story = backward();
    story.resubmits(1).sink(1, "n2").settle();
    assert_snapshot!(story.told("HB-13"), @"holds: 1 of 1 shadow messages were promoted at the heartbeat that showed an earlier state of the database");
    assert_snapshot!(story.told("HB-09"), @"inconclusive: no primary server was out of reach for half of ShadowResubmitTimeSpan");
    assert_snapshot!(story.told("HB-10"), @"inconclusive: no primary server answered with another database ID while a shadow message was held for it");
}

#[test]
fn hb_13_is_violated_by_a_shadow_server_that_does_not_notice() {
    let mut story = backward();
    story.settle();
    assert_snapshot!(story.told("HB-13"), @r"
    violated: only 0 of 1 shadow messages were promoted at the heartbeat that showed an earlier state of the database
    - n2 held message 1 (n1/db/1) for n1, which answered n2 with an earlier state of its database at 2 min 0.054 s; user-1@external.example had not got it by 4 h 2 min
    ");
    let mut late = backward();
    late.after("20m").resubmits(1).sink(1, "n2").settle();
    assert_snapshot!(late.told("HB-13"), @r"
    violated: only 0 of 1 shadow messages were promoted at the heartbeat that showed an earlier state of the database
    - n2 held message 1 (n1/db/1) for n1, which answered n2 with an earlier state of its database at 2 min 0.054 s; n2 resubmitted it only at 22 min 0.060 s
    ");
}

#[test]
fn hb_13_needs_an_earlier_state_and_detection() {
    let mut off = backward();
    off.set("StateRegressionDetection", Setting::Switch(false))
        .settle();
    assert_snapshot!(off.told("HB-13"), @"inconclusive: no primary server showed an earlier state of its database while a shadow message was held for it, and detection was on");
    let mut forward = story();
    forward
        .external(1, "n1", "n2")
        .ask("n2>n1", &[])
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(forward.told("HB-13"), @"inconclusive: no primary server showed an earlier state of its database while a shadow message was held for it, and detection was on");
}

/// The end of an epoch shows it, however far the log has gone since.
#[test]
fn hb_13_an_epoch_that_ended_before_the_place_that_was_shown() {
    let tells = |story: &mut Story, state: &str| {
        story.connect("n2>n1").command("n2>n1", "EHLO peer", 250);
        let (verb, line) = ("XPEER".to_owned(), "XPEER n2 00 00".to_owned());
        story.wire(
            "n2>n1",
            Wire::Command {
                verb: verb.clone(),
                line,
            },
        );
        let reply = reply(250, &format!("2.0.0 n1 db {state} 00"));
        story.wire("n2>n1", Wire::Reply { verb, reply });
        story.discard("n2>n1", &[]).quit("n2>n1");
    };
    let mut story = story();
    story.external(1, "n1", "n2");
    tells(&mut story, "40 a1 -");
    story.kill("n1").up("n1", "db").after("2m");
    let mut sound = story.clone();
    tells(&mut story, "90 b2 a1:12");
    story.resubmits(1).sink(1, "n2").settle();
    assert_snapshot!(story.told("HB-13"), @"holds: 1 of 1 shadow messages were promoted at the heartbeat that showed an earlier state of the database");
    assert_snapshot!(story.told("HB-09"), @"inconclusive: no primary server was out of reach for half of ShadowResubmitTimeSpan");
    tells(&mut sound, "90 b2 a1:41");
    sound.ask("n2>n1", &[1]).settle();
    assert_snapshot!(sound.told("HB-13"), @"inconclusive: no primary server showed an earlier state of its database while a shadow message was held for it, and detection was on");
}
