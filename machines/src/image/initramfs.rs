//! The initramfs: busybox, the drivers, and [`init.sh`](INIT) as process 1.
//!
//! Comes in: a kernel's drivers. Goes out: a `newc` archive, as the kernel unpacks it (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{cached, kernel::Kernel, short};
use crate::{Error, tool};

/// What process 1 of a guest does.
const INIT: &str = include_str!("init.sh");

/// Where busybox is, linked statically.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

const FILE: u32 = 0o100_755;
const DIRECTORY: u32 = 0o040_755;

/// Makes it, or finds it in the cache.
pub(super) fn build(
    kernel: &Kernel,
    cache: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let busybox = busybox()?;
    let mut entries = vec![
        ("bin".to_owned(), DIRECTORY, Vec::new()),
        ("modules".to_owned(), DIRECTORY, Vec::new()),
        ("init".to_owned(), FILE, INIT.as_bytes().to_vec()),
        ("bin/busybox".to_owned(), FILE, busybox),
    ];
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        order.push_str(&name);
        order.push('\n');
        let octets = fs::read(module).map_err(Error::at(module))?;
        entries.push((format!("modules/{name}"), FILE, octets));
    }
    entries.push(("modules/order".into(), FILE, order.into_bytes()));
    let archive = archive(&entries);
    let name = format!("initramfs-{}", short(Sha256::new_with_prefix(&archive)));
    cached(cache, &name, tell, |new| {
        fs::write(new, &archive).map_err(Error::at(new))
    })
}

/// Busybox, linked statically: there are no libraries in the initramfs.
pub(super) fn busybox() -> Result<Vec<u8>, Error> {
    let there = BUSYBOX.iter().map(Path::new).find(|path| path.is_file());
    let there = there.ok_or_else(|| tool::missing("busybox"))?;
    let octets = fs::read(there).map_err(Error::at(there))?;
    if is_static(&octets) {
        return Ok(octets);
    }
    let remedy = "Debian: `apt-get install busybox-static`";
    Err(Error::Missing(format!(
        "busybox is linked dynamically ({remedy})"
    )))
}

/// It has no program header of the kind `PT_INTERP`.
fn is_static(elf: &[u8]) -> bool {
    let number = |at: usize, octets: usize| {
        let field = elf.get(at..at + octets)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0_usize, |n, octet| n << 8 | usize::from(*octet)),
        )
    };
    let (Some(table), Some(size), Some(count)) =
        (number(0x20, 8), number(0x36, 2), number(0x38, 2))
    else {
        return false;
    };
    !(0..count).any(|index| number(table.saturating_add(index * size), 4) == Some(3))
}

fn archive(entries: &[(String, u32, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let end = ("TRAILER!!!".to_owned(), 0, Vec::new());
    for (inode, (name, mode, octets)) in (1..).zip(entries.iter().chain([&end])) {
        let fields = [
            inode,
            *mode as usize,
            0,
            0,
            1,
            0,
            octets.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        archive.extend_from_slice(b"070701");
        for field in fields {
            archive.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        pad(&mut archive);
        archive.extend_from_slice(octets);
        pad(&mut archive);
    }
    archive
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn cpio_reads_the_archive() {
        let entries = [
            ("bin".to_owned(), DIRECTORY, Vec::new()),
            ("bin/odd".to_owned(), FILE, b"12345".to_vec()),
            ("init".to_owned(), FILE, b"#!".to_vec()),
        ];
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("archive");
        fs::write(&file, archive(&entries)).expect("written");
        let unpack = Command::new("cpio")
            .args(["-i", "--quiet", "-d", "-F"])
            .arg(&file)
            .current_dir(place.path())
            .stdin(Stdio::null())
            .status();
        match unpack {
            Err(error) => return eprintln!("skipped: cpio: {error}"),
            Ok(status) => assert!(status.success()),
        }
        assert_eq!(
            fs::read(place.path().join("bin/odd")).expect("read"),
            b"12345"
        );
        assert_eq!(fs::read(place.path().join("init")).expect("read"), b"#!");
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        let own = std::env::current_exe().expect("a test is a program");
        assert!(!is_static(&fs::read(own).expect("read")));
        assert!(!is_static(b"#!/bin/sh"));
    }
}
