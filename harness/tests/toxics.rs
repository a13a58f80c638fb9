//! Faults of links in scenarios, through the binary: on real processes, and in the simulator as far as it can do them.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Exit code, stdout, stderr, and the history.
struct Ran {
    code: Option<i32>,
    said: String,
    history: Vec<Value>,
}

fn run(on: &str, scenario: &str) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("toxic.toml");
    fs::write(&file, scenario).expect("a file");
    let runs = directory.path().join("runs");
    let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .args(["run", "--on", on, "--runs-dir"])
        .args([&runs, &file])
        .args(["--timeout", "4m"])
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
    let history = fs::read_to_string(runs.join("latest/history.jsonl")).unwrap_or_default();
    let records = history.lines().map(serde_json::from_str);
    Ran {
        code: output.status.code(),
        said: text(output.stdout) + &text(output.stderr),
        history: records.collect::<Result<_, _>>().expect("records"),
    }
}

impl Ran {
    fn of<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.history.iter().filter(move |r| r["event"] == event)
    }

    /// Outcomes of submissions, in order.
    fn outcomes(&self) -> Vec<&str> {
        self.of("outcome")
            .map(|r| r["outcome"].as_str().expect("a word"))
            .collect()
    }

    fn times_us(&self, event: &str) -> Vec<u64> {
        let times = self
            .of(event)
            .map(|r| r["t-us"].as_u64().or(r["t_us"].as_u64()));
        times.map(|time| time.expect("a time")).collect()
    }

    /// Every fault landed, and those that last were taken back.
    fn faults_landed(&self, many: usize) {
        assert_eq!(self.of("fault-failed").count(), 0, "{}", self.said);
        assert_eq!(self.of("fault-landed").count(), many, "{}", self.said);
    }
}

/// A cluster on which the steps' faults are between the client and n1.
fn scenario(on: &str, steps: &str) -> String {
    format!(
        "title = 'A toxic'\nguarantees = ['SC-01']\non = ['{on}']\n[cluster]\nnodes = ['n1', 'n2']\nmailboxes = 'n2'\n\
         [config]\nShadowHeartbeatFrequency = '1m'\n{steps}"
    )
}

#[test]
fn toxics_on_real_links_do_what_they_say_and_no_mail_is_lost() {
    let ran = run(
        "process",
        &scenario(
            "process",
            r#"
            [[step]]
            toxic = { link = "client-1>n1", type = "latency", attributes = { latency = 40 } }
            [[step]]
            toxic = { link = "n1>n2", type = "slicer", stream = "upstream", attributes = { average_size = 100, delay = 100 } }
            [[step]]
            submit = { to = "n1", count = 2 }
            [[step]]
            heal = {}
            [[step]]
            toxic = { link = "client-2>n1", type = "limit_data", stream = "upstream", attributes = { bytes = 200 } }
            [[step]]
            submit = { to = "n1", client = "client-2" }
            [[step]]
            toxic = { link = "client-3>n1", type = "reset_peer", stream = "upstream" }
            [[step]]
            submit = { to = "n1", client = "client-3" }
            [[step]]
            heal = {}
            [[step]]
            resend = { to = "n1", outcomes = ["unsent", "indeterminate"] }
            "#,
        ),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    ran.faults_landed(4);
    assert_eq!(
        ran.outcomes(),
        [
            "acked",
            "acked",
            "indeterminate",
            "unsent",
            "acked",
            "acked"
        ]
    );
    // Greeting, EHLO, MAIL, RCPT, DATA, end of data: six replies of 40 ms each, unless they were pipelined.
    let (submitted, acked) = (ran.times_us("submit")[0], ran.times_us("outcome")[0]);
    assert!(acked - submitted >= 3 * 40_000, "{submitted} to {acked}");
    // What the server got of client-2 was not more than the limit: no end of data.
    let of_client_2: Vec<&Value> = ran
        .of("wire")
        .filter(|r| r["link"] == "client-2>n1")
        .collect();
    assert!(
        of_client_2
            .iter()
            .any(|r| r["wire"] == "close" && r["by"] == "tap" && r["reset"] == false)
    );
    assert!(of_client_2.iter().all(|r| r["wire"] != "end-of-data"));
}

/// The ack of the first message is garbled, that of the second is held up, the client is cut after its third RCPT, and the
/// last one finds the link down.
const REPLIES: &str = r#"
    [[step]]
    submit = { to = "n1", count = 2 }
    [[step]]
    submit = { to = "n1" }
    [[step]]
    down = { link = "client-2>n1" }
    [[step]]
    submit = { to = "n1", client = "client-2" }
    [[step]]
    heal = {}
    [[step]]
    resend = { to = "n1", outcomes = ["unsent", "indeterminate"] }
    [[fault]]
    when = "client-1>n1 acked"
    before = true
    do = { garble = { link = "client-1>n1" } }
    [[fault]]
    when = "client-1>n1 acked"
    nth = 2
    before = true
    do = { delay-reply = { link = "client-1>n1", latency = "300ms" } }
    [[fault]]
    when = "client-1>n1 reply RCPT"
    nth = 5
    do = { reset = { link = "client-1>n1" } }
"#;

#[test]
fn replies_are_struck_by_their_event_on_both_substrates() {
    for on in ["sim", "process"] {
        let ran = run(on, &scenario(on, REPLIES));
        assert_eq!(ran.code, Some(0), "{on}: {}", ran.said);
        ran.faults_landed(4);
        let outcomes = ran.outcomes();
        assert_eq!(
            outcomes[..4],
            ["indeterminate", "acked", "unsent", "unsent"],
            "{on}: {}",
            ran.said
        );
        assert!(
            outcomes[4..].iter().all(|outcome| *outcome == "acked"),
            "{on}: {outcomes:?}"
        );
        // The delayed ack: seen by the tap, and so much later by the client.
        let seen = ran
            .of("wire")
            .filter(|r| r["wire"] == "final-reply" && r["link"] == "client-1>n1")
            .nth(1)
            .expect("the second ack");
        let seen = seen["t-us"]
            .as_u64()
            .or(seen["t_us"].as_u64())
            .expect("a time");
        let heard = ran.times_us("outcome")[1];
        assert!(heard - seen >= 300_000, "{on}: {seen} to {heard}");
    }
}

#[test]
fn a_black_hole_of_one_way_swallows_the_answers_on_both_substrates() {
    let steps = r#"
        [[step]]
        submit = { to = "n1", patience = "2m" }
        [[step]]
        heal = {}
        [[step]]
        resend = { to = "n1" }
        [[fault]]
        when = "client-1>n1 end-of-data"
        do = { black-hole = { link = "client-1>n1", stream = "downstream" } }
    "#;
    for on in ["sim", "process"] {
        let ran = run(on, &scenario(on, steps));
        assert_eq!(ran.code, Some(0), "{on}: {}", ran.said);
        ran.faults_landed(1);
        assert_eq!(
            ran.outcomes(),
            ["indeterminate", "acked"],
            "{on}: {}",
            ran.said
        );
    }
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    let said = |on: &str, step: &str| {
        let ran = run(on, &scenario(on, &format!("[[step]]\n{step}\n")));
        assert_eq!(ran.code, Some(64), "{}", ran.said);
        let lines = ran.said.lines().map(str::trim_end);
        let place = lines.filter(|line| !line.contains("toxic.toml"));
        place.collect::<Vec<_>>().join("\n")
    };
    let toxic = |more: &str| format!("toxic = {{ link = 'n1>n2', {more} }}");
    insta::assert_snapshot!(said("process", &toxic("type = 'latenci'")), @"
     × there is no toxic `latenci`
     9 │ [[step]]
    10 │ toxic = { link = 'n1>n2', type = 'latenci' }
       ·                                  ────┬────
       ·                                      ╰── no such type
       ╰────
     help: did you mean `latency`?
    ");
    insta::assert_snapshot!(said("process", &toxic("type = 'latency', attributes = { delay = 5 }")), @"
     × `latency` has no attribute `delay`
     9 │ [[step]]
    10 │ toxic = { link = 'n1>n2', type = 'latency', attributes = { delay = 5 } }
       ·                                                            ──┬──
       ·                                                              ╰── no such attribute
       ╰────
     help: there are `latency` and `jitter`
    ");
    insta::assert_snapshot!(said("process", &toxic("type = 'timeout', toxicity = 1.5")), @"
     × a toxicity of 1.5
     9 │ [[step]]
    10 │ toxic = { link = 'n1>n2', type = 'timeout', toxicity = 1.5 }
       ·                                                        ─┬─
       ·                                                         ╰── 0 to 1
       ╰────
     help: the share of connections that it works on: 0 none, 1 all
    ");
    insta::assert_snapshot!(said("sim", &toxic("type = 'timeout'")), @r#"
     × toxics work on `process` only: the simulated network has no sockets
     9 │ [[step]]
    10 │ toxic = { link = 'n1>n2', type = 'timeout' }
       · ──┬──
       ·   ╰── not on `sim`
       ╰────
     help: write `on = ["process"]`
    "#);
}
