//! SC-01 to SC-04: a copy before the ack, for every sender, in a session of its own, on another node of the boundary.

use gauntlet_reports::{Evidence, Verdict};

use crate::{
    check::{
        Case, Submitted,
        conditions::{self, conclude_shadow, copy_hindered},
        evidence::{Tally, clock, count, outcome, piece},
        ledger::loss,
    },
    history::{Event, Transaction, Wire},
};

/// SC-01: no ack before a different node of the boundary has confirmed its copy. On the wire, the copy's 250 comes
/// before the client's; in effect, the primary server can be destroyed at the ack and the message is delivered.
pub(super) fn sc_01(case: &Case<'_>) -> Verdict {
    let ledger = case.ledger();
    let mut tally = Tally::default();
    for s in case.acked().filter(|s| bound(case, s)) {
        match no_copy(case, s) {
            Some(evidence) => tally.broken(evidence),
            None => tally.kept(),
        }
    }
    let mut effect = Tally::default();
    let strikes = conditions::strikes(case);
    for entry in ledger.entries.values() {
        let struck = entry.submitted(case).any(|s| {
            s.acked()
                && bound(case, s)
                && strikes
                    .iter()
                    .any(|x| x.replaced && x.node == s.node() && x.at > s.at)
        });
        if !struck {
            continue;
        }
        let failed = entry.accounts.keys().find_map(|to| {
            let fate = ledger.fate(case, entry, to);
            fate.failure().map(|clause| loss(case, entry, to, clause))
        });
        match failed {
            Some(evidence) => effect.broken(evidence),
            None => effect.kept(),
        }
    }
    if tally.against.is_empty() && !effect.against.is_empty() {
        return effect.verdict("SC-01", "acked messages outlived their primary server", "");
    }
    let outlived = effect.proofs - effect.against.len();
    let outlived = if outlived > 0 {
        format!("; {outlived} outlived their primary server")
    } else {
        String::new()
    };
    let what = format!("acks came after the copy's 250{outlived}");
    conclude_shadow(
        case,
        ledger,
        "SC-01",
        tally,
        &what,
        "no message was acked that had to have a copy",
    )
}

/// SC-02: the same whatever the sender supports: judged on senders that said HELO beside those that said EHLO.
pub(super) fn sc_02(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    let mut plain = 0;
    for s in case.acked().filter(|s| bound(case, s)) {
        plain += usize::from(s.what.hello == "HELO");
        match no_copy(case, s) {
            Some(mut evidence) => {
                evidence.text =
                    format!("{} said {}; {}", s.what.client, s.what.hello, evidence.text);
                tally.broken(evidence);
            }
            None => tally.kept(),
        }
    }
    if plain == 0 && tally.against.is_empty() {
        tally.proofs = 0;
    }
    let what =
        format!("acks came after the copy's 250, {plain} of them to a sender that said HELO");
    conclude_shadow(
        case,
        case.ledger(),
        "SC-02",
        tally,
        &what,
        "no message of a sender that said HELO was acked",
    )
}

/// A copy is owed for this submission: shadow redundancy is on, and it was not hindered.
fn bound(case: &Case<'_>, s: &Submitted<'_>) -> bool {
    let node = s.node();
    case.config.switch(node, "ShadowRedundancyEnabled")
        && !case.shadow_servers(node).is_empty()
        && (case.copy_of(s).is_some() || copy_hindered(case, s).is_none())
}

/// How an ack came without a copy before it, if it did.
fn no_copy(case: &Case<'_>, s: &Submitted<'_>) -> Option<Evidence> {
    if case.copy_of(s).is_some() {
        return None;
    }
    let mut records: Vec<u64> = s.ended.map(|m| m.seq).into_iter().collect();
    let late = case
        .copies(s.what.message)
        .into_iter()
        .find(|(_, e)| e.acked() > s.ended);
    let after = match late.and_then(|(c, e)| e.acked().map(|at| (c, at))) {
        Some((c, at)) => {
            records.push(at.seq);
            format!("{}'s 250 for the copy only at {}", c.to, clock(at.t_us))
        }
        None => "no node confirmed a copy".into(),
    };
    Some(piece(
        format!("{} for message {}; {after}", outcome(s), s.what.message),
        records,
    ))
}

/// SC-03: the copy travels in a new session, opened while the sender's session is open; the sender's session stays
/// usable after the ack.
pub(super) fn sc_03(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    let mut probed = 0;
    for s in case.acked() {
        if let (Some((copy, _)), Some((own, _))) = (case.copy_of(s), case.exchange_of(s)) {
            if copy.opened > own.opened && copy.opened.seq < own.closed_seq() {
                tally.kept();
            } else {
                let text = format!(
                    "message {}: {}'s session opened at {}, the session to {} at {}",
                    s.what.message,
                    s.what.client,
                    clock(own.opened.t_us),
                    copy.to,
                    clock(copy.opened.t_us)
                );
                tally.broken(piece(text, [own.opened.seq, copy.opened.seq]));
            }
        }
        let Some((at, usable)) = s.usable else {
            continue;
        };
        let disturbed = case
            .faults_on(&s.what.client, s.server())
            .any(|f| f.overlaps(s.at.t_us, at.t_us));
        // A client that smuggles ends its session itself: there may be replies that it did not ask for.
        if disturbed || case.smuggles() {
            continue;
        }
        probed += 1;
        if !usable {
            let text = format!(
                "{}; the session was of no use any more at {}",
                outcome(s),
                clock(at.t_us)
            );
            tally.broken(piece(
                text,
                s.ended.map(|m| m.seq).into_iter().chain([at.seq]),
            ));
        }
    }
    if probed == 0 && tally.against.is_empty() {
        tally.proofs = 0;
    }
    let what = format!(
        "copies and acks went through sessions as they must; {} tried after the ack",
        count(probed, "session")
    );
    let thin = "no copy was made, or no session was tried after the ack";
    conclude_shadow(case, case.ledger(), "SC-03", tally, &what, thin)
}

/// SC-04: the shadow server is never the primary server, and never outside the boundary. That includes clients from
/// outside that give peer verbs: whoever is no peer gets no 2xx or 3xx to them.
pub(super) fn sc_04(case: &Case<'_>) -> Verdict {
    let mut tally = Tally::default();
    for connection in case.connections() {
        let begun = connection.commands("XSHADOW").map(|(at, _)| at);
        let sent = connection
            .exchanges
            .iter()
            .filter(|e| e.kind == Transaction::Copy)
            .map(|e| e.sent);
        let Some(at) = begun.chain(sent).next() else {
            continue;
        };
        let primary_is_node = case.is_node(connection.from);
        if primary_is_node && case.boundary(connection.from).contains(connection.to) {
            tally.kept();
        } else if primary_is_node {
            let why = if connection.to == connection.from {
                "itself"
            } else {
                "a host outside its boundary"
            };
            let text = format!(
                "{} sent a copy to {} at {}: to {why}",
                connection.from,
                connection.to,
                clock(at.t_us)
            );
            tally.broken(piece(text, [at.seq]));
        }
    }
    // A node that makes its copies where no tap sees them: acked, nothing stood in the way, and nobody else got one.
    for s in case
        .acked()
        .filter(|s| bound(case, s) && case.copies(s.what.message).is_empty())
    {
        let text = format!(
            "{} for message {}; no other node was ever sent a copy",
            outcome(s),
            s.what.message
        );
        tally.broken(piece(text, s.ended.map(|m| m.seq)));
    }
    let mut outsiders = 0;
    for record in case.records {
        let Event::PeerVerb {
            link,
            command,
            reply: Some(reply),
        } = &record.event
        else {
            continue;
        };
        outsiders += 1;
        if reply.code < 400 {
            let text = format!("{} to `{command}` on {link}, where no peer is", reply.code);
            tally.broken(piece(text, [record.seq]));
        }
    }
    let refused = if outsiders > 0 {
        format!("; {outsiders} peer commands from outside refused")
    } else {
        String::new()
    };
    let what = format!("copies went to another node of the boundary{refused}");
    conclude_shadow(
        case,
        case.ledger(),
        "SC-04",
        tally,
        &what,
        "no copy was made",
    )
}

/// The first XSHADOW of a connection from a node, and its reply.
pub(super) fn copy_attempts<'c>(
    case: &'c Case<'_>,
) -> impl Iterator<Item = (&'c crate::check::Connection<'c>, crate::check::Moment)> + 'c {
    case.connections().filter_map(|c| {
        let first = c
            .events
            .iter()
            .find(|(_, w)| matches!(w, Wire::Command { verb, .. } if verb == "XSHADOW"));
        first.map(|(at, _)| (c, *at))
    })
}
