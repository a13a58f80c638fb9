//! `gauntlet certify` and `gauntlet merge` through the binary: on real processes, narrowed to one guarantee.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const GAUNTLET: &str = env!("CARGO_BIN_EXE_gauntlet");

/// Exit code, stdout, stderr.
fn gauntlet(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(GAUNTLET)
        .args(args)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("no signal");
    (code, text(output.stdout), text(output.stderr))
}

/// The certificate in the only run directory below `runs`.
fn certificate(runs: &Path) -> serde_json::Value {
    let directory = runs.join("latest");
    let text = fs::read_to_string(directory.join("certificate.json")).expect("a certificate");
    serde_json::from_str(&text).expect("JSON")
}

/// What an error says, without the breaks and bars of its lines.
fn words(error: &str) -> String {
    let words = error.split_whitespace().filter(|word| *word != "│");
    words.collect::<Vec<_>>().join(" ")
}

fn part(runs: &Path, part: &str, seed: &str) -> PathBuf {
    let text = runs.display().to_string();
    let args = [
        "certify",
        "reference",
        "--only",
        "TC-10",
        "--repeats",
        "2",
        "--seed",
        seed,
        "--shard",
        part,
        "--runs-dir",
        &text,
        "--quiet",
    ];
    let (code, out, err) = gauntlet(&args);
    assert_eq!(code, 0, "{out}{err}");
    let latest = fs::canonicalize(runs.join("latest")).expect("a run directory");
    assert!(latest.to_string_lossy().contains("-part-"), "{latest:?}");
    latest
}

#[test]
fn what_one_guarantee_proves_reaches_no_level_and_the_certificate_says_why() {
    let runs = tempfile::tempdir().expect("a directory");
    let junit = runs.path().join("junit.xml");
    let (code, out, err) = gauntlet(&[
        "certify",
        "reference",
        "--only",
        "TC-10",
        "--repeats",
        "1",
        "--runs-dir",
        &runs.path().display().to_string(),
        "--junit",
        &junit.display().to_string(),
    ]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("holds          TC-10"), "{out}");
    let certificate = certificate(runs.path());
    let levels = certificate["levels"].as_array().expect("levels");
    assert_eq!(levels.len(), 6);
    for level in levels {
        assert_eq!(level["reached"], false, "{level}");
        assert!(!level["reasons"].as_array().expect("reasons").is_empty());
    }
    let tc_10 = certificate["guarantees"]
        .as_array()
        .expect("guarantees")
        .iter()
        .find(|line| line["id"] == "TC-10")
        .expect("TC-10");
    assert_eq!(tc_10["status"], "holds");
    assert!(tc_10["promised"].as_u64() > Some(280), "{tc_10}");
    assert_eq!(certificate["ledger"]["lost"], 0);
    assert!(
        certificate["subject"]["digest"]
            .as_str()
            .expect("a digest")
            .starts_with("sha256:")
    );
    let markdown = fs::read_to_string(runs.path().join("latest/certificate.md")).expect("written");
    assert!(markdown.contains("**No level is reached.**"), "{markdown}");
    assert!(
        markdown.contains("everything else: --only TC-10"),
        "{markdown}"
    );
    assert!(
        fs::read_to_string(junit)
            .expect("written")
            .contains("TC-10")
    );
}

#[test]
fn parts_are_put_together_and_nothing_else_is() {
    let runs = tempfile::tempdir().expect("a directory");
    let (a, b, other) = (
        runs.path().join("a"),
        runs.path().join("b"),
        runs.path().join("other"),
    );
    let first = part(&a, "1/2", "1").display().to_string();
    let second = part(&b, "2/2", "1").display().to_string();
    let stranger = part(&other, "2/2", "7").display().to_string();
    let whole = runs.path().join("whole");
    let into = whole.display().to_string();

    let (code, out, err) = gauntlet(&["merge", &first, &second, "--runs-dir", &into]);
    assert_eq!(code, 0, "{out}{err}");
    let merged = certificate(&whole);
    let messages = |runs: &Path| {
        certificate(runs)["ledger"]["messages"]
            .as_u64()
            .expect("a number")
    };
    assert_eq!(
        merged["ledger"]["messages"].as_u64().expect("a number"),
        messages(&a) + messages(&b)
    );
    assert!(merged["part"].is_null());
    assert_eq!(certificate(&a)["part"]["of"], 2);

    let refused = |args: &[&str]| {
        let (code, _, err) = gauntlet(args);
        assert_eq!(code, 64, "{err}");
        words(&err)
    };
    let missing = refused(&["merge", &first, "--runs-dir", &into]);
    assert!(missing.contains("of 2 parts, 2 is missing"), "{missing}");
    let twice = refused(&["merge", &first, &first, "--runs-dir", &into]);
    assert!(twice.contains("are both part 1 of 2"), "{twice}");
    let mixed = refused(&["merge", &first, &stranger, "--runs-dir", &into]);
    assert!(
        mixed.contains("the seed is 1 in the one, 7 in the other"),
        "{mixed}"
    );
    let nothing = refused(&["merge", &runs.path().display().to_string()]);
    assert!(nothing.contains("holds no verdicts.json"), "{nothing}");
}

#[test]
fn parts_of_a_run_are_put_together() {
    let runs = tempfile::tempdir().expect("a directory");
    for part in ["1/2", "2/2"] {
        let into = runs.path().join("parts").display().to_string();
        let args = [
            "run",
            "duplicates",
            "--shard",
            part,
            "--runs-dir",
            &into,
            "--quiet",
        ];
        let (code, out, err) = gauntlet(&args);
        assert_eq!(code, 0, "{out}{err}");
    }
    let parts = runs.path().join("parts").display().to_string();
    let into = runs.path().join("whole").display().to_string();
    let (code, out, err) = gauntlet(&["merge", &parts, "--runs-dir", &into, "--quiet"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.starts_with("3 guarantees: 3 hold · 7 scenarios"),
        "{out}"
    );
    assert!(!runs.path().join("whole/latest/certificate.md").exists());
}

#[test]
fn bad_usage_is_told_with_its_remedy() {
    for (args, said) in [
        (
            vec!["certify", "postfixx"],
            "no target is called `postfixx`",
        ),
        (
            vec!["certify", "reference", "--on", "sim"],
            "the simulator certifies nothing",
        ),
        (
            vec!["certify", "postfix", "--on", "process"],
            "runs in containers alone",
        ),
        (
            vec!["certify", "reference", "--only", "TC-99"],
            "`TC-99` is no scenario or guarantee",
        ),
        (
            vec![
                "certify",
                "reference",
                "--only",
                "TC-10",
                "--shard",
                "50/60",
            ],
            "nothing to run",
        ),
    ] {
        let (code, _, err) = gauntlet(&args);
        assert_eq!(code, 64, "{err}");
        let err = words(&err);
        assert!(err.contains(said), "{err}");
    }
}
