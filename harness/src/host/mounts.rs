//! What is mounted.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

/// A file system is mounted at that absolute path. Where there is no `/proc`, none is.
pub(crate) fn is_mounted(point: &Path) -> bool {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    is_in(&mounts, point)
}

/// `36 35 98:0 /root /point options … - ext4 /dev/loop0 options`; in paths space, tab, newline and backslash are in
/// octal.
fn is_in(mounts: &[u8], point: &Path) -> bool {
    let mut escaped = Vec::new();
    for &octet in point.as_os_str().as_bytes() {
        match octet {
            b' ' | b'\t' | b'\n' | b'\\' => {
                escaped.extend_from_slice(format!("\\{octet:03o}").as_bytes());
            }
            _ => escaped.push(octet),
        }
    }
    mounts
        .split(|&octet| octet == b'\n')
        .any(|line| line.split(|&octet| octet == b' ').nth(4) == Some(&escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_whole_paths() {
        let mounts = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n36 22 7:0 / /tmp/a\\040b/disk rw shared:1 - ext4 /dev/loop0 rw\n";
        assert!(is_in(mounts, Path::new("/tmp/a b/disk")));
        assert!(is_in(mounts, Path::new("/")));
        assert!(!is_in(mounts, Path::new("/tmp/a b")));
        assert!(!is_in(mounts, Path::new("/tmp/a")));
    }
}
