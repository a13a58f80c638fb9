//! RFC 5321: the protocol itself.

mod greeting;
mod hello;
mod transparency;

use crate::probe::case::Case;

/// Its files, by section.
pub(super) const TABLES: &[&[Case]] = &[greeting::CASES, hello::CASES, transparency::CASES];
