use super::*;
use crate::{load::testing::plan, workload::inspect};

fn message(template: &Template, number: u32, size: usize) -> Vec<u8> {
    let mut octets = template.header();
    template.number(&mut octets, number);
    let body = template.body(size);
    octets.extend_from_slice(body.octets);
    octets.extend_from_slice(body.end);
    octets
}

fn template(plan: &LoadPlan) -> Template {
    Template::new(plan, SystemTime::UNIX_EPOCH).expect("it has room")
}

#[test]
fn messages_of_every_size_are_good_content() {
    let least = Template::new(
        &LoadPlan {
            size: 1..=1,
            ..plan()
        },
        SystemTime::UNIX_EPOCH,
    )
    .expect_err("no room")
    .smallest;
    let plan = LoadPlan {
        size: least..=least + 400,
        ..plan()
    };
    let template = template(&plan);
    for size in plan.size.clone() {
        let octets = message(&template, 1, size);
        assert_eq!(octets.len(), size);
        assert!(octets.ends_with(b"\r\n"));
        assert_eq!(stuff(&octets), octets, "no dot to stuff");
        for (at, octet) in octets.iter().enumerate() {
            match octet {
                b'\r' => assert_eq!(octets.get(at + 1), Some(&b'\n'), "{size}, {at}"),
                b'\n' => assert_eq!(octets[at - 1], b'\r', "{size}, {at}"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_message_says_which_one_it_is() {
    let plan = plan();
    let template = template(&plan);
    for number in [1, 4_000_000_123] {
        let inspected = inspect(&message(&template, number, 1024));
        assert_eq!(inspected.message, Some(number));
        assert_eq!(inspected.message_id, Some(plan.message_id(number)));
    }
    let text = String::from_utf8(message(&template, 12, 1024)).expect("ASCII");
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    insta::assert_snapshot!(header.replace("\r\n", "\n"), @r"
    X-Gauntlet-Message: 0000000012.1
    Date: Thu, 01 Jan 1970 00:00:00 +0000
    From: <load@gauntlet.example>
    To: <someone@external.example>
    Subject: load
    Message-ID: <0000000012.0000000000000007@load.gauntlet.example>
    ");
}

#[test]
fn sizes_are_drawn_from_the_range_and_the_same_again() {
    let plan = LoadPlan {
        size: 400..=500,
        ..plan()
    };
    let sizes: Vec<_> = (1..=300).map(|number| plan.size_of(number)).collect();
    assert!(sizes.iter().all(|size| plan.size.contains(size)));
    assert!(sizes.iter().min() < Some(&410) && sizes.iter().max() > Some(&490));
    assert_eq!(sizes[7], plan.size_of(8));
}

#[test]
fn too_small_a_message_is_an_error() {
    let error = Template::new(
        &LoadPlan {
            size: 10..=1024,
            ..plan()
        },
        SystemTime::UNIX_EPOCH,
    )
    .expect_err("too small");
    insta::assert_snapshot!(error, @"a message of 10 octets has no room for its header section; the smallest one has 220");
}
