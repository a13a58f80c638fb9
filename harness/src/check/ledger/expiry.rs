//! Mail that may have been given up, with nobody left to tell (HB-11).
//!
//! Comes in: a [`Case`], a message without delivery and DSN. Goes out: why that is no loss, in words. Called by
//! [`fate`](super::fate).

use super::Entry;
use crate::{
    check::{
        Case, Moment, Submitted,
        heartbeat::{holding::us, processing::host_of},
    },
    history::Transaction,
};

/// A message expires when its next hop stays out of reach for MessageExpirationTimeout. Its sender is told, unless there is
/// none; and what tells him is a message, too, which expires in the same way. Every submission that was acked must have had
/// this end.
pub(super) fn given_up(case: &Case<'_>, entry: &Entry<'_>, recipient: &str) -> Option<String> {
    let mut promises = entry.submitted(case).filter(|s| s.acked()).peekable();
    promises.peek()?;
    let mut reason = None;
    for s in promises {
        reason = Some(unnoticed(case, s, recipient)?);
    }
    reason
}

fn unnoticed(case: &Case<'_>, s: &Submitted<'_>, recipient: &str) -> Option<String> {
    let node = s.node();
    let timeout = case.config.span(node, "MessageExpirationTimeout");
    let least = us(timeout).saturating_sub(us(case.config.tolerance(timeout)));
    let taken = s.ended.unwrap_or(s.at);
    let given_up = taken.t_us.saturating_add(least);
    let sender = s.what.from.as_str();
    if !out_of_reach(case, node, host_of(case, recipient), taken, given_up) {
        return None;
    }
    if sender.is_empty() {
        let text = "its next hop was out of reach for MessageExpirationTimeout, and it has no sender to tell";
        return Some(text.into());
    }
    // The DSN is made when the message expires, or when the server that took the message over lets it expire.
    let later = given_up.saturating_add(least);
    out_of_reach(case, node, host_of(case, sender), taken, later).then(|| {
        "its next hop was out of reach for MessageExpirationTimeout, and so was its sender's for as long again".into()
    })
}

/// Between the two moments it was tried to reach `host`, `node` delivered nothing to it, and could have expired what it had.
fn out_of_reach(case: &Case<'_>, node: &str, host: &str, from: Moment, to_us: u64) -> bool {
    let reached = case.exchanges().into_iter().any(|(c, e)| {
        let acked = e.acked().is_some_and(|at| at > from && at.t_us < to_us);
        c.from == node && c.to == host && e.kind != Transaction::Copy && acked
    });
    let tried = case
        .connections()
        .any(|c| c.to == host && case.is_node(c.from) && c.opened > from && c.opened.t_us < to_us);
    tried && case.last_us >= to_us && !reached
}
