//! "Did you mean …": the nearest of the words that are known.
//!
//! Comes in: a word that nobody knows, and those that somebody does. Called by the parser and the commands.

/// The candidate that `word` was probably meant to be, if one is near enough: at most a third of its letters
/// differ, whatever their case.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The help line under an unknown word: the nearest one, or all of them when they are few.
pub(crate) fn help<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(nearest) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{nearest}`?"));
    }
    let all: Vec<_> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
    match all.as_slice() {
        [] => None,
        [only] => Some(format!("there is only {only}")),
        [first @ .., last] if all.len() <= 30 => {
            Some(format!("there are {} and {last}", first.join(", ")))
        }
        _ => None,
    }
}

/// Letters to insert, drop, replace or swap with their neighbour to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_dropped_and_wrong_letters_are_understood() {
        let words = ["crash", "freeze", "ShadowHeartbeatFrequency"];
        assert_eq!(nearest("crsh", words), Some("crash"));
        assert_eq!(nearest("rcash", words), Some("crash"));
        assert_eq!(nearest("FREEZE", words), Some("freeze"));
        assert_eq!(
            nearest("ShadowHartbeatFrequence", words),
            Some("ShadowHeartbeatFrequency")
        );
        assert_eq!(nearest("explode", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn a_word_far_from_all_gets_the_list() {
        assert_eq!(
            help("zzz", ["sim", "process"]).as_deref(),
            Some("there are `sim` and `process`")
        );
        assert_eq!(help("zzz", ["sim"]).as_deref(), Some("there is only `sim`"));
        assert_eq!(help("zzz", []), None);
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("n1", "n1", 0),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}
