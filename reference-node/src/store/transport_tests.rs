use redb::{ReadableTableMetadata as _, backends::InMemoryBackend};

use super::*;
use crate::message::{Origin, TransportId};

fn apply(database: &Database, writes: Vec<TransportWrite>) {
    let transport = Transport {
        position: Arc::default(),
    };
    let transaction = database.begin_write().expect("a transaction");
    transport
        .apply(&transaction, &[writes])
        .expect("tables in memory");
    transaction.commit().expect("memory");
}

fn parts(database: &Database) -> u64 {
    let transaction = database.begin_read().expect("a transaction");
    let parts = transaction
        .open_table(PARTS)
        .expect("a long content made it");
    parts.len().expect("memory")
}

#[test]
fn a_long_content_comes_back_whole_and_leaves_nothing() {
    let database = Database::builder()
        .create_with_backend(InMemoryBackend::new())
        .expect("memory");
    let long: Bytes = (0..LONGEST_VALUE * 2 + 1).map(|i| i as u8).collect();
    let exact = long.slice(..LONGEST_VALUE);
    let contents = [(1, long.clone()), (2, exact), (3, long)];
    for (row, content) in &contents {
        apply(
            &database,
            vec![TransportWrite::PutContent(*row, content.clone())],
        );
    }
    for (row, content) in &contents {
        let read = read_content(&database, *row).expect("memory");
        assert!(read.as_ref() == Some(content), "row {row}");
    }
    assert_eq!(read_content(&database, 4).expect("memory"), None);
    assert_eq!(parts(&database), 6);

    let entry = SafetyNetEntry {
        envelope: Envelope {
            id: TransportId::new("n1", "aa", 3),
            from: Default::default(),
            recipients: Vec::new(),
            received: Timestamp(1),
            submit_time: Timestamp(1),
            message_id: None,
            size: 0,
            origin: Origin::Received,
            shadows: Vec::new(),
            side_effects: 0,
            delay_told: false,
        },
        role: SafetyNetRole::Primary,
        primary: None,
        entered: Timestamp(1),
    };
    apply(
        &database,
        vec![
            TransportWrite::PutSafetyNet(Timestamp(5), 3, entry),
            TransportWrite::DeleteContent(2),
            TransportWrite::ExpireSafetyNet(Timestamp(5)),
        ],
    );
    assert_eq!(read_content(&database, 3).expect("memory"), None);
    assert_eq!(parts(&database), 3, "those of row 1");
    apply(&database, vec![TransportWrite::DeleteContent(1)]);
    assert_eq!(parts(&database), 0);
}

#[test]
fn only_what_others_have_shown_does_not_move_the_position() {
    let shown = || {
        let mark = Mark {
            database: "aa".into(),
            epoch: 1,
            position: 1,
        };
        TransportWrite::SetShown("n2".into(), mark)
    };
    assert_eq!(Transport::advance(&vec![shown()]), 0);
    assert_eq!(
        Transport::advance(&vec![shown(), TransportWrite::DeleteQueue(1)]),
        1
    );
    // Whoever waits for an empty request waits for all before it: it has a place of its own.
    assert_eq!(Transport::advance(&Vec::new()), 1);
}
