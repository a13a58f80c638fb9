//! RFC 5321: the protocol itself.

mod commands;
mod content;
mod delivery;
mod greeting;
mod hello;
mod idle;
mod limits;
mod order;
mod paths;
mod replies;
mod trace;

use crate::probe::case::Case;

/// Its files.
pub(super) const TABLES: &[&[Case]] = &[
    greeting::CASES,
    hello::CASES,
    replies::CASES,
    order::CASES,
    commands::CASES,
    paths::CASES,
    limits::CASES,
    content::CASES,
    delivery::CASES,
    trace::CASES,
    idle::CASES,
];
