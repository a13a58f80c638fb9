//! What a run comes to, in one word, and the exit code for it.
//!
//! Made by [`RunReport::conclusion`](crate::RunReport::conclusion); read by the command line and by every rendering.

/// What a run comes to. Derived so that thin evidence is never green:
///
/// - one violation makes the run violated, whatever else went wrong: it is proven;
/// - else a scenario that the harness could not finish makes it failed;
/// - else a guarantee that is inconclusive, a scenario without any verdict, or a run in which nothing holds makes it
///   inconclusive. `measured`, `outside` and `not applicable` prove nothing, so a run of these alone is inconclusive too;
/// - only what is left is green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conclusion {
    /// All that was tested holds, and something was tested.
    AllHold,
    /// At least one guarantee is violated.
    Violated,
    /// Nothing is violated, but something could not be decided, or nothing was proven.
    Inconclusive,
    /// The harness could not finish a scenario.
    Failed,
}

impl Conclusion {
    /// The exit code of `gauntlet run`: 0, 1, 2 or 70.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::AllHold => 0,
            Self::Violated => 1,
            Self::Inconclusive => 2,
            Self::Failed => 70,
        }
    }

    /// In words, for a headline.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AllHold => "all that was tested holds",
            Self::Violated => "a guarantee is violated",
            Self::Inconclusive => "nothing is violated, but not everything is proven",
            Self::Failed => "the harness could not finish",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_as_documented() {
        let codes = [
            Conclusion::AllHold,
            Conclusion::Violated,
            Conclusion::Inconclusive,
            Conclusion::Failed,
        ]
        .map(Conclusion::exit_code);
        assert_eq!(codes, [0, 1, 2, 70]);
    }
}
