//! What a guest is booted from: a kernel, an initramfs, and a file system with the program.
//!
//! Comes in: the program that a guest is to run. Goes out: [`Image`], three files in the cache, each named after what it was
//! made from, so that what has changed is made anew and what has not is not. Called once before guests are made.
//!
//! The cache is `$XDG_CACHE_HOME/gauntlet/vm`, or `~/.cache/gauntlet/vm`. Root is not needed.

mod initramfs;
mod kernel;
mod root;
mod tar;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

pub use self::kernel::KernelSource;
pub(crate) use self::tar::archive;
use crate::{Error, tool};

/// What to make an image of.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The program. It is `/bin/<its name>` in the guest; its shared libraries come along.
    pub program: PathBuf,
    /// Where the kernel is from.
    pub kernel: KernelSource,
    /// Where images are kept; [`cache`] when left out.
    pub cache: Option<PathBuf>,
}

/// A bootable image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its version, as `uname -r` tells it.
    pub release: String,
    /// Drivers, busybox, and what process 1 does.
    pub initramfs: PathBuf,
    /// The program's file system, ext4; guests read it only.
    pub root: PathBuf,
    /// The program within it.
    pub program: String,
}

/// Where images are kept.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` says where.
pub fn cache() -> Result<PathBuf, Error> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let place = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    let place = place.ok_or_else(|| {
        Error::Missing("neither XDG_CACHE_HOME nor HOME says where images are to be kept".into())
    })?;
    Ok(place.join("gauntlet").join("vm"))
}

/// Makes an image, or finds it in the cache. `tell` hears what is being made, and what was found.
///
/// # Errors
/// [`Error::Missing`]: a tool is not installed. Else what could not be made.
pub fn build(recipe: &Recipe, tell: &mut dyn FnMut(&str)) -> Result<Image, Error> {
    let cache = match &recipe.cache {
        Some(cache) => cache.clone(),
        None => cache()?,
    };
    fs::create_dir_all(&cache).map_err(Error::at(&cache))?;
    let kernel = kernel::find(&recipe.kernel, &cache, tell)?;
    let initramfs = initramfs::build(&kernel, &cache, tell)?;
    let (root, program) = root::build(&recipe.program, &cache, tell)?;
    Ok(Image {
        kernel: kernel.image,
        release: kernel.release,
        initramfs,
        root,
        program,
    })
}

/// Something that an image needs, and what is there; if not, what is missing.
pub type Need = (&'static str, Result<String, Error>);

/// What an image needs of this machine. Nothing is downloaded.
///
/// # Errors
/// There is no place for a cache.
pub fn needs() -> Result<Vec<Need>, Error> {
    let cache = cache()?;
    let tools = ["setpriv", "mke2fs", "ldd"].iter().try_for_each(|name| {
        let there = tool::run(name, ["--version".as_ref()]);
        match there {
            // mke2fs knows no such option, and is there.
            Ok(_) | Err(Error::Failed(_)) => Ok(()),
            Err(error) => Err(error),
        }
    });
    Ok(vec![
        (
            "busybox",
            initramfs::busybox().map(|_| "linked statically".into()),
        ),
        ("tools", tools.map(|()| "setpriv, mke2fs, ldd".into())),
        ("kernel", kernel::there(&cache)),
    ])
}

/// An image whose parts are all in the cache.
pub fn cached_image(program: &Path) -> Option<Image> {
    let cache = cache().ok()?;
    kernel::downloaded(&cache)?;
    let recipe = Recipe {
        program: program.to_owned(),
        kernel: KernelSource::Package,
        cache: Some(cache),
    };
    build(&recipe, &mut |_| ()).ok()
}

/// The beginning of a digest, which is enough to tell files apart.
fn short(digest: Sha256) -> String {
    let octets: [u8; 32] = digest.finalize().into();
    octets[..8]
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// Makes a file of the cache, unless it is there: first under another name, so that what has its name is whole.
fn cached(
    cache: &Path,
    name: &str,
    tell: &mut dyn FnMut(&str),
    make: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let path = cache.join(name);
    if path.exists() {
        tell(&format!("{name} is in the cache"));
        return Ok(path);
    }
    tell(&format!("making {name}"));
    let unfinished = tempfile::Builder::new()
        .prefix(".unfinished-")
        .tempdir_in(cache)
        .map_err(Error::at(cache))?;
    let new = unfinished.path().join(name);
    make(&new)?;
    match fs::rename(&new, &path) {
        // Somebody else has made it meanwhile (a directory cannot be replaced by one that has files).
        Err(error) if path.exists() && error.kind() != io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(Error::at(&path)(error)),
        Ok(()) => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_cache_is_not_made_again_and_what_failed_leaves_nothing() {
        let cache = tempfile::tempdir().expect("a directory");
        let mut told = Vec::new();
        let failed = cached(
            cache.path(),
            "a",
            &mut |line| told.push(line.to_owned()),
            |new| {
                fs::write(new, "half").expect("written");
                Err(Error::Failed("no".into()))
            },
        );
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(cache.path()).expect("read").count(), 0);
        for _ in 0..2 {
            let made = cached(
                cache.path(),
                "a",
                &mut |line| told.push(line.to_owned()),
                |new| fs::write(new, "whole").map_err(Error::at(new)),
            );
            assert_eq!(
                fs::read_to_string(made.expect("made")).expect("read"),
                "whole"
            );
        }
        assert_eq!(told, ["making a", "making a", "a is in the cache"]);
    }
}
