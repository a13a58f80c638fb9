//! Where a run's files are.
//!
//! Comes in: the directory for runs (`runs`), what was selected, the seed. Goes out: paths. Called by the campaign, and by
//! the commands that read a run again.
//!
//! A call of `gauntlet run` makes one run directory, `runs/<UTC time>-<selection>-<seed>/`, with `verdicts.json`,
//! `report.html` and `junit.xml` of the whole call; `runs/latest` points to it. Each scenario's own `plan.toml`,
//! `history.jsonl`, `verdicts.json` and `nodes/` are beside these when the call has one scenario and one seed. When it
//! has more, they are in a sub-directory each: `<scenario>/`, or `<scenario>-<seed>/` when there are several seeds. So
//! such a sub-directory is a run directory, too. Each has a `README.md` for whoever gets it from somebody else.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The plan's file in a run directory.
pub const PLAN: &str = "plan.toml";
/// The history's.
pub const HISTORY: &str = "history.jsonl";
/// The verdicts'.
pub const VERDICTS: &str = "verdicts.json";
/// The report for a browser.
pub const HTML: &str = "report.html";
/// The report for CI servers.
pub const JUNIT: &str = "junit.xml";
/// The nodes' own files: logs, tracking logs, configurations.
pub const NODES: &str = "nodes";
/// What tells a stranger what the other files are.
pub const README: &str = "README.md";
/// The link to the newest run directory.
pub const LATEST: &str = "latest";

/// Something of a run directory that could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {source}", path.display())]
pub struct DirectoryError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_path_buf();
    move |source| DirectoryError { what, path, source }
}

/// The directory of one call.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
    /// Scenarios and seeds get a sub-directory each.
    nested: bool,
    several_seeds: bool,
}

impl RunDirectory {
    /// Makes a new one below `runs`, and points `latest` to it. `scenarios` and `seeds` are how many the call has.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub fn create(
        runs: &Path,
        now: jiff::Timestamp,
        selection: &str,
        seed: u64,
        scenarios: usize,
        seeds: u64,
    ) -> Result<Self, DirectoryError> {
        fs::create_dir_all(runs).map_err(error("cannot make the directory", runs))?;
        let base = format!("{}-{selection}-{seed}", now.strftime("%Y%m%dT%H%M%SZ"));
        let mut name = base.clone();
        let mut number = 1;
        let path = loop {
            let path = runs.join(&name);
            match fs::create_dir(&path) {
                Ok(()) => break path,
                // Two calls in one second.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(e) => return Err(error("cannot make the run directory", &path)(e)),
            }
            name = format!("{base}-{number}");
        };
        write(&path.join(README), README_TEXT)?;
        point_latest(runs, &name)?;
        Ok(Self {
            path,
            nested: scenarios > 1 || seeds > 1,
            several_seeds: seeds > 1,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory of one scenario's run.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scenario(&self, id: &str, seed: u64) -> Result<PathBuf, DirectoryError> {
        let path = match (self.nested, self.several_seeds) {
            (false, _) => self.path.clone(),
            (true, false) => self.path.join(id),
            (true, true) => self.path.join(format!("{id}-{seed}")),
        };
        fs::create_dir_all(&path).map_err(error("cannot make the directory", &path))?;
        if self.nested {
            write(&path.join(README), README_TEXT)?;
        }
        Ok(path)
    }
}

const README_TEXT: &str = include_str!("run_directory/README.md");

/// Writes a file of a run directory, and says which when it cannot.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, contents: &str) -> Result<(), DirectoryError> {
    fs::write(path, contents).map_err(error("cannot write", path))
}

/// Reads a file of a run directory.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<String, DirectoryError> {
    fs::read_to_string(path).map_err(error("cannot read", path))
}

/// The directories below (or at) `run` that hold a file of that name, sorted.
///
/// # Errors
/// A directory cannot be read.
pub fn holding(run: &Path, file: &str) -> Result<Vec<PathBuf>, DirectoryError> {
    let mut found = Vec::new();
    if run.join(file).is_file() {
        found.push(run.to_path_buf());
    }
    let read = || error("cannot read the directory", run);
    for entry in fs::read_dir(run).map_err(read())? {
        let path = entry.map_err(read())?.path();
        if path.is_dir() && path.join(file).is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Replaces the link in one step, so that there is always one.
#[cfg(unix)]
fn point_latest(runs: &Path, name: &str) -> Result<(), DirectoryError> {
    let (link, fresh) = (
        runs.join(LATEST),
        runs.join(format!(".{LATEST}-{}", std::process::id())),
    );
    let _ = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(name, &fresh).map_err(error("cannot make the link", &fresh))?;
    fs::rename(&fresh, &link).map_err(error("cannot replace the link", &link))
}

/// Links need rights that few people have there.
#[cfg(not(unix))]
fn point_latest(_: &Path, _: &str) -> Result<(), DirectoryError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(runs: &Path, scenarios: usize, seeds: u64) -> RunDirectory {
        let now: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        RunDirectory::create(runs, now, "chaos", 7, scenarios, seeds)
            .expect("a directory that can be written")
    }

    #[test]
    fn a_call_has_one_directory_and_latest_points_to_the_newest() {
        let runs = tempfile::tempdir().expect("a directory");
        let first = create(&runs.path().join("runs"), 1, 1);
        assert!(first.path().ends_with("20260102T030405Z-chaos-7"));
        assert_eq!(first.scenario("x", 7).expect("made"), first.path());
        assert!(first.path().join(README).is_file());
        let second = create(&runs.path().join("runs"), 2, 1);
        assert!(second.path().ends_with("20260102T030405Z-chaos-7-2"));
        assert!(
            second
                .scenario("x", 7)
                .expect("made")
                .ends_with("20260102T030405Z-chaos-7-2/x")
        );
        assert!(second.path().join("x").join(README).is_file());
        let third = create(&runs.path().join("runs"), 1, 5);
        assert!(
            third
                .scenario("x", 9)
                .expect("made")
                .ends_with("20260102T030405Z-chaos-7-3/x-9")
        );
        let latest = fs::canonicalize(runs.path().join("runs").join(LATEST)).expect("a link");
        assert_eq!(latest, fs::canonicalize(third.path()).expect("a directory"));
    }

    #[test]
    fn files_are_found_flat_and_nested() {
        let runs = tempfile::tempdir().expect("a directory");
        let flat = create(runs.path(), 1, 1);
        write(&flat.path().join(HISTORY), "").expect("written");
        assert_eq!(holding(flat.path(), HISTORY).expect("read"), [flat.path()]);
        let nested = create(runs.path(), 2, 1);
        for id in ["b", "a"] {
            write(&nested.scenario(id, 7).expect("made").join(HISTORY), "").expect("written");
        }
        assert_eq!(
            holding(nested.path(), HISTORY).expect("read"),
            [nested.path().join("a"), nested.path().join("b")]
        );
        assert!(holding(nested.path(), PLAN).expect("read").is_empty());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let runs = tempfile::NamedTempFile::new().expect("a file");
        let now = jiff::Timestamp::UNIX_EPOCH;
        let error = RunDirectory::create(&runs.path().join("runs"), now, "x", 1, 1, 1)
            .expect_err("a file is in the way");
        assert!(
            error.to_string().starts_with("cannot make the directory "),
            "{error}"
        );
    }
}
