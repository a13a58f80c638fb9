//! What a history comes to in numbers.

use gauntlet_reports::Counts;

use crate::history::{Event, History, Outcome};

/// What happened to the mail. Mailboxes count as their last view shows them.
pub fn counts(history: &History) -> Counts {
    let mut counts = Counts::default();
    let mut mailboxes = std::collections::BTreeMap::new();
    for record in &history.records {
        match &record.event {
            Event::Submit(_) => counts.submitted += 1,
            Event::Outcome { outcome, .. } => match outcome {
                Outcome::Acked => counts.acked += 1,
                Outcome::Refused => counts.refused += 1,
                Outcome::Indeterminate => counts.indeterminate += 1,
                Outcome::Unsent => counts.unsent += 1,
            },
            Event::Delivered(_) => counts.delivered += 1,
            Event::Mailbox {
                node,
                mailbox,
                messages,
            } => {
                mailboxes.insert((node, mailbox), messages.len() as u64);
            }
            Event::FaultLanded { .. } => counts.faults += 1,
            _ => {}
        }
    }
    counts.delivered += mailboxes.values().sum::<u64>();
    counts
}

/// How long the run lasted by its own clock.
pub fn simulated_ms(history: &History) -> u64 {
    history
        .records
        .last()
        .map_or(0, |record| record.t_us / 1000)
}

/// Why the harness could not finish the run, when it could not.
pub fn failure(history: &History) -> Option<String> {
    match history.records.last().map(|record| &record.event) {
        Some(Event::End { reason }) if reason == "completed" => None,
        Some(Event::End { reason }) => Some(reason.clone()),
        _ => Some(
            history
                .truncated
                .clone()
                .unwrap_or_else(|| "the history has no end".into()),
        ),
    }
}
