//! TO-09 on hand-written histories.

use crate::check::testing::Story;

const LINK: &str = "n1>sink-1";

/// n1 has said EHLO to the sink, which says nothing.
fn silent(link: &str, time: &str) -> Story {
    let mut story = Story::new();
    story.connect(link).command(link, "EHLO n1", 250).wire(
        link,
        crate::history::Wire::Command {
            verb: "MAIL".into(),
            line: "MAIL FROM:<s@x>".into(),
        },
    );
    story.after(time);
    story
}

#[test]
fn to_09_gives_a_silent_next_hop_up_in_time() {
    let closed = |time: &str| {
        silent(LINK, time)
            .close(LINK, "client")
            .settle()
            .told("TO-09")
    };
    insta::assert_snapshot!(closed("10m"), @"holds: 1 of 1 outbound sessions in which nothing happened were closed at ConnectionInactivityTimeOut");
    insta::assert_snapshot!(closed("5m"), @r"
    violated: only 0 of 1 outbound sessions in which nothing happened were closed at ConnectionInactivityTimeOut
    - n1 had waited for an answer on n1>sink-1 from 0.008 s on, and gave it up after 5 min, 4 min 59 s before its time
    ");
    insta::assert_snapshot!(closed("11m"), @r"
    violated: only 0 of 1 outbound sessions in which nothing happened were closed at ConnectionInactivityTimeOut
    - nothing passed on n1>sink-1 from 0.008 s on, and n1 had it open for 11 min more; 10 min is the limit
    ");
    insta::assert_snapshot!(silent(LINK, "1m").settle().told("TO-09"), @r"
    violated: only 0 of 1 outbound sessions in which nothing happened were closed at ConnectionInactivityTimeOut
    - nothing passed on n1>sink-1 from 0.008 s on, and n1 had it open for 4 h 1 min more; 10 min is the limit
    ");
}

#[test]
fn to_09_closes_the_kept_session_to_a_shadow_server() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy_begins(1, "n1>n2")
        .copy_confirmed(1, "n1>n2")
        .ack(1)
        .after("10m")
        .command("n1>n2", "QUIT", 221)
        .close("n1>n2", "client");
    insta::assert_snapshot!(story.settle().told("TO-09"), @"holds: 1 of 1 outbound sessions in which nothing happened were closed at ConnectionInactivityTimeOut");
}

#[test]
fn to_09_lets_content_flow_and_leaves_a_broken_way_and_other_bounds_alone() {
    let thin = "inconclusive: no outbound session was silent for long enough";
    let mut content = Story::new();
    content
        .connect(LINK)
        .command(LINK, "DATA", 354)
        .after("20m")
        .close(LINK, "client");
    assert_eq!(content.settle().told("TO-09"), thin);

    let mut cut = silent(LINK, "1m");
    cut.part("n1", "sink-1").after("1h").close(LINK, "client");
    assert_eq!(cut.settle().told("TO-09"), thin);

    let mut heartbeat = silent("n1>n2", "2m");
    heartbeat.close("n1>n2", "client");
    assert_eq!(heartbeat.settle().told("TO-09"), thin);

    let mut expires = silent(LINK, "5m");
    expires.set_span("MessageExpirationTimeout", "10m");
    expires.close(LINK, "client");
    assert_eq!(expires.settle().told("TO-09"), thin);

    let mut server = silent(LINK, "5m");
    server.close(LINK, "server");
    assert_eq!(server.settle().told("TO-09"), thin);
}

/// The other side was busy, and answered a session that n1 had left: the wire shows the end of both, not of one.
#[test]
fn to_09_does_not_know_since_when_a_session_was_over_that_was_answered_too_late() {
    let answered = |quits: bool| {
        let mut story = silent(LINK, "11m");
        story.wire(
            LINK,
            crate::history::Wire::Reply {
                verb: "MAIL".into(),
                reply: crate::check::testing::reply(451, "4.4.0 later"),
            },
        );
        if quits {
            story.command(LINK, "QUIT", 221);
        }
        story.close(LINK, "client").settle().told("TO-09")
    };
    insta::assert_snapshot!(answered(false), @"inconclusive: no outbound session was silent for long enough");
    insta::assert_snapshot!(answered(true), @r"
    violated: only 0 of 1 outbound sessions in which nothing happened were closed at ConnectionInactivityTimeOut
    - nothing passed on n1>sink-1 from 0.008 s on, and n1 had it open for 11 min more; 10 min is the limit
    ");
}

/// A sender stops in the middle of a transaction: its own timeout ends it, and what was opened for it.
#[test]
fn to_09_lets_a_front_end_hold_an_open_transaction() {
    let held = |time: &str| {
        let mut story = silent("f1>n1", time);
        story.scenario.cluster.nodes.push("f1".into());
        story.scenario.cluster.front_ends = vec!["f1".into()];
        story.set_span("ConnectionInactivityTimeOut", "1m");
        story
            .command("f1>n1", "QUIT", 221)
            .close("f1>n1", "client")
            .settle()
            .told("TO-09")
    };
    // ConnectionInactivityTimeout is 5 min.
    assert!(held("5m").starts_with("holds"), "{}", held("5m"));
    assert!(held("6m").starts_with("violated"), "{}", held("6m"));
}
