//! A violation told in order: what was done, what failed, what became of the message, what was promised.

use gauntlet_reports::Verdict;

use crate::{
    check::evidence::{clock, fault},
    history::{Event, Record, Transaction, Wire},
};

/// Lines that are told at most; what is left out is said.
const LINES: usize = 60;

/// The history of the smallest run in words, and the evidence. Of the wire only what changes who answers for a message is
/// told.
pub fn story(history: &[Record], verdict: &Verdict) -> String {
    let cited: Vec<u64> = verdict
        .evidence
        .iter()
        .flat_map(|piece| piece.records.iter().copied())
        .collect();
    let mut lines: Vec<String> = Vec::new();
    let mut faults: Vec<(u32, String)> = Vec::new();
    for record in history {
        if let Event::FaultPlanned {
            fault: number,
            what,
            trigger,
        } = &record.event
        {
            let by = trigger
                .as_ref()
                .map_or(String::new(), |when| format!(" (at `{when}`)"));
            faults.push((*number, format!("{}{by}", fault(what))));
        }
        let Some(text) = told(record, &faults) else {
            continue;
        };
        let mark = if cited.contains(&record.seq) {
            "*"
        } else {
            " "
        };
        lines.push(format!("{mark} {:>18}  {text}", clock(record.t_us)));
    }
    let left_out = lines.len().saturating_sub(LINES);
    if left_out > 0 {
        // The beginning and the end tell most.
        lines.drain(LINES / 2..LINES / 2 + left_out);
        lines.insert(LINES / 2, format!("  … {left_out} more …"));
    }
    lines.push(format!(
        "{} violated: {}",
        verdict.guarantee, verdict.summary
    ));
    for piece in &verdict.evidence {
        lines.push(format!("  · {}", piece.text));
    }
    lines.join("\n") + "\n"
}

/// A record in words, when it belongs to the story.
fn told(record: &Record, faults: &[(u32, String)]) -> Option<String> {
    let of = |number: &u32| {
        faults
            .iter()
            .find(|(n, _)| n == number)
            .map_or_else(|| format!("fault {number}"), |(_, text)| text.clone())
    };
    Some(match &record.event {
        Event::Step { text, .. } => format!("step: {text}"),
        Event::Phase { phase } => format!("phase: {}", format!("{phase:?}").to_lowercase()),
        Event::FaultLanded { fault } => of(fault),
        Event::FaultHealed { fault } => format!("over: {}", of(fault)),
        Event::FaultFailed { fault, reason } => format!("{} did not land: {reason}", of(fault)),
        Event::NodeUp {
            node, incarnation, ..
        } if *incarnation > 1 => format!("{node} is up again"),
        Event::NodeFailed { node, reason } => format!("{node} could not be started: {reason}"),
        Event::Submit(s) => format!(
            "{} begins message {} for {} ({})",
            s.client,
            s.message,
            s.recipients.join(" and "),
            s.link
        ),
        Event::Outcome {
            submission,
            outcome,
            reply,
            ..
        } => {
            let code = reply
                .as_ref()
                .map_or(String::new(), |reply| format!(" with {}", reply.code));
            let word = format!("{outcome:?}").to_lowercase();
            format!("submission {submission} is {word}{code}")
        }
        Event::Wire { link, wire, .. } => match wire {
            Wire::FinalReply { kind, reply, .. } if *kind == Transaction::Copy => {
                format!("{link}: {} for the shadow copy", reply.code)
            }
            Wire::FinalReply { kind, reply, .. } if *kind == Transaction::Deliver => {
                format!("{link}: {} for the delivery", reply.code)
            }
            _ => return None,
        },
        Event::Delivered(d) => match d.message {
            Some(message) => format!("{} takes message {message} ({})", d.sink, d.link),
            None => format!("{} takes a message ({})", d.sink, d.link),
        },
        Event::Tracking { node, entry } => {
            let event = entry["event"].as_str()?;
            let wanted = [
                "RESUBMIT",
                "DSN",
                "FAIL",
                "EXPIRE",
                "DUPLICATEDELIVER",
                "HADISCARD",
            ];
            if !wanted.contains(&event) {
                return None;
            }
            let recipients: Vec<&str> = (entry["recipients"].as_array().into_iter().flatten())
                .filter_map(serde_json::Value::as_str)
                .collect();
            format!("{node} notes {event} for {}", recipients.join(" and "))
        }
        Event::Mailbox {
            node,
            mailbox,
            messages,
        } if !messages.is_empty() => {
            let numbers: Vec<String> = messages
                .iter()
                .map(|m| m.message.map_or("?".into(), |n| n.to_string()))
                .collect();
            format!("{mailbox} on {node} shows message {}", numbers.join(", "))
        }
        Event::Settled { quiescent, pending } if !quiescent => {
            format!("not settled: {}", pending.join("; "))
        }
        Event::Settled { .. } => "settled: nothing is queued, no shadow message is held".into(),
        _ => return None,
    })
}
