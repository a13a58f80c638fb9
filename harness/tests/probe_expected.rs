//! The known failures of other servers, `suites/expected/*.toml`: every one of them is a case's, and has its clause.

use std::{ffi::OsStr, fs, path::Path};

use gauntlet::probe::{cases, client, expected};

#[test]
fn every_known_failure_is_of_a_case_and_names_its_clause() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites/expected");
    let mut servers = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.extension() != Some(OsStr::new("toml")) {
            continue;
        }
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).expect("text");
        // Of a server's sending side.
        let about_client = name.ends_with("-client.toml");
        let known = match about_client {
            true => expected::parse(&name, &text, &client::cases::all()),
            false => expected::parse(&name, &text, &cases::all()),
        };
        let known =
            known.unwrap_or_else(|error| panic!("{name}: {:?}", miette::Report::new(error)));
        assert!(!known.is_empty(), "{name}");
        for (id, reason) in known {
            assert!(reason.contains("RFC "), "{name}: {id}: {reason}");
        }
        servers.push(path.file_stem().expect("a name").to_os_string());
    }
    servers.sort();
    assert_eq!(
        servers,
        [
            "aiosmtpd",
            "mailin-embedded",
            "opensmtpd",
            "postfix",
            "postfix-client"
        ]
    );
}
