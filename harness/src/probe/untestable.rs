//! Clauses that cannot be tested from outside, with the reasons.
//!
//! Comes in: `suites/probe/untestable.toml`, and `untestable-client.toml` beside it. Goes out: [`Clause`]s, for `gauntlet probe --untestable`.

use serde::Deserialize;

/// A clause without a case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// `RFC 5321 §3.8`.
    pub section: String,
    /// The clause, in our words.
    pub clause: String,
    /// Why there is no case.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clause: Vec<Clause>,
}

/// All of them, in the order of the file.
///
/// # Errors
/// The embedded file is not of its form; a test holds that it is.
pub fn clauses() -> Result<Vec<Clause>, toml::de::Error> {
    toml::from_str::<File>(gauntlet_suites::UNTESTABLE).map(|file| file.clause)
}

/// Those about clients.
///
/// # Errors
/// As of [`clauses`].
pub fn about_clients() -> Result<Vec<Clause>, toml::de::Error> {
    toml::from_str::<File>(gauntlet_suites::UNTESTABLE_CLIENT).map(|file| file.clause)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{about_clients, clauses};

    #[test]
    fn every_clause_without_a_case_has_a_reason() {
        let servers = clauses().expect("well formed");
        assert!(servers.len() >= 20, "{}", servers.len());
        let clients = about_clients().expect("well formed");
        assert!(clients.len() >= 10, "{}", clients.len());
        let all = servers.into_iter().chain(clients);
        let mut seen = BTreeSet::new();
        for clause in all {
            assert!(clause.section.starts_with("RFC "), "{clause:?}");
            assert!(clause.section.contains('§'), "{clause:?}");
            for text in [&clause.clause, &clause.reason] {
                assert!(text.ends_with('.') && text.len() > 20, "{clause:?}");
            }
            assert!(
                seen.insert(clause.clause.clone()),
                "{clause:?} stands twice"
            );
        }
    }
}
