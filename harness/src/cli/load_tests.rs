use super::*;

#[test]
fn sizes_are_octets_or_a_range_of_them() {
    let sizes = |text: &str| text.parse::<Sizes>().map(|sizes| sizes.0);
    assert_eq!(sizes("4096"), Ok(4096..=4096));
    assert_eq!(sizes("1KiB..64KiB"), Ok(1024..=65536));
    assert_eq!(sizes("2 MiB"), Ok(2 << 20..=2 << 20));
    for bad in [
        "",
        "KiB",
        "5..4",
        "4kb",
        "1..",
        "-1",
        "2GiB",
        "99999999999999999999",
    ] {
        assert!(sizes(bad).is_err(), "{bad}");
    }
}

#[test]
fn addresses_cannot_break_out_of_their_command() {
    for bad in ["a b@c", "a>@c", "a@c\r\nQUIT", "ä@c", "a", "@c", "a@"] {
        assert!(recipient(bad).is_err(), "{bad:?}");
    }
    assert_eq!(address(""), Ok(String::new()));
    assert!(recipient("a@c").is_ok());
    assert!(rate("0").is_err() && rate("inf").is_err() && rate("NaN").is_err());
}

#[test]
fn the_table_reads_well() {
    let mut figures = Figures {
        counts: Counts {
            acked: 9_990,
            refused: 10,
            never_begun: 3,
            ..Counts::default()
        },
        elapsed: Duration::from_secs(2),
        octets: 9_990 * 4096,
        connections: 10,
        ..Figures::default()
    };
    figures.refused.insert(451, 10);
    figures.connect.record(Duration::from_micros(120));
    for us in 1..=1000 {
        figures.message.record(Duration::from_micros(us * 10));
    }
    figures.error("the connection was closed");
    let plan = LoadPlan {
        pace: Pace::Open { rate: 5000.0 },
        sessions: 10,
        ..crate::load::testing::plan()
    };
    let report = Report::new(
        &plan,
        "127.0.0.1:25",
        "gauntlet load",
        Reason::Duration,
        &figures,
    );
    insta::assert_snapshot!(report.text(), @"
    127.0.0.1:25: 9990 of 10000 messages acked in 2.00 s: 4995 messages/s, 20.5 MB/s (10 sessions, 10 connections)

    OUTCOME        MESSAGES
    acked          9990
    refused        10        451: 10
    indeterminate  0
    unsent         0
    never begun    3         due, and no session was free in time

    LATENCY, MS  COUNT  MIN    P50    P90    P99    P99.9  MAX
    connect      1      0.120  0.120  0.120  0.120  0.120  0.120
    message      1000   0.010  5.003  9.007  9.903  9.991  10.007

    Open loop: a message's latency counts from the time at which it was due.
    1 × the connection was closed
    ");
}
