//! HB-11.

use insta::assert_snapshot;

use super::story;
use crate::check::testing::{EXTERNAL, Story};

const SENDER: &str = "sender@external.example";

/// Message 1 waits for a next hop that never says anything.
fn waiting() -> Story {
    let mut story = story();
    story.external(1, "n1", "n2");
    story
}

#[test]
fn a_dsn_comes_when_two_days_are_over() {
    let mut story = waiting();
    story
        .after("2d 1m")
        .dsn(1, EXTERNAL, SENDER)
        .after("6h")
        .settle();
    assert_snapshot!(story.told("HB-11"), @"holds: 1 of 1 recipients out of reach for MessageExpirationTimeout were reported to the sender then, and not before");
}

#[test]
fn no_dsn_comes() {
    let mut story = waiting();
    story.after("2d 6h").settle();
    assert_snapshot!(story.told("HB-11"), @r"
    violated: only 0 of 1 recipients out of reach for MessageExpirationTimeout were reported to the sender then, and not before
    - 250 to client-1 at 0.034 s for message 1; user-1@external.example had not got it by 2 d 2 h 39 min, and no DSN had come to sender@external.example: MessageExpirationTimeout is 2 d
    ");
}

#[test]
fn a_dsn_comes_after_a_day() {
    let mut story = waiting();
    story
        .after("1d")
        .dsn(1, EXTERNAL, SENDER)
        .after("2d")
        .settle();
    assert_snapshot!(story.told("HB-11"), @r"
    violated: only 0 of 1 recipients out of reach for MessageExpirationTimeout were reported to the sender then, and not before
    - 250 to client-1 at 0.034 s for message 1; sender@external.example got a DSN for user-1@external.example as early as 1 d: MessageExpirationTimeout is 2 d
    ");
}

#[test]
fn the_message_is_delivered_after_three_days() {
    let mut story = waiting();
    story.after("3d").sink(1, "n1").settle();
    assert_snapshot!(story.told("HB-11"), @r"
    violated: only 0 of 1 recipients out of reach for MessageExpirationTimeout were reported to the sender then, and not before
    - 250 to client-1 at 0.034 s for message 1; user-1@external.example had not got it by 2 d 2 h 39 min, and no DSN had come to sender@external.example: MessageExpirationTimeout is 2 d
    ");
}

#[test]
fn a_refused_recipient_gets_its_dsn_early() {
    let mut story = waiting();
    let link = "n1>sink-1";
    story
        .connect(link)
        .command(link, "MAIL FROM:<s@x>", 250)
        .command(link, &format!("RCPT TO:<{EXTERNAL}>"), 550);
    story.dsn(1, EXTERNAL, SENDER).after("3d").settle();
    assert_snapshot!(story.told("HB-11"), @"inconclusive: no message waited for MessageExpirationTimeout");
}

#[test]
fn a_null_return_path_gets_no_dsn() {
    let mut story = story();
    story
        .submit_as(1, "n1", |s| s.from = String::new())
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1);
    story.after("3d").settle();
    assert_snapshot!(story.told("HB-11"), @"inconclusive: no message waited for MessageExpirationTimeout");
}

/// A sender with a mailbox, and two recipients of whom one has the message.
#[test]
fn a_dsn_in_a_mailbox_may_be_about_any_recipient() {
    let after = |dsn: bool| {
        let mut story = story();
        story
            .submit_as(1, "n1", |s| s.from = "user-9@mailbox.example".into())
            .end_of_data(1)
            .copy(1, "n1>n2")
            .ack(1)
            .mailbox(1)
            .after("2d 1m");
        if dsn {
            story.mailbox_dsn(1);
        }
        story.after("6h").settle();
        story.told("HB-11")
    };
    assert_snapshot!(after(true), @"inconclusive: no message waited for MessageExpirationTimeout");
    assert_snapshot!(after(false), @r"
    violated: only 0 of 1 recipients out of reach for MessageExpirationTimeout were reported to the sender then, and not before
    - 250 to client-1 at 0.038 s for message 1; user-1@external.example had not got it by 2 d 2 h 39 min, and no DSN had come to user-9@mailbox.example: MessageExpirationTimeout is 2 d
    ");
}
