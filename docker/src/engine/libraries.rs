//! The libraries that a program needs, so that it runs in an image that has nothing else.
//!
//! Comes in: a program. Goes out: the files that the dynamic linker would load, the linker among them; none for a program
//! that is linked statically. Called by [`image`](super::image).

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::EngineError;

/// What `ldd` names.
pub(super) fn of(program: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let failed = |said: String| {
        EngineError::Image(format!(
            "which libraries {} needs is not known: {said}",
            program.display()
        ))
    };
    let output = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("ldd: {error}")))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let is_static = ["not a dynamic executable", "statically linked"]
        .iter()
        .any(|words| told.contains(words) || complaint.contains(words));
    if is_static {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        return Err(failed(complaint.trim().to_owned()));
    }
    if let Some(line) = told.lines().find(|line| line.contains("not found")) {
        return Err(failed(format!("ldd says: {}", line.trim())));
    }
    Ok(paths(&told))
}

/// `libc.so.6 => /lib/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`; what has no path is the kernel's own.
fn paths(told: &str) -> Vec<PathBuf> {
    told.lines()
        .filter_map(|line| {
            let named = line.split_once("=>").map_or(line, |(_, path)| path);
            let path = named.trim().rsplit_once(" (0x")?.0.trim();
            path.starts_with('/').then(|| path.into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_linker_have_paths() {
        let told = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibgcc_s.so.1 => /lib/libgcc_s.so.1 (0x00007f1)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        assert_eq!(
            paths(told),
            [
                PathBuf::from("/lib/libgcc_s.so.1"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn this_test_is_a_program_with_a_linker() {
        let program = std::env::current_exe().expect("this program");
        let all = of(&program).expect("ldd");
        assert!(
            all.is_empty() || all.iter().any(|path| path.is_file()),
            "{all:?}"
        );
    }
}
