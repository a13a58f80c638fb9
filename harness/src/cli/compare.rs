//! What a replay did otherwise than the recorded run.
//!
//! Called by `gauntlet replay`. In the simulator two histories are the same octet for octet, or the first record that
//! differs is named; on substrates with real time outcomes, landings of faults and verdicts are compared.

use std::collections::BTreeMap;

use crate::{
    check::{self, evidence},
    history::{Event, History, Record},
};

/// Characters of a record that are shown.
const SHOWN: usize = 160;

/// Two histories of the simulator, as their files are.
pub(super) fn octets(before: &[u8], now: &[u8]) -> String {
    if before == now {
        return "the same history again, byte for byte".into();
    }
    let lines = |text: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(text)
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let (before, now) = (lines(before), lines(now));
    let differs = before.iter().zip(&now).position(|(a, b)| a != b);
    let Some(line) = differs else {
        return format!(
            "one history is the beginning of the other: {} records were recorded, {} came now",
            before.len(),
            now.len()
        );
    };
    let shown = |line: &str| line.chars().take(SHOWN).collect::<String>();
    let mut text = format!(
        "another history, from record {line} on\n  recorded: {}\n  now:      {}",
        shown(&before[line]),
        shown(&now[line])
    );
    let version = |lines: &[String]| {
        let begin: Option<Record> = lines.first().and_then(|l| serde_json::from_str(l).ok());
        match begin.map(|record| record.event) {
            Some(Event::Begin { harness, .. }) => Some(harness),
            _ => None,
        }
    };
    match (version(&before), version(&now)) {
        (Some(a), Some(b)) if a != b => {
            text.push_str(&format!(
                "\n  it was recorded by gauntlet {a}, and this is {b}"
            ));
        }
        _ => text.push_str(
            "\n  both are of the same version: another build, or the directory's plan was changed",
        ),
    }
    text
}

/// What two runs of a plan did differently where time is real; a line each, none when nothing did.
pub(super) fn differences(before: &History, now: &History) -> Vec<String> {
    let mut found = Vec::new();
    let (was, is) = (outcomes(before), outcomes(now));
    compare(&mut found, &was, &is);
    compare(&mut found, &faults(before), &faults(now));
    compare(&mut found, &verdicts(before), &verdicts(now));
    found
}

fn compare(found: &mut Vec<String>, was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) {
    let missing = || "nothing of it".to_owned();
    for (what, before) in was {
        let now = is.get(what).cloned().unwrap_or_else(missing);
        if *before != now {
            found.push(format!("{what}: recorded {before}, now {now}"));
        }
    }
    for (what, now) in is.iter().filter(|(what, _)| !was.contains_key(*what)) {
        found.push(format!("{what}: recorded {}, now {now}", missing()));
    }
}

/// By message and attempt.
fn outcomes(history: &History) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut all = BTreeMap::new();
    for record in &history.records {
        match &record.event {
            Event::Submit(s) => {
                let name = format!("message {}, attempt {}", s.message, s.attempt);
                names.insert(s.submission, name);
            }
            Event::Outcome {
                submission,
                outcome,
                ..
            } => {
                if let Some(name) = names.get(submission) {
                    all.insert(name.clone(), format!("{outcome:?}").to_lowercase());
                }
            }
            _ => {}
        }
    }
    all
}

/// By number: whether it landed. When is told by the histories; where time is real it is never the same.
fn faults(history: &History) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut all = BTreeMap::new();
    for record in &history.records {
        match &record.event {
            Event::FaultPlanned { fault, what, .. } => {
                let name = format!("fault {fault} ({})", evidence::fault(what));
                all.insert(name.clone(), "planned".to_owned());
                names.insert(*fault, name);
            }
            Event::FaultLanded { fault } => {
                if let Some(name) = names.get(fault) {
                    all.insert(name.clone(), "landed".into());
                }
            }
            Event::FaultFailed { fault, reason } => {
                if let Some(name) = names.get(fault) {
                    all.insert(name.clone(), format!("did not land: {reason}"));
                }
            }
            _ => {}
        }
    }
    all
}

/// By the checkers of today, for both.
fn verdicts(history: &History) -> BTreeMap<String, String> {
    check::judge(&history.records)
        .into_iter()
        .map(|v| (v.guarantee, v.status.word().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_that_differs_is_named() {
        assert_eq!(
            octets(b"a\nb\n", b"a\nb\n"),
            "the same history again, byte for byte"
        );
        let said = octets(b"a\nb\nc\n", b"a\nx\nc\n");
        assert!(
            said.starts_with("another history, from record 1 on\n  recorded: b\n  now:      x\n"),
            "{said}"
        );
        assert!(octets(b"a\n", b"a\nb\n").contains("1 records were recorded, 2 came now"));
    }

    #[test]
    fn outcomes_and_faults_that_differ_are_told() {
        let map = |of: &[(&str, &str)]| {
            of.iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut found = Vec::new();
        compare(
            &mut found,
            &map(&[
                ("message 1, attempt 1", "acked"),
                ("message 2, attempt 1", "acked"),
            ]),
            &map(&[
                ("message 1, attempt 1", "indeterminate"),
                ("fault 1", "landed"),
            ]),
        );
        assert_eq!(
            found,
            [
                "message 1, attempt 1: recorded acked, now indeterminate",
                "message 2, attempt 1: recorded acked, now nothing of it",
                "fault 1: recorded nothing of it, now landed",
            ]
        );
    }
}
