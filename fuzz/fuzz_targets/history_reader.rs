//! Recorded histories: no octets make the reader panic, and what it has read comes back from what is written of it.
#![no_main]

use std::path::Path;

use gauntlet::history::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let path = Path::new("history.jsonl");
    match parse(octets, path) {
        Ok(history) => {
            assert!(history.plan().is_some(), "the first record is `begin`");
            let mut written = Vec::new();
            for record in &history.records {
                serde_json::to_writer(&mut written, record).expect("every record has a line");
                written.push(b'\n');
            }
            let again = parse(&written, path).expect("what was read");
            assert_eq!(again.records, history.records);
        }
        Err(error) => assert!(error.to_string().starts_with("history.jsonl")),
    }
});
