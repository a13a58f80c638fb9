//! What excuses a missing copy or a loss, and what does not.

use super::*;
use crate::{
    check::testing::Story,
    scenario::{Setting, Span, Trigger},
};

fn with<T>(story: &Story, look: impl FnOnce(&Case<'_>, &Ledger<'_>) -> T) -> T {
    let history = story.history();
    let case = Case::new(&history).expect("a story has a beginning");
    look(&case, &Ledger::new(&case))
}

fn hindered(story: &Story) -> Option<String> {
    with(story, |case, _| {
        case.submissions.last().and_then(|s| copy_hindered(case, s))
    })
}

#[test]
fn a_partition_hinders_copies_until_it_is_healed() {
    let mut story = Story::new();
    story.scenario.cluster.nodes = vec!["n1".into(), "n2".into()];
    story.part("n1", "n2").submit(1, "n1").end_of_data(1).ack(1);
    assert!(hindered(&story).is_some());
    story.heal().submit(2, "n1").end_of_data(2).ack(2);
    assert_eq!(hindered(&story), None);
}

#[test]
fn a_session_that_served_other_messages_well_hinders_nothing() {
    let mut story = Story::new();
    // The session for message 1 stays open, as it may.
    story
        .submit(1, "n1")
        .end_of_data(1)
        .copy_begins(1, "n1>n2")
        .copy_confirmed(1, "n1>n2")
        .ack(1);
    story.submit(2, "n1").end_of_data(2).ack(2);
    assert_eq!(hindered(&story), None);
    story
        .submit(3, "n1")
        .end_of_data(3)
        .command("n1>n2", "XSHADOW n1/db/3 0", 451)
        .ack(3);
    assert!(hindered(&story).is_some());
}

#[test]
fn a_try_that_may_have_timed_out_unseen_hinders_on_real_sockets_only() {
    let answered_after = |waited: &str, substrate| {
        let mut story = Story::new();
        (story.substrate, story.time_scale) = (substrate, 600);
        story.submit(1, "n1").end_of_data(1).copy_sent(1, "n1>n2");
        story.after(waited).ack(1);
        story.copy_answered(1, "n1>n2", 250);
        hindered(&story)
    };
    // ShadowCopyTimeout is 1 min, 100 ms at this scale.
    assert!(answered_after("110ms", "process").is_some());
    assert_eq!(answered_after("40ms", "process"), None);
    assert_eq!(answered_after("2m", "sim"), None);
}

#[test]
fn a_copy_that_a_partition_held_back_past_its_timeout_was_given_up() {
    let answered_after = |waited: &str| {
        let mut story = Story::new();
        story.submit(1, "n1").end_of_data(1).copy_sent(1, "n1>n2");
        story.part("n1", "n2").after(waited).ack(1);
        story.heal().copy_answered(1, "n1>n2", 250);
        hindered(&story)
    };
    // ShadowCopyTimeout is 1 min.
    assert!(answered_after("61s").is_some());
    assert_eq!(answered_after("20s"), None);
}

#[test]
fn heartbeats_are_no_tries_for_a_copy() {
    let mut story = Story::new();
    story
        .submit(1, "n1")
        .end_of_data(1)
        .connect("n1>n2")
        .command("n1>n2", "XQDISCARD 0 100", 250);
    story.close("n1>n2", "client").ack(1);
    assert_eq!(hindered(&story), None);
}

/// n1 is destroyed with message 1 in its queue; later n2.
fn one_after_the_other(quiet_between: bool) -> Story {
    let mut story = Story::new();
    story.accepted(1, "n1", "n2").destroy("n1");
    if quiet_between {
        let quiet = Step::WaitQuiet {
            at_most: Span::from_secs(6 * 3600),
        };
        story
            .after("3h")
            .delivered(1, "n2")
            .step(quiet)
            .after("2m")
            .step(Step::Observe {});
    }
    story.destroy("n2").settle();
    story
}

#[test]
fn two_servers_may_fail_one_after_the_other_with_recovery_in_between() {
    assert_eq!(with(&one_after_the_other(true), outside), None);
    let reason = with(&one_after_the_other(false), outside).expect("both owners are gone");
    assert!(
        reason.starts_with("n1 destroyed at 0.039 s and n2 destroyed at"),
        "{reason}"
    );
}

#[test]
fn a_wait_for_quiet_that_used_up_its_time_is_no_quiet() {
    let mut story = Story::new();
    let quiet = Step::WaitQuiet {
        at_most: Span::from_secs(60),
    };
    story.step(quiet).after("1m").step(Step::Observe {});
    assert!(with(&story, |case, _| case.quiet.is_empty()));
}

#[test]
fn a_new_database_is_a_strike_when_the_plan_wanted_it() {
    let mut story = Story::new();
    story
        .kill("n1")
        .step(Step::Start {
            node: "n1".into(),
            database: Database::New,
        })
        .up("n1", "db-n1-2");
    let texts = with(&story, |case, _| {
        strikes(case)
            .into_iter()
            .map(|s| s.text)
            .collect::<Vec<_>>()
    });
    assert_eq!(texts, ["n1 brought back with a new database"]);

    let mut story = Story::new();
    story.kill("n1").up("n1", "db-n1-2");
    assert!(with(&story, |case, _| strikes(case).is_empty()));
}

#[test]
fn a_trigger_that_never_fired_makes_a_run_inconclusive() {
    let mut story = Story::new();
    let destroy = Step::Destroy { node: "n1".into() };
    story.scenario.fault.push(Trigger {
        when: "client-1>n1 acked".into(),
        nth: 1,
        before: false,
        action: destroy,
        after: None,
        then: None,
        every: None,
        during: None,
    });
    story.settle();
    let missing = with(&story, |case, _| faults_missing(case));
    assert_eq!(
        missing.as_deref(),
        Some("the trigger `client-1>n1 acked` never fired")
    );
}

#[test]
fn a_trigger_that_listens_for_a_while_may_miss_its_event() {
    let mut story = Story::new();
    story.scenario.fault.push(Trigger {
        when: "client-1>n1 acked".into(),
        nth: 9,
        before: false,
        action: Step::Freeze { node: "n1".into() },
        after: None,
        then: None,
        every: None,
        during: Some([0, 1]),
    });
    let missing = |story: &Story| with(story, |case, _| faults_missing(case));
    let nothing = Some("the trigger `client-1>n1 acked` never fired".to_owned());
    assert_eq!(missing(&story), nothing, "no fault at all");
    story.kill("n2");
    assert_eq!(missing(&story), None);
}

#[test]
fn durations_are_scaled_and_a_nodes_own_win() {
    let mut story = Story::new();
    story.set_span("ShadowHeartbeatFrequency", "10m");
    let own = [(
        "ShadowHeartbeatFrequency".to_owned(),
        crate::scenario::Setting::Text("20m".into()),
    )];
    story.scenario.node.insert("n2".into(), own.into());
    story.substrate = "process";
    story.time_scale = 600;
    let spans = with(&story, |case, _| {
        ["n1", "n2"].map(|node| {
            case.config
                .span(node, "ShadowHeartbeatFrequency")
                .as_millis()
        })
    });
    assert_eq!(spans, [1000, 2000]);
}

#[test]
fn a_boundary_that_takes_no_mail_owes_no_delivery() {
    let excuse = |reject: bool, site: &[&str]| {
        let mut story = Story::new();
        let names = |nodes: &[&str]| nodes.iter().map(|n| String::from(*n)).collect();
        let cluster = &mut story.scenario.cluster;
        cluster.nodes = names(&["n1", "n2", "n3", "n4"]);
        cluster.mailboxes = "n3".into();
        cluster.sites = [
            ("s1".into(), names(&["n1", "n2"])),
            ("s2".into(), names(site)),
        ]
        .into();
        story.set("RejectMessageOnShadowFailure", Setting::Switch(reject));
        story.submit(1, "n1").end_of_data(1).copy(1, "n1>n2").ack(1);
        with(&story, |case, ledger| {
            let entry = &ledger.entries[&1];
            let mailbox = entry.accounts.keys().find(|to| case.is_mailbox(to));
            loss_excused(case, entry, mailbox.expect("a mailbox"))
        })
    };
    insta::assert_snapshot!(
        excuse(true, &["n3"]).unwrap_or_default(),
        @"n3 refuses all mail from other boundaries: no server may hold its copies"
    );
    assert_eq!(excuse(true, &["n3", "n4"]), None, "n4 can hold the copies");
    assert_eq!(excuse(false, &["n3"]), None, "it takes mail without copies");
}

/// n1 and n2 are a site, n4 is another one, and n3 is alone; n1 sends a domain's mail to n2, and n2 to n3 or n4.
#[test]
fn a_route_into_a_boundary_that_takes_no_mail_owes_no_delivery() {
    let excuse = |end: &str, reject: bool| {
        let mut story = Story::new();
        let names = |nodes: &[&str]| nodes.iter().map(|n| String::from(*n)).collect();
        let cluster = &mut story.scenario.cluster;
        cluster.nodes = names(&["n1", "n2", "n3", "n4", "n5"]);
        cluster.sites = [
            ("s1".into(), names(&["n1", "n2"])),
            ("s2".into(), names(&["n3"])),
            ("s3".into(), names(&["n4", "n5"])),
        ]
        .into();
        let route = [("n1", "n2"), ("n2", end), (end, "n1")];
        let route = route.map(|(a, b)| (a.to_owned(), b.to_owned()));
        (cluster.routes).insert("loop.example".into(), route.into());
        story.set("RejectMessageOnShadowFailure", Setting::Switch(reject));
        story
            .submit_as(1, "n1", |s| {
                s.recipients = vec!["round@loop.example".into()]
            })
            .end_of_data(1)
            .copy(1, "n1>n2")
            .ack(1);
        with(&story, |case, ledger| {
            loss_excused(case, &ledger.entries[&1], "round@loop.example")
        })
    };
    insta::assert_snapshot!(
        excuse("n3", true).unwrap_or_default(),
        @"n3 refuses all mail from other boundaries: no server may hold its copies"
    );
    assert_eq!(excuse("n4", true), None, "n5 can hold n4's copies");
    assert_eq!(excuse("n3", false), None, "it takes mail without copies");
}

/// n3 has the mailboxes, is a boundary of its own in which no other node may hold copies, and refuses what it cannot copy.
#[test]
fn a_member_of_a_group_is_named_by_it() {
    let mut story = Story::new();
    story.scenario.cluster.dags =
        std::collections::BTreeMap::from([("dag-1".into(), vec!["n1".into(), "n2".into()])]);
    story.set("RejectMessageOnShadowFailure", Setting::Switch(true));
    let member = "user-4@mailbox.example";
    let groups =
        std::collections::BTreeMap::from([("team@groups.example".into(), vec![member.into()])]);
    story.scenario.cluster.groups = groups;
    story
        .submit_as(1, "n1", |s| {
            s.recipients = vec!["team@groups.example".into()]
        })
        .end_of_data(1)
        .copy(1, "n1>n2")
        .ack(1)
        .settle();
    let excused = with(&story, |case, ledger| {
        loss_excused(case, &ledger.entries[&1], member)
    });
    assert_eq!(
        excused.as_deref(),
        Some("n3 refuses all mail from other boundaries: no server may hold its copies")
    );
}

/// Nobody wrote down what a random run is to show.
#[test]
fn a_trigger_of_a_random_run_may_miss_its_event() {
    let mut story = Story::new();
    story.scenario.fault.push(Trigger {
        when: "client-1>n1 acked".into(),
        nth: 9,
        before: false,
        action: Step::Freeze { node: "n1".into() },
        after: None,
        then: None,
        every: None,
        during: Some([0, 1]),
    });
    story.settle();
    assert!(with(&story, |case, _| faults_missing(case)).is_some());
    story.suite = random::ID;
    assert_eq!(with(&story, |case, _| faults_missing(case)), None);
}
