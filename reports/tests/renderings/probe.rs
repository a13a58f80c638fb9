//! A probe's report: every rendering, and what it comes to.

use gauntlet_reports::{
    Conclusion, Style,
    probe::{
        DialogueLine, Level, Outcome, PROBE_VERSION, ProbeCase, ProbeReport, Speaker, html, json,
        junit, terminal,
    },
};
use quick_junit::Report;

use crate::xml::check_junit;

fn case(id: &str, level: Level, outcome: Outcome) -> ProbeCase {
    ProbeCase {
        id: id.into(),
        section: "RFC 5321 §4.5.2".into(),
        level,
        clause: "The first dot is deleted.".into(),
        outcome,
        known: None,
        elapsed_ms: 12,
        dialogue: vec![DialogueLine {
            at_ms: 1234,
            connection: 1,
            speaker: Speaker::Server,
            text: r"250 <ok> & \x1b[31m\r\n".into(),
        }],
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        expected: "250 to NOOP".into(),
        seen: "500 <what> \u{1b}[31m".into(),
    }
}

fn report(cases: Vec<ProbeCase>) -> ProbeReport {
    ProbeReport {
        version: PROBE_VERSION,
        harness: "gauntlet 0.1.0".into(),
        command: "gauntlet probe localhost:25".into(),
        target: "localhost:25".into(),
        greeting: Some("220 mx <b>".into()),
        proof: None,
        strict: false,
        elapsed_ms: 1900,
        unreachable: None,
        gone: None,
        interrupted: false,
        cases,
    }
}

fn every_answer() -> ProbeReport {
    let why = |text: &str| text.to_owned();
    let known = |mut case: ProbeCase| {
        case.known = Some("a known <bug>".into());
        case
    };
    report(vec![
        case("rfc5321/4.5.2/passed", Level::Must, Outcome::Passed),
        case("rfc5321/4.5.2/failed", Level::Must, failed()),
        case("rfc5321/4.5.2/should", Level::Should, failed()),
        known(case("rfc5321/4.5.2/expected", Level::Must, failed())),
        known(case(
            "rfc5321/4.1.1.9/unexpected",
            Level::Must,
            Outcome::Passed,
        )),
        case(
            "rfc5321/4.1.1.9/skipped",
            Level::May,
            Outcome::Skipped {
                why: why("SIZE is not offered"),
            },
        ),
        case(
            "security/unclear",
            Level::Security,
            Outcome::Inconclusive {
                why: why("no proof of arrival"),
            },
        ),
        case(
            "security/gone",
            Level::Security,
            Outcome::Gone {
                why: why("connection refused"),
            },
        ),
    ])
}

#[test]
fn the_terminal_has_a_line_per_section_and_a_story_per_failure() {
    insta::assert_snapshot!(terminal(&every_answer(), &Style::default()));
}

#[test]
fn verbose_has_every_dialogue() {
    let style = Style {
        verbose: true,
        ..Style::default()
    };
    let text = terminal(&every_answer(), &style);
    assert_eq!(
        text.matches(r"1.234 1 S: 250 <ok> & \x1b[31m\r\n").count(),
        8,
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn junit_counts_what_counts() {
    let xml = junit(&every_answer()).expect("written");
    check_junit(&xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    let read = Report::deserialize_from_str(&xml).expect("quick-junit reads what it wrote");
    assert_eq!((read.tests, read.failures, read.errors), (8, 3, 1));
    insta::assert_snapshot!(xml);
}

#[test]
fn html_loads_nothing_and_escapes_everything() {
    let page = html(&every_answer());
    for foreign in [
        "http:", "https:", "<script", "<b>\n", "<what>", "<bug>", "\u{1b}", "mx <b>",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for shown in [
        "rfc5321/4.5.2/failed",
        "&lt;what&gt;",
        "a known &lt;bug&gt;",
        "proof of arrival: none",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[test]
fn json_is_read_back() {
    let report = every_answer();
    let text = json(&report).expect("written");
    let read: ProbeReport = serde_json::from_str(&text).expect("read");
    assert_eq!(read, report);
}

#[test]
fn what_a_probe_comes_to() {
    use Conclusion::{AllHold, Failed, Inconclusive, Violated};
    let of = |level, outcome| case("rfc5321/4.5.2/x", level, outcome);
    let doubt = || Outcome::Inconclusive { why: "?".into() };
    let skipped = || Outcome::Skipped { why: "?".into() };
    let passed = || of(Level::Must, Outcome::Passed);
    for (cases, lenient, strict) in [
        (vec![], Inconclusive, Inconclusive),
        (vec![passed()], AllHold, AllHold),
        (vec![of(Level::Must, skipped())], Inconclusive, Inconclusive),
        (vec![passed(), of(Level::Must, skipped())], AllHold, AllHold),
        (
            vec![passed(), of(Level::Must, failed())],
            Violated,
            Violated,
        ),
        (
            vec![passed(), of(Level::Security, failed())],
            Violated,
            Violated,
        ),
        (
            vec![passed(), of(Level::Should, failed())],
            AllHold,
            Violated,
        ),
        (vec![passed(), of(Level::May, failed())], AllHold, AllHold),
        (
            vec![passed(), of(Level::Must, doubt())],
            Inconclusive,
            Inconclusive,
        ),
        (
            vec![passed(), of(Level::Should, doubt())],
            AllHold,
            Inconclusive,
        ),
        (vec![passed(), of(Level::May, doubt())], AllHold, AllHold),
    ] {
        for (strictness, wanted) in [(false, lenient), (true, strict)] {
            let mut report = report(cases.clone());
            report.strict = strictness;
            assert_eq!(report.conclusion(), wanted, "{cases:?} strict {strictness}");
            let xml = junit(&report).expect("written");
            let green = !xml.contains("<failure") && !xml.contains("<error");
            assert_eq!(green, wanted == AllHold, "{xml}");
        }
    }
    let mut gone = report(vec![passed()]);
    gone.gone = Some("connection refused".into());
    assert_eq!(gone.conclusion(), Violated);
    let mut unreachable = report(vec![]);
    unreachable.unreachable = Some("connection refused".into());
    assert_eq!(unreachable.conclusion(), Failed);
    let mut interrupted = report(vec![passed()]);
    interrupted.interrupted = true;
    assert_eq!(interrupted.conclusion(), Inconclusive);
}
