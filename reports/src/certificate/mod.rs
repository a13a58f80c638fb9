//! A certificate: what was proven of a mail transfer agent, by how much evidence, and what was not.
//!
//! Comes in: [`Facts`]: the report of a certification's runs, a probe's tally, what was left out, the catalogue's IDs. Goes
//! out: a [`Certificate`], as [`json`] and [`markdown`]. Called by `gauntlet certify` and `gauntlet merge`.
//!
//! A level is a sentence that somebody will rely on, so each has a threshold of evidence beside its guarantees; `levels`
//! has them. What denies a level is said in words.

mod levels;
mod markdown;
mod model;
mod terminal;
#[cfg(test)]
mod tests;

pub use levels::{MESSAGES, Required, TRANSPORT_CORE};
pub use markdown::markdown;
pub use model::*;
pub use terminal::terminal;

use crate::{GuaranteeReport, MailLedger, ReportError, RunReport, Status, text::one_line};

/// What a certificate is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Who it is about.
    pub subject: Subject,
    /// When it was made, RFC 3339.
    pub date: String,
    /// The runs, seeds folded.
    pub run: &'a RunReport,
    /// How many times the scenarios for any server were run.
    pub repeats: u64,
    /// What the standards' clauses came to; `None`: they were not put to it, and [`Facts::untested`] says why.
    pub probe: Option<ProbeTally>,
    /// What was left out, and why.
    pub untested: Vec<Untested>,
    /// The guarantees that there are, in the catalogue's order.
    pub catalogue: Vec<Promise>,
    /// The runs came to their end.
    pub complete: bool,
}

/// Makes the certificate.
pub fn certificate(facts: Facts<'_>) -> Certificate {
    let judged = facts.run.by_guarantee();
    let claimed = |id: &str| {
        let area = id.split('-').next().unwrap_or_default();
        facts.subject.claims.iter().any(|claim| claim == area)
    };
    let guarantees: Vec<GuaranteeLine> = facts
        .catalogue
        .iter()
        .filter(|promise| claimed(&promise.id))
        .map(|promise| {
            let found = judged.iter().find(|g| g.guarantee == promise.id);
            line(promise, found)
        })
        .collect();
    let mut ledger = MailLedger::default();
    for scenario in &facts.run.scenarios {
        if let Some(one) = &scenario.ledger {
            ledger.add(one);
        }
    }
    let mut untested = facts.untested;
    for line in guarantees.iter().filter(|line| line.status.is_none()) {
        if !untested.iter().any(|u| u.what == line.id) {
            untested.push(Untested {
                what: line.id.clone(),
                why: "no scenario that can be run on this target tests it".into(),
            });
        }
    }
    let part = facts.run.origin.as_ref().and_then(|origin| origin.part);
    let mut certificate = Certificate {
        version: CERTIFICATE_VERSION,
        harness: facts.run.harness.clone(),
        command: facts.run.command.clone(),
        subject: facts.subject,
        seed: facts.run.origin.as_ref().map_or(0, |origin| origin.seed),
        repeats: facts.repeats,
        date: facts.date,
        elapsed_ms: facts.run.elapsed_ms,
        complete: facts.complete,
        part,
        sabotage: facts.run.sabotage.clone(),
        levels: Vec::new(),
        guarantees,
        ledger,
        probe: facts.probe,
        untested,
    };
    certificate.levels = levels::levels(&certificate, facts.run);
    certificate
}

fn line(promise: &Promise, found: Option<&GuaranteeReport<'_>>) -> GuaranteeLine {
    let mut line = GuaranteeLine {
        id: promise.id.clone(),
        must: promise.must,
        status: found.map(|g| g.status),
        scenarios: 0,
        promised: 0,
        faults: 0,
        proofs: 0,
        findings: Vec::new(),
    };
    let Some(found) = found else { return line };
    line.proofs = found.proofs;
    for finding in &found.findings {
        line.scenarios += 1;
        line.faults += finding.scenario.counts.faults;
        line.promised += finding.scenario.ledger.as_ref().map_or(0, |l| l.promised);
    }
    // What holds is told by its numbers; anything else by its scenarios.
    if found.status != Status::Holds {
        line.findings = found
            .deciding()
            .map(|finding| FindingLine {
                scenario: finding.scenario.scenario.clone(),
                run: finding.scenario.run(),
                summary: finding.summary(),
                evidence: finding
                    .verdict
                    .evidence
                    .iter()
                    .map(|piece| one_line(&piece.text))
                    .collect(),
            })
            .collect();
    }
    line
}

/// The certificate as indented JSON with a line end after it.
///
/// # Errors
/// [`ReportError::Json`], which no certificate of [`certificate`] gives.
pub fn json(certificate: &Certificate) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(certificate)?;
    text.push('\n');
    Ok(text)
}

/// Reads what [`json`] wrote.
///
/// # Errors
/// [`ReportError::Json`]: it is no certificate; [`ReportError::Version`]: one of another version.
pub fn from_json(text: &str) -> Result<Certificate, ReportError> {
    let certificate: Certificate = serde_json::from_str(text)?;
    if certificate.version == CERTIFICATE_VERSION {
        Ok(certificate)
    } else {
        Err(ReportError::Version {
            found: certificate.version,
        })
    }
}
