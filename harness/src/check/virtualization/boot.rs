//! VZ-01 and VZ-02: a guest boots again from its disk, after its host failed or after it was shut down as planned.

use gauntlet_reports::{Status, Verdict};

use crate::{
    check::{
        Case, FaultSpan, Moment,
        conditions::{conclude, conclude_shadow},
        evidence::{clock, count, inconclusive, piece},
        heartbeat::{
            holding::{Hold, holds},
            takeover::needless,
        },
        transport::crash::survivors,
    },
    history::Fault,
};

/// VZ-01. Mail that a guest had acked when its host failed reached its recipients, although the guest booted from nothing
/// but what its disk had.
pub(super) fn after_host_failure(case: &Case<'_>) -> Verdict {
    let failed = |f: &FaultSpan<'_>| matches!(f.what, Fault::HostCrash { .. }) && booted(case, f);
    let (tally, boots) = survivors(case, failed);
    if boots == 0 {
        return inconclusive("VZ-01", "no guest booted after a failure of its host");
    }
    let boots = count(boots, "cold boot");
    conclude(
        case,
        "VZ-01",
        tally,
        &format!("deliveries of acked mail came through the failure of a host, with {boots}"),
        "no acked message was in transit when a host failed",
    )
}

/// VZ-02. Mail that a guest had acked when it was shut down reached its recipients, and no shadow server promoted while the
/// guest was away for less than ShadowResubmitTimeSpan.
pub(super) fn after_shutdown(case: &Case<'_>) -> Verdict {
    let planned = |f: &FaultSpan<'_>| matches!(f.what, Fault::Shutdown { .. }) && booted(case, f);
    let (mut tally, boots) = survivors(case, planned);
    if boots == 0 {
        return inconclusive("VZ-02", "no guest booted after it was shut down");
    }
    let mut left_alone = 0;
    for span in case.faults.iter().filter(|f| planned(f)) {
        let (Some(down), Some(up), Some(node)) = (span.landed, span.healed, span.what.node())
        else {
            continue;
        };
        for hold in holds(case) {
            if hold.primary != node || !hold.alive_at(down.t_us) || struck_as_well(case, hold, span)
            {
                continue;
            }
            match needless(case, hold) {
                Some(sign) if sign.at > down => {
                    let text = format!(
                        "{node} was shut down at {} and up again at {}; {} held {} for it, and {} at {}: nothing asked for that",
                        clock(down.t_us),
                        clock(up.t_us),
                        hold.server,
                        hold.name(),
                        sign.text,
                        clock(sign.at.t_us)
                    );
                    tally.broken(piece(text, [hold.since, down, up, sign.at].map(|m| m.seq)));
                }
                None if hold.promoted.is_none() => left_alone += 1,
                _ => {}
            }
        }
    }
    let ledger = case.ledger();
    let what = format!(
        "deliveries of acked mail came through {}",
        count(boots, "planned shutdown")
    );
    let thin = "no acked message was in transit when a guest was shut down";
    let mut verdict = conclude_shadow(case, ledger, "VZ-02", tally, &what, thin);
    if verdict.status == Status::Holds {
        let left_alone = count(left_alone, "shadow message");
        verdict.summary = format!("{}; {left_alone} left alone meanwhile", verdict.summary);
    }
    verdict
}

/// It was up again, and its disk was the same.
fn booted(case: &Case<'_>, span: &FaultSpan<'_>) -> bool {
    let (Some(_), Some(up), Some(node)) = (span.landed, span.healed, span.what.node()) else {
        return false;
    };
    let replaced = |strike: &crate::check::conditions::Strike<'_>| {
        strike.node == node && strike.replaced && Some(strike.at) >= span.landed && strike.at <= up
    };
    !crate::check::conditions::strikes(case).iter().any(replaced)
}

/// Something else struck one of the two servers or their links while the message was held: the promotion may be its doing.
fn struck_as_well(case: &Case<'_>, hold: &Hold<'_>, span: &FaultSpan<'_>) -> bool {
    let end: Option<Moment> = hold.promoted.as_ref().map(|sign| sign.at);
    let end = end.map_or(case.last_us, |at| at.t_us);
    case.faults_on(hold.server, hold.primary)
        .chain(case.faults_on(hold.primary, hold.server))
        .any(|f| f.number != span.number && f.overlaps(hold.since.t_us, end))
}
