//! A tar archive with a few small files (POSIX.1-1988 ustar): the disk by which a guest gets its configuration.

/// Makes the archive, which is as long as a disk may be: a multiple of 512 octets.
pub(crate) fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, octets) in files {
        archive.extend_from_slice(&header(name, octets.len()));
        archive.extend_from_slice(octets);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn header(name: &str, length: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut field =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    debug_assert!(name.len() < 100, "names are our own, and short");
    field(0, &name[..name.len().min(99)]);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{length:011o}\0"));
    field(136, "00000000000\0");
    // The checksum is made with spaces in its own place.
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\0");
    field(263, "00");
    let sum: u32 = header.iter().map(|octet| u32::from(*octet)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn tar_reads_the_archive() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("a.tar");
        let long = vec![b'x'; 513];
        fs::write(
            &file,
            archive([("settings", &b"A=1\n"[..]), ("node.toml", &long)]),
        )
        .expect("written");
        let status = Command::new("tar")
            .arg("-xf")
            .arg(&file)
            .current_dir(place.path())
            .status();
        assert!(status.expect("tar is there").success());
        assert_eq!(
            fs::read(place.path().join("settings")).expect("read"),
            b"A=1\n"
        );
        assert_eq!(
            fs::read(place.path().join("node.toml")).expect("read"),
            long
        );
    }
}
