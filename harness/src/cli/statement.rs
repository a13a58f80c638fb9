//! A certificate in its files and on stdout.
//!
//! Called by `gauntlet certify` and `gauntlet merge`.

use std::path::{Path, PathBuf};

use gauntlet_reports::{
    ReportError,
    certificate::{self, Certificate},
    probe::{self, ProbeReport},
};

use super::{output, rendered};
use crate::{
    error::{ExitCode, Failure},
    run_directory,
};

/// The certificate for people, in a run directory.
const MARKDOWN: &str = "certificate.md";
/// …and for programs.
pub(super) const JSON: &str = "certificate.json";
/// The probe's report.
const PROBE: &str = "probe.json";

/// The files of a run directory.
pub(super) fn write_directory(directory: &Path, certificate: &Certificate) -> Result<(), Failure> {
    let text = certificate::json(certificate).map_err(not_rendered)?;
    put(&directory.join(JSON), &text)?;
    let text = certificate::markdown(certificate, &rendered::statement);
    put(&directory.join(MARKDOWN), &text)
}

/// The probe's report, with every dialogue.
pub(super) fn write_probe(directory: &Path, report: &ProbeReport) -> Result<(), Failure> {
    let text = probe::json(report).map_err(not_rendered)?;
    put(&directory.join(PROBE), &text)
}

/// The certificate of a run directory, when there is one.
pub(super) fn read(directory: &Path) -> Result<Option<Certificate>, Failure> {
    let path: PathBuf = directory.join(JSON);
    if !path.is_file() {
        return Ok(None);
    }
    let text = run_directory::read(&path)
        .map_err(|error| Failure::text(ExitCode::Usage, error.to_string()))?;
    let read = certificate::from_json(&text)
        .map_err(|error| Failure::text(ExitCode::Usage, format!("{}: {error}", path.display())))?;
    Ok(Some(read))
}

/// The levels, on stdout.
pub(super) fn print(certificate: &Certificate) -> Result<(), Failure> {
    output::print(&certificate::terminal(certificate, output::width()))
}

/// The exit code of the runs and the probe together: a clause with MUST that fails is a violation, one that cannot be told
/// leaves something open.
pub(super) fn with_protocol(code: ExitCode, certificate: &Certificate) -> ExitCode {
    let Some(probe) = &certificate.probe else {
        return code;
    };
    match code {
        ExitCode::Holds | ExitCode::Inconclusive if !probe.must_failed.is_empty() => {
            ExitCode::Violated
        }
        ExitCode::Holds if !probe.must_open.is_empty() || probe.broken_off.is_some() => {
            ExitCode::Inconclusive
        }
        code => code,
    }
}

fn put(path: &Path, text: &str) -> Result<(), Failure> {
    run_directory::write(path, text).map_err(|e| Failure::text(ExitCode::Missing, e.to_string()))
}

fn not_rendered(error: ReportError) -> Failure {
    Failure::text(ExitCode::Harness, error.to_string())
}

#[cfg(test)]
mod tests {
    use gauntlet_reports::{
        RunReport,
        certificate::{ClauseLine, Facts, ProbeTally, Subject, certificate},
    };

    use super::*;

    fn with(probe: Option<ProbeTally>) -> Certificate {
        certificate(Facts {
            subject: Subject::default(),
            date: String::new(),
            run: &RunReport::new("0", "gauntlet certify x"),
            repeats: 1,
            probe,
            untested: Vec::new(),
            catalogue: Vec::new(),
            complete: true,
        })
    }

    #[test]
    fn a_clause_that_fails_is_a_violation() {
        let clause = || ClauseLine {
            id: "rfc5321/1/x".into(),
            clause: String::new(),
            seen: String::new(),
        };
        let failed = with(Some(ProbeTally {
            must_failed: vec![clause()],
            ..ProbeTally::default()
        }));
        let open = with(Some(ProbeTally {
            must_open: vec![clause()],
            ..ProbeTally::default()
        }));
        let code = with_protocol;
        assert_eq!(code(ExitCode::Holds, &failed), ExitCode::Violated);
        assert_eq!(code(ExitCode::Inconclusive, &failed), ExitCode::Violated);
        assert_eq!(code(ExitCode::Harness, &failed), ExitCode::Harness);
        assert_eq!(code(ExitCode::Interrupted, &failed), ExitCode::Interrupted);
        assert_eq!(code(ExitCode::Holds, &open), ExitCode::Inconclusive);
        assert_eq!(code(ExitCode::Holds, &with(None)), ExitCode::Holds);
    }
}
