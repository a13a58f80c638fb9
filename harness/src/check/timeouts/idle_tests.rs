//! TO-06 and TO-08 on hand-written histories.

use std::collections::BTreeMap;

use crate::{
    check::testing::{Story, reply},
    history::{Event, Reply},
};

fn idle(after: Option<u64>, with: Option<Reply>) -> Story {
    let mut story = Story::new();
    story
        .connect("client-1>n1")
        .command("client-1>n1", "EHLO client-1", 250)
        .after("11m")
        .push(Event::IdleClosed {
            link: "client-1>n1".into(),
            connection: Some(1),
            after_us: after.map(|secs| secs * 1_000_000),
            reply: with,
        });
    story.settle();
    story
}

#[test]
fn to_06_wants_421_at_the_documented_time() {
    let bye = || Some(reply(421, "4.4.1 bye"));
    insta::assert_snapshot!(idle(Some(300), bye()).told("TO-06"), @"holds: 1 of 1 idle sessions were closed with 421 at ConnectionInactivityTimeout");
    insta::assert_snapshot!(idle(Some(150), bye()).told("TO-06"), @r"
        violated: only 0 of 1 idle sessions were closed with 421 at ConnectionInactivityTimeout
        - n1 closed client-1>n1 after 2 min 30 s of idleness, 2 min 30 s before its time
    ");
    insta::assert_snapshot!(idle(Some(310), bye()).told("TO-06"), @r"
        violated: only 0 of 1 idle sessions were closed with 421 at ConnectionInactivityTimeout
        - n1 closed client-1>n1 only after 5 min 10 s of idleness; 5 min is the limit
    ");
    insta::assert_snapshot!(idle(Some(300), None).told("TO-06"), @r"
        violated: only 0 of 1 idle sessions were closed with 421 at ConnectionInactivityTimeout
        - n1 closed client-1>n1 after 5 min without a 421
    ");
    insta::assert_snapshot!(idle(None, None).told("TO-06"), @r"
        violated: only 0 of 1 idle sessions were closed with 421 at ConnectionInactivityTimeout
        - client-1>n1 was idle from 0.004 s on and still open after 11 min; 5 min is the limit
    ");
    let mut story = Story::new();
    story.settle();
    insta::assert_snapshot!(story.told("TO-06"), @"inconclusive: no session was idle for long enough");
}

#[test]
fn to_06_scales_with_time_and_allows_for_a_tenth_of_a_second_or_more() {
    let mut story = idle(None, None);
    story.substrate = "process";
    story.time_scale = 600;
    insta::assert_snapshot!(story.told("TO-06"), @r"
        violated: only 0 of 1 idle sessions were closed with 421 at ConnectionInactivityTimeout
        - client-1>n1 was idle from 0.004 s on and still open after 11 min; 500 ms is the limit
    ");
}

fn offered(inactivity: &str, whole: &str, accepted: bool, message: &str) -> Event {
    let config = BTreeMap::from([
        (
            "ConnectionInactivityTimeout".to_owned(),
            inactivity.to_owned(),
        ),
        ("ConnectionTimeout".to_owned(), whole.to_owned()),
    ]);
    Event::ConfigChecked {
        config,
        accepted,
        message: message.into(),
    }
}

#[test]
fn to_08_refuses_the_wrong_order_and_nothing_else() {
    let clear = "ConnectionInactivityTimeout must be less than ConnectionTimeout";
    let mut story = Story::new();
    story
        .push(offered("5m", "10m", true, ""))
        .push(offered("10m", "10m", false, clear))
        .settle();
    insta::assert_snapshot!(story.told("TO-08"), @"holds: 1 of 1 configurations with the timeouts in the wrong order were refused");

    let mut story = Story::new();
    story
        .push(offered("5m", "10m", true, ""))
        .push(offered("11m", "10m", true, ""))
        .settle();
    insta::assert_snapshot!(story.told("TO-08"), @r"
        violated: only 0 of 1 configurations with the timeouts in the wrong order were refused
        - ConnectionInactivityTimeout 11 min with ConnectionTimeout 10 min was accepted
    ");

    let mut story = Story::new();
    story
        .push(offered("5m", "10m", true, ""))
        .push(offered("11m", "10m", false, "bad"))
        .settle();
    insta::assert_snapshot!(story.told("TO-08"), @r"
        violated: only 0 of 1 configurations with the timeouts in the wrong order were refused
        - ConnectionInactivityTimeout 11 min with ConnectionTimeout 10 min was refused with `bad`, which names neither
    ");

    let mut story = Story::new();
    story
        .push(offered("5m", "10m", false, "no"))
        .push(offered("11m", "10m", false, clear))
        .settle();
    insta::assert_snapshot!(story.told("TO-08"), @"inconclusive: no configuration with the timeouts in order was accepted to compare with");
}
