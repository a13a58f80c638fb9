//! What people read when a scenario file is wrong: one snapshot per kind of mistake.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

const GOOD: &str = r#"
title = "The primary server is destroyed at the instant of the ack"
guarantees = ["SC-01"]
on = ["sim", "process"]

[cluster]
nodes = ["n1", "n2", "n3"]
mailboxes = "n3"

[config]
ShadowHeartbeatFrequency = "2m"
ShadowMessagePreferenceSetting = "LocalOnly"
MaxRetriesForLocalSiteShadow = 2

[node.n2]
ShadowRedundancyEnabled = true

[[step]]
submit = { to = "n1", count = 3, background = true }

[[step]]
crash = { node = "n1", kind = "host" }

[[step]]
wait = { for = "3h" }

[[fault]]
when = "n1>n2 copy acked"
do = { destroy = { node = "n1" } }
after = "2m"
then = { start = { node = "n1", database = "new" } }
"#;

fn known() -> Known<'static> {
    Known {
        guarantee: &|id| ["SC-01", "HB-08"].contains(&id),
        message: &|name| name == "multipart",
    }
}

fn report(text: &str) -> String {
    let error = parse_with("suites/x.toml", text, known()).expect_err("a bad file");
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut out, &error)
        .expect("a string takes every write");
    out
}

/// The good file with one piece of it replaced.
fn spoiled(piece: &str, by: &str) -> String {
    assert!(GOOD.contains(piece), "{piece}");
    GOOD.replacen(piece, by, 1)
}

#[test]
fn the_good_file_is_good() {
    let scenario = parse_with("x.toml", GOOD, known()).expect("a good file");
    assert_eq!(scenario.step.len(), 3);
    assert_eq!(scenario.fault.len(), 1);
    assert_eq!(scenario.cluster.sinks, ["sink-1"]);
}

#[test]
fn line_and_column_are_counted_from_one() {
    let text = spoiled("kind = \"host\"", "kind = \"hots\"");
    let error = parse_with("x.toml", &text, known()).expect_err("a bad file");
    let line = text
        .lines()
        .position(|l| l.contains("hots"))
        .expect("the spoiled line");
    let column = text
        .lines()
        .nth(line)
        .and_then(|l| l.find("\"hots\""))
        .expect("the spoiled word");
    assert_eq!(error.line_and_column(), (line + 1, column + 1));
}

#[test]
fn no_toml() {
    insta::assert_snapshot!(report(&spoiled("[cluster]", "[cluster")), @r#"
     × not valid TOML: unclosed table, expected `]`
      ╭─[suites/x.toml:6:9]
    5 │ 
    6 │ [cluster
      ·         ▲
      ·         ╰── here
    7 │ nodes = ["n1", "n2", "n3"]
      ╰────
    "#);
}

#[test]
fn an_unknown_step() {
    insta::assert_snapshot!(report(&spoiled("crash = {", "crsh = {")), @r#"
     × unknown key `crsh`
       ╭─[suites/x.toml:22:1]
    21 │ [[step]]
    22 │ crsh = { node = "n1", kind = "host" }
       · ──┬─
       ·   ╰── not known here
    23 │ 
       ╰────
     help: did you mean `crash`?
    "#);
}

#[test]
fn an_unknown_key() {
    insta::assert_snapshot!(report(&spoiled("guarantees =", "guarantes =")), @r#"
     × unknown key `guarantes`
      ╭─[suites/x.toml:3:1]
    2 │ title = "The primary server is destroyed at the instant of the ack"
    3 │ guarantes = ["SC-01"]
      · ────┬────
      ·     ╰── not known here
    4 │ on = ["sim", "process"]
      ╰────
     help: did you mean `guarantees`?
    "#);
}

#[test]
fn an_unknown_key_of_a_step() {
    insta::assert_snapshot!(report(&spoiled("count = 3", "cuont = 3")), @r#"
     × unknown key `cuont`
       ╭─[suites/x.toml:19:23]
    18 │ [[step]]
    19 │ submit = { to = "n1", cuont = 3, background = true }
       ·                       ──┬──
       ·                         ╰── not known here
    20 │ 
       ╰────
     help: did you mean `count`?
    "#);
}

#[test]
fn an_unknown_value() {
    insta::assert_snapshot!(report(&spoiled("kind = \"host\"", "kind = \"hots\"")), @r#"
     × unknown value `hots`
       ╭─[suites/x.toml:22:31]
    21 │ [[step]]
    22 │ crash = { node = "n1", kind = "hots" }
       ·                               ───┬──
       ·                                  ╰── not known here
    23 │ 
       ╰────
     help: did you mean `host`?
    "#);
}

#[test]
fn a_missing_key() {
    insta::assert_snapshot!(report(&spoiled("submit = { to = \"n1\", count", "submit = { count")), @r"
     × `to` is missing
       ╭─[suites/x.toml:19:10]
    18 │ [[step]]
    19 │ submit = { count = 3, background = true }
       ·          ────────────────┬───────────────
       ·                          ╰── needs `to`
    20 │ 
       ╰────
    ");
}

#[test]
fn the_wrong_kind_of_value() {
    insta::assert_snapshot!(report(&spoiled("count = 3", "count = \"three\"")), @r#"
     × the wrong kind of value: string "three"
       ╭─[suites/x.toml:19:31]
    18 │ [[step]]
    19 │ submit = { to = "n1", count = "three", background = true }
       ·                               ───┬───
       ·                                  ╰── expected a whole number
    20 │ 
       ╰────
    "#);
}

#[test]
fn a_duration_without_unit() {
    insta::assert_snapshot!(report(&spoiled("for = \"3h\"", "for = \"3\"")), @r#"
     × no duration: time unit needed, for example 3sec or 3ms
       ╭─[suites/x.toml:25:16]
    24 │ [[step]]
    25 │ wait = { for = "3" }
       ·                ─┬─
       ·                 ╰── no duration
    26 │ 
       ╰────
     help: write a duration with its unit, as in "3h", "2m 30s" or "500ms"
    "#);
}

#[test]
fn a_duration_that_is_a_number() {
    insta::assert_snapshot!(report(&spoiled("for = \"3h\"", "for = 3")), @r#"
     × the wrong kind of value: integer `3`
       ╭─[suites/x.toml:25:16]
    24 │ [[step]]
    25 │ wait = { for = 3 }
       ·                ┬
       ·                ╰── expected a text in quotes
    26 │ 
       ╰────
     help: durations carry their unit, as in "3h" or "500ms"
    "#);
}

#[test]
fn a_duration_of_zero() {
    insta::assert_snapshot!(report(&spoiled("for = \"3h\"", "for = \"0s\"")), @r#"
     × a duration of zero
       ╭─[suites/x.toml:25:16]
    24 │ [[step]]
    25 │ wait = { for = "0s" }
       ·                ──┬─
       ·                  ╰── must be longer
    26 │ 
       ╰────
    "#);
}

#[test]
fn two_things_in_one_step() {
    insta::assert_snapshot!(report(&spoiled("wait = {", "thaw = { node = \"n1\" }\nwait = {")), @r#"
     × two things in one step
       ╭─[suites/x.toml:24:1]
    23 │ 
    24 │ [[step]]
       · ────┬───
       ·     ╰── does more than one thing
    25 │ thaw = { node = "n1" }
       ╰────
     help: put the second one under a header of its own
    "#);
}

#[test]
fn a_guarantee_that_is_not_in_the_catalogue() {
    insta::assert_snapshot!(report(&spoiled("[\"SC-01\"]", "[\"SC-01\", \"SC-99\"]")), @r#"
     × no guarantee has the ID `SC-99`
      ╭─[suites/x.toml:3:24]
    2 │ title = "The primary server is destroyed at the instant of the ack"
    3 │ guarantees = ["SC-01", "SC-99"]
      ·                        ───┬───
      ·                           ╰── not in the catalogue
    4 │ on = ["sim", "process"]
      ╰────
     help: `gauntlet list guarantees` has them all
    "#);
}

#[test]
fn a_substrate_that_does_not_exist() {
    insta::assert_snapshot!(report(&spoiled("\"process\"", "\"proces\"")), @r#"
     × no substrate is called `proces`
      ╭─[suites/x.toml:4:14]
    3 │ guarantees = ["SC-01"]
    4 │ on = ["sim", "proces"]
      ·              ────┬───
      ·                  ╰── not known
    5 │ 
      ╰────
     help: did you mean `process`?
    "#);
}

#[test]
fn a_node_that_does_not_exist() {
    insta::assert_snapshot!(report(&spoiled("crash = { node = \"n1\"", "crash = { node = \"n4\"")), @r#"
     × the cluster has no node `n4`
       ╭─[suites/x.toml:22:18]
    21 │ [[step]]
    22 │ crash = { node = "n4", kind = "host" }
       ·                  ──┬─
       ·                    ╰── no such node
    23 │ 
       ╰────
     help: there are `n1`, `n2` and `n3`
    "#);
}

#[test]
fn a_link_that_cannot_be() {
    insta::assert_snapshot!(report(&spoiled("n1>n2 copy", "sink-1>n2 copy")), @r#"
     × nothing goes from `sink-1` to `n2`
       ╭─[suites/x.toml:28:8]
    27 │ [[fault]]
    28 │ when = "sink-1>n2 copy acked"
       ·        ───────────┬──────────
       ·                   ╰── no such link
    29 │ do = { destroy = { node = "n1" } }
       ╰────
     help: mail goes from clients to nodes, from node to node, and from nodes to sinks
    "#);
}

#[test]
fn an_event_that_is_none() {
    insta::assert_snapshot!(report(&spoiled("n1>n2 copy acked", "n1>n2 copy aked")), @r#"
     × `n1>n2 copy aked` is no event on a link or within a node
       ╭─[suites/x.toml:28:8]
    27 │ [[fault]]
    28 │ when = "n1>n2 copy aked"
       ·        ────────┬────────
       ·                ╰── not understood
    29 │ do = { destroy = { node = "n1" } }
       ╰────
     help: there is no event `copy aked`; known are `connect`, `connect failed`, `greeting`, `ehlo`,
           `mail`, `rcpt`, `data`, `end-of-data`, `acked`, `refused`, `copy begun`, `copy end-of-
           data`, `copy acked`, `copy refused`, `delivery begun`, `delivery end-of-data`, `delivery
           acked`, `delivery refused`, `discard asked`, `discard answered`, `close`, `unasked reply`,
           `command VERB`, `reply VERB [CODE]`
    "#);
}

#[test]
fn an_event_within_a_node_is_for_the_simulator() {
    let text = |on: &str, when: &str| {
        format!(
            "title = 't'\nguarantees = ['SC-01']\non = [{on}]\n[[step]]\nsubmit = {{ to = 'n1' }}\n\
             [[fault]]\nwhen = '{when}'\ndo = {{ crash = {{ node = 'n1' }} }}\n"
        )
    };
    let parsed = |on, when| super::super::parse("x.toml", &text(on, when));
    for when in [
        "n1 disk sync",
        "* disk commit",
        "n1 disk sync mailbox.redb",
        "n2 timer heartbeat",
    ] {
        assert!(parsed("'sim'", when).is_ok(), "{when}");
        assert!(parsed("'sim', 'process'", when).is_err(), "{when}");
    }
    for when in ["n9 disk sync", "n1 disk", "n1 timer tea"] {
        assert!(parsed("'sim'", when).is_err(), "{when}");
    }
}

#[test]
fn a_parameter_that_is_not_documented() {
    insta::assert_snapshot!(report(&spoiled("ShadowHeartbeatFrequency =", "ShadowHeartbeatFrequence =")), @r#"
     × no parameter is called `ShadowHeartbeatFrequence`
       ╭─[suites/x.toml:11:1]
    10 │ [config]
    11 │ ShadowHeartbeatFrequence = "2m"
       · ────────────┬───────────
       ·             ╰── not known
    12 │ ShadowMessagePreferenceSetting = "LocalOnly"
       ╰────
     help: did you mean `ShadowHeartbeatFrequency`?
    "#);
}

#[test]
fn a_parameter_with_the_wrong_kind_of_value() {
    insta::assert_snapshot!(report(&spoiled("= \"2m\"", "= 2")), @r#"
     × ShadowHeartbeatFrequency has the wrong kind of value
       ╭─[suites/x.toml:11:28]
    10 │ [config]
    11 │ ShadowHeartbeatFrequency = 2
       ·                            ┬
       ·                            ╰── of another kind
    12 │ ShadowMessagePreferenceSetting = "LocalOnly"
       ╰────
     help: it is a duration with its unit, as in `"3h"` or `"2m 30s"`
    "#);
}

#[test]
fn a_parameter_with_a_name_it_does_not_know() {
    insta::assert_snapshot!(report(&spoiled("\"LocalOnly\"", "\"OnlyLocal\"")), @r#"
     × ShadowMessagePreferenceSetting cannot be `OnlyLocal`
       ╭─[suites/x.toml:12:34]
    11 │ ShadowHeartbeatFrequency = "2m"
    12 │ ShadowMessagePreferenceSetting = "OnlyLocal"
       ·                                  ─────┬─────
       ·                                       ╰── not one of its values
    13 │ MaxRetriesForLocalSiteShadow = 2
       ╰────
     help: there are `PreferRemote`, `RemoteOnly` and `LocalOnly`
    "#);
}

#[test]
fn a_parameter_that_is_a_float() {
    insta::assert_snapshot!(report(&spoiled("MaxRetriesForLocalSiteShadow = 2", "MaxRetriesForLocalSiteShadow = 2.5")), @r#"
     × no value for a parameter
       ╭─[suites/x.toml:13:32]
    12 │ ShadowMessagePreferenceSetting = "LocalOnly"
    13 │ MaxRetriesForLocalSiteShadow = 2.5
       ·                                ─┬─
       ·                                 ╰── neither switch, number nor text
    14 │ 
       ╰────
     help: a parameter is a switch (`true`), a whole number (`4`), or a text (`"3h"`,
           `"PreferRemote"`)
    "#);
}

#[test]
fn a_trigger_that_waits() {
    insta::assert_snapshot!(report(&spoiled("do = { destroy = { node = \"n1\" } }", "do = { wait = { for = \"1s\" } }")), @r#"
     × a trigger cannot do `wait`
       ╭─[suites/x.toml:29:8]
    28 │ when = "n1>n2 copy acked"
    29 │ do = { wait = { for = "1s" } }
       ·        ──┬─
       ·          ╰── cannot be triggered
    30 │ after = "2m"
       ╰────
     help: a trigger does a fault, takes one back, or takes a snapshot; it never waits
    "#);
}

#[test]
fn after_without_then() {
    insta::assert_snapshot!(report(&spoiled("then = { start = { node = \"n1\", database = \"new\" } }", "")), @r#"
     × `after` without `then`
       ╭─[suites/x.toml:30:1]
    29 │ do = { destroy = { node = "n1" } }
    30 │ after = "2m"
       · ──┬──
       ·   ╰── nothing comes after
    31 │ 
       ╰────
     help: say what is done after that time, as in `then = { start = { node = "n1" } }`
    "#);
}

#[test]
fn a_revert_without_snapshot() {
    insta::assert_snapshot!(report(&spoiled("wait = { for = \"3h\" }", "revert = { node = \"n2\" }")), @r#"
     × `n2` has no snapshot to go back to
       ╭─[suites/x.toml:25:19]
    24 │ [[step]]
    25 │ revert = { node = "n2" }
       ·                   ──┬─
       ·                     ╰── no snapshot yet
    26 │ 
       ╰────
     help: put a step `snapshot = { node = "n2" }` before it
    "#);
}

#[test]
fn chaos_that_cannot_be_drawn() {
    let chaos = "[chaos]\nrounds = [3, 1]\nmessages = [1, 5]\nfaults = [\"crash\"]\noutage = [\"3h\", \"1s\"]\n\n[[fault]]";
    insta::assert_snapshot!(report(&spoiled("[[fault]]", chaos)), @r#"
      × `rounds` goes from 3 down to 1
        ╭─[suites/x.toml:28:10]
     27 │ [chaos]
     28 │ rounds = [3, 1]
        ·          ───┬──
        ·             ╰── least, then most
     29 │ messages = [1, 5]
        ╰────

    Error: 
      × chaos knows no fault `crash`
        ╭─[suites/x.toml:30:11]
     29 │ messages = [1, 5]
     30 │ faults = ["crash"]
        ·           ───┬───
        ·              ╰── not known
     31 │ outage = ["3h", "1s"]
        ╰────
      help: there are `process-crash`, `host-crash`, `new-database`, `freeze`, `partition` and `reset`

    Error: 
      × `outage` goes from 3h down to 1s
        ╭─[suites/x.toml:31:10]
     30 │ faults = ["crash"]
     31 │ outage = ["3h", "1s"]
        ·          ──────┬─────
        ·                ╰── shortest, then longest
     32 │ 
        ╰────
    "#);
}

#[test]
fn several_problems_are_all_told() {
    insta::assert_snapshot!(report("title = ''\nguarantees = []\non = []\n"), @r#"
      × the title is empty
       ╭─[suites/x.toml:1:9]
     1 │ title = ''
       ·         ─┬
       ·          ╰── empty
     2 │ guarantees = []
       ╰────
      help: say in one line what happens

    Error: 
      × a scenario that tests no guarantee
       ╭─[suites/x.toml:2:14]
     1 │ title = ''
     2 │ guarantees = []
       ·              ─┬
       ·               ╰── empty
     3 │ on = []
       ╰────
      help: name what it tests, as in `guarantees = ["SC-01"]`; `gauntlet list guarantees` has them
            all

    Error: 
      × a scenario that is meant for no substrate
       ╭─[suites/x.toml:3:6]
     2 │ guarantees = []
     3 │ on = []
       ·      ─┬
       ·       ╰── empty
       ╰────
      help: as in `on = ["sim", "process"]`

    Error: 
      × a scenario in which nothing is done
       ╭─[suites/x.toml:1:1]
     1 │ title = ''
       · ▲
       · ╰── no step, no chaos
     2 │ guarantees = []
       ╰────
      help: add a `[[step]]`, as in `submit = { to = "n1" }`, or a `[chaos]` table
    "#);
}

#[test]
fn nothing_that_is_no_scenario_panics() {
    for text in [
        "",
        "\u{feff}",
        "x",
        "[[step]]",
        "step = 3",
        "title = 1",
        "[[step]]\nobserve = 1",
        "\0",
        "a = [",
        "# ü\ntitle='ü'\non=['ü']\nguarantees=['ü']",
    ] {
        assert!(!report(text).is_empty(), "{text:?}");
    }
}
