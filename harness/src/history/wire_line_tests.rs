use proptest::prelude::*;

use super::*;

fn reply() -> Reply {
    Reply {
        code: 250,
        text: "2.0.0 n1/aa/1 delivered\n\"quoted\"".into(),
    }
}

fn all() -> Vec<Record> {
    let ids = [
        (Some(3), Some(1), Some("n1/aa/1".to_owned())),
        (None, None, None),
    ];
    let mut wires = vec![
        Wire::Connect,
        Wire::ConnectFailed {
            error: "refused".into(),
        },
        Wire::Greeting { reply: reply() },
        Wire::Command {
            verb: "MAIL".into(),
            line: "MAIL FROM:<é\\x@a>".into(),
        },
        Wire::Reply {
            verb: String::new(),
            reply: reply(),
        },
        Wire::Close {
            by: "tap".into(),
            reset: true,
        },
    ];
    for (message, attempt, transport_id) in ids {
        wires.push(Wire::EndOfData {
            kind: Transaction::Copy,
            message,
            attempt,
            transport_id: transport_id.clone(),
        });
        wires.push(Wire::FinalReply {
            kind: Transaction::Mail,
            reply: reply(),
            message,
            attempt,
            transport_id,
        });
    }
    let record = |(seq, wire)| Record {
        seq,
        t_us: 10 * seq,
        event: Event::Wire {
            link: "n1>n2".into(),
            connection: 7,
            wire,
        },
    };
    (0..).zip(wires).map(record).collect()
}

#[test]
fn every_wire_record_is_read_the_short_way() {
    for record in all() {
        let line = serde_json::to_vec(&record).expect("a line");
        assert_eq!(read(&line), Some(record));
    }
}

#[test]
fn what_is_no_wire_record_is_left_to_the_long_way() {
    for line in [
        r#"{"seq":1,"t_us":2,"event":"phase","phase":"load"}"#,
        r#"{"seq":1,"t_us":2,"event":"wire","link":"a>b","connection":1,"wire":"connect","new":1}"#,
        r#"{"seq":1,"t_us":2,"event":"wire","link":"a>b","connection":1,"wire":"command"}"#,
        r#"{"seq":1,"seq":1,"t_us":2,"event":"wire","link":"a>b","connection":1,"wire":"connect"}"#,
        "",
    ] {
        assert_eq!(read(line.as_bytes()), None, "{line}");
    }
}

proptest! {
    #[test]
    fn the_short_way_never_disagrees_with_the_long_one(which: prop::sample::Index, at: prop::sample::Index, by: u8) {
        let records = all();
        let mut line = serde_json::to_vec(&records[which.index(records.len())]).expect("a line");
        let at = at.index(line.len());
        line[at] = by;
        if let Some(short) = read(&line) {
            let long: Record = serde_json::from_slice(&line).expect("the long way takes it, too");
            prop_assert_eq!(short, long);
        }
    }
}
