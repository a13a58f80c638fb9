//! The certificate as GitHub-flavoured Markdown, for people.
//!
//! Comes in: a [`Certificate`] and the guarantees' statements. Goes out: who it is about, the levels, the guarantees with
//! their numbers, what became of the mail, what was not tested.

use std::fmt;

use super::{Certificate, GuaranteeLine, Level};
use crate::{
    Statements, Status,
    text::{duration, one_line},
};

/// Cases and reasons listed one by one; what is beyond stands in the JSON.
const SHOWN: usize = 20;

/// The certificate as Markdown, with a line end after it.
pub fn markdown(certificate: &Certificate, statement: Statements<'_>) -> String {
    Page {
        certificate,
        statement,
    }
    .to_string()
}

struct Page<'a> {
    certificate: &'a Certificate,
    statement: Statements<'a>,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.levels(f)?;
        self.guarantees(f)?;
        self.mail(f)?;
        self.protocol(f)?;
        self.untested(f)
    }
}

impl Page<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.certificate;
        let subject = &c.subject;
        writeln!(f, "# Certificate: {}\n", text(&subject.name))?;
        let reached: Vec<&str> = c
            .levels
            .iter()
            .filter(|line| line.reached)
            .map(|line| line.level.name())
            .collect();
        if reached.is_empty() {
            writeln!(f, "**No level is reached.**\n")?;
        } else {
            writeln!(f, "**Reached: {}.**\n", reached.join(", "))?;
        }
        writeln!(f, "| | |\n|---|---|")?;
        let mut row = |name: &str, value: &str| writeln!(f, "| {name} | {value} |");
        row("subject", &text(&subject.title))?;
        if let Some(version) = &subject.version {
            row("version", &text(version))?;
        }
        if let Some(digest) = &subject.digest {
            row("digest", &format!("`{}`", code(digest)))?;
        }
        row(
            "ran on",
            &format!(
                "`{}`, documented durations divided by {}",
                code(&subject.substrate),
                subject.time_scale
            ),
        )?;
        row("harness", &format!("gauntlet {}", text(&c.harness)))?;
        row("command", &format!("`{}`", code(&c.command)))?;
        row(
            "seed",
            &format!("{}; scenarios for any server {} times", c.seed, c.repeats),
        )?;
        row("date", &text(&c.date))?;
        if let Some(ms) = c.elapsed_ms {
            row("took", &duration(ms))?;
        }
        if let Some(part) = c.part {
            row("part", &format!("{} of {}", part.index, part.of))?;
        }
        if let Some(sabotage) = &c.sabotage {
            row(
                "sabotage",
                &format!("`{}`: broken on purpose", code(sabotage)),
            )?;
        }
        Ok(())
    }

    fn levels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Levels\n\n| level | | |\n|---|---|---|")?;
        for line in &self.certificate.levels {
            let word = if line.reached { "reached" } else { "no" };
            let mut reasons: Vec<String> =
                line.reasons.iter().take(SHOWN).map(|r| text(r)).collect();
            if line.reasons.len() > SHOWN {
                reasons.push(format!("and {} more", line.reasons.len() - SHOWN));
            }
            writeln!(
                f,
                "| **{}** ({}) | {word} | {} |",
                line.level.name(),
                about(line.level),
                reasons.join("<br>")
            )?;
        }
        Ok(())
    }

    fn guarantees(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = &self.certificate.guarantees;
        writeln!(
            f,
            "\n## Guarantees\n\n| ID | | guarantee | scenarios | promised deliveries | faults | put to the test |\n|---|---|---|--:|--:|--:|--:|"
        )?;
        for line in lines.iter().filter(|line| line.status.is_some()) {
            let word = match line.status {
                Some(status @ (Status::Violated | Status::Inconclusive)) => {
                    format!("**{}**", status.word())
                }
                Some(status) => status.word().to_owned(),
                None => String::new(),
            };
            writeln!(
                f,
                "| {} | {word} | {} | {} | {} | {} | {} |",
                text(&line.id),
                (self.statement)(&line.id).map_or_else(String::new, |s| text(&s)),
                line.scenarios,
                line.promised,
                line.faults,
                line.proofs
            )?;
        }
        for line in lines.iter().filter(|line| !line.findings.is_empty()) {
            findings(f, line)?;
        }
        Ok(())
    }

    fn mail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l = &self.certificate.ledger;
        writeln!(f, "\n## What became of the mail\n\n| | |\n|---|--:|")?;
        let rows = [
            ("messages submitted", l.messages),
            ("…never acknowledged", l.never_acked),
            (
                "promised deliveries (an acknowledged message, one recipient)",
                l.promised,
            ),
            ("…delivered", l.delivered),
            ("…bounced: a DSN to the sender", l.bounced),
            ("…**lost**", l.lost),
            ("…undecided", l.undecided),
            ("…late", l.late),
            ("…duplicated", l.duplicated),
            ("copies beyond the first", l.copies_too_many),
            (
                "most copies of one message for one recipient",
                l.most_copies,
            ),
            ("delivered though refused or never sent", l.phantoms),
        ];
        for (name, number) in rows {
            writeln!(f, "| {name} | {number} |")?;
        }
        if l.exposure.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n| what it was put to | times | acked messages in these runs |\n|---|--:|--:|"
        )?;
        for e in &l.exposure {
            writeln!(f, "| {} | {} | {} |", text(&e.kind), e.happened, e.acked)?;
        }
        Ok(())
    }

    fn protocol(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(probe) = &self.certificate.probe else {
            return Ok(());
        };
        writeln!(f, "\n## Protocol\n")?;
        writeln!(
            f,
            "Cases with MUST: {} passed, {} failed, {} could not be told, {} had nothing to test. SHOULD: {} of {} passed. \
             Security: {} passed, {} failed. Proof of arrival: {}.",
            probe.must_passed,
            probe.must_failed.len(),
            probe.must_open.len(),
            probe.must_skipped,
            probe.should[0],
            probe.should[0] + probe.should[1],
            probe.security_passed,
            probe.security_failed.len(),
            probe.proof.as_deref().map_or_else(|| "none".into(), text),
        )?;
        let failed = probe.must_failed.iter().chain(&probe.security_failed);
        let all: Vec<_> = failed.chain(&probe.must_open).collect();
        if !all.is_empty() {
            writeln!(f)?;
        }
        for case in all.iter().take(SHOWN) {
            writeln!(
                f,
                "- `{}`: {} — {}",
                code(&case.id),
                text(&case.clause),
                text(&case.seen)
            )?;
        }
        if all.len() > SHOWN {
            writeln!(f, "- and {} more", all.len() - SHOWN)?;
        }
        Ok(())
    }

    fn untested(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let untested = &self.certificate.untested;
        if untested.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Not tested\n")?;
        for one in untested {
            writeln!(f, "- {}: {}", text(&one.what), text(&one.why))?;
        }
        Ok(())
    }
}

fn findings(f: &mut fmt::Formatter<'_>, line: &GuaranteeLine) -> fmt::Result {
    let word = line.status.map_or("not tested", Status::word);
    writeln!(f, "\n**{}** is {word}:\n", text(&line.id))?;
    for finding in line.findings.iter().take(SHOWN) {
        writeln!(
            f,
            "- `{}` ({}): {}",
            code(&finding.scenario),
            text(&finding.run),
            text(&finding.summary)
        )?;
        for piece in &finding.evidence {
            writeln!(f, "  - {}", text(piece))?;
        }
    }
    Ok(())
}

fn about(level: Level) -> &'static str {
    match level {
        Level::Protocol => "what the standards say with MUST",
        Level::CrashSafe => "TC-01: killed at any moment, nothing acked is lost",
        Level::PowerSafe => "TC-02: without power, nothing acked is lost",
        Level::TransportCore => "TC",
        Level::ShadowRedundant => "SC, TO, HB, RO, DD",
        Level::SafetyNet => "SN",
    }
}

/// On one line, and nothing in it is markup.
fn text(raw: &str) -> String {
    let mut out = String::new();
    for c in one_line(raw).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Within backticks, in a table.
fn code(raw: &str) -> String {
    one_line(raw).replace('`', "'").replace('|', "\\|")
}
