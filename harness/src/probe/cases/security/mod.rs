//! What no clause needs to say, but what can be abused.

mod commands;
mod content;
pub(super) mod end_of_data;
mod floods;
mod sessions;

use crate::probe::case::Case;

/// Its files.
pub(super) const TABLES: &[&[Case]] = &[
    end_of_data::CASES,
    content::CASES,
    commands::CASES,
    sessions::CASES,
    floods::CASES,
];
