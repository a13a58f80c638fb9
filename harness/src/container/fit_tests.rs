use gauntlet_docker::target::Target;

use super::*;
use crate::scenario;

fn plan(text: &str) -> Plan {
    let head = "title = \"t\"\nguarantees = [\"TC-01\", \"SC-01\"]\non = [\"container\"]\n";
    let scenario: Scenario = toml::from_str(&format!("{head}{text}")).expect("a scenario");
    scenario::plan("one", "suite", &scenario, 1)
}

fn fitted(text: &str, target: &str) -> Result<Plan, String> {
    fit(&plan(text), &Target::load(target).expect("shipped"), 300)
}

const DOWN: &str = r#"
    [[step]]
    sink = { sink = "sink-1", behaviour = "down" }
    [[step]]
    submit = { to = "n1", count = 3, recipients = ["mailbox", "external"] }
"#;

#[test]
fn a_reference_node_is_what_the_scenario_says() {
    let plan = plan(DOWN);
    assert_eq!(fitted(DOWN, "reference"), Ok(plan));
}

#[test]
fn a_cluster_of_which_one_node_is_named_is_that_node() {
    let plan = fitted(DOWN, "postfix").expect("applicable");
    let scenario = &plan.scenario;
    assert_eq!(scenario.cluster.nodes, ["n1"]);
    assert_eq!(scenario.guarantees, ["TC-01"], "what is claimed");
    let Some(Step::Submit(submit)) = scenario.step.last() else {
        panic!("{scenario:?}");
    };
    assert_eq!(submit.recipients, ["user-1@external.example", "external"]);
    // An hour, and two seconds, at 300.
    let config = |name: &str| scenario.config[name].clone();
    assert_eq!(
        config("MessageExpirationTimeout"),
        Setting::Text("12days 12h".into())
    );
    assert_eq!(
        config("TransientFailureRetryInterval"),
        Setting::Text("10m".into())
    );
    assert_eq!(config("MaxHopCount"), Setting::Number(50));
}

#[test]
fn what_a_target_cannot_be_asked_is_not_applicable() {
    let not = |text: &str| fitted(text, "postfix").expect_err("not applicable");
    insta::assert_snapshot!(
        not("[[step]]\nsubmit = { to = \"n1\" }\n[[step]]\nsubmit = { to = \"n2\" }\n"),
        @"it has a part for 3 nodes, and postfix stands alone"
    );
    insta::assert_snapshot!(
        not("[cluster]\nsinks = [\"sink-1\", \"sink-2\"]\n[[step]]\nsubmit = { to = \"n1\", recipients = [\"x@sink-2.example\"] }\n"),
        @"it needs several next hops, and postfix has one smart host"
    );
    insta::assert_snapshot!(
        not("[config]\nMaxHopCount = 10\n[[step]]\nsubmit = { to = \"n1\" }\n"),
        @"it sets MaxHopCount, and postfix is configured by its target file"
    );
    insta::assert_snapshot!(
        not("[[step]]\nsubmit = { to = \"n1\", recipients = [\"nobody@mailbox.example\"] }\n"),
        @"it counts on nobody@mailbox.example being known or refused, and postfix takes mail for everybody"
    );
    insta::assert_snapshot!(
        not("[[step]]\njump-clock = { node = \"n1\", ahead = \"1h\" }\n"),
        @"`jump-clock` is not possible with postfix: a container has the machine's clock, which nobody touches"
    );
    let bdat = "[[step]]\nsubmit = { to = \"n1\", transfer = \"BDAT\" }\n";
    assert!(fitted(bdat, "postfix").is_ok(), "it claims CHUNKING");
    insta::assert_snapshot!(
        fitted(bdat, "aiosmtpd").expect_err("not applicable"),
        @"it needs CHUNKING, which aiosmtpd does not claim"
    );
}

#[test]
fn what_is_not_claimed_is_not_tested() {
    let mut plan = plan(DOWN);
    plan.scenario.guarantees = vec!["SN-01".into()];
    let postfix = Target::load("postfix").expect("shipped");
    insta::assert_snapshot!(
        fit(&plan, &postfix, 300).expect_err("not applicable"),
        @"it tests SN-01, and postfix does not claim `safety-net`"
    );
}

#[test]
fn names_are_whole_words() {
    assert!(mentions("\"n1>sink-1 acked\"", "n1"));
    assert!(mentions("\"n1>sink-1 acked\"", "sink-1"));
    assert!(!mentions("\"n10\"", "n1"));
    assert!(!mentions("\"client-n1\"", "n1"));
}
