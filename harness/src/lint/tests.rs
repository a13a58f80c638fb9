//! The rules over the examples in `suites/virtualization/deployments/`, and over what is no example of anything.

use std::{fs, path::PathBuf};

use gauntlet_reports::{
    Conclusion,
    lint::{Answer, Finding, LintReport},
};
use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

use super::{Input, LintError, RULES, lint};

fn deployments() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../suites/virtualization/deployments"
    ))
}

fn example(name: &str) -> Input {
    let text = fs::read_to_string(deployments().join(name));
    Input {
        name: name.into(),
        text: text.unwrap_or_else(|e| panic!("{name}: {e}")),
    }
}

fn input(name: &str, text: &str) -> Input {
    Input {
        name: name.into(),
        text: text.into(),
    }
}

fn examined(names: &[&str], cores: Option<u32>) -> LintReport {
    let inputs: Vec<_> = names.iter().map(|name| example(name)).collect();
    lint(&inputs, cores).unwrap_or_else(|e| panic!("{names:?}: {e}"))
}

/// `rule answer subject, line`, of what is not kept.
fn said(report: &LintReport) -> String {
    let line = |f: &Finding| {
        let line = f.place.as_ref().map_or(0, |place| place.line);
        format!(
            "{} {} {}, line {line}: {}",
            f.rule,
            f.answer.word(),
            f.subject,
            f.found
        )
    };
    let all = report.findings.iter().filter(|f| f.answer != Answer::Kept);
    all.map(line).collect::<Vec<_>>().join("\n")
}

fn told(error: &LintError) -> String {
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut out, error)
        .expect("a string takes every write");
    out
}

#[test]
fn every_example_is_what_its_name_says() {
    let mut seen = 0;
    for file in fs::read_dir(deployments()).expect("the examples") {
        let name = file.expect("an example").file_name();
        let name = name.to_str().expect("a name in ASCII").to_owned();
        let expected = match name.split_once('-').map(|(first, _)| first) {
            Some("good") => Conclusion::AllHold,
            Some("bad") => Conclusion::Violated,
            // Half of a deployment, as libvirt has it.
            Some("part") => Conclusion::Inconclusive,
            _ if name.ends_with(".schema.json") => continue,
            _ => panic!("{name}: an example is good-…, bad-… or part-…"),
        };
        let report = examined(&[&name], None);
        assert_eq!(report.conclusion(), expected, "{name}:\n{}", said(&report));
        seen += 1;
    }
    assert!(seen >= 6, "{seen} examples");
}

#[test]
fn each_rule_is_broken_by_an_example_and_kept_by_another() {
    let mut broken: Vec<String> = Vec::new();
    let mut kept: Vec<String> = Vec::new();
    for file in fs::read_dir(deployments()).expect("the examples") {
        let name = file.expect("an example").file_name();
        let name = name.to_str().expect("a name in ASCII").to_owned();
        if name.ends_with(".schema.json") {
            continue;
        }
        for finding in examined(&[&name], None).findings {
            match finding.answer {
                Answer::Broken => broken.push(finding.rule),
                Answer::Kept => kept.push(finding.rule),
                Answer::NotStated | Answer::Advice => {}
            }
        }
    }
    for rule in RULES {
        assert!(
            broken.iter().any(|id| id == rule.id),
            "{} is broken nowhere",
            rule.id
        );
        assert!(
            kept.iter().any(|id| id == rule.id),
            "{} is kept nowhere",
            rule.id
        );
    }
}

#[test]
fn a_domain_a_volume_and_a_host_make_a_whole_deployment() {
    let names = ["good-host.toml", "part-mx-1.xml", "part-mx-1-disk.xml"];
    let report = examined(&names, None);
    assert_eq!(
        report.conclusion(),
        Conclusion::AllHold,
        "{}",
        said(&report)
    );
    let alone = examined(&["part-mx-1.xml"], Some(4));
    let rules: Vec<&str> = alone
        .findings
        .iter()
        .filter(|f| f.answer == Answer::NotStated)
        .map(|f| f.rule.as_str())
        .collect();
    assert_eq!(
        rules,
        ["system-disk", "saved-state", "host-software", "smart-host"]
    );
}

#[test]
fn the_ratio_counts_the_host_for_two() {
    let guests = |vcpus: u32| {
        let text = format!(
            "[[host]]\nname = \"hv\"\ncores = 8\n[[guest]]\nname = \"a\"\nvcpus = {vcpus}\n[[guest]]\nname = \"b\"\nvcpus = 6\ntransport = false\n"
        );
        let report = lint(&[input("d.toml", &text)], None).expect("a description");
        let ratio = report.findings.into_iter().find(|f| f.rule == "vcpu-ratio");
        let ratio = ratio.expect("a finding");
        format!("{}: {}", ratio.answer.word(), ratio.found)
    };
    assert_eq!(
        guests(8),
        "advice: 16 virtual processors (2 of the host, 14 of 2 guests) on 8 cores"
    );
    assert_eq!(
        guests(9),
        "broken: 17 virtual processors (2 of the host, 15 of 2 guests) on 8 cores"
    );
    let text = "[[host]]\nname = \"hv\"\ncores = 8\n[[guest]]\nname = \"a\"\nvcpus = 6\n";
    let report = lint(&[input("d.toml", text)], None).expect("a description");
    assert_eq!(report.findings[0].answer, Answer::Kept);
}

#[test]
fn a_disk_of_exactly_15_gb_and_the_memory_is_enough() {
    let disk = |size: &str| {
        let text = format!(
            "[[guest]]\nname = \"a\"\nmemory = \"16GB\"\n[[guest.disk]]\nname = \"c\"\nuse = \"system\"\nsize = \"{size}\"\n"
        );
        let report = lint(&[input("d.toml", &text)], None).expect("a description");
        let found = report
            .findings
            .into_iter()
            .find(|f| f.rule == "system-disk");
        found.expect("a finding").answer
    };
    assert_eq!(disk("31GB"), Answer::Kept);
    assert_eq!(disk("30GB"), Answer::Broken);
}

#[test]
fn what_is_wrong_in_a_description_is_said_with_its_place() {
    let wrong = |text: &str| told(&lint(&[input("d.toml", text)], None).expect_err("a mistake"));
    insta::assert_snapshot!(wrong("[[guest]]\nname = \"a\"\nvcpu = 2\n"), @r#"
      × unknown key `vcpu`
       ╭─[d.toml:3:1]
     2 │ name = "a"
     3 │ vcpu = 2
       · ──┬─
       ·   ╰── not known here
       ╰────
      help: did you mean `vcpus`?
    "#);
    for (text, part) in [
        ("", "a description of nothing"),
        (
            "[[guest]]\nname = \"a\"\nmemory = \"16 gb\"\n",
            "write an amount such as",
        ),
        (
            "[[host]]\nname = \"hv\"\n[[guest]]\nname = \"a\"\nhost = \"hw\"\n",
            "there is only `hv`",
        ),
        (
            "[[host]]\nname = \"x\"\n[[host]]\nname = \"y\"\n[[guest]]\nname = \"a\"\n",
            "needs `host`",
        ),
        (
            "[[host]]\nname = \"x\"\non-shutdown = \"safe\"\n",
            "did you mean `save`?",
        ),
        (
            "[[guest]]\nname = \"a\"\n[[guest]]\nname = \"a\"\n",
            "described twice: d.toml:2 and d.toml:4",
        ),
        ("[outbound]\nnetwork = \"cloud\"\n", "`route` is missing"),
        ("x = [", "not valid TOML"),
    ] {
        let said = wrong(text);
        assert!(said.contains(part), "{part}:\n{said}");
    }
}

#[test]
fn what_is_wrong_in_xml_is_said_with_its_place() {
    let wrong = |text: &str| told(&lint(&[input("d.xml", text)], None).expect_err("a mistake"));
    for (text, part) in [
        ("<domain>\n <name>x</nam>\n</domain>", "d.xml:2:"),
        (
            "<network/>",
            "`<network>` is neither a libvirt domain nor a storage volume",
        ),
        ("<", "not valid XML"),
        (
            "<!DOCTYPE d [<!ENTITY a \"aaaa\">]><domain>&a;</domain>",
            "not valid XML",
        ),
    ] {
        let said = wrong(text);
        assert!(said.contains(part), "{part}:\n{said}");
    }
    let both = [input("d.toml", "[[host]]\nname = \"hv\"\n")];
    let error = lint(&both, Some(4)).expect_err("two sources of the same");
    assert!(
        error.to_string().contains("`--cores` and d.toml:2"),
        "{error}"
    );
}

#[test]
fn the_committed_schema_is_fresh() {
    let committed = fs::read_to_string(deployments().join("deployment.schema.json"));
    assert!(
        committed.unwrap_or_default() == super::description::schema(),
        "stale: run `gauntlet lint --schema > suites/virtualization/deployments/deployment.schema.json`"
    );
}

/// Pieces of both formats, so that what is drawn gets beyond the first character.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<domain>",
        "</domain>",
        "<volume>",
        "</volume>",
        "<name>",
        "</name>",
        "<memory unit='GiB'>",
        "</memory>",
        "<currentMemory>",
        "</currentMemory>",
        "<vcpu>",
        "</vcpu>",
        "<devices>",
        "</devices>",
        "<disk type='file'>",
        "</disk>",
        "<disk type='network' snapshot='no'>",
        "<source file='/x'/>",
        "<source protocol='rbd'/>",
        "<target dev='vda'/>",
        "<boot order='1'/>",
        "<backingStore>",
        "</backingStore>",
        "<memballoon model='none'/>",
        "<capacity>",
        "</capacity>",
        "<pm>",
        "</pm>",
        "<suspend-to-disk enabled='yes'/>",
        "8",
        "99999999999999999999",
        "ü",
        " ",
        "\n",
        "<",
        "&amp;",
        "[[guest]]\n",
        "[[host]]\n",
        "[[guest.disk]]\n",
        "[outbound]\n",
        "name = \"a\"\n",
        "vcpus = 4\n",
        "cores = 0\n",
        "memory = \"16GiB\"\n",
        "size = \"18446744073709551615TB\"\n",
        "use = \"system\"\n",
        "storage = \"nfs\"\n",
        "host = \"a\"\n",
        "snapshots = \"never\"\n",
        "network = \"cloud\"\n",
        "route = \"direct\"\n",
        "=",
        "\"",
        "#",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn nothing_that_is_read_panics(
        texts in prop::collection::vec(prop_oneof![any::<String>(), pieces()], 1..4),
        cores in prop::option::of(1..64_u32),
    ) {
        let inputs: Vec<Input> = texts.iter().map(|text| input("x", text)).collect();
        match lint(&inputs, cores) {
            Ok(report) => {
                let _ = report.conclusion();
                let _ = gauntlet_reports::lint::junit(&report).expect("well-formed");
                for finding in &report.findings {
                    prop_assert!(RULES.iter().any(|rule| rule.id == finding.rule));
                    prop_assert!(finding.answer == Answer::Kept || !finding.change.is_empty());
                }
            }
            Err(error) => { let _ = told(&error); }
        }
    }
}
