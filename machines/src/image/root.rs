//! The file system of the guests' program: the program, its shared libraries, and nothing else.
//!
//! Comes in: a program of this machine. Goes out: an ext4 image that is read only. The libraries are those that `ldd` names,
//! so the program need not be static; it is the very binary that runs on this machine, too.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use super::{cached, short};
use crate::{Error, disk, tool};

/// Where other file systems are mounted.
const MOUNT_POINTS: [&str; 5] = ["data", "dev", "proc", "config", "tmp"];

/// How long an image is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Room for what a file system itself needs, octets.
const SPARE: u64 = 16 << 20;

/// Makes it, or finds it in the cache. Answers with the program's path within it, too.
pub(super) fn build(
    program: &Path,
    cache: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<(PathBuf, String), Error> {
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Error::Failed(format!("{}: not a program's name", program.display())))?;
    let inside = format!("/bin/{name}");
    let mut contents = vec![(PathBuf::from(&inside), program.to_owned())];
    for library in libraries(program)? {
        contents.push((library.clone(), library));
    }
    let mut digest = Sha256::new();
    for (target, source) in &contents {
        digest.update(target.as_os_str().as_encoded_bytes());
        digest.update(fs::read(source).map_err(Error::at(source))?);
    }
    let name = format!("root-{}", short(digest));
    forget_old(cache, &name);
    let file = cached(cache, &name, tell, |new| {
        let tree = new.with_extension("tree");
        for point in MOUNT_POINTS {
            let point = tree.join(point);
            fs::create_dir_all(&point).map_err(Error::at(&point))?;
        }
        let mut size = SPARE;
        for (target, source) in &contents {
            let target = tree.join(target.strip_prefix("/").unwrap_or(target));
            let parent = target.parent().unwrap_or(&tree);
            fs::create_dir_all(parent).map_err(Error::at(parent))?;
            let length = fs::copy(source, &target).map_err(Error::at(source))?;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&target, mode).map_err(Error::at(&target))?;
            size += length + length / 16;
        }
        disk::blank(new, size.next_multiple_of(1 << 20))?;
        let mut mke2fs = tool::command("mke2fs");
        // It is read only: a journal would be for nothing.
        mke2fs.args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]);
        tool::finish("mke2fs", mke2fs.arg(&tree).arg(new))?;
        Ok(())
    })?;
    Ok((file, inside))
}

/// Removes images of programs that nobody has asked for in two days, and notes that this one was: each build of a program
/// has an image of its own, of its own size. What cannot be looked at stays.
fn forget_old(cache: &Path, wanted: &str) {
    let now = SystemTime::now();
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name == wanted {
            let file = fs::File::options().append(true).open(entry.path());
            let _ = file.and_then(|file| file.set_modified(now));
            continue;
        }
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        let old = used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > KEPT));
        if old && name.to_string_lossy().starts_with("root-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The shared libraries of a program, the loader among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, Error> {
    match tool::run("ldd", [program.as_os_str()]) {
        Ok(said) => parse(&said),
        Err(Error::Failed(said)) if said.contains("not a dynamic executable") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(ldd: &str) -> Result<Vec<PathBuf>, Error> {
    let mut libraries = Vec::new();
    for line in ldd.lines() {
        if let Some((name, _)) = line.split_once("=> not found") {
            return Err(Error::Missing(format!(
                "the program needs {}, which is not installed",
                name.trim()
            )));
        }
        // `name => path (address)`, or `path (address)`; the kernel's own has no path.
        let line = line.split_once("=> ").map_or(line, |(_, path)| path).trim();
        let path = line.split_once(" (").map_or(line, |(path, _)| path);
        if path.starts_with('/') {
            libraries.push(path.into());
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_what_ldd_names() {
        let said = "\tlinux-vdso.so.1 (0x00007f2364a5e000)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x1)\n\t/lib64/ld-linux-x86-64.so.2 (0x2)\n";
        let wanted = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse(said).expect("read"), wanted.map(PathBuf::from));
        assert_eq!(
            parse("\tstatically linked\n").expect("read"),
            Vec::<PathBuf>::new()
        );
        let error = parse("\tlibssl.so.3 => not found\n").expect_err("not there");
        assert_eq!(
            error.to_string(),
            "the program needs libssl.so.3, which is not installed"
        );
    }

    #[test]
    fn a_program_has_a_file_system_of_its_own() {
        let cache = tempfile::tempdir().expect("a directory");
        let build = || build(Path::new("/bin/true"), cache.path(), &mut |_| ());
        let (file, inside) = build().expect("made");
        assert_eq!(inside, "/bin/true");
        let list = tool::run(
            "debugfs",
            ["-R", "ls -l /bin", file.to_str().expect("UTF-8")].map(AsRef::as_ref),
        );
        assert!(
            list.expect("listed").contains("100755"),
            "the program can be run"
        );
        let old = cache.path().join("root-0123456789abcdef");
        fs::write(&old, "x").expect("written");
        let opened = fs::File::options().append(true).open(&old).expect("there");
        let long_ago = SystemTime::now() - 2 * KEPT;
        opened.set_modified(long_ago).expect("set");
        assert_eq!(build().expect("found").0, file);
        assert!(!old.exists(), "nobody has asked for it");
        assert_eq!(fs::read_dir(cache.path()).expect("read").count(), 1);
    }
}
