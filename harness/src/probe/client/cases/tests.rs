//! What holds of all cases about clients.

use std::collections::BTreeSet;

use super::{all, turn};
use crate::probe::cases as about_servers;

#[test]
fn ids_are_well_formed_and_of_clients_only() {
    let mut seen = BTreeSet::new();
    for case in all() {
        let words: Vec<&str> = case.id.split('/').collect();
        let right = match words.as_slice() {
            ["client", "security", name] => is_name(name),
            ["client", standard, section, name] => {
                let number = standard.strip_prefix("rfc").unwrap_or_default();
                !number.is_empty()
                    && number.bytes().all(|octet| octet.is_ascii_digit())
                    && section.split('.').all(|part| part.parse::<u8>().is_ok())
                    && is_name(name)
            }
            _ => false,
        };
        assert!(right, "{}", case.id);
        assert!(seen.insert(case.id), "{} stands twice", case.id);
    }
    for case in about_servers::all() {
        assert!(!case.id.starts_with("client/"), "{}", case.id);
    }
    assert!(seen.len() >= 100, "{}", seen.len());
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
}

#[test]
fn clauses_are_sentences() {
    for case in all() {
        assert!(
            case.clause.ends_with('.') && case.clause.len() > 20,
            "{}",
            case.id
        );
        assert!(
            case.section().starts_with("RFC "),
            "{}: {}",
            case.id,
            case.section()
        );
    }
}

/// A client may leave the next hop alone for a while after these.
#[test]
fn strange_greetings_come_last() {
    let of = |id: &str| all().into_iter().find(|case| case.id == id).and_then(turn);
    assert!(
        of("client/rfc5321/3.2/helo-after-500")
            < of("client/rfc5321/3.8/closed-before-the-greeting")
    );
    assert!(of("client/rfc3207/6/failed-handshake") < of("client/rfc5321/3.1/no-mail-after-554"));
}
