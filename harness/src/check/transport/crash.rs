//! TC-01 and TC-02: what was acked outlives the process, and the host.

use gauntlet_reports::Verdict;

use crate::{
    check::{
        Case, Fate, FaultSpan,
        conditions::conclude,
        evidence::{Tally, count},
        ledger::loss,
    },
    history::Fault,
};

/// TC-01: acked, then the process is killed at any moment: delivered after the restart.
pub(super) fn tc_01(case: &Case<'_>) -> Verdict {
    survives(case, "TC-01", "a process was killed", |fault| {
        matches!(fault.what, Fault::ProcessCrash { .. })
    })
}

/// TC-02: acked, then the host loses power (what was not synced is gone): delivered after the boot.
pub(super) fn tc_02(case: &Case<'_>) -> Verdict {
    survives(case, "TC-02", "a host lost power", |fault| {
        matches!(fault.what, Fault::HostCrash { .. })
    })
}

/// Acked mail whose node was struck so, after the submission began and before the delivery was complete. When a
/// recipient had its copy before the crash and another not, the one without counts.
fn survives(
    case: &Case<'_>,
    id: &str,
    cause: &str,
    kind: impl Fn(&FaultSpan<'_>) -> bool,
) -> Verdict {
    let (tally, crashes) = survivors(case, kind);
    let what = format!(
        "deliveries of acked mail came through {}",
        count(crashes, "crash")
    );
    conclude(
        case,
        id,
        tally,
        &what,
        &format!("no acked message was in transit when {cause}"),
    )
}

/// What came through the ends of nodes that `kind` means, and what did not; and how many ends there were.
pub(in crate::check) fn survivors(
    case: &Case<'_>,
    kind: impl Fn(&FaultSpan<'_>) -> bool,
) -> (Tally, usize) {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    let mut crashes = 0;
    for crash in case.faults.iter().filter(|f| kind(f)) {
        let (Some(at), Some(node)) = (crash.landed, crash.what.node()) else {
            continue;
        };
        crashes += 1;
        for entry in ledger.entries.values() {
            let begun = entry
                .submitted(case)
                .any(|s| s.acked() && s.node() == node && s.at < at);
            // Mail that another node took in may wait in this node's mailboxes.
            let home = case.plan.scenario.cluster.mailboxes == node;
            let taken = entry.submitted(case).any(|s| s.acked() && s.at < at);
            for (to, account) in entry.accounts.iter().filter(|(_, a)| a.owed.is_some()) {
                if !(begun || (home && taken && case.is_mailbox(to))) {
                    continue;
                }
                let before = account.arrivals.iter().any(|a| a.t_us < at.signed_us());
                match ledger.fate(case, entry, to) {
                    fate @ (Fate::Lost | Fate::Overdue(_)) => {
                        tally.broken(loss(case, entry, to, fate.failure().unwrap_or_default()));
                    }
                    Fate::Delivered(_) if !before || case.is_mailbox(to) => tally.kept(),
                    Fate::Bounced => tally.kept(),
                    _ => {}
                }
            }
        }
    }
    tally.against.dedup_by(|a, b| a.text == b.text);
    (tally, crashes)
}
