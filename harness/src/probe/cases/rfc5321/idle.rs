//! RFC 5321 §4.5.3.2.7: a server's patience. These cases take minutes (`--slow`).

use std::time::Duration;

use super::super::steps::goes_on;
use crate::probe::{
    case::{Case, Need},
    context::Context,
    outcome::Checked,
};

pub(super) const CASES: &[Case] = &[
    Case::should(
        "rfc5321/4.5.3.2.7/idle-session",
        "A server waits at least 5 minutes for the next command.",
        |c| Box::pin(idle(c)),
    )
    .needs(&[Need::Slow]),
    Case::should(
        "rfc5321/4.5.3.2.7/idle-transaction",
        "A server waits at least 5 minutes for the next command of an open transaction, and keeps it.",
        |c| Box::pin(idle_transaction(c)),
    )
    .needs(&[Need::Slow]),
    Case::should(
        "rfc5321/4.5.3.2.7/idle-before-ehlo",
        "A server waits at least 5 minutes for the first command.",
        |c| Box::pin(idle_at_first(c)),
    )
    .needs(&[Need::Slow]),
];

/// A little less than 5 minutes: the server's clock began before ours.
const IDLE: Duration = Duration::from_secs(5 * 60 - 5);

async fn idle(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.silent(IDLE, "a session that stays open for 5 minutes")
        .await?;
    goes_on(&mut s).await
}

async fn idle_transaction(c: &mut Context) -> Checked {
    let mut s = c.opened().await?;
    s.silent(IDLE, "a session that stays open for 5 minutes")
        .await?;
    s.ask("DATA").await?.expect("354")
}

async fn idle_at_first(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    s.silent(IDLE, "a session that stays open for 5 minutes")
        .await?;
    goes_on(&mut s).await
}
