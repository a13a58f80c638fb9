//! What `gauntlet probe` has no case for.

/// Clauses that cannot be tested from outside, with the reasons (TOML).
pub const UNTESTABLE: &str = include_str!("../probe/untestable.toml");

/// Clauses about clients that cannot be tested from outside, with the reasons (TOML).
pub const UNTESTABLE_CLIENT: &str = include_str!("../probe/untestable-client.toml");
