//! TO-07 on hand-written histories.

use crate::{
    check::testing::{Story, reply},
    history::{Event, Wire},
};

/// A busy session that ended after so long; `None`: it did not. `with` is the reply that came.
fn busy(lasted: &str, ended: bool, with: Option<u16>, longest_pause_s: u64) -> Story {
    let mut story = Story::new();
    let link = "client-1>n1";
    story
        .connect(link)
        .command(link, "EHLO client-1", 250)
        .after(lasted);
    if let Some(code) = with {
        let (verb, reply) = (String::new(), reply(code, "4.4.2 session lasted too long"));
        story.wire(link, Wire::Reply { verb, reply });
    }
    story.push(Event::BusyClosed {
        link: link.into(),
        connection: Some(1),
        after_us: ended.then_some(1),
        longest_pause_us: longest_pause_s * 1_000_000,
        reply: with.map(|code| reply(code, "bye")),
    });
    story
}

#[test]
fn to_07_wants_421_at_the_documented_time() {
    let told = |mut story: Story| story.settle().told("TO-07");
    insta::assert_snapshot!(told(busy("10m", true, Some(421), 10)), @"holds: 1 of 1 busy sessions were closed with 421 at ConnectionTimeout");
    insta::assert_snapshot!(told(busy("5m", true, Some(421), 10)), @r"
    violated: only 0 of 1 busy sessions were closed with 421 at ConnectionTimeout
    - n1 closed client-1>n1 after 5 min, 4 min 59 s before its time, although data was flowing
    ");
    insta::assert_snapshot!(told(busy("11m", true, Some(421), 10)), @r"
    violated: only 0 of 1 busy sessions were closed with 421 at ConnectionTimeout
    - n1 closed client-1>n1 only after 11 min; 10 min is the limit
    ");
    insta::assert_snapshot!(told(busy("10m", true, None, 10)), @r"
    violated: only 0 of 1 busy sessions were closed with 421 at ConnectionTimeout
    - n1 closed client-1>n1 after 10 min without a 421
    ");
    insta::assert_snapshot!(told(busy("30m", false, None, 10)), @r"
    violated: only 0 of 1 busy sessions were closed with 421 at ConnectionTimeout
    - client-1>n1 was busy from 0.004 s on and still open after 30 min; 10 min is the limit
    ");
}

#[test]
fn to_07_says_nothing_of_a_client_that_paused_for_long_gave_up_early_or_lost_its_way() {
    let thin = "inconclusive: no client was busy for long enough";
    let told = |mut story: Story| story.settle().told("TO-07");
    assert_eq!(told(busy("6m", true, Some(421), 300)), thin);
    assert_eq!(told(busy("5m", false, None, 10)), thin);
    assert_eq!(told(Story::new()), thin);
    let mut story = Story::new();
    story.part("client-1", "n1").heal();
    let mut cut = busy("5m", true, None, 10);
    cut.part("client-1", "n1");
    assert_eq!(
        told(cut),
        "violated: only 0 of 1 busy sessions were closed with 421 at ConnectionTimeout\n- n1 closed client-1>n1 after \
         5 min, 4 min 59 s before its time, although data was flowing",
        "a fault after the end explains nothing"
    );
    let mut frozen = Story::new();
    let link = "client-1>n1";
    frozen
        .connect(link)
        .command(link, "EHLO client-1", 250)
        .kill("n1")
        .push(Event::BusyClosed {
            link: link.into(),
            connection: Some(1),
            after_us: Some(1),
            longest_pause_us: 0,
            reply: None,
        });
    assert_eq!(told(frozen), thin);
}
