//! A probe's report as one HTML file, in the house's page: conclusion and totals, the failures in full, then every
//! section's cases with their dialogues folded.

use std::fmt;

use super::{ProbeCase, ProbeReport, Standing};
use crate::Conclusion;
use crate::html::{Escaped, capital, head};
use crate::text::duration;

/// The report as an HTML page.
pub fn html(report: &ProbeReport) -> String {
    Page { report }.to_string()
}

struct Page<'a> {
    report: &'a ProbeReport,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        head(f, &format!("Gauntlet probe of {}", report.target))?;
        self.header(f)?;
        writeln!(f, "<main>")?;
        let told = |case: &&ProbeCase| {
            matches!(
                report.standing(case),
                Standing::Failed | Standing::UnexpectedPass
            )
        };
        if report.cases.iter().any(|case| told(&case)) {
            writeln!(f, "<section>\n<h2>What went wrong</h2>")?;
            for case in report.cases.iter().filter(told) {
                writeln!(
                    f,
                    "<article class=\"story\">\n<h3>{}</h3>",
                    Escaped(&case.id)
                )?;
                self.case(f, case, true)?;
                writeln!(f, "</article>")?;
            }
            writeln!(f, "</section>")?;
        }
        for (section, cases) in report.sections() {
            writeln!(
                f,
                "<section class=\"guarantees\">\n<h2>{}</h2>",
                Escaped(&section)
            )?;
            for case in cases {
                let standing = report.standing(case);
                writeln!(f, "<details class=\"guarantee {}\">", tone(standing))?;
                writeln!(
                    f,
                    "<summary><span class=\"badge {}\">{}</span> <b>{}</b> <span class=\"statement\">{}</span></summary>\n<div>",
                    tone(standing),
                    standing.word(),
                    Escaped(&case.id),
                    Escaped(&case.clause)
                )?;
                self.case(f, case, false)?;
                writeln!(f, "</div>\n</details>")?;
            }
            writeln!(f, "</section>")?;
        }
        writeln!(f, "</main>\n</body>\n</html>")
    }
}

impl Page<'_> {
    fn header(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let (class, mark) = match report.conclusion() {
            Conclusion::AllHold => ("holds", "✓"),
            Conclusion::Violated => ("violated", "✗"),
            Conclusion::Inconclusive => ("inconclusive", "?"),
            Conclusion::Failed => ("violated", "!"),
        };
        writeln!(f, "<header class=\"{class}\">")?;
        writeln!(
            f,
            "<p class=\"brand\">Gauntlet probe <span>{}</span></p>",
            Escaped(&report.harness)
        )?;
        writeln!(
            f,
            "<h1><span class=\"mark\" aria-hidden=\"true\">{mark}</span> {}</h1>",
            Escaped(&capital(&report.headline()))
        )?;
        let summary = report.summary();
        write!(f, "<p class=\"bar\" aria-hidden=\"true\">")?;
        for standing in Standing::ALL {
            let count = summary.count(standing);
            if count > 0 {
                write!(
                    f,
                    "<i class=\"{}\" style=\"flex-grow:{count}\"></i>",
                    tone(standing)
                )?;
            }
        }
        writeln!(f, "</p>")?;
        writeln!(
            f,
            "<p class=\"totals\">{summary} in {}</p>",
            duration(report.elapsed_ms)
        )?;
        writeln!(
            f,
            "<p class=\"command\"><code>{}</code></p>",
            Escaped(&report.command)
        )?;
        if let Some(greeting) = &report.greeting {
            writeln!(
                f,
                "<p class=\"command\">{}: <code>{}</code></p>",
                Escaped(&report.target),
                Escaped(greeting)
            )?;
        }
        let proof = report.proof.as_deref().unwrap_or("none");
        writeln!(
            f,
            "<p class=\"command\">proof of arrival: {}</p>",
            Escaped(proof)
        )?;
        writeln!(f, "</header>")
    }

    fn case(&self, f: &mut fmt::Formatter<'_>, case: &ProbeCase, open: bool) -> fmt::Result {
        writeln!(
            f,
            "<p class=\"statement\">{} {}: {}</p>",
            Escaped(&case.section),
            case.level,
            Escaped(&case.clause)
        )?;
        if let Some(text) = case.explanation() {
            writeln!(f, "<p>{}</p>", Escaped(&text))?;
        }
        if let Some(reason) = &case.known {
            writeln!(
                f,
                "<p class=\"more\">expected to fail: {}</p>",
                Escaped(reason)
            )?;
        }
        if !case.dialogue.is_empty() {
            let open = if open { " open" } else { "" };
            writeln!(f, "<details{open}><summary>dialogue</summary><pre>")?;
            for line in &case.dialogue {
                writeln!(f, "{}", Escaped(&line.to_string()))?;
            }
            writeln!(f, "</pre></details>")?;
        }
        Ok(())
    }
}

/// The page's colours, by the names that its style sheet has.
fn tone(standing: Standing) -> &'static str {
    match standing {
        Standing::Passed => "holds",
        Standing::Failed | Standing::UnexpectedPass => "violated",
        Standing::ExpectedFailure => "measured",
        Standing::Deviates => "outside",
        Standing::Inconclusive => "inconclusive",
        Standing::Skipped => "not-applicable",
    }
}
