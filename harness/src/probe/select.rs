//! Which cases are run: `--only` and `--skip`, each a case's ID or the beginning of one.

use super::case::Case;

/// Whether `selector` is the ID or a beginning of it, up to a `/`: `rfc5321/4.5` does not select `rfc5321/4.5.2/…`.
pub fn selects(selector: &str, id: &str) -> bool {
    let selector = selector.trim_end_matches('/');
    id.strip_prefix(selector)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || subsection(selector, id)
}

/// `rfc5321/4.5` selects the sections below it as well: `rfc5321/4.5.2/dot-stuffing`.
fn subsection(selector: &str, id: &str) -> bool {
    selector.contains('/')
        && id
            .strip_prefix(selector)
            .is_some_and(|rest| rest.starts_with('.'))
}

/// The cases that are selected; an error names a selector that matches none.
///
/// # Errors
/// The selector, and cases that it may have meant.
pub fn select<C>(
    cases: &[&'static Case<C>],
    only: &[String],
    skip: &[String],
) -> Result<Vec<&'static Case<C>>, String> {
    for (option, selectors) in [("--only", only), ("--skip", skip)] {
        for selector in selectors {
            if !cases.iter().any(|case| selects(selector, case.id)) {
                return Err(format!("`{option} {selector}` matches nothing"));
            }
        }
    }
    let chosen = |case: &&&'static Case<C>| {
        (only.is_empty() || only.iter().any(|s| selects(s, case.id)))
            && !skip.iter().any(|s| selects(s, case.id))
    };
    let selected: Vec<&'static Case<C>> = cases.iter().filter(chosen).copied().collect();
    if selected.is_empty() {
        return Err("`--skip` leaves no case of those that `--only` selects".into());
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_an_id_or_a_beginning_of_one() {
        let id = "rfc5321/4.5.2/dot-stuffing";
        for selector in [
            "rfc5321",
            "rfc5321/",
            "rfc5321/4",
            "rfc5321/4.5",
            "rfc5321/4.5.2",
            "rfc5321/4.5.2/dot-stuffing",
        ] {
            assert!(selects(selector, id), "{selector}");
        }
        for selector in [
            "rfc53",
            "rfc5321/4.5.2/dot",
            "rfc5321/5",
            "rfc5321/4.5.20",
            "4.5.2",
        ] {
            assert!(!selects(selector, id), "{selector}");
        }
    }
}
