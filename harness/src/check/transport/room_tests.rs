//! TC-07 on hand-written histories.

use crate::{
    check::testing::{Story, reply},
    history::{Fault, Outcome},
};

fn full() -> Story {
    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .fault(Fault::DiskFull { node: "n1".into() })
        .submit(2, "n1")
        .end_of_data(2)
        .refuse(2, 452, "4.3.1 insufficient system storage");
    story
}

#[test]
fn tc_07_refuses_for_now_and_resumes() {
    let mut story = full();
    story
        .after("5m")
        .heal()
        .after("5m")
        .delivered(1, "n1")
        .accepted(3, "n1", "n2")
        .delivered(3, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-07"), @"holds: 2 of 2 recipients of mail that was acked were served (1 refused with 452 4.3.1, 1 acked after there was room)");
}

#[test]
fn tc_07_is_violated_by_a_loss_and_by_a_service_that_does_not_resume() {
    let mut story = full();
    story
        .after("5m")
        .heal()
        .after("5m")
        .accepted(3, "n1", "n2")
        .delivered(3, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-07"), @r"
        violated: only 0 of 2 recipients of mail that was acked were served (1 refused with 452 4.3.1, 1 acked after there was room)
        - 250 to client-1 at 0.037 s for message 1; n1's disk full at 0.039 s; no delivery to user-1@external.example by 4 h 10 min; therefore lost
        - 250 to client-1 at 0.037 s for message 1; n1's disk full at 0.039 s; no delivery to user-1@mailbox.example by 4 h 10 min; therefore lost
    ");

    let mut story = full();
    story
        .after("5m")
        .heal()
        .after("5m")
        .delivered(1, "n1")
        .submit(3, "n1")
        .end_of_data(3)
        .refuse(3, 452, "4.3.1 insufficient system storage")
        .settle();
    insta::assert_snapshot!(story.told("TC-07"), @r"
        violated: only 2 of 3 recipients of mail that was acked were served (1 refused with 452 4.3.1, 0 acked after there was room)
        - n1's disk full at 0.039 s, with room again at 5 min 0.057 s; 452 to client-1 at 10 min 0.085 s for message 3; there had been room for long
    ");

    let mut story = full();
    story
        .submit(3, "n1")
        .end_of_data(3)
        .refuse(3, 554, "5.3.1 insufficient system storage")
        .after("5m")
        .heal()
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-07"), @r"
        violated: only 2 of 3 recipients of mail that was acked were served (1 refused with 452 4.3.1, 0 acked after there was room)
        - n1's disk full at 0.039 s, with room again at 5 min 0.074 s; 554 to client-1 at 0.073 s for message 3; refused for good, though there may be room
    ");
}

#[test]
fn tc_07_needs_a_full_disk_a_refusal_and_room_again() {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").delivered(1, "n1").settle();
    insta::assert_snapshot!(story.told("TC-07"), @"inconclusive: no disk was full");

    let mut story = Story::new();
    story
        .accepted(1, "n1", "n2")
        .fault(Fault::DiskFull { node: "n1".into() })
        .submit(2, "n1")
        .end_of_data(2)
        .ends(
            2,
            Outcome::Refused,
            Some(reply(421, "4.4.2 session lasted too long")),
        )
        .heal()
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-07"), @"inconclusive: no mail was refused for want of room");

    // Refused at once after the room came: the node may look for it once a second, and the sessions of then are its own.
    let mut story = full();
    story
        .heal()
        .submit(3, "n1")
        .end_of_data(3)
        .refuse(3, 452, "4.3.1 insufficient system storage")
        .delivered(1, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-07"), @"inconclusive: no mail was taken after there was room again");
}

#[test]
fn tc_07_does_not_blame_a_full_disk_for_two_lost_servers() {
    let mut story = full();
    story
        .heal()
        .after("5m")
        .destroy("n1")
        .destroy("n2")
        .up("n1", "db-n1-2")
        .up("n2", "db-n2-2")
        .accepted(3, "n1", "n2")
        .delivered(3, "n1")
        .settle();
    insta::assert_snapshot!(story.told("TC-07"), @"inconclusive: no mail was taken after there was room again");
}
