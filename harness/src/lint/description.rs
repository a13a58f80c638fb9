//! Our own description of a deployment: a small TOML file, for what no hypervisor's file has in one place.
//!
//! Comes in: the text of a file. Goes out: facts with their lines, or an error with the line and what was probably meant. An
//! unknown key, a value of the wrong kind, a guest on a host that the file does not have: each is an error. The JSON schema for
//! editors is made from the same model. `docs/lint.md` shows a file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::DeTable;

use super::{
    FileName, Input, LintError,
    facts::{self, Disk, Facts, Guest, Host, Leaving, Memory, Role, Snapshots, Stated, Storage},
    quantity::Octets,
};
use crate::scenario::{Place, Problem, file_error, grammar, shape, spelling};

/// A deployment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Description {
    /// What it is, in a line.
    #[serde(default)]
    #[expect(dead_code, reason = "for the reader of the file")]
    title: Option<String>,
    /// The machines that run guests.
    #[serde(default)]
    host: Vec<HostEntry>,
    /// The virtual machines.
    #[serde(default)]
    guest: Vec<GuestEntry>,
    /// How mail leaves.
    #[serde(default)]
    outbound: Option<OutboundEntry>,
}

/// A machine that runs guests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HostEntry {
    /// Its name.
    name: String,
    /// Physical processor cores; hyper-threads do not count.
    #[serde(default)]
    cores: Option<u32>,
    /// What runs on it beside the guests; `[]`: nothing.
    #[serde(default)]
    software: Option<Vec<Software>>,
    /// What becomes of its guests when it shuts down.
    #[serde(default)]
    on_shutdown: Option<OnShutdown>,
    /// How a guest moves to another host.
    #[serde(default)]
    on_move: Option<OnMove>,
}

/// What runs on a host beside the guests.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Software {
    /// Looks after the virtual machines.
    Management,
    /// Looks for malicious software.
    Antivirus,
    /// Makes backups of the host.
    Backup,
    /// Watches the host.
    Monitoring,
    /// Mail: a transport server, mailboxes.
    Mail,
    /// A database server.
    Database,
    /// A directory service.
    Directory,
    /// A file server.
    FileServer,
    /// A web server.
    Web,
    /// Anything else that serves others.
    Other,
}

/// What becomes of guests when their host shuts down.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OnShutdown {
    /// They are shut down, and boot.
    ShutDown,
    /// They are switched off, and boot.
    PowerOff,
    /// They move to another host while they run.
    LiveMigration,
    /// Their state is saved to disk, and they go on from there.
    Save,
}

/// How a guest moves to another host.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OnMove {
    /// It moves while it runs, its memory over the network.
    LiveMigration,
    /// It is shut down, and boots there.
    ShutDown,
    /// It never moves.
    Never,
    /// Its state is saved to disk, and it goes on from there.
    Save,
}

/// A virtual machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GuestEntry {
    /// Its name.
    name: String,
    /// The host that runs it; the only one when left out.
    #[serde(default)]
    host: Option<String>,
    /// It has a transport server. One that has none counts for its host's processors alone.
    #[serde(default = "yes")]
    transport: bool,
    /// Virtual processors.
    #[serde(default)]
    vcpus: Option<u32>,
    /// All its memory.
    #[serde(default)]
    memory: Option<Octets>,
    /// Its host may give it less, and take what it has.
    #[serde(default)]
    dynamic_memory: Option<bool>,
    /// Whether snapshots are taken of it.
    #[serde(default)]
    snapshots: Option<SnapshotPolicy>,
    /// Its disks.
    #[serde(default)]
    disk: Vec<DiskEntry>,
}

fn yes() -> bool {
    true
}

/// Whether snapshots of a guest are taken.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SnapshotPolicy {
    /// Never.
    Never,
    /// By hand, as before an update.
    Manual,
    /// By a schedule.
    Scheduled,
    /// By backup software.
    Backup,
}

/// A disk of a guest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DiskEntry {
    /// Its name.
    name: String,
    /// What is on it.
    #[serde(rename = "use")]
    used_for: UsedFor,
    /// How large it is.
    #[serde(default)]
    size: Option<Octets>,
    /// What it is on.
    #[serde(default)]
    storage: Option<StorageKind>,
    /// With `smb3-virtual-disk`: the share itself is on block-level storage.
    #[serde(default)]
    block_backed: Option<bool>,
}

/// What is on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum UsedFor {
    /// The operating system.
    System,
    /// The transport database: queues, shadow queues, Safety Net.
    Transport,
    /// Mailbox databases and their logs.
    Mailboxes,
    /// Something else.
    Other,
}

/// What a disk is on.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum StorageKind {
    /// A disk of the host, or a virtual disk on one.
    Local,
    /// A disk of the host that is passed through.
    PassThrough,
    /// SCSI, also over Fibre Channel.
    Scsi,
    /// Fibre Channel.
    FibreChannel,
    /// iSCSI.
    Iscsi,
    /// A RADOS block device.
    Rbd,
    /// A virtual disk in a file of an SMB 3.0 share.
    Smb3VirtualDisk,
    /// Files of an SMB share, of any version, that are no virtual disk.
    Smb,
    /// Files of an NFS server, or a virtual disk in one.
    Nfs,
    /// Any other network-attached storage.
    Nas,
}

/// How mail leaves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OutboundEntry {
    /// Whose network the guests are in.
    network: Network,
    /// The way out.
    route: Route,
}

/// Whose network the guests are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Network {
    /// The organization's own.
    Own,
    /// A cloud provider's.
    Cloud,
}

/// The way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Route {
    /// Straight to the recipients' servers.
    Direct,
    /// Through a smart host.
    SmartHost,
}

/// The JSON schema of deployment descriptions, as JSON text with a final newline.
pub fn schema() -> String {
    // `:#` is indented; a JSON value is always written.
    format!("{:#}\n", schemars::schema_for!(Description).to_value())
}

/// Reads the file into the facts.
pub(super) fn read(input: &Input, facts: &mut Facts) -> Result<(), LintError> {
    let wrong = |first: Problem, others: Vec<Problem>| {
        LintError::from(Box::new(file_error(
            &input.name,
            &input.text,
            first,
            others,
        )))
    };
    let document = DeTable::parse(&input.text).map_err(|e| wrong(grammar(&e), Vec::new()))?;
    let description: Description =
        toml::from_str(&input.text).map_err(|e| wrong(shape(&e, &input.text), Vec::new()))?;
    let root = Place::root(document.get_ref());
    let mut problems = problems(&description, &root).into_iter();
    if let Some(first) = problems.next() {
        return Err(wrong(first, problems.collect()));
    }
    let file = File {
        name: input.name.as_str().into(),
        text: &input.text,
    };
    file.take(description, &root, facts);
    Ok(())
}

/// What only a reader of the whole file can know.
fn problems(description: &Description, root: &Place<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |place: &Place<'_>, message: String, label: &str, help: Option<String>| {
        problems.push(Problem {
            span: place.span.clone(),
            message,
            label: label.to_owned(),
            help,
        });
    };
    if description.host.is_empty() && description.guest.is_empty() && description.outbound.is_none()
    {
        let help =
            "add a `[[guest]]`, a `[[host]]`, or an `[outbound]` table; docs/lint.md shows a file"
                .to_owned();
        add(root, "a description of nothing".into(), "empty", Some(help));
    }
    let hosts: Vec<&str> = description.host.iter().map(|h| h.name.as_str()).collect();
    for (i, host) in description.host.iter().enumerate() {
        let at = root.key("host").index(i);
        if host.cores == Some(0) {
            add(
                &at.key("cores"),
                "a host without a core".into(),
                "at least 1",
                None,
            );
        }
        if host.name.trim().is_empty() {
            add(
                &at.key("name"),
                "a host without a name".into(),
                "empty",
                None,
            );
        }
    }
    for (i, guest) in description.guest.iter().enumerate() {
        let at = root.key("guest").index(i);
        if guest.name.trim().is_empty() {
            add(
                &at.key("name"),
                "a guest without a name".into(),
                "empty",
                None,
            );
        }
        if guest.vcpus == Some(0) {
            add(
                &at.key("vcpus"),
                "a guest without a processor".into(),
                "at least 1",
                None,
            );
        }
        match &guest.host {
            Some(host) if !hosts.contains(&host.as_str()) => {
                let help = spelling::help(host, hosts.iter().copied());
                add(
                    &at.key("host"),
                    format!("there is no host `{host}`"),
                    "no such host",
                    help,
                );
            }
            None if hosts.len() > 1 => {
                let help = format!("as in `host = \"{}\"`", hosts[0]);
                add(
                    &at.key("name"),
                    format!(
                        "`{}` is on one of {} hosts, and it is not said on which",
                        guest.name,
                        hosts.len()
                    ),
                    "needs `host`",
                    Some(help),
                );
            }
            _ => {}
        }
        for (j, disk) in guest.disk.iter().enumerate() {
            let at = at.key("disk").index(j);
            if guest.disk[..j].iter().any(|other| other.name == disk.name) {
                add(
                    &at.key("name"),
                    format!("two disks are called `{}`", disk.name),
                    "again",
                    None,
                );
            }
            let share = matches!(disk.storage, Some(StorageKind::Smb3VirtualDisk));
            if disk.block_backed.is_some() && !share {
                let help = "it says what an SMB 3.0 share is on: it goes with `storage = \"smb3-virtual-disk\"`".to_owned();
                add(
                    &at.key("block-backed"),
                    "`block-backed` of what is no share".into(),
                    "has no meaning here",
                    Some(help),
                );
            }
        }
    }
    problems
}

/// The file that facts are of.
struct File<'t> {
    name: FileName,
    text: &'t str,
}

impl File<'_> {
    fn place(&self, place: &Place<'_>) -> facts::Place {
        let before = self.text.get(..place.span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        facts::Place {
            file: Arc::clone(&self.name),
            line: u32::try_from(line).unwrap_or(u32::MAX),
        }
    }

    /// A value that may be left out.
    fn stated<T>(&self, at: &Place<'_>, key: &str, value: Option<T>) -> Option<Stated<T>> {
        value.map(|value| self.place(&at.key(key)).states(value))
    }

    fn take(&self, description: Description, root: &Place<'_>, facts: &mut Facts) {
        for (i, host) in description.host.into_iter().enumerate() {
            let at = root.key("host").index(i);
            facts.hosts.push(Host {
                at: self.place(&at.key("name")),
                cores: self.stated(&at, "cores", host.cores),
                roles: self.stated(&at, "software", host.software.map(roles)),
                on_shutdown: self.stated(&at, "on-shutdown", host.on_shutdown.map(on_shutdown)),
                on_move: self.stated(&at, "on-move", host.on_move.map(on_move)),
                name: host.name,
            });
        }
        for (i, guest) in description.guest.into_iter().enumerate() {
            let at = root.key("guest").index(i);
            facts.guests.push(Guest {
                at: self.place(&at.key("name")),
                host: self.stated(&at, "host", guest.host),
                transport: guest.transport,
                vcpus: self.stated(&at, "vcpus", guest.vcpus),
                memory: self.stated(&at, "memory", guest.memory.map(|m| m.0)),
                dynamic_memory: self.stated(
                    &at,
                    "dynamic-memory",
                    guest.dynamic_memory.map(memory),
                ),
                snapshots: self.stated(&at, "snapshots", guest.snapshots.map(snapshots)),
                hibernates: None,
                disks: guest
                    .disk
                    .into_iter()
                    .enumerate()
                    .map(|(j, disk)| self.disk(disk, &at.key("disk").index(j)))
                    .collect(),
                name: guest.name,
            });
        }
        if let Some(outbound) = description.outbound {
            let at = self.place(&root.key("outbound").key("route"));
            facts.outbound = Some(at.states(facts::Outbound {
                cloud: outbound.network == Network::Cloud,
                smart_host: outbound.route == Route::SmartHost,
            }));
        }
    }

    fn disk(&self, disk: DiskEntry, at: &Place<'_>) -> Disk {
        Disk {
            at: self.place(&at.key("name")),
            system: Some(disk.used_for == UsedFor::System),
            size: self.stated(at, "size", disk.size.map(|s| s.0)),
            storage: self.stated(
                at,
                "storage",
                disk.storage.map(|kind| storage(kind, disk.block_backed)),
            ),
            source: None,
            name: disk.name,
        }
    }
}

fn roles(software: Vec<Software>) -> Vec<Role> {
    let role = |software: &Software| {
        let (name, management) = match software {
            Software::Management => ("management", true),
            Software::Antivirus => ("antivirus", true),
            Software::Backup => ("backup", true),
            Software::Monitoring => ("monitoring", true),
            Software::Mail => ("mail", false),
            Software::Database => ("a database server", false),
            Software::Directory => ("a directory service", false),
            Software::FileServer => ("a file server", false),
            Software::Web => ("a web server", false),
            Software::Other => ("other software that serves others", false),
        };
        Role {
            name: name.to_owned(),
            management,
        }
    };
    software.iter().map(role).collect()
}

fn on_shutdown(what: OnShutdown) -> Leaving {
    match what {
        OnShutdown::ShutDown => Leaving::ShutDown,
        OnShutdown::PowerOff => Leaving::PowerOff,
        OnShutdown::LiveMigration => Leaving::LiveMigration,
        OnShutdown::Save => Leaving::Save,
    }
}

fn on_move(what: OnMove) -> Leaving {
    match what {
        OnMove::LiveMigration => Leaving::LiveMigration,
        OnMove::ShutDown => Leaving::ShutDown,
        OnMove::Never => Leaving::Never,
        OnMove::Save => Leaving::Save,
    }
}

fn memory(dynamic: bool) -> Memory {
    if dynamic {
        Memory::Changes("the host may give it less than all its memory".into())
    } else {
        Memory::Fixed
    }
}

fn snapshots(policy: SnapshotPolicy) -> Snapshots {
    let taken = |how: &str| Snapshots::Taken(format!("snapshots are taken {how}"));
    match policy {
        SnapshotPolicy::Never => Snapshots::None,
        SnapshotPolicy::Manual => taken("by hand"),
        SnapshotPolicy::Scheduled => taken("by a schedule"),
        SnapshotPolicy::Backup => taken("by backup software"),
    }
}

fn storage(kind: StorageKind, block_backed: Option<bool>) -> Storage {
    let blocks = |what: &str| Storage::Blocks(what.to_owned());
    let files = |what: &str| Storage::Files(what.to_owned());
    match kind {
        StorageKind::Local => blocks("a disk of the host"),
        StorageKind::PassThrough => blocks("a disk that is passed through"),
        StorageKind::Scsi => blocks("SCSI"),
        StorageKind::FibreChannel => blocks("Fibre Channel"),
        StorageKind::Iscsi => blocks("iSCSI"),
        StorageKind::Rbd => blocks("a RADOS block device"),
        StorageKind::Smb3VirtualDisk => Storage::Smb3VirtualDisk(block_backed),
        StorageKind::Smb => files("files of an SMB share"),
        StorageKind::Nfs => files("files of an NFS server"),
        StorageKind::Nas => files("network-attached storage"),
    }
}
