//! Each way in which a level is denied, and the certificate as people read it.

use super::*;
use crate::{Counts, Exposure, Origin, Part, ScenarioReport, Verdict};

const TC: [&str; 11] = [
    "TC-01", "TC-02", "TC-03", "TC-04", "TC-05", "TC-06", "TC-07", "TC-08", "TC-09", "TC-10",
    "TC-11",
];

/// A server that kept everything it was put to, in enough runs.
struct Story {
    run: RunReport,
    claims: Vec<&'static str>,
    probe: Option<ProbeTally>,
    untested: Vec<Untested>,
    complete: bool,
}

fn good() -> Story {
    let mut run = RunReport::new("0.1.0", "gauntlet certify postfix");
    run.elapsed_ms = Some(192_000);
    run.origin = Some(Origin {
        what: "certificate".into(),
        on: "container postfix".into(),
        seed: 1,
        seeds: 4,
        part: None,
    });
    let exposure = TRANSPORT_CORE.iter().map(|required| Exposure {
        kind: required.kind.into(),
        happened: required.times,
        acked: MESSAGES,
    });
    let ledger = MailLedger {
        messages: 1030,
        never_acked: 10,
        promised: 1020,
        delivered: 1010,
        bounced: 10,
        duplicated: 4,
        copies_too_many: 5,
        most_copies: 3,
        exposure: exposure.collect(),
        ..MailLedger::default()
    };
    run.scenarios.push(ScenarioReport {
        scenario: "everything".into(),
        title: "Everything".into(),
        suite: "certification".into(),
        substrate: "container".into(),
        seed: 1,
        elapsed_ms: 40,
        simulated_ms: 40,
        counts: Counts {
            faults: 300,
            ..Counts::default()
        },
        ledger: Some(ledger),
        verdicts: TC
            .iter()
            .map(|id| Verdict {
                guarantee: (*id).into(),
                status: Status::Holds,
                summary: "20 of 20 deliveries".into(),
                evidence: Vec::new(),
                proofs: 20,
                damage: None,
            })
            .collect(),
        directory: None,
        failure: None,
    });
    Story {
        run,
        claims: vec!["TC"],
        probe: Some(ProbeTally {
            proof: Some("sink 127.0.0.1:2600".into()),
            must_passed: 120,
            must_skipped: 30,
            security_passed: 9,
            should: [11, 2],
            ..ProbeTally::default()
        }),
        untested: Vec::new(),
        complete: true,
    }
}

impl Story {
    fn ledger(&mut self) -> &mut MailLedger {
        self.run.scenarios[0].ledger.as_mut().expect("it has one")
    }

    fn exposed(&mut self, kind: &str) -> &mut Exposure {
        let found = self.ledger().exposure.iter_mut().find(|e| e.kind == kind);
        found.expect("a kind that is required")
    }

    fn judged(&mut self, id: &str, status: Status) {
        let verdicts = &mut self.run.scenarios[0].verdicts;
        let found = verdicts.iter_mut().find(|v| v.guarantee == id);
        found.expect("a verdict").status = status;
    }

    fn certificate(self) -> Certificate {
        let catalogue = TC
            .iter()
            .chain(&["SC-01", "SC-19", "SN-01"])
            .map(|id| Promise {
                id: (*id).into(),
                must: !["TC-04", "SC-19"].contains(id),
            });
        certificate(Facts {
            subject: Subject {
                name: "postfix".into(),
                title: "Postfix, as Debian packages it".into(),
                version: Some("3.7.11".into()),
                digest: Some("sha256:0123".into()),
                substrate: "container".into(),
                time_scale: 600,
                claims: self.claims.iter().map(|c| (*c).to_owned()).collect(),
            },
            date: "2026-01-02T03:04:05Z".into(),
            run: &self.run,
            repeats: 4,
            probe: self.probe,
            untested: self.untested,
            catalogue: catalogue.collect(),
            complete: self.complete,
        })
    }
}

/// Why a level is denied after a change; empty: it is reached.
fn denied(level: Level, change: impl FnOnce(&mut Story)) -> String {
    let mut story = good();
    change(&mut story);
    let certificate = story.certificate();
    let line = certificate
        .levels
        .into_iter()
        .find(|line| line.level == level);
    let line = line.expect("every level has a line");
    if line.reached {
        String::new()
    } else {
        line.reasons.join("; ")
    }
}

#[test]
fn what_is_proven_by_enough_is_reached() {
    for level in [
        Level::Protocol,
        Level::CrashSafe,
        Level::PowerSafe,
        Level::TransportCore,
    ] {
        assert_eq!(denied(level, |_| {}), "", "{}", level.name());
    }
}

#[test]
fn what_is_not_claimed_is_not_reached() {
    assert_eq!(denied(Level::ShadowRedundant, |_| {}), "not claimed");
    assert_eq!(denied(Level::SafetyNet, |_| {}), "not claimed");
    assert_eq!(
        denied(Level::CrashSafe, |s| s.claims.clear()),
        "not claimed"
    );
}

#[test]
fn a_guarantee_that_does_not_hold_denies_its_levels() {
    let mut verdicts = Vec::new();
    for status in [
        Status::Violated,
        Status::Inconclusive,
        Status::Outside,
        Status::NotApplicable,
    ] {
        verdicts.push(denied(Level::CrashSafe, |s| s.judged("TC-01", status)));
    }
    assert_eq!(
        verdicts,
        [
            "TC-01 is violated",
            "TC-01 is inconclusive",
            "TC-01 is outside",
            "TC-01 is not applicable"
        ]
    );
    assert_eq!(
        denied(Level::PowerSafe, |s| s.judged("TC-02", Status::Violated)),
        "TC-02 is violated"
    );
    assert_eq!(
        denied(Level::PowerSafe, |s| s.judged("TC-01", Status::Violated)),
        ""
    );
    // A MAY with a bound.
    assert_eq!(
        denied(Level::TransportCore, |s| s
            .judged("TC-04", Status::Violated)),
        "TC-04 is violated"
    );
}

#[test]
fn a_guarantee_without_a_verdict_denies_its_levels() {
    let gone = |s: &mut Story| {
        s.run.scenarios[0]
            .verdicts
            .retain(|v| v.guarantee != "TC-07")
    };
    assert_eq!(
        denied(Level::TransportCore, gone),
        "TC-07 was not tested: no scenario that can be run on this target tests it"
    );
    let told = |s: &mut Story| {
        gone(s);
        let why = "a full disk needs root".to_owned();
        s.untested.push(Untested {
            what: "TC-07".into(),
            why,
        });
    };
    assert_eq!(
        denied(Level::TransportCore, told),
        "TC-07 was not tested: a full disk needs root"
    );
}

#[test]
fn a_run_that_the_harness_did_not_finish_proves_nothing() {
    let failed = |s: &mut Story| s.run.scenarios[0].failure = Some("the disk was full".into());
    assert_eq!(denied(Level::CrashSafe, failed), "TC-01 is inconclusive");
}

#[test]
fn thin_evidence_denies() {
    assert_eq!(
        denied(Level::CrashSafe, |s| s.exposed("process killed").happened =
            49),
        "thin: process killed 49 times, and 50 are needed"
    );
    assert_eq!(
        denied(Level::CrashSafe, |s| s.exposed("process killed").acked =
            999),
        "thin: process killed to 999 acked messages, and 1000 are needed"
    );
    assert_eq!(
        denied(Level::PowerSafe, |s| s.exposed("power lost").happened = 99),
        "thin: power lost 99 times, and 100 are needed"
    );
    for required in TRANSPORT_CORE {
        let why = denied(Level::TransportCore, |s| {
            s.exposed(required.kind).happened -= 1
        });
        assert!(
            why.starts_with(&format!("thin: {}", required.kind)),
            "{why}"
        );
    }
    let why = denied(Level::TransportCore, |s| s.ledger().exposure.clear());
    assert_eq!(why.matches("thin: ").count(), 24, "{why}");
}

#[test]
fn a_loss_denies_whatever_the_verdicts_say() {
    assert_eq!(
        denied(Level::PowerSafe, |s| s.ledger().lost = 1),
        "1 acked deliveries were lost"
    );
    assert_eq!(
        denied(Level::CrashSafe, |s| s.ledger().phantoms = 2),
        "2 deliveries of what was refused or never sent"
    );
}

#[test]
fn a_part_a_broken_off_run_and_broken_nodes_reach_nothing() {
    let part = |s: &mut Story| {
        if let Some(origin) = &mut s.run.origin {
            origin.part = Some(Part { index: 1, of: 4 });
        }
    };
    for level in [Level::Protocol, Level::CrashSafe] {
        assert_eq!(
            denied(level, part),
            "this is part 1 of 4: `gauntlet merge` puts them together"
        );
        assert_eq!(
            denied(level, |s| s.complete = false),
            "the certification was interrupted"
        );
        assert_eq!(
            denied(level, |s| s.run.sabotage = Some("no-fsync".into())),
            "the nodes were broken on purpose (no-fsync)"
        );
    }
}

#[test]
fn the_protocol_level_needs_every_case_with_must() {
    let clause = || ClauseLine {
        id: "rfc5321/4.5.2/dot-stuffing".into(),
        clause: "A dot that begins a line is doubled.".into(),
        seen: "nothing".into(),
    };
    let probe = |change: fn(&mut ProbeTally, ClauseLine)| {
        denied(Level::Protocol, |s| {
            change(s.probe.as_mut().expect("there is one"), clause());
        })
    };
    assert_eq!(
        probe(|p, c| p.must_failed.push(c)),
        "rfc5321/4.5.2/dot-stuffing fails: A dot that begins a line is doubled."
    );
    assert_eq!(
        probe(|p, c| p.must_open.push(c)),
        "rfc5321/4.5.2/dot-stuffing could not be told: nothing"
    );
    assert_eq!(probe(|p, c| p.security_failed.push(c)), "");
    assert_eq!(
        probe(|p, _| p.must_passed = 39),
        "39 cases with MUST passed, and 40 are needed"
    );
    assert_eq!(
        probe(|p, _| p.broken_off = Some("it was interrupted".into())),
        "the probe did not come to its end: it was interrupted"
    );
    assert_eq!(
        denied(Level::Protocol, |s| s.probe = None),
        "not tested: the probe was not run"
    );
    let told = |s: &mut Story| {
        s.probe = None;
        let why = "--no-probe".to_owned();
        s.untested.push(Untested {
            what: "protocol".into(),
            why,
        });
    };
    assert_eq!(denied(Level::Protocol, told), "not tested: --no-probe");
}

#[test]
fn shadow_redundancy_needs_every_must_and_enough_mail() {
    let claims = |s: &mut Story| s.claims.extend(["SC", "SN"]);
    assert_eq!(
        denied(Level::ShadowRedundant, claims),
        "SC-01 was not tested: no scenario that can be run on this target tests it; thin: 0 promised deliveries in its \
         scenarios, and 1000 are needed; thin: 0 faults landed in its scenarios, and 50 are needed"
    );
    let holds = |s: &mut Story| {
        claims(s);
        for id in ["SC-01", "SN-01"] {
            let verdict = s.run.scenarios[0].verdicts[0].clone();
            s.run.scenarios[0].verdicts.push(Verdict {
                guarantee: id.into(),
                ..verdict
            });
        }
    };
    assert_eq!(denied(Level::ShadowRedundant, holds), "");
    assert_eq!(denied(Level::SafetyNet, holds), "");
    let thin = |s: &mut Story| {
        holds(s);
        s.ledger().promised = 999;
        s.run.scenarios[0].counts.faults = 49;
    };
    assert_eq!(
        denied(Level::ShadowRedundant, thin),
        "thin: 999 promised deliveries in its scenarios, and 1000 are needed; thin: 49 faults landed in its scenarios, and \
         50 are needed"
    );
}

#[test]
fn a_certificate_is_read_back() {
    let certificate = good().certificate();
    let text = json(&certificate).expect("JSON");
    assert_eq!(from_json(&text).expect("a certificate"), certificate);
    let other = text.replacen("\"version\": 1", "\"version\": 2", 1);
    assert!(matches!(
        from_json(&other),
        Err(ReportError::Version { found: 2 })
    ));
}

#[test]
fn the_certificate_as_people_read_it() {
    let mut story = good();
    story.judged("TC-02", Status::Violated);
    story.ledger().lost = 1;
    let verdict = &mut story.run.scenarios[0].verdicts[1];
    verdict.summary = "only 19 of 20 deliveries".into();
    verdict.evidence.push(crate::Evidence {
        text: "250 to client-1 at 0.012 s for message 3; n1's host crashed at 0.013 s; therefore <lost>".into(),
        records: vec![3, 9],
    });
    story.untested.push(Untested {
        what: "protocol".into(),
        why: "it *cannot* be reached".into(),
    });
    let statement = |id: &str| (id != "TC-11").then(|| format!("what {id} says"));
    let certificate = story.certificate();
    insta::assert_snapshot!(markdown(&certificate, &statement), @r#"
        # Certificate: postfix

        **Reached: protocol.**

        | | |
        |---|---|
        | subject | Postfix, as Debian packages it |
        | version | 3.7.11 |
        | digest | `sha256:0123` |
        | ran on | `container`, documented durations divided by 600 |
        | harness | gauntlet 0.1.0 |
        | command | `gauntlet certify postfix` |
        | seed | 1; scenarios for any server 4 times |
        | date | 2026-01-02T03:04:05Z |
        | took | 3 min 12 s |

        ## Levels

        | level | | |
        |---|---|---|
        | **protocol** (what the standards say with MUST) | reached | 120 cases with MUST passed, 30 had nothing to test |
        | **crash-safe** (TC-01: killed at any moment, nothing acked is lost) | no | 1 acked deliveries were lost |
        | **power-safe** (TC-02: without power, nothing acked is lost) | no | TC-02 is violated<br>1 acked deliveries were lost |
        | **transport core** (TC) | no | TC-02 is violated<br>1 acked deliveries were lost |
        | **shadow-redundant** (SC, TO, HB, RO, DD) | no | not claimed |
        | **Safety Net** (SN) | no | not claimed |

        ## Guarantees

        | ID | | guarantee | scenarios | promised deliveries | faults | put to the test |
        |---|---|---|--:|--:|--:|--:|
        | TC-01 | holds | what TC-01 says | 1 | 1020 | 300 | 20 |
        | TC-02 | **violated** | what TC-02 says | 1 | 1020 | 300 | 20 |
        | TC-03 | holds | what TC-03 says | 1 | 1020 | 300 | 20 |
        | TC-04 | holds | what TC-04 says | 1 | 1020 | 300 | 20 |
        | TC-05 | holds | what TC-05 says | 1 | 1020 | 300 | 20 |
        | TC-06 | holds | what TC-06 says | 1 | 1020 | 300 | 20 |
        | TC-07 | holds | what TC-07 says | 1 | 1020 | 300 | 20 |
        | TC-08 | holds | what TC-08 says | 1 | 1020 | 300 | 20 |
        | TC-09 | holds | what TC-09 says | 1 | 1020 | 300 | 20 |
        | TC-10 | holds | what TC-10 says | 1 | 1020 | 300 | 20 |
        | TC-11 | holds |  | 1 | 1020 | 300 | 20 |

        **TC-02** is violated:

        - `everything` (container, seed 1): only 19 of 20 deliveries
          - 250 to client-1 at 0.012 s for message 3; n1's host crashed at 0.013 s; therefore &lt;lost&gt;

        ## What became of the mail

        | | |
        |---|--:|
        | messages submitted | 1030 |
        | …never acknowledged | 10 |
        | promised deliveries (an acknowledged message, one recipient) | 1020 |
        | …delivered | 1010 |
        | …bounced: a DSN to the sender | 10 |
        | …**lost** | 1 |
        | …undecided | 0 |
        | …late | 0 |
        | …duplicated | 4 |
        | copies beyond the first | 5 |
        | most copies of one message for one recipient | 3 |
        | delivered though refused or never sent | 0 |

        | what it was put to | times | acked messages in these runs |
        |---|--:|--:|
        | ack lost | 100 | 1000 |
        | data cut off | 100 | 1000 |
        | disk full | 4 | 1000 |
        | false end of data | 100 | 1000 |
        | message that went round | 100 | 1000 |
        | next hop defers | 100 | 1000 |
        | next hop down | 100 | 1000 |
        | next hop loses its reply | 100 | 1000 |
        | next hop refuses a recipient | 100 | 1000 |
        | next hop slow | 100 | 1000 |
        | power lost | 100 | 1000 |
        | process killed | 50 | 1000 |

        ## Protocol

        Cases with MUST: 120 passed, 0 failed, 0 could not be told, 30 had nothing to test. SHOULD: 11 of 13 passed. Security: 9 passed, 0 failed. Proof of arrival: sink 127.0.0.1:2600.

        ## Not tested

        - protocol: it \*cannot\* be reached
    "#);
    insta::assert_snapshot!(terminal(&certificate, 80), @r#"
        Postfix, as Debian packages it, 3.7.11
        reached  protocol          120 cases with MUST passed, 30 had nothing to test
        no       crash-safe        1 acked deliveries were lost
        no       power-safe        TC-02 is violated
                                   1 acked deliveries were lost
        no       transport core    TC-02 is violated
                                   1 acked deliveries were lost
        no       shadow-redundant  not claimed
        no       Safety Net        not claimed
        1020 promised deliveries: 1010 delivered, 10 bounced, 1 lost, 0 late, 4 more
        than once (at most 3)
    "#);
}
