//! TC-03, TC-04 and TC-11 on hand-written histories.

use std::collections::BTreeMap;

use crate::{
    check::testing::{MAILBOX, Story, reply},
    history::{Event, Outcome},
};

#[test]
fn tc_03_never_delivers_what_was_cut() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .close("client-1>n1", "client")
        .ends(1, Outcome::Unsent, None)
        .settle();
    insta::assert_snapshot!(story.told("TC-03"), @"holds: 1 of 1 messages that broke off before the end of data were not delivered");

    let mut story = Story::new();
    story
        .submit(1, "n1")
        .close("client-1>n1", "client")
        .ends(1, Outcome::Unsent, None)
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-03"), @r"
        violated: only 0 of 2 messages that broke off before the end of data were not delivered
        - client-1 broke off before the end of data at 0.018 s; message 1 came to user-1@external.example all the same
        - client-1 broke off before the end of data at 0.018 s; message 1 came to user-1@mailbox.example all the same
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-03"), @"inconclusive: no client broke off in the middle of its data");
}

/// Message 1 is sent twice; its sender lost the first reply.
fn again(story: &mut Story) -> &mut Story {
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy(1, "n1>n2")
        .close("client-1>n1", "tap");
    story
        .ends(1, Outcome::Indeterminate, None)
        .accepted(1, "n1", "n2")
}

#[test]
fn tc_04_allows_one_copy_for_each_transmission() {
    let mut story = Story::new();
    again(&mut story).delivered(1, "n1").sink(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-04"), @"holds: 1 of 1 messages that were sent again after a lost ack came at most once per end of data");

    let mut story = Story::new();
    again(&mut story)
        .delivered(1, "n1")
        .sink(1, "n1")
        .sink(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-04"), @r"
        violated: only 1 of 2 messages that were sent again after a lost ack came at most once per end of data
        - n1 sent message 1 to user-1@external.example at sink-1 3 times, of which 2 can be explained
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-04"), @"inconclusive: no message was sent again after its sender had lost the reply");
}

#[test]
fn tc_04_allows_a_copy_more_when_the_owner_was_struck_after_the_first() {
    let mut story = Story::new();
    again(&mut story)
        .delivered(1, "n1")
        .sink(1, "n1")
        .kill("n1")
        .up("n1", "db-n1-1")
        .sink(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-04"), @"holds: 1 of 1 messages that were sent again after a lost ack came at most once per end of data");
}

fn refused_at_rcpt(story: &mut Story) -> &mut Story {
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy(1, "n1>n2")
        .push(Event::Outcome {
            submission: 1,
            outcome: Outcome::Acked,
            reply: Some(reply(250, "2.0.0")),
            refused: BTreeMap::from([(MAILBOX.to_owned(), reply(550, "5.1.1"))]),
            error: None,
        })
}

#[test]
fn tc_11_never_delivers_what_was_refused() {
    let mut story = Story::new();
    refused_at_rcpt(&mut story).sink(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-11"), @"holds: 1 of 1 refused messages and recipients were not delivered");

    let mut story = Story::new();
    refused_at_rcpt(&mut story).delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-11"), @r"
        violated: only 0 of 1 refused messages and recipients were not delivered
        - user-1@mailbox.example was refused with 550 at RCPT; message 1 came to user-1@mailbox.example at n3 at 0.047 s all the same
    ");

    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-11"), @"inconclusive: nothing was refused");
}
