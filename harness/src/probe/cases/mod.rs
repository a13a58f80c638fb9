//! The cases, a directory per standard and a file per section.

mod rfc2920;
mod rfc5321;
mod security;
mod steps;

use super::case::Case;

/// Every file's table, in the order in which cases are listed and shown.
const TABLES: &[&[&[Case]]] = &[rfc5321::TABLES, &[rfc2920::CASES], security::TABLES];

/// All cases, by standard and section.
pub fn all() -> Vec<&'static Case> {
    let mut cases: Vec<&'static Case> = TABLES
        .iter()
        .copied()
        .flatten()
        .copied()
        .flatten()
        .collect();
    // Standards stay in the order of the tables, and so do the cases of a section.
    let standards: Vec<&str> = cases.iter().map(|case| standard(case.id)).collect();
    cases.sort_by_key(|case| {
        let place = standards
            .iter()
            .position(|known| *known == standard(case.id));
        (place, section_numbers(case.id))
    });
    cases
}

fn standard(id: &str) -> &str {
    id.split('/').next().unwrap_or_default()
}

/// `4.5.3.1.10` is behind `4.5.3.1.9`.
fn section_numbers(id: &str) -> Vec<u32> {
    let mut parts = id.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some(section), Some(_)) => section.split('.').filter_map(|n| n.parse().ok()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
