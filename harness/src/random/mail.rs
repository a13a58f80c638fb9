//! Random mail: clients, recipients, how content travels, where clients break off.

use std::time::Duration;

use super::{Dice, cluster::TEAM};
use crate::scenario::{Cluster, Cut, Hello, MessageIdChoice, Span, Submit, Transfer, Via};

/// What clients of a run do at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    helo: bool,
    bdat: bool,
    lettre: bool,
    files: bool,
    several_sessions: bool,
    null_sender: bool,
    shared_ids: bool,
    cuts: bool,
    impatience: bool,
    smuggling: bool,
    unknown_mailboxes: bool,
}

impl Habits {
    pub(super) fn draw(dice: &mut Dice, cuts: bool, impatience: bool) -> Self {
        Self {
            helo: dice.chance(40),
            bdat: dice.chance(40),
            lettre: dice.chance(20),
            files: dice.chance(40),
            several_sessions: dice.chance(50),
            null_sender: dice.chance(20),
            shared_ids: dice.chance(20),
            cuts,
            impatience,
            smuggling: dice.chance(8),
            unknown_mailboxes: dice.chance(15),
        }
    }
}

/// Mail of one step, and what is needed to strike in the middle of it.
pub(super) struct Mail {
    pub(super) submit: Submit,
    /// From the first to the last message, when nothing is in the way.
    pub(super) lasts: Duration,
}

/// Draws a submit step.
pub(super) fn draw(dice: &mut Dice, habits: Habits, cluster: &Cluster, client: &str) -> Mail {
    // A front end is there to be used.
    let fronted = dice.chance(50).then(|| dice.one(&cluster.front_ends));
    let to = fronted.flatten().or_else(|| dice.one(&cluster.nodes));
    let to = to.unwrap_or_default();
    let count = dice.pick([1, 1, 2, 3, 4, 6]);
    let helo = habits.helo && dice.chance(50);
    let bdat = habits.bdat && !helo && dice.chance(50);
    let lettre = habits.lettre && !helo && !bdat && dice.chance(50);
    let pick_file = habits.files && !helo && dice.chance(50);
    let message = if pick_file {
        file(dice)
    } else {
        "generated".into()
    };
    let sessions = if habits.several_sessions {
        dice.number(1, 3).min(count)
    } else {
        1
    };
    let every = (count > 1 && dice.chance(60))
        .then(|| dice.span(Duration::from_millis(10), Duration::from_secs(10)));
    let patience = if habits.impatience && dice.chance(60) {
        dice.span(Duration::from_millis(50), Duration::from_secs(30))
    } else {
        Duration::from_secs(120)
    };
    let submit = Submit {
        count,
        message,
        recipients: recipients(dice, habits, cluster),
        from: if habits.null_sender && dice.chance(50) {
            String::new()
        } else {
            dice.pick(["sender@external.example", "user-9@mailbox.example"])
                .into()
        },
        hello: if helo { Hello::Helo } else { Hello::Ehlo },
        via: if lettre { Via::Lettre } else { Via::Raw },
        transfer: if bdat { Transfer::Bdat } else { Transfer::Data },
        one_session: dice.chance(50),
        sessions,
        cut: (habits.cuts && dice.chance(40)).then(|| {
            dice.pick([
                Cut::MidData,
                Cut::BeforeEndOfData,
                Cut::AfterEndOfData,
                Cut::AfterEndOfData,
            ])
        }),
        smuggle: (habits.smuggling && !bdat).then(|| {
            dice.pick(["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r"])
                .to_owned()
        }),
        message_id: if habits.shared_ids && dice.chance(50) {
            dice.pick([MessageIdChoice::None, MessageIdChoice::Shared])
        } else {
            MessageIdChoice::Own
        },
        every: every.map(Span),
        patience: Some(Span(patience)),
        probe_session: dice.chance(20),
        ..Submit::new(client, &to)
    };
    let lasts = every.unwrap_or_default() * count.div_ceil(sessions);
    Mail { submit, lasts }
}

/// A test message. Without SMTPUTF8: whether a next hop has it is not what random runs are about.
fn file(dice: &mut Dice) -> String {
    let names: Vec<&str> = gauntlet_suites::messages()
        .into_iter()
        .filter(|m| !m.needs_smtputf8() && m.bytes.len() <= 64 << 10)
        .map(|m| m.name)
        .collect();
    dice.one(&names).unwrap_or("generated").to_owned()
}

/// Mailboxes, next hops outside, a group, or all of them: every next hop of its own makes the message's way fork.
fn recipients(dice: &mut Dice, habits: Habits, cluster: &Cluster) -> Vec<String> {
    let mut all: Vec<String> = (1..=3)
        .map(|n| format!("user-{n}@mailbox.example"))
        .chain(
            cluster
                .sinks
                .iter()
                .map(|sink| format!("someone@{sink}.example")),
        )
        .chain(["someone@external.example".to_owned()])
        .chain(cluster.groups.keys().filter(|g| *g == TEAM).cloned())
        .collect();
    dice.shuffle(&mut all);
    all.truncate(dice.pick([1, 1, 2, 2, 3]));
    if habits.unknown_mailboxes && dice.chance(40) {
        all.push("nobody@mailbox.example".into());
    }
    all
}
