//! The terminal: what stands above the prompt.

use gauntlet_reports::{RunReport, Style, terminal};

use crate::fixture;

#[test]
fn every_answer() {
    insta::assert_snapshot!(terminal(&fixture::report(), &Style::default(), &fixture::statement), @r#"
    sabotage: ack-before-copy; the nodes are broken on purpose

    VIOLATED       SC-01  No ack before a different node of the boundary has confirmed its copy. Wire…
    holds          SC-03  The copy travels in a new session, opened while the sender's session is…
                          sc-01-primary-destroyed-at-ack: 9 of 9 copies travelled in a session of…
                          one-server-at-a-time ×4: 38 of 38 copies travelled in a session of their own
    inconclusive   HB-09  No promotion before that; any successful session starts the time anew (a…
                          hb-09-flapping-link: the link was never down long enough to be missed
    outside        RO-03  …and external recipients may see a second copy, and not more than one copy…
                          sc-01-primary-destroyed-at-ack: two of message 4.1's own servers failed at…
    inconclusive   SN-05  Failover of a mailbox database to a copy that lags: messages of that…
                          sn-05-lagged-failover: the scenario did not finish; until then: 6 of 6…
    measured       VZ-05
                          sc-01-primary-destroyed-at-ack: 3 of 40 acked messages lost, 2 late, 5…
    not applicable TC-02  acked, then the host loses power (what was not synced is gone, renames too)…
                          tc-02-power-loss: substrate process cannot lose power: what was written stays
    VIOLATED       TC-10  Only <CRLF>.<CRLF> ends the data: no other sequence makes one message into two
    holds          XX-99
                          tc-02-power-loss: a guarantee without a statement

    VIOLATED       SC-01  No ack before a different node of the boundary has confirmed its copy. Wire…
      sc-01-primary-destroyed-at-ack (sim, seed 7)
        1 of 10 acks came before the copy's 250, and its message is lost
        · the 250 to client-1 for message 4.1 went out at 0.012 s, the copy's 250 never came
        · 250 to client-1 at 0.012 s; n1 was destroyed at 0.013 s; no delivery by 3 h 4 min; therefore
          lost
        again: gauntlet replay runs/2026-03-02T09-00-00-shadow-redundancy-7

    VIOLATED       TC-10  Only <CRLF>.<CRLF> ends the data: no other sequence makes one message into two
      tc-02-power-loss (process, seed 7)
        \x1b[31mred\x1b[0m ]]> <script>alert('1')</script> a|b `c` *d* "e" & \u{fffe}\u{202e} next
        @team\x00
        · \x1b[31mred\x1b[0m ]]> <script>alert('1')</script> a|b `c` *d* "e" & \u{fffe}\u{202e} next
          @team\x00

    FAILED         sn-05-lagged-failover (sim, seed 7)
        n2 did not start within 30 s its last words: \x1b[31mred\x1b[0m ]]> <script>alert('1')</script>
        a|b `c` *d* "e" & \u{fffe}\u{202e} next @team\x00

    9 guarantees: 2 hold, 2 violated, 1 measured, 2 inconclusive, 1 outside, 1 not applicable · 8 scenarios (1 failed) · 320 ms · 4 d 21 h simulated
    a guarantee is violated
    "#);
}

#[test]
fn verbose_and_narrow() {
    let style = Style {
        width: 72,
        verbose: true,
        ..Style::default()
    };
    insta::assert_snapshot!(terminal(&fixture::report(), &style, &fixture::statement), @r#"
    sabotage: ack-before-copy; the nodes are broken on purpose

    VIOLATED       SC-01  No ack before a different node of the boundary…
                          sc-01-primary-destroyed-at-ack (sim, seed 7): 1 of
                          10 acks came before the copy's 250, and its
                          message is lost
                          hb-09-flapping-link (sim, seed 7), holds: 3 of 3
                          acks came after the copy's 250
    holds          SC-03  The copy travels in a new session, opened while…
                          sc-01-primary-destroyed-at-ack (sim, seed 7): 9 of
                          9 copies travelled in a session of their own;
                          every client session took another command
                          one-server-at-a-time (sim, seed 8): 38 of 38
                          copies travelled in a session of their own
                          one-server-at-a-time (sim, seed 9): 39 of 39
                          copies travelled in a session of their own
                          one-server-at-a-time (sim, seed 10): 40 of 40
                          copies travelled in a session of their own
                          one-server-at-a-time (sim, seed 11): 41 of 41
                          copies travelled in a session of their own
    inconclusive   HB-09  No promotion before that; any successful session…
                          hb-09-flapping-link (sim, seed 7): the link was
                          never down long enough to be missed
                            · of 9 partitions 0 lasted beyond
                              ShadowHeartbeatFrequency (record 12)
    outside        RO-03  …and external recipients may see a second copy…
                          sc-01-primary-destroyed-at-ack (sim, seed 7): two
                          of message 4.1's own servers failed at once
    inconclusive   SN-05  Failover of a mailbox database to a copy that…
                          sn-05-lagged-failover (sim, seed 7): the scenario
                          did not finish; until then: 6 of 6 messages were
                          resubmitted
    measured       VZ-05
                          sc-01-primary-destroyed-at-ack (sim, seed 7): 3 of
                          40 acked messages lost, 2 late, 5 delivered twice
                          outside and 0 inside; n1 reverted at 8 min 2.000
                          s, detection off
    not applicable TC-02  acked, then the host loses power (what was not…
                          tc-02-power-loss (process, seed 7): substrate
                          process cannot lose power: what was written stays
    VIOLATED       TC-10  Only <CRLF>.<CRLF> ends the data: no other…
                          tc-02-power-loss (process, seed 7):
                          \x1b[31mred\x1b[0m ]]> <script>alert('1')</script>
                          a|b `c` *d* "e" & \u{fffe}\u{202e} next @team\x00
    holds          XX-99
                          tc-02-power-loss (process, seed 7): a guarantee
                          without a statement

    VIOLATED       SC-01  No ack before a different node of the boundary…
      sc-01-primary-destroyed-at-ack (sim, seed 7)
        1 of 10 acks came before the copy's 250, and its message is lost
        · the 250 to client-1 for message 4.1 went out at 0.012 s, the
          copy's 250 never came (records 41, 57)
        · 250 to client-1 at 0.012 s; n1 was destroyed at 0.013 s; no
          delivery by 3 h 4 min; therefore lost (records 41, 58, 902)
        again: gauntlet replay runs/2026-03-02T09-00-00-shadow-redundancy-7

    VIOLATED       TC-10  Only <CRLF>.<CRLF> ends the data: no other…
      tc-02-power-loss (process, seed 7)
        \x1b[31mred\x1b[0m ]]> <script>alert('1')</script> a|b `c` *d* "e" &
        \u{fffe}\u{202e} next @team\x00
        · \x1b[31mred\x1b[0m ]]> <script>alert('1')</script> a|b `c` *d* "e"
          & \u{fffe}\u{202e} next @team\x00 (record 1)

    FAILED         sn-05-lagged-failover (sim, seed 7)
        n2 did not start within 30 s its last words: \x1b[31mred\x1b[0m ]]>
        <script>alert('1')</script> a|b `c` *d* "e" & \u{fffe}\u{202e} next
        @team\x00

    9 guarantees: 2 hold, 2 violated, 1 measured, 2 inconclusive, 1 outside, 1 not applicable · 8 scenarios (1 failed) · 320 ms · 4 d 21 h simulated
    a guarantee is violated
    "#);
}

#[test]
fn a_green_run_in_color() {
    let style = Style {
        color: true,
        ..Style::default()
    };
    let text = terminal(&fixture::green(), &style, &fixture::statement).replace('\x1b', "ESC");
    insta::assert_snapshot!(text, @r#"
    ESC[32mholds          ESC[0mESC[1mSC-03ESC[0m  The copy travels in a new session, opened while the sender's session is…
                          ESC[2msc-03-session-stays-open: 1 of 1 copies travelled in a session of their ownESC[0m

    1 guarantee: 1 holds · 1 scenario · 40 ms · 3 h 4 min simulated
    ESC[1mESC[32mall that was tested holdsESC[0m
    "#);
}

#[test]
fn nothing_ran() {
    insta::assert_snapshot!(terminal(&RunReport::new("0", "gauntlet run"), &Style::default(), &|_| None), @r#"
    0 guarantees · 0 scenarios
    nothing was proven
    "#);
}

#[test]
fn escapes_come_from_nowhere_else() {
    let plain = terminal(
        &fixture::report(),
        &Style {
            verbose: true,
            ..Style::default()
        },
        &fixture::statement,
    );
    assert!(
        !plain.contains('\x1b') && !plain.contains('\u{202e}') && plain.contains("\\x1b[31mred")
    );
}

#[test]
fn lines_keep_to_the_width() {
    for width in [0, 40, 60, 100, 200] {
        let text = terminal(
            &fixture::report(),
            &Style {
                width,
                ..Style::default()
            },
            &fixture::statement,
        );
        let under = text
            .lines()
            .filter(|line| line.starts_with(' ') && !line.contains("gauntlet replay"));
        for line in under {
            assert!(line.chars().count() <= width.max(60), "{width}: {line}");
        }
    }
}
