//! HB-05.

use insta::assert_snapshot;

use super::story;
use crate::check::testing::{EXTERNAL, MAILBOX, Story};

const SENDER: &str = "sender@external.example";

/// sink-1 refuses the recipient of message 1; an answer to n2 after that does not name the message.
fn refused() -> Story {
    let mut story = story();
    let link = "n1>sink-1";
    story
        .external(1, "n1", "n2")
        .connect(link)
        .command(link, "MAIL FROM:<s@x>", 250)
        .command(link, &format!("RCPT TO:<{EXTERNAL}>"), 550)
        .asks("n2>n1", 2, "2m");
    story
}

#[test]
fn a_recipient_refused_with_552_is_tried_again_and_needs_no_dsn() {
    let mut story = story();
    let link = "n1>sink-1";
    story
        .external(1, "n1", "n2")
        .connect(link)
        .command(link, "MAIL FROM:<s@x>", 250)
        .command(link, &format!("RCPT TO:<{EXTERNAL}>"), 552)
        .after("5m")
        .sink(1, "n1")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-05"), @"inconclusive: no DSN or forked copy was under way while the shadow server asked");
}

#[test]
fn a_dsn_comes_first() {
    let mut story = refused();
    story
        .dsn(1, EXTERNAL, SENDER)
        .after("2m")
        .ask("n2>n1", &[1])
        .settle();
    assert_snapshot!(story.told("HB-05"), @"holds: 1 of 1 DSNs and forked copies were finished before the discard notification was given");
}

#[test]
fn the_notification_comes_before_the_dsn() {
    let mut story = refused();
    story
        .ask("n2>n1", &[1])
        .after("1h")
        .dsn(1, EXTERNAL, SENDER)
        .settle();
    assert_snapshot!(story.told("HB-05"), @r"
    violated: only 0 of 1 DSNs and forked copies were finished before the discard notification was given
    - user-1@external.example was refused at 0.040 s; n1 told n2 at 4 min 0.070 s that message 1 (n1/db/1) is done, and no DSN had come to sender@external.example by then
    ");
}

#[test]
fn a_confirmed_copy_of_the_dsn_is_enough() {
    let mut story = refused();
    story.submit_as(2, "n1", |s| s.recipients = vec![SENDER.into()]);
    story.end_of_data(2).copy(2, "n1>n2").ack(2);
    story.ask("n2>n1", &[1]).after("1h");
    story.dsn(1, EXTERNAL, SENDER).settle();
    assert_snapshot!(story.told("HB-05"), @"holds: 1 of 1 DSNs and forked copies were finished before the discard notification was given");
}

#[test]
fn no_dsn_is_demanded_for_a_null_return_path_or_one_without_a_route() {
    for from in ["", "nobody@nowhere.invalid"] {
        let mut story = story();
        let link = "n1>sink-1";
        story
            .submit_as(1, "n1", |s| {
                s.from = from.into();
                s.recipients = vec![EXTERNAL.into()];
            })
            .end_of_data(1)
            .copy(1, "n1>n2")
            .ack(1)
            .connect(link)
            .command(link, &format!("RCPT TO:<{EXTERNAL}>"), 550)
            .after("2m")
            .ask("n2>n1", &[1])
            .settle();
        assert_eq!(
            story.told("HB-05"),
            "inconclusive: no DSN or forked copy was under way while the shadow server asked"
        );
    }
}

/// Message 1 is for a group of a mailbox and an external recipient; the mailbox has it.
fn forked() -> Story {
    let mut story = story();
    let members = vec![MAILBOX.to_owned(), EXTERNAL.to_owned()];
    let groups = &mut story.scenario.cluster.groups;
    groups.insert("team@groups.example".into(), members);
    story
        .submit_as(1, "n1", |s| {
            s.recipients = vec!["team@groups.example".into()]
        })
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .mailbox(1)
        .handed(1, "n1")
        .asks("n2>n1", 2, "2m");
    story
}

#[test]
fn the_notification_comes_before_the_forked_copy() {
    let mut story = forked();
    story.ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("HB-05"), @r"
    violated: only 0 of 1 DSNs and forked copies were finished before the discard notification was given
    - n1 told n2 at 4 min 0.083 s that message 1 (n1/db/1) is done; its forked copy for user-1@external.example was still under way
    ");
}

#[test]
fn the_forked_copy_comes_first() {
    let mut story = forked();
    story.member_at_sink(1, "n1", EXTERNAL);
    story.after("2m").ask("n2>n1", &[1]).settle();
    assert_snapshot!(story.told("HB-05"), @"holds: 1 of 1 DSNs and forked copies were finished before the discard notification was given");
}

const NOTHING: &str =
    "inconclusive: no DSN or forked copy was under way while the shadow server asked";

#[test]
fn another_messages_refusal_demands_no_dsn_of_one_that_was_delivered_and_sent_again() {
    let mut story = story();
    let link = "n1>sink-1";
    story
        .external(1, "n1", "n2")
        .connect(link)
        .command(link, "MAIL FROM:<s@x>", 250)
        .command(link, &format!("RCPT TO:<{EXTERNAL}>"), 550)
        .sink(1, "n1")
        .after("2m")
        .external(1, "n1", "n2")
        .ask("n2>n1", &[1])
        .after("1h")
        .sink(1, "n1")
        .settle();
    assert_eq!(story.told("HB-05"), NOTHING);
}

#[test]
fn a_dsn_in_a_mailbox_of_the_primary_server_itself_does_not_show() {
    let mut story = story();
    story.scenario.cluster.mailboxes = "n1".into();
    let link = "n1>sink-1";
    story
        .submit_as(1, "n1", |s| {
            s.from = MAILBOX.into();
            s.recipients = vec![EXTERNAL.into()];
        })
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .connect(link)
        .command(link, &format!("RCPT TO:<{EXTERNAL}>"), 550)
        .after("2m")
        .ask("n2>n1", &[1])
        .settle();
    assert_eq!(story.told("HB-05"), NOTHING);
}

#[test]
fn a_dsn_that_a_next_hop_took_for_a_mailbox_has_come() {
    let mut story = story();
    let (sink, peer) = ("n1>sink-1", "n1>n3");
    story
        .submit_as(1, "n1", |s| {
            s.from = MAILBOX.into();
            s.recipients = vec![EXTERNAL.into()];
        })
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .connect(sink)
        .command(sink, &format!("RCPT TO:<{EXTERNAL}>"), 550);
    // The DSN is a message of its own; the mailboxes of n3 cannot be read at the end.
    story.submit_as(2, "n1", |s| s.recipients = vec![MAILBOX.into()]);
    story
        .connect(peer)
        .command(peer, "MAIL FROM:<>", 250)
        .command(peer, &format!("RCPT TO:<{MAILBOX}>"), 250)
        .end_there(2, peer)
        .answered_there(2, peer, 250)
        .after("2m")
        .ask("n2>n1", &[1])
        .settle();
    assert_eq!(story.told("HB-05"), NOTHING);
}
