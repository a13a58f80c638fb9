use std::collections::BTreeSet;

use super::*;

/// `rfcNNNN/section/name` or `security/name`, in lower case with hyphens.
fn is_well_formed(id: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let section = |text: &str| {
        text.split('.')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
    };
    let standard = |text: &str| {
        // A draft that will obsolete a standard has its number until it has one of its own.
        text.strip_prefix("rfc").is_some_and(|n| {
            let n = n.strip_suffix("bis").unwrap_or(n);
            n.len() == 4 && n.chars().all(|c| c.is_ascii_digit())
        })
    };
    match id.split('/').collect::<Vec<_>>().as_slice() {
        ["security", name] => word(name),
        [rfc, number, name] => standard(rfc) && section(number) && word(name),
        _ => false,
    }
}

#[test]
fn ids_are_unique_and_say_where_the_clause_stands() {
    let mut seen = BTreeSet::new();
    for case in all() {
        assert!(is_well_formed(case.id), "{}", case.id);
        assert!(seen.insert(case.id), "{} stands twice", case.id);
    }
    for bad in [
        "rfc5321/4.5.2",
        "rfc5321/4./x",
        "rfc5321/4.5.2/X",
        "security/a/b",
        "rfc53/4/x",
        "x",
    ] {
        assert!(!is_well_formed(bad), "{bad}");
    }
}

#[test]
fn clauses_are_sentences() {
    for case in all() {
        assert!(case.clause.ends_with('.'), "{}", case.id);
        assert!(case.clause.len() > 20, "{}", case.id);
        assert!(
            case.section().starts_with("RFC "),
            "{}: {}",
            case.id,
            case.section()
        );
    }
}

#[test]
fn there_are_many_and_they_are_in_order() {
    let all = all();
    assert!(all.len() >= 150, "{}", all.len());
    let place = |id: &str| all.iter().position(|case| case.id == id);
    assert!(
        place("rfc5321/4.5.3.1.8/hundred-recipients")
            < place("rfc5321/4.5.3.1.10/too-many-recipients")
    );
    assert!(place("rfc5321/6.3/hundred-received-fields") < place("rfc2920/3.2/replies-in-order"));
}
