//! A guest as libvirt has it (`virsh dumpxml`).
//!
//! Comes in: a `<domain>` element. Goes out: a [`Guest`]. Format: <https://libvirt.org/formatdomain.html>. What a domain cannot
//! say is left out: which host runs it and what else runs there, how large its disks are, what a file of the host is stored on,
//! what the host does with it when it shuts down (`libvirt-guests`), and how mail leaves the network. `on_poweroff`, `on_crash` and
//! `on_lockfailure` are about the guest's own end, and save no state.

use roxmltree::Node;

use super::{
    facts::{Disk, Guest, Memory, Snapshots, Stated, Storage},
    quantity,
    xml::{File, child, text},
};

/// What libvirt takes an amount of memory for when it has no unit.
const KIB: u64 = 1 << 10;

pub(super) fn read<'d>(file: &File<'d, '_>, root: Node<'d, '_>) -> Guest {
    let devices = child(root, "devices");
    let disks: Vec<Node<'_, '_>> = devices
        .into_iter()
        .flat_map(|devices| devices.children().filter(|n| n.has_tag_name("disk")))
        .filter(|disk| matches!(disk.attribute("device"), None | Some("disk" | "lun")))
        .collect();
    let system = system_disk(root, &disks);
    let at = file.place(root);
    Guest {
        name: text(root, "name").unwrap_or("without a name").to_owned(),
        host: None,
        transport: true,
        // The maximum: what is not plugged in now is promised all the same.
        vcpus: child(root, "vcpu").and_then(|node| file.number(node)),
        memory: child(root, "memory").and_then(|node| file.amount(node, KIB)),
        dynamic_memory: memory(file, root, devices),
        snapshots: snapshots(file, &disks),
        hibernates: child(root, "pm")
            .and_then(|pm| child(pm, "suspend-to-disk"))
            .and_then(|node| {
                let enabled = match node.attribute("enabled")? {
                    "yes" => true,
                    "no" => false,
                    _ => return None,
                };
                Some(file.place(node).states(enabled))
            }),
        disks: disks
            .iter()
            .enumerate()
            .map(|(i, node)| disk(file, *node, system.map(|system| system == i)))
            .collect(),
        at,
    }
}

/// The disk that the guest boots from: the first by `<boot order>`, or else the first one where the guest boots from hard disks. A
/// guest with one disk has its system there. `None`: the domain does not say.
fn system_disk(root: Node<'_, '_>, disks: &[Node<'_, '_>]) -> Option<usize> {
    if disks.len() == 1 {
        return Some(0);
    }
    let order = |disk: &Node<'_, '_>| {
        child(*disk, "boot")?
            .attribute("order")?
            .parse::<u32>()
            .ok()
    };
    let first = disks
        .iter()
        .enumerate()
        .filter_map(|(i, disk)| Some((order(disk)?, i)))
        .min();
    let from_disks = || {
        let os = child(root, "os")?;
        let mut boots = os.children().filter(|n| n.has_tag_name("boot"));
        boots
            .any(|boot| boot.attribute("dev") == Some("hd"))
            .then_some(0)
            .filter(|_| !disks.is_empty())
    };
    first.map(|(_, i)| i).or_else(from_disks)
}

fn memory<'d>(
    file: &File<'d, '_>,
    root: Node<'d, '_>,
    devices: Option<Node<'d, '_>>,
) -> Option<Stated<Memory>> {
    let all_node = child(root, "memory")?;
    let all = file.amount(all_node, KIB)?;
    let mut parts = devices.into_iter().flat_map(|devices| devices.children());
    if let Some(node) = parts
        .find(|n| n.has_tag_name("memory") && matches!(n.attribute("model"), Some("virtio-mem")))
    {
        let words = "a virtio-mem device, by which memory is given and taken while the guest works";
        return Some(file.place(node).states(Memory::Changes(words.into())));
    }
    let balloon = devices.and_then(|devices| child(devices, "memballoon"));
    // QEMU gets one that the domain does not mention.
    let has_balloon = balloon.and_then(|b| b.attribute("model")) != Some("none");
    let current = child(root, "currentMemory");
    let now = current.and_then(|node| file.amount(node, KIB));
    if let Some(now) = now.filter(|now| now.value < all.value) {
        let words = format!(
            "the guest has {} of {} now",
            quantity::words(now.value),
            quantity::words(all.value)
        );
        return Some(match has_balloon {
            true => now
                .at
                .states(Memory::Changes(format!("{words}: a balloon has the rest"))),
            false => now.at.states(Memory::CouldChange(format!(
                "{words}, and no balloon device"
            ))),
        });
    }
    let at = balloon.map_or_else(|| all.at.clone(), |node| file.place(node));
    let reports = balloon.and_then(|b| b.attribute("freePageReporting")) == Some("on");
    Some(at.states(match has_balloon {
        true if reports => Memory::Changes("the balloon gives pages that the guest does not use back to the host".into()),
        true => Memory::CouldChange("the guest has all its memory, and a balloon device that can take it (`virsh setmem`)".into()),
        false => Memory::Fixed,
    }))
}

/// A disk that is layered on another one; or no disk that a snapshot would take.
fn snapshots(file: &File<'_, '_>, disks: &[Node<'_, '_>]) -> Option<Stated<Snapshots>> {
    for disk in disks {
        let below =
            child(*disk, "backingStore").and_then(|node| Some((node, child(node, "source")?)));
        if let Some((node, source)) = below {
            let words = format!(
                "{} is a layer on {}: an external snapshot, or a clone of a template",
                target(*disk),
                named(source).unwrap_or("another disk")
            );
            return Some(file.place(node).states(Snapshots::Taken(words)));
        }
        if child(*disk, "mirror").is_none() && disk.attribute("snapshot") == Some("external") {
            let words = format!("{} is set up for external snapshots", target(*disk));
            return Some(file.place(*disk).states(Snapshots::Taken(words)));
        }
    }
    let (first, rest) = disks.split_first()?;
    let excluded = |disk: &Node<'_, '_>| disk.attribute("snapshot") == Some("no");
    (excluded(first) && rest.iter().all(excluded))
        .then(|| file.place(*first).states(Snapshots::None))
}

fn disk(file: &File<'_, '_>, node: Node<'_, '_>, system: Option<bool>) -> Disk {
    let source = child(node, "source");
    Disk {
        name: target(node).to_owned(),
        at: file.place(node),
        system,
        size: None,
        storage: storage(node, source).map(|kind| file.place(source.unwrap_or(node)).states(kind)),
        source: source.and_then(named).map(str::to_owned),
    }
}

/// `None` where the domain names a file or a volume: what that is stored on is the host's matter.
fn storage(disk: Node<'_, '_>, source: Option<Node<'_, '_>>) -> Option<Storage> {
    let blocks = |what: &str| Some(Storage::Blocks(what.to_owned()));
    let files = |what: String| Some(Storage::Files(what));
    match disk.attribute("type")? {
        "block" => blocks("a block device of the host"),
        "nvme" => blocks("an NVMe device"),
        "vhostuser" => blocks("a vhost-user block device"),
        "vhostvdpa" => blocks("a vDPA block device"),
        "dir" => files("a directory of the host".into()),
        "network" => match source?.attribute("protocol")? {
            "iscsi" => blocks("iSCSI"),
            "rbd" => blocks("a RADOS block device"),
            "nbd" => blocks("a network block device"),
            "sheepdog" => blocks("a Sheepdog volume"),
            "vxhs" => blocks("a VxHS volume"),
            other => files(format!("files of a server ({other})")),
        },
        _ => None,
    }
}

fn target<'a>(disk: Node<'a, '_>) -> &'a str {
    let target = child(disk, "target").and_then(|target| target.attribute("dev"));
    target.unwrap_or("without a name")
}

/// The path, device or volume that a source is.
fn named<'a>(source: Node<'a, '_>) -> Option<&'a str> {
    ["file", "dev", "volume", "name", "dir"]
        .into_iter()
        .find_map(|name| source.attribute(name))
}
