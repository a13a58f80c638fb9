//! A client that is right passes all cases; one with a flaw is to fail exactly the cases that are about it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gauntlet_reports::probe::{Outcome, ProbeCase};
use tokio_util::sync::CancellationToken;

use super::{all, flaws_rows::ROWS};
use crate::probe::{
    case::Need,
    client::{
        ClientProbe, run,
        submit::Way,
        testing::{Client, Flaw},
    },
    expected::Expected,
    target::Target,
};

async fn answers(flaws: &[Flaw]) -> Result<Vec<ProbeCase>, String> {
    let client = Client::start(flaws).await;
    let probe = ClientProbe {
        listen: "127.0.0.1:0".into(),
        way: Way::Submit(Target {
            host: client.address.ip().to_string(),
            port: client.address.port(),
        }),
        from: "ann@from.example".into(),
        to: "bob@to.example".into(),
        timeout: Duration::from_secs(20),
        // Long enough for a machine that has much to do: only a flaw makes anybody wait so long.
        arrival_timeout: Duration::from_secs(12),
        retry_within: Some(Duration::from_secs(12)),
        jobs: 32,
        strict: true,
        slow: false,
        expected: Expected::new(),
        command: String::new(),
    };
    let listening = |address: &str| client.sends_to(address);
    let report = run(probe, all(), CancellationToken::new(), listening, |_| {})
        .await
        .expect("a port");
    match report.unreachable {
        None => Ok(report.cases),
        Some(why) => Err(format!("{flaws:?}: {why}")),
    }
}

fn failed(cases: &[ProbeCase]) -> BTreeSet<String> {
    cases
        .iter()
        .filter(|case| matches!(case.outcome, Outcome::Failed { .. } | Outcome::Gone { .. }))
        .map(|case| case.id.clone())
        .collect()
}

fn is_slow(id: &str) -> bool {
    all()
        .iter()
        .any(|case| case.id == id && case.has(Need::Slow))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_right_passes_all_cases() {
    let others: Vec<String> = answers(&[])
        .await
        .expect("reachable")
        .iter()
        .filter(|case| case.outcome != Outcome::Passed && !is_slow(&case.id))
        .map(|case| {
            let lines: Vec<String> = case.dialogue.iter().map(ToString::to_string).collect();
            format!("{}: {:?}\n{}", case.id, case.outcome, lines.join("\n"))
        })
        .collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes, and the rows have not been seen to hold yet"]
async fn a_flaw_fails_exactly_the_cases_that_are_about_it() {
    let permits = Arc::new(tokio::sync::Semaphore::new(24));
    let mut running = tokio::task::JoinSet::new();
    for (flaws, expected) in ROWS {
        let permits = permits.clone();
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let answers = match answers(flaws).await {
                Ok(answers) => answers,
                Err(why) => return Some(why),
            };
            let failed = failed(&answers);
            let expected: BTreeSet<String> =
                expected.iter().map(|id| format!("client/{id}")).collect();
            (failed != expected).then(|| {
                let missing: Vec<String> = expected
                    .difference(&failed)
                    .map(|id| {
                        let case = answers.iter().find(|case| case.id == *id);
                        format!("{id}: {:?}", case.map(|case| &case.outcome))
                    })
                    .collect();
                let more: Vec<String> = failed
                    .difference(&expected)
                    .map(|id| {
                        let case = answers.iter().find(|case| case.id == *id);
                        format!("{id}: {:?}", case.map(|case| &case.outcome))
                    })
                    .collect();
                format!("{flaws:?}\n  did not fail {missing:#?}\n  failed as well {more:#?}")
            })
        });
    }
    let wrong: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// But for those that take minutes, and for one: replies that were sent one by one may come at once as well, so that a client
/// which minds that would fail anywhere.
#[test]
fn every_case_has_a_flaw() {
    let known: BTreeSet<String> = ROWS
        .iter()
        .flat_map(|(_, ids)| ids.iter().map(|id| format!("client/{id}")))
        .collect();
    let without: Vec<&str> = all()
        .iter()
        .map(|case| case.id)
        .filter(|id| !known.contains(*id) && !is_slow(id))
        .filter(|id| *id != "client/rfc2920/3.1/replies-at-once")
        .collect();
    assert!(without.is_empty(), "{without:#?}");
    for id in known {
        assert!(all().iter().any(|case| case.id == id), "{id} is no case");
    }
}
