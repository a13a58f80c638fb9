//! The report as text for a terminal.
//!
//! Comes in: a [`RunReport`], how to show it, and the guarantees' statements. Goes out: a line per guarantee with what was
//! proven under it, then what hazards did to mail, then the story of each violation, then the scenarios that did not finish, then the totals: the worst news
//! is what stands above the prompt. Called by `gauntlet run`, `check` and `certify`.

use std::collections::BTreeMap;
use std::fmt;

use anstyle::{AnsiColor, Style as Ansi};

use crate::text::{fit, one_line, plural, records, wrap};
use crate::{Conclusion, Finding, GuaranteeReport, RunReport, Statements, Status, damage};

/// How the terminal's text is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
    /// Columns; less than 40 counts as 40.
    pub width: usize,
    /// Every finding in full, with its evidence; otherwise the first of those that decide.
    pub verbose: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            color: false,
            width: 100,
            verbose: false,
        }
    }
}

/// The report as text, with a line end after it.
pub fn terminal(report: &RunReport, style: &Style, statement: Statements<'_>) -> String {
    Page {
        report,
        color: style.color,
        width: style.width.max(40),
        verbose: style.verbose,
        statement,
    }
    .to_string()
}

/// Scenarios under a guarantee, stories per guarantee, and pieces of evidence per story, unless all are asked for.
const SHOWN: usize = 3;
/// Columns of the status word with the space after it.
const WORD: usize = 15;
/// Columns before what stands under a guarantee's line.
const INDENT: usize = WORD + 7;

struct Page<'a> {
    report: &'a RunReport,
    color: bool,
    width: usize,
    verbose: bool,
    statement: Statements<'a>,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sabotage) = &self.report.sabotage {
            let note = format!(
                "sabotage: {}; the nodes are broken on purpose",
                one_line(sabotage)
            );
            writeln!(
                f,
                "{}\n",
                self.paint(color_of(Status::Outside), &fit(&note, self.width))
            )?;
        }
        let guarantees = self.report.by_guarantee();
        for guarantee in &guarantees {
            self.row(f, guarantee)?;
        }
        self.damage(f)?;
        for guarantee in guarantees
            .iter()
            .filter(|guarantee| guarantee.status == Status::Violated)
        {
            self.story(f, guarantee)?;
        }
        self.failures(f)?;
        if !(guarantees.is_empty() && self.report.scenarios.is_empty()) {
            writeln!(f)?;
        }
        writeln!(f, "{}", self.report.summary())?;
        let conclusion = self.report.conclusion();
        writeln!(
            f,
            "{}",
            self.paint(color_of_conclusion(conclusion), self.report.headline())
        )
    }
}

impl Page<'_> {
    /// The guarantee's line, and what was proven, scenario by scenario.
    fn row(&self, f: &mut fmt::Formatter<'_>, guarantee: &GuaranteeReport<'_>) -> fmt::Result {
        self.head(f, guarantee)?;
        if guarantee.status == Status::Violated && !self.verbose {
            return Ok(()); // its story follows
        }
        let findings: Vec<&Finding<'_>> = if self.verbose {
            guarantee.findings.iter().collect()
        } else {
            guarantee.deciding().collect()
        };
        // Runs of one scenario that differ only in the seed share a line, which tells of the first.
        let mut lines: Vec<(&Finding<'_>, u64)> = Vec::new();
        let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for finding in findings {
            let key = (
                finding.scenario.suite.as_str(),
                finding.scenario.scenario.as_str(),
            );
            match seen.get(&key).filter(|_| !self.verbose) {
                Some(at) => lines[*at].1 += 1,
                None => {
                    seen.insert(key, lines.len());
                    lines.push((finding, 1));
                }
            }
        }
        let shown = if self.verbose { lines.len() } else { SHOWN };
        for (finding, runs) in lines.iter().take(shown) {
            let mut text = one_line(&finding.scenario.scenario);
            if self.verbose {
                text = format!("{text} ({})", one_line(&finding.scenario.run()));
                if finding.status != guarantee.status {
                    text.push_str(&format!(", {}", finding.status.word()));
                }
            } else if *runs > 1 {
                text.push_str(&format!(" ×{runs}"));
            }
            self.under(f, &format!("{text}: {}", finding.summary()), INDENT)?;
            if self.verbose && finding.status != Status::Violated {
                self.evidence(f, finding, INDENT + 2)?;
            }
        }
        if lines.len() > shown {
            self.under(
                f,
                &format!(
                    "and {}",
                    plural((lines.len() - shown) as u64, "more scenario")
                ),
                INDENT,
            )?;
        }
        Ok(())
    }

    /// What unsupported operations did to mail.
    fn damage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.report.damage_tables();
        for table in &tables {
            writeln!(f)?;
            for (number, line) in table.terminal().lines().enumerate() {
                let style = if number == 0 {
                    Ansi::new().bold()
                } else {
                    Ansi::new()
                };
                writeln!(f, "{}", self.paint(style, line))?;
            }
        }
        if !tables.is_empty() {
            for line in wrap(damage::legend(), self.width) {
                writeln!(f, "{}", self.paint(Ansi::new().dimmed(), &line))?;
            }
        }
        Ok(())
    }

    /// What happened: the violation's summary and evidence, and where to look.
    fn story(&self, f: &mut fmt::Formatter<'_>, guarantee: &GuaranteeReport<'_>) -> fmt::Result {
        writeln!(f)?;
        self.head(f, guarantee)?;
        let all = guarantee.deciding().count();
        let shown = if self.verbose { all } else { SHOWN };
        for finding in guarantee.deciding().take(shown) {
            let scenario = finding.scenario;
            let place = format!(
                "{} ({})",
                one_line(&scenario.scenario),
                one_line(&scenario.run())
            );
            writeln!(f, "  {}", self.paint(Ansi::new().bold(), &place))?;
            for line in wrap(&finding.summary(), self.width - 4) {
                writeln!(f, "    {line}")?;
            }
            self.evidence(f, finding, 4)?;
            if let Some(directory) = &scenario.directory {
                writeln!(f, "    again: gauntlet replay {}", one_line(directory))?;
            }
        }
        if all > shown {
            writeln!(
                f,
                "  and {}",
                plural((all - shown) as u64, "more violation")
            )?;
        }
        Ok(())
    }

    /// Scenarios that the harness could not finish.
    fn failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scenario in &self.report.scenarios {
            if let Some(failure) = &scenario.failure {
                let word = self.paint(color_of(Status::Violated), &format!("{:<WORD$}", "FAILED"));
                writeln!(
                    f,
                    "\n{word}{} ({})",
                    one_line(&scenario.scenario),
                    one_line(&scenario.run())
                )?;
                for line in wrap(&one_line(failure), self.width - 4) {
                    writeln!(f, "    {line}")?;
                }
            }
        }
        Ok(())
    }

    fn head(&self, f: &mut fmt::Formatter<'_>, guarantee: &GuaranteeReport<'_>) -> fmt::Result {
        let word = match guarantee.status {
            Status::Violated => "VIOLATED",
            status => status.word(),
        };
        let word = self.paint(color_of(guarantee.status), &format!("{word:<WORD$}"));
        let id = self.paint(Ansi::new().bold(), &one_line(guarantee.guarantee));
        let pad = 7_usize
            .saturating_sub(guarantee.guarantee.chars().count())
            .max(1);
        let statement = (self.statement)(guarantee.guarantee)
            .map(|text| one_line(&text))
            .unwrap_or_default();
        let line = format!(
            "{word}{id}{:pad$}{}",
            "",
            fit(&statement, self.width - INDENT)
        );
        writeln!(f, "{}", line.trim_end())
    }

    /// Evidence, wrapped; the first pieces of it unless all is asked for.
    fn evidence(
        &self,
        f: &mut fmt::Formatter<'_>,
        finding: &Finding<'_>,
        indent: usize,
    ) -> fmt::Result {
        let all = &finding.verdict.evidence;
        let shown = if self.verbose { all.len() } else { SHOWN };
        for evidence in all.iter().take(shown) {
            let mut text = one_line(&evidence.text);
            if let Some(records) = records(&evidence.records).filter(|_| self.verbose) {
                text.push_str(&format!(" ({records})"));
            }
            for (number, line) in wrap(&text, self.width.saturating_sub(indent + 2).max(20))
                .iter()
                .enumerate()
            {
                let bullet = if number == 0 { "· " } else { "  " };
                writeln!(f, "{:indent$}{bullet}{line}", "")?;
            }
        }
        if all.len() > shown {
            writeln!(f, "{:indent$}· and {} more", "", all.len() - shown)?;
        }
        Ok(())
    }

    /// A dim line under a guarantee: cut to the width, or wrapped when everything is asked for.
    fn under(&self, f: &mut fmt::Formatter<'_>, text: &str, indent: usize) -> fmt::Result {
        let width = self.width - indent;
        let lines = if self.verbose {
            wrap(text, width)
        } else {
            vec![fit(text, width)]
        };
        for line in lines {
            writeln!(
                f,
                "{:indent$}{}",
                "",
                self.paint(Ansi::new().dimmed(), &line)
            )?;
        }
        Ok(())
    }

    fn paint(&self, style: Ansi, text: &str) -> String {
        if self.color {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

fn color_of(status: Status) -> Ansi {
    match status {
        Status::Holds => AnsiColor::Green.on_default(),
        Status::Violated => AnsiColor::Red.on_default().bold(),
        Status::Measured => AnsiColor::Magenta.on_default(),
        Status::Inconclusive => AnsiColor::Yellow.on_default().bold(),
        Status::Outside => AnsiColor::Cyan.on_default(),
        Status::NotApplicable => AnsiColor::BrightBlack.on_default(),
    }
}

fn color_of_conclusion(conclusion: Conclusion) -> Ansi {
    match conclusion {
        Conclusion::AllHold => AnsiColor::Green.on_default().bold(),
        Conclusion::Inconclusive => color_of(Status::Inconclusive),
        Conclusion::Violated | Conclusion::Failed => color_of(Status::Violated),
    }
}
