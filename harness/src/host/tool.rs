//! The system's tools: programs that every Linux machine has for what root does with it.

use std::{
    ffi::{OsStr, OsString},
    process::{Command, Stdio},
};

/// Runs a tool to its end.
///
/// # Errors
/// It is not installed, or it failed; in words, with what it said.
pub(crate) fn run<'a>(
    name: &str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
) -> Result<String, String> {
    let output = command(name)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("`{name}` is not installed"),
            _ => format!("{name}: {error}"),
        })?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!(
            "{name}: {} ({})",
            text(&output.stderr),
            output.status
        ))
    }
}

/// The tool, also where the path leaves out the directories for root's.
pub(crate) fn command(name: &str) -> Command {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(OsString::from(":"));
    }
    path.push("/usr/sbin:/sbin");
    let mut command = Command::new(name);
    command.env("PATH", path).env("LC_ALL", "C");
    command
}
