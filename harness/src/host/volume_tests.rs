use std::io::Write;

use super::*;
use crate::host::testing::have;

struct Made {
    volume: Volume,
    _directory: Scratch,
}

fn made() -> Option<Made> {
    if !have(available()) {
        return None;
    }
    let directory = Scratch::new().expect("a directory");
    let volume = Volume::of_size(directory.path(), TRIAL_SIZE).expect("a file system");
    Some(Made {
        volume,
        _directory: directory,
    })
}

#[test]
fn what_was_synced_survives_a_loss_of_power() {
    let Some(Made { volume, .. }) = &made() else {
        return;
    };
    let at = |name: &str| volume.point().join(name);
    let mut file = File::create(at("synced")).expect("made");
    file.write_all(b"one").expect("written");
    file.sync_all().expect("synced");
    File::open(volume.point())
        .and_then(|d| d.sync_all())
        .expect("synced");
    file.write_all(b" two").expect("written");
    fs::write(at("unsynced"), "x").expect("written");
    fs::write(at("renamed"), "x").expect("written");
    fs::rename(at("renamed"), at("synced-not-renamed")).expect("renamed");

    volume.cut_power().expect("dark");
    let error = file.write_all(b"three").expect_err("nothing works");
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
    drop(file);
    volume.mount().expect("it boots");
    assert_eq!(
        fs::read_to_string(at("synced")).ok().as_deref(),
        Some("one")
    );
    assert!(!at("unsynced").exists() && !at("synced-not-renamed").exists());
}

#[test]
fn a_full_disk_has_not_one_block_also_after_a_loss_of_power() {
    let Some(Made { volume, .. }) = &made() else {
        return;
    };
    let full = |name: &str| {
        let written = fs::write(volume.point().join(name), [7; 8192]);
        written.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
    };
    let old = volume.point().join("old");
    fs::write(&old, [1; 4096]).expect("room");
    volume.fill().expect("full");
    assert!(full("new"));
    let mut open = File::options().write(true).open(&old).expect("open");
    open.write_all(&[2; 4096])
        .expect("what has blocks can be overwritten");
    open.sync_all().expect("synced");
    drop(open);
    volume.cut_power().expect("dark");
    volume.mount().expect("it boots");
    assert!(full("later"));
    volume.make_room().expect("room");
    assert!(!full("new"));
    assert_eq!(fs::read(&old).expect("it is there"), [2; 4096]);
}

#[test]
fn a_read_only_disk_is_so_until_it_is_repaired() {
    let Some(Made { volume, .. }) = &made() else {
        return;
    };
    let at = volume.point().join("file");
    let mut open = File::create(&at).expect("made");
    open.write_all(b"x").expect("written");
    open.sync_all().expect("synced");
    volume.make_read_only().expect("read-only");
    let refused = |result: io::Result<()>| {
        result.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    };
    assert!(refused(open.write_all(b"y")), "by files that are open, too");
    assert!(refused(fs::write(volume.point().join("new"), "x")));
    drop(open);
    volume.cut_power().expect("dark");
    volume.mount().expect("it boots");
    assert!(
        refused(fs::write(volume.point().join("new"), "x")),
        "a boot repairs nothing"
    );
    volume.repair().expect("repaired");
    fs::write(volume.point().join("new"), "x").expect("it can be written");
    assert_eq!(fs::read_to_string(&at).ok().as_deref(), Some("x"));
}

#[test]
fn nothing_is_left_behind() {
    let Some(Made {
        volume,
        _directory: directory,
    }) = made()
    else {
        return;
    };
    let (image, point) = (volume.image.clone(), volume.point.clone());
    volume.cut_power().expect("dark");
    drop(volume);
    assert!(!image.exists() && !point.exists());
    assert!(!mounts::is_mounted(&point));
    drop(directory);
}
