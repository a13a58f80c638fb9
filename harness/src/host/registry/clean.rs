//! Takes away what dead harnesses have left.
//!
//! Comes in: the registers of this user's harnesses. Goes out: what was found in those of dead ones, and what became of it.
//! Called by `gauntlet doctor`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{ProcessId, Resource, place};

/// What one dead harness has left.
#[derive(Debug)]
pub struct Leftover {
    register: PathBuf,
    /// The harness.
    pub harness: ProcessId,
    /// What it left and what is still there, what was made last first.
    pub resources: Vec<Resource>,
    /// All that is written down, with its file.
    entries: Vec<(PathBuf, Result<Resource, String>)>,
}

/// What became of a resource.
#[derive(Debug)]
pub struct Cleaned {
    /// The harness that had left it.
    pub harness: ProcessId,
    /// What it was.
    pub what: String,
    /// Why it is still there, if it is.
    pub failed: Option<String>,
}

/// What dead harnesses have left. Those that live are left alone.
///
/// # Errors
/// The place of the registers cannot be read.
pub fn leftovers() -> io::Result<Vec<Leftover>> {
    leftovers_in(&place())
}

pub(super) fn leftovers_in(place: &Path) -> io::Result<Vec<Leftover>> {
    let registers = match fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        registers => registers?,
    };
    let mut found = Vec::new();
    for register in registers {
        let register = register?.path();
        let name = register.file_name().and_then(|name| name.to_str());
        let Some(harness) = name.and_then(|name| name.parse::<ProcessId>().ok()) else {
            continue;
        };
        // Below the directory for temporary files anybody can write down what we would then remove.
        if harness.lives() || !is_ours(&register)? {
            continue;
        }
        let entries = entries(&register)?;
        let there = |entry: &(PathBuf, Result<Resource, String>)| {
            entry
                .1
                .as_ref()
                .ok()
                .filter(|resource| resource.is_there())
                .cloned()
        };
        found.push(Leftover {
            harness,
            resources: entries.iter().filter_map(there).collect(),
            entries,
            register,
        });
    }
    found.sort_by_key(|leftover| (leftover.harness.started, leftover.harness.id));
    Ok(found)
}

fn is_ours(directory: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(directory)?.uid() == nix::unistd::geteuid().as_raw())
}

/// What is written down in a register, the last first: what was made later stands on what was made before.
fn entries(register: &Path) -> io::Result<Vec<(PathBuf, Result<Resource, String>)>> {
    let mut files: Vec<PathBuf> = fs::read_dir(register)?
        .map(|file| Ok(file?.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|of| of == "json"));
    files.sort();
    files.reverse();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).map_err(|e| e.to_string());
        let entry = text.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()));
        let entry = entry.map_err(|error| format!("{}: {error}", file.display()));
        (file, entry)
    };
    Ok(files.into_iter().map(read).collect())
}

/// Takes it all away. What cannot be taken away stays written down.
pub fn clean(leftovers: Vec<Leftover>) -> Vec<Cleaned> {
    leftovers.into_iter().flat_map(clean_one).collect()
}

fn clean_one(leftover: Leftover) -> Vec<Cleaned> {
    let mut cleaned = Vec::new();
    // All processes and containers first: they hold what else there is.
    let (processes, others): (Vec<_>, Vec<_>) =
        leftover.entries.into_iter().partition(|(_, entry)| {
            matches!(
                entry,
                Ok(Resource::Process { .. } | Resource::Containers { .. })
            )
        });
    for (file, entry) in processes.into_iter().chain(others) {
        let (what, there, removed) = match &entry {
            Ok(resource) => (resource.to_string(), resource.is_there(), resource.remove()),
            Err(error) => (
                error.clone(),
                true,
                Err("this entry cannot be read".to_owned()),
            ),
        };
        if removed.is_ok() {
            // The whole directory is removed below.
            let _ = fs::remove_file(file);
        }
        if there || removed.is_err() {
            cleaned.push(Cleaned {
                harness: leftover.harness,
                what,
                failed: removed.err(),
            });
        }
    }
    if cleaned.iter().all(|one| one.failed.is_none()) {
        // Another cleaner may have been faster.
        let _ = fs::remove_dir_all(&leftover.register);
    }
    cleaned
}
