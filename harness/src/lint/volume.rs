//! A storage volume of libvirt (`virsh vol-dumpxml`): how large a guest's disk is, which its domain does not say.
//!
//! Comes in: a `<volume>` element. Goes out: its capacity, under each name by which a domain may know it. Format:
//! <https://libvirt.org/formatstorage.html>.

use roxmltree::Node;

use super::{
    facts::Volume,
    xml::{File, child, text},
};

/// None, where the capacity or every name is missing.
pub(super) fn read(file: &File<'_, '_>, root: Node<'_, '_>) -> Vec<Volume> {
    let capacity = child(root, "capacity").and_then(|node| file.amount(node, 1));
    let Some(capacity) = capacity else {
        return Vec::new();
    };
    let path = child(root, "target").and_then(|target| text(target, "path"));
    let mut names: Vec<&str> = [path, text(root, "key"), text(root, "name")]
        .into_iter()
        .flatten()
        .collect();
    names.dedup();
    let volume = |name: &str| Volume {
        path: name.to_owned(),
        capacity: capacity.clone(),
    };
    names.into_iter().map(volume).collect()
}
