//! A report with every status, text that no format may swallow, and a scenario that did not finish.

use gauntlet_reports::{Counts, Evidence, RunReport, ScenarioReport, Status, Verdict};

/// Text that breaks formats: a terminal's escapes, ends of CDATA, tags, table cells, line ends, what is no character.
pub(crate) const HOSTILE: &str = "\x1b[31mred\x1b[0m ]]> <script>alert('1')</script> a|b `c` *d* \"e\" & \u{fffe}\u{202e}\r\nnext @team\0";

pub(crate) fn statement(id: &str) -> Option<String> {
    let text = match id {
        "SC-01" => {
            "No ack before a different node of the boundary has confirmed its copy. Wire: on every link, the copy's 250 precedes the client's 250"
        }
        "SC-03" => {
            "The copy travels in a new session, opened while the sender's session is still open; the sender's session stays usable after the ack"
        }
        "HB-09" => {
            "No promotion before that; any successful session starts the time anew (a flapping link never adds up)"
        }
        "RO-03" => {
            "…and external recipients may see a second copy, and not more than one copy per owner"
        }
        "SN-05" => {
            "Failover of a mailbox database to a copy that lags: messages of that database and interval are resubmitted by themselves"
        }
        "TC-02" => {
            "acked, then the host loses power (what was not synced is gone, renames too): delivered after boot"
        }
        "TC-10" => "Only <CRLF>.<CRLF> ends the data: no other sequence makes one message into two",
        _ => return None,
    };
    Some(text.into())
}

pub(crate) fn report() -> RunReport {
    let mut report = RunReport::new(
        "0.1.0",
        "gauntlet run shadow-redundancy heartbeat transport --seed 7",
    );
    report.sabotage = Some("ack-before-copy".into());
    let mut destroyed = scenario(
        "shadow-redundancy",
        "sc-01-primary-destroyed-at-ack",
        "The primary server is destroyed at the instant of the ack",
    );
    destroyed.counts = Counts {
        submitted: 12,
        acked: 10,
        refused: 1,
        indeterminate: 1,
        unsent: 0,
        delivered: 9,
        faults: 2,
    };
    destroyed.directory = Some("runs/2026-03-02T09-00-00-shadow-redundancy-7".into());
    destroyed.verdicts = vec![
        Verdict {
            evidence: vec![
                evidence(
                    "the 250 to client-1 for message 4.1 went out at 0.012 s, the copy's 250 never came",
                    &[41, 57],
                ),
                evidence(
                    "250 to client-1 at 0.012 s; n1 was destroyed at 0.013 s; no delivery by 3 h 4 min; therefore lost",
                    &[41, 58, 902],
                ),
            ],
            ..verdict(
                "SC-01",
                Status::Violated,
                "1 of 10 acks came before the copy's 250, and its message is lost",
                10,
            )
        },
        verdict(
            "SC-03",
            Status::Holds,
            "9 of 9 copies travelled in a session of their own; every client session took another command",
            9,
        ),
        verdict(
            "VZ-05",
            Status::Measured,
            "3 of 40 acked messages lost, 2 late, 5 delivered twice outside and 0 inside; n1 reverted at 8 min 2.000 s, detection off",
            40,
        ),
        verdict(
            "RO-03",
            Status::Outside,
            "two of message 4.1's own servers failed at once",
            0,
        ),
    ];
    report.scenarios.push(destroyed);

    let mut flapping = scenario(
        "heartbeat",
        "hb-09-flapping-link",
        "A link flaps for longer than ShadowResubmitTimeSpan",
    );
    flapping.counts = Counts {
        submitted: 3,
        acked: 3,
        delivered: 3,
        faults: 9,
        ..Counts::default()
    };
    flapping.simulated_ms = 4 * 86_400_000;
    flapping.verdicts = vec![
        verdict(
            "SC-01",
            Status::Holds,
            "3 of 3 acks came after the copy's 250",
            3,
        ),
        Verdict {
            evidence: vec![evidence(
                "of 9 partitions 0 lasted beyond ShadowHeartbeatFrequency",
                &[12],
            )],
            ..verdict(
                "HB-09",
                Status::Inconclusive,
                "the link was never down long enough to be missed",
                0,
            )
        },
    ];
    report.scenarios.push(flapping);

    let mut power = scenario(
        "transport",
        "tc-02-power-loss",
        "The host loses power after the ack",
    );
    power.verdicts = vec![
        verdict(
            "TC-02",
            Status::NotApplicable,
            "substrate process cannot lose power: what was written stays",
            0,
        ),
        Verdict {
            evidence: vec![evidence(HOSTILE, &[1])],
            ..verdict("TC-10", Status::Violated, HOSTILE, 1)
        },
        verdict("XX-99", Status::Holds, "a guarantee without a statement", 1),
    ];
    power.substrate = "process".into();
    report.scenarios.push(power);

    let mut failover = scenario(
        "safety-net",
        "sn-05-lagged-failover",
        "A mailbox database fails over to a copy that lags",
    );
    failover.failure = Some(format!(
        "n2 did not start within 30 s\nits last words: {HOSTILE}"
    ));
    failover.verdicts = vec![verdict(
        "SN-05",
        Status::Holds,
        "6 of 6 messages were resubmitted",
        6,
    )];
    report.scenarios.push(failover);
    for seed in [8, 9, 10, 11] {
        let mut again = scenario(
            "chaos",
            "one-server-at-a-time",
            "Random faults, one server at a time",
        );
        again.seed = seed;
        again.counts = Counts {
            submitted: 40,
            acked: 38,
            indeterminate: 2,
            delivered: 39,
            faults: 5,
            ..Counts::default()
        };
        again.verdicts = vec![verdict(
            "SC-03",
            Status::Holds,
            &format!(
                "{} of {} copies travelled in a session of their own",
                30 + seed,
                30 + seed
            ),
            30 + seed,
        )];
        report.scenarios.push(again);
    }
    report
}

/// A run in which everything that was tested holds.
pub(crate) fn green() -> RunReport {
    let mut report = RunReport::new("0.1.0", "gauntlet run --only SC-03");
    let mut one = scenario(
        "shadow-redundancy",
        "sc-03-session-stays-open",
        "The sender's session stays usable",
    );
    one.counts = Counts {
        submitted: 1,
        acked: 1,
        delivered: 1,
        ..Counts::default()
    };
    one.verdicts = vec![verdict(
        "SC-03",
        Status::Holds,
        "1 of 1 copies travelled in a session of their own",
        1,
    )];
    report.scenarios.push(one);
    report
}

pub(crate) fn scenario(suite: &str, id: &str, title: &str) -> ScenarioReport {
    ScenarioReport {
        scenario: id.into(),
        title: title.into(),
        suite: suite.into(),
        substrate: "sim".into(),
        seed: 7,
        elapsed_ms: 40,
        simulated_ms: 11_040_000,
        counts: Counts::default(),
        ledger: None,
        verdicts: Vec::new(),
        directory: None,
        failure: None,
    }
}

pub(crate) fn verdict(guarantee: &str, status: Status, summary: &str, proofs: u64) -> Verdict {
    Verdict {
        guarantee: guarantee.into(),
        status,
        summary: summary.into(),
        evidence: Vec::new(),
        proofs,
        damage: None,
    }
}

pub(crate) fn evidence(text: &str, records: &[u64]) -> Evidence {
    Evidence {
        text: text.into(),
        records: records.to_vec(),
    }
}
