//! Runs whose taps tell nothing of the SMTP that passes (`--toxiproxy`): what can be judged all the same.

use super::Case;

/// Guarantees whose checkers look at outcomes, deliveries, mailboxes and views alone: without wire events they come to the
/// same verdict. (Found by judging every scenario's history with and without; the others say `inconclusive` at best, and
/// find violations that there are none of at worst.)
const WITHOUT_WIRE: &[&str] = &[
    "DD-02", "SC-11", "TC-02", "TC-07", "TC-08", "TC-10", "TC-11", "TO-06", "TO-08",
];

/// Why this guarantee cannot be judged, when the run has no wire events and it needs them.
pub(super) fn unknown(case: &Case<'_>, id: &str) -> Option<String> {
    let by = case.unobserved?;
    let links = format!("links ran through {by}, which does not tell what SMTP passed");
    if !case.plan.scenario.fault.is_empty() {
        return Some(format!("{links}: no fault could hang on it"));
    }
    (!WITHOUT_WIRE.contains(&id)).then_some(links)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gauntlet_reports::Status;
    use tokio_util::sync::CancellationToken;

    use super::WITHOUT_WIRE;
    use crate::{
        campaign::{Job, simulate},
        check::{judge, judge_all},
        history::{Event, Record},
        scenario::{embedded, plan},
    };

    /// The same run, as it would be known without its taps.
    fn unobserved(records: &[Record], told: bool) -> Vec<Record> {
        let mut kept = Vec::new();
        for record in records {
            if !matches!(record.event, Event::Wire { .. }) {
                kept.push(record.clone());
            }
            if told && matches!(record.event, Event::Begin { .. }) {
                let by = "a Toxiproxy".into();
                let event = Event::Unobserved { by };
                let (seq, t_us) = (record.seq, record.t_us);
                kept.push(Record { seq, t_us, event });
            }
        }
        kept
    }

    #[test]
    fn what_is_judged_without_the_wire_is_judged_as_with_it_and_the_rest_is_not() {
        let mut proven: BTreeSet<String> = BTreeSet::new();
        for scenario in embedded().expect("scenarios") {
            let named = &scenario.scenario.guarantees;
            let new = |id: &String| WITHOUT_WIRE.contains(&id.as_str()) && !proven.contains(id);
            if !scenario.scenario.on.iter().any(|on| on == "sim") || !named.iter().any(new) {
                continue;
            }
            let job = Job {
                plan: plan(&scenario.id, &scenario.suite, &scenario.scenario, 1),
                sabotage: None,
            };
            let run = simulate(&job, None, &CancellationToken::new(), false);
            let (history, _) = run.expect("it runs");
            let bare = judge_all(&unobserved(&history.records, false));
            for verdict in judge_all(&history.records) {
                let id = verdict.guarantee.as_str();
                if WITHOUT_WIRE.contains(&id) {
                    let other = bare.iter().find(|other| other.guarantee == id);
                    assert_eq!(
                        other.map(|v| v.status),
                        Some(verdict.status),
                        "{}",
                        scenario.id
                    );
                    if verdict.status == Status::Holds {
                        proven.insert(id.to_owned());
                    }
                }
            }
            for verdict in judge(&unobserved(&history.records, true)) {
                let id = verdict.guarantee.as_str();
                let hung = !scenario.scenario.fault.is_empty();
                if hung || !WITHOUT_WIRE.contains(&id) {
                    assert_eq!(
                        verdict.status,
                        Status::Inconclusive,
                        "{}: {id}",
                        scenario.id
                    );
                }
            }
        }
        let all: BTreeSet<String> = WITHOUT_WIRE.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(proven, all, "each of them was put to the test");
    }
}
