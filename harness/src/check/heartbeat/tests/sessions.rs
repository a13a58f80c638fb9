//! HB-01 and HB-02.

use insta::assert_snapshot;

use super::story;

/// n2 holds message 1 for n1, and makes a copy of message 2 there.
fn with_a_copy_of_its_own(discard: bool) -> String {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .after("10s")
        .submit(2, "n2")
        .end_of_data(2);
    let link = "n2>n1";
    story.copy_begins(2, link);
    if discard {
        story.discard(link, &[]);
    }
    story
        .command(link, "QUIT", 221)
        .copy_answered(2, link, 250)
        .ack(2)
        .settle();
    story.told("HB-01")
}

#[test]
fn a_session_for_a_copy_has_an_xqdiscard() {
    assert_snapshot!(with_a_copy_of_its_own(true), @"holds: 1 of 1 sessions that a shadow server opened to its primary server for other mail had an XQDISCARD");
}

#[test]
fn a_session_for_a_copy_lacks_the_xqdiscard() {
    assert_snapshot!(with_a_copy_of_its_own(false), @r"
    violated: only 0 of 1 sessions that a shadow server opened to its primary server for other mail had an XQDISCARD
    - n2 held message 1 (n1/db/1) for n1 since 0.031 s; it opened a session to n1 at 10.050 s for a shadow copy of its own, and ended it at 10.068 s without XQDISCARD
    ");
}

#[test]
fn heartbeats_alone_prove_nothing_about_other_sessions() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 3, "2m")
        .settle();
    assert_snapshot!(story.told("HB-01"), @"inconclusive: no shadow server opened a session for other mail to its primary server while it held a shadow message");
}

#[test]
fn a_session_that_was_broken_off_is_not_judged() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .greet("n2>n1", "db", 7)
        .close("n2>n1", "server")
        .settle();
    assert_snapshot!(story.told("HB-01"), @"inconclusive: no shadow server opened a session for other mail to its primary server while it held a shadow message");
}

#[test]
fn without_a_shadow_message_no_xqdiscard_is_due() {
    let mut story = story();
    story
        .greet("n2>n1", "db", 7)
        .command("n2>n1", "MAIL FROM:<>", 250)
        .quit("n2>n1")
        .settle();
    assert_snapshot!(story.told("HB-01"), @"inconclusive: no shadow server opened a session for other mail to its primary server while it held a shadow message");
}

#[test]
fn heartbeats_come_every_two_minutes() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 4, "1m 59s")
        .sink(1, "n1")
        .after("1m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-02"), @"holds: 5 of 5 pauses between questions were at most ShadowHeartbeatFrequency");
}

#[test]
fn heartbeats_come_every_six_minutes() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 2, "6m")
        .sink(1, "n1")
        .after("1m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-02"), @r"
    violated: only 1 of 3 pauses between questions were at most ShadowHeartbeatFrequency
    - n2 held shadow messages for n1, both were up and could reach each other; from 0.031 s to 6 min 0.035 s n2 asked nothing, for 6 min: ShadowHeartbeatFrequency is 2 min
    - n2 held shadow messages for n1, both were up and could reach each other; from its last question at 6 min 0.045 s to 12 min 0.046 s n2 asked nothing, for 6 min: ShadowHeartbeatFrequency is 2 min
    ");
}

#[test]
fn no_heartbeat_ever_comes() {
    let mut story = story();
    story.external(1, "n1", "n2").settle();
    assert_snapshot!(story.told("HB-02"), @r"
    violated: only 0 of 1 pauses between questions were at most ShadowHeartbeatFrequency
    - n2 held shadow messages for n1, both were up and could reach each other; from 0.031 s to 2 h 59 min 59 s n2 asked nothing, for 2 h 59 min 58 s: ShadowHeartbeatFrequency is 2 min
    ");
}

#[test]
fn failed_attempts_are_heartbeats_too() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .after("2m")
        .connect_fails("n2>n1")
        .after("2m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-02"), @"holds: 2 of 2 pauses between questions were at most ShadowHeartbeatFrequency");
}

#[test]
fn a_partition_and_ten_minutes_after_it_do_not_count() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .part("n1", "n2")
        .after("30m")
        .heal()
        .after("9m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-02"), @"inconclusive: no shadow message was held long enough for a heartbeat");
}

#[test]
fn a_discarded_shadow_message_needs_no_heartbeat() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .after("1m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-02"), @"holds: 1 of 1 pauses between questions were at most ShadowHeartbeatFrequency");
}

#[test]
fn where_time_is_real_the_scaled_frequency_counts() {
    let scaled = |every: &str| {
        let mut story = story();
        (story.substrate, story.time_scale) = ("process", 600);
        story
            .external(1, "n1", "n2")
            .asks("n2>n1", 4, every)
            .sink(1, "n1")
            .ask("n2>n1", &[1])
            .settle();
        story.told("HB-02")
    };
    // 2 min are 200 ms, and 250 ms are tolerated.
    assert_snapshot!(scaled("230ms"), @"holds: 5 of 5 pauses between questions were at most ShadowHeartbeatFrequency");
    assert_snapshot!(scaled("600ms"), @r"
    violated: only 1 of 5 pauses between questions were at most ShadowHeartbeatFrequency
    - n2 held shadow messages for n1, both were up and could reach each other; from 0.031 s to 0.635 s n2 asked nothing, for 604 ms: ShadowHeartbeatFrequency is 200 ms
    - n2 held shadow messages for n1, both were up and could reach each other; from its last question at 0.645 s to 1.246 s n2 asked nothing, for 601 ms: ShadowHeartbeatFrequency is 200 ms
    - n2 held shadow messages for n1, both were up and could reach each other; from its last question at 1.256 s to 1.857 s n2 asked nothing, for 601 ms: ShadowHeartbeatFrequency is 200 ms
    ");
}
