//! The report as GitHub-flavoured Markdown: for job summaries and pull requests.
//!
//! Comes in: a [`RunReport`] and the guarantees' statements. Goes out: the conclusion, the violations, what hazards did to mail, a
//! table of guarantees, and what was proven, folded.

use std::fmt;

use crate::text::{one_line, plural, records};
use crate::{Finding, GuaranteeReport, RunReport, Statements, Status};

/// The report as Markdown, with a line end after it.
pub fn markdown(report: &RunReport, statement: Statements<'_>) -> String {
    Page { report, statement }.to_string()
}

/// Findings listed per guarantee, so that a run of a thousand seeds stays within what a job summary may hold.
const SHOWN: usize = 10;

struct Page<'a> {
    report: &'a RunReport,
    statement: Statements<'a>,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        writeln!(f, "# Gauntlet: {}\n", report.headline())?;
        writeln!(f, "**{}**\n", report.summary())?;
        writeln!(
            f,
            "{}, version {}",
            code(&report.command),
            Escaped(&report.harness)
        )?;
        if let Some(sabotage) = &report.sabotage {
            writeln!(
                f,
                "\n> **Sabotage:** {}. The nodes are broken on purpose.",
                code(sabotage)
            )?;
        }
        let guarantees = report.by_guarantee();
        self.with_status(f, &guarantees, Status::Violated, "Violated")?;
        self.failures(f)?;
        self.with_status(f, &guarantees, Status::Inconclusive, "Inconclusive")?;
        for table in report.damage_tables() {
            table.markdown(f)?;
        }
        if !guarantees.is_empty() {
            self.table(f, &guarantees)?;
            self.proven(f, &guarantees)?;
        }
        Ok(())
    }
}

impl Page<'_> {
    /// A section with the guarantees of one status, and the findings that decided it.
    fn with_status(
        &self,
        f: &mut fmt::Formatter<'_>,
        guarantees: &[GuaranteeReport<'_>],
        status: Status,
        heading: &str,
    ) -> fmt::Result {
        let chosen: Vec<_> = guarantees
            .iter()
            .filter(|guarantee| guarantee.status == status)
            .collect();
        if chosen.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## {heading}")?;
        for guarantee in chosen {
            writeln!(
                f,
                "\n### {}{}\n",
                Escaped(guarantee.guarantee),
                self.after(guarantee.guarantee, ": ")
            )?;
            findings(f, guarantee.deciding())?;
        }
        Ok(())
    }

    fn failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = || {
            self.report
                .scenarios
                .iter()
                .filter_map(|scenario| Some((scenario, scenario.failure.as_ref()?)))
        };
        if failed().next().is_none() {
            return Ok(());
        }
        writeln!(f, "\n## Not finished\n")?;
        for (scenario, failure) in failed() {
            writeln!(
                f,
                "- {} ({}): {}",
                code(&scenario.scenario),
                Escaped(&scenario.run()),
                Escaped(failure)
            )?;
        }
        Ok(())
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, guarantees: &[GuaranteeReport<'_>]) -> fmt::Result {
        writeln!(f, "\n## Guarantees\n")?;
        writeln!(f, "| | ID | guarantee | put to the test | scenarios |")?;
        writeln!(f, "|---|---|---|--:|--:|")?;
        for guarantee in guarantees {
            let word = match guarantee.status {
                status @ (Status::Violated | Status::Inconclusive) => {
                    format!("**{}**", status.word())
                }
                status => status.word().to_owned(),
            };
            let (id, runs) = (Escaped(guarantee.guarantee), guarantee.findings.len());
            writeln!(
                f,
                "| {word} | {id} | {} | {} | {runs} |",
                self.after(guarantee.guarantee, ""),
                guarantee.proofs
            )?;
        }
        Ok(())
    }

    /// What was proven, and why the rest could not be tested.
    fn proven(
        &self,
        f: &mut fmt::Formatter<'_>,
        guarantees: &[GuaranteeReport<'_>],
    ) -> fmt::Result {
        writeln!(
            f,
            "\n<details><summary>What was proven, scenario by scenario</summary>"
        )?;
        for guarantee in guarantees {
            writeln!(
                f,
                "\n**{}** {}\n",
                Escaped(guarantee.guarantee),
                guarantee.status.word()
            )?;
            for finding in guarantee.findings.iter().take(SHOWN) {
                writeln!(f, "- {}", line(finding))?;
            }
            more(f, guarantee.findings.len())?;
        }
        writeln!(f, "\n</details>")
    }

    /// The statement after a separator; nothing when there is none.
    fn after(&self, id: &str, separator: &str) -> String {
        (self.statement)(id)
            .map(|text| format!("{separator}{}", Escaped(&text)))
            .unwrap_or_default()
    }
}

/// Findings with their evidence.
fn findings<'a>(
    f: &mut fmt::Formatter<'_>,
    findings: impl Iterator<Item = &'a Finding<'a>>,
) -> fmt::Result {
    let mut count = 0;
    for finding in findings {
        count += 1;
        if count > SHOWN {
            continue;
        }
        writeln!(f, "- {}", line(finding))?;
        for evidence in &finding.verdict.evidence {
            let shown = records(&evidence.records)
                .map(|records| format!(" ({records})"))
                .unwrap_or_default();
            writeln!(f, "  - {}{shown}", Escaped(&evidence.text))?;
        }
        if let Some(directory) = &finding.scenario.directory {
            writeln!(
                f,
                "  - again: {}",
                code(&format!("gauntlet replay {directory}"))
            )?;
        }
    }
    more(f, count)
}

fn more(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    match count.checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(rest) => writeln!(f, "- and {}", plural(rest as u64, "more run")),
    }
}

fn line(finding: &Finding<'_>) -> String {
    let scenario = finding.scenario;
    let run = Escaped(&scenario.run()).to_string();
    format!(
        "{} ({run}), {}: {}",
        code(&scenario.scenario),
        finding.status.word(),
        Escaped(&finding.summary())
    )
}

/// Text as code on one line; not for tables, where a `|` would end the cell. No backtick can end it: those in the text become apostrophes.
fn code(text: &str) -> String {
    let text = one_line(text).replace('`', "'");
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

/// Text on one line in which Markdown and HTML have no meaning.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = one_line(self.0);
        for (at, c) in text.char_indices() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                // A mention would notify somebody.
                '@' => f.write_str("&#64;")?,
                '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => write!(f, "\\{c}")?,
                // A block would begin.
                '#' | '-' | '+' | '=' if at == 0 => write!(f, "\\{c}")?,
                '.' | ')' if ends_number(&text, at) => write!(f, "\\{c}")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Whether the `.` or `)` at `at` would make what is before it the number of a list.
fn ends_number(text: &str, at: usize) -> bool {
    let (number, rest) = text.split_at(at);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (rest.len() == 1 || rest[1..].starts_with(' '))
}
