//! Many seeds of one scenario as one report.
//!
//! Comes in: a report per scenario and seed. Goes out: one per scenario for all seeds that went well, and one for each
//! that did not. A guarantee that some seeds prove and others are too thin for holds; it is inconclusive only when
//! no seed proves it.

use std::collections::BTreeMap;

use gauntlet_reports::{ScenarioReport, Status, Verdict};

/// Folds seeds; the order is that of each scenario's first report.
pub fn fold(reports: Vec<ScenarioReport>) -> Vec<ScenarioReport> {
    let mut fold = Fold::default();
    reports.into_iter().for_each(|report| fold.add(report));
    fold.finish()
}

/// Reports of seeds, folded as they come: a hundred thousand of them need no more room than a few.
#[derive(Default)]
pub struct Fold(Vec<Folded>);

impl Fold {
    /// One more seed.
    pub fn add(&mut self, report: ScenarioReport) {
        let alone = super::is_failing(&report);
        let same = |f: &&mut Folded| {
            !alone
                && !f.alone
                && f.report.scenario == report.scenario
                && f.report.suite == report.suite
        };
        match self.0.iter_mut().find(same) {
            Some(folded) => folded.add(&report),
            None => self.0.push(Folded::new(report, alone)),
        }
    }

    /// A report for each scenario, and for each seed that did not go well.
    pub fn finish(self) -> Vec<ScenarioReport> {
        self.0.into_iter().map(Folded::finish).collect()
    }
}

struct Folded {
    report: ScenarioReport,
    alone: bool,
    seeds: u64,
    last: u64,
    /// Per guarantee: how many seeds gave each status, and the summary of the first of them.
    statuses: BTreeMap<String, BTreeMap<Status, (u64, Verdict)>>,
}

impl Folded {
    fn new(report: ScenarioReport, alone: bool) -> Self {
        let mut folded = Self {
            alone,
            seeds: 1,
            last: report.seed,
            statuses: BTreeMap::new(),
            report,
        };
        folded.take(&folded.report.verdicts.clone());
        folded
    }

    fn add(&mut self, other: &ScenarioReport) {
        self.seeds += 1;
        self.last = other.seed;
        self.report.elapsed_ms += other.elapsed_ms;
        self.report.simulated_ms += other.simulated_ms;
        let (sum, more) = (&mut self.report.counts, other.counts);
        sum.submitted += more.submitted;
        sum.acked += more.acked;
        sum.refused += more.refused;
        sum.indeterminate += more.indeterminate;
        sum.unsent += more.unsent;
        sum.delivered += more.delivered;
        sum.faults += more.faults;
        match (&mut self.report.ledger, &other.ledger) {
            (Some(sum), Some(more)) => sum.add(more),
            (none @ None, Some(more)) => *none = Some(more.clone()),
            _ => {}
        }
        self.take(&other.verdicts);
    }

    fn take(&mut self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            let by_status = self.statuses.entry(verdict.guarantee.clone()).or_default();
            let (seeds, first) = by_status.entry(verdict.status).or_insert_with(|| {
                (
                    0,
                    Verdict {
                        proofs: 0,
                        damage: None,
                        ..verdict.clone()
                    },
                )
            });
            *seeds += 1;
            first.proofs += verdict.proofs;
            match (&mut first.damage, &verdict.damage) {
                (Some(sum), Some(more)) => sum.add(more),
                (none, more) => *none = none.take().or_else(|| more.clone()),
            }
        }
    }

    fn finish(mut self) -> ScenarioReport {
        if self.seeds > 1 {
            self.report.title = format!(
                "{} (seeds {} to {})",
                self.report.title, self.report.seed, self.last
            );
            self.report.verdicts = self
                .statuses
                .into_values()
                .filter_map(|by_status| verdict(by_status, self.seeds))
                .collect();
        }
        self.report
    }
}

/// The verdict of several seeds none of which is violated: proof, if any seed has it.
fn verdict(mut by_status: BTreeMap<Status, (u64, Verdict)>, seeds: u64) -> Option<Verdict> {
    let order = [
        Status::Holds,
        Status::Measured,
        Status::Inconclusive,
        Status::Outside,
        Status::NotApplicable,
    ];
    let (count, mut verdict) = order
        .into_iter()
        .find_map(|status| by_status.remove(&status))?;
    let others: Vec<String> = by_status
        .iter()
        .map(|(status, (count, _))| format!("{} in {count}", status.word()))
        .collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!(" ({})", others.join(", "))
    };
    verdict.summary = format!(
        "{} in {count} of {seeds} seeds{others}; in the first of them: {}",
        verdict.status.word(),
        verdict.summary
    );
    Some(verdict)
}
