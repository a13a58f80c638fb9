//! VZ-01 to VZ-03 and VZ-07 on hand-written histories: a kept one, a broken one and a thin one for each.

use serde_json::json;

use crate::{
    check::testing::{Story, reply},
    history::{Event, Fault, Wire},
};

fn story() -> Story {
    let mut story = Story::new();
    story.up("n1", "db");
    story
}

fn host_crash(story: &mut Story) -> &mut Story {
    story.fault(Fault::HostCrash { node: "n1".into() })
}

fn shut_down(story: &mut Story) -> &mut Story {
    story.fault(Fault::Shutdown { node: "n1".into() })
}

fn moved(story: &mut Story) -> &mut Story {
    story
        .fault(Fault::Migration { node: "n1".into() })
        .after("300ms")
        .heal()
}

/// n2 takes message 1 over.
fn promoted(story: &mut Story) -> &mut Story {
    story.push(Event::Tracking {
        node: "n2".into(),
        entry: json!({ "event": "RESUBMIT", "source": "SHADOWREDUNDANCY", "transport-id": "n1/db/1" }),
    })
}

fn starts(text: &str, with: &str) {
    assert!(text.starts_with(with), "{text}");
}

#[test]
fn vz_01_a_cold_boot_gives_what_was_acked_or_the_host_s_failure_lost_it() {
    let mut kept = story();
    kept.accepted(1, "n1", "n2");
    host_crash(&mut kept)
        .after("5m")
        .up("n1", "db")
        .delivered(1, "n1")
        .settle();
    starts(
        &kept.told("VZ-01"),
        "holds: 2 of 2 deliveries of acked mail came through the failure of a host, with 1 cold boot",
    );

    let mut lost = story();
    lost.accepted(1, "n1", "n2");
    host_crash(&mut lost).after("5m").up("n1", "db").settle();
    let told = lost.told("VZ-01");
    starts(&told, "violated: only 0 of 2");
    assert!(told.contains("n1's host crashed at"), "{told}");
    assert!(told.contains("therefore lost"), "{told}");
}

#[test]
fn vz_01_says_nothing_without_a_boot_from_the_same_disk() {
    let mut never_back = story();
    never_back.accepted(1, "n1", "n2");
    host_crash(&mut never_back).delivered(1, "n2").settle();
    starts(
        &never_back.told("VZ-01"),
        "inconclusive: no guest booted after a failure of its host",
    );

    let mut before = story();
    host_crash(&mut before)
        .up("n1", "db")
        .accepted(1, "n1", "n2")
        .delivered(1, "n1")
        .settle();
    starts(
        &before.told("VZ-01"),
        "inconclusive: no acked message was in transit",
    );
}

#[test]
fn vz_02_a_planned_shutdown_loses_nothing_and_nobody_takes_over() {
    let mut kept = story();
    kept.accepted(1, "n1", "n2");
    shut_down(&mut kept)
        .after("30m")
        .up("n1", "db")
        .delivered(1, "n1")
        .settle();
    starts(
        &kept.told("VZ-02"),
        "holds: 2 of 2 deliveries of acked mail came through 1 planned shutdown; 1 shadow message left alone",
    );

    let mut taken = story();
    taken.accepted(1, "n1", "n2");
    shut_down(&mut taken).after("30m").up("n1", "db");
    promoted(&mut taken).delivered(1, "n2").settle();
    let told = taken.told("VZ-02");
    starts(&told, "violated: only 2 of 3");
    assert!(told.contains("n2 held message 1"), "{told}");
    assert!(told.contains("nothing asked for that"), "{told}");

    let mut lost = story();
    lost.accepted(1, "n1", "n2");
    shut_down(&mut lost).after("30m").up("n1", "db").settle();
    starts(&lost.told("VZ-02"), "violated: only 0 of 2");
}

#[test]
fn vz_02_a_promotion_after_the_span_is_right() {
    let mut story = story();
    story.accepted(1, "n1", "n2");
    shut_down(&mut story).after("4h");
    promoted(&mut story)
        .delivered(1, "n2")
        .after("1h")
        .up("n1", "db")
        .settle();
    starts(&story.told("VZ-02"), "holds: 2 of 2");
    let mut crashed = super::planned_tests::story();
    crashed
        .accepted(1, "n1", "n2")
        .kill("n1")
        .up("n1", "db")
        .settle();
    starts(
        &crashed.told("VZ-02"),
        "inconclusive: no guest booted after it was shut down",
    );
}

#[test]
fn vz_03_sessions_and_messages_go_on_and_the_blackout_is_measured() {
    let mut kept = story();
    kept.accepted(1, "n1", "n2").connect("client-2>n1");
    moved(&mut kept)
        .command("client-2>n1", "NOOP", 250)
        .command("client-2>n1", "QUIT", 221)
        .close("client-2>n1", "server")
        .delivered(1, "n1")
        .settle();
    let told = kept.told("VZ-03");
    starts(
        &told,
        "holds: 1 open session and 2 recipients went through 1 live migration; the guest was silent for 3",
    );
}

#[test]
fn vz_03_a_session_that_is_broken_off_is_a_disturbance() {
    let reset = |by: &str, reset: bool| Wire::Close {
        by: by.into(),
        reset,
    };
    let asked = Wire::Command {
        verb: "NOOP".into(),
        line: "NOOP".into(),
    };
    let sent_away = Wire::Reply {
        verb: String::new(),
        reply: reply(421, "moving"),
    };
    let cases: [(&[Wire], &str); 4] = [
        (&[reset("server", true)], "was reset"),
        (
            &[asked.clone(), reset("client", false)],
            "was given up by a client that waited",
        ),
        (
            &[reset("server", false)],
            "was closed by a server that nobody had told to QUIT",
        ),
        (
            &[sent_away, reset("server", false)],
            "was ended by a reply that nobody had asked for",
        ),
    ];
    for (wires, how) in cases {
        let mut story = story();
        story.accepted(1, "n1", "n2").connect("client-2>n1");
        moved(&mut story);
        for wire in wires {
            story.wire("client-2>n1", wire.clone());
        }
        story.delivered(1, "n1").settle();
        let told = story.told("VZ-03");
        starts(&told, "violated: only 2 of 3");
        assert!(told.contains(how), "{told}");
    }
    // A node that gives its copy up, and makes another one, closes its own end alone.
    let mut again = super::planned_tests::story();
    again.submit(1, "n2").end_of_data(1).copy_begins(1, "n2>n1");
    again.fault(Fault::Migration { node: "n1".into() });
    again.after("100ms").copy(1, "n2>n3").after("200ms").heal();
    again
        .copy_answered(1, "n2>n1", 250)
        .close("n2>n1", "client");
    again.ack(1).delivered(1, "n2").settle();
    let told = again.told("VZ-03");
    starts(&told, "violated: only 2 of 3");
    assert!(told.contains("was given up for another one"), "{told}");
    // A client that has all its answers may go.
    let mut story = story();
    story.accepted(1, "n1", "n2").connect("client-2>n1");
    moved(&mut story)
        .close("client-2>n1", "client")
        .delivered(1, "n1")
        .settle();
    starts(&story.told("VZ-03"), "holds: 0 open sessions");
}

#[test]
fn vz_03_a_promotion_a_double_and_a_loss_are_disturbances() {
    let mut taken = story();
    taken.accepted(1, "n1", "n2");
    moved(&mut taken);
    promoted(&mut taken).delivered(1, "n2").settle();
    assert!(
        taken.told("VZ-03").contains("n2 held message 1"),
        "{}",
        taken.told("VZ-03")
    );

    let mut twice = story();
    twice.accepted(1, "n1", "n2");
    moved(&mut twice).delivered(1, "n1").sink(1, "n2").settle();
    assert!(
        twice.told("VZ-03").contains("2 times"),
        "{}",
        twice.told("VZ-03")
    );

    let mut lost = story();
    lost.accepted(1, "n1", "n2");
    moved(&mut lost).settle();
    assert!(
        lost.told("VZ-03").contains("therefore lost"),
        "{}",
        lost.told("VZ-03")
    );
}

#[test]
fn vz_03_does_not_blame_a_migration_for_another_fault_s_work() {
    let mut story = story();
    story.accepted(1, "n1", "n2").connect("client-2>n1");
    moved(&mut story).kill("n1").wire(
        "client-2>n1",
        Wire::Close {
            by: "server".into(),
            reset: true,
        },
    );
    story.up("n1", "db").settle();
    starts(
        &story.told("VZ-03"),
        "inconclusive: no session was open and no message in transit",
    );
    assert_eq!(
        super::planned_tests::story().settle().told("VZ-03"),
        "inconclusive: no guest was moved to another host while it ran"
    );
}

#[test]
fn vz_07_measures_the_slowdown_and_fails_for_a_loss() {
    let starved = || {
        let mut story = story();
        story.accepted(1, "n1", "n2").fault(Fault::CpuStarved {
            node: "n1".into(),
            percent: 5,
        });
        story
            .submit(2, "n1")
            .after("2s")
            .end_of_data(2)
            .copy(2, "n1>n2")
            .ack(2)
            .heal();
        story
    };
    let mut story = starved();
    story.delivered(1, "n1").delivered(2, "n1").settle();
    let told = story.told("VZ-07");
    starts(
        &told,
        "measured: 0 of 2 acked messages lost; n1 held to 5 % of a processor at",
    );
    assert!(told.contains("1 ack within 2.0"), "{told}");
    let mut story = starved();
    story.delivered(1, "n1").settle();
    starts(
        &story.told("VZ-07"),
        "violated: 1 of 2 acked messages not delivered",
    );
    starts(
        &super::planned_tests::story().settle().told("VZ-07"),
        "inconclusive: no guest got less memory or processor time than it wanted",
    );
}
