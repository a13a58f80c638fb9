//! A probe's report as text for a terminal: a line per section, the cases that did not pass under it, then the story of
//! each failure with its dialogue, then the totals.

use std::fmt;

use anstyle::{AnsiColor, Style as Ansi};

use super::{Level, ProbeCase, ProbeReport, ProbeSummary, Standing};
use crate::text::{duration, fit, one_line, wrap};
use crate::{Conclusion, Style};

/// The report as text, with a line end after it.
pub fn terminal(report: &ProbeReport, style: &Style) -> String {
    Page {
        report,
        color: style.color,
        width: style.width.max(40),
        verbose: style.verbose,
    }
    .to_string()
}

/// Columns of a standing's word with the space after it.
const WORD: usize = 17;
/// Columns of a section's name.
const SECTION: usize = 22;
/// Lines that are shown of a failure's dialogue: the first and the last ones.
const DIALOGUE_HEAD: usize = 3;
const DIALOGUE_TAIL: usize = 24;

struct Page<'a> {
    report: &'a ProbeReport,
    color: bool,
    width: usize,
    verbose: bool,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        if let Some(greeting) = &report.greeting {
            let line = format!("{}: {}", report.target, one_line(greeting));
            writeln!(f, "{}\n", fit(&line, self.width))?;
        }
        for (section, cases) in report.sections() {
            self.section(f, &section, &cases)?;
        }
        for case in &report.cases {
            if matches!(
                report.standing(case),
                Standing::Failed | Standing::UnexpectedPass
            ) {
                self.story(f, case)?;
            }
        }
        if !report.cases.is_empty() {
            writeln!(f)?;
            writeln!(f, "{} in {}", report.summary(), duration(report.elapsed_ms))?;
        }
        let conclusion = match report.conclusion() {
            Conclusion::AllHold => AnsiColor::Green.on_default().bold(),
            Conclusion::Inconclusive => AnsiColor::Yellow.on_default().bold(),
            Conclusion::Violated | Conclusion::Failed => AnsiColor::Red.on_default().bold(),
        };
        writeln!(
            f,
            "{}",
            self.paint(conclusion, &one_line(&report.headline()))
        )
    }
}

impl Page<'_> {
    fn section(
        &self,
        f: &mut fmt::Formatter<'_>,
        section: &str,
        cases: &[&ProbeCase],
    ) -> fmt::Result {
        let mut summary = ProbeSummary::default();
        for case in cases {
            summary.add(self.report.standing(case));
        }
        let text = summary.to_string();
        let counts = text.split_once(": ").map_or("", |(_, counts)| counts);
        let name = format!("{section:<SECTION$}");
        writeln!(f, "{} {counts}", self.paint(Ansi::new().bold(), &name))?;
        for case in cases {
            let standing = self.report.standing(case);
            if self.verbose || standing != Standing::Passed {
                self.row(f, case, standing)?;
            }
        }
        Ok(())
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, case: &ProbeCase, standing: Standing) -> fmt::Result {
        let word = format!("{:<WORD$}", standing.word());
        let level = format!("{:<9}", case.level.word());
        let line = format!("{level}{}", case.id);
        writeln!(f, "  {}{line}", self.paint(color_of(standing), &word))?;
        let told = matches!(standing, Standing::Failed | Standing::UnexpectedPass);
        if self.verbose {
            self.indented(f, &case.clause, 4 + WORD)?;
        }
        if let Some(text) = case.explanation().filter(|_| !told || self.verbose) {
            if self.verbose {
                self.indented(f, &text, 4 + WORD)?;
            } else {
                let text = fit(&one_line(&text), self.width - 4 - WORD);
                let pad = 4 + WORD;
                writeln!(f, "{:pad$}{}", "", self.paint(Ansi::new().dimmed(), &text))?;
            }
        }
        if let Some(reason) = &case.known {
            self.indented(f, &format!("known: {reason}"), 4 + WORD)?;
        }
        if self.verbose && !told {
            self.dialogue(f, case)?;
        }
        Ok(())
    }

    fn story(&self, f: &mut fmt::Formatter<'_>, case: &ProbeCase) -> fmt::Result {
        let standing = self.report.standing(case);
        let word = standing.word().to_uppercase();
        writeln!(f)?;
        writeln!(
            f,
            "{} {} ({}, {})",
            self.paint(color_of(standing), &word),
            self.paint(Ansi::new().bold(), &one_line(&case.id)),
            one_line(&case.section),
            match case.level {
                Level::Security => "security",
                level => level.word(),
            }
        )?;
        self.indented(f, &case.clause, 2)?;
        match (&case.outcome, &case.known) {
            (super::Outcome::Failed { expected, seen }, _) => {
                self.indented(f, &format!("expected  {expected}"), 4)?;
                self.indented(f, &format!("seen      {seen}"), 4)?;
            }
            (super::Outcome::Passed, Some(reason)) => {
                self.indented(
                    f,
                    &format!("it passed, but is expected to fail: {reason}"),
                    4,
                )?;
            }
            _ => {
                if let Some(text) = case.explanation() {
                    self.indented(f, &text, 4)?;
                }
            }
        }
        self.dialogue(f, case)
    }

    /// The dialogue; of a long one the beginning and the end, unless all is asked for.
    fn dialogue(&self, f: &mut fmt::Formatter<'_>, case: &ProbeCase) -> fmt::Result {
        let lines = &case.dialogue;
        let cut = if self.verbose {
            0
        } else {
            lines.len().saturating_sub(DIALOGUE_HEAD + DIALOGUE_TAIL)
        };
        for (number, line) in lines.iter().enumerate() {
            let text = match number.checked_sub(DIALOGUE_HEAD) {
                Some(0) if cut > 0 => format!("          … {cut} lines; --verbose shows them"),
                Some(after) if after < cut => continue,
                _ => one_line(&line.to_string()),
            };
            writeln!(f, "      {}", self.paint(Ansi::new().dimmed(), &text))?;
        }
        Ok(())
    }

    fn indented(&self, f: &mut fmt::Formatter<'_>, text: &str, indent: usize) -> fmt::Result {
        for line in wrap(&one_line(text), self.width.saturating_sub(indent).max(20)) {
            writeln!(f, "{:indent$}{line}", "")?;
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

fn color_of(standing: Standing) -> Ansi {
    match standing {
        Standing::Passed => AnsiColor::Green.on_default(),
        Standing::Failed | Standing::UnexpectedPass => AnsiColor::Red.on_default().bold(),
        Standing::ExpectedFailure => AnsiColor::Magenta.on_default(),
        Standing::Deviates => AnsiColor::Cyan.on_default(),
        Standing::Inconclusive => AnsiColor::Yellow.on_default(),
        Standing::Skipped => AnsiColor::BrightBlack.on_default(),
    }
}
