//! Deployment descriptions and libvirt's XML: no text makes a reader or a rule panic, whatever kind of file it is taken for, and
//! every report has its renderings.
#![no_main]

use gauntlet::lint::{self, Input};
use libfuzzer_sys::fuzz_target;

/// What stands before it is one file, and what stands behind it another.
const BETWEEN: &str = "\n---\n";

fuzz_target!(|text: &str| {
    let (first, second) = text.split_once(BETWEEN).unwrap_or((text, ""));
    let inputs = [("a", first), ("b", second)].map(|(name, text)| Input {
        name: name.into(),
        text: text.into(),
    });
    for (inputs, cores) in [(&inputs[..1], None), (&inputs[..], Some(4))] {
        match lint::lint(inputs, cores) {
            Ok(report) => {
                gauntlet_reports::lint::junit(&report).expect("a well-formed file");
                gauntlet_reports::lint::json(&report).expect("JSON");
            }
            // What a person sees.
            Err(error) => assert!(!format!("{:?}", miette::Report::new(error)).is_empty()),
        }
    }
});
