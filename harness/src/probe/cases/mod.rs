//! The cases, a directory per standard and a file per section.

mod rfc2920;
mod rfc5321;
mod security;

use super::case::Case;

/// Every file's table, in the order in which cases are listed and shown.
const TABLES: &[&[&[Case]]] = &[rfc5321::TABLES, &[rfc2920::CASES], security::TABLES];

/// All cases, in order.
pub fn all() -> Vec<&'static Case> {
    TABLES
        .iter()
        .copied()
        .flatten()
        .copied()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;
