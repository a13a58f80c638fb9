//! The disk with redb on it, and against a model.

use proptest::prelude::*;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::*;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");

fn database(disk: &SimDisk) -> Database {
    Database::builder()
        .create_with_backend(disk.open("transport.redb"))
        .expect("a database")
}

fn put(db: &Database, key: u64, durability: Durability) {
    let mut txn = db.begin_write().expect("a transaction");
    txn.set_durability(durability).expect("a durability");
    txn.open_table(TABLE)
        .and_then(|mut table| {
            table
                .insert(key, &[7; 5000][..])
                .map(drop)
                .map_err(Into::into)
        })
        .expect("an insert");
    txn.commit().expect("a commit");
}

fn keys(db: &Database) -> Vec<u64> {
    let txn = db.begin_read().expect("a transaction");
    let table = txn.open_table(TABLE).expect("the table");
    redb::ReadableTable::iter(&table)
        .expect("a range")
        .map(|entry| entry.expect("an entry").0.value())
        .collect()
}

#[test]
fn what_was_committed_outlives_a_host_crash() {
    let disk = SimDisk::new();
    let db = database(&disk);
    put(&db, 1, Durability::Immediate);
    put(&db, 2, Durability::None);
    assert_eq!(keys(&db), [1, 2]);
    disk.host_crash();
    drop(db);
    assert_eq!(keys(&database(&disk)), [1]);
}

#[test]
fn what_was_synced_outlives_a_crash_of_the_process_in_mid_transaction() {
    let disk = SimDisk::new();
    let db = database(&disk);
    put(&db, 1, Durability::Immediate);
    let txn = db.begin_write().expect("a transaction");
    txn.open_table(TABLE)
        .and_then(|mut table| table.insert(9, &[1][..]).map(drop).map_err(Into::into))
        .expect("an insert");
    disk.process_crash();
    assert!(txn.commit().is_err(), "a dead process commits nothing");
    drop(db);
    let db = database(&disk);
    assert_eq!(keys(&db), [1]);
    put(&db, 2, Durability::Immediate);
    assert_eq!(keys(&db), [1, 2]);
}

#[test]
fn a_snapshot_is_what_was_synced_and_can_be_gone_back_to() {
    let disk = SimDisk::new();
    let db = database(&disk);
    put(&db, 1, Durability::Immediate);
    let snapshot = disk.snapshot();
    put(&db, 2, Durability::Immediate);
    disk.revert(&snapshot);
    drop(db);
    let db = database(&disk);
    assert_eq!(keys(&db), [1]);
    put(&db, 3, Durability::Immediate);
    disk.revert(&snapshot);
    drop(db);
    assert_eq!(keys(&database(&disk)), [1], "a snapshot can be used twice");
}

#[test]
fn removing_one_file_leaves_the_other() {
    let disk = SimDisk::new();
    let mailbox = disk.open("mailbox.redb");
    mailbox.write(0, b"mail").expect("a write");
    mailbox.sync_data().expect("a sync");
    drop(database(&disk));
    disk.remove("transport.redb");
    assert!(mailbox.len().is_err(), "handles end");
    assert_eq!(disk.files(), BTreeMap::from([("mailbox.redb".into(), 4)]));
    disk.wipe();
    disk.host_crash();
    assert!(disk.files().is_empty());
}

#[test]
fn a_file_that_was_never_synced_is_not_there_after_power_loss() {
    let disk = SimDisk::new();
    disk.open("a").write(0, b"x").expect("a write");
    disk.process_crash();
    assert_eq!(disk.files().len(), 1);
    assert!(disk.snapshot().files.is_empty());
    disk.host_crash();
    assert!(disk.files().is_empty());
}

#[test]
fn places_that_no_file_has_are_errors() {
    let file = SimDisk::new().open("a");
    assert!(file.write(u64::MAX, b"x").is_err());
    assert!(file.write(LONGEST_FILE, b"x").is_err());
    assert!(file.set_len(u64::MAX).is_err());
    assert!(file.read(0, &mut [0]).is_err());
    assert!(file.read(u64::MAX, &mut [0]).is_err());
}

#[derive(Debug, Clone)]
enum Op {
    Write { offset: u64, len: usize, octet: u8 },
    SetLen(u64),
    Sync,
    ProcessCrash,
    HostCrash,
    Snapshot,
    Revert,
}

fn op() -> impl Strategy<Value = Op> {
    const SIZE: u64 = 5 * PAGE as u64;
    prop_oneof![
        6 => (0..SIZE, 0..2 * PAGE, 1..=255u8)
            .prop_map(|(offset, len, octet)| Op::Write { offset, len, octet }),
        2 => (0..SIZE).prop_map(Op::SetLen),
        3 => Just(Op::Sync),
        1 => Just(Op::ProcessCrash),
        1 => Just(Op::HostCrash),
        1 => Just(Op::Snapshot),
        1 => Just(Op::Revert),
    ]
}

proptest! {
    #[test]
    fn it_behaves_like_two_plain_files(ops in proptest::collection::vec(op(), 1..40)) {
        let disk = SimDisk::new();
        let mut file = disk.open("f");
        let (mut current, mut durable) = (Vec::new(), Vec::new());
        let mut kept = (disk.snapshot(), Vec::new());
        for op in ops {
            match op {
                Op::Write { offset, len, octet } => {
                    file.write(offset, &vec![octet; len]).expect("a write");
                    let start = offset as usize;
                    current.resize(current.len().max(start + len), 0);
                    current[start..start + len].fill(octet);
                }
                Op::SetLen(len) => {
                    file.set_len(len).expect("a length");
                    current.resize(len as usize, 0);
                }
                Op::Sync => {
                    file.sync_data().expect("a sync");
                    durable = current.clone();
                }
                Op::ProcessCrash | Op::HostCrash => {
                    if matches!(op, Op::HostCrash) {
                        disk.host_crash();
                        current = durable.clone();
                    } else {
                        disk.process_crash();
                    }
                    prop_assert!(file.sync_data().is_err());
                    file = disk.open("f");
                }
                Op::Snapshot => kept = (disk.snapshot(), durable.clone()),
                Op::Revert => {
                    disk.revert(&kept.0);
                    (current, durable) = (kept.1.clone(), kept.1.clone());
                    file = disk.open("f");
                }
            }
            prop_assert_eq!(file.len().expect("a length"), current.len() as u64);
            let mut read = vec![0; current.len()];
            file.read(0, &mut read).expect("a read");
            prop_assert_eq!(&read, &current);
        }
    }
}

/// What a fresh database and twenty commits cost on the disk, beyond redb's own work in memory.
#[test]
fn a_database_is_not_much_dearer_than_one_in_memory() {
    const ROUNDS: u32 = 20;
    let time = |make: &dyn Fn() -> Database| {
        let begun = std::time::Instant::now();
        for _ in 0..ROUNDS {
            let db = make();
            (0..20).for_each(|key| put(&db, key, Durability::Immediate));
        }
        begun.elapsed() / ROUNDS
    };
    let memory = time(&|| {
        let backend = redb::backends::InMemoryBackend::new();
        Database::builder()
            .create_with_backend(backend)
            .expect("a database")
    });
    let disk = time(&|| database(&SimDisk::new()));
    eprintln!("20 commits: {memory:?} in memory, {disk:?} on SimDisk");
    // Far from what is measured, so that a busy machine does not fail it.
    assert!(disk < 20 * memory + std::time::Duration::from_millis(50));
}
