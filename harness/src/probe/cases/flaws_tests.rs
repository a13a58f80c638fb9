//! Every case can fail: a server that is right passes them all, and one with a flaw fails exactly the cases that are about it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gauntlet_reports::probe::{Outcome, ProbeCase};
use tokio_util::sync::CancellationToken;

use super::{all, flaws_rows::ROWS, security::end_of_data::SEQUENCES};
use crate::probe::{
    Probe,
    arrival::Source,
    case::Case,
    expected::Expected,
    run,
    run::Login,
    target::Target,
    testing::{Flaw, Server},
};

/// Standards that other tests look after.
fn is_ours(id: &str) -> bool {
    !id.starts_with("rfc5321/")
}

async fn answers(flaws: &[Flaw], cases: Vec<&'static Case>) -> Vec<ProbeCase> {
    let server = Server::start(flaws).await;
    let probe = Probe {
        target: Target {
            host: server.address.ip().to_string(),
            port: server.address.port(),
        },
        from: "ann@probe.example".into(),
        to: vec!["bob@probe.example".into()],
        // Long enough for a machine that has much to do: only a flaw makes anybody wait so long.
        timeout: Duration::from_secs(10),
        arrival_timeout: Duration::from_secs(15),
        jobs: 16,
        strict: true,
        slow: false,
        proof: Some(Source::Maildir(server.maildir())),
        login: Some(Login {
            user: "ann".into(),
            password: "secret".into(),
        }),
        expected: Expected::new(),
        command: String::new(),
    };
    run(probe, cases, CancellationToken::new(), |_| {})
        .await
        .expect("the maildir is there")
        .cases
}

fn failed(cases: &[ProbeCase]) -> BTreeSet<String> {
    cases
        .iter()
        .filter(|case| matches!(case.outcome, Outcome::Failed { .. } | Outcome::Gone { .. }))
        .map(|case| case.id.clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_right_passes_all_cases() {
    let cases = all().into_iter().filter(|case| is_ours(case.id)).collect();
    let answers = answers(&[], cases).await;
    let others: Vec<String> = answers
        .iter()
        .filter(|case| case.outcome != Outcome::Passed && case.id != "security/slow-client")
        .map(|case| format!("{}: {:?}\n{:#?}", case.id, case.outcome, case.dialogue))
        .collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
    assert!(answers.len() >= 150, "{} cases", answers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flaw_fails_exactly_the_cases_that_are_about_it() {
    let rows = ROWS.iter().map(|(flaws, expected)| {
        let expected: BTreeSet<String> = expected.iter().map(|id| (*id).to_owned()).collect();
        let standards: BTreeSet<String> = expected.iter().map(|id| standard(id)).collect();
        let cases = all()
            .into_iter()
            .filter(|case| standards.contains(&standard(case.id)))
            .collect();
        one_row(flaws.to_vec(), cases, expected)
    });
    let wrong = join_bounded(rows, 24).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The cases of the security set are many, and most of them have nothing to do with each other: they are run by their subject.
fn standard(id: &str) -> String {
    let mut words = id.split(['/', '-']);
    let first = words.next().unwrap_or_default().to_owned();
    if first != "security" {
        return first;
    }
    let subject = match id.trim_start_matches("security/") {
        id if id.starts_with("end-of-data-") && !id.ends_with("network") => "end-of-data",
        id if id.starts_with("starttls") => "starttls",
        id if id.contains("flood") || id.starts_with("half-sent") || id.starts_with("unread") => {
            "floods"
        }
        id if id.starts_with("over-long") || id.starts_with("endless") => "lines",
        id if id.starts_with("nul-") || id.contains("recipient") || id.contains("command") => {
            "commands"
        }
        _ => "sessions",
    };
    format!("security {subject}")
}

async fn one_row(
    flaws: Vec<Flaw>,
    cases: Vec<&'static Case>,
    expected: BTreeSet<String>,
) -> Option<String> {
    let answers = answers(&flaws, cases).await;
    let failed = failed(&answers);
    if failed == expected {
        return None;
    }
    let details: Vec<String> = answers
        .iter()
        .filter(|case| expected.contains(&case.id) != failed.contains(&case.id))
        .map(|case| {
            let lines: Vec<String> = case.dialogue.iter().map(ToString::to_string).collect();
            format!("  {}: {:?}\n{}", case.id, case.outcome, lines.join("\n"))
        })
        .collect();
    Some(format!(
        "{flaws:?}\n  expected {expected:?}\n  failed {failed:?}\n{}",
        details.join("\n")
    ))
}

/// A sequence that ends the data fails its own case, and those of the sequences that have it within them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sequence_that_ends_the_data_is_found() {
    let rows = SEQUENCES.iter().map(|(_, sequence)| {
        let expected = SEQUENCES
            .iter()
            .filter(|(_, other)| other.windows(sequence.len()).any(|part| part == *sequence))
            .map(|(id, _)| (*id).to_owned())
            .collect();
        let cases = all()
            .into_iter()
            .filter(|case| SEQUENCES.iter().any(|(id, _)| *id == case.id))
            .collect();
        one_row(vec![Flaw::EndOfData(sequence)], cases, expected)
    });
    let wrong = join_bounded(rows, 24).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// But for one that takes minutes.
#[test]
fn every_case_has_a_flaw() {
    let mut known: BTreeSet<&str> = ROWS.iter().flat_map(|(_, ids)| *ids).copied().collect();
    known.extend(SEQUENCES.iter().map(|(id, _)| *id));
    known.insert("security/slow-client");
    let without: Vec<&str> = all()
        .iter()
        .map(|case| case.id)
        .filter(|id| is_ours(id) && !known.contains(id))
        .collect();
    assert!(without.is_empty(), "{without:#?}");
    let all = all();
    for id in known {
        assert!(all.iter().any(|case| case.id == id), "{id} is no case");
    }
}

/// Runs all of them, so many at a time, and gives what they found.
async fn join_bounded<F>(futures: impl Iterator<Item = F>, most: usize) -> Vec<String>
where
    F: Future<Output = Option<String>> + Send + 'static,
{
    let permits = Arc::new(tokio::sync::Semaphore::new(most));
    let mut running = tokio::task::JoinSet::new();
    for future in futures {
        let permits = permits.clone();
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            future.await
        });
    }
    running.join_all().await.into_iter().flatten().collect()
}
