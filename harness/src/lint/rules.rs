//! The deployment rules (VZ-08), each with its ID, what it demands and where that is written.
//!
//! Comes in: [`Facts`]. Goes out: findings, in the order of the rules: one for each thing that a rule is about. A rule's ID is
//! never given to another rule. Called by [`lint`](super::lint).

use gauntlet_reports::lint::{Answer, Finding, Level};

use super::{
    facts::{Disk, Facts, Guest, Host, Leaving, Memory, Place, Snapshots, Storage},
    quantity::words,
};

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its ID.
    pub id: &'static str,
    /// How much it binds.
    pub level: Level,
    /// What it demands.
    pub demand: &'static str,
    /// The part of \[VZ\] that says so.
    pub part: &'static str,
}

const fn must(id: &'static str, demand: &'static str, part: &'static str) -> Rule {
    Rule {
        id,
        level: Level::Must,
        demand,
        part,
    }
}

const VCPU_RATIO: Rule = must(
    "vcpu-ratio",
    "at most two virtual processors for each physical core of a host, which itself counts for 2; one for each is recommended",
    "Requirements for hardware virtualization",
);
const DYNAMIC_MEMORY: Rule = must(
    "dynamic-memory",
    "a guest has all its memory all the time: no dynamic memory, no ballooning",
    "Exchange memory requirements and recommendations",
);
const SYSTEM_DISK: Rule = must(
    "system-disk",
    "the system's disk has at least 15 GB plus the size of the guest's memory",
    "Requirements for hardware virtualization",
);
const BLOCK_STORAGE: Rule = must(
    "block-storage",
    "block-level storage, and no network-attached storage; virtual disks on an SMB 3.0 share that has block-level storage behind it are allowed",
    "Exchange storage requirements",
);
const SNAPSHOTS: Rule = must(
    "snapshots",
    "no snapshots of a guest are taken",
    "Requirements for hardware virtualization",
);
const SAVED_STATE: Rule = must(
    "saved-state",
    "a guest that its host shuts down, or that moves, is never started from a state saved to disk: it boots, or it moves while it runs",
    "Host-based failover clustering and migration for Exchange",
);
const HOST_SOFTWARE: Rule = must(
    "host-software",
    "nothing but management software (antivirus, backup, management of virtual machines) runs on a host beside the guests",
    "Requirements for hardware virtualization",
);
const SMART_HOST: Rule = must(
    "smart-host",
    "mail leaves a cloud provider's network through a smart host",
    "Requirements for hardware virtualization",
);

/// All of them.
pub const RULES: [&Rule; 8] = [
    &VCPU_RATIO,
    &DYNAMIC_MEMORY,
    &SYSTEM_DISK,
    &BLOCK_STORAGE,
    &SNAPSHOTS,
    &SAVED_STATE,
    &HOST_SOFTWARE,
    &SMART_HOST,
];

/// The host's own share of virtual processors.
const HOST_VCPUS: u64 = 2;

/// The least room on a system's disk beside that for memory, octets. Of two readings of "GB" the milder one.
const SYSTEM_ROOM: u64 = 15_000_000_000;

/// What every rule says of every thing that it is about.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let transport = || facts.guests.iter().filter(|guest| guest.transport);
    let mut all = ratios(facts);
    all.extend(transport().map(dynamic_memory));
    all.extend(transport().map(system_disk));
    all.extend(transport().flat_map(block_storage));
    all.extend(transport().map(snapshots));
    all.extend(saved_state(facts));
    all.extend(host_software(facts));
    all.extend(smart_host(facts));
    all
}

/// A finding in the making.
struct Said {
    answer: Answer,
    place: Option<Place>,
    found: String,
    change: String,
}

impl Said {
    fn kept(place: &Place, found: impl Into<String>) -> Self {
        Self {
            answer: Answer::Kept,
            place: Some(place.clone()),
            found: found.into(),
            change: String::new(),
        }
    }

    fn to_change(
        answer: Answer,
        place: &Place,
        found: impl Into<String>,
        change: impl Into<String>,
    ) -> Self {
        Self {
            answer,
            place: Some(place.clone()),
            found: found.into(),
            change: change.into(),
        }
    }

    fn broken(place: &Place, found: impl Into<String>, change: impl Into<String>) -> Self {
        Self::to_change(Answer::Broken, place, found, change)
    }

    fn not_stated(place: &Place, found: impl Into<String>, change: impl Into<String>) -> Self {
        Self::to_change(Answer::NotStated, place, found, change)
    }

    fn of(self, rule: &Rule, subject: impl Into<String>) -> Finding {
        Finding {
            rule: rule.id.into(),
            level: rule.level,
            answer: self.answer,
            subject: subject.into(),
            place: self.place.map(|place| place.of()),
            found: self.found,
            change: self.change,
            demand: rule.demand.into(),
            source: format!("VZ-08; Exchange 2013 virtualization, \"{}\"", rule.part),
        }
    }
}

fn ratios(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    for host in &facts.hosts {
        let guests: Vec<&Guest> = facts.guests_on(&host.name).collect();
        let subject = format!("host {}", host.name);
        let said = match &host.cores {
            Some(cores) => ratio(u64::from(cores.value), &guests, &cores.at),
            None => Said::not_stated(
                &host.at,
                "its physical cores are not stated",
                "state `cores = …`; hyper-threads do not count",
            ),
        };
        all.push(said.of(&VCPU_RATIO, subject));
    }
    if facts.hosts.is_empty() {
        let guests: Vec<&Guest> = facts.guests.iter().collect();
        let Some(first) = guests.first() else {
            return all;
        };
        let said = match facts.cores {
            Some(cores) => ratio(u64::from(cores), &guests, &first.at),
            None => Said::not_stated(
                &first.at,
                "the host and its physical cores are not stated",
                "give `--cores N`, or describe the host in a TOML file beside it",
            ),
        };
        all.push(said.of(&VCPU_RATIO, "the host"));
    }
    all
}

fn ratio(cores: u64, guests: &[&Guest], place: &Place) -> Said {
    let mut vcpus = HOST_VCPUS;
    for guest in guests {
        match &guest.vcpus {
            Some(count) => vcpus += u64::from(count.value),
            None => {
                let found = format!("the virtual processors of {} are not stated", guest.name);
                return Said::not_stated(&guest.at, found, "state them");
            }
        }
    }
    let found = format!(
        "{} virtual processors ({HOST_VCPUS} of the host, {} of {}) on {}",
        vcpus,
        vcpus - HOST_VCPUS,
        plural(guests.len() as u64, "guest"),
        plural(cores, "core"),
    );
    if vcpus > 2 * cores {
        let over = vcpus - 2 * cores;
        let change = format!(
            "take {} away, move guests to another host, or add cores: {} need {}",
            plural(over, "virtual processor"),
            plural(vcpus, "virtual processor"),
            plural(vcpus.div_ceil(2), "core")
        );
        Said::broken(place, found, change)
    } else if vcpus > cores {
        let change = "one core for each virtual processor is recommended";
        Said::to_change(Answer::Advice, place, found, change)
    } else {
        Said::kept(place, found)
    }
}

fn dynamic_memory(guest: &Guest) -> Finding {
    let said = match &guest.dynamic_memory {
        Some(memory) => match &memory.value {
            Memory::Fixed => Said::kept(&memory.at, "its memory does not change"),
            Memory::CouldChange(what) => Said::to_change(
                Answer::Advice,
                &memory.at,
                what.clone(),
                "leave nothing that could take it: in libvirt `<memballoon model='none'/>`, and `<currentMemory>` as `<memory>`",
            ),
            Memory::Changes(what) => Said::broken(
                &memory.at,
                what.clone(),
                "give it all its memory for good: in libvirt `<currentMemory>` as `<memory>`, `<memballoon model='none'/>`, no virtio-mem",
            ),
        },
        None => Said::not_stated(
            &guest.at,
            "whether its memory is dynamic is not stated",
            "state `dynamic-memory = false`, where that is so",
        ),
    };
    said.of(&DYNAMIC_MEMORY, subject(guest))
}

fn system_disk(guest: &Guest) -> Finding {
    let said = system_disk_of(guest);
    said.of(&SYSTEM_DISK, subject(guest))
}

fn system_disk_of(guest: &Guest) -> Said {
    let Some(memory) = &guest.memory else {
        return Said::not_stated(&guest.at, "its memory is not stated", "state it");
    };
    let Some(disk) = guest.disks.iter().find(|disk| disk.system == Some(true)) else {
        return Said::not_stated(
            &guest.at,
            "which disk its system is on is not stated",
            "state it: `use = \"system\"`, in libvirt `<boot order='1'/>` in the disk",
        );
    };
    let needs = SYSTEM_ROOM.saturating_add(memory.value);
    let sum = format!(
        "15 GB and {} of memory are {}",
        words(memory.value),
        words(needs)
    );
    match &disk.size {
        Some(size) if size.value < needs => Said::broken(
            &size.at,
            format!("{} has {}; {sum}", disk.name, words(size.value)),
            format!("make it {} at least", words(needs)),
        ),
        Some(size) => Said::kept(
            &size.at,
            format!("{} has {}; {sum}", disk.name, words(size.value)),
        ),
        None => Said::not_stated(
            &disk.at,
            format!("the size of {} is not stated; {sum}", disk.name),
            "state it; a libvirt domain cannot: give its volume as well (`virsh vol-dumpxml`)",
        ),
    }
}

fn block_storage(guest: &Guest) -> Vec<Finding> {
    if guest.disks.is_empty() {
        let said = Said::not_stated(&guest.at, "no disk is described", "describe its disks");
        return vec![said.of(&BLOCK_STORAGE, subject(guest))];
    }
    let of = |disk: &Disk| {
        storage(disk).of(
            &BLOCK_STORAGE,
            format!("disk {} of {}", disk.name, guest.name),
        )
    };
    guest.disks.iter().map(of).collect()
}

fn storage(disk: &Disk) -> Said {
    let Some(storage) = &disk.storage else {
        let found = match &disk.source {
            Some(source) => format!("it is {source}; what that is stored on is not stated"),
            None => "what it is on is not stated".into(),
        };
        let change = "state `storage = …` in a TOML description; a libvirt domain says it of block devices and network disks alone";
        return Said::not_stated(&disk.at, found, change);
    };
    match &storage.value {
        Storage::Blocks(what) => Said::kept(&storage.at, format!("it is on {what}")),
        Storage::Smb3VirtualDisk(Some(true)) => Said::kept(
            &storage.at,
            "a virtual disk on an SMB 3.0 share that is on block-level storage",
        ),
        Storage::Smb3VirtualDisk(Some(false)) => Said::broken(
            &storage.at,
            "a virtual disk on an SMB 3.0 share that is not on block-level storage",
            "put block-level storage behind the share, or the disk on such storage",
        ),
        Storage::Smb3VirtualDisk(None) => Said::not_stated(
            &storage.at,
            "a virtual disk on an SMB 3.0 share, and what that is on is not stated",
            "state `block-backed = true`, where that is so",
        ),
        Storage::Files(what) => Said::broken(
            &storage.at,
            format!("it is on {what}"),
            "put it on block-level storage: a disk of the host, SCSI, Fibre Channel, iSCSI",
        ),
    }
}

fn snapshots(guest: &Guest) -> Finding {
    let said = match &guest.snapshots {
        Some(stated) => match &stated.value {
            Snapshots::None => Said::kept(&stated.at, "no snapshots"),
            Snapshots::Taken(what) => Said::broken(
                &stated.at,
                what.clone(),
                "back up from within the guest; merge the layers that are there (in libvirt `virsh blockcommit`)",
            ),
        },
        None => Said::not_stated(
            &guest.at,
            "whether snapshots are taken of it is not stated",
            "state `snapshots = \"never\"`, where that is so; in libvirt `snapshot='no'` in every disk",
        ),
    };
    said.of(&SNAPSHOTS, subject(guest))
}

fn saved_state(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    for host in &facts.hosts {
        for (when, key, leaving) in [
            ("when it shuts down", "on-shutdown", &host.on_shutdown),
            ("when a guest moves", "on-move", &host.on_move),
        ] {
            let said = match leaving {
                Some(stated) => leaves(stated.value, &stated.at),
                None => Said::not_stated(
                    &host.at,
                    format!("what becomes of its guests {when} is not stated"),
                    format!("state `{key} = …`"),
                ),
            };
            all.push(said.of(&SAVED_STATE, format!("host {}, {when}", host.name)));
        }
    }
    for guest in facts.guests.iter().filter(|guest| guest.transport) {
        if facts.hosts.is_empty() {
            let said = Said::not_stated(
                &guest.at,
                "what its host does with it when it shuts down, or moves it, is not stated: a libvirt domain cannot say it",
                "describe the host in a TOML file beside it; of libvirt it is ON_SHUTDOWN of libvirt-guests, and it must not be `suspend`",
            );
            all.push(said.of(&SAVED_STATE, subject(guest)));
        }
        if let Some(stated) = guest.hibernates.as_ref().filter(|stated| stated.value) {
            let said = Said::to_change(
                Answer::Advice,
                &stated.at,
                "the guest can save its own state to disk (`<suspend-to-disk enabled='yes'/>`)",
                "`<suspend-to-disk enabled='no'/>`",
            );
            all.push(said.of(&SAVED_STATE, subject(guest)));
        }
    }
    all
}

fn leaves(leaving: Leaving, place: &Place) -> Said {
    match leaving {
        Leaving::ShutDown => Said::kept(place, "guests are shut down, and boot"),
        Leaving::LiveMigration => Said::kept(place, "guests move while they run"),
        Leaving::Never => Said::kept(place, "guests never move"),
        // VZ-01: a cold boot is supported, and a planned one need not be so rough.
        Leaving::PowerOff => Said::to_change(
            Answer::Advice,
            place,
            "guests are switched off, and boot",
            "shut them down, or move them while they run: what was not synced is lost so",
        ),
        Leaving::Save => Said::broken(
            place,
            "the guests' state is saved to disk, and they go on from there",
            "shut them down, or move them while they run; `gauntlet run virtualization` shows what a saved state does to mail",
        ),
    }
}

fn host_software(facts: &Facts) -> Vec<Finding> {
    let of = |host: &Host| {
        let said = match &host.roles {
            Some(roles) => {
                let others: Vec<&str> = (roles.value.iter())
                    .filter(|role| !role.management)
                    .map(|role| role.name.as_str())
                    .collect();
                let all: Vec<&str> = roles.value.iter().map(|role| role.name.as_str()).collect();
                match (others.as_slice(), all.as_slice()) {
                    ([], []) => Said::kept(&roles.at, "nothing beside the guests"),
                    ([], all) => {
                        Said::kept(&roles.at, format!("{} beside the guests", all.join(", ")))
                    }
                    (others, _) => Said::broken(
                        &roles.at,
                        format!("{} beside the guests", others.join(", ")),
                        "move it to a guest, or to a machine of its own",
                    ),
                }
            }
            None => Said::not_stated(
                &host.at,
                "what runs beside the guests is not stated",
                "state `software = […]`; `[]` where nothing does",
            ),
        };
        said.of(&HOST_SOFTWARE, format!("host {}", host.name))
    };
    let mut all: Vec<Finding> = facts.hosts.iter().map(of).collect();
    if let (true, Some(guest)) = (all.is_empty(), facts.guests.first()) {
        let said = Said::not_stated(
            &guest.at,
            "the host, and what runs on it beside the guests, is not stated",
            "describe the host in a TOML file beside it",
        );
        all.push(said.of(&HOST_SOFTWARE, "the host"));
    }
    all
}

fn smart_host(facts: &Facts) -> Vec<Finding> {
    let said = match &facts.outbound {
        Some(stated) => match (stated.value.cloud, stated.value.smart_host) {
            (true, false) => Said::broken(
                &stated.at,
                "mail leaves a cloud provider's network straight to the recipients' servers",
                "send it through a smart host outside, or the provider's",
            ),
            (true, true) => Said::kept(
                &stated.at,
                "mail leaves a cloud provider's network through a smart host",
            ),
            (false, _) => Said::kept(&stated.at, "mail leaves the organization's own network"),
        },
        None => {
            let first =
                (facts.guests.first().map(|g| &g.at)).or(facts.hosts.first().map(|h| &h.at));
            let Some(place) = first else {
                return Vec::new();
            };
            Said::not_stated(
                place,
                "how mail leaves the network is not stated",
                "state it in a TOML description: `[outbound]` with `network` and `route`",
            )
        }
    };
    vec![said.of(&SMART_HOST, "outbound mail")]
}

fn subject(guest: &Guest) -> String {
    format!("guest {}", guest.name)
}

fn plural(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
