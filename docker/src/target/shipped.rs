//! The targets that are part of the binary, with their Dockerfiles.
//!
//! Comes in: nothing. Goes out: each target file of this crate, in alphabetical order.

use include_dir::{Dir, include_dir};

use super::{Context, Target, TargetError, parse};

/// Each target's directory, by the target's name.
const DIRECTORIES: &[(&str, &Dir<'static>)] = &[
    ("aiosmtpd", &include_dir!("$CARGO_MANIFEST_DIR/aiosmtpd")),
    ("exim", &include_dir!("$CARGO_MANIFEST_DIR/exim")),
    ("opensmtpd", &include_dir!("$CARGO_MANIFEST_DIR/opensmtpd")),
    ("postfix", &include_dir!("$CARGO_MANIFEST_DIR/postfix")),
    ("reference", &include_dir!("$CARGO_MANIFEST_DIR/reference")),
    ("sendmail", &include_dir!("$CARGO_MANIFEST_DIR/sendmail")),
];

/// The names of all shipped targets.
pub fn names() -> impl Iterator<Item = &'static str> {
    DIRECTORIES.iter().map(|(name, _)| *name)
}

/// All shipped targets.
///
/// # Errors
/// One of the files is no target file: a mistake in this build, which a test finds first.
pub fn shipped() -> Result<Vec<Target>, TargetError> {
    DIRECTORIES
        .iter()
        .map(|(name, files)| read(name, files))
        .collect()
}

pub(super) fn find(name: &str) -> Result<Option<Target>, TargetError> {
    let found = DIRECTORIES.iter().find(|(known, _)| *known == name);
    found.map(|(name, files)| read(name, files)).transpose()
}

fn read(name: &str, files: &'static Dir<'static>) -> Result<Target, TargetError> {
    let text = files
        .get_file("target.toml")
        .and_then(|file| file.contents_utf8());
    let path = format!("docker/{name}/target.toml");
    parse(&path, text.unwrap_or_default(), Context::Embedded(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_is_a_target_of_its_directorys_name() {
        for (target, name) in shipped().expect("target files").iter().zip(names()) {
            assert_eq!(target.name.as_str(), name);
        }
    }
}
