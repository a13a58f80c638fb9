//! The cases, a directory per standard and a file per section.

mod extensions;
#[cfg(test)]
mod flaws_rows;
#[cfg(test)]
mod flaws_tests;
mod notifications;
mod rfc1870;
mod rfc2034;
mod rfc2920;
mod rfc3030;
mod rfc3207;
mod rfc3461;
mod rfc3463;
mod rfc4954;
mod rfc5321;
mod rfc5321bis;
mod rfc6152;
mod rfc6531;
mod security;
mod steps;

use super::case::Case;

/// Every file's table, in the order in which cases are listed and shown.
const TABLES: &[&[&[Case]]] = &[rfc5321::TABLES, EXTENSIONS, security::TABLES];

/// The extensions, in the order of their standards.
const EXTENSIONS: &[&[Case]] = &[
    rfc5321bis::CASES,
    rfc1870::CASES,
    rfc2034::CASES,
    rfc2920::CASES,
    rfc3030::CASES,
    rfc3207::CASES,
    rfc3461::CASES,
    notifications::CASES,
    rfc3463::CASES,
    rfc4954::CASES,
    rfc6152::CASES,
    rfc6531::CASES,
];

/// All cases, by standard and section.
pub fn all() -> Vec<&'static Case> {
    let mut cases: Vec<&'static Case> = TABLES
        .iter()
        .copied()
        .flatten()
        .copied()
        .flatten()
        .collect();
    by_section(&mut cases);
    cases
}

/// Standards stay in the order of the tables, and so do the cases of a section.
pub(super) fn by_section<C>(cases: &mut [&'static Case<C>]) {
    let bare = |id: &'static str| id.strip_prefix("client/").unwrap_or(id);
    let standards: Vec<&str> = cases.iter().map(|case| standard(bare(case.id))).collect();
    cases.sort_by_key(|case| {
        let place = standards
            .iter()
            .position(|known| *known == standard(bare(case.id)));
        (place, section_numbers(bare(case.id)))
    });
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
