//! HB-03, HB-04 and HB-06.

use insta::assert_snapshot;

use super::{discards, shadows, story};
use crate::check::testing::{EXTERNAL, Story};

#[test]
fn each_shadow_server_is_told_of_its_own() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .external(2, "n1", "n3")
        .sink(1, "n1")
        .sink(2, "n1");
    story.ask("n2>n1", &[1]).ask("n3>n1", &[2]).settle();
    assert_snapshot!(story.told("HB-03"), @"holds: 2 of 2 discard notifications were for the server that asked");
}

#[test]
fn a_shadow_server_is_told_of_anothers() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .external(2, "n1", "n3")
        .sink(1, "n1")
        .sink(2, "n1");
    story.ask("n2>n1", &[1, 2]).ask("n3>n1", &[2]).settle();
    assert_snapshot!(story.told("HB-03"), @r"
    violated: only 2 of 3 discard notifications were for the server that asked
    - at 0.094 s n1 told n2 that message 2 (n1/db/2) is done, of which n2 never got a copy: it went to n3
    ");
}

impl Story {
    /// Message `n`, for an external recipient only, comes to the node.
    fn end_of_data_of(&mut self, n: u32, node: &str) -> &mut Self {
        self.submit_as(n, node, |s| s.recipients = vec![EXTERNAL.into()])
            .end_of_data(n)
    }
}

/// n1 notifies n2 and n3, each of one message; before that `way` happens, and n2 is told of n3's, too.
fn told_of_anothers_after(way: impl Fn(&mut Story)) -> String {
    let mut story = story();
    story.external(1, "n1", "n2").end_of_data_of(2, "n1");
    way(&mut story);
    story.copy(2, "n1>n3").ack(2).sink(1, "n1").sink(2, "n1");
    story.ask("n2>n1", &[1, 2]).ask("n3>n1", &[2]).settle();
    story.told("HB-03")
}

#[test]
fn a_server_to_which_an_attempt_came_to_nothing_may_be_told() {
    assert_snapshot!(told_of_anothers_after(|s| {
        s.connect_fails("n1>n2");
    }), @"holds: 2 of 2 discard notifications were for the server that asked");
    assert_snapshot!(told_of_anothers_after(|s| {
        s.connect("n1>n2").close("n1>n2", "tap");
    }), @"holds: 2 of 2 discard notifications were for the server that asked");
}

#[test]
fn a_heartbeat_is_no_attempt() {
    assert_snapshot!(told_of_anothers_after(|s| {
        s.ask("n1>n2", &[]);
    }), @r"
    violated: only 2 of 3 discard notifications were for the server that asked
    - at 0.105 s n1 told n2 that message 2 (n1/db/2) is done, of which n2 never got a copy: it went to n3
    ");
}

#[test]
fn an_attempt_before_the_message_came_is_another_messages() {
    let mut story = story();
    story.connect_fails("n1>n2").after("1m");
    story
        .external(1, "n1", "n2")
        .external(2, "n1", "n3")
        .sink(1, "n1")
        .sink(2, "n1");
    story.ask("n2>n1", &[1, 2]).ask("n3>n1", &[2]).settle();
    assert_snapshot!(story.told("HB-03"), @r"
    violated: only 2 of 3 discard notifications were for the server that asked
    - at 1 min 0.096 s n1 told n2 that message 2 (n1/db/2) is done, of which n2 never got a copy: it went to n3
    ");
}

#[test]
fn a_server_outside_the_boundary_is_never_told_whatever_was_tried() {
    let mut story = story();
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let sites = &mut story.scenario.cluster.sites;
    sites.insert("east".into(), names(&["n1", "n3"]));
    sites.insert("west".into(), names(&["n2"]));
    story.end_of_data_of(1, "n1").connect_fails("n1>n2");
    story.copy(1, "n1>n3").ack(1).sink(1, "n1");
    story.ask("n2>n1", &[1]).ask("n3>n1", &[1]).settle();
    assert_snapshot!(story.told("HB-03"), @r"
    violated: only 1 of 2 discard notifications were for the server that asked
    - at 0.055 s n1 told n2 that message 1 (n1/db/1) is done, of which n2 never got a copy: it went to n3
    ");
}

#[test]
fn a_copy_may_be_under_way_to_whoever_is_told() {
    let mut story = story();
    story
        .external(1, "n1", "n3")
        .external(2, "n1", "n2")
        .sink(1, "n1")
        .sink(2, "n1");
    story
        .ask("n3>n1", &[1])
        .ask("n2>n1", &[1, 2])
        .copy(1, "n1>n2")
        .settle();
    assert_snapshot!(story.told("HB-03"), @"holds: 2 of 2 discard notifications were for the server that asked");
}

#[test]
fn a_promoted_message_keeps_its_name_and_its_new_owner_tells_of_it() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .external(2, "n1", "n2")
        .kill("n1")
        .after("3h 1m")
        .resubmits(1)
        .resubmits(2)
        .connect_fails("n2>n1")
        .copy(1, "n2>n3")
        .copy(2, "n2>n3")
        .up("n1", "db")
        .sink(1, "n2")
        .sink(2, "n2")
        .ask("n1>n2", &[1])
        .ask("n3>n2", &[1, 2])
        .settle();
    assert_snapshot!(story.told("HB-03"), @"holds: 2 of 2 discard notifications were for the server that asked");
}

#[test]
fn one_shadow_server_alone_proves_nothing() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-03"), @"inconclusive: no primary server had notifications for two shadow servers");
}

#[test]
fn a_shadow_message_is_there_after_an_answer_without_it() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 2, "2m")
        .after("1m")
        .view("n2", shadows(&[1]))
        .settle();
    assert_snapshot!(story.told("HB-04"), @"holds: 1 of 1 shadow messages that nobody had said were done were still in their shadow queue");
}

#[test]
fn a_shadow_message_is_gone_after_an_answer_without_it() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 2, "2m")
        .after("1m")
        .view("n2", shadows(&[]))
        .settle();
    assert_snapshot!(story.told("HB-04"), @r"
    violated: only 0 of 1 shadow messages that nobody had said were done were still in their shadow queue
    - n2 confirmed the copy of message 1 (n1/db/1) at 0.031 s; n1 answered 2 questions of n2 since, and never said that the message is done; at 5 min 0.057 s it is not in n2's shadow queue any more
    ");
}

#[test]
fn a_shadow_message_may_go_after_its_notification() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .after("2m")
        .ask("n2>n1", &[1])
        .after("1m")
        .view("n2", shadows(&[]))
        .settle();
    assert_snapshot!(story.told("HB-04"), @"inconclusive: no view was read while a shadow message waited for its notification after an answered question");
}

/// A promoted message may be done while its copy is on the way (HB-12).
#[test]
fn a_notification_may_come_before_the_copy_is_confirmed() {
    let mut story = story();
    story.end_of_data_of(1, "n1").copy_sent(1, "n1>n2");
    story.sink(1, "n1").ask("n2>n1", &[1]);
    story.copy_answered(1, "n1>n2", 250).ack(1);
    story
        .asks("n2>n1", 2, "2m")
        .after("1m")
        .view("n2", shadows(&[]))
        .settle();
    assert_snapshot!(story.told("HB-04"), @"inconclusive: no view was read while a shadow message waited for its notification after an answered question");
}

/// n2 asks n1 in the session in which it brings it a copy of its own, and acts on the answer when that copy is answered.
/// Meanwhile n1 gives it a copy of what the answer says is done; or it does so only after that.
#[test]
fn an_answer_ends_a_copy_that_was_offered_while_its_transaction_went_on() {
    let told = |over_before_the_offer: bool| {
        let mut story = story();
        story
            .end_of_data_of(1, "n1")
            .connect_fails("n1>n2")
            .sink(1, "n1");
        story
            .end_of_data_of(2, "n2")
            .greet("n2>n1", "db", 7)
            .discard("n2>n1", &[1])
            .copy_sent(2, "n2>n1");
        if over_before_the_offer {
            story.copy_answered(2, "n2>n1", 451).copy(1, "n1>n2");
        } else {
            story.copy(1, "n1>n2").copy_answered(2, "n2>n1", 451);
        }
        story.ack(1).ack(2);
        story
            .asks("n2>n1", 2, "2m")
            .after("1m")
            .view("n2", shadows(&[]))
            .after("1h")
            .settle();
        [story.told("HB-04"), story.told("HB-02")]
    };
    let [hb_04, hb_02] = told(false);
    assert_snapshot!(hb_04, @"inconclusive: no view was read while a shadow message waited for its notification after an answered question");
    assert_snapshot!(hb_02, @"inconclusive: no shadow message was held long enough for a heartbeat");
    let [hb_04, hb_02] = told(true);
    assert_snapshot!(hb_04, @r"
    violated: only 0 of 1 shadow messages that nobody had said were done were still in their shadow queue
    - n2 confirmed the copy of message 1 (n1/db/1) at 0.068 s; n1 answered 2 questions of n2 since, and never said that the message is done; at 5 min 0.096 s it is not in n2's shadow queue any more
    ");
    assert_snapshot!(hb_02, @r"
    violated: only 2 of 3 pauses between questions were at most ShadowHeartbeatFrequency
    - n2 held shadow messages for n1, both were up and could reach each other; from its last question at 4 min 0.095 s to 3 h 3 min 59 s n2 asked nothing, for 2 h 59 min 58 s: ShadowHeartbeatFrequency is 2 min
    ");
}

#[test]
fn a_shadow_message_may_go_after_three_hours_without_an_answer() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 1, "2m")
        .kill("n1")
        .after("3h")
        .view("n2", shadows(&[]))
        .settle();
    assert_snapshot!(story.told("HB-04"), @"inconclusive: no view was read while a shadow message waited for its notification after an answered question");
}

#[test]
fn a_view_in_the_same_moment_as_the_copy_is_not_judged() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .view("n2", shadows(&[]))
        .settle();
    assert_snapshot!(story.told("HB-04"), @"inconclusive: no view was read while a shadow message waited for its notification after an answered question");
}

/// n1 delivers, crashes and comes back; then n2 asks.
fn after_a_crash(told: &[u32]) -> String {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .after("30s")
        .kill("n1")
        .after("10s")
        .up("n1", "db");
    story.after("1m").ask("n2>n1", told).settle();
    story.told("HB-06")
}

#[test]
fn a_notification_from_before_the_crash_is_given() {
    assert_snapshot!(after_a_crash(&[1]), @"holds: 1 of 1 discard events from before a crash of the primary server were given after it");
}

#[test]
fn a_notification_from_before_the_crash_is_forgotten() {
    assert_snapshot!(after_a_crash(&[]), @r"
    violated: only 0 of 1 discard events from before a crash of the primary server were given after it
    - n1 had delivered message 1 (n1/db/1) before it went down at 30.047 s; it came back at 40.048 s with the same database, and answered at 1 min 40.056 s that it has nothing (more) to tell n2: the discard event is gone
    ");
}

#[test]
fn the_primarys_own_view_tells_that_the_event_was_there() {
    let mut story = story();
    // Its delivery was not seen on the wire: its next hop is its own mailbox, say.
    story
        .boxed(1, "n1", "n2")
        .after("30s")
        .view("n1", discards(&[1], "n2"))
        .kill("n1")
        .up("n1", "db");
    story.after("1m").ask("n2>n1", &[]).settle();
    assert_snapshot!(story.told("HB-06"), @r"
    violated: only 0 of 1 discard events from before a crash of the primary server were given after it
    - n1 had delivered message 1 (n1/db/1) before it went down at 30.037 s; it came back at 30.038 s with the same database, and answered at 1 min 30.046 s that it has nothing (more) to tell n2: the discard event is gone
    ");
}

#[test]
fn a_delivery_in_the_moment_of_the_crash_is_not_judged() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .kill("n1")
        .after("10s")
        .up("n1", "db");
    story.after("1m").ask("n2>n1", &[]).settle();
    assert_snapshot!(story.told("HB-06"), @"inconclusive: no primary server crashed between a delivery and the question for it");
}

#[test]
fn another_database_has_nothing_to_tell() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .after("30s")
        .kill("n1")
        .after("10s")
        .up("n1", "new");
    story
        .after("1m")
        .greet("n2>n1", "new", 1)
        .discard("n2>n1", &[])
        .quit("n2>n1")
        .settle();
    assert_snapshot!(story.told("HB-06"), @"inconclusive: no primary server crashed between a delivery and the question for it");
}
