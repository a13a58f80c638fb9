//! What [`judge`] adds to the guarantees that a plan names, and what it does not take for a loss.

use serde_json::json;

use crate::{
    check::{
        judge,
        testing::{EXTERNAL, MAILBOX, Story, digest},
    },
    history::{Event, Fault},
    scenario::Setting,
};

fn judged(story: &Story) -> String {
    let verdicts = judge(&story.history());
    let line = |v: &gauntlet_reports::Verdict| {
        let evidence: Vec<_> = v.evidence.iter().map(|e| e.text.as_str()).collect();
        format!(
            "{} {:?}: {} {}",
            v.guarantee,
            v.status,
            v.summary,
            evidence.join(" | ")
        )
    };
    verdicts.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_clean_run_has_the_verdicts_that_its_plan_names_in_the_order_of_their_ids() {
    let mut story = Story::new();
    story.scenario.guarantees = ["TC-08", "SC-01", "XX-99"].map(String::from).to_vec();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(judged(&story), @r"
        SC-01 Holds: 1 of 1 acks came after the copy's 250 
        TC-08 Holds: 2 of 2 copies arrived as they were sent 
        XX-99 Inconclusive: there is no checker for this guarantee
    ");
}

#[test]
fn every_run_is_held_against_the_ledger() {
    let mut story = Story::new();
    story.scenario.guarantees = vec!["SC-02".into()];
    story.accepted(1, "n1", "n2").sink(1, "n1");
    story.accepted(2, "n1", "n2").delivered(2, "n1").mailbox(2);
    story
        .submit(3, "n1")
        .end_of_data(3)
        .refuse(3, 451, "4.3.0 no")
        .sink(3, "n1");
    story
        .accepted(4, "n1", "n2")
        .sink(4, "n1")
        .mailbox_as(4, 1, digest(5))
        .settle();
    insta::assert_snapshot!(judged(&story), @r"
        DD-01 Violated: messages that a mailbox shows more than once: 1 user-1@mailbox.example shows message 2 2 times: of 0.093 s, 0.093 s
        RO-06 Violated: acked messages not delivered: 1 250 to client-1 at 0.037 s for message 1; no delivery to user-1@mailbox.example by 4 h; therefore lost
        SC-02 Inconclusive: no message of a sender that said HELO was acked 
        TC-08 Violated: deliveries with altered content: 1 message 4 was sent with 1004 octets; to user-1@mailbox.example came 1005 octets with another content
        TC-11 Violated: deliveries of what was refused or never sent: 1 451 to client-1 at 0.110 s; message 3 came to user-1@external.example at sink-1 at 0.121 s all the same
    ");
}

#[test]
fn a_dsn_is_no_loss() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .mailbox(1)
        .dsn(1, "user-1@external.example", "sender@external.example")
        .settle();
    insta::assert_snapshot!(judged(&story), @"");
}

/// Message 1 for a next hop that says nothing, sent by `from`.
fn waits_for(from: &str, time: &str) -> Story {
    let mut story = Story::new();
    story
        .submit_as(1, "n1", |s| {
            s.from = from.into();
            s.recipients = vec![EXTERNAL.into()];
        })
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .connect_fails("n1>sink-1")
        .after(time)
        .settle();
    story
}

/// MessageExpirationTimeout is two days.
#[test]
fn what_expires_with_nobody_to_tell_is_no_loss() {
    let lost = |story: &Story| judged(story).contains("therefore lost");
    assert!(!lost(&waits_for("", "2d")));
    assert!(lost(&waits_for("", "1d")), "not expired yet");
    // The sender's own mail goes to the same next hop: the DSN expires, too.
    assert!(!lost(&waits_for("sender@external.example", "4d")));
    assert!(lost(&waits_for("sender@external.example", "3d")));
    // A sender with a mailbox can be told.
    assert!(lost(&waits_for(MAILBOX, "6d")));
}

#[test]
fn what_a_next_hop_in_reach_did_not_get_is_lost_though_nobody_could_be_told() {
    let mut story = Story::new();
    story
        .submit_as(1, "n1", |s| {
            s.from = String::new();
            s.recipients = vec![EXTERNAL.into()];
        })
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .after("1d");
    story
        .accepted(2, "n1", "n2")
        .delivered(2, "n1")
        .after("2d")
        .settle();
    assert!(judged(&story).contains("for message 1; no delivery"));
}

#[test]
fn mail_in_mailboxes_that_were_destroyed_is_not_judged() {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .destroy("n3")
        .mailboxes_lost()
        .up("n3", "db-n3-2")
        .settle();
    insta::assert_snapshot!(judged(&story), @"");
}

#[test]
fn records_without_a_beginning_give_no_verdicts() {
    let mut history = Story::new().history();
    history.remove(0);
    assert!(judge(&history).is_empty());
}

/// n1 refuses message 1, whose copy n2 has confirmed to a link that is cut from n2 to n1.
fn refused_after_a_lost_reply(cut: bool) -> Story {
    let mut story = Story::new();
    story.set("RejectMessageOnShadowFailure", Setting::Switch(true));
    story.submit(1, "n1").end_of_data(1).copy_begins(1, "n1>n2");
    if cut {
        story.fault(Fault::Partition {
            a: "n2".into(),
            b: "n1".into(),
            one_way: true,
        });
    }
    story.copy_answered(1, "n1>n2", 250).after("1m").refuse(
        1,
        451,
        "4.4.0 Message failed to be made redundant",
    );
    story
}

/// n2 takes the message over and delivers it.
fn taken_over(mut story: Story, after: &str) -> String {
    story
        .after(after)
        .push(Event::Tracking {
            node: "n2".into(),
            entry: json!({ "event": "RESUBMIT", "source": "SHADOWREDUNDANCY", "transport-id": "n1/db/1" }),
        })
        .delivered(1, "n2")
        .settle();
    story.told("TC-11")
}

#[test]
fn a_shadow_server_that_could_not_know_of_the_refusal_takes_the_message_over() {
    let story = refused_after_a_lost_reply(true);
    insta::assert_snapshot!(taken_over(story, "3h 1m"), @"holds: 1 of 1 refused messages and recipients were not delivered");
}

#[test]
fn what_was_refused_is_taken_over_before_shadow_resubmit_time_span() {
    let story = refused_after_a_lost_reply(true);
    insta::assert_snapshot!(taken_over(story, "2h"), @r"
    violated: only 0 of 2 refused messages and recipients were not delivered
    - 451 to client-1 at 1 min 0.039 s; message 1 came to user-1@external.example at sink-1 at 2 h 1 min all the same
    - 451 to client-1 at 1 min 0.039 s; message 1 came to user-1@mailbox.example at n3 at 2 h 1 min all the same
    ");
}

#[test]
fn what_was_refused_is_taken_over_by_a_server_that_was_answered_meanwhile() {
    let mut story = refused_after_a_lost_reply(true);
    story.after("1h").heal().ask("n2>n1", &[]);
    insta::assert_snapshot!(taken_over(story, "2h 30m"), @r"
    violated: only 0 of 2 refused messages and recipients were not delivered
    - 451 to client-1 at 1 min 0.039 s; message 1 came to user-1@external.example at sink-1 at 3 h 31 min all the same
    - 451 to client-1 at 1 min 0.039 s; message 1 came to user-1@mailbox.example at n3 at 3 h 31 min all the same
    ");
}

#[test]
fn what_was_refused_although_the_copy_was_confirmed_is_taken_over() {
    insta::assert_snapshot!(taken_over(refused_after_a_lost_reply(false), "3h 1m"), @r"
    violated: only 0 of 2 refused messages and recipients were not delivered
    - 451 to client-1 at 1 min 0.037 s; message 1 came to user-1@external.example at sink-1 at 3 h 2 min all the same
    - 451 to client-1 at 1 min 0.037 s; message 1 came to user-1@mailbox.example at n3 at 3 h 2 min all the same
    ");
}

#[test]
fn what_was_refused_is_delivered_by_whoever_refused_it() {
    let mut story = refused_after_a_lost_reply(true);
    story.after("4h").sink(1, "n1");
    insta::assert_snapshot!(taken_over(story, "1m"), @r"
    violated: only 0 of 1 refused messages and recipients were not delivered
    - 451 to client-1 at 1 min 0.039 s; message 1 came to user-1@external.example at sink-1 at 4 h 1 min all the same
    ");
}
