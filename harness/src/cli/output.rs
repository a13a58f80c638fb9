//! Text for people: stdout for results, stderr for everything else.
//!
//! Colours only on a terminal, and never with NO_COLOR (anstream decides). A reader that went away ends the output and
//! nothing else.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
};

use anstream::{AutoStream, ColorChoice};
use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::error::{ExitCode, Failure};

/// Prints to stdout.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::text(
            ExitCode::Harness,
            format!("cannot write to stdout: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Prints a line to stderr; nothing can be done when that fails.
pub(super) fn note(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Prints a failure to stderr, with the place in the file when there is one.
pub(super) fn report(failure: &Failure) {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_width(width());
    if handler
        .render_report(&mut text, failure.report.as_ref())
        .is_err()
    {
        text = format!("{}\n", failure.report);
    }
    let _ = write!(anstream::stderr().lock(), "{text}");
}

/// Whether what goes to stdout will keep its colours.
pub(super) fn has_color() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Columns for text: 100, or what a terminal says it has (COLUMNS).
pub(super) fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    if io::stdout().is_terminal() {
        said.unwrap_or(100).clamp(60, 140)
    } else {
        100
    }
}

/// The command line as one could type it again.
pub(super) fn command_line(args: &[OsString]) -> String {
    let quoted = |arg: &OsString| {
        let arg = arg.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            arg
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    };
    std::iter::once("gauntlet".to_owned())
        .chain(args.iter().skip(1).map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_typed_again() {
        let args = [
            "/usr/bin/gauntlet",
            "run",
            "my suite",
            "--seed=7",
            "it's",
            "",
        ]
        .map(OsString::from);
        assert_eq!(
            command_line(&args),
            r"gauntlet run 'my suite' --seed=7 'it'\''s' ''"
        );
    }
}
