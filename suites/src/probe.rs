//! What `gauntlet probe` has no case for.

/// Clauses that cannot be tested from outside, with the reasons (TOML).
pub const UNTESTABLE: &str = include_str!("../probe/untestable.toml");
