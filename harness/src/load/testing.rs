//! A plan for tests.

use std::time::Duration;

use super::{LoadPlan, Pace};
use crate::scenario::Hello;

/// One message of 1 KiB.
pub(crate) fn plan() -> LoadPlan {
    LoadPlan {
        target: ([127, 0, 0, 1], 25).into(),
        sessions: 1,
        threads: 1,
        pace: Pace::Closed,
        count: Some(1),
        duration: None,
        size: 1024..=1024,
        from: "load@gauntlet.example".into(),
        recipients: vec!["someone@external.example".into()],
        per_connection: None,
        hello: Hello::Ehlo,
        name: "client.example".into(),
        pipelining: true,
        bdat: false,
        patience: Duration::from_secs(10),
        run: 7,
    }
}
