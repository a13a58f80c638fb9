//! SC-05 to SC-08: which servers are asked to hold a copy, how often, and in which order.
//!
//! What is expected comes from the plan: sites, DAGs, ShadowMessagePreferenceSetting and the two numbers of attempts.

use std::{collections::BTreeSet, time::Duration};

use gauntlet_reports::{Evidence, Verdict};

use super::{
    acceptance::failed_to_be_made_redundant,
    attempts::{Intake, Try, intakes, micros},
};
use crate::{
    check::{
        Case,
        conditions::conclude,
        evidence::{Tally, clock, count, piece},
        positive,
    },
    scenario::Setting,
};

/// Servers of one kind, and how often they may be asked for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage<'h> {
    /// `the remote sites`
    name: &'static str,
    servers: BTreeSet<&'h str>,
    attempts: usize,
}

/// Where the copies of a node's messages go.
#[derive(Debug)]
struct Rule<'h> {
    /// The guarantee that says so.
    id: &'static str,
    /// One after the other.
    stages: Vec<Stage<'h>>,
    /// Nodes of the boundary that are not asked.
    forbidden: BTreeSet<&'h str>,
    /// The longest time that all attempts together may take.
    longest: Duration,
}

impl<'h> Rule<'h> {
    /// `None` where no copies are made.
    fn of(case: &Case<'h>, node: &str) -> Option<Self> {
        if !case.is_2013(node) || !case.config.switch(node, "ShadowRedundancyEnabled") {
            return None;
        }
        let cluster = &case.plan.scenario.cluster;
        let home = |node: &str| {
            let sites = cluster.sites.iter();
            sites
                .filter(|(_, nodes)| nodes.iter().any(|n| n == node))
                .map(|(site, _)| site.as_str())
                .next()
        };
        let in_dag = cluster
            .dags
            .values()
            .any(|nodes| nodes.iter().any(|n| n == node));
        let (local, remote): (BTreeSet<_>, BTreeSet<_>) = case
            .boundary(node)
            .into_iter()
            .partition(|peer| home(peer) == home(node));
        let attempts = |name| usize::try_from(case.config.number(node, name)).unwrap_or(usize::MAX);
        let near = Stage {
            name: "the local site",
            servers: local.clone(),
            attempts: attempts("MaxRetriesForLocalSiteShadow"),
        };
        let far = Stage {
            name: "the remote sites",
            servers: remote.clone(),
            attempts: attempts("MaxRetriesForRemoteSiteShadow"),
        };
        let preference = match case.config.setting(node, "ShadowMessagePreferenceSetting") {
            Some(Setting::Text(text)) => text.as_str(),
            _ => "PreferRemote",
        };
        let (id, mut stages, forbidden) = if !in_dag || remote.is_empty() {
            ("SC-08", vec![near], remote)
        } else {
            match preference {
                "RemoteOnly" => ("SC-06", vec![far], local),
                "LocalOnly" => ("SC-07", vec![near], remote),
                _ => ("SC-05", vec![far, near], BTreeSet::new()),
            }
        };
        for stage in &mut stages {
            if stage.servers.is_empty() {
                stage.attempts = 0;
            }
        }
        let most = stages.iter().map(|s| s.attempts).sum::<usize>();
        let one = case.config.span(node, "ShadowCopyTimeout");
        Some(Self {
            id,
            stages,
            forbidden,
            longest: one.saturating_mul(u32::try_from(most).unwrap_or(u32::MAX)),
        })
    }

    /// `4 in the remote sites, then 2 in the local site`
    fn text(&self) -> String {
        let stages: Vec<_> = self
            .stages
            .iter()
            .map(|s| format!("{} in {}", s.attempts, s.name))
            .collect();
        stages.join(", then ")
    }
}

/// SC-05: PreferRemote in a DAG over several sites: first remote sites, then the local one, each so many times.
pub(super) fn sc_05(case: &Case<'_>) -> Verdict {
    judge(case, "SC-05", "PreferRemote in a DAG over several sites")
}

/// SC-06: RemoteOnly: remote sites so many times, never the local one.
pub(super) fn sc_06(case: &Case<'_>) -> Verdict {
    judge(case, "SC-06", "RemoteOnly in a DAG over several sites")
}

/// SC-07: LocalOnly: the local site so many times, never a remote one.
pub(super) fn sc_07(case: &Case<'_>) -> Verdict {
    judge(case, "SC-07", "LocalOnly in a DAG over several sites")
}

/// SC-08: outside a DAG, or in a DAG within one site: the local site only, whatever the preference says.
pub(super) fn sc_08(case: &Case<'_>) -> Verdict {
    judge(
        case,
        "SC-08",
        "a node outside a DAG, or whose DAG is in one site",
    )
}

/// No server may hold a copy for this node: it is alone, or its boundary has nobody where the preference looks.
pub(super) fn nobody_may_hold(case: &Case<'_>, node: &str) -> bool {
    Rule::of(case, node).is_some_and(|rule| rule.stages.iter().all(|s| s.attempts == 0))
}

fn judge(case: &Case<'_>, id: &str, whom: &str) -> Verdict {
    let mut tally = Tally::default();
    let mut counted = 0;
    for node in &case.plan.scenario.cluster.nodes {
        let Some(rule) = Rule::of(case, node).filter(|rule| rule.id == id) else {
            continue;
        };
        tally.against.extend(strays(case, node, &rule));
        let all = intakes(case, node);
        for intake in &all {
            let Some(tries) = intake.tries(case, &all, rule.longest) else {
                continue;
            };
            let unmade = tries.iter().all(|t| t.confirmed.is_none());
            // Refused for another reason (no room, too many hops): nothing was tried, or need not have been.
            let meant = intake
                .answer
                .is_some_and(|(_, r)| positive(r) || failed_to_be_made_redundant(r));
            if !meant || (unmade && rule.stages.iter().all(|s| s.attempts == 0)) {
                continue;
            }
            counted += usize::from(unmade || tries.len() > 1);
            match fault(case, &rule, intake, &tries, unmade) {
                Some(evidence) => tally.broken(evidence),
                None => tally.kept(),
            }
        }
    }
    tally.proofs = tally.proofs.max(tally.against.len());
    if counted == 0 && tally.against.is_empty() {
        let thin = format!("no message was tried more than once by {whom}");
        tally.proofs = 0;
        return conclude(case, id, tally, "", &thin);
    }
    let what = format!(
        "messages were tried where and as often as they must be, {} after a try that failed",
        counted
    );
    conclude(case, id, tally, &what, "")
}

/// Copies that were begun with a server that may not be asked, whatever the message.
fn strays(case: &Case<'_>, node: &str, rule: &Rule<'_>) -> Vec<Evidence> {
    let begun = case
        .connections()
        .filter(|c| c.from == node && rule.forbidden.contains(c.to))
        .filter_map(|c| c.commands("XSHADOW").next().map(|(at, _)| (c, at)));
    begun
        .map(|(c, at)| {
            let text = format!(
                "{node} asked {} to hold a copy at {}; allowed are {}",
                c.to,
                clock(at.t_us),
                rule.text()
            );
            piece(text, [at.seq])
        })
        .collect()
}

/// What is wrong with the tries for one message, if anything is.
fn fault(
    case: &Case<'_>,
    rule: &Rule<'_>,
    intake: &Intake<'_, '_>,
    tries: &[Try<'_>],
    unmade: bool,
) -> Option<Evidence> {
    let (end, reply) = intake.answer?;
    let tell = |what: String| {
        let list: Vec<_> = tries
            .iter()
            .map(|t| format!("{} at {}", t.server, clock(t.at.t_us)))
            .collect();
        let list = if list.is_empty() {
            "nobody".into()
        } else {
            list.join(", ")
        };
        let text = format!(
            "message {} at {}: {what}; allowed are {}; asked: {list}; then {}",
            intake.exchange.message.unwrap_or_default(),
            intake.node,
            rule.text(),
            reply.code
        );
        let records = tries.iter().map(|t| t.at.seq);
        Some(piece(
            text,
            records.chain([intake.exchange.sent.seq, end.seq]),
        ))
    };
    if let Some(stray) = tries
        .iter()
        .find(|t| t.certain && rule.forbidden.contains(t.server))
    {
        return tell(format!("{} may not be asked", stray.server));
    }
    // The first try may have gone to a session that was open still, and that was cut: then nothing is seen of it.
    let mut unseen = usize::from(intake.later_in_session);
    let mut earlier: Option<(&Stage<'_>, usize)> = None;
    for stage in rule.stages.iter().filter(|s| s.attempts > 0) {
        let own: Vec<&Try<'_>> = tries
            .iter()
            .filter(|t| stage.servers.contains(t.server))
            .collect();
        let certain: Vec<&&Try<'_>> = own.iter().filter(|t| t.certain).collect();
        if certain.len() > stage.attempts {
            return tell(format!(
                "{} in {}",
                count(certain.len(), "attempt"),
                stage.name
            ));
        }
        let most = own.len() + unseen;
        if let (Some((before, made)), Some(first)) = (earlier, certain.first())
            && made < before.attempts
        {
            return tell(format!(
                "{} was asked at {} after {} in {}",
                stage.name,
                clock(first.at.t_us),
                count(made, "attempt"),
                before.name
            ));
        }
        if unmade && most < stage.attempts {
            return tell(format!(
                "no copy was made after only {} in {}",
                count(most, "attempt"),
                stage.name
            ));
        }
        unseen = 0;
        earlier = Some((stage, most));
    }
    if let Some(text) = disorder(case, rule, tries) {
        return tell(text);
    }
    needless(
        case,
        intake.node,
        tries,
        micros(case.config.span(intake.node, "ShadowCopyTimeout")),
    )
    .and_then(tell)
}

/// A try of an earlier stage behind one of a later stage.
fn disorder(case: &Case<'_>, rule: &Rule<'_>, tries: &[Try<'_>]) -> Option<String> {
    let [first, second] = rule.stages.as_slice() else {
        return None;
    };
    let slack = |t: &Try<'_>| {
        if t.vague && case.substrate != "sim" {
            micros(case.config.tolerance(Duration::ZERO))
        } else {
            0
        }
    };
    let of = |stage: &Stage<'_>, t: &Try<'_>| t.certain && stage.servers.contains(t.server);
    let late = tries.iter().rfind(|t| of(first, t))?;
    let early = tries.iter().find(|t| of(second, t))?;
    let behind =
        early.at < late.at && early.at.t_us + slack(early).max(slack(late)) <= late.at.t_us;
    behind.then(|| format!("{} was asked after {}", late.server, early.server))
}

/// A further try although a copy had been confirmed, in good time and on an undisturbed link.
fn needless(case: &Case<'_>, node: &str, tries: &[Try<'_>], limit: u64) -> Option<String> {
    let (done, at) = tries.iter().find_map(|t| t.confirmed.map(|at| (t, at)))?;
    let slack = micros(case.config.tolerance(Duration::ZERO));
    let prompt = at.t_us.saturating_sub(done.at.t_us) + slack < limit;
    let whole = case
        .connections()
        .filter(|c| c.from == node && c.to == done.server);
    let whole = whole
        .filter(|c| c.opened <= done.at && c.closed_seq() > at.seq)
        .all(|c| c.refused_recipients().is_empty());
    let next = tries.iter().find(|t| t.certain && !t.vague && t.at > at)?;
    let disturbed = case
        .faults_on(node, done.server)
        .chain(case.faults_on(done.server, node))
        .any(|f| f.overlaps(done.at.t_us, next.at.t_us));
    (prompt && whole && !disturbed).then(|| {
        format!(
            "{} was asked at {} although {} had confirmed its copy at {}",
            next.server,
            clock(next.at.t_us),
            done.server,
            clock(at.t_us)
        )
    })
}
