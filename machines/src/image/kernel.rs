//! The guests' kernel: the one of Debian's cloud images, which is small and has drivers for virtual hardware only.
//!
//! Comes in: where it is to be from. Goes out: the kernel and its drivers. The package is downloaded and unpacked, not
//! installed: nothing of the machine's own system changes.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use super::cached;
use crate::{Error, tool};

/// The package that depends on the newest kernel of its kind.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// Drivers, in the order in which they must be loaded: an earlier one has what a later one needs.
pub(super) const MODULES: [&str; 13] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
    "virtio_balloon",
    "evdev",
    "button",
];

/// Where a kernel is from.
#[derive(Debug, Clone, Default)]
pub enum KernelSource {
    /// The cached one, or else Debian's package.
    #[default]
    Package,
    /// A kernel of the user's own, with the directory of its drivers (`/lib/modules/VERSION`).
    Files {
        /// As in `/boot/vmlinuz-VERSION`.
        image: PathBuf,
        /// As in `/lib/modules/VERSION`.
        modules: PathBuf,
    },
}

/// A kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) release: String,
    /// The drivers' files, in the order of [`MODULES`]; those that are built in have none.
    pub(super) modules: Vec<PathBuf>,
}

/// Finds a kernel, and downloads it when none is in the cache.
pub(super) fn find(
    source: &KernelSource,
    cache: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Kernel, Error> {
    match source {
        KernelSource::Files { image, modules } => {
            let release = modules.file_name().unwrap_or_default().to_string_lossy();
            kernel(image.clone(), modules, release.into_owned())
        }
        KernelSource::Package => {
            let directory = match downloaded(cache) {
                Some(there) => there,
                None => download(cache, tell)?,
            };
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            let release = name.trim_start_matches("kernel-").to_owned();
            let modules = directory.join("modules");
            kernel(directory.join("vmlinuz"), &modules, release)
        }
    }
}

/// The newest by name.
pub(super) fn downloaded(cache: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(cache).ok()?.flatten();
    let kernels = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with("kernel-"))
    });
    kernels.max()
}

/// The package that has the kernel.
fn known() -> Result<String, Error> {
    let arguments = ["depends", "--important", META_PACKAGE];
    let depends = match tool::run("apt-cache", arguments.map(OsStr::new)) {
        Err(Error::Failed(_unknown)) => String::new(),
        other => other?,
    };
    package(&depends).ok_or_else(|| {
        let remedy =
            "`apt-get update`, or give a kernel of your own (`--kernel FILE --modules DIRECTORY`)";
        Error::Missing(format!(
            "apt knows no kernel package {META_PACKAGE}: {remedy}"
        ))
    })
}

/// Which kernel is there, or where one would come from.
pub(super) fn there(cache: &Path) -> Result<String, Error> {
    match downloaded(cache) {
        Some(there) => Ok(there.display().to_string()),
        None => known().map(|package| {
            format!("not in the cache; Debian's package {package} will be downloaded")
        }),
    }
}

fn download(cache: &Path, tell: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    let package = known()?;
    let release = package.trim_start_matches("linux-image-").to_owned();
    cached(cache, &format!("kernel-{release}"), tell, |new| {
        fs::create_dir_all(new).map_err(Error::at(new))?;
        let mut apt = tool::command("apt-get");
        apt.args(["download", "-qq", &package]).current_dir(new);
        tool::finish("apt-get", &mut apt)?;
        let archive = fs::read_dir(new)
            .map_err(Error::at(new))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension() == Some(OsStr::new("deb")))
            .ok_or_else(|| Error::Failed(format!("apt-get downloaded no {package}")))?;
        let unpacked = new.join("unpacked");
        tool::run(
            "dpkg-deb",
            [OsStr::new("-x"), archive.as_os_str(), unpacked.as_os_str()],
        )?;
        let image = unpacked.join(format!("boot/vmlinuz-{release}"));
        fs::rename(&image, new.join("vmlinuz")).map_err(Error::at(&image))?;
        let modules = new.join("modules");
        fs::create_dir(&modules).map_err(Error::at(&modules))?;
        // A hundred megabytes of other drivers are not kept.
        for file in kernel(
            new.join("vmlinuz"),
            &unpacked.join("lib/modules").join(&release),
            release.clone(),
        )?
        .modules
        {
            let name = file.file_name().unwrap_or_default();
            fs::copy(&file, modules.join(name)).map_err(Error::at(&file))?;
        }
        fs::remove_dir_all(&unpacked).map_err(Error::at(&unpacked))?;
        fs::remove_file(&archive).map_err(Error::at(&archive))
    })
}

/// The package of a kernel among what `apt-cache depends` lists.
fn package(depends: &str) -> Option<String> {
    let mut lines = depends.lines().map(str::trim);
    let depends = lines.find_map(|line| line.strip_prefix("Depends: linux-image-"))?;
    Some(format!("linux-image-{}", depends.trim()))
}

fn kernel(image: PathBuf, modules: &Path, release: String) -> Result<Kernel, Error> {
    if !image.is_file() {
        return Err(Error::Missing(format!(
            "{}: there is no such kernel",
            image.display()
        )));
    }
    let mut found = Vec::new();
    files(modules, &mut found).map_err(Error::at(modules))?;
    let of = |name: &&str| {
        let is = |path: &&PathBuf| {
            let file = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let stem = file
                .split_once(".ko")
                .map(|(stem, _)| stem.replace('-', "_"));
            stem.as_deref() == Some(name)
        };
        found.iter().find(is).cloned()
    };
    // One that is not there is taken for built in: Linux has these drivers since 4.15, and some kernels have no others.
    let modules: Vec<PathBuf> = MODULES.iter().filter_map(of).collect();
    if let Some(packed) = modules
        .iter()
        .find(|path| path.extension() != Some(OsStr::new("ko")))
    {
        return Err(Error::Missing(format!(
            "{}: drivers must not be compressed; unpack them into a directory of their own and give that",
            packed.display()
        )));
    }
    Ok(Kernel {
        image,
        release,
        modules,
    })
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_the_one_that_is_depended_on() {
        let said = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(
            package(said).as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(package("linux-image-cloud-amd64\n"), None);
    }

    #[test]
    fn drivers_come_in_the_order_in_which_they_are_loaded() {
        let place = tempfile::tempdir().expect("a directory");
        let write = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, "x").expect("written");
        };
        let files = [
            "m/net/virtio_net.ko",
            "m/virtio-ring.ko",
            "m/x/virtio.ko",
            "m/e1000.ko",
            "vmlinuz",
        ];
        files.iter().for_each(|name| write(name));
        let source = KernelSource::Files {
            image: place.path().join("vmlinuz"),
            modules: place.path().join("m"),
        };
        let names = |kernel: Kernel| -> Vec<String> {
            let name = |path: &PathBuf| {
                path.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned()
            };
            kernel.modules.iter().map(name).collect()
        };
        let found = find(&source, place.path(), &mut |_| ()).expect("found");
        assert_eq!(
            names(found),
            ["virtio-ring.ko", "virtio.ko", "virtio_net.ko"]
        );
        write("m/virtio_blk.ko.xz");
        let packed = find(&source, place.path(), &mut |_| ()).expect_err("compressed");
        assert!(
            packed.to_string().contains("must not be compressed"),
            "{packed}"
        );
        let none = KernelSource::Files {
            image: "nowhere".into(),
            modules: "nowhere".into(),
        };
        let none = find(&none, place.path(), &mut |_| ()).expect_err("none");
        assert_eq!(none.to_string(), "nowhere: there is no such kernel");
    }
}
