//! The report of a lint as text for a terminal.
//!
//! Comes in: a [`LintReport`]. Goes out: what is broken with what to change, then what is not stated, then advice; what is
//! kept in a line each when everything is asked for. Called by `gauntlet lint`.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style as Ansi};

use super::{Answer, Finding, LintReport};
use crate::{
    Conclusion, Style,
    text::{one_line, plural, wrap},
};

/// The report as text, with a line end after it.
pub fn terminal(report: &LintReport, style: &Style) -> String {
    let mut text = String::new();
    // A string takes every write.
    let _ = page(&mut text, report, style);
    text
}

/// Columns of the answer's word with the space after it.
const WORD: usize = 12;

fn page(text: &mut String, report: &LintReport, style: &Style) -> fmt::Result {
    let width = style.width.max(40);
    let mut kept = 0;
    for answer in Answer::ALL {
        for finding in report.findings.iter().filter(|f| f.answer == answer) {
            if answer == Answer::Kept && !style.verbose {
                kept += 1;
                continue;
            }
            one(text, finding, style, width)?;
        }
    }
    if kept > 0 {
        let what = plural(kept, "time");
        let head = paint(style, color(Answer::Kept), &format!("{:<WORD$}", "kept"));
        writeln!(text, "{head}{what}; --verbose names them")?;
    }
    if !report.findings.is_empty() {
        writeln!(text)?;
    }
    writeln!(text, "{}", report.headline())?;
    let conclusion = match report.conclusion() {
        Conclusion::AllHold => color(Answer::Kept),
        Conclusion::Violated => color(Answer::Broken),
        Conclusion::Inconclusive | Conclusion::Failed => color(Answer::NotStated),
    };
    writeln!(text, "{}", paint(style, conclusion, report.verdict()))
}

fn one(text: &mut String, finding: &Finding, style: &Style, width: usize) -> fmt::Result {
    let word = match finding.answer {
        Answer::Broken => "BROKEN",
        answer => answer.word(),
    };
    let head = paint(style, color(finding.answer), &format!("{word:<WORD$}"));
    let rule = paint(style, Ansi::new().bold(), &one_line(&finding.rule));
    let place = match &finding.place {
        Some(place) => format!("  {}:{}", one_line(&place.file), place.line),
        None => String::new(),
    };
    writeln!(text, "{head}{rule}  {}{place}", one_line(&finding.subject))?;
    let mut line = |label: &str, said: &str| -> fmt::Result {
        if said.is_empty() {
            return Ok(());
        }
        let indent = WORD + 8;
        for (number, part) in wrap(&one_line(said), width.saturating_sub(indent).max(20))
            .iter()
            .enumerate()
        {
            let label = if number == 0 { label } else { "" };
            writeln!(text, "{:WORD$}{label:<8}{part}", "")?;
        }
        Ok(())
    };
    line("found", &finding.found)?;
    line("change", &finding.change)?;
    if finding.answer != Answer::Kept {
        let why = format!(
            "{}: {} ({})",
            finding.level.word(),
            finding.demand,
            finding.source
        );
        line("rule", &why)?;
    }
    Ok(())
}

fn color(answer: Answer) -> Ansi {
    match answer {
        Answer::Broken => AnsiColor::Red.on_default().bold(),
        Answer::NotStated => AnsiColor::Yellow.on_default().bold(),
        Answer::Advice => AnsiColor::Cyan.on_default(),
        Answer::Kept => AnsiColor::Green.on_default(),
    }
}

fn paint(style: &Style, ansi: Ansi, text: &str) -> String {
    if style.color {
        format!("{ansi}{text}{ansi:#}")
    } else {
        text.to_owned()
    }
}
