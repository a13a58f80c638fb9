//! Scenario files: no text makes the parser panic, every error stands at a place within the text, and the plan of
//! what was accepted comes back from its file.
#![no_main]

use gauntlet::scenario::{self, Plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match scenario::parse("fuzz.toml", text) {
        Ok(parsed) => {
            let plan = scenario::plan("fuzz", "fuzz", &parsed, 1);
            let written = plan.to_toml().expect("every plan has a file");
            assert_eq!(Plan::from_toml(&written).expect("its own file"), plan);
        }
        Err(error) => {
            let (line, column) = error.line_and_column();
            assert!(
                column >= 1 && line >= 1 && line <= text.matches('\n').count() + 1,
                "{line}:{column}"
            );
            // What a person sees.
            assert!(!format!("{:?}", miette::Report::new(error)).is_empty());
        }
    }
});
