//! RO-05 where more than one server held a copy.

use insta::assert_snapshot;

use crate::check::{heartbeat::tests::story, testing::EXTERNAL};

/// n2's 250 for its copy is lost with the link, and n1 makes another copy on n3. n3 hears of n1 in time; n2 does not, and
/// takes over after three hours, or after one.
#[test]
fn a_copy_whose_confirmation_was_lost_is_taken_over_by_right() {
    let told = |heals_after: &str, taken_over: &str| {
        let mut story = story();
        story
            .submit_as(1, "n1", |s| {
                s.recipients = vec![EXTERNAL.into()];
            })
            .end_of_data(1)
            .copy_begins(1, "n1>n2")
            .part("n1", "n2")
            .copy_confirmed(1, "n1>n2")
            .after("10s")
            .copy(1, "n1>n3")
            .ack(1)
            .kill("n1")
            .after("1m")
            .up("n1", "db")
            .sink(1, "n1");
        story
            .ask("n3>n1", &[1])
            .after(taken_over)
            .sink(1, "n2")
            .after(heals_after)
            .settle();
        story.told("RO-05")
    };
    assert_snapshot!(told("1h", "3h"), @"inconclusive: no primary server crashed with acked mail in its queue and came back before promotion");
    assert_snapshot!(told("3h", "1h"), @r"
    violated: only 0 of 1 recipients got the message once, from the primary server that was back before promotion
    - n1 went down at 10.052 s with message 1 (n1/db/1) in its queue, and was back with the same database at 1 min 10.053 s; n2 sent it to sink-1 at 1 h 1 min 10 s all the same
    ");
}
