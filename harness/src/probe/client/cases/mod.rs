//! The cases about a client, a file per subject.

mod chunking;
mod content;
mod envelope;
mod extensions;
mod greeting;
mod hello;
mod lost;
mod offers;
mod order;
mod pipelining;
mod refusals;
mod replies;
mod starttls;
mod steps;
mod timeouts;

#[cfg(test)]
mod flaws_rows;
#[cfg(test)]
mod flaws_tests;
#[cfg(test)]
mod tests;

use super::context::Context;
use crate::probe::{case::Case, cases::by_section};

/// Every file's table. Cases that run one after the other do so in this order: those after which a client may leave the next hop
/// alone for a while are the last ones.
const TABLES: &[&[Case<Context>]] = &[
    hello::CASES,
    envelope::CASES,
    content::CASES,
    order::CASES,
    replies::CASES,
    refusals::CASES,
    offers::CASES,
    extensions::CASES,
    pipelining::CASES,
    chunking::CASES,
    starttls::CASES,
    lost::CASES,
    greeting::CASES,
    timeouts::CASES,
];

/// All cases, by standard and section.
pub fn all() -> Vec<&'static Case<Context>> {
    let mut cases: Vec<&'static Case<Context>> = in_turn().collect();
    by_section(&mut cases);
    cases
}

/// When a case's turn is, where they run one after the other.
pub fn turn(case: &Case<Context>) -> Option<usize> {
    in_turn().position(|known| known.id == case.id)
}

fn in_turn() -> impl Iterator<Item = &'static Case<Context>> {
    TABLES.iter().copied().flatten()
}
