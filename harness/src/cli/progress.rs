//! A line on stderr that shows how far a campaign is; nothing when stderr is no terminal.

use std::time::Duration;

use gauntlet_reports::{ScenarioReport, Status};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::campaign::Progress;

/// The line.
pub(super) struct Line {
    bar: ProgressBar,
    verbose: bool,
}

impl Line {
    /// For so many runs. `verbose` also writes a line for each run that is over, terminal or not.
    pub(super) fn new(runs: usize, quiet: bool, verbose: bool) -> Self {
        // indicatif draws nothing when stderr is no terminal.
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(runs as u64), target);
        // A constant: it is a good template.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, verbose }
    }

    /// Takes what happens; from any thread.
    pub(super) fn tell(&self, progress: Progress<'_>) {
        match progress {
            Progress::Started(job) => self.bar.set_message(job.plan.id.clone()),
            Progress::Finished(report) => {
                self.bar.inc(1);
                if self.verbose {
                    self.bar.suspend(|| super::output::note(&line(report)));
                }
            }
        }
    }

    /// One of what is counted is over.
    pub(super) fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.inc(1);
    }

    /// Takes the line away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(report: &ScenarioReport) -> String {
    let worst = [Status::Violated, Status::Inconclusive, Status::Holds]
        .into_iter()
        .find(|status| report.verdicts.iter().any(|v| v.status == *status))
        .map_or("nothing proven", Status::word);
    let said = report.failure.as_deref().unwrap_or(worst);
    format!(
        "{} (seed {}): {said}, {}",
        report.scenario,
        report.seed,
        gauntlet_reports::duration(report.elapsed_ms)
    )
}
