//! What a run comes to: one answer per guarantee, one for the run, and the totals.
//!
//! Comes in: a [`RunReport`]. Goes out: [`Summary`] (counts), [`GuaranteeReport`]s, and the [`Conclusion`].
//! Called by the command line and by every rendering, so that all of them say the same.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::text::{duration, one_line, plural};
use crate::{
    Conclusion, Counts, REPORT_VERSION, RunReport, ScenarioReport, SeedTotals, Status, Verdict,
};

/// One guarantee's answer in one scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding<'a> {
    /// The scenario.
    pub scenario: &'a ScenarioReport,
    /// Its verdict as the checker gave it.
    pub verdict: &'a Verdict,
    /// What the verdict counts for: [`ScenarioReport::status_of`].
    pub status: Status,
}

impl Finding<'_> {
    /// The verdict's summary on one line, with a warning in front when the scenario did not finish and `holds` counts for less.
    pub fn summary(&self) -> String {
        let summary = one_line(&self.verdict.summary);
        if self.status == self.verdict.status {
            summary
        } else {
            format!("the scenario did not finish; until then: {summary}")
        }
    }
}

/// One guarantee over all scenarios of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct GuaranteeReport<'a> {
    /// The guarantee's ID.
    pub guarantee: &'a str,
    /// The answer over all scenarios: `violated` before `inconclusive` before `holds` before `measured` before
    /// `outside` before `not applicable`. A guarantee that holds in one scenario and is inconclusive in another is inconclusive.
    pub status: Status,
    /// How many times it was put to the test, over all scenarios.
    pub proofs: u64,
    /// The findings, in the order of the scenarios.
    pub findings: Vec<Finding<'a>>,
}

impl<'a> GuaranteeReport<'a> {
    /// The findings that made the answer what it is.
    pub fn deciding(&self) -> impl Iterator<Item = &Finding<'a>> {
        self.findings
            .iter()
            .filter(|finding| finding.status == self.status)
    }
}

/// A run in numbers. Its `Display` is the last line of a report:
/// `46 guarantees: 44 hold, 1 violated, 1 inconclusive · 61 scenarios · 3.2 s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Guarantees with a verdict.
    pub guarantees: u64,
    /// …that hold.
    pub holds: u64,
    /// …that are violated.
    pub violated: u64,
    /// …of which it was measured what an unsupported operation does.
    pub measured: u64,
    /// …that are inconclusive.
    pub inconclusive: u64,
    /// …that the run left the conditions of.
    pub outside: u64,
    /// …that the substrate or target cannot be tested for.
    pub not_applicable: u64,
    /// Scenarios run; the same scenario with another seed is another one.
    pub scenarios: u64,
    /// …that the harness could not finish.
    pub failed: u64,
    /// Real time of the call, in milliseconds; where that is unknown, that of all scenarios together, which is more than the
    /// clock on the wall says when they ran side by side.
    pub elapsed_ms: u64,
    /// The verdicts of the single seeds, when there were several.
    pub seeds: Option<SeedTotals>,
    /// Time of all scenarios together by their own clocks, in milliseconds.
    pub simulated_ms: u64,
    /// The mail of all scenarios together.
    pub counts: Counts,
}

impl Summary {
    /// How many guarantees have this answer.
    pub fn count(&self, status: Status) -> u64 {
        match status {
            Status::Holds => self.holds,
            Status::Violated => self.violated,
            Status::Measured => self.measured,
            Status::Inconclusive => self.inconclusive,
            Status::Outside => self.outside,
            Status::NotApplicable => self.not_applicable,
        }
    }

    fn count_mut(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Holds => &mut self.holds,
            Status::Violated => &mut self.violated,
            Status::Measured => &mut self.measured,
            Status::Inconclusive => &mut self.inconclusive,
            Status::Outside => &mut self.outside,
            Status::NotApplicable => &mut self.not_applicable,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", plural(self.guarantees, "guarantee"))?;
        let mut separator = ": ";
        for status in Status::ALL {
            let count = self.count(status);
            if count > 0 {
                let word = if status == Status::Holds && count > 1 {
                    "hold"
                } else {
                    status.word()
                };
                write!(f, "{separator}{count} {word}")?;
                separator = ", ";
            }
        }
        write!(f, " · {}", plural(self.scenarios, "scenario"))?;
        if self.failed > 0 {
            write!(f, " ({} failed)", self.failed)?;
        }
        if let Some(seeds) = self.seeds {
            write!(f, " · {} (", plural(seeds.runs, "seed"))?;
            let mut separator = "verdicts: ";
            for status in Status::ALL {
                let count = seeds.count(status);
                if count > 0 {
                    let word = match status {
                        Status::Holds if count > 1 => "hold",
                        status => status.word(),
                    };
                    write!(f, "{separator}{count} {word}")?;
                    separator = ", ";
                }
            }
            write!(f, ")")?;
        }
        if self.elapsed_ms > 0 {
            write!(f, " · {}", duration(self.elapsed_ms))?;
        }
        if self.simulated_ms > self.elapsed_ms {
            write!(f, " · {} simulated", duration(self.simulated_ms))?;
        }
        Ok(())
    }
}

impl ScenarioReport {
    /// What a verdict of this scenario counts for. In a scenario that did not finish, `holds` counts as inconclusive: what
    /// would have broken the guarantee may lie in the part that never ran. A violation that was seen stays one.
    pub fn status_of(&self, verdict: &Verdict) -> Status {
        match verdict.status {
            Status::Holds | Status::Measured if self.failure.is_some() => Status::Inconclusive,
            status => status,
        }
    }

    /// Which run of the scenario it was: `sim, seed 7`.
    pub fn run(&self) -> String {
        format!("{}, seed {}", self.substrate, self.seed)
    }
}

impl RunReport {
    /// An empty report of the current format version.
    pub fn new(harness: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            version: REPORT_VERSION,
            harness: harness.into(),
            command: command.into(),
            sabotage: None,
            elapsed_ms: None,
            origin: None,
            seeds: None,
            scenarios: Vec::new(),
        }
    }

    /// What the run comes to.
    pub fn conclusion(&self) -> Conclusion {
        let guarantees = self.by_guarantee();
        let any = |status| {
            guarantees
                .iter()
                .any(|guarantee| guarantee.status == status)
        };
        if any(Status::Violated) {
            Conclusion::Violated
        } else if self
            .scenarios
            .iter()
            .any(|scenario| scenario.failure.is_some())
        {
            Conclusion::Failed
        } else if any(Status::Inconclusive)
            || !any(Status::Holds)
            || self
                .scenarios
                .iter()
                .any(|scenario| scenario.verdicts.is_empty())
        {
            Conclusion::Inconclusive
        } else {
            Conclusion::AllHold
        }
    }

    /// The conclusion in words. Where nothing holds at all it says so.
    pub fn headline(&self) -> &'static str {
        match self.conclusion() {
            Conclusion::Inconclusive if self.summary().holds == 0 => "nothing was proven",
            conclusion => conclusion.sentence(),
        }
    }

    /// The run in numbers.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for guarantee in self.by_guarantee() {
            summary.guarantees += 1;
            *summary.count_mut(guarantee.status) += 1;
        }
        for scenario in &self.scenarios {
            summary.scenarios += 1;
            summary.failed += u64::from(scenario.failure.is_some());
            summary.elapsed_ms = summary.elapsed_ms.saturating_add(scenario.elapsed_ms);
            summary.simulated_ms = summary.simulated_ms.saturating_add(scenario.simulated_ms);
            let (sum, counts) = (&mut summary.counts, &scenario.counts);
            sum.submitted = sum.submitted.saturating_add(counts.submitted);
            sum.acked = sum.acked.saturating_add(counts.acked);
            sum.refused = sum.refused.saturating_add(counts.refused);
            sum.indeterminate = sum.indeterminate.saturating_add(counts.indeterminate);
            sum.unsent = sum.unsent.saturating_add(counts.unsent);
            sum.delivered = sum.delivered.saturating_add(counts.delivered);
            sum.faults = sum.faults.saturating_add(counts.faults);
        }
        summary.elapsed_ms = self.elapsed_ms.unwrap_or(summary.elapsed_ms);
        summary.seeds = self.seeds;
        summary
    }

    /// Every guarantee that has a verdict, over all scenarios, in the catalogue's order.
    pub fn by_guarantee(&self) -> Vec<GuaranteeReport<'_>> {
        let mut findings: BTreeMap<&str, Vec<Finding<'_>>> = BTreeMap::new();
        for scenario in &self.scenarios {
            for verdict in &scenario.verdicts {
                let status = scenario.status_of(verdict);
                findings
                    .entry(&verdict.guarantee)
                    .or_default()
                    .push(Finding {
                        scenario,
                        verdict,
                        status,
                    });
            }
        }
        let mut guarantees: Vec<GuaranteeReport<'_>> = findings
            .into_iter()
            .filter_map(|(guarantee, findings)| {
                let status = findings
                    .iter()
                    .map(|finding| finding.status)
                    .max_by_key(|status| weight(*status))?;
                let proofs = findings.iter().fold(0, |sum: u64, finding| {
                    sum.saturating_add(finding.verdict.proofs)
                });
                Some(GuaranteeReport {
                    guarantee,
                    status,
                    proofs,
                    findings,
                })
            })
            .collect();
        guarantees.sort_by(|a, b| catalogue_order(a.guarantee, b.guarantee));
        guarantees
    }

    /// The same report without what differs between two runs of one plan: real times and run directories.
    #[must_use]
    pub fn reproducible(mut self) -> Self {
        self.elapsed_ms = None;
        for scenario in &mut self.scenarios {
            scenario.elapsed_ms = 0;
            scenario.directory = None;
        }
        self
    }
}

/// Which of two answers for one guarantee wins: the heavier.
pub(crate) fn weight(status: Status) -> u8 {
    match status {
        Status::NotApplicable => 0,
        Status::Outside => 1,
        Status::Measured => 2,
        Status::Holds => 3,
        Status::Inconclusive => 4,
        Status::Violated => 5,
    }
}

/// The catalogue's order: its areas as they follow each other there, then the number; unknown areas by name, after these.
fn catalogue_order(a: &str, b: &str) -> Ordering {
    const AREAS: [&str; 8] = ["SC", "TO", "HB", "RO", "SN", "DD", "VZ", "TC"];
    let key = |id: &str| {
        let area = id.split('-').next().unwrap_or_default();
        AREAS
            .iter()
            .position(|known| *known == area)
            .unwrap_or(AREAS.len())
    };
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_line_has_the_wall_clock_s_time_and_the_verdicts_of_every_seed() {
        let mut run = report(&[
            &[("SC-01", Status::Holds)],
            &[("SC-01", Status::Inconclusive)],
        ]);
        let mut seeds = SeedTotals::default();
        run.scenarios.iter().for_each(|one| seeds.add(one));
        run.scenarios.pop();
        run.seeds = Some(seeds);
        run.elapsed_ms = Some(7);
        assert_eq!(
            run.summary().to_string(),
            "1 guarantee: 1 holds · 1 scenario · 2 seeds (verdicts: 1 holds, 1 inconclusive) · 7 ms · 20 ms simulated"
        );
        assert_eq!(run.reproducible().elapsed_ms, None);
    }

    /// A report with a scenario for each list of (ID, status).
    fn report(scenarios: &[&[(&str, Status)]]) -> RunReport {
        let mut report = RunReport::new("0", "gauntlet run");
        for (number, verdicts) in scenarios.iter().enumerate() {
            report.scenarios.push(ScenarioReport {
                scenario: format!("scenario-{number}"),
                title: String::new(),
                suite: "suite".into(),
                substrate: "sim".into(),
                seed: 1,
                elapsed_ms: 10,
                simulated_ms: 20,
                counts: Counts::default(),
                ledger: None,
                verdicts: verdicts
                    .iter()
                    .map(|(guarantee, status)| Verdict {
                        guarantee: (*guarantee).into(),
                        status: *status,
                        summary: String::new(),
                        evidence: Vec::new(),
                        proofs: 2,
                        damage: None,
                    })
                    .collect(),
                directory: None,
                failure: None,
            });
        }
        report
    }

    use Status::{Holds, Inconclusive, Measured, NotApplicable, Outside, Violated};

    #[test]
    fn thin_evidence_is_not_green() {
        let conclusion = |scenarios: &[&[(&str, Status)]]| report(scenarios).conclusion();
        assert_eq!(conclusion(&[&[("SC-01", Holds)]]), Conclusion::AllHold);
        assert_eq!(
            conclusion(&[&[
                ("SC-01", Holds),
                ("SC-02", Outside),
                ("SC-03", NotApplicable)
            ]]),
            Conclusion::AllHold
        );
        assert_eq!(conclusion(&[]), Conclusion::Inconclusive);
        assert_eq!(
            conclusion(&[&[("SC-01", Holds)], &[]]),
            Conclusion::Inconclusive
        );
        assert_eq!(
            conclusion(&[&[("SC-01", Outside)], &[("SC-02", NotApplicable)]]),
            Conclusion::Inconclusive
        );
        assert_eq!(
            conclusion(&[&[("SC-01", Holds)], &[("SC-01", Inconclusive)]]),
            Conclusion::Inconclusive
        );
        assert_eq!(
            conclusion(&[&[("SC-01", Inconclusive)], &[("SC-02", Violated)]]),
            Conclusion::Violated
        );
    }

    #[test]
    fn a_scenario_that_did_not_finish_proves_nothing_but_violations() {
        let mut run = report(&[&[("SC-01", Holds), ("SC-02", Outside)], &[("SC-03", Holds)]]);
        run.scenarios[0].failure = Some("n1 did not start".into());
        assert_eq!(run.conclusion(), Conclusion::Failed);
        assert_eq!(run.by_guarantee()[0].status, Inconclusive);
        assert_eq!(run.summary().failed, 1);
        run.scenarios[0].verdicts[0].status = Violated;
        assert_eq!(run.conclusion(), Conclusion::Violated);
    }

    #[test]
    fn what_was_measured_is_neither_proof_nor_failure() {
        let run = report(&[&[("VZ-05", Measured)]]);
        assert_eq!(run.conclusion(), Conclusion::Inconclusive);
        let run = report(&[&[("SC-01", Holds), ("VZ-05", Measured)]]);
        assert_eq!(run.conclusion(), Conclusion::AllHold);
        assert_eq!(run.summary().measured, 1);
    }

    #[test]
    fn the_heavier_answer_wins() {
        let over = |a, b| report(&[&[("SC-01", a)], &[("SC-01", b)]]).by_guarantee()[0].status;
        assert_eq!(over(Violated, Inconclusive), Violated);
        assert_eq!(over(Inconclusive, Holds), Inconclusive);
        assert_eq!(over(Holds, Outside), Holds);
        assert_eq!(over(Outside, NotApplicable), Outside);
        let run = report(&[&[("SC-01", Holds)], &[("SC-01", Violated)]]);
        let guarantee = &run.by_guarantee()[0];
        assert_eq!(guarantee.proofs, 4);
        assert_eq!(
            guarantee
                .deciding()
                .map(|f| f.scenario.scenario.as_str())
                .collect::<Vec<_>>(),
            ["scenario-1"]
        );
    }

    #[test]
    fn guarantees_stand_in_the_catalogues_order() {
        let run = report(&[&[
            ("XX-01", Holds),
            ("TC-01", Holds),
            ("DD-02", Holds),
            ("SC-10", Holds),
            ("SC-02", Holds),
        ]]);
        let ids: Vec<&str> = run
            .by_guarantee()
            .iter()
            .map(|guarantee| guarantee.guarantee)
            .collect();
        assert_eq!(ids, ["SC-02", "SC-10", "DD-02", "TC-01", "XX-01"]);
    }

    #[test]
    fn the_last_line() {
        let all = [
            ("SC-01", Holds),
            ("SC-02", Violated),
            ("SC-03", Inconclusive),
            ("SC-04", Outside),
        ];
        let line = report(&[&all, &[("SC-05", NotApplicable), ("SC-06", Holds)]])
            .summary()
            .to_string();
        assert_eq!(
            line,
            "6 guarantees: 2 hold, 1 violated, 1 inconclusive, 1 outside, 1 not applicable · 2 scenarios · 20 ms · 40 ms simulated"
        );
        assert_eq!(
            report(&[&[("SC-01", Holds)]])
                .reproducible()
                .summary()
                .to_string(),
            "1 guarantee: 1 holds · 1 scenario · 20 ms simulated"
        );
        assert_eq!(
            report(&[]).summary().to_string(),
            "0 guarantees · 0 scenarios"
        );
    }

    proptest! {
        /// Green means that something holds and that nothing is worse; more findings never turn red into green.
        #[test]
        fn green_is_earned(statuses in prop::collection::vec((0..4usize, prop::sample::select(Status::ALL.to_vec())), 0..12)) {
            const IDS: [&str; 4] = ["SC-01", "SC-02", "TC-01", "VZ-01"];
            let verdicts: Vec<(&str, Status)> = statuses.iter().map(|(id, status)| (IDS[*id], *status)).collect();
            let scenarios: Vec<&[(&str, Status)]> = verdicts.chunks(1).collect();
            let conclusion = report(&scenarios).conclusion();
            let has = |wanted| verdicts.iter().any(|(_, status)| *status == wanted);
            prop_assert_eq!(conclusion == Conclusion::Violated, has(Violated));
            prop_assert_eq!(conclusion == Conclusion::AllHold, has(Holds) && !has(Violated) && !has(Inconclusive));
        }
    }
}
