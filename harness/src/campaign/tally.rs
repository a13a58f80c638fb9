//! What many seeds said of each guarantee, and why those that proved nothing did not.
//!
//! Comes in: a report per seed. Goes out: per guarantee how many seeds held, and how many were inconclusive or outside, by
//! cause. Called by `gauntlet run --random`.
//!
//! A cause is a verdict's reason without its particulars: numbers, times and names of hosts differ from seed to seed. What a
//! reader sees is the reason of the first seed that has it.

use std::collections::BTreeMap;

use gauntlet_reports::{ScenarioReport, Status};

/// The answers of all seeds, by guarantee.
#[derive(Debug, Default)]
pub struct Tally {
    /// Seeds counted.
    pub seeds: u64,
    /// By guarantee ID.
    pub guarantees: BTreeMap<String, Answers>,
}

/// The answers of all seeds for one guarantee.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Seeds in which it was put to the test and kept.
    pub holds: u64,
    /// …in which it was broken.
    pub violated: u64,
    /// …that say nothing, by status (inconclusive, outside, not applicable) and cause.
    pub open: BTreeMap<(Status, String), Open>,
}

/// Seeds that say nothing for one cause.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// How many.
    pub seeds: u64,
    /// The first of them…
    pub first: u64,
    /// …and its reason, in full.
    pub reason: String,
}

impl Answers {
    /// How many seeds have one of the answers that prove nothing.
    pub fn count(&self, status: Status) -> u64 {
        let of = self.open.iter().filter(|((s, _), _)| *s == status);
        of.map(|(_, open)| open.seeds).sum()
    }
}

impl Tally {
    /// One more seed.
    pub fn add(&mut self, report: &ScenarioReport) {
        self.seeds += 1;
        for verdict in &report.verdicts {
            let answers = self
                .guarantees
                .entry(verdict.guarantee.clone())
                .or_default();
            match report.status_of(verdict) {
                Status::Holds => answers.holds += 1,
                Status::Violated => answers.violated += 1,
                status => {
                    let why = match &report.failure {
                        Some(_) => "the harness did not finish the run",
                        None => &verdict.summary,
                    };
                    let seen = answers.open.entry((status, cause(why)));
                    let seen = seen.or_insert_with(|| Open {
                        first: report.seed,
                        reason: why.to_owned(),
                        ..Open::default()
                    });
                    seen.seeds += 1;
                }
            }
        }
    }
}

/// A reason without what differs from seed to seed: digits become `#`, a time with its units too, addresses `@`, and what
/// is quoted `…`.
pub fn cause(reason: &str) -> String {
    let unquoted: Vec<&str> = reason
        .split('`')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { "…" } else { part })
        .collect();
    let reason = unquoted.join("`");
    const UNITS: [&str; 6] = ["d", "h", "min", "s", "ms", "µs"];
    let mut words: Vec<String> = Vec::new();
    for word in reason.split_whitespace() {
        let bare = word.trim_end_matches([',', ';', ':', '.']);
        let after_number = words.last().is_some_and(|last| last == "#");
        if after_number && UNITS.contains(&bare) {
            // `3 h 4 min` is one time; what follows it keeps its comma.
            if let Some(last) = words.last_mut() {
                last.push_str(&word[bare.len()..]);
            }
            continue;
        }
        let mut general = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' if general.ends_with('#') => {}
                '0'..='9' => general.push('#'),
                // A decimal point inside a number.
                '.' if general == "#" && bare.len() == word.len() => {}
                c => general.push(c),
            }
        }
        let general = if general.contains('@') {
            "@".to_owned()
        } else {
            general
        };
        if general == "#" && after_number {
            continue;
        }
        words.push(general);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_and_times_only_are_one_cause() {
        let reasons = [
            "n1 destroyed at 3 h 4 min and n2's host crashed at 12.004 s, and message 3 was in transit",
            "n2 destroyed at 0.004 s and n4's host crashed at 2 d 4 h, and message 12 was in transit",
        ];
        assert_eq!(
            cause(reasons[0]),
            "n# destroyed at # and n#'s host crashed at #, and message # was in transit"
        );
        assert_eq!(cause(reasons[0]), cause(reasons[1]));
        assert_eq!(
            cause("the next hop refused someone@sink-1.example"),
            "the next hop refused @"
        );
        assert_eq!(cause("nothing was acked"), "nothing was acked");
        assert_eq!(
            cause("the trigger `n1>* copy acked` never fired"),
            "the trigger `…` never fired"
        );
    }
}
