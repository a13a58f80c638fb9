//! How much of an exploration a call may do.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use crate::scenario::Span;

/// A number of schedules, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many schedules.
    Schedules(u64),
    /// So much real time.
    Time(Duration),
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse() {
            return Ok(Self::Schedules(count));
        }
        let wrong =
            |_| "write a number of schedules, as in `5000`, or a time, as in `5m`".to_owned();
        let span: Span = text.parse().map_err(wrong)?;
        Ok(Self::Time(span.0))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedules(count) => write!(f, "{count} schedules"),
            Self::Time(time) => Span(*time).fmt(f),
        }
    }
}

/// What is left of a budget.
#[derive(Debug)]
pub(super) struct Purse {
    budget: Option<Budget>,
    began: Instant,
    spent: u64,
}

impl Purse {
    pub(super) fn new(budget: Option<Budget>) -> Self {
        Self {
            budget,
            began: Instant::now(),
            spent: 0,
        }
    }

    /// How many of so many schedules can still be run.
    pub(super) fn affords(&self, wanted: usize) -> usize {
        match self.budget {
            None => wanted,
            Some(Budget::Schedules(count)) => {
                let left = usize::try_from(count.saturating_sub(self.spent)).unwrap_or(usize::MAX);
                wanted.min(left)
            }
            Some(Budget::Time(time)) if self.began.elapsed() >= time => 0,
            Some(Budget::Time(_)) => wanted,
        }
    }

    pub(super) fn spend(&mut self, schedules: usize) {
        self.spent += schedules as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_or_a_time() {
        assert_eq!("5000".parse(), Ok(Budget::Schedules(5000)));
        assert_eq!("5m".parse(), Ok(Budget::Time(Duration::from_secs(300))));
        assert!("much".parse::<Budget>().is_err());
        let mut purse = Purse::new(Some(Budget::Schedules(10)));
        assert_eq!(purse.affords(7), 7);
        purse.spend(7);
        assert_eq!(purse.affords(7), 3);
        assert_eq!(Purse::new(Some(Budget::Time(Duration::ZERO))).affords(7), 0);
        assert_eq!(Purse::new(None).affords(7), 7);
    }
}
