use super::*;

const GOOD: &str = r#"name = "my-mta"
title = "My MTA"
capabilities = ["transport-core"]

[image]
name = "registry.example/my-mta:1.2"

[smart-host]
arguments = ["--relay", "{smart-host}:{smart-port}"]

[spool]
path = "/var/spool/my-mta"
"#;

fn read(text: &str) -> Result<Target, TargetError> {
    parse("my-mta.toml", text, Context::Directory(".".into()))
}

/// The error of a good file in which this was replaced, as a person sees it.
fn error(replaced: &str, by: &str) -> String {
    assert!(GOOD.contains(replaced), "{replaced}");
    let text = GOOD.replace(replaced, by);
    match read(&text).expect_err("no target file") {
        TargetError::File {
            message,
            place: Some(place),
            help,
            ..
        } => {
            let line = text[..place.offset()].lines().count().max(1);
            let what = &text[place.offset()..place.offset() + place.len()];
            format!("{message} (line {line}: {what}); {help}")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_left_out_is_as_documented() {
    let target = read(GOOD).expect("a target");
    assert_eq!(target.smtp.port, 25);
    assert_eq!(target.durations.retry.to_string(), "2s");
    assert_eq!(target.durations.bounce.to_string(), "1h");
    assert_eq!(target.time.scale, 600);
    assert!(target.claims(crate::target::Capability::TransportCore));
    assert!(!target.is_reference_node());
    let filled: Vec<String> = target
        .smart_host
        .arguments
        .iter()
        .map(|a| a.fill("10.1.2.3", 2525))
        .collect();
    assert_eq!(filled, ["--relay", "10.1.2.3:2525"]);
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    insta::assert_snapshot!(error("[spool]\n", "[spool]\npaht = \"x\"\n"), @"unknown field `paht`, expected one of `path`, `user`, `group`, `mode` (line 11: paht); docs/targets.md says what each field means; `gauntlet schema target` is its schema");
}

#[test]
fn a_value_is_checked_where_it_stands() {
    insta::assert_snapshot!(error("/var/spool/my-mta", "spool"), @r#"`spool` is no path in the container: it must begin with `/`, be more than that, and have no `.`, `..` or empty part (line 12: "spool"); docs/targets.md says what each field means; `gauntlet schema target` is its schema"#);
    let shown = error("{smart-host}:", "{smarthost}:");
    assert!(shown.contains("belongs to no placeholder"), "{shown}");
    let shown = error("\"my-mta\"", "\"My MTA\"");
    assert!(shown.contains("small letters"), "{shown}");
}

#[test]
fn what_the_file_does_not_say_is_asked_for() {
    insta::assert_snapshot!(error("--relay\", \"{smart-host}:{smart-port}", "--relay"), @"this target is never told where its mail goes (line 7: [smart-host]); put `{smart-host}` and `{smart-port}` into `environment` or `arguments`");
    let shown = error("name = \"registry.example/my-mta:1.2\"\n", "");
    assert!(shown.contains("nowhere which image"), "{shown}");
    let shown = error("[\"transport-core\"]", "[]");
    assert!(shown.contains("claims nothing"), "{shown}");
    let shown = error(
        "name = \"registry.example/my-mta:1.2\"",
        "dockerfile = \"../Dockerfile\"",
    );
    assert!(shown.contains("or below"), "{shown}");
}

#[test]
fn a_target_that_is_not_there_is_told_of() {
    let error = Target::load("postfixx").expect_err("no such target");
    assert!(error.to_string().contains("postfixx"));
    let error = Target::load("./nowhere/target.toml").expect_err("no such file");
    assert!(matches!(error, TargetError::Read { .. }), "{error}");
}

#[test]
fn the_committed_schema_is_this_builds() {
    let committed = include_str!("../../target.schema.json");
    assert!(
        committed == crate::target::schema(),
        "docker/target.schema.json is stale: gauntlet schema target > docker/target.schema.json"
    );
}
