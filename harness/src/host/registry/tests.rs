use std::process::{Command, Stdio};

use super::{clean::leftovers_in, *};

/// A register of a harness that is dead.
fn dead(place: &Path, resources: &[Resource]) -> ProcessId {
    // Nobody has both this number and this start time.
    let harness = ProcessId {
        id: 1,
        started: u64::MAX,
    };
    let register = place.join(harness.to_string());
    fs::create_dir(&register).expect("made");
    for (number, resource) in resources.iter().enumerate() {
        let text = serde_json::to_string(resource).expect("written down");
        fs::write(register.join(format!("{number:010}.json")), text).expect("written");
    }
    harness
}

#[test]
fn what_a_dead_harness_left_is_found_and_removed() {
    let place = tempfile::tempdir().expect("a directory");
    let scratch = place.path().join("scratch");
    fs::create_dir(&scratch).expect("made");
    fs::write(scratch.join("file"), "x").expect("written");
    let mut child = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .spawn()
        .expect("sleep");
    let process = ProcessId::of(i32::try_from(child.id()).expect("a number")).expect("it lives");
    let harness = dead(
        place.path(),
        &[
            Resource::Directory {
                path: scratch.clone(),
            },
            Resource::Process {
                process,
                name: "n1".into(),
            },
            Resource::Directory {
                path: place.path().join("gone already"),
            },
        ],
    );
    // Half an entry, of which nothing was made.
    fs::write(
        place
            .path()
            .join(harness.to_string())
            .join("0000000003.new"),
        "{",
    )
    .expect("written");

    let found = leftovers_in(place.path()).expect("read");
    let told: Vec<_> = found
        .iter()
        .flat_map(|left| &left.resources)
        .map(|r| r.to_string())
        .collect();
    assert_eq!(
        told,
        [
            format!("process {} (n1)", process.id),
            format!("directory {}", scratch.display())
        ]
    );
    // It is not waited for before: a zombie counts as dead.
    let cleaned = clean(found);
    assert!(
        cleaned.iter().all(|one| one.failed.is_none()),
        "{cleaned:?}"
    );
    assert_eq!(cleaned.len(), 2);
    assert!(!process.lives() && !scratch.exists());
    let _ = child.wait();
    assert!(leftovers_in(place.path()).expect("read").is_empty());
    assert!(fs::read_dir(place.path()).expect("read").next().is_none());
}

#[test]
fn a_process_of_the_same_number_is_somebody_elses() {
    let own = ProcessId::own().expect("we live");
    let other = ProcessId {
        started: own.started + 1,
        ..own
    };
    assert!(own.lives() && !other.lives());
    let resource = Resource::Process {
        process: other,
        name: "n1".into(),
    };
    resource.remove().expect("there is nothing to remove");
    assert_eq!(own.to_string().parse(), Ok(own));
    assert_eq!("latest".parse::<ProcessId>(), Err(()));
}

#[test]
fn a_harness_that_lives_is_left_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let register = place
        .path()
        .join(ProcessId::own().expect("we live").to_string());
    fs::create_dir(&register).expect("made");
    fs::write(register.join("0000000000.json"), "{}").expect("written");
    assert!(leftovers_in(place.path()).expect("read").is_empty());
    assert!(register.exists());
}

#[test]
fn what_cannot_be_read_stays_and_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let harness = dead(place.path(), &[]);
    let entry = place
        .path()
        .join(harness.to_string())
        .join("0000000000.json");
    fs::write(&entry, "{\"kind\":\"moon\"}").expect("written");
    let cleaned = clean(leftovers_in(place.path()).expect("read"));
    assert_eq!(cleaned.len(), 1);
    assert!(cleaned[0].failed.is_some() && entry.exists());
}

#[test]
fn what_somebody_else_wrote_down_is_left_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let harness = dead(place.path(), &[]);
    let register = place.path().join(harness.to_string());
    // Only root can give a directory away.
    if std::os::unix::fs::chown(&register, Some(65_534), None).is_err() {
        return eprintln!("skipped: only root can make a directory somebody else's");
    }
    assert!(leftovers_in(place.path()).expect("read").is_empty());
}

#[test]
fn entries_are_crossed_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let entry = Entry::new(&Resource::Directory {
        path: directory.path().into(),
    })
    .expect("written down");
    let file = entry.file.clone();
    assert!(file.is_file());
    drop(entry);
    assert!(!file.exists());
}
