//! Which scenarios a command means: suites, scenario IDs, files and directories, narrowed by `--only`.
//!
//! Comes in: words of a command line. Goes out: parsed scenarios, in the suites' order. A word that matches nothing is an
//! error, never an empty run. Called by `run`, `list` and `selftest`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;

use super::{Scenario, ScenarioError, parse, spelling};

/// A scenario, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// Its ID: the file's name without `.toml`.
    pub id: String,
    /// The suite (directory) it stands in.
    pub suite: String,
    /// The scenario.
    pub scenario: Scenario,
}

impl Selected {
    /// It can be run there. What is for real processes is for containers, too: whether a target can be asked it is seen when
    /// the target is known.
    pub fn is_meant_for(&self, substrate: &str) -> bool {
        let on = &self.scenario.on;
        let named = |name: &str| on.iter().any(|on| on == name);
        named(substrate) || (substrate == "container" && named("process"))
    }
}

/// Why a selection cannot be run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SelectError {
    /// A word that matches nothing.
    #[error("{message}")]
    Nothing {
        /// What matches nothing.
        message: String,
        /// What would.
        #[help]
        help: Option<String>,
    },
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is no scenario.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scenario(#[from] ScenarioError),
}

/// Every embedded scenario.
///
/// # Errors
/// One of them is no scenario: a mistake in this build, which a test of the suites finds first.
pub fn embedded() -> Result<Vec<Selected>, SelectError> {
    gauntlet_suites::scenarios()
        .into_iter()
        .map(|file| {
            let scenario = parse(&format!("suites/{}", file.path), file.text)?;
            Ok(Selected {
                id: file.id.into(),
                suite: file.suite.into(),
                scenario,
            })
        })
        .collect()
}

/// Selects from the embedded suites and the file system.
///
/// `words` are suites, scenario IDs, files or directories; none means every suite. `only` are scenario or guarantee IDs.
/// Suites are narrowed to what is meant for `substrate`; a scenario named by itself must be meant for it.
///
/// # Errors
/// A word that matches nothing, a bad file, nothing left to run.
pub fn select(
    words: &[String],
    only: &[String],
    substrate: &str,
) -> Result<Vec<Selected>, SelectError> {
    select_from(embedded()?, words, only, substrate)
}

fn select_from(
    suites: Vec<Selected>,
    words: &[String],
    only: &[String],
    substrate: &str,
) -> Result<Vec<Selected>, SelectError> {
    let meant = |s: &Selected| s.is_meant_for(substrate);
    let mut selected: Vec<Selected> = Vec::new();
    if words.is_empty() {
        selected = suites.into_iter().filter(meant).collect();
    } else {
        for word in words {
            let (found, by_name) = resolve(&suites, word)?;
            if by_name && let Some(other) = found.iter().find(|s| !meant(s)) {
                let message = format!("`{}` is not meant for {substrate}", other.id);
                let help = format!(
                    "it runs with {}",
                    other
                        .scenario
                        .on
                        .iter()
                        .map(|on| format!("`--on {on}`"))
                        .collect::<Vec<_>>()
                        .join(" or ")
                );
                return Err(SelectError::Nothing {
                    message,
                    help: Some(help),
                });
            }
            for one in found.into_iter().filter(meant) {
                match selected.iter().find(|s| s.id == one.id) {
                    None => selected.push(one),
                    Some(same) if *same == one => {}
                    Some(other) => {
                        let message = format!(
                            "two scenarios are called `{}`: one in `{}`, one in `{}`",
                            one.id, other.suite, one.suite
                        );
                        let help =
                            Some("a scenario's ID is its file's name; rename one of them".into());
                        return Err(SelectError::Nothing { message, help });
                    }
                }
            }
        }
    }
    narrow(&mut selected, only)?;
    if selected.is_empty() {
        let message = format!("no scenario of this selection is meant for {substrate}");
        return Err(SelectError::Nothing {
            message,
            help: Some("see `gauntlet list scenarios`".into()),
        });
    }
    Ok(selected)
}

/// What one word means, and whether it names a single scenario.
fn resolve(suites: &[Selected], word: &str) -> Result<(Vec<Selected>, bool), SelectError> {
    let suite: Vec<Selected> = suites.iter().filter(|s| s.suite == word).cloned().collect();
    if !suite.is_empty() {
        return Ok((suite, false));
    }
    if let Some(one) = suites.iter().find(|s| s.id == word) {
        return Ok((vec![one.clone()], true));
    }
    let path = Path::new(word);
    if path.is_dir() {
        let mut files = Vec::new();
        collect(path, &mut files)?;
        if files.is_empty() {
            return Err(SelectError::Nothing {
                message: format!("no scenario file is in `{word}`"),
                help: Some("their names end in `.toml`".into()),
            });
        }
        let found = files
            .iter()
            .map(|file| load(file))
            .collect::<Result<_, _>>()?;
        return Ok((found, false));
    }
    if path.is_file() || word.contains('/') || path.extension().is_some_and(|e| e == "toml") {
        return Ok((vec![load(path)?], true));
    }
    let known: BTreeMap<&str, ()> = suites
        .iter()
        .flat_map(|s| [(s.suite.as_str(), ()), (s.id.as_str(), ())])
        .collect();
    let help = match spelling::nearest(word, known.keys().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "see `gauntlet list suites` and `gauntlet list scenarios`".into(),
    };
    Err(SelectError::Nothing {
        message: format!("`{word}` is no suite, scenario or file"),
        help: Some(help),
    })
}

/// Every `.toml` file below a directory, sorted.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), SelectError> {
    let io = |source| SelectError::Io {
        path: directory.into(),
        source,
    };
    let mut entries = fs::read_dir(directory)
        .map_err(io)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(io)?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "toml") && !path.ends_with("Cargo.toml") {
            files.push(path);
        }
    }
    Ok(())
}

/// A scenario file of the user.
fn load(path: &Path) -> Result<Selected, SelectError> {
    let text = fs::read_to_string(path).map_err(|source| SelectError::Io {
        path: path.into(),
        source,
    })?;
    let scenario = parse(&path.to_string_lossy(), &text)?;
    let name = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    Ok(Selected {
        id: name(path.file_stem()).unwrap_or_else(|| "scenario".into()),
        suite: name(path.parent().and_then(Path::file_name)).unwrap_or_else(|| "file".into()),
        scenario,
    })
}

/// Keeps what `--only` names; each of its IDs must name something.
fn narrow(selected: &mut Vec<Selected>, only: &[String]) -> Result<(), SelectError> {
    let names = |s: &Selected, id: &String| s.id == *id || s.scenario.guarantees.contains(id);
    for id in only {
        if !selected.iter().any(|s| names(s, id)) {
            let known = selected
                .iter()
                .flat_map(|s| std::iter::once(&s.id).chain(&s.scenario.guarantees));
            let help = match spelling::nearest(id, known.map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => {
                    "an ID of a scenario or of a guarantee; see `gauntlet list scenarios`".into()
                }
            };
            return Err(SelectError::Nothing {
                message: format!("`--only {id}` matches nothing in this selection"),
                help: Some(help),
            });
        }
    }
    if !only.is_empty() {
        selected.retain(|s| only.iter().any(|id| names(s, id)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites() -> Vec<Selected> {
        [
            ("one", "a", "SC-01", "sim"),
            ("one", "b", "SC-02", "process"),
            ("two", "c", "SC-01", "sim"),
        ]
        .into_iter()
        .map(|(suite, id, guarantee, on)| {
            let text = format!(
                "title='t'\nguarantees=['{guarantee}']\non=['{on}']\n[[step]]\nobserve={{}}\n"
            );
            Selected {
                id: id.into(),
                suite: suite.into(),
                scenario: parse(id, &text).expect("a good scenario"),
            }
        })
        .collect()
    }

    fn ids(words: &[&str], only: &[&str], substrate: &str) -> Result<Vec<String>, String> {
        let [words, only] =
            [words, only].map(|list| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        match select_from(suites(), &words, &only, substrate) {
            Ok(selected) => Ok(selected.into_iter().map(|s| s.id).collect()),
            Err(e) => Err(format!(
                "{e}; {}",
                e.help().map(|h| h.to_string()).unwrap_or_default()
            )),
        }
    }

    #[test]
    fn words_are_suites_and_scenarios_and_only_narrows_them() {
        assert_eq!(ids(&[], &[], "sim").expect("all"), ["a", "c"]);
        assert_eq!(ids(&["one"], &[], "sim").expect("a suite"), ["a"]);
        assert_eq!(
            ids(&["c", "two", "a"], &[], "sim").expect("names"),
            ["c", "a"]
        );
        assert_eq!(
            ids(&[], &["SC-01"], "sim").expect("a guarantee"),
            ["a", "c"]
        );
        assert_eq!(ids(&[], &["c"], "sim").expect("a scenario"), ["c"]);
    }

    #[test]
    fn what_matches_nothing_is_an_error() {
        let error =
            |words: &[&str], only: &[&str], on| ids(words, only, on).expect_err("nothing matches");
        insta::assert_snapshot!(error(&["thre"], &[], "sim"), @"`thre` is no suite, scenario or file; see `gauntlet list suites` and `gauntlet list scenarios`");
        insta::assert_snapshot!(error(&["b"], &[], "sim"), @"`b` is not meant for sim; it runs with `--on process`");
        insta::assert_snapshot!(error(&["two"], &[], "process"), @"no scenario of this selection is meant for process; see `gauntlet list scenarios`");
        insta::assert_snapshot!(error(&[], &["SC-02"], "sim"), @"`--only SC-02` matches nothing in this selection; did you mean `SC-01`?");
        insta::assert_snapshot!(error(&["nowhere/x.toml"], &[], "sim"), @"nowhere/x.toml: No such file or directory (os error 2);");
    }

    #[test]
    fn files_and_directories_are_read() {
        let root = tempfile::tempdir().expect("a directory");
        let suite = root.path().join("mine");
        fs::create_dir(&suite).expect("a directory");
        fs::write(
            suite.join("x.toml"),
            "title='t'\nguarantees=['SC-01']\non=['sim']\n[[step]]\nobserve={}\n",
        )
        .expect("a file");
        let path = |p: &Path| p.to_string_lossy().into_owned();
        for word in [path(&suite), path(&suite.join("x.toml")), path(root.path())] {
            let selected = select_from(suites(), &[word], &[], "sim").expect("a good file");
            assert_eq!(
                (selected[0].id.as_str(), selected[0].suite.as_str()),
                ("x", "mine")
            );
        }
        fs::write(suite.join("y.toml"), "title=").expect("a file");
        assert!(matches!(
            select_from(suites(), &[path(&suite)], &[], "sim"),
            Err(SelectError::Scenario(_))
        ));
    }

    #[test]
    fn every_embedded_scenario_is_one() {
        if let Err(e) = embedded() {
            panic!("{:?}", miette::Report::new(e));
        }
    }
}
