//! Steps in words, as the history and reports show them.

use std::collections::BTreeMap;

use crate::{
    history::Outcome,
    scenario::{
        BusyWith, CrashKind, Cut, Database, JumpClock, Partition, Resend, ResumedClock, Setting,
        SinkBehaviour, Step, Submit, Transfer, Via,
    },
};

/// A step in words, e.g. `crash n1 (host)`.
pub(crate) fn text(step: &Step) -> String {
    match step {
        Step::Submit(submit) => submit_text(submit),
        Step::Resend(Resend {
            client,
            to,
            outcomes,
        }) if outcomes.is_empty() => {
            format!("{client} sends all messages to {to} again")
        }
        Step::Resend(Resend {
            client,
            to,
            outcomes,
        }) => {
            let outcomes: Vec<_> = outcomes.iter().map(|o| outcome(*o)).collect();
            format!(
                "{client} sends to {to} again what was {}",
                outcomes.join(" or ")
            )
        }
        Step::Wait { duration } => format!("wait {duration}"),
        Step::WaitQuiet { at_most } => format!("wait until all is quiet, at most {at_most}"),
        Step::Crash {
            node,
            kind: CrashKind::Process,
        } => format!("crash {node} (process)"),
        Step::Crash {
            node,
            kind: CrashKind::Host,
        } => format!("crash {node} (host)"),
        Step::Start {
            node,
            database: Database::Same,
        } => format!("start {node}"),
        Step::Start {
            node,
            database: Database::New,
        } => format!("start {node} with a new transport database"),
        Step::Destroy { node } => format!("destroy {node}"),
        Step::Freeze { node } => format!("freeze {node}"),
        Step::Thaw { node } => format!("thaw {node}"),
        Step::Snapshot { node } => format!("take a snapshot of {node}"),
        Step::Revert { node } => format!("revert {node} to its snapshot"),
        Step::FillDisk { node } => format!("fill the disk of {node}"),
        Step::FreeDisk { node } => format!("make room on the disk of {node}"),
        Step::ReadOnlyDisk { node } => format!("let the disk of {node} be read-only"),
        Step::RepairDisk { node } => format!("repair the disk of {node}, and start it"),
        Step::JumpClock(JumpClock { node, ahead, back }) => match (ahead, back) {
            (Some(span), _) => format!("set the clock of {node} {span} ahead"),
            (None, Some(span)) => format!("set the clock of {node} {span} back"),
            (None, None) => format!("set the clock of {node}"),
        },
        Step::CorrectClock { node } => format!("set the clock of {node} right"),
        Step::StarveCpu { node, percent } => {
            format!("let {node} have {percent} % of a processor")
        }
        Step::FeedCpu { node } => format!("let {node} have all the processor time that it wants"),
        Step::Save { node } => format!("save the state of {node}, and stop it"),
        Step::Resume {
            node,
            clock: ResumedClock::Corrected,
        } => format!("resume {node}"),
        Step::Resume {
            node,
            clock: ResumedClock::Stale,
        } => format!("resume {node}, its clock as it was saved"),
        Step::Migrate { node } => format!("move {node} to another host while it runs"),
        Step::Shutdown { node } => format!("shut {node} down"),
        Step::Balloon { node, megabytes } => {
            format!("take {megabytes} MB of memory from {node}")
        }
        Step::Deflate { node } => format!("give {node} its memory back"),
        Step::Partition(Partition {
            a,
            b,
            one_way: false,
        }) => format!("part {a} from {b}"),
        Step::Partition(Partition {
            a,
            b,
            one_way: true,
        }) => format!("hold back what goes from {a} to {b}"),
        Step::Delay { link, latency } => format!("delay {link} by {latency}"),
        Step::BlackHole { link, stream: None } => format!("black hole on {link}"),
        Step::BlackHole {
            link,
            stream: Some(stream),
        } => format!("black hole on {link} ({stream} alone)"),
        Step::Reset { link } => format!("reset {link}"),
        Step::Toxic(step) => match step.toxic() {
            Ok(toxic) => format!("toxic {toxic} on {}", step.link),
            Err(error) => format!("toxic on {}: {error}", step.link),
        },
        Step::Down { link } => format!("take {link} down"),
        Step::Garble { link } => format!("garble the next reply on {link}"),
        Step::DelayReply { link, latency } => {
            format!("hold the next reply on {link} up for {latency}")
        }
        Step::Heal { a, b } => match (a, b) {
            (Some(a), Some(b)) => format!("heal the network between {a} and {b}"),
            (Some(host), None) | (None, Some(host)) => format!("heal the network around {host}"),
            (None, None) => "heal the network".into(),
        },
        Step::Sink {
            sink,
            behaviour,
            count,
        } => {
            let behaviour = match behaviour {
                SinkBehaviour::Accept => "accepts".into(),
                SinkBehaviour::Defer(code) => format!("defers with {code}"),
                SinkBehaviour::Refuse(code) => format!("refuses recipients with {code}"),
                SinkBehaviour::RefuseRecipient(to) => format!("refuses {to} with 550"),
                SinkBehaviour::DropAfterDot => "drops the connection after the dot".into(),
                SinkBehaviour::Slow(span) => format!("answers after {span}"),
                SinkBehaviour::Down => "is down".into(),
            };
            format!(
                "{sink} {behaviour}{}",
                count.map_or_else(String::new, |n| format!(", for {}", messages(n)))
            )
        }
        Step::Idle {
            client,
            to,
            at_most,
        } => format!("{client} says hello to {to} and is idle, at most {at_most}"),
        Step::Busy(busy) => {
            let what = match busy.with {
                BusyWith::Noop => "NOOP",
                BusyWith::Data => "a line of a message without end",
            };
            format!(
                "{} gives {} {what} every {}, at most {}",
                busy.client, busy.to, busy.every, busy.at_most
            )
        }
        Step::PeerVerbs { client, to } => format!("{client} gives peer commands to {to}"),
        Step::Observe {} => "read views and mailboxes".into(),
        Step::Resubmit { node, from, to } => {
            let to = if to.0.is_zero() {
                "now".into()
            } else {
                format!("{to} ago")
            };
            format!("ask {node} to resubmit from its Safety Net, from {from} ago to {to}")
        }
        Step::CheckConfig { config } => format!("check the configuration {}", settings(config)),
    }
}

fn submit_text(submit: &Submit) -> String {
    let Submit {
        client,
        to,
        count,
        message,
        recipients,
        hello: _,
        via,
        transfer,
        cut,
        smuggle,
        background,
        ..
    } = submit;
    let what = match message.as_str() {
        "generated" => messages(*count),
        "all" => "every test message".into(),
        name => format!("{} ({name})", messages(*count)),
    };
    let mut text = format!(
        "{client} submits {what} for {} to {to}",
        recipients.join(" and ")
    );
    if *via == Via::Lettre {
        text.push_str(", with lettre");
    }
    if *transfer == Transfer::Bdat {
        text.push_str(", with BDAT");
    }
    match cut {
        Some(Cut::MidData) => text.push_str(", breaks off in the middle of the content"),
        Some(Cut::BeforeEndOfData) => text.push_str(", breaks off before the end of data"),
        Some(Cut::AfterEndOfData) => text.push_str(", breaks off after the end of data"),
        None => {}
    }
    if let Some(smuggle) = smuggle {
        text.push_str(&format!(", smuggles {smuggle:?}"));
    }
    if *background {
        text.push_str(", in the background");
    }
    text
}

fn messages(count: u32) -> String {
    if count == 1 {
        "1 message".into()
    } else {
        format!("{count} messages")
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Acked => "acked",
        Outcome::Refused => "refused",
        Outcome::Indeterminate => "indeterminate",
        Outcome::Unsent => "unsent",
    }
}

/// `A = 1, B = 3h`
pub(crate) fn settings(config: &BTreeMap<String, Setting>) -> String {
    let settings: Vec<_> = config
        .iter()
        .map(|(name, value)| format!("{name} = {}", setting(value)))
        .collect();
    settings.join(", ")
}

/// A setting as a configuration file has it, without quotes.
pub(crate) fn setting(value: &Setting) -> String {
    match value {
        Setting::Switch(on) => on.to_string(),
        Setting::Number(number) => number.to_string(),
        Setting::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_like_sentences() {
        let toml = r#"
            step = [
                { submit = { to = "n1" } },
                { submit = { to = "n1", count = 3, message = "plain", via = "lettre", cut = "after-end-of-data", background = true } },
                { submit = { to = "n2", message = "all", transfer = "BDAT", recipients = ["mailbox"], smuggle = "\n.\n" } },
                { resend = { to = "n2", outcomes = ["indeterminate", "unsent"] } },
                { resend = { to = "n2" } },
                { wait = { for = "2m 30s" } },
                { wait-quiet = { at-most = "8h" } },
                { crash = { node = "n1" } },
                { start = { node = "n1", database = "new" } },
                { migrate = { node = "n1" } },
                { shutdown = { node = "n1" } },
                { balloon = { node = "n1", megabytes = 64 } },
                { deflate = { node = "n1" } },
                { partition = { a = "n1", b = "n2", one-way = true } },
                { delay = { link = "n1>n2", latency = "20ms" } },
                { heal = { a = "n1" } },
                { sink = { sink = "sink-1", behaviour = { defer = 451 }, count = 1 } },
                { sink = { sink = "sink-1", behaviour = "down" } },
                { resubmit = { node = "n1", from = "1h", to = "0s" } },
                { check-config = { config = { ReplayLagTime = "14d", ShadowRedundancyEnabled = true } } },
            ]
        "#;
        #[derive(serde::Deserialize)]
        struct Steps {
            step: Vec<Step>,
        }
        let steps: Steps = toml::from_str(toml).expect("good steps");
        let texts: Vec<_> = steps.step.iter().map(text).collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
        client-1 submits 1 message for mailbox and external to n1
        client-1 submits 3 messages (plain) for mailbox and external to n1, with lettre, breaks off after the end of data, in the background
        client-1 submits every test message for mailbox to n2, with BDAT, smuggles "\n.\n"
        client-1 sends to n2 again what was indeterminate or unsent
        client-1 sends all messages to n2 again
        wait 2m 30s
        wait until all is quiet, at most 8h
        crash n1 (process)
        start n1 with a new transport database
        move n1 to another host while it runs
        shut n1 down
        take 64 MB of memory from n1
        give n1 its memory back
        hold back what goes from n1 to n2
        delay n1>n2 by 20ms
        heal the network around n1
        sink-1 defers with 451, for 1 message
        sink-1 is down
        ask n1 to resubmit from its Safety Net, from 1h ago to now
        check the configuration ReplayLagTime = 14d, ShadowRedundancyEnabled = true
        "#);
    }
}
