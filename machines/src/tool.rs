//! Programs of the machine that this crate runs, and which package has each.

use std::{
    ffi::{OsStr, OsString},
    io,
    process::{Command, Stdio},
};

use crate::Error;

/// The Debian package that has a program.
const PACKAGES: [(&str, &str); 9] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("dpkg-deb", "dpkg"),
    ("mke2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("ldd", "libc-bin"),
    ("setpriv", "util-linux"),
    ("busybox", "busybox-static"),
];

/// That a program is not there, and what to install.
pub(crate) fn missing(name: &str) -> Error {
    let package = PACKAGES
        .iter()
        .find(|(program, _)| *program == name)
        .map_or(name, |(_, package)| package);
    Error::Missing(format!(
        "`{name}` is not installed (Debian: `apt-get install {package}`)"
    ))
}

/// The program, also where the path leaves out the directories for root's.
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

/// Runs a program to its end, and answers with its standard output.
///
/// # Errors
/// It is not installed, or it failed; with what it said.
pub(crate) fn run<'a>(
    name: &str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
) -> Result<String, Error> {
    finish(name, command(name).args(arguments))
}

/// As [`run`], with a command that is made ready.
pub(crate) fn finish(name: &str, command: &mut Command) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(name),
            _ => Error::io(name)(error),
        })?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        let said = [text(&output.stderr), text(&output.stdout)].join(" ");
        Err(Error::Failed(format!(
            "{name}: {} ({})",
            said.trim(),
            output.status
        )))
    }
}
