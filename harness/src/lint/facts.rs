//! What a deployment is, as far as its files say.
//!
//! Comes in: facts with their places, from the readers. Goes out: [`Facts`], to the rules. A fact that no file has is `None`.

use gauntlet_reports::lint::Where;

use super::{FileName, LintError};

/// Something that a file says, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stated<T> {
    pub(super) value: T,
    pub(super) at: Place,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: FileName,
    pub(super) line: u32,
}

impl Place {
    pub(super) fn of(&self) -> Where {
        Where {
            file: self.file.to_string(),
            line: self.line,
        }
    }

    pub(super) fn states<T>(&self, value: T) -> Stated<T> {
        Stated {
            value,
            at: self.clone(),
        }
    }
}

/// A deployment.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) hosts: Vec<Host>,
    pub(super) guests: Vec<Guest>,
    pub(super) volumes: Vec<Volume>,
    pub(super) outbound: Option<Stated<Outbound>>,
    /// Physical cores of the one host, as the command line has them.
    pub(super) cores: Option<u32>,
}

/// A machine that runs guests.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) cores: Option<Stated<u32>>,
    /// What runs beside the guests.
    pub(super) roles: Option<Stated<Vec<Role>>>,
    pub(super) on_shutdown: Option<Stated<Leaving>>,
    pub(super) on_move: Option<Stated<Leaving>>,
}

/// Something that runs on a host beside the guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: String,
    /// It looks after the host or its guests, and serves nobody else.
    pub(super) management: bool,
}

/// How a guest leaves its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is shut down, and boots.
    ShutDown,
    /// It is switched off, and boots.
    PowerOff,
    /// It moves while it runs.
    LiveMigration,
    /// It stays where it is.
    Never,
    /// Its state is saved to disk, and it goes on from there.
    Save,
}

/// A virtual machine.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) host: Option<Stated<String>>,
    /// It has a transport server; others count for the host's processors alone.
    pub(super) transport: bool,
    pub(super) vcpus: Option<Stated<u32>>,
    /// Octets.
    pub(super) memory: Option<Stated<u64>>,
    pub(super) dynamic_memory: Option<Stated<Memory>>,
    pub(super) snapshots: Option<Stated<Snapshots>>,
    /// Its state can be saved by the guest itself, at its host's or its own wish.
    pub(super) hibernates: Option<Stated<bool>>,
    pub(super) disks: Vec<Disk>,
}

/// How a guest's memory changes while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Memory {
    /// It does not.
    Fixed,
    /// It does not, and could: in words.
    CouldChange(String),
    /// It does: in words.
    Changes(String),
}

/// Whether snapshots of a guest are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Snapshots {
    /// None is, and none can be.
    None,
    /// They are, or one is there: in words.
    Taken(String),
}

/// A disk of a guest.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) at: Place,
    /// The guest's system is on it; `None`: nothing says.
    pub(super) system: Option<bool>,
    /// Octets.
    pub(super) size: Option<Stated<u64>>,
    pub(super) storage: Option<Stated<Storage>>,
    /// The path or the device by which a storage volume is known.
    pub(super) source: Option<String>,
}

/// What a disk is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Storage {
    /// Blocks: in words.
    Blocks(String),
    /// Virtual disks in files of an SMB 3.0 share, which has blocks behind it or not; `None`: nothing says.
    Smb3VirtualDisk(Option<bool>),
    /// Files of a server or of the host: in words.
    Files(String),
}

/// A storage volume: how large what is at a path is.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) path: String,
    pub(super) capacity: Stated<u64>,
}

/// How mail leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outbound {
    /// The network is a cloud provider's.
    pub(super) cloud: bool,
    pub(super) smart_host: bool,
}

impl Facts {
    /// Puts together what files say of each other.
    ///
    /// # Errors
    /// Two of them describe the same guest or host, or a guest is on a host that is not described.
    pub(super) fn together(&mut self, cores: Option<u32>) -> Result<(), LintError> {
        let guests = self.guests.iter().map(|g| ("guest", &g.name, &g.at));
        let hosts = self.hosts.iter().map(|h| ("host", &h.name, &h.at));
        let mut seen: Vec<(&str, &String, &Place)> = Vec::new();
        for (kind, name, at) in guests.chain(hosts) {
            if let Some((.., first)) = seen.iter().find(|(k, n, _)| *k == kind && *n == name) {
                return Err(LintError::Together {
                    message: format!(
                        "{kind} `{name}` is described twice: {}:{} and {}:{}",
                        first.file, first.line, at.file, at.line
                    ),
                    help: "leave one of them out, or give them different names".into(),
                });
            }
            seen.push((kind, name, at));
        }
        if let (Some(_), [.., host]) = (cores, self.hosts.as_slice()) {
            return Err(LintError::Together {
                message: format!(
                    "`--cores` and {}:{}, which describes a host",
                    host.at.file, host.at.line
                ),
                help: "write `cores = …` there".into(),
            });
        }
        self.cores = cores;
        for guest in &mut self.guests {
            for disk in &mut guest.disks {
                let known = |volume: &&Volume| disk.source.as_ref() == Some(&volume.path);
                if let (None, Some(volume)) = (&disk.size, self.volumes.iter().find(known)) {
                    disk.size = Some(volume.capacity.clone());
                }
            }
            // The only host is every guest's.
            if let (None, [host]) = (&guest.host, self.hosts.as_slice()) {
                guest.host = Some(host.at.states(host.name.clone()));
            }
        }
        Ok(())
    }

    /// The guests of this host.
    pub(super) fn guests_on<'f>(&'f self, host: &'f str) -> impl Iterator<Item = &'f Guest> {
        let on = move |guest: &&Guest| guest.host.as_ref().is_some_and(|h| h.value == host);
        self.guests.iter().filter(on)
    }
}
