//! The parts of a call that was divided (`--shard I/N`), put together again.
//!
//! Comes in: a report of each part. Goes out: one report, as if the call had not been divided. Called by `gauntlet merge`.

use crate::{Part, RunReport, SeedTotals, Status};

/// Why reports are no parts of one call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There is none.
    #[error("there is nothing to merge")]
    Nothing,
    /// A report that is no part.
    #[error("{name} is the whole of a call, not a part of one: it was run without --shard")]
    Whole {
        /// Which.
        name: String,
    },
    /// Two of them differ in something that parts of one call have in common.
    #[error(
        "{first} and {second} are parts of different calls: {what} is {one} in the one, {other} in the other"
    )]
    Mixed {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// What differs: `the seed`.
        what: &'static str,
        /// …in the one
        one: String,
        /// …and in the other.
        other: String,
    },
    /// The same part twice.
    #[error("{first} and {second} are both part {index} of {of}")]
    Twice {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// Which part.
        index: u64,
        /// …of so many.
        of: u64,
    },
    /// Parts that are not there.
    #[error("of {of} parts, {} {} missing", list(missing), if missing.len() == 1 { "is" } else { "are" })]
    Missing {
        /// How many there must be.
        of: u64,
        /// Those that are not there.
        missing: Vec<u64>,
    },
}

fn list(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    numbers.join(", ")
}

/// Puts the parts together; each comes with the name that errors call it by. `command` is the new report's.
///
/// # Errors
/// They are not all the parts of one call, each once.
pub fn merge(parts: &[(String, RunReport)], command: &str) -> Result<RunReport, MergeError> {
    let mut placed: Vec<(Part, &String, &RunReport)> = Vec::new();
    for (name, report) in parts {
        let part = report.origin.as_ref().and_then(|origin| origin.part);
        let part = part.ok_or_else(|| MergeError::Whole { name: name.clone() })?;
        if let Some((_, first, known)) = placed.first() {
            same(first, known, name, report)?;
        }
        if let Some((_, first, _)) = placed.iter().find(|(known, ..)| known.index == part.index) {
            return Err(MergeError::Twice {
                first: (*first).clone(),
                second: name.clone(),
                index: part.index,
                of: part.of,
            });
        }
        placed.push((part, name, report));
    }
    let Some((Part { of, .. }, _, first)) = placed.first().copied() else {
        return Err(MergeError::Nothing);
    };
    let missing: Vec<u64> = (1..=of)
        .filter(|index| !placed.iter().any(|(part, ..)| part.index == *index))
        .collect();
    if !missing.is_empty() {
        return Err(MergeError::Missing { of, missing });
    }
    placed.sort_by_key(|(part, ..)| *part);
    let mut whole = RunReport::new(first.harness.clone(), command);
    whole.sabotage.clone_from(&first.sabotage);
    whole.origin = first.origin.clone().map(|origin| crate::Origin {
        part: None,
        ..origin
    });
    for (_, _, report) in &placed {
        whole.scenarios.extend(report.scenarios.iter().cloned());
        // They may have run one after the other as well as side by side: what they took together.
        let sum = whole.elapsed_ms.unwrap_or(0) + report.elapsed_ms.unwrap_or(0);
        whole.elapsed_ms = Some(sum);
        if let Some(more) = report.seeds {
            add(whole.seeds.get_or_insert_default(), more);
        }
    }
    whole
        .scenarios
        .sort_by(|a, b| (&a.suite, &a.scenario, a.seed).cmp(&(&b.suite, &b.scenario, b.seed)));
    Ok(whole)
}

/// Both are parts of one call.
fn same(first: &str, one: &RunReport, second: &str, other: &RunReport) -> Result<(), MergeError> {
    let facts = |report: &RunReport| {
        let origin = report.origin.as_ref();
        let fact = |of: &dyn Fn(&crate::Origin) -> String| origin.map(of).unwrap_or_default();
        [
            ("the version of gauntlet", report.harness.clone()),
            ("what was run", fact(&|o| o.what.clone())),
            ("the target", fact(&|o| o.on.clone())),
            ("the seed", fact(&|o| o.seed.to_string())),
            ("the number of seeds", fact(&|o| o.seeds.to_string())),
            (
                "the number of parts",
                fact(&|o| o.part.map_or(0, |p| p.of).to_string()),
            ),
            (
                "the sabotage",
                report.sabotage.clone().unwrap_or_else(|| "none".into()),
            ),
        ]
    };
    for ((what, one), (_, other)) in facts(one).into_iter().zip(facts(other)) {
        if one != other {
            return Err(MergeError::Mixed {
                first: first.to_owned(),
                second: second.to_owned(),
                what,
                one,
                other,
            });
        }
    }
    Ok(())
}

fn add(sum: &mut SeedTotals, more: SeedTotals) {
    sum.runs += more.runs;
    sum.holds += more.count(Status::Holds);
    sum.violated += more.count(Status::Violated);
    sum.measured += more.count(Status::Measured);
    sum.inconclusive += more.count(Status::Inconclusive);
    sum.outside += more.count(Status::Outside);
    sum.not_applicable += more.count(Status::NotApplicable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    fn part(name: &str, index: u64, of: u64) -> (String, RunReport) {
        let mut report = RunReport::new("0.1.0", format!("gauntlet run --shard {index}/{of}"));
        report.elapsed_ms = Some(10);
        report.origin = Some(Origin {
            what: "all".into(),
            on: "sim".into(),
            seed: 1,
            seeds: 1,
            part: Some(Part { index, of }),
        });
        (name.into(), report)
    }

    fn refused(parts: &[(String, RunReport)]) -> String {
        merge(parts, "gauntlet merge")
            .expect_err("no parts of one call")
            .to_string()
    }

    #[test]
    fn parts_in_any_order_are_the_whole() {
        let whole =
            merge(&[part("b", 2, 2), part("a", 1, 2)], "gauntlet merge a b").expect("parts");
        assert_eq!(whole.elapsed_ms, Some(20));
        assert_eq!(whole.origin.and_then(|origin| origin.part), None);
    }

    #[test]
    fn what_is_missing_or_there_twice_is_named() {
        insta::assert_snapshot!(refused(&[]), @"there is nothing to merge");
        insta::assert_snapshot!(refused(&[part("a", 2, 4)]), @"of 4 parts, 1, 3, 4 are missing");
        insta::assert_snapshot!(refused(&[part("a", 1, 3), part("b", 2, 3)]), @"of 3 parts, 3 is missing");
        insta::assert_snapshot!(refused(&[part("a", 1, 2), part("b", 1, 2)]), @"a and b are both part 1 of 2");
        let mut whole = part("a", 1, 2);
        whole.1.origin = None;
        insta::assert_snapshot!(refused(&[whole]), @"a is the whole of a call, not a part of one: it was run without --shard");
    }

    #[test]
    fn parts_of_different_calls_do_not_go_together() {
        let differs = |change: fn(&mut RunReport)| {
            let mut other = part("b", 2, 2);
            change(&mut other.1);
            refused(&[part("a", 1, 2), other])
        };
        fn origin(report: &mut RunReport) -> &mut Origin {
            report.origin.as_mut().expect("it is a part")
        }
        insta::assert_snapshot!(differs(|r| origin(r).seed = 7), @"a and b are parts of different calls: the seed is 1 in the one, 7 in the other");
        insta::assert_snapshot!(differs(|r| r.harness = "0.2.0".into()), @"a and b are parts of different calls: the version of gauntlet is 0.1.0 in the one, 0.2.0 in the other");
        insta::assert_snapshot!(differs(|r| origin(r).on = "container postfix".into()), @"a and b are parts of different calls: the target is sim in the one, container postfix in the other");
        insta::assert_snapshot!(differs(|r| origin(r).part = Some(Part { index: 2, of: 3 })), @"a and b are parts of different calls: the number of parts is 2 in the one, 3 in the other");
    }
}
