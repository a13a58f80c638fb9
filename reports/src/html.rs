//! The report as one HTML file: no script, nothing loaded from elsewhere, readable in the dark and on paper.
//!
//! Comes in: a [`RunReport`] and the guarantees' statements. Goes out: the conclusion and the totals; violations and
//! unfinished scenarios in full; what hazards did to mail; a table of guarantees and scenarios; every guarantee with its findings and evidence, folded;
//! every run with its mail. Called when a run ends and by `gauntlet report`.

mod matrix;

use std::fmt;

use crate::text::{copies, duration, plural, records, visible};
use crate::{
    Conclusion, Finding, GuaranteeReport, RunReport, ScenarioReport, Statements, Status, Summary,
};

/// The report as an HTML page.
pub fn html(report: &RunReport, statement: Statements<'_>) -> String {
    Page { report, statement }.to_string()
}

/// Findings listed per guarantee that hold, are outside or do not apply; those that are violated or inconclusive are all listed.
const SHOWN: usize = 25;

struct Page<'a> {
    report: &'a RunReport,
    statement: Statements<'a>,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conclusion = self.report.conclusion();
        let guarantees = self.report.by_guarantee();
        head(f, &format!("Gauntlet: {}", self.report.headline()))?;
        self.header(f, conclusion)?;
        writeln!(f, "<main>")?;
        self.violations(f, &guarantees)?;
        self.failures(f)?;
        for table in self.report.damage_tables() {
            table.html(f)?;
        }
        if !guarantees.is_empty() {
            writeln!(f, "<section>\n<h2>Guarantees × scenarios</h2>")?;
            matrix::write(f, self.report, &guarantees)?;
            writeln!(f, "</section>")?;
            self.guarantees(f, &guarantees)?;
        }
        self.runs(f)?;
        writeln!(f, "</main>\n</body>\n</html>")
    }
}

/// Everything before a page's header: its title, its style sheet, and that it loads nothing.
pub(crate) fn head(f: &mut fmt::Formatter<'_>, title: &str) -> fmt::Result {
    writeln!(
        f,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"
    )?;
    writeln!(
        f,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    )?;
    writeln!(f, "<meta name=\"color-scheme\" content=\"light dark\">")?;
    // Should the escaping ever fail, the page still runs and loads nothing.
    writeln!(
        f,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(f, "<title>{}</title>", Escaped(title))?;
    writeln!(
        f,
        "<style>\n{}</style>\n</head>\n<body>",
        include_str!("html/report.css")
    )
}

impl Page<'_> {
    fn header(&self, f: &mut fmt::Formatter<'_>, conclusion: Conclusion) -> fmt::Result {
        let summary = self.report.summary();
        let (class, mark) = match conclusion {
            Conclusion::AllHold => ("holds", mark(Status::Holds)),
            Conclusion::Violated => ("violated", mark(Status::Violated)),
            Conclusion::Inconclusive => ("inconclusive", mark(Status::Inconclusive)),
            Conclusion::Failed => ("violated", "!"),
        };
        writeln!(f, "<header class=\"{class}\">")?;
        writeln!(
            f,
            "<p class=\"brand\">Gauntlet <span>{}</span></p>",
            Escaped(&self.report.harness)
        )?;
        writeln!(
            f,
            "<h1><span class=\"mark\" aria-hidden=\"true\">{mark}</span> {}</h1>",
            capital(self.report.headline())
        )?;
        bar(f, &summary)?;
        writeln!(f, "<p class=\"totals\">{summary}</p>")?;
        writeln!(
            f,
            "<p class=\"command\"><code>{}</code></p>",
            Escaped(&self.report.command)
        )?;
        if let Some(sabotage) = &self.report.sabotage {
            let name = Escaped(sabotage);
            writeln!(
                f,
                "<p class=\"note\">Sabotage: <code>{name}</code>. The nodes are broken on purpose.</p>"
            )?;
        }
        tiles(f, &summary)?;
        writeln!(f, "</header>")
    }

    fn violations(
        &self,
        f: &mut fmt::Formatter<'_>,
        guarantees: &[GuaranteeReport<'_>],
    ) -> fmt::Result {
        let violated = || {
            guarantees
                .iter()
                .filter(|guarantee| guarantee.status == Status::Violated)
        };
        if violated().next().is_none() {
            return Ok(());
        }
        writeln!(f, "<section>\n<h2>What went wrong</h2>")?;
        for guarantee in violated() {
            writeln!(
                f,
                "<article class=\"story\">\n<h3>{}</h3>",
                Escaped(guarantee.guarantee)
            )?;
            self.statement_of(f, guarantee.guarantee)?;
            // The first in full; the rest is among the guarantee's findings below.
            if let Some(first) = guarantee.deciding().next() {
                finding(f, first, true)?;
            }
            let rest = guarantee.deciding().count() - 1;
            if rest > 0 {
                let more = plural(rest as u64, "more violation");
                writeln!(
                    f,
                    "<p class=\"more\"><a href=\"#{}\">and {more}</a></p>",
                    anchor(guarantee.guarantee)
                )?;
            }
            writeln!(f, "</article>")?;
        }
        writeln!(f, "</section>")
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
        writeln!(f, "<section>\n<h2>Scenarios that did not finish</h2>")?;
        for (scenario, failure) in failed() {
            writeln!(f, "<article class=\"story\">\n<h3>{}</h3>", place(scenario))?;
            writeln!(f, "<pre>{}</pre>\n</article>", Escaped(failure))?;
        }
        writeln!(f, "</section>")
    }

    fn guarantees(
        &self,
        f: &mut fmt::Formatter<'_>,
        guarantees: &[GuaranteeReport<'_>],
    ) -> fmt::Result {
        writeln!(
            f,
            "<section class=\"guarantees\">\n<h2>Guarantees</h2>\n<p class=\"filter\">"
        )?;
        writeln!(
            f,
            "<label><input type=\"radio\" name=\"show\" id=\"show-all\" checked>all</label>"
        )?;
        for status in Status::ALL {
            if guarantees
                .iter()
                .any(|guarantee| guarantee.status == status)
            {
                let (key, word) = (status.key(), status.word());
                writeln!(
                    f,
                    "<label><input type=\"radio\" name=\"show\" id=\"show-{key}\">{word}</label>"
                )?;
            }
        }
        writeln!(f, "</p>")?;
        for guarantee in guarantees {
            let (id, status) = (guarantee.guarantee, guarantee.status);
            let open = if matches!(status, Status::Violated | Status::Inconclusive) {
                " open"
            } else {
                ""
            };
            writeln!(f, "<details class=\"guarantee {}\"{open}>", status.key())?;
            let proofs = if guarantee.proofs > 0 {
                format!("tested {}×", guarantee.proofs)
            } else {
                String::new()
            };
            write!(
                f,
                "<summary>{} <b>{}</b> <span class=\"statement\">",
                badge(status),
                Escaped(id)
            )?;
            let statement = (self.statement)(id).unwrap_or_default();
            writeln!(
                f,
                "{}</span> <span class=\"proofs\">{proofs}</span></summary>",
                Escaped(&statement)
            )?;
            // The link's target is inside, so that a browser unfolds what it leads to.
            writeln!(f, "<div id=\"{}\">", anchor(id))?;
            let telling = |finding: &&Finding<'_>| {
                matches!(finding.status, Status::Violated | Status::Inconclusive)
            };
            for telling in guarantee.findings.iter().filter(telling) {
                finding(f, telling, false)?;
            }
            let others: Vec<_> = guarantee
                .findings
                .iter()
                .filter(|finding| !telling(finding))
                .collect();
            for other in others.iter().take(SHOWN) {
                finding(f, other, false)?;
            }
            if others.len() > SHOWN {
                writeln!(
                    f,
                    "<p class=\"more\">and {}</p>",
                    plural((others.len() - SHOWN) as u64, "more run")
                )?;
            }
            writeln!(f, "</div>\n</details>")?;
        }
        writeln!(f, "</section>")
    }

    /// A row per run.
    fn runs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.report.scenarios.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "<section>\n<h2>Scenarios</h2>\n<div class=\"scroll\">\n<table class=\"runs\">\n<thead><tr>"
        )?;
        writeln!(
            f,
            "<th>scenario</th><th>run</th><th>mail</th><th>faults</th><th>took</th><th>simulated</th></tr></thead>\n<tbody>"
        )?;
        for scenario in &self.report.scenarios {
            let counts = &scenario.counts;
            let took = if scenario.elapsed_ms > 0 {
                duration(scenario.elapsed_ms)
            } else {
                "–".into()
            };
            write!(
                f,
                "<tr><td><b>{}</b><br>{}",
                Escaped(&scenario.scenario),
                Escaped(&scenario.title)
            )?;
            if let Some(directory) = &scenario.directory {
                write!(f, "<br><code>{}</code>", Escaped(directory))?;
            }
            write!(
                f,
                "</td><td>{}</td><td>{} submitted",
                Escaped(&scenario.run()),
                counts.submitted
            )?;
            for (count, outcome) in [
                (counts.acked, "acked"),
                (counts.refused, "refused"),
                (counts.indeterminate, "indeterminate"),
                (counts.unsent, "unsent"),
            ] {
                if count > 0 {
                    write!(f, ", {count} {outcome}")?;
                }
            }
            write!(
                f,
                "; {} delivered</td><td>{}</td>",
                copies(counts.delivered),
                counts.faults
            )?;
            writeln!(
                f,
                "<td>{took}</td><td>{}</td></tr>",
                duration(scenario.simulated_ms)
            )?;
        }
        writeln!(f, "</tbody>\n</table>\n</div>\n</section>")
    }

    fn statement_of(&self, f: &mut fmt::Formatter<'_>, id: &str) -> fmt::Result {
        match (self.statement)(id) {
            Some(text) => writeln!(f, "<p class=\"statement\">{}</p>", Escaped(&text)),
            None => Ok(()),
        }
    }
}

/// One scenario's answer, with its evidence unfolded or folded.
fn finding(f: &mut fmt::Formatter<'_>, finding: &Finding<'_>, open: bool) -> fmt::Result {
    let (scenario, verdict) = (finding.scenario, finding.verdict);
    writeln!(f, "<div class=\"finding {}\">", finding.status.key())?;
    let (badge, place, summary) = (badge(finding.status), place(scenario), finding.summary());
    writeln!(f, "<p>{badge} {place}<br>{}</p>", Escaped(&summary))?;
    if !verdict.evidence.is_empty() {
        let open = if open { " open" } else { "" };
        writeln!(f, "<details{open}><summary>evidence</summary><ol>")?;
        for evidence in &verdict.evidence {
            write!(f, "<li>{}", Escaped(&evidence.text))?;
            if let Some(records) = records(&evidence.records) {
                write!(f, " <span class=\"records\">{records}</span>")?;
            }
            writeln!(f, "</li>")?;
        }
        writeln!(f, "</ol></details>")?;
    }
    if let Some(directory) = scenario
        .directory
        .as_ref()
        .filter(|_| finding.status == Status::Violated)
    {
        writeln!(
            f,
            "<p class=\"again\">again: <code>gauntlet replay {}</code></p>",
            Escaped(directory)
        )?;
    }
    writeln!(f, "</div>")
}

/// How the guarantees' answers are distributed, as a bar. The totals below it say the same in words.
fn bar(f: &mut fmt::Formatter<'_>, summary: &Summary) -> fmt::Result {
    write!(f, "<p class=\"bar\" aria-hidden=\"true\">")?;
    for status in Status::ALL {
        let count = summary.count(status);
        if count > 0 {
            write!(
                f,
                "<i class=\"{}\" style=\"flex-grow:{count}\"></i>",
                status.key()
            )?;
        }
    }
    writeln!(f, "</p>")
}

fn tiles(f: &mut fmt::Formatter<'_>, summary: &Summary) -> fmt::Result {
    let counts = &summary.counts;
    let mut tiles = vec![
        (counts.submitted.to_string(), "messages submitted"),
        (counts.acked.to_string(), "acked"),
        (counts.refused.to_string(), "refused"),
        (counts.indeterminate.to_string(), "indeterminate"),
        (counts.unsent.to_string(), "unsent"),
        (counts.delivered.to_string(), "copies delivered"),
        (counts.faults.to_string(), "faults landed"),
    ];
    if summary.simulated_ms > 0 {
        tiles.push((duration(summary.simulated_ms), "simulated"));
    }
    writeln!(f, "<dl class=\"tiles\">")?;
    for (value, label) in tiles {
        writeln!(f, "<div><dt>{label}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(f, "</dl>")
}

/// The scenario and which run of it.
fn place(scenario: &ScenarioReport) -> String {
    let run = Escaped(&scenario.run()).to_string();
    format!(
        "<b>{}</b> <span class=\"run\">{run}</span>",
        Escaped(&scenario.scenario)
    )
}

fn badge(status: Status) -> String {
    format!(
        "<span class=\"badge {}\">{} {}</span>",
        status.key(),
        mark(status),
        status.word()
    )
}

/// A sign for each answer, so that none is told by its colour alone.
fn mark(status: Status) -> &'static str {
    match status {
        Status::Holds => "✓",
        Status::Violated => "✗",
        Status::Measured => "≈",
        Status::Inconclusive => "?",
        Status::Outside => "↗",
        Status::NotApplicable => "–",
    }
}

/// The ID of a guarantee's place in the page: letters, digits and hyphens stay.
fn anchor(id: &str) -> String {
    let slug: String = id
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!("g-{slug}")
}

pub(crate) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// Text in which HTML has no meaning, in elements and in quoted attributes. Line ends stay.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in visible(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}
