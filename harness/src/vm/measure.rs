//! What operations on guests took, and by what it is known that they took effect, as the history has it.

use std::time::Duration;

use gauntlet_machines::guest::Migration;

use crate::history::{Event, Recorder};

/// Records an operation.
pub(super) fn record(recorder: &Recorder, node: &str, what: &str, took: Duration, proof: String) {
    recorder.record(Event::Measured {
        node: node.to_owned(),
        what: what.to_owned(),
        took_us: us(took),
        blackout_us: None,
        proof,
    });
}

/// Records a live migration.
pub(super) fn migration(recorder: &Recorder, node: &str, migration: &Migration, proof: String) {
    recorder.record(Event::Measured {
        node: node.to_owned(),
        what: "migration".into(),
        took_us: us(migration.took),
        blackout_us: Some(us(migration.blackout.longest)),
        proof,
    });
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
