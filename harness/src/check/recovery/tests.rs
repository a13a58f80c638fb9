//! Hand-written histories for the recovery checkers.

use insta::assert_snapshot;

use crate::{
    check::{heartbeat::tests::story, testing::Story},
    history::{Event, Fault, Outcome},
    scenario::{Cluster, SinkBehaviour},
};

/// Message 1 waits in the queue of n1, and in the shadow queue of n2; n1's disk is lost, and n1 comes back empty.
fn replaced() -> Story {
    let mut story = story();
    story
        .sink_is(SinkBehaviour::Down)
        .external(1, "n1", "n2")
        .destroy("n1")
        .sink_is(SinkBehaviour::Accept);
    story.after("30m").up("n1", "new");
    story
}

#[test]
fn a_new_database_brings_delivery_within_a_heartbeat() {
    let mut story = replaced();
    story
        .after("1m")
        .greet("n2>n1", "new", 1)
        .discard("n2>n1", &[])
        .quit("n2>n1")
        .sink(1, "n2")
        .settle();
    assert_snapshot!(story.told("RO-01"), @"holds: 1 of 1 recipients had the message within a heartbeat after its primary server came back with a new database");
}

#[test]
fn a_delivery_in_time_counts_although_the_run_ends_before_the_bound() {
    let mut story = replaced();
    story.after("1m").sink(1, "n2").push(Event::Settled {
        quiescent: true,
        pending: Vec::new(),
    });
    story.push(Event::End {
        reason: "completed".into(),
    });
    assert_snapshot!(story.told("RO-01"), @"holds: 1 of 1 recipients had the message within a heartbeat after its primary server came back with a new database");
}

#[test]
fn a_new_database_brings_delivery_an_hour_later() {
    let mut story = replaced();
    story.after("1h").sink(1, "n2").settle();
    assert_snapshot!(story.told("RO-01"), @r"
    violated: only 0 of 1 recipients had the message within a heartbeat after its primary server came back with a new database
    - n2 held message 1 (n1/db/1); n1 came back with another database at 30 min 0.039 s; the message was due at user-1@external.example by 34 min 2.039 s, and came only at 1 h 30 min
    ");
}

#[test]
fn a_new_database_brings_no_delivery() {
    let mut story = replaced();
    story.settle();
    assert_snapshot!(story.told("RO-01"), @r"
    violated: only 0 of 1 recipients had the message within a heartbeat after its primary server came back with a new database
    - n2 held message 1 (n1/db/1); n1 came back with another database at 30 min 0.039 s; the message was due at user-1@external.example by 34 min 2.039 s, and never came
    ");
}

#[test]
fn a_closed_next_hop_excuses_the_delay() {
    let mut story = story();
    story
        .sink_is(SinkBehaviour::Down)
        .external(1, "n1", "n2")
        .destroy("n1")
        .up("n1", "new");
    story
        .after("1h")
        .sink_is(SinkBehaviour::Accept)
        .after("10m")
        .sink(1, "n2")
        .settle();
    assert_snapshot!(story.told("RO-01"), @"holds: 1 of 1 recipients had the message within a heartbeat after its primary server came back with a new database");
}

#[test]
fn what_was_delivered_before_is_no_test_of_a_new_database() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .sink(1, "n1")
        .destroy("n1")
        .after("30m")
        .up("n1", "new")
        .settle();
    assert_snapshot!(story.told("RO-01"), @"inconclusive: no primary server came back with a new database while shadow messages were held for it");
}

#[test]
fn two_lost_servers_are_outside_of_a_new_databases_promise() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .destroy("n1")
        .destroy("n2")
        .after("30m")
        .up("n1", "new")
        .up("n2", "new")
        .settle();
    assert_snapshot!(story.told("RO-01"), @"outside: n1 destroyed at 0.036 s and n2 destroyed at 0.038 s, and message 1 was in transit all the while: more than one server failed at once");
    assert_snapshot!(story.told("RO-06"), @"outside: n1 destroyed at 0.036 s and n2 destroyed at 0.038 s, and message 1 was in transit all the while: more than one server failed at once");
}

/// n1 dies with message 1 in its queue, n2 takes it over and delivers, n1 comes back and delivers again.
fn both_owners() -> Story {
    let mut story = story();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .kill("n1");
    story
        .after("3h 1m")
        .handed(1, "n2")
        .delivered(1, "n2")
        .after("10m")
        .up("n1", "db");
    story.handed(1, "n1").sink(1, "n1");
    story
}

#[test]
fn a_mailbox_shows_one_copy_of_two_deliveries() {
    let mut story = both_owners();
    story.settle();
    assert_snapshot!(story.told("RO-02"), @"holds: 1 of 1 mailboxes showed one copy of a message that both owners delivered");
}

#[test]
fn a_mailbox_shows_both_copies() {
    let mut story = both_owners();
    story.mailbox(1).settle();
    assert_snapshot!(story.told("RO-02"), @r"
    violated: only 0 of 1 mailboxes showed one copy of a message that both owners delivered
    - n2 took message 1 (n1/db/1) over by 3 h 1 min; n1 came back with its database at 3 h 11 min and delivered its queue; user-1@mailbox.example shows the message 2 times
    ");
}

#[test]
fn a_primary_server_that_stays_away_proves_nothing_about_duplicates() {
    let mut story = story();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .kill("n1");
    story
        .after("3h 1m")
        .handed(1, "n2")
        .delivered(1, "n2")
        .settle();
    assert_snapshot!(story.told("RO-02"), @"inconclusive: no primary server came back with its database and delivered to a mailbox what had been taken over");
    assert_snapshot!(story.told("RO-03"), @"inconclusive: no message was sent to an external recipient by two owners");
}

#[test]
fn a_cut_that_heals_is_a_return_as_well() {
    let mut story = story();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .part("n1", "n2")
        .after("3h 1m");
    story
        .handed(1, "n2")
        .delivered(1, "n2")
        .heal()
        .handed(1, "n1")
        .settle();
    assert_snapshot!(story.told("RO-02"), @"holds: 1 of 1 mailboxes showed one copy of a message that both owners delivered");
}

#[test]
fn two_owners_send_a_copy_each() {
    let mut story = both_owners();
    story.settle();
    assert_snapshot!(story.told("RO-03"), @"holds: 1 of 1 messages that two owners sent to an external recipient came once from each");
}

#[test]
fn one_owner_sends_two_copies() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("3h 1m")
        .sink(1, "n2")
        .sink(1, "n2")
        .settle();
    assert_snapshot!(story.told("RO-03"), @r"
    violated: only 0 of 1 messages that two owners sent to an external recipient came once from each
    - n2 sent message 1 to sink-1 2 times, with a reason for 1 (the copies that it owned, replies lost, faults)
    ");
}

#[test]
fn delivery_comes_three_hours_after_the_loss() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .destroy("n1")
        .after("3h 1m")
        .sink(1, "n2")
        .settle();
    assert_snapshot!(story.told("RO-04"), @"holds: 1 of 1 recipients had the message within ShadowResubmitTimeSpan after its primary server was lost");
}

#[test]
fn delivery_comes_four_hours_after_the_loss() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .destroy("n1")
        .after("4h")
        .sink(1, "n2")
        .settle();
    assert_snapshot!(story.told("RO-04"), @r"
    violated: only 0 of 1 recipients had the message within ShadowResubmitTimeSpan after its primary server was lost
    - n2 held message 1 (n1/db/1); n1 destroyed at 0.036 s, for good; the message was due at user-1@external.example by 3 h 4 min 2 s, and came only at 4 h
    ");
}

#[test]
fn delivery_never_comes_after_the_loss() {
    let mut story = story();
    story.external(1, "n1", "n2").destroy("n1").settle();
    assert_snapshot!(story.told("RO-04"), @r"
    violated: only 0 of 1 recipients had the message within ShadowResubmitTimeSpan after its primary server was lost
    - n2 held message 1 (n1/db/1); n1 destroyed at 0.036 s, for good; the message was due at user-1@external.example by 3 h 4 min 2 s, and never came
    ");
}

#[test]
fn a_server_that_comes_back_is_not_lost() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("10m")
        .up("n1", "db")
        .sink(1, "n1")
        .settle();
    assert_snapshot!(story.told("RO-04"), @"inconclusive: no primary server was lost for good while shadow messages were held for it");
}

/// n1 is away for two hours with message 1 in its queue.
fn away() -> Story {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .ask("n2>n1", &[])
        .kill("n1")
        .after("2h")
        .up("n1", "db");
    story
}

#[test]
fn the_original_owner_delivers_once() {
    let mut story = away();
    story.sink(1, "n1").after("1m").ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("RO-05"), @"holds: 1 of 1 recipients got the message once, from the primary server that was back before promotion");
}

#[test]
fn the_original_owner_has_forgotten_its_queue() {
    let mut story = away();
    story.asks("n2>n1", 100, "2m").settle();
    assert_snapshot!(story.told("RO-05"), @r"
    violated: only 0 of 1 recipients got the message once, from the primary server that was back before promotion
    - n1 went down at 0.047 s with message 1 (n1/db/1) in its queue, and was back with the same database at 2 h; user-1@external.example had not got it by 9 h 20 min 1 s
    ");
    assert_snapshot!(story.told("RO-06"), @r"
    violated: only 0 of 1 acked recipients were served
    - 250 to client-1 at 0.034 s for message 1; n1 killed at 0.047 s; no delivery to user-1@external.example by 9 h 20 min 1 s; therefore lost
    ");
}

#[test]
fn the_shadow_server_delivers_before_its_time() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("1h 30m")
        .sink(1, "n2")
        .after("30m")
        .up("n1", "db");
    story.ask("n2>n1", &[]).sink(1, "n1").settle();
    assert_snapshot!(story.told("RO-05"), @r"
    violated: only 0 of 1 recipients got the message once, from the primary server that was back before promotion
    - n1 went down at 0.036 s with message 1 (n1/db/1) in its queue, and was back with the same database at 2 h; n2 sent it to sink-1 at 1 h 30 min all the same
    ");
}

#[test]
fn the_original_owner_is_lost_when_it_first_answers() {
    let back = |lost: bool| {
        let mut story = story();
        story
            .external(1, "n1", "n2")
            .kill("n1")
            .after("30s")
            .up("n1", "db");
        story.sink(1, "n1").ask("n2>n1", &[1]);
        if lost {
            story.destroy("n1");
        }
        story.after("3h").sink(1, "n2").settle();
        story.told("RO-05")
    };
    assert_snapshot!(back(true), @"inconclusive: no primary server crashed with acked mail in its queue and came back before promotion");
    assert_snapshot!(back(false), @r"
    violated: only 0 of 1 recipients got the message once, from the primary server that was back before promotion
    - n1 went down at 0.036 s with message 1 (n1/db/1) in its queue, and was back with the same database at 30.037 s; n2 sent it to sink-1 at 3 h 30 s all the same
    ");
}

#[test]
fn the_original_owner_delivers_twice() {
    let mut story = away();
    story
        .sink(1, "n1")
        .sink(1, "n1")
        .after("1m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("RO-05"), @r"
    violated: only 0 of 1 recipients got the message once, from the primary server that was back before promotion
    - n1 went down at 0.047 s with message 1 (n1/db/1) in its queue, and was back with the same database at 2 h; user-1@external.example got it 2 times
    ");
}

#[test]
fn back_after_four_hours_is_another_guarantee() {
    let mut story = story();
    story
        .external(1, "n1", "n2")
        .kill("n1")
        .after("4h")
        .up("n1", "db")
        .sink(1, "n1")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("RO-05"), @"inconclusive: no primary server crashed with acked mail in its queue and came back before promotion");
}

#[test]
fn nothing_is_lost_in_a_crash() {
    let mut story = away();
    story.sink(1, "n1").settle();
    assert_snapshot!(story.told("RO-06"), @"holds: 1 of 1 acked recipients were served, with 1 server failure");
}

#[test]
fn without_a_failure_nothing_is_proven() {
    let mut story = story();
    story.external(1, "n1", "n2").sink(1, "n1").settle();
    assert_snapshot!(story.told("RO-06"), @"inconclusive: no server failed");
}

#[test]
fn an_indeterminate_message_binds_nobody() {
    let mut story = story();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .kill("n1")
        .ends(1, Outcome::Indeterminate, None)
        .after("5m")
        .up("n1", "db")
        .settle();
    assert_snapshot!(story.told("RO-06"), @"inconclusive: no message was acked");
}

#[test]
fn a_node_alone_is_outside() {
    let mut story = story();
    story.scenario.cluster = Cluster {
        nodes: vec!["n1".into()],
        mailboxes: "n1".into(),
        ..Cluster::default()
    };
    story
        .submit(1, "n1")
        .end_of_data(1)
        .ack(1)
        .fault(Fault::Destroy { node: "n1".into() })
        .settle();
    assert_snapshot!(story.told("RO-06"), @"outside: n1 is alone: no other node can hold a copy");
}

#[test]
fn a_reset_on_the_way_to_the_next_hop_excuses_the_delay() {
    let mut story = replaced();
    story
        .after("2m")
        .fault(crate::history::Fault::Reset {
            link: "n2>sink-1".into(),
        })
        .heal()
        .after("5m")
        .sink(1, "n2")
        .settle();
    let told = story.told("RO-01");
    assert!(told.starts_with("inconclusive"), "{told}");
}

/// In a history the crash is healed in the record before the one that says what the server came back with.
#[test]
fn a_new_database_is_no_return_of_the_original_owner() {
    let back_with = |database: &str| {
        let mut story = story();
        story
            .external(1, "n1", "n2")
            .ask("n2>n1", &[])
            .kill("n1")
            .after("1m")
            .heal()
            .up("n1", database)
            .settle();
        story.told("RO-05")
    };
    let told = back_with("new");
    assert!(told.starts_with("inconclusive"), "{told}");
    let told = back_with("db");
    assert!(told.starts_with("violated"), "{told}");
}

/// The next hop is down for longer than MessageExpirationTimeout, and only then n1 crashes: the sender has its DSN, in a
/// mailbox.
#[test]
fn what_expired_before_the_crash_is_delivered_by_nobody() {
    let told = |dsn: bool| {
        let mut story = story();
        story
            .submit_as(1, "n1", |s| {
                s.from = "user-9@mailbox.example".into();
                s.recipients = vec![crate::check::testing::EXTERNAL.into()];
            })
            .end_of_data(1)
            .copy(1, "n1>n2")
            .ack(1)
            .ask("n2>n1", &[])
            .after("1h");
        if dsn {
            story.mailbox_dsn(1);
        }
        story.kill("n1").after("1m").up("n1", "db").settle();
        story.told("RO-05")
    };
    assert!(told(true).starts_with("inconclusive"), "{}", told(true));
    assert!(told(false).starts_with("violated"), "{}", told(false));
}
