//! What no clause needs to say, but what can be abused.

mod end_of_data;

use crate::probe::case::Case;

/// Its files.
pub(super) const TABLES: &[&[Case]] = &[end_of_data::CASES];
