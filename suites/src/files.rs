//! The scenario files, by suite.
//!
//! Comes in: the directories of this crate, embedded as they are at compile time; a suite whose directory is missing is
//! empty. Goes out: their text, for the harness's strict parser. Called by `gauntlet run` and `gauntlet list suites`.

use include_dir::{Dir, include_dir};

/// The crate's own directory. Not one directory per suite: the macro refuses one that does not exist.
pub(crate) static ROOT: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR");

/// The suites, in the order in which they are run and listed. A suite is a directory of scenario files.
pub const SUITES: [&str; 12] = [
    "shadow-redundancy",
    "timeouts",
    "heartbeat",
    "recovery",
    "safety-net",
    "duplicates",
    "transport",
    "certification",
    "virtualization",
    "chaos",
    "incidents",
    "explore",
];

/// One scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuiteFile {
    /// The suite that it stands in, one of [`SUITES`].
    pub suite: &'static str,
    /// Its name without `.toml`; unique over all suites.
    pub id: &'static str,
    /// `shadow-redundancy/sc-01-primary-destroyed-at-ack.toml`, for error messages.
    pub path: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Every scenario file: suites in the order of [`SUITES`], within a suite by ID.
pub fn scenarios() -> Vec<SuiteFile> {
    SUITES.into_iter().flat_map(scenarios_of).collect()
}

/// The scenario of this ID.
pub fn scenario(id: &str) -> Option<SuiteFile> {
    scenarios().into_iter().find(|file| file.id == id)
}

/// The suites that have a scenario, in the order of [`SUITES`].
pub fn suites() -> Vec<&'static str> {
    SUITES
        .into_iter()
        .filter(|suite| !scenarios_of(suite).is_empty())
        .collect()
}

fn scenarios_of(suite: &'static str) -> Vec<SuiteFile> {
    let Some(directory) = ROOT.get_dir(suite) else {
        return Vec::new();
    };
    let mut files: Vec<SuiteFile> = directory
        .files()
        .filter_map(|file| {
            let path = file.path().to_str()?;
            let id = file.path().file_name()?.to_str()?.strip_suffix(".toml")?;
            Some(SuiteFile {
                suite,
                id,
                path,
                text: file.contents_utf8()?,
            })
        })
        .collect();
    files.sort_by_key(|file| file.id);
    files
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Directories of the crate that are no suites.
    const OTHERS: [&str; 4] = ["src", "messages", "probe", "expected"];

    fn directories() -> Vec<&'static Dir<'static>> {
        ROOT.dirs()
            .filter(|dir| !OTHERS.iter().any(|other| dir.path().ends_with(other)))
            .collect()
    }

    #[test]
    fn every_directory_is_a_suite() {
        for directory in directories() {
            let name = directory
                .path()
                .to_str()
                .expect("directories have ASCII names");
            assert!(
                SUITES.contains(&name),
                "{name}/ is no suite: add it to SUITES"
            );
        }
    }

    #[test]
    fn every_toml_file_of_a_suite_is_a_scenario() {
        let on_disk: usize = directories()
            .iter()
            .flat_map(|directory| directory.files())
            .filter(|file| {
                file.path()
                    .extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .count();
        assert_eq!(
            scenarios().len(),
            on_disk,
            "a scenario file has another place than SUITE/ID.toml, or is not UTF-8"
        );
    }

    #[test]
    fn ids_are_unique_and_each_finds_its_file() {
        let ids: BTreeSet<&str> = scenarios().iter().map(|file| file.id).collect();
        assert_eq!(ids.len(), scenarios().len());
        for file in scenarios() {
            assert_eq!(scenario(file.id), Some(file));
            assert_eq!(file.path, format!("{}/{}.toml", file.suite, file.id));
        }
        assert_eq!(scenario("no-such-scenario"), None);
    }

    #[test]
    fn scenarios_test_guarantees_that_exist() {
        for file in scenarios() {
            let table: toml::Table = file
                .text
                .parse()
                .unwrap_or_else(|error| panic!("{}: {error}", file.path));
            let tested = table.get("guarantees").and_then(|value| value.as_array());
            let tested = tested.unwrap_or_else(|| panic!("{}: no guarantees", file.path));
            assert!(!tested.is_empty(), "{}: no guarantees", file.path);
            for id in tested {
                let known = id.as_str().is_some_and(|id| crate::guarantee(id).is_some());
                assert!(known, "{}: {id} is not in the catalogue", file.path);
            }
        }
    }

    #[test]
    fn suites_are_those_with_scenarios() {
        let expected: BTreeSet<&str> = scenarios().iter().map(|file| file.suite).collect();
        assert_eq!(suites().into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
