//! The table of guarantees and scenarios: a row per guarantee, a column per scenario, a sign where one answers the other.

use std::collections::BTreeMap;
use std::fmt;

use super::{Escaped, anchor, mark};
use crate::summary::weight;
use crate::{GuaranteeReport, RunReport, Status};

/// A scenario. Runs that differ in seed or substrate share it, so that a thousand seeds make no thousand columns.
struct Column<'a> {
    suite: &'a str,
    scenario: &'a str,
    /// Whether one of its runs did not finish.
    failed: bool,
    /// Whether it is the first of its suite.
    first: bool,
}

/// Writes the table. A cell is the heaviest answer of the column's runs, and leads to the guarantee's findings.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    report: &RunReport,
    guarantees: &[GuaranteeReport<'_>],
) -> fmt::Result {
    let columns = columns(report);
    writeln!(
        f,
        "<div class=\"scroll\">\n<table class=\"matrix\">\n<thead>\n<tr><td></td>"
    )?;
    for column in &columns {
        let class = match (column.first, column.failed) {
            (true, true) => " class=\"first failed\"",
            (true, false) => " class=\"first\"",
            (false, true) => " class=\"failed\"",
            (false, false) => "",
        };
        let (suite, scenario) = (Escaped(column.suite), Escaped(column.scenario));
        writeln!(
            f,
            "<th scope=\"col\"{class}><span><i>{suite}/</i>{scenario}</span></th>"
        )?;
    }
    writeln!(f, "</tr>\n</thead>\n<tbody>")?;
    for guarantee in guarantees {
        row(f, guarantee, &columns)?;
    }
    writeln!(f, "</tbody>\n</table>\n</div>")
}

fn row(
    f: &mut fmt::Formatter<'_>,
    guarantee: &GuaranteeReport<'_>,
    columns: &[Column<'_>],
) -> fmt::Result {
    let cells = cells(guarantee);
    let (id, link) = (Escaped(guarantee.guarantee), anchor(guarantee.guarantee));
    let key = guarantee.status.key();
    write!(
        f,
        "<tr><th scope=\"row\" class=\"{key}\"><a href=\"#{link}\">{id}</a></th>"
    )?;
    for column in columns {
        let class = if column.first { " class=\"first\"" } else { "" };
        write!(f, "<td{class}>")?;
        if let Some((status, runs)) = cells.get(&(column.suite, column.scenario)) {
            let times = if *runs > 1 {
                format!(" ({runs} runs)")
            } else {
                String::new()
            };
            let (id, scenario) = (guarantee.guarantee, column.scenario);
            let title = format!("{id} in {scenario}: {}{times}", status.word());
            let (key, mark, title) = (status.key(), mark(*status), Escaped(&title));
            write!(f, "<a class=\"{key}\" href=\"#{link}\" title=\"{title}\" ")?;
            write!(f, "aria-label=\"{title}\">{mark}</a>")?;
        }
        write!(f, "</td>")?;
    }
    writeln!(f, "</tr>")
}

/// The scenarios, suite by suite, each in the order in which the report has them first.
fn columns(report: &RunReport) -> Vec<Column<'_>> {
    let mut suites: Vec<Vec<Column<'_>>> = Vec::new();
    let mut suite_places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for run in &report.scenarios {
        let at = *suite_places.entry(&run.suite).or_insert_with(|| {
            suites.push(Vec::new());
            suites.len() - 1
        });
        let suite = &mut suites[at];
        let place = *places
            .entry((&run.suite, &run.scenario))
            .or_insert_with(|| {
                let first = suite.is_empty();
                suite.push(Column {
                    suite: &run.suite,
                    scenario: &run.scenario,
                    failed: false,
                    first,
                });
                suite.len() - 1
            });
        suite[place].failed |= run.failure.is_some();
    }
    suites.into_iter().flatten().collect()
}

/// The guarantee's answer and number of runs, by suite and scenario.
fn cells<'a>(guarantee: &GuaranteeReport<'a>) -> BTreeMap<(&'a str, &'a str), (Status, u64)> {
    let mut cells: BTreeMap<(&str, &str), (Status, u64)> = BTreeMap::new();
    for finding in &guarantee.findings {
        let key = (
            finding.scenario.suite.as_str(),
            finding.scenario.scenario.as_str(),
        );
        let (status, runs) = cells.entry(key).or_insert((finding.status, 0));
        *runs += 1;
        if weight(finding.status) > weight(*status) {
            *status = finding.status;
        }
    }
    cells
}
