//! Where a node keeps mail.
//!
//! Comes in: the node's directory, and whether a fault is to strike its disk. Goes out: what is mounted into its container,
//! and what is done to it while the container does not run. Called by [`cluster`](super::cluster) and
//! [`start`](super::start).
//!
//! A reference node sees its directory under the path that it has here: its files are those of a process
//! ([`NodeFiles`]). Any other target's spool is a volume of the container engine, which fills it with what the image has at
//! that path, owners and permissions included. Where a fault is to strike it, that volume is a directory on a file system
//! of its own ([`Disk`]).

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

use gauntlet_docker::{
    engine::{Engine, Labels, MountOption, VolumeOptions},
    target::{Spool as Place, Target},
};

use crate::{
    host::volume::Volume as Disk, process::disk::NodeFiles, scenario::Database,
    substrate::ClusterError,
};

/// Where a reference node's socket is within its container.
pub(super) const RUN: &str = "/run/gauntlet";

/// The spool of one node.
#[derive(Debug, Clone)]
pub(super) enum Spool {
    /// A directory that the container sees as we do.
    Files(NodeFiles),
    /// A volume of the engine.
    Volume {
        /// Its name.
        name: String,
        /// What the target file says of it.
        place: Place,
        /// The file system that it is on, when it is not where the engine keeps volumes.
        disk: Option<Arc<Disk>>,
    },
}

impl Spool {
    /// Makes it in `nodes/<name>/`, empty.
    pub(super) fn new(
        nodes: &Path,
        name: &str,
        own_disk: bool,
        target: &Target,
        labels: &Labels,
    ) -> Result<Self, String> {
        if target.is_reference_node() {
            let files = NodeFiles::create(nodes, name, own_disk);
            return files.map(Self::Files).map_err(|e| e.to_string());
        }
        let directory = std::path::absolute(nodes)
            .map_err(|e| e.to_string())?
            .join(name);
        fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        let disk = match own_disk {
            true => Some(Arc::new(Disk::create(&directory)?)),
            false => None,
        };
        Ok(Self::Volume {
            name: format!("gauntlet-{}-{name}", labels.run),
            place: target.spool.clone(),
            disk,
        })
    }

    /// The file system of its own, if it has one.
    pub(super) fn disk(&self) -> Option<&Disk> {
        match self {
            Self::Files(files) => files.volume(),
            Self::Volume { disk, .. } => disk.as_deref(),
        }
    }

    /// Makes it usable for a container that is about to start: mounted, and there.
    pub(super) async fn prepare(
        &self,
        engine: &Engine,
        labels: &Labels,
        database: Database,
    ) -> Result<(), ClusterError> {
        match self {
            Self::Files(files) => {
                files.ensure_disk().map_err(failed("mount the disk"))?;
                if database == Database::New {
                    files
                        .forget_transport_database()
                        .map_err(failed("remove the transport database"))?;
                }
                Ok(())
            }
            Self::Volume { name, place, disk } => {
                let directory = match disk {
                    None => None,
                    Some(disk) => {
                        disk.mount()
                            .map_err(|error| failed("mount the disk")(io::Error::other(error)))?;
                        let directory = data(disk);
                        own(&directory, place).map_err(failed("make the spool"))?;
                        Some(directory)
                    }
                };
                let options = VolumeOptions {
                    name: name.clone(),
                    directory,
                };
                // One that is there stays as it is.
                let made = engine.volume(options, labels).await;
                made.map(drop).map_err(super::start::refused)
            }
        }
    }

    /// What is mounted into its container. `run` is a short directory of this machine for sockets.
    pub(super) fn mounts(
        &self,
        run: &Path,
        directory: &Path,
    ) -> Result<Vec<MountOption>, ClusterError> {
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .ok_or_else(|| ClusterError::State(format!("{} is no UTF-8", path.display())))
        };
        Ok(match self {
            Self::Files(_) => vec![
                MountOption::Directory {
                    path: text(directory)?,
                    at: text(directory)?,
                },
                MountOption::Directory {
                    path: text(run)?,
                    at: RUN.into(),
                },
            ],
            Self::Volume { name, place, .. } => vec![MountOption::Volume {
                name: name.clone(),
                at: place.path.as_str().to_owned(),
            }],
        })
    }

    /// The disk is lost, with all that is on it. The container is gone already.
    pub(super) fn destroy(&self, engine: &Engine) -> Result<(), ClusterError> {
        match self {
            Self::Files(files) => files.destroy().map_err(failed("remove the disk")),
            Self::Volume { name, disk, .. } => {
                engine.remove_volume(name).map_err(super::start::refused)?;
                let Some(disk) = disk else { return Ok(()) };
                disk.mount()
                    .map_err(|error| failed("mount the disk")(io::Error::other(error)))?;
                match fs::remove_dir_all(data(disk)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(failed("remove the disk")(error))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// The run is over. The container is gone already.
    pub(super) fn retire(&self, engine: &Engine) {
        match self {
            Self::Files(files) => files.retire(),
            // What cannot be removed is found by `gauntlet doctor --clean`.
            Self::Volume { name, disk, .. } => {
                let _ = engine.remove_volume(name);
                if let Some(disk) = disk {
                    let _ = disk.remove();
                }
            }
        }
    }
}

/// The spool on a file system of its own: not its root, where there is `lost+found`, and the ballast of a full disk.
fn data(disk: &Disk) -> PathBuf {
    disk.point().join("spool")
}

/// Makes the directory. The engine gives it the image's owner and permissions where the image has one; what the target file
/// says is for images that have none.
fn own(directory: &Path, place: &Place) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    if let Some(mode) = place.mode {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode.0))?;
    }
    if place.user.is_some() || place.group.is_some() {
        chown(directory, place.user, place.group)?;
    }
    // It must be there after a loss of power.
    fs::File::open(directory)?.sync_all()?;
    match directory.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(what: &str) -> impl Fn(io::Error) -> ClusterError {
    move |error| ClusterError::Io {
        what: what.to_owned(),
        error: error.to_string(),
    }
}
