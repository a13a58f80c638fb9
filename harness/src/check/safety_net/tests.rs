//! Hand-written histories for the Safety Net checkers.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use crate::{
    check::{
        heartbeat::tests::{held, safe, shadows, story},
        testing::{EXTERNAL, MAILBOX, Story, reply},
    },
    history::{Event, NodeView, Outcome},
    scenario::{Span, Step},
};

/// n1 has taken message 1 in and sent it to its recipient; n2 was told.
fn processed() -> Story {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .after("1m")
        .ask("n2>n1", &[1])
        .after("1m");
    story
}

#[test]
fn a_processed_message_is_in_the_primary_safety_net() {
    let mut story = processed();
    story.view("n1", safe(&[1], "primary")).settle();
    assert_snapshot!(story.told("SN-01"), @"holds: 1 of 1 looks found a processed message in the primary Safety Net");
}

#[test]
fn a_processed_message_is_forgotten() {
    let mut story = processed();
    story.view("n1", NodeView::default()).settle();
    assert_snapshot!(story.told("SN-01"), @r"
    violated: only 0 of 1 looks found a processed message in the primary Safety Net
    - n1 had delivered message 1 (n1/db/1) to all its recipients by 0.044 s; at 2 min 0.059 s it is not in its primary Safety Net
    ");
}

/// Of both transmissions of message 1 n3 has a copy made; it answers the first one so, and acks the second one, which its
/// mailbox and its Safety Net show.
fn sent_again_after(code: u16) -> String {
    let mut story = story();
    let copied = |story: &mut Story| {
        story
            .submit_as(1, "n3", |s| {
                s.attempt = 1;
                s.recipients = vec![MAILBOX.into()];
            })
            .end_of_data(1)
            .copy(1, "n3>n2");
    };
    copied(&mut story);
    match code {
        250 => story.ack(1),
        _ => story.refuse(1, code, "4.4.0 Message failed to be made redundant"),
    };
    copied(&mut story);
    story.ack(1).mailbox(1).after("1m");
    let mut second = held(1, "primary");
    second.transport_id = "n3/db/2".into();
    let view = NodeView {
        safety_net: vec![second],
        ..NodeView::default()
    };
    story.view("n3", view).settle();
    story.told("SN-01")
}

#[test]
fn what_was_refused_is_in_no_safety_net() {
    assert_snapshot!(sent_again_after(451), @"holds: 1 of 1 looks found a processed message in the primary Safety Net");
    assert_snapshot!(sent_again_after(250), @r"
    violated: only 1 of 2 looks found a processed message in the primary Safety Net
    - n3 had delivered message 1 (n3/db/1) to all its recipients by 0.064 s; at 1 min 0.065 s it is not in its primary Safety Net
    ");
}

/// n2 promotes message 1 of n1, and the next hop refuses it. Later the client sends it again, now to n2, which delivers it, and
/// has it in Safety Net under the name that it gave it itself; or not. The copies that n2 had made of both are on n3.
fn sent_again_to_the_new_owner(view: NodeView) -> String {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("3h 1m")
        .copy(1, "n2>n3")
        .dsn(1, EXTERNAL, "sender@external.example");
    story
        .submit_as(1, "n2", |s| {
            s.attempt = 1;
            s.recipients = vec![EXTERNAL.into()];
        })
        .end_of_data(1)
        .copy(1, "n2>n3")
        .ack(1)
        .sink(1, "n2");
    story.after("1m").view("n2", view).settle();
    story.told("SN-01")
}

#[test]
fn what_was_promoted_and_refused_is_another_message_than_what_is_sent_again() {
    let mut second = held(1, "primary");
    second.transport_id = "n2/db/2".into();
    let view = NodeView {
        safety_net: vec![second],
        ..NodeView::default()
    };
    assert_snapshot!(sent_again_to_the_new_owner(view), @"holds: 1 of 1 looks found a processed message in the primary Safety Net");
    assert_snapshot!(sent_again_to_the_new_owner(NodeView::default()), @r"
    violated: only 0 of 1 looks found a processed message in the primary Safety Net
    - n2 had delivered message 1 (n2/db/2) to all its recipients by 3 h 1 min; at 3 h 2 min it is not in its primary Safety Net
    ");
}

#[test]
fn a_shadow_entry_is_no_primary_one() {
    let mut story = processed();
    story.view("n1", safe(&[1], "shadow")).settle();
    assert_snapshot!(story.told("SN-01"), @r"
    violated: only 0 of 1 looks found a processed message in the primary Safety Net
    - n1 had delivered message 1 (n1/db/1) to all its recipients by 0.044 s; at 2 min 0.059 s it is not in its primary Safety Net
    ");
}

#[test]
fn a_message_in_the_queue_need_not_be_in_safety_net() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .after("10m")
        .view("n1", NodeView::default())
        .settle();
    assert_snapshot!(story.told("SN-01"), @"inconclusive: no view was read between a message's processing and the end of SafetyNetHoldTime");
}

#[test]
fn another_database_is_another_safety_net() {
    let mut story = processed();
    story.destroy("n1").up("n1", "new").after("1m");
    story
        .view(
            "n1",
            NodeView {
                database: "new".into(),
                ..NodeView::default()
            },
        )
        .settle();
    assert_snapshot!(story.told("SN-01"), @"inconclusive: no view was read between a message's processing and the end of SafetyNetHoldTime");
}

#[test]
fn a_discarded_shadow_message_is_in_the_shadow_safety_net() {
    let mut story = processed();
    story.view("n2", safe(&[1], "shadow")).settle();
    assert_snapshot!(story.told("SN-02"), @"holds: 1 of 1 looks found a discarded shadow message in the shadow Safety Net");
}

#[test]
fn a_discarded_shadow_message_is_forgotten() {
    let mut story = processed();
    story.view("n2", NodeView::default()).settle();
    assert_snapshot!(story.told("SN-02"), @r"
    violated: only 0 of 1 looks found a discarded shadow message in the shadow Safety Net
    - n1 told n2 at 1 min 0.053 s that message 1 (n1/db/1) is delivered; at 2 min 0.059 s it is not in n2's shadow Safety Net
    ");
}

#[test]
fn a_held_shadow_message_need_not_be_in_safety_net() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .after("10m")
        .view("n2", shadows(&[1]))
        .settle();
    assert_snapshot!(story.told("SN-02"), @"inconclusive: no view was read between a discard notification and the end of SafetyNetHoldTime");
}

#[test]
fn a_shadow_server_that_crashed_after_the_notification_is_not_judged() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .ask("n2>n1", &[1])
        .kill("n2")
        .up("n2", "db-n2-1")
        .after("1m");
    story.view("n2", NodeView::default()).settle();
    assert_snapshot!(story.told("SN-02"), @"inconclusive: no view was read between a discard notification and the end of SafetyNetHoldTime");
}

impl Story {
    /// The harness asks for a resubmission of everything, and is told that so many were.
    fn resubmit(&mut self, node: &str, resubmitted: u64) -> &mut Self {
        let (from, to) = (Span::from_secs(864_000), Span::from_secs(0));
        self.step(Step::Resubmit {
            node: node.into(),
            from,
            to,
        });
        let to_us = i64::MAX / 2;
        self.push(Event::Resubmit {
            node: node.into(),
            from_us: -1,
            to_us,
            resubmitted: Some(resubmitted),
        })
    }
}

/// n1 has taken message 1 in and handed it to its mailbox.
fn kept_since_the_start() -> Story {
    let mut story = story();
    story
        .boxed(1, "n1", "n2")
        .handed(1, "n1")
        .mailbox(1)
        .after("1m")
        .ask("n2>n1", &[1]);
    story
}

#[test]
fn a_resubmission_just_before_the_end_delivers() {
    let mut story = kept_since_the_start();
    story
        .after("1d 23h")
        .resubmit("n1", 1)
        .handed(1, "n1")
        .settle();
    assert_snapshot!(story.told("SN-03"), @"holds: 1 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it");
}

#[test]
fn a_resubmission_just_before_the_end_finds_nothing() {
    let mut story = kept_since_the_start();
    story.after("1d 23h").resubmit("n1", 0).settle();
    assert_snapshot!(story.told("SN-03"), @r"
    violated: only 0 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it
    - n1 took in and delivered 1 message for mailboxes, the first at 0.005 s; asked at 1 d 23 h 1 min to resubmit that, it resubmitted 0, before SafetyNetHoldTime (2 d) was over
    ");
}

#[test]
fn a_mailbox_that_was_refused_has_nothing_to_be_resubmitted() {
    let nobody = "nobody@mailbox.example";
    let mut story = story();
    story
        .submit_as(1, "n1", |s| {
            s.recipients = vec![EXTERNAL.into(), nobody.into()]
        })
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .push(Event::Outcome {
            submission: 1,
            outcome: Outcome::Acked,
            reply: Some(reply(250, "2.0.0 accepted")),
            refused: BTreeMap::from([(nobody.to_owned(), reply(550, "5.1.1 no such mailbox"))]),
            error: None,
        })
        .sink(1, "n1")
        .after("1m")
        .ask("n2>n1", &[1])
        .after("1d 23h")
        .resubmit("n1", 0)
        .settle();
    assert_snapshot!(story.told("SN-03"), @"inconclusive: nobody looked into Safety Net shortly before, or after, the end of SafetyNetHoldTime");
}

#[test]
fn a_resubmission_just_before_the_end_counts_and_does_not_deliver() {
    let mut story = kept_since_the_start();
    story.after("1d 23h").resubmit("n1", 1).settle();
    assert_snapshot!(story.told("SN-03"), @r"
    violated: only 0 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it
    - n1 said that it resubmitted message 1 (n1/db/1) at 1 d 23 h 1 min, and had not sent it to n3 by 2 d 3 h 1 min
    ");
}

#[test]
fn a_resubmission_after_the_end_finds_nothing() {
    let mut story = kept_since_the_start();
    story.after("2d 3h").resubmit("n1", 0).settle();
    assert_snapshot!(story.told("SN-03"), @"holds: 1 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it");
}

#[test]
fn a_resubmission_after_the_end_still_finds_it() {
    let mut story = kept_since_the_start();
    story
        .after("2d 3h")
        .resubmit("n1", 1)
        .handed(1, "n1")
        .settle();
    assert_snapshot!(story.told("SN-03"), @r"
    violated: only 0 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it
    - n1 took in and delivered 1 message for mailboxes, the first at 0.005 s; asked at 2 d 3 h 1 min to resubmit that, it resubmitted 1, although SafetyNetHoldTime (2 d) was over
    ");
}

#[test]
fn a_resubmission_after_a_resubmission_may_find_it_again() {
    let mut story = kept_since_the_start();
    story
        .after("1d 12h")
        .resubmit("n1", 1)
        .handed(1, "n1")
        .after("1d")
        .resubmit("n1", 1)
        .handed(1, "n1")
        .settle();
    assert_snapshot!(story.told("SN-03"), @"holds: 1 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it");
}

#[test]
fn a_resubmission_may_hold_what_another_boundary_handed_over_and_dsns() {
    let mut story = kept_since_the_start();
    let dsn = serde_json::json!({ "event": "DSN", "transport-id": "n1/db/9" });
    story
        .submit(2, "n2")
        .end_of_data(2)
        .goes_on(2, "n2>n1")
        .answered_there(2, "n2>n1", 250)
        .push(Event::Tracking {
            node: "n1".into(),
            entry: dsn,
        })
        .after("2d 3h")
        .resubmit("n1", 2)
        .settle();
    assert_snapshot!(story.told("SN-03"), @"holds: 1 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it");
    let mut more = kept_since_the_start();
    more.submit(2, "n2")
        .end_of_data(2)
        .goes_on(2, "n2>n1")
        .answered_there(2, "n2>n1", 250)
        .after("2d 3h")
        .resubmit("n1", 2)
        .settle();
    assert_snapshot!(more.told("SN-03"), @r"
    violated: only 0 of 1 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it
    - n1 took in and delivered 1 message for mailboxes, the first at 0.005 s; asked at 2 d 3 h 1 min to resubmit that, it resubmitted 2, although SafetyNetHoldTime (2 d) was over
    ");
}

#[test]
fn views_show_the_hold_time_too() {
    let mut story = kept_since_the_start();
    story
        .view("n1", safe(&[1], "primary"))
        .view("n2", safe(&[1], "shadow"));
    story
        .after("1d 23h")
        .view("n1", safe(&[1], "primary"))
        .view("n2", safe(&[1], "shadow"));
    story
        .after("4h")
        .view("n1", NodeView::default())
        .view("n2", NodeView::default())
        .settle();
    assert_snapshot!(story.told("SN-03"), @"holds: 4 of 4 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it");
}

#[test]
fn views_show_a_message_that_leaves_too_early_and_one_that_stays() {
    let mut story = kept_since_the_start();
    story
        .view("n1", safe(&[1], "primary"))
        .view("n2", safe(&[1], "shadow"));
    story
        .after("1d 1h")
        .view("n1", NodeView::default())
        .view("n2", safe(&[1], "shadow"));
    story.after("2d").view("n2", safe(&[1], "shadow")).settle();
    assert_snapshot!(story.told("SN-03"), @r"
    violated: only 0 of 2 looks into Safety Net were right: messages there before SafetyNetHoldTime ends, gone after it
    - message 1 (n1/db/1) was in the primary Safety Net of n1 at 1 min 0.067 s, and is not at 1 d 1 h 1 min; SafetyNetHoldTime lasts until 1 d 23 h 59 min at least
    - message 1 (n1/db/1) is still in the shadow Safety Net of n2 at 3 d 1 h 1 min; SafetyNetHoldTime was over by 2 d 2 h 25 min
    ");
}

#[test]
fn nobody_looks_near_the_end() {
    let mut story = kept_since_the_start();
    story
        .view("n1", safe(&[1], "primary"))
        .resubmit("n1", 1)
        .handed(1, "n1")
        .settle();
    assert_snapshot!(story.told("SN-03"), @"inconclusive: nobody looked into Safety Net shortly before, or after, the end of SafetyNetHoldTime");
}

/// n2 holds message 1 and can never ask.
fn unacknowledged() -> Story {
    let mut story = story();
    story.set_span("ShadowResubmitTimeSpan", "20d");
    story.external(1, "n1", "n2").sink(1, "n1").part("n1", "n2");
    story
}

#[test]
fn an_unacknowledged_shadow_message_is_there_for_four_days() {
    let mut story = unacknowledged();
    story
        .after("3d 22h")
        .view("n2", shadows(&[1]))
        .after("8h")
        .view("n2", NodeView::default())
        .settle();
    assert_snapshot!(story.told("SN-04"), @"holds: 2 of 2 looks at unacknowledged shadow messages were right: there until SafetyNetHoldTime + MessageExpirationTimeout are over, gone after that");
}

#[test]
fn an_unacknowledged_shadow_message_may_wait_in_safety_net() {
    let mut story = unacknowledged();
    story
        .after("3d 22h")
        .view("n2", safe(&[1], "shadow"))
        .settle();
    assert_snapshot!(story.told("SN-04"), @"holds: 1 of 1 looks at unacknowledged shadow messages were right: there until SafetyNetHoldTime + MessageExpirationTimeout are over, gone after that");
}

#[test]
fn an_unacknowledged_shadow_message_stays_for_ever() {
    let mut story = unacknowledged();
    story.after("5d").view("n2", shadows(&[1])).settle();
    assert_snapshot!(story.told("SN-04"), @r"
    violated: only 0 of 1 looks at unacknowledged shadow messages were right: there until SafetyNetHoldTime + MessageExpirationTimeout are over, gone after that
    - n2 confirmed the copy of message 1 (n1/db/1) at 0.031 s, and nobody ever told it that the message is done; it is still there at 5 d: SafetyNetHoldTime + MessageExpirationTimeout are over at 4 d
    ");
}

#[test]
fn an_unacknowledged_shadow_message_goes_after_two_days() {
    let mut story = unacknowledged();
    story
        .after("2d 1h")
        .view("n2", NodeView::default())
        .settle();
    assert_snapshot!(story.told("SN-04"), @r"
    violated: only 0 of 1 looks at unacknowledged shadow messages were right: there until SafetyNetHoldTime + MessageExpirationTimeout are over, gone after that
    - n2 confirmed the copy of message 1 (n1/db/1) at 0.031 s, and nobody ever told it that the message is done; it is gone at 2 d 1 h: SafetyNetHoldTime + MessageExpirationTimeout are over at 4 d
    ");
}

#[test]
fn a_promoted_shadow_message_does_not_expire_as_one() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("4d 8h")
        .view("n2", NodeView::default())
        .settle();
    assert_snapshot!(story.told("SN-04"), @"inconclusive: no view was read shortly before, or after, an unacknowledged shadow message had to expire");
}
