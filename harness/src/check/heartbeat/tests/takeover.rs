//! HB-08, HB-09 and HB-10.

use insta::assert_snapshot;
use serde_json::json;

use super::{id, queued, shadows, story};
use crate::{
    check::testing::{EXTERNAL, Story},
    history::Event,
    scenario::SinkBehaviour,
};

impl Story {
    /// n2's tracking log says that it took message `n` over.
    pub(super) fn resubmits(&mut self, n: u32) -> &mut Self {
        let entry =
            json!({ "event": "RESUBMIT", "source": "SHADOWREDUNDANCY", "transport-id": id(n) });
        self.push(Event::Tracking {
            node: "n2".into(),
            entry,
        })
    }
}

#[test]
fn a_dead_primarys_message_is_promoted_and_delivered() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 1, "2m")
        .kill("n1")
        .after("3h 1m")
        .resubmits(1)
        .sink(1, "n2")
        .settle();
    assert_snapshot!(story.told("HB-08"), @"holds: 1 of 1 shadow messages of an unreachable primary server were promoted and delivered");
    assert_snapshot!(story.told("HB-09"), @"holds: 1 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over");
}

#[test]
fn a_dead_primarys_message_is_never_promoted() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 1, "2m")
        .kill("n1")
        .settle();
    assert_snapshot!(story.told("HB-08"), @r"
    violated: only 0 of 1 shadow messages of an unreachable primary server were promoted and delivered
    - n2 held message 1 (n1/db/1) for n1, and had the last sign of life from it at 2 min 0.044 s (ShadowResubmitTimeSpan is 3 h); by 3 h 6 min 1 s it was due to take over, and user-1@external.example never got it
    ");
}

#[test]
fn a_dead_primarys_message_is_still_a_shadow_message_when_the_next_hop_is_closed() {
    let mut story = story();
    story
        .sink_is(SinkBehaviour::Down)
        .external(1, "n1", "n2")
        .kill("n1")
        .after("4h")
        .view("n2", shadows(&[1]))
        .settle();
    assert_snapshot!(story.told("HB-08"), @r"
    violated: only 0 of 1 shadow messages of an unreachable primary server were promoted and delivered
    - n2 held message 1 (n1/db/1) for n1, and had the last sign of life from it at 0.032 s (ShadowResubmitTimeSpan is 3 h); at 4 h it is still a shadow message
    ");
}

#[test]
fn a_promoted_message_is_not_delivered() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("3h 1m")
        .resubmits(1)
        .settle();
    assert_snapshot!(story.told("HB-08"), @r"
    violated: only 0 of 1 shadow messages of an unreachable primary server were promoted and delivered
    - n2 held message 1 (n1/db/1) for n1, and had the last sign of life from it at 0.031 s (ShadowResubmitTimeSpan is 3 h); n2 resubmitted it at 3 h 1 min, but user-1@external.example never got it
    ");
}

#[test]
fn a_promotion_an_hour_late() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("4h")
        .resubmits(1)
        .sink(1, "n2")
        .settle();
    assert_snapshot!(story.told("HB-08"), @r"
    violated: only 0 of 1 shadow messages of an unreachable primary server were promoted and delivered
    - n2 held message 1 (n1/db/1) for n1, and had the last sign of life from it at 0.031 s (ShadowResubmitTimeSpan is 3 h); n2 resubmitted it only at 4 h
    ");
}

#[test]
fn two_hours_are_no_outage() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("2h")
        .up("n1", "db")
        .sink(1, "n1")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-08"), @"inconclusive: no primary server was out of reach for ShadowResubmitTimeSpan while a shadow message was held for it");
    assert_snapshot!(story.told("HB-09"), @"holds: 1 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over");
}

#[test]
fn promotion_after_half_the_span() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 1, "2m")
        .kill("n1")
        .after("1h 30m")
        .resubmits(1)
        .settle();
    assert_snapshot!(story.told("HB-09"), @r"
    violated: only 0 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over
    - n2 held message 1 (n1/db/1) for n1, and had last heard from it at 2 min 0.042 s; n2 resubmitted it at 1 h 32 min, only 1 h 30 min later: ShadowResubmitTimeSpan is 3 h
    ");
}

#[test]
fn a_shadow_server_that_froze_before_its_answer_counts_from_the_copys_end_of_data() {
    let promoted_after = |time: &str| {
        let mut story = story();
        story
            .submit(1, "n1")
            .end_of_data(1)
            .copy_begins(1, "n1>n2")
            .fault(crate::history::Fault::Freeze { node: "n2".into() })
            .after("1m")
            .heal()
            .copy_answered(1, "n1>n2", 250)
            .ack(1)
            .kill("n1")
            .after(time)
            .resubmits(1)
            .settle();
        story.told("HB-09")
    };
    assert_snapshot!(promoted_after("2h 59m 30s"), @"holds: 1 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over");
    assert_snapshot!(promoted_after("2h 58m 30s"), @r"
    violated: only 0 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over
    - n2 held message 1 (n1/db/1) for n1, and had last heard from it at 1 min 0.038 s; n2 resubmitted it at 2 h 59 min 30 s, only 2 h 58 min 30 s later: ShadowResubmitTimeSpan is 3 h
    ");
}

#[test]
fn a_view_or_a_delivery_shows_an_early_promotion_as_well() {
    let mut shown = story();
    shown
        .external(1, "n1", "n2")
        .kill("n1")
        .after("2h")
        .view("n2", queued(&[1]))
        .settle();
    assert_snapshot!(shown.told("HB-09"), @r"
    violated: only 0 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over
    - n2 held message 1 (n1/db/1) for n1, and had last heard from it at 0.031 s; n2 shows it in its queue at 2 h, only 2 h later: ShadowResubmitTimeSpan is 3 h
    ");
    let mut sent = story();
    sent.external(1, "n1", "n2")
        .kill("n1")
        .after("2h")
        .sink(1, "n2")
        .settle();
    assert_snapshot!(sent.told("HB-09"), @r"
    violated: only 0 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over
    - n2 held message 1 (n1/db/1) for n1, and had last heard from it at 0.031 s; n2 sent it to sink-1 at 2 h, only 2 h later: ShadowResubmitTimeSpan is 3 h
    ");
}

/// Three outages of 80 minutes, with an answer between; then what `end` tells.
#[test]
fn a_second_transmission_that_came_to_the_same_server_may_be_what_it_sends() {
    let again = |link: &str| {
        let mut story = story();
        story
            .external(1, "n1", "n2")
            .after("1m")
            .submit_as(1, "n1", |s| {
                s.attempt = 1;
                s.recipients = vec![EXTERNAL.into()];
            })
            .end_of_data(1)
            .copy(1, link)
            .ack(1)
            .kill("n1")
            .after("1h")
            .sink(1, "n2")
            .settle();
        story.told("HB-09")
    };
    assert_snapshot!(again("n1>n2"), @"holds: 2 of 2 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over");
    assert_snapshot!(again("n1>n3"), @r"
    violated: only 1 of 2 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over
    - n2 held message 1 (n1/db/1) for n1, and had last heard from it at 0.031 s; n2 sent it to sink-1 at 1 h 1 min, only 1 h 1 min later: ShadowResubmitTimeSpan is 3 h
    ");
}

fn flapping(end: impl FnOnce(&mut Story)) -> String {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 3, "80m")
        .after("80m");
    end(&mut story);
    story.settle();
    story.told("HB-09")
}

#[test]
fn short_outages_do_not_add_up() {
    assert_snapshot!(flapping(|story| { story.sink(1, "n1").ask("n2>n1", &[1]); }), @"holds: 1 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over");
}

#[test]
fn short_outages_are_added_up() {
    assert_snapshot!(flapping(|story| { story.resubmits(1); }), @r"
    violated: only 0 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over
    - n2 held message 1 (n1/db/1) for n1, and had last heard from it at 4 h; n2 resubmitted it at 5 h 20 min, only 1 h 20 min later: ShadowResubmitTimeSpan is 3 h
    ");
}

#[test]
fn a_promotion_that_was_right_may_be_seen_after_the_primary_is_back() {
    let mut story = story();
    story
        .sink_is(SinkBehaviour::Down)
        .external(1, "n1", "n2")
        .kill("n1")
        .after("3h 10m")
        .up("n1", "db");
    story
        .ask("n2>n1", &[])
        .after("1m")
        .view("n2", queued(&[1]))
        .settle();
    assert_snapshot!(story.told("HB-09"), @"holds: 1 of 1 shadow messages of a primary server out of reach were left alone until ShadowResubmitTimeSpan was over");
}

#[test]
fn heartbeats_without_an_outage_prove_nothing_about_promotion() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .asks("n2>n1", 5, "2m")
        .sink(1, "n1")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-09"), @"inconclusive: no primary server was out of reach for half of ShadowResubmitTimeSpan");
}

/// n1 comes back with another database and says so at a heartbeat.
fn renewed() -> Story {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .ask("n2>n1", &[])
        .kill("n1")
        .after("10m")
        .up("n1", "new");
    story
        .after("1m")
        .greet("n2>n1", "new", 1)
        .discard("n2>n1", &[])
        .quit("n2>n1");
    story
}

#[test]
fn another_database_promotes_at_once() {
    let mut story = renewed();
    story.resubmits(1).sink(1, "n2").settle();
    assert_snapshot!(story.told("HB-10"), @"holds: 1 of 1 shadow messages were promoted at the heartbeat that showed another database ID");
    // It is no early promotion.
    assert_snapshot!(story.told("HB-09"), @"inconclusive: no primary server was out of reach for half of ShadowResubmitTimeSpan");
}

#[test]
fn another_database_is_not_noticed() {
    let mut lost = renewed();
    lost.settle();
    assert_snapshot!(lost.told("HB-10"), @r"
    violated: only 0 of 1 shadow messages were promoted at the heartbeat that showed another database ID
    - n2 held message 1 (n1/db/1) for n1, which answered n2 with another database ID at 11 min 0.054 s; user-1@external.example had not got it by 4 h 11 min
    ");
    let mut shown = renewed();
    shown.after("5m").view("n2", shadows(&[1])).settle();
    assert_snapshot!(shown.told("HB-10"), @r"
    violated: only 0 of 1 shadow messages were promoted at the heartbeat that showed another database ID
    - n2 held message 1 (n1/db/1) for n1, which answered n2 with another database ID at 11 min 0.054 s; at 16 min 0.060 s it is still a shadow message
    ");
}

#[test]
fn another_database_is_noticed_late() {
    let mut story = renewed();
    story.after("10m").resubmits(1).sink(1, "n2").settle();
    assert_snapshot!(story.told("HB-10"), @r"
    violated: only 0 of 1 shadow messages were promoted at the heartbeat that showed another database ID
    - n2 held message 1 (n1/db/1) for n1, which answered n2 with another database ID at 11 min 0.054 s; n2 resubmitted it only at 21 min 0.060 s
    ");
}

#[test]
fn the_same_database_proves_nothing() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .ask("n2>n1", &[])
        .kill("n1")
        .up("n1", "db")
        .ask("n2>n1", &[])
        .settle();
    assert_snapshot!(story.told("HB-10"), @"inconclusive: no primary server answered with another database ID while a shadow message was held for it");
}

/// n1 comes back empty, n2 promotes what it took in before and gives it a copy back; n2 is rebuilt in turn, and n1 promotes and
/// gives n3 a copy, out of its new database under the old name. n3 hears of that database; or of yet another one.
#[test]
fn a_name_from_an_earlier_database_does_not_tell_the_database_that_a_copy_comes_from() {
    let told = |heard: &str| {
        let mut story = story();
        story
            .sink_is(SinkBehaviour::Down)
            .external(1, "n1", "n2")
            .destroy("n1")
            .after("10m")
            .up("n1", "new");
        story
            .greet("n2>n1", "new", 1)
            .quit("n2>n1")
            .resubmits(1)
            .copy(1, "n2>n1");
        story
            .destroy("n2")
            .after("10m")
            .up("n2", "db-n2-2")
            .greet("n1>n2", "db-n2-2", 1)
            .quit("n1>n2");
        story
            .connect("n1>n3")
            .command("n1>n3", "XPEER n1", 250)
            .command("n1>n3", "XSHADOW n1/db/1 0 new/e1/6", 250)
            .copy_sent(1, "n1>n3")
            .copy_answered(1, "n1>n3", 250);
        if heard != "new" {
            story.destroy("n1").after("10m").up("n1", heard);
        }
        story
            .after("1m")
            .greet("n3>n1", heard, 9)
            .discard("n3>n1", &[])
            .quit("n3>n1")
            .after("5m")
            .view("n3", shadows(&[1]))
            .settle();
        story.told("HB-10")
    };
    assert_snapshot!(told("new"), @"inconclusive: no primary server answered with another database ID while a shadow message was held for it");
    assert_snapshot!(told("newer"), @r"
    violated: only 0 of 1 shadow messages were promoted at the heartbeat that showed another database ID
    - n3 held message 1 (n1/db/1) for n1, which answered n3 with another database ID at 31 min 0.093 s; at 36 min 0.099 s it is still a shadow message
    ");
}

/// n1 shows n2 another database just before their link becomes a black hole; n2 has given its next command by then, or not.
fn told_into_a_black_hole(went_on: bool) -> String {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .ask("n2>n1", &[])
        .kill("n1")
        .after("10m")
        .up("n1", "new")
        .after("1m")
        .greet("n2>n1", "new", 1);
    if went_on {
        story.discard("n2>n1", &[]);
    }
    story
        .fault(crate::history::Fault::BlackHole {
            link: "n2>n1".into(),
            stream: None,
        })
        .after("10m")
        .heal()
        .resubmits(1)
        .sink(1, "n2")
        .settle();
    story.told("HB-10")
}

#[test]
fn another_database_that_was_told_into_a_black_hole_was_told_to_nobody() {
    let told = told_into_a_black_hole(false);
    assert!(told.starts_with("inconclusive"), "{told}");
    let told = told_into_a_black_hole(true);
    assert!(told.starts_with("violated"), "{told}");
}

/// n3 promoted the message, and gives n2 a copy of it, which had one from n1 already: what n2 promotes is n1's.
#[test]
fn of_two_copies_of_one_message_it_is_not_known_which_was_promoted() {
    let after = |copied_again: bool| {
        let mut story = story();
        story.external(1, "n1", "n2").kill("n1").after("2h 59m");
        if copied_again {
            story.copy(1, "n3>n2");
        }
        story.after("2m").resubmits(1).sink(1, "n2").settle();
        story.told("HB-09")
    };
    let told = after(true);
    assert!(told.starts_with("inconclusive"), "{told}");
    let told = after(false);
    assert!(told.starts_with("holds"), "{told}");
}

/// The new owner is told 550; its DSN goes to a mailbox, and does not say which recipient it is about.
#[test]
fn a_recipient_that_the_next_hop_refuses_is_served_by_its_dsn() {
    let after = |dsn: bool| {
        let mut story = story();
        let link = "n2>sink-1";
        story
            .submit_as(1, "n1", |s| {
                s.from = "user-9@mailbox.example".into();
                s.recipients = vec![crate::check::testing::EXTERNAL.into()];
            })
            .end_of_data(1)
            .copy(1, "n1>n2")
            .ack(1)
            .kill("n1")
            .after("3h 1m")
            .resubmits(1);
        if dsn {
            story
                .connect(link)
                .command(link, "MAIL FROM:<s@x>", 250)
                .command(link, "RCPT TO:<user-1@external.example>", 550)
                .mailbox_dsn(1);
        }
        story.settle().told("HB-08")
    };
    let told = after(true);
    assert!(told.starts_with("holds"), "{told}");
    let told = after(false);
    assert!(told.starts_with("violated"), "{told}");
}
